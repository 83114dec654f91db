"""``sightline publish``: puts the rows of a file on a broker, as messages."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import polars as pl
import typer

from sightline.brokers.address import BrokerAddress
from sightline.brokers.link import ARROW, JSON_LINES
from sightline.brokers.opening import open_writer
from sightline.cli.console import Terminal
from sightline.errors import SourceError, UsageError
from sightline.limits import DEFAULT_LIMITS
from sightline.records.signals import ORIGIN, ROW
from sightline.sense.files import read_parquet
from sightline.sense.source import Chunk, chunk_of
from sightline.sense.text_files import read_csv

_TOGETHER = 256
"""Messages handed to the broker at a time."""


class Form(StrEnum):
    """What a message holds."""

    JSON = "json"
    ARROW = "arrow"


def publish(
    file: Annotated[Path, typer.Argument(help="Rows: .parquet, .csv or .jsonl.")],
    to: Annotated[
        str,
        typer.Argument(
            metavar="LOCATION",
            help="nats://HOST/STREAM/SUBJECT, kafka://HOST/TOPIC, amqp://HOST/QUEUE, "
            "mqtt://HOST/TOPIC.",
        ),
    ],
    form: Annotated[
        Form, typer.Option("--as", help="Messages of JSON lines, or Arrow IPC streams.")
    ] = Form.JSON,
    rows: Annotated[
        int, typer.Option(min=1, max=DEFAULT_LIMITS.max_message_rows, help="Rows of a message.")
    ] = 1,
    create: Annotated[
        bool, typer.Option("--create", help="Make the stream, topic or queue if it is not there.")
    ] = False,
    key: Annotated[
        str,
        typer.Option(
            help="Name of the publisher; by default the name of the file. A broker that recognises "
            "duplicates takes a message of the same publisher and number once."
        ),
    ] = "",
) -> None:
    """Publish the rows of a file, in order; no row counts twice if it is published again.

    Each message has a number, so a publication that was interrupted can be repeated: NATS drops
    doubled numbers within its duplicate window; of other brokers Sightline reads each number once.
    """
    address = BrokerAddress.parse(to)
    who = key or file.name
    began_s = time.monotonic()
    count = sent = 0
    writer = open_writer(address, producer=who, creates=create, limits=DEFAULT_LIMITS)
    try:
        for bodies, n in _bodies(file, form, rows):
            writer.write(
                bodies,
                content_type=ARROW if form is Form.ARROW else JSON_LINES,
                keys=[f"{who}:{sent + i}" for i in range(len(bodies))],
                deadline_s=max(60.0, len(bodies) * 0.1),
            )
            sent += len(bodies)
            count += n
    finally:
        writer.close()
    took_s = time.monotonic() - began_s
    Terminal().print(f"{count:,} rows in {sent:,} messages, {took_s:.1f} s: {address}")


def _bodies(file: Path, form: Form, rows: int) -> Iterator[tuple[list[bytes], int]]:
    """Bodies of some messages, and their rows."""
    for frame in _frames(file, rows * _TOGETHER):
        parts = list(frame.iter_slices(rows))
        yield [_arrow(part) if form is Form.ARROW else _json(part) for part in parts], frame.height


def _frames(file: Path, most_rows: int) -> Iterator[pl.DataFrame]:
    """Rows of the file; a line or row group that cannot be read ends it with an error."""
    waiting: list[pl.DataFrame] = []
    for chunk in _chunks(file):
        if chunk.rejected.height:
            raise SourceError(
                expected="rows that can all be read",
                got=f"row {chunk.rejected[ROW][0]}: {chunk.rejected['detail'][0]}",
                where=str(file),
                action="mend the file; `sightline run` would put such rows into quarantine",
            )
        waiting.append(chunk.frame.drop(ORIGIN, ROW))
        while sum(frame.height for frame in waiting) >= most_rows:
            whole = pl.concat(waiting, how="diagonal")
            yield whole.head(most_rows)
            waiting = [whole.slice(most_rows)]
    if waiting and sum(frame.height for frame in waiting):
        yield pl.concat(waiting, how="diagonal")


def _chunks(file: Path) -> Iterator[Chunk]:
    name, limits = file.name.lower(), DEFAULT_LIMITS
    if not file.is_file():
        raise SourceError(expected="a file", got="none", where=str(file), action="check the path")
    if name.endswith(".parquet"):
        return read_parquet(file, origin=file.name, limits=limits)
    if name.endswith((".csv", ".csv.gz")):
        return read_csv(file, origin=file.name, limits=limits)
    if name.endswith((".jsonl", ".ndjson")):
        return _lines(file)
    raise UsageError(
        expected=".parquet, .csv, .jsonl or .ndjson",
        got=file.suffix or "no suffix",
        where=str(file),
        action="give a file of one of these kinds",
    )


def _lines(file: Path) -> Iterator[Chunk]:
    try:
        frame = pl.read_ndjson(file, infer_schema_length=None)
    except pl.exceptions.PolarsError as error:
        raise SourceError(
            expected="a JSON object on each line",
            got=" ".join(str(error).split())[:200],
            where=str(file),
            action="mend the file",
        ) from error
    yield chunk_of(frame, origin=file.name, first_row=0)


def _arrow(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.rechunk().write_ipc_stream(buffer, compression="uncompressed")
    return buffer.getvalue()


def _json(frame: pl.DataFrame) -> bytes:
    return frame.write_ndjson().encode()
