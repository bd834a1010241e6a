"""Tests imports and exports of files: parsing, refused rows, reports, and imports of exported files."""

from __future__ import annotations

import csv
import io
import json
import re
import threading
from typing import Any

import hypothesis
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from crud_api.imports import service
from tests.conftest import Services
from tests.crud_api.conftest import NOBODY, STEP, TODAY, Api
from tests.crud_api.test_hostile_input import HOSTILE

GRACE = "name,mailAddress\nGrace Hopper,grace@example.com\n"


def post(api: Api, file: str | bytes, path: str = "/contacts/imports", **query: Any) -> Any:
    content = file.encode() if isinstance(file, str) else file
    return api.post(path, content=content, params=query)


def done(api: Api, file: str | bytes, path: str = "/contacts/imports", **query: Any) -> dict[str, Any]:
    answer = post(api, file, path, **query)
    assert answer.status_code == 201, answer.text
    shown: dict[str, Any] = answer.json()
    assert api.get(f"/imports/{shown['id']}").json() == shown
    assert shown["state"] == "done"
    return shown


def refused(api: Api, file: str | bytes, **query: Any) -> str:
    """Import a file that is rejected as a whole, check that nothing is stored, and return the message."""
    before = api.sql("SELECT count(*) FROM contacts")
    answer = post(api, file, **query)
    assert answer.status_code == 400, answer.text
    assert api.sql("SELECT count(*) FROM contacts") == before
    return str(answer.json()["message"])


def report(api: Api, shown: dict[str, Any]) -> list[tuple[int, str, str]]:
    answer = api.get(f"/imports/{shown['id']}/report")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="report.csv"'
    header, *rows = csv.reader(io.StringIO(answer.text))
    assert header == ["line", "outcome", "reason"]
    return [(int(line), outcome, reason) for line, outcome, reason in rows]


def contacts(api: Api) -> list[tuple[Any, ...]]:
    return api.sql("SELECT name, mail_address, is_active, attributes FROM contacts ORDER BY id")


def test_rows_become_contacts_with_their_attributes(api: Api) -> None:
    shown = done(
        api,
        "E-Mail;Full Name;attributes.company;isActive;attributes;Phone\n"
        'ada@example.com;Ada;"Acme; ""Ltd""";no;"{""n"": [1, null]}";1\n'
        " Grace.Hopper+x@Sub.Example.com ;Größe 😀 \\N;;;;2\n",
    )
    assert contacts(api) == [
        ("Ada", "ada@example.com", False, {"company": 'Acme; "Ltd"', "n": [1, None]}),
        ("Größe 😀 \\N", "Grace.Hopper+x@Sub.Example.com", True, {}),
    ]
    assert (shown["rowsRead"], shown["added"], shown["refused"]) == (2, 2, 0)
    assert shown["ignoredColumns"] == ["Phone"]
    assert report(api, shown) == []


@pytest.mark.parametrize(
    ("file", "query"),
    [
        (GRACE.encode(), {}),
        (b"\xef\xbb\xbf" + GRACE.encode(), {}),
        (GRACE.replace(",", ";").encode("utf-16"), {}),
        (GRACE.replace(",", "\t").encode("utf-16-le"), {"encoding": "utf-16", "delimiter": "tab"}),
        (GRACE.replace("\n", "\r\n").encode(), {}),
        (GRACE.replace("\n", "\r").encode(), {}),
        (GRACE.rstrip("\n").encode(), {}),
        (b"\n" + GRACE.replace("\n", "\n\n").encode(), {}),
        (
            GRACE.upper()
            .replace("GRACE HOPPER,GRACE@EXAMPLE.COM", "Grace Hopper,grace@example.com")
            .encode(),
            {},
        ),
        (b"Who,E mail\nGrace Hopper,grace@example.com", {"column": ["name:Who"]}),
        (b"name,Who,email,x\n-,Grace Hopper,no,grace@example.com", {"column": ["name:Who", "mailAddress:x"]}),
    ],
    ids=[
        "plain",
        "bom",
        "utf-16",
        "utf-16-le",
        "crlf",
        "cr",
        "no end",
        "blank lines",
        "case",
        "mapped",
        "chosen",
    ],
)
def test_file_is_read_whatever_program_wrote_it(api: Api, file: bytes, query: dict[str, Any]) -> None:
    done(api, file, **query)
    assert contacts(api) == [("Grace Hopper", "grace@example.com", True, {})]


