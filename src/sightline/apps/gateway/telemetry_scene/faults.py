"""Faults: what can go wrong in a channel, in a link, at a gateway or at a ground station.

*Drawn* faults make a channel hard to watch. Magnitudes are in the channel's own noise
(``noise_sd``), drawn well below the swing of a healthy orbit, and a fault pushes towards the middle
of the day's range: no level of the value tells it from health. Each is still plain against what the
channel should read at that moment. With white noise and a known expectation, k samples show a shift
of m noise_sd at m·sqrt(k) standard deviations: the smallest step, 4, at 12.6 after ten samples. See
``docs/satellite-simulator.md`` for the distributions.

*Scheduled* faults are listed one by one, with any magnitude.
"""

from __future__ import annotations

import math
from collections.abc import Container, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from sightline.apps.gateway.telemetry_scene.activity import DAY_S
from sightline.apps.gateway.telemetry_scene.channels import ChannelModel, Nature
from sightline.apps.gateway.telemetry_scene.draws import Purpose, generator
from sightline.apps.gateway.telemetry_scene.orbit import satellite_name, station_names
from sightline.errors import UsageError
from sightline.records.windows import FloatArray

_RAMP_S = 30.0
_OUTAGE_S = (120.0, 3_600.0)


class FaultKind(StrEnum):
    """What goes wrong; in brackets the subject, and the meaning of the magnitude."""

    STEP = "step"
    """A channel is offset (satellite; offset in noise_sd)."""
    DRIFT = "drift"
    """It moves away linearly (satellite; reached at the end, in noise_sd)."""
    STUCK = "stuck"
    """It keeps its value (satellite; 0)."""
    OSCILLATION = "oscillation"
    """A sine comes on top (satellite; amplitude in noise_sd)."""
    DROPOUT = "dropout"
    """It has no value, in packets that come as always (satellite; 0)."""
    FADE = "fade"
    """Rain between satellite and station, on a channel of the link (satellite; deepest loss in
    noise_sd, cosine-shaped)."""
    GATEWAY = "gateway"
    """All satellites of a gateway see the same loss of signal, unsteady, and more noise (gateway;
    mean loss in noise_sd). Drawn alone: on one satellite it is within what passes do."""
    PACKET_LOSS = "packet_loss"
    """The link loses many packets (satellite; share lost, 0 to 1)."""
    SATELLITE_SILENT = "satellite_silent"
    """The transmitter is off: nothing is sent, the packet counter stands still (satellite; 0)."""
    PLANNED_SILENCE = "planned_silence"
    """The same, but announced in the contact plan: no alarm is due (satellite; 0)."""
    BACKLOG = "backlog"
    """No link: the satellite stores its packets and sends them first, in order, once the link is
    back (satellite; 0)."""
    OUTAGE = "outage"
    """The gateway of a region is down. Its satellites do not see its beacon and send nothing; its
    stations report lost locks (gateway; 0)."""
    STATION = "station"
    """An antenna fails and its spare takes over: seen in the log alone (station; 0)."""


CHANNEL_KINDS = frozenset(
    {
        FaultKind.STEP,
        FaultKind.DRIFT,
        FaultKind.STUCK,
        FaultKind.OSCILLATION,
        FaultKind.DROPOUT,
        FaultKind.FADE,
    }
)
"""Faults of one channel of one satellite."""
QUIET_KINDS = frozenset({FaultKind.SATELLITE_SILENT, FaultKind.PLANNED_SILENCE, FaultKind.OUTAGE})
"""Faults during which a satellite sends nothing."""

# Shortest and longest duration in seconds, least and greatest magnitude in noise_sd; both are
# drawn log-uniform, so that small and short faults are the most frequent.
DISTRIBUTIONS: dict[FaultKind, tuple[tuple[float, float], tuple[float, float]]] = {
    FaultKind.STEP: ((900, 10_800), (4, 12)),
    FaultKind.DRIFT: ((7_200, 21_600), (8, 20)),
    FaultKind.STUCK: ((900, 7_200), (0, 0)),
    FaultKind.OSCILLATION: ((1_800, 10_800), (2, 6)),
    FaultKind.DROPOUT: ((300, 3_600), (0, 0)),
    FaultKind.GATEWAY: ((900, 5_400), (1.5, 3)),
}

