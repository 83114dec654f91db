"""Evidence of faults, sample by sample: by channel and test, greater is worse.

Every score uses the past alone, so the time at which it passes a threshold is the time of an alert.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import ndtr

from benchmarks.fleet import kernels
from benchmarks.fleet.commands import CommandRecord, spans
from benchmarks.fleet.model import Residuals, SatelliteModel
from benchmarks.fleet.moves import jumps, levels, swing_energy
from benchmarks.fleet.scales import ChannelScale
from benchmarks.fleet.series import UNIT, Channel, SatelliteSeries
from sightline.records.windows import FloatArray

Evidence = dict[tuple[Channel, str], FloatArray]

_SAFE_MARGIN_S = 5.0


def day_evidence(
    model: SatelliteModel,
    scales: dict[Channel, ChannelScale],
    series: SatelliteSeries,
    commands: CommandRecord,
) -> Evidence:
    """float64[n] for each channel and test.

    ``missing``: samples without a value in a row. ``stuck``: -ln of the chance that so many equal
    values follow each other, where the converter's step makes that most likely. ``jump_K``: a step
    K samples ago, ``level_N``: the mean of the last N seconds, ``swing``: oscillation, each against
    the spread of that score on the satellite's own last days. For the counter see
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
    noise = scale.noise[residuals.regime[channel]]
    smooth = kernels.median_of_5(left)
    found = jumps(channel, left, noise, settling, series.period_s)
    found.update(levels(channel, smooth, settling, series, scale.level))
    found["swing"] = swing_energy(left / noise, settling, series)
    return {(channel, name): score / scale.spread[name] for name, score in found.items()}
