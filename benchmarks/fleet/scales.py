"""How noisy a satellite's residuals are, and how far its scores reach, in its own last days."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from benchmarks.fleet import kernels
from benchmarks.fleet.model import REGIMES, Residuals
from benchmarks.fleet.moves import (
    LEVELS_S,
    jump_windows,
    jumps,
    levels,
    response,
    swing_energy,
)
from benchmarks.fleet.reference import BoolArray
from benchmarks.fleet.series import Channel, SatelliteSeries
from sightline.records.windows import FloatArray

_LEAST_NOISE = 0.3
_LEAST_OF_REGIME = 100
_CLIP = 6.25
_CLIPPED_AWAY = 1.02
_USUAL_WANDER = 0.7
_LEVEL_SHARE = (1.0, 0.795, 0.617)
_LEVEL_SHARE_THERMAL = (1.0, 0.835, 0.70)
"""Spread of means over ``LEVELS_S`` by that of the shortest: medians of 1920 clean days (7001)."""
_MODEL_ERROR = 0.15
_PRIOR = 6.0
_PRIOR_WIDTHS = 60.0
_LEAST_JUMP = 0.6
_USUAL_MAXIMUM = 4.5
"""A healthy day's greatest score by its root mean square: where more was seen the model does not
fit, and its scores count by so much less."""
_USUAL_SWING_MAXIMUM = 3.5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ChannelScale:
    """One channel of one satellite.

    Attributes:
        noise: float64[regimes], standard deviation, in the unit of residuals.
        quantum: step of the converter, in the channel's unit.
        level: usual level of the residual.
        spread: of the scores of each test of :mod:`.moves`: what evidence is divided by; NaN where
            the last days had none, so that today has none either.
    """

    noise: FloatArray
    quantum: float
    level: float
    spread: Mapping[str, float]

    @classmethod
    def learn(
        cls,
        channel: Channel,
        series: SatelliteSeries,
        residuals: Residuals,
        unsure: float = 0.0,
    ) -> ChannelScale:
        """From the model's own last day or two.

        The spread of a jump's score is its root mean square, and what a step of ``unsure``, in the
        unit of residuals, adds: the model's own standard deviation a day ahead. That of a level
        leans on the shortest width, of which a day has most. Both grow where the greatest score of
        those days is more than such a spread explains: then the model does not fit this satellite
        as well as others.
        """
        left = np.ascontiguousarray(residuals.values[channel])
        settling = np.ascontiguousarray(residuals.is_settling[channel])
        noise = _noise(channel, left, settling, residuals)
        smooth = kernels.median_of_5(left)
        hour = kernels.known_mean(smooth, settling, series.samples(3600))
        level = float(np.nanmean(hour)) if np.isfinite(hour).any() else 0.0
        of_sample = noise[residuals.regime[channel]]
        standard = left / of_sample
        scores = jumps(channel, left, of_sample, settling, series.period_s)
        spread = {}
        for (name, score), (before, after) in zip(
            scores.items(), jump_windows(series.period_s), strict=True
        ):
            step = unsure * response(before, after) / float(noise.max())
            usual = math.hypot(_rms(score, _LEAST_JUMP), step)
            spread[name] = max(usual, _greatest(score) / _USUAL_MAXIMUM)
        spread.update(_level_spread(channel, smooth, settling, series, level))
        energy = swing_energy(standard, settling, series)
        energy = energy[np.isfinite(energy)]
        least = 0.18 if series.period_s > 5 else 0.03
        swing = max(float(np.median(energy)), least) if len(energy) else math.nan
        spread["swing"] = max(swing, _greatest(energy) / _USUAL_SWING_MAXIMUM)
        return cls(
            noise=noise, quantum=_quantum(series.values[channel]), level=level, spread=spread
        )


def _level_spread(
    channel: Channel,
    smooth: FloatArray,
    settling: BoolArray,
    series: SatelliteSeries,
    level: float,
) -> dict[str, float]:
    share = _LEVEL_SHARE_THERMAL if channel is Channel.THERMAL else _LEVEL_SHARE
    duration_s = len(smooth) * series.period_s
    usual = _USUAL_WANDER**2
    found = {}
    scores = levels(channel, smooth, settling, series, level).items()
    for k, (width_s, (name, score)) in enumerate(zip(LEVELS_S, scores, strict=True)):
        known = score[np.isfinite(score)]
        widths = duration_s / width_s * len(known) / len(score)
        square = float(known @ known) / max(len(known), 1)
        if k == 0:
            # Where the shortest is not known well, it is as of the type.
            usual = (widths * square + _PRIOR * usual) / (widths + _PRIOR)
        expected = usual * share[k] ** 2
        square = (widths * square + _PRIOR_WIDTHS * expected) / (widths + _PRIOR_WIDTHS)
        spread = float(np.sqrt(square + _MODEL_ERROR**2)) if len(known) else math.nan
        found[name] = max(spread, _greatest(known) / _USUAL_MAXIMUM)
    return found


def _rms(score: FloatArray, least: float) -> float:
    known = score[np.isfinite(score)]
    return max(float(np.sqrt(known @ known / len(known))), least) if len(known) else math.nan


def _greatest(score: FloatArray) -> float:
    known = score[np.isfinite(score)]
    return float(known.max()) if len(known) else 0.0


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
