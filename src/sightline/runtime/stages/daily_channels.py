"""Level and noise of each channel by key and day, and the version that a key runs.

The half of ``version_change`` in each partition. Only settled windows are added up, so a day is
reported once and never revised.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from sightline.errors import LogError
from sightline.limits import Limits
from sightline.perceive.row_store import Rows
from sightline.perceive.window_series import WindowSeries, ranges
from sightline.records.signals import NS_PER_S
from sightline.records.windows import FloatArray, IntArray
from sightline.runtime.engine.stream import Names
from sightline.runtime.stage import Step

DAY_NS = 86_400 * NS_PER_S
NO_DAY = -1
_WINDOW_BITS = 42
_WINDOW_MASK = (1 << _WINDOW_BITS) - 1
_NOISE_OF_BEND = math.sqrt(math.pi / 2) / math.sqrt(6)
"""Standard deviation of normal noise for a mean size 1 of its second differences."""
_REMEMBERED_DAYS = 8
"""Days of a key of which a partition remembers which version was the newest."""


class DailyChannels:
    """Level and noise of each channel by key and day, and what version the keys run.

    The level of a day is the mean of its windows. The noise is the mean size of the second
    differences of windows in a row, which a slow swing does not enter, as the standard deviation of
    normal noise. A day that was heard over less than half of its length has none; a channel with a
    value in less than half of a day's windows neither.

    Args:
        step: of the plan; each of its measures is a channel.
        limits: ``max_learnt_series``, ``max_keys``.
    """

    def __init__(self, step: Step, limits: Limits) -> None:
        self._step = step
        self._columns = [m.column for m in step.reads]
        self._max_keys = limits.max_learnt_series // len(self._columns)
        self._max_versions_of = limits.max_keys
        c = len(self._columns)
        self._through = np.empty(0, np.int64)
        self._day = np.empty(0, np.int64)
        self._span = np.empty((0, 3), np.int64)  # first and last window, how many
        self._sums = np.empty((0, 4, c))  # values and their number, bends and their number
        self._newest: dict[str, dict[int, tuple[int, int, str]]] = {}
        self._days: list[tuple[int, int, FloatArray]] = []
        self._named: dict[tuple[str, int], str] = {}
        self._without_room = [0, 0]  # keys beyond the bound: known of, and reported

    # --- what comes beside ------------------------------------------------------------------------

    def take_beside(self, rows: Rows, names: Names) -> None:
        """Rows of the source of versions; of a key and day the last one holds."""
        order = np.lexsort((rows.sequence, rows.time_ns, rows.key))
        key, day = rows.key[order], rows.time_ns[order] // DAY_NS
        is_last = np.ones(len(order), np.bool_)
        is_last[:-1] = (key[1:] != key[:-1]) | (day[1:] != day[:-1])
        for at in order[is_last].tolist():
            subject, _, version = names[int(rows.key[at])].rpartition("/")
            known = self._newest.get(subject)
            if known is None:
                if len(self._newest) >= self._max_versions_of:
                    continue
                known = self._newest[subject] = {}
            time_ns = int(rows.time_ns[at])
            said = (time_ns, int(rows.sequence[at]), version)
            before = known.get(time_ns // DAY_NS)
            if before is None or said > before:
                known[time_ns // DAY_NS] = said
                if before is None or before[2] != version:
                    self._named[subject, time_ns // DAY_NS] = version
            if len(known) > _REMEMBERED_DAYS:
                del known[min(known)]

    def again(self, names: Names) -> list[tuple[int, int]]:
        """Nothing: no window that may still change hangs on what came."""
        return []

    def take_control(self, control: Mapping[str, Any], names: Names) -> None:
        """It takes none."""

    # --- days -------------------------------------------------------------------------------------

    def settle(self, series: WindowSeries, settled_ns: IntArray) -> None:
        """Add up what cannot change any more; to be called before ``series`` lets go of it."""
        n = min(len(settled_ns), self._max_keys)
        self._without_room[0] = len(settled_ns) - n
        self._resize(n)
        if not n:
            return
        key = np.arange(n, dtype=np.int64)
        after = np.clip((settled_ns[:n] - series.width_ns) // series.slide_ns + 1, 0, _WINDOW_MASK)
        lo = np.searchsorted(series.code, (key << _WINDOW_BITS) | (self._through + 1))
        hi = np.searchsorted(series.code, (key << _WINDOW_BITS) | after)
        rows = ranges(lo, hi)
        if len(rows):
            self._add(series, rows)
        # What ends before the next window that may still change is whole.
        is_whole = (self._day != NO_DAY) & (after >= (self._day + 1) * DAY_NS // series.slide_ns)
        self._close(np.flatnonzero(is_whole), series.slide_ns)

    def _add(self, series: WindowSeries, rows: IntArray) -> None:
        """Rows of the series that are settled now, by key and window."""
        window = series.code[rows] & _WINDOW_MASK
        key = series.code[rows] >> _WINDOW_BITS
        day = window * series.slide_ns // DAY_NS
        values, bend = self._values_and_bends(series, rows)
        is_first = np.ones(len(rows), np.bool_)
        is_first[1:] = (key[1:] != key[:-1]) | (day[1:] != day[:-1])
        start = np.flatnonzero(is_first)
        end = np.append(start[1:], len(rows))
        parts = (values, np.isfinite(values), bend, np.isfinite(bend))
        sums = np.stack(
            [np.add.reduceat(np.nan_to_num(p.astype(np.float64)), start) for p in parts], axis=1
        )
        # Of each key one day after the other: keys beside each other, days in turn.
        turn = np.arange(len(start)) - np.searchsorted(key[start], key[start])
        for number in range(int(turn.max()) + 1):
            at = np.flatnonzero(turn == number)
            keys, days = key[start[at]], day[start[at]]
            is_next = (self._day[keys] != days) & (self._day[keys] != NO_DAY)
            self._close(keys[is_next], series.slide_ns)
            is_new = self._day[keys] == NO_DAY
            self._day[keys] = days
            self._span[keys[is_new], 0] = window[start[at[is_new]]]
            self._span[keys, 1] = window[end[at] - 1]
            self._span[keys, 2] += end[at] - start[at]
            self._sums[keys] += sums[at]
        self._through[key[end - 1]] = window[end - 1]

    def _values_and_bends(
        self, series: WindowSeries, rows: IntArray
    ) -> tuple[FloatArray, FloatArray]:
        """float64[n, c] each: the values, and the sizes of their second differences."""
        values = series.table(rows, self._columns)
        back = [series.previous(rows, i) for i in (1, 2)]
        in_a_row = np.ones(len(rows), np.bool_)
        for i, before in enumerate(back, 1):
            in_a_row &= (before >= 0) & (series.code[before] == series.code[rows] - i)
        one, two = (series.table(np.maximum(before, 0), self._columns) for before in back)
        bend = np.abs(values - 2 * one + two)
        return values, np.where(in_a_row[:, None], bend, np.nan)

    def _close(self, keys: IntArray, slide_ns: int) -> None:
        """The day of these keys is over: it is reported, and nothing of it is left."""
        for key in keys.tolist():
            first, last, heard = self._span[key].tolist()
            total, known, bends, bent = self._sums[key]
            is_known = (2 * known >= heard) & (2 * (last - first + 1) * slide_ns >= DAY_NS)
            level = np.where(is_known, total / np.maximum(known, 1), np.nan)
            is_bent = is_known & (2 * bent >= heard)
            noise = np.where(is_bent, _NOISE_OF_BEND * bends / np.maximum(bent, 1), np.nan)
            found = np.concatenate([level, noise])
            if np.isfinite(found).any():
                self._days.append((key, int(self._day[key]), found))
        self._day[keys], self._span[keys], self._sums[keys] = NO_DAY, 0, 0.0

    def _resize(self, keys: int) -> None:
        new = keys - len(self._day)
        if new > 0:
            self._through = np.append(self._through, np.full(new, -1))
            self._day = np.append(self._day, np.full(new, NO_DAY))
            self._span = np.concatenate([self._span, np.zeros((new, 3), np.int64)])
            self._sums = np.concatenate([self._sums, np.zeros((new, *self._sums.shape[1:]))])

    def report(self, names: Names) -> dict[str, Any] | None:
        """What there is since the last call; None if nothing.

        Returns:
            ``days``: key, number of the day, level of each measure, then noise of each, null where
            there is none. ``versions``: key, number of the day, version. ``without_room``: keys
            that are not followed.
        """
        beyond = self._without_room[0] - self._without_room[1]
        if not (self._days or self._named or beyond):
            return None
        days = sorted(
            [names[key], day, [v if math.isfinite(v) else None for v in values.tolist()]]
            for key, day, values in self._days
        )
        named = [[*at, version] for at, version in sorted(self._named.items())]
        self._days, self._named, self._without_room[1] = [], {}, self._without_room[0]
        return {"days": days, "versions": named, "without_room": beyond}

    # --- checkpoint -------------------------------------------------------------------------------

    def snapshot(self) -> Mapping[str, npt.NDArray[np.generic]]:
        """Between two ticks, when everything was reported but what was named since."""
        plain = {
            "version": self._step.stage.version,
            "newest": {s: list(map(list, days.values())) for s, days in self._newest.items()},
            "named": [[*at, version] for at, version in self._named.items()],
            "without_room": self._without_room,
        }
        return {
            "plain": np.frombuffer(json.dumps(plain).encode(), np.uint8).copy(),
            "through": self._through.copy(),
            "day": self._day.copy(),
            "span": self._span.copy(),
            "sums": self._sums.copy(),
        }

    def restore(self, arrays: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Inverse of :meth:`snapshot`.

        Raises:
            LogError: state of another version of the stage.
        """
        plain = state_text(self._step, arrays)
        self._newest = {
            subject: {time_ns // DAY_NS: (time_ns, n, name) for time_ns, n, name in days}
            for subject, days in plain["newest"].items()
        }
        self._named = {(subject, day): version for subject, day, version in plain["named"]}
        self._without_room = plain["without_room"]
        self._through = arrays["through"].astype(np.int64)
        self._day = arrays["day"].astype(np.int64)
        self._span = arrays["span"].astype(np.int64)
        self._sums = arrays["sums"].astype(np.float64)


def state_text(step: Step, arrays: Mapping[str, npt.NDArray[np.generic]]) -> dict[str, Any]:
    """What a snapshot holds as JSON, under ``plain``.

    Raises:
        LogError: state of another version of the stage.
    """
    plain: dict[str, Any] = json.loads(arrays["plain"].tobytes())
    if plain["version"] != step.stage.version:
        raise LogError(
            expected=f"state of {step.stage.use}, version {step.stage.version}",
            got=f"version {plain['version']}",
            where=f"checkpoint, stage {step.name}",
            action="delete the checkpoints: the state is rebuilt from the log",
        )
    return plain
