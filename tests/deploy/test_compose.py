"""Tests the permissions and the environment of each container, and that `.env.example` is complete."""

from __future__ import annotations

import re
import subprocess
from typing import Any

import pytest
import yaml
from dagster._core.instance.ref import InstanceRef

from tests.deploy.conftest import COMPOSE, COMPOSE_OVERLAYS, DEPLOY, ROOT
from tests.deploy.test_settings_contract import DOCUMENTED

FILES = [COMPOSE, *COMPOSE_OVERLAYS]
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE.read_text())["services"]
OTHERS = {"postgres", "valkey", "pgadmin"}  # third-party images
PRODUCT = sorted(SERVICES.keys() - OTHERS)
DATABASES = {
    "api": {"API_DATABASE_URL"},
    "worker": {"WORKER_DATABASE_URL"},
    "inbox": {"WORKER_DATABASE_URL"},
    "webhooks": {"PIPELINE_DATABASE_URL"},
    "code": {"PIPELINE_DATABASE_URL", "DAGSTER_DATABASE_URL"},
    "webserver": {"DAGSTER_DATABASE_URL"},
    "daemon": {"DAGSTER_DATABASE_URL"},
    "mail-sink": set(),
}
OF_THE_MACHINE = {
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "CELERY_BROKER_URL",
    "CELERY_RESULT_BACKEND",
    "DAGSTER_CODE_HOST",
    "DAGSTER_CODE_PORT",
    "DAGSTER_DATABASE_URL",
    "RUNS_AT_ONCE",
}


