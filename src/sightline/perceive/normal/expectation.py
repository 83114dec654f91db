"""What each channel of a satellite should read, learnt from its own past alone.

Two expectations, one on top of the other, both linear in what is known at the moment:

1. *Alone*: where in the found periods the moment lies (a table over the phase), which commands
   hold and how long ago they came, which state the satellite is in, and a slow drift. It sees what
   the satellite does otherwise than yesterday, even where its channels agree with each other.
2. *With its peers*: what the first leaves of a channel, explained by what it leaves of the others,
   now and smoothed over some time (a temperature follows a current). It sees a sensor that
   disagrees with the others.

Both are ridge regressions with Huber's loss. Weights would give each channel a matrix of its own;
pseudo-values (P. J. Huber, *Robust Statistics*, 1981, section 7.8: the method of modified
residuals) leave one for all, and missing values are filled in the same way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.signal import lfilter

from sightline.perceive.normal.periods import found_period, standardised
from sightline.records.detections import BoolArray
from sightline.records.windows import FloatArray, IntArray

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
_MOST_COMMANDS = 12
_MOST_HELD = 8
_KNOT_S = 120.0
_KNOTS = (12, 72)
_SECOND_KNOTS = 16
_SHORTEST_PERIOD_S = 1200.0
_HUBER = 1.5
_ROUNDS = 4
_RIDGE = 1e-3
_PHASES = 24
_LEAST_GAIN = 0.05
_PEER_RIDGE = 3e-3
_VARIANTS = ((False, np.inf), (False, 1.0), (True, 2.0))
"""With a drift or without; days until a row counts half."""
_BETTER = 0.97
_KNOWN_FOR_S = 600.0
_GONE = 0.05
_RESTS_ON = 0.3
_ALONE, _PEERS = 0, 1
_KNOWN_SHARE = 0.3
TURN_ROWS = 2
"""A sharp turn of what is expected may come so many rows sooner or later."""
_PEER_DOUBT = 0.2
_AFTER_S = 600.0
"""For so long after a command its effect is as unsure as it was before."""
_PERIOD_ROWS = 3000
_QUANTUM_SIZE = 0.3
"""Size of rounding, of its step: 12 ** -0.5."""


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
        knots: entries of each period's table.
        commands: names whose after-effects count.
        held: pairs of names: the first holds until the second; the second may be ``""``, where a
            command with a value holds until its next.
        states: columns that are states, with their values.
        until_s: end of what was learnt; the drift is counted from there.
    """

    periods_s: tuple[float, ...] = ()
    knots: tuple[int, ...] = ()
    commands: tuple[str, ...] = ()
    held: tuple[tuple[str, str], ...] = ()
    states: tuple[tuple[int, tuple[float, ...]], ...] = ()
    until_s: float = 0.0

    @property
    def slow(self) -> slice:
        """The columns of the drift."""
        first = 1 + sum(self.knots)
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
            columns.append(hats(time_s / period_s, knots))
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


