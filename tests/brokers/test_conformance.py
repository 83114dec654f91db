"""What every broker must do as a source. One suite; each broker passes all of it."""

from __future__ import annotations

import io
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping

import polars as pl
import pytest

from brokers.servers import Case, consumer_of
from sightline.brokers.link import ARROW, JSON_LINES
from sightline.errors import SourceError
from sightline.limits import Limits
from sightline.sense import Contract, Source, open_source
from sightline.sense.inbox import Inbox
from sightline.sense.live import LiveReaders
from sightline.sense.messages import message_of
from sightline.sense.source import Chunk

CONTRACT = Contract.model_validate(
    {
        "contract": "telemetry",
        "key": ["satellite"],
        "event_time": {"column": "time", "format": "unix_s"},
        "fields": {"bus_voltage_v": {"type": "number", "unit": "V"}},
        "timing": {"out_of_order_s": 5, "revision_allowance_s": 3600, "max_backlog_s": 315360000},
    }
)


def line(n: int) -> bytes:
    return json.dumps({"time": n, "satellite": "a", "bus_voltage_v": n / 2}).encode()


def arrow(first: int, rows: int) -> bytes:
    frame = pl.DataFrame(
        {
            "time": [float(n) for n in range(first, first + rows)],
            "satellite": ["a"] * rows,
            "bus_voltage_v": [n / 2 for n in range(first, first + rows)],
        }
    )
    buffer = io.BytesIO()
    frame.write_ipc_stream(buffer)
    return buffer.getvalue()


LIMITS = Limits(reconnect_first_s=0.05, broker_retry_s=0.2, broker_answer_s=2.0)


def opened(
    address: str,
    *,
    options: Mapping[str, object] | None = None,
    limits: Limits = LIMITS,
    tell: Callable[[str], None] = lambda text: None,
) -> Source:
    options = {"consumer": consumer_of(address), **(options or {})}
    return open_source(
        "t", address, CONTRACT, is_live=True, limits=limits, options=options, tell=tell
    )


def chunks(source: Source) -> Iterator[Chunk]:
    (stream,) = source.streams()
    return stream.chunks()


def values(taken: Iterator[Chunk], rows: int) -> tuple[list[float], list[Chunk]]:
    """The first ``rows`` values, and the chunks that had them."""
    found: list[float] = []
    of: list[Chunk] = []
    while len(found) < rows:
        chunk = next(taken)
        of.append(chunk)
        if chunk.frame.height:
            found += chunk.frame["bus_voltage_v"].cast(pl.Float64).to_list()
    return found, of


def halves(first: int, stop: int) -> list[float]:
    return [n / 2 for n in range(first, stop)]


@pytest.mark.parametrize("declared", [True, False], ids=["declared", "by its first bytes"])
def test_json_and_arrow_messages_are_read_in_order(broker: Case, declared: bool) -> None:
    address = broker.address()
    kinds = (JSON_LINES, ARROW) if declared else ("", "")
    broker.publish(address, [line(0), line(1) + b"\n" + line(2) + b"\n"], content_type=kinds[0])
    broker.publish(address, [arrow(3, 2)], content_type=kinds[1], first=2)
    with closing(opened(address)) as source:
        found, _ = values(chunks(source), 5)
    assert found == halves(0, 5)


def test_a_row_has_the_number_of_its_message_and_its_place_in_it(broker: Case) -> None:
    address = broker.address()
    broker.publish(address, [line(0), line(1) + b"\n\n" + line(2), line(3)])
    with closing(opened(address)) as source:
        _, of = values(chunks(source), 4)
    rows = [row for chunk in of for row in chunk.frame["_row"]]
    first = message_of(rows[0])
    assert [(message_of(r) - first, r % (1 << 20)) for r in rows] == [
        (0, 0),
        (1, 0),
        (1, 1),
        (2, 0),
    ]
    assert of[-1].position == (message_of(rows[-1]) + 1) << 20


def test_a_source_that_goes_on_begins_behind_what_is_kept(broker: Case) -> None:
    address = broker.address()
    broker.publish(address, [line(n) for n in range(6)])
    with closing(opened(address)) as source:
        taken = chunks(source)
        _, of = values(taken, 6)
    kept = (message_of(of[0].frame["_row"][0]) + 4) << 20  # four messages are in some log
    with closing(opened(address)) as again:
        again.resume((), {of[0].origin: kept})
        found, _ = values(chunks(again), 2)
    assert found == halves(4, 6)


