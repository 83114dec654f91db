"""How what a channel should read is learnt: see :mod:`.expectation` for what it is.

Both expectations are ridge regressions with Huber's loss. Weights would give each channel a matrix
of its own; pseudo-values (P. J. Huber, *Robust Statistics*, 1981, section 7.8: the method of
modified residuals) leave one for all, and missing values are filled in the same way. What is left,
and its usual size, is measured on the last day, by what was learnt without it; but what peers say
is taken from what was learnt with it, so that they seem to say less than they do (ADR 30).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.sparse import csr_matrix

from sightline.perceive.normal.expectation import (
    ALONE,
    COMMAND_LAGS_S,
    HELD_LAGS_S,
    KNOWN_FOR_S,
    MOST_STATES,
    PEER_LAGS_S,
    PEERS,
    CommandTimes,
    Expectation,
    Form,
    after_s,
    hats,
    lately_known,
    past_means,
    peer_columns,
    since_events,
)
from sightline.perceive.normal.innovations import (
    median_rows,
    own_autoregression,
    recently_known,
    running_median,
)
from sightline.perceive.normal.periods import found_period, standardised
from sightline.records.detections import BoolArray
from sightline.records.windows import FloatArray, IntArray

_MOST_COMMANDS = 12
_MOST_HELD = 8
_KNOT_S = 120.0
_KNOTS = (12, 72)
_SECOND_KNOTS = 16
_SHORTEST_PERIOD_S = 1200.0
_HUBER = 1.5
_ROUNDS = 3
_SIZE_ROWS = 2000
"""So many rows say how large what is left is, between rounds."""
_RIDGE = 1e-3
_PHASES = 24
_LEAST_GAIN = 0.05
_PEER_RIDGE = 3e-3
_VARIANTS = ((False, np.inf), (False, 1.0), (True, 2.0))
"""With a drift or without; days until a row counts half."""
_BETTER = 0.97
_FLOORS = (0.3, 0.02)
"""Least size of what is left, alone and with peers, of what was left alone of days learnt from."""
_KNOWN_SHARE = 0.3
_PHASE_S = 120.0
_MOST_PHASES = 240
_PERIOD_ROWS = 3000
_QUANTUM_SIZE = 0.3
"""Size of rounding, of its step: 12 ** -0.5."""


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
    described = [form.known(t, past.commands, v) for t, v, *_ in parts]
    x = np.concatenate([part[k] for part, k in zip(described, thin, strict=True)])

    weights, left, before = _learn_alone(form, x, y, day_of)
    weights = _in_units(weights, centre, spread, is_constant)
    before = _in_units(before, centre, spread, is_constant)
    left = left * spread
    low, high = _bounds(x, form.slow)

    peer_scale = np.maximum(_size(left), 1e-12)
    greatest = np.nan_to_num(np.nanquantile(np.abs(_some(left)), 0.999, axis=0))
    peer_most = np.maximum(greatest, 3 * peer_scale)
    rows, alone_left = [], []
    for k, ((_, v, h, _), known) in enumerate(zip(parts, described, strict=True)):
        inside = np.clip(known, low, high)
        lately = np.where(h, v - inside @ weights, np.nan) / peer_scale
        lately = lately_known(lately, round(KNOWN_FOR_S / step_s))
        rows.append(peer_columns(lately, step_s, peer_most / peer_scale))
        # The last day is measured by what was learnt without it.
        own = before if k == len(parts) - 1 else weights
        alone_left.append(np.where(h, v - inside @ own, np.nan))
    tried = alone_left[-1][thin[-1]]
    # A channel that was faulty for most of the last day is measured by what was left of all days.
    few = np.isfinite(y[is_last]).mean(axis=0) < _KNOWN_SHARE * np.isfinite(y).mean(axis=0)
    tried[:, few] = np.nan
    peers, peers_before = _learn_peers(
        np.concatenate([part[k] for part, k in zip(rows, thin, strict=True)]),
        left / peer_scale,
        is_last,
        is_constant | few,
    )
    peers, peers_before = peers * peer_scale, peers_before * peer_scale
    both = [tried, tried - rows[-1][thin[-1]] @ peers_before]

    rounding = quantum(usable)
    least = np.maximum(_QUANTUM_SIZE * rounding, 1e-9 * np.maximum(np.abs(centre), 1e-6))
    floors = [np.maximum(part * peer_scale, least) for part in _FLOORS]
    of_days = [left, left - np.concatenate([r[k] for r, k in zip(rows, thin, strict=True)]) @ peers]
    rows_of = _Rows(time_s=time_s, is_last=is_last, form=form, step_s=step_s)
    scale = rows_of.sizes(both, of_days, floors)
    scale[:, :, few] = 1.5 * np.maximum(peer_scale, least)[few]
    own_weights, new = _learn_own(
        [alone_left, _less_peers(alone_left, rows, peers, peers_before)], thin, step_s, peer_most
    )
    new_last = [np.where(few, np.nan, part[is_last]) for part in new]
    new_scale = rows_of.sizes(new_last, new, (least, least))
    for family in (ALONE, PEERS):
        new_scale[family][:, few] = np.maximum(1.5 * _size(new[family]), least)[few]
    since = np.concatenate(
        [
            since_events(form, t, past.commands, v)[k]
            for (t, v, *_), k in zip(parts, thin, strict=True)
        ]
    )
    usual = _size(y[is_last] - np.nan_to_num(np.nanmedian(_some(y[is_last]), axis=0))) * spread
    explained = np.stack([1 - (_size(part) / usual) ** 2 for part in both])
    explained[:, few] = 0.0
    return Expectation(
        form=form,
        weights=weights,
        low=low,
        high=high,
        peer_weights=peers,
        peer_scale=peer_scale,
        peer_most=peer_most,
        has_peers=(peers != 0).any(axis=0),
        scale=scale,
        own_weights=own_weights,
        new_scale=new_scale,
        rounding=rounding,
        after=_after(since, left, np.median(scale[ALONE], axis=0), step_s),
        new_after=_after(since, new[ALONE], np.median(new_scale[ALONE], axis=0), step_s),
        explained=explained,
        is_constant=is_constant,
        least=np.nan_to_num(np.nanmin(_some(usable), axis=0)),
        greatest=np.nan_to_num(np.nanmax(_some(usable), axis=0)),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Rows:
    """The rows that are learnt from."""

    time_s: FloatArray
    is_last: BoolArray
    form: Form
    step_s: float

    def sizes(
        self,
        of_last: Sequence[FloatArray],
        of_days: Sequence[FloatArray],
        floors: Sequence[FloatArray],
    ) -> FloatArray:
        """float64[families, bins, c]: what is usual over a day, and more where it often is more."""
        at = self.time_s[self.is_last]
        found = [
            _finer(_sizes(last, at, self.form, floor), whole, self.time_s, self.form, self.step_s)
            for last, whole, floor in zip(of_last, of_days, floors, strict=True)
        ]
        return np.stack(found)


def _bounds(x: FloatArray, slow: slice) -> tuple[FloatArray, FloatArray]:
    low, high = x.min(axis=0), x.max(axis=0)
    # Beyond its end the drift goes on, for two days at most.
    low[slow], high[slow] = np.minimum(low[slow], -2.0), np.maximum(high[slow], 2.0)
    return low, high


def _in_units(
    weights: FloatArray, centre: FloatArray, spread: FloatArray, is_constant: BoolArray
) -> FloatArray:
    found = np.where(is_constant, 0.0, weights) * spread
    found[0] += centre
    return found


def _less_peers(
    alone_left: Sequence[FloatArray],
    rows: Sequence[FloatArray],
    peers: FloatArray,
    peers_before: FloatArray,
) -> list[FloatArray]:
    last = len(rows) - 1
    return [
        left - part @ (peers_before if k == last else peers)
        for k, (left, part) in enumerate(zip(alone_left, rows, strict=True))
    ]


def _learn_own(
    families: Sequence[Sequence[FloatArray]],
    thin: Sequence[IntArray],
    step_s: float,
    most: FloatArray,
) -> tuple[FloatArray, list[FloatArray]]:
    """Weights float64[2, LAGS, c], and innovations float64[n, c] on the rows learnt from."""
    weights, new = [], []
    for days in families:
        lags, target = [], []
        for left, k in zip(days, thin, strict=True):
            calm = running_median(left, median_rows(step_s))
            lags.append(past_means(calm, step_s, most)[k])
            calm[~recently_known(np.isfinite(calm))] = np.nan
            target.append(calm[k])
        x, y = np.concatenate(lags), np.concatenate(target)
        weights.append(own_autoregression(x, y))
        new.append(y - np.einsum("nlc,lc->nc", x, weights[-1]))
    return np.stack(weights), new


def _learn_alone(
    form: Form, x: FloatArray, y: FloatArray, day_of: IntArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Weights float64[f, c], what they leave, and the weights that were learnt without the last
    day.
    """
    last = int(day_of[-1])
    is_last = day_of == last
    own = _own_columns(form, x.shape[1], y.shape[1])
    rooted = Grams.of(x, day_of)
    variants = _VARIANTS if last >= 2 else _VARIANTS[:1]
    error = np.full(y.shape[1], np.inf)
    choice = np.zeros(y.shape[1], np.int64)
    before = np.zeros((x.shape[1], y.shape[1]))
    low, high = x[~is_last].min(axis=0), x[~is_last].max(axis=0)
    inside = np.clip(x[is_last], low, high)
    ages = np.arange(last + 1)
    for number, (is_slow, half_life) in enumerate(variants):
        weight = np.where(ages < last, 0.5 ** ((last - 1 - ages) / half_life), 0.0)
        weights = rooted.ridge(y, weight, _allowed(form, own, is_slow=is_slow))
        size = _size(y[is_last] - inside @ weights)
        better = size < _BETTER * error
        choice[better], error[better] = number, size[better]
        before[:, better] = weights[:, better]
    final, left_all = np.zeros((x.shape[1], y.shape[1])), np.full_like(y, np.nan)
    for number, (is_slow, half_life) in enumerate(variants):
        mine = choice == number
        if mine.any():
            weight = 0.5 ** ((last - ages) / half_life)
            allowed = _allowed(form, own, is_slow=is_slow)[:, mine]
            final[:, mine] = rooted.ridge(y[:, mine], weight, allowed)
            left_all[:, mine] = y[:, mine] - x @ final[:, mine]
    return final, left_all, before


