"""Sensor that sends an alert for each failed run."""

from typing import Any

import dagster as dg

from sequence_pipelines.maintenance.alerts import Failure, send_alert
from sequence_store.settings import PipelineSettings


@dg.run_failure_sensor(
    default_status=dg.DefaultSensorStatus.STOPPED,
    description="Sends an alert for each failed run to Slack, a webhook or a mail address. Off by default: "
    "set ALERT_SLACK_URL, ALERT_WEBHOOK_URL, or ALERT_SMTP_URL with ALERT_MAIL_TO, then switch it on. It "
    "cannot report that the Dagster daemon is down: monitor the daemon from outside.",
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
        error=context.failure_event.message or "Dagster recorded no error message; read the run's log.",
        url=settings.dagster_url and f"{settings.dagster_url}/runs/{run.run_id}",
    )
    channels = send_alert(failure, settings)
    if not channels:
        return dg.SkipReason(
            f"{failure.title}, and no alert was sent, because no ALERT_… setting configures a channel. Set "
            "one of ALERT_SLACK_URL, ALERT_WEBHOOK_URL and ALERT_SMTP_URL."
        )
    context.log.info(f"{failure.title}. Alerts sent: {', '.join(channels)}.")
    return None
