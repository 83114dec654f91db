"""The outlet that speaks Sparkplug B over MQTT: an edge node whose metrics are the newest part.

``NBIRTH`` says which metrics there are, ``NDATA`` what was said, and ``NDEATH`` is the last will of
the broker. Source: Eclipse Sparkplug 3.0, chapters 4 to 6 (topics, sequence numbers, payload). Two
things differ: messages have QoS 1 where it asks for 0, because an alert counts as taken only when
the broker has acknowledged it; and commands to the node (``NCMD``, with which a host asks for a new
birth) are not taken: a connection that is made anew is a birth.

The payload is Google's protocol buffers, written here: eleven fields need no generated code.
"""

from __future__ import annotations

import json
import struct
import threading
import time
from collections.abc import Callable
from typing import Any, ClassVar, Self
from urllib.parse import urlsplit

from sightline.act.mqtt import BrokerAddress, LinkFailure, MqttLink, MqttOptions, tls_context
from sightline.act.outlet import DeliveryError, Outlet, OutletOptions, Sayable, Taken
from sightline.errors import UsageError
from sightline.limits import DEFAULT_LIMITS, Limits

INT64, DOUBLE, BOOLEAN, TEXT = 4, 10, 11, 12
"""Types of metrics (Sparkplug 3.0, 6.4.16)."""
_TURN = 256
"""Sequence numbers go from 0 to 255 and begin again."""
Metric = tuple[str, int, int | float | bool | str]
"""Name, type and value."""


def payload(metrics: list[Metric], *, at_ms: int, sequence: int | None) -> bytes:
    """A Sparkplug B payload.

    Args:
        metrics: what is said.
        at_ms: time of all of it, ms since 1970.
        sequence: 0 to 255; None: of a death, which has none.

    >>> payload([("bdSeq", INT64, 1)], at_ms=2, sequence=0).hex()
    '0802120d0a0562645365711802200458011800'
    """
    found = _varint_field(1, at_ms)
    for name, kind, value in metrics:
        one = _bytes_field(1, name.encode()) + _varint_field(3, at_ms) + _varint_field(4, kind)
        if kind == DOUBLE:
            one += _key(13, 1) + struct.pack("<d", float(value))
        elif kind == TEXT:
            one += _bytes_field(15, str(value).encode())
        else:
            one += _varint_field(14 if kind == BOOLEAN else 11, int(value) % (1 << 64))
        found += _bytes_field(2, one)
    return found if sequence is None else found + _varint_field(3, sequence)


def _key(field: int, wire: int) -> bytes:
    return _varint(field << 3 | wire)


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)


def _varint_field(field: int, number: int) -> bytes:
    return _key(field, 0) + _varint(number)


def _bytes_field(field: int, data: bytes) -> bytes:
    return _key(field, 2) + _varint(len(data)) + data


