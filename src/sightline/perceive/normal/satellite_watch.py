"""One satellite watched as its rows come: expect, test, tell, and learn from what was healthy.

Everything is told as it goes. A day is judged by what was learnt before it, block by block; an
alert masks its samples for all that comes later, so that the end of a fault is not told as another
one, and nothing is learnt from it. What stands for ``LASTING_DAYS`` is the new normal.

A block of which only the first rows are known tells what the whole block tells up to there: no
statistic and no choice at a row looks at rows that come after the row at which it is told. So a
live run and a look at a recording tell the same (a test holds this module to it).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from sightline.errors import LogError
from sightline.perceive.compiled import warm
from sightline.perceive.normal import innovations
from sightline.perceive.normal.channel_alert import SAME_S, ChannelAlert, Telling
from sightline.perceive.normal.counters import Counters, learnt_counters
from sightline.perceive.normal.expectation import (
    MOST_STATES,
    TURN_ROWS,
    WARM_UP_S,
    CommandTimes,
    Expectation,
    since_last,
)
from sightline.perceive.normal.expectation_learning import Past, common_periods, learn
from sightline.perceive.normal.first_sights import first_sights
from sightline.perceive.normal.residual_tests import (
    REACH_S,
    ResidualTest,
    Sums,
    equal_run,
    missing_run,
    residual_tests,
    statistics,
)
from sightline.perceive.normal.satellite_record import DAY_S, SatelliteRecord
from sightline.perceive.normal.tail_levels import levels_above
from sightline.records.detections import BoolArray
from sightline.records.windows import FloatArray, IntArray

WATCH_STATE_VERSION = 5
"""Of :meth:`SatelliteWatch.state`; counted up when it, or what it means, changes."""
BLOCKS_PER_DAY = 16
LASTING_DAYS = 3
KEPT_DAYS = 10
"""Of what a satellite sent: seven are learnt from, and some may have been faulty."""
LEARN_DAYS = 4
LEAST_LEARN_DAYS = 3
FALSE_ALERTS_PER_DAY = 0.02
"""Of one satellite: what levels are learnt for, unless another is asked for."""
MOST_ALERTS_PER_DAY = 12
"""More than so many on one satellite and day are not told one by one: the satellite is in doubt."""
_DAMPED_S = 21_600.0
_DAMPING = 1.0
"""For so long each alert raises what others of the satellite must pass, by this share: what goes
wrong once shows in many channels, and one message says it."""
_UNSEEN_S = 86_400.0
_UNSEEN = 8.0
"""For so long after a command that was never sent before, until a day with it was learnt, evidence
must be so many times as great: what the command does is not known."""
_TOLD_ONCE = 2.0
"""What passed by itself is told again where it is so much more than it was."""
_PAST_DAYS = 7
_LEAST_DAYS = 2
_PERIOD_DAYS = (3, 4, 7)
_FAULTY_SHARE = 0.25
"""A day on which a channel was faulty for longer is not learnt from: others went along with it."""
_KEPT_LEVEL_DAYS = 14
_KEPT_BLOCKS = _KEPT_LEVEL_DAYS * BLOCKS_PER_DAY
_WAIT_ROWS = 6
LEVEL_HOLDS = -0.3
"""Where it explains less, what it leaves has no level of its own: news alone is tested."""
_STATE_HOLDS = 0.5
_STILL_ROWS = 12
_MISSING_ROWS = 4
_OUTSIDE, _OUTSIDE_DAYS = 0.3, 2.25
"""Of all that was seen, and of how far days are from each other."""
_OUTSIDE_ROWS = 4
_ALONE, _PEERS, _PLAIN = range(3)
_STILL, _MISSING, _RANGE, _RESET = range(4)
_PLAIN_NAMES = ("stuck", "missing", "range", "reset")
_RESET_ROWS = 4


@dataclass(slots=True)
class SatelliteWatch:
    """See this module.

    Attributes:
        record: of the satellite.
        tests: on what is left.
        expectation: in force; None before anything was learnt.
        learnt_days: that it was learnt from; days by number.
        maxima: float64[2, tests, c, blocks], newest last, the greatest statistic by the model of
            its day; NaN where nothing healthy was known.
        alerts: all that was told.
        in_doubt_days: days on which no more was told, because there was too much.
        learn_days: days that are learnt from, and nothing told, before the first that is judged.
        budget: false alerts a day that levels are learnt for.
        levels: float64[2, tests, c], in force. Infinity tells nothing.
        quiet: by channel, rows from and until which nothing is told of it: somebody has said that
            what it shows is normal.
        anew: row before which nothing is learnt from: somebody has said so.
    """

    record: SatelliteRecord
    learn_days: int = LEARN_DAYS
    budget: float = FALSE_ALERTS_PER_DAY
    tests: tuple[ResidualTest, ...] = ()
    expectation: Expectation | None = None
    learnt_days: tuple[int, ...] = ()
    maxima: FloatArray = field(default_factory=lambda: np.empty((2, 0, 0, 0)))
    alerts: list[ChannelAlert] = field(default_factory=list)
    in_doubt_days: int = 0
    levels: FloatArray = field(default_factory=lambda: np.empty((2, 0, 0)))
    quiet: dict[int, tuple[int, int]] = field(default_factory=dict)
    anew: int = 0
    _is_faulty: BoolArray = field(default_factory=lambda: np.empty((0, 0), np.bool_))
    _periods_s: tuple[float, ...] | None = None
    _still: FloatArray = field(default_factory=lambda: np.empty((2, 0)))
    _rest: FloatArray = field(default_factory=lambda: np.empty(0))
    _missing: FloatArray = field(default_factory=lambda: np.empty(0))
    _margin: FloatArray = field(default_factory=lambda: np.empty(0))
    _direction: FloatArray = field(default_factory=lambda: np.empty(0))
    _wraps_at: FloatArray = field(default_factory=lambda: np.empty(0))
    _seen: FloatArray = field(default_factory=lambda: np.empty((2, 0, 0)))
    _seen_outside: FloatArray = field(default_factory=lambda: np.empty(0))
    _today: tuple[int, int] = (-1, 0)
    """A day, and how often something was told on it."""

    def __post_init__(self) -> None:
        warm(innovations.__name__)
        shape = self.record.values.shape
        if not self.tests:
            self.tests = residual_tests(self.record.step_s)
            self.maxima = np.full((2, len(self.tests), shape[1], 0), np.nan)
            self.levels = np.full((2, len(self.tests), shape[1]), np.inf)
            self._is_faulty = np.zeros(shape, np.bool_)
            self._seen = np.zeros_like(self.levels)
            self._seen_outside = np.zeros(shape[1])
            self._direction, self._wraps_at = np.zeros(shape[1]), np.full(shape[1], np.inf)

    @classmethod
    def begin(
        cls,
        channels: int,
        *,
        step_s: float,
        learn_days: int = LEARN_DAYS,
        budget: float = FALSE_ALERTS_PER_DAY,
    ) -> SatelliteWatch:
        """One that has seen nothing yet; its first day begins with the first row.

        Args:
            channels: how many.
            step_s: distance of rows.
            learn_days: ``LEAST_LEARN_DAYS`` or more.
            budget: false alerts a day, above 0.
        """
        record = SatelliteRecord(
            step_s=step_s,
            values=np.empty((0, channels)),
            is_heard=np.empty(0, np.bool_),
            commands=CommandTimes.none(),
        )
        return cls(record, learn_days=learn_days, budget=budget)

    # --- row by row -------------------------------------------------------------------------------

    @property
    def next_block(self) -> int:
        """Number of the block that begins with the row after the record."""
        day, row = divmod(self.record.end, self.record.rows_per_day)
        return day * BLOCKS_PER_DAY + -(-row * BLOCKS_PER_DAY // self.record.rows_per_day)

    @property
    def is_judging(self) -> bool:
        """Whether the next block is one of which something may be told."""
        return self.next_block >= self.learn_days * BLOCKS_PER_DAY

    def advance(self, values: FloatArray, is_heard: BoolArray, commands: CommandTimes) -> None:
        """Take the rows of the next block, judge them, and learn where a day begins.

        Args:
            values: float64[n, c]; all rows of the block, or the last rows of a recording.
            is_heard: bool[n].
            commands: all so far.
        """
        block = self.next_block
        self.extend(values, is_heard, commands)
        if self.expectation is not None:
            self.judge_block(block, len(values))
        self._begin_day()

    def _begin_day(self) -> None:
        """Where a day begins: learn from those before it, and from what was healthy on them."""
        day, row = divmod(self.record.end, self.record.rows_per_day)
        if row or day < _LEAST_DAYS:
            return
        if day >= self.learn_days:
            self.levels = self._levels()
        self.learn_until(day)

    def _levels(self) -> FloatArray:
        """float64[2, tests, c]: above the greatest of healthy days, and above what passed."""
        reserve = np.array([test.reserve for test in self.tests])
        greatest = self._greatest(self.maxima)
        allowed = self.budget / FALSE_ALERTS_PER_DAY
        found = np.stack([levels_above(part, reserve, allowed) for part in greatest])
        return np.maximum(found, _TOLD_ONCE * self._seen)

    @staticmethod
    def _greatest(maxima: FloatArray) -> FloatArray:
        """float64[2, tests, c]: greatest healthy statistic; NaN where half a day is not known."""
        known = np.isfinite(maxima)
        found = np.where(known, maxima, -np.inf).max(axis=3, initial=-np.inf)
        return np.where(known.sum(axis=3) >= BLOCKS_PER_DAY // 2, found, np.nan)

    def take_as_normal(self, channel: int | None, row: int) -> None:
        """Somebody has said that what a channel, or all of them, shows from now on is normal.

        What stands is over, and nothing is told until it is learnt: of one channel for two whole
        days; of all of them nothing is told for ``learn_days`` whole days, and nothing that was
        before is learnt from.

        Args:
            channel: column; None: all of them.
            row: from which on; the end of the record, or later.
        """
        per_day = self.record.rows_per_day
        day = -(-row // per_day)
        days = 2 if channel is not None else self.learn_days
        for k in range(self.record.values.shape[1]) if channel is None else (channel,):
            self.quiet[k] = (row, (day + days) * per_day)
        if channel is None:
            self.anew = day * per_day

    # --- learning ---------------------------------------------------------------------------------

    def learn_until(self, day: int) -> None:
        """Learn from the days before ``day``, 2 or more."""
        record, per_day = self.record, self.record.rows_per_day
        warm = round(WARM_UP_S / record.step_s)
        days = self._healthy_days(day)
        if self.expectation is not None and (len(days) < _LEAST_DAYS or days[-1] < day - 1):
            return  # what was learnt before holds until a day was healthy
        rows = record.rows(days[0] * per_day, day * per_day)
        raw = np.where(self._is_faulty[rows], np.nan, record.values[rows])
        counters = learnt_counters(raw)
        self._direction, self._wraps_at = counters.direction, counters.wraps_at
        times, values, healthy, begins = [], [], [], []
        for k in days:
            begin = max(k * per_day - warm, record.first)
            rows = record.rows(begin, (k + 1) * per_day)
            times.append(np.arange(begin, (k + 1) * per_day, dtype=np.float64) * record.step_s)
            values.append(counters.rates(record.values[rows]))
            healthy.append(~self._is_faulty[rows])
            begins.append(k * per_day - begin)
        past = Past(
            time_s=times,
            values=values,
            is_healthy=healthy,
            begins=begins,
            commands=record.commands.until(day * DAY_S),
        )
        rows = record.rows(days[0] * per_day, day * per_day)
        usable = counters.rates(raw)
        if self._periods_s is None or day in _PERIOD_DAYS or day % 14 == 0:
            self._periods_s = common_periods(usable, record.step_s)
        self.expectation = learn(past, periods_s=self._periods_s)
        self.learnt_days = tuple(days)
        self._margin = _range_margin(usable, per_day)
        self._learn_runs(raw, record.is_heard[rows], self._is_faulty[rows])

    @property
    def counters(self) -> Counters:
        """Which channels count."""
        return Counters(direction=self._direction, wraps_at=self._wraps_at)

    def _healthy_days(self, day: int) -> list[int]:
        """The newest days, ascending, on which no channel was faulty for long."""
        per_day = self.record.rows_per_day
        oldest = -(-max(self.record.first, self.anew) // per_day)
        found: list[int] = []
        for k in range(day - 1, max(day - 2 * _PAST_DAYS, oldest) - 1, -1):
            rows = self.record.rows(k * per_day, (k + 1) * per_day)
            faulty = self._is_faulty[rows].mean(axis=0)
            if faulty.max(initial=0.0) < _FAULTY_SHARE:
                found.append(k)
            if len(found) == _PAST_DAYS:
                break
        return found[::-1]

    def _learn_runs(self, usable: FloatArray, is_heard: BoolArray, is_faulty: BoolArray) -> None:
        c = usable.shape[1]
        run = equal_run(usable)
        ends = np.concatenate([run[1:] <= run[:-1], np.ones((1, c), np.bool_)]) & (run > 0)
        still, rest = np.full((2, c), np.inf), np.full(c, np.nan)
        for k in range(c):
            at = np.flatnonzero(ends[:, k] & np.isfinite(usable[:, k]))
            if not len(at):
                continue
            length, value = run[at, k], usable[at, k]
            rest[k] = value[np.argmax(length)]
            longest = float(length.max())
            other = float(length[value != rest[k]].max(initial=1))
            if len(np.unique(value[: 10 * MOST_STATES])) <= MOST_STATES:
                other = longest
            still[:, k] = [max(2 * other, other + _STILL_ROWS), 2 * longest + _STILL_ROWS]
        self._still, self._rest = still, rest
        gap = missing_run(np.where(is_faulty, 0.0, usable), is_heard).max(axis=0)
        self._missing = np.maximum(2.0 * gap, gap + _MISSING_ROWS)

    # --- judging ----------------------------------------------------------------------------------

    def block_rows(self, block: int) -> tuple[int, int]:
        """Numbers of the first row of a block, and of the row after its last."""
        per_day = self.record.rows_per_day
        day, part = divmod(block, BLOCKS_PER_DAY)
        return (
            day * per_day + part * per_day // BLOCKS_PER_DAY,
            day * per_day + (part + 1) * per_day // BLOCKS_PER_DAY,
        )

    def judge_block(self, block: int, known: int) -> None:
        """Judge a block whose rows are in the record.

        Args:
            block: number; ``BLOCKS_PER_DAY`` of them are a day.
            known: how many of its rows; all of them, except of the last block of a recording.
        """
        begin, _ = self.block_rows(block)
        rows = self.record.rows(begin, begin + known)
        values, is_heard = self.record.values[rows], self.record.is_heard[rows]
        view = _BlockView(self, block, values, is_heard, self.record.commands)
        told = view.told()
        view.settle([*view.alerts, *told])
        self.alerts = [*(a for a in self.alerts if not view.concerns(a)), *view.alerts, *told]
        self.in_doubt_days += view.in_doubt
        self._today = view.today
        until = view.offset + known
        self._is_faulty[self.record.rows(view.low, begin + known)] = view.is_faulty[:until]
        newest = view.healthy_maxima()[..., None]
        self.maxima = np.concatenate([self.maxima, newest], axis=3)[..., -_KEPT_BLOCKS:]

    def look(
        self, values: FloatArray, is_heard: BoolArray, commands: CommandTimes
    ) -> list[ChannelAlert]:
        """The alerts that concern the next block, of which some first rows are known.

        Nothing is kept. An expectation must be in force.

        Args:
            values: float64[n, c] of its first rows.
            is_heard: bool[n] of them.
            commands: all so far.
        """
        view = _BlockView(self, self.next_block, values, is_heard, commands)
        told = view.told()
        return [*view.alerts, *told]

    def extend(self, values: FloatArray, is_heard: BoolArray, commands: CommandTimes) -> None:
        """Take further rows, and let go of what lies more than ``KEPT_DAYS`` back."""
        record = self.record
        record = record.extended(
            values, is_heard, commands, kept_rows=KEPT_DAYS * record.rows_per_day
        )
        more = np.zeros(values.shape, np.bool_)
        self._is_faulty = np.concatenate([self._is_faulty, more])[-len(record.values) :]
        self.record = record

    def forget(self) -> None:
        """Let go of the alerts that ended so long ago that nothing will be the same as they."""
        oldest = self.record.end - round(SAME_S / self.record.step_s)
        self.alerts = [a for a in self.alerts if a.is_open or a.end >= oldest]

    def copy(self) -> SatelliteWatch:
        """One that goes its own way from here."""
        return replace(
            self,
            alerts=[replace(alert) for alert in self.alerts],
            quiet=dict(self.quiet),
            _is_faulty=self._is_faulty.copy(),
            _seen=self._seen.copy(),
            _seen_outside=self._seen_outside.copy(),
        )

    # --- state ------------------------------------------------------------------------------------

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Plain values and arrays that :meth:`from_state` takes back."""
        plain: dict[str, Any] = {
            "version": WATCH_STATE_VERSION,
            "step_s": self.record.step_s,
            "first": self.record.first,
            "learnt_days": self.learnt_days,
            "alerts": [asdict(alert) for alert in self.alerts],
            "in_doubt_days": self.in_doubt_days,
            "periods_s": self._periods_s,
            "today": self._today,
            "learn_days": self.learn_days,
            "budget": self.budget,
            "quiet": [[k, *rows] for k, rows in self.quiet.items()],
            "anew": self.anew,
            "command_names": [str(name) for name in self.record.commands.name],
        }
        arrays = {
            "values": self.record.values,
            "is_heard": self.record.is_heard,
            "commands.time_s": self.record.commands.time_s,
            "commands.value": self.record.commands.value,
            "maxima": self.maxima,
            "levels": self.levels,
            **{name: getattr(self, f"_{name}") for name in _LEARNT},
        }
        if self.expectation is not None:
            form, known = self.expectation.state()
            plain["form"] = form
            arrays |= {f"expectation.{name}": array for name, array in known.items()}
        return plain, arrays

    @classmethod
    def from_state(
        cls, plain: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
    ) -> SatelliteWatch:
        """Inverse of :meth:`state`.

        Raises:
            LogError: of another version.
        """
        if plain["version"] != WATCH_STATE_VERSION:
            raise LogError(
                expected=f"what was learnt of a satellite, version {WATCH_STATE_VERSION}",
                got=f"version {plain['version']}",
                where="checkpoint",
                action="delete the checkpoints: the state is rebuilt from the log",
            )
        record = SatelliteRecord(
            step_s=float(plain["step_s"]),
            values=arrays["values"],
            is_heard=arrays["is_heard"],
            commands=CommandTimes(
                time_s=arrays["commands.time_s"],
                name=np.array(plain["command_names"], np.str_),
                value=arrays["commands.value"],
            ),
            first=int(plain["first"]),
        )
        known = {
            name.removeprefix("expectation."): array
            for name, array in arrays.items()
            if name.startswith("expectation.")
        }
        periods_s = plain["periods_s"]
        return cls(
            record=record,
            tests=residual_tests(record.step_s),
            expectation=Expectation.from_state(plain["form"], known) if known else None,
            learnt_days=tuple(plain["learnt_days"]),
            maxima=arrays["maxima"],
            alerts=[
                ChannelAlert(
                    **{
                        **alert,
                        "raised": tuple(Telling(**telling) for telling in alert["raised"]),
                        "cleared": tuple(alert["cleared"]),
                    }
                )
                for alert in plain["alerts"]
            ],
            in_doubt_days=int(plain["in_doubt_days"]),
            learn_days=int(plain["learn_days"]),
            budget=float(plain["budget"]),
            levels=arrays["levels"],
            quiet={int(k): (int(a), int(b)) for k, a, b in plain["quiet"]},
            anew=int(plain["anew"]),
            _periods_s=None if periods_s is None else tuple(periods_s),
            _today=(int(plain["today"][0]), int(plain["today"][1])),
            **{f"_{name}": arrays[name].copy() for name in _LEARNT},
        )


