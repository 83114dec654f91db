"""Why a sample scored as it did: which windows, which features, and what they were compared with.

A score is made of the looks at windows of several widths that stand at its sample (or of how long
the samples have stood still, if that is more unusual). Of each look
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
from sightline.perceive.normal.bank import SeriesDetector
from sightline.perceive.normal.bank_block import KnownWidth
from sightline.perceive.normal.beginning import looking_grid
from sightline.perceive.normal.features import STATISTICS, window_features
from sightline.perceive.normal.memory import STUCK_SCORE
from sightline.perceive.normal.portable_logarithm import expm1, log1p
from sightline.perceive.normal.settings import NormalSettings
from sightline.records.windows import FloatArray, IntArray

MAX_SEARCHED_ROWS = 1 << 21
"""Rows before a look that are searched for its nearest window; what is further back
is not found."""
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
        vector: float64[6], that window as it is remembered: divided by ``spread``, to the last bit.
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
    vector: FloatArray
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
        equal_rows: how many samples in a row are equal, this one and those before it.
        unusual_equal_rows: from how many on that is unusual; None: never.
    """

    row: int
    score: float
    widths: tuple[WidthAttribution, ...]
    equal_rows: int = 0
    unusual_equal_rows: int | None = None

    @property
    def is_stuck(self) -> bool:
        """Whether the samples have stood still for unusually long."""
        return self.unusual_equal_rows is not None and self.equal_rows >= self.unusual_equal_rows

    def as_mapping(self) -> dict[str, Any]:
        """JSON-ready; NaN as None."""
        return {
            "row": self.row,
            "score": _number(self.score),
            "equal_rows": self.equal_rows,
            "unusual_equal_rows": self.unusual_equal_rows,
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
    ([4.0, 0.9], True)
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
    time_ns: IntArray | None = None,
    searched_rows: int = MAX_SEARCHED_ROWS,
) -> ScoreAttribution:
    """Attribute the score of one sample.

    Args:
        detector: as it was before the row, and before the looks that stand at it: it has taken in
            no more than ``row + 1`` less the widest step between two looks.
        values: float64[n], n > row, from the first sample the detector learnt from.
        row: of the sample.
        time_ns: int64[n], times of ``values``.
        searched_rows: rows before a look that are searched for its nearest window.

    Raises:
        UsageError: a detector that is further than that, or a row that is not at hand.
    """
    settings, learnt = detector.settings, detector.learnt_rows
    looks = {w: row - (row - learnt) % settings.step(w) for w in detector.widths}
    begun = detector.rows <= min(max(look, learnt) for look in looks.values())
    if not (begun and learnt <= row < len(values)):
        raise UsageError(
            expected="a detector from before the row, and the samples from the beginning to it",
            got=f"{detector.rows} rows taken in, {len(values)} at hand, row {row}",
            where="attribute_score",
            action="keep the detector as it was before",
        )
    samples = detector.known_samples()
    values = samples.bounded(values)
    parts = []
    state = detector
    # In order of time, so that the memory is that of each look and no later one.
    for width, look in sorted(looks.items(), key=lambda item: item[1]):
        state = state.follow(values[state.rows : look])[1]
        known = next(one for one in state.known() if one.width == width)
        parts.append(_looked(known, values[max(look - width, 0) : look + 1], look))
    last_rows = _windows_of(detector, values, {part.width: part for part in parts}, searched_rows)
    parts = [
        replace(part, normal=_normal_window(last_rows.get(part.width), part.width, time_ns))
        for part in parts
    ]
    parts.sort(key=lambda one: (-np.nan_to_num(one.deviations, nan=-np.inf), one.width))
    by_width = np.array([[one.deviations for one in sorted(parts, key=lambda one: one.width)]])
    score = float(combined(by_width, of=len(settings.widths))[0])
    equal = state.follow(values[state.rows : row + 1])[1].known_samples().equal_rows
    unusual = samples.unusual_equal_rows
    if unusual <= equal <= settings.lasting_rows and np.isfinite(values[row]):
        score = max(score, STUCK_SCORE * equal / unusual)
    return ScoreAttribution(
        row=row,
        score=score,
        widths=tuple(parts),
        equal_rows=equal,
        unusual_equal_rows=int(unusual) if np.isfinite(unusual) else None,
    )


