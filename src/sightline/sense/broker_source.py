"""Sources that are brokers: read in order, told what is kept, and found again when they were gone.

What comes is numbered by the broker, so the log of a run knows up to where each of its partitions
has every message. A run that goes on begins there, whatever the broker believes; the broker is told
only so that people see how far we are. A live run takes messages as they come; another one reads a
stream like a file, up to where it ended when the run began.
"""

from __future__ import annotations

import threading
import time
from abc import abstractmethod
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, Self

from pydantic import Field

from sightline.brokers.address import BrokerAddress
from sightline.brokers.link import BrokerLost, Message, Reader
from sightline.errors import SourceError, UsageError
from sightline.limits import Limits
from sightline.sense.contract import Contract
from sightline.sense.messages import Encoding, MessageRows, message_of, position_behind, unreadable
from sightline.sense.source import Chunk, Position, Source, SourceOptions, Stream, Surroundings

_READ_S = 0.2
"""Longest wait for messages before a stop is looked for."""


class BrokerOptions(SourceOptions):
    """How messages are read."""

    encoding: Encoding = "auto"
    """What a message holds: json (objects, one a line) or arrow (an IPC stream of rows). auto: as
    its header content-type says, else by its first bytes."""
    dead_letter: str = ""
    """Subject, topic or queue of the same broker for messages of which something cannot be read.
    They are in quarantine too; without it they are only there."""
    consumer: str = Field(default="", pattern=r"^[A-Za-z0-9_-]{0,64}$")
    """Name under which the broker shows how far this source is; by default sightline-NAME."""
    give_up_s: float = Field(default=300.0, gt=0, json_schema_extra={"unit": "s"})
    """Longest time without the broker; then the run ends, and a resume goes on behind what came."""


