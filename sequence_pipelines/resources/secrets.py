"""AWS Secrets Manager, from which the pipeline reads its secret settings if PIPELINE_SECRET names them."""

from __future__ import annotations

import warnings

import dagster as dg
from dagster_aws.secretsmanager import SecretsManagerResource

from sequence_store.settings import Settings, read_settings


@dg.resource(description="AWS Secrets Manager; read only if PIPELINE_SECRET is set")
def pipeline_secrets(_context: dg.InitResourceContext) -> SecretsManagerResource:
    """Return dagster-aws's resource; AWS_ENDPOINT_URL_SECRETS_MANAGER names another server than Amazon's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)  # one line in the log of every run
        return SecretsManagerResource(region_name=read_settings(Settings).aws_region)
