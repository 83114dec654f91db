"""What each channel of one satellite should read: learnt from its last days, told for the next."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.fleet.clock import OrbitClock
from benchmarks.fleet.commands import CommandRecord, spans
from benchmarks.fleet.counting import CountRate
from benchmarks.fleet.cycles import LoadModel, ThermostatModel
from benchmarks.fleet.fitting import robust_fit
from benchmarks.fleet.passes import NOISE_BINS, PassShape, near_handover, pass_bin
from benchmarks.fleet.power import PowerModel, Switches, loaded_edges
from benchmarks.fleet.reference import BoolArray
from benchmarks.fleet.series import UNIT, Channel, SatelliteSeries
from benchmarks.fleet.wheel import wheel_columns
from sightline.records.windows import FloatArray, IntArray

_THIN_S = 30.0
_EDGE_SAMPLE_S = 5.0
_HEATER_S = 60.0
_LEAST_SAFE_S = 3000.0
_AFTER_SAFE_S = 300.0
_POWER_AFTER_SAFE_S = 7200.0

REGIMES = {Channel.LOAD: 3, Channel.LINK: NOISE_BINS, Channel.POINTING: 2}
"""In how many regimes the noise of a channel is learnt; one for the others."""
SETTLING_S: dict[Channel, dict[str, float]] = {
    Channel.BATTERY: {"mode": 10.0},
    Channel.LOAD: {"mode": 10.0},
    Channel.THERMOSTAT: {"mode_safe": 10.0},
    Channel.WHEEL: {"mode": 230.0, "dump": 420.0},
    Channel.POINTING: {"slew": 270.0},
}
"""How long a channel settles after a command; until then only stuck and missing values count."""
_EDGE_S = 40.0
_HEATER_EDGE_S = 10.0
_UPLINK_S = 8.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Residuals:
    """What is left of telemetry when the expectation is taken off.

    Attributes:
        values: float64[8, n], in the nominal noise of each channel; NaN where nothing is expected
            or there is no value.
        regime: int64[8, n], regime of the noise.
        is_settling: bool[8, n], soon after a command, or where light and load change together.
    """

    values: FloatArray
    regime: IntArray
    is_settling: BoolArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SatelliteModel:
    """One satellite, as its last days show it.

    Attributes:
        clock, passes, power, counts: see there.
        wheel: float64[6], coefficients.
        pointing: usual level.
        load, thermostat: None where too little of the heater was seen at all.
        heater_s: when the heater was last set; a later setting makes both unknown from then on.
        has_seen_safe: whether a safe mode was among the days.
    """

    clock: OrbitClock
    passes: PassShape
    power: PowerModel
    counts: CountRate
    wheel: FloatArray
    pointing: float
    load: LoadModel | None
    thermostat: ThermostatModel | None
    heater_s: float
    has_seen_safe: bool

    @classmethod
    def learn(
        cls,
        history: SatelliteSeries,
        commands: CommandRecord,
        before: SatelliteModel | None = None,
    ) -> SatelliteModel:
        """From a day or more, three to be good; ``before`` makes it faster.

        Args:
            history: without known faults.
            commands: up to the end of the history.
            before: the model of the same satellite a day ago.
        """
        thin = slice(None, None, history.samples(_THIN_S))
        time_s = np.ascontiguousarray(history.time_s[thin])
        values = np.ascontiguousarray(history.values[:, thin])
        clock = OrbitClock.read(time_s, values[Channel.LINK], before.clock if before else None)
        heater_s = commands.works("set_heater")
        load, thermostat = _cycles(history, commands, clock, heater_s)
        starts_s, ends_s = commands.safe_spans()
        seen_s = np.minimum(ends_s, time_s[-1]) - np.maximum(starts_s, time_s[0])
        return cls(
            clock=clock,
            passes=PassShape.learn(clock, history),
            power=PowerModel.learn(
                clock, time_s, values, commands, before.power if before else None
            ),
            counts=CountRate.learn(clock, history, commands),
            wheel=robust_fit(wheel_columns(clock, time_s, commands), values[Channel.WHEEL]),
            pointing=float(np.nanmedian(values[Channel.POINTING])),
            load=load,
            thermostat=thermostat,
            heater_s=float(heater_s[-1]) if len(heater_s) else -np.inf,
            has_seen_safe=bool(np.any(seen_s > _LEAST_SAFE_S)),
        )

    def residuals(self, series: SatelliteSeries, commands: CommandRecord) -> Residuals:
        """Of telemetry after the model's days (or of those themselves)."""
        time_s, values = series.time_s, series.values
        mode = commands.mode_at(time_s)
        switches = self.power.switches(time_s, commands)
        expected = np.full(values.shape, np.nan)
        if self.power.is_sound(time_s):
            expected[[Channel.BATTERY, Channel.THERMAL]] = self.power.expected(time_s, switches)
        expected[Channel.WHEEL] = wheel_columns(self.clock, time_s, commands) @ self.wheel
        expected[Channel.LINK] = self.passes.expected(self.clock, time_s)
        expected[Channel.POINTING] = self.pointing
        if self.load is not None and self.thermostat is not None:
            expected[Channel.LOAD] = self.load.expected(self.clock, time_s, mode)
            expected[Channel.THERMOSTAT] = self.thermostat.expected(self.clock, time_s)
            later_s = commands.works("set_heater")
            later_s = later_s[later_s > self.heater_s]
            if len(later_s):
                is_new = time_s >= later_s[0] - _UPLINK_S
                expected[Channel.LOAD, is_new] = np.nan
                expected[Channel.THERMOSTAT, is_new] = np.nan
        if not self.has_seen_safe:
            _forget_safe(expected, time_s, commands)
        at_s, is_dark, _ = switches
        regime = np.zeros(values.shape, np.int64)
        regime[Channel.LOAD] = mode
        regime[Channel.LINK] = pass_bin(self.clock, time_s)
        regime[Channel.POINTING] = is_dark[np.searchsorted(at_s, time_s, "right") - 1]
        return Residuals(
            values=(values - expected) / UNIT[:, None],
            regime=regime,
            is_settling=self._settling(series, commands, switches),
        )

    def _settling(
        self, series: SatelliteSeries, commands: CommandRecord, switches: Switches
    ) -> BoolArray:
        time_s, half_s = series.time_s, 0.5 * series.period_s
        found = np.zeros(series.values.shape, np.bool_)
        for channel, settling_s in SETTLING_S.items():
            for prefix, duration_s in settling_s.items():
                sent_s = commands.sent(prefix)
                found[channel] |= spans(time_s, sent_s - half_s, sent_s + duration_s + _UPLINK_S)
        edge_s, reach_s = loaded_edges(switches), _EDGE_S + series.period_s
        found[Channel.BATTERY] |= spans(time_s, edge_s - reach_s, edge_s + reach_s)
        if self.load is not None:
            reach_s = _HEATER_EDGE_S + half_s
            found[Channel.LOAD] |= self.load.near_edge(self.clock, time_s, reach_s)
        found[Channel.LINK] |= near_handover(self.clock, time_s, series.period_s)
        return found


