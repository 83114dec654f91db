"""Releases of firmware: who gets them when, what they change on purpose, and what they break.

A release goes to a few satellites first and to the rest over some days, as operators do it. Its
record declares the changes made on purpose (a scale, an offset, another step of the converter).
What it breaks is in no record: noise that grows from day to day, or a slow drift, in one channel
of every satellite that runs the version. That is *silent degradation*: on any one satellite it is
lost among ageing and season, and all satellites of the version together show it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sightline.apps.gateway.telemetry_scene.channels import ChannelModel, Nature
from sightline.apps.gateway.telemetry_scene.draws import Purpose, generator
from sightline.errors import UsageError

FIRST_VERSION = "1.0"
"""Runs on every satellite at the start."""

_CANARY_SHARE = 0.15
_MAX_NOISE_FACTOR = 3.0
_MAX_DRIFT_DAYS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FirmwareEffect:
    """What a release does to one channel.

    Attributes:
        channel: name.
        gain: the value times this, declared.
        offset: plus this, in the channel's unit, declared.
        quantum_factor: the converter's step times this, declared.
        noise_growth_per_day: the noise grows by this share of itself each day after the update,
            up to threefold. Not declared.
        drift_per_day: the value moves by this many ``noise_sd`` each day, for up to 60 days. Not
            declared.
    """

    channel: str
    gain: float = 1.0
    offset: float = 0.0
    quantum_factor: float = 1.0
    noise_growth_per_day: float = 0.0
    drift_per_day: float = 0.0

    def __post_init__(self) -> None:
        if not (self.gain > 0 and self.quantum_factor > 0 and self.noise_growth_per_day >= 0):
            raise UsageError(
                expected="gain and quantum_factor above 0, noise_growth_per_day 0 or more",
                got=repr(self),
                where=f"firmware effect on {self.channel}",
                action="mend the effect",
            )

    def noise_factor(self, days_since: float) -> float:
        """By how much the noise has grown, so many days after the update; 1 before it."""
        grown = 1 + self.noise_growth_per_day * max(days_since, 0.0)
        return min(grown, max(_MAX_NOISE_FACTOR, 1.0))

    def drift(self, days_since: float) -> float:
        """How far the value has moved, in ``noise_sd``; 0 before the update."""
        return self.drift_per_day * min(max(days_since, 0.0), _MAX_DRIFT_DAYS)


@dataclass(frozen=True, slots=True, kw_only=True)
class FirmwareRelease:
    """One version.

    Attributes:
        version: its name.
        at_day: the first satellites get it then, in days from the start.
        rollout_days: the last ones get it so many days later.
        effects: at most one for each channel.
    """

    version: str
    at_day: float
    rollout_days: float = 5.0
    effects: tuple[FirmwareEffect, ...] = ()

    def __post_init__(self) -> None:
        channels = [effect.channel for effect in self.effects]
        is_fit = self.at_day >= 0 and self.rollout_days >= 0 and self.version != FIRST_VERSION
        if not (is_fit and len(set(channels)) == len(channels)):
            raise UsageError(
                expected=f"at_day and rollout_days 0 or more, a version other than "
                f"{FIRST_VERSION}, one effect for each channel",
                got=repr(self),
                where="firmware release",
                action="mend the release",
            )


def drawn_releases(
    channels: Sequence[ChannelModel], *, duration_days: float, every_days: float, seed: int
) -> tuple[FirmwareRelease, ...]:
    """Releases at about regular distances; every other one, on average, breaks a channel.

    Each has one harmless effect, on one channel: an offset of 2 to 6 noise_sd, a gain of 0.97 to
    1.03, or a step of half or double the size. A release that breaks something does so in another
    channel: noise that grows by 3 to 8 % a day, or a drift of 0.05 to 0.2 noise_sd a day.
    """
    rng = generator(seed, Purpose.RELEASES)
    analogue = [channel for channel in channels if channel.nature is not Nature.COUNTER]
    found: list[FirmwareRelease] = []
    at_day = every_days * rng.uniform(0.4, 0.8)
    while at_day < duration_days and analogue:
        first, second = rng.permutation(len(analogue))[:2] if len(analogue) > 1 else (0, 0)
        effects = [_harmless(analogue[first], rng)]
        breaks, kind, size, sign = rng.random(4)
        if breaks < 0.5 and first != second:
            effects.append(
                FirmwareEffect(
                    channel=analogue[second].name,
                    noise_growth_per_day=0.03 + 0.05 * size if kind < 0.5 else 0.0,
                    drift_per_day=0.0
                    if kind < 0.5
                    else float(np.copysign(0.05 + 0.15 * size, sign - 0.5)),
                )
            )
        found.append(
            FirmwareRelease(
                version=f"1.{len(found) + 1}", at_day=float(at_day), effects=tuple(effects)
            )
        )
        at_day += every_days * rng.uniform(0.8, 1.2)
    return tuple(found)


def update_day(release: FirmwareRelease, *, number: int, satellite: int, seed: int) -> float:
    """When a satellite gets a release, in days from the start.

    The first 15 % get it within half a day, the others between a third of the rollout and its end.

    Args:
        release: the release.
        number: its index among the scene's releases.
        satellite: index.
        seed: of the scene.
    """
    rng = generator(seed, Purpose.ROLLOUT, number, satellite)
    wave, share = rng.random(2)
    if wave < _CANARY_SHARE:
        return release.at_day + min(0.5, release.rollout_days) * float(share)
    return release.at_day + release.rollout_days * float(1 + 2 * share) / 3


def _harmless(channel: ChannelModel, rng: np.random.Generator) -> FirmwareEffect:
    kind = rng.integers(3)
    size = float(rng.uniform(-1, 1))
    match kind:
        case 0:
            offset = float(np.copysign(2 + 4 * abs(size), size)) * channel.noise_sd
            return FirmwareEffect(channel=channel.name, offset=offset)
        case 1:
            return FirmwareEffect(channel=channel.name, gain=1 + 0.03 * size)
        case _:
            return FirmwareEffect(channel=channel.name, quantum_factor=2.0 if size > 0 else 0.5)
