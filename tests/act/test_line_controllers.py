"""Line controllers by OPC UA and Modbus TCP, against real servers in this process."""

import asyncio
import json
import socket
import threading
import time

import pytest

from sightline.act.outlet import DeliveryError, open_outlet
from sightline.errors import UsageError


class Said:
    def __init__(self, **changed):
        self.plain = {
            "kind": "part_scrap", "subject": "line-1/00000042", "transition": "raised",
            "event_ns": 1_767_225_600_123_000_000,
            "reasons": [{"code": "REJECTED", "value": 9.5}], **changed,
        }  # fmt: skip

    def canonical_bytes(self):
        return json.dumps(self.plain).encode()


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def send(location, said=None, *, key="a:0", deadline_s=5.0):
    _, outlet = open_outlet(location, use="alerts", where="test")
    try:
        outlet.send(said or Said(), idempotency_key=key, deadline_s=deadline_s)
    finally:
        outlet.close()


class InALoop:
    """A server on an event loop of its own thread, and a controller's program beside it."""

    def __init__(self, serve):
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.stop = asyncio.run_coroutine_threadsafe(serve(), self.loop).result(60)

    def close(self):
        asyncio.run_coroutine_threadsafe(self.stop(), self.loop).result(60)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(60)


# --- Modbus ---------------------------------------------------------------------------------------


@pytest.fixture
def modbus():
    """(address, what the controller took); its program copies the token while it runs."""
    server = pytest.importorskip("pymodbus.server", reason="no pymodbus: the extra controllers")
    from pymodbus.client import AsyncModbusTcpClient
    from pymodbus.simulator import DataType, SimData, SimDevice

    port = free_port()
    taken, runs = [], threading.Event()
    runs.set()

    async def serve():
        device = SimDevice(1, simdata=[SimData(0, count=200, datatype=DataType.REGISTERS)])
        running = server.ModbusTcpServer(device, address=("127.0.0.1", port))
        task = asyncio.ensure_future(running.serve_forever())
        await asyncio.sleep(0.1)
        client = AsyncModbusTcpClient("127.0.0.1", port=port)
        await client.connect()

        async def program():
            last = 0
            while True:
                await asyncio.sleep(0.01)
                read = await client.read_holding_registers(100, count=9, device_id=1)
                token = read.registers[0]
                if runs.is_set() and token not in (0, last):
                    last = token
                    taken.append(read.registers)
                    await client.write_register(109, token, device_id=1)

        controller = asyncio.ensure_future(program())

        async def stop():
            controller.cancel()
            client.close()
            await running.shutdown()
            task.cancel()

        return stop

    running = InALoop(serve)
    yield f"modbus://127.0.0.1:{port}/100", taken, runs
    running.close()


def test_a_controller_reads_kind_part_and_time_from_its_registers(modbus):
    location, taken, _ = modbus
    send(location)
    ((token, kind, raised, high, low, *at),) = taken
    assert (kind, raised, high, low) == (4, 1, 0, 42)
    assert sum(word << shift for word, shift in zip(at, (48, 32, 16, 0), strict=True)) == (
        1_767_225_600_123
    )
    assert token > 0


def test_the_same_thing_again_is_the_same_token_and_no_second_part(modbus):
    location, taken, _ = modbus
    send(location)
    send(location)
    send(location, key="b:0")
    assert len(taken) == 2


def test_what_a_controller_does_not_acknowledge_is_not_taken(modbus):
    location, taken, runs = modbus
    runs.clear()
    with pytest.raises(DeliveryError, match="copy the token"):
        send(location, deadline_s=0.3)
    assert not taken


def test_a_controller_that_is_not_there_is_unreachable():
    pytest.importorskip("pymodbus", reason="no pymodbus: the extra controllers")
    with pytest.raises(DeliveryError) as caught:
        send(f"modbus://127.0.0.1:{free_port()}/100", deadline_s=0.5)
    assert caught.value.is_unreachable


@pytest.mark.parametrize(
    "location",
    ["modbus://host/70000", "modbus://host/1?unit=900", "modbus://host/1?x=1", "modbus:"],
)
def test_an_address_that_cannot_be_is_refused(location):
    with pytest.raises(UsageError, match=r"modbus://HOST"):
        open_outlet(location, use="alerts", where="test")


# --- OPC UA ---------------------------------------------------------------------------------------

FIRST = {
    "Key": "", "Kind": "", "Subject": "", "Code": "", "Raised": False, "Value": 0.0, "EventNs": 0,
    "Token": 0, "Ack": 0,
}  # fmt: skip


@pytest.fixture
def opc_ua():
    """The same for an OPC UA server."""
    asyncua = pytest.importorskip("asyncua", reason="no asyncua: the extra controllers")
    from asyncua import ua

    port = free_port()
    taken, runs = [], threading.Event()
    runs.set()
    kinds = {"EventNs": ua.VariantType.Int64, "Token": ua.VariantType.Int32,
             "Ack": ua.VariantType.Int32}  # fmt: skip

    async def serve():
        server = asyncua.Server()
        await server.init()
        server.set_endpoint(f"opc.tcp://127.0.0.1:{port}/plc")
        server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        space = await server.register_namespace("line")
        nodes = {}
        for name, value in FIRST.items():
            nodes[name] = await server.nodes.objects.add_variable(
                ua.NodeId(f"Line.{name}", space), name, value, kinds.get(name)
            )
            await nodes[name].set_writable()
        await server.start()

        async def program():
            while True:
                await asyncio.sleep(0.01)
                token = await nodes["Token"].read_value()
                if runs.is_set() and token != await nodes["Ack"].read_value():
                    taken.append({name: await node.read_value() for name, node in nodes.items()})
                    await nodes["Ack"].write_value(ua.Variant(token, ua.VariantType.Int32))

        controller = asyncio.ensure_future(program())

        async def stop():
            controller.cancel()
            await server.stop()

        return stop, space

    spaces = []

    async def begin():
        stop, space = await serve()
        spaces.append(space)
        return stop

    running = InALoop(begin)
    yield f"opc.tcp://127.0.0.1:{port}/plc#ns={spaces[0]};s=Line", taken, runs
    running.close()


def test_an_opc_ua_server_has_what_was_said_in_its_variables(opc_ua):
    location, taken, _ = opc_ua
    send(location)
    (one,) = taken
    assert (one["Subject"], one["Kind"], one["Code"]) == (
        "line-1/00000042", "part_scrap", "REJECTED",
    )  # fmt: skip
    assert (one["Value"], one["Raised"], one["Key"]) == (9.5, True, "a:0")
    assert one["EventNs"] == 1_767_225_600_123_000_000


def test_a_server_whose_controller_stands_has_not_taken_it(opc_ua):
    location, taken, runs = opc_ua
    runs.clear()
    with pytest.raises(DeliveryError, match="copy the token"):
        send(location, deadline_s=1.0)
    assert not taken


def test_a_server_without_the_variables_is_an_error_that_says_so(opc_ua):
    location, _, _ = opc_ua
    with pytest.raises(DeliveryError, match="with the variables"):
        send(location.replace("s=Line", "s=Nothing"), deadline_s=1.0)


def test_an_opc_ua_server_that_is_not_there_is_unreachable():
    pytest.importorskip("asyncua", reason="no asyncua: the extra controllers")
    began_s = time.monotonic()
    with pytest.raises(DeliveryError) as caught:
        send(f"opc.tcp://127.0.0.1:{free_port()}/plc#ns=2;s=Line", deadline_s=0.5)
    assert caught.value.is_unreachable
    assert time.monotonic() - began_s < 60
