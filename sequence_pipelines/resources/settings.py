"""Settings of the pipeline, read from the environment when a run or a tick needs them, not at import."""

from __future__ import annotations

import dagster as dg

from sequence_store.settings import PipelineSettings, read_settings, refuse_default_passwords


@dg.resource(description="Settings of the pipeline, from environment variables (docs/settings.md)")
def pipeline_settings(_context: dg.InitResourceContext) -> PipelineSettings:
    settings = read_settings(PipelineSettings)
    refuse_default_passwords(settings)
    return settings
