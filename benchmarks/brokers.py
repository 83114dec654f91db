"""From a broker to the ledger, beside a bare client that only consumes, in the same run.

Telemetry of 1,000 keys as Arrow batches, and some of it as JSON objects one by one. The bare client
is the broker's own library, asked for everything there is as fast as it gives it; its messages are
counted and thrown away. Sightline reads the same stream into windows, an alarm, the log and the
ledger. Then decisions are written to the ledger by Sightline, and the same rows by COPY alone.
"""

from __future__ import annotations

import asyncio
import io
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import sqlalchemy as sa

from sightline.act import Ledger
from sightline.act.ledger_database import decisions as decisions_table
from sightline.act.ledger_database import ledger_engine
from sightline.brokers.address import BrokerAddress
from sightline.brokers.link import ARROW, JSON_LINES
from sightline.brokers.opening import open_writer
from sightline.errors import SightlineError, UsageError
from sightline.limits import DEFAULT_LIMITS
from sightline.records import Accounts, Decision
from sightline.records.decision import (
    Mode,
    Severity,
    Status,
    Transition,
    decision_id,
    trace_id,
)
from sightline.runtime import Pipeline, RunOptions, make_plan, run_pipeline
from sightline.runtime.run_options import Progress
from sightline.sense import open_source
from sightline.sense.contract import parse_contract

_KEYS = 1000
_START_S = 1_767_225_600
_TOGETHER = 64
CONTRACT: dict[str, Any] = {
    "contract": "bench",
    "key": ["sensor"],
    "event_time": {"column": "time_s", "format": "unix_s"},
    "fields": {"value": {"type": "number", "unit": "1", "range": [-1e6, 1e6]}},
    "timing": {"out_of_order_s": 5, "revision_allowance_s": 300, "max_backlog_s": 315360000},
}
PIPELINE: dict[str, Any] = {
    "pipeline": "bench",
    "partitions": 1,
    "tick_s": 60,
    "sources": {"telemetry": {"contract": "bench"}},
    "stages": {
        "level": {"use": "windows", "input": "telemetry", "width_s": 300, "statistics": ["mean"]},
        "high": {
            "use": "alarm",
            "input": "level",
            "measure": "value.mean",
            "unit": "1",
            "raise_above": 130,
            "code": "HIGH",
        },
    },
}


def bench_brokers(
    addresses: list[str],
    *,
    rows: int,
    batch_rows: int,
    json_rows: int,
    ledger: str,
    progress: Callable[[str], None],
) -> dict[str, Any]:
    """Rows per second of each broker, and of the ledger.

    Args:
        addresses: of brokers, without a name: ``nats://localhost:4222``.
        rows: as Arrow batches.
        batch_rows: of one message.
        json_rows: as JSON objects, a message each.
        ledger: address of PostgreSQL; ``""``: the ledger is a file, and its writing not measured.
        progress: told what begins.

    Raises:
        UsageError: a broker for which there is no bare client here.
    """
    found: dict[str, Any] = {"rows": rows, "batch_rows": batch_rows, "json_rows": json_rows}
    for address in addresses:
        scheme = address.partition(":")[0]
        if scheme not in _BARE:
            raise UsageError(
                expected=f"one of {', '.join(_BARE)}",
                got=scheme,
                where="benchmark brokers",
                action="leave it out",
            )
        for form, count, each in (("arrow", rows, batch_rows), ("json", json_rows, 1)):
            progress(f"{scheme}, {form}: {count:,} rows")
            try:
                found[f"{scheme} {form}"] = _measure(address, form, count, each, ledger)
            except SightlineError as error:
                found[f"{scheme} {form}"] = {"not measured": str(error)}
    if ledger:
        progress("ledger: 20,000 decisions")
        found["ledger"] = _bench_ledger(ledger)
    return found


