"""Reads the pipeline's settings; its secret ones from AWS Secrets Manager if PIPELINE_SECRET names a secret.

The secret is a JSON object whose keys are variables, such as PIPELINE_DATABASE_URL. They override the
environment.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from sequence_store.errors import SettingsError
from sequence_store.secrets.at_rest import referred
from sequence_store.settings import PipelineSettings, SecretNameSettings, read_settings

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager.client import SecretsManagerClient

KEPT_SECONDS = 300.0  # a tick of a sensor does not ask again
_kept: dict[tuple[str, str], tuple[float, Mapping[str, str]]] = {}


def read_pipeline_settings(
    client: Callable[[str], SecretsManagerClient] | None = None,
) -> PipelineSettings:
    """Read the settings; raise SettingsError, which names each invalid one, or why the secret is unreadable.

    `client` makes a client of Secrets Manager for a region.
    """
    place = read_settings(SecretNameSettings)
    if place.pipeline_secret is None:
        return read_settings(PipelineSettings)
    name, own_region = referred(place.pipeline_secret)
    region = own_region or place.aws_region
    return read_settings(PipelineSettings, _values(name, region, client or _client))


def _values(name: str, region: str, client: Callable[[str], SecretsManagerClient]) -> Mapping[str, str]:
    until, values = _kept.get((name, region), (0.0, {}))
    if until <= time.monotonic():
        values = _parsed(name, _read(name, client(region)))
        _kept[name, region] = time.monotonic() + KEPT_SECONDS, values
    return values


def _client(region: str) -> SecretsManagerClient:
    import boto3
    from botocore.config import Config

    config = Config(connect_timeout=3, read_timeout=10, retries={"total_max_attempts": 2})
    return boto3.client("secretsmanager", region_name=region, config=config)


def _read(name: str, client: SecretsManagerClient) -> str:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return client.get_secret_value(SecretId=name).get("SecretString", "")
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "unknown")
        raise SettingsError(
            f"PIPELINE_SECRET: AWS Secrets Manager refuses {name!r}: {code}. Create the secret, or allow the "
            "pipeline to read it (secretsmanager:GetSecretValue)."
        ) from None
    except BotoCoreError as error:
        raise SettingsError(
            f"PIPELINE_SECRET: cannot ask AWS Secrets Manager for {name!r}: {type(error).__name__}. Check "
            "AWS_REGION, the credentials, and AWS_ENDPOINT_URL_SECRETS_MANAGER if it is set."
        ) from None
    finally:
        client.close()


def _parsed(name: str, text: str) -> Mapping[str, str]:
    try:
        values: Any = json.loads(text)
    except ValueError:
        values = None
    if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
        raise SettingsError(
            f"PIPELINE_SECRET: {name!r} must be a JSON object of variables and texts, such as "
            '{"PIPELINE_DATABASE_URL": "postgresql://…"}'
        )
    return values
