"""From the address of a broker to who writes there."""

from __future__ import annotations

from sightline.brokers.address import BrokerAddress
from sightline.brokers.link import Writer
from sightline.limits import Limits


def open_writer(address: BrokerAddress, *, producer: str, creates: bool, limits: Limits) -> Writer:
    """Who writes at an address; connects with the first write.

    Args:
        address: of the broker.
        producer: name of the sender.
        creates: make the stream, topic or queue where there is none.
        limits: ``broker_answer_s``.

    Raises:
        ModuleNotFoundError: the library for this broker is not installed.
    """
    # Each library is an extra, and is imported when it is needed.
    match address.scheme.partition("+")[0]:
        case "nats":
            from sightline.brokers.nats_jetstream import JetStreamWriter  # noqa: PLC0415

            return JetStreamWriter(address, creates=creates, limits=limits)
        case "kafka":
            from sightline.brokers.kafka import KafkaWriter  # noqa: PLC0415

            return KafkaWriter(address, producer=producer, creates=creates, limits=limits)
        case "amqp" | "amqps":
            from sightline.brokers.rabbitmq import AmqpWriter  # noqa: PLC0415

            return AmqpWriter(address, producer=producer, creates=creates, limits=limits)
        case _:
            from sightline.brokers.mqtt5 import MqttWriter  # noqa: PLC0415

            return MqttWriter(address, producer=producer, limits=limits)