def hats(turn: FloatArray, knots: int) -> FloatArray:
    """float64[n, knots]: the weights of a periodic table, linear between its entries.

    >>> hats(np.array([0.125, 0.5]), 4).tolist()
    [[0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]]
    """
    place = (turn % 1.0) * knots
    before = place.astype(np.int64) % knots
    weight = place - np.floor(place)
    found = np.zeros((len(turn), knots))
    row = np.arange(len(turn))
    found[row, before] = 1 - weight
    found[row, (before + 1) % knots] += weight
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
        scale: float64[2, phases, c], size of what is left, alone and with peers.
        rounding: float64[c], least step of the values.
        after: float64[commands, c], size of what was left soon after each command.
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
    rounding: FloatArray
    after: FloatArray
    explained: FloatArray
    is_constant: BoolArray
    least: FloatArray
    greatest: FloatArray

    def expect(
        self, time_s: FloatArray, values: FloatArray, commands: CommandTimes
    ) -> tuple[FloatArray, FloatArray]:
        """float64[2, n, c]: what was expected, alone and with peers, and what is left in its usual
        size.

        Args:
            time_s: float64[n], evenly spaced, from ``WARM_UP_S`` before what matters.
            values: float64[n, c]; NaN is missing.
            commands: of the satellite.
        """
        known = np.clip(self.form.known(time_s, commands, values), self.low, self.high)
        alone = known @ self.weights
        left = values - alone
        step_s = float(time_s[1] - time_s[0])
        deviation = lately_known(left / self.peer_scale, round(_KNOWN_FOR_S / step_s))
        peers = peer_columns(deviation, step_s, self.peer_most / self.peer_scale)
        from_peers = peers @ self.peer_weights
        expected = np.stack([alone, alone + from_peers])
        # A sharp turn may come some rows sooner or later, and what peers say is no surer than they.
        doubt = np.stack([bends(alone), np.hypot(bends(from_peers), _PEER_DOUBT * from_peers)])
        doubt = np.hypot(doubt, self._after(time_s, commands))
        scale = np.sqrt(self._scale(time_s) ** 2 + doubt**2)
        size = (values - expected) / scale
        # For as long as a peer works on, its absence says nothing about who rests on it.
        is_gone = smoothed(np.isnan(deviation).astype(np.float64), PEER_LAGS_S[-1], step_s)
        size[_PEERS][(is_gone > _GONE) @ self._rests_on] = np.nan
        return expected, size

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
                knots=tuple(form["knots"]),
                commands=tuple(form["commands"]),
                held=tuple((first, second) for first, second in form["held"]),
                states=tuple((column, tuple(values)) for column, values in form["states"]),
                until_s=float(form["until_s"]),
            ),
            **arrays,
        )

    @property
    def _rests_on(self) -> BoolArray:
        """bool[c, c]: whether the second channel is explained by the first to speak of."""
        c = len(self.peer_scale)
        weight = np.abs(self.peer_weights).reshape(len(PEER_LAGS_S), c, c).sum(axis=0)
        found: BoolArray = weight > _RESTS_ON * self.scale[_PEERS].mean(axis=0)
        return found

    def _after(self, time_s: FloatArray, commands: CommandTimes) -> FloatArray:
        found = np.zeros((len(time_s), self.after.shape[1]))
        for name, size in zip(self.form.commands, self.after, strict=True):
            if size.any():
                since = since_last(time_s, commands.time_s[commands.name == name])
                found = np.maximum(found, np.exp(-since / _AFTER_S)[:, None] * size)
        return found

    def _scale(self, time_s: FloatArray) -> FloatArray:
        if not self.form.periods_s:
            return self.scale[:, :1]
        phase = (time_s / self.form.periods_s[0]) % 1.0
        return self.scale[:, np.minimum((phase * _PHASES).astype(np.int64), _PHASES - 1)]


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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Past:
    """What a satellite showed, to learn from: days one after the other.

    Attributes:
        time_s: for each day float64[n], evenly spaced, with a warm-up before the day.
        values: float64[n, c] of each; NaN is missing.
        is_healthy: bool[n, c]: what may be learnt from.
        begins: for each day, the first row after the warm-up.
        commands: all until the end.
    """

    time_s: Sequence[FloatArray]
    values: Sequence[FloatArray]
    is_healthy: Sequence[BoolArray]
    begins: Sequence[int]
    commands: CommandTimes


