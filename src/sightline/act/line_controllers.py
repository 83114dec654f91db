"""Outlets to line controllers: OPC UA and Modbus TCP, each a mailbox that is acknowledged.

A controller's variables hold one thing at a time: what is written next would cover what was not
read yet. So each delivery writes a token with the rest, and counts as taken only when the
controller has copied that token into its acknowledgement. The token follows from the idempotency
key: a delivery that is tried again writes the same one, and a controller acts on a new one only.

Neither protocol is encrypted here: they belong on a network of their own.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from sightline.act.outlet import DeliveryError, Outlet, Sayable, Taken
from sightline.errors import PipelineError, UsageError
from sightline.limits import Limits

KINDS = {"part_accept": 1, "part_review": 2, "part_rework": 3, "part_scrap": 4, "line_held": 9}
"""What is said, by its number in a register; 0: something else."""
REGISTERS = 10
"""Holding registers from the address on: token, kind, raised (1) or cleared (0), number of the part
(high word first, 2), event time in ms since 1970 (4), and the acknowledgement, which the controller
writes."""
_ACKNOWLEDGED_AT = REGISTERS - 1
_LOOK_S = 0.02
_MOST_DEADLINE_S = 10.0
"""A controller that has not acknowledged by then is tried again later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """What a controller is told.

    Attributes:
        key: idempotency key.
        token: 1 to 65535, of the key.
        kind, subject, code: words.
        is_raised: it begins; else it is over.
        value: of the first reason; NaN where there is none.
        event_ns: UTC ns.
    """

    key: str
    token: int
    kind: str
    subject: str
    code: str
    is_raised: bool
    value: float
    event_ns: int

    @classmethod
    def of(cls, said: Sayable, key: str) -> _Told:
        plain = json.loads(said.canonical_bytes())
        reason = (plain.get("reasons") or [{}])[0]
        value = reason.get("value")
        digest = hashlib.blake2b(key.encode(), digest_size=2).digest()
        return cls(
            key=key,
            token=max(int.from_bytes(digest, "big"), 1),
            kind=str(plain.get("kind", "")),
            subject=str(plain.get("subject", "")),
            code=str(reason.get("code", plain.get("code", ""))),
            is_raised=plain.get("transition", "raised") == "raised",
            value=float("nan") if value is None else float(value),
            event_ns=int(plain.get("event_ns", plain.get("at_ns", 0))),
        )

    def registers(self) -> list[int]:
        """As holding registers, the acknowledgement left out."""
        number = re.search(r"(\d+)$", self.subject)
        part = int(number[1]) % (1 << 32) if number else 0
        at_ms = max(self.event_ns, 0) // 1_000_000
        words = [(part >> 16) & 0xFFFF, part & 0xFFFF]
        words += [(at_ms >> shift) & 0xFFFF for shift in (48, 32, 16, 0)]
        return [self.token, KINDS.get(self.kind, 0), int(self.is_raised), *words]


