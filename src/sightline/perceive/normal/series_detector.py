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
from sightline.perceive.normal.portable_logarithm import expm1, log1p
from sightline.perceive.normal.settings import LEAST_SPREAD, NormalSettings
from sightline.perceive.normal.usual_distance import UsualDistance
from sightline.perceive.normal.window_features import bounded, window_features
from sightline.records.detections import BoolArray
from sightline.records.state_format import StateFormat
from sightline.records.windows import FloatArray

DETECTOR_FORMAT = 1
_FORMAT = StateFormat(
    kind="a detector",
    version=DETECTOR_FORMAT,
    where="SeriesDetector",
    action="train again with this version",
)
_PIECE_ROWS = 1 << 12  # so that what is worked on stays in the processor's cache


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
    """What is known of windows of one width, in looks, the newest last."""

    width: int
    spread: FloatArray  # float64[6]
    memory: NormalMemory
    usual: UsualDistance
    waiting: FloatArray  # float64[waits, 6], looks that are to be learnt
    waiting_distance: FloatArray  # float64[waits]
    waiting_score: FloatArray  # float64[waits], of all widths together, for `learns_below`
    stands: float  # deviations at the last look


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SeriesDetector:
    """The state of a detector: a value; following a series gives the next one.

    Attributes:
        settings: how it compares.
        learnt_rows: samples it has begun with.
        rows: samples taken in, those included.

    >>> rng = np.random.default_rng(0)
    >>> series = np.sin(np.arange(3000) / 20) + rng.normal(0, 0.05, 3000)
    >>> series[2500:2520] = 0.0
    >>> detector = SeriesDetector.learn(series[:750])
    >>> scores, detector = detector.follow(series[750:])
    >>> 2500 <= 750 + int(np.argmax(scores.score)) < 2540
    True
    """

    settings: NormalSettings
    learnt_rows: int
    rows: int
    _recent: FloatArray
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
        values = bounded(values)
        known = values[np.isfinite(values)]
        if len(known) < settings.least_learning:
            raise _nothing_known(settings, f"{len(known)} of {len(values)} samples")
        least = max(
            settings.least_share_of_range * float(np.ptp(known)),
            settings.least_share_of_size * float(np.abs(known).max()),
            LEAST_SPREAD,
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
            learnt_rows=len(values),
            rows=len(values),
            _recent=values[-settings.widths[-1] :].astype(np.float64),
            _widths=tuple(widths),
        )

    @property
    def widths(self) -> tuple[int, ...]:
        """The widths that could be learnt, in samples."""
        return tuple(one.width for one in self._widths)

    @property
    def recent(self) -> FloatArray:
        """float64[b], the newest samples it has taken in, at most as many as the widest window."""
        return self._recent

    def known(self, width: int) -> tuple[FloatArray, NormalMemory, UsualDistance]:
        """Of a width that could be learnt: the spread features are divided by, float64[6] in the
        unit of the samples, the memory of those that were normal, and what distance is usual.

        Raises:
            KeyError: no such width.
        """
        for one in self._widths:
            if one.width == width:
                return one.spread, one.memory, one.usual
        raise KeyError(width)

    def follow(self, values: FloatArray) -> tuple[SeriesScores, Self]:
        """Score the samples that come next, and learn from them when their time has come.

        Cutting a series into several calls changes no bit of any score.

        Args:
            values: float64[n], evenly spaced after those before; NaN is missing.
        """
        parts: list[FloatArray] = []
        values = bounded(values)
        state = self
        most = self._piece_rows()
        for begin in range(0, len(values), most):
            by_width, state = state._follow_piece(values[begin : begin + most])
            parts.append(by_width)
        found = np.concatenate(parts) if parts else np.empty((0, len(self._widths)))
        return SeriesScores(score=combined(found), by_width=found), state

    def _piece_rows(self) -> int:
        """Samples that are taken at a time."""
        settings = self.settings
        if settings.learns_below is None or settings.learns_below <= 0:
            return _PIECE_ROWS
        # No longer than the shortest delay: whether a look is learnt hangs on the score that all
        # widths gave it together, so that must be known.
        return min(settings.waits(w) * settings.step(w) for w in self.widths)

    def _follow_piece(self, values: FloatArray) -> tuple[FloatArray, Self]:
        settings = self.settings
        features = window_features(values, widths=self.widths, before=self._recent)
        looked = []
        by_width = np.empty((len(values), len(self._widths)))
        for place, one in enumerate(self._widths):
            step = settings.step(one.width)
            first = -(self.rows - self.learnt_rows) % step
            scaled = features[first::step, place] / one.spread
            n = len(scaled)
            waiting = np.concatenate([one.waiting, scaled])
            normal = waiting[:n]
            if settings.learns_below is not None:
                normal = normal.copy()
                normal[~self._may_learn(one, n)] = np.nan
            distance, memory = one.memory.follow(scaled, normal)
            waiting_distance = np.concatenate([one.waiting_distance, distance])
            learnt = waiting_distance[:n]
            if settings.learns_below is not None:
                learnt = learnt.copy()
                learnt[~self._may_learn(one, n)] = np.nan
            deviations, usual = one.usual.follow(distance, learnt)
            # Between two looks the last one stands.
            shown = np.concatenate([[one.stands], deviations])
            by_width[:, place] = shown[(np.arange(len(values)) - first) // step + 1]
            after = replace(
                one,
                memory=memory,
                usual=usual,
                waiting=waiting[n:],
                waiting_distance=waiting_distance[n:],
                stands=float(shown[-1]),
            )
            looked.append((after, first, step))
        score = combined(by_width)
        widths = [
            replace(
                one,
                waiting_score=np.concatenate([one.waiting_score, score[first::step]])[
                    -len(one.waiting_score) :
                ],
            )
            for one, first, step in looked
        ]
        after_all = replace(
            self,
            rows=self.rows + len(values),
            _recent=np.concatenate([self._recent, values])[-settings.widths[-1] :],
            _widths=tuple(widths),
        )
        return by_width, after_all

    def _may_learn(self, one: _Width, looks: int) -> BoolArray:
        """bool[looks]: of the looks that have waited, which were not unusual."""
        most = self.settings.learns_below
        assert most is not None
        if most <= 0:
            return np.zeros(looks, np.bool_)
        return ~(one.waiting_score[:looks] >= most)

    def as_mapping(self) -> dict[str, Any]:
        """JSON-ready; NaN as None."""
        return {
            "format": DETECTOR_FORMAT,
            "settings": self.settings.as_mapping(),
            "learnt_rows": self.learnt_rows,
            "rows": self.rows,
            "recent": _plain(self._recent),
            "widths": [
                {
                    "width": one.width,
                    "spread": one.spread.tolist(),
                    "memory": one.memory.as_mapping(),
                    "usual": [one.usual.count, one.usual.mean, one.usual.variance],
                    "middle": one.usual.middle,
                    "waiting": [_plain(row) for row in one.waiting],
                    "waiting_distance": _plain(one.waiting_distance),
                    "waiting_score": _plain(one.waiting_score),
                    "stands": None if np.isnan(one.stands) else one.stands,
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
        _FORMAT.check(plain)
        settings = NormalSettings.from_mapping(plain["settings"])
        return cls(
            settings=settings,
            learnt_rows=int(plain["learnt_rows"]),
            rows=int(plain["rows"]),
            _recent=np.array(plain["recent"], np.float64),
            _widths=tuple(
                _Width(
                    width=int(one["width"]),
                    spread=np.array(one["spread"], np.float64),
                    memory=NormalMemory.from_mapping(one["memory"]),
                    usual=UsualDistance(
                        count=int(one["usual"][0]),
                        mean=float(one["usual"][1]),
                        variance=float(one["usual"][2]),
                        middle=float(one["middle"]),
                        clip=settings.clip,
                        least=settings.least_distance,
                        least_weight=settings.least_weight * settings.step(int(one["width"])),
                    ),
                    waiting=np.array(one["waiting"], np.float64).reshape(-1, 6),
                    waiting_distance=np.array(one["waiting_distance"], np.float64),
                    waiting_score=np.array(one["waiting_score"], np.float64),
                    stands=np.nan if one["stands"] is None else float(one["stands"]),
                )
                for one in plain["widths"]
            ),
        )


def combined(by_width: FloatArray) -> FloatArray:
    """float64[n]: exp(mean of log(1 + z)) - 1 over the widths that are known, with z >= 0.

    Args:
        by_width: float64[n, w], NaN for unknown.

    >>> z = np.array([[3.0, 3.0], [0.0, 15.0], [-2.0, np.nan], [np.nan, np.nan]])
    >>> combined(z).round(12).tolist()
    [3.0, 3.0, 0.0, nan]
    """
    is_known = np.isfinite(by_width)
    known = is_known.sum(axis=1)
    beyond = np.maximum(np.where(is_known, by_width, 0.0), 0.0)
    logs = np.where(is_known, log1p(beyond.ravel()).reshape(beyond.shape), 0.0)
    total = np.zeros(len(by_width))
    for column in logs.T:  # one after the other: a sum that does not depend on how many rows
        total += column
    found: FloatArray = np.where(known > 0, expm1(total / np.maximum(known, 1)), np.nan)
    return found


def _learnt(
    features: FloatArray, width: int, settings: NormalSettings, least: float
) -> _Width | None:
    """What the learning stretch says of one width; None if it is too short for it."""
    step = settings.step(width)
    # On a grid that ends with the stretch; the one of later looks begins where it ends.
    looks = features[::-1][::step][::-1]
    is_known = np.isfinite(looks).all(axis=1)
    apart = max(width, round(settings.apart_share * len(features)))
    if is_known.sum() * step < apart + width:
        return None
    spread = np.maximum(looks[is_known].std(axis=0), least)
    scaled = looks / spread
    usual = UsualDistance.of(
        scaled,
        exclude=-(-apart // step),
        clip=settings.clip,
        least=settings.least_distance,
        least_weight=settings.least_weight * step,
    )
    if usual is None:
        return None
    waits = settings.waits(width)
    return _Width(
        width=width,
        spread=spread,
        memory=NormalMemory.of(
            scaled,
            size=settings.memory_size,
            forgets=settings.forgets,
            spacing=settings.spacing_share * usual.middle,
        ),
        usual=usual,
        # All of the stretch is learnt already: what waits at first is nothing.
        waiting=np.full((waits, 6), np.nan),
        waiting_distance=np.full(waits, np.nan),
        waiting_score=np.full(waits, np.nan),
        stands=np.nan,
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