def _cycles(
    history: SatelliteSeries, commands: CommandRecord, clock: OrbitClock, heater_s: FloatArray
) -> tuple[LoadModel | None, ThermostatModel | None]:
    thin = slice(None, None, history.samples(_EDGE_SAMPLE_S))
    time_s = np.ascontiguousarray(history.time_s[thin])
    before = heater_s <= time_s[0]
    since_s = np.append(heater_s[before][-1:] if before.any() else -np.inf, heater_s[~before])
    # While a command is on its way nobody knows which setting holds.
    is_known = ~spans(time_s, heater_s - _HEATER_S, heater_s + _HEATER_S)
    amps, warm = (
        np.where(is_known, history.values[channel][thin], np.nan)
        for channel in (Channel.LOAD, Channel.THERMOSTAT)
    )
    if min(np.isfinite(amps).mean(), np.isfinite(warm).mean()) < 0.5:
        return None, None
    return (
        LoadModel.learn(clock, time_s, amps, commands.mode_at(time_s), since_s),
        ThermostatModel.learn(clock, time_s, warm, since_s),
    )


def _forget_safe(expected: FloatArray, time_s: FloatArray, commands: CommandRecord) -> None:
    """In place: what a safe mode does is unknown to who has not seen one."""
    start_s, end_s = commands.safe_spans()
    for channels, after_s in (
        ((Channel.WHEEL, Channel.LOAD), _AFTER_SAFE_S),
        ((Channel.BATTERY, Channel.THERMAL), _POWER_AFTER_SAFE_S),
    ):
        is_unknown = spans(time_s, start_s - 12, end_s + after_s)
        for channel in channels:
            expected[channel, is_unknown] = np.nan