def _allowed(form: Form, own: BoolArray, *, is_slow: bool) -> BoolArray:
    if is_slow:
        return own
    found = own.copy()
    found[form.slow] = False
    return found


def _learn_peers(
    z: FloatArray, target: FloatArray, is_last: BoolArray, is_left_out: BoolArray
) -> tuple[FloatArray, FloatArray]:
    """Weights float64[c * lags, c], 0 where peers do not help, and those without the last day.

    Args:
        z: float64[n, c * lags], of :func:`peer_columns`.
        target: float64[n, c], what is left of each channel in its size.
        is_last: bool[n], rows to try on.
        is_left_out: bool[c]: channels that neither explain nor are explained.
    """
    c = target.shape[1]
    allowed = np.tile(~np.eye(c, dtype=np.bool_) & ~is_left_out[:, None], (len(PEER_LAGS_S), 1))
    grams = Grams.of(z, is_last.astype(np.int64))
    before = grams.ridge(target, np.array([1.0, 0.0]), allowed, ridge=_PEER_RIDGE)
    said = z[is_last] @ before
    gain = 1 - (_size(target[is_last] - said) / _size(target[is_last])) ** 2
    helps = (gain > _LEAST_GAIN) & ~is_left_out
    weights = grams.ridge(target, np.ones(2), allowed, ridge=_PEER_RIDGE)
    weights[:, ~helps] = 0
    before[:, ~helps] = 0
    return weights, before


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
        _knots(usable, step_s, p, int(np.clip(round(p / _KNOT_S), _KNOTS[0], min(_KNOTS[1], most))))
        if k == 0
        else tuple((np.arange(_SECOND_KNOTS) / _SECOND_KNOTS).tolist())
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


