"""What each channel of a satellite should read, learnt from its own past alone.

Two expectations, one on top of the other, both linear in what is known at the moment:

1. *Alone*: where in the found periods the moment lies (a table over the phase), which commands
   hold and how long ago they came, which state the satellite is in, and a slow drift. It sees what
   the satellite does otherwise than yesterday, even where its channels agree with each other.
2. *With its peers*: what the first leaves of a channel, explained by what it leaves of the others,
   now and smoothed over some time (a temperature follows a current). It sees a sensor that
   disagrees with the others.

How both are learnt: :mod:`.expectation_learning`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from scipy.signal import lfilter

from sightline.perceive.normal.innovations import (
    lag_means,
    median_rows,
    recently_known,
    running_median,
)
from sightline.records.detections import BoolArray
from sightline.records.windows import FloatArray

COMMAND_LAGS_S = (60.0, 600.0, 3600.0)
"""How long a command may work on."""
HELD_LAGS_S = (0.0, 300.0, 1800.0, 7200.0)
"""How slowly the satellite may follow a state that a command holds."""
PEER_LAGS_S = (0.0, 300.0, 1800.0, 7200.0)
"""How slowly a channel may follow another."""
WARM_UP_S = 21_600.0
"""After so long what was before does not matter to the slowest lag."""
MOST_STATES = 6
"""A channel with no more values than these is a state."""
KNOWN_FOR_S = 600.0
"""For so long a channel that is missing is taken as it last was."""
_GONE = 0.05
_RESTS_ON = 0.3
ALONE, PEERS = 0, 1
"""The two expectations, in arrays of both."""
TURN_ROWS = 2
"""A sharp turn of what is expected may come so many rows sooner or later."""
_PEER_DOUBT = 0.2
_AT_ONCE_S, _AFTER_S = 120.0, 600.0
"""For so long after a command its effect is as unsure as it was before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandTimes:
    """The commands of one satellite that were sent.

    Attributes:
        time_s: float64[k], ascending.
        name: str[k].
        value: float64[k]; NaN where a command has none.
    """

    time_s: FloatArray
    name: np.ndarray
    value: FloatArray

    @classmethod
    def none(cls) -> CommandTimes:
        """No command is on record."""
        return cls(time_s=np.empty(0), name=np.empty(0, np.str_), value=np.empty(0))

    def until(self, time_s: float) -> CommandTimes:
        """Those before a time."""
        n = int(np.searchsorted(self.time_s, time_s))
        return CommandTimes(time_s=self.time_s[:n], name=self.name[:n], value=self.value[:n])


def smoothed(values: FloatArray, lag_s: float, step_s: float) -> FloatArray:
    """float64[n, c]: each column through a first-order lag, from its first row on; as it is for 0.

    >>> smoothed(np.array([[0.0], [1.0], [1.0]]), 1.0, 1.0).ravel().round(2).tolist()
    [0.0, 0.63, 0.86]
    """
    if lag_s <= 0 or not values.size:
        return values
    share = -np.expm1(-step_s / lag_s)
    found, _ = lfilter([share], [1.0, share - 1.0], values, axis=0, zi=(1 - share) * values[:1])
    return np.asarray(found, np.float64)


