"""What is particular about one satellite: its orbit, and how its channels differ from the model."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from sightline.apps.gateway.telemetry_scene.config import TelemetryScene
from sightline.apps.gateway.telemetry_scene.draws import Purpose, generator
from sightline.apps.gateway.telemetry_scene.firmware import FirmwareRelease, update_day
from sightline.apps.gateway.telemetry_scene.orbit import Orbit


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelTraits:
    """How a channel of one satellite differs from its model.

    Attributes:
        offset: of the level, in swings (for LINK in its unit).
        gain: of the swing.
        noise: of the noise.
        wander: standard deviation of the slow wander, in ``noise_sd``.
        ageing_per_day: in ``noise_sd``; the sign is the same for nearly all satellites.
        phase_rad: of whatever has a phase of its own.
        slow_phase_rad: another one.
    """

    offset: float
    gain: float
    noise: float
    wander: float
    ageing_per_day: float
    phase_rad: float
    slow_phase_rad: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Satellite:
    """One satellite of a scene.

    Attributes:
        number: its index.
        orbit: where it flies.
        sample_offset_s: phase of its sampling clock, 0 to the period.
        traits: one for each channel.
        updates: day of each release, in days from the start, with the release; by day.
    """

    number: int
    orbit: Orbit
    sample_offset_s: float
    traits: tuple[ChannelTraits, ...]
    updates: tuple[tuple[float, FirmwareRelease], ...]

    @classmethod
    def draw(cls, scene: TelemetryScene, number: int) -> Satellite:
        """A satellite by index; the same whatever the size of the fleet."""
        own = generator(scene.seed, Purpose.TRAITS, number)
        updates = [
            (update_day(release, number=k, satellite=number, seed=scene.seed), release)
            for k, release in enumerate(scene.firmware)
        ]
        return cls(
            number=number,
            orbit=Orbit.draw(scene.seed, number),
            # Whole milliseconds, so that times in seconds and nanoseconds agree.
            sample_offset_s=math.floor(own.random() * scene.period_s * 1000) / 1000,
            traits=tuple(_traits(scene.seed, number, k) for k in range(scene.n_channels)),
            updates=tuple(sorted(updates, key=lambda update: update[0])),
        )


def _traits(seed: int, satellite: int, channel: int) -> ChannelTraits:
    rng = generator(seed, Purpose.TRAITS, satellite, channel)
    offset, gain, noise, ageing = rng.standard_normal(4)
    wander, phase, slow_phase = rng.random(3)
    return ChannelTraits(
        offset=0.08 * float(offset),
        gain=1 + 0.06 * float(np.clip(gain, -3, 3)),
        noise=math.exp(0.15 * float(noise)),
        wander=0.5 + 1.0 * float(wander),
        ageing_per_day=0.03 + 0.02 * float(ageing),
        phase_rad=2 * math.pi * float(phase),
        slow_phase_rad=2 * math.pi * float(slow_phase),
    )
