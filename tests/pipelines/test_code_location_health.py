"""Tests the probe of the code location on real code servers: it tells whether the definitions work."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from local_stack.ports import free_port
from local_stack.processes import end, launch, wait_until
from sequence_store.sqs import ENVIRONMENT_TAG
from tests.conftest import Queues

LOADS = "import dagster as dg\n\n@dg.job\ndef nothing():\n    pass\n\ndefs = dg.Definitions(jobs=[nothing])\n"
DOES_NOT_LOAD = "import a_package_that_is_missing\n"


class CodeServer:
    def __init__(self, folder: Path, text: str) -> None:
        self.port = free_port()
        self.mark = folder / "mark"
        file = folder / "code.py"
        file.write_text(text)
        home = folder / "home"
        home.mkdir()
        program = Path(sys.executable).parent / "dagster"
        options = ["--host", "127.0.0.1", "--port", str(self.port), "--python-file", str(file)]
        self.process = launch(
            [str(program), "code-server", "start", *options, "--location-name", "code"],
            log=folder / "log",
            environment={
                "DAGSTER_HOME": str(home),
                "PATH": "/usr/bin:/bin",
                "DAGSTER_DISABLE_TELEMETRY": "yes",
            },
        )

    def asked(self, environment: dict[str, str]) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "sequence_pipelines.maintenance.code_location_health",
             "--port", str(self.port), "--mark", str(self.mark)],
            env={"PATH": "/usr/bin:/bin", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x",
                 **environment},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        return done.returncode, done.stderr


@pytest.fixture
def environment(queues: Queues) -> dict[str, str]:
    settings = queues.settings.pipeline
    return {
        "PIPELINE_DATABASE_URL": settings.pipeline_database_url.get_secret_value(),
        "AWS_ENDPOINT_URL_SQS": queues.endpoint,
        "SENDS_QUEUE": settings.sends_queue,
        "DELIVERY_RESULTS_QUEUE": settings.delivery_results_queue,
    }


@pytest.fixture
def server(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[CodeServer]:
    started = CodeServer(tmp_path, request.param)
    yield started
    end(started.process)


@pytest.mark.parametrize("server", [DOES_NOT_LOAD], indirect=True)
def test_definitions_that_do_not_load_are_not_ready(server: CodeServer, environment: dict[str, str]) -> None:
    assert wait_until(lambda: "do not load" in server.asked(environment)[1], 60)
    status, said = server.asked(environment)
    assert status == 1
    assert "a_package_that_is_missing" in said
    assert not server.mark.exists()


@pytest.mark.parametrize("server", [LOADS], indirect=True)
def test_definitions_are_asked_once_and_the_environment_with_them(
    server: CodeServer, environment: dict[str, str], queues: Queues
) -> None:
    queues.client.tag_queue(QueueUrl=queues.sends.url, Tags={ENVIRONMENT_TAG: "production"})
    assert wait_until(lambda: "'production'" in server.asked(environment)[1], 60)
    queues.client.untag_queue(QueueUrl=queues.sends.url, TagKeys=[ENVIRONMENT_TAG])
    assert "PIPELINE_DATABASE_URL" in server.asked({})[1]
    assert server.asked(environment) == (0, "")
    assert server.asked({}) == (0, "")  # from now on only the port
    server.mark.write_text("an earlier start of the container")
    assert server.asked({})[0] == 1
    assert server.asked(environment) == (0, "")
    end(server.process)
    assert server.asked(environment)[0] == 1
