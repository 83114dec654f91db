"""The outlet that is an MQTT 5 broker: acknowledged, and with a last will for when we are gone.

The first half is the outlet, the second one connection from its beginning to its end. A client
that reconnects by itself would send again what was waiting when the connection broke: old
commands, after newer ones. So each connection has its own client and its own queue, and what was
not acknowledged goes back to the sender, who knows whether it still matters.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Self, cast
from urllib.parse import urlsplit

from pydantic import Field, SecretStr

from sightline.act.command_signing import SignedCommand
from sightline.act.outlet import DeliveryError, Outlet, OutletOptions, Retry, Sayable, Taken
from sightline.errors import UsageError
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.records.command import ActuatorCommand
from sightline.records.signals import NS_PER_S

try:
    from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags
    from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.properties import Properties
    from paho.mqtt.reasoncodes import ReasonCode
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("paho-mqtt is missing: install sightline[brokers]") from error

USER, PASSWORD = "SIGHTLINE_MQTT_USER", "SIGHTLINE_MQTT_PASSWORD"
"""Environment variables with the credentials of a broker, which belong into no command line."""
CA_FILE = "SIGHTLINE_MQTT_CA_FILE"
"""Environment variable with the file of certificates to verify a broker by."""
CERTIFICATE_FILE, KEY_FILE = "SIGHTLINE_MQTT_CERTIFICATE_FILE", "SIGHTLINE_MQTT_KEY_FILE"
"""Environment variables with the files by which a broker that asks for it verifies us."""

_COMMAND_WAITS = Retry(first_wait_s=0.1, most_wait_s=1.0)
"""Between connections for commands: when the broker is back, a machine is not to wait for long."""
_COMMAND_CONNECT_S = 2.0
"""Longest time for each answer of a broker while a connection for commands is made."""

ONLINE, LOST, CLOSED = "online", "lost", "closed"
_PORT, _TLS_PORT = 1883, 8883
_NAME = re.compile(r"[^+#/\x00]{1,256}")
"""One level of a topic, without wildcards (MQTT 5.0, 4.7)."""
_NOT_IN_A_NAME = re.compile(r"[+#/\x00]")


def _password() -> SecretStr | None:
    found = os.environ.get(PASSWORD)
    return None if found is None else SecretStr(found)


class MqttOptions(OutletOptions):
    """Who enters the broker, and under which name."""

    username: str | None = Field(default_factory=lambda: os.environ.get(USER))
    """Of the broker; by default the environment variable SIGHTLINE_MQTT_USER."""
    password: SecretStr | None = Field(default_factory=_password)
    """Of the broker; by default the environment variable SIGHTLINE_MQTT_PASSWORD."""
    controller: str = ""
    """Name of whoever sends commands, also its client id; empty: the name of the outlet. A broker
    allows each name one connection."""
    ca_file: str | None = Field(default_factory=lambda: os.environ.get(CA_FILE))
    """With mqtts: certificates to verify the broker by; none: those of the system. By default the
    environment variable SIGHTLINE_MQTT_CA_FILE."""
    certificate_file: str | None = Field(default_factory=lambda: os.environ.get(CERTIFICATE_FILE))
    """With mqtts: certificate by which the broker verifies us, and its chain; by default the
    environment variable SIGHTLINE_MQTT_CERTIFICATE_FILE."""
    key_file: str | None = Field(default_factory=lambda: os.environ.get(KEY_FILE))
    """With mqtts: private key of that certificate, without a passphrase; by default the
    environment variable SIGHTLINE_MQTT_KEY_FILE."""
    keepalive_s: int = Field(default=10, ge=1, json_schema_extra={"unit": "s"})
    """Silence after which either side takes the connection for dead."""
    max_machines: int = Field(default=10_000, ge=1, json_schema_extra={"unit": "machines"})
    """Machines commands are sent to; one more is refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerAddress:
    """Address and credentials of a broker. The credentials are not shown.

    Attributes:
        host, port: of the broker.
        username, password: None where the broker asks for none.
        tls: context that verifies the broker; None: no encryption, and a password goes in clear.
        keepalive_s: silence after which either side takes the connection for dead.
    """

    host: str
    port: int
    username: str | None = None
    password: str | None = None
    tls: ssl.SSLContext | None = None
    keepalive_s: int = 10

    def __repr__(self) -> str:
        return f"BrokerAddress({self.host}:{self.port})"


