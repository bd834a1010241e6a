"""Settings of the pipeline, read from the environment when a run or a tick needs them, not at import."""

from __future__ import annotations

import dagster as dg

from sequence_store.secrets.pipeline_secret import read_pipeline_settings
from sequence_store.settings import PipelineSettings, refuse_default_passwords


@dg.resource(
    required_resource_keys={"secrets"},
    description="Settings of the pipeline, from environment variables (docs/settings.md) and, if "
    "PIPELINE_SECRET is set, from AWS Secrets Manager",
)
def pipeline_settings(context: dg.InitResourceContext) -> PipelineSettings:
    secrets = context.resources.secrets
    settings = read_pipeline_settings(
        lambda region: secrets.model_copy(update={"region_name": region}).get_client()
    )
    refuse_default_passwords(settings)
    return settings
