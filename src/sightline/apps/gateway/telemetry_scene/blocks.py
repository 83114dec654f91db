"""Samples: one block for each satellite and day, in any order, each a function of the scene alone.

From the inside out: shape, slow wander and ageing, faults that move the value, noise, firmware,
converter, and then what replaces values: a stuck channel, a channel without value.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sightline.apps.gateway.telemetry_scene.activity import Activity
from sightline.apps.gateway.telemetry_scene.channels import ChannelModel, Nature
from sightline.apps.gateway.telemetry_scene.config import DAY_S, TelemetryScene
from sightline.apps.gateway.telemetry_scene.draws import Purpose, generator
from sightline.apps.gateway.telemetry_scene.faults import (
    SceneFault,
    SceneFaultKind,
    displacement,
    faults_of_day,
    moves_value,
)
from sightline.apps.gateway.telemetry_scene.firmware import FirmwareEffect
from sightline.apps.gateway.telemetry_scene.shapes import (
    SatelliteDay,
    expected_count,
    first_since_scrub,
    shape,
)
from sightline.apps.gateway.telemetry_scene.traits import ChannelTraits, Satellite
from sightline.errors import UsageError
from sightline.records.signals import NS_PER_S
from sightline.records.windows import FloatArray, IntArray

_WANDER_KNOTS = 72
_KNOT_S = DAY_S / _WANDER_KNOTS


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
    # Always a whole day, and cut at the end: a scene cut short has the same samples.
    offset_s = satellite.sample_offset_s
    sample = np.arange(scene.samples_per_day, dtype=np.float64)
    elapsed_s = day * DAY_S + offset_s + sample * scene.period_s
    n = scene.samples_of_day(day)
    channels = scene.channels
    circumstances = SatelliteDay(
        elapsed_s, satellite.orbit, Activity.of_day(scene.seed, satellite.number, day)
    )
    wander = _Wander.of_day(scene, satellite.number, day, elapsed_s)
    faults = {fault.channel: fault for fault in faults_of_day(scene, satellite.number, day)}
    values = np.empty((len(channels), n))
    expected = np.empty((len(channels), n)) if with_expected else None
    for k, model in enumerate(channels):
        series = _Series(
            scene=scene,
            satellite=satellite,
            day=circumstances,
            model=model,
            traits=satellite.traits[k],
            rng=generator(scene.seed, Purpose.NOISE, satellite.number, day, k),
        )
        healthy, measured = series.measure(wander.of_channel(k), faults.get(k))
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

    def measure(
        self, wander: FloatArray, fault: SceneFault | None
    ) -> tuple[FloatArray, FloatArray]:
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
        if fault is not None and is_within and moves_value(fault):
            middle = (healthy.min() + healthy.max()) / 2
            moved[during] += model.noise_sd * displacement(
                fault,
                elapsed_s[during],
                inward=-1.0 if healthy[during.start] > middle else 1.0,
                seed=self.scene.seed,
            )
        quantum = self._apply_firmware(healthy, moved)
        measured = np.clip(np.rint(moved / quantum) * quantum, model.low, model.high)
        measured += 0.0  # -0.0 and 0.0 are one value, also in print
        if fault is not None and is_within and fault.kind is SceneFaultKind.STUCK:
            measured[during] = measured[during.start]
        if fault is not None and fault.kind is SceneFaultKind.DROPOUT:
            measured[during] = np.nan
        if model.is_payload:
            measured[self.day.is_safe] = np.nan
        return healthy, measured

    @property
    def _counts(self) -> bool:
        return self.model.nature is Nature.COUNTER

    def _healthy(self, wander: FloatArray) -> tuple[FloatArray, FloatArray | float]:
        model, traits = self.model, self.traits
        form, noise_scale = shape(self.day, model, traits)
        if self._counts:
            return form, noise_scale
        is_link = model.nature is Nature.LINK
        level = model.centre + traits.offset * (10 * model.swing if is_link else model.swing)
        healthy = level + model.swing * (1.0 if is_link else traits.gain) * form
        days = self.day.elapsed_s[0] / DAY_S
        aged = traits.ageing_per_day * (days + np.arange(len(healthy)) / len(healthy))
        healthy += model.noise_sd * (traits.wander * wander + aged)
        return healthy, noise_scale

    def _noise(self) -> FloatArray:
        """float64[n]: white noise of unit variance with rare larger values.

        For a counter: what was counted less what was expected, in ``noise_sd``.
        """
        n, model = len(self.day.elapsed_s), self.model
        if self._counts:
            count = expected_count(self.day, self.traits)
            happened = self.rng.uniform(0, count[-1], self.rng.poisson(count[-1]))
            counted = np.cumsum(np.bincount(np.searchsorted(count, happened), minlength=n))
            surplus = counted - count
            since: FloatArray = surplus - surplus[first_since_scrub(self.day.elapsed_s)]
            return since / model.noise_sd
        noise = self.rng.standard_normal(n)
        outliers = self.rng.integers(0, n, self.rng.poisson(n * model.outlier_share))
        noise[outliers] *= model.outlier_factor
        return noise

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
