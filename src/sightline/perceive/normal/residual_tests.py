"""Tests of what an expectation leaves: far off, a step, a level, a swing, a tone; and of standing
still.

What is left comes in its usual size. Each statistic is 0 or more, grows with the evidence, is known
at the sample at which it stands, and looks back over its ``reach``. How great it gets on healthy
days is learnt elsewhere (:mod:`.tail_levels`). Squares of nearly normal numbers have exponential
tails, so all are squares.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from sightline.perceive.normal.innovations import (
    REACH_ROWS,
    held_squares,
    spread_squares,
    squares_along,
    step_trace,
)
from sightline.records.detections import BoolArray
from sightline.records.windows import FloatArray, IntArray

_PULLED_IN = 10.0
_STEP_MOST_S = 5400.0
_STEP_MOST_ROWS = 256
_LEVEL_S, _HELD_S = 1800.0, 7200.0
_HELD_ROWS = 60
"""So many of them, evenly over its window, say what is held."""
_HELD_SHARE = 0.4
"""Edges of shadows and what switches may be off in so many rows."""
_FAR_ROWS = 4
_SWING_MOST_S = 120.0
_SWINGS = 24
_CALM_SHARE = 0.3
"""What happens in fewer rows than these, on one side or the other, is no swing."""
_LEAST_SHARE = 0.4
_TONE_ROWS = 64
_TONE_LEAST_CYCLES = 4
_TONE_EVERY_ROWS = 4
_TONE_SHARE = 0.6
_LEVELS = {
    "step": (14.0, 150.0),
    "level": (1.5, 225.0),
    "held": (45.0, 45.0),
    "far": (1.5, 450.0),
    "swing": (9.0, 9.0),
    "tone": (10.5, 10.5),
}
"""The least that a level is, and how many times the greatest of healthy days."""
REACH_S = 21_600.0
"""No test looks back farther."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResidualTest:
    """One test.

    Attributes:
        name: ``step``, ``level``, ``held``, ``far``, ``swing`` or ``tone``.
        width: rows of its window.
        reach: rows that it looks back over.
    """

    name: str
    width: int
    reach: int

    @property
    def least_level(self) -> float:
        """A level is no less: smaller squares (of usual sizes) are errors of the model."""
        return _LEVELS[self.name][0]

    @property
    def reserve(self) -> float:
        """A level is so many times the greatest of healthy days, at the usual budget.

        What an expectation leaves for long has a thick tail, a quantile of many rows a thin one;
        what is far off for a few rows has the thickest, and is told when nobody would ask why.
        """
        return _LEVELS[self.name][1]

    @property
    def is_new(self) -> bool:
        """Whether it is of innovations, and not of all that an expectation leaves."""
        return self.name in ("step", "swing", "tone")


def residual_tests(step_s: float) -> tuple[ResidualTest, ...]:
    """The tests for rows ``step_s`` apart.

    >>> [(t.name, t.width) for t in residual_tests(30.0)][:4]
    [('step', 4), ('step', 16), ('step', 64), ('level', 60)]
    """
    tests = []
    width = 4
    while width * step_s <= _STEP_MOST_S and width <= _STEP_MOST_ROWS:
        tests.append(ResidualTest(name="step", width=width, reach=width + REACH_ROWS))
        width *= 4
    for name, width_s in (("level", _LEVEL_S), ("held", _HELD_S)):
        rows = max(round(width_s / step_s), 8)
        tests.append(ResidualTest(name=name, width=rows, reach=rows))
    tests.append(ResidualTest(name="far", width=_FAR_ROWS, reach=_FAR_ROWS))
    width = 1
    while width * step_s <= _SWING_MOST_S or width == 1:
        tests.append(
            ResidualTest(name="swing", width=width, reach=(_SWINGS + 1) * width + REACH_ROWS)
        )
        width *= 4
    tests.append(ResidualTest(name="tone", width=_TONE_ROWS, reach=_TONE_ROWS + REACH_ROWS))
    return tuple(dict.fromkeys(tests))


class Sums:
    """Running sums of n rows, so that the mean of any window costs two subtractions."""

    def __init__(self, values: FloatArray, share: FloatArray) -> None:
        known = np.isfinite(values)
        start = np.zeros((1, values.shape[1]))
        self._sum = np.concatenate([start, np.cumsum(np.where(known, values, 0.0), axis=0)])
        self._count = np.concatenate([start, np.cumsum(known, axis=0)])
        self._share = share

    def mean(self, width: int, back: int = 0) -> FloatArray:
        """float64[n, c]: mean over ``width`` rows that end ``back`` rows before each; NaN where too
        few are known.
        """
        n = len(self._sum) - 1
        end = np.maximum(np.arange(1, n + 1) - back, 0)
        begin = np.maximum(end - width, 0)
        count = self._count[end] - self._count[begin]
        enough = count >= np.maximum(_LEAST_SHARE * width * self._share, 1)
        with np.errstate(all="ignore"):
            found: FloatArray = np.where(
                enough, (self._sum[end] - self._sum[begin]) / count, np.nan
            )
        return found