class BrokerSource(Source):
    """Rows from a broker.

    Args:
        address: of the stream, topic or queue.
        name: of the source in the pipeline.
        contract: of its rows.
        options: how.
        surroundings: bounds, and who is told of a broker that is gone.
    """

    gives = "rows"
    Options: ClassVar[type[BrokerOptions]] = BrokerOptions
    seeks = True

    def __init__(
        self,
        address: BrokerAddress,
        *,
        name: str,
        contract: Contract,
        options: BrokerOptions,
        surroundings: Surroundings,
    ) -> None:
        self.name = name
        self.address = address
        self.options = options
        self.limits: Limits = surroundings.limits
        self._contract = contract
        self._is_live = surroundings.is_live
        self.tell = surroundings.tell
        self._closed = threading.Event()
        self._lanes: dict[str, _Lane] = {}
        self._after: dict[str, int] = {}  # of a live run that goes on: the last message it has
        self._given: dict[str, tuple[int, int]] = {}  # of another run: first and last message

    @classmethod
    def open(
        cls, location: str, *, name: str, contract: Any, options: Any, surroundings: Surroundings
    ) -> Self:
        """Look whether the broker is there, lets us in, and has what is to be read."""
        source = cls(
            BrokerAddress.parse(location),
            name=name,
            contract=contract,
            options=options,
            surroundings=surroundings,
        )
        source._check()
        return source

    @abstractmethod
    def readers(self) -> Mapping[str, Reader]:
        """A new reader for each stream that is there, by origin."""

    def _how(self) -> dict[str, Any]:
        """What every reader is told."""
        return {
            "consumer": self.options.consumer or f"sightline-{self.name}",
            "dead_letter": self.options.dead_letter,
            "limits": self.limits,
        }

    def _check(self) -> None:
        for lane in self._opened().values():
            lane.reader.identity()

    def _opened(self) -> dict[str, _Lane]:
        if not self._is_live and not self.durable:
            raise UsageError(
                expected="--live: a queue has no end that a run could read up to",
                got="a run without it",
                where=f"source {self.name}",
                action="add --live",
            )
        if not self._lanes:
            self._closed.clear()
            self._lanes = {
                origin: _Lane(reader, self._after) for origin, reader in self.readers().items()
            }
        return self._lanes

    def fingerprint(self) -> Sequence[Mapping[str, str | int]]:
        """Which streams these are; of a run that is not live also where they began and ended.

        Raises:
            SourceError: the broker does not answer, or has deleted what the run began with.
        """
        found: list[Mapping[str, str | int]] = []
        for origin, lane in sorted(self._opened().items()):
            one: dict[str, str | int] = {"origin": origin, **lane.reader.identity()}
            if not self._is_live:
                first, last = self._bounds(origin, lane)
                one |= {"first": first, "last": last}
            found.append(one)
        return found

    def _bounds(self, origin: str, lane: _Lane) -> tuple[int, int]:
        """First and last message of a run that is not live."""
        if origin not in self._given:
            ends = lane.reader.ends()
            assert ends is not None
            self._given[origin] = ends
        return self._given[origin]

    def resume(
        self,
        fingerprint: Sequence[Mapping[str, str | int]],
        positions: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        """Go on: behind what the log has, or from the beginning of the same messages."""
        for one in fingerprint:
            if not self._is_live and "last" in one:
                self._given[str(one["origin"])] = (int(one["first"]), int(one["last"]))
        found = {o: message_of(at) - 1 for o, at in positions.items() if at > 0}
        if found:
            self.close()  # whoever was opened before did not know
            self._after.update(found)

    def streams(self) -> list[Stream]:
        """One per stream or partition that is there."""
        return [
            Stream(origin=origin, chunks=lambda o=origin: self._chunks(o))  # type: ignore[misc]
            for origin in self._opened()
        ]

    def committed(self, positions: Mapping[str, Position]) -> None:
        """Tell the broker what is kept; a connection that is gone is told nothing."""
        for lane in self._lanes.values():
            lane.keep(positions)

    def close(self) -> None:
        """End every connection; :meth:`streams` makes new ones."""
        self._closed.set()
        lanes, self._lanes = self._lanes, {}
        for lane in lanes.values():
            lane.reader.close()

    def _chunks(self, origin: str) -> Iterator[Chunk]:
        lane = self._opened()[origin]
        rows = MessageRows(self._contract, self.options.encoding, self.limits)
        after = self._after.get(origin)
        last: int | None = None
        if not self._is_live:
            first, last = self._bounds(origin, lane)
            after = first - 1
            if last < first:
                return
        waits = _Waits(self, origin)
        while not self._closed.is_set():
            try:
                lane.connect(after)
                waits.is_well()
                while not self._closed.is_set() and (last is None or after is None or after < last):
                    for chunk, messages in rows.chunks(lane.read(_READ_S, until=last)):
                        if self.options.dead_letter:
                            for message, why in unreadable(chunk, messages):
                                lane.reader.set_aside(message, why)
                        lane.gave(chunk, messages)
                        after = messages[-1].sequence
                        yield chunk
                return
            except BrokerLost as error:
                if self._closed.is_set():
                    return
                waits.after(error)

    def wait(self, seconds: float) -> None:
        """Wait, unless the source is closed."""
        self._closed.wait(seconds)


class _Waits:
    """Waits between two connections: doubled up to a bound, and at the end an error."""

    def __init__(self, source: BrokerSource, origin: str) -> None:
        self._source = source
        self._where = f"source {source.name}, {origin}"
        self._since_s: float | None = None
        self._wait_s = 0.0

    def is_well(self) -> None:
        if self._since_s is not None:
            self._source.tell(f"{self._where}: the broker is there again")
        self._since_s, self._wait_s = None, 0.0

    def after(self, error: BrokerLost) -> None:
        """Wait before the next try.

        Raises:
            SourceError: the broker was gone for too long.
        """
        now_s = time.monotonic()
        if self._since_s is None:
            self._since_s = now_s
            self._source.tell(f"{self._where}: {error.got}; it is tried again")
        elif now_s - self._since_s > self._source.options.give_up_s:
            raise SourceError(
                expected=f"a broker that answers within {self._source.options.give_up_s:g} s",
                got=error.got,
                where=self._where,
                action="start it, then go on with --resume: what came is kept",
            ) from error
        limits = self._source.limits
        self._wait_s = min(max(2 * self._wait_s, limits.reconnect_first_s), limits.broker_retry_s)
        self._source.wait(self._wait_s)


class _Lane:
    """One stream, its reader, and the messages of which the broker was not told yet."""

    def __init__(self, reader: Reader, kept: Mapping[str, int]) -> None:
        self.reader = reader
        self._lock = threading.Lock()
        self._untold: deque[tuple[str, int, list[Any]]] = deque()
        self._newest = dict(kept)
        self._kept = {origin: position_behind(sequence) for origin, sequence in kept.items()}

    def connect(self, after: int | None) -> None:
        with self._lock:  # receipts of a connection are worth nothing on the next
            self._untold.clear()
        self.reader.connect(after)

    def read(self, wait_s: float, *, until: int | None) -> list[Message]:
        """Messages that are new, up to the last one that is wanted."""
        found: list[Message] = []
        is_again = False
        for message in self.reader.read(wait_s):
            if until is not None and message.sequence > until:
                break
            if message.is_exact and message.sequence <= self._newest.get(message.origin, -1):
                # Given again after a connection broke: the rows are here already.
                order = position_behind(message.sequence)
                with self._lock:
                    self._untold.append((message.origin, order, [message.receipt]))
                is_again = True
                continue
            found.append(message)
        if is_again:
            self.keep({})
        return found

    def gave(self, chunk: Chunk, messages: Sequence[Message]) -> None:
        """These were handed on."""
        assert chunk.position is not None
        receipts = [message.receipt for message in messages]
        with self._lock:
            self._untold.append((chunk.origin, _order(chunk.position), receipts))
        if messages[-1].is_exact:
            self._newest[chunk.origin] = messages[-1].sequence

    def keep(self, positions: Mapping[str, Position]) -> None:
        """Tell of everything, in order of receipt, up to the first that is not kept."""
        receipts: list[Any] = []
        with self._lock:
            for origin, position in positions.items():
                self._kept[origin] = max(_order(position), self._kept.get(origin, -1))
            while self._untold and self._untold[0][1] <= self._kept.get(self._untold[0][0], -1):
                receipts += self._untold.popleft()[2]
        if receipts:
            self.reader.keep(receipts)


def _order(position: Position) -> int:
    """A number that grows with the positions of an origin."""
    return position if isinstance(position, int) else int(position.rpartition(" ")[2])


class JetStreamSource(BrokerSource):
    """A NATS JetStream stream: ``nats://HOST[:PORT]/STREAM[/SUBJECT]``, ``nats+tls://…``."""

    schemes = ("nats", "nats+tls")
    durable = True

    def readers(self) -> Mapping[str, Reader]:
        """One: the stream."""
        from sightline.brokers.nats_jetstream import JetStreamReader  # noqa: PLC0415 - an extra

        return {self.address.name: JetStreamReader(self.address, **self._how())}


class KafkaSource(BrokerSource):
    """A Kafka topic: ``kafka://HOST[:PORT]/TOPIC``, ``kafka+tls://…``; each partition a stream."""

    schemes = ("kafka", "kafka+tls")
    durable = True

    def readers(self) -> Mapping[str, Reader]:
        """One for each partition that is there now."""
        from sightline.brokers.kafka import KafkaReader, partitions_of  # noqa: PLC0415 - an extra

        return {
            f"{self.address.name}/{n}": KafkaReader(self.address, partition=n, **self._how())
            for n in partitions_of(self.address, limits=self.limits)
        }


class AmqpQueueSource(BrokerSource):
    """A RabbitMQ queue: ``amqp://HOST[:PORT][/VHOST]/QUEUE``, ``amqps://…``; live runs only."""

    schemes = ("amqp", "amqps")

    def readers(self) -> Mapping[str, Reader]:
        """One: the queue."""
        from sightline.brokers.rabbitmq import AmqpReader  # noqa: PLC0415 - an extra

        return {self.address.rest or self.address.name: AmqpReader(self.address, **self._how())}


class AmqpStreamSource(AmqpQueueSource):
    """A RabbitMQ stream: ``amqp+stream://HOST[:PORT][/VHOST]/STREAM``, ``amqps+stream://…``."""

    schemes = ("amqp+stream", "amqps+stream")
    durable = True


class MqttOptions(BrokerOptions):
    """How messages are read, and what the broker keeps of them."""

    share: str = Field(default="", pattern=r"^[^+#/]{0,64}$")
    """Group of a shared subscription: its members get a part of the messages each. Then a message
    that is given again is known by its rows alone: the newest of a key and time counts."""
    session_s: int = Field(default=86_400, ge=1, json_schema_extra={"unit": "s"})
    """The broker keeps messages for so long while nobody is connected."""


class MqttSource(BrokerSource):
    """An MQTT 5 topic: ``mqtt://HOST[:PORT]/TOPIC``, ``mqtts://…``; live runs only."""

    schemes = ("mqtt", "mqtts")
    Options = MqttOptions

    def readers(self) -> Mapping[str, Reader]:
        """One: the topic."""
        from sightline.brokers.mqtt5 import MqttReader  # noqa: PLC0415 - an extra

        assert isinstance(self.options, MqttOptions)
        reader = MqttReader(
            self.address,
            share=self.options.share,
            session_s=self.options.session_s,
            **self._how(),
        )
        return {"/".join(filter(None, [self.address.name, self.address.rest])): reader}
