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
        UsageError: the library for this broker is not installed.
    """
    from sightline.brokers.nats_jetstream import JetStreamWriter  # noqa: PLC0415 - an extra

    return JetStreamWriter(address, creates=creates, limits=limits)
