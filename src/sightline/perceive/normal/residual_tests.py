"""Tests of what an expectation leaves: a step, a level, a gain, a swing; and of standing still.

What is left comes in its usual size. Each statistic is 0 or more, grows with the evidence, is known
at the sample at which it stands, and looks back over its ``reach``. How great it gets on healthy
days is learnt elsewhere (:mod:`.tail_levels`). Squares of nearly normal numbers have exponential
tails, so all are squares.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from sightline.records.detections import BoolArray
from sightline.records.windows import FloatArray, IntArray

_PULLED_IN = 10.0
_JUMP_MOST_S = 5400.0
_LEVELS_S = (1800.0, 7200.0, 21_600.0)
_GAINS_S = (7200.0, 21_600.0)
_SWING_MOST_S = 1800.0
_MOST_MOVED = 64.0
_LEAST_SHARE = 0.4
REACH_S = 4 * _JUMP_MOST_S
"""No test looks back farther."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResidualTest:
    """One test.

    Attributes:
        name: ``jump``, ``level``, ``gain`` or ``swing``.
        width: rows of its window.
        reach: rows that it looks back over.
    """

    name: str
    width: int
    reach: int

    @property
    def least_level(self) -> float:
        """A level is no less: smaller squares than these (of usual sizes) are errors of the model.

        Twelve samples and fewer are too few to tell a shift of three sizes from noise for sure.
        """
        if self.name == "swing":
            return 8.0
        return 9.0 if self.width < 12 else 6.25


def residual_tests(step_s: float) -> tuple[ResidualTest, ...]:
    """The tests for rows ``step_s`` apart.

    >>> [(t.name, t.width) for t in residual_tests(30.0)][:4]
    [('jump', 4), ('jump', 16), ('jump', 64), ('level', 60)]
    """
    tests = []
    width = 4
    while width * step_s <= _JUMP_MOST_S:
        tests.append(ResidualTest(name="jump", width=width, reach=4 * width))
        width *= 4
    for name, widths in (("level", _LEVELS_S), ("gain", _GAINS_S)):
        for width_s in widths:
            rows = max(round(width_s / step_s), 8)
            tests.append(ResidualTest(name=name, width=rows, reach=rows))
    width = 1
    while width * step_s <= _SWING_MOST_S / 4 or width == 1:
        tests.append(ResidualTest(name="swing", width=width, reach=18 * width))
        width *= 4
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


def usual_swings(
    left: FloatArray, rounding: FloatArray, tests: tuple[ResidualTest, ...]
) -> dict[int, FloatArray]:
    """Of each width of a swing float64[c]: the usual square of what it is measured by.

    Args:
        left: float64[n, c], what was left lately, in its usual size.
        rounding: float64[c], step of the values in the same size.
        tests: of :func:`residual_tests`.
    """
    pulled = np.clip(left, -_PULLED_IN, _PULLED_IN)
    sums = Sums(pulled, np.maximum(np.isfinite(left).mean(axis=0), 0.02))
    found = {}
    for test in tests:
        if test.name == "swing":
            moved = (sums.mean(test.width) - sums.mean(test.width, test.width)) ** 2
            moved[:, ~np.isfinite(moved).any(axis=0)] = np.inf
            least = np.maximum(rounding**2 / (2 * test.width), 1e-12)
            found[test.width] = np.maximum(np.nanmedian(moved, axis=0), least)
    return found


def statistics(
    left: FloatArray,
    expected: FloatArray,
    tests: tuple[ResidualTest, ...],
    usual: Mapping[int, FloatArray],
    share: FloatArray,
) -> Iterator[tuple[ResidualTest, FloatArray]]:
    """Each test with its statistic.

    Args:
        left: float64[n, c], what is left, in its usual size; NaN is unknown.
        expected: float64[n, c], centred and in its usual spread, for the gain.
        tests: of :func:`residual_tests`.
        usual: of :func:`usual_swings`. A swing is told in it, and a single move counts for no more
            than 64 of it: what happens once is no swing.
        share: float64[c], share of the rows that are usually known: of what was before, so that
            nothing hangs on rows that come later.

    Yields:
        The test, and float64[n, c]; NaN where it knows too little.
    """
    pulled = np.clip(left, -_PULLED_IN, _PULLED_IN)
    sums = Sums(pulled, share)
    along: Sums | None = None
    power: Sums | None = None
    for test in tests:
        w = test.width
        match test.name:
            case "jump":
                yield test, (sums.mean(w) - sums.mean(3 * w, w)) ** 2
            case "level":
                yield test, sums.mean(w) ** 2
            case "gain":
                if along is None or power is None:
                    turn = np.clip(expected, -3, 3)
                    along = Sums(pulled * turn, share)
                    power = Sums(np.where(np.isfinite(pulled), turn**2, np.nan), share)
                yield test, (along.mean(w) / np.maximum(power.mean(w), 0.2)) ** 2
            case _:
                moved = (sums.mean(w) - sums.mean(w, w)) ** 2 / usual[w]
                yield test, Sums(np.minimum(moved, _MOST_MOVED), share).mean(16 * w)


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
