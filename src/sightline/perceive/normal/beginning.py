"""How a series begins: the scale of its samples, and the looks that it is learnt from.

The scale must not hang on where the values lie (a temperature in kelvin moves as one in degrees),
on a sentinel among them, or on their being rounded: those are told apart here, once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from sightline.perceive.normal.features import window_features
from sightline.perceive.normal.settings import LEAST_SPREAD
from sightline.records.windows import FloatArray, IntArray

MAX_LOOKS = 2048
"""Looks of one width that a stretch is learnt from: each is compared with all others."""
FOREIGN_DISTANCE = 50.0
"""Interquartile ranges from the median beyond which a sample is no part of the signal."""
MOST_FOREIGN = 0.1
"""Greatest share of such samples: more are a signal that has bursts."""
LEAST_STUCK = 8
"""Equal samples in a row that are never chance, where the learnt ones have hardly any."""
MOST_LEARNT_RUN = 32
"""Of a series that stood still for longer while it was learnt, standing still says nothing."""
_PIECE_ROWS = 1 << 16
_ROUNDING = 12**-0.5  # deviation of what is rounded to whole numbers from what it was
_SAME = 1e-9  # of the range: values nearer than this are the same but for floating point


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleScale:
    """What counts as a difference between samples of one series.

    Attributes:
        low, high: samples further out count as these: infinite, unless some learnt ones are
            foreign to the signal (a sentinel such as -999, a bit error). Those become one range of
            the others beyond them: still the greatest or least, and no measure for the rest.
        least: smallest deviation of a feature.
        quantum: what the samples are rounded to; 0 if most differ from each other.
    """

    low: float
    high: float
    least: float
    quantum: float

    @classmethod
    def of(cls, known: FloatArray, *, least_share_of_range: float) -> Self:
        """From float64[n], n >= 1, finite.

        >>> rng = np.random.default_rng(0)
        >>> values = rng.normal(20, 1, 700)
        >>> SampleScale.of(values, least_share_of_range=0.005).low
        -inf
        >>> values[300] = -999.0
        >>> SampleScale.of(values, least_share_of_range=0.005).low > 0
        True
        """
        low, high = _bounds(known)
        least, most = max(low, float(known.min())), min(high, float(known.max()))
        rounding = 4 * float(np.finfo(np.float64).eps) * max(abs(least), abs(most))
        gaps = np.diff(np.sort(np.clip(known, least, most)))
        gaps_between = gaps[gaps > max(_SAME * (most - least), rounding)]
        is_rounded = 0 < 2 * len(gaps_between) <= len(gaps)
        return cls(
            low=low,
            high=high,
            least=max(least_share_of_range * (most - least), rounding, LEAST_SPREAD),
            quantum=float(gaps_between.min()) if is_rounded else 0.0,
        )

    def bounded(self, values: FloatArray) -> FloatArray:
        """The samples within ``low`` and ``high``."""
        found: FloatArray = np.clip(values, self.low, self.high)
        return found

    def rounding(self, width: int) -> FloatArray:
        """float64[6]: deviation of each feature of a window that comes of rounding alone.

        That of means falls with the root of the width; that of a greatest or least does not.
        """
        one = self.quantum * _ROUNDING
        mean = one / width**0.5
        return np.array([mean, mean, one, one, mean, 2 * mean])


def _bounds(known: FloatArray) -> tuple[float, float]:
    """Beyond them a sample is foreign to the signal."""
    low, middle, high = (float(q) for q in np.quantile(known, (0.25, 0.5, 0.75)))
    # Of a series that stands still its own size is the only measure there is.
    yard = high - low if high > low else abs(middle) / 5
    is_own = np.abs(known - middle) <= FOREIGN_DISTANCE * yard
    foreign = len(known) - int(is_own.sum())
    if yard == 0.0 or not 0 < foreign <= MOST_FOREIGN * len(known):
        return -np.inf, np.inf
    own = known[is_own]
    least, most = float(own.min()), float(own.max())
    reach = most - least if most > least else abs(middle)
    return least - reach, most + reach


def equal_samples(values: FloatArray) -> tuple[float, float, float]:
    """The last sample, how many in a row equal it, and from how many on that is unusual.

    Twice the longest run that was learnt: if runs end by chance, one of that length comes once in
    the square of as many samples. Infinite where runs were so long that they say nothing.

    Args:
        values: float64[n]; NaN is passed over.

    >>> equal_samples(np.array([1.0, 2.0, 2.0, np.nan, 2.0]))
    (2.0, 3.0, 8.0)
    """
    known = values[np.isfinite(values)]
    edges = np.flatnonzero(np.append(np.diff(known) != 0, True))
    runs = np.diff(np.append(-1, edges))
    longest = int(runs.max())
    unusual = float(max(2 * longest, LEAST_STUCK)) if longest <= MOST_LEARNT_RUN else np.inf
    return float(known[-1]), float(runs[-1]), unusual


def looking_grid(rows: int, steps: IntArray) -> int:
    """Samples from one look to the next while learning: 1, or more where a stretch is long.

    A look at every sample has seen a series that repeats at all its phases; later looks come at
    some of them only. Where there are too many, those that lie on a coarser grid are left, on which
    every later look lies too.

    Args:
        rows: of the stretch.
        steps: int64[w], samples from one later look to the next.

    >>> looking_grid(750, np.array([2, 4])), looking_grid(9000, np.array([2, 4]))
    (1, 2)
    """
    grid = 1
    while rows > grid * MAX_LOOKS and (steps % (2 * grid) == 0).all():
        grid *= 2
    return grid


def learning_looks(values: FloatArray, widths: tuple[int, ...], grid: int) -> FloatArray:
    """float64[w, m, 6]: features of a stretch on a grid that the first later look goes on with.

    Args:
        values: float64[n].
        widths: in samples.
        grid: of :func:`looking_grid`.
    """
    found = []
    for begin in range(0, len(values), _PIECE_ROWS):
        piece = values[begin : begin + _PIECE_ROWS]
        before = values[max(begin - widths[-1], 0) : begin]
        every = window_features(piece, widths=widths, before=before)
        found.append(every[(len(values) - begin) % grid :: grid])
    return np.ascontiguousarray(np.concatenate(found).transpose(1, 0, 2))
