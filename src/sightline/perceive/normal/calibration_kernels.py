"""Compiled: scores to rarities, block after block, by tails of several shapes.

What is learnt from is cut off above at the level that one block in ``10**rarity`` passes. Its
L-moments are those of a generalised extreme value distribution (GEV) that is cut off there, so
matching these, not those of the whole GEV, leaves no bias. And a shape cannot be read off some
dozens of maxima: the table has a row for each of some shapes, with what is needed to say how likely
a sample is under it, and what location and scale it would mean.

The plain specification, one series in Python, is ``tests/perceive/normal/plain_calibration.py``.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from numba import types

from sightline.perceive.compiled import inner_loop, kernel
from sightline.records.windows import FloatArray, IntArray

Float32Array = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]

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


@kernel(types.float64, _I, _T, _NUMBERS, _COUNTS, _MAXIMA)
def levels(  # noqa: PLR0917 - compiled functions take no keywords
    wanted: float,
    ints: IntArray,
    table: FloatArray,
    numbers: FloatArray,
    counts: IntArray,
    maxima: Float32Array,
) -> FloatArray:
    """float64[n]: the score of rarity ``wanted``; NaN while nothing is known."""
    found = np.full(len(numbers), np.nan)
    tails = np.empty((len(table), 4))
    for row in range(len(numbers)):
        low = numbers[row, FLOOR]
        if math.isnan(low):
            continue
        current(numbers[row], counts[row], ints, table, maxima, tails)
        high = low + numbers[row, L2]
        while rarity(high, tails) < wanted:
            high = low + 2.0 * (high - low)
        for _ in range(80):
            middle = 0.5 * (low + high)
            if rarity(middle, tails) < wanted:
                low = middle
            else:
                high = middle
        found[row] = high
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
