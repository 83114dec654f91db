"""A fleet and its samples: one frozen value, from which everything else follows.

Samples come in blocks of one satellite and one day, in any order, each a function of the scene
alone. From the inside out: shape, slow wander and ageing, faults that move the value, noise,
firmware, converter, and then what replaces values: a stuck channel, a channel without value.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from sightline.apps.gateway.telemetry_scene.activity import Activity
from sightline.apps.gateway.telemetry_scene.channels import (
    ChannelModel,
    ChannelTraits,
    Nature,
    SatelliteDay,
    channel_models,
    expected_count,
    first_since_scrub,
    shape,
)
from sightline.apps.gateway.telemetry_scene.draws import Purpose, generator
from sightline.apps.gateway.telemetry_scene.faults import (
    CHANNEL_KINDS,
    Fault,
    FaultKind,
    check_scheduled,
    drawn_disturbance,
    drawn_faults,
    drawn_outage,
)
from sightline.apps.gateway.telemetry_scene.firmware import (
    FirmwareEffect,
    FirmwareRelease,
    drawn_releases,
    update_day,
)
from sightline.apps.gateway.telemetry_scene.link import LinkConfig
from sightline.apps.gateway.telemetry_scene.orbit import Orbit, satellite_name
from sightline.errors import UsageError
from sightline.records.signals import NS_PER_S
from sightline.records.windows import FloatArray, IntArray

DAY_S = 86_400
START_2026_NS = 1_767_225_600 * NS_PER_S
"""2026-01-01T00:00:00Z."""
_WANDER_KNOTS = 72
_KNOT_S = DAY_S / _WANDER_KNOTS


@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetryScene:
    """A fleet, its telemetry and what goes wrong. Equal scenes give equal samples.

    Samples come in blocks of one satellite and one day, so a scene of any size streams through
    bounded memory. A longer scene begins with the samples of a shorter one, and a larger fleet
    contains the smaller one; only faults and releases of firmware depend on the rates below.

    Attributes:
        seed: of every random draw; 0 or more.
        n_satellites: 1 to 100,000.
        duration_s: length in event time, a minute or more; cut at whole samples.
        period_s: sampling period: 10 (0.1 Hz) or 1, or another divisor of a day of 0.1 to 60.
        n_channels: 1 to 512. The first eight are the usual ones, see :mod:`.channels`.
        gateways: names; satellite k is served by gateway k modulo their number. A gateway and its
            stations serve a region, which is called by the gateway's name.
        start_ns: start, UTC ns.
        is_calm: satellites are left alone in nominal mode, and no channel has rare larger noise.
            A plain detector can watch such a fleet.
        scheduled_faults: faults beside the drawn ones, listed one by one.
        faults_per_satellite_day: mean number of faults of a single channel (Poisson).
        gateway_faults_per_day: mean number of disturbances that all satellites of one gateway
            see, for each gateway.
        outages_per_gateway_day: mean number of outages of a gateway, in which nothing arrives.
        releases: of firmware: ``"drawn"``, ``"none"`` or an explicit list.
        release_every_days: mean distance of drawn releases.
        link: loss, duplicates and late packets, drawn for each satellite and day on its own.
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
    is_calm: bool = False
    scheduled_faults: tuple[Fault, ...] = ()
    faults_per_satellite_day: float = 0.2
    gateway_faults_per_day: float = 0.1
    outages_per_gateway_day: float = 0.1
    releases: Literal["drawn", "none"] | tuple[FirmwareRelease, ...] = "drawn"
    release_every_days: float = 20.0
    link: LinkConfig = field(default_factory=LinkConfig)
    channels: tuple[ChannelModel, ...] = field(init=False, repr=False, compare=False)
    firmware: tuple[FirmwareRelease, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._require("seed", self.seed >= 0, "0 or more")
        self._require("n_satellites", 1 <= self.n_satellites <= 100_000, "1 to 100,000")
        self._require("n_channels", 1 <= self.n_channels <= 512, "1 to 512")
        self._require("duration_s", 60 <= self.duration_s < math.inf, "a minute or more")
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
        channels = channel_models(self.n_channels, seed=self.seed)
        if self.is_calm:
            channels = tuple(replace(channel, outlier_share=0.0) for channel in channels)
        object.__setattr__(self, "channels", channels)
        object.__setattr__(self, "firmware", self._releases())
        if self.scheduled_faults:
            check_scheduled(
                self.scheduled_faults,
                satellites=[satellite_name(k) for k in range(self.n_satellites)],
                gateways=self.gateways,
                channels=self.channels,
            )
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
        return satellite_name(satellite)

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
            traits=tuple(
                ChannelTraits.draw(scene.seed, number, k) for k in range(scene.n_channels)
            ),
            updates=tuple(sorted(updates, key=lambda update: update[0])),
        )


