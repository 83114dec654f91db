"""Kafka: positions are the offsets of a partition.

A reader takes one partition at the offset it is given, and no part in a group's sharing of
partitions: which run reads what is for its pipeline to say. What is kept is committed under the
group all the same, so that its lag can be seen. librdkafka keeps the connection, and fetches no
more than a bounded number of bytes ahead.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

from sightline.brokers.address import BrokerAddress
from sightline.brokers.link import (
    CONTENT_TYPE,
    DEAD_FROM,
    BrokerOutletError,
    BrokerRefused,
    Message,
    as_outlet_error,
    dead_headers,
    gone,
    lost,
    not_let_in,
    refused,
)
from sightline.limits import Limits

try:
    from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
    from confluent_kafka.admin import AdminClient
    from confluent_kafka.cimpl import NewTopic
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("confluent-kafka is missing: install sightline[brokers]") from error

_TOGETHER = 1000
"""Messages taken from the library at a time."""
_LEAST_BYTES = 1 << 20
"""Of one fetch, and of what is fetched ahead: less would cost a way to the broker a message."""
_LOST = frozenset(
    {
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._TRANSPORT,
        KafkaError._TIMED_OUT,
        KafkaError._RESOLVE,
    }
)
_NOT_LET_IN = frozenset(
    {
        *(KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED),
        *(KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED),
    }
)


def settings(address: BrokerAddress, limits: Limits) -> dict[str, Any]:
    """What every client of librdkafka is told."""
    found: dict[str, Any] = {
        "bootstrap.servers": address.server,
        "client.id": "sightline",
        "socket.timeout.ms": round(limits.broker_answer_s * 1000),
        "socket.connection.setup.timeout.ms": round(limits.broker_answer_s * 1000),
        "reconnect.backoff.max.ms": round(limits.broker_answer_s * 1000),
        "log_level": 0,
    }
    protocol = "SSL" if address.is_encrypted else "PLAINTEXT"
    if address.username:
        protocol = f"SASL_{protocol}"
        found["sasl.mechanism"] = "PLAIN" if address.is_encrypted else "SCRAM-SHA-512"
        found["sasl.username"], found["sasl.password"] = address.username, address.password or ""
    found["security.protocol"] = protocol
    for name, path in (
        ("ssl.ca.location", address.ca_file),
        ("ssl.certificate.location", address.certificate_file),
        ("ssl.key.location", address.key_file),
    ):
        if path and address.is_encrypted:
            found[name] = path
    return found


class KafkaReader:
    """Reads one partition of a topic: ``kafka://HOST/TOPIC``.

    Args:
        address: of the topic.
        partition: its number.
        consumer: name of the group under which offsets are committed.
        dead_letter: topic for what cannot be read; ``""``: none.
        limits: ``broker_answer_s``, ``broker_waiting_bytes``.
    """

    def __init__(
        self,
        address: BrokerAddress,
        *,
        partition: int,
        consumer: str,
        dead_letter: str,
        limits: Limits,
    ) -> None:
        self._address = address
        self._partition = partition
        self._origin = f"{address.name}/{partition}"
        self._limits = limits
        self._dead_letter = dead_letter
        self._failure: KafkaError | None = None
        self._settings = {
            **settings(address, limits),
            "group.id": consumer,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "error",
            "queued.max.messages.kbytes": max(limits.broker_waiting_bytes, _LEAST_BYTES) >> 10,
            "fetch.message.max.bytes": min(max(limits.max_message_bytes, _LEAST_BYTES), 8 << 20),
            "error_cb": self._note,
        }
        self._consumer: Consumer | None = None
        self._producer: Producer | None = None
        self._kept_until = self._committed = -1

    def _note(self, error: KafkaError) -> None:
        if error.code() in _LOST | _NOT_LET_IN:
            self._failure = error

    def _opened(self) -> Consumer:
        if self._consumer is None:
            self._failure = None
            self._consumer = Consumer(self._settings)
        return self._consumer

    def _raise(self, error: KafkaError) -> None:
        if error.code() in _NOT_LET_IN:
            raise not_let_in(self._address, "Kafka")
        raise lost(self._address, error.str())

    def connect(self, after: int | None) -> None:
        """See :class:`.Reader`."""
        self._let_go()
        first, _ = self.ends()
        if after is not None and after + 1 < first:
            raise gone(self._address, after + 1, first)
        start = first if after is None else after + 1
        self._opened().assign([TopicPartition(self._address.name, self._partition, start)])

    def read(self, wait_s: float) -> Sequence[Message]:
        """See :class:`.Reader`."""
        consumer = self._opened()
        self._commit(consumer)
        found: list[Message] = []
        for message in consumer.consume(_TOGETHER, wait_s):
            error = message.error()
            if error is None:
                found.append(self._message(message))
            elif error.code() != KafkaError._PARTITION_EOF:
                self._raise(error)
        if not found and self._failure is not None:
            self._raise(self._failure)
        if found:
            self._failure = None
        return found

    def _message(self, message: Any) -> Message:
        headers = dict(message.headers() or ())
        declared = headers.get(CONTENT_TYPE) or b""
        offset = int(message.offset())
        return Message(
            origin=self._origin,
            sequence=offset,
            body=message.value() or b"",
            content_type=declared.decode(errors="replace"),
            receipt=offset,
        )

    def ends(self) -> tuple[int, int]:
        """See :class:`.Reader`."""
        place = TopicPartition(self._address.name, self._partition)
        try:
            found = self._opened().get_watermark_offsets(
                place, timeout=self._limits.broker_answer_s
            )
        except KafkaException as error:
            if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise _no_topic(self._address) from None
            self._raise(error.args[0])
        if found is None:
            raise lost(self._address, "no answer in time")
        return found[0], found[1] - 1

    def identity(self) -> Mapping[str, str]:
        """See :class:`.Reader`."""
        return {"cluster": str(_topic(self._opened(), self._address, self._limits)[1])}

    def keep(self, receipts: Sequence[int]) -> None:
        """See :class:`.Reader`: the offset behind the last is committed before the next reading.

        Not here: a call on a consumer waits until another thread's is over, and one that reads
        again and again lets nobody in.
        """
        self._kept_until = receipts[-1] + 1

    def _commit(self, consumer: Consumer) -> None:
        until = self._kept_until
        if until > self._committed:
            place = TopicPartition(self._address.name, self._partition, until)
            consumer.commit(offsets=[place], asynchronous=True)
            self._committed = until

    def set_aside(self, message: Message, reason: str) -> None:
        """See :class:`.Reader`."""
        if self._producer is None:
            self._producer = Producer({**settings(self._address, self._limits), "acks": "all"})
        told = dead_headers(message, reason)
        headers: dict[str, str | bytes | None] = {CONTENT_TYPE: message.content_type, **told}
        self._producer.produce(
            self._dead_letter, message.body, key=told[DEAD_FROM].encode(), headers=headers
        )
        if self._producer.flush(self._limits.broker_answer_s):
            raise lost(self._address, "the topic of dead letters takes nothing")

    def _let_go(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            self._commit(consumer)
            consumer.close()

    def close(self) -> None:
        """See :class:`.Reader`."""
        self._let_go()


def partitions_of(address: BrokerAddress, *, limits: Limits) -> list[int]:
    """Numbers of the partitions of a topic.

    Raises:
        BrokerLost: no answer.
        BrokerRefused: no such topic.
    """
    client = AdminClient(settings(address, limits))
    return _topic(client, address, limits)[0]


def _topic(client: Any, address: BrokerAddress, limits: Limits) -> tuple[list[int], object]:
    try:
        # To ask for one topic would make it on many brokers.
        found = client.list_topics(timeout=limits.broker_answer_s)
    except KafkaException as error:
        raise lost(address, error.args[0].str()) from error
    topic = found.topics.get(address.name)
    if topic is None or topic.error is not None or not topic.partitions:
        raise _no_topic(address)
    return sorted(topic.partitions), found.cluster_id


def _no_topic(address: BrokerAddress) -> BrokerRefused:
    return refused(
        address,
        expected=f"a topic {address.name}",
        got="no such topic",
        action="make it: `sightline publish … --create`, or kafka-topics --create",
    )


class KafkaWriter:
    """Publishes to a topic; what one sender writes stays in one partition, in order.

    The broker has a message when all replicas that are in step have it (``acks=all``), and takes it
    once from one producer (``enable.idempotence``).

    Args:
        address: of the topic.
        producer: name of the sender, by which its partition is chosen.
        creates: make the topic where there is none.
        limits: ``broker_answer_s``.
    """

    def __init__(
        self, address: BrokerAddress, *, producer: str, creates: bool, limits: Limits
    ) -> None:
        self._address = address
        self._key = producer.encode() or None
        self._creates = creates
        self._limits = limits
        self._producer: Producer | None = None

    def write(
        self, bodies: Sequence[bytes], *, content_type: str, keys: Sequence[str], deadline_s: float
    ) -> None:
        """See :class:`.Writer`."""
        if self._creates:
            self._create()
            self._creates = False
        if self._producer is None:
            self._producer = Producer(
                {
                    **settings(self._address, self._limits),
                    "enable.idempotence": True,
                    "acks": "all",
                    "linger.ms": 5,
                    "message.max.bytes": 8 << 20,
                    "queue.buffering.max.kbytes": 256 << 10,
                }
            )
        failed: list[str] = []

        def told(error: KafkaError | None, message: object) -> None:
            if error is not None:
                failed.append(error.str())

        until_s = time.monotonic() + deadline_s
        try:
            for body, key in zip(bodies, keys, strict=True):
                headers: dict[str, str | bytes | None] = {
                    CONTENT_TYPE: content_type,
                    "sightline-key": key,
                }
                self._producer.produce(
                    self._address.name, body, key=self._key, headers=headers, on_delivery=told
                )
                self._producer.poll(0)
        except (KafkaException, BufferError) as error:
            failed.append(str(error))
        left = self._producer.flush(max(until_s - time.monotonic(), 0.1))
        if failed or left:
            raise BrokerOutletError(
                expected="the topic to take every message",
                got=failed[0] if failed else f"no answer for {left} of them in time",
                where=str(self._address),
                action="check that the broker runs and has room, then publish again",
            )

    def _create(self) -> None:
        client = AdminClient(settings(self._address, self._limits))
        with as_outlet_error(), contextlib.suppress(BrokerRefused):  # there is none yet
            _topic(client, self._address, self._limits)
            return
        topic = NewTopic(self._address.name, num_partitions=1, replication_factor=1)
        for made in client.create_topics([topic]).values():
            try:
                made.result(self._limits.broker_answer_s)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise BrokerOutletError(
                        expected="a topic that can be made",
                        got=error.args[0].str(),
                        where=str(self._address),
                        action="make it by hand, or ask for the right to",
                    ) from error

    def close(self) -> None:
        """See :class:`.Writer`."""
        if self._producer is not None:
            self._producer.flush(self._limits.broker_answer_s)