def _telemetry(rows: int) -> pl.DataFrame:
    n = np.arange(rows)
    rng = np.random.default_rng(7)
    return pl.DataFrame(
        {
            "time_s": _START_S + (n // _KEYS).astype(np.float64),
            "sensor": pl.Series(n % _KEYS).cast(pl.String),
            "value": 100 + rng.standard_normal(rows),
        }
    )


def _body(frame: pl.DataFrame, form: str) -> bytes:
    if form == "json":
        return frame.write_ndjson().encode()
    buffer = io.BytesIO()
    frame.write_ipc_stream(buffer, compression="uncompressed")
    return buffer.getvalue()


def _measure(address: str, form: str, rows: int, each: int, ledger: str) -> dict[str, Any]:
    best = dict.fromkeys(("floor", "floor cpu", "sightline", "sightline cpu"), float("inf"))
    where, sent, size = "", 0, 0
    try:
        for _ in range(3):  # one after the other, so that both meet the same machine
            for what in ("floor", "sightline"):
                if where and address.startswith(_GIVES_ONCE):
                    _REMOVE[BrokerAddress.parse(where).scheme](BrokerAddress.parse(where))
                    where = ""
                if not where:
                    where = _new_place(address)
                    sent, size = _publish(where, form, rows, each)
                parsed = BrokerAddress.parse(where)
                before_s = time.process_time()
                if what == "floor":
                    took_s = _BARE[parsed.scheme](parsed, sent)
                else:
                    took_s = _run(where, rows, ledger)
                best[what] = min(best[what], took_s)
                best[f"{what} cpu"] = min(best[f"{what} cpu"], time.process_time() - before_s)
    finally:
        if where:
            _REMOVE[BrokerAddress.parse(where).scheme](BrokerAddress.parse(where))
    megabytes = size / 1e6
    return {
        "messages": sent,
        "megabytes": round(megabytes, 1),
        "floor_rows_per_s": round(rows / best["floor"]),
        "floor_mb_per_s": round(megabytes / best["floor"], 1),
        "sightline_rows_per_s": round(rows / best["sightline"]),
        "sightline_mb_per_s": round(megabytes / best["sightline"], 1),
        "share_of_floor": round(best["floor"] / best["sightline"], 3),
        "floor_rows_per_cpu_s": round(rows / best["floor cpu"]),
        "sightline_rows_per_cpu_s": round(rows / best["sightline cpu"]),
    }


_GIVES_ONCE = ("amqp:", "mqtt:")
"""Brokers that keep nothing of what was acknowledged: filled anew each time, and read live."""


def _new_place(address: str) -> str:
    name = f"BENCH{uuid.uuid4().hex[:8]}"
    where = f"{address}/{name}" + (f"/{name.lower()}" if address.startswith("nats") else "")
    if address.startswith("mqtt"):  # it keeps messages for sessions that are there
        (reader,) = _opened(where).readers().values()
        reader.connect(None)
        reader.close()
    return where


def _publish(where: str, form: str, rows: int, each: int) -> tuple[int, int]:
    """Messages and bytes that were published."""
    parsed = BrokerAddress.parse(where)
    writer = open_writer(parsed, producer=parsed.name, creates=True, limits=DEFAULT_LIMITS)
    sent = size = 0
    # tansu says that a batch of several messages ends with its first.
    together = 1 if parsed.scheme == "kafka" else _TOGETHER
    for group in _telemetry(rows).iter_slices(each * together):
        bodies = [_body(part, form) for part in group.iter_slices(each)]
        keys = [f"{parsed.name}:{sent + i}" for i in range(len(bodies))]
        content_type = ARROW if form == "arrow" else JSON_LINES
        writer.write(bodies, content_type=content_type, keys=keys, deadline_s=120)
        sent += len(bodies)
        size += sum(map(len, bodies))
    writer.close()
    return sent, size


def _opened(where: str) -> Any:
    contract = parse_contract(CONTRACT, where="benchmark")
    options = {"consumer": BrokerAddress.parse(where).name}
    is_live = where.startswith(_GIVES_ONCE)
    return open_source("telemetry", where, contract, is_live=is_live, options=options)


def _run(where: str, rows: int, ledger: str) -> float:
    """Seconds until every row was taken."""
    is_live = where.startswith(_GIVES_ONCE)
    contract = parse_contract(CONTRACT, where="benchmark")
    described = {**PIPELINE, "tick_s": 1 if is_live else PIPELINE["tick_s"]}
    plan = make_plan(Pipeline.model_validate(described), {"telemetry": contract})
    source = _opened(where)
    schema = f"bench_{uuid.uuid4().hex[:8]}"
    began_s, reached_s = time.perf_counter(), [0.0]

    def on_progress(progress: Progress) -> None:
        if progress.rows >= rows and not reached_s[0]:
            reached_s[0] = time.perf_counter() - began_s

    with tempfile.TemporaryDirectory() as folder:
        options = RunOptions(
            ledger=f"{ledger}?schema={schema}" if ledger else "", durable=True, is_live=is_live
        )
        report = run_pipeline(
            plan,
            {"telemetry": source},
            Path(folder) / "run",
            options=options,
            on_progress=on_progress,
            is_stopped=lambda: (
                is_live and (bool(reached_s[0]) or time.perf_counter() - began_s > _LONGEST_S)
            ),
        )
    if ledger:
        _drop(ledger, schema)
    assert report.accounts.received == rows
    return reached_s[0] if is_live else report.wall_s


_LONGEST_S = 300.0


def _drop(ledger: str, schema: str) -> None:
    engine = ledger_engine(ledger)
    with engine.begin() as connection:
        connection.execute(sa.schema.DropSchema(schema, cascade=True))
    engine.dispose()


# --- bare clients -------------------------------------------------------------------------------


def _bare_nats(address: BrokerAddress, messages: int) -> float:
    import nats  # noqa: PLC0415 - an extra
    from nats.js.api import AckPolicy, ConsumerConfig  # noqa: PLC0415

    async def consume() -> float:
        client = await nats.connect(f"nats://{address.server}")
        try:
            stream = client.jetstream()
            config = ConsumerConfig(ack_policy=AckPolicy.NONE)
            taken = await stream.pull_subscribe(address.rest, stream=address.name, config=config)
            began_s, count = time.perf_counter(), 0
            while count < messages:
                got = await taken.fetch(min(messages - count, 250), timeout=30)
                count += len(got)
            return time.perf_counter() - began_s
        finally:
            await client.close()

    return asyncio.run(consume())


def _bare_amqp(address: BrokerAddress, messages: int) -> float:
    import aio_pika  # noqa: PLC0415 - an extra

    async def consume() -> float:
        connection = await aio_pika.connect(f"amqp://guest:guest@{address.server}/")
        async with connection:
            channel = await connection.channel()
            await channel.set_qos(prefetch_count=2000)
            queue = await channel.get_queue(address.name, ensure=False)
            done, count = asyncio.Event(), 0

            async def arrived(message: Any) -> None:
                nonlocal count
                count += 1
                if count % 500 == 0 or count == messages:
                    await message.ack(multiple=True)
                if count == messages:
                    done.set()

            began_s = time.perf_counter()
            is_stream = "+stream" in address.scheme
            await queue.consume(
                arrived, arguments={"x-stream-offset": "first"} if is_stream else None
            )
            await asyncio.wait_for(done.wait(), 300)
            return time.perf_counter() - began_s

    return asyncio.run(consume())


def _bare_kafka(address: BrokerAddress, messages: int) -> float:
    from confluent_kafka import Consumer, TopicPartition  # noqa: PLC0415 - an extra

    consumer = Consumer({"bootstrap.servers": address.server, "group.id": "bare",
                         "enable.auto.commit": False})  # fmt: skip
    try:
        consumer.assign([TopicPartition(address.name, 0, 0)])
        began_s, count = time.perf_counter(), 0
        while count < messages:
            count += sum(m.error() is None for m in consumer.consume(1000, 1.0))
            assert time.perf_counter() - began_s < _LONGEST_S
        return time.perf_counter() - began_s
    finally:
        consumer.close()


def _mqtt_session(address: BrokerAddress, *, is_clean: bool) -> Any:
    from paho.mqtt.client import Client  # noqa: PLC0415 - an extra
    from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion  # noqa: PLC0415
    from paho.mqtt.packettypes import PacketTypes  # noqa: PLC0415
    from paho.mqtt.properties import Properties  # noqa: PLC0415

    client = Client(
        CallbackAPIVersion.VERSION2, client_id=address.name, protocol=MQTTProtocolVersion.MQTTv5
    )
    how = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    how.ReceiveMaximum = 65_535
    host, _, port = address.server.partition(":")
    return client, lambda: client.connect(host, int(port), clean_start=is_clean, properties=how)


def _bare_mqtt(address: BrokerAddress, messages: int) -> float:
    client, connect = _mqtt_session(address, is_clean=False)
    done, count = threading.Event(), 0

    def arrived(*_: object) -> None:
        nonlocal count
        count += 1
        if count == messages:
            done.set()

    client.on_message = arrived
    began_s = time.perf_counter()
    connect()
    client.loop_start()
    is_done = done.wait(_LONGEST_S)
    took_s = time.perf_counter() - began_s
    client.disconnect()
    client.loop_stop()
    assert is_done
    return took_s


_BARE: Mapping[str, Callable[[BrokerAddress, int], float]] = {
    "nats": _bare_nats,
    "amqp": _bare_amqp,
    "amqp+stream": _bare_amqp,
    "kafka": _bare_kafka,
    "mqtt": _bare_mqtt,
}


def _remove_nats(address: BrokerAddress) -> None:
    import nats  # noqa: PLC0415 - an extra

    async def remove() -> None:
        client = await nats.connect(f"nats://{address.server}")
        await client.jetstream().delete_stream(address.name)
        await client.close()

    asyncio.run(remove())


def _remove_amqp(address: BrokerAddress) -> None:
    import aio_pika  # noqa: PLC0415 - an extra

    async def remove() -> None:
        connection = await aio_pika.connect(f"amqp://guest:guest@{address.server}/")
        async with connection:
            await (await connection.channel()).queue_delete(address.name)

    asyncio.run(remove())


def _remove_kafka(address: BrokerAddress) -> None:
    from confluent_kafka.admin import AdminClient  # noqa: PLC0415 - an extra

    admin = AdminClient({"bootstrap.servers": address.server})  # lives until the answer is there
    for done in admin.delete_topics([address.name]).values():
        done.result(10)


def _remove_mqtt(address: BrokerAddress) -> None:
    client, connect = _mqtt_session(address, is_clean=True)  # the session ends with it
    connect()
    client.disconnect()


_REMOVE: Mapping[str, Callable[[BrokerAddress], None]] = {
    "nats": _remove_nats,
    "amqp": _remove_amqp,
    "amqp+stream": _remove_amqp,
    "kafka": _remove_kafka,
    "mqtt": _remove_mqtt,
}


# --- the ledger ---------------------------------------------------------------------------------


def _bench_ledger(url: str, count: int = 20_000) -> dict[str, Any]:
    made = [_decision(n) for n in range(count)]
    for one in made:
        one.canonical_bytes()  # a run has logged them before the ledger hears of them
    schema = f"bench_{uuid.uuid4().hex[:8]}"
    address = f"{url}?schema={schema}"
    best = {"ledger": float("inf"), "copy": float("inf")}
    try:
        for turn in range(7):
            with Ledger.open(address) as ledger:
                began_s = time.perf_counter()
                ledger.apply(
                    f"p{turn:03d}",
                    [(n + 1, one) for n, one in enumerate(made)],
                    through_sequence=count + 1,
                    accounts=Accounts(),
                )
                best["ledger"] = min(best["ledger"], time.perf_counter() - began_s)
            engine = ledger_engine(address)
            with engine.connect() as connection:
                rows = connection.execute(sa.select(decisions_table)).fetchall()
                connection.exec_driver_sql("TRUNCATE decisions CASCADE")
                connection.commit()
                names = ", ".join(f'"{c.name}"' for c in decisions_table.columns)
                began_s = time.perf_counter()
                with connection.connection.cursor().copy(
                    f"COPY decisions ({names}) FROM STDIN"
                ) as stream:
                    for row in rows:
                        stream.write_row(row)
                connection.commit()
                best["copy"] = min(best["copy"], time.perf_counter() - began_s)
                connection.exec_driver_sql("TRUNCATE decisions CASCADE")
                connection.commit()
            engine.dispose()
    finally:
        _drop(url, schema)
    return {
        "decisions_per_s": round(count / best["ledger"]),
        "bare_copy_rows_per_s": round(count / best["copy"]),
        "share_of_copy": round(best["copy"] / best["ledger"], 3),
    }


def _decision(number: int) -> Decision:
    start_ns = number * 60_000_000_000
    subject = f"sat-{number % 100}"
    return Decision(
        decision_id=decision_id(
            pipeline="bench", subject=subject, kind="high", window_start_ns=start_ns,
            window_end_ns=start_ns + 1,
        ),
        pipeline="bench", subject=subject, group="", kind="high", transition=Transition.RAISED,
        event_ns=start_ns, window_start_ns=start_ns, window_end_ns=start_ns + 1,
        severity=Severity.WARNING, score=1.0, confidence=1.0, revision=0, status=Status.ISSUED,
        reasons=(), mode=Mode.PRIMARY,
        trace_id=trace_id(pipeline="bench", subject=subject, window_start_ns=start_ns),
    )  # fmt: skip
