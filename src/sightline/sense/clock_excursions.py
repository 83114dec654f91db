"""Excursions of one device's clock: stamps that cannot be meant, told by those around them.

A clock that is set wrong and right again leaves a hole in its times and comes back into it: the
jump away and the jump back cancel. So a forward jump counts only while the times after it do not
return to where they jumped from. What the clock said in between is not believed: it moves neither
arrival nor a watermark, and is refused CLOCK_SKEW; the right rows after it keep their time. The
other way round, a clock that falls back and returns makes only its own rows late.

Two readings of the same rows are weighed by the rows that each would lose:

- Within ``max_backlog_s`` of each other both can be meant, as when a device sends what is new
  before what has waited. The jump stands unless more rows would be late because of it than it has.
- Beyond that the contract admits only one. Rows that return to the hole and stay there refute the
  jump whatever its length (three of them, and one for twenty of its own). If the clock jumps up
  again, the side with more rows is believed; where there is nothing before the fall, the side that
  it fell from, unless the other has three times its rows.

A pure function of the rows: one chunk before, the chunk, and what has been read ahead.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from sightline.records.windows import IntArray

BoolArray = npt.NDArray[np.bool_]

_LEAST_RETURNED = 3  # rows; fewer are no majority against a time
_STANDING_SHARE = 20
_FALLEN_SHARE = 3
_MOST_JUMPS = 200
"""Falls of one clock that are judged in one window; with more only the larger ones are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StampedRows:
    """Rows of one stream in their order.

    Attributes:
        key: String[n], the device.
        time_ns: int64[n], readable times.
    """

    key: pl.Series
    time_ns: IntArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the stamps of n rows, and then of m rows after them, are worth.

    Attributes:
        is_ahead: bool[n + m], stamps of an excursion forward.
        is_behind: bool[n + m], stamps behind their own clock by more than is on time.
        against_ns: int64[n + m], of rows ahead the time that their clock is believed to have shown.
    """

    is_ahead: BoolArray
    is_behind: BoolArray
    against_ns: IntArray


def judge_stamps(
    before: StampedRows,
    rows: StampedRows,
    after: StampedRows,
    *,
    on_time_ns: int,
    max_backlog_ns: int,
) -> Verdict:
    """Which of ``rows`` bear a time that cannot be meant.

    Args:
        before: believed rows before them.
        rows: rows to judge.
        after: rows after them, as far as they have been read; they are judged as far as that goes.
        on_time_ns: how far behind its own clock a row may be.
        max_backlog_ns: how old a row may be.

    >>> def rows(*times): return StampedRows(key=pl.Series(["a"] * len(times), dtype=pl.String),
    ...                                      time_ns=np.array(times, np.int64))
    >>> judge_stamps(rows(), rows(10, 20, 9000, 9010, 30, 40, 50), rows(60), on_time_ns=5,
    ...              max_backlog_ns=100).is_ahead.tolist()
    [False, False, True, True, False, False, False, False]
    """
    first = len(before.time_ns)
    time_ns = np.concatenate([before.time_ns, rows.time_ns, after.time_ns])
    state = np.zeros(len(time_ns), np.int8)
    against_ns = np.zeros(len(time_ns), np.int64)
    if has_fallen((time_ns,), on_time_ns=on_time_ns):
        keys = pl.concat([before.key, rows.key, after.key])
        code = keys.rank("dense").fill_null(0).to_numpy().astype(np.int64)
        order = np.argsort(code, kind="stable")
        for place in _falling(code[order], time_ns[order], on_time_ns):
            at = order[place]
            state[at], against_ns[at] = _judge_clock(
                time_ns[at],
                decided=int((at < first).sum()),
                on_time_ns=on_time_ns,
                max_backlog_ns=max_backlog_ns,
            )
    return Verdict(
        is_ahead=state[first:] == _AHEAD,
        is_behind=state[first:] == _BEHIND,
        against_ns=against_ns[first:],
    )


def has_fallen(parts: Iterable[IntArray], *, on_time_ns: int) -> bool:
    """Whether some time is behind one before it by more than that; otherwise all are believed.

    Args:
        parts: int64[n] each, the times of consecutive rows.
        on_time_ns: how far behind a row may be.

    >>> has_fallen((np.array([10, 20]), np.array([16, 30])), on_time_ns=3)
    True
    """
    newest_ns: int | None = None
    for time_ns in parts:
        if not len(time_ns):
            continue
        if newest_ns is not None and newest_ns - int(time_ns.min()) > on_time_ns:
            return True
        is_sorted = (time_ns[1:] >= time_ns[:-1]).all()  # a running maximum costs far more
        if not is_sorted and (np.maximum.accumulate(time_ns) - time_ns).max() > on_time_ns:
            return True
        highest_ns = int(time_ns.max())
        newest_ns = highest_ns if newest_ns is None else max(newest_ns, highest_ns)
    return False


_AHEAD, _BEHIND = 1, 2


def _falling(code: IntArray, time_ns: IntArray, on_time_ns: int) -> list[slice]:
    """Where in rows sorted by ``code`` the devices stand whose clock falls by more than that."""
    starts = np.flatnonzero(np.diff(code, prepend=-1))
    stops = np.append(starts[1:], len(code))
    # One running maximum for all devices: each is lifted above the one before, in units so coarse
    # that no sum overflows; a fall that is nearly large enough may be looked at for nothing.
    span = int(time_ns.max()) - int(time_ns.min())
    unit = max((span + 1) * len(starts) >> 61, 1)
    coarse = (time_ns - time_ns.min()) // unit
    lift = np.repeat(np.arange(len(starts), dtype=np.int64), stops - starts) * (span // unit + 1)
    fall = np.maximum.accumulate(coarse + lift) - (coarse + lift)
    is_fallen = np.maximum.reduceat(fall, starts) > max(on_time_ns // unit - 1, 0)
    return [slice(a, b) for a, b in zip(starts[is_fallen], stops[is_fallen], strict=True)]


def _judge_clock(
    time_ns: IntArray, *, decided: int, on_time_ns: int, max_backlog_ns: int
) -> tuple[npt.NDArray[np.int8], IntArray]:
    """State and believed time of the rows of one device; the first ``decided`` are believed."""
    n = len(time_ns)
    state, against_ns = np.zeros(n, np.int8), np.zeros(n, np.int64)
    falls = np.sort(-np.diff(time_ns))[::-1]
    if len(falls) > _MOST_JUMPS:
        on_time_ns = max(on_time_ns, int(falls[_MOST_JUMPS]))
    believed = np.empty(0, np.int64)
    at = 0
    while at < n:
        frontier_ns = time_ns[believed].max() if len(believed) else time_ns[at]
        top = np.maximum.accumulate(np.maximum(time_ns[at:], frontier_ns))
        fallen = np.flatnonzero(time_ns[at:] < top - on_time_ns)
        stop = at + int(fallen[0]) if len(fallen) else n
        believed = np.concatenate([believed, np.arange(at, stop)])
        if stop == n:
            break
        at = stop
        top = np.maximum.accumulate(time_ns[believed])
        jump = int(np.searchsorted(top, time_ns[at] + on_time_ns, side="right"))
        is_refuted = believed[jump] >= decided and _is_refuted(
            time_ns[believed],
            time_ns[at:],
            jump,
            on_time_ns=on_time_ns,
            max_backlog_ns=max_backlog_ns,
        )
        if is_refuted:
            wrong = believed[jump:]
            state[wrong] = _AHEAD
            against_ns[wrong] = top[jump - 1] if jump else time_ns[at]
            believed = believed[:jump]
        else:
            back = np.flatnonzero(time_ns[at:] >= top[-1] - on_time_ns)
            stop = at + int(back[0]) if len(back) else n
            state[at:stop] = _BEHIND
            at = stop
    return state, against_ns


def _is_refuted(
    believed_ns: IntArray, rest_ns: IntArray, jump: int, *, on_time_ns: int, max_backlog_ns: int
) -> bool:
    """Whether the rows from a fall on (``rest_ns``) refute those from ``jump`` on."""
    newest_ns = int(believed_ns.max())
    fall_ns = newest_ns - int(rest_ns[0])
    low_ns = int(believed_ns[:jump].max()) if jump else None
    if low_ns is not None and 2 * (int(believed_ns[jump]) - low_ns) <= fall_ns:
        return False  # it did not jump: the rows come late
    is_low = rest_ns < newest_ns - on_time_ns
    if low_ns is not None:
        is_low &= rest_ns > low_ns - on_time_ns
    returned, jumped = int(is_low.sum()), len(believed_ns) - jump
    leap = np.flatnonzero(
        (rest_ns[1:] >= newest_ns - on_time_ns) & (2 * np.diff(rest_ns) > fall_ns)
    )
    if low_ns is None:
        if len(leap):
            again = int((rest_ns[leap[0] + 1 :] >= newest_ns - on_time_ns).sum())
            return returned > _FALLEN_SHARE * (jumped + again)
        return returned > jumped
    if fall_ns <= max_backlog_ns:
        return returned >= _LEAST_RETURNED and returned > jumped
    if len(leap):
        return returned > jumped
    return returned > jumped or returned >= max(_LEAST_RETURNED, jumped / _STANDING_SHARE)
