"""Makes the image's environment small, as the image is built: `python slim.py cut`, then `python slim.py load`.

`cut` removes what the product never opens. `load` imports all that the product's programs import: what was cut by mistake
is missed here and not at night, and bytecode is written of that and of nothing else.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import shutil
import sys
import sysconfig
import warnings
from pathlib import Path

PACKAGES = Path(sysconfig.get_path("purelib"))

# Nobody reads these at run time, whoever brings them.
_KINDS = ("*.pyi", "*.pyx", "*.pxd", "*.pxi", "*.h", "*.hpp", "*.c", "*.cpp", "*.a", "*.map")
_FOLDERS = ("tests", "include")

_PARTS = (
    "babel/locale-data",  # Liquid's filters for money and dates in many languages, which templates are not given
    "fontTools/*Lib",  # for PDF and PostScript; the charts are PNG
    "kubernetes/aio",  # the launcher's calls are the plain ones
    "pyarrow/_flight.*", "pyarrow/libarrow_flight*", "pyarrow/libarrow_python_flight*",  # a server for tables
    "pyarrow/libarrow_python.so.*.*",  # the same file under two names
    "pyarrow/libarrow_python.so",
)  # fmt: skip

# Of Amazon's 400 services: those that are called, and those that give credentials.
_SERVICES = frozenset({"s3", "secretsmanager", "sesv2", "signin", "sqs", "sso", "sso-oidc", "sts"})

_OURS = (
    "crud_api", "local_stack", "migrations", "sequence_cli", "sequence_pipelines", "sequence_store", "step_mailing_worker",
)  # fmt: skip
_PROGRAMS = (
    "celery.bin.celery", "celery.apps.worker", "celery.backends.redis", "celery.concurrency.prefork", "kombu.transport.redis",
    "dagster._cli", "dagster._cli.code_server", "dagster._core.executor.in_process", "dagster._daemon.cli",
    "dagster._daemon.daemon", "dagster._grpc.server", "dagster._grpc.proxy_server",
    "dagster_aws.s3.compute_log_manager", "dagster_celery.app", "dagster_celery.launcher", "dagster_k8s",
    "dagster_postgres", "dagster_webserver.cli", "dagster_webserver.webserver",
    "matplotlib.backends.backend_agg", "PIL.PngImagePlugin", "psycopg2", "psycopg_binary", "pyarrow._s3fs",
    "sqlalchemy.dialects.postgresql.psycopg", "sqlalchemy.dialects.postgresql.psycopg2",
    "uvicorn.lifespan.on", "uvicorn.loops.uvloop", "uvicorn.protocols.http.httptools_impl",
)  # fmt: skip
_ACTING = ("__main__", "migrations.env")  # as they are imported
_ELSEWHERE = (
    "local_stack.mail_",
    "local_stack.sqs",
)  # of the target `local`, with servers that the product lacks


def cut() -> None:
    doomed = [
        *(path for kind in _KINDS for path in PACKAGES.rglob(kind)),
        *(path for name in _FOLDERS for path in PACKAGES.rglob(name) if path.is_dir()),
        *(path for part in _PARTS for path in _found(part)),
        *(path for path in (PACKAGES / "botocore" / "data").iterdir() if path.is_dir() and path.name not in _SERVICES),
    ]  # fmt: skip
    for path in doomed:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _found(part: str) -> list[Path]:
    """Return what a pattern names; one that names nothing any more is to be looked at, not kept."""
    found = list(PACKAGES.glob(part))
    if not found:
        raise SystemExit(f"slim.py: there is no {part} any more")
    return found


def load() -> None:
    warnings.simplefilter("ignore")
    for name in (*_modules(), *_PROGRAMS):
        importlib.import_module(name)
    import boto3

    for service in sorted(_SERVICES):
        boto3.client(service, region_name="us-east-1")


def _modules() -> list[str]:
    """Return all modules of ours but those that act as they are imported, or need what only `local` has."""
    local = importlib.util.find_spec("moto") is not None
    return [
        module.name
        for package in map(importlib.import_module, _OURS)
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
        if not module.name.endswith(_ACTING) and (local or not module.name.startswith(_ELSEWHERE))
    ]


if __name__ == "__main__":
    {"cut": cut, "load": load}[sys.argv[1]]()
