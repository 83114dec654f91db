"""Commands to a real web server."""

from __future__ import annotations

import pytest
from actuator_cases import command
from sightline.act.sinks import DeliveryError

from act.alert_receiver import BROKEN, TAKEN_THEN_LOST, AlertReceiver
from sightline.act.actuators import WebhookActuator


@pytest.fixture
def server():
    with AlertReceiver() as running:
        yield running


def test_a_command_is_posted_with_its_key(server):
    WebhookActuator(server.url, timeout_s=5).send(command(revision=2))
    assert server.requests[0].body == command(revision=2).canonical_bytes()
    assert server.requests[0].headers["Idempotency-Key"] == "c1:2"


def test_a_command_whose_answer_was_lost_takes_effect_once(server):
    server.planned.append(TAKEN_THEN_LOST)
    actuator = WebhookActuator(server.url, timeout_s=5)
    with pytest.raises(DeliveryError):
        actuator.send(command())
    actuator.send(command())
    assert server.deliveries["c1:0"] == 2
    assert len(server.effects) == 1


def test_a_server_that_is_out_of_order_is_worth_another_attempt(server):
    server.planned.append(BROKEN)
    with pytest.raises(DeliveryError) as caught:
        WebhookActuator(server.url, timeout_s=5).send(command())
    assert not caught.value.is_permanent


def test_secrets_of_the_address_are_not_shown(server):
    actuator = WebhookActuator(f"http://me:s3cret@{server.address}/token", timeout_s=5)
    assert "s3cret" not in repr(actuator)
    assert "token" not in repr(actuator)
