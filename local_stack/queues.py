"""Prepares the local SQS after a start: `python -m local_stack.queues`.

The local SQS loses its queues and messages when it stops. This creates the queues and sets sends that were
dispatched but not claimed back to planned. The same server has an S3: this creates the buckets that the
settings name, unless another S3 is used.
"""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from urllib.parse import urlsplit

import boto3
from botocore.config import Config

from sequence_store.errors import StoreError
from sequence_store.postgres.connection import connect
from sequence_store.postgres.lookback import LIVE_AT_MOST
from sequence_store.postgres.queries import query
from sequence_store.settings import OwnerSettings, read_settings
from sequence_store.sqs import create_queues, sqs_client

# The endpoint is on loopback, so no proxy of the environment counts.
S3 = Config(connect_timeout=3, read_timeout=30, retries={"mode": "standard", "max_attempts": 4}, proxies={})


def restore(settings: OwnerSettings) -> int:
    """Create the queues and return how many sends were set back to planned."""
    create_queues(sqs_client(settings), settings)
    create_buckets(settings)
    # A negative minimum age includes sends whose send time is in the future.
    every_age = {
        "since": datetime.now(UTC) - LIVE_AT_MOST,
        "older_than_seconds": -LIVE_AT_MOST.total_seconds(),
    }
    with connect(settings.database_url, name="local_stack") as connection:
        return connection.execute(query("reconcile", "requeue_dispatched"), every_age).rowcount


def create_buckets(settings: OwnerSettings) -> None:
    """Create the buckets of COMPUTE_LOGS_BUCKET and ASSET_STORE if the S3 is the local one."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3")
    store = urlsplit(os.environ.get("ASSET_STORE", ""))
    buckets = {os.environ.get("COMPUTE_LOGS_BUCKET", ""), store.netloc if store.scheme == "s3" else ""}
    if endpoint is None or endpoint != str(settings.aws_endpoint_url_sqs):
        return
    # In this region S3 needs no location; the local one serves its buckets in every region.
    client = boto3.client("s3", region_name="us-east-1", endpoint_url=endpoint, config=S3)
    for bucket in sorted(filter(None, buckets)):
        client.create_bucket(Bucket=bucket)
    client.close()


if __name__ == "__main__":
    try:
        print(f"{restore(read_settings(OwnerSettings))} sends set back to planned")  # noqa: T201
    except StoreError as error:
        sys.exit(str(error))
