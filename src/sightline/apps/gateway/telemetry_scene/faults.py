"""Faults: what can go wrong in one channel, or in the link of all satellites of a gateway.

Magnitudes are in the channel's own noise (``noise_sd``), drawn well below the swing of a healthy
orbit, and a fault pushes towards the middle of the day's range: no level of the value tells it from
health. Each is still plain against what the channel should read at that moment. With white noise
and a known expectation, k samples show a shift of m noise_sd at m·sqrt(k) standard deviations: the
smallest step, 4, at 12.6 after ten samples. See ``docs/gateway.md`` for the distributions.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from sightline.apps.gateway.telemetry_scene.channels import Nature
from sightline.apps.gateway.telemetry_scene.config import DAY_S, TelemetryScene
from sightline.apps.gateway.telemetry_scene.draws import Purpose, generator
from sightline.records.windows import FloatArray

_RAMP_S = 30.0


class SceneFaultKind(StrEnum):
    """What goes wrong; in brackets the meaning of the magnitude."""

    STEP = "step"
    """The channel is offset (offset, 4 to 12)."""
    DRIFT = "drift"
    """It moves away linearly (reached at the end, 8 to 20)."""
    STUCK = "stuck"
    """It keeps its value (0)."""
    OSCILLATION = "oscillation"
    """A sine comes on top (amplitude, 2 to 6)."""
    DROPOUT = "dropout"
    """It has no value, in packets that come as always (0)."""
    GATEWAY = "gateway"
    """All satellites of a gateway see the same loss of signal, unsteady, and more noise (mean
    loss, 1.5 to 3: on one satellite alone within what passes do)."""


# Shortest and longest duration in seconds, least and greatest magnitude in noise_sd; both are
# drawn log-uniform, so that small and short faults are the most frequent.
DISTRIBUTIONS: dict[SceneFaultKind, tuple[tuple[float, float], tuple[float, float]]] = {
    SceneFaultKind.STEP: ((900, 10_800), (4, 12)),
    SceneFaultKind.DRIFT: ((7_200, 21_600), (8, 20)),
    SceneFaultKind.STUCK: ((900, 7_200), (0, 0)),
    SceneFaultKind.OSCILLATION: ((1_800, 10_800), (2, 6)),
    SceneFaultKind.DROPOUT: ((300, 3_600), (0, 0)),
    SceneFaultKind.GATEWAY: ((900, 5_400), (1.5, 3)),
}

_OWN_KINDS = tuple(kind for kind in SceneFaultKind if kind is not SceneFaultKind.GATEWAY)
_COUNTER_KINDS = (SceneFaultKind.STEP, SceneFaultKind.DRIFT, SceneFaultKind.DROPOUT)
"""A counter that does not move is healthy, and it cannot oscillate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneFault:
    """One labelled fault.

    Attributes:
        kind: what goes wrong.
        channel: index.
        start_s: first moment, seconds from the start of the scene.
        end_s: first moment after it; on the same day.
        magnitude: in ``noise_sd``, 0 where it has no meaning.
        period_s: of an oscillation.
        gateway: index of the gateway concerned; -1 for a fault of one satellite.
        noise_factor: by which the noise grows during a disturbance of a gateway.
    """

    kind: SceneFaultKind
    channel: int
    start_s: float
    end_s: float
    magnitude: float
    period_s: float = 0.0
    gateway: int = -1
    noise_factor: float = 1.0


