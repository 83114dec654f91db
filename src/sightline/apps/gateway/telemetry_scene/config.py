"""What to simulate: one frozen value, from which everything else follows."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from sightline.apps.gateway.link import LinkConfig
from sightline.apps.gateway.telemetry_scene.channels import ChannelModel, channel_models
from sightline.apps.gateway.telemetry_scene.firmware import FirmwareRelease, drawn_releases
from sightline.errors import UsageError
from sightline.records.signals import NS_PER_S

DAY_S = 86_400
START_2026_NS = 1_767_225_600 * NS_PER_S
"""2026-01-01T00:00:00Z."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetryScene:
    """A fleet, its telemetry and what goes wrong. Equal scenes give equal samples.

    Samples come in blocks of one satellite and one day, so a scene of any size streams through
    bounded memory. A longer scene begins with the samples of a shorter one, and a larger fleet
    contains the smaller one; only faults and releases of firmware depend on the rates below.

    Attributes:
        seed: of every random draw; 0 or more.
        n_satellites: 1 to 100,000.
        duration_s: length in event time, an hour or more; cut at whole samples.
        period_s: sampling period: 10 (0.1 Hz) or 1, or another divisor of a day of 0.1 to 60.
        n_channels: 1 to 512. The first eight are the usual ones, see :mod:`.channels`.
        gateways: names; satellite k is served by gateway k modulo their number.
        start_ns: start, UTC ns.
        faults_per_satellite_day: mean number of faults of a single channel (Poisson).
        gateway_faults_per_day: mean number of disturbances that all satellites of one gateway
            see, for each gateway.
        outages_per_gateway_day: mean number of outages of a gateway, in which nothing arrives.
        releases: of firmware: ``"drawn"``, ``"none"`` or an explicit list.
        release_every_days: mean distance of drawn releases.
        link: loss, duplicates and late packets, drawn for each satellite and day on its own, so
            ``beyond_rows`` counts packets of a satellite and day.
        channels: follows from the above: the channels, in the order of the columns.
        firmware: follows from the above: releases of firmware, in order of time.
    """

    seed: int = 0
    n_satellites: int = 24
    duration_s: float = DAY_S
    period_s: float = 10.0
    n_channels: int = 8
    gateways: tuple[str, ...] = ("north", "south", "equator")
    start_ns: int = START_2026_NS
    faults_per_satellite_day: float = 0.2
    gateway_faults_per_day: float = 0.1
    outages_per_gateway_day: float = 0.1
    releases: Literal["drawn", "none"] | tuple[FirmwareRelease, ...] = "drawn"
    release_every_days: float = 20.0
    link: LinkConfig = field(default_factory=lambda: LinkConfig(beyond_rows=1))
    channels: tuple[ChannelModel, ...] = field(init=False, repr=False, compare=False)
    firmware: tuple[FirmwareRelease, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._require("seed", self.seed >= 0, "0 or more")
        self._require("n_satellites", 1 <= self.n_satellites <= 100_000, "1 to 100,000")
        self._require("n_channels", 1 <= self.n_channels <= 512, "1 to 512")
        self._require("duration_s", 3600 <= self.duration_s < math.inf, "an hour or more")
        per_day = DAY_S / self.period_s if self.period_s > 0 else 0.0
        divides = abs(per_day - round(per_day)) < 1e-9
        self._require(
            "period_s", 0.1 <= self.period_s <= 60 and divides, "0.1 to 60 s, a divisor of a day"
        )
        names = self.gateways
        self._require("gateways", 0 < len(set(names)) == len(names), "one or more, all different")
        self._require("start_ns", self.start_ns >= 0, "0 or more")
        for name in (
            "faults_per_satellite_day",
            "gateway_faults_per_day",
            "outages_per_gateway_day",
        ):
            self._require(name, 0 <= getattr(self, name) <= 100, "0 to 100")
        self._require("release_every_days", self.release_every_days >= 1, "1 or more")
        # Drawn once and kept: every block needs them.
        object.__setattr__(self, "channels", channel_models(self.n_channels, seed=self.seed))
        object.__setattr__(self, "firmware", self._releases())
        if isinstance(self.releases, tuple):
            versions = [release.version for release in self.releases]
            self._require("releases", len(set(versions)) == len(versions), "different versions")
            known = {channel.name for channel in self.channels}
            named = {effect.channel for release in self.releases for effect in release.effects}
            self._require("releases", named <= known, "effects on channels of the scene")

    @property
    def n_days(self) -> int:
        """Days begun."""
        return math.ceil(self.duration_s / DAY_S)

    @property
    def samples_per_day(self) -> int:
        """Of one satellite and channel."""
        return round(DAY_S / self.period_s)

    @property
    def period_ns(self) -> int:
        """Sampling period, ns."""
        return round(self.period_s * NS_PER_S)

    def satellite_name(self, satellite: int) -> str:
        """Name of a satellite by index, from ``sat-00001``.

        >>> TelemetryScene().satellite_name(0)
        'sat-00001'
        """
        return f"sat-{satellite + 1:05d}"

    def gateway_of(self, satellite: int) -> int:
        """Index of the gateway that serves a satellite."""
        return satellite % len(self.gateways)

    def samples_of_day(self, day: int) -> int:
        """Samples of one satellite on a day by index; fewer on a last day that is cut short.

        Raises:
            UsageError: no such day.
        """
        if not 0 <= day < self.n_days:
            raise UsageError(
                expected=f"a day from 0 to {self.n_days - 1}",
                got=str(day),
                where="TelemetryScene",
                action="name a day of the scene",
            )
        left_s = self.duration_s - day * DAY_S
        # A quotient like 0.3 / 0.1 lands just below the whole number it stands for.
        return min(self.samples_per_day, math.floor(left_s / self.period_s + 1e-9))

    def _releases(self) -> tuple[FirmwareRelease, ...]:
        match self.releases:
            case "none":
                return ()
            case "drawn":
                return drawn_releases(
                    self.channels,
                    duration_days=self.duration_s / DAY_S,
                    every_days=self.release_every_days,
                    seed=self.seed,
                )
            case explicit:
                return tuple(sorted(explicit, key=lambda release: release.at_day))

    def _require(self, name: str, is_met: bool, expected: str) -> None:
        if not is_met:
            raise UsageError(
                expected=expected,
                got=repr(getattr(self, name)),
                where=f"TelemetryScene.{name}",
                action="mend this value",
            )