def test_more_than_one_request_of_a_reader_may_fetch_comes_all_the_same(
    broker: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    if broker.name == "nats":
        monkeypatch.setattr("sightline.brokers.nats_jetstream._PULL_BYTES", 1)  # then 2 MiB
    address = broker.address()
    broker.publish(address, [line(n) + b" " * 900_000 for n in range(6)])
    with closing(opened(address)) as source:
        found, _ = values(chunks(source), 6)
    assert found == halves(0, 6)


def test_what_was_not_kept_comes_again(broker: Case) -> None:
    address = broker.address()
    broker.publish(address, [line(n) for n in range(3)])
    for _ in range(2):
        with closing(opened(address)) as source:
            found, _ = values(chunks(source), 3)
        assert found == halves(0, 3)


def test_receipts_of_a_connection_that_is_gone_are_passed_over(broker: Case) -> None:
    if not broker.name.startswith("rabbitmq"):
        pytest.skip("only there each receipt is of a channel")
    address = broker.address()
    broker.publish(address, [line(0), line(1)])
    (reader,) = opened(address).readers().values()
    try:
        reader.connect(None)
        old = [message.receipt for message in reader.read(5.0)]
        reader.connect(None)
        reader.keep(old)
        assert reader.read(5.0)
    finally:
        reader.close()


def test_what_cannot_be_read_goes_to_quarantine_and_to_the_dead_letters(broker: Case) -> None:
    address, dead = broker.address(), broker.address()
    broker.publish(dead, [line(0)])
    broker.publish(address, [line(0), b"no object", arrow(0, 2)[:60], b"", line(1)])
    options = {"dead_letter": broker.place(dead)}
    with closing(opened(address, options=options)) as source:
        found, of = values(chunks(source), 2)
    assert found == halves(0, 2)
    refused = pl.concat([chunk.rejected for chunk in of])
    assert refused["reason"].to_list() == ["LINE_UNREADABLE", "FILE_UNREADABLE", "FILE_EMPTY"]
    with closing(opened(dead)) as source:
        bodies = broker.bodies(source, 4)
    assert bodies == [line(0), b"no object", arrow(0, 2)[:60], b""]


def test_the_name_of_a_stream_can_become_a_column(broker: Case) -> None:
    address = broker.address()
    broker.publish(address, [line(0)])
    contract = CONTRACT.model_copy(update={"origin_column": "link"})
    source = opened(address)
    (stream,) = source.streams()
    inbox = Inbox("t", policy="block", max_rows=10)
    readers = LiveReaders([(source, contract, inbox)], wall_ns=time.time_ns)
    readers.start()
    try:
        deadline = time.monotonic() + 30
        while not (taken := inbox.take().chunks) and time.monotonic() < deadline:
            time.sleep(0.001)
    finally:
        source.close()
        readers.stop(2.0)
    assert [chunk.frame["link"].to_list() for chunk, _ in taken] == [[stream.origin]]


def test_a_full_inbox_stops_the_reading_and_loses_nothing(broker: Case) -> None:
    address = broker.address()
    broker.publish(address, [line(n) for n in range(60)])
    limits = Limits(broker_waiting_bytes=1000, max_message_bytes=400)
    source = opened(address, limits=limits)
    inbox = Inbox("t", policy="block", max_rows=10)
    readers = LiveReaders([(source, CONTRACT, inbox)], wall_ns=time.time_ns)
    readers.start()
    found: list[float] = []
    try:
        deadline = time.monotonic() + 30
        while len(found) < 60 and time.monotonic() < deadline:
            for chunk, _ in inbox.take(most_rows=10).chunks:
                found += chunk.frame["bus_voltage_v"].cast(pl.Float64).to_list()
                source.committed({chunk.origin: chunk.position or 0})
            time.sleep(0.001)
    finally:
        source.close()
        readers.stop(2.0)
    assert found == halves(0, 60)


def test_a_broker_that_is_killed_and_comes_back_loses_and_doubles_nothing(broker: Case) -> None:
    broker.needs_restarts()
    address = broker.address()
    broker.publish(address, [line(n) for n in range(5)])
    said: list[str] = []
    with closing(opened(address, tell=said.append)) as source:
        taken = chunks(source)
        first, of = values(taken, 5)
        source.committed({of[-1].origin: of[-1].position or 0})
        broker.server.kill()
        back = threading.Timer(0.5, broker.server.start)
        back.start()
        publishing = threading.Thread(target=publish_late, args=(broker, address))
        publishing.start()
        second, _ = values(taken, 5)
        publishing.join()
    assert first + second == halves(0, 10)
    assert "tried again" in said[0]
    assert "there again" in said[1]


def publish_late(broker: Case, address: str) -> None:
    time.sleep(1.2)
    broker.publish(address, [line(n) for n in range(5, 10)], first=5)


def test_a_broker_that_stays_away_ends_the_source_with_an_action(broker: Case) -> None:
    broker.needs_restarts()
    address = broker.address()
    broker.publish(address, [line(0)])
    with closing(opened(address, options={"give_up_s": 0.3})) as source:
        taken = chunks(source)
        values(taken, 1)
        broker.server.kill()
        try:
            with pytest.raises(SourceError, match=r"within 0.3 s.*--resume"):
                next(taken)
        finally:
            broker.server.start()


def test_a_broker_that_is_not_there_is_told_of_at_once(broker: Case) -> None:
    address = broker.address().replace(str(broker.server.port), "1")
    with pytest.raises(SourceError, match="check that it runs"), closing(opened(address)) as source:
        next(chunks(source))


class closing:  # noqa: N801
    """A source that is closed at the end."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def __enter__(self) -> Source:
        return self._source

    def __exit__(self, *_: object) -> None:
        self._source.close()