def faults_of_day(scene: TelemetryScene, satellite: int, day: int) -> tuple[SceneFault, ...]:
    """The faults that concern a satellite on a day, by start; no two of them on one channel.

    A disturbance of the gateway comes first; of own faults that fall on the same channel, the one
    drawn first stays.
    """
    channels = scene.channels
    found = list(gateway_faults_of_day(scene, scene.gateway_of(satellite), day))
    rng = generator(scene.seed, Purpose.FAULTS, satellite, day)
    for _ in range(rng.poisson(scene.faults_per_satellite_day)):
        place, which, size, length, when, period = rng.random(6)
        channel = int(place * len(channels))
        is_counter = channels[channel].nature is Nature.COUNTER
        kinds = _COUNTER_KINDS if is_counter else _OWN_KINDS
        kind = kinds[int(which * len(kinds))]
        if all(fault.channel != channel for fault in found):
            start_s, end_s = _times(kind, day, length=length, when=when)
            found.append(
                SceneFault(
                    kind=kind,
                    channel=channel,
                    start_s=start_s,
                    end_s=end_s,
                    magnitude=_log_uniform(DISTRIBUTIONS[kind][1], size),
                    period_s=_log_uniform((120.0, 600.0), period),
                )
            )
    within = [fault for fault in found if fault.start_s < scene.duration_s]
    return tuple(sorted(within, key=lambda fault: fault.start_s))


def gateway_faults_of_day(scene: TelemetryScene, gateway: int, day: int) -> tuple[SceneFault, ...]:
    """The disturbance of a gateway's links on a day, on every LINK channel; at most one."""
    links = [k for k, model in enumerate(scene.channels) if model.nature is Nature.LINK]
    rng = generator(scene.seed, Purpose.GATEWAY_FAULTS, gateway, day)
    kind = SceneFaultKind.GATEWAY
    if not rng.poisson(scene.gateway_faults_per_day):
        return ()
    size, length, when, noise = rng.random(4)
    start_s, end_s = _times(kind, day, length=length, when=when)
    return tuple(
        SceneFault(
            kind=kind,
            channel=channel,
            start_s=start_s,
            end_s=end_s,
            magnitude=_log_uniform(DISTRIBUTIONS[kind][1], size),
            gateway=gateway,
            noise_factor=1.3 + 0.7 * noise,
        )
        for channel in links
    )


def displacement(
    fault: SceneFault, elapsed_s: FloatArray, *, inward: float, seed: int
) -> FloatArray:
    """float64[n]: what a fault adds to a channel at samples within it, in ``noise_sd``.

    Args:
        fault: one that moves the value; others add 0.
        elapsed_s: float64[n], times of the samples from ``start_s`` on, before ``end_s``.
        inward: -1 or 1, from where the channel should stand when the fault begins towards the
            middle of its day's range.
        seed: of the scene, for the common part of a gateway's disturbance.
    """
    progress = (elapsed_s - fault.start_s) / (fault.end_s - fault.start_s)
    match fault.kind:
        case SceneFaultKind.STEP:
            return inward * fault.magnitude * np.ones(len(elapsed_s))
        case SceneFaultKind.DRIFT:
            drift: FloatArray = inward * fault.magnitude * progress
            return drift
        case SceneFaultKind.OSCILLATION:
            turn = 2 * np.pi * (elapsed_s - fault.start_s) / fault.period_s
            return fault.magnitude * np.sin(turn)
        case SceneFaultKind.GATEWAY:
            day = int(fault.start_s // DAY_S)
            rng = generator(seed, Purpose.GATEWAY_FAULTS, fault.gateway, day, 1)
            knots = 1 + 0.4 * np.clip(rng.standard_normal(92), -2, 2)
            common = np.interp(elapsed_s - fault.start_s, 60.0 * np.arange(92), knots)
            onset = np.minimum((elapsed_s - fault.start_s) / _RAMP_S, 1)
            return -fault.magnitude * onset * common
        case _:
            return np.zeros(len(elapsed_s))


def _times(kind: SceneFaultKind, day: int, *, length: float, when: float) -> tuple[float, float]:
    """Start and end, within the day."""
    length_s = _log_uniform(DISTRIBUTIONS[kind][0], length)
    start_s = day * DAY_S + when * (DAY_S - length_s)
    return start_s, start_s + length_s


def _log_uniform(bounds: tuple[float, float], share: float) -> float:
    low, high = bounds
    return float(low * (high / low) ** share) if low else 0.0


def moves_value(fault: SceneFault) -> bool:
    """Whether a fault adds to the value rather than replaces it."""
    return fault.kind not in (SceneFaultKind.STUCK, SceneFaultKind.DROPOUT)