def test_latin_letters_are_read_in_the_encoding_that_is_named(api: Api) -> None:
    file = "name,mailAddress\nMüller – €,m@example.com\n".encode("windows-1252")
    shown = done(api, file, encoding="utf-8")
    reason = "is not valid utf-8; set `encoding` to that of the file, or mend the line"
    assert report(api, shown) == [(2, "refused", reason)]
    done(api, file, encoding="windows-1252")
    assert contacts(api)[0][0] == "Müller – €"


def test_other_columns_become_attributes_where_that_is_asked(api: Api) -> None:
    shown = done(api, "name,email,Company,\nAda,ada@example.com,Acme,\n", otherColumns="attributes")
    assert contacts(api)[0][3] == {"Company": "Acme"}
    assert shown["ignoredColumns"] == [""]


BAD_ROWS = [
    ("Ada,,,", "mailAddress: must have at least 3 characters"),
    ("Ada,ada,,", "mailAddress: must be a mail address, such as ada@example.com"),
    ("Ada,ada@example,,", "mailAddress: must be a mail address with a fully qualified domain"),
    ("Ada,a b@example.com,,", "mailAddress: must be a mail address, such as ada@example.com"),
    (f"Ada,{'a' * 65}@example.com,,", "mailAddress: must be a mail address, such as ada@example.com"),
    (f"Ada,a@{'a.' * 130}com,,", "mailAddress: must have at most 254 characters"),
    (f"{'x' * 256},ada@example.com,,", "name: must have at most 255 characters"),
    ('"Ada\nBcc: x",ada@example.com,,', "name: must be one line without control characters"),
    ("=?utf-8?q?x?=,ada@example.com,,", "name: must be plain text, not an encoded word (=?…?=)"),
    ("A\0a,ada@example.com,,", "name: must be one line without control characters"),
    ("Ada,ada@example.com,perhaps,", "isActive: must be true or false"),
    ("Ada,ada@example.com,,[]", "attributes: must be a JSON object"),
    ("Ada,ada@example.com,,{", "attributes: must be a JSON object"),
    ('Ada,ada@example.com,,"{""a"": ""\\u0000""}"', "attributes: must not contain the character NUL"),
    ("Ada,ada@example.com,", "has 3 columns, but the first line has 4"),
    ("Ada,ada@example.com,,,", "has 5 columns, but the first line has 4"),
]


def test_report_has_a_line_and_the_reason_for_every_refused_row_and_the_others_go_in(api: Api) -> None:
    header = "name,mailAddress,isActive,attributes\n"
    good = "Grace,grace@example.com,,\n"
    shown = done(api, header + "".join(f"{row}\n" for row, _ in BAD_ROWS) + "\n" + good)
    lines = report(api, shown)
    assert [reason for _, _, reason in lines] == [reason for _, reason in BAD_ROWS]
    assert {outcome for _, outcome, _ in lines} == {"refused"}
    two_lines = next(n for n, (row, _) in enumerate(BAD_ROWS) if "\n" in row)
    starts = [2 + n + (n > two_lines) for n in range(len(BAD_ROWS))]
    assert [line for line, _, _ in lines] == starts
    assert (shown["refused"], shown["added"], shown["rowsRead"]) == (len(BAD_ROWS), 1, len(BAD_ROWS) + 1)
    assert [row[0] for row in contacts(api)] == ["Grace"]


def test_report_keeps_no_address_and_no_name(api: Api) -> None:
    done(api, "name,mailAddress\nGrace Hopper,grace at example\nGrace Hopper,grace@example.com\n" * 2)
    for table in ("imports", "import_lines"):
        assert "race" not in str(api.sql(f"SELECT * FROM {table}"))


def test_rows_of_one_address_are_merged_the_later_word_last(api: Api) -> None:
    shown = done(
        api,
        "name,mailAddress,isActive,attributes.a,attributes.b\n"
        "Ada,ada@example.com,no,1,1\n"
        "Grace,grace@example.com,,,\n"
        "Ada L.,ADA@example.com,,2,\n"
        "Lady Ada,Ada@Example.com,yes,,3\n",
    )
    assert contacts(api) == [
        ("Lady Ada", "ada@example.com", True, {"a": "2", "b": "3"}),
        ("Grace", "grace@example.com", True, {}),
    ]
    assert report(api, shown) == [
        (4, "merged", "mailAddress: is that of line 2"),
        (5, "merged", "mailAddress: is that of line 2"),
    ]
    assert (shown["added"], shown["merged"]) == (2, 2)


