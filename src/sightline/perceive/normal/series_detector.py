"""How unlike its own past a series is, at several scales at once, without labels.

Windows of each width become six statistics; their distance to a bounded memory of the past,
in deviations beyond what is usual for that series, is the score of that width; the scores of the
widths are averaged as logarithms, so that agreement counts for more than one loud width.

When not to use it: on series without a past that returns (a counter that only rises: take its
differences first), or where what matters is slower than the widest window.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from sightline.errors import UsageError
from sightline.perceive.normal.memory import NormalMemory
from sightline.perceive.normal.settings import NormalSettings
from sightline.perceive.normal.usual_distance import UsualDistance
from sightline.perceive.normal.window_features import window_features
from sightline.records.detections import BoolArray
from sightline.records.windows import FloatArray

DETECTOR_FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SeriesScores:
    """How unusual n samples are.

    Attributes:
        score: float64[n], 0 or more, 1 for one deviation at every width; NaN where nothing is
            known, because too many samples are missing.
        by_width: float64[n, w], deviations beyond the usual distance, of any sign; NaN likewise.
    """

    score: FloatArray
    by_width: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Width:
    """What is known of windows of one width; ``waiting`` may be learnt in the order of rows."""

    width: int
    spread: FloatArray
    memory: NormalMemory
    usual: UsualDistance
    waiting: FloatArray  # float64[delay, 6]
    waiting_distance: FloatArray  # float64[delay]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SeriesDetector:
    """The state of a detector: a value; following a series gives the next one.

    Attributes:
        settings: how it compares.
        rows: samples taken in, those it learnt from included.

    >>> rng = np.random.default_rng(0)
    >>> series = np.sin(np.arange(3000) / 20) + rng.normal(0, 0.05, 3000)
    >>> series[2500:2520] = 0.0
    >>> detector = SeriesDetector.learn(series[:750])
    >>> scores, detector = detector.follow(series[750:])
    >>> 2500 <= 750 + int(np.argmax(scores.score)) < 2540
    True
    """

    settings: NormalSettings
    rows: int
    _recent: FloatArray
    _scored: FloatArray  # the scores of the rows that wait, for `learns_below`
    _widths: tuple[_Width, ...]

    @classmethod
    def learn(cls, values: FloatArray, settings: NormalSettings | None = None) -> Self:
        """Begin with a stretch of the past that is taken as normal.

        Widths of which the stretch holds fewer than two windows apart are left out.

        Args:
            values: float64[n], in order of time, evenly spaced; NaN is missing.
            settings: default: ``NormalSettings()``.

        Raises:
            UsageError: too short, or too much of it is missing: nothing can be known yet.
        """
        settings = settings or NormalSettings()
        known = values[np.isfinite(values)]
        if len(known) < settings.least_learning:
            raise _nothing_known(settings, f"{len(known)} of {len(values)} samples")
        least = max(
            settings.least_share_of_range * float(np.ptp(known)),
            settings.least_share_of_size * float(np.abs(known).max()),
            float(np.finfo(np.float64).tiny),
        )
        features = window_features(values, widths=settings.widths)
        widths = []
        for place, width in enumerate(settings.widths):
            found = _learnt(features[:, place], width, settings, least)
            if found is not None:
                widths.append(found)
        if not widths:
            raise _nothing_known(settings, "no two windows of one width that are apart")
        return cls(
            settings=settings,
            rows=len(values),
            _recent=values[-settings.widths[-1] :].astype(np.float64),
            _scored=np.full(max(_delay(settings, w.width) for w in widths), np.nan),
            _widths=tuple(widths),
        )

    @property
    def widths(self) -> tuple[int, ...]:
        """The widths that could be learnt, in samples."""
        return tuple(one.width for one in self._widths)

    def follow(self, values: FloatArray) -> tuple[SeriesScores, Self]:
        """Score the samples that come next, and learn from them when their time has come.

        Cutting a series into several calls changes no bit of any score.

        Args:
            values: float64[n], evenly spaced after those before; NaN is missing.
        """
        parts: list[FloatArray] = []
        state = self
        # No longer than the shortest delay: what a piece learns was scored in pieces before.
        step = min(_delay(self.settings, one.width) for one in self._widths)
        for begin in range(0, len(values), step):
            by_width, state = state._follow_piece(values[begin : begin + step])
            parts.append(by_width)
        found = np.concatenate(parts) if parts else np.empty((0, len(self._widths)))
        return SeriesScores(score=combined(found), by_width=found), state

    def _follow_piece(self, values: FloatArray) -> tuple[FloatArray, Self]:
        settings = self.settings
        features = window_features(values, widths=self.widths, before=self._recent)
        may_learn = np.ones(len(self._scored), np.bool_)
        if settings.learns_below is not None:
            may_learn = ~(self._scored >= settings.learns_below)
        by_width, widths = [], []
        for place, one in enumerate(self._widths):
            scaled = features[:, place] / one.spread
            waiting = np.concatenate([one.waiting, scaled])
            normal = waiting[: len(values)].copy()
            normal[~_released(may_learn, len(one.waiting), len(values))] = np.nan
            distance, memory = one.memory.follow(scaled, normal)
            waiting_distance = np.concatenate([one.waiting_distance, distance])
            learnt = waiting_distance[: len(values)].copy()
            learnt[~_released(may_learn, len(one.waiting_distance), len(values))] = np.nan
            deviations, usual = one.usual.follow(distance, learnt)
            by_width.append(deviations)
            widths.append(
                replace(
                    one,
                    memory=memory,
                    usual=usual,
                    waiting=waiting[len(values) :],
                    waiting_distance=waiting_distance[len(values) :],
                )
            )
        found = np.stack(by_width, axis=1)
        after = replace(
            self,
            rows=self.rows + len(values),
            _recent=np.concatenate([self._recent, values])[-settings.widths[-1] :],
            _scored=np.concatenate([self._scored, combined(found)])[len(values) :],
            _widths=tuple(widths),
        )
        return found, after

    def as_mapping(self) -> dict[str, Any]:
        """JSON-ready; NaN as None."""
        return {
            "format": DETECTOR_FORMAT,
            "settings": self.settings.as_mapping(),
            "rows": self.rows,
            "recent": _plain(self._recent),
            "scored": _plain(self._scored),
            "widths": [
                {
                    "width": one.width,
                    "spread": one.spread.tolist(),
                    "memory": one.memory.as_mapping(),
                    "usual": [one.usual.count, one.usual.mean, one.usual.variance],
                    "waiting": [_plain(row) for row in one.waiting],
                    "waiting_distance": _plain(one.waiting_distance),
                }
                for one in self._widths
            ],
        }

    @classmethod
    def from_mapping(cls, plain: Mapping[str, Any]) -> Self:
        """Inverse of :meth:`as_mapping`.

        Raises:
            UsageError: of another format.
            KeyError, TypeError, ValueError: if it is no detector.
        """
        if plain["format"] != DETECTOR_FORMAT:
            raise UsageError(
                expected=f"a detector of format {DETECTOR_FORMAT}",
                got=str(plain["format"]),
                where="SeriesDetector",
                action="train again with this version",
            )
        settings = NormalSettings.from_mapping(plain["settings"])
        return cls(
            settings=settings,
            rows=int(plain["rows"]),
            _recent=np.array(plain["recent"], np.float64),
            _scored=np.array(plain["scored"], np.float64),
            _widths=tuple(
                _Width(
                    width=int(one["width"]),
                    spread=np.array(one["spread"], np.float64),
                    memory=NormalMemory.from_mapping(one["memory"]),
                    usual=UsualDistance(
                        count=int(one["usual"][0]),
                        mean=float(one["usual"][1]),
                        variance=float(one["usual"][2]),
                        clip=settings.clip,
                        least=settings.least_distance,
                    ),
                    waiting=np.array(one["waiting"], np.float64).reshape(-1, 6),
                    waiting_distance=np.array(one["waiting_distance"], np.float64),
                )
                for one in plain["widths"]
            ),
        )


def combined(by_width: FloatArray) -> FloatArray:
    """float64[n]: exp(mean of log(1 + z)) - 1 over the widths that are known, with z >= 0.

    Args:
        by_width: float64[n, w], NaN for unknown.

    >>> combined(np.array([[3.0, 3.0], [0.0, 15.0], [-2.0, np.nan], [np.nan, np.nan]])).tolist()
    [3.0, 3.0, 0.0, nan]
    """
    is_known = np.isfinite(by_width)
    known = is_known.sum(axis=1)
    logs = np.where(is_known, np.log1p(np.maximum(np.where(is_known, by_width, 0.0), 0.0)), 0.0)
    total = np.zeros(len(by_width))
    for column in logs.T:  # one after the other: a sum that does not depend on how many rows
        total += column
    found: FloatArray = np.where(known > 0, np.expm1(total / np.maximum(known, 1)), np.nan)
    return found


def _released(may_learn: BoolArray, delay: int, rows: int) -> BoolArray:
    """bool[rows]: of the rows that have waited for ``delay``, which may be learnt now."""
    return may_learn[len(may_learn) - delay :][:rows]


def _delay(settings: NormalSettings, width: int) -> int:
    return max(settings.delay, width + 1)


def _learnt(
    features: FloatArray, width: int, settings: NormalSettings, least: float
) -> _Width | None:
    """What the learning stretch says of one width; None if it is too short for it."""
    is_known = np.isfinite(features).all(axis=1)
    if is_known.sum() < width + 2:
        return None
    spread = np.maximum(features[is_known].std(axis=0), least)
    scaled = features / spread
    usual = UsualDistance.of(
        scaled[np.argmax(is_known) :],
        exclude=width + 1,
        clip=settings.clip,
        least=settings.least_distance,
    )
    if usual is None:
        return None
    return _Width(
        width=width,
        spread=spread,
        memory=NormalMemory.of(scaled, size=settings.memory_size, forgets=settings.forgets),
        usual=usual,
        # All of the stretch is learnt already: what waits at first is nothing.
        waiting=np.full((_delay(settings, width), 6), np.nan),
        waiting_distance=np.full(_delay(settings, width), np.nan),
    )


def _nothing_known(settings: NormalSettings, got: str) -> UsageError:
    return UsageError(
        expected=f"{settings.least_learning} or more samples to learn from, with few missing",
        got=got,
        where="SeriesDetector.learn",
        action="wait for more data: until then nothing is known to be normal",
    )


def _plain(values: FloatArray) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in values.tolist()]