def test_a_fresh_clone_needs_no_prepared_file() -> None:
    """`docker compose up` needs no `.env` and no secret files, and mounts only files of the repository."""
    assert not {"env_file", "secrets", "configs"} & {key for service in SERVICES.values() for key in service}
    mounts = [volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", ())]
    assert all((ROOT / mount).is_file() for mount in mounts if mount.startswith("."))
    for file in FILES:
        variables = re.findall(r"(?<!\$)\$\{([^}]*)\}", file.read_text())
        assert not [variable for variable in variables if ":-" not in variable]


def offered() -> dict[str, str]:
    lines = (DEPLOY / ".env.example").read_text().splitlines()
    return dict(line.removeprefix("#").split("=", 1) for line in lines if re.match(r"#[A-Z_]+=", line))


@pytest.mark.parametrize("service", PRODUCT)
def test_product_containers_are_unprivileged_and_read_only(service: str) -> None:
    found = SERVICES[service]
    assert found["read_only"] is True
    assert found["cap_drop"] == ["ALL"]
    assert found["security_opt"] == ["no-new-privileges:true"]
    assert "USER 10001:10001" in (ROOT / "Dockerfile").read_text()


@pytest.mark.parametrize("service", DATABASES)
def test_each_process_gets_only_its_own_database_urls(service: str) -> None:
    environment = SERVICES[service].get("environment", {})
    assert {name for name in environment if name.endswith("DATABASE_URL")} == DATABASES[service]


def test_every_server_has_a_health_check() -> None:
    assert {name for name in SERVICES if "healthcheck" not in SERVICES[name]} == {"migrations"}


@pytest.mark.parametrize("service", ["worker", "inbox", "webhooks"])
def test_programs_without_pages_are_healthy_only_if_they_can_work(service: str) -> None:
    asked = SERVICES[service]["healthcheck"]["test"][-1]
    port = SERVICES[service]["environment"]["WORKER_METRICS_PORT"]
    assert f"http://127.0.0.1:{port}/readyz" in asked


def test_every_published_port_is_on_loopback_by_default() -> None:
    ports = [
        port
        for file in FILES
        for service in yaml.load(file.read_text(), _Loose)["services"].values()
        for port in (service or {}).get("ports", ())
    ]
    assert ports
    assert all(port.startswith("${BIND_ADDRESS:-127.0.0.1}:") for port in ports)


def test_env_example_has_every_variable_of_the_compose_files_with_its_default() -> None:
    used = {
        (name, default)
        for file in FILES
        for name, default in re.findall(r"(?<!\$)\$\{([A-Z_]+):-([^}]*)\}", file.read_text())
    }
    assert len(dict(used)) == len(used)  # one default each
    known = offered()
    assert {name: known.get(name) for name, _ in used if name not in DOCUMENTED - known.keys()} == {
        name: default for name, default in used if name not in DOCUMENTED - known.keys()
    }


def test_every_setting_of_a_container_exists() -> None:
    given = {name for service in PRODUCT for name in SERVICES[service].get("environment", {})}
    assert given - OF_THE_MACHINE <= DOCUMENTED


def test_celery_instance_is_the_projects_instance_except_for_its_launcher(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own = yaml.safe_load((DEPLOY / "dagster.yaml").read_text())
    celery = yaml.safe_load((DEPLOY / "dagster.celery.yaml").read_text())
    launcher = celery.pop("run_launcher")
    assert own.pop("run_launcher")["class"] == "WatchedRunLauncher"
    # A task can wait for a free worker.
    assert celery["run_monitoring"].pop("start_timeout_seconds") > own["run_monitoring"].pop(
        "start_timeout_seconds"
    )
    assert celery == own
    monkeypatch.setenv("CELERY_BROKER_URL", "redis://127.0.0.1:9/1")
    monkeypatch.setenv("CELERY_RESULT_BACKEND", "redis://127.0.0.1:9/2")
    ref = InstanceRef.from_dir(
        str(DEPLOY),
        overrides={
            "run_launcher": launcher,
            "storage": {"sqlite": {"base_dir": str(DEPLOY)}},
        },
    )
    assert type(ref.run_launcher).__name__ == "WatchedCeleryRunLauncher"


class _Loose(yaml.SafeLoader):
    """Loads YAML and reads Compose's tag `!reset` as null."""


_Loose.add_constructor("!reset", lambda _loader, _node: None)


def test_image_is_built_once_and_shared() -> None:
    built = {name: service["build"]["target"] for name, service in SERVICES.items() if "build" in service}
    assert built == {"migrations": "product", "mail-sink": "local"}
    images = {SERVICES[name]["image"] for name in PRODUCT}
    assert images == {SERVICES[name]["image"] for name in built}


@pytest.mark.parametrize("service", SERVICES)
def test_every_container_has_a_memory_limit_and_rotates_its_logs(service: str) -> None:
    found = SERVICES[service]
    assert found["mem_limit"]
    assert set(found["logging"]["options"]) == {"max-size", "max-file"}


@pytest.mark.parametrize("service", [name for name in SERVICES if "healthcheck" in SERVICES[name]])
def test_slow_first_start_does_not_count_as_unhealthy(service: str) -> None:
    """A service that is unhealthy once keeps all services from starting that need it."""
    assert SERVICES[service]["healthcheck"]["start_period"] == "600s"


def test_code_location_is_healthy_only_with_its_definitions() -> None:
    assert SERVICES["code"]["healthcheck"]["test"] == [
        "CMD",
        "python",
        "-m",
        "sequence_pipelines.maintenance.code_location_health",
    ]


def test_no_container_mails_into_the_sink_outside_local() -> None:
    for service in ("migrations", "worker", "inbox"):
        environment = SERVICES[service]["environment"]
        assert environment["SMTP_HOST"] is None  # passed on only if `.env` sets it
        assert environment["LOCAL_SMTP_HOST"] == "mail-sink"


def test_every_published_port_has_its_variable_in_the_table_of_the_page() -> None:
    page = (ROOT / "docs" / "deployment.md").read_text()
    listed = dict(re.findall(r"^\| `([\w-]+)`[^|]* \| `(\w+_PORT)` \|", page, re.MULTILINE))
    published = {
        name: re.findall(r"\$\{(\w+_PORT):-", port)[0]
        for file in FILES
        for name, service in yaml.load(file.read_text(), _Loose)["services"].items()
        for port in (service or {}).get("ports", ())
    }
    assert listed == published


def test_scripts_are_valid_shell() -> None:
    for name in ("upgrade.sh", "test.sh", "test_release.sh"):
        subprocess.run(["bash", "-n", str(DEPLOY / name)], check=True)


def test_upgrade_migrates_before_it_replaces_and_drains_last() -> None:
    text = (DEPLOY / "upgrade.sh").read_text()
    order = ["read_settings", "-T migrations", 'docker tag "$next" "$image"', "up --wait api",
             "code webserver daemon", "--no-recreate --scale", "docker stop --time 660"]  # fmt: skip
    places = [text.index(step) for step in order]
    assert places == sorted(places)


@pytest.mark.parametrize("name", ["upgrade.sh", "test.sh", "test_release.sh"])
def test_no_pipeline_fails_because_its_last_command_found_what_it_looks_for(name: str) -> None:
    """With `pipefail`, `grep --quiet` ends the program before it, and the pipeline counts as failed."""
    text = (DEPLOY / name).read_text()
    assert "pipefail" in text
    assert not re.findall(r"\|\s*(?:head|grep (?:--quiet|-q)).*; (?:do|then)", text)
    assert not re.findall(r"\|\s*grep (?:--quiet|-q)", text)
