"""Tests of what is left of a channel: has it jumped, is its level off, does it swing?

Scores as they come, before a satellite's own spread of them is taken into account (see
:mod:`.scales`).
"""

from __future__ import annotations

import math

import numpy as np
from scipy.ndimage import maximum_filter1d

from benchmarks.fleet import kernels
from benchmarks.fleet.reference import BoolArray
from benchmarks.fleet.series import Channel, SatelliteSeries
from sightline.records.windows import FloatArray

LEVELS_S = (1800.0, 3600.0, 7200.0)
FAST_S = 5.0
_HOLD = 10
_SLOW_MEDIAN = 9
_SMOOTH_S, _LAG_S, SWING_S = 30.0, 100.0, 600.0
_REFERENCE_S, _BACK_S = 10_800.0, 18_000.0


def jump_windows(period_s: float) -> tuple[tuple[int, int], ...]:
    """Samples before and after a step, for each width of the test."""
    if period_s < FAST_S:
        return ((40, 10), (90, 30), (300, 90))
    return ((12, 4), (24, 8), (60, 15))


def response(before: int, after: int) -> float:
    """Score of a step of 1 in a window, in units of the noise (see :func:`.reference.jump`).

    >>> round(response(60, 15), 1)
    2.5
    """
    share = after / (before + after)
    return math.sqrt(after * (1 - share) * (1 - 3 * share * (1 - share)))


def jumps(
    channel: Channel, left: FloatArray, noise: FloatArray, settling: BoolArray, period_s: float
) -> dict[str, FloatArray]:
    """``jump_K``: float64[n], a step K samples ago, in standard errors of white noise.

    Each window is judged by the greatest noise in it. (Residuals in their own noise would jump
    where the noise changes with the mode and they are off by some wander.)

    Args:
        channel: whose settling counts.
        left: float64[n], residuals.
        noise: float64[n], their noise.
        settling: bool[n], held at the level before.
        period_s: of sampling.
    """
    # Three outliers among five samples pass a median of five, four among seven one of seven: rare,
    # but not rare enough where the shortest window holds four samples.
    if period_s < FAST_S:
        steady = kernels.held_level(kernels.median_of_5(left), settling, 20)
    else:
        steady = kernels.held_level(kernels.running_median(left, _SLOW_MEDIAN), settling, 10)
    place = np.arange(len(steady))
    since = place
    if channel in (Channel.WHEEL, Channel.POINTING):
        # They settle for minutes: what wanders meanwhile would look like a step at the end.
        since = place - np.maximum.accumulate(np.where(settling, place, 0))
    found = {}
    for before, after in jump_windows(period_s):
        width = before + after
        greatest = maximum_filter1d(noise, width, mode="nearest", origin=(width - 1) // 2)
        found[f"jump_{after}"] = np.abs(kernels.jump(steady, since, greatest, before, after))
    return found


def levels(
    channel: Channel,
    smooth: FloatArray,
    settling: BoolArray,
    series: SatelliteSeries,
    level: float,
) -> dict[str, FloatArray]:
    """``level_N``: float64[n], how far the mean of the last N seconds is from the usual level.

    For the temperature, whose season moves by several of its noise a day, from its mean of five to
    eight hours before.

    Args:
        channel: which.
        smooth: float64[n], residuals without outliers.
        settling: bool[n], left out.
        series: for its period.
        level: the usual one.
    """
    usual: FloatArray | float = level
    if channel is Channel.THERMAL:
        long = kernels.known_mean(smooth, settling, series.samples(_REFERENCE_S))
        back = series.samples(_BACK_S)
        usual = np.full(len(smooth), np.nan)
        usual[back:] = long[:-back]
    return {
        f"level_{width_s:g}": np.abs(
            kernels.known_mean(smooth, settling, series.samples(width_s)) - usual
        )
        for width_s in LEVELS_S
    }


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