def _knots(usable: FloatArray, step_s: float, period_s: float, count: int) -> tuple[float, ...]:
    """Half of the entries evenly, the other half where the mean cycle of channels bends most."""
    bins = int(np.clip(period_s / step_s, count, 8 * count))
    part = standardised(usable)
    bin_of = ((np.arange(len(part)) * step_s / period_s) % 1.0 * bins).astype(np.int64)
    seen = np.maximum(np.bincount(bin_of, minlength=bins), 1)
    cycle = np.stack([np.bincount(bin_of, weights=v, minlength=bins) / seen for v in part.T])
    bend = np.abs(np.roll(cycle, 1, axis=1) - 2 * cycle + np.roll(cycle, -1, axis=1)).sum(axis=0)
    sharp = np.sqrt(np.maximum(bend - 2 * np.median(bend), 0.0))
    wanted = np.full(bins, 1.0 / bins)
    if sharp.any():
        # An edge lies beside the bin that bends.
        sharp = sharp + np.roll(sharp, 1) + np.roll(sharp, -1)
        wanted = 0.5 * wanted + 0.5 * sharp / sharp.sum()
    at = np.searchsorted(np.cumsum(wanted), (np.arange(count) + 0.5) / count)
    return tuple((np.unique(np.minimum(at, bins - 1)) / bins).tolist())


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
    turn = np.asarray(np.arange(len(coarse)) * step / first, np.float64)
    x = hats(turn, np.arange(knots) / knots)
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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Grams:
    """Ridge regressions of many targets on the same columns, days weighted one way or another.

    Attributes:
        x: float64[n, f], each column in its usual size.
        day_of: int64[n], ascending from 0.
        size: float64[f], of columns.
        of_day: float64[days, f, f], sums of products.
    """

    x: FloatArray
    day_of: IntArray
    size: FloatArray
    of_day: FloatArray

    @classmethod
    def of(cls, x: FloatArray, day_of: IntArray) -> Grams:
        """Of columns and days; a column that is always 0 is never used."""
        size = np.sqrt(np.maximum((x**2).mean(axis=0), 1e-12))
        scaled = x / size
        ends = np.searchsorted(day_of, np.arange(int(day_of.max()) + 2))
        of_day = np.stack([scaled[a:b].T @ scaled[a:b] for a, b in pairwise(ends)])
        return cls(x=scaled, day_of=day_of, size=size, of_day=of_day)

    def ridge(
        self, y: FloatArray, weight: FloatArray, allowed: BoolArray, *, ridge: float = _RIDGE
    ) -> FloatArray:
        """float64[f, c]: ridge regression with Huber's pseudo-values; NaN in ``y`` is missing.

        Args:
            y: float64[n, c].
            weight: float64[days]; days of weight 0 do not matter.
            allowed: bool[f, c], what may explain what.
        """
        rows = np.flatnonzero(weight[self.day_of] > 0)
        if len(rows) == len(y):
            x, own = self.x, weight[self.day_of][:, None]
        else:
            x, own, y = self.x[rows], weight[self.day_of[rows]][:, None], y[rows]
        gram = np.tensordot(weight, self.of_day, axes=1)
        gram[np.diag_indices_from(gram)] += ridge * len(x)
        found = np.zeros((x.shape[1], y.shape[1]))
        is_known = np.isfinite(y)
        patterns, of = np.unique(allowed, axis=1, return_inverse=True)
        of = of.ravel()
        factors = []
        for k in range(patterns.shape[1]):
            some = np.flatnonzero(patterns[:, k])
            if len(some):
                factor = cho_factor(gram[np.ix_(some, some)], check_finite=False)
                factors.append((some, np.flatnonzero(of == k), factor))
        fitted = np.zeros_like(y)
        for round_ in range(_ROUNDS):
            left = np.where(is_known, y - fitted, 0.0)
            if round_:
                every = max(len(y) // _SIZE_ROWS, 1)
                sizes = _size(np.where(is_known[::every], left[::every], np.nan))
                most = np.maximum(_HUBER * sizes, 1e-9)
                left = np.clip(left, -most, most)
            moment = x.T @ (left * own)
            for some, mine, factor in factors:
                penalty = ridge * len(x) * found[np.ix_(some, mine)]
                found[np.ix_(some, mine)] += cho_solve(
                    factor, moment[np.ix_(some, mine)] - penalty, check_finite=False
                )
            fitted = x @ found
        weights: FloatArray = found / self.size[:, None]
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


def _finer(
    sizes: FloatArray, left: FloatArray, time_s: FloatArray, form: Form, step_s: float
) -> FloatArray:
    """float64[bins, c]: sizes, and more in bins of phase where it was more again and again.

    Edges come once in a cycle and last a row or two. What counts is the mean square in every second
    cycle or that in the others, whichever is less: what happened once is no usual size.
    """
    if not form.periods_s:
        return sizes
    period_s = form.periods_s[0]
    bins = int(np.clip(period_s / max(_PHASE_S, 2 * step_s), _PHASES, _MOST_PHASES))
    turn = time_s / period_s
    bin_of = np.minimum(((turn % 1.0) * bins).astype(np.int64), bins - 1)
    squares = np.where(np.isfinite(left), left**2, 0.0)
    known = np.isfinite(left).astype(np.float64)
    parts = []
    for odd in (0, 1):
        mine = turn.astype(np.int64) % 2 == odd
        pick = csr_matrix(
            (np.ones(int(mine.sum())), (bin_of[mine], np.flatnonzero(mine))), (bins, len(left))
        )
        parts.append((pick @ squares) / np.maximum(pick @ known, 1.0))
    again = np.sqrt(np.minimum(*parts))
    again = np.maximum(again, np.maximum(np.roll(again, 1, axis=0), np.roll(again, -1, axis=0)))
    coarse = sizes[np.arange(bins) * len(sizes) // bins]
    found: FloatArray = np.maximum(coarse, again)
    return found


def _after(since: FloatArray, left: FloatArray, usual: FloatArray, step_s: float) -> FloatArray:
    """float64[2, events, c]: root mean square of what was left at once and soon after; 0 where it
    was usual.
    """
    found = np.zeros((2, since.shape[1], left.shape[1]))
    at_once, soon = after_s(step_s)
    for k in range(since.shape[1]):
        for part, (low, high) in enumerate(((0.0, at_once), (at_once, soon / 2))):
            rows = (since[:, k] >= low) & (since[:, k] < high)
            known = np.isfinite(left[rows]).sum(axis=0)
            size = np.sqrt(np.nansum(left[rows] ** 2, axis=0) / np.maximum(known, 1))
            found[part, k] = np.where(size > 1.3 * usual, size, 0.0)
    return found


def _centre(usable: FloatArray) -> tuple[FloatArray, FloatArray, BoolArray]:
    part = _some(usable)
    middle = np.nanmedian(part, axis=0)
    low, high = np.nanmin(part, axis=0), np.nanmax(part, axis=0)
    spread = np.nanstd(part, axis=0)
    is_constant = ~(high - low > 1e-12 * np.maximum(np.abs(middle), 1.0))
    return middle, np.where(is_constant, 1.0, spread), is_constant
