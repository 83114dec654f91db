"""How unlike its own past the pace of a series is: the memory of normal on spectra of windows.

As :class:`.SeriesDetector`, with root energies in octaves for its features: bounded memories of
what was normal, one per width, and the distance to them in deviations beyond the usual.

When not to use it: alone, or where samples are missing often: a window with a hole has no spectrum
here, and nothing is said of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from sightline.errors import UsageError
from sightline.perceive.normal.memory import NormalMemory
from sightline.perceive.normal.series_detector import SeriesScores, combined
from sightline.perceive.normal.settings import LEAST_SPREAD, NormalSettings
from sightline.perceive.normal.spectrum import OCTAVES, octave_spectrum
from sightline.perceive.normal.usual_distance import UsualDistance
from sightline.perceive.normal.window_features import bounded
from sightline.records.state_format import StateFormat
from sightline.records.windows import FloatArray

SPECTRUM_FORMAT = 1
_FORMAT = StateFormat(
    kind="a spectrum detector",
    version=SPECTRUM_FORMAT,
    where="SpectrumDetector",
    action="train again with this version",
)
_PIECE_ROWS = 1 << 12


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Width:
    """What is known of windows of one width, in looks, the newest last."""

    width: int
    spread: FloatArray  # float64[OCTAVES]
    memory: NormalMemory
    usual: UsualDistance
    waiting: FloatArray  # float64[waits, OCTAVES], looks that are to be learnt
    waiting_distance: FloatArray  # float64[waits]
    stands: float  # deviations at the last look


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SpectrumDetector:
    """The state of a detector: a value; following a series gives the next one.

    Attributes:
        settings: as of the memory of normal; ``learns_below`` is None (all is learnt) or 0
            (nothing is after the beginning).
        learnt_rows: samples it has begun with.
        rows: samples taken in, those included.

    >>> series = np.sin(np.arange(3000) / 6) + np.random.default_rng(0).normal(0, 0.05, 3000)
    >>> series[2500:2560] = np.sin(np.arange(60) / 2)
    >>> detector = SpectrumDetector.learn(series[:750])
    >>> scores, detector = detector.follow(series[750:])
    >>> 2500 <= 750 + int(np.argmax(scores.score)) < 2600
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

        Args:
            values: float64[n], in order of time, evenly spaced; NaN is missing.
            settings: default: ``NormalSettings()``.

        Raises:
            UsageError: too short, or too much of it is missing: nothing can be known yet; or
                settings that learn only below a score.
        """
        settings = settings or NormalSettings()
        if settings.learns_below is not None and settings.learns_below > 0:
            raise UsageError(
                expected="learns_below None or 0",
                got=str(settings.learns_below),
                where="SpectrumDetector.learn",
                action="let it learn all that has lasted, or nothing",
            )
        values = bounded(values)
        known = values[np.isfinite(values)]
        widths: list[_Width] = []
        if len(known) >= settings.least_learning:
            least = max(
                settings.least_share_of_range * float(np.ptp(known)),
                settings.least_share_of_size * float(np.abs(known).max()),
                LEAST_SPREAD,
            )
            found = (_learnt(values, width, settings, least) for width in settings.widths)
            widths = [one for one in found if one is not None]
        if not widths:
            raise UsageError(
                expected=f"{settings.least_learning} or more samples to learn from, two windows "
                "that are apart and whole among them",
                got=f"{len(known)} of {len(values)} samples",
                where="SpectrumDetector.learn",
                action="wait for more data: until then nothing is known to be normal",
            )
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

    def follow(self, values: FloatArray) -> tuple[SeriesScores, Self]:
        """Score the samples that come next, and learn from them when their time has come.

        Cutting a series into several calls changes no bit of any score.

        Args:
            values: float64[n], evenly spaced after those before; NaN is missing.
        """
        parts: list[FloatArray] = []
        values = bounded(values)
        state = self
        for begin in range(0, len(values), _PIECE_ROWS):
            by_width, state = state._follow_piece(values[begin : begin + _PIECE_ROWS])
            parts.append(by_width)
        found = np.concatenate(parts) if parts else np.empty((0, len(self._widths)))
        return SeriesScores(score=combined(found), by_width=found), state

    def _follow_piece(self, values: FloatArray) -> tuple[FloatArray, Self]:
        by_width = np.empty((len(values), len(self._widths)))
        widths = []
        for place, one in enumerate(self._widths):
            step = self.settings.step(one.width)
            first = -(self.rows - self.learnt_rows) % step
            before = np.concatenate([self._recent, values[:first]])
            looks = octave_spectrum(values[first:], widths=(one.width,), step=step, before=before)
            scaled = looks[:, 0] / one.spread
            n = len(scaled)
            waiting = np.concatenate([one.waiting, scaled])
            normal = waiting[:n] if self._learns else np.full_like(scaled, np.nan)
            distance, memory = one.memory.follow(scaled, normal)
            waiting_distance = np.concatenate([one.waiting_distance, distance])
            learnt = waiting_distance[:n] if self._learns else np.full(n, np.nan)
            deviations, usual = one.usual.follow(distance, learnt)
            # Between two looks the last one stands.
            shown = np.concatenate([[one.stands], deviations])
            by_width[:, place] = shown[(np.arange(len(values)) - first) // step + 1]
            widths.append(
                replace(
                    one,
                    memory=memory,
                    usual=usual,
                    waiting=waiting[n:],
                    waiting_distance=waiting_distance[n:],
                    stands=float(shown[-1]),
                )
            )
        after = replace(
            self,
            rows=self.rows + len(values),
            _recent=np.concatenate([self._recent, values])[-self.settings.widths[-1] :],
            _widths=tuple(widths),
        )
        return by_width, after

    @property
    def _learns(self) -> bool:
        return self.settings.learns_below is None

    def as_mapping(self) -> dict[str, Any]:
        """JSON-ready; NaN as None."""
        return {
            "format": SPECTRUM_FORMAT,
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
                    "stands": _plain(np.array([one.stands]))[0],
                }
                for one in self._widths
            ],
        }

    @classmethod
    def from_mapping(cls, given: Mapping[str, Any]) -> Self:
        """Inverse of :meth:`as_mapping`.

        Raises:
            UsageError: of another format.
            KeyError, TypeError, ValueError: if it is no detector.
        """
        _FORMAT.check(given)
        settings = NormalSettings.from_mapping(given["settings"])
        return cls(
            settings=settings,
            learnt_rows=int(given["learnt_rows"]),
            rows=int(given["rows"]),
            _recent=np.array(given["recent"], np.float64),
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
                    waiting=np.array(one["waiting"], np.float64).reshape(-1, OCTAVES),
                    waiting_distance=np.array(one["waiting_distance"], np.float64),
                    stands=np.nan if one["stands"] is None else float(one["stands"]),
                )
                for one in given["widths"]
            ),
        )


def _learnt(
    values: FloatArray, width: int, settings: NormalSettings, least: float
) -> _Width | None:
    """What the learning stretch says of one width; None if it is too short for it."""
    step = settings.step(width)
    # On a grid that ends with the stretch; the one of later looks begins where it ends.
    start = (len(values) - 1) % step
    looks = octave_spectrum(values[start:], widths=(width,), step=step, before=values[:start])[:, 0]
    is_known = np.isfinite(looks).all(axis=1)
    apart = max(width, round(settings.apart_share * len(values)))
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
        waiting=np.full((waits, OCTAVES), np.nan),
        waiting_distance=np.full(waits, np.nan),
        stands=np.nan,
    )


def _plain(values: FloatArray) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in values.tolist()]
