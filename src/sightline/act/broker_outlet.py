"""Alerts to a broker: NATS JetStream, Kafka or RabbitMQ; MQTT has an outlet of its own.

One message for each alert, JSON in canonical bytes. NATS takes a message with a known key once
within its duplicate window; the others may hold an alert twice after a crash, under one key: the
header ``sightline-key`` (Kafka) or the property ``message_id`` (RabbitMQ).
"""

from __future__ import annotations

from typing import Any, ClassVar, Self

from sightline.act.outlet import DeliveryError, Outlet, Sayable, Taken
from sightline.brokers.address import BrokerAddress
from sightline.brokers.link import BrokerOutletError, Writer
from sightline.brokers.opening import open_writer
from sightline.errors import SinkError
from sightline.limits import Limits


class BrokerOutlet(Outlet):
    """Publishes alerts to a stream, topic or queue that is there.

    Args:
        writer: of the broker.
        where: its address without credentials.
    """

    schemes: ClassVar[tuple[str, ...]] = (
        *("nats", "nats+tls", "kafka", "kafka+tls"),
        *("amqp", "amqps", "amqp+stream", "amqps+stream"),
    )
    takes: ClassVar[tuple[Taken, ...]] = ("alerts",)

    def __init__(self, writer: Writer, *, where: str) -> None:
        self._writer = writer
        self._where = where

    @classmethod
    def open(cls, location: str, *, name: str, options: Any, limits: Limits) -> Self:
        """``nats://HOST/STREAM/SUBJECT``, ``kafka://HOST/TOPIC``, ``amqp://HOST[/VHOST]/QUEUE``."""
        address = BrokerAddress.parse(location)
        writer = open_writer(address, producer="", creates=False, limits=limits)
        return cls(writer, where=str(address))

    def send(self, said: Sayable, /, *, idempotency_key: str, deadline_s: float) -> None:
        """Publish one alert and wait until the broker has it.

        Raises:
            DeliveryError: not taken, or nobody answered.
        """
        try:
            self._writer.write(
                [said.canonical_bytes()],
                content_type="application/json",
                keys=[idempotency_key],
                deadline_s=deadline_s,
            )
        except BrokerOutletError as error:
            raise DeliveryError(got=error.got, where=self._where, action=error.action) from error
        except SinkError as error:
            raise DeliveryError(
                got=error.got, where=self._where, action=error.action, is_unreachable=True
            ) from error

    def close(self) -> None:
        """End the connection."""
        self._writer.close()
