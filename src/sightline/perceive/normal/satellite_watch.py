"""One satellite watched as its days come: expect, test, tell, and learn from what was healthy.

Everything is told as it goes. A day is judged by what was learnt before it; an alert masks its
samples for all that comes later, so that the end of a fault is not told as another one, and nothing
is learnt from it. What stands for ``LASTING_DAYS`` is the new normal.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from sightline.perceive.normal.expectation import (
    MOST_STATES,
    TURN_ROWS,
    WARM_UP_S,
    CommandTimes,
    Expectation,
    Past,
    common_periods,
    learn,
)
from sightline.perceive.normal.residual_tests import (
    REACH_S,
    ResidualTest,
    Sums,
    equal_run,
    missing_run,
    residual_tests,
    statistics,
    usual_swings,
)
from sightline.records.detections import BoolArray
from sightline.records.windows import FloatArray, IntArray

DAY_S = 86_400.0
BLOCKS_PER_DAY = 16
LASTING_DAYS = 3
SAME_S = 3600.0
"""What is told of a channel so soon after an alert of it ended is the same alert."""
MOST_ALERTS_PER_DAY = 12
"""More than so many on one satellite and day are not told one by one: the satellite is in doubt."""
_PAST_DAYS = 7
_LEAST_DAYS = 2
_PERIOD_DAYS = (3, 4, 7)
_FAULTY_SHARE = 0.25
"""A day on which a channel was faulty for longer is not learnt from: others went along with it."""
_KEPT_BLOCKS = 12 * BLOCKS_PER_DAY
_WAIT_ROWS = 6
_HOLDS = -1.0
"""An expectation that explains less than this has not held: no test rests on it."""
_STILL_ROWS = 12
_MISSING_ROWS = 4
_OUTSIDE = 0.5
_OUTSIDE_ROWS = 4
_ALONE, _PEERS, _PLAIN = range(3)
_STILL, _MISSING, _RANGE = range(3)
_PLAIN_NAMES = ("stuck", "missing", "range")


@dataclass(frozen=True, slots=True, kw_only=True)
class SatelliteRecord:
    """What one satellite sent, on an even grid.

    Attributes:
        step_s: distance of rows.
        values: float64[n, c]; NaN is missing.
        is_heard: bool[n]: a packet came.
        commands: with times on the same clock: seconds since row 0.
    """

    step_s: float
    values: FloatArray
    is_heard: BoolArray
    commands: CommandTimes

    @property
    def rows_per_day(self) -> int:
        """Of a day."""
        return round(DAY_S / self.step_s)

    @property
    def days(self) -> int:
        """Days begun."""
        return -(-len(self.values) // self.rows_per_day)


@dataclass(slots=True, kw_only=True)
class ChannelAlert:
    """One alert of one channel.

    Attributes:
        channel: column.
        begin: row from which the evidence comes.
        told: row at which it was told.
        end: last row; grows while it stands.
        score: statistic over its level, at the greatest; 1 or more.
        reason: which test, on what, and how much.
    """

    channel: int
    begin: int
    told: int
    end: int
    score: float
    reason: str
    _family: int = 0
    _test: int = 0
    _base: float = 0.0
    _moved: float = 0.0
    is_open: bool = True

    def go_on(self, other: ChannelAlert) -> None:
        """Take what another alert of the channel, soon after this one, says: it is the same."""
        self.end, self.score = other.end, max(self.score, other.score)
        self._family, self._test = other._family, other._test
        self._base, self._moved = other._base, other._moved
        self.is_open = True


@dataclass(slots=True)
class SatelliteWatch:
    """See this module.

    Attributes:
        record: of the satellite.
        tests: on what is left.
        expectation: in force; None before anything was learnt.
        maxima: float64[2, tests, c, blocks], newest last, in squares of the channels' units, so
            that they mean the same when the usual size is known better; NaN where nothing healthy
            was known.
        alerts: all that was told.
        in_doubt_days: days on which no more was told, because there was too much.
    """

    record: SatelliteRecord
    tests: tuple[ResidualTest, ...] = ()
    expectation: Expectation | None = None
    maxima: FloatArray = field(default_factory=lambda: np.empty((2, 0, 0, 0)))
    alerts: list[ChannelAlert] = field(default_factory=list)
    in_doubt_days: int = 0
    _is_faulty: BoolArray = field(default_factory=lambda: np.empty((0, 0), np.bool_))
    _periods_s: tuple[float, ...] | None = None
    _still: FloatArray = field(default_factory=lambda: np.empty((2, 0)))
    _rest: FloatArray = field(default_factory=lambda: np.empty(0))
    _missing: FloatArray = field(default_factory=lambda: np.empty(0))

    def __post_init__(self) -> None:
        shape = self.record.values.shape
        self.tests = residual_tests(self.record.step_s)
        self.maxima = np.full((2, len(self.tests), shape[1], 0), np.nan)
        self._is_faulty = np.zeros(shape, np.bool_)

    # --- learning ---------------------------------------------------------------------------------

    def learn_until(self, day: int) -> None:
        """Learn from the days before ``day``, 2 or more."""
        record, per_day = self.record, self.record.rows_per_day
        warm = round(WARM_UP_S / record.step_s)
        days = self._healthy_days(day)
        if self.expectation is not None and (len(days) < _LEAST_DAYS or days[-1] < day - 1):
            return  # what was learnt before holds until a day was healthy
        times, values, healthy, begins = [], [], [], []
        for k in days:
            begin = max(k * per_day - warm, 0)
            rows = slice(begin, (k + 1) * per_day)
            times.append(np.arange(begin, (k + 1) * per_day, dtype=np.float64) * record.step_s)
            values.append(record.values[rows])
            healthy.append(~self._is_faulty[rows])
            begins.append(k * per_day - begin)
        past = Past(
            time_s=times,
            values=values,
            is_healthy=healthy,
            begins=begins,
            commands=record.commands.until(day * DAY_S),
        )
        begin = days[0] * per_day
        usable = np.where(
            self._is_faulty[begin : day * per_day], np.nan, record.values[begin : day * per_day]
        )
        if self._periods_s is None or day in _PERIOD_DAYS or day % 14 == 0:
            self._periods_s = common_periods(usable, record.step_s)
        self.expectation = learn(past, periods_s=self._periods_s)
        self._learn_runs(usable, record.is_heard[begin : day * per_day])

    def _healthy_days(self, day: int) -> list[int]:
        """The newest days, ascending, on which no channel was faulty for long."""
        per_day = self.record.rows_per_day
        found: list[int] = []
        for k in range(day - 1, max(day - 2 * _PAST_DAYS, 0) - 1, -1):
            faulty = self._is_faulty[k * per_day : (k + 1) * per_day].mean(axis=0)
            if faulty.max(initial=0.0) < _FAULTY_SHARE:
                found.append(k)
            if len(found) == _PAST_DAYS:
                break
        return found[::-1]

    def _learn_runs(self, usable: FloatArray, is_heard: BoolArray) -> None:
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
        gap = missing_run(usable, is_heard).max(axis=0)
        self._missing = np.maximum(2.0 * gap, gap + _MISSING_ROWS)

    # --- judging ----------------------------------------------------------------------------------

    def judge(self, day: int, levels: FloatArray) -> list[ChannelAlert]:
        """What is told on a day.

        Args:
            day: index; the expectation is that of the days before.
            levels: float64[2, tests, c], as those of ``maxima``; infinity tells nothing.

        Returns:
            New alerts, by the time at which they were told.
        """
        view = _DayView(self, day, levels)
        told = view.told()
        self.alerts += told
        maxima = view.healthy_maxima() * view.size[..., None]
        self.maxima = np.concatenate([self.maxima, maxima], axis=3)[..., -_KEPT_BLOCKS:]
        return told


class _DayView:
    """One day of one satellite while it is judged."""

    def __init__(self, watch: SatelliteWatch, day: int, levels: FloatArray) -> None:
        self.watch = watch
        record = watch.record
        assert watch.expectation is not None
        self.model = watch.expectation
        size = (watch.expectation.scale**2).mean(axis=1)
        is_swing = np.array([test.name == "swing" for test in watch.tests])
        # A swing is told in what is usual for it, whatever the size of what is left.
        self.size = np.where(is_swing[:, None], 1.0, size[:, None])
        least = np.array([test.least_level for test in watch.tests])
        self.levels = np.maximum(levels / self.size, least[:, None])
        per_day = record.rows_per_day
        self.begin = day * per_day
        self.end = min(self.begin + per_day, len(record.values))
        warm = round(WARM_UP_S / record.step_s)
        context = round(REACH_S / record.step_s)
        self.low = max(self.begin - warm - context, 0)
        self.blind = warm if self.low > 0 else 0
        self.offset = self.begin - self.low
        self.time_s = np.arange(self.low, self.end, dtype=np.float64) * record.step_s
        self.values = record.values[self.low : self.end].copy()
        self.is_heard = record.is_heard[self.low : self.end]
        self.is_faulty = watch._is_faulty[self.low : self.end]  # a view: changes stay
        self.run = equal_run(self.values)
        self.gap = missing_run(self.values, self.is_heard)
        n, c = self.values.shape
        # Statistics over their levels: of both expectations and the plain tests, on the day's rows.
        self.ratio = np.zeros((3, n - self.offset, c))
        self.which = np.zeros((3, n - self.offset, c), np.int8)
        self.maxima = np.full((2, len(watch.tests), c, BLOCKS_PER_DAY), np.nan)
        self._plain()
        self._expect()

    # statistics

    def _plain(self) -> None:
        watch = self.watch
        is_rest = self.values == watch._rest
        still = np.where(is_rest, watch._still[1], watch._still[0])
        span = np.maximum(self.model.greatest - self.model.least, 1e-9)
        outside = np.maximum(self.values - self.model.greatest, self.model.least - self.values)
        outside = np.nan_to_num(outside / span / _OUTSIDE)
        held = outside.copy()
        for k in range(1, _OUTSIDE_ROWS):
            held[k:] = np.minimum(held[k:], outside[: len(outside) - k])
        rows = slice(self.offset, None)
        with np.errstate(all="ignore"):
            found = np.stack([self.run / still, self.gap / watch._missing, held])[:, rows]
        found[_STILL][~np.isfinite(self.values[rows])] = 0
        found = np.nan_to_num(found)
        # Nothing was learnt from a channel that never moved but that it has a value.
        found[[_STILL, _RANGE]] *= ~self.model.is_constant
        self.which[_PLAIN] = found.argmax(axis=0)
        self.ratio[_PLAIN] = found.max(axis=0)

    def _expect(self) -> None:
        """Both expectations and their tests, with what is known to be faulty left out."""
        usable = np.where(self.is_faulty, np.nan, self.values)
        expected, left = self.model.expect(self.time_s, usable, self.watch.record.commands)
        left[:, : self.blind] = np.nan
        holds = (
            np.nan_to_num(self.model.explained, nan=-np.inf) > _HOLDS
        ) & ~self.model.is_constant
        holds[_PEERS] &= self.model.has_peers
        self.left = left
        blocks = np.minimum(
            np.arange(left.shape[1] - self.offset)
            * BLOCKS_PER_DAY
            // self.watch.record.rows_per_day,
            BLOCKS_PER_DAY - 1,
        )
        first = np.flatnonzero(np.r_[True, np.diff(blocks) > 0])
        self.ratio[:_PLAIN] = 0
        for m in (_ALONE, _PEERS):
            some = np.flatnonzero(holds[m])
            if not len(some):
                continue
            spread = expected[m][:, some]
            spread = (spread - spread.mean(axis=0)) / np.maximum(spread.std(axis=0), 1e-12)
            found_of = statistics(left[m][:, some], spread, self.watch.tests, self._usual(m, some))
            for k, (_, found) in enumerate(found_of):
                today = found[self.offset :]
                known = np.isfinite(today)
                zero = np.where(known, today, -np.inf)
                greatest = np.maximum.reduceat(zero, first, axis=0).T
                self.maxima[m, k, some, : len(first)] = np.where(
                    np.isfinite(greatest), greatest, np.nan
                )
                ratio = np.where(known, today, 0.0) / self.levels[m, k, some]
                better = ratio > self.ratio[m][:, some]
                at = np.ix_(np.arange(len(today)), some)
                self.ratio[m][at] = np.where(better, ratio, self.ratio[m][:, some])
                self.which[m][at] = np.where(better, k, self.which[m][:, some])

    def _usual(self, family: int, channels: IntArray) -> dict[int, FloatArray]:
        """Usual squares of swings, of the hours before the day."""
        before = self.left[family][: self.offset][:, channels]
        rounding = self.model.rounding / self.model.scale[family].mean(axis=0)
        return usual_swings(before, rounding[channels], self.watch.tests)

    def healthy_maxima(self) -> FloatArray:
        """float64[2, tests, c, blocks]; NaN for blocks with an alert."""
        per_block = self.watch.record.rows_per_day // BLOCKS_PER_DAY
        faulty = self.is_faulty[self.offset :]
        for block in range(BLOCKS_PER_DAY):
            rows = faulty[block * per_block : (block + 1) * per_block]
            if rows.size:
                self.maxima[:, :, rows.any(axis=0), block] = np.nan
        return self.maxima

    # telling

    def told(self) -> list[ChannelAlert]:
        """Alerts of the day; those from before go on first."""
        found: list[ChannelAlert] = []
        n, c = self.ratio.shape[1:]
        cursor = np.zeros(c, np.int64)
        is_changed = False
        for alert in self.watch.alerts:
            if alert.is_open:
                cursor[alert.channel] = self._follow(alert, 0)
                is_changed = True
        if is_changed:
            self._expect()
        for _ in range(MOST_ALERTS_PER_DAY):
            over = (self.ratio > 1).any(axis=0) & (np.arange(n)[:, None] >= cursor)
            rows = np.flatnonzero(over.any(axis=1))
            if not len(rows):
                return found
            alert = self._first(int(rows[0]), over, cursor)
            row = alert.told - self.begin
            same = self._same(alert, found)
            if same is None:
                found.append(alert)
            else:
                same.go_on(alert)
            cursor[alert.channel] = self._follow(same or alert, row)
            self._expect()
        self.watch.in_doubt_days += 1
        return found

    def _same(self, alert: ChannelAlert, found: list[ChannelAlert]) -> ChannelAlert | None:
        """The alert of the channel that ended so lately that this is the same."""
        gap = round(SAME_S / self.watch.record.step_s)
        for earlier in reversed([*self.watch.alerts, *found]):
            if earlier.channel == alert.channel:
                return earlier if alert.begin - earlier.end <= gap else None
        return None

    def _first(self, row: int, over: BoolArray, cursor: IntArray) -> ChannelAlert:
        """The alert that is told first, at a row at which some channel is over its level.

        Where only the peers say so, it is waited for some rows whether a peer is the stranger one.
        """
        until = min(row + _WAIT_ROWS, over.shape[0] - 1)
        channels = np.flatnonzero(over[row])
        alone = [k for k in channels if (self.ratio[[_ALONE, _PLAIN], row, k] > 1).any()]
        if alone:
            peak = self.ratio[[_ALONE, _PLAIN], row][:, alone].max(axis=0)
            channel = int(alone[int(np.argmax(peak))])
            # The size of what is left is known once it is known whether the expectation turns.
            wait = 0 if self.ratio[_PLAIN, row, channel] > 1 else TURN_ROWS
            return self._alert(channel, min(row + wait, over.shape[0] - 1), row)
        stretch = self.ratio[:, row : until + 1].max(axis=0).copy()
        stretch[np.arange(row, until + 1)[:, None] < cursor] = 0
        channel = int(np.argmax(stretch.max(axis=0)))
        return self._alert(channel, until, row + int(np.argmax(stretch[:, channel])))

    def _alert(self, channel: int, told: int, at: int) -> ChannelAlert:
        ratio = self.ratio[:, at, channel].copy()
        if (ratio[[_ALONE, _PLAIN]] > 1).any():
            ratio[_PEERS] = 0
        family = int(np.argmax(ratio))
        test = int(self.which[family, at, channel])
        row = at + self.offset
        score = float(ratio[family])
        base = moved = 0.0
        if family == _PLAIN:
            name = _PLAIN_NAMES[test]
            length = {_STILL: self.run, _MISSING: self.gap}.get(test)
            back = int(length[row, channel]) - 1 if length is not None else _OUTSIDE_ROWS
            reason = f"{name} for {back + 1} samples" if test != _RANGE else "range"
        else:
            this = self.watch.tests[test]
            left = self.left[family, :, channel]
            back = this.width
            here = _mean(left[max(row - this.width + 1, 0) : row + 1])
            if this.name == "jump":
                base = _mean(left[max(row - 4 * this.width, 0) : max(row - this.width + 1, 1)])
            moved = here - base
            against = "alone" if family == _ALONE else "with peers"
            width_s = this.width * self.watch.record.step_s
            reason = f"{this.name} over {width_s:g} s, {moved:+.1f} usual sizes, {against}"
        begin = max(self.low + row - back, 0)
        return ChannelAlert(
            channel=channel,
            begin=begin,
            told=self.begin + told,
            end=self.begin + told,
            score=max(score, 1.0),
            reason=reason,
            _family=family,
            _test=test,
            _base=base,
            _moved=moved,
        )

    def _follow(self, alert: ChannelAlert, row: int) -> int:
        """Go on with an alert until it ends or the day does; the row from which to look again."""
        c, n = alert.channel, self.ratio.shape[1]
        back = self._is_back(alert)[row + 1 :]
        at = int(np.argmax(back)) if back.any() else -1
        lasting = round(LASTING_DAYS * DAY_S / self.watch.record.step_s)
        last = row + 1 + at if at >= 0 else n
        if alert.begin + lasting < self.begin + last:
            last, at = max(alert.begin + lasting - self.begin, row + 1), 0
            alert.is_open = False
        alert.is_open = at < 0
        alert.end = self.begin + last - 1
        first = max(alert.begin - self.low, 0)
        self.is_faulty[first : self.offset + last, c] = True
        return last

    def _is_back(self, alert: ChannelAlert) -> BoolArray:
        """bool[n]: rows of the day at which nothing is left of what was told."""
        c, rows = alert.channel, slice(self.offset, None)
        found: BoolArray
        if alert._family == _PLAIN:
            match alert._test:
                case 0:
                    found = self.run[rows, c] == 1
                case 1:
                    found = np.isfinite(self.values[rows, c])
                case _:
                    found = (self.ratio[_PLAIN, :, c] < 1) & np.isfinite(self.values[rows, c])
            return found
        test = self.watch.tests[alert._test]
        usable = np.where(self.is_faulty, np.nan, self.values)
        usable[:, c] = self.values[:, c]
        _, left = self.model.expect(self.time_s, usable, self.watch.record.commands)
        own = left[alert._family][:, [c]]
        share = np.maximum(np.isfinite(own).mean(axis=0), 0.02)
        if test.name in ("jump", "level"):
            width = max(test.width, 8) if test.name == "jump" else test.width
            mean = Sums(np.clip(own, -50, 50), share).mean(width)[rows, 0]
            return np.asarray(
                (mean - alert._base) * np.sign(alert._moved) < 0.5 * abs(alert._moved)
            )
        usual = self._usual(alert._family, np.array([c]))
        for _, stat in statistics(own, np.ones_like(own), (test,), usual):
            level = self.levels[alert._family, alert._test, c]
            part = stat[rows, 0]
            return np.asarray(part < (0.7 if test.name == "swing" else 0.5) * level)
        raise AssertionError


def _mean(values: FloatArray) -> float:
    known = values[np.isfinite(values)]
    return float(np.clip(known, -50, 50).mean()) if len(known) else 0.0
