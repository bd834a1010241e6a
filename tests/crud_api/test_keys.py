"""Tests API keys: every route except probes and the documentation requires a key with its scope."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import iter_route_contexts
from typer.testing import CliRunner

from crud_api import rate_limit
from crud_api.app import create_app
from crud_api.json_log import JsonLines
from crud_api.keys import ALSO_REQUIRED, ALWAYS, scopes_of
from sequence_cli.main import app as cli
from sequence_store.errors import SettingsError
from sequence_store.secrets.api_keys import Scope
from sequence_store.settings import ApiSettings, read_settings
from tests.conftest import Database, MakeSettings
from tests.crud_api.conftest import MAILBOX, NOBODY, NOW, Api
from tests.valkey_server import ValkeyServer

OPEN = {"/healthz", "/readyz", "/metrics", "/docs", "/docs/oauth2-redirect", "/openapi.json", "/redoc"}
OPEN_FOLDERS = ("/t/", "/u/", "/static-offline-docs")
PRODUCTION = {
    "sequence_environment": "production",
    "address_key": "x" * 32,
    "link_keys": "y" * 32,
    "secret_keys": "z" * 43 + "=",
    "public_url": "https://mail.example",
}


@pytest.fixture
def keyed(database: Database, make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    """Return an API that requires a key, as in production."""
    monkeypatch.setenv("DATABASE_URL", database.owner)
    app = create_app(make_settings(**PRODUCTION).api, clock=lambda: NOW)
    with asyncio.Runner() as runner:
        yield Api(app, database, runner)
    app.state.database.close()


def make_key(*options: str) -> str:
    made = CliRunner().invoke(cli, ["keys", "create", "a test", *options])
    assert made.exit_code == 0, made.output
    return made.stdout.strip()


def bearing(key: str) -> dict[str, Any]:
    return {"headers": {"Authorization": f"Bearer {key}"}}


@dataclass(frozen=True)
class Request:
    """A request to a route that requires a key, and the scopes that it requires."""

    method: str
    path: str
    scopes: frozenset[Scope]


def requests(api: Api) -> list[Request]:
    """Return a request to every route that requires a key, without and with each parameter that matters."""
    asked = []
    for route in iter_route_contexts(api.app.routes):
        if not route.path or route.path in OPEN or route.path.startswith(OPEN_FOLDERS):
            continue
        name, tags = str(route.name), [str(tag) for tag in route.tags]
        path = re.sub(r"\{\w+\}", NOBODY, route.path_format or "")
        for method in route.methods or ():
            for parameter in {ALWAYS, *ALSO_REQUIRED.get(name, {})}:
                scopes = frozenset(scopes_of(name, tags, method, [parameter]))
                asked.append(Request(method, f"{path}?{parameter}={NOBODY}" if parameter else path, scopes))
    assert len(asked) >= 40
    return asked


def test_every_route_refuses_no_key_a_wrong_one_an_expired_and_a_revoked_one(keyed: Api) -> None:
    expired, revoked = make_key("--expires-in-days", "1"), make_key()
    keyed.sql("UPDATE api_keys SET expires_at = now() WHERE expires_at IS NOT NULL")
    assert CliRunner().invoke(cli, ["keys", "revoke", "2"]).exit_code == 0
    valid = make_key()
    [(stored,)] = keyed.sql("SELECT encode(key_hash, 'hex') FROM api_keys WHERE id = 3")
    refusals: list[tuple[dict[str, Any], str]] = [
        ({}, "an API key is required, as `Bearer <key>`"),
        ({"headers": {"Authorization": "Basic YTpi"}}, "an API key is required, as `Bearer <key>`"),
        (bearing("seq_" + "x" * 43), "the key is unknown"),
        (bearing(expired), "the key has expired"),
        (bearing(revoked), "the key is revoked"),
        (bearing(stored), "the key is unknown"),
        (bearing(valid[:-1]), "the key is unknown"),
        ({"params": {"key": valid, "api_key": valid}}, "an API key is required, as `Bearer <key>`"),
    ]
    for one in requests(keyed):
        for request, why in refusals:
            refused = keyed.request(one.method, one.path, **request)
            assert (refused.status_code, refused.json()) == (401, {"message": f"Authorization: {why}"})
            assert refused.headers["WWW-Authenticate"] == "Bearer"
        assert keyed.request(one.method, one.path, content=b"{").status_code == 401


BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


def typed(user: str, key: str) -> dict[str, str]:
    """Return the headers of a browser in whose dialog a person typed a user name and a password."""
    return BROWSER | {"Authorization": "Basic " + base64.b64encode(f"{user}:{key}".encode()).decode()}


def test_browser_that_opens_a_mailbox_asks_for_the_key_and_shows_the_mailbox(keyed: Api) -> None:
    key = make_key("--scope", "mailboxes:read", "--scope", "mailboxes:write")
    body = {"address": "ann@example.com", **MAILBOX}
    path = "/mailboxes/" + keyed.post("/mailboxes", body, **bearing(key)).json()["id"]
    asked = keyed.get(path, headers=BROWSER)
    assert asked.status_code == 401
    assert asked.headers["WWW-Authenticate"].startswith('Basic realm="')
    assert asked.headers["WWW-Authenticate"].isascii()
    for user in ("", "me", "Bjørn"):
        shown = keyed.get(path, headers=typed(user, key))
        assert (shown.status_code, shown.json()["id"]) == (200, path.rpartition("/")[2])
    assert keyed.get(path, headers=typed("me", f" {key}\n")).status_code == 200  # copied with the line's end
    assert keyed.request("HEAD", path, headers=typed("me", key)).status_code == 200
    without = make_key("--scope", "contacts:read")
    assert keyed.get(path, headers=typed("me", without)).status_code == 403


def test_browser_with_a_wrong_key_is_asked_again(keyed: Api) -> None:
    key = make_key()
    revoked = make_key()
    assert CliRunner().invoke(cli, ["keys", "revoke", "2"]).exit_code == 0
    for wrong in ("password", "", key[:-1], f"{key}:", revoked):
        refused = keyed.get("/mailboxes", headers=typed("me", wrong))
        assert refused.status_code == 401
        assert refused.headers["WWW-Authenticate"].startswith("Basic ")
    for header in ("Basic", "Basic !", "Basic " + base64.b64encode(b"\xff:\xff").decode(), "Basic " + key):
        assert keyed.get("/mailboxes", headers=BROWSER | {"Authorization": header}).status_code == 401
    assert keyed.get("/mailboxes", headers=typed("me", key)).status_code == 200


@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE", "PUT"])
def test_typed_key_changes_nothing_because_a_browser_adds_it_to_the_requests_of_other_sites(
    keyed: Api, method: str
) -> None:
    key = make_key()
    for one in requests(keyed):
        if one.method == method:
            refused = keyed.request(method, one.path, headers=typed("me", key))
            assert refused.status_code == 401
            assert refused.headers["WWW-Authenticate"] == "Bearer"


def test_every_route_refuses_a_key_without_its_scope_and_takes_one_with_it_alone(keyed: Api) -> None:
    alone = {scope: make_key("--scope", scope) for scope in Scope}
    others = {scope: make_key(*options(set(Scope) - {scope})) for scope in Scope}
    together: dict[frozenset[Scope], str] = {}
    for one in requests(keyed):
        for scope in Scope:
            missing = sorted(one.scopes - {scope}, key=list(Scope).index)
            answered = keyed.request(one.method, one.path, **bearing(alone[scope]))
            if missing:
                assert answered.status_code == 403, (one, scope)
                assert answered.json()["message"].startswith("Authorization: the key lacks the scope ")
                assert all(word in answered.json()["message"] for word in missing)
            else:
                assert answered.status_code not in (401, 403), (one, scope)
            without = keyed.request(one.method, one.path, **bearing(others[scope])).status_code
            assert (without == 403) == (scope in one.scopes), (one, scope)
        if one.scopes not in together:
            together[one.scopes] = make_key(*options(one.scopes))
        taken = keyed.request(one.method, one.path, **bearing(together[one.scopes]))
        assert taken.status_code not in (401, 403), one


def options(scopes: Iterable[Scope]) -> list[str]:
    return [word for scope in scopes for word in ("--scope", scope.value)]


def test_documented_scopes_are_those_of_the_routes_and_of_the_openapi_document(keyed: Api) -> None:
    page = (Path(__file__).parents[2] / "docs" / "security.md").read_text()
    documented = dict(re.findall(r"^\| `([A-Z]+ /\S*)` \| (.*) \|$", page, re.MULTILINE))
    offered = {}
    for path, operations in keyed.app.openapi()["paths"].items():
        for method, operation in operations.items():
            if "security" in operation:
                shown = [f"`{scope}`" for scope in operation["security"][0]["key"]]
                also = ALSO_REQUIRED.get(operation["operationId"], {})
                for parameter in operation.get("parameters", ()):
                    if scope := also.get(parameter["name"]):
                        assert parameter["description"].endswith(f"Requires the scope {scope}")
                        shown.append(f"with `{parameter['name']}`: `{scope}`")
                offered[f"{method.upper()} {path}"] = ", ".join(shown)
    table = "\n".join(f"| `{route}` | {scopes} |" for route, scopes in sorted(offered.items()))
    assert documented == offered, f"the table of docs/security.md should be:\n{table}"


def test_right_that_a_key_lacks_is_not_had_by_an_import_or_a_preview(keyed: Api) -> None:
    everything = bearing(make_key())
    steps = [{"stepNumber": 1, "mailSubject": "Hello", "mailContent": "For {{ contact.name }}"}]
    sequence = keyed.post("/sequences", {"name": "Private", "steps": steps}, **everything).json()
    person = {"name": "Ada Lovelace", "mailAddress": "ada@people.example"}
    contact = keyed.post("/contacts", person, **everything).json()
    mailbox = {"address": "a@b.example", "sendLimit": 1, "sendStartTime": "09:00", "sendEndTime": "17:00"}
    box = keyed.post("/mailboxes", mailbox, **everything).json()
    file = b"name,mailAddress\nGrace,grace@people.example\n"
    imports = f"/contacts/imports?sequenceId={sequence['id']}"
    writes_contacts = bearing(make_key("--scope", "contacts:write"))
    assert keyed.post(imports, content=file, **writes_contacts).status_code == 403
    assert keyed.sql("SELECT count(*) FROM sequences_contacts") == [(0,)]
    assert keyed.sql("SELECT count(*) FROM imports") == [(0,)]
    assert keyed.post("/contacts/imports", content=file, **writes_contacts).status_code == 201
    path = f"/sequences/{sequence['id']}/steps/{sequence['steps'][0]['id']}/preview"
    asked = {"params": {"contactId": contact["id"], "mailboxId": box["id"]}}
    for scopes in (
        {"sequences:read"},
        {"sequences:read", "contacts:read"},
        {"sequences:read", "mailboxes:read"},
    ):
        refused = keyed.get(path, **asked, **bearing(make_key(*options(map(Scope, scopes)))))
        assert refused.status_code == 403
        assert "Ada" not in refused.text
        assert "a@b.example" not in refused.text
    enough = options(map(Scope, ("sequences:read", "contacts:read", "mailboxes:read")))
    assert keyed.get(path, **asked, **bearing(make_key(*enough))).json()["contactName"] == "Ada Lovelace"


def test_probes_and_documentation_need_no_key(keyed: Api) -> None:
    for path in sorted(OPEN):
        assert keyed.get(path).status_code == 200, path


def test_key_is_revoked_at_once_and_only_its_hash_is_kept(keyed: Api) -> None:
    key = make_key()
    assert keyed.get("/sequences", **bearing(key)).status_code == 200
    [row] = keyed.sql("SELECT to_jsonb(api_keys)::text FROM api_keys")
    assert key not in row[0]
    listed = CliRunner().invoke(cli, ["keys", "list"]).output
    assert "1\tvalid\t" in listed
    assert "a test" in listed
    assert key not in listed
    runner = CliRunner()
    assert runner.invoke(cli, ["keys", "revoke", "1"]).exit_code == 0
    assert keyed.get("/sequences", **bearing(key)).status_code == 401
    assert runner.invoke(cli, ["keys", "revoke", "1"]).exit_code == 1
    assert "1\trevoked\t" in runner.invoke(cli, ["keys", "list"]).output


def test_who_lifts_a_suppression_is_kept_with_the_key_in_use(keyed: Api) -> None:
    key = bearing(make_key())
    suppressed = keyed.post("/suppressions", {"mailAddress": "ada@people.example", "reason": "x"}, **key)
    path, why = f"/suppressions/{suppressed.json()['id']}", {"reason": "came back", "by": "Grace"}
    assert keyed.request("DELETE", path, json=why, **key).status_code == 204
    [(actor, by)] = keyed.sql("SELECT actor, detail->>'by' FROM send_events")
    assert (actor, by) == ("key 1: a test", "Grace")


def test_unknown_scope_is_refused_when_a_key_is_made(keyed: Api) -> None:
    assert CliRunner().invoke(cli, ["keys", "create", "x", "--scope", "everything"]).exit_code == 2
    assert keyed.sql("SELECT count(*) FROM api_keys") == [(0,)]


def test_key_that_asks_too_often_is_told_when_to_come_back_and_others_go_on(
    database: Database, make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database.owner)
    app = create_app(make_settings(api_auth="on", api_rate_limit_per_minute=3).api)
    with asyncio.Runner() as runner:
        api = Api(app, database, runner)
        eager, other = make_key(), make_key()
        assert [api.get("/sequences", **bearing(eager)).status_code for _ in range(4)] == [200, 200, 200, 429]
        refused = api.get("/sequences", **bearing(eager))
        assert 1 <= int(refused.headers["Retry-After"]) <= 60
        assert refused.json()["message"].startswith("This key may send 3 requests per minute. Try again in ")
        assert api.get("/sequences", **bearing(other)).status_code == 200
        assert api.get("/healthz").status_code == 200
    app.state.database.close()


def test_processes_count_a_key_together_and_each_for_itself_while_valkey_is_away(
    database: Database, make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DATABASE_URL", database.owner)
    monkeypatch.setattr(rate_limit, "VALKEY_RETRY_SECONDS", 0.0)
    valkey = ValkeyServer(tmp_path)
    valkey.start()
    settings = make_settings(api_auth="on", api_rate_limit_per_minute=3, valkey_url=valkey.url).api
    apps = [create_app(settings) for _ in range(2)]
    key = bearing(make_key())

    def asked(*processes: int) -> list[int]:
        return [Api(apps[one], database, runner).get("/sequences", **key).status_code for one in processes]

    with asyncio.Runner() as runner:
        try:
            assert asked(0, 0, 1, 1, 0) == [200, 200, 200, 429, 429]
        finally:
            valkey.kill()
        assert asked(0, 0, 0, 0, 1) == [200, 200, 200, 429, 200]
    for app in apps:
        app.state.database.close()


def test_keys_are_off_locally_alone_and_the_log_says_so(
    make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        create_app(make_settings().api)
        assert "API_AUTH is off" in caplog.text
        caplog.clear()
        create_app(make_settings(api_auth="on").api)
        create_app(make_settings(**PRODUCTION).api)
        assert "API_AUTH" not in caplog.text
    for name, value in {
        "SEQUENCE_ENVIRONMENT": "production",
        "ADDRESS_KEY": "x" * 32,
        "LINK_KEYS": "y" * 32,
        "SECRET_KEYS": "z" * 43 + "=",
        "PUBLIC_URL": "https://mail.example",
        "API_DATABASE_URL": "postgresql://x",
        "API_AUTH": "off",
    }.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match="API_AUTH must not be off in the environment 'production'"):
        read_settings(ApiSettings)


def test_log_holds_no_key(keyed: Api, caplog: pytest.LogCaptureFixture) -> None:
    key = make_key()
    with caplog.at_level(logging.DEBUG):
        keyed.get("/sequences", **bearing(key))
        keyed.get("/sequences", **bearing("seq_wrong"))
    lines = [JsonLines().format(record) for record in caplog.records if record.name.startswith("crud_api")]
    assert [json.loads(line)["key_id"] for line in lines] == [1, None]
    assert "seq_" not in "".join(lines)
