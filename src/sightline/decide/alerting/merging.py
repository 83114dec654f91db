"""Minimum gap between events: those of one subject closer than it are one event.

A stage of its own behind m-of-n persistence and hysteresis (:mod:`sightline.decide.alarm`): there
a state changes, here its episodes are joined, so that a state that drops out for a moment is one
event with parts and not several events. Two events are joined when the later begins less than
``min_gap_ns`` after the earlier ended. The first part of an event may be told at once; the event
is closed, with its end and its parts, when nothing can join it any more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from sightline.errors import UsageError
from sightline.records.windows import IntArray

FORMAT = 1
_COLUMNS = ("key", "start_ns", "end_ns", "parts")


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeRule:
    """When two events are one.

    Attributes:
        min_gap_ns: time without the state that separates two events, 1 or more.
        version: of this stage; decisions name it among their versions.

    Raises:
        UsageError: a gap below 1.
    """

    min_gap_ns: int
    version: str = "merge/1"

    def __post_init__(self) -> None:
        if self.min_gap_ns < 1:
            raise UsageError(
                expected="a gap of 1 ns or more",
                got=f"{self.min_gap_ns}",
                where="merge rule",
                action="leave the stage out to join nothing",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Events:
    """Events, each with its parts.

    Attributes:
        key: int64[n], subject.
        start_ns, end_ns: int64[n], first and last instant, UTC ns.
        parts: int64[n], events that were joined, 1 or more.
    """

    key: IntArray
    start_ns: IntArray
    end_ns: IntArray
    parts: IntArray

    def __len__(self) -> int:
        return len(self.key)

    @classmethod
    def none(cls) -> Events:
        empty = np.empty(0, np.int64)
        return cls(key=empty, start_ns=empty, end_ns=empty, parts=empty)

    def only(self, at: npt.NDArray[np.bool_]) -> Events:
        return Events(**{name: getattr(self, name)[at] for name in _COLUMNS})


@dataclass(frozen=True, slots=True)
class MergeState:
    """Events that may still be joined: one per subject at most, in order of key."""

    held: Events

    def as_mapping(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "format": FORMAT,
            **{name: getattr(self.held, name).tolist() for name in _COLUMNS},
        }

    @classmethod
    def from_mapping(cls, plain: Mapping[str, Any]) -> MergeState:
        """Inverse of :meth:`as_mapping`.

        Raises:
            UsageError: if ``plain`` is no such mapping, or of another format.
        """
        try:
            if plain["format"] != FORMAT:
                raise ValueError(f"format {plain['format']}")
            columns = {name: np.array(plain[name], np.int64) for name in _COLUMNS}
            if len({len(column) for column in columns.values()}) != 1:
                raise ValueError("columns of unequal length")
            return cls(Events(**columns))
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(
                expected=f"a merge state of format {FORMAT}",
                got=f"{type(error).__name__}: {error}",
                where="merge state, from_mapping",
                action="start from a new state: it holds nothing",
            ) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """What came of a batch.

    Attributes:
        state: to give to the next batch.
        is_new: bool[r], by row of the batch: it begins an event and may be told now.
        closed: events that are over, by key, then start.
    """

    state: MergeState
    is_new: npt.NDArray[np.bool_]
    closed: Events


def merge_events(
    rule: MergeRule,
    state: MergeState,
    *,
    key: IntArray,
    start_ns: IntArray,
    end_ns: IntArray,
    through_ns: int,
) -> Merged:
    """Join a batch of events with those that are held.

    Args:
        rule: the gap.
        state: what is held.
        key: int64[r], subjects; rows in any order.
        start_ns, end_ns: int64[r].
        through_ns: no event that begins before it will come any more. One that does all the
            same is joined if it can be, and never lost.

    >>> columns = dict(key=np.zeros(3, np.int64), start_ns=np.array([0, 12, 40]),
    ...                end_ns=np.array([10, 20, 50]))
    >>> merged = merge_events(MergeRule(min_gap_ns=5), MergeState(Events.none()), **columns,
    ...                       through_ns=52)
    >>> merged.is_new.tolist(), merged.closed.end_ns.tolist(), merged.state.held.end_ns.tolist()
    ([True, False, True], [20], [50])
    """
    held = state.held
    rows = len(held) + len(key)
    both = {
        "key": np.concatenate([held.key, key]),
        "start_ns": np.concatenate([held.start_ns, start_ns]),
        "end_ns": np.concatenate([held.end_ns, end_ns]),
        "parts": np.concatenate([held.parts, np.ones(len(key), np.int64)]),
    }
    # By row last: of equal starts the held event, which was told already, comes first.
    order = np.lexsort((np.arange(rows), both["start_ns"], both["key"]))
    frame = pl.DataFrame({name: column[order] for name, column in both.items()}).with_columns(
        reach=pl.col("end_ns").cum_max().over("key")
    )
    keys, starts = frame["key"].to_numpy(), frame["start_ns"].to_numpy()
    reach = frame["reach"].to_numpy()
    begins = np.ones(rows, np.bool_)
    begins[1:] = (keys[1:] != keys[:-1]) | (starts[1:] - reach[:-1] >= rule.min_gap_ns)
    event = np.cumsum(begins) - 1
    last = np.append(begins[1:], True) if rows else begins
    total = int(begins.sum())
    was_held = np.zeros(total, np.bool_)
    was_held[event[order < len(held)]] = True
    parts = np.zeros(total, np.int64)
    np.add.at(parts, event, frame["parts"].to_numpy())
    joined = Events(key=keys[begins], start_ns=starts[begins], end_ns=reach[last], parts=parts)

    is_new = np.zeros(rows, np.bool_)
    is_new[order[begins]] = ~was_held
    is_over = through_ns - joined.end_ns >= rule.min_gap_ns
    # Only the newest of a subject is held: what comes late to an older one is an event of its own.
    is_newest = np.ones(total, np.bool_)
    is_newest[:-1] = joined.key[1:] != joined.key[:-1]
    closes = is_over | ~is_newest
    return Merged(
        state=MergeState(joined.only(~closes)),
        is_new=is_new[len(held) :],
        closed=joined.only(closes),
    )
