"""Messages of a broker as rows: JSON lines and Arrow IPC streams, many messages at a time.

The number of a row is that of its message times 2^20, and its place in it. So whoever knows one
knows the other, a position is a row number like any other, and the same row has the same number
whenever it is given.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Literal

import numpy as np
import polars as pl

from sightline.brokers.link import ARROW, Message
from sightline.errors import LogError
from sightline.limits import Limits
from sightline.recorder.arrow_stream import read_arrow
from sightline.records.refusal import RefusalReason
from sightline.records.signals import ROW
from sightline.records.windows import IntArray
from sightline.sense.contract import Contract
from sightline.sense.json_lines import JsonParser, json_rows
from sightline.sense.refused_rows import no_rejections, rejected
from sightline.sense.source import Chunk, name_problem, placed

ROW_BITS = 20
"""A message has fewer than 2^20 rows (``Limits.max_message_rows``)."""
Encoding = Literal["auto", "json", "arrow"]
_ARROW_START = b"\xff\xff\xff\xff"
_BLANK = (b"\n\n", b"\n\r\n")


def position_behind(sequence: int) -> int:
    """The least row number of the message after ``sequence``.

    >>> position_behind(0) == 1 << ROW_BITS
    True
    """
    return (sequence + 1) << ROW_BITS


def message_of(row: int) -> int:
    """The number of the message that has the row ``row``.

    >>> message_of(position_behind(6) + 5)
    7
    """
    return row >> ROW_BITS


@dataclass(slots=True)
class MessageRows:
    """Makes chunks of messages; remembers the fields of JSON lines met so far.

    Attributes:
        contract: whose columns are looked for in JSON.
        encoding: of every message; ``auto``: as declared, or by its first bytes.
        limits: bounds.
    """

    contract: Contract
    encoding: Encoding
    limits: Limits
    _parser: JsonParser = field(init=False)

    def __post_init__(self) -> None:
        self._parser = JsonParser(self.contract)

    def chunks(self, messages: Sequence[Message]) -> Iterator[tuple[Chunk, Sequence[Message]]]:
        """Rows of messages, in order, and the messages they are of.

        A chunk is of one origin, and holds whole messages; its position is behind the last.
        """
        for (origin, is_arrow), group in groupby(messages, self._kind):
            some: list[Message] = []
            size = 0
            for message in group:
                if some and size + len(message.body) > self.limits.max_message_bytes:
                    yield self._chunk(origin, some, is_arrow=is_arrow), some
                    some, size = [], 0
                some.append(message)
                size += len(message.body)
            yield self._chunk(origin, some, is_arrow=is_arrow), some

    def _kind(self, message: Message) -> tuple[str, bool]:
        if self.encoding != "auto":
            return message.origin, self.encoding == "arrow"
        is_arrow = message.content_type == ARROW or message.body[:4] == _ARROW_START
        return message.origin, is_arrow

    def _chunk(self, origin: str, messages: Sequence[Message], *, is_arrow: bool) -> Chunk:
        frames: list[pl.DataFrame] = []
        refused: list[pl.DataFrame] = []
        fit: list[Message] = []
        for message in messages:
            if len(message.body) <= self.limits.max_message_bytes:
                fit.append(message)
                continue
            detail = f"a message of {len(message.body)} bytes, at most 64 MiB"
            refused.append(_refusal(message, RefusalReason.FILE_TOO_LARGE, detail))
        if is_arrow:
            self._read_arrow(fit, frames, refused)
        else:
            self._read_json(origin, fit, frames, refused)
        last = messages[-1]
        return Chunk(
            origin=origin,
            frame=pl.concat(frames, how="diagonal_relaxed") if frames else pl.DataFrame(),
            rejected=pl.concat(refused) if refused else no_rejections(),
            position=position_behind(last.sequence)
            if last.is_exact
            else f"message {last.sequence}",
        )

    def _read_arrow(
        self, messages: Sequence[Message], frames: list[pl.DataFrame], refused: list[pl.DataFrame]
    ) -> None:
        read: list[pl.DataFrame] = []
        firsts: list[int] = []
        for message in messages:
            try:
                frame = read_arrow(
                    message.body,
                    where=f"message {message.sequence} of {message.origin}",
                    most_rows=self.limits.max_message_rows,
                )
            except LogError as error:
                refused.append(_refusal(message, RefusalReason.FILE_UNREADABLE, error.got))
                continue
            problem = name_problem(frame.columns)
            if problem is not None:
                refused.append(_refusal(message, RefusalReason.FILE_UNREADABLE, problem))
                continue
            read.append(frame)
            firsts.append(message.sequence << ROW_BITS)
        if read:
            numbers = _numbers(firsts, [frame.height for frame in read])
            joined = placed(_joined(read), origin=messages[0].origin, rows=pl.Series(numbers))
            frames.append(joined)

    def _read_json(
        self,
        origin: str,
        messages: Sequence[Message],
        frames: list[pl.DataFrame],
        refused: list[pl.DataFrame],
    ) -> None:
        bodies, readable = [], []
        for message in messages:
            body = _whole_lines(message.body)
            if body.count(b"\n") > self.limits.max_message_rows:
                detail = f"expected at most {self.limits.max_message_rows} lines, got more"
                refused.append(_refusal(message, RefusalReason.FILE_UNREADABLE, detail))
            elif not body:
                detail = "expected JSON lines or an Arrow stream, got nothing"
                refused.append(_refusal(message, RefusalReason.FILE_EMPTY, detail))
            else:
                bodies.append(body)
                readable.append(message)
        if not bodies:
            return
        numbers = _numbers(
            [message.sequence << ROW_BITS for message in readable],
            [body.count(b"\n") for body in bodies],
        )
        for chunk in json_rows(b"".join(bodies), self._parser, origin=origin, limits=self.limits):
            if chunk.frame.height:
                frames.append(_renumbered(chunk.frame, numbers))
            if chunk.rejected.height:
                refused.append(_renumbered(chunk.rejected, numbers))


def unreadable(chunk: Chunk, messages: Sequence[Message]) -> Iterator[tuple[Message, str]]:
    """Messages of which something could not be read, and why."""
    if not chunk.rejected.height:
        return
    why: dict[int, str] = {}
    told = chunk.rejected.select(pl.col(ROW) // (1 << ROW_BITS), "reason", "detail")
    for sequence, reason, detail in told.unique(subset=ROW, keep="first").iter_rows():
        why[sequence] = f"{reason}: {detail}"
    for message in messages:
        if message.sequence in why:
            yield message, why[message.sequence]


def _joined(frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Rows of messages, not copied: whoever puts an epoch together does that once."""
    try:
        return pl.concat(frames)
    except (pl.exceptions.ShapeError, pl.exceptions.SchemaError):  # columns come and go
        return pl.concat(frames, how="diagonal_relaxed")


def _whole_lines(body: bytes) -> bytes:
    """The body with a line end, and without blank lines, which are no rows."""
    if any(blank in body for blank in _BLANK) or body[:1] in (b"\n", b"\r") or not body.strip():
        lines = [line for line in body.split(b"\n") if line.strip()]
        body = b"\n".join(lines)
    return body if body.endswith(b"\n") or not body else body + b"\n"


def _numbers(firsts: Sequence[int], rows: Sequence[int]) -> IntArray:
    """int64[n]: the number of each row of all messages together, by their first and how many."""
    counts = np.array(rows, np.int64)
    begins = np.cumsum(counts) - counts
    found: IntArray = np.repeat(np.array(firsts, np.int64) - begins, counts)
    found += np.arange(len(found))
    return found


def _renumbered(frame: pl.DataFrame, numbers: IntArray) -> pl.DataFrame:
    return frame.with_columns(pl.Series(ROW, numbers[frame[ROW].to_numpy()]))


def _refusal(message: Message, reason: RefusalReason, detail: str) -> pl.DataFrame:
    return rejected(
        origin=message.origin,
        rows=[message.sequence << ROW_BITS],
        reason=reason,
        detail=detail,
        raw=[message.body[:200].decode(errors="replace")],
    )