def _range_margin(usable: FloatArray, per_day: int) -> FloatArray:
    """float64[c]: how far outside all that was learnt is too far.

    The greatest values of days differ: a value is strange where it is farther out than the days
    are from each other, and farther than a part of all that was seen.
    """
    days = len(usable) // per_day
    part = usable[: days * per_day].reshape(days, per_day, -1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a day without any value
        high, low = np.nanmax(part, axis=1), np.nanmin(part, axis=1)
        apart = np.maximum(
            np.nanmax(high, axis=0) - np.nanmin(high, axis=0),
            np.nanmax(low, axis=0) - np.nanmin(low, axis=0),
        )
        span = np.nanmax(high, axis=0) - np.nanmin(low, axis=0)
    found: FloatArray = np.nan_to_num(np.maximum(_OUTSIDE * span, _OUTSIDE_DAYS * apart))
    return np.maximum(found, 1e-9)


_LEARNT = (
    *("is_faulty", "still", "rest", "missing", "margin", "direction"),
    *("wraps_at", "seen", "seen_outside"),
)
"""Arrays of a watch, beside its record."""


class _BlockView:
    """One block of one satellite while it is judged; the watch stays as it is.

    Arrays have the length of the whole block, also where only its first rows are known: sums over
    arrays of one length have the same bits, however many rows of them are known.
    """

    def __init__(
        self,
        watch: SatelliteWatch,
        block: int,
        values: FloatArray,
        is_heard: BoolArray,
        commands: CommandTimes,
    ) -> None:
        self.watch = watch
        self.commands = commands
        record = watch.record
        assert watch.expectation is not None
        self.model = watch.expectation
        # Levels of the day know what passed before it; this is what passed on it.
        least = np.array([test.least_level for test in watch.tests])
        self.levels = np.maximum(watch.levels, least[:, None])
        self.levels = np.maximum(self.levels, _TOLD_ONCE * watch._seen)
        self.begin, self.end = watch.block_rows(block)
        warm = round(WARM_UP_S / record.step_s)
        context = round(REACH_S / record.step_s)
        self.low = max(self.begin - warm - context, record.first)
        self.blind = warm if self.low > 0 else 0
        self.offset = self.begin - self.low
        n, c = self.end - self.low, values.shape[1]
        self.known = len(values)
        self.is_whole = self.known == self.end - self.begin
        before = record.rows(self.low, self.begin)
        until = self.offset + self.known
        self.time_s = np.arange(self.low, self.end, dtype=np.float64) * record.step_s
        self.raw = np.full((n, c), np.nan)
        self.raw[: self.offset] = record.values[before]
        self.raw[self.offset : until] = values
        self.values = watch.counters.rates(self.raw)
        self.is_heard = np.zeros(n, np.bool_)
        self.is_heard[: self.offset] = record.is_heard[before]
        self.is_heard[self.offset : until] = is_heard
        self.is_faulty = np.zeros((n, c), np.bool_)
        self.is_faulty[: self.offset] = watch._is_faulty[before]
        gap = round(SAME_S / record.step_s)
        self._oldest = self.begin - gap
        self.alerts = [replace(a) for a in watch.alerts if self.concerns(a)]
        day = block // BLOCKS_PER_DAY
        self.today = watch._today if watch._today[0] == day else (day, 0)
        self.in_doubt = 0
        self.run = equal_run(self.raw)
        self.gap = missing_run(self.raw, self.is_heard)
        # Statistics over their levels: of both expectations and the plain tests, on the block.
        self.ratio = np.zeros((3, n - self.offset, c))
        self.which = np.zeros((3, n - self.offset, c), np.int8)
        self.maxima = np.full((2, len(watch.tests), c), np.nan)
        self.need = np.where(self._is_unseen(), _UNSEEN, 1.0)
        for alert in self.watch.alerts:
            self._damp(alert.told - self.begin)
        self._plain()
        self._expect()
        self.first_ratio, self.first_which = self.ratio.copy(), self.which.copy()
        self.first_need = self.need.copy()

    def _is_unseen(self) -> BoolArray:
        """bool[n]: rows of the block soon after a command that was never sent before."""
        time_s = self.time_s[self.offset :]
        first_s = first_sights(self.commands.until(float(time_s[-1])))
        found: BoolArray = since_last(time_s, first_s) < _UNSEEN_S
        return found

    def _damp(self, row: int) -> None:
        """Raise what must be passed after an alert that was told at a row of the block."""
        end = row + 1 + round(_DAMPED_S / self.watch.record.step_s)
        self.need[max(row + 1, 0) : max(end, 0)] += _DAMPING

    def settle(self, alerts: list[ChannelAlert]) -> None:
        """Remember in the watch how great the evidence was of what has passed by itself."""
        watch = self.watch
        for alert in alerts:
            c = alert.channel
            if not (alert.is_open or alert.end >= self.begin) or alert.is_settled:
                continue
            alert.is_settled = not alert.is_open
            rows = slice(max(alert.begin - self.begin, 0), max(alert.end - self.begin + 1, 0))
            for m in (_ALONE, _PEERS):
                ratio = self.first_ratio[m, rows, c] * self.first_need[rows]
                which = self.first_which[m, rows, c]
                for k in np.unique(which[ratio > 1]):
                    most = float(ratio[which == k].max()) * self.levels[m, k, c]
                    watch._seen[m, k, c] = max(watch._seen[m, k, c], most)
            if alert.family == _PLAIN and alert.test == _RANGE:
                outside = self.first_ratio[_PLAIN, rows, c] * self.outer[rows]
                most = float(outside.max(initial=0.0)) * self.margin[c]
                watch._seen_outside[c] = max(watch._seen_outside[c], most)

    def concerns(self, alert: ChannelAlert) -> bool:
        """Whether an alert from before may go on in this block."""
        return alert.is_open or alert.end >= self._oldest

    @property
    def sure(self) -> int:
        """Rows of the block of which it is known whether their expectation turns."""
        return self.known if self.is_whole else max(self.known - TURN_ROWS, 0)

    # statistics

    def _plain(self) -> None:
        watch = self.watch
        is_rest = self.raw == watch._rest
        still = np.where(is_rest, watch._still[1], watch._still[0])
        outside = np.maximum(self.values - self.model.greatest, self.model.least - self.values)
        self.margin = np.maximum(watch._margin, _TOLD_ONCE * watch._seen_outside)
        outside = np.nan_to_num(outside / self.margin)
        held = outside.copy()
        for k in range(1, _OUTSIDE_ROWS):
            held[k:] = np.minimum(held[k:], outside[: len(outside) - k])
        rows = slice(self.offset, None)
        is_reset = watch.counters.resets(self.raw)
        with np.errstate(all="ignore"):
            found = np.stack([self.run / still, self.gap / watch._missing, held, 2.0 * is_reset])
        found = found[:, rows]
        # A size, where the others are squares.
        self.outer = np.sqrt(self.need)
        found[_RANGE] /= self.outer[:, None]
        found[_STILL][~np.isfinite(self.raw[rows])] = 0
        found = np.nan_to_num(found)
        # Nothing was learnt from a channel that never moved but that it has a value.
        found[[_STILL, _RANGE]] *= ~self.model.is_constant
        found[:, self.known :] = 0
        self.which[_PLAIN] = found.argmax(axis=0)
        self.ratio[_PLAIN] = found.max(axis=0)

    def _expect(self) -> None:
        """Both expectations and their tests, with what is known to be faulty left out."""
        usable = np.where(self.is_faulty, np.nan, self.values)
        self.expected, self.left, self.new = self.model.expect(self.time_s, usable, self.commands)
        self.left[:, : self.blind] = np.nan
        self.new[:, : self.blind] = np.nan
        explained = np.nan_to_num(self.model.explained, nan=-np.inf)
        holds = (~self.model.is_state | (explained > _STATE_HOLDS)) & ~self.model.is_constant
        holds[_PEERS] &= self.model.has_peers
        self.holds = holds
        self.ratio[:_PLAIN] = 0
        for m in (_ALONE, _PEERS):
            some = np.flatnonzero(holds[m])
            if not len(some):
                continue
            found_of = statistics(
                self.left[m][:, some],
                self.new[m][:, some],
                self.model.own_weights[m][:, some],
                self.watch.tests,
                share=self._share(m, some),
                begin=self.offset,
            )
            for k, (_, found) in enumerate(found_of):
                today = found[self.offset :]
                known = np.isfinite(today)
                if not self.watch.tests[k].is_new:
                    known &= explained[m][some] > LEVEL_HOLDS
                greatest = np.where(known, today, -np.inf).max(axis=0)
                self.maxima[m, k, some] = np.where(np.isfinite(greatest), greatest, np.nan)
                ratio = np.where(known, today, 0.0) / self.levels[m, k, some]
                ratio[self.sure :] = 0
                better = ratio > self.ratio[m][:, some]
                at = np.ix_(np.arange(len(today)), some)
                self.ratio[m][at] = np.where(better, ratio, self.ratio[m][:, some])
                self.which[m][at] = np.where(better, k, self.which[m][:, some])
        self.ratio[:_PLAIN] /= self.need[:, None]

    def _share(self, family: int, channels: IntArray) -> FloatArray:
        """float64[k]: share of the rows before the block that are known."""
        before = self.left[family][self.blind : self.offset, channels]
        share: FloatArray = np.maximum(np.isfinite(before).mean(axis=0), 0.02)
        return share

    def healthy_maxima(self) -> FloatArray:
        """float64[2, tests, c]; NaN where there is an alert in the block."""
        self.maxima[:, :, self.is_faulty[self.offset :].any(axis=0)] = np.nan
        return self.maxima

    # telling

    def told(self) -> list[ChannelAlert]:
        """New alerts of the block; those from before go on first.

        In the order in which they are told: nothing is told before what was told is known.
        """
        found: list[ChannelAlert] = []
        cursor = np.zeros(self.ratio.shape[2], np.int64)
        now = 0
        is_changed = False
        for earlier in self.alerts:
            if earlier.is_open:
                cursor[earlier.channel] = self._follow(earlier, -1)
                is_changed = True
        if is_changed:
            self._expect()
        while self.today[1] < MOST_ALERTS_PER_DAY:
            if (alert := self._next(cursor)) is None:
                return found
            now = max(now, alert.told - self.begin)
            alert.told = self.begin + now
            alert.raised = (replace(alert.raised[0], row=alert.told),)
            same = self._same(alert, found)
            if same is None:
                found.append(alert)
                self._damp(now)
            else:
                same.go_on(alert)
            self.today = (self.today[0], self.today[1] + 1)
            self.in_doubt += self.today[1] == MOST_ALERTS_PER_DAY
            cursor[alert.channel] = self._follow(same or alert, now)
            self._expect()
        return found

    def _same(self, alert: ChannelAlert, found: list[ChannelAlert]) -> ChannelAlert | None:
        """The alert of the channel that ended so lately that this is the same."""
        gap = round(SAME_S / self.watch.record.step_s)
        for earlier in reversed([*self.alerts, *found]):
            if earlier.channel == alert.channel:
                return earlier if alert.begin - earlier.end <= gap else None
        return None

    def _next(self, cursor: IntArray) -> ChannelAlert | None:
        """The alert that is told next; None where none is, or more rows must be known.

        The size of what is left is known once it is known whether the expectation turns. Where only
        the peers say so, it is waited for some rows whether a peer is the stranger one.
        """
        rows = np.arange(self.ratio.shape[1])[:, None]
        over = (self.ratio > 1) & (rows >= cursor)
        for channel, (begin, end) in self.watch.quiet.items():
            over[:, max(begin - self.begin, 0) : max(end - self.begin, 0), channel] = False
        first = [int(np.argmax(o.any(axis=1))) if o.any() else -1 for o in over]
        last = self.end - self.begin - 1
        waits = {_PLAIN: 0, _ALONE: TURN_ROWS, _PEERS: _WAIT_ROWS}
        ready = [(min(first[f] + wait, last), f) for f, wait in waits.items() if first[f] >= 0]
        if not ready:
            return None
        told, family = min(ready, key=lambda pair: pair[0])
        if told >= self.known:
            return None
        row = first[family]
        if family != _PEERS:
            at = row
            channel = int(np.argmax(np.where(over[family, row], self.ratio[family, row], 0)))
        else:
            until = told + 1 if told == last else told + 1 - TURN_ROWS
            stretch = np.where(over, self.ratio, 0)[:, row:until].max(axis=0)
            channel = int(np.argmax(stretch.max(axis=0)))
            at = row + int(np.argmax(stretch[:, channel]))
        return self._alert(channel, told, at)

    def _alert(self, channel: int, told: int, at: int) -> ChannelAlert:
        ratio = self.ratio[:, at, channel].copy()
        if (ratio[[_ALONE, _PLAIN]] > 1).any():
            ratio[_PEERS] = 0
        family = int(np.argmax(ratio))
        test = int(self.which[family, at, channel])
        row = at + self.offset
        score = float(ratio[family])
        base = moved = 0.0
        # What it should have read is said also of a value that stands still, if it is known.
        said = _ALONE if family == _PLAIN else family
        if family == _PLAIN:
            name = _PLAIN_NAMES[test]
            length = {_STILL: self.run, _MISSING: self.gap}.get(test)
            back = int(length[row, channel]) - 1 if length is not None else _OUTSIDE_ROWS
            reason = f"{name} for {back + 1} samples" if test in (_STILL, _MISSING) else name
            width = 1
        else:
            this = self.watch.tests[test]
            name = this.name
            left = self.left[family, :, channel]
            back = width = this.width
            # What is held is what most rows are off by, whatever edges are among them.
            middle = np.median if this.name == "held" else np.mean
            here = _middle(left[max(row - this.width + 1, 0) : row + 1], middle)
            if this.name == "step":
                base = _middle(left[max(row - 4 * this.width, 0) : max(row - this.width + 1, 1)])
            moved = here - base
            against = "alone" if family == _ALONE else "with peers"
            width_s = this.width * self.watch.record.step_s
            reason = f"{this.name} over {width_s:g} s, {moved:+.1f} usual sizes, {against}"
        rows = slice(max(row - width + 1, 0), row + 1)
        value, expected = self.values[rows, channel], self.expected[said, rows, channel]
        known = np.isfinite(value)
        is_said = bool(self.holds[said, channel])
        mean = expected[known].mean() if known.any() else expected[-1]
        telling = Telling(
            row=self.begin + told,
            score=max(score, 1.0),
            test=name,
            reason=reason,
            measured=float(value[known].mean()) if known.any() else math.nan,
            expected=float(mean) if is_said else math.nan,
            usual=float(np.median(self.model.scale[said][:, channel])) if is_said else math.nan,
        )
        return ChannelAlert(
            channel=channel,
            begin=max(self.low + row - back, 0),
            told=telling.row,
            end=telling.row,
            score=telling.score,
            reason=reason,
            raised=(telling,),
            family=family,
            test=test,
            base=base,
            moved=moved,
        )

    def _follow(self, alert: ChannelAlert, row: int) -> int:
        """Go on with an alert until it ends or what is known does; the row to look from again."""
        c = alert.channel
        back = self._is_back(alert)
        quiet, until = self.watch.quiet.get(c, (0, 0))
        back[max(quiet - self.begin, 0) : max(until - self.begin, 0)] = True
        back = back[row + 1 : self.sure]
        at = int(np.argmax(back)) if back.any() else -1
        lasting = round(LASTING_DAYS * DAY_S / self.watch.record.step_s)
        last = row + 1 + at if at >= 0 else self.known
        if alert.begin + lasting < self.begin + last:
            last, at = max(alert.begin + lasting - self.begin, row + 1), 0
        alert.is_open = at < 0
        alert.end = self.begin + last - 1
        if not alert.is_open:
            over = min(last + TURN_ROWS, self.end - self.begin - 1)
            alert.cleared += (self.begin + over,)
        first = max(alert.begin - self.low, 0)
        self.is_faulty[first : self.offset + last, c] = True
        # Nothing else is told of the channel before it is known that this is over.
        return last if alert.is_open else last + TURN_ROWS

    def _is_back(self, alert: ChannelAlert) -> BoolArray:
        """bool[n]: rows of the block at which nothing is left of what was told."""
        c, rows = alert.channel, slice(self.offset, None)
        found: BoolArray
        if alert.family == _PLAIN:
            match alert.test:
                case 0:
                    found = self.run[rows, c] == 1
                case 1:
                    found = np.isfinite(self.raw[rows, c])
                case 3:
                    found = np.arange(self.offset, len(self.raw)) > (
                        alert.raised[-1].row - self.low + _RESET_ROWS
                    )
                case _:
                    found = (self.ratio[_PLAIN, :, c] < 1) & np.isfinite(self.values[rows, c])
            return found
        test = self.watch.tests[alert.test]
        usable = np.where(self.is_faulty, np.nan, self.values)
        usable[:, c] = self.values[:, c]
        _, left, new = self.model.expect(self.time_s, usable, self.commands)
        own = left[alert.family][:, [c]]
        share = np.maximum(np.isfinite(own[: self.offset]).mean(axis=0), 0.02)
        if test.name in ("step", "level", "far"):
            width = max(test.width, 8) if test.name == "step" else test.width
            mean = Sums(np.clip(own, -50, 50), share).mean(width)[rows, 0]
            return np.asarray((mean - alert.base) * np.sign(alert.moved) < 0.5 * abs(alert.moved))
        weights = self.model.own_weights[alert.family][:, [c]]
        newest = new[alert.family][:, [c]]
        for _, stat in statistics(own, newest, weights, (test,), share=share):
            level = self.levels[alert.family, alert.test, c]
            part = stat[rows, 0]
            return np.asarray(part < (0.7 if test.name == "swing" else 0.5) * level)
        raise AssertionError


def _middle(values: FloatArray, middle: Callable[[FloatArray], np.floating] = np.mean) -> float:
    known = values[np.isfinite(values)]
    return float(middle(np.clip(known, -50, 50))) if len(known) else 0.0
