"""AWS on this machine: moto's server, with a bucket, secrets and parameters."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass

import pytest

_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "planted-key-id",
    "AWS_SECRET_ACCESS_KEY": "planted-access-key",
    "AWS_REGION": "eu-central-1",
    "AWS_DEFAULT_REGION": "eu-central-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@dataclass(frozen=True)
class Aws:
    environment: dict[str, str]

    def client(self, what):
        import boto3

        return boto3.client(
            what,
            endpoint_url=self.environment["AWS_ENDPOINT_URL"],
            aws_access_key_id="planted-key-id",
            aws_secret_access_key="planted-access-key",
            region_name="eu-central-1",
        )


@contextlib.contextmanager
def running_aws():
    """A server of its own; skips where moto is not installed."""
    pytest.importorskip("moto", reason="AWS not tested: no moto")
    pytest.importorskip("boto3", reason="AWS not tested: no boto3")
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        env={**os.environ, **_ENVIRONMENT},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until_s = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            assert time.monotonic() < until_s, "moto's server did not start"
            time.sleep(0.1)
        yield Aws({**_ENVIRONMENT, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"})
    finally:
        server.terminate()
        server.wait(10)