def activity_of_day(scene: TelemetryScene, satellite: int, day: int) -> Activity:
    """What a satellite (by index) is told to do on a day."""
    if scene.is_calm:
        return Activity.none(scene.seed, satellite)
    return Activity.of_day(scene.seed, satellite, day)


def channel_faults(scene: TelemetryScene, satellite: int, day: int) -> tuple[Fault, ...]:
    """Faults in channels of a satellite on a day, by start; no two of them on one channel.

    Scheduled ones come first, then a disturbance of the gateway, then what is drawn for the
    satellite.
    """
    name, gateway = satellite_name(satellite), scene.gateway_of(satellite)
    found = {
        fault.channel: fault
        for fault in scene.scheduled_faults
        if fault.kind in CHANNEL_KINDS and fault.subject == name and fault.day == day
    }
    for fault in drawn_disturbance(
        scene.seed,
        gateway,
        scene.gateways[gateway],
        day,
        rate=scene.gateway_faults_per_day,
        channels=scene.channels,
    ):
        found.setdefault(fault.channel, fault)
    own = drawn_faults(
        scene.seed,
        satellite,
        day,
        rate=scene.faults_per_satellite_day,
        channels=scene.channels,
        taken=found,
    )
    within = [f for f in (*found.values(), *own) if f.start_s < scene.duration_s]
    return tuple(sorted(within, key=lambda fault: fault.start_s))


def outages(scene: TelemetryScene, gateway: int, day: int) -> tuple[Fault, ...]:
    """Outages of a gateway (by index) on a day, drawn and scheduled, in which nothing arrives."""
    name = scene.gateways[gateway]
    drawn = drawn_outage(scene.seed, gateway, name, day, rate=scene.outages_per_gateway_day)
    scheduled = [f for f in scene.scheduled_faults if f.subject == name and f.day == day]
    return tuple(f for f in (*drawn, *scheduled) if f.start_s < scene.duration_s)


def link_faults(scene: TelemetryScene, satellite: int, day: int) -> tuple[Fault, ...]:
    """Faults that concern the packets of a satellite on a day."""
    name = satellite_name(satellite)
    own = [
        fault
        for fault in scene.scheduled_faults
        if fault.subject == name and fault.day == day and fault.kind not in CHANNEL_KINDS
    ]
    return (*outages(scene, scene.gateway_of(satellite), day), *own)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SceneBlock:
    """The samples of one satellite on one day, on board: before the link loses or repeats any.

    Attributes:
        satellite: index.
        day: index.
        time_ns: int64[n], UTC ns, ascending.
        values: float64[n, c], multiples of each converter's step; NaN is "no value". Channels lie
            contiguous in memory.
        expected: float64[n, c], what a healthy channel would read but for white noise, the
            counter's chance and the converter; for oracles and detectability alone. None where it
            was not asked for.
    """

    satellite: int
    day: int
    time_ns: IntArray
    values: FloatArray
    expected: FloatArray | None = None


def scene_blocks(scene: TelemetryScene, *, with_expected: bool = False) -> Iterator[SceneBlock]:
    """All blocks, satellite by satellite, each in order of days; one at a time in memory.

    >>> scene = TelemetryScene(n_satellites=2, duration_s=3600)
    >>> [(block.satellite, block.values.shape) for block in scene_blocks(scene)]
    [(0, (360, 8)), (1, (360, 8))]
    """
    for number in range(scene.n_satellites):
        satellite = Satellite.draw(scene, number)
        for day in range(scene.n_days):
            yield _block(scene, satellite, day, with_expected=with_expected)


def scene_block(
    scene: TelemetryScene, *, satellite: int, day: int, with_expected: bool = False
) -> SceneBlock:
    """One block.

    Args:
        scene: what to simulate.
        satellite: index.
        day: index.
        with_expected: also give what healthy channels would read without noise.

    Raises:
        UsageError: no such satellite or day.
    """
    if not 0 <= satellite < scene.n_satellites:
        raise UsageError(
            expected=f"a satellite from 0 to {scene.n_satellites - 1}",
            got=str(satellite),
            where="scene_block",
            action="name a satellite of the scene",
        )
    scene.samples_of_day(day)
    return _block(scene, Satellite.draw(scene, satellite), day, with_expected=with_expected)


