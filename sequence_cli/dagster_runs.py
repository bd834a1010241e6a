"""Launches runs through Dagster's GraphQL API and waits until they end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from sequence_cli.errors import AnswerError, DayError, UnreachableError
from sequence_cli.http_client import request_json

LOCATION = "sequence_pipelines"
POLL_SECONDS = 0.5
_LAUNCH = """mutation Launch($params: ExecutionParams!) { launchRun(executionParams: $params) { __typename
    ... on LaunchRunSuccess { run { runId } } ... on Error { message }
    ... on RunConfigValidationInvalid { errors { message } } } }"""
_STATE = """query State($run: ID!) { runOrError(runId: $run) { __typename ... on Error { message }
    ... on Run { status stepStats { stepKey status } } } }"""
_FAILURES = """query Failures($run: ID!) {
    logsForRun(runId: $run) { ... on EventConnection { events { __typename
    ... on ExecutionStepFailureEvent { stepKey error { message cause { message } } }
    ... on RunFailureEvent { message error { message } } } } } }"""


class DagsterRuns:
    """Client of the Dagster webserver at `url`.

    Raises DayError, with the run, if Dagster or the run fails, and RemoteError if Dagster does not answer.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    def launch(self, job: str, partition: str | None = None) -> str:
        """Launch the job, for one partition if it has partitions, and return the run's id."""
        selector = {
            "repositoryLocationName": LOCATION,
            "repositoryName": "__repository__",
            "jobName": job,
        }
        tags = {}
        if partition is not None:
            tags = {"dagster/partition": partition, "dagster/partition_set": f"{job}_partition_set"}
        params = {
            "selector": selector,
            "mode": "default",
            "runConfigData": {},
            "executionMetadata": {"tags": [{"key": key, "value": value} for key, value in tags.items()]},
        }
        answer = self._query(_LAUNCH, params=params)["launchRun"]
        if answer["__typename"] != "LaunchRunSuccess":
            which = f"{job} for {partition}" if partition else job
            raise DayError(f"Dagster did not launch {which}: {_reason(answer)}")
        return str(answer["run"]["runId"])

    def page(self, run: str) -> str:
        return f"{self._url}/runs/{run}"

    def follow(self, run: str, *, seconds: float) -> Iterator[str]:
        """Yield each new state of the run and each finished step until the run succeeds.

        Raises DayError if the run fails or takes longer than `seconds`.
        """
        deadline = time.monotonic() + seconds
        seen: set[str] = set()
        while True:
            state = self._state(run)
            for event in _events(state):
                if event not in seen:
                    seen.add(event)
                    yield event
            if state.get("status") == "SUCCESS":
                return
            if state.get("status") in ("FAILURE", "CANCELED"):
                raise DayError(f"The run failed: {self.page(run)}\n{self._failures(run)}")
            if time.monotonic() > deadline:
                raise DayError(f"The run did not end within {seconds:.0f} s: {self.page(run)}")
            time.sleep(POLL_SECONDS)

    def _state(self, run: str) -> dict[str, Any]:
        try:
            state: dict[str, Any] = self._query(_STATE, run=run)["runOrError"]
        except UnreachableError:  # the supervisor is restarting the webserver
            return {}
        if state["__typename"] != "Run":
            raise DayError(f"Dagster did not find run {run}: {_reason(state)}")
        return state

    def _failures(self, run: str) -> str:
        events = self._query(_FAILURES, run=run)["logsForRun"].get("events", [])
        lines = [
            f"  {event.get('stepKey') or 'run'}: {_reason(event.get('error') or event)}"
            for event in events
            if event["__typename"] in ("ExecutionStepFailureEvent", "RunFailureEvent")
        ]
        return "\n".join(lines) or "  Dagster recorded no reason. See .local/logs/dagster-code.log."

    def _query(self, query: str, **variables: Any) -> dict[str, Any]:
        content = request_json(
            f"{self._url}/graphql", "Dagster", body={"query": query, "variables": variables}
        )
        if not isinstance(content, dict) or not ("errors" in content or "data" in content):
            raise AnswerError(f"Dagster at {self._url} did not answer as GraphQL; is it another server?")
        if content.get("errors"):
            raise DayError(f"Dagster rejected the query: {content['errors'][0]['message']}")
        data: dict[str, Any] = content["data"]
        return data


def _events(state: dict[str, Any]) -> Iterator[str]:
    if state.get("status") in ("QUEUED", "STARTING", "STARTED"):
        yield str(state["status"]).lower()
    for step in state.get("stepStats") or ():
        if step["status"] == "SUCCESS":
            yield f"{step['stepKey']} done"


def _reason(answer: dict[str, Any]) -> str:
    cause = answer.get("cause") or {}
    errors = answer.get("errors") or [{}]
    found = cause.get("message") or answer.get("message") or errors[0].get("message")
    return str(found or answer.get("__typename", "no reason")).strip()
