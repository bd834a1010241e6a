"""Work in a process of its own that gets a signal at a named point. Forked from a server that has all imports."""

from __future__ import annotations

import multiprocessing
import os
import signal
from datetime import UTC, datetime
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from local_stack.processes import wait_until
from sequence_pipelines.assets.delivery_results import drain
from sequence_pipelines.dispatch.dispatcher import dispatch
from sequence_pipelines.jobs.reconcile import reconcile_ledger
from sequence_pipelines.planning.planner import make_plan
from sequence_store import failpoints
from sequence_store.failpoints import Failpoint
from sequence_store.postgres.connection import connect
from sequence_store.settings import PipelineSettings
from sequence_store.sqs import Queue, sqs_client
from step_mailing_worker import main
from step_mailing_worker import sqs_consumer as inbox

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload([__name__])


def start(point: Failpoint, signal_name: str, settings: Any) -> BaseProcess:
    """Start the program that reaches the point; `settings` are its own."""
    process = CONTEXT.Process(target=_work, args=(point, signal_name, settings), daemon=True)
    process.start()
    return process


def _work(point: Failpoint, signal_name: str, settings: Any) -> None:
    # Dagster gives it SIGINT's action, which is to ignore it in what a shell started in the background.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    failpoints.arm(point, signal_name)
    if not isinstance(settings, PipelineSettings):
        inbox.RECEIVE_WAIT_SECONDS = 1
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
            drain(connection, _queue(settings, settings.delivery_results_queue), settings)
        else:
            reconcile_ledger(connection, settings)


def _queue(settings: PipelineSettings, name: str) -> Queue:
    return Queue.look_up(sqs_client(settings), name)


def met_its_signal(process: BaseProcess, signal_name: str) -> bool:
    """Wait until it is killed, stopped or has ended by itself."""
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
    """Let it end as an operator would; kill it where it does not."""
    if process.is_alive():
        wake(process)
        process.terminate()
        process.join(60)
    if process.is_alive():
        process.kill()
        process.join(5)