def _block(
    scene: TelemetryScene, satellite: Satellite, day: int, *, with_expected: bool
) -> SceneBlock:
    # Every draw is that of a whole day, so a scene cut short has the same samples. Where the rest
    # of the day does not matter to a channel it is left out.
    offset_s = satellite.sample_offset_s
    sample = np.arange(scene.samples_per_day, dtype=np.float64)
    elapsed_s = day * DAY_S + offset_s + sample * scene.period_s
    n = scene.samples_of_day(day)
    channels = scene.channels
    activity = activity_of_day(scene, satellite.number, day)

    def first(count: int) -> tuple[SatelliteDay, _Wander]:
        begun_s = elapsed_s[:count]
        circumstances = SatelliteDay(begun_s, satellite.orbit, activity, float(elapsed_s[-1]))
        return circumstances, _Wander.of_day(scene, satellite.number, day, begun_s)

    faults = {fault.channel: fault for fault in channel_faults(scene, satellite.number, day)}
    needs_rest = [
        model.nature is Nature.COUNTER or model.name in faults or bool(satellite.updates)
        for model in channels
    ]
    part = first(n)
    whole = first(len(elapsed_s)) if any(needs_rest) and n < len(elapsed_s) else part
    values = np.empty((len(channels), n))
    expected = np.empty((len(channels), n)) if with_expected else None
    for k, model in enumerate(channels):
        circumstances, wander = whole if needs_rest[k] else part
        series = _Series(
            scene=scene,
            satellite=satellite,
            day=circumstances,
            model=model,
            traits=satellite.traits[k],
            rng=generator(scene.seed, Purpose.NOISE, satellite.number, day, k),
        )
        healthy, measured = series.measure(wander.of_channel(k), faults.get(model.name))
        values[k] = measured[:n]
        if expected is not None:
            expected[k] = healthy[:n]
    first_ns = scene.start_ns + day * DAY_S * NS_PER_S + round(offset_s * 1000) * 1_000_000
    return SceneBlock(
        satellite=satellite.number,
        day=day,
        time_ns=first_ns + np.arange(n) * scene.period_ns,
        values=values.T,
        expected=None if expected is None else expected.T,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Series:
    """One channel of one satellite on one day."""

    scene: TelemetryScene
    satellite: Satellite
    day: SatelliteDay
    model: ChannelModel
    traits: ChannelTraits
    rng: np.random.Generator

    def measure(self, wander: FloatArray, fault: Fault | None) -> tuple[FloatArray, FloatArray]:
        """What a healthy channel would read without noise, and what is measured."""
        model, elapsed_s = self.model, self.day.elapsed_s
        noise_sd = model.noise_sd * (1.0 if self._counts else self.traits.noise)
        healthy, noise_scale = self._healthy(wander)
        during = slice(0, 0)
        if fault is not None:
            during = slice(*np.searchsorted(elapsed_s, [fault.start_s, fault.end_s]))
        noise = self._noise() * noise_scale
        if fault is not None:
            noise[during] *= fault.noise_factor
        noise *= noise_sd * self._firmware_noise()
        moved = healthy + noise
        is_within = fault is not None and during.start < during.stop
        if fault is not None and is_within and fault.moves_value:
            middle = (healthy.min() + healthy.max()) / 2
            gateway = self.scene.gateway_of(self.satellite.number)
            moved[during] += model.noise_sd * fault.displacement(
                elapsed_s[during],
                inward=-1.0 if healthy[during.start] > middle else 1.0,
                rng=generator(self.scene.seed, Purpose.GATEWAY_FAULTS, gateway, fault.day, 1),
            )
        quantum = self._apply_firmware(healthy, moved)
        measured = np.clip(np.rint(moved / quantum) * quantum, model.low, model.high)
        measured += 0.0  # -0.0 and 0.0 are one value, also in print
        if fault is not None and is_within and fault.kind is FaultKind.STUCK:
            measured[during] = measured[during.start]
        if fault is not None and fault.kind is FaultKind.DROPOUT:
            measured[during] = np.nan
        if model.is_payload:
            measured[self.day.is_safe] = np.nan
        return healthy, measured

    @property
    def _counts(self) -> bool:
        return self.model.nature is Nature.COUNTER

    @property
    def _per_day(self) -> int:
        return self.scene.samples_per_day

    def _healthy(self, wander: FloatArray) -> tuple[FloatArray, FloatArray | float]:
        model, traits = self.model, self.traits
        form, noise_scale = shape(self.day, model, traits)
        if self._counts:
            return form, noise_scale
        is_link = model.nature is Nature.LINK
        level = model.centre + traits.offset * (10 * model.swing if is_link else model.swing)
        healthy = level + model.swing * (1.0 if is_link else traits.gain) * form
        days = self.day.elapsed_s[0] / DAY_S
        aged = traits.ageing_per_day * (days + np.arange(len(healthy)) / self._per_day)
        healthy += model.noise_sd * (traits.wander * wander + aged)
        return healthy, noise_scale

    def _noise(self) -> FloatArray:
        """float64[n]: white noise of unit variance with rare larger values.

        For a counter: what was counted less what was expected, in ``noise_sd``.
        """
        n, model = self._per_day, self.model
        if self._counts:
            count = expected_count(self.day, self.traits)
            happened = self.rng.uniform(0, count[-1], self.rng.poisson(count[-1]))
            counted = np.cumsum(np.bincount(np.searchsorted(count, happened), minlength=n))
            surplus = counted - count
            since: FloatArray = surplus - surplus[first_since_scrub(self.day.elapsed_s)]
            return since / model.noise_sd
        if not model.outlier_share:  # what follows the part that is asked for changes nothing in it
            return self.rng.standard_normal(len(self.day.elapsed_s))
        noise = self.rng.standard_normal(n)
        outliers = self.rng.integers(0, n, self.rng.poisson(n * model.outlier_share))
        noise[outliers] *= model.outlier_factor
        return noise[: len(self.day.elapsed_s)]

    def _effects(self) -> Iterator[tuple[int, float, FirmwareEffect]]:
        """Effects on this channel: first sample, days since the update at the end, effect."""
        elapsed_s = self.day.elapsed_s
        for at_day, release in self.satellite.updates:
            for effect in release.effects:
                if effect.channel == self.model.name and at_day * DAY_S <= elapsed_s[-1]:
                    first = int(np.searchsorted(elapsed_s, at_day * DAY_S))
                    yield first, elapsed_s[-1] / DAY_S - at_day, effect

    def _firmware_noise(self) -> FloatArray | float:
        # The growth within a day is too small to matter: one factor for each day.
        factors = [effect.noise_factor(days) for _, days, effect in self._effects()]
        return float(np.prod(factors)) if factors else 1.0

    def _apply_firmware(self, healthy: FloatArray, moved: FloatArray) -> FloatArray | float:
        """Change both in place as releases do; the converter's step at each sample."""
        quantum: FloatArray | float = self.model.quantum
        for first, days, effect in self._effects():
            drift = effect.drift(days) * self.model.noise_sd
            for series in (healthy, moved):
                series[first:] = series[first:] * effect.gain + effect.offset + drift
            if effect.quantum_factor != 1:
                quantum = np.full(len(moved), self.model.quantum) * (quantum / self.model.quantum)
                quantum[first:] *= effect.quantum_factor
        return quantum


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Wander:
    """Slow wander of unit variance at its knots, 20 minutes apart, smooth between them."""

    knots: FloatArray
    before: IntArray
    weight: FloatArray

    @classmethod
    def of_day(
        cls, scene: TelemetryScene, satellite: int, day: int, elapsed_s: FloatArray
    ) -> _Wander:
        """Knots of all channels; the last one is the first of the day after."""
        today, tomorrow = (
            generator(scene.seed, Purpose.WANDER, satellite, at).standard_normal(
                (scene.n_channels, _WANDER_KNOTS)
            )
            for at in (day, day + 1)
        )
        place = (elapsed_s - day * DAY_S) / _KNOT_S
        before = place.astype(np.int64)
        part = place - before
        return cls(
            knots=np.concatenate([today, tomorrow[:, :1]], axis=1),
            before=before,
            weight=part * part * (3 - 2 * part),
        )

    def of_channel(self, channel: int) -> FloatArray:
        """float64[n]."""
        knots = self.knots[channel]
        slope: FloatArray = np.diff(knots)[self.before]
        wander: FloatArray = knots[self.before] + slope * self.weight
        return wander
