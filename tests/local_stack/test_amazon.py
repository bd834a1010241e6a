"""Tests how the local stack reaches S3 and Secrets Manager: its own server, or that of the user."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import boto3
import pytest

from local_stack.folder import StackFolder
from local_stack.postgres import Postgres
from local_stack.queues import create_buckets
from local_stack.variables import PREFERRED_PORTS, make_variables, program_environment
from tests.conftest import MakeSettings

OWN = f"http://127.0.0.1:{PREFERRED_PORTS['sqs']}"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StackFolder:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "of-the-user")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of-the-user")
    folder = StackFolder(tmp_path)
    folder.make()
    return folder


def variables(folder: StackFolder, postgres: Postgres) -> dict[str, str]:
    return make_variables(folder, postgres, PREFERRED_PORTS)


def test_stack_uses_its_own_server_and_no_key_of_the_user(folder: StackFolder, postgres: Postgres) -> None:
    found = variables(folder, postgres)
    assert found["AWS_ENDPOINT_URL_S3"] == found["AWS_ENDPOINT_URL_SECRETS_MANAGER"] == OWN
    assert found["AWS_ACCESS_KEY_ID"] == "local"
    assert found["ASSET_STORE"] == str(folder.path / "assets")


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL_SECRETS_MANAGER"])
def test_stack_passes_the_server_that_the_user_names_and_its_keys(
    folder: StackFolder, postgres: Postgres, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "https://minio.example:9000")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "a-token")
    monkeypatch.setenv("ASSET_STORE", "s3://frames/x")
    monkeypatch.setenv("COMPUTE_LOGS_BUCKET", "logs")
    found = program_environment(folder, variables(folder, postgres))
    assert found[name] == "https://minio.example:9000"
    assert found["AWS_ACCESS_KEY_ID"] == found["AWS_SECRET_ACCESS_KEY"] == "of-the-user"
    assert (found["AWS_REGION"], found["AWS_SESSION_TOKEN"]) == ("eu-west-1", "a-token")
    assert (found["ASSET_STORE"], found["COMPUTE_LOGS_BUCKET"]) == ("s3://frames/x", "logs")
    assert found["AWS_ENDPOINT_URL_SQS"] == OWN


def test_server_of_an_earlier_start_or_of_another_stack_is_not_used(
    folder: StackFolder, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ENDPOINT_URL_SQS", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL_SECRETS_MANAGER"):
        monkeypatch.setenv(name, "http://127.0.0.1:1234")  # of a stack.env that the shell has read
    found = variables(folder, postgres)
    assert found["AWS_ENDPOINT_URL_S3"] == found["AWS_ENDPOINT_URL_SECRETS_MANAGER"] == OWN
    assert found["AWS_ACCESS_KEY_ID"] == "local"


def test_folder_of_another_stack_is_not_used(
    folder: StackFolder, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSET_STORE", "/home/me/other/.local/assets")
    assert variables(folder, postgres)["ASSET_STORE"] == str(folder.path / "assets")


def buckets(endpoint: str) -> set[str]:
    client = boto3.client("s3", region_name="us-east-1", endpoint_url=endpoint)
    found = {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}
    client.close()
    return found


def test_start_creates_the_buckets_of_the_settings_in_the_own_server_only(
    sqs: str, make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs, frames = f"logs-{uuid4()}", f"frames-{uuid4()}"
    owner = make_settings(aws_endpoint_url_sqs=sqs).owner
    monkeypatch.setenv("COMPUTE_LOGS_BUCKET", logs)
    monkeypatch.setenv("ASSET_STORE", f"s3://{frames}/x")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")  # nothing listens: a request would fail
    create_buckets(owner)
    assert not {logs, frames} & buckets(sqs)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", sqs)
    create_buckets(owner)
    create_buckets(owner)
    assert {logs, frames} <= buckets(sqs)
