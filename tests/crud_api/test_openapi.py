"""Tests that the OpenAPI document has the names, errors and examples that generated clients need."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from crud_api import openapi
from crud_api.base_schema import RequestBody
from tests.crud_api.conftest import Api


@pytest.fixture
def operations(shared_api: Api) -> list[tuple[str, str, dict[str, Any]]]:
    paths = shared_api.app.openapi()["paths"]
    return [(path, method, one) for path, methods in paths.items() for method, one in methods.items()]


def test_every_operation_is_named_tagged_summarised_and_documents_its_errors(
    operations: list[tuple[str, str, dict[str, Any]]],
) -> None:
    known = {tag["name"] for tag in openapi.TAGS}
    for path, method, operation in operations:
        assert operation["operationId"].isidentifier()
        assert operation["summary"]
        assert set(operation["tags"]) <= known
        assert operation["tags"]
        documented = set(operation["responses"])
        assert {"400", "500", "503", "default"} <= documented, (path, method)
        assert ({"401", "403", "429"} <= documented) == ("security" in operation)
        assert "422" not in documented
        assert ("404" in documented) == ("{" in path and operation["operationId"] != "delete_step")
        assert ("413" in documented) == ("requestBody" in operation)
        for status, response in operation["responses"].items():
            if status >= "400" and status != "503":
                schema = response["content"]["application/json"]["schema"]
                assert schema == {"$ref": "#/components/schemas/ErrorAnswer"}


def test_operation_ids_are_unique(operations: list[tuple[str, str, dict[str, Any]]]) -> None:
    names = [operation["operationId"] for _, _, operation in operations]
    assert len(set(names)) == len(names)


def test_names_are_camel_case_and_unknown_ones_are_said_to_be_refused(shared_api: Api) -> None:
    for name, schema in shared_api.app.openapi()["components"]["schemas"].items():
        for field in schema.get("properties", {}):
            assert "_" not in field
        if name.endswith(("Create", "Changes", "Ids", "EnrolmentChange")):
            assert schema["additionalProperties"] is False
            assert schema["description"]
        if name.endswith(("Create", "Changes", "Ids", "EnrolmentChange")):
            assert schema["examples"]
        if name.endswith("Changes"):
            assert "required" not in schema
            assert all("default" not in field for field in schema["properties"].values())


def test_fields_with_a_default_are_optional_in_requests_and_generators_see_no_default(
    shared_api: Api,
) -> None:
    """A generator that finds `default` makes the field a required one (openapi-typescript does)."""
    schemas = shared_api.app.openapi()["components"]["schemas"]
    bodies = {child.__name__: child for child in subclasses(RequestBody) if child.__name__ in schemas}
    assert {"ContactCreate", "MailboxCreate", "SequenceCreate", "StepCreate"} <= bodies.keys()
    for name, body in bodies.items():
        fields = {field.alias: field for field in body.model_fields.values()}
        required = {alias for alias, field in fields.items() if field.is_required()}
        assert set(schemas[name].get("required", ())) == required
        assert not any("default" in field for field in schemas[name]["properties"].values())
    assert schemas["ContactCreate"]["required"] == ["mailAddress"]
    assert schemas["MailboxCreate"]["properties"]["timeZone"]["description"].endswith('Default: "UTC"')


def subclasses(kind: type[BaseModel]) -> list[type[BaseModel]]:
    return [one for child in kind.__subclasses__() for one in (child, *subclasses(child))]


def test_documented_examples_are_taken(api: Api) -> None:
    schemas = api.app.openapi()["components"]["schemas"]
    for path, name in (("/sequences", "Sequence"), ("/mailboxes", "Mailbox"), ("/contacts", "Contact")):
        made = api.made(path, schemas[f"{name}Create"]["examples"][0])
        for example in schemas[f"{name}Changes"]["examples"]:
            assert api.patch(f"{path}/{made['id']}", example).status_code == 200
    sequence = api.sequence()
    path = f"/sequences/{sequence['id']}"
    [step], contact = sequence["steps"], api.enrolled(sequence)
    assert api.patch(f"{path}/steps/{step['id']}", schemas["StepChanges"]["examples"][0]).status_code == 200
    paused = api.patch(f"{path}/contacts/{contact['id']}", schemas["EnrolmentChange"]["examples"][0])
    assert paused.status_code == 200


def test_each_operation_names_its_scope_and_each_answer_its_headers(
    shared_api: Api, operations: list[tuple[str, str, dict[str, Any]]]
) -> None:
    document = shared_api.app.openapi()
    assert document["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    by_name = {operation["operationId"]: operation for _, _, operation in operations}
    assert by_name["change_contact"]["security"] == [{"key": ["contacts:write"]}]
    assert by_name["list_enrolments"]["security"] == [{"key": ["sequences:read"]}]
    assert "security" not in by_name["get_health"]
    listed = by_name["list_contacts"]["responses"]
    assert set(listed["200"]["headers"]) == {"X-Request-Id", "X-Total-Count", "X-Next-Cursor"}
    assert set(listed["429"]["headers"]) == {"X-Request-Id", "Retry-After"}
    created = set(by_name["create_contact"]["responses"]["201"]["headers"])
    assert created == {"X-Request-Id", "ETag", "Location", "Idempotency-Replayed"}
    assert set(shared_api.get("/contacts").headers) >= {"x-request-id", "x-total-count"}


def test_secret_is_write_only_in_the_document(shared_api: Api) -> None:
    schemas = shared_api.app.openapi()["components"]["schemas"]
    assert schemas["MailboxCreate"]["properties"]["smtpSecret"]["writeOnly"] is True
    assert "smtpSecret" not in schemas["Mailbox"]["properties"]


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_docs_page_is_served(shared_api: Api, path: str) -> None:
    page = shared_api.get(path)
    assert page.status_code == 200
    assert "Sequence API" in page.text


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_docs_page_loads_nothing_from_outside(shared_api: Api, path: str) -> None:
    page = shared_api.get(path).text
    assert not re.search(r"(?:src|href)=\"?https?://", page)
    (script,) = re.findall(r"src=\"([^\"]+\.js)\"", page)
    assert shared_api.get(script).status_code == 200


def test_generated_client_finds_names_bodies_and_schemas_that_it_can_use(
    shared_api: Api, operations: list[tuple[str, str, dict[str, Any]]]
) -> None:
    bodies = {kind for _, _, one in operations for kind in one.get("requestBody", {}).get("content", {})}
    assert bodies == {"application/json", "application/octet-stream", "multipart/form-data"}
    for name, schema in shared_api.app.openapi()["components"]["schemas"].items():
        assert f"'#/components/schemas/{name}'" not in str(schema), "refers to itself"
        members = [re.sub(r"[\W_]", "", member).upper() for member in schema.get("enum", ())]
        assert len(set(members)) == len(members), "two members would have one name"


def fields_of(schema: dict[str, Any]) -> str:
    required = schema.get("required", ())
    return " ".join(f"{name}{'!' if name in required else ''}" for name in sorted(schema["properties"]))


def test_operations_are_those_that_were_agreed(shared_api: Api) -> None:
    """Changes to API names must appear in operations.txt, for review. UPDATE_API=1 rewrites the file."""
    document = shared_api.app.openapi()
    operations = [
        f"{method.upper()} {path} {operation['operationId']} "
        f"({' '.join(sorted(one['name'] for one in operation.get('parameters', ())))}) "
        f"{' '.join(operation['responses'])}"
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    schemas = [
        f"{name}: {fields_of(schema)}"
        for name, schema in document["components"]["schemas"].items()
        if "properties" in schema
    ]
    offered = "\n".join([*sorted(operations), "", *sorted(schemas), ""])
    agreed = Path(__file__).with_name("operations.txt")
    if os.environ.get("UPDATE_API"):
        agreed.write_text(offered)
    assert offered == agreed.read_text(), (
        "the API has changed; if it should have: UPDATE_API=1 writes operations.txt"
    )
