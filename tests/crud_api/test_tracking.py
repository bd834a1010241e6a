"""Tests the links in mails: open pixel, tracked links and unsubscribing."""

from __future__ import annotations

import base64
import re
from email import message_from_bytes, policy
from typing import Any

import psycopg
import pytest

from sequence_store.domain.messages import SendKey
from sequence_store.mail.link_tokens import Link, LinkKind, LinkSigner
from step_mailing_worker.links import MailLinks
from step_mailing_worker.mail import MailOrder, build_mail
from tests.conftest import Services
from tests.crud_api.conftest import NOW, STEP, Api

Sent = tuple[dict[str, Any], dict[str, Any], SendKey]


@pytest.fixture
def sent(api: Api) -> Sent:
    """Return a sequence, a contact whose first mail was sent, and the key of that send."""
    sequence, mailbox = api.sequence(steps=[STEP, STEP | {"stepNumber": 2}]), api.mailbox()
    contact = api.enrolled(sequence, mailAddress="Ada@people.example")
    api.plan(sequence, contact, mailbox, status="sent")
    api.plan(sequence, contact, mailbox, step=1, status="dispatched")
    return sequence, contact, key_of(api, sequence, contact)


def key_of(api: Api, sequence: dict[str, Any], contact: dict[str, Any]) -> SendKey:
    step = api.key("steps", sequence["steps"][0])
    return SendKey(api.key("sequences", sequence), api.key("contacts", contact), step, 1)


def token(settings: Services, kind: LinkKind, key: SendKey, *link: Any) -> str:
    return settings.api.link_signer.sign(Link(kind, key, *link))


def events(api: Api) -> list[tuple[Any, ...]]:
    return api.sql("SELECT kind, detail FROM send_events ORDER BY id")


def test_open_pixel_is_a_picture_and_leaves_an_event(api: Api, settings: Services, sent: Sent) -> None:
    answer = api.get(f"/t/{token(settings, LinkKind.OPEN, sent[2])}")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "image/gif")
    assert answer.content.startswith(b"GIF89a")
    assert answer.headers["Cache-Control"] == "no-store"
    assert events(api) == [("opened", {"link": 0})]
    [row] = api.sql("SELECT sequence_id, contact_id, step_id, round FROM send_events")
    assert row == sent[2]


@pytest.mark.parametrize(
    "target", ["https://example.com/a?b=c&d=%20#e", "http://example.com/Gr%C3%BC%C3%9Fe"]
)
def test_click_leads_to_the_link_of_the_mail_and_leaves_an_event(
    api: Api, settings: Services, sent: Sent, target: str
) -> None:
    answer = api.get(f"/t/{token(settings, LinkKind.CLICK, sent[2], 2, target)}")
    assert (answer.status_code, answer.headers["Location"]) == (302, target)
    assert events(api) == [("clicked", {"link": 2})]


def test_no_link_leads_where_no_mail_of_ours_led(api: Api, settings: Services, sent: Sent) -> None:
    good = token(settings, LinkKind.CLICK, sent[2], 0, "https://example.com/")
    raw = base64.urlsafe_b64decode(good + "=" * (-len(good) % 4))
    moved = base64.urlsafe_b64encode(raw.replace(b"example.com", b"evil.example")).decode().rstrip("=")
    foreign = LinkSigner([b"somebody else"]).sign(Link(LinkKind.CLICK, sent[2], 0, "https://evil.example/"))
    unsubscribe = token(settings, LinkKind.UNSUBSCRIBE, sent[2])
    for bad in (
        moved,
        foreign,
        unsubscribe,
        good[:-1],
        "x",
        "https:evil.example",
        "a" * 9000,
        "%00",
        "%2F%2Fevil",
    ):
        answer = api.get(f"/t/{bad}?u=https://evil.example/")
        assert answer.status_code == 404, bad
        assert "Location" not in answer.headers
        assert "text/html" in answer.headers["Content-Type"] or "message" in answer.json()
    assert events(api) == []


