"""Commands over a real Mosquitto: cut connections, lost answers, the last will."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
import uuid

import paho.mqtt.client as mqtt
import pytest

from act.act_cases import decision
from act.command_cases import WAIT_S, ListeningMachine, cable_to, command, deliver
from sightline.act import DeliveryError, Reception, Retry, open_outlet
from sightline.act.mqtt import BrokerAddress, MqttOptions, MqttOutlet
from sightline.errors import UsageError
from sightline.records.command import CommandLevel
from sightline.records.signals import NS_PER_S

PORT = 1883


@pytest.fixture
def prefix():
    """A place of its own on the local broker; skips where there is none."""
    try:
        socket.create_connection(("127.0.0.1", PORT), timeout=1).close()
    except OSError as error:
        pytest.skip(f"MQTT not tested: no broker on localhost:{PORT} ({error})")
    return f"sightline-test/{uuid.uuid4().hex}"


@pytest.fixture
def machine(prefix):
    listening = ListeningMachine(PORT, prefix)
    yield listening
    listening.close()


def make(prefix, port=PORT, **changes):
    return MqttOutlet(
        BrokerAddress(host="127.0.0.1", port=port),
        prefix=prefix,
        controller="c",
        wall_ns=time.time_ns,
        timeout_s=2.0,
        waits=Retry(first_wait_s=0.02, most_wait_s=0.1),
        **changes,
    )


@pytest.fixture
def actuator(prefix):
    made = make(prefix)
    yield made
    made.close()


def now(command_id="c1", **changes):
    return command(command_id, issued_ns=time.time_ns(), **changes)


def send_until_taken(actuator, sent):
    """Number of attempts that failed before the broker had it."""
    deadline_ns = time.time_ns() + round(WAIT_S * NS_PER_S)
    failed = 0
    while True:
        try:
            deliver(actuator, sent)
        except DeliveryError as error:
            assert error.is_unreachable
            assert time.time_ns() < deadline_ns
            failed += 1
            time.sleep(error.retry_after_s)
        else:
            return failed


def test_a_command_reaches_the_machine(machine, actuator):
    deliver(actuator, now(level=CommandLevel.SLOW))
    machine.wait_for(lambda: machine.receptions == [Reception.APPLIED])
    assert machine.receiver.level(now_ns=time.time_ns()) is CommandLevel.SLOW


def test_the_same_command_sent_again_is_applied_once(machine, actuator):
    sent = now()
    for _ in range(3):
        deliver(actuator, sent)
    machine.wait_for(lambda: len(machine.receptions) == 3)
    assert machine.receiver.applied == 1


def test_a_machine_that_starts_later_learns_what_holds(prefix, actuator):
    deliver(actuator, now(level=CommandLevel.WARN))
    late = ListeningMachine(PORT, prefix)
    with contextlib.closing(late):
        late.wait_for(lambda: late.receptions == [Reception.APPLIED])
        assert late.states == ["online"]


def test_the_broker_forgets_a_command_whose_validity_is_over(prefix, actuator):
    deliver(actuator, now(valid_s=0.5))
    time.sleep(2.2)  # MQTT counts in whole seconds
    late = ListeningMachine(PORT, prefix)
    with contextlib.closing(late):
        deliver(actuator, now("c2"))
        late.wait_for(lambda: len(late.receptions) == 1)
    assert late.receptions == [Reception.APPLIED]


def test_an_older_command_does_not_take_the_place_of_a_newer_one(prefix, actuator):
    old = now("old", level=CommandLevel.NONE)
    deliver(actuator, now("new", level=CommandLevel.STOP))
    deliver(actuator, old)
    late = ListeningMachine(PORT, prefix)
    with contextlib.closing(late):
        late.wait_for(lambda: late.receptions == [Reception.APPLIED])
        assert late.receiver.level(now_ns=time.time_ns()) is CommandLevel.STOP


def test_leaving_in_good_order_is_no_loss(machine, prefix):
    actuator = make(prefix)
    deliver(actuator, now(level=CommandLevel.NONE))
    actuator.close()
    machine.wait_for(lambda: machine.states == ["online", "closed"])
    assert machine.receiver.level(now_ns=time.time_ns()) is CommandLevel.NONE


def test_a_cut_connection_stops_the_machine_and_the_next_command_frees_it(machine, prefix):
    with cable_to(PORT) as cable:
        actuator = make(prefix, cable.port)
        deliver(actuator, now("before", level=CommandLevel.NONE))
        cable.cut()
        machine.wait_for(lambda: machine.states == ["online", "lost"])
        assert machine.receiver.level(now_ns=time.time_ns()) is CommandLevel.STOP
        with pytest.raises(DeliveryError):
            deliver(actuator, now("during", level=CommandLevel.NONE))
        cable.mend()
        after = now("after", level=CommandLevel.NONE)
        send_until_taken(actuator, after)
        machine.wait_for(lambda: machine.receiver.applied == 2)
        assert machine.states == ["online", "lost", "online"]
        assert machine.receiver.level(now_ns=time.time_ns()) is CommandLevel.NONE
        actuator.close()


def test_a_command_refused_during_the_cut_never_arrives_by_itself(machine, prefix):
    with cable_to(PORT) as cable:
        actuator = make(prefix, cable.port)
        deliver(actuator, now("before"))
        cable.cut()
        machine.wait_for(lambda: machine.states[-1:] == ["lost"])
        with pytest.raises(DeliveryError):
            deliver(actuator, now("during"))
        cable.mend()
        send_until_taken(actuator, now("after"))
        actuator.close()
        machine.wait_for(lambda: machine.states[-1:] == ["closed"])
    assert machine.receptions == [Reception.APPLIED, Reception.APPLIED]


def test_a_command_whose_acknowledgement_was_lost_is_delivered_twice_and_applied_once(
    machine, prefix
):
    with cable_to(PORT) as cable:
        actuator = make(prefix, cable.port)
        deliver(actuator, now("before"))
        cable.loses_answers = True
        sent = now("twice")
        with pytest.raises(DeliveryError):
            deliver(actuator, sent, deadline_s=0.3)
        machine.wait_for(lambda: machine.receiver.applied == 2)
        cable.loses_answers = False
        send_until_taken(actuator, sent)
        machine.wait_for(lambda: len(machine.receptions) == 3)
        actuator.close()
    assert machine.receptions[-1] is Reception.DUPLICATE
    assert machine.receiver.applied == 2


def test_between_attempts_to_connect_sends_fail_at_once(prefix):
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    clock_ns = 0
    actuator = MqttOutlet(
        BrokerAddress(host="127.0.0.1", port=port),
        prefix=prefix,
        controller="c",
        wall_ns=lambda: clock_ns,
        waits=Retry(first_wait_s=8.0, factor=2.0, most_wait_s=20.0),
    )
    waits_s = []
    for _ in range(6):
        with pytest.raises(DeliveryError) as first:
            deliver(actuator, command(valid_s=1000))
        with pytest.raises(DeliveryError) as second:
            deliver(actuator, command(valid_s=1000))
        assert second.value.got == "no connection yet"
        waits_s.append(first.value.retry_after_s)
        clock_ns += round(first.value.retry_after_s * NS_PER_S) + 1
    assert waits_s[0] <= 8.0
    assert all(10.0 <= wait_s <= 20.0 for wait_s in waits_s[2:])


def test_a_broker_that_never_answers_costs_a_bounded_time(prefix):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        actuator = make(prefix, silent.getsockname()[1])
        with pytest.raises(DeliveryError) as caught:
            deliver(actuator, now())
    assert caught.value.got == "no answer in time"


def test_an_expired_command_is_refused_for_good(actuator):
    with pytest.raises(DeliveryError) as caught:
        deliver(actuator, command())
    assert caught.value.is_permanent


@pytest.mark.parametrize("name", ["a/b", "a+", "#", "nul\x00", "x" * 300])
def test_a_machine_whose_name_is_no_topic_level_is_refused(actuator, name):
    with pytest.raises(DeliveryError) as caught:
        deliver(actuator, now(machine=name))
    assert caught.value.is_permanent


def test_the_number_of_machines_is_bounded(prefix):
    actuator = make(prefix, max_machines=1)
    deliver(actuator, now(valid_s=0.5))
    with pytest.raises(DeliveryError):
        deliver(actuator, now(machine="press"))
    actuator.close()


@pytest.mark.parametrize(("given", "controller"), [("a/+", "c"), ("a//b", "c"), ("a", "c/d")])
def test_names_that_are_no_topic_are_refused(given, controller):
    with pytest.raises(UsageError):
        MqttOutlet(
            BrokerAddress(host="h", port=1), prefix=given, controller=controller, wall_ns=int
        )


def test_the_state_tells_who_it_is_about(prefix, actuator):
    deliver(actuator, now())
    seen = []
    reader = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    reader.on_message = lambda _c, _u, message: seen.append(message.payload)
    reader.connect("127.0.0.1", PORT)
    reader.subscribe(f"{prefix}/controllers/c/state", qos=1)
    deadline_ns = time.time_ns() + round(WAIT_S * NS_PER_S)
    while not seen and time.time_ns() < deadline_ns:
        reader.loop(0.1)
    reader.disconnect()
    assert json.loads(seen[0]) == {"controller": "c", "state": "online"}


def test_alerts_are_published_for_whoever_listens_and_not_kept(prefix):
    name, outlet = open_outlet(f"mqtt://127.0.0.1:{PORT}/{prefix}", use="alerts", where="test")
    seen, listening = [], threading.Event()
    reader = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    reader.on_message = lambda _c, _u, message: seen.append(message)
    reader.on_subscribe = lambda *_: listening.set()
    reader.connect("127.0.0.1", PORT)
    reader.loop_start()
    reader.subscribe(f"{prefix}/#", qos=1)
    assert listening.wait(WAIT_S)
    outlet.send(decision(), idempotency_key="id:0", deadline_s=5.0)
    outlet.close()
    deadline_ns = time.time_ns() + round(WAIT_S * NS_PER_S)
    while not seen and time.time_ns() < deadline_ns:
        time.sleep(0.01)
    reader.disconnect()
    reader.loop_stop()
    assert [(m.topic, m.payload, m.retain) for m in seen] == [
        (f"{prefix}/alerts", decision().canonical_bytes(), False)
    ]
    assert seen[0].properties.UserProperty == [("idempotency-key", "id:0")]
    assert name == f"mqtt://127.0.0.1:{PORT}/{prefix}"


@pytest.mark.parametrize("location", ["mqtt://h", "mqtt://h:99999/p", "mqtt://u:hunter2@h/p"])
def test_an_address_that_cannot_work_is_refused_unrepeated(location):
    with pytest.raises(UsageError) as caught:
        open_outlet(location, use="commands", where="test")
    assert "hunter2" not in str(caught.value)


def test_credentials_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("SIGHTLINE_MQTT_USER", "me")
    monkeypatch.setenv("SIGHTLINE_MQTT_PASSWORD", "s3cret")
    options = MqttOptions()
    assert (options.username, options.password.get_secret_value()) == ("me", "s3cret")
    assert "s3cret" not in repr(options)