def learn(
    past: Past, *, rows_per_day: int = 1440, periods_s: tuple[float, ...] | None = None
) -> Expectation:
    """Learn what to expect of a satellite.

    Each variant (with a drift or without, all days alike or the newest first) is learnt without the
    last day and tried on it; each channel takes what was best there.

    Args:
        past: two days or more.
        rows_per_day: how many rows of a day are learnt from.
        periods_s: found before, the strongest first; found here if None.
    """
    parts = list(zip(past.time_s, past.values, past.is_healthy, past.begins, strict=True))
    step_s = float(past.time_s[0][1] - past.time_s[0][0])
    usable = np.concatenate([np.where(h, v, np.nan)[b:] for _, v, h, b in parts])
    form = _form(past, usable, step_s, periods_s, _states(usable))
    thin = [_thinned(len(t) - b, rows_per_day) + b for t, _, _, b in parts]
    day_of = np.repeat(np.arange(len(parts)), [len(k) for k in thin])
    is_last = day_of == len(parts) - 1
    time_s = np.concatenate([t[k] for (t, *_), k in zip(parts, thin, strict=True)])
    centre, spread, is_constant = _centre(usable)
    y = np.concatenate(
        [np.where(h[k], v[k], np.nan) for (_, v, h, _), k in zip(parts, thin, strict=True)]
    )
    y = (y - centre) / spread
    x = np.concatenate(
        [form.known(t, past.commands, v)[k] for (t, v, *_), k in zip(parts, thin, strict=True)]
    )

    weights, left, tried = _learn_alone(form, x, y, day_of)
    weights[:, is_constant] = 0
    weights *= spread
    weights[0] += centre
    left, tried = left * spread, tried * spread
    low, high = x.min(axis=0), x.max(axis=0)
    slow = form.slow
    # Beyond its end the drift goes on, for two days at most.
    low[slow], high[slow] = np.minimum(low[slow], -2.0), np.maximum(high[slow], 2.0)

    peer_scale = np.maximum(_size(left), 1e-12)
    greatest = np.nan_to_num(np.nanquantile(np.abs(_some(left)), 0.999, axis=0))
    peer_most = np.maximum(greatest, 3 * peer_scale)
    rows = []
    for (t, v, h, _), k in zip(parts, thin, strict=True):
        alone = np.clip(form.known(t, past.commands, v), low, high) @ weights
        deviation = np.where(h, v - alone, np.nan) / peer_scale
        deviation = lately_known(deviation, round(_KNOWN_FOR_S / step_s))
        rows.append(peer_columns(deviation, step_s, peer_most / peer_scale)[k])
    # A channel that was faulty for most of the last day is measured by what was left of all days.
    few = np.isfinite(y[is_last]).mean(axis=0) < _KNOWN_SHARE * np.isfinite(y).mean(axis=0)
    tried[:, few] = np.nan
    peers, with_peers = _learn_peers(
        np.concatenate(rows), left / peer_scale, is_last, is_constant | few
    )
    has_peers = (peers != 0).any(axis=0)
    both = np.stack([tried, tried - with_peers * peer_scale])

    rounding = quantum(usable)
    floor = np.maximum(0.3 * peer_scale, _QUANTUM_SIZE * rounding)
    floor = np.maximum(floor, 1e-9 * np.maximum(np.abs(centre), 1e-6))
    scale = np.stack([_sizes(part, time_s[is_last], form, floor) for part in both])
    scale[:, :, few] = 1.5 * np.maximum(peer_scale, floor)[few]
    usual = _size(y[is_last] - np.nan_to_num(np.nanmedian(_some(y[is_last]), axis=0))) * spread
    explained = np.stack([1 - (_size(part) / usual) ** 2 for part in both])
    explained[:, few] = 0.0
    return Expectation(
        form=form,
        weights=weights,
        low=low,
        high=high,
        peer_weights=peers * peer_scale,
        peer_scale=peer_scale,
        peer_most=peer_most,
        has_peers=has_peers,
        scale=scale,
        rounding=rounding,
        after=_after(form, time_s, left, past.commands, scale[_ALONE].mean(axis=0)),
        explained=explained,
        is_constant=is_constant,
        least=np.nan_to_num(np.nanmin(_some(usable), axis=0)),
        greatest=np.nan_to_num(np.nanmax(_some(usable), axis=0)),
    )