def test_bad_token_gets_a_calm_page_that_repeats_nothing(api: Api, settings: Services, sent: Sent) -> None:
    opening = token(settings, LinkKind.OPEN, sent[2])
    for method, path in [("GET", "/t/"), ("GET", "/u/"), ("POST", "/u/")]:
        for bad in ("<script>alert(1)</script>", "x", *([opening] if path == "/u/" else [])):
            answer = api.request(method, f"{path}{bad.replace('/', '%2F')}")
            if "%2F" not in bad.replace("/", "%2F"):
                assert answer.status_code == 404
                assert "This link does not work" in answer.text
                assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
            assert "alert" not in answer.text
    assert api.sql("SELECT 1 FROM suppressions") == []


def test_a_get_never_unsubscribes(api: Api, settings: Services, sent: Sent) -> None:
    sequence, contact, key = sent
    for _ in range(3):
        page = api.get(f"/u/{token(settings, LinkKind.UNSUBSCRIBE, key)}")
        assert page.status_code == 200
        assert '<form method="post">' in page.text
    api.request("HEAD", f"/u/{token(settings, LinkKind.UNSUBSCRIBE, key)}")
    assert api.sql("SELECT 1 FROM suppressions") == []
    assert events(api) == []
    assert api.enrolment(sequence, contact)["status"] == "active"


ONE_CLICK = {
    "form": {"data": {"List-Unsubscribe": "One-Click"}},
    "multipart": {"files": {"List-Unsubscribe": (None, "One-Click")}},
    "button": {},
    "rubbish": {"content": b"\xff\x00{"},
}


@pytest.mark.parametrize("request_", ONE_CLICK.values(), ids=ONE_CLICK.keys())
def test_one_click_stops_everything_for_the_address_at_once(
    api: Api, settings: Services, sent: Sent, request_: dict[str, Any]
) -> None:
    sequence, contact, key = sent
    other, mailbox = api.sequence(), api.mailbox()
    api.made(f"/sequences/{other['id']}/contacts", {"contactIds": [contact["id"]]})
    api.plan(other, contact, mailbox, status="claimed")
    api.sql(
        "INSERT INTO plan_deferrals SELECT sequence_id, contact_id, '2026-03-10', 'x' FROM sequences_contacts"
    )
    stranger = api.enrolled(sequence)
    api.plan(sequence, stranger, mailbox)
    done = api.request("POST", f"/u/{token(settings, LinkKind.UNSUBSCRIBE, key)}", **request_)
    assert done.status_code == 200
    assert "You are unsubscribed" in done.text
    assert api.sql(
        "SELECT status, reason FROM sends WHERE contact_id = %s ORDER BY send_at, status", key.contact_id
    ) == [("cancelled", "unsubscribed"), ("cancelled", "unsubscribed"), ("sent", None)]
    for each in (sequence, other):
        enrolment = api.enrolment(each, contact)
        assert (enrolment["status"], enrolment["nextSend"]) == ("unsubscribed", None)
    hmac = "SELECT reason FROM suppressions WHERE address_hmac = address_hmac('ada@people.example', %s)"
    assert api.sql(hmac, settings.api.address_pads) == [("unsubscribed",)]
    assert api.sql("SELECT contact_id FROM plan_deferrals") == []
    assert events(api) == [("unsubscribed", {})]
    assert api.sql("SELECT status FROM sends WHERE contact_id = %s", api.key("contacts", stranger)) == [
        ("planned",)
    ]


def test_unsubscribing_twice_is_fine_and_leaves_one_event(api: Api, settings: Services, sent: Sent) -> None:
    path = f"/u/{token(settings, LinkKind.UNSUBSCRIBE, sent[2])}"
    assert [api.post(path).status_code for _ in range(3)] == [200, 200, 200]
    assert events(api) == [("unsubscribed", {})]


def test_own_word_replaces_the_reason_that_a_bounce_left(api: Api, settings: Services, sent: Sent) -> None:
    api.sql(
        "INSERT INTO suppressions (address_hmac, reason)"
        " VALUES (address_hmac('ADA@people.example', %s), 'hard_bounce')",
        settings.api.address_pads,
    )
    api.post(f"/u/{token(settings, LinkKind.UNSUBSCRIBE, sent[2])}")
    assert api.sql("SELECT reason FROM suppressions") == [("unsubscribed",)]


