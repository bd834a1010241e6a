"""Tells people when a run has failed."""

from typing import Any

import dagster as dg

from sequence_pipelines.maintenance.alerts import Failure, send_alert
from sequence_store.settings import PipelineSettings


@dg.run_failure_sensor(
    default_status=dg.DefaultSensorStatus.STOPPED,
    description="Tells Slack, a webhook or a mailbox of each failed run. Off by default: set ALERT_SLACK_URL, "
    "ALERT_WEBHOOK_URL, or ALERT_SMTP_URL with ALERT_MAIL_TO, then switch it on. It cannot tell that the daemon itself "
    "is down: watch that from outside.",
)
def failure_alert_sensor(
    context: dg.RunFailureSensorContext, settings: dg.ResourceParam[PipelineSettings]
) -> Any:
    run = context.dagster_run
    failure = Failure(
        environment=settings.sequence_environment,
        job=run.job_name,
        run_id=run.run_id,
        partition=run.tags.get("dagster/partition"),
        error=context.failure_event.message or "It says no reason.",
        url=settings.dagster_url and f"{settings.dagster_url}/runs/{run.run_id}",
    )
    ways = send_alert(failure, settings)
    if not ways:
        return dg.SkipReason(f"{failure.title}, but no ALERT_… setting names a way to tell anybody.")
    context.log.info(f"{failure.title}: told by {', '.join(ways)}.")
    return None
