"""One satellite watched as its rows come: expect, test, tell, and learn from what was healthy.

Everything is told as it goes. A day is judged by what was learnt before it, block by block; an
alert masks its samples for all that comes later, so that the end of a fault is not told as another
one, and nothing is learnt from it. What stands for ``LASTING_DAYS`` is the new normal.

A block of which only the first rows are known tells what the whole block tells up to there: no
statistic and no choice at a row looks at rows that come after the row at which it is told. So a
live run and a look at a recording tell the same (a test holds this module to it).
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from sightline.errors import LogError
from sightline.perceive.compiled import warm
from sightline.perceive.normal import innovations
from sightline.perceive.normal.block_view import BLOCKS_PER_DAY, TOLD_ONCE, BlockView
from sightline.perceive.normal.channel_alert import SAME_S, ChannelAlert, Telling
from sightline.perceive.normal.counters import Counters, learnt_counters
from sightline.perceive.normal.expectation import (
    MOST_STATES,
    WARM_UP_S,
    CommandTimes,
    Expectation,
)
from sightline.perceive.normal.expectation_learning import Past, common_periods, learn
from sightline.perceive.normal.residual_tests import (
    ResidualTest,
    equal_run,
    missing_run,
    residual_tests,
)
from sightline.perceive.normal.satellite_record import DAY_S, SatelliteRecord
from sightline.perceive.normal.tail_levels import levels_above
from sightline.records.detections import BoolArray
from sightline.records.windows import FloatArray

WATCH_STATE_VERSION = 5
"""Of :meth:`SatelliteWatch.state`; counted up when it, or what it means, changes."""
KEPT_DAYS = 10
"""Of what a satellite sent: seven are learnt from, and some may have been faulty."""
LEARN_DAYS = 4
LEAST_LEARN_DAYS = 3
FALSE_ALERTS_PER_DAY = 0.02
"""Of one satellite: what levels are learnt for, unless another is asked for."""
_PAST_DAYS = 7
_LEAST_DAYS = 2
_POOR_UNTIL_DAY = _LEAST_DAYS + 3
"""The first day that is compared is so by what two days taught: it counts until two are known that
are compared by more."""
_PERIOD_DAYS = (3, 4, 7)
_FAULTY_SHARE = 0.25
"""A day on which a channel was faulty for longer is not learnt from: others went along with it."""
_KEPT_LEVEL_DAYS = 14
_KEPT_BLOCKS = _KEPT_LEVEL_DAYS * BLOCKS_PER_DAY
_STILL_ROWS = 12
_MISSING_ROWS = 4
_OUTSIDE, _OUTSIDE_DAYS = 0.3, 2.25
"""Of all that was seen, and of how far days are from each other."""


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
        is_faulty: bool[n, c], of the rows of the record: an alert stood.
        rest: float64[c], the value at which a channel has stood still for longest.
        still: float64[2, c], rows for which it may stand still, elsewhere and there.
        missing: float64[c], rows for which it may have no value.
        margin: float64[c], how far it may be outside of what was learnt, in its unit.
        direction, wraps_at: float64[c], see :class:`.counters.Counters`.
        seen: float64[2, tests, c], greatest evidence of what was told and passed by itself.
        seen_outside: float64[c], the same of values outside, in its unit.
        today: a day, and how often something was told on it.
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
    is_faulty: BoolArray = field(default_factory=lambda: np.empty((0, 0), np.bool_))
    still: FloatArray = field(default_factory=lambda: np.empty((2, 0)))
    rest: FloatArray = field(default_factory=lambda: np.empty(0))
    missing: FloatArray = field(default_factory=lambda: np.empty(0))
    margin: FloatArray = field(default_factory=lambda: np.empty(0))
    direction: FloatArray = field(default_factory=lambda: np.empty(0))
    wraps_at: FloatArray = field(default_factory=lambda: np.empty(0))
    seen: FloatArray = field(default_factory=lambda: np.empty((2, 0, 0)))
    seen_outside: FloatArray = field(default_factory=lambda: np.empty(0))
    today: tuple[int, int] = (-1, 0)
    _periods_s: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        warm(innovations.__name__)
        shape = self.record.values.shape
        if not self.tests:
            self.tests = residual_tests(self.record.step_s)
            self.maxima = np.full((2, len(self.tests), shape[1], 0), np.nan)
            self.levels = np.full((2, len(self.tests), shape[1]), np.inf)
            self.is_faulty = np.zeros(shape, np.bool_)
            self.seen = np.zeros_like(self.levels)
            self.seen_outside = np.zeros(shape[1])
            self.direction, self.wraps_at = np.zeros(shape[1]), np.full(shape[1], np.inf)

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
        if day == _POOR_UNTIL_DAY:
            self.maxima = self.maxima[..., BLOCKS_PER_DAY:]
        if day >= self.learn_days:
            self.levels = self._levels()
        self.learn_until(day)

    def _levels(self) -> FloatArray:
        """float64[2, tests, c]: above the greatest of healthy days, and above what passed."""
        reserve = np.array([test.reserve for test in self.tests])
        least = np.array([test.least_level for test in self.tests])
        greatest = self._greatest(self.maxima)
        allowed = self.budget / FALSE_ALERTS_PER_DAY
        found = np.stack([levels_above(part, reserve, least, allowed) for part in greatest])
        return np.maximum(found, TOLD_ONCE * self.seen)

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
        raw = np.where(self.is_faulty[rows], np.nan, record.values[rows])
        counters = learnt_counters(raw)
        self.direction, self.wraps_at = counters.direction, counters.wraps_at
        times, values, healthy, begins = [], [], [], []
        for k in days:
            begin = max(k * per_day - warm, record.first)
            rows = record.rows(begin, (k + 1) * per_day)
            times.append(np.arange(begin, (k + 1) * per_day, dtype=np.float64) * record.step_s)
            values.append(counters.rates(record.values[rows]))
            healthy.append(~self.is_faulty[rows])
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
        self.margin = _range_margin(usable, per_day)
        self._learn_runs(raw, record.is_heard[rows], self.is_faulty[rows])

    @property
    def counters(self) -> Counters:
        """Which channels count."""
        return Counters(direction=self.direction, wraps_at=self.wraps_at)

    def _healthy_days(self, day: int) -> list[int]:
        """The newest days, ascending, on which no channel was faulty for long."""
        per_day = self.record.rows_per_day
        oldest = -(-max(self.record.first, self.anew) // per_day)
        found: list[int] = []
        for k in range(day - 1, max(day - 2 * _PAST_DAYS, oldest) - 1, -1):
            rows = self.record.rows(k * per_day, (k + 1) * per_day)
            faulty = self.is_faulty[rows].mean(axis=0)
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
        self.still, self.rest = still, rest
        gap = missing_run(np.where(is_faulty, 0.0, usable), is_heard).max(axis=0)
        self.missing = np.maximum(2.0 * gap, gap + _MISSING_ROWS)

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
        view = BlockView(self, block, values, is_heard, self.record.commands)
        told = view.told()
        view.settle([*view.alerts, *told])
        self.alerts = [*(a for a in self.alerts if not view.concerns(a)), *view.alerts, *told]
        self.in_doubt_days += view.in_doubt
        self.today = view.today
        until = view.offset + known
        self.is_faulty[self.record.rows(view.low, begin + known)] = view.is_faulty[:until]
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
        view = BlockView(self, self.next_block, values, is_heard, commands)
        told = view.told()
        return [*view.alerts, *told]

    def extend(self, values: FloatArray, is_heard: BoolArray, commands: CommandTimes) -> None:
        """Take further rows, and let go of what lies more than ``KEPT_DAYS`` back."""
        record = self.record
        record = record.extended(
            values, is_heard, commands, kept_rows=KEPT_DAYS * record.rows_per_day
        )
        more = np.zeros(values.shape, np.bool_)
        self.is_faulty = np.concatenate([self.is_faulty, more])[-len(record.values) :]
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
            is_faulty=self.is_faulty.copy(),
            seen=self.seen.copy(),
            seen_outside=self.seen_outside.copy(),
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
            "today": self.today,
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
            **{name: getattr(self, name) for name in _LEARNT},
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
            today=(int(plain["today"][0]), int(plain["today"][1])),
            **{name: arrays[name].copy() for name in _LEARNT},
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
