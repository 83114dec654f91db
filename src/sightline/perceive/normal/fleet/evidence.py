"""Evidence of faults, sample by sample: by channel and test, greater is worse.

Every score uses the past alone, so the time at which it passes a threshold is the time of an alert.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import ndtr

from sightline.perceive.normal.fleet import kernels
from sightline.perceive.normal.fleet.commands import CommandRecord, spans
from sightline.perceive.normal.fleet.model import Residuals, SatelliteModel
from sightline.perceive.normal.fleet.scales import (
    LEVELS_S,
    ChannelScale,
    departure,
    swing_energy,
)
from sightline.perceive.normal.fleet.series import UNIT, Channel, SatelliteSeries
from sightline.records.windows import FloatArray

Evidence = dict[tuple[Channel, str], FloatArray]

_FAST_S = 5.0
_MODEL_ERROR = 0.15
_SAFE_MARGIN_S = 5.0


def jump_windows(period_s: float) -> tuple[tuple[int, int], ...]:
    """Samples before and after a step, for each width of the test."""
    if period_s < _FAST_S:
        return ((40, 10), (90, 30), (300, 90))
    return ((12, 4), (24, 8), (60, 15))


def day_evidence(
    model: SatelliteModel,
    scales: dict[Channel, ChannelScale],
    series: SatelliteSeries,
    commands: CommandRecord,
) -> Evidence:
    """float64[n] for each channel and test.

    ``missing``: samples without a value in a row. ``stuck``: -ln of the chance that so many equal
    values follow each other, where the converter's step makes that most likely. ``jump_K``: a step
    K samples ago, in standard errors. ``level_N``: the mean of the last N seconds against its
    wander. ``swing``: oscillation against the usual. For the counter see
    :meth:`.counting.CountRate.evidence`.
    """
    residuals = model.residuals(series, commands)
    found: Evidence = {}
    for channel in Channel:
        values = np.ascontiguousarray(series.values[channel])
        missing = kernels.missing_length(values)
        if channel is Channel.THERMOSTAT:
            start_s, end_s = commands.safe_spans()
            margin_s = _SAFE_MARGIN_S + series.period_s
            missing[spans(series.time_s, start_s - margin_s, end_s + margin_s)] = 0
        found[channel, "missing"] = missing
        if channel is Channel.COUNTER:
            for name, score in model.counts.evidence(series, commands).items():
                found[channel, name] = score
        else:
            scale = scales[channel]
            found[channel, "stuck"] = _stuck(channel, values, scale)
            found.update(_moves(channel, series, residuals, scale))
    return found


def _stuck(channel: Channel, values: FloatArray, scale: ChannelScale) -> FloatArray:
    noise = float(np.median(scale.noise)) * float(UNIT[channel])
    equal = 2 * float(ndtr(scale.quantum / (2 * noise))) - 1
    score: FloatArray = kernels.run_length(values) * -math.log(max(equal, 1e-12))
    return score


def _moves(
    channel: Channel, series: SatelliteSeries, residuals: Residuals, scale: ChannelScale
) -> Evidence:
    left = np.ascontiguousarray(residuals.values[channel])
    settling = np.ascontiguousarray(residuals.is_settling[channel])
    standard = left / scale.noise[residuals.regime[channel]]
    hold = 20 if series.period_s < _FAST_S else 10
    steady = kernels.held_level(kernels.median_of_5(standard), settling, hold)
    place = np.arange(len(steady))
    since = place
    if channel in (Channel.WHEEL, Channel.POINTING):
        # They settle for minutes: what wanders meanwhile would look like a step at the end.
        since = place - np.maximum.accumulate(np.where(settling, place, 0))
    one = np.ones(len(steady))
    found: Evidence = {}
    for before, after in jump_windows(series.period_s):
        score = kernels.jump(steady, since, one, before, after)
        found[channel, f"jump_{after}"] = np.abs(score)
    smooth = kernels.median_of_5(left)
    for width_s, wander in zip(LEVELS_S, scale.wander, strict=True):
        off = departure(channel, smooth, settling, series, width_s, scale.level)
        found[channel, f"level_{width_s:g}"] = np.abs(off) / math.hypot(wander, _MODEL_ERROR)
    found[channel, "swing"] = swing_energy(standard, settling, series) / scale.swing
    return found