FILE = "name,mailAddress,attributes.a\nNew Name,ADA@example.com,new\nGrace,grace@example.com,\n"


def test_contact_that_exists_is_changed_by_what_the_file_says_or_left_where_that_is_asked(api: Api) -> None:
    contact = api.contact(mailAddress="ada@example.com", attributes={"a": "old", "b": 1}, isActive=False)
    kept = done(api, FILE, existing="keep")
    assert (kept["added"], kept["changed"]) == (1, 0)
    assert api.get(f"/contacts/{contact['id']}").json() == contact
    changed = done(api, FILE)
    assert (changed["added"], changed["changed"]) == (0, 1)
    after = api.get(f"/contacts/{contact['id']}").json()
    assert {**after, "lastUpdatedAt": None} == contact | {
        "name": "New Name",
        "attributes": {"a": "new", "b": 1},
    }
    assert done(api, FILE)["changed"] == 0


def test_suppressed_and_erased_addresses_are_refused(api: Api) -> None:
    api.made("/suppressions", {"mailAddress": "ada@example.com", "reason": "asked by phone"})
    erased = api.contact(mailAddress="grace@example.com")
    api.post(f"/contacts/{erased['id']}/erasure")
    shown = done(api, FILE.replace("ADA", "Ada"))
    assert [(line, outcome) for line, outcome, _ in report(api, shown)] == [(2, "refused"), (3, "refused")]
    assert {reason for *_, reason in report(api, shown)} == {
        "mailAddress: is suppressed; it must not be mailed"
    }
    assert api.get("/contacts").json() == []


def test_role_addresses_are_flagged_or_refused_where_that_is_asked(api: Api) -> None:
    file = "name,mailAddress\nAda,Postmaster@example.com\nGrace,grace@example.com\n"
    reason = "mailAddress: is a role address, such as postmaster@, and may not belong to one person"
    assert report(api, done(api, file, roleAddresses="refuse")) == [(2, "refused", reason)]
    assert len(contacts(api)) == 1
    assert report(api, done(api, file)) == [(2, "flagged", reason)]
    assert len(contacts(api)) == 2


@pytest.mark.parametrize("enrols", [True, False])
def test_imported_contacts_have_the_hmac_that_a_plan_would_compute(
    api: Api, settings: Services, enrols: bool
) -> None:
    query = {"sequenceId": api.sequence()["id"]} if enrols else {}
    done(api, "name,mailAddress\nAda,Ada@example.com\nGrace,grace@example.com\n", **query)
    right = "SELECT bool_and(address_hmac = address_hmac(mail_address, %s)) FROM contacts"
    assert api.sql(right, settings.api.address_pads) == [(True,)]


def test_contacts_are_enrolled_but_never_a_second_time(api: Api) -> None:
    sequence = api.sequence(steps=[STEP | {"delayDays": 2}])
    active, ended = (
        api.enrolled(sequence, mailAddress="a@example.com"),
        api.enrolled(sequence, mailAddress="b@example.com"),
    )
    api.sql(
        "UPDATE sequences_contacts SET status = 'completed', next_send = NULL WHERE contact_id = %s",
        api.key("contacts", ended),
    )
    api.contact(mailAddress="c@example.com")
    api.contact(mailAddress="d@example.com", isActive=False)
    rows = "".join(f"N,{letter}@example.com,{'no' if letter == 'f' else ''}\n" for letter in "abcdef")
    shown = done(api, f"name,mailAddress,isActive\n{rows}", sequenceId=sequence["id"])
    assert (shown["added"], shown["enrolled"], shown["notEnrolled"]) == (2, 2, 4)
    assert report(api, shown) == [
        (2, "not_enrolled", "is or was in the sequence already"),
        (3, "not_enrolled", "is or was in the sequence already"),
        (5, "not_enrolled", "is inactive"),
        (7, "not_enrolled", "is inactive"),
    ]
    fresh = api.sql(
        "SELECT c.mail_address, e.status, e.round, e.current_step, e.next_send::text"
        " FROM sequences_contacts e JOIN contacts c ON c.id = e.contact_id"
        " WHERE c.mail_address > 'c' ORDER BY 1"
    )
    assert fresh == [(f"{x}@example.com", "active", 1, 1, "2026-03-12") for x in "ce"]
    assert api.enrolment(sequence, active)["nextSend"] == "2026-03-12"
    assert TODAY == "2026-03-10"
    again = done(api, f"name,mailAddress,isActive\n{rows}", sequenceId=sequence["id"])
    assert (again["added"], again["enrolled"], again["notEnrolled"]) == (0, 0, 6)


