"""One scale of a series: its means over a few samples, forecast from those before them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from sightline.perceive.deviation import MAD_TO_SIGMA
from sightline.perceive.normal.forecast import kernels
from sightline.perceive.normal.forecast.settings import ForecastSettings
from sightline.perceive.normal.usual_distance import UsualDistance
from sightline.perceive.normal.window_features import STATISTICS, window_features
from sightline.records.windows import FloatArray

_MEAN = STATISTICS.index("mean")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ForecastScale:
    """A ridge forecaster of one width, and what size of its averaged errors is usual.

    All in deviations of the learning stretch; d = lags + inputs + 1.

    Attributes:
        width, settings: see there.
        weights, gram, moment, total, scale, pending, missing: :class:`.reference.Fit`.
        usual: averaged errors that are usual.
        filled: float64[delay + lags * pool], the last values or what stands for them.
        error: float64[width], the last errors.
        waiting_error, waiting_average: float64[delay], those that are to be learnt; NaN for none.
    """

    width: int
    settings: ForecastSettings
    weights: FloatArray
    gram: FloatArray
    moment: FloatArray
    total: float
    scale: float
    pending: int
    missing: int
    usual: UsualDistance
    filled: FloatArray
    error: FloatArray
    waiting_error: FloatArray
    waiting_average: FloatArray

    @classmethod
    def learn(
        cls,
        values: FloatArray,
        inputs: FloatArray,
        *,
        width: int,
        settings: ForecastSettings,
        least: float,
    ) -> Self | None:
        """From float64[n] and float64[n, e]; None if the stretch says too little of this width.

        Args:
            values: in deviations; NaN is missing.
            inputs: known beside them.
            width, settings: see the class.
            least: averaged error that is at least one deviation.
        """
        pool = settings.pool(width)
        if len(values) < settings.least_learning(width):
            return None
        target = pooled(values, pool)
        filled = _held(target, width)
        error, weights, gram, moment, total, scale = kernels.learned(
            target, filled, inputs, settings.lags, pool, settings.ridge, settings.clip
        )
        average = _averaged(error, width)
        known = average[np.isfinite(average)]
        if len(known) < width:
            return None
        middle = float(np.median(known))
        spread = MAD_TO_SIGMA * float(np.median(np.abs(known - middle))) + least
        most = 2 * settings.clip * spread
        near = np.clip(known, middle - most, middle + most)
        return cls(
            width=width,
            settings=settings,
            weights=weights,
            gram=gram,
            moment=moment,
            total=total,
            scale=scale,
            pending=0,
            missing=0,
            usual=UsualDistance(
                count=len(known),
                mean=float(near.mean()),
                variance=float(near.var()),
                middle=middle,
                clip=settings.clip,
                least=least,
                least_weight=settings.least_weight,
            ),
            filled=_last(filled, settings.delay + settings.lags * pool),
            error=_last(error, width),
            # All of the stretch is learnt already: what waits at first is nothing.
            waiting_error=np.full(settings.delay, np.nan),
            waiting_average=np.full(settings.delay, np.nan),
        )

    def follow(
        self, values: FloatArray, before: FloatArray, inputs: FloatArray
    ) -> tuple[FloatArray, Self]:
        """float64[n]: deviations of the averaged error beyond the usual; the next state.

        Args:
            values: float64[n], in deviations.
            before: float64[b], the samples before them; ``pool`` of them are enough.
            inputs: float64[delay + n, e], those of the rows before first.
        """
        settings, n = self.settings, len(values)
        pool = settings.pool(self.width)
        target = pooled(np.concatenate([before, values]), pool)[len(before) :]
        error, filled, gram, moment, weights, total, scale, pending, missing = kernels.followed(
            target,
            self.filled,
            inputs,
            self.waiting_error,
            self.gram,
            self.moment,
            self.weights,
            self.total,
            self.scale,
            self.pending,
            self.missing,
            settings.lags,
            pool,
            settings.refit_rows,
            settings.ridge,
            settings.clip,
            settings.least_weight,
            settings.learns,
        )
        average = _averaged(error, self.width, before=self.error)
        waiting = np.concatenate([self.waiting_average, average])
        learnt = waiting[:n] if settings.learns else np.full(n, np.nan)
        deviations, usual = self.usual.follow(average, learnt)
        after = replace(
            self,
            weights=weights,
            gram=gram,
            moment=moment,
            total=total,
            scale=scale,
            pending=pending,
            missing=missing,
            usual=usual,
            filled=_last(np.concatenate([self.filled, filled]), len(self.filled)),
            error=_last(np.concatenate([self.error, error]), self.width),
            waiting_error=_last(np.concatenate([self.waiting_error, error]), settings.delay),
            waiting_average=waiting[n:],
        )
        return deviations, after

    def as_mapping(self) -> dict[str, Any]:
        """JSON-ready; NaN as None."""
        usual = self.usual
        return {
            "width": self.width,
            "weights": self.weights.tolist(),
            "gram": self.gram.tolist(),
            "moment": self.moment.tolist(),
            "total": self.total,
            "scale": self.scale,
            "pending": self.pending,
            "missing": self.missing,
            "usual": [usual.count, usual.mean, usual.variance, usual.middle, usual.least],
            "filled": plain(self.filled),
            "error": plain(self.error),
            "waiting_error": plain(self.waiting_error),
            "waiting_average": plain(self.waiting_average),
        }

    @classmethod
    def from_mapping(cls, given: Mapping[str, Any], settings: ForecastSettings) -> Self:
        """Inverse of :meth:`as_mapping`.

        Raises:
            KeyError, TypeError, ValueError: if it is no such state.
        """
        count, mean, variance, middle, least = given["usual"]
        arrays = {
            name: np.array(given[name], np.float64)
            for name in (
                "weights",
                "gram",
                "moment",
                "filled",
                "error",
                "waiting_error",
                "waiting_average",
            )
        }
        return cls(
            width=int(given["width"]),
            settings=settings,
            total=float(given["total"]),
            scale=float(given["scale"]),
            pending=int(given["pending"]),
            missing=int(given["missing"]),
            usual=UsualDistance(
                count=int(count),
                mean=float(mean),
                variance=float(variance),
                middle=float(middle),
                clip=settings.clip,
                least=float(least),
                least_weight=settings.least_weight,
            ),
            **arrays,
        )


def pooled(values: FloatArray, pool: int) -> FloatArray:
    """float64[n]: mean of the last ``pool`` samples, those missing left out; NaN if all are.

    The first ``pool - 1`` rows are NaN: their windows have not been filled.

    >>> pooled(np.array([1.0, 3.0, np.nan, np.nan, 5.0]), 2).tolist()
    [nan, 2.0, 3.0, nan, 5.0]
    """
    n = len(values)
    total, count = np.zeros(n), np.zeros(n)
    is_known = np.isfinite(values)
    known = np.where(is_known, values, 0.0)
    for back in range(min(pool, n)):  # one after the other: a sum that no cut changes
        total[back:] += known[: n - back]
        count[back:] += is_known[: n - back]
    found: FloatArray = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    found[: pool - 1] = np.nan
    return found


def _averaged(error: FloatArray, width: int, before: FloatArray | None = None) -> FloatArray:
    """float64[n]: root of the mean square over the window that ends at each row.

    The root mean square, so that one sample far out is seen as well as many a little out.
    """
    squares = None if before is None else before * before
    mean = window_features(error * error, widths=(width,), before=squares)[:, 0, _MEAN]
    found: FloatArray = np.sqrt(mean)
    return found


def plain(values: FloatArray) -> list[float | None]:
    """JSON-ready; NaN as None."""
    return [None if np.isnan(value) else float(value) for value in values.tolist()]


def _held(values: FloatArray, most: int) -> FloatArray:
    """Missing values are the last one, for at most so many rows."""
    place = np.arange(len(values))
    last = np.maximum.accumulate(np.where(np.isfinite(values), place, -1))
    is_held = (last >= 0) & (place - last <= most)
    found: FloatArray = np.where(is_held, values[np.maximum(last, 0)], np.nan)
    return found


def _last(values: FloatArray, size: int) -> FloatArray:
    """float64[size]: the end of ``values``, behind NaN if there are fewer."""
    found: FloatArray = np.concatenate([np.full(size, np.nan), values])[-size:]
    return found
