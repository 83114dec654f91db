"""What a score means: how rare it is among the normal blocks of its own series.

Of many series side by side, in arrays, changed in place. Scores become rarities block after block,
by tails of several shapes. What is learnt from is cut off above at the level that one block in
``10**rarity`` passes. Its L-moments are those of a generalised extreme value distribution (GEV)
that is cut off there, so matching these, not those of the whole GEV, leaves no bias. And a shape
cannot be read off some dozens of maxima: the table has a row for each of some shapes, with what is
needed to say how likely a sample is under it, and what location and scale it would mean.

The plain specification, one series in Python, is ``tests/perceive/normal/plain_calibration.py``.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from numba import types

from sightline.errors import LogError, UsageError
from sightline.perceive.compiled import inner_loop, kernel, warm
from sightline.records.detections import BoolArray
from sightline.records.windows import FloatArray, IntArray

Float32Array = npt.NDArray[np.float32]

MAX_RARITY = 300.0
"""Greatest rarity that is told: what is rarer has it too."""
MAX_SCORE = 1e30
"""A block with a greater score is never learnt (maxima are kept as float32)."""
SHAPES = tuple(i / 20 for i in range(11))
"""ξ, 0 to 0.5: never negative, and finite variance, a tail that ends cannot be known from data."""
(
    SHAPE,
    CUT_L1,
    CUT_L2,
    CUT_L3,
    WHOLE_L1,
    WHOLE_L2,
    WHOLE_L3,
    VARIANCE,
    SLOPE_L1,
    SLOPE_L2,
    WIDENING,
) = range(11)
COLUMNS = 11
GUMBEL_SKEWNESS = 2 * math.log(3) / math.log(2) - 3
"""L-skewness of the Gumbel distribution, for maxima that say nothing about it."""

_LEAST_Y = -3.5  # of the Gumbel distribution a share of 4e-15 is below
_STEPS = 4096
_WIDENED_AT = math.log(1e4)
MAXIMUM, L1, L2, SKEWNESS, FLOOR, REFERENCE_L1, REFERENCE_L2, EVIDENCE = range(8)
NUMBERS = 8
"""Of a series, float64: greatest score of the block, the fit, the fit that drift counts from, and
evidence of a change. FLOOR: at or below it the rarity is 0; NaN while nothing is known."""
ROWS, IN_BLOCK, KNOWN, LEARNT, WAITING, IN_DOUBT, HELD = range(7)
COUNTS = 7
"""Of a series, int64: rows; those of this block, and known ones; maxima learnt since it began;
maxima that wait to be learnt, or in doubt to be accepted; 1 in doubt; suspicious blocks ever."""
BLOCK_ROWS, LEAST_BLOCKS, CONFIRM_BLOCKS = range(3)
SUSPICIOUS, ALLOWANCE, DOUBT, MOST_DRIFT, LEAST_SCALE = range(5)
WEIGHT, LOCATION, SCALE, TAIL = range(4)

FLOOR_RATE = 40.0
"""Where so many maxima are expected in a block, 1 - exp(-rate) is 1 in floating point."""

_V = types.Array(types.float64, 1, "C", readonly=True)
_T = types.Array(types.float64, 2, "C", readonly=True)
_I = types.Array(types.int64, 1, "C", readonly=True)
_NUMBERS = types.Array(types.float64, 2, "C")
_COUNTS = types.Array(types.int64, 2, "C")
_MAXIMA = types.Array(types.float32, 2, "C")


def shape_table(rarity: float) -> FloatArray:
    """float64[shapes, COLUMNS]; everything of the standard GEV, location 0 and scale 1.

    Args:
        rarity: maxima are held back above the level that a share of ``10**-rarity`` passes.

    Columns: SHAPE ξ. CUT_L1..3: first L-moments of what is below the level. WHOLE_L1..3: of
    everything. VARIANCE: n times that of the L-skewness of n maxima below the level. SLOPE_L1,
    SLOPE_L2: regression of the sample's first two L-moments on its L-skewness (Hosking 1990,
    "L-moments: analysis and estimation of distributions using linear combinations of order
    statistics", theorem 3, for the covariances; by their influence functions). WIDENING: n times
    what is added to ξ because the scale is not known either: for ξ = 0 and a scale with a variance
    of v / n the expected share above z is (1 + z v / n)^(-n / v), a GEV tail of shape v / n; for
    ξ > 0 the same to second order at the level passed once in 10^4 blocks.

    >>> table = shape_table(2.0)
    >>> table[0, [WHOLE_L1, WHOLE_L2]].round(4).tolist()  # Euler's constant, ln 2
    [0.5772, 0.6931]
    """
    kept = 1 - 10.0**-rarity
    edge = np.linspace(_LEAST_Y, -math.log(-math.log(kept)), _STEPS + 1)
    middle = (edge[1:] + edge[:-1]) / 2
    below = np.exp(-np.exp(-edge)) / kept
    share = np.diff(below)
    share /= share.sum()
    rank = np.exp(-np.exp(-middle)) / kept
    weights = np.stack([np.ones_like(rank), 2 * rank - 1, (6 * rank - 6) * rank + 1])
    table = np.empty((len(SHAPES), COLUMNS))
    for row, shape in zip(table, SHAPES, strict=True):
        x, x_edge = _quantile(middle, shape), _quantile(edge, shape)
        cut = (weights * x * share).sum(axis=1)
        influence = np.cumsum(weights * np.diff(x_edge), axis=1)
        influence -= (influence * share).sum(axis=1)[:, None]
        l1, l2, l3 = influence
        skewness = (l3 - cut[2] / cut[1] * l2) / cut[1]
        variance = float((skewness**2 * share).sum())
        slope1, slope2 = ((moment * skewness * share).sum() / variance for moment in (l1, l2))
        rest = float((((l2 - slope2 * skewness) / cut[1]) ** 2 * share).sum())
        row[SHAPE] = shape
        row[CUT_L1 : CUT_L3 + 1] = cut
        row[WHOLE_L1 : WHOLE_L3 + 1] = _whole(shape)
        row[VARIANCE], row[SLOPE_L1], row[SLOPE_L2] = variance, slope1, slope2
        row[WIDENING] = rest * _widening(shape)
    return table


def _quantile(y: FloatArray, shape: float) -> FloatArray:
    found: FloatArray = y if shape == 0 else np.expm1(shape * y) / shape
    return found


def _whole(shape: float) -> tuple[float, float, float]:
    """L-moments of the standard GEV (Hosking, Wallis and Wood 1985)."""
    if shape == 0:
        return 0.5772156649015329, math.log(2), math.log(2) * GUMBEL_SKEWNESS
    gamma = math.gamma(1 - shape)
    l2 = gamma * (2**shape - 1) / shape
    return (gamma - 1) / shape, l2, l2 * (2 * (3**shape - 1) / (2**shape - 1) - 3)


def _widening(shape: float) -> float:
    if shape == 0:
        return 1.0
    z = math.expm1(shape * _WIDENED_AT) / shape
    by_scale = 0.5 * (z / (1 + shape * z)) ** 2
    by_shape = math.log1p(shape * z) / shape**2 - z / (shape * (1 + shape * z))
    return by_scale / by_shape


@inner_loop
def mixture(  # noqa: PLR0917 - compiled functions take no keywords
    fit: FloatArray, learnt: int, blocks: int, least: int, table: FloatArray, into: FloatArray
) -> None:
    """Tails of all shapes, weighed by how likely they make the fit, into float64[shapes, 4].

    Of each tail its WEIGHT, LOCATION, SCALE and shape (TAIL).
    """
    whole = max(least - (learnt - blocks), 0) / blocks
    greatest = -math.inf
    for j in range(len(table)):
        row = table[j]
        l2 = row[CUT_L2] + whole * (row[WHOLE_L2] - row[CUT_L2])
        l3 = row[CUT_L3] + whole * (row[WHOLE_L3] - row[CUT_L3])
        variance = row[VARIANCE] / blocks
        gap = fit[SKEWNESS] - l3 / l2
        into[j, WEIGHT] = -0.5 * (gap * gap / variance + math.log(variance))
        greatest = max(greatest, into[j, WEIGHT])
        reach = 2.0 * math.sqrt(variance)
        gap = min(max(gap, -reach), reach)
        l1 = row[CUT_L1] + whole * (row[WHOLE_L1] - row[CUT_L1]) + row[SLOPE_L1] * gap
        into[j, SCALE] = fit[L2] / max(l2 + row[SLOPE_L2] * gap, 0.5 * l2)
        into[j, LOCATION] = fit[L1] - into[j, SCALE] * l1
        into[j, TAIL] = row[SHAPE] + row[WIDENING] / blocks
    total = 0.0
    for j in range(len(table)):
        into[j, WEIGHT] = math.exp(into[j, WEIGHT] - greatest)
        total += into[j, WEIGHT]
    for j in range(len(table)):
        into[j, WEIGHT] /= total


@inner_loop
def rarity(score: float, tails: FloatArray) -> float:
    """-log10 of the share of maxima at or above a score, 0 to MAX_RARITY."""
    share = 0.0
    for j in range(len(tails)):
        beyond = tails[j, TAIL] * ((score - tails[j, LOCATION]) / tails[j, SCALE])
        if beyond > -1.0:
            rate = math.exp(min(-math.log1p(beyond) / tails[j, TAIL], 700.0))
            share -= tails[j, WEIGHT] * math.expm1(-rate)
        else:
            share += tails[j, WEIGHT]
    if share >= 1.0:
        return 0.0
    return min(-math.log10(share), MAX_RARITY) if share > 0.0 else MAX_RARITY


@inner_loop
def floor_of(tails: FloatArray) -> float:
    """The score at which every tail has a rate of FLOOR_RATE or more."""
    found = math.inf
    for j in range(len(tails)):
        shape = tails[j, TAIL]
        reduced = math.expm1(-shape * math.log(FLOOR_RATE)) / shape
        found = min(found, tails[j, LOCATION] + tails[j, SCALE] * reduced)
    return found


@inner_loop
def fit_to(maxima: Float32Array, least_scale: float, fit: FloatArray) -> None:
    """Sample L-moments of float32[blocks], into the fit."""
    ordered = np.sort(maxima)
    n = len(ordered)
    b0, b1, b2 = 0.0, 0.0, 0.0
    for i in range(n):
        value = float(ordered[i])
        b0 += value
        b1 += value * i
        b2 += value * i * (i - 1)
    b0 /= n
    b1 /= n * (n - 1.0)
    b2 /= n * (n - 1.0) * (n - 2.0)
    l2 = 2.0 * b1 - b0
    fit[L1] = b0
    if l2 < least_scale:
        fit[L2], fit[SKEWNESS] = least_scale, GUMBEL_SKEWNESS
    else:
        fit[L2], fit[SKEWNESS] = l2, (6.0 * b2 - 6.0 * b1 + b0) / l2


@inner_loop
def end_block(  # noqa: PLR0917 - compiled functions take no keywords
    row: int,
    ints: IntArray,
    reals: FloatArray,
    table: FloatArray,
    numbers: FloatArray,
    counts: IntArray,
    maxima: Float32Array,
    waiting: Float32Array,
    tails: FloatArray,
) -> None:
    """Learn the block that ended, let it wait, or keep it apart."""
    number, count = numbers[row], counts[row]
    maximum, known = number[MAXIMUM], count[KNOWN]
    count[IN_BLOCK] = count[KNOWN] = 0
    number[MAXIMUM] = -math.inf
    if 2 * known < ints[BLOCK_ROWS]:
        return
    may_learn = abs(maximum) <= MAX_SCORE
    room = waiting.shape[1]
    if count[LEARNT] >= ints[LEAST_BLOCKS]:
        found = 0.0
        if maximum > number[FLOOR]:
            current(number, count, ints, table, maxima, tails)
            found = rarity(maximum, tails)
        rise = min(found, reals[SUSPICIOUS]) - reals[ALLOWANCE]
        number[EVIDENCE] = min(max(number[EVIDENCE] + rise, 0.0), reals[DOUBT])
        if number[EVIDENCE] == 0.0:
            if count[IN_DOUBT] == 1:
                count[IN_DOUBT] = count[WAITING] = 0
        elif number[EVIDENCE] == reals[DOUBT] or count[WAITING] >= room - 1:
            # The last place is for the block after which all that waits is learnt.
            count[IN_DOUBT] = 1
        if found >= reals[SUSPICIOUS]:
            count[HELD] += 1
        if count[IN_DOUBT] == 0:
            may_learn &= found < reals[SUSPICIOUS] and not has_drifted(number, reals)
    if may_learn:
        waiting[row, count[WAITING] % room] = maximum
        count[WAITING] += 1
    if count[IN_DOUBT] == 0 and number[EVIDENCE] == 0.0 and count[WAITING] > 0:
        for i in range(count[WAITING]):
            maxima[row, count[LEARNT] % maxima.shape[1]] = waiting[row, i]
            count[LEARNT] += 1
        count[WAITING] = 0
        if count[LEARNT] >= ints[LEAST_BLOCKS]:
            refit(row, ints, reals, table, numbers, counts, maxima, tails)


@inner_loop
def has_drifted(number: FloatArray, reals: FloatArray) -> bool:
    return bool(number[L1] - number[REFERENCE_L1] > reals[MOST_DRIFT] * number[REFERENCE_L2])


@inner_loop
def current(  # noqa: PLR0917 - compiled functions take no keywords
    number: FloatArray,
    count: IntArray,
    ints: IntArray,
    table: FloatArray,
    maxima: Float32Array,
    tails: FloatArray,
) -> None:
    """The tails of a series, into ``tails``."""
    blocks = min(count[LEARNT], maxima.shape[1])
    mixture(number, count[LEARNT], blocks, ints[LEAST_BLOCKS], table, tails)


@inner_loop
def refit(  # noqa: PLR0917 - compiled functions take no keywords
    row: int,
    ints: IntArray,
    reals: FloatArray,
    table: FloatArray,
    numbers: FloatArray,
    counts: IntArray,
    maxima: Float32Array,
    tails: FloatArray,
) -> None:
    number, count = numbers[row], counts[row]
    blocks = min(count[LEARNT], maxima.shape[1])
    fit_to(maxima[row, :blocks], reals[LEAST_SCALE], number)
    current(number, count, ints, table, maxima, tails)
    number[FLOOR] = floor_of(tails)
    if math.isnan(number[REFERENCE_L1]):
        number[REFERENCE_L1], number[REFERENCE_L2] = number[L1], number[L2]


@kernel(_I, _I, _V, _I, _V, _T, _NUMBERS, _COUNTS, _MAXIMA, _MAXIMA)
def followed(  # noqa: PLR0917 - compiled functions take no keywords
    series: IntArray,
    lengths: IntArray,
    scores: FloatArray,
    ints: IntArray,
    reals: FloatArray,
    table: FloatArray,
    numbers: FloatArray,
    counts: IntArray,
    maxima: Float32Array,
    waiting: Float32Array,
) -> FloatArray:
    """The rarity of each score of many series, while blocks that end are learnt or held back.

    Args:
        series: int64[k], rows of the state.
        lengths: int64[k], new scores of each.
        scores: float64[sum of lengths], series after series.
        ints: int64[3], ``block_rows``, ``least_blocks``, ``confirm_blocks``.
        reals: float64[5], ``suspicious_rarity``, ``allowance``, ``doubt``, ``most_drift``,
            ``least_scale``.
        table: float64[shapes, COLUMNS] of :func:`shape_table`.
        numbers: float64[rows, NUMBERS], written to.
        counts: int64[rows, COUNTS], written to.
        maxima: float32[rows, kept_blocks], the newest that were learnt, a ring, written to.
        waiting: float32[rows, least_blocks], those that wait, in doubt a ring, written to.

    Returns:
        float64[sum of lengths], rarities.
    """
    found = np.empty(len(scores))
    tails = np.empty((len(table), 4))
    at = 0
    for k in range(len(series)):
        row = series[k]
        number, count = numbers[row], counts[row]
        end = at + lengths[k]
        count[ROWS] += lengths[k]
        has_tails = False
        while at < end:
            piece = min(end - at, ints[BLOCK_ROWS] - count[IN_BLOCK])
            floor = number[FLOOR]
            maximum = number[MAXIMUM]
            known = 0
            for i in range(at, at + piece):
                score = scores[i]
                if math.isnan(score):
                    found[i] = math.nan
                    continue
                known += 1
                maximum = max(maximum, score)
                if score > floor:
                    if not has_tails:
                        current(number, count, ints, table, maxima, tails)
                        has_tails = True
                    found[i] = rarity(score, tails)
                else:
                    found[i] = math.nan if math.isnan(floor) else 0.0
            number[MAXIMUM] = maximum
            count[KNOWN] += known
            count[IN_BLOCK] += piece
            at += piece
            if count[IN_BLOCK] == ints[BLOCK_ROWS]:
                end_block(row, ints, reals, table, numbers, counts, maxima, waiting, tails)
                has_tails = False
    return found


@kernel(_I, _I, _V, _T, _NUMBERS, _COUNTS, _MAXIMA, _MAXIMA, types.Array(types.boolean, 1, "C"))
def accepted(  # noqa: PLR0917 - compiled functions take no keywords
    series: IntArray,
    ints: IntArray,
    reals: FloatArray,
    table: FloatArray,
    numbers: FloatArray,
    counts: IntArray,
    maxima: Float32Array,
    waiting: Float32Array,
    into: BoolArray,
) -> None:
    """Begin again with what waits in doubt, or count drift from here; which, into bool[k]."""
    tails = np.empty((len(table), 4))
    for k in range(len(series)):
        row = series[k]
        number, count = numbers[row], counts[row]
        n = waiting.shape[1]
        if count[IN_DOUBT] == 1 and count[WAITING] >= ints[CONFIRM_BLOCKS]:
            for i in range(n):
                maxima[row, i] = waiting[row, (count[WAITING] + i) % n]
            count[LEARNT] = n
            count[IN_DOUBT] = count[WAITING] = 0
            number[EVIDENCE] = 0.0
        elif not has_drifted(number, reals):
            into[k] = False
            continue
        number[REFERENCE_L1] = math.nan
        refit(row, ints, reals, table, numbers, counts, maxima, tails)
        into[k] = True


# --- the bank -------------------------------------------------------------------------------------

MAX_BLOCKS = 1 << 12
"""Maxima kept of one series, and held-back ones; more is a UsageError."""
MAX_BLOCK_ROWS = 1 << 31
"""Rows of a block; more is a UsageError."""

Scalar = TypeVar("Scalar", bound=np.generic)

_STATE = ("numbers", "counts", "maxima", "waiting")


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationSettings:
    """How rare a score is among the blocks of a series that were normal.

    Attributes:
        block_rows: rows of a block (a day, an hour). Long enough that maxima of neighbours hardly
            depend on each other, and that every block is like every other.
        least_blocks: learnt maxima until something is known. They are taken as they come: whoever
            begins must begin with normal data. 10 or more.
        kept_blocks: the newest learnt maxima count, so a slow drift of healthy scores is followed.
        suspicious_rarity: a block whose maximum is as rare as this, or rarer, is never learnt.
            What healthy series lose by that, a share of ``10**-suspicious_rarity`` of their
            blocks, the fit expects.
        allowance: rarity that blocks may have on average; healthy ones have 1 / ln 10 = 0.43. What
            is more adds up as evidence of a change, what is less takes away, never below 0 (CUSUM;
            Page 1954, "Continuous inspection schemes"). While there is evidence blocks wait to be
            learnt, so that an anomaly which is not suspicious in any one block is not learnt.
        doubt: from so much evidence on nothing is learnt, and what waits is not, until there is no
            evidence left. One block adds at most ``suspicious_rarity - allowance``. The same if
            ``least_blocks`` of them wait.
        confirm_blocks: after so many blocks in doubt the state says ``needs_confirmation``. They
            are not learnt then either: only a person can say that this is normal now.
        most_drift: how far the mean maximum may rise above that of the first calibration, or of
            the last one that was accepted, in L-scales of that one. Beyond it learning stops and
            the state says ``needs_confirmation``: slow poison is no drift. A fall has no limit.
        least_scale: floor of the L-scale of the maxima, in the unit of the score: of a score that
            never moved, what would count as a change.
    """

    block_rows: int = 3600
    least_blocks: int = 20
    kept_blocks: int = 200
    suspicious_rarity: float = 2.0
    allowance: float = 0.9
    doubt: float = 4.0
    confirm_blocks: int = 20
    most_drift: float = 4.0
    least_scale: float = 0.01

    def __post_init__(self) -> None:
        is_sound = (
            1 <= self.block_rows <= MAX_BLOCK_ROWS
            and 10 <= self.least_blocks <= self.kept_blocks <= MAX_BLOCKS
            and self.least_blocks <= self.confirm_blocks <= self.kept_blocks
            and 1.0 <= self.suspicious_rarity <= 6.0
            and 1 / math.log(10) < self.allowance < self.suspicious_rarity
            and 0 < self.doubt < math.inf
            and 0 < self.most_drift < math.inf
            and 1e-6 <= self.least_scale < math.inf
        )
        if not is_sound:
            raise UsageError(
                expected="10 <= least_blocks <= confirm_blocks <= kept_blocks "
                f"<= {MAX_BLOCKS}, a suspicious rarity of 1 to 6, an allowance between 0.44 and "
                f"that, block_rows of 1 to {MAX_BLOCK_ROWS}, and the rest above 0",
                got=str(self),
                where="CalibrationSettings",
                action="see its docstring",
            )

    def as_mapping(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


class CalibrationBank:
    """What scores mean: how rare each is among the normal blocks of its own series.

    A rarity is -log10 of the expected share of blocks whose maximum is at least the score. It is a
    prediction, not a best fit: the tail is averaged over the shapes that the maxima allow, and is
    wider the fewer they are. A score is judged by the blocks that ended before its own. Maxima are
    rounded to float32 when they are learnt.

    When not to use it: where the first ``least_blocks`` may hold an anomaly (they are learnt as
    they come); for scores with an upper bound, such as probabilities (no tail is believed to end,
    so none is ever rare); where healthy maxima move by more than half a deviation in
    ``kept_blocks`` (then keep fewer).

    Memory of a series: 120 bytes and 4 for each of ``kept_blocks + least_blocks``.

    Args:
        settings: of all series.
        max_series: bound; more is a UsageError.

    >>> bank = CalibrationBank(CalibrationSettings(block_rows=10), max_series=4)
    >>> bank.grow(1)
    >>> only, rng = np.zeros(1, np.int64), np.random.default_rng(0)
    >>> _ = bank.follow(only, np.array([2000]), rng.exponential(size=2000))
    >>> bank.follow(only, np.array([3]), np.array([0.1, 9.0, np.nan])).round(1).tolist()
    [0.0, 2.1, nan]
    """

    def __init__(self, settings: CalibrationSettings, *, max_series: int) -> None:
        warm(__name__)
        self.settings = settings
        self._max_series = max_series
        self._table = shape_table(settings.suspicious_rarity)
        self._ints = np.array(
            [
                settings.block_rows,
                settings.least_blocks,
                settings.confirm_blocks,
            ],
            np.int64,
        )
        self._reals = np.array(
            [
                settings.suspicious_rarity,
                settings.allowance,
                settings.doubt,
                settings.most_drift,
                settings.least_scale,
            ]
        )
        self._count = 0
        self._numbers = np.empty((0, NUMBERS))
        self._counts = np.empty((0, COUNTS), np.int64)
        self._maxima = np.empty((0, settings.kept_blocks), np.float32)
        self._waiting = np.empty((0, settings.least_blocks), np.float32)

    def __len__(self) -> int:
        return self._count

    def grow(self, count: int) -> None:
        """Add ``count`` series of which nothing is known.

        Raises:
            UsageError: less than 0, or more series than ``max_series``.
        """
        wanted = self._count + count
        if count < 0 or wanted > self._max_series:
            raise UsageError(
                expected=f"at most {self._max_series} series",
                got=f"{self._count} and {count} more",
                where="CalibrationBank.grow",
                action="raise max_series, or calibrate fewer series",
            )
        if wanted > len(self._numbers):
            # Doubled, so that growing by one is not quadratic.
            room = min(max(wanted, 2 * len(self._numbers)), self._max_series)
            more = room - len(self._numbers)
            number = np.full(NUMBERS, np.nan)
            number[MAXIMUM] = -np.inf
            number[EVIDENCE] = 0.0
            self._numbers = np.concatenate([self._numbers, np.tile(number, (more, 1))])
            self._counts = _longer(self._counts, more)
            self._maxima = _longer(self._maxima, more)
            self._waiting = _longer(self._waiting, more)
        self._count = wanted

    def follow(self, series: IntArray, lengths: IntArray, scores: FloatArray) -> FloatArray:
        """The rarity of each score, while blocks that end are learnt or held back.

        Args:
            series: int64[k], ascending.
            lengths: int64[k], new rows of each.
            scores: float64[sum of lengths], series after series; NaN where none is known.

        Returns:
            float64[sum of lengths], 0 to 300; NaN where the score is, and while fewer than
            ``least_blocks`` blocks were learnt.

        Raises:
            UsageError: series that are not ascending or not there, lengths that do not fit.
        """
        series = np.ascontiguousarray(series, np.int64)
        lengths = np.ascontiguousarray(lengths, np.int64)
        self._check(series, "CalibrationBank.follow")
        if len(lengths) != len(series) or (lengths < 0).any() or lengths.sum() != len(scores):
            raise UsageError(
                expected=f"a length of 0 or more for each of {len(series)} series, and as many "
                "scores as their sum",
                got=f"{len(lengths)} lengths, of {int(lengths.sum())} rows, {len(scores)} scores",
                where="CalibrationBank.follow",
                action="give the scores series after series",
            )
        found: FloatArray = followed(
            series,
            lengths,
            np.ascontiguousarray(scores, np.float64),
            self._ints,
            self._reals,
            self._table,
            self._numbers,
            self._counts,
            self._maxima,
            self._waiting,
        )
        return found

    def accept(self, series: IntArray) -> BoolArray:
        """A person says that what these series do now is normal.

        Of a series in doubt, the newest ``least_blocks`` maxima replace all that was learnt. Of
        one that has drifted too far, what was learnt stays, and drift is counted from here. Series
        that wait for nothing are left as they are.

        Args:
            series: int64[k], ascending.

        Returns:
            bool[k]: which were waiting for this.

        Raises:
            UsageError: series that are not ascending or not there.
        """
        series = np.ascontiguousarray(series, np.int64)
        self._check(series, "CalibrationBank.accept")
        is_taken = np.zeros(len(series), np.bool_)
        accepted(
            series,
            self._ints,
            self._reals,
            self._table,
            self._numbers,
            self._counts,
            self._maxima,
            self._waiting,
            is_taken,
        )
        return is_taken

    # --- state ------------------------------------------------------------------------------------

    @property
    def rows(self) -> IntArray:
        """int64[n]: rows of each series so far."""
        return self._counts[: self._count, ROWS].copy()

    @property
    def is_known(self) -> BoolArray:
        """bool[n]: whether scores are judged."""
        known: BoolArray = np.isfinite(self._numbers[: self._count, FLOOR])
        return known

    @property
    def held_blocks(self) -> IntArray:
        """int64[n]: blocks that were suspicious, ever."""
        return self._counts[: self._count, HELD].copy()

    @property
    def is_in_doubt(self) -> BoolArray:
        """bool[n]: there is so much evidence of a change that nothing is learnt."""
        in_doubt: BoolArray = self._counts[: self._count, IN_DOUBT] == 1
        return in_doubt

    @property
    def drift(self) -> FloatArray:
        """float64[n]: rise of the mean maximum since the first or last accepted calibration.

        In L-scales of that one; NaN while nothing is known.
        """
        number = self._numbers[: self._count]
        drift: FloatArray = (number[:, L1] - number[:, REFERENCE_L1]) / number[:, REFERENCE_L2]
        return drift

    @property
    def needs_confirmation(self) -> BoolArray:
        """bool[n]: learning has stopped until :meth:`accept`, or until the blocks are as before.

        It has been in doubt for ``confirm_blocks``, or the series has drifted too far.
        """
        count = self._counts[: self._count]
        waits: BoolArray = (
            self.is_in_doubt & (count[:, WAITING] >= self.settings.confirm_blocks)
        ) | (self.drift > self.settings.most_drift)
        return waits

    def take_over(self, other: CalibrationBank, series: IntArray) -> None:
        """Let these series begin again where ``other`` has them.

        Args:
            other: of the same settings.
            series: int64[k], ascending, of both banks.

        Raises:
            UsageError: other settings, or series that are not there.
        """
        series = np.ascontiguousarray(series, np.int64)
        for bank in (self, other):
            bank._check(series, "CalibrationBank.take_over")
        if other.settings != self.settings:
            raise UsageError(
                expected=str(self.settings),
                got=str(other.settings),
                where="CalibrationBank.take_over",
                action="take over from a bank of the same settings",
            )
        self._numbers[series] = other._numbers[series]
        self._counts[series] = other._counts[series]
        self._maxima[series] = other._maxima[series]
        self._waiting[series] = other._waiting[series]

    # --- checkpoint -------------------------------------------------------------------------------

    def snapshot(self) -> dict[str, npt.NDArray[np.generic]]:
        """A copy of the state, for :meth:`restore`."""
        n = self._count
        return {
            "settings": np.frombuffer(self._digest(), np.uint8),
            "numbers": self._numbers[:n].copy(),
            "counts": self._counts[:n].copy(),
            "maxima": self._maxima[:n].copy(),
            "waiting": self._waiting[:n].copy(),
        }

    def restore(self, arrays: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Inverse of :meth:`snapshot`; nothing is changed if it fails.

        Raises:
            UsageError: state of other settings, or of more series than ``max_series``.
            LogError: no such state.
        """
        try:
            digest = arrays["settings"].tobytes()
            numbers = np.array(arrays["numbers"], np.float64, order="C")
            counts = np.array(arrays["counts"], np.int64, order="C")
            maxima = np.array(arrays["maxima"], np.float32, order="C")
            waiting = np.array(arrays["waiting"], np.float32, order="C")
        except KeyError as missing:
            raise LogError(
                expected=f"arrays settings, {', '.join(_STATE)}",
                got=f"no {missing}",
                where="CalibrationBank.restore",
                action="restore from a checkpoint of this version",
            ) from missing
        n = len(numbers)
        if digest != self._digest() or n > self._max_series:
            raise UsageError(
                expected=f"state of {self.settings}, of at most {self._max_series} series",
                got=f"{n} series, " + ("" if digest == self._digest() else "of other settings"),
                where="CalibrationBank.restore",
                action="restore with the settings of the run that wrote the checkpoint",
            )
        shapes = [a.shape for a in (numbers, counts, maxima, waiting)]
        wanted = [
            (n, NUMBERS),
            (n, COUNTS),
            (n, self.settings.kept_blocks),
            (n, self.settings.least_blocks),
        ]
        if shapes != wanted:
            raise LogError(
                expected=f"arrays of {wanted}",
                got=str(shapes),
                where="CalibrationBank.restore",
                action="restore from a checkpoint of this version",
            )
        self._count = n
        self._numbers, self._counts = numbers, counts
        self._maxima, self._waiting = maxima, waiting

    def _digest(self) -> bytes:
        plain = json.dumps(["calibration/1", self.settings.as_mapping()], sort_keys=True)
        return hashlib.sha256(plain.encode()).digest()

    def _check(self, series: IntArray, where: str) -> None:
        is_there = not len(series) or (
            series[0] >= 0 and series[-1] < self._count and (np.diff(series) > 0).all()
        )
        if not is_there:
            raise UsageError(
                expected=f"ascending numbers of the {self._count} series",
                got=str(series[:10].tolist()),
                where=where,
                action="grow the bank first, and give each series once",
            )


def _longer(rows: npt.NDArray[Scalar], more: int) -> npt.NDArray[Scalar]:
    return np.concatenate([rows, np.zeros((more, rows.shape[1]), rows.dtype)])
