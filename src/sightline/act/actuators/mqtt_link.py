"""One connection to an MQTT broker, from its beginning to its end; nothing outlives it.

A client that reconnects by itself would send again what was waiting when the connection broke:
old commands, after newer ones. So each connection has its own client and its own queue, and what
was not acknowledged goes back to the sender, who knows whether it still matters.
"""

from __future__ import annotations

import contextlib
import math
import socket
import threading
from typing import Any, cast

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from sightline.act.actuators.broker_address import BrokerAddress

QOS = 1
"""At least once; the receiver makes it once."""


class LinkFailure(Exception):
    """Something that the broker or the network refused; its text holds no secret."""


class MqttLink:
    """A connection to a broker.

    Args:
        address: of the broker.
        client_id: the broker allows each id one connection.
        will: (topic, payload), published retained by the broker when the connection breaks.
        timeout_s: for each answer.

    Raises:
        LinkFailure: no connection within about three time-outs (network, encryption, broker).
    """

    def __init__(
        self, address: BrokerAddress, *, client_id: str, will: tuple[str, bytes], timeout_s: float
    ) -> None:
        self._timeout_s = timeout_s
        self._changed = threading.Condition()
        self._answer: str | None = None  # of the broker, to the connection; "" means welcome
        self._acknowledged: dict[int, ReasonCode] = {}
        self._is_up = False
        self._client = self._make_client(address, client_id, will)
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

    def publish(self, topic: str, payload: bytes, *, expiry_s: float | None = None) -> None:
        """Publish retained with QoS 1 and wait for the broker's acknowledgement.

        Args:
            topic: where to.
            payload: what.
            expiry_s: after which the broker forgets it, rounded up to whole seconds.

        Raises:
            LinkFailure: it was not acknowledged. After a time-out the link is to be dropped.
        """
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        if expiry_s is not None:
            properties.MessageExpiryInterval = max(math.ceil(expiry_s), 1)
        info = self._client.publish(topic, payload, qos=QOS, retain=True, properties=properties)
        if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise LinkFailure("the connection is gone")
        with self._changed:
            self._changed.wait_for(
                lambda: info.mid in self._acknowledged or not self._is_up, self._timeout_s
            )
            code = self._acknowledged.pop(info.mid, None)
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
        self, address: BrokerAddress, client_id: str, will: tuple[str, bytes]
    ) -> Client:
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=MQTTProtocolVersion.MQTTv5,
            reconnect_on_failure=False,
        )
        client.connect_timeout = self._timeout_s
        if address.username is not None:
            client.username_pw_set(address.username, address.password)
        if address.tls is not None:
            client.tls_set_context(address.tls)
        client.will_set(will[0], will[1], qos=QOS, retain=True)
        client.on_connect = self._on_connect
        client.on_publish = self._on_publish
        client.on_disconnect = self._on_disconnect
        return client


def _words(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    detail = getattr(error, "strerror", None)
    return f"{type(error).__name__}: {detail}" if detail else type(error).__name__
