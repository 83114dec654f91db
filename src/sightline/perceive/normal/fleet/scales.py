"""How noisy a satellite's residuals are, and how far they wander, in its own last day or two."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sightline.perceive.normal.fleet import kernels
from sightline.perceive.normal.fleet.model import REGIMES, Residuals
from sightline.perceive.normal.fleet.reference import BoolArray
from sightline.perceive.normal.fleet.series import Channel, SatelliteSeries
from sightline.records.windows import FloatArray

LEVELS_S = (1800.0, 3600.0, 7200.0)
_LEAST_NOISE = 0.3
_LEAST_OF_REGIME = 100
_CLIP = 6.25
_CLIPPED_AWAY = 1.02
_USUAL_WANDER = 0.9
_PRIOR = 30.0
_EVERY_S = 300.0
_HOLD = 10
_SMOOTH_S, _LAG_S, SWING_S = 30.0, 100.0, 600.0
_REFERENCE_S, _BACK_S = 10_800.0, 18_000.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ChannelScale:
    """One channel of one satellite.

    Attributes:
        noise: float64[regimes], standard deviation, in the unit of residuals.
        quantum: step of the converter, in the channel's unit.
        level: usual level of the residual.
        wander: float64[3], standard deviation of means over ``LEVELS_S``.
        swing: usual energy of swings.
    """

    noise: FloatArray
    quantum: float
    level: float
    wander: FloatArray
    swing: float

    @classmethod
    def learn(cls, channel: Channel, series: SatelliteSeries, residuals: Residuals) -> ChannelScale:
        """From the model's own last day or two."""
        left = np.ascontiguousarray(residuals.values[channel])
        settling = np.ascontiguousarray(residuals.is_settling[channel])
        noise = _noise(channel, left, settling, residuals)
        smooth = kernels.median_of_5(left)
        hour = kernels.known_mean(smooth, settling, series.samples(3600))
        level = float(np.nanmean(hour)) if np.isfinite(hour).any() else 0.0
        every = series.samples(_EVERY_S)
        wander = []
        for width_s in LEVELS_S:
            off = departure(channel, smooth, settling, series, width_s, level)
            off = off[np.isfinite(off)][::every]
            square = float(off @ off) + _PRIOR * _USUAL_WANDER**2
            wander.append(np.sqrt(square / (len(off) + _PRIOR)))
        energy = swing_energy(left / noise[residuals.regime[channel]], settling, series)
        energy = energy[np.isfinite(energy)]
        least = 0.18 if series.period_s > 5 else 0.03
        swing = max(float(np.median(energy)), least) if len(energy) else 1.0
        return cls(
            noise=noise,
            quantum=_quantum(series.values[channel]),
            level=level,
            wander=np.array(wander),
            swing=swing,
        )


def departure(  # noqa: PLR0917 - what a channel's level is measured by
    channel: Channel,
    smooth: FloatArray,
    settling: BoolArray,
    series: SatelliteSeries,
    width_s: float,
    level: float,
) -> FloatArray:
    """float64[n]: mean of the last ``width_s`` less the usual level.

    For the temperature, whose season moves by several of its noise a day, less its mean of five to
    eight hours before.
    """
    mean = kernels.known_mean(smooth, settling, series.samples(width_s))
    if channel is not Channel.THERMAL:
        above: FloatArray = mean - level
        return above
    long = kernels.known_mean(smooth, settling, series.samples(_REFERENCE_S))
    back = series.samples(_BACK_S)
    usual = np.full(len(mean), np.nan)
    usual[back:] = long[:-back]
    since: FloatArray = mean - usual
    return since


def swing_energy(standard: FloatArray, settling: BoolArray, series: SatelliteSeries) -> FloatArray:
    """float64[n]: energy of second differences 100 s apart, the least of three times ten minutes.

    A corner or a step fills one or two of the three; what goes on swinging fills all.

    Args:
        standard: float64[n], residuals in their own noise.
        settling: bool[n], held at the level before.
        series: for its period.
    """
    calm = np.ascontiguousarray(np.clip(kernels.median_of_5(np.ascontiguousarray(standard)), -8, 8))
    mean = kernels.moving_mean(kernels.held_level(calm, settling, _HOLD), series.samples(_SMOOTH_S))
    lag, width = series.samples(_LAG_S), series.samples(SWING_S)
    found = np.full(len(mean), np.nan)
    if len(mean) <= 2 * max(lag, width):
        return found
    bent = np.full(len(mean), np.nan)
    bent[2 * lag :] = mean[2 * lag :] - 2 * mean[lag:-lag] + mean[: -2 * lag]
    energy = kernels.known_mean(bent * bent, settling, width)
    found[2 * width :] = np.minimum(
        np.minimum(energy[2 * width :], energy[width:-width]), energy[: -2 * width]
    )
    return found


def _noise(
    channel: Channel, left: FloatArray, settling: BoolArray, residuals: Residuals
) -> FloatArray:
    """From differences of neighbours, those beyond 2.5 of them cut."""
    step = np.diff(left, prepend=np.nan)
    step[settling] = np.nan
    noise = np.full(REGIMES.get(channel, 1), np.nan)
    for regime in range(len(noise)):
        chosen = step[(residuals.regime[channel] == regime) & np.isfinite(step)]
        if len(chosen) > _LEAST_OF_REGIME:
            half = chosen * chosen / 2
            spread = float(np.sqrt(half.mean()))
            for _ in range(4):
                cut = np.minimum(half, _CLIP * spread * spread)
                spread = float(np.sqrt(cut.mean())) * _CLIPPED_AWAY
            noise[regime] = spread
    known = np.isfinite(noise)
    usual = float(noise[known].max()) if known.any() else 1.0
    return np.asarray(np.maximum(np.where(known, noise, usual), _LEAST_NOISE), np.float64)


def _quantum(values: FloatArray) -> float:
    """The least distance of two different values; 0 where there is none."""
    distinct = np.unique(values[np.isfinite(values)][:20_000])
    gaps = np.diff(distinct)
    gaps = gaps[gaps > 1e-6]
    return float(gaps.min()) if len(gaps) else 0.0
