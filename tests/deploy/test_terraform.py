"""Tests that Terraform's queues match the code, and that each role has only its process's permissions."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from sequence_store.settings import Settings
from sequence_store.sqs import (
    DEAD_LETTER_RETENTION_SECONDS,
    ENVIRONMENT_TAG,
    MAX_RECEIVES,
    RETENTION_SECONDS,
)
from tests.deploy.conftest import TERRAFORM

ROOT = Path(__file__).parents[2]
POLICIES = {file.stem: file for file in (TERRAFORM / "policies").glob("*.json")}


def statements(policy: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(POLICIES[policy].read_text())["Statement"]
    return found


def actions(policy: str) -> set[str]:
    return {
        action
        for statement in statements(policy)
        for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
    }


def calls(*files: str) -> set[str]:
    """Return the IAM actions of the SQS client's methods that the files call."""
    text = "\n".join((ROOT / file).read_text() for file in files)
    methods = set(re.findall(r"client\.([a-z_]+)\(", text)) - {"close"}
    words = {method.removesuffix("_batch") for method in methods}
    return {"sqs:" + "".join(word.title() for word in method.split("_")) for method in words}


def test_queues_match_the_local_stack() -> None:
    text = (TERRAFORM / "queues.tf").read_text()
    assert set(map(int, re.findall(r"message_retention_seconds\s+= (\d+)", text))) == {
        RETENTION_SECONDS,
        DEAD_LETTER_RETENTION_SECONDS,
    }
    assert re.findall(r"maxReceiveCount\s+= (\d+)", text) == [str(MAX_RECEIVES)]
    assert re.findall(r"visibility_timeout_seconds = (\d+)", text) == ["180"]


def test_policies_allow_every_call_to_sqs_except_create_and_purge() -> None:
    created_by_terraform = {"sqs:CreateQueue"}
    allowed = {action for policy in POLICIES for action in actions(policy) if action.startswith("sqs:")}
    assert allowed == calls("sequence_store/sqs.py") - created_by_terraform


@pytest.mark.parametrize("policy", POLICIES)
def test_no_policy_has_a_wildcard_action_or_resource(policy: str) -> None:
    assert not any("*" in action for action in actions(policy))
    for statement in statements(policy):
        resources = statement["Resource"]
        for resource in [resources] if isinstance(resources, str) else resources:
            assert resource.startswith("${"), resource
            assert set(statement) == {"Sid", "Effect", "Action", "Resource"}


def test_only_the_worker_may_send_mails_and_read_mailbox_secrets() -> None:
    may = {policy for policy in POLICIES if any(a.startswith("ses:") for a in actions(policy))}
    assert may == {"worker"}
    assert {p for p in POLICIES if "secretsmanager:GetSecretValue" in actions(p)} == {
        "worker",
        "external-secrets",
    }
    (mailboxes,) = [s for s in statements("worker") if s["Action"] == "secretsmanager:GetSecretValue"]
    assert mailboxes["Resource"] == "${secrets}:sequences/mailboxes/*"


def test_every_role_has_a_policy_and_every_policy_a_role() -> None:
    text = (TERRAFORM / "roles.tf").read_text()
    block = text.partition("roles = {")[2].partition("}\n")[0]
    assert set(re.findall(r"^\s+([a-z-]+)\s+= ", block, re.MULTILINE)) == set(POLICIES)
    names = {n for file in POLICIES.values() for n in re.findall(r"\$\{(\w+)\}", file.read_text())}
    given = set(
        re.findall(r"^\s+(\w+)\s+= ", text.partition("arns = {")[2].partition("\n  }")[0], re.MULTILINE)
    )
    assert names == given


def test_names_of_the_queues_carry_the_environment_as_the_settings_do() -> None:
    text = (TERRAFORM / "queues.tf").read_text()
    for name in ("sends_queue", "delivery_results_queue"):
        default = Settings.model_fields[name].default.replace("{environment}", "${var.environment}")
        assert f'coalesce(var.{name}, "{default}")' in text
    assert f"{ENVIRONMENT_TAG} = var.environment" in text
    assert text.count("= local.queue_tags") == 2


def test_every_queue_denies_requests_without_tls() -> None:
    text = (TERRAFORM / "queues.tf").read_text()
    assert text.count('variable = "aws:SecureTransport"') == 2
    assert 'resource "aws_sqs_queue_policy" "dead_letters"' in text


def test_a_state_belongs_to_one_environment() -> None:
    text = (TERRAFORM / "queues.tf").read_text()
    block = text.partition('resource "terraform_data" "environment"')[2].partition("\n}\n")[0]
    assert "triggers_replace = var.environment" in block
    assert "prevent_destroy = true" in block
    assert 'key          = "sequences/production/' in (TERRAFORM / "backend.tf.example").read_text()


def test_no_partition_is_written_into_an_arn() -> None:
    files = [*TERRAFORM.glob("*.tf"), *(TERRAFORM / "policies").glob("*.json")]
    assert not [file.name for file in files if re.search(r'"arn:aws:', file.read_text())]


def test_every_variable_of_a_person_is_validated() -> None:
    text = (TERRAFORM / "variables.tf").read_text()
    blocks = re.findall(r'^variable "(\w+)" \{\n(.*?)^\}', text, re.MULTILINE | re.DOTALL)
    assert {name for name, block in blocks if "validation {" not in block} == {"oidc_audience"}
    assert "default     = null" in dict(blocks)["kms_key_arn"]  # optional


def test_provider_is_locked() -> None:
    lock = (TERRAFORM / ".terraform.lock.hcl").read_text()
    assert re.search(r'provider "registry.terraform.io/hashicorp/aws" \{\n\s+version\s+= "\d', lock)


def test_every_reader_of_a_queue_may_read_its_tags() -> None:
    for policy in ("worker", "pipeline", "metrics"):
        for statement in statements(policy):
            if "sqs:GetQueueUrl" in statement["Action"]:
                assert "sqs:ListQueueTags" in statement["Action"], statement["Sid"]
