"""The link between satellite and gateway: delay, loss, duplicates, late packets, backlog."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from sightline.apps.gateway.faults import QUIET_FAULTS, Fault, FaultKind, satellites_concerned
from sightline.apps.gateway.orbits import SPEED_OF_LIGHT_M_S, Fleet, FloatArray, IntArray
from sightline.errors import UsageError

BoolArray = npt.NDArray[np.bool_]

_REPEAT_S = (0.05, 2.0)

IMPAIRMENT_SCHEMA: dict[str, pl.DataType] = {
    "satellite": pl.String(),
    "sequence": pl.Int64(),
    "kind": pl.String(),
    "delay_s": pl.Float64(),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkConfig:
    """Everyday imperfections of every link, faults aside. Shares are 0 to 1 of sent packets.

    Attributes:
        processing_s: shortest time from antenna to receipt.
        jitter_mean_s: mean of the exponential delay on top of it.
        jitter_max_s: longest such delay; below the contract's ``out_of_order_s``.
        loss_share: packets lost one by one.
        bursts_per_h: bursts of lost packets, per satellite and hour.
        burst_mean_packets: mean length of a burst (geometric).
        burst_max_packets: longest burst; at one packet per second well below a silence time-out.
        duplicate_share: packets that arrive a second time, up to two seconds later.
        late_share: packets that arrive ``late_s`` later than they should.
        late_s: shortest and longest such delay; within the contract's revision allowance.
        beyond_rows: packets of the whole constellation that arrive ``beyond_s`` late. Fewer where
            the run is too short for them.
        beyond_s: shortest and longest such delay; beyond the contract's revision allowance.
        dump_speedup: rate at which a stored backlog is sent, in multiples of the sampling rate.
    """

    processing_s: float = 0.05
    jitter_mean_s: float = 0.05
    jitter_max_s: float = 2.0
    loss_share: float = 0.002
    bursts_per_h: float = 1.0
    burst_mean_packets: float = 6.0
    burst_max_packets: int = 30
    duplicate_share: float = 0.002
    late_share: float = 0.002
    late_s: tuple[float, float] = (10.0, 240.0)
    beyond_rows: int = 6
    beyond_s: tuple[float, float] = (330.0, 420.0)
    dump_speedup: float = 20.0

    def __post_init__(self) -> None:
        for name in ("loss_share", "duplicate_share", "late_share"):
            self._require(name, 0 <= getattr(self, name) <= 1, "a share, 0 to 1")
        for name in (
            "processing_s",
            "jitter_mean_s",
            "jitter_max_s",
            "bursts_per_h",
            "beyond_rows",
        ):
            self._require(name, 0 <= getattr(self, name) < math.inf, "0 or more")
        for name in ("late_s", "beyond_s"):
            low, high = getattr(self, name)
            self._require(name, 0 <= low <= high < math.inf, "shortest and longest delay, >= 0")
        self._require("burst_mean_packets", self.burst_mean_packets >= 1, "1 or more")
        self._require("burst_max_packets", self.burst_max_packets >= 1, "1 or more")
        self._require("dump_speedup", self.dump_speedup > 1, "more than 1, or it never ends")

    @classmethod
    def perfect(cls) -> LinkConfig:
        """A link that loses, repeats and delays nothing."""
        return cls(loss_share=0, bursts_per_h=0, duplicate_share=0, late_share=0, beyond_rows=0)

    def _require(self, name: str, is_met: bool, expected: str) -> None:
        if not is_met:
            raise UsageError(
                expected=expected,
                got=repr(getattr(self, name)),
                where=f"LinkConfig.{name}",
                action="mend this value",
            )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Transmission:
    """What became of every sample, t sampling times by n satellites.

    Attributes:
        sequence: int64[t, n], packet counter; it stands still while nothing is sent.
        delay_s: float64[t, n], from sample to receipt, of the samples that arrive.
        arrives: bool[t, n].
        repeated: int64[d], flat indices of the samples that arrive twice.
        repeat_delay_s: float64[d], delay of the second copy.
        impairments: labels in the layout of ``IMPAIRMENT_SCHEMA``: packets ``lost``,
            ``duplicated``, ``late`` and ``late_beyond_allowance``, with the extra delay.
    """

    sequence: IntArray
    delay_s: FloatArray
    arrives: BoolArray
    repeated: IntArray
    repeat_delay_s: FloatArray
    impairments: pl.DataFrame


def transmit(
    config: LinkConfig,
    faults: Sequence[Fault],
    fleet: Fleet,
    *,
    elapsed_s: FloatArray,
    range_m: FloatArray,
    period_s: float,
    duration_s: float,
    seeds: np.random.SeedSequence,
) -> Transmission:
    """Send every sample over its link.

    Args:
        config: the everyday imperfections.
        faults: the faults on top of them.
        fleet: n satellites.
        elapsed_s: float64[t, n], sampling times in seconds from the start.
        range_m: float64[t, n], slant range.
        period_s: sampling period.
        duration_s: length of the run; no packet is delayed beyond it on purpose, because it is
            late only against packets that follow.
        seeds: source of independent generators, one per imperfection, so that changing one
            leaves the draws of the others as they were.
    """
    jitter_rng, loss_rng, burst_rng, late_rng, beyond_rng, repeat_rng, counter_rng = (
        np.random.default_rng(seed) for seed in seeds.spawn(7)
    )
    shape = elapsed_s.shape
    sends = _is_sent(faults, fleet, elapsed_s)
    first = counter_rng.integers(0, 1 << 20, shape[1])
    sequence = first + np.cumsum(sends, axis=0) - 1

    is_lost = loss_rng.random(shape) < _loss_share(config, faults, fleet, elapsed_s)
    is_lost |= _in_burst(config, shape, period_s=period_s, rng=burst_rng)
    is_lost &= sends
    arrives = sends & ~is_lost

    jitter_s = config.jitter_mean_s * jitter_rng.standard_exponential(shape)
    delay_s = range_m / SPEED_OF_LIGHT_M_S + config.processing_s
    delay_s += np.minimum(jitter_s, config.jitter_max_s)
    _store_and_dump(config, faults, fleet, elapsed_s, delay_s, period_s=period_s)

    def may_be_delayed(sample: IntArray, extra_s: FloatArray) -> BoolArray:
        meets = _meets_outage(config, faults, fleet, elapsed_s, sample=sample, extra_s=extra_s)
        in_time = elapsed_s.ravel()[sample] + extra_s < duration_s
        return arrives.ravel()[sample] & in_time & ~meets

    # Candidates and their delays are drawn first and sifted afterwards, so that what a fault
    # sifts out does not change the delays of the others.
    late, late_s = _candidates(config.late_share, config.late_s, size=arrives.size, rng=late_rng)
    late, late_s = _only(may_be_delayed(late, late_s), late, late_s)
    # Far more candidates than wanted, because some are lost, late already, or meet an outage.
    beyond = np.unique(beyond_rng.integers(0, arrives.size, 100 * config.beyond_rows))
    beyond = beyond_rng.permutation(beyond)
    beyond_s = beyond_rng.uniform(*config.beyond_s, len(beyond))
    fits = may_be_delayed(beyond, beyond_s) & ~np.isin(beyond, late)
    fits &= np.cumsum(fits) <= config.beyond_rows
    beyond, beyond_s = _only(fits, beyond, beyond_s)

    repeated, repeat_s = _candidates(
        config.duplicate_share, _REPEAT_S, size=arrives.size, rng=repeat_rng
    )
    fits = may_be_delayed(repeated, repeat_s) & ~np.isin(repeated, np.concatenate([late, beyond]))
    repeated, repeat_s = _only(fits, repeated, repeat_s)

    delay_s.flat[late] += late_s
    delay_s.flat[beyond] += beyond_s
    lost = np.flatnonzero(is_lost)
    labels = {
        "lost": (lost, np.zeros(len(lost))),
        "duplicated": (repeated, repeat_s),
        "late": (late, late_s),
        "late_beyond_allowance": (beyond, beyond_s),
    }
    return Transmission(
        sequence=sequence,
        delay_s=delay_s,
        arrives=arrives,
        repeated=repeated,
        repeat_delay_s=delay_s.ravel()[repeated] + repeat_s,
        impairments=_impairments(labels, fleet, sequence),
    )


def _candidates(
    share: float, delay_s: tuple[float, float], *, size: int, rng: np.random.Generator
) -> tuple[IntArray, FloatArray]:
    """Flat indices of a share of all samples, and a uniform extra delay (s) for each."""
    sample = np.flatnonzero(rng.random(size) < share)
    return sample, rng.uniform(*delay_s, len(sample))


def _only(keep: BoolArray, sample: IntArray, extra_s: FloatArray) -> tuple[IntArray, FloatArray]:
    return sample[keep], extra_s[keep]


def _impairments(
    labels: Mapping[str, tuple[IntArray, FloatArray]], fleet: Fleet, sequence: IntArray
) -> pl.DataFrame:
    """Labels by kind, as flat sample indices with their extra delay (s), as a frame."""
    names = pl.Series("satellite", fleet.satellites)
    parts = [
        pl.DataFrame(
            {
                "satellite": names.gather(sample % len(names)),
                "sequence": sequence.ravel()[sample],
                "kind": pl.repeat(kind, len(sample), dtype=pl.String, eager=True),
                "delay_s": extra_s,
            },
            schema=IMPAIRMENT_SCHEMA,
        )
        for kind, (sample, extra_s) in labels.items()
    ]
    return pl.concat(parts).sort("satellite", "sequence")


def _is_sent(faults: Sequence[Fault], fleet: Fleet, elapsed_s: FloatArray) -> BoolArray:
    sends = np.ones(elapsed_s.shape, np.bool_)
    for fault in faults:
        if fault.kind in QUIET_FAULTS:
            quiet = satellites_concerned(fault, fleet)
            sends[:, quiet] &= ~_is_during(fault, elapsed_s[:, quiet])
    return sends


def _loss_share(
    config: LinkConfig, faults: Sequence[Fault], fleet: Fleet, elapsed_s: FloatArray
) -> npt.NDArray[np.float32]:
    share = np.full(elapsed_s.shape, config.loss_share, np.float32)
    for fault in faults:
        if fault.kind is FaultKind.PACKET_LOSS:
            lossy = satellites_concerned(fault, fleet)
            during = _is_during(fault, elapsed_s[:, lossy])
            share[:, lossy] = np.where(during, fault.magnitude, share[:, lossy])
    return share


def _in_burst(
    config: LinkConfig, shape: tuple[int, ...], *, period_s: float, rng: np.random.Generator
) -> BoolArray:
    """bool[t, n]: samples that fall into a burst of losses."""
    chance = min(1.0, config.bursts_per_h * period_s / 3600)
    first, satellite = np.nonzero(rng.random(shape) < chance)
    length = np.minimum(
        rng.geometric(1 / config.burst_mean_packets, len(first)), config.burst_max_packets
    )
    open_bursts = np.zeros((shape[0] + 1, shape[1]), np.int32)
    np.add.at(open_bursts, (first, satellite), 1)
    np.add.at(open_bursts, (np.minimum(first + length, shape[0]), satellite), -1)
    within: BoolArray = np.cumsum(open_bursts[:-1], axis=0, dtype=np.int32) > 0
    return within


def _store_and_dump(
    config: LinkConfig,
    faults: Sequence[Fault],
    fleet: Fleet,
    elapsed_s: FloatArray,
    delay_s: FloatArray,
    *,
    period_s: float,
) -> None:
    """Change ``delay_s`` in place for satellites that store their packets during an outage.

    A first-in-first-out queue with a fixed service time: packet k is received at
    ``max(ready_k, received_(k-1) + service)``, solved for all k at once. New packets wait behind
    the stored ones, so the receipt of one satellite stays in the order of its event times.
    """
    for fault in faults:
        if fault.kind is not FaultKind.BACKLOG:
            continue
        satellite = fleet.satellites.index(fault.subject)
        rows = slice(int(np.searchsorted(elapsed_s[:, satellite], fault.start_s)), None)
        sampled_s = elapsed_s[rows, satellite]
        ready_s = np.maximum(sampled_s, fault.end_s) + delay_s[rows, satellite]
        served_s = np.arange(len(ready_s)) * period_s / config.dump_speedup
        received_s = np.maximum.accumulate(ready_s - served_s) + served_s
        delay_s[rows, satellite] = received_s - sampled_s


def _meets_outage(
    config: LinkConfig,
    faults: Sequence[Fault],
    fleet: Fleet,
    elapsed_s: FloatArray,
    *,
    sample: IntArray,
    extra_s: FloatArray,
) -> BoolArray:
    """bool[k]: flat ``sample`` indices (int64[k]) whose delay would run into an outage.

    Without newer packets of the same satellite there is nothing to be late against.
    """
    sent_s = elapsed_s.ravel()[sample]
    satellite = sample % elapsed_s.shape[1]
    meets = np.zeros(len(sample), np.bool_)
    for fault in faults:
        if fault.kind in QUIET_FAULTS:
            over_s = fault.end_s
        elif fault.kind is FaultKind.BACKLOG:
            # The queue shrinks by the speed-up less the new packets that join it.
            over_s = fault.end_s + (fault.end_s - fault.start_s) / (config.dump_speedup - 1)
        else:
            continue
        concerned = np.isin(satellite, satellites_concerned(fault, fleet))
        meets |= concerned & (sent_s < over_s) & (sent_s + extra_s > fault.start_s)
    return meets


def _is_during(fault: Fault, elapsed_s: FloatArray) -> BoolArray:
    during: BoolArray = (elapsed_s >= fault.start_s) & (elapsed_s < fault.end_s)
    return during
