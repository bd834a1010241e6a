"""SQS queues of sends and of delivery results."""

from __future__ import annotations

import dagster as dg

from sequence_store.settings import PipelineSettings
from sequence_store.sqs import Queue, sqs_client


class Queues:
    """Looks up a queue when it is used, so that a plan runs without SQS.

    Raise QueueMissingError, or QueueForeignError if the queue belongs to another environment.
    """

    def __init__(self, settings: PipelineSettings) -> None:
        self._settings = settings
        self._client = sqs_client(settings)

    def sends(self) -> Queue:
        return self._look_up(self._settings.sends_queue)

    def delivery_results(self) -> Queue:
        return self._look_up(self._settings.delivery_results_queue)

    def _look_up(self, name: str) -> Queue:
        return Queue.look_up(self._client, name, environment=self._settings.sequence_environment)


@dg.resource(required_resource_keys={"settings"}, description="SQS queues of sends and of delivery results")
def pipeline_queues(context: dg.InitResourceContext) -> Queues:
    return Queues(context.resources.settings)
