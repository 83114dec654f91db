"""MQTT 5: a session that outlives its connection, or a share of a group's.

A broker of this kind numbers nothing and keeps only what a session has not acknowledged. So we
acknowledge a message when it is kept, and know those of a sender that numbers them by its numbers
(user properties ``sightline-producer`` and ``sightline-sequence``). The members of a shared
subscription take each other's messages over when one dies, in no order: there a number cannot tell
what was kept, and such messages count as not numbered.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from sightline.brokers.address import BrokerAddress
from sightline.brokers.link import (
    CONTENT_TYPE,
    PRODUCER,
    SEQUENCE,
    Arrivals,
    Message,
    as_outlet_error,
    dead_headers,
    lost,
    not_let_in,
    refused,
)
from sightline.limits import Limits

try:
    from paho.mqtt.client import Client, MQTTMessage
    from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.properties import Properties
    from paho.mqtt.reasoncodes import ReasonCode
    from paho.mqtt.subscribeoptions import SubscribeOptions
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("paho-mqtt is missing: install sightline[brokers]") from error

_RECEIVE_MAXIMUM = 65_535
"""Messages that a broker may give before the first is acknowledged; its own bound may be lower."""
_NOT_LET_IN = frozenset({"Bad user name or password", "Not authorized", "Banned"})


class _Link:
    """One connection; paho's own thread keeps it alive."""

    def __init__(
        self,
        address: BrokerAddress,
        *,
        client_id: str,
        session_s: int,
        limits: Limits,
        arrived: Any = None,
    ) -> None:
        self._address = address
        self._answer_s = limits.broker_answer_s
        self._changed = threading.Condition()
        self._answers: dict[int, ReasonCode | None] = {}
        self._connected: ReasonCode | None = None
        self.failure = ""
        self.client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=MQTTProtocolVersion.MQTTv5,
            manual_ack=True,
            reconnect_on_failure=False,
        )
        self.client.max_inflight_messages_set(1000)
        self.client.connect_timeout = self._answer_s
        if address.username:
            self.client.username_pw_set(address.username, address.password)
        tls = address.tls()
        if tls is not None:
            self.client.tls_set_context(tls)
        self.client.on_connect = self._on_connect
        self.client.on_disconnect = self._on_disconnect
        self.client.on_publish = self._on_publish
        self.client.on_subscribe = self._on_subscribe
        if arrived is not None:
            self.client.on_message = arrived
        self._arrivals: Arrivals | None = None
        how: Any = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        how.SessionExpiryInterval = session_s
        how.ReceiveMaximum = _RECEIVE_MAXIMUM
        try:
            self.client.connect(
                address.host,
                address.port,
                keepalive=max(round(2 * self._answer_s), 2),
                clean_start=not session_s,
                properties=how,
            )
        except (OSError, ValueError) as error:
            raise lost(address, error) from error
        self.client.loop_start()
        with self._changed:
            self._changed.wait_for(lambda: self._connected or self.failure, self._answer_s)
            code = self._connected
        if code is None or code.is_failure:
            self.close()
            if code is not None and str(code) in _NOT_LET_IN:
                raise not_let_in(address, "MQTT")
            raise lost(address, str(code or self.failure or "no answer in time"))

    def follow(self, arrivals: Arrivals) -> None:
        """Tell ``arrivals`` when the connection breaks."""
        self._arrivals = arrivals

    def _on_connect(self, _c: Any, _u: Any, _f: Any, code: ReasonCode, _p: Any) -> None:
        with self._changed:
            self._connected = code
            self._changed.notify_all()

    def _on_disconnect(self, _c: Any, _u: Any, _f: Any, code: ReasonCode, _p: Any) -> None:
        with self._changed:
            self.failure = str(code) or "the connection broke"
            self._changed.notify_all()
        if self._arrivals is not None:
            self._arrivals.fail(lost(self._address, self.failure))

    def _on_publish(self, _c: Any, _u: Any, mid: int, code: ReasonCode, _p: Any) -> None:
        with self._changed:
            self._answers[mid] = code
            self._changed.notify_all()

    def _on_subscribe(self, _c: Any, _u: Any, mid: int, codes: list[ReasonCode], _p: Any) -> None:
        with self._changed:
            self._answers[mid] = codes[0] if codes else None
            self._changed.notify_all()

    def answers(self, mids: Sequence[int], *, timeout_s: float) -> list[str]:
        """Wait for what the broker says of these packets: why it refused, of those it did.

        Raises:
            BrokerLost: not all were answered in time.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: self.failure or all(mid in self._answers for mid in mids), timeout_s
            )
            if any(mid not in self._answers for mid in mids):
                raise lost(self._address, self.failure or "no answer in time")
            codes = [self._answers.pop(mid) for mid in mids]
        return [str(code) for code in codes if code is not None and code.is_failure]

    def publish(
        self,
        topic: str,
        bodies: Sequence[bytes],
        *,
        content_type: str,
        properties: Sequence[Sequence[tuple[str, str]]],
        timeout_s: float,
    ) -> None:
        """Publish with QoS 1 and wait until the broker has all.

        Raises:
            BrokerLost: it does not answer.
            BrokerRefused: it refuses a message.
        """
        until_s = time.monotonic() + timeout_s
        mids = []
        for body, user in zip(bodies, properties, strict=True):
            told: Any = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            if content_type:
                told.ContentType = content_type
            told.UserProperty = list(user)
            sent = self.client.publish(topic, body, qos=1, properties=told)
            if sent.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
                raise lost(self._address, self.failure or sent.rc.name)
            mids.append(sent.mid)
        why = self.answers(mids, timeout_s=max(until_s - time.monotonic(), 0.1))
        if why and why[0] != "No matching subscribers":
            raise refused(
                self._address,
                expected="the broker to take what is published",
                got=f"MQTT: {why[0]}",
                action="ask for the right to publish there",
            )

    def close(self) -> None:
        self._arrivals = None
        self.client.disconnect()
        self.client.loop_stop()


class MqttReader:
    """Reads a topic, wildcards allowed: ``mqtt://HOST/TOPIC``.

    Args:
        address: of the topic.
        consumer: client id; the broker keeps the session under it, and lets one connection have it.
        share: group of a shared subscription; ``""``: none.
        session_s: the broker keeps what comes for so long while we are away.
        dead_letter: topic for what cannot be read; ``""``: none.
        limits: ``broker_answer_s``, ``broker_waiting_bytes``.
    """

    def __init__(
        self,
        address: BrokerAddress,
        *,
        consumer: str,
        share: str,
        session_s: int,
        dead_letter: str,
        limits: Limits,
    ) -> None:
        self._address = address
        self._topic = "/".join(filter(None, [address.name, address.rest]))
        self._consumer = consumer
        self._share = share
        self._session_s = session_s
        self._dead_letter = dead_letter
        self._limits = limits
        self._link: _Link | None = None
        self._arrivals = Arrivals(limits.broker_waiting_bytes)
        self._count = 0

    def connect(self, after: int | None) -> None:
        """See :class:`.Reader`."""
        self.close()
        arrivals = self._arrivals = Arrivals(self._limits.broker_waiting_bytes)

        def arrived(client: Client, _: object, message: MQTTMessage) -> None:
            arrivals.put(self._message(client, message))

        self._link = _Link(
            self._address,
            client_id=self._consumer,
            session_s=self._session_s,
            limits=self._limits,
            arrived=arrived,
        )
        self._link.follow(arrivals)
        topic = f"$share/{self._share}/{self._topic}" if self._share else self._topic
        _, mid = self._link.client.subscribe(topic, options=SubscribeOptions(qos=1))
        why = self._link.answers([mid or 0], timeout_s=self._limits.broker_answer_s)
        if why:
            raise refused(
                self._address,
                expected="the broker to let us subscribe",
                got=f"MQTT: {why[0]}",
                action="ask for the right to read there",
            )

    def _message(self, client: Client, message: MQTTMessage) -> Message:
        self._count += 1
        user = dict(getattr(message.properties, "UserProperty", ()))
        declared = getattr(message.properties, "ContentType", "")
        producer, sequence = user.get(PRODUCER), user.get(SEQUENCE, "")
        is_numbered = bool(producer) and sequence.isdecimal() and not self._share
        return Message(
            origin=f"{message.topic}/{producer}" if is_numbered else message.topic,
            sequence=int(sequence) if is_numbered else self._count,
            body=bytes(message.payload),
            content_type=declared or user.get(CONTENT_TYPE, ""),
            receipt=(client, message.mid, message.qos),
            is_exact=is_numbered,
        )

    def read(self, wait_s: float) -> Sequence[Message]:
        """See :class:`.Reader`."""
        return self._arrivals.take(wait_s)

    def ends(self) -> None:
        """See :class:`.Reader`."""

    def identity(self) -> Mapping[str, str]:
        """See :class:`.Reader`: looks only whether the broker is there; it tells nothing else."""
        if self._link is None:
            _Link(self._address, client_id="", session_s=0, limits=self._limits).close()
        return {}

    def keep(self, receipts: Sequence[Any]) -> None:
        """See :class:`.Reader`: each message is acknowledged by itself."""
        link = self._link
        for client, mid, qos in receipts:
            if link is not None and client is link.client:
                client.ack(mid, qos)

    def set_aside(self, message: Message, reason: str) -> None:
        """See :class:`.Reader`."""
        assert self._link is not None
        self._link.publish(
            self._dead_letter,
            [message.body],
            content_type=message.content_type,
            properties=[list(dead_headers(message, reason).items())],
            timeout_s=self._limits.broker_answer_s,
        )

    def close(self) -> None:
        """See :class:`.Reader`: the session stays with the broker."""
        link, self._link = self._link, None
        if link is not None:
            link.close()


class MqttWriter:
    """Publishes to a topic with QoS 1; returns when the broker has said that it has everything.

    Args:
        address: of the topic.
        producer: name of the sender, in the user properties of each message.
        limits: ``broker_answer_s``.
    """

    def __init__(self, address: BrokerAddress, *, producer: str, limits: Limits) -> None:
        self._address = address
        self._topic = "/".join(filter(None, [address.name, address.rest]))
        self._producer = producer
        self._limits = limits
        self._link: _Link | None = None

    def write(
        self, bodies: Sequence[bytes], *, content_type: str, keys: Sequence[str], deadline_s: float
    ) -> None:
        """See :class:`.Writer`."""
        numbers = [key.rpartition(":")[2] for key in keys]
        properties = [
            [(PRODUCER, self._producer), (SEQUENCE, n)] if n.isdecimal() else [] for n in numbers
        ]
        with as_outlet_error():
            if self._link is None or self._link.failure:
                self._link = _Link(self._address, client_id="", session_s=0, limits=self._limits)
            self._link.publish(
                self._topic,
                bodies,
                content_type=content_type,
                properties=properties,
                timeout_s=deadline_s,
            )

    def close(self) -> None:
        """See :class:`.Writer`."""
        if self._link is not None:
            self._link.close()