def test_sequence_that_cannot_take_contacts_is_told_before_the_file_is_read(api: Api) -> None:
    sequence = api.sequence()
    api.delete(f"/sequences/{sequence['id']}/steps/{sequence['steps'][0]['id']}")
    assert refused(api, GRACE, sequenceId=NOBODY) == "sequenceId: no sequence has this id"
    assert post(api, GRACE, sequenceId=sequence["id"]).status_code == 409
    assert contacts(api) == []


BAD_FILES = [
    ("", "body: is empty. Its first line must contain the column names."),
    ("\n\n", "body: is empty"),
    (
        "name\nAda\n",
        "body: no column matches mailAddress. Select one with column=mailAddress:<column name>.",
    ),
    ("Ada,ada@example.com\n", "body: line 1 has a mail address where the column names must be."),
    ("n\xe4me,mail\xe4ddr\n".encode("latin-1"), "body: no column matches mailAddress"),
    (b"\x1f\x8b\x08\x00" * 100, "body: is compressed (gzip)"),
    (b"PK\x03\x04" + b"\x00" * 100, "body: is a ZIP archive or another file, not a workbook"),
]


@pytest.mark.parametrize(("file", "why"), BAD_FILES, ids=range(len(BAD_FILES)))
def test_file_that_cannot_be_read_is_400_and_nothing_of_it_is_kept(
    api: Api, file: str | bytes, why: str
) -> None:
    message = refused(api, file)
    assert message.startswith(why)
    [shown] = api.get("/imports").json()
    assert (shown["state"], shown["message"], shown["added"]) == ("failed", message, 0)
    assert shown["finishedAt"]
    assert report(api, shown) == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"column": "name"}, "column"),
        ({"column": "surprise:name"}, "column"),
        ({"column": "name:surprise"}, "column"),
        ({"column": ["name:name", "name:mailAddress"]}, "column"),
        ({"delimiter": ","}, "delimiter"),
        ({"encoding": "utf-7"}, "encoding"),
        ({"existing": "x"}, "existing"),
        ({"sequenceId": "x"}, "sequenceId"),
        ({"surprise": "x"}, "surprise"),
    ],
)
def test_bad_query_of_an_import_names_the_parameter(
    shared_api: Api, query: dict[str, Any], field: str
) -> None:
    answer = post(shared_api, GRACE, **query)
    assert answer.status_code == 400
    assert answer.json()["message"].startswith(field)


def test_import_that_fails_in_the_middle_keeps_nothing(api: Api) -> None:
    rows = "".join(f"N{n},n{n}@example.com\n" for n in range(20_000))
    api.sql("REVOKE INSERT ON contacts FROM sequence_api")
    answer = post(api, f"name,mailAddress\n{rows}N,refused")
    api.sql("GRANT INSERT ON contacts TO sequence_api")
    assert answer.status_code == 500
    assert contacts(api) == []
    assert api.sql("SELECT count(*) FROM import_lines") == [(0,)]


def test_import_shows_how_far_it_is_while_it_runs(api: Api) -> None:
    """The test reads the list of imports while another connection is in the middle of COPY."""
    seen: list[dict[str, Any]] = []

    async def body() -> Any:
        yield b"name,mailAddress\n"
        for start in range(0, 120_000, 1000):
            yield "".join(f"N,n{n}@example.com\n" for n in range(start, start + 1000)).encode()
        seen.extend(service_view())

    def service_view() -> list[dict[str, Any]]:
        with api.app.state.database.reading() as connection:
            query = service.ImportQuery()
            return [one.model_dump() for one in service.read(connection, query).items]

    answer = api.request("POST", "/contacts/imports", content=body())
    assert answer.json()["rowsRead"] == 120_000
    [during] = seen
    assert (during["state"], during["rows_read"] >= 50_000, during["finished_at"]) == ("reading", True, None)


