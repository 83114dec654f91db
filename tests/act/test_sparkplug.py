"""Sparkplug B: payloads that protocol buffers read; birth, data and death on a real broker."""

import json
import queue
import socket
import uuid

import paho.mqtt.client as mqtt
import pytest

from sightline.act.outlet import open_outlet
from sightline.act.sparkplug import BOOLEAN, DOUBLE, INT64, TEXT, payload
from sightline.errors import UsageError

PORT = 1883
FIELDS = {
    "Metric": [("name", 1, "string"), ("timestamp", 3, "uint64"), ("datatype", 4, "uint32"),
               ("long_value", 11, "uint64"), ("double_value", 13, "double"),
               ("boolean_value", 14, "bool"), ("string_value", 15, "string")],
    "Payload": [("timestamp", 1, "uint64"), ("metrics", 2, "Metric"), ("seq", 3, "uint64")],
}  # fmt: skip


@pytest.fixture(scope="module")
def payload_class():
    """The message, from the fields that Sparkplug 3.0 states, read by Google's own library."""
    descriptor = pytest.importorskip("google.protobuf.descriptor_pb2", reason="no protobuf")
    from google.protobuf import descriptor_pool, message_factory

    file = descriptor.FileDescriptorProto(name="sp.proto", package="sp", syntax="proto2")
    kinds = {"string": 9, "uint64": 4, "uint32": 13, "double": 1, "bool": 8}
    for name, fields in FIELDS.items():
        message = file.message_type.add(name=name)
        for field, number, kind in fields:
            one = message.field.add(name=field, number=number, label=1)
            one.type = kinds.get(kind, 11)
            if kind not in kinds:
                one.type_name, one.label = f".sp.{kind}", 3
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("sp.Payload"))


def read(payload_class, data):
    found = payload_class()
    found.ParseFromString(data)
    return found


def test_a_payload_is_what_protocol_buffers_read(payload_class):
    data = payload(
        [("n", INT64, -5), ("d", DOUBLE, 2.5), ("b", BOOLEAN, True), ("t", TEXT, "Ä" * 200)],
        at_ms=1_767_225_600_000, sequence=255,
    )  # fmt: skip
    found = read(payload_class, data)
    n, d, b, t = found.metrics
    assert (found.timestamp, found.seq) == (1_767_225_600_000, 255)
    assert (n.name, n.datatype, n.long_value) == ("n", 4, (1 << 64) - 5)
    assert (d.double_value, b.boolean_value, t.string_value) == (2.5, True, "Ä" * 200)
    assert n.timestamp == found.timestamp


def test_a_death_has_no_sequence_number(payload_class):
    assert not read(payload_class, payload([("bdSeq", INT64, 3)], at_ms=1, sequence=None)).HasField(
        "seq"
    )


@pytest.mark.parametrize(
    "location", ["sparkplug://h/one", "sparkplug://h/a/b/c", "sparkplug://h/+/b"]
)
def test_an_address_without_group_and_node_is_refused(location):
    with pytest.raises(UsageError, match="GROUP/NODE"):
        open_outlet(location, use="alerts", where="test")


class Said:
    def canonical_bytes(self):
        return json.dumps(
            {"kind": "part_scrap", "subject": "line-1/7", "transition": "raised", "event_ns": 9,
             "reasons": [{"code": "REJECTED", "value": 9.5}]}
        ).encode()  # fmt: skip


@pytest.fixture
def heard():
    """(group, messages as they come) on the local broker; skips where there is none."""
    try:
        socket.create_connection(("127.0.0.1", PORT), timeout=1).close()
    except OSError as error:
        pytest.skip(f"Sparkplug not tested: no broker on localhost:{PORT} ({error})")
    group, messages, ready = uuid.uuid4().hex, queue.Queue(), queue.Queue()
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    client.on_message = lambda c, u, message: messages.put((message.topic, message.payload))
    client.on_subscribe = lambda *_: ready.put(True)
    client.connect("127.0.0.1", PORT)
    client.subscribe(f"spBv1.0/{group}/#", qos=1)
    client.loop_start()
    ready.get(timeout=10)
    yield group, messages
    client.disconnect()
    client.loop_stop()


def test_birth_then_data_in_sequence_then_death(heard, payload_class):
    group, messages = heard
    _, outlet = open_outlet(f"sparkplug://127.0.0.1/{group}/cell", use="alerts", where="test")
    for key in ("a:0", "b:0"):
        outlet.send(Said(), idempotency_key=key, deadline_s=5)
    outlet.close()
    got = [messages.get(timeout=10) for _ in range(4)]
    assert [topic.split("/")[2] for topic, _ in got] == ["NBIRTH", "NDATA", "NDATA", "NDEATH"]
    birth, first, second, death = (read(payload_class, data) for _, data in got)
    assert [p.seq for p in (birth, first, second)] == [0, 1, 2]
    assert birth.metrics[0].long_value == death.metrics[0].long_value
    said = {m.name: m for m in first.metrics}
    assert said["Part/Subject"].string_value == "line-1/7"
    assert said["Part/Value"].double_value == 9.5
    assert set(said) <= {m.name for m in birth.metrics}