class SparkplugOutlet(Outlet):
    """An edge node: ``sparkplug://HOST[:PORT]/GROUP/NODE``, with TLS ``sparkplugs://``.

    Metrics: ``Part/Key`` (the idempotency key), ``Part/Subject``, ``Part/Kind``, ``Part/Code``,
    ``Part/Raised``, ``Part/Value``, ``Part/EventNs``. Credentials and files as of ``mqtt:``.

    Args:
        address: of the broker.
        group, node: of the edge node.
        wall_ns: UTC ns.
        timeout_s: for each answer of the broker while a connection is made.
    """

    schemes: ClassVar[tuple[str, ...]] = ("sparkplug", "sparkplugs")
    takes: ClassVar[tuple[Taken, ...]] = ("alerts",)
    options: ClassVar[type[OutletOptions]] = MqttOptions

    def __init__(
        self,
        address: BrokerAddress,
        *,
        group: str,
        node: str,
        wall_ns: Callable[[], int] = time.time_ns,
        timeout_s: float = DEFAULT_LIMITS.delivery_timeout_s,
    ) -> None:
        self._address = address
        self._topic = f"spBv1.0/{group}/{{}}/{node}"
        self._client_id = f"{group}-{node}"
        self._wall_ns = wall_ns
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._link: MqttLink | None = None
        self._births = -1
        self._sequence = 0

    @classmethod
    def open(cls, location: str, *, name: str, options: Any, limits: Limits) -> Self:
        """``sparkplug://HOST[:PORT]/GROUP/NODE``."""
        parts = urlsplit(location)
        names = parts.path.strip("/").split("/")
        is_sound = len(names) == 2 and all(n and not set(n) & set("+#") for n in names)
        if not parts.hostname or not is_sound or parts.query or parts.username is not None:
            raise UsageError(
                expected="sparkplug://HOST[:PORT]/GROUP/NODE, without user and password",
                got="another form",
                where=name,
                action="mend the address; credentials as for mqtt: in the environment",
            )
        is_encrypted = parts.scheme == "sparkplugs"
        return cls(
            BrokerAddress(
                host=parts.hostname,
                port=parts.port or (8883 if is_encrypted else 1883),
                username=options.username,
                password=options.password.get_secret_value() if options.password else None,
                tls=tls_context(options) if is_encrypted else None,
                keepalive_s=options.keepalive_s,
            ),
            group=names[0],
            node=names[1],
            timeout_s=limits.delivery_timeout_s,
        )

    def send(self, said: Sayable, /, *, idempotency_key: str, deadline_s: float) -> None:
        """Publish ``NDATA`` and wait until the broker has it; after a birth, if there is none.

        Raises:
            DeliveryError: not taken.
        """
        with self._lock:
            try:
                link = self._born()
                self._publish(link, "NDATA", _metrics(said, idempotency_key), deadline_s=deadline_s)
            except LinkFailure as error:
                if self._link is not None:
                    self._link.drop()
                    self._link = None
                raise DeliveryError(
                    expected="an acknowledgement",
                    got=str(error),
                    where=f"sparkplug://{self._address.host}:{self._address.port}",
                    action="mend the broker",
                    is_unreachable=True,
                ) from error

    def close(self) -> None:
        """Say ``NDEATH`` and leave."""
        with self._lock:
            link, self._link = self._link, None
            if link is None:
                return
            try:
                sent = link.begin(self._topic.format("NDEATH"), self._death(), is_retained=False)
                link.wait_for_answer(sent, timeout_s=self._timeout_s)
            except LinkFailure:
                link.drop()  # the broker says it
            else:
                link.close()

    def _born(self) -> MqttLink:
        """The connection; made anew, with a birth, where it is gone."""
        if self._link is not None and self._link.is_up:
            return self._link
        self._births = (self._births + 1) % _TURN
        self._link = MqttLink(
            self._address,
            client_id=self._client_id,
            will=(self._topic.format("NDEATH"), self._death()),
            is_will_retained=False,
            timeout_s=self._timeout_s,
        )
        self._sequence = 0
        births: list[Metric] = [
            ("bdSeq", INT64, self._births),
            ("Node Control/Rebirth", BOOLEAN, False),
        ]
        self._publish(self._link, "NBIRTH", births + _NOTHING, deadline_s=self._timeout_s)
        return self._link

    def _publish(
        self, link: MqttLink, kind: str, metrics: list[Metric], *, deadline_s: float
    ) -> None:
        sequence, self._sequence = self._sequence, (self._sequence + 1) % _TURN
        data = payload(metrics, at_ms=self._wall_ns() // 1_000_000, sequence=sequence)
        sent = link.begin(self._topic.format(kind), data, is_retained=False)
        link.wait_for_answer(sent, timeout_s=deadline_s)

    def _death(self) -> bytes:
        at_ms = self._wall_ns() // 1_000_000
        return payload([("bdSeq", INT64, self._births)], at_ms=at_ms, sequence=None)


def _metrics(said: Sayable, key: str) -> list[Metric]:
    """What is said, as metrics."""
    plain = json.loads(said.canonical_bytes())
    reason = (plain.get("reasons") or [{}])[0]
    value = reason.get("value")
    return [
        ("Part/Key", TEXT, key),
        ("Part/Subject", TEXT, str(plain.get("subject", ""))),
        ("Part/Kind", TEXT, str(plain.get("kind", ""))),
        ("Part/Code", TEXT, str(reason.get("code", plain.get("code", "")))),
        ("Part/Raised", BOOLEAN, plain.get("transition", "raised") == "raised"),
        ("Part/Value", DOUBLE, float("nan") if value is None else float(value)),
        ("Part/EventNs", INT64, int(plain.get("event_ns", plain.get("at_ns", 0)))),
    ]


_NOTHING: list[Metric] = [
    ("Part/Key", TEXT, ""),
    ("Part/Subject", TEXT, ""),
    ("Part/Kind", TEXT, ""),
    ("Part/Code", TEXT, ""),
    ("Part/Raised", BOOLEAN, False),
    ("Part/Value", DOUBLE, float("nan")),
    ("Part/EventNs", INT64, 0),
]
"""Metrics of a birth: nothing was said yet."""