def _needed(module: str, extra: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise PipelineError(
            expected=f"the package {module.partition('.')[0]}",
            got=str(error),
            where=f"the outlet that needs {module}",
            action=f"pip install 'sightline[{extra}]'",
        ) from error


def _await(acknowledged: Callable[[], bool], *, until_s: float, where: str) -> None:
    """Wait until the controller has copied the token."""
    while not acknowledged():
        if time.monotonic() >= until_s:
            raise DeliveryError(
                expected="the controller to copy the token",
                got="another one, or none, until the deadline",
                where=where,
                action="see that the controller's program runs; the alert stays in the outbox",
            )
        time.sleep(_LOOK_S)


class ModbusOutlet(Outlet):
    """Writes holding registers of a controller: ``modbus://HOST:502/ADDRESS?unit=1``.

    What the registers mean: :data:`REGISTERS`. They are written in one request (function 16), so a
    controller sees all of them or none. Needs the package ``pymodbus`` (BSD).
    """

    schemes: ClassVar[tuple[str, ...]] = ("modbus",)
    takes: ClassVar[tuple[Taken, ...]] = ("alerts",)

    def __init__(self, host: str, port: int, *, address: int, unit: int, where: str) -> None:
        self._client_of = _needed("pymodbus.client", "controllers").ModbusTcpClient
        failures = _needed("pymodbus.exceptions", "controllers")
        self._failure: type[Exception] = failures.ModbusException
        self._host, self._port, self._address, self._unit = host, port, address, unit
        self._where = where

    @classmethod
    def open(cls, location: str, *, name: str, options: Any, limits: Limits) -> Self:
        """``modbus://HOST:PORT/ADDRESS?unit=N``."""
        del options, limits
        parts = urlsplit(location)
        query = dict(parse_qsl(parts.query))
        try:
            address, unit = int(parts.path.strip("/") or 0), int(query.pop("unit", 1))
            port = parts.port or 502
        except ValueError:
            address, unit, port = -1, -1, -1
        is_sound = 0 <= address <= 65535 - REGISTERS and 0 <= unit <= 255
        if not parts.hostname or not is_sound or port < 0 or query or parts.username:
            raise UsageError(
                expected="modbus://HOST:502/ADDRESS?unit=1",
                got="another form",
                where=name,
                action="mend the address",
            )
        return cls(parts.hostname, port, address=address, unit=unit, where=name)

    def send(self, said: Sayable, /, *, idempotency_key: str, deadline_s: float) -> None:
        """Write the registers, and wait until the controller has copied the token.

        Raises:
            DeliveryError: it did not, or cannot be reached.
        """
        told = _Told.of(said, idempotency_key)
        wait_s = min(deadline_s, _MOST_DEADLINE_S)
        until_s = time.monotonic() + wait_s
        client = self._client_of(self._host, port=self._port, timeout=wait_s, retries=0)
        try:
            if not client.connect():
                raise self._unreachable("no connection")
            written = client.write_registers(self._address, told.registers(), device_id=self._unit)
            if written.isError():
                raise self._unreachable(f"{written}"[:200])

            def acknowledged() -> bool:
                read = client.read_holding_registers(
                    self._address + _ACKNOWLEDGED_AT, count=1, device_id=self._unit
                )
                return not read.isError() and read.registers == [told.token]

            _await(acknowledged, until_s=until_s, where=self._where)
        except (self._failure, OSError) as error:
            raise self._unreachable(type(error).__name__) from error
        finally:
            client.close()

    def _unreachable(self, got: str) -> DeliveryError:
        return DeliveryError(
            expected="a controller that takes registers",
            got=got,
            where=self._where,
            action="mend the controller or the address; the alert stays in the outbox",
            is_unreachable=True,
        )


class OpcUaOutlet(Outlet):
    """Writes variables of an OPC UA server: ``opc.tcp://HOST:4840/PATH#ns=2;s=Sightline``.

    After ``#`` is the node id with which those of the variables begin: ``….Token`` (Int32),
    ``.Key``, ``.Kind``, ``.Subject``, ``.Code`` (String), ``.Raised`` (Boolean), ``.Value``
    (Double), ``.EventNs`` (Int64), and ``.Ack`` (Int32), which the controller writes. User and
    password may stand in the address. Needs the package ``asyncua`` (LGPL).
    """

    schemes: ClassVar[tuple[str, ...]] = ("opc.tcp",)
    takes: ClassVar[tuple[Taken, ...]] = ("alerts",)

    def __init__(
        self, url: str, *, node: str, user: str | None, password: str | None, where: str
    ) -> None:
        self._ua = _needed("asyncua.ua", "controllers")
        self._client_of = _needed("asyncua.sync", "controllers").Client
        self._url, self._node, self._user, self._password = url, node, user, password
        self._where = where

    @classmethod
    def open(cls, location: str, *, name: str, options: Any, limits: Limits) -> Self:
        """``opc.tcp://HOST:PORT/PATH#NODE``."""
        del options, limits
        parts = urlsplit(location)
        node = unquote(parts.fragment)
        if not parts.hostname or not re.fullmatch(r"ns=\d{1,5};s=[^\s]{1,200}", node):
            raise UsageError(
                expected="opc.tcp://HOST:4840/PATH#ns=2;s=NAME",
                got="another form",
                where=name,
                action="mend the address",
            )
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        url = f"opc.tcp://{host}:{parts.port or 4840}{parts.path}"
        return cls(url, node=node, user=parts.username, password=parts.password, where=name)

    def send(self, said: Sayable, /, *, idempotency_key: str, deadline_s: float) -> None:
        """Write the variables in one request, and wait until the controller has copied the token.

        Raises:
            DeliveryError: it did not, or cannot be reached.
        """
        told = _Told.of(said, idempotency_key)
        wait_s = min(deadline_s, _MOST_DEADLINE_S)
        until_s = time.monotonic() + wait_s
        kinds = self._ua.VariantType
        values = {
            "Key": (told.key, kinds.String),
            "Kind": (told.kind, kinds.String),
            "Subject": (told.subject, kinds.String),
            "Code": (told.code, kinds.String),
            "Raised": (told.is_raised, kinds.Boolean),
            "Value": (told.value, kinds.Double),
            "EventNs": (told.event_ns, kinds.Int64),
            "Token": (told.token, kinds.Int32),  # last: the rest is there when it changes
        }
        try:
            client = self._client_of(self._url, timeout=wait_s)
            if self._user is not None:
                client.set_user(self._user)
                client.set_password(self._password or "")
            with client:
                nodes = [client.get_node(f"{self._node}.{name}") for name in values]
                variants = [self._ua.Variant(value, kind) for value, kind in values.values()]
                client.write_values(nodes, variants)
                ack = client.get_node(f"{self._node}.Ack")
                _await(
                    lambda: bool(ack.read_value() == told.token),
                    until_s=until_s,
                    where=self._where,
                )
        except (self._ua.UaError, OSError, TimeoutError) as error:
            raise DeliveryError(
                expected="an OPC UA server with the variables",
                got=type(error).__name__,
                where=self._where,
                action="mend the server or the address; the alert stays in the outbox",
                is_unreachable=True,
            ) from error