def test_import_whose_process_died_is_said_to_have_failed(api: Api) -> None:
    api.sql(
        "INSERT INTO imports (kind, created)"
        " VALUES ('contacts', now() - interval '1 minute'), ('contacts', now())"
    )
    gone, fresh = api.get("/imports").json()
    assert (gone["state"], gone["message"]) == ("failed", service.INTERRUPTED)
    assert fresh["state"] == "reading"
    with api.database.connect() as alive:
        alive.execute("SELECT pg_advisory_xact_lock_shared(72367, min(id)::int) FROM imports")
        assert api.get("/imports").json()[0]["state"] == "reading"


def test_import_that_is_one_too_many_is_told_to_come_back(api: Api) -> None:
    with api.database.connect() as others:
        others.execute("SELECT pg_advisory_xact_lock(72366, slot) FROM generate_series(0, 1) slot")
        answer = post(api, GRACE)
        assert answer.status_code == 503
        assert "Try again" in answer.json()["message"]
    done(api, GRACE)


def test_address_that_is_entered_during_an_import_ends_it_and_nothing_is_kept(api: Api) -> None:
    async def body() -> Any:
        yield GRACE.encode()

    with api.database.connect() as other:
        other.execute("LOCK TABLE contacts IN SHARE MODE")  # the import is blocked at its first write
        other.execute("SELECT 1")
        answers: list[Any] = []
        thread = threading.Thread(target=lambda: answers.append(post(api, GRACE)))
        thread.start()
        waiting = "SELECT count(*) FROM pg_locks WHERE relation = 'contacts'::regclass AND NOT granted"
        with api.database.connect(autocommit=True) as watch:
            while watch.execute(waiting).fetchone() != (1,):
                pass
        other.execute("INSERT INTO contacts (name, mail_address) VALUES ('x', 'GRACE@example.com')")
        other.commit()
        thread.join()
    assert answers[0].status_code == 409
    assert "Send it again" in answers[0].json()["message"]
    assert [row[0] for row in contacts(api)] == ["x"]


FORMULAS = [
    "=cmd|'/C calc'!A0",
    "+1",
    "-1",
    "@x",
    "'=x",
    "''+x",
    "'x",
    "＝1",
    "x=1",
    'Größe, "x"',
    " padded ",
]


EXPORTED = [
    "id",
    "name",
    "mailAddress",
    "isActive",
    "attributes",
    "createdAt",
    "mailAddressWritten",
    "suppressed",
    "suppressionReason",
    "suppressedAt",
]


def exported(api: Api, **query: str) -> tuple[str, list[list[str]]]:
    answer = api.get("/contacts/export", params=query)
    assert answer.headers["Content-Disposition"] == 'attachment; filename="contacts.csv"'
    assert answer.content.startswith(b"\xef\xbb\xbf")
    text = answer.content.decode("utf-8-sig")
    return text, list(csv.reader(io.StringIO(text)))


def test_export_holds_no_formula_and_an_import_gives_back_what_was_there(api: Api) -> None:
    for number, name in enumerate(FORMULAS):
        api.contact(
            name=name,
            mailAddress=f"{'=+-'[number % 3]}a{number}@example.com",
            attributes={name: name, "n": 1.5},
            isActive=number % 2 == 0,
        )
    before = contacts(api)
    text, rows = exported(api)
    assert rows[0] == EXPORTED
    assert len(rows) == len(FORMULAS) + 1
    assert not any(cell[:1] in {*"=+-@\t\r＝＋－＠"} for row in rows for cell in row)
    api.sql("DELETE FROM contacts")
    shown = done(api, text)
    assert shown["refused"] == 0
    assert contacts(api) == before


def test_hostile_cell_comes_back_verbatim_or_its_row_is_refused(api: Api) -> None:
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(["name", "mailAddress", "attributes.x", "attributes"])
    texts = [text for text in HOSTILE if text != "\ud800"]
    for number, text in enumerate(texts):
        writer.writerow([text, f"name{number}@example.com", "", ""])
        writer.writerow(["Ada", f"attribute{number}@example.com", text, ""])
        writer.writerow(["Ada", f"json{number}@example.com", "", json.dumps({text: [text]})])
        writer.writerow(["Ada", text, "", text])
    shown = done(api, file.getvalue())
    assert shown["added"] + shown["refused"] == shown["rowsRead"] == 4 * len(texts)
    for name, address, _, attributes in contacts(api):
        kind, number = address.partition("@")[0].rstrip("0123456789"), re.findall(r"\d+", address)[0]
        text = texts[int(number)]
        assert (name, attributes) == {
            "name": (text, {}),
            "attribute": ("Ada", {"x": text}),
            "json": ("Ada", {text: [text]}),
        }[kind]
    assert shown["added"] >= 2 * len(texts)


