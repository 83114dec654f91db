"""How well an inspector tells bad parts from good ones, and where the defect is.

Image figures: area under the ROC curve, average precision, the best F1, and what the threshold of
the model does. Pixel figures: average precision, best F1, and PRO (P. Bergmann et al., The MVTec
Anomaly Detection Dataset, IJCV 2021): the mean share of each marked area that is found, averaged
over false-positive rates up to 0.3. Heat is counted in bins, so any number of pictures fits.
Intervals are percentiles of a bootstrap that draws whole parts (B. Efron, 1979).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from sightline.perceive.inspection.floats import Floats
from sightline.records.windows import IntArray

BINS = 2048
HEAT_TOP = 4.0
"""Heat from 0 to this is told apart in bins; 1 is where the model marks."""
PRO_TO = 0.3
RESAMPLES = 1000
_PIXEL_RESAMPLES = 100

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A figure with the 2.5 and 97.5 percentiles of its bootstrap."""

    value: float
    low: float
    high: float


def auroc(score: Floats, is_bad: Bools) -> float:
    """Probability that a bad picture scores above a good one, ties half; NaN without both.

    >>> auroc(np.array([0.1, 0.4, 0.35, 0.8]), np.array([False, False, True, True]))
    0.75
    """
    bad = int(is_bad.sum())
    good = len(is_bad) - bad
    if bad == 0 or good == 0:
        return float("nan")
    ranks = rankdata(score)
    return float((ranks[is_bad].sum() - bad * (bad + 1) / 2) / (bad * good))


def average_precision(score: Floats, is_bad: Bools) -> float:
    """Mean of the precisions at each bad picture, equal scores taken together; NaN without any.

    >>> round(average_precision(np.array([0.1, 0.4, 0.35, 0.8]),
    ...                         np.array([False, False, True, True])), 4)
    0.8333
    """
    hits, taken = _running(score, is_bad)
    if not len(hits) or hits[-1] == 0:
        return float("nan")
    recall = hits / hits[-1]
    return float((np.diff(recall, prepend=0.0) * hits / taken).sum())


def best_f1(score: Floats, is_bad: Bools) -> float:
    """Greatest F1 over all thresholds; it is chosen on what it is reported on, so a bound."""
    hits, taken = _running(score, is_bad)
    if not len(hits) or hits[-1] == 0:
        return float("nan")
    return float((2 * hits / (taken + hits[-1])).max())


def _running(score: Floats, is_bad: Bools) -> tuple[Floats, Floats]:
    """Bad ones and all at and above each distinct score, the highest first."""
    order = np.argsort(-score, kind="stable")
    ends = np.flatnonzero(np.diff(score[order], append=-np.inf))
    return np.cumsum(is_bad[order])[ends].astype(float), (ends + 1).astype(float)


def by_part(
    figure: Callable[[IntArray], float],
    parts: Sequence[str],
    *,
    seed: int,
    resamples: int = RESAMPLES,
) -> Interval:
    """A figure of all pictures, and its interval when parts are drawn with replacement.

    Args:
        figure: of pictures by their places; NaN where it cannot be told.
        parts: of each picture.
        seed: of the draws.
        resamples: number of draws.
    """
    _, part_of = np.unique(np.array(parts), return_inverse=True)
    order = np.argsort(part_of, kind="stable")
    ends = np.cumsum(np.bincount(part_of))
    begins = np.concatenate([[0], ends[:-1]])
    random = np.random.default_rng(seed)
    found = []
    for _ in range(resamples):
        drawn = random.integers(len(ends), size=len(ends))
        found.append(figure(np.concatenate([order[begins[p] : ends[p]] for p in drawn])))
    low, high = np.nanpercentile(found, [2.5, 97.5]) if np.isfinite(found).any() else (np.nan,) * 2
    return Interval(value=figure(np.arange(len(parts))), low=float(low), high=float(high))


class PixelCounts:
    """Heat of marked and other pixels in bins, picture by picture.

    Attributes:
        marked, other: int64[pictures, BINS] when :meth:`arrays` is asked.
    """

    def __init__(self) -> None:
        self._marked: list[IntArray] = []
        self._other: list[IntArray] = []
        self._areas: list[IntArray] = []
        self._area_of: list[int] = []

    def add(self, heat: Floats, mask: Bools) -> None:
        """One picture: heat float32[h, w] and where the defect is."""
        bins = np.clip(heat * (BINS / HEAT_TOP), 0, BINS - 1).astype(np.int64)
        self._marked.append(np.bincount(bins[mask], minlength=BINS))
        self._other.append(np.bincount(bins[~mask], minlength=BINS))
        if mask.any():
            count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
            for i in range(1, count):
                self._areas.append(np.bincount(bins[labels == i], minlength=BINS))
                self._area_of.append(len(self._marked) - 1)

    def figures(self, parts: Sequence[str], *, seed: int) -> dict[str, Interval]:
        """``pixel_ap``, ``pixel_f1_best``, ``pixel_f1`` at heat 1, and ``pro``."""
        marked, other = np.array(self._marked), np.array(self._other)
        areas, area_of = np.array(self._areas), np.array(self._area_of)
        if not len(areas):
            return {}

        def curve(chosen: IntArray) -> tuple[Floats, Floats]:
            return _from_top(marked[chosen].sum(axis=0)), _from_top(other[chosen].sum(axis=0))

        def ap(chosen: IntArray) -> float:
            hits, false = curve(chosen)
            if hits[-1] == 0:
                return float("nan")
            recall = hits / hits[-1]
            precision = hits / np.maximum(hits + false, 1)
            return float((np.diff(recall, prepend=0.0) * precision).sum())

        def f1(chosen: IntArray) -> Floats:
            hits, false = curve(chosen)
            return np.asarray(2 * hits / np.maximum(hits[-1] + hits + false, 1))

        def pro(chosen: IntArray) -> float:
            times = np.bincount(chosen, minlength=len(marked))[area_of]
            if times.sum() == 0:
                return float("nan")
            found = np.cumsum(areas[:, ::-1], axis=1) / areas.sum(axis=1, keepdims=True)
            mean = (found * times[:, None]).sum(axis=0) / times.sum()
            _, false = curve(chosen)
            rate = np.concatenate([[0.0], false / max(false[-1], 1)])
            share = np.concatenate([[0.0], mean])
            inside = rate <= PRO_TO
            x = np.append(rate[inside], PRO_TO)
            y = np.append(share[inside], np.interp(PRO_TO, rate, share))
            return float(np.trapezoid(y, x) / PRO_TO)

        at_one = BINS - 1 - int(BINS / HEAT_TOP)
        wanted: dict[str, Callable[[IntArray], float]] = {
            "pixel_ap": ap,
            "pixel_f1": lambda chosen: float(f1(chosen)[at_one]),
            "pixel_f1_best": lambda chosen: float(f1(chosen).max()),
            "pro": pro,
        }
        return {
            name: by_part(figure, parts, seed=seed, resamples=_PIXEL_RESAMPLES)
            for name, figure in wanted.items()
        }


def _from_top(counts: IntArray) -> Floats:
    """Pixels at and above each bin, the hottest bin first."""
    return np.cumsum(counts[::-1]).astype(float)