class MqttOutlet(Outlet):
    """Publishes JSON to an MQTT 5 broker, QoS 1.

    Commands:

    - ``<prefix>/machines/<machine>/command``, retained: the newest command in canonical bytes.
      The broker forgets it when its validity ends. A machine that starts learns what holds.
    - ``<prefix>/controllers/<controller>/state``, retained: ``{"controller": …, "state": …}``
      with ``online``, ``lost`` (the broker publishes it when the connection breaks: the last
      will) or ``closed``.

    Alerts: ``<prefix>/alerts``, not retained, under a client id that the broker chooses. The
    idempotency key is a user property.

    A broken connection is made anew by the next :meth:`send` whose turn has come: exponential
    waits up to the backoff's cap, in between sends fail at once. Whoever sends commands sends a
    stream of them, since validity ends; so there is always a next one. For any thread; one sends
    at a time.

    Args:
        address: of the broker.
        prefix: first levels of each topic, for example ``plant/hall-2``.
        controller: name of this sender, also its client id; a broker allows each one connection.
        wall_ns: UTC ns.
        timeout_s: for each answer of the broker while a connection is made or ended; publishing
            has the deadline of what is sent.
        waits: between connections; None: up to a minute for alerts, a second for commands.
        max_machines: machines commands are sent to; one more is refused.

    Raises:
        UsageError: a name that is no topic level.
    """

    schemes: ClassVar[tuple[str, ...]] = ("mqtt", "mqtts")
    takes: ClassVar[tuple[Taken, ...]] = ("alerts", "commands")
    options: ClassVar[type[OutletOptions]] = MqttOptions
    attempts_at_once = 4

    def __init__(
        self,
        address: BrokerAddress,
        *,
        prefix: str,
        controller: str,
        wall_ns: Callable[[], int] = time.time_ns,
        timeout_s: float = DEFAULT_LIMITS.delivery_timeout_s,
        waits: Retry | None = None,
        max_machines: int = 10_000,
    ) -> None:
        for level in (*prefix.split("/"), controller):
            _check_name(level)
        self._address = address
        self._prefix = prefix
        self._controller = controller
        self._wall_ns = wall_ns
        self._timeout_s = timeout_s
        self._waits = waits
        self._max_machines = max_machines
        self._lock = threading.Lock()
        self._link: MqttLink | None = None
        self._is_controller = False
        self._failures = 0
        self._quiet_until_ns = 0
        self._newest: dict[str, tuple[int, int]] = {}

    @classmethod
    def open(cls, location: str, *, name: str, options: Any, limits: Limits) -> Self:
        """``mqtt://HOST[:PORT]/PREFIX``, or ``mqtts://…`` over TLS."""
        try:
            url = urlsplit(location)
            port = url.port
        except ValueError:
            raise _unusable("an address with a port from 1 to 65535", "another one") from None
        if url.username is not None:
            raise _unusable(
                "an address without user and password", "one with", f"set {USER} and {PASSWORD}"
            )
        if not (url.hostname and url.path.strip("/")) or port == 0:
            raise _unusable("mqtt://HOST[:PORT]/PREFIX", "another address")
        if url.query or url.fragment:
            raise _unusable("an address without ? and #", "one with")
        is_encrypted = url.scheme == "mqtts"
        return cls(
            BrokerAddress(
                host=url.hostname,
                port=port or (_TLS_PORT if is_encrypted else _PORT),
                username=options.username,
                password=options.password.get_secret_value() if options.password else None,
                tls=tls_context(options) if is_encrypted else None,
                keepalive_s=options.keepalive_s,
            ),
            prefix=url.path.strip("/"),
            controller=options.controller or _NOT_IN_A_NAME.sub("-", name)[:256],
            timeout_s=limits.delivery_timeout_s,
            max_machines=options.max_machines,
        )

    def __repr__(self) -> str:
        return f"MqttOutlet({self._where!r}, {self._controller!r})"

    def send(self, said: Sayable, /, *, idempotency_key: str, deadline_s: float) -> None:
        """Publish one thing and wait until the broker has it.

        A command that is older than one the broker took for the same machine changes nothing any
        more. It is not published: it would take the newer one's place as the retained one.

        Raises:
            DeliveryError: not taken, with the time after which to try again; permanently where
                its validity is over or its machine's name is no topic level.
        """
        command = said.command if isinstance(said, SignedCommand) else said
        if isinstance(command, ActuatorCommand):
            self._send_command(command, said.canonical_bytes(), idempotency_key, deadline_s)
            return
        with self._lock:
            link = self._link_in_turn(is_controller=False)
            topic, key = f"{self._prefix}/alerts", idempotency_key
            sent = self._begin(link, topic, said.canonical_bytes(), is_retained=False, key=key)
        self._await(link, sent, deadline_s)

    def _send_command(
        self, command: ActuatorCommand, payload: bytes, key: str, deadline_s: float
    ) -> None:
        with self._lock:
            order = (command.issued_ns, command.revision)
            if order < self._newest.get(command.machine, order):
                return
            # Never more than it was issued for: a clock that was set back must not keep it alive.
            ends_ns = command.valid_until_ns
            left_s = min(ends_ns - self._wall_ns(), ends_ns - command.issued_ns) / NS_PER_S
            self._check(command, left_s)
            link = self._link_in_turn(is_controller=True)
            topic = f"{self._prefix}/machines/{command.machine}/command"
            sent = self._begin(link, topic, payload, expiry_s=left_s, key=key)
            self._newest[command.machine] = order
        # Beside the lock: a newer command does not wait for the answer to an older one.
        self._await(link, sent, deadline_s)

    def close(self) -> None:
        """Say ``closed`` and leave. Commands that hold go on to hold until their validity ends."""
        with self._lock:
            link, self._link = self._link, None
            if link is None:
                return
            if not self._is_controller:
                link.close()
                return
            try:
                link.publish(self._state_topic, self._state(CLOSED), timeout_s=self._timeout_s)
            except LinkFailure:
                link.drop()  # the broker says `lost`
            else:
                link.close()

    @property
    def _where(self) -> str:
        return f"mqtt://{self._address.host}:{self._address.port}"

    @property
    def _state_topic(self) -> str:
        return f"{self._prefix}/controllers/{self._controller}/state"

    def _state(self, state: str) -> bytes:
        plain = {"controller": self._controller, "state": state}
        return json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()

    def _check(self, command: ActuatorCommand, left_s: float) -> None:
        problem = None
        if left_s <= 0:
            problem = "a command whose validity is over"
        elif not _NAME.fullmatch(command.machine):
            problem = "a machine's name with + # / or NUL"
        elif command.machine not in self._newest and len(self._newest) >= self._max_machines:
            problem = f"more than {self._max_machines} machines"
        if problem is not None:
            raise DeliveryError(
                expected="a command that can be published",
                got=problem,
                where=self._where,
                action="mend the program that issues commands",
                is_permanent=True,
            )

    def _begin(self, link: MqttLink, topic: str, payload: bytes, **how: Any) -> int:
        """Publish, with the lock held; the number under which the broker answers."""
        try:
            return link.begin(topic, payload, **how)
        except LinkFailure as error:
            raise self._dropped(link, error) from error

    def _await(self, link: MqttLink, sent: int, timeout_s: float) -> None:
        """Wait for the broker's answer, without the lock."""
        try:
            link.wait_for_answer(sent, timeout_s=timeout_s)
        except LinkFailure as error:
            with self._lock:
                raise self._dropped(link, error) from error
        self._failures = 0

    def _dropped(self, link: MqttLink, error: LinkFailure) -> DeliveryError:
        """End a link, also after a refusal or a time-out: what is under way must not arrive late.

        Several attempts that were under way on one link count as one failure.
        """
        if self._link is not link:
            return self._error(str(error), 0.0)
        self._link = None
        link.drop()
        return self._failed(str(error))

    def _link_in_turn(self, *, is_controller: bool) -> MqttLink:
        """The connection; made anew where it is gone and its turn has come.

        Only a sender of commands has a name and a last will: its silence stops machines.
        """
        if self._link is not None and self._link.is_up:
            return self._link
        if self._link is not None:
            self._link.drop()
            self._link = None
        wait_s = (self._quiet_until_ns - self._wall_ns()) / NS_PER_S
        most_s = self._waits_of(is_controller=is_controller).most_wait_s
        if 0 < wait_s <= most_s:  # longer only when the clock was set back
            raise self._error("no connection yet", wait_s)
        link: MqttLink | None = None
        self._is_controller = is_controller
        try:
            link = MqttLink(
                self._address,
                client_id=self._controller if is_controller else "",
                will=(self._state_topic, self._state(LOST)) if is_controller else None,
                timeout_s=min(self._timeout_s, _COMMAND_CONNECT_S)
                if is_controller
                else self._timeout_s,
            )
            if is_controller:
                link.publish(self._state_topic, self._state(ONLINE), timeout_s=self._timeout_s)
        except LinkFailure as error:
            if link is not None:
                link.drop()
            raise self._failed(str(error)) from error
        self._link = link
        return link

    def _waits_of(self, *, is_controller: bool) -> Retry:
        return self._waits or (_COMMAND_WAITS if is_controller else Retry())

    def _failed(self, got: str) -> DeliveryError:
        """Count a failure and say when to try again."""
        self._failures += 1
        waits = self._waits_of(is_controller=self._is_controller)
        wait_s = waits.wait_s(self._failures, key=self._controller)
        self._quiet_until_ns = self._wall_ns() + round(wait_s * NS_PER_S)
        return self._error(got, wait_s)

    def _error(self, got: str, wait_s: float) -> DeliveryError:
        return DeliveryError(
            expected="an acknowledgement",
            got=got,
            where=self._where,
            action="mend the broker",
            is_unreachable=True,
            retry_after_s=wait_s,
        )