def _learn_alone(
    form: Form, x: FloatArray, y: FloatArray, day_of: IntArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Weights float64[f, c], what they leave, and what was left of the last day without it."""
    last = int(day_of[-1])
    is_last = day_of == last
    own = _own_columns(form, x.shape[1], y.shape[1])
    variants = _VARIANTS if last >= 2 else _VARIANTS[:1]
    error = np.full(y.shape[1], np.inf)
    choice = np.zeros(y.shape[1], np.int64)
    tried = np.full((int(is_last.sum()), y.shape[1]), np.nan)
    for number, (is_slow, half_life) in enumerate(variants):
        design = _design(form, x, is_slow=is_slow)
        age = (last - 1 - day_of[~is_last]) / half_life
        weights = _ridge(design[~is_last], y[~is_last], 0.5**age, own)
        low, high = design[~is_last].min(axis=0), design[~is_last].max(axis=0)
        left = y[is_last] - np.clip(design[is_last], low, high) @ weights
        size = _size(left)
        better = size < _BETTER * error
        choice[better], error[better] = number, size[better]
        tried[:, better] = left[:, better]
    final, left_all = np.zeros((x.shape[1], y.shape[1])), np.full_like(y, np.nan)
    for number, (is_slow, half_life) in enumerate(variants):
        mine = choice == number
        if mine.any():
            design = _design(form, x, is_slow=is_slow)
            age = (last - day_of) / half_life
            final[:, mine] = _ridge(design, y[:, mine], 0.5**age, own[:, mine])
            left_all[:, mine] = y[:, mine] - design @ final[:, mine]
    return final, left_all, tried


def _design(form: Form, x: FloatArray, *, is_slow: bool) -> FloatArray:
    if is_slow:
        return x
    found = x.copy()
    found[:, form.slow] = 0
    return found


def _learn_peers(
    z: FloatArray, target: FloatArray, is_last: BoolArray, is_left_out: BoolArray
) -> tuple[FloatArray, FloatArray]:
    """Weights float64[c * lags, c], 0 where peers do not help, and what they said on the last day.

    Args:
        z: float64[n, c * lags], of :func:`peer_columns`.
        target: float64[n, c], what is left of each channel in its size.
        is_last: bool[n], rows to try on.
        is_left_out: bool[c]: channels that neither explain nor are explained.
    """
    c = target.shape[1]
    allowed = np.tile(~np.eye(c, dtype=np.bool_) & ~is_left_out[:, None], (len(PEER_LAGS_S), 1))
    even = np.ones(len(z))
    before = _ridge(z[~is_last], target[~is_last], even[~is_last], allowed, ridge=_PEER_RIDGE)
    said = z[is_last] @ before
    gain = 1 - (_size(target[is_last] - said) / _size(target[is_last])) ** 2
    helps = (gain > _LEAST_GAIN) & ~is_left_out
    weights = _ridge(z, target, even, allowed, ridge=_PEER_RIDGE)
    weights[:, ~helps] = 0
    said[:, ~helps] = 0
    return weights, said


def quantum(usable: FloatArray) -> FloatArray:
    """float64[c]: the least step between two values next to each other; 0 where there is none.

    >>> quantum(np.array([[0.0], [0.25], [1.0], [np.nan]])).tolist()
    [0.25]
    """
    found = np.zeros(usable.shape[1])
    for column in range(usable.shape[1]):
        known = usable[np.isfinite(usable[:, column]), column]
        step = np.diff(np.unique(known[:: max(len(known) // 20_000, 1)]))
        step = step[step > 1e-9]
        found[column] = step.min() if len(step) else 0.0
    return found


def _some(values: FloatArray) -> FloatArray:
    """The same; a column without any value is 0."""
    none = ~np.isfinite(values).any(axis=0)
    return np.where(none, 0.0, values) if none.any() else values


def _thinned(n: int, most: int) -> IntArray:
    return np.unique(np.linspace(0, n - 1, min(n, most)).astype(np.int64))


def _states(usable: FloatArray) -> tuple[tuple[int, tuple[float, ...]], ...]:
    found = []
    for column in range(usable.shape[1]):
        known = usable[np.isfinite(usable[:, column]), column]
        if len(known) > 100:
            few = np.unique(known[:: max(len(known) // 5000, 1)])
            values, count = (
                np.unique(known, return_counts=True) if len(few) <= MOST_STATES else (few, few)
            )
            if 1 < len(values) <= MOST_STATES:
                order = np.argsort(-count, kind="stable")
                found.append((column, tuple(values[order].tolist())))
    return tuple(found)


def _form(
    past: Past,
    usable: FloatArray,
    step_s: float,
    periods_s: tuple[float, ...] | None,
    states: tuple[tuple[int, tuple[float, ...]], ...],
) -> Form:
    if periods_s is None:
        periods_s = common_periods(usable, step_s)
    most = max(int(periods_s[0] / (3 * step_s)), _KNOTS[0]) if periods_s else 0
    knots = tuple(
        int(np.clip(round(p / _KNOT_S), _KNOTS[0], min(_KNOTS[1], most)))
        if k == 0
        else _SECOND_KNOTS
        for k, p in enumerate(periods_s)
    )
    name, count = np.unique(past.commands.name, return_counts=True)
    order = np.argsort(-count, kind="stable")
    common = tuple(str(n) for n in name[order][:_MOST_COMMANDS] if count[name == n][0] >= 3)
    return Form(
        periods_s=periods_s,
        knots=knots,
        commands=common,
        held=_held(past.commands, tuple(str(n) for n in name[order][:_MOST_COMMANDS])),
        states=states,
        until_s=float(past.time_s[-1][-1]),
    )


def common_periods(usable: FloatArray, step_s: float) -> tuple[float, ...]:
    """One or two periods that several channels share, in seconds, the strongest first.

    Args:
        usable: float64[n, c], the days one after the other.
        step_s: distance of rows.
    """
    every = max(int(60.0 / step_s), len(usable) // _PERIOD_ROWS, 1)
    rows = len(usable) // every * every
    with np.errstate(all="ignore"):
        part = usable[:rows].reshape(-1, every, usable.shape[1])
        count = np.isfinite(part).sum(axis=1)
        coarse = np.where(count > 0, np.nansum(part, axis=1) / np.maximum(count, 1), np.nan)
    step = step_s * every
    longest = len(coarse) * step / 2.5
    shortest = max(_SHORTEST_PERIOD_S, 4 * step)
    first, _ = found_period(coarse, step_s=step, shortest_s=shortest, longest_s=longest)
    if not np.isfinite(first):
        return ()
    knots = int(np.clip(round(first / _KNOT_S), *_KNOTS))
    x = hats(np.asarray(np.arange(len(coarse)) * step / first, np.float64), knots)
    y = standardised(coarse)
    gram = x.T @ x + 1e-3 * len(x) / knots * np.eye(knots)
    left = y - x @ np.linalg.solve(gram, x.T @ y)
    left[~np.isfinite(coarse)] = np.nan
    second, share = found_period(left, step_s=step, shortest_s=shortest, longest_s=longest)
    return (first, second) if np.isfinite(second) and share.max() > 0.2 else (first,)


def _held(commands: CommandTimes, names: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Pairs of commands of which the first holds until the second."""
    found: list[tuple[float, str, str]] = []
    times: Mapping[str, FloatArray] = {n: commands.time_s[commands.name == n] for n in names}
    for first in names:
        mine = times[first]
        value = commands.value[commands.name == first]
        if len(np.unique(value[np.isfinite(value)])) > 1:
            found.append((float(len(mine)) * 10, first, ""))
        for second in names:
            if second == first or not len(times[second]):
                continue
            after = np.searchsorted(times[second], mine, side="right")
            upper = np.append(mine[1:], np.inf)
            is_ended = np.append(times[second], np.inf)[after] < upper
            if is_ended[:-1].mean() > 0.9 if len(mine) > 1 else False:
                # Most of the times that the other came it ended this one: they belong together.
                together = is_ended.sum() / len(times[second])
                if together > 0.2 or len(mine) < 3:
                    found.append((float(together * len(mine)), first, second))
    found.sort(key=lambda row: -row[0])
    return tuple((a, b) for _, a, b in found[:_MOST_HELD])


def _own_columns(form: Form, f: int, c: int) -> BoolArray:
    """bool[f, c]: what may explain a channel; a state does not explain itself."""
    allowed = np.ones((f, c), np.bool_)
    first = form.slow.stop + len(form.commands) * len(COMMAND_LAGS_S)
    width = len(form.held) + sum(len(values) - 1 for _, values in form.states)
    for lag in range(len(HELD_LAGS_S)):
        at = first + lag * width + len(form.held)
        for column, values in form.states:
            allowed[at : at + len(values) - 1, column] = False
            at += len(values) - 1
    return allowed


def _ridge(
    x: FloatArray, y: FloatArray, weight: FloatArray, allowed: BoolArray, *, ridge: float = _RIDGE
) -> FloatArray:
    """float64[f, c]: ridge regression with Huber's pseudo-values; NaN in ``y`` is missing."""
    root = np.sqrt(weight)[:, None]
    size = np.sqrt(np.maximum((x**2).mean(axis=0), 1e-12))
    scaled = x / size * root
    gram = scaled.T @ scaled
    gram[np.diag_indices_from(gram)] += ridge * len(x)
    found = np.zeros((x.shape[1], y.shape[1]))
    is_known = np.isfinite(y)
    patterns, of = np.unique(allowed, axis=1, return_inverse=True)
    of = of.ravel()
    factors = []
    for k in range(patterns.shape[1]):
        rows = np.flatnonzero(patterns[:, k])
        factors.append(
            (rows, cho_factor(gram[np.ix_(rows, rows)], check_finite=False) if len(rows) else None)
        )
    fitted = np.zeros_like(y)
    for round_ in range(_ROUNDS):
        left = y - fitted
        if round_:
            most = np.maximum(_HUBER * _size(left), 1e-9)
            left = np.clip(left, -most, most)
        target = np.where(is_known, fitted + np.nan_to_num(left), fitted)
        moment = scaled.T @ (target * root)
        for k, (rows, factor) in enumerate(factors):
            if factor is not None:
                mine = np.flatnonzero(of == k)
                found[np.ix_(rows, mine)] = cho_solve(
                    factor, moment[np.ix_(rows, mine)], check_finite=False
                )
        fitted = (x / size) @ found
    weights: FloatArray = found / size[:, None]
    return weights


def _size(left: FloatArray) -> FloatArray:
    """float64[c]: robust size: 1.4826 median |.|, or where most are 0, the mean size pulled in."""
    size = np.abs(_some(left))
    with np.errstate(all="ignore"):
        middle = 1.4826 * np.nanmedian(size, axis=0)
        most = np.nanquantile(size, 0.99, axis=0)
        mean = 1.2533 * np.nanmean(np.minimum(size, most), axis=0)
    found: FloatArray = np.maximum(np.maximum(middle, 0.7 * mean), 1e-12)
    return found


def _sizes(left: FloatArray, time_s: FloatArray, form: Form, floor: FloatArray) -> FloatArray:
    """float64[phases, c]: the usual size of what is left, over the first period."""
    whole = np.maximum(_size(left), floor)
    found = np.tile(whole, (_PHASES, 1))
    if form.periods_s:
        phase = np.minimum(
            ((time_s / form.periods_s[0]) % 1.0 * _PHASES).astype(np.int64), _PHASES - 1
        )
        pulled = np.minimum(np.abs(left), 8 * whole)
        for k in range(_PHASES):
            near = np.isin(phase, [(k - 1) % _PHASES, k, (k + 1) % _PHASES])
            known = np.isfinite(pulled[near]).sum(axis=0)
            with np.errstate(all="ignore"):
                here = 1.2533 * np.nansum(pulled[near], axis=0) / np.maximum(known, 1)
            # A phase seen by few samples leans on all.
            share = known / (known + 20.0)
            found[k] = np.maximum(share * here + (1 - share) * whole, 0.7 * whole)
    sizes: FloatArray = np.maximum(found, floor)
    return sizes


def _after(
    form: Form, time_s: FloatArray, left: FloatArray, commands: CommandTimes, usual: FloatArray
) -> FloatArray:
    """float64[commands, c]: root mean square of what was left soon after; 0 where it was usual."""
    found = np.zeros((len(form.commands), left.shape[1]))
    for k, name in enumerate(form.commands):
        soon = since_last(time_s, commands.time_s[commands.name == name]) < _AFTER_S / 2
        known = np.isfinite(left[soon]).sum(axis=0)
        size = np.sqrt(np.nansum(left[soon] ** 2, axis=0) / np.maximum(known, 1))
        found[k] = np.where(size > 1.5 * usual, size, 0.0)
    return found


def _centre(usable: FloatArray) -> tuple[FloatArray, FloatArray, BoolArray]:
    part = _some(usable)
    middle = np.nanmedian(part, axis=0)
    low, high = np.nanmin(part, axis=0), np.nanmax(part, axis=0)
    spread = np.nanstd(part, axis=0)
    is_constant = ~(high - low > 1e-12 * np.maximum(np.abs(middle), 1.0))
    return middle, np.where(is_constant, 1.0, spread), is_constant
