"""Job and sensor that dispatch planned sends shortly before their time."""

import dagster as dg

from sequence_pipelines.assets.timed_messages import timed_messages
from sequence_pipelines.dispatch.dispatcher import count_ready
from sequence_pipelines.jobs import current_day, has_unfinished_run
from sequence_pipelines.resources.database import Database
from sequence_pipelines.resources.instance.run_limits import run_tags
from sequence_store.settings import PipelineSettings

timed_dispatch = dg.define_asset_job(
    "timed_dispatch",
    selection=dg.AssetSelection.assets(timed_messages).without_checks(),
    tags=run_tags("timed_dispatch"),
    description="Publishes the sends that are planned within DISPATCH_AHEAD_SECONDS as messages, each "
    "delayed to its second.",
)

LATEST_REQUEST_SECONDS = 120  # before a send: a run that was killed is repeated within this time


def request_ahead(dispatch_ahead_seconds: int) -> int:
    """Return the seconds from the request of a dispatch to its send: few, so that a run takes many sends."""
    return max(dispatch_ahead_seconds // 3, min(dispatch_ahead_seconds // 2, LATEST_REQUEST_SECONDS))


@dg.sensor(
    job=timed_dispatch,
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Reads `sends` every minute. Requests a run only if an undispatched send is at most a "
    "third of DISPATCH_AHEAD_SECONDS away (at least two minutes, at most half of it), which is about every "
    "ten minutes while mails are sent.",
)
def timed_dispatch_sensor(
    context: dg.SensorEvaluationContext,
    settings: dg.ResourceParam[PipelineSettings],
    database: dg.ResourceParam[Database],
) -> dg.RunRequest | dg.SkipReason:
    ahead = request_ahead(settings.dispatch_ahead_seconds)
    with database.connect() as connection:
        found = count_ready(connection, settings, ahead)
    if not (found.ready or found.overdue):
        planned = (
            f"The next is planned for {found.following:%Y-%m-%d %H:%M:%S} UTC."
            if found.following
            else "None is planned."
        )
        return dg.SkipReason(f"No undispatched send within the next {ahead} seconds. {planned}")
    if has_unfinished_run(context, "timed_dispatch"):
        return dg.SkipReason(
            f"{found.ready} sends are due soon; a run that dispatches them is queued or running."
        )
    tags = {
        "sequences/ready": str(found.ready),
        "sequences/overdue": str(found.overdue),
        "sequences/first": str(found.first),
    }
    return dg.RunRequest(partition_key=current_day(), tags=tags)
