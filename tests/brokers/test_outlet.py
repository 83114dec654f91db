"""Alerts to brokers."""

from __future__ import annotations

import json

import pytest

from act.act_cases import decision
from brokers.servers import Case
from brokers.test_conformance import closing, opened
from sightline.act import open_outlet
from sightline.act.outlet import DeliveryError


def test_an_alert_is_published_and_a_second_attempt_is_known_by_its_key(broker: Case) -> None:
    if broker.name == "mqtt":
        pytest.skip("MQTT has an outlet of its own, with tests of its own")
    address = broker.address()
    broker.publish(address, [b"{}"])
    _, outlet = open_outlet(address, use="alerts", where="--alerts")
    try:
        for _ in range(2):  # as after a crash
            outlet.send(decision(), idempotency_key="d:0", deadline_s=10.0)
    finally:
        outlet.close()
    with closing(opened(address)) as source:
        bodies = broker.bodies(source, 2)
    assert json.loads(bodies[1]) == json.loads(decision().canonical_bytes())
    if broker.name == "nats":
        assert len(bodies) == 2


def test_a_broker_that_is_not_there_leaves_the_alert_in_line(broker: Case) -> None:
    if broker.name not in {"nats", "rabbitmq-queue"}:
        pytest.skip("the same for each broker: a failed write")
    address = broker.address().replace(str(broker.server.port), "1")
    name, outlet = open_outlet(
        address.replace("://", "://me:s3cret@"), use="alerts", where="--alerts"
    )
    with pytest.raises(DeliveryError) as caught:
        outlet.send(decision(), idempotency_key="d:0", deadline_s=10.0)
    outlet.close()
    assert caught.value.is_unreachable
    assert "s3cret" not in f"{caught.value} {name}"


def test_an_alert_that_no_queue_takes_is_no_delivered_alert(broker: Case) -> None:
    if not broker.name.startswith("rabbitmq"):
        pytest.skip("the others refuse it by themselves")
    address = broker.address()
    _, outlet = open_outlet(address, use="alerts", where="--alerts")
    with pytest.raises(DeliveryError, match="no such queue"):
        outlet.send(decision(), idempotency_key="d:0", deadline_s=10.0)
    outlet.close()
