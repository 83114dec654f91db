"""Why a sample scored as it did: which windows, which features, and what they were compared with.

A score is made of the looks at windows of several widths that stand at its sample. Of each look
this gives the features in the unit of the samples, those of the remembered window nearest to it,
and where in the past that one was: what is remembered is an exact copy of what was seen, so the
past can be searched for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sightline.errors import UsageError
from sightline.perceive.normal.series_detector import SeriesDetector, combined
from sightline.perceive.normal.settings import NormalSettings
from sightline.perceive.normal.window_features import STATISTICS, window_features
from sightline.records.windows import FloatArray, IntArray

MAX_SEARCHED_ROWS = 1 << 21
"""Rows before a look that are searched for its nearest window; what is further back counts as
older than what is at hand."""
_PIECE_ROWS = 1 << 14


@dataclass(frozen=True, slots=True, kw_only=True)
class NormalWindow:
    """A window of the past that was taken as normal.

    Attributes:
        first_row, last_row: both included.
        start_ns, end_ns: times of these rows, UTC ns; None where no times were given.
    """

    first_row: int
    last_row: int
    start_ns: int | None = None
    end_ns: int | None = None

    def as_mapping(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "first_row": self.first_row,
            "last_row": self.last_row,
            "start_ns": self.start_ns,
            "end_ns": self.end_ns,
        }


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WidthAttribution:
    """What windows of one width add to a score.

    Attributes:
        width: samples.
        row: the last row of the window that was looked at; between two looks the last one stands.
        deviations: of its distance beyond what is usual, of any sign; NaN where it has too few
            samples. Only what is above 0 adds to the score.
        distance: to the nearest remembered window, in deviations of the features.
        usual: mean of the distances until then.
        usual_spread: the deviation they are measured by.
        features: float64[6], ``STATISTICS`` of the window, in the unit of the samples.
        nearest: float64[6], the same of the remembered window.
        spread: float64[6], what each feature is divided by before distances are taken.
        share: float64[6], of each feature in the squared distance; sums to 1, 0 without distance.
        normal: where the nearest window was; None: older than what is at hand.
    """

    width: int
    row: int
    deviations: float
    distance: float
    usual: float
    usual_spread: float
    features: FloatArray
    nearest: FloatArray
    spread: FloatArray
    share: FloatArray
    normal: NormalWindow | None

    def leading(self) -> list[str]:
        """Names of the features, the greatest share first."""
        return [STATISTICS[i] for i in np.argsort(-self.share, kind="stable")]

    def feature(self, name: str) -> tuple[float, float, float]:
        """Value, value of the nearest window, and share of the squared distance."""
        at = STATISTICS.index(name)
        return float(self.features[at]), float(self.nearest[at]), float(self.share[at])

    def as_mapping(self) -> dict[str, Any]:
        """JSON-ready; NaN as None."""
        return {
            "width_rows": self.width,
            "row": self.row,
            "deviations": _number(self.deviations),
            "distance": _number(self.distance),
            "usual_distance": self.usual,
            "usual_spread": self.usual_spread,
            "features": {
                name: {
                    "value": _number(self.features[i]),
                    "nearest": _number(self.nearest[i]),
                    "spread": float(self.spread[i]),
                    "share": float(self.share[i]),
                }
                for i, name in enumerate(STATISTICS)
            },
            "nearest_window": None if self.normal is None else self.normal.as_mapping(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreAttribution:
    """Why a sample scored as it did.

    Attributes:
        row: of the sample, from 0 at the beginning of the series.
        score: of it; NaN where nothing is known.
        widths: by what they add to it, the most first.
    """

    row: int
    score: float
    widths: tuple[WidthAttribution, ...]

    def as_mapping(self) -> dict[str, Any]:
        """JSON-ready; NaN as None."""
        return {
            "row": self.row,
            "score": _number(self.score),
            "widths": [one.as_mapping() for one in self.widths],
        }


def attribute_series(
    values: FloatArray,
    *,
    learn_rows: int,
    row: int,
    settings: NormalSettings | None = None,
    time_ns: IntArray | None = None,
) -> ScoreAttribution:
    """Attribute the score of one sample of a series that is at hand from its beginning.

    Args:
        values: float64[n], evenly spaced, from the first sample the detector learnt from; NaN is
            missing. They may be windows' values just as well.
        learn_rows: of them learnt from at the beginning.
        row: of the sample, ``learn_rows`` <= row < n.
        settings: of the detector.
        time_ns: int64[n], times of the samples, for the nearest windows.

    Raises:
        UsageError: a row that is not scored, or too little to learn from.

    >>> rng = np.random.default_rng(0)
    >>> series = np.sin(np.arange(3000) / 20) + rng.normal(0, 0.05, 3000)
    >>> series[2500:2520] = 4.0
    >>> why = attribute_series(series, learn_rows=750, row=2519)
    >>> narrow = next(one for one in why.widths if one.width == 16)
    >>> [round(v, 1) for v in narrow.feature("mean")[:2]], narrow.normal.last_row < 2500
    ([4.0, 1.0], True)
    """
    if not learn_rows <= row < len(values):
        raise UsageError(
            expected=f"a row from {learn_rows} to {len(values) - 1}",
            got=str(row),
            where="attribute_series",
            action="what is learnt from is not scored",
        )
    detector = SeriesDetector.learn(values[:learn_rows], settings)
    return attribute_score(detector, values, row=row, time_ns=time_ns)


def attribute_score(
    detector: SeriesDetector,
    values: FloatArray,
    *,
    row: int,
    first_row: int = 0,
    time_ns: IntArray | None = None,
) -> ScoreAttribution:
    """Attribute the score of one sample.

    Args:
        detector: as it was before the row, and before the looks that stand at it: it has taken in
            no more than ``row + 1`` less the widest step between two looks.
        values: float64[n], the samples from ``first_row`` on: those the detector has not taken in,
            up to the row, and as much of what was before as is at hand.
        row: of the sample, counted from the first one the detector learnt from.
        first_row: of ``values``, counted likewise.
        time_ns: int64[n], times of ``values``.

    Raises:
        UsageError: a detector that is further than that, or samples that are not at hand.
    """
    settings, learnt = detector.settings, detector.learnt_rows
    looks = {w: row - (row - learnt) % settings.step(w) for w in detector.widths}
    begun = detector.rows <= min(max(look, learnt) for look in looks.values())
    if not (begun and learnt <= row < first_row + len(values) and first_row <= detector.rows):
        raise UsageError(
            expected="a detector from before the row, and the samples from there to it",
            got=f"{detector.rows} rows taken in, rows {first_row} to {first_row + len(values) - 1} "
            f"at hand, row {row}",
            where="attribute_score",
            action="keep the detector as it was before",
        )
    found: dict[int, WidthAttribution] = {}
    wanted: dict[int, FloatArray] = {}
    state = detector
    # In order of time, so that the memory is that of each look and no later one.
    for width, look in sorted(looks.items(), key=lambda item: item[1]):
        state = state.follow(values[state.rows - first_row : look - first_row])[1]
        one, vector = _looked(state, width, float(values[look - first_row]), look)
        found[width], wanted[width] = one, vector
    rows = _windows_of(detector, values, wanted, looks, first_row)
    parts = []
    for width, one in found.items():
        last = rows.get(width)
        normal = None
        if last is not None:
            begin = last - width + 1
            edges = (begin - first_row, last - first_row)
            normal = NormalWindow(
                first_row=begin,
                last_row=last,
                start_ns=None if time_ns is None else int(time_ns[edges[0]]),
                end_ns=None if time_ns is None else int(time_ns[edges[1]]),
            )
        parts.append(replace(one, normal=normal))
    parts.sort(key=lambda one: (-np.nan_to_num(one.deviations, nan=-np.inf), one.width))
    by_width = np.array([[one.deviations for one in sorted(parts, key=lambda one: one.width)]])
    return ScoreAttribution(row=row, score=float(combined(by_width)[0]), widths=tuple(parts))


def unusual_since(score: FloatArray, *, row: int, level: float) -> int:
    """The first row of the unbroken run up to ``row`` with scores of at least ``level``.

    Args:
        score: float64[n]; NaN breaks the run.
        row: where the run ends; it is the answer itself if its own score is lower.
        level: stated by the caller.

    >>> unusual_since(np.array([5.0, 0.2, 1.5, 2.0, 9.0]), row=4, level=1.0)
    2
    """
    below = np.flatnonzero(~(score[: row + 1] >= level))
    return min(int(below[-1]) + 1 if len(below) else 0, row)


def _looked(
    state: SeriesDetector, width: int, newest: float, look: int
) -> tuple[WidthAttribution, FloatArray]:
    """The look of one width at the sample after ``state``; the remembered vector, as it is kept."""
    spread, memory, usual = state.known(width)
    features = window_features(np.array([newest]), widths=(width,), before=state.recent)[0, 0]
    scaled = features / spread
    distance, index = memory.nearest(scaled[None])
    vector = memory.vectors[index[0]] if index[0] >= 0 else np.full(6, np.nan)
    square = (scaled - vector) ** 2
    total = float(square.sum())
    deviation = float(np.sqrt(usual.variance)) + usual.least
    one = WidthAttribution(
        width=width,
        row=look,
        deviations=(float(distance[0]) - usual.mean) / deviation,
        distance=float(distance[0]),
        usual=usual.mean,
        usual_spread=deviation,
        features=features,
        nearest=vector * spread,
        spread=spread,
        share=square / total if total > 0 else np.zeros(6),
        normal=None,
    )
    return one, vector


def _windows_of(
    detector: SeriesDetector,
    values: FloatArray,
    wanted: Mapping[int, FloatArray],
    looks: Mapping[int, int],
    first_row: int,
) -> dict[int, int]:
    """Last row of the newest past window of each width whose features are the remembered ones."""
    settings, learnt = detector.settings, detector.learnt_rows
    left = {w: vector for w, vector in wanted.items() if np.isfinite(vector).all()}
    # A look is learnt by the one that comes ``waits`` later, after that one was scored.
    newest = {
        w: max(looks[w] - (settings.waits(w) + 1) * settings.step(w), learnt - 1) for w in left
    }
    found: dict[int, int] = {}
    end = max(newest.values(), default=-1) + 1
    lowest = max(first_row, end - MAX_SEARCHED_ROWS)
    while end > lowest and left:
        begin = max(end - _PIECE_ROWS, lowest)
        widths = tuple(sorted(left))
        before = values[max(begin - widths[-1] - 1 - first_row, 0) : begin - first_row]
        features = window_features(
            values[begin - first_row : end - first_row], widths=widths, before=before
        )
        rows = np.arange(begin, end)
        for place, width in enumerate(widths):
            spread = detector.known(width)[0]
            step = settings.step(width)
            # Looks of the learning stretch lie on a grid that ends with it; later ones begin there.
            is_look = np.where(rows < learnt, (learnt - 1 - rows) % step, (rows - learnt) % step)
            same = (features[:, place] / spread == left[width]).all(axis=1)
            at = np.flatnonzero(same & (is_look == 0) & (rows <= newest[width]))
            if len(at):
                found[width] = int(rows[at[-1]])
                del left[width]
        end = begin
    return found


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