def test_unsubscribing_works_when_contact_and_sequence_are_deleted(
    api: Api, settings: Services, sent: Sent
) -> None:
    sequence, contact, key = sent
    api.delete(f"/contacts/{contact['id']}")
    api.delete(f"/sequences/{sequence['id']}")
    twin = api.contact(mailAddress="ada@people.example")
    later = api.sequence()
    api.made(f"/sequences/{later['id']}/contacts", {"contactIds": [twin["id"]]})
    assert api.post(f"/u/{token(settings, LinkKind.UNSUBSCRIBE, key)}").status_code == 200
    assert api.sql("SELECT reason FROM suppressions") == [("unsubscribed",)]
    assert api.enrolment(later, twin)["status"] == "unsubscribed"


def test_claim_waits_for_whoever_unsubscribes_and_finds_the_send_cancelled(
    api: Api, settings: Services, sent: Sent
) -> None:
    sequence, _, key = sent
    pads = settings.api.address_pads
    second = key._replace(step_id=api.key("steps", sequence["steps"][1]))
    claim = (
        "SELECT verdict, reason FROM claim_send(%s, %s, %s, %s::int, 1, gen_random_uuid(), '1 minute', %s)"
    )
    with api.database.connect("worker", autocommit=True) as worker:
        with api.database.connect("api") as unsubscribing:
            unsubscribing.execute("SELECT unsubscribe(%s, %s, %s, %s::int, %s)", (*key, pads))
            worker.execute("SET statement_timeout = 200")
            with pytest.raises(psycopg.errors.QueryCanceled):
                worker.execute(claim, (*second, pads))
        assert worker.execute(claim, (*second, pads)).fetchone() == ("stale", "cancelled")


def test_erased_contact_may_still_unsubscribe(api: Api, settings: Services, sent: Sent) -> None:
    _, contact, key = sent
    api.post(f"/contacts/{contact['id']}/erasure")
    assert api.post(f"/u/{token(settings, LinkKind.UNSUBSCRIBE, key)}").status_code == 200
    assert api.sql("SELECT reason FROM suppressions") == [("erased",)]


def test_links_that_the_worker_writes_are_those_that_the_api_answers(
    api: Api, settings: Services, sent: Sent
) -> None:
    sequence, contact, key = sent
    links = MailLinks(key, settings.worker.link_signer, "http://api", opens=True, clicks=True)
    mail = build_mail(
        MailOrder(
            key=key,
            send_at=NOW,
            contact_name="Ada",
            contact_address="ada@people.example",
            contact_attributes={},
            mail_subject="Hi",
            mail_content='<a href="https://example.com/?a=1&amp;b=2">x</a>',
            thread_subject=None,
            thread_step_ids=(),
            mailbox_address="ann@sender.example",
            mailbox_display_name=None,
            links=links,
        ),
        b"secret",
    )
    read = message_from_bytes(mail.content, policy=policy.default)
    page = read.get_body(("html",)).get_content()  # type: ignore[union-attr]
    click, pixel = re.findall(r'"(http://api/t/[^"]+)"', page)
    assert api.get(click).headers["Location"] == "https://example.com/?a=1&b=2"
    assert api.get(pixel).headers["Content-Type"] == "image/gif"
    api.request("POST", read["List-Unsubscribe"].strip("<>"), data={"List-Unsubscribe": "One-Click"})
    assert api.enrolment(sequence, contact)["status"] == "unsubscribed"
    assert [kind for kind, _ in events(api)] == ["clicked", "opened", "unsubscribed"]


def test_one_link_that_is_fetched_again_and_again_fills_no_table(
    api: Api, settings: Services, sent: Sent
) -> None:
    path = f"/t/{token(settings, LinkKind.OPEN, sent[2])}"
    api.sql(
        "INSERT INTO send_events (sequence_id, contact_id, step_id, round, kind)"
        " SELECT %s, %s, %s, %s, 'opened' FROM generate_series(1, 99)",
        *sent[2],
    )
    assert [api.get(path).status_code for _ in range(3)] == [200, 200, 200]
    assert api.sql("SELECT count(*) FROM send_events") == [(100,)]


