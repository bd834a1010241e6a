"""Checks the files of every deployment without running them, for `make check-deploy`.

The tools come from tools.lock, except terraform and promtool, which are in no package index. If one of these
is not installed, the output says what was not checked.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hcl2
import kubernetes_validate
import yaml

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
TOOLS = Path(sys.executable).parent
KUBERNETES = ("1.31", "1.34", "1.37")  # from the oldest version that Amazon EKS supports to the newest


def run(program: str | Path, *arguments: str | Path, **variables: str) -> str:
    """Return the program's output; raise RuntimeError with the output if it fails."""
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
    """Check schema, references and interpolation of the main file, alone and with each overlay."""
    main_file = ROOT / "docker-compose.yaml"
    for file in (main_file, *sorted(DEPLOY.glob("docker-compose*.yaml"))):
        together = [main_file] if file == main_file else [main_file, file]
        options = [word for one in together for word in ("--file", str(one))]
        run(TOOLS / "docker-compose", *options, "config", "--quiet")
        yield " + ".join(one.name for one in together)


def check_kubernetes() -> Iterator[str]:
    """Build every overlay and validate each object against the schemas; unknown fields are errors."""
    for overlay in sorted((DEPLOY / "kubernetes" / "overlays").iterdir()):
        built = run(TOOLS / "kubectl", "kustomize", overlay)
        objects: list[dict[str, Any]] = [found for found in yaml.safe_load_all(built) if found]
        unknown = {found["kind"] for found in objects if not _has_schema(found)}
        yield f"{overlay.name}: {len(objects)} objects" + (
            f"; no schema for {', '.join(sorted(unknown))}" if unknown else ""
        )


def _has_schema(found: dict[str, Any]) -> bool:
    """Validate one object against each version's schema; return False if there is no schema of its kind."""
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
    """Parse the values of Dagster's official chart, which is in no package index and so is not rendered."""
    values = yaml.safe_load((DEPLOY / "kubernetes" / "dagster-chart-values.yaml").read_text())
    yield f"{len(values)} keys parsed; the chart is in no package index and is not rendered"


def check_terraform() -> Iterator[str]:
    """Parse each file; check the format if terraform is installed, and validate if a mirror is found."""
    folder = DEPLOY / "terraform"
    files = sorted(folder.glob("*.tf"))
    for file in files:
        try:
            hcl2.loads(file.read_text())
        except Exception as error:
            raise RuntimeError(f"{file.name}: {error}") from error
    yield f"{len(files)} files parsed"
    if not (terraform := shutil.which("terraform")):
        yield "format and references not checked: terraform is not installed"
        return
    run(terraform, f"-chdir={folder}", "fmt", "-check", "-recursive", "-diff")
    yield "format"
    if (folder / ".terraform" / "providers").exists():
        run(terraform, f"-chdir={folder}", "validate")
        yield "validated"
    elif mirror := provider_mirror():
        with tempfile.TemporaryDirectory() as work:
            options = ("-backend=false", "-input=false", "-lockfile=readonly", f"-plugin-dir={mirror}")
            run(terraform, f"-chdir={folder}", "init", *options, TF_DATA_DIR=work)
            run(terraform, f"-chdir={folder}", "validate", TF_DATA_DIR=work)
        yield f"validated with the providers in {mirror}"
    else:
        yield (
            "not validated: no provider mirror was found. Set TERRAFORM_MIRROR to its folder, or run "
            "`terraform init -backend=false` in deploy/terraform"
        )


def provider_mirror() -> Path | None:
    """Return a provider mirror's folder: TERRAFORM_MIRROR, or where Terraform or a machine keeps one."""
    home = Path.home() / ".terraform.d"
    named = os.environ.get("TERRAFORM_MIRROR")
    folders = [
        *([Path(named)] if named else []),
        *(home / "plugins", home / "plugin-cache"),
        *(Path("/usr/local/share/terraform/plugins"), Path("/usr/share/terraform/plugins")),
        *(found.parent for found in sorted(Path("/opt").glob("*/registry.terraform.io"))),
    ]
    return next((one for one in folders if any(one.glob("registry.terraform.io/hashicorp/aws/*/*/"))), None)


def check_materials() -> Iterator[str]:
    """Check that the bill of materials (`make sbom`) lists every locked package with its hashes."""
    listed = json.loads(run(sys.executable, "-m", "cyclonedx_py", "requirements", ROOT / "requirements.lock"))
    locked = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if line[:1].isalnum()]
    hashed = [one for one in listed["components"] if one["externalReferences"][0]["hashes"]]
    if len(hashed) != len(locked):
        raise RuntimeError(
            f"The lock has {len(locked)} packages, but {len(hashed)} are listed with their hashes."
        )
    yield f"{len(hashed)} packages listed"


def check_rules() -> Iterator[str]:
    """Check the rules with promtool, and run their tests."""
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
        yield f"{len(rules)} rule files and {len(tests)} test files"
    else:
        yield f"{len(rules)} rule files not checked: promtool is not installed (Debian: prometheus)"


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
    """Run all checks, print what each did, and return 1 if one failed."""
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