def tls_context(options: MqttOptions) -> ssl.SSLContext:
    """What verifies the broker, and us where it asks for it."""
    try:
        context = ssl.create_default_context(cafile=options.ca_file)
        if options.certificate_file is not None:
            # The password function keeps OpenSSL from asking for a passphrase at the terminal.
            context.load_cert_chain(options.certificate_file, options.key_file, lambda: "")
    except (OSError, ValueError) as error:
        raise _unusable(
            "files of certificates and of a key without a passphrase",
            getattr(error, "strerror", None) or type(error).__name__,
            f"mend {CA_FILE}, {CERTIFICATE_FILE} and {KEY_FILE}",
        ) from None
    return context


def _check_name(level: str) -> None:
    if not _NAME.fullmatch(level):
        raise _unusable("names without + # / or NUL, up to 256 characters", repr(level), "mend it")


def _unusable(expected: str, got: str, action: str = "mend the address") -> UsageError:
    return UsageError(expected=expected, got=got, where="MQTT outlet", action=action)


# --- one connection ---

QOS = 1
"""At least once; the receiver makes it once."""


class LinkFailure(Exception):
    """Something that the broker or the network refused; its text holds no secret."""


class MqttLink:
    """A connection to a broker.

    Args:
        address: of the broker.
        client_id: the broker allows each id one connection; ``""``: it chooses one.
        will: (topic, payload), published by the broker when the connection breaks.
        is_will_retained: whether the broker keeps it.
        timeout_s: for each answer while connecting.

    Raises:
        LinkFailure: no connection within about three time-outs (network, encryption, broker).
    """

    def __init__(
        self,
        address: BrokerAddress,
        *,
        client_id: str,
        will: tuple[str, bytes] | None,
        timeout_s: float,
        is_will_retained: bool = True,
    ) -> None:
        self._is_will_retained = is_will_retained
        self._changed = threading.Condition()
        self._answer: str | None = None  # of the broker, to the connection; "" means welcome
        self._acknowledged: dict[int, ReasonCode] = {}
        self._is_up = False
        self._client = self._make_client(address, client_id, will, timeout_s)
        try:
            self._client.connect(
                address.host, address.port, keepalive=address.keepalive_s, clean_start=True
            )
        except (OSError, ValueError) as error:
            raise LinkFailure(_words(error)) from None
        self._client.loop_start()
        with self._changed:
            self._changed.wait_for(lambda: self._answer is not None, timeout_s)
            answer = "no answer in time" if self._answer is None else self._answer
            self._is_up = not answer
        if answer:
            self.drop()
            raise LinkFailure(answer)

    @property
    def is_up(self) -> bool:
        """Whether nothing is known to be wrong."""
        with self._changed:
            return self._is_up

    def publish(self, topic: str, payload: bytes, *, timeout_s: float) -> None:
        """Publish retained with QoS 1, and wait for the broker's acknowledgement.

        Raises:
            LinkFailure: it was not acknowledged. After a time-out the link is to be dropped.
        """
        self.wait_for_answer(self.begin(topic, payload), timeout_s=timeout_s)

    def begin(
        self,
        topic: str,
        payload: bytes,
        *,
        is_retained: bool = True,
        expiry_s: float | None = None,
        key: str = "",
    ) -> int:
        """Publish with QoS 1; the number under which the broker acknowledges it. Never waits.

        Args:
            topic: where to.
            payload: what.
            is_retained: whether the broker keeps it for whoever comes later.
            expiry_s: after which the broker forgets it, rounded up to whole seconds.
            key: idempotency key, sent as a user property; ``""``: none.

        Raises:
            LinkFailure: the connection is gone.
        """
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        if expiry_s is not None:
            properties.MessageExpiryInterval = max(math.ceil(expiry_s), 1)
        if key:
            properties.UserProperty = ("idempotency-key", key)
        info = self._client.publish(
            topic, payload, qos=QOS, retain=is_retained, properties=properties
        )
        if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise LinkFailure("the connection is gone")
        return info.mid

    def wait_for_answer(self, sent: int, *, timeout_s: float) -> None:
        """Wait for the acknowledgement of what :meth:`begin` has published.

        Raises:
            LinkFailure: there is none. After a time-out the link is to be dropped.
        """
        with self._changed:
            self._changed.wait_for(lambda: sent in self._acknowledged or not self._is_up, timeout_s)
            code = self._acknowledged.pop(sent, None)
            if code is None:
                raise LinkFailure("no answer in time" if self._is_up else "the connection is gone")
        if code.is_failure:
            raise LinkFailure(f"refused: {code}")

    def close(self) -> None:
        """Take leave, so that the broker does not publish the will."""
        self._client.disconnect()
        self._client.loop_stop()

    def drop(self) -> None:
        """End the connection at once; the broker publishes the will."""
        with self._changed:
            self._is_up = False
        sock = self._client.socket()
        if sock is not None:
            with contextlib.suppress(OSError):
                # Past SSLSocket.shutdown, which must not run beside a read in another thread.
                socket.socket.shutdown(cast(socket.socket, sock), socket.SHUT_RDWR)
        self._client.loop_stop()

    # --- called by the client's thread --------------------------------------------------------

    def _on_connect(
        self, _c: Client, _u: Any, _f: ConnectFlags, code: ReasonCode, _p: Properties | None
    ) -> None:
        with self._changed:
            self._answer = f"refused: {code}" if code.is_failure else ""
            self._changed.notify_all()

    def _on_publish(
        self, _c: Client, _u: Any, mid: int, code: ReasonCode, _p: Properties | None
    ) -> None:
        with self._changed:
            self._acknowledged[mid] = code
            self._changed.notify_all()

    def _on_disconnect(
        self, _c: Client, _u: Any, _f: DisconnectFlags, _r: ReasonCode, _p: Properties | None
    ) -> None:
        with self._changed:
            self._is_up = False
            if self._answer is None:
                self._answer = "the connection is gone"
            self._changed.notify_all()

    def _make_client(
        self,
        address: BrokerAddress,
        client_id: str,
        will: tuple[str, bytes] | None,
        timeout_s: float,
    ) -> Client:
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=MQTTProtocolVersion.MQTTv5,
            reconnect_on_failure=False,
        )
        client.connect_timeout = timeout_s
        if address.username is not None:
            client.username_pw_set(address.username, address.password)
        if address.tls is not None:
            client.tls_set_context(address.tls)
        if will is not None:
            client.will_set(will[0], will[1], qos=QOS, retain=self._is_will_retained)
        client.on_connect = self._on_connect
        client.on_publish = self._on_publish
        client.on_disconnect = self._on_disconnect
        return client


def _words(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    detail = getattr(error, "strerror", None)
    return f"{type(error).__name__}: {detail}" if detail else type(error).__name__
