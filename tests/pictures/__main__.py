"""Takes the pictures of docs/tutorial.md from a stack with the sample data of `make run`: `make pictures`."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from local_stack.env_file import env_file_of, read_env_file
from local_stack.processes import wait_until
from sequence_store.settings import Settings, read_settings
from tests.end_to_end import browsing
from tests.end_to_end.running_stack import ROOT, SEQUENCES, Stack

NEEDED = ("dagster.yaml", "workspace.yaml", "examples")
INSTALLED_DAYS_AGO = 30  # so that days are missed, as the tutorial tells
FIRST_MAILS = 5
START_SECONDS, MAILS_SECONDS, BACKFILL_SECONDS = 300, 600, 300


def today() -> datetime:
    day = read_settings(Settings).calendar.day_of(datetime.now(UTC))
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


@contextmanager
def sample_day(root: Path) -> Iterator[Stack]:
    """Run `sequences day` in the folder, as `make run` does; yield its stack once mails have been sent."""
    for name in NEEDED:
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, root / name)
    first = (today() - timedelta(days=INSTALLED_DAYS_AGO)).date().isoformat()
    process = subprocess.Popen(
        [SEQUENCES, "day"], cwd=root, env=os.environ | {"FIRST_PLANNING_DAY": first}, stdout=sys.stderr
    )
    try:
        wait(lambda: env_file_of(root).exists(), START_SECONDS, "the stack starts")
        stack = Stack(root, read_env_file(env_file_of(root)), today())
        wait(lambda: mails(stack) >= FIRST_MAILS, MAILS_SECONDS, "mails are sent")
        yield stack
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(180)


def wait(holds: Callable[[], bool], seconds: float, what: str) -> None:
    if not wait_until(holds, seconds):
        raise SystemExit(f"Timeout after {seconds:.0f} s: {what}.")


def mails(stack: Stack) -> int:
    try:
        with urllib.request.urlopen(f"{stack.variables['MAIL_SINK_URL']}/api/messages", timeout=10) as answer:
            return len(json.load(answer))
    except OSError:
        return 0


def main() -> None:
    if browsing.CHROMIUM is None:
        raise SystemExit("Chromium is missing. Install the Debian package chromium.")
    with tempfile.TemporaryDirectory(prefix="pictures-") as folder:
        root = Path(folder) / "sequences"
        root.mkdir()
        Path(folder).chmod(0o711)
        with sample_day(root) as stack, browsing.browsing() as page:
            assert page.context.browser
            browsing.open_graph(stack.dagster, page.context.browser)
            browsing.open_plan(page, stack.dagster, stack.day)
            browsing.open_checks(page, stack.dagster)
            browsing.open_mails(page, stack.variables["MAIL_SINK_URL"], "@")
            browsing.open_ticks(page, stack.dagster, "timed_dispatch_sensor")
            browsing.launch_backfill(page, stack.dagster, stack.day_before(2), stack.day_before(1))
            wait(lambda: stack.planned_runs() >= 3, BACKFILL_SECONDS, "the backfill ends")
            browsing.open_replayed(page, stack.dagster, stack.day_before(1))
            browsing.switch_on(page, stack.dagster, "top_up_schedule")
            browsing.open_api(page, stack.variables["API_URL"])


if __name__ == "__main__":
    main()