def statistics(
    left: FloatArray,
    new: FloatArray,
    own_weights: FloatArray,
    tests: tuple[ResidualTest, ...],
    *,
    share: FloatArray,
    begin: int = 0,
) -> Iterator[tuple[ResidualTest, FloatArray]]:
    """Each test with its statistic.

    Args:
        left: float64[n, c], what is left, in its usual size; NaN is unknown.
        new: float64[n, c], innovations in their usual size.
        own_weights: float64[LAGS, c], which make of a step a trace of innovations.
        tests: of :func:`residual_tests`.
        share: float64[c], share of the rows that are usually known: of what was before, so that
            nothing hangs on rows that come later.
        begin: rows before it are not asked for.

    Yields:
        The test, and float64[n, c]; NaN where it knows too little.
    """
    pulled = np.clip(left, -_PULLED_IN, _PULLED_IN)
    news = np.clip(new, -_PULLED_IN, _PULLED_IN)
    for test in tests:
        w = test.width
        match test.name:
            case "step":
                yield test, squares_along(news, step_trace(own_weights, w), begin=begin)
            case "level":
                yield test, Sums(pulled, share).mean(w) ** 2
            case "held":
                count = min(w, _HELD_ROWS)
                yield (
                    test,
                    held_squares(
                        left, apart=w // count, count=count, share=_HELD_SHARE, begin=begin
                    ),
                )
            case "far":
                yield test, _least_on_one_side(left, w) ** 2
            case "tone":
                yield test, tone_squares(news, rows=w, begin=begin)
            case _:
                # What goes on in one direction is no swing: means next to each other differ by it.
                moves = Sums(news, share)
                turn = (moves.mean(w) - moves.mean(w, back=w)) * np.sqrt(0.5)
                yield (
                    test,
                    spread_squares(turn, apart=w, count=_SWINGS, share=_CALM_SHARE, begin=begin),
                )


def _least_on_one_side(left: FloatArray, rows: int) -> FloatArray:
    """float64[n, c]: how far off the least of the last rows is; 0 where not all are on one side.

    Nothing is pulled in: one row that is far out is none of four, and how far four are is told.

    >>> left = np.array([[1.0], [70.0], [60.0], [-80.0], [-90.0], [np.nan]])
    >>> _least_on_one_side(left, 2).ravel().tolist()
    [nan, 1.0, 60.0, 0.0, 80.0, nan]
    """
    above, below = left.copy(), -left
    above[: rows - 1] = np.nan
    for back in range(1, rows):
        above[back:] = np.minimum(above[back:], left[:-back])
        below[back:] = np.minimum(below[back:], -left[:-back])
    found: FloatArray = np.maximum(np.maximum(above, below), 0.0)
    return found


def tone_squares(new: FloatArray, *, rows: int, begin: int = 0) -> FloatArray:
    """float64[n, c]: the strongest line of the periodogram of the last rows (A. Schuster, 1898).

    Lines of fewer than four cycles are left out: what comes and goes once is no tone. Noise of size
    1 has lines of 1 on average.

    Args:
        new: float64[n, c]; NaN is unknown, and counts as 0.
        rows: that a look takes in; every fourth row has a look, which holds until the next.
        begin: rows before it are not asked for.

    Returns:
        NaN before ``begin`` and the first look, and where too few rows are known.

    >>> tone = np.sin(np.arange(80) * 2 * np.pi / 8)[:, None]
    >>> tone_squares(tone, rows=64)[[0, 79], 0].round(3).tolist()
    [nan, 16.0]
    """
    found = np.full(new.shape, np.nan)
    first = -(-max(begin - _TONE_EVERY_ROWS + 1, rows - 1) // _TONE_EVERY_ROWS) * _TONE_EVERY_ROWS
    ends = np.arange(first, len(new), _TONE_EVERY_ROWS)
    if not len(ends):
        return found
    looks = sliding_window_view(new, rows, axis=0)[ends - rows + 1]
    is_known = np.isfinite(looks)
    lines = np.abs(np.fft.rfft(np.where(is_known, looks, 0.0), axis=-1)) ** 2 / rows
    strongest = lines[..., _TONE_LEAST_CYCLES:].max(axis=-1)
    strongest[is_known.mean(axis=-1) < _TONE_SHARE] = np.nan
    row = np.arange(max(begin, first), len(new))
    found[row] = strongest[(row - first) // _TONE_EVERY_ROWS]
    return found


def equal_run(values: FloatArray) -> IntArray:
    """int64[n, c]: how many known samples have had the same value up to here.

    >>> equal_run(np.array([[1.0], [1.0], [np.nan], [1.0], [2.0]])).ravel().tolist()
    [1, 2, 2, 3, 1]
    """
    known = np.isfinite(values)
    count = np.cumsum(known, axis=0)
    rows = np.arange(len(values))[:, None]
    last = np.maximum.accumulate(np.where(known, rows, -1), axis=0)
    before = np.concatenate([np.full((1, values.shape[1]), -1), last[:-1]])
    earlier = np.take_along_axis(values, np.maximum(before, 0), axis=0)
    changes = known & ((before < 0) | (values != earlier))
    at = np.maximum.accumulate(np.where(changes, count - 1, 0), axis=0)
    found: IntArray = count - at
    return found


def missing_run(values: FloatArray, is_heard: BoolArray) -> IntArray:
    """int64[n, c]: how many rows that came have had no value up to here.

    >>> v = np.array([[1.0], [np.nan], [np.nan], [3.0]])
    >>> missing_run(v, np.array([True, True, True, True])).ravel().tolist()
    [0, 1, 2, 0]
    """
    count = np.cumsum(np.broadcast_to(is_heard[:, None], values.shape), axis=0)
    at = np.maximum.accumulate(np.where(np.isfinite(values), count, 0), axis=0)
    found: IntArray = count - at
    return found
