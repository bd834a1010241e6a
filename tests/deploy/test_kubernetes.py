"""Tests the permissions and the environment of each pod, and that Dagster's instances match the project's."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import boto3
import dagster as dg
import pytest
import yaml
from dagster._core.instance.ref import InstanceRef
from dagster._core.storage.compute_log_manager import ComputeIOType

from tests.deploy.conftest import KUBERNETES, ROOT, objects, secret_keys

BASE = objects("base")
WORKLOADS = {one["metadata"]["name"]: one for one in BASE if one["kind"] in {"Deployment", "Job"}}
INSTANCES = ("base", "components/runs-as-pods")


def pod(workload: str) -> dict[str, Any]:
    found: dict[str, Any] = WORKLOADS[workload]["spec"]["template"]["spec"]
    return found


def container(workload: str) -> dict[str, Any]:
    (only,) = pod(workload)["containers"]
    found: dict[str, Any] = only
    return found


def test_base_has_every_process() -> None:
    assert set(WORKLOADS) == {
        "sequence-migrations",
        "sequence-api",
        "sequence-worker",
        "sequence-inbox",
        "sequence-webhooks",
        "sequence-metrics",
        "sequence-code",
        "dagster-webserver",
        "dagster-daemon",
    }


@pytest.mark.parametrize("workload", WORKLOADS)
def test_every_pod_requests_resources_and_can_write_only_to_tmp(workload: str) -> None:
    resources = container(workload)["resources"]
    assert {"cpu", "memory"} <= set(resources["requests"])
    assert "memory" in resources["limits"]
    assert "cpu" not in resources["limits"]  # a CPU limit makes mails late and saves nothing
    volumes = {volume["name"]: volume for volume in pod(workload)["volumes"]}
    assert {name for name, volume in volumes.items() if "emptyDir" in volume} <= {"tmp", "home"}
    assert not {"hostPath", "persistentVolumeClaim"} & {key for volume in volumes.values() for key in volume}


def test_hardening_applies_to_every_workload() -> None:
    kustomization = yaml.safe_load((KUBERNETES / "base" / "kustomization.yaml").read_text())
    (patch,) = kustomization["patches"]
    assert patch == {"path": "hardening.yaml", "target": {"kind": "Deployment|Job"}}
    said = {
        operation["path"]: operation["value"]
        for operation in yaml.safe_load((KUBERNETES / "base" / "hardening.yaml").read_text())
    }
    assert said["/spec/template/spec/securityContext"]["runAsNonRoot"] is True
    assert said["/spec/template/spec/containers/0/securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert all(len(pod(workload)["containers"]) == 1 for workload in WORKLOADS)


@pytest.mark.parametrize(
    "workload",
    [
        w
        for w in WORKLOADS
        if w.startswith(("dagster", "sequence-code", "sequence-api", "sequence-worker", "sequence-metrics"))
    ],
)
def test_every_server_has_a_liveness_probe(workload: str) -> None:
    assert "livenessProbe" in container(workload)


@pytest.mark.parametrize("workload", WORKLOADS)
def test_each_process_gets_only_its_own_secret(workload: str) -> None:
    accounts = {
        "sequence-migrations": "sequence-owner",
        "sequence-inbox": "sequence-worker",
        "sequence-metrics": "sequence-readonly",
        "sequence-code": "sequence-pipeline",
        "dagster-webserver": "sequence-dagster",
        "dagster-daemon": "sequence-dagster",
    }
    account = accounts.get(workload, workload)
    assert pod(workload)["serviceAccountName"] == account
    given = {
        entry["name"]: entry["valueFrom"]["secretKeyRef"]
        for entry in container(workload)["env"]
        if "valueFrom" in entry
    }
    assert {reference["name"] for reference in given.values()} == {account}
    assert all(reference["key"] == name for name, reference in given.items())
    assert {name for name, reference in given.items() if not reference.get("optional")} == set(
        secret_keys()[account.removeprefix("sequence-")]
    )


def test_network_policies_cover_every_pod() -> None:
    policies = {one["metadata"]["name"]: one["spec"] for one in BASE if one["kind"] == "NetworkPolicy"}
    default = policies["sequence-nothing-else"]
    assert default["policyTypes"] == ["Ingress", "Egress"]
    labels = yaml.safe_load((KUBERNETES / "base" / "kustomization.yaml").read_text())["labels"]
    assert labels == [{"pairs": default["podSelector"]["matchLabels"], "includeTemplates": True}]
    mailing = policies["sequence-to-mail-servers"]["podSelector"]["matchExpressions"][0]["values"]
    assert mailing == ["sequence-worker", "sequence-inbox"]


@pytest.mark.parametrize("folder", INSTANCES)
def test_instance_is_the_projects_instance_except_for_launcher_and_logs(folder: str) -> None:
    own = yaml.safe_load((ROOT / "deploy" / "dagster.yaml").read_text())
    theirs = yaml.safe_load((KUBERNETES / folder / "dagster.yaml").read_text())
    if folder == "components/runs-as-pods":
        assert theirs.pop("run_launcher")["class"] == "K8sRunLauncher"
        assert own.pop("run_launcher")["class"] == "WatchedRunLauncher"
        # A pod can wait for its image or for a node.
        assert theirs["run_monitoring"].pop("start_timeout_seconds") > own["run_monitoring"].pop(
            "start_timeout_seconds"
        )
    assert theirs.pop("compute_logs")["class"] == "S3ComputeLogManager"
    assert own.pop("compute_logs")["class"] == "RunLogs"
    assert theirs == own, (
        f"apply the change of deploy/dagster.yaml to deploy/kubernetes/{folder}/dagster.yaml too"
    )


def test_workspace_is_the_projects_workspace() -> None:
    assert (KUBERNETES / "base" / "workspace.yaml").read_text() == (ROOT / "workspace.yaml").read_text()


@pytest.fixture
def instance_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_DATABASE_URL", "postgresql+psycopg2://dagster:secret@127.0.0.1:9/dagster")
    monkeypatch.setenv("COMPUTE_LOGS_BUCKET", "sequence-compute-logs")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    monkeypatch.setenv("POD_NAMESPACE", "sequences")


@pytest.mark.usefixtures("instance_environment")
@pytest.mark.parametrize("folder", INSTANCES)
def test_dagster_loads_the_instance_with_logs_on_s3(folder: str) -> None:
    ref = InstanceRef.from_dir(str(KUBERNETES / folder))
    manager = ref.compute_log_manager
    assert type(manager).__name__ == "S3ComputeLogManager"


@pytest.mark.usefixtures("instance_environment")
def test_logs_of_a_run_are_written_to_s3_and_read_from_there(
    sqs: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = boto3.client("s3", endpoint_url=sqs, region_name="us-east-1")
    client.create_bucket(Bucket="compute-logs-of-a-test")
    for name, value in {
        "AWS_ENDPOINT_URL_S3": sqs,
        "AWS_REGION": "us-east-1",
        "COMPUTE_LOGS_BUCKET": "compute-logs-of-a-test",
    }.items():
        monkeypatch.setenv(name, value)
    # the folder of logs before they are uploaded
    monkeypatch.setattr("dagster_shared.seven.get_system_temp_directory", lambda: str(tmp_path))
    manager = InstanceRef.from_dir(str(KUBERNETES / "base")).compute_log_manager
    with manager.open_log_stream(["a-run", "compute_logs", "a-step"], ComputeIOType.STDERR) as stream:
        assert stream is not None
        stream.write("mailed nobody")
    stored = client.list_objects_v2(Bucket="compute-logs-of-a-test")["Contents"]
    assert "compute-logs/storage/a-run/compute_logs/a-step.err" in [one["Key"] for one in stored]
    shutil.rmtree(tmp_path / "a-run")  # forces a read from S3
    assert manager.get_log_data(["a-run", "compute_logs", "a-step"]).stderr == b"mailed nobody"
    client.close()


@pytest.mark.usefixtures("instance_environment")
def test_runs_become_hardened_pods_of_the_product(monkeypatch: pytest.MonkeyPatch) -> None:
    from dagster_k8s import launcher as dagster_k8s_launcher
    from dagster_k8s.container_context import K8sContainerContext
    from dagster_k8s.job import construct_dagster_k8s_job
    from kubernetes.client import ApiClient

    monkeypatch.setattr(dagster_k8s_launcher, "load_kubernetes_config", lambda **_: None)  # no cluster here
    launcher = InstanceRef.from_dir(str(KUBERNETES / "components/runs-as-pods")).run_launcher
    assert isinstance(launcher, dagster_k8s_launcher.K8sRunLauncher)

    run = dg.DagsterRun(job_name="daily_plan", tags={"sequences/job": "daily_plan"})
    context = K8sContainerContext.create_for_run(run, launcher, include_run_tags=True)
    assert context.namespace == "sequences"
    job = construct_dagster_k8s_job(
        context.get_k8s_job_config(job_image="sequence-pipelines:1", run_launcher=launcher),
        args=["dagster", "api", "execute_run"],
        job_name="run",
        user_defined_k8s_config=context.run_k8s_config,
    )
    template = ApiClient().sanitize_for_serialization(job)["spec"]["template"]
    spec, one = template["spec"], template["spec"]["containers"][0]
    hardening = {
        operation["path"]: operation["value"]
        for operation in yaml.safe_load((KUBERNETES / "base" / "hardening.yaml").read_text())
    }
    assert spec["securityContext"] == hardening["/spec/template/spec/securityContext"]
    assert one["securityContext"] == hardening["/spec/template/spec/containers/0/securityContext"]
    assert spec["serviceAccountName"] == "sequence-pipeline"
    assert {source["secretRef"]["name"] for source in one["envFrom"] if "secretRef" in source} == {
        "sequence-pipeline"
    }
    assert {source["configMapRef"]["name"] for source in one["envFrom"] if "configMapRef" in source} == {
        "sequence-settings"
    }
    assert template["metadata"]["labels"]["app.kubernetes.io/part-of"] == "sequences"
    assert template["metadata"]["labels"]["app.kubernetes.io/name"] == "sequence-run"
    assert {mount["mountPath"] for mount in one["volumeMounts"]} == {
        "/tmp",
        "/opt/dagster/home",
        "/opt/dagster/home/dagster.yaml",
    }


COMPONENTS = KUBERNETES / "components"
BEFORE = {"sequences/phase": "before"}


def test_migrations_and_what_they_need_are_applied_before_the_programs() -> None:
    generated = yaml.safe_load((KUBERNETES / "base" / "kustomization.yaml").read_text())["generatorOptions"]
    needed = [*BASE, *objects("components", "secrets-from-aws"), *objects("components", "runs-as-pods")]
    waves = {}
    for one in needed:
        metadata = one["metadata"]
        wave = int(metadata.get("annotations", {}).get("argocd.argoproj.io/sync-wave", 0))
        waves.setdefault(one["kind"], set()).add(wave)
        assert (metadata.get("labels", {}).items() >= BEFORE.items()) == (wave < 0), metadata["name"]
    assert waves["Job"] == {-1}
    assert waves["Deployment"] == {0}
    for kind in ("ServiceAccount", "NetworkPolicy", "ExternalSecret", "SecretStore"):
        assert waves[kind] == {-2}
    assert generated["labels"] == BEFORE
    assert generated["annotations"] == {"argocd.argoproj.io/sync-wave": "-2"}
    assert WORKLOADS["sequence-migrations"]["metadata"]["annotations"]["argocd.argoproj.io/hook"] == "Sync"


def test_readiness_asks_what_each_program_needs() -> None:
    probes = {name: container(name).get("readinessProbe") for name in WORKLOADS}
    assert probes["sequence-api"]["httpGet"]["path"] == "/readyz"
    for name in ("sequence-worker", "sequence-inbox", "sequence-webhooks"):
        assert probes[name]["httpGet"] == {"path": "/readyz", "port": "metrics"}
        assert container(name)["livenessProbe"]["httpGet"]["path"] == "/healthz"
    started = container("sequence-code")["startupProbe"]["exec"]["command"]
    assert started == ["python", "-m", "sequence_pipelines.maintenance.code_location_health"]


def test_stopping_api_answers_until_no_request_reaches_it() -> None:
    assert container("sequence-api")["lifecycle"]["preStop"]["exec"]["command"] == ["sleep", "10"]
    assert pod("sequence-api")["terminationGracePeriodSeconds"] >= 10 + 20 + 5  # and the API's own drain


def test_two_autoscalers_together_do_not_build() -> None:
    annotation = WORKLOADS["sequence-worker"]["metadata"]["annotations"]["sequences/scaled-by"]
    assert annotation == "nothing"
    for component in ("worker-on-queue-depth", "worker-on-processor"):
        (patch,) = yaml.safe_load((COMPONENTS / component / "kustomization.yaml").read_text())["patches"]
        tested, replaced = yaml.safe_load(patch["patch"])
        assert (tested["op"], tested["value"]) == ("test", annotation)
        assert (replaced["op"], replaced["path"]) == ("replace", tested["path"])
        assert replaced["value"] != annotation


@pytest.mark.parametrize("workload", ["sequence-api", "sequence-worker", "sequence-code"])
def test_valkey_url_may_come_from_a_secret(workload: str) -> None:
    (found,) = [one for one in container(workload)["env"] if one["name"] == "VALKEY_URL"]
    assert found["valueFrom"]["secretKeyRef"]["optional"] is True
    policies = {one["metadata"]["name"]: one["spec"] for one in BASE if one["kind"] == "NetworkPolicy"}
    assert workload in policies["sequence-to-valkey"]["podSelector"]["matchExpressions"][0]["values"]


def test_code_pods_of_the_chart_are_reached_and_reach_what_ours_do() -> None:
    values = yaml.safe_load((KUBERNETES / "dagster-chart-values.yaml").read_text())
    (code,) = values["dagster-user-deployments"]["deployments"]
    (policy,) = objects("components", "without-dagster")
    assert code["labels"].items() >= policy["spec"]["podSelector"]["matchLabels"].items()
    assert code["serviceAccount"] == {"name": "sequence-pipeline"}
    assert (
        code["startupProbe"]["exec"]["command"][-1] == "sequence_pipelines.maintenance.code_location_health"
    )
    assert [rule["ports"] for rule in policy["spec"]["ingress"]] == [[{"port": code["port"]}]]
    assert [rule["ports"] for rule in policy["spec"]["egress"]] == [[{"port": 443}], [{"port": 6379}]]
    launcher = values["runLauncher"]["config"]["k8sRunLauncher"]
    assert launcher["jobServiceAccountName"] == "sequence-pipeline"


def test_run_as_a_pod_may_use_what_a_plan_of_ten_million_took() -> None:
    page = (ROOT / "docs" / "performance.md").read_text()
    row = next(line for line in page.splitlines() if line.startswith("| 10,000,000 |"))
    measured = int(row.split("|")[-2].strip().removesuffix(" MB").replace(",", "")) * 10**6
    instance = yaml.safe_load((COMPONENTS / "runs-as-pods" / "dagster.yaml").read_text())
    config = instance["run_launcher"]["config"]["run_k8s_config"]["container_config"]
    assert config["resources"]["limits"]["memory"] == "8Gi"
    assert measured * 1.2 < 8 * 2**30
    values = yaml.safe_load((KUBERNETES / "dagster-chart-values.yaml").read_text())
    assert values["runLauncher"]["config"]["k8sRunLauncher"]["resources"] == config["resources"]


def test_operators_pod_is_hardened_and_runs_only_when_it_is_needed() -> None:
    (operator,) = objects("components", "operator")
    hardening = {
        operation["path"]: operation["value"]
        for operation in yaml.safe_load((KUBERNETES / "base" / "hardening.yaml").read_text())
    }
    spec = operator["spec"]["template"]["spec"]
    assert operator["spec"]["replicas"] == 0
    assert spec["securityContext"] == hardening["/spec/template/spec/securityContext"]
    one = spec["containers"][0]
    assert one["securityContext"] == hardening["/spec/template/spec/containers/0/securityContext"]
    assert {"secretRef": {"name": "sequence-owner"}} in one["envFrom"]
    for overlay in (KUBERNETES / "overlays").iterdir():
        components = yaml.safe_load((overlay / "kustomization.yaml").read_text())["components"]
        assert "../../components/operator" in components


def test_queues_and_secrets_of_an_overlay_follow_its_environment() -> None:
    kustomization = yaml.safe_load(
        (KUBERNETES / "overlays" / "production" / "kustomization.yaml").read_text()
    )
    (derived,) = [one for one in kustomization["replacements"] if one["source"]["kind"] == "ConfigMap"]
    assert derived["source"]["fieldPath"] == "data.SEQUENCE_ENVIRONMENT"
    paths = [path for target in derived["targets"] for path in target["fieldPaths"]]
    assert paths == ["data.SENDS_QUEUE", "data.DELIVERY_RESULTS_QUEUE", "spec.dataFrom.0.extract.key"]
