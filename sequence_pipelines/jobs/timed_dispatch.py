"""Through the day: rows become messages as their time comes near."""

import dagster as dg

from sequence_pipelines.assets.timed_messages import timed_messages
from sequence_pipelines.jobs import current_day, run_tags, under_way
from sequence_pipelines.resources.database import Database
from sequence_store.postgres.lookback import lookback_start
from sequence_store.postgres.queries import query
from sequence_store.settings import PipelineSettings

MOST_SECONDS = 600

timed_dispatch = dg.define_asset_job(
    "timed_dispatch",
    selection=dg.AssetSelection.assets(timed_messages).without_checks(),
    tags=run_tags("timed_dispatch", seconds=MOST_SECONDS, priority=20),
    description="Sends what is planned within DISPATCH_AHEAD_SECONDS to the queue, with a delay to the second.",
)


@dg.sensor(
    job=timed_dispatch,
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Asks every minute; requests a run only when an undispatched send is within half of "
    "DISPATCH_AHEAD_SECONDS, so about one run in seven minutes while mails go out.",
)
def timed_dispatch_sensor(
    context: dg.SensorEvaluationContext,
    settings: dg.ResourceParam[PipelineSettings],
    database: dg.ResourceParam[Database],
) -> dg.RunRequest | dg.SkipReason:
    ahead = settings.dispatch_ahead_seconds // 2
    with database.connect() as connection:
        row = connection.execute(
            query("dispatch", "count_ready"), {"since": lookback_start(settings), "ahead_seconds": ahead}
        ).fetchone()
        following = connection.execute(query("dispatch", "find_next")).fetchone()
    ready, overdue, first = row or (0, 0, None)
    if not (ready or overdue):
        planned = (
            f"The next is planned for {following[0]:%Y-%m-%d %H:%M:%S} UTC."
            if following
            else "None is planned."
        )
        return dg.SkipReason(f"No undispatched send within the next {ahead} seconds. {planned}")
    if under_way(context, "timed_dispatch", MOST_SECONDS):
        return dg.SkipReason(f"{ready} sends are near; a run that dispatches them is queued or running.")
    tags = {"sequences/ready": str(ready), "sequences/overdue": str(overdue), "sequences/first": str(first)}
    return dg.RunRequest(partition_key=current_day(), tags=tags)
