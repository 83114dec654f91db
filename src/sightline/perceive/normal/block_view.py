"""One block of one satellite while it is judged: what is over its level, what is told of it first,
and when it is over.

The watch (:mod:`.satellite_watch`) says what was learnt; here nothing is learnt, and nothing of it
is changed but what :meth:`BlockView.settle` remembers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import numpy as np

from sightline.perceive.normal.channel_alert import SAME_S, ChannelAlert, Telling
from sightline.perceive.normal.counters import Counters
from sightline.perceive.normal.expectation import (
    TURN_ROWS,
    WARM_UP_S,
    CommandTimes,
    Expectation,
    since_last,
)
from sightline.perceive.normal.first_sights import first_sights
from sightline.perceive.normal.residual_tests import (
    REACH_S,
    ResidualTest,
    Sums,
    equal_run,
    missing_run,
    statistics,
)
from sightline.perceive.normal.satellite_record import DAY_S, SatelliteRecord
from sightline.records.detections import BoolArray
from sightline.records.windows import FloatArray, IntArray

BLOCKS_PER_DAY = 16
LASTING_DAYS = 3
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
TOLD_ONCE = 2.0
"""What passed by itself is told again where it is so much more than it was."""
_WAIT_ROWS = 6
LEVEL_HOLDS = -0.3
"""Where it explains less, what it leaves has no level of its own: news alone is tested."""
_STATE_HOLDS = 0.5
_OUTSIDE_ROWS = 4
_ALONE, _PEERS, _PLAIN = range(3)
_STILL, _MISSING, _RANGE, _RESET = range(4)
_PLAIN_NAMES = ("stuck", "missing", "range", "reset")
_RESET_ROWS = 4


class Watched(Protocol):
    """What a block is judged by; attributes as :class:`.satellite_watch.SatelliteWatch` has them.

    They are read, but for ``seen`` and ``seen_outside``, which :meth:`BlockView.settle` writes to.
    """

    record: SatelliteRecord
    tests: tuple[ResidualTest, ...]
    expectation: Expectation | None
    levels: FloatArray
    alerts: list[ChannelAlert]
    quiet: dict[int, tuple[int, int]]
    is_faulty: BoolArray
    still: FloatArray
    rest: FloatArray
    missing: FloatArray
    margin: FloatArray
    seen: FloatArray
    seen_outside: FloatArray
    today: tuple[int, int]

    @property
    def counters(self) -> Counters:
        """Which channels count."""

    def block_rows(self, block: int) -> tuple[int, int]:
        """Numbers of the first row of a block, and of the row after its last."""


class BlockView:
    """One block of one satellite while it is judged; the watch stays as it is.

    Arrays have the length of the whole block, also where only its first rows are known: sums over
    arrays of one length have the same bits, however many rows of them are known.
    """

    def __init__(
        self,
        watch: Watched,
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
        self.levels = np.maximum(watch.levels, TOLD_ONCE * watch.seen)
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
        self.is_faulty[: self.offset] = watch.is_faulty[before]
        gap = round(SAME_S / record.step_s)
        self._oldest = self.begin - gap
        self.alerts = [replace(a) for a in watch.alerts if self.concerns(a)]
        day = block // BLOCKS_PER_DAY
        self.today = watch.today if watch.today[0] == day else (day, 0)
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
                    watch.seen[m, k, c] = max(watch.seen[m, k, c], most)
            if alert.family == _PLAIN and alert.test == _RANGE:
                outside = self.first_ratio[_PLAIN, rows, c] * self.outer[rows]
                most = float(outside.max(initial=0.0)) * self.margin[c]
                watch.seen_outside[c] = max(watch.seen_outside[c], most)

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
        is_rest = self.raw == watch.rest
        still = np.where(is_rest, watch.still[1], watch.still[0])
        outside = np.maximum(self.values - self.model.greatest, self.model.least - self.values)
        self.margin = np.maximum(watch.margin, TOLD_ONCE * watch.seen_outside)
        outside = np.nan_to_num(outside / self.margin)
        held = outside.copy()
        for k in range(1, _OUTSIDE_ROWS):
            held[k:] = np.minimum(held[k:], outside[: len(outside) - k])
        rows = slice(self.offset, None)
        is_reset = watch.counters.resets(self.raw)
        with np.errstate(all="ignore"):
            found = np.stack([self.run / still, self.gap / watch.missing, held, 2.0 * is_reset])
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
