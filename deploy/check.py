"""What can be known of a deployment without running it. Run by `make check-deploy`, with the tools of tools.lock.

A tool that no package index has (terraform, promtool) is used where the machine has it; otherwise a line says what was
not checked.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hcl2
import kubernetes_validate
import yaml

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
TOOLS = Path(sys.executable).parent
KUBERNETES = ("1.31", "1.34", "1.37")  # the oldest that Amazon still looks after, and the newest there is


def run(program: str | Path, *arguments: str | Path, **variables: str) -> str:
    """Return what the program prints; raise RuntimeError with its own words where it fails."""
    done = subprocess.run(  # noqa: S603
        [str(program), *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError((done.stdout + done.stderr).strip())
    return done.stdout


def check_image() -> Iterator[str]:
    """Lint every Dockerfile."""
    files = [*sorted(ROOT.glob("Dockerfile*")), *sorted(DEPLOY.glob("**/Dockerfile*"))]
    files = [file for file in files if file.suffix != ".dockerignore"]
    for file in files:
        run(TOOLS / "hadolint", file)
    yield f"{len(files)} linted"


def check_compose() -> Iterator[str]:
    """Let Compose read the first file alone and with each of the others: schema, references, interpolation."""
    first = DEPLOY / "docker-compose.yaml"
    for file in sorted(DEPLOY.glob("docker-compose*.yaml"), key=lambda file: file != first):
        together = [first] if file == first else [first, file]
        options = [word for one in together for word in ("--file", str(one))]
        run(TOOLS / "docker-compose", *options, "config", "--quiet")
        yield " + ".join(one.name for one in together)


def check_kubernetes() -> Iterator[str]:
    """Build every overlay, and hold each object against the schemas, unknown fields included."""
    for overlay in sorted((DEPLOY / "kubernetes" / "overlays").iterdir()):
        built = run(TOOLS / "kubectl", "kustomize", overlay)
        objects: list[dict[str, Any]] = [found for found in yaml.safe_load_all(built) if found]
        unknown = {found["kind"] for found in objects if not _has_schema(found)}
        yield f"{overlay.name}: {len(objects)} objects" + (
            f"; no schema here of {', '.join(sorted(unknown))}" if unknown else ""
        )


def _has_schema(found: dict[str, Any]) -> bool:
    """Hold one object against each version's schema; False where it is another project's kind."""
    for version in KUBERNETES:
        try:
            kubernetes_validate.validate(found, version, strict=True)
        except kubernetes_validate.SchemaNotFoundError:
            return False
        except kubernetes_validate.ValidationError as error:
            where = "/".join(map(str, error.path))
            raise RuntimeError(
                f"{found['kind']} {found['metadata']['name']}, {version}: {where}: {error.message}"
            ) from None
    return True


def check_chart_values() -> Iterator[str]:
    """Read the official chart's values: the chart itself is in no package index, so it is not rendered."""
    values = yaml.safe_load((DEPLOY / "kubernetes" / "dagster-chart-values.yaml").read_text())
    yield f"{len(values)} keys read; the chart is not rendered, no package index has it"


def check_terraform() -> Iterator[str]:
    """Parse each file; format and validate where terraform and its providers are there."""
    folder = DEPLOY / "terraform"
    files = sorted(folder.glob("*.tf"))
    for file in files:
        try:
            hcl2.loads(file.read_text())
        except Exception as error:
            raise RuntimeError(f"{file.name}: {error}") from error
    yield f"{len(files)} files parsed"
    if not (terraform := shutil.which("terraform")):
        yield "not formatted, not validated: there is no terraform on this machine"
        return
    run(terraform, f"-chdir={folder}", "fmt", "-check", "-recursive", "-diff")
    yield "format"
    if (folder / ".terraform" / "providers").exists():
        run(terraform, f"-chdir={folder}", "validate")
        yield "validated"
    else:
        yield "not validated: run `terraform init -backend=false` in deploy/terraform where its providers can be had"


def check_materials() -> Iterator[str]:
    """List what is installed (`make sbom`): all that the lock names, each with the hashes of its files."""
    listed = json.loads(run(sys.executable, "-m", "cyclonedx_py", "requirements", ROOT / "requirements.lock"))
    locked = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if line[:1].isalnum()]
    hashed = [one for one in listed["components"] if one["externalReferences"][0]["hashes"]]
    if len(hashed) != len(locked):
        raise RuntimeError(f"Of {len(locked)} locked packages {len(hashed)} are listed with their hashes.")
    yield f"{len(hashed)} packages listed"


def check_rules() -> Iterator[str]:
    """Let Prometheus read its rules, and run their tests."""
    folder = DEPLOY / "observability"
    rules = [file for file in sorted(folder.glob("**/*.y*ml")) if "groups:" in file.read_text()]
    tests = [file for file in sorted(folder.glob("**/*.y*ml")) if "rule_files:" in file.read_text()]
    tests = [file for file in tests if "tests:" in file.read_text()]
    if not rules:
        return
    if promtool := shutil.which("promtool"):
        run(promtool, "check", "rules", *rules)
        for test in tests:
            run(promtool, "test", "rules", test)
        for server in (
            one for one in sorted(folder.glob("**/*.y*ml")) if "scrape_configs:" in one.read_text()
        ):
            run(promtool, "check", "config", server)
        yield f"{len(rules)} files of rules, {len(tests)} of tests"
    else:
        yield f"{len(rules)} files not checked: there is no promtool on this machine (Debian: prometheus)"


CHECKS: dict[str, Callable[[], Iterator[str]]] = {
    "image": check_image,
    "compose": check_compose,
    "kubernetes": check_kubernetes,
    "chart values": check_chart_values,
    "terraform": check_terraform,
    "rules": check_rules,
    "materials": check_materials,
}


def main() -> int:
    """Run all checks, say what each did, and return 1 where one failed."""
    failed = 0
    for name, check in CHECKS.items():
        try:
            print(f"  {name:<13} {'; '.join(check()) or 'none'}")
        except RuntimeError as error:
            failed = 1
            print(f"  {name:<13} FAILED\n{error}")
    return failed


if __name__ == "__main__":
    sys.exit(main())