_DRAWN_KINDS = tuple(kind for kind in DISTRIBUTIONS if kind is not FaultKind.GATEWAY)
_COUNTER_KINDS = (FaultKind.STEP, FaultKind.DRIFT, FaultKind.DROPOUT)
"""A counter that does not move is healthy, and it cannot oscillate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One labelled fault.

    Attributes:
        kind: what goes wrong.
        subject: name of the satellite, gateway or station.
        start_s: first moment, seconds from the start of the scene.
        end_s: first moment after it; on the same day.
        channel: name; ``""`` where no channel is concerned.
        magnitude: see :class:`FaultKind`; 0 where it has no meaning.
        period_s: of an oscillation.
        noise_factor: by which the noise of the channel grows meanwhile.
    """

    kind: FaultKind
    subject: str
    start_s: float
    end_s: float
    channel: str = ""
    magnitude: float = 0.0
    period_s: float = 300.0
    noise_factor: float = 1.0

    @property
    def day(self) -> int:
        """Index of the day on which it is."""
        return int(self.start_s // DAY_S)

    @property
    def moves_value(self) -> bool:
        """Whether it adds to the value rather than replaces it."""
        return self.kind not in (FaultKind.STUCK, FaultKind.DROPOUT)

    def displacement(
        self, elapsed_s: FloatArray, *, inward: float, rng: np.random.Generator
    ) -> FloatArray:
        """float64[n]: what a fault of a channel adds to it at samples within it, in ``noise_sd``.

        Args:
            elapsed_s: float64[n], times of the samples from ``start_s`` on, before ``end_s``.
            inward: -1 or 1, from where the channel should stand when the fault begins towards the
                middle of its day's range.
            rng: for what all satellites of a gateway see alike.
        """
        progress = (elapsed_s - self.start_s) / (self.end_s - self.start_s)
        moved: FloatArray
        match self.kind:
            case FaultKind.STEP:
                moved = inward * self.magnitude * np.ones(len(elapsed_s))
            case FaultKind.DRIFT:
                moved = inward * self.magnitude * progress
            case FaultKind.OSCILLATION:
                turn = 2 * np.pi * (elapsed_s - self.start_s) / self.period_s
                moved = self.magnitude * np.sin(turn)
            case FaultKind.FADE:
                moved = -self.magnitude * (1 - np.cos(2 * np.pi * progress)) / 2
            case FaultKind.GATEWAY:
                knots = 1 + 0.4 * np.clip(rng.standard_normal(92), -2, 2)
                common = np.interp(elapsed_s - self.start_s, 60.0 * np.arange(92), knots)
                onset = np.minimum((elapsed_s - self.start_s) / _RAMP_S, 1)
                moved = -self.magnitude * onset * common
            case _:
                moved = np.zeros(len(elapsed_s))
        return moved


# --- drawn ----------------------------------------------------------------------------------------


def drawn_faults(
    seed: int,
    satellite: int,
    day: int,
    *,
    rate: float,
    channels: Sequence[ChannelModel],
    taken: Container[str],
) -> list[Fault]:
    """Faults of single channels of a satellite (by index) on a day, ``rate`` of them on average.

    Of faults that fall on one channel the first stays; channels that are ``taken`` have none.
    """
    found: dict[str, Fault] = {}
    rng = generator(seed, Purpose.FAULTS, satellite, day)
    for _ in range(rng.poisson(rate)):
        place, which, size, length, when, period = rng.random(6)
        channel = channels[int(place * len(channels))]
        kinds = _COUNTER_KINDS if channel.nature is Nature.COUNTER else _DRAWN_KINDS
        kind = kinds[int(which * len(kinds))]
        if channel.name not in found and channel.name not in taken:
            start_s, end_s = _times(DISTRIBUTIONS[kind][0], day, length=length, when=when)
            found[channel.name] = Fault(
                kind=kind,
                subject=satellite_name(satellite),
                channel=channel.name,
                start_s=start_s,
                end_s=end_s,
                magnitude=_log_uniform(DISTRIBUTIONS[kind][1], size),
                period_s=_log_uniform((120.0, 600.0), period),
            )
    return list(found.values())


def drawn_disturbance(
    seed: int, gateway: int, name: str, day: int, *, rate: float, channels: Sequence[ChannelModel]
) -> list[Fault]:
    """The disturbance of a gateway's links on a day, on every LINK channel; at most one."""
    rng = generator(seed, Purpose.GATEWAY_FAULTS, gateway, day)
    if not rng.poisson(rate):
        return []
    size, length, when, noise = rng.random(4)
    lengths, magnitudes = DISTRIBUTIONS[FaultKind.GATEWAY]
    start_s, end_s = _times(lengths, day, length=length, when=when)
    return [
        Fault(
            kind=FaultKind.GATEWAY,
            subject=name,
            channel=channel.name,
            start_s=start_s,
            end_s=end_s,
            magnitude=_log_uniform(magnitudes, size),
            noise_factor=1.3 + 0.7 * noise,
        )
        for channel in channels
        if channel.nature is Nature.LINK
    ]


def drawn_outage(seed: int, gateway: int, name: str, day: int, *, rate: float) -> list[Fault]:
    """The outage of a gateway (by index) on a day, at most one: two minutes to an hour."""
    rng = generator(seed, Purpose.OUTAGES, gateway, day)
    if not rng.poisson(rate):
        return []
    start_s, end_s = _times(_OUTAGE_S, day, length=rng.random(), when=rng.random())
    return [Fault(kind=FaultKind.OUTAGE, subject=name, start_s=start_s, end_s=end_s)]


def _times(
    bounds_s: tuple[float, float], day: int, *, length: float, when: float
) -> tuple[float, float]:
    """Start and end, within the day."""
    length_s = _log_uniform(bounds_s, length)
    start_s = day * DAY_S + when * (DAY_S - length_s)
    return start_s, start_s + length_s


def _log_uniform(bounds: tuple[float, float], share: float) -> float:
    low, high = bounds
    return float(low * (high / low) ** share) if low else 0.0


# --- scheduled ------------------------------------------------------------------------------------

# Start and length as shares of the run, and the least length in seconds: where a shorter fault
# could not be told from health. Longer than the time-outs of the telemetry contract for stuck and
# silent, and for the backlog longer than every allowance in it.
_ONE_OF_EACH: tuple[tuple[FaultKind, float, float, float, str, float], ...] = (
    (FaultKind.BACKLOG, 0.20, 0.30, 335, "", 0),
    (FaultKind.SATELLITE_SILENT, 0.40, 0.20, 120, "", 0),
    (FaultKind.STUCK, 0.15, 0.20, 180, "bus_voltage_v", 0),
    (FaultKind.FADE, 0.30, 0.12, 180, "snr_db", 80),
    (FaultKind.DRIFT, 0.45, 0.25, 180, "temperature_c", 100),
    (FaultKind.STEP, 0.25, 0.20, 120, "wheel_speed_rpm", 400),
    (FaultKind.PACKET_LOSS, 0.55, 0.10, 120, "", 0.4),
    (FaultKind.PLANNED_SILENCE, 0.50, 0.15, 120, "", 0),
    (FaultKind.OUTAGE, 0.65, 0.10, 120, "", 0),
    (FaultKind.STATION, 0.80, 0.08, 60, "", 0),
    (FaultKind.DROPOUT, 0.70, 0.12, 120, "temperature_c", 0),
)


def one_of_each(
    *, n_satellites: int, gateways: Sequence[str], duration_s: float
) -> tuple[Fault, ...]:
    """Plain faults of many kinds, each on a satellite of its own, spread over a run.

    The last gateway has the outage; satellites of the others have their own faults, so no two
    faults concern the same satellite. A fault is left out where the run is too short for its
    shortest meaningful length, or where no satellite is left: 600 s, and nine satellites outside
    the last region, are enough for all eleven.
    """
    last = len(gateways) - 1
    healthy = (k for k in range(n_satellites) if k % len(gateways) != last)
    faults = []
    for kind, start, length, least_s, channel, magnitude in _ONE_OF_EACH:
        start_s = start * duration_s
        end_s = start_s + max(length * duration_s, least_s)
        if end_s > 0.95 * duration_s:
            continue
        match kind:
            case FaultKind.OUTAGE:
                subject = gateways[last]
            case FaultKind.STATION:
                subject = station_names(gateways[0])[0]
            case _:
                satellite = next(healthy, None)
                if satellite is None:
                    continue
                subject = satellite_name(satellite)
        faults.append(
            Fault(
                kind=kind,
                subject=subject,
                start_s=start_s,
                end_s=end_s,
                channel=channel,
                magnitude=magnitude,
            )
        )
    return tuple(faults)


def check_scheduled(
    faults: Sequence[Fault],
    *,
    satellites: Sequence[str],
    gateways: Sequence[str],
    channels: Sequence[ChannelModel],
) -> None:
    """Raise :class:`UsageError` for a fault whose subject, channel or times cannot be."""
    taken: set[tuple[str, str, int]] = set()
    for number, fault in enumerate(faults):
        where = f"scheduled_faults[{number}] ({fault.kind})"
        _require(fault.kind is not FaultKind.GATEWAY, "a kind that is not only drawn", "", where)
        match fault.kind:
            case FaultKind.OUTAGE:
                subjects = gateways
            case FaultKind.STATION:
                subjects = [name for gateway in gateways for name in station_names(gateway)]
            case _:
                subjects = satellites
        expected = f"{subjects[0]} to {subjects[-1]}"
        _require(fault.subject in subjects, expected, fault.subject, f"{where}, subject")
        names = [""]
        if fault.kind in CHANNEL_KINDS:
            only_links = fault.kind is FaultKind.FADE
            names = [c.name for c in channels if c.nature is Nature.LINK or not only_links]
        expected = f"one of {', '.join(map(repr, names))}"
        _require(fault.channel in names, expected, fault.channel, f"{where}, channel")
        is_fit = 0 <= fault.start_s < fault.end_s < math.inf
        is_fit = is_fit and fault.end_s <= (fault.day + 1) * DAY_S
        times = f"{fault.start_s} to {fault.end_s}"
        _require(is_fit, "0 <= start_s < end_s, on one day", times, where)
        if fault.channel:
            place = (fault.subject, fault.channel, fault.day)
            expected = "one fault of a channel on a day"
            _require(place not in taken, expected, fault.channel, f"{where}, channel")
            taken.add(place)


def _require(is_met: bool, expected: str, got: str, where: str) -> None:
    if not is_met:
        raise UsageError(
            expected=expected, got=repr(got), where=where, action="mend this scheduled fault"
        )