def filled_forward(values: FloatArray) -> FloatArray:
    """float64[n, c]: each missing value is the last known one; 0 before the first.

    >>> filled_forward(np.array([[np.nan], [2.0], [np.nan]])).ravel().tolist()
    [0.0, 2.0, 2.0]
    """
    known = np.isfinite(values)
    at = np.where(known, np.arange(len(values))[:, None], -1)
    np.maximum.accumulate(at, axis=0, out=at)
    found: FloatArray = np.where(
        at >= 0, np.take_along_axis(np.nan_to_num(values), np.maximum(at, 0), axis=0), 0.0
    )
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What the moment is described by; chosen once for a learning, the same for all channels.

    Attributes:
        periods_s: found periods, the strongest first; may be none.
        knots: where in each period the entries of its table lie: turns from 0 to 1, ascending.
        commands: names whose after-effects count.
        held: pairs of names: the first holds until the second; the second may be ``""``, where a
            command with a value holds until its next.
        states: columns that are states, with their values.
        until_s: end of what was learnt; the drift is counted from there.
    """

    periods_s: tuple[float, ...] = ()
    knots: tuple[tuple[float, ...], ...] = ()
    commands: tuple[str, ...] = ()
    held: tuple[tuple[str, str], ...] = ()
    states: tuple[tuple[int, tuple[float, ...]], ...] = ()
    until_s: float = 0.0

    @property
    def slow(self) -> slice:
        """The columns of the drift."""
        first = 1 + sum(map(len, self.knots))
        return slice(first, first + (7 if self.periods_s else 1))

    def known(self, time_s: FloatArray, commands: CommandTimes, states: FloatArray) -> FloatArray:
        """float64[n, f]: the description of each moment.

        Args:
            time_s: float64[n], ascending, evenly spaced.
            commands: sent; those after a moment do not matter to it.
            states: float64[n, c], all channels.
        """
        n = len(time_s)
        step_s = float(time_s[1] - time_s[0]) if n > 1 else 1.0
        columns: list[FloatArray] = [np.ones((n, 1))]
        for period_s, knots in zip(self.periods_s, self.knots, strict=True):
            columns.append(hats(time_s / period_s, np.array(knots)))
        days = (time_s - self.until_s)[:, None] / 86_400.0
        columns.append(days)
        for k in (1, 2, 3) if self.periods_s else ():
            turn = 2 * np.pi * k * time_s[:, None] / self.periods_s[0]
            columns += [days * np.cos(turn), days * np.sin(turn)]
        for name in self.commands:
            since = since_last(time_s, commands.time_s[commands.name == name])
            columns += [np.exp(-since / lag)[:, None] for lag in COMMAND_LAGS_S]
        holds = [hold(time_s, commands, pair) for pair in self.held]
        for column, values in self.states:
            state = filled_forward(states[:, [column]])
            holds += [(state[:, 0] == value).astype(np.float64) for value in values[1:]]
        if holds:
            held = np.stack(holds, axis=1)
            columns += [smoothed(held, lag, step_s) for lag in HELD_LAGS_S]
        return np.concatenate(columns, axis=1)


def since_events(
    form: Form, time_s: FloatArray, commands: CommandTimes, values: FloatArray
) -> FloatArray:
    """float64[n, events]: seconds since each command last came, and each state last changed."""
    found = [since_last(time_s, commands.time_s[commands.name == name]) for name in form.commands]
    for column, _ in form.states:
        state = filled_forward(values[:, [column]])[:, 0]
        changes = np.flatnonzero(np.diff(state)) + 1
        found.append(since_last(time_s, time_s[changes]))
    return np.stack(found, axis=1) if found else np.empty((len(time_s), 0))


def hats(turn: FloatArray, knots: FloatArray) -> FloatArray:
    """float64[n, knots]: the weights of a periodic table, linear between its entries.

    Args:
        turn: float64[n].
        knots: where the entries lie, from 0 to 1, ascending.

    >>> hats(np.array([0.125, 0.5]), np.arange(4) / 4).tolist()
    [[0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]]
    """
    phase = turn % 1.0
    count = len(knots)
    before = (np.searchsorted(knots, phase, side="right") - 1) % count
    gap = (np.roll(knots, -1) - knots) % 1.0 if count > 1 else np.ones(1)
    weight = ((phase - knots[before]) % 1.0) / gap[before]
    found = np.zeros((len(turn), count))
    row = np.arange(len(turn))
    found[row, before] = 1 - weight
    found[row, (before + 1) % count] += weight
    return found


def since_last(time_s: FloatArray, events_s: FloatArray) -> FloatArray:
    """float64[n]: seconds since the last event at or before; infinity before the first."""
    at = np.searchsorted(events_s, time_s, side="right") - 1
    padded = np.append(events_s, -np.inf)
    found: FloatArray = time_s - padded[at]
    return found


def hold(time_s: FloatArray, commands: CommandTimes, pair: tuple[str, str]) -> FloatArray:
    """float64[n]: 1 (or the value) from a command until the other; 0 elsewhere."""
    first, second = pair
    of_first = commands.name == first
    mine = commands.time_s[of_first]
    at = np.searchsorted(mine, time_s, side="right") - 1
    value = np.where(np.isfinite(commands.value[of_first]), commands.value[of_first], 1.0)
    now = np.append(value, 0.0)[at]
    if second:
        over = since_last(time_s, commands.time_s[commands.name == second])
        now = np.where(over < time_s - np.append(mine, -np.inf)[at], 0.0, now)
    return np.asarray(now, np.float64)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Expectation:
    """What was learnt of one satellite, with c channels.

    Attributes:
        form: what the moment is described by.
        weights: float64[f, c] in the channels' units.
        low, high: float64[f], what was seen: beyond it nothing is believed to go on.
        peer_weights: float64[c * lags, c]; zero where peers do not help.
        peer_scale: float64[c], what one is of a peer's deviation.
        peer_most: float64[c], greatest deviation that was learnt from.
        has_peers: bool[c].
        scale: float64[2, bins, c], size of what is left over the first period, alone and with
            peers.
        own_weights: float64[2, LAGS, c], how what was left goes on; see :mod:`.innovations`.
        new_scale: float64[2, bins, c], size of innovations.
        rounding: float64[c], least step of the values.
        after: float64[2, events, c], size of what was left at once and soon after each command and
            each change of a state.
        new_after: float64[2, events, c], the same of innovations.
        explained: float64[2, c], share of the variance that was explained on time that was not
            learnt from; NaN where nothing is known.
        is_constant: bool[c], never moved: there is nothing to expect.
        least, greatest: float64[c], of what was learnt.
    """

    form: Form
    weights: FloatArray
    low: FloatArray
    high: FloatArray
    peer_weights: FloatArray
    peer_scale: FloatArray
    peer_most: FloatArray
    has_peers: BoolArray
    scale: FloatArray
    own_weights: FloatArray
    new_scale: FloatArray
    rounding: FloatArray
    after: FloatArray
    new_after: FloatArray
    explained: FloatArray
    is_constant: BoolArray
    least: FloatArray
    greatest: FloatArray

    def expect(
        self, time_s: FloatArray, values: FloatArray, commands: CommandTimes
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """float64[2, n, c]: what was expected, alone and with peers; what is left in its usual
        size; and innovations in theirs.

        Args:
            time_s: float64[n], evenly spaced, from ``WARM_UP_S`` before what matters.
            values: float64[n, c]; NaN is missing.
            commands: of the satellite.
        """
        known = np.clip(self.form.known(time_s, commands, values), self.low, self.high)
        alone = known @ self.weights
        left = values - alone
        step_s = float(time_s[1] - time_s[0])
        deviation = lately_known(left / self.peer_scale, round(KNOWN_FOR_S / step_s))
        peers = peer_columns(deviation, step_s, self.peer_most / self.peer_scale)
        from_peers = peers @ self.peer_weights
        expected = np.stack([alone, alone + from_peers])
        # A sharp turn may come some rows sooner or later, and what peers say is no surer than they.
        turns = np.stack([bends(alone), np.hypot(bends(from_peers), _PEER_DOUBT * from_peers)])
        since = since_events(self.form, time_s, commands, values)
        doubt = np.hypot(turns, _doubt_after(since, self.after, step_s))
        size = (values - expected) / np.hypot(_of_phase(time_s, self.form, self.scale), doubt)
        new = np.stack(
            [
                innovations(values - part, weights, step_s, self.peer_most)
                for part, weights in zip(expected, self.own_weights, strict=True)
            ]
        )
        turns = np.stack([bends(alone), bends(from_peers)])
        doubt = np.hypot(turns, _doubt_after(since, self.new_after, step_s))
        new /= np.hypot(_of_phase(time_s, self.form, self.new_scale), doubt)
        # For as long as a peer works on, its absence says nothing about who rests on it.
        missing = np.isnan(deviation).astype(np.float64)
        is_gone = np.concatenate(
            [smoothed(missing, lag, step_s) > _GONE for lag in PEER_LAGS_S], axis=1
        )
        is_bereft = is_gone @ self._rests_on
        size[PEERS][is_bereft] = np.nan
        new[PEERS][is_bereft] = np.nan
        return expected, size, new

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Plain values and arrays that :meth:`from_state` takes back."""
        arrays = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "form"}
        return asdict(self.form), arrays

    @classmethod
    def from_state(cls, form: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Expectation:
        """Inverse of :meth:`state`; ``form`` may have gone through JSON."""
        return cls(
            form=Form(
                periods_s=tuple(form["periods_s"]),
                knots=tuple(tuple(places) for places in form["knots"]),
                commands=tuple(form["commands"]),
                held=tuple((first, second) for first, second in form["held"]),
                states=tuple((column, tuple(values)) for column, values in form["states"]),
                until_s=float(form["until_s"]),
            ),
            **arrays,
        )

    @property
    def is_state(self) -> BoolArray:
        """bool[c]: channels with a handful of values."""
        found = np.zeros(len(self.peer_scale), np.bool_)
        found[[column for column, _ in self.form.states]] = True
        return found

    @property
    def _rests_on(self) -> BoolArray:
        """bool[c * lags, c]: whether the second channel is explained by the first to speak of."""
        found: BoolArray = np.abs(self.peer_weights) > _RESTS_ON * np.median(
            self.scale[PEERS], axis=0
        )
        return found


def _doubt_after(since: FloatArray, after: FloatArray, step_s: float) -> FloatArray:
    """float64[n, c]: how much less sure an expectation is for what came lately."""
    found = np.zeros((len(since), after.shape[2]))
    for lasts_s, sizes in zip(after_s(step_s), after, strict=True):
        for k in np.flatnonzero(sizes.any(axis=1)):
            found = np.maximum(found, np.exp(-since[:, k] / lasts_s)[:, None] * sizes[k])
    return found


def after_s(step_s: float) -> tuple[float, float]:
    return max(_AT_ONCE_S, 2 * step_s), max(_AFTER_S, 10 * step_s)


def _of_phase(time_s: FloatArray, form: Form, scale: FloatArray) -> FloatArray:
    """float64[2, n, c]: a size at each moment."""
    if not form.periods_s:
        return scale[:, :1]
    bins = scale.shape[1]
    phase = (time_s / form.periods_s[0]) % 1.0
    return scale[:, np.minimum((phase * bins).astype(np.int64), bins - 1)]


def innovations(
    left: FloatArray, weights: FloatArray, step_s: float, most: FloatArray
) -> FloatArray:
    """float64[n, c]: what is left, less what its own past lets expect; NaN where that is unknown.

    Args:
        left: float64[n, c]; NaN is missing.
        weights: float64[LAGS, c].
        step_s: distance of rows.
        most: float64[c], beyond which nothing goes on.
    """
    calm = running_median(left, median_rows(step_s))
    found: FloatArray = calm - np.einsum("nlc,lc->nc", past_means(calm, step_s, most), weights)
    found[~recently_known(np.isfinite(calm))] = np.nan
    return found


def past_means(calm: FloatArray, step_s: float, most: FloatArray) -> FloatArray:
    held = lately_known(calm, round(KNOWN_FOR_S / step_s))
    return lag_means(np.nan_to_num(np.clip(held, -most, most)))


def bends(expected: FloatArray) -> FloatArray:
    """float64[n, c]: how sharply an expectation turns within ``TURN_ROWS`` of each row.

    >>> bends(np.array([[0.0], [0.0], [0.0], [2.0], [2.0], [2.0], [2.0]])).ravel().tolist()
    [0.0, 2.0, 2.0, 2.0, 2.0, 2.0, 0.0]
    """
    turn = np.zeros_like(expected)
    if len(expected) > 2 * TURN_ROWS:
        turn[1:-1] = np.abs(expected[2:] - 2 * expected[1:-1] + expected[:-2])
        found = turn.copy()
        for k in range(1, TURN_ROWS + 1):
            found[k:] = np.maximum(found[k:], turn[:-k])
            if k < TURN_ROWS:
                found[:-k] = np.maximum(found[:-k], turn[k:])
        turn = found
    return turn


def lately_known(values: FloatArray, rows: int) -> FloatArray:
    """float64[n, c]: a missing value is the last known one, if that is ``rows`` old or less.

    >>> lately_known(np.array([[1.0], [np.nan], [np.nan]]), 1).ravel().tolist()
    [1.0, 1.0, nan]
    """
    at = np.where(np.isfinite(values), np.arange(len(values))[:, None], -rows - 1)
    np.maximum.accumulate(at, axis=0, out=at)
    is_new = np.arange(len(values))[:, None] - at <= rows
    found: FloatArray = np.where(
        is_new, np.take_along_axis(values, np.maximum(at, 0), axis=0), np.nan
    )
    return found


def peer_columns(deviation: FloatArray, step_s: float, most: FloatArray) -> FloatArray:
    """float64[n, c * lags]: deviations of all channels, now and smoothed; missing ones are 0."""
    now = np.nan_to_num(np.clip(deviation, -most, most))
    return np.concatenate([smoothed(now, lag, step_s) for lag in PEER_LAGS_S], axis=1)
