"""Brokers for tests: started here where a wheel has their server, else those of the machine."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from sightline.brokers.address import BrokerAddress
from sightline.brokers.link import ARROW
from sightline.brokers.opening import open_writer
from sightline.limits import DEFAULT_LIMITS

_START_S = 20.0


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def wait_for(port: int, *, until_s: float = _START_S) -> None:
    deadline = time.monotonic() + until_s
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise TimeoutError(f"nothing answers on port {port}")


def program(name: str) -> str:
    """A program that a wheel has put beside the interpreter; skips where it has not."""
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if found is None:
        pytest.skip(f"not tested: no program {name} (a wheel of the extra dev brings it)")
    return found


@dataclass
class NatsServer:
    """A NATS server of its own, whose JetStream is on the disk."""

    port: int = field(default_factory=free_port)
    folder: str = field(default_factory=lambda: tempfile.mkdtemp(prefix="sightline-nats-"))
    extra: Sequence[str] = ()
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            [program("nats-server"), "-js", "-sd", self.folder, "-a", "127.0.0.1",
             "-p", str(self.port), *self.extra],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        wait_for(self.port)

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


@dataclass
class Case:
    """One kind of broker: a fresh stream for each test.

    Attributes:
        has_numbers: whether the broker numbers messages, so that they can be read again.
    """

    name: str
    server: NatsServer
    has_numbers: bool = True

    def address(self, *, credentials: str = "") -> str:
        token = uuid.uuid4().hex[:8]
        return f"nats://{credentials}127.0.0.1:{self.server.port}/T{token}/t.{token}"

    def place(self, address: str) -> str:
        """The name by which the option ``dead_letter`` gives an address of this broker."""
        return BrokerAddress.parse(address).rest

    def bodies(self, source: Any, count: int) -> list[bytes]:
        """The bodies of the first messages of an opened source."""
        (reader,) = source.readers().values()
        found: list[bytes] = []
        try:
            reader.connect(None)
            while len(found) < count:
                found += [message.body for message in reader.read(5.0)]
        finally:
            reader.close()
        return found

    def publish_more(self, address: str, frame: pl.DataFrame, *, rows_each: int = 50) -> None:
        """Rows behind those that were published by 45 messages of 50 rows."""
        from brokers.run_cases import arrow_bodies

        self.publish(address, arrow_bodies(frame, rows_each), content_type=ARROW, first=45)

    def needs_numbers(self) -> None:
        if not self.has_numbers:
            pytest.skip(f"{self.name} does not number messages: it cannot be read like a file")

    def needs_restarts(self) -> None:
        """Skip where the server is the machine's, which nobody here may restart."""

    def publish(
        self, address: str, bodies: Sequence[bytes], *, content_type: str = "", first: int = 0
    ) -> None:
        writer = open_writer(
            BrokerAddress.parse(address), producer="test", creates=True, limits=DEFAULT_LIMITS
        )
        keys = [f"test:{first + i}" for i in range(len(bodies))]
        try:
            writer.write(bodies, content_type=content_type, keys=keys, deadline_s=20.0)
        finally:
            writer.close()


@contextlib.contextmanager
def nats_case() -> Iterator[Case]:
    server = NatsServer()
    server.start()
    try:
        yield Case("nats", server)
    finally:
        server.close()