def test_reader_gets_the_page_also_while_the_database_is_away(
    api: Api, settings: Services, sent: Sent, caplog: pytest.LogCaptureFixture
) -> None:
    click = token(settings, LinkKind.CLICK, sent[2], 0, "https://example.com/")
    with api.database.connect() as lock:
        lock.execute("LOCK TABLE send_events IN ACCESS EXCLUSIVE MODE")
        answer = api.get(f"/t/{click}")
    assert answer.status_code == 302
    assert "was not recorded" in caplog.text


BROWSER = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:131.0) Gecko/20100101 Firefox/131.0"}


def verdicts(api: Api) -> list[tuple[Any, ...]]:
    return api.sql("SELECT kind, detail->>'link', machine FROM send_events ORDER BY id")


def follow(
    api: Api, settings: Services, key: SendKey, place: int, method: str = "GET", **headers: str
) -> None:
    path = token(settings, LinkKind.CLICK, key, place, f"https://example.com/{place}")
    assert api.request(method, f"/t/{path}", headers=BROWSER | headers).status_code == 302


def an_hour_ago(api: Api) -> None:
    api.sql("UPDATE sends SET finished_at = clock_timestamp() - interval '1 hour' WHERE status = 'sent'")


def test_browser_is_a_person_and_a_scanner_or_head_is_a_program(
    api: Api, settings: Services, sent: Sent
) -> None:
    an_hour_ago(api)
    follow(api, settings, sent[2], 0)
    api.sql("UPDATE send_events SET at = at - interval '1 minute'")
    follow(api, settings, sent[2], 0, "HEAD")
    follow(api, settings, sent[2], 0, **{"User-Agent": "BarracudaCentral/1.0"})
    pixel = f"/t/{token(settings, LinkKind.OPEN, sent[2])}"
    api.get(pixel, headers=BROWSER)
    api.get(pixel, headers={"User-Agent": "Mozilla/5.0 (via ggpht.com GoogleImageProxy)"})
    assert verdicts(api) == [
        ("clicked", "0", False),
        ("clicked", "0", True),
        ("clicked", "0", True),
        ("opened", "0", False),
        ("opened", "0", True),
    ]


def test_links_of_a_mail_that_are_followed_within_seconds_are_all_a_programs(
    api: Api, settings: Services, sent: Sent
) -> None:
    an_hour_ago(api)
    for place in (0, 1, 2):
        follow(api, settings, sent[2], place)
    assert [machine for _, _, machine in verdicts(api)] == [True, True, True]


def test_person_who_follows_one_link_twice_or_another_one_later_is_a_person(
    api: Api, settings: Services, sent: Sent
) -> None:
    an_hour_ago(api)
    follow(api, settings, sent[2], 0)
    follow(api, settings, sent[2], 0)
    api.sql("UPDATE send_events SET at = at - interval '20 seconds'")
    follow(api, settings, sent[2], 1)
    assert [machine for _, _, machine in verdicts(api)] == [False, False, False]


@pytest.mark.parametrize(
    "change",
    ["status = 'transmitting'", "finished_at = clock_timestamp() - interval '2 seconds'"],
)
def test_link_that_is_fetched_before_a_person_could_is_a_programs(
    api: Api, settings: Services, sent: Sent, change: str
) -> None:
    api.sql(f"UPDATE sends SET {change} WHERE status = 'sent'")
    follow(api, settings, sent[2], 0)
    assert [machine for kind, _, machine in verdicts(api) if kind == "clicked"] == [True]


def test_address_and_agent_of_a_reader_are_not_stored(api: Api, settings: Services, sent: Sent) -> None:
    an_hour_ago(api)
    follow(
        api, settings, sent[2], 0, **{"User-Agent": "Firefox canary-agent", "X-Forwarded-For": "203.0.113.9"}
    )
    stored = str(api.sql("SELECT to_jsonb(v) FROM send_events v"))
    assert "canary" not in stored
    assert "203.0.113" not in stored
