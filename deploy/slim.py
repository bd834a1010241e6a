"""Reduces the image's environment while the image is built: `python slim.py cut`, then `python slim.py load`.

`cut` removes files that the product never opens. `load` imports every module that the product's programs
import, so the build fails if a needed file was cut, and Python writes bytecode for these modules only.
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

# Not read at run time, in any package.
_KINDS = ("*.pyi", "*.pyx", "*.pxd", "*.pxi", "*.h", "*.hpp", "*.c", "*.cpp", "*.a", "*.map")
_FOLDERS = ("tests", "include")

_PARTS = (
    "babel/locale-data",  # for Liquid's filters of money and dates, which templates do not have
    "fontTools/*Lib",  # fonts of PDF and PostScript; the charts are PNG
    "kubernetes/aio",  # the launcher uses the synchronous client
    "pyarrow/_flight.*", "pyarrow/libarrow_flight*", "pyarrow/libarrow_python_flight*",  # a table server
    "pyarrow/libarrow_python.so.*.*",  # a copy under another name
    "pyarrow/libarrow_python.so",
)  # fmt: skip

# The AWS services that the product calls, and those that provide credentials; botocore has 400.
_SERVICES = frozenset({"s3", "secretsmanager", "sesv2", "signin", "sqs", "sso", "sso-oidc", "sts"})

_OURS = (
    "crud_api", "local_stack", "migrations", "sequence_cli", "sequence_pipelines", "sequence_store",
    "step_mailing_worker", "webhook_sender",
)  # fmt: skip
_PROGRAMS = (
    "celery.bin.celery", "celery.apps.worker", "celery.backends.redis", "celery.concurrency.prefork",
    "kombu.transport.redis",
    "dagster._cli", "dagster._cli.code_server", "dagster._core.executor.in_process", "dagster._daemon.cli",
    "dagster._daemon.daemon", "dagster._grpc.server", "dagster._grpc.proxy_server",
    "dagster_aws.s3.compute_log_manager", "dagster_celery.app", "dagster_celery.launcher", "dagster_k8s",
    "dagster_postgres", "dagster_webserver.cli", "dagster_webserver.webserver",
    "matplotlib.backends.backend_agg", "PIL.PngImagePlugin", "psycopg2", "psycopg_binary", "pyarrow._s3fs",
    "sqlalchemy.dialects.postgresql.psycopg", "sqlalchemy.dialects.postgresql.psycopg2",
    "uvicorn.lifespan.on", "uvicorn.loops.uvloop", "uvicorn.protocols.http.httptools_impl",
)  # fmt: skip
_RUN_AT_IMPORT = ("__main__", "migrations.env")  # run code when imported
_LOCAL_ONLY = (
    "local_stack.mail_",
    "local_stack.sqs",
)  # only importable in the target `local`


def cut() -> None:
    services = (path for path in (PACKAGES / "botocore" / "data").iterdir() if path.is_dir())
    unused = [
        *(path for kind in _KINDS for path in PACKAGES.rglob(kind)),
        *(path for name in _FOLDERS for path in PACKAGES.rglob(name) if path.is_dir()),
        *(path for part in _PARTS for path in _found(part)),
        *(service for service in services if service.name not in _SERVICES),
    ]
    for path in unused:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _found(part: str) -> list[Path]:
    """Return the files that match a pattern; a pattern without a match is outdated and ends the build."""
    found = list(PACKAGES.glob(part))
    if not found:
        raise SystemExit(f"slim.py: nothing matches {part}; remove or change this pattern")
    return found


def load() -> None:
    warnings.simplefilter("ignore")
    for name in (*_modules(), *_PROGRAMS):
        importlib.import_module(name)
    import boto3

    for service in sorted(_SERVICES):
        boto3.client(service, region_name="us-east-1")


def _modules() -> list[str]:
    """Return the product's modules, without those that run code when imported or need packages of `local`."""
    local = importlib.util.find_spec("moto") is not None
    return [
        module.name
        for package in map(importlib.import_module, _OURS)
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
        if not module.name.endswith(_RUN_AT_IMPORT) and (local or not module.name.startswith(_LOCAL_ONLY))
    ]


if __name__ == "__main__":
    {"cut": cut, "load": load}[sys.argv[1]]()