@hypothesis.settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    file=st.one_of(st.binary(max_size=300), st.text(st.sampled_from("a@.\",;\n\r\t\\'=\0é"), max_size=200))
)
def test_any_file_is_taken_or_refused_with_a_reason(shared_api: Api, file: bytes | str) -> None:
    content = file if isinstance(file, bytes) else f"name,mailAddress\n{file}".encode()
    answer = shared_api.post("/contacts/imports", content=content)
    assert answer.status_code in (201, 400)
    if answer.status_code == 400:
        assert answer.json()["message"].startswith("body: ")


def test_export_is_of_live_contacts_and_of_active_ones_where_that_is_asked(api: Api) -> None:
    active, idle, gone = api.contact(), api.contact(isActive=False), api.contact()
    api.delete(f"/contacts/{gone['id']}")
    assert [row[0] for row in exported(api)[1][1:]] == [active["id"], idle["id"]]
    assert [row[0] for row in exported(api, isActive="false")[1][1:]] == [idle["id"]]


def test_export_that_cannot_begin_is_an_answer_and_no_broken_file(api: Api) -> None:
    api.sql("REVOKE SELECT ON contacts FROM sequence_api")
    assert api.get("/contacts/export").status_code == 500
    api.sql("GRANT SELECT ON contacts TO sequence_api")
    assert exported(api)[1] == [EXPORTED]


def test_export_of_many_contacts_comes_in_blocks_and_is_whole(api: Api) -> None:
    api.sql(
        "INSERT INTO contacts (name, mail_address) SELECT 'n', n || '@x.y' FROM generate_series(1, 20000) n"
    )
    assert [row[2] for row in exported(api)[1][1:]] == [f"{n}@x.y" for n in range(1, 20_001)]


def test_suppressions_are_imported_and_stop_everything_at_once(api: Api) -> None:
    sequence, mailbox = api.sequence(), api.mailbox()
    contact = api.enrolled(sequence, mailAddress="ada@example.com")
    api.plan(sequence, contact, mailbox, status="dispatched")
    file = "Email,Reason\nADA@example.com,complaint\nnobody@example.com,\nx,\nAda@example.com,again\n"
    shown = done(api, file, "/suppressions/imports")
    assert (shown["kind"], shown["added"], shown["refused"], shown["merged"]) == ("suppressions", 2, 1, 1)
    assert [one["reason"] for one in api.get("/suppressions").json()] == ["again", "imported"]
    assert api.sql("SELECT status, reason FROM sends") == [("cancelled", "suppressed")]
    assert api.enrolment(sequence, contact, status="removed")["statusReason"] == "suppressed"


def test_file_larger_than_any_other_body_is_taken(api: Api) -> None:
    rows = "".join(f"Name of {n},name{n}@example.com,{'x' * 100}\n" for n in range(20_000))
    file = f"name,mailAddress,attributes.x\n{rows}".encode()
    assert len(file) > 2 * 1024 * 1024

    async def chunks() -> Any:
        for start in range(0, len(file), 65_536):
            yield file[start : start + 65_536]

    answer = api.request("POST", "/contacts/imports", content=chunks())
    assert answer.status_code == 201
    assert api.sql("SELECT count(*) FROM contacts") == [(20_000,)]


def test_imports_are_listed_in_pages_and_kept_for_ninety_days(api: Api) -> None:
    api.sql("INSERT INTO imports (kind, created) VALUES ('contacts', now() - interval '91 days')")
    ids = [done(api, GRACE)["id"] for _ in range(3)]
    assert [one["id"] for one in api.get("/imports").json()] == ids
    assert [one["id"] for one in api.get("/imports", params={"size": 1, "page": 1}).json()] == ids[1:2]
    assert api.get(f"/imports/{NOBODY}").status_code == 404
    assert api.get(f"/imports/{NOBODY}/report").status_code == 404
