"""Encryption of the mailboxes' secrets, and the rotation of its keys."""

from __future__ import annotations

import base64

import pytest
from pydantic import ValidationError

from sequence_store.errors import SecretError
from sequence_store.secrets.at_rest import SecretBox, is_reference, referred
from sequence_store.settings import LOCAL_SECRET_KEY, SecretSettings

OLD, NEW = (base64.urlsafe_b64encode(bytes([n]) * 32).decode() for n in (1, 2))
ARN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:mail/ann-AbCdEf"


def box(*keys: str) -> SecretBox:
    return SecretBox(keys, takes_unsealed=False)


def test_sealed_secret_hides_its_text_and_differs_each_time() -> None:
    sealed = {box(NEW).seal("correct horse") for _ in range(2)}
    assert len(sealed) == 2
    assert not any("horse" in one for one in sealed)
    assert {box(NEW).open(one) for one in sealed} == {"correct horse"}


def test_older_key_still_opens_and_the_newest_seals() -> None:
    of_old = box(OLD).seal("horse")
    assert box(NEW, OLD).open(of_old) == "horse"
    assert not box(NEW, OLD).is_current(of_old)
    of_new = box(NEW, OLD).seal("horse")
    assert box(NEW).open(of_new) == "horse"
    assert box(NEW, OLD).is_current(of_new)


def test_secret_that_no_key_opens_is_refused_with_a_reason_without_its_text() -> None:
    with pytest.raises(SecretError, match="secret_of_another_key"):
        box(NEW).open(box(OLD).seal("horse"))
    tampered = box(NEW).seal("horse")
    with pytest.raises(SecretError, match="secret_of_another_key"):
        box(NEW).open(tampered[:-4] + "AAAA")
    with pytest.raises(SecretError, match="secret_not_sealed"):
        box(NEW).open("horse")
    assert SecretBox([NEW], takes_unsealed=True).open("horse") == "horse"


@pytest.mark.parametrize(
    ("reference", "name", "region"),
    [(ARN, ARN, "eu-west-1"), ("secretsmanager:mail/ann", "mail/ann", None)],
)
def test_reference_to_secrets_manager_is_stored_readably(
    reference: str, name: str, region: str | None
) -> None:
    assert box(NEW).seal(reference) == box(NEW).open(reference) == reference
    assert referred(reference) == (name, region)


@pytest.mark.parametrize("password", ["arn:aws:s3:::bucket", "secretsmanager", "my arn:aws:secretsmanager"])
def test_password_similar_to_a_reference_is_sealed(password: str) -> None:
    assert not is_reference(password)
    assert box(NEW).open(box(NEW).seal(password)) == password


@pytest.mark.parametrize(
    ("environment", "keys", "fault"),
    [
        ("production", LOCAL_SECRET_KEY, "SECRET_KEYS must be set"),
        ("production", f"{NEW},{LOCAL_SECRET_KEY}", "SECRET_KEYS must be set"),
        ("production", "", "each key must be 32 bytes"),
        ("local", "short", "each key must be 32 bytes"),
        ("local", f"{NEW},{OLD[:-4]}", "each key must be 32 bytes"),
    ],
)
def test_process_without_its_own_key_does_not_start_outside_local(
    environment: str, keys: str, fault: str
) -> None:
    with pytest.raises(ValidationError, match=fault) as refused:
        SecretSettings.model_validate(
            {"sequence_environment": environment, "secret_keys": keys, "address_key": "own"}
        )
    assert NEW not in str(refused.value)


def test_keys_are_read_newest_first() -> None:
    settings = SecretSettings(secret_keys=f" {NEW}, {OLD},")  # type: ignore[arg-type]
    assert settings.keys_of_secrets == [NEW, OLD]
