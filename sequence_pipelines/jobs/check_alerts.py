"""Sensor that keeps the results of asset checks for the metrics, and alerts when a check turns."""

from datetime import UTC, datetime

import dagster as dg
from dagster._core.storage.asset_check_execution_record import (
    AssetCheckExecutionRecord,
    AssetCheckExecutionRecordStatus,
)

from sequence_pipelines.maintenance import check_alerts
from sequence_pipelines.maintenance.alerts import CheckTurned, send_alert
from sequence_pipelines.maintenance.check_alerts import CHECKS_RUN, OWN_ASSET, SILENT, Evaluation, Key
from sequence_pipelines.resources.database import Database
from sequence_store.settings import PipelineSettings

EVALUATED = {AssetCheckExecutionRecordStatus.SUCCEEDED, AssetCheckExecutionRecordStatus.FAILED}
MOST_RESULTS = 6  # of a check that are read; planned and crashed ones are among them


@dg.sensor(
    name="check_alert_sensor",
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Keeps the latest result of each asset check for the metrics. If alerts are configured "
    "(ALERT_SLACK_URL, ALERT_WEBHOOK_URL, or ALERT_SMTP_URL with ALERT_MAIL_TO), it tells once that a check "
    "failed twice in a row, once that it passed twice in a row again, and that the checks have not run for "
    "two hours. A blocking check fails its run, which failure_alert_sensor tells.",
)
def check_alert_sensor(
    context: dg.SensorEvaluationContext,
    settings: dg.ResourceParam[PipelineSettings],
    database: dg.ResourceParam[Database],
) -> dg.SkipReason:
    now = datetime.now(UTC)
    found = _results(context)
    told: list[str] = []
    with database.connect() as connection:
        alerted = check_alerts.read_alerted(connection)
        latest = max((r[0].at for (asset, _), r in found.items() if asset == OWN_ASSET), default=None)
        silence = check_alerts.judge_silence(latest, check_alerts.first_seen(connection, now), now)
        everything = {**found, (OWN_ASSET, CHECKS_RUN): [silence] * check_alerts.IN_A_ROW}
        for key, results in everything.items():
            state, turned = check_alerts.judge(results, alerted=alerted.get(key, False))
            if turned:
                send_alert(
                    CheckTurned(
                        environment=settings.sequence_environment,
                        asset=key[0],
                        check=key[1],
                        passed=state.latest.passed,
                        meaning=SILENT if key[1] == CHECKS_RUN else _description(context, key),
                        url=settings.dagster_url and f"{settings.dagster_url}/assets/{key[0]}?view=checks",
                    ),
                    settings,
                )
                told.append(f"{key[1]} {'passes again' if state.latest.passed else 'fails'}")
            check_alerts.keep(connection, key, state)
        check_alerts.forget_others(connection, found)
    return dg.SkipReason(f"Told: {', '.join(told)}." if told else f"{len(found)} checks; none turned.")


def _description(context: dg.SensorEvaluationContext, key: Key) -> str:
    """Return what a check promises, and what to do if it fails."""
    repository = context.repository_def
    check = dg.AssetCheckKey(dg.AssetKey(key[0]), key[1])
    definition = repository.asset_checks_defs_by_key.get(check) if repository else None
    return (definition.get_spec_for_check_key(check).description or "") if definition else ""


def _results(context: dg.SensorEvaluationContext) -> dict[Key, list[Evaluation]]:
    """Return the latest results of each check that has one, newest first."""
    found: dict[Key, list[Evaluation]] = {}
    assert context.repository_def is not None  # noqa: S101  (a tick has it)
    for key in sorted(context.repository_def.asset_graph.asset_check_keys):
        records = context.instance.event_log_storage.get_asset_check_execution_history(
            check_key=key, limit=MOST_RESULTS
        )
        results = [_evaluation(record) for record in records if record.status in EVALUATED]
        if results:
            found[key.asset_key.to_user_string(), key.name] = results
    return found


def _evaluation(record: AssetCheckExecutionRecord) -> Evaluation:
    data = record.event.dagster_event.asset_check_evaluation_data  # type: ignore[union-attr]
    return Evaluation(
        passed=data.passed,
        severity=data.severity.value,
        blocking=bool(data.blocking),
        run_id=record.run_id,
        at=datetime.fromtimestamp(record.create_timestamp, UTC),
    )
