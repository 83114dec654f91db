"""Commands over MQTT: retained, acknowledged, and with a last will for when we are gone."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING

from sightline.act.actuators.broker_address import BrokerAddress
from sightline.act.outbox import Backoff
from sightline.act.sinks import DeliveryError
from sightline.errors import UsageError
from sightline.records.command import ActuatorCommand
from sightline.records.signals import NS_PER_S

if TYPE_CHECKING:
    from sightline.act.actuators.mqtt_link import MqttLink

_NAME = re.compile(r"[^+#/\x00]{1,256}")
"""One level of a topic, without wildcards (MQTT 5.0, 4.7)."""

ONLINE, LOST, CLOSED = "online", "lost", "closed"


class MqttActuator:
    """Publishes commands to an MQTT 5 broker, QoS 1.

    - ``<prefix>/machines/<machine>/command``, retained: the newest command in canonical bytes.
      The broker forgets it when its validity ends. A machine that starts learns what holds.
    - ``<prefix>/controllers/<controller>/state``, retained: ``{"controller": …, "state": …}``
      with ``online``, ``lost`` (the broker publishes it when the connection breaks: the last
      will) or ``closed``.

    A broken connection is made anew by the next :meth:`send` whose turn has come: exponential
    waits up to the backoff's cap, in between sends fail at once. Whoever sends commands sends a
    stream of them, since validity ends; so there is always a next one. For any thread; one sends
    at a time.

    Args:
        address: of the broker.
        prefix: first levels of each topic, for example ``plant/hall-2``.
        controller: name of this sender, also its client id; a broker allows each one connection.
        wall_ns: UTC ns.
        timeout_s: for each answer of the broker.
        backoff: waits between connections.
        max_machines: machines commands are sent to; one more is refused.

    Raises:
        UsageError: a name that is no topic level, or paho-mqtt (extra ``brokers``) is missing.
    """

    def __init__(
        self,
        address: BrokerAddress,
        *,
        prefix: str,
        controller: str,
        wall_ns: Callable[[], int],
        timeout_s: float = 5.0,
        backoff: Backoff = Backoff(),
        max_machines: int = 10_000,
    ) -> None:
        if find_spec("paho") is None:
            raise _unusable("paho-mqtt", "none", "install sightline[brokers]")
        for level in (*prefix.split("/"), controller):
            _check_name(level)
        self._address = address
        self._prefix = prefix
        self._controller = controller
        self._wall_ns = wall_ns
        self._timeout_s = timeout_s
        self._backoff = backoff
        self._max_machines = max_machines
        self._lock = threading.Lock()
        self._link: MqttLink | None = None
        self._failures = 0
        self._quiet_until_ns = 0
        self._newest: dict[str, tuple[int, int]] = {}

    def __repr__(self) -> str:
        return f"MqttActuator({self._where!r}, {self._controller!r})"

    def send(self, command: ActuatorCommand) -> None:
        """Publish one command and wait until the broker has it.

        A command that is older than one the broker took for the same machine changes nothing any
        more. It is not published: it would take the newer one's place as the retained one.

        Raises:
            DeliveryError: not taken, with the time after which to try again; permanently where
                its validity is over or its machine's name is no topic level.
        """
        with self._lock:
            order = (command.issued_ns, command.revision)
            if order < self._newest.get(command.machine, order):
                return
            left_s = (command.valid_until_ns - self._wall_ns()) / NS_PER_S
            self._check(command, left_s)
            self._publish(
                self._link_in_turn(),
                f"{self._prefix}/machines/{command.machine}/command",
                command.canonical_bytes(),
                left_s,
            )
            self._newest[command.machine] = order

    def close(self) -> None:
        """Say ``closed`` and leave. Commands that hold go on to hold until their validity ends."""
        with self._lock:
            link, self._link = self._link, None
            if link is None:
                return
            from sightline.act.actuators.mqtt_link import LinkFailure  # noqa: PLC0415 - an extra

            try:
                link.publish(self._state_topic, self._state(CLOSED))
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
                action="mend whoever issues it",
                is_permanent=True,
            )

    def _publish(self, link: MqttLink, topic: str, payload: bytes, expiry_s: float) -> None:
        from sightline.act.actuators.mqtt_link import LinkFailure  # noqa: PLC0415 - an extra

        try:
            link.publish(topic, payload, expiry_s=expiry_s)
        except LinkFailure as error:
            # Also after a refusal or a time-out: what is still under way must not arrive late.
            self._link = None
            link.drop()
            raise self._failed(str(error)) from error
        self._failures = 0

    def _link_in_turn(self) -> MqttLink:
        """The connection; made anew where it is gone and its turn has come."""
        from sightline.act.actuators.mqtt_link import LinkFailure, MqttLink  # noqa: PLC0415

        if self._link is not None and self._link.is_up:
            return self._link
        if self._link is not None:
            self._link.drop()
            self._link = None
        wait_s = (self._quiet_until_ns - self._wall_ns()) / NS_PER_S
        if 0 < wait_s <= self._backoff.cap_s:  # longer only when the clock was set back
            raise self._error("no connection yet", wait_s)
        link: MqttLink | None = None
        try:
            link = MqttLink(
                self._address,
                client_id=self._controller,
                will=(self._state_topic, self._state(LOST)),
                timeout_s=self._timeout_s,
            )
            link.publish(self._state_topic, self._state(ONLINE))
        except LinkFailure as error:
            if link is not None:
                link.drop()
            raise self._failed(str(error)) from error
        self._link = link
        return link

    def _failed(self, got: str) -> DeliveryError:
        """Count a failure and say when to try again."""
        self._failures += 1
        wait_s = self._backoff.wait_s(self._failures, key=self._controller)
        self._quiet_until_ns = self._wall_ns() + round(wait_s * NS_PER_S)
        return self._error(got, wait_s)

    def _error(self, got: str, wait_s: float) -> DeliveryError:
        return DeliveryError(
            expected="the command to be acknowledged",
            got=got,
            where=self._where,
            action="mend the broker; send again while the command is valid",
            is_unreachable=True,
            retry_after_s=wait_s,
        )


def _check_name(level: str) -> None:
    if not _NAME.fullmatch(level):
        raise _unusable("names without + # / or NUL, up to 256 characters", repr(level), "mend it")


def _unusable(expected: str, got: str, action: str) -> UsageError:
    return UsageError(expected=expected, got=got, where="MQTT actuator", action=action)
