"""Tests dagster-aws against a real server over HTTP: logs of runs in S3, settings in Secrets Manager."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import boto3
import dagster as dg
import pandas as pd
import pytest
from dagster._core.instance.ref import InstanceRef
from dagster._core.storage.compute_log_manager import ComputeIOType
from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager
from dagster_aws.s3 import S3ComputeLogManager
from typer.testing import CliRunner

from sequence_cli.main import app as cli
from sequence_pipelines.maintenance import code_location_health
from sequence_pipelines.resources.parquet import ParquetIOManager
from sequence_pipelines.resources.secrets import pipeline_secrets
from sequence_pipelines.resources.settings import pipeline_settings
from sequence_store.errors import SettingsError
from sequence_store.secrets import pipeline_secret
from sequence_store.secrets.pipeline_secret import read_pipeline_settings
from sequence_store.settings import PipelineSettings
from tests.conftest import Database

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client
    from mypy_boto3_secretsmanager.client import SecretsManagerClient

DEPLOY = Path(__file__).parents[2] / "deploy"


@pytest.fixture
def server(sqs: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Name the server as one that is not Amazon's, by the variables of the settings page."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", sqs)
    monkeypatch.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", sqs)
    monkeypatch.setattr(pipeline_secret, "_kept", {})
    return sqs


@pytest.fixture
def bucket(server: str) -> Iterator[tuple[S3Client, str]]:
    client, name = boto3.client("s3", region_name="us-east-1"), f"b-{uuid4()}"
    client.create_bucket(Bucket=name)
    yield client, name
    for found in client.list_objects_v2(Bucket=name).get("Contents", []):
        client.delete_object(Bucket=name, Key=found["Key"])
    client.delete_bucket(Bucket=name)
    client.close()


@pytest.fixture
def manager(server: str) -> Iterator[SecretsManagerClient]:
    client = boto3.client("secretsmanager", region_name="us-east-1")
    yield client
    client.close()


def store(manager: SecretsManagerClient, text: str) -> str:
    return manager.create_secret(Name=f"sequences/{uuid4()}/pipeline", SecretString=text)["Name"]


def open_instance(home: Path) -> dg.DagsterInstance:
    """Open an instance with the log manager that deploy/dagster.yaml names, and SQLite as storage."""
    home.mkdir()
    text = (DEPLOY / "dagster.yaml").read_text()
    (home / "dagster.yaml").write_text(
        "compute_logs:" + text.partition("\ncompute_logs:")[2].partition("\n\n")[0]
    )
    return dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(home)))


@dg.op
def speak() -> None:
    sys.stdout.write("a line of the run\n")


@dg.job
def speaking() -> None:
    speak()


def test_log_of_a_run_is_in_the_bucket_and_is_read_back_from_it(
    bucket: tuple[S3Client, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, name = bucket
    monkeypatch.setenv("COMPUTE_LOGS_BUCKET", name)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    with open_instance(tmp_path / "home") as instance:
        logs = instance.compute_log_manager
        assert isinstance(logs, S3ComputeLogManager)
        done = speaking.execute_in_process(instance=instance)
        keys = [found["Key"] for found in client.list_objects_v2(Bucket=name)["Contents"]]
        written = [key for key in keys if key.endswith(".out")]
        assert written
        assert all(key.startswith(f"compute-logs/storage/{done.run_id}/") for key in written)
        body = client.get_object(Bucket=name, Key=written[0])["Body"].read()
        assert b"a line of the run" in body
        log_key = written[0].removeprefix("compute-logs/storage/").removesuffix(".out").split("/")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "other"))  # of another machine: nothing is local
    with open_instance(tmp_path / "other") as instance:
        read = instance.compute_log_manager.get_log_data(log_key)
        assert b"a line of the run" in (read.stdout or b"")
        instance.compute_log_manager.delete_logs(log_key=log_key)
        logs: Any = instance.compute_log_manager
        assert not logs.cloud_storage_has_logs(log_key, ComputeIOType.STDOUT)


def test_run_succeeds_and_says_so_if_the_bucket_cannot_be_reached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMPUTE_LOGS_BUCKET", "nothing")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    with open_instance(tmp_path / "home") as instance:
        done = speaking.execute_in_process(instance=instance)
        events = [record.event_log_entry for record in instance.get_records_for_run(done.run_id).records]
    assert done.success
    assert any("compute log" in (event.user_message or "") and event.dagster_event for event in events)


@pytest.mark.parametrize("value", [None, ""])
def test_logs_stay_in_dagsters_home_without_a_bucket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("COMPUTE_LOGS_BUCKET", raising=False)
    if value is not None:
        monkeypatch.setenv("COMPUTE_LOGS_BUCKET", value)
    with open_instance(tmp_path / "home") as instance:
        assert isinstance(instance.compute_log_manager, LocalComputeLogManager)
        speaking.execute_in_process(instance=instance)
    (log,) = (tmp_path / "home" / "storage").rglob("*.out")
    assert "a line of the run" in log.read_text()


def test_frames_are_stored_in_the_same_server(bucket: tuple[S3Client, str]) -> None:
    client, name = bucket
    frames = ParquetIOManager(f"s3://{name}/frames")
    frame = pd.DataFrame({"contact": [1, 2]})
    with dg.build_output_context(asset_key="due_contacts", partition_key="2026-06-15", run_id="r") as out:
        frames.handle_output(out, frame)
    keys = [found["Key"] for found in client.list_objects_v2(Bucket=name)["Contents"]]
    assert "frames/due_contacts/2026-06-15.parquet" in keys
    with dg.build_input_context(asset_key="due_contacts", partition_key="2026-06-15") as read:
        assert frames.load_input(read).equals(frame)


def resource_settings() -> PipelineSettings:
    """Return the settings as a run gets them."""
    with dg.build_resources({"settings": pipeline_settings, "secrets": pipeline_secrets}) as resources:
        settings: PipelineSettings = resources.settings
        return settings


@pytest.mark.parametrize("reference", ["name", "named", "arn"])
def test_pipeline_reads_its_secret_settings_from_secrets_manager(
    manager: SecretsManagerClient, database: Database, monkeypatch: pytest.MonkeyPatch, reference: str
) -> None:
    url = database.pipeline
    name = store(manager, json.dumps({"PIPELINE_DATABASE_URL": url, "DAGSTER_DATABASE_URL": "not ours"}))
    arn = manager.describe_secret(SecretId=name)["ARN"]
    monkeypatch.setenv(
        "PIPELINE_SECRET", {"name": name, "named": f"secretsmanager:{name}", "arn": arn}[reference]
    )
    monkeypatch.delenv("PIPELINE_DATABASE_URL", raising=False)
    for settings in (resource_settings(), read_pipeline_settings()):
        assert settings.pipeline_database_url.get_secret_value() == url
    code_location_health._ask_schema(read_pipeline_settings())
    assert CliRunner().invoke(cli, ["plan", "--dry-run"]).exit_code == 0


def test_secret_overrides_the_environment_and_is_asked_for_once(
    manager: SecretsManagerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIPELINE_DATABASE_URL", "postgresql://stale:stale@127.0.0.1/stale")
    kept = "postgresql://kept:kept@127.0.0.1/kept"
    name = store(manager, json.dumps({"PIPELINE_DATABASE_URL": kept, "ALERT_SLACK_URL": "https://x.example"}))
    monkeypatch.setenv("PIPELINE_SECRET", name)
    first = resource_settings()
    assert first.pipeline_database_url.get_secret_value() == kept
    assert first.alert_slack_url is not None
    manager.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)
    assert read_pipeline_settings() == first
    monkeypatch.setattr(pipeline_secret, "_kept", {})
    with pytest.raises(
        SettingsError, match=r"PIPELINE_SECRET: AWS Secrets Manager refuses .*ResourceNotFound"
    ):
        read_pipeline_settings()


@pytest.mark.parametrize("text", ["a password", "[]", '{"PIPELINE_DATABASE_URL": 1}', "null", ""])
def test_secret_that_holds_no_variables_is_refused_without_showing_it(
    manager: SecretsManagerClient, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    name = store(manager, text or " ")
    monkeypatch.setenv("PIPELINE_SECRET", name)
    with pytest.raises(SettingsError, match="must be a JSON object of variables and texts") as refused:
        read_pipeline_settings()
    assert "password" not in str(refused.value)


def test_fault_in_the_secret_names_the_variable(
    manager: SecretsManagerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIPELINE_SECRET", store(manager, '{"PIPELINE_DATABASE_URL": "mysql://hidden"}'))
    with pytest.raises(SettingsError, match="PIPELINE_DATABASE_URL: must be a URL like") as refused:
        read_pipeline_settings()
    assert "hidden" not in str(refused.value)


def test_server_that_does_not_respond_is_a_fault_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline_secret, "_kept", {})
    monkeypatch.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", "http://127.0.0.1:9")
    monkeypatch.setenv("PIPELINE_SECRET", "sequences/x")
    with pytest.raises(SettingsError, match=r"cannot ask AWS Secrets Manager .*EndpointConnectionError"):
        read_pipeline_settings()