def combined(by_width: FloatArray, *, of: int) -> FloatArray:
    """float64[n]: exp(s * mean of log(1 + z)) - 1 over the widths that are known, with z >= 0.

    The mean of few widths is great by chance more often than that of all. So it counts for less,
    s = (known / all) ** (1 / 4): then, in noise, a score is about as rare whichever are known.

    Args:
        by_width: float64[n, w], NaN for unknown.
        of: widths of the settings, those too that the series was too short for, >= w.

    >>> z = np.array([[3.0, 3.0], [0.0, 15.0], [-2.0, np.nan], [np.nan, np.nan]])
    >>> combined(z, of=2).round(12).tolist()
    [3.0, 3.0, 0.0, nan]
    >>> combined(np.array([[3.0]]), of=4).round(2).tolist()
    [1.67]
    """
    is_known = np.isfinite(by_width)
    known = is_known.sum(axis=1)
    beyond = np.maximum(np.where(is_known, by_width, 0.0), 0.0)
    logs = log1p(beyond.ravel()).reshape(beyond.shape)  # 0 where it is not known
    total = np.zeros(len(by_width))
    for column in logs.T:  # one after the other, as the kernel does it
        total += column
    share = np.sqrt(np.sqrt(known / of))
    found: FloatArray = np.where(known > 0, expm1(share * (total / np.maximum(known, 1))), np.nan)
    return found


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


def _looked(known: KnownWidth, samples: FloatArray, look: int) -> WidthAttribution:
    """The look of one width at the last of the samples; the nearest window is not known yet."""
    width = known.width
    features = window_features(samples[-1:], widths=(width,), before=samples[:-1])[0, 0]
    scaled = features / known.spread
    square = np.zeros(len(known.vectors))
    for axis in range(6):  # one after the other, as the kernel sums them
        square += (known.vectors[:, axis] - scaled[axis]) ** 2
    nearest = int(np.argmin(square))
    is_seen = bool(np.isfinite(scaled).all())
    vector = known.vectors[nearest] if is_seen else np.full(6, np.nan)
    distance = float(np.sqrt(square[nearest])) if is_seen else np.nan
    parts = (scaled - vector) ** 2
    total = float(parts.sum())
    return WidthAttribution(
        width=width,
        row=look,
        deviations=(distance - known.usual) / known.usual_spread,
        distance=distance,
        usual=known.usual,
        usual_spread=known.usual_spread,
        features=features,
        nearest=vector * known.spread,
        vector=vector,
        spread=known.spread,
        share=parts / total if total > 0 else np.zeros(6),
        normal=None,
    )


def _normal_window(last: int | None, width: int, time_ns: IntArray | None) -> NormalWindow | None:
    if last is None:
        return None
    first = last - width + 1
    return NormalWindow(
        first_row=first,
        last_row=last,
        start_ns=None if time_ns is None else int(time_ns[first]),
        end_ns=None if time_ns is None else int(time_ns[last]),
    )


def _windows_of(
    detector: SeriesDetector,
    values: FloatArray,
    wanted: Mapping[int, WidthAttribution],
    searched_rows: int,
) -> dict[int, int]:
    """Last row of the newest past window of each width whose features are the remembered ones."""
    settings, learnt = detector.settings, detector.learnt_rows
    grid = looking_grid(learnt, np.array([settings.step(w) for w in settings.widths]))
    left = {w: one for w, one in wanted.items() if np.isfinite(one.vector).all()}
    # A look is learnt by the one that comes ``waits`` later, after that one was scored.
    newest = {
        w: max(one.row - (settings.waits(w) + 1) * settings.step(w), learnt - 1)
        for w, one in left.items()
    }
    found: dict[int, int] = {}
    end = max(newest.values(), default=-1) + 1
    lowest = max(0, end - searched_rows)
    while end > lowest and left:
        begin = max(end - _PIECE_ROWS, lowest)
        widths = tuple(sorted(left))
        before = values[max(begin - widths[-1] - 1, 0) : begin]
        features = window_features(values[begin:end], widths=widths, before=before)
        rows = np.arange(begin, end)
        for place, width in enumerate(widths):
            one, step = left[width], settings.step(width)
            # The learning stretch was looked at on a finer grid than what came later.
            is_look = (rows - learnt) % np.where(rows < learnt, grid, step)
            same = (features[:, place] / one.spread == one.vector).all(axis=1)
            at = np.flatnonzero(same & (is_look == 0) & (rows <= newest[width]))
            if len(at):
                found[width] = int(rows[at[-1]])
                del left[width]
        end = begin
    return found


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
