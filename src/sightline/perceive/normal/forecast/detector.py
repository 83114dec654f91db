"""How little of a series could be expected from its past, at several scales, without labels.

At each scale a ridge regression forecasts the next mean of a few samples from those before it and,
where there are any, from inputs that are known beside (commands). The size of its errors is
averaged over windows and compared with what is usual; the scales are averaged as logarithms, as
those of the memory of normal are.

A second opinion, seldom a better one: it sees what breaks the dynamics of a series, and is blind to
what goes on smoothly where it never was. When not to use it: alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from sightline.errors import UsageError
from sightline.perceive.normal.forecast.scale import ForecastScale, plain
from sightline.perceive.normal.forecast.settings import MAX_INPUTS, ForecastSettings
from sightline.perceive.normal.series_detector import SeriesScores, combined
from sightline.records.state_format import StateFormat
from sightline.records.windows import FloatArray

FORECAST_FORMAT = 1
MOST_DEVIATIONS = 1e4
"""Samples further out than this many deviations of the learning stretch count as that far."""
_FORMAT = StateFormat(
    kind="a forecast detector",
    version=FORECAST_FORMAT,
    where="ForecastDetector",
    action="train again with this version",
)
_PIECE_ROWS = 1 << 12


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ForecastDetector:
    """The state of a detector: a value; following a series gives the next one.

    Attributes:
        settings: how it forecasts.
        learnt_rows: samples it has begun with.
        rows: samples taken in, those included.
        input_columns: known beside the series.
        middle, spread: of the learning stretch, in the unit of the samples.

    >>> rng = np.random.default_rng(0)
    >>> series = np.sin(np.arange(3000) / 20) + rng.normal(0, 0.05, 3000)
    >>> series[2500:2520] = 0.0
    >>> detector = ForecastDetector.learn(series[:750])
    >>> scores, detector = detector.follow(series[750:])
    >>> 2500 <= 750 + int(np.argmax(scores.score)) < 2540
    True
    """

    settings: ForecastSettings
    learnt_rows: int
    rows: int
    input_columns: int
    middle: float
    spread: float
    _recent: FloatArray  # float64[greatest pool], in deviations
    _recent_inputs: FloatArray  # float64[delay, e]
    _scales: tuple[ForecastScale, ...]

    @classmethod
    def learn(
        cls,
        values: FloatArray,
        settings: ForecastSettings | None = None,
        inputs: FloatArray | None = None,
    ) -> Self:
        """Begin with a stretch of the past that is taken as normal.

        Widths that the stretch is too short for are left out.

        Args:
            values: float64[n], in order of time, evenly spaced; NaN is missing.
            settings: default: ``ForecastSettings()``.
            inputs: float64[n, e], what is known of each row beside its value (commands, and how
                many there were of late: :func:`.command_context`); NaN counts as 0.

        Raises:
            UsageError: too short, or too much of it is missing: nothing can be known yet; or
                inputs that do not fit.
        """
        settings = settings or ForecastSettings()
        beside = _inputs(inputs, len(values), 0 if inputs is None else inputs.shape[-1])
        known = values[np.isfinite(values)]
        if len(known) < 2 * settings.widths[0] + 2:
            raise _nothing_known(f"{len(known)} of {len(values)} samples")
        least = max(
            settings.least_share_of_range * float(np.ptp(known)),
            settings.least_share_of_size * float(np.abs(known).max()),
            float(np.finfo(np.float64).tiny),
        )
        middle, spread = float(known.mean()), max(float(known.std()), least)
        scaled = _scaled(values, middle, spread)
        found = (
            ForecastScale.learn(
                scaled, beside, width=width, settings=settings, least=least / spread
            )
            for width in settings.widths
        )
        scales = tuple(one for one in found if one is not None)
        if not scales:
            raise _nothing_known("no width with two windows of errors")
        rows = np.zeros((settings.delay, beside.shape[1]))
        return cls(
            settings=settings,
            learnt_rows=len(values),
            rows=len(values),
            input_columns=beside.shape[1],
            middle=middle,
            spread=spread,
            _recent=scaled[-settings.pool(settings.widths[-1]) :],
            _recent_inputs=np.concatenate([rows, beside])[-settings.delay :],
            _scales=scales,
        )

    @property
    def widths(self) -> tuple[int, ...]:
        """The widths that could be learnt, in samples."""
        return tuple(one.width for one in self._scales)

    def follow(
        self, values: FloatArray, inputs: FloatArray | None = None
    ) -> tuple[SeriesScores, Self]:
        """Score the samples that come next, and learn from them when their time has come.

        Cutting a series into several calls changes no bit of any score.

        Args:
            values: float64[n], evenly spaced after those before; NaN is missing.
            inputs: float64[n, e], as many columns as were learnt with.

        Raises:
            UsageError: inputs that do not fit.
        """
        beside = _inputs(inputs, len(values), self.input_columns)
        parts: list[FloatArray] = []
        state = self
        for begin in range(0, len(values), _PIECE_ROWS):
            piece = slice(begin, begin + _PIECE_ROWS)
            by_width, state = state._follow_piece(values[piece], beside[piece])
            parts.append(by_width)
        found = np.concatenate(parts) if parts else np.empty((0, len(self._scales)))
        return SeriesScores(score=combined(found), by_width=found), state

    def _follow_piece(self, values: FloatArray, inputs: FloatArray) -> tuple[FloatArray, Self]:
        scaled = _scaled(values, self.middle, self.spread)
        beside = np.concatenate([self._recent_inputs, inputs])
        each = [one.follow(scaled, self._recent, beside) for one in self._scales]
        after = replace(
            self,
            rows=self.rows + len(values),
            _recent=np.concatenate([self._recent, scaled])[-len(self._recent) :],
            _recent_inputs=beside[-self.settings.delay :],
            _scales=tuple(state for _, state in each),
        )
        return np.stack([deviations for deviations, _ in each], axis=1), after

    def as_mapping(self) -> dict[str, Any]:
        """JSON-ready; NaN as None."""
        return {
            "format": FORECAST_FORMAT,
            "settings": self.settings.as_mapping(),
            "learnt_rows": self.learnt_rows,
            "rows": self.rows,
            "input_columns": self.input_columns,
            "middle": self.middle,
            "spread": self.spread,
            "recent": plain(self._recent),
            "recent_inputs": self._recent_inputs.tolist(),
            "scales": [one.as_mapping() for one in self._scales],
        }

    @classmethod
    def from_mapping(cls, given: Mapping[str, Any]) -> Self:
        """Inverse of :meth:`as_mapping`.

        Raises:
            UsageError: of another format.
            KeyError, TypeError, ValueError: if it is no detector.
        """
        _FORMAT.check(given)
        settings = ForecastSettings.from_mapping(given["settings"])
        columns = int(given["input_columns"])
        return cls(
            settings=settings,
            learnt_rows=int(given["learnt_rows"]),
            rows=int(given["rows"]),
            input_columns=columns,
            middle=float(given["middle"]),
            spread=float(given["spread"]),
            _recent=np.array(given["recent"], np.float64),
            _recent_inputs=np.array(given["recent_inputs"], np.float64).reshape(
                settings.delay, columns
            ),
            _scales=tuple(ForecastScale.from_mapping(one, settings) for one in given["scales"]),
        )


def _scaled(values: FloatArray, middle: float, spread: float) -> FloatArray:
    with np.errstate(over="ignore"):  # a spread of almost nothing: then it is far out
        scaled = (np.asarray(values, np.float64) - middle) / spread
    known = np.where(np.isinf(values), np.nan, scaled)
    found: FloatArray = np.clip(known, -MOST_DEVIATIONS, MOST_DEVIATIONS)
    return found


def _inputs(inputs: FloatArray | None, rows: int, columns: int) -> FloatArray:
    found = np.zeros((rows, columns)) if inputs is None and columns == 0 else inputs
    if found is None or found.shape != (rows, columns) or columns > MAX_INPUTS:
        raise UsageError(
            expected=f"inputs of {rows} rows and {columns} columns, at most {MAX_INPUTS}",
            got="none" if found is None else str(list(found.shape)),
            where="ForecastDetector, inputs",
            action="give what is known beside each row, as it was while learning",
        )
    return np.ascontiguousarray(np.nan_to_num(found, nan=0.0, posinf=0.0, neginf=0.0), np.float64)


def _nothing_known(got: str) -> UsageError:
    return UsageError(
        expected="enough samples for two windows of the narrowest width, with few missing",
        got=got,
        where="ForecastDetector.learn",
        action="wait for more data: until then nothing is known to be normal",
    )
