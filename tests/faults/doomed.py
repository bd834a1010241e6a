"""Runs a program in a process that gets a signal at a failpoint, forked from a server with all imports."""

from __future__ import annotations

import multiprocessing
import os
import signal
from datetime import UTC, datetime
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from local_stack.processes import wait_until
from sequence_pipelines.dispatch.dispatcher import dispatch
from sequence_pipelines.maintenance.reconcile import reconcile_ledger
from sequence_pipelines.planning.planner import make_plan
from sequence_pipelines.results.consumer import consume_results
from sequence_store import failpoints
from sequence_store.failpoints import Failpoint
from sequence_store.postgres.connection import connect
from sequence_store.settings import PipelineSettings
from sequence_store.sqs import Queue, sqs_client
from step_mailing_worker import main, sqs_consumer

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload([__name__])


def start(point: Failpoint, signal_name: str, settings: Any) -> BaseProcess:
    """Start the program that contains the failpoint, with its settings."""
    process = CONTEXT.Process(target=_work, args=(point, signal_name, settings), daemon=True)
    process.start()
    return process


def _work(point: Failpoint, signal_name: str, settings: Any) -> None:
    # Dagster copies the action of SIGINT, which shells set to ignore in background processes.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    failpoints.arm(point, signal_name)
    if not isinstance(settings, PipelineSettings):
        sqs_consumer.RECEIVE_WAIT_SECONDS = 1
        main.run(settings)
        return
    program = point.partition("_")[0]
    name = f"doomed {program}"
    with connect(settings.pipeline_database_url, name=name, autocommit=program == "dispatch") as connection:
        if program == "plan":
            make_plan(connection, settings, datetime.now(UTC))
        elif program == "dispatch":
            dispatch(connection, _queue(settings, settings.sends_queue), settings)
        elif program == "results":
            consume_results(connection, _queue(settings, settings.delivery_results_queue), settings)
        else:
            reconcile_ledger(connection, settings)


def _queue(settings: PipelineSettings, name: str) -> Queue:
    return Queue.look_up(sqs_client(settings), name)


def met_its_signal(process: BaseProcess, signal_name: str) -> bool:
    """Wait until the process is killed, is stopped or has ended by itself."""
    if signal_name == "STOP":
        return wait_until(lambda: state_of(process) == "T", 90)
    process.join(90)
    return process.exitcode == -signal.SIGKILL if signal_name == "KILL" else process.exitcode is not None


def state_of(process: BaseProcess) -> str:
    stat = Path(f"/proc/{process.pid}/stat")
    return stat.read_text().rpartition(")")[2].split()[0] if stat.exists() else ""


def wake(process: BaseProcess) -> None:
    assert process.pid
    os.kill(process.pid, signal.SIGCONT)


def end(process: BaseProcess) -> None:
    """End the process with SIGTERM, and kill it if it does not end."""
    if process.is_alive():
        wake(process)
        process.terminate()
        process.join(60)
    if process.is_alive():
        process.kill()
        process.join(5)
