"""The link of a satellite to its gateway: delay, loss, duplicates, late packets, backlog."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from sightline.apps.gateway.telemetry_scene.faults import QUIET_KINDS, Fault, FaultKind
from sightline.errors import UsageError
from sightline.records.windows import FloatArray, IntArray

BoolArray = npt.NDArray[np.bool_]

SPEED_OF_LIGHT_M_S = 299_792_458.0
_REPEAT_S = (0.05, 2.0)

IMPAIRMENT_SCHEMA = {"sequence": pl.Int64, "kind": pl.String, "delay_s": pl.Float64}


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkConfig:
    """Everyday imperfections of every link, faults aside. Shares are 0 to 1 of sent packets.

    Attributes:
        processing_s: shortest time from antenna to receipt.
        jitter_mean_s: mean of the exponential delay on top of it.
        jitter_max_s: longest such delay; below the contract's ``out_of_order_s``.
        loss_share: packets lost one by one.
        bursts_per_h: bursts of lost packets an hour.
        burst_mean_packets: mean length of a burst (geometric).
        burst_max_packets: longest burst; at one packet per second well below a silence time-out.
        duplicate_share: packets that arrive a second time, up to two seconds later.
        late_share: packets that arrive ``late_s`` later than they should.
        late_s: shortest and longest such delay; within the contract's revision allowance.
        beyond_rows: packets of a satellite and day that arrive ``beyond_s`` late. Fewer where the
            day is cut too short for them.
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
    beyond_rows: int = 1
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
    """What became of n samples.

    Attributes:
        sequence: int64[n], packet counter; it stands still while nothing is sent.
        received: int64[r], samples as they are received: each at most once, then those that arrive
            a second time. Not in order of receipt.
        delay_s: float64[r], from sample to receipt.
        impairments: labels of packets: sequence, kind (``lost``, ``duplicated``, ``late`` or
            ``late_beyond_allowance``), delay_s (the extra delay); by sequence.
    """

    sequence: IntArray
    received: IntArray
    delay_s: FloatArray
    impairments: pl.DataFrame


def transmit(
    config: LinkConfig,
    faults: Sequence[Fault],
    *,
    elapsed_s: FloatArray,
    range_m: FloatArray,
    period_s: float,
    first_sequence: int,
    seeds: np.random.SeedSequence,
) -> Transmission:
    """Send every sample over the link.

    Args:
        config: the everyday imperfections.
        faults: the faults of this link on top of them, in the same time as the samples.
        elapsed_s: float64[n], sampling times in seconds, ascending. No packet is delayed beyond
            the last on purpose, because it is late only against packets that follow.
        range_m: float64[n], slant range.
        period_s: sampling period.
        first_sequence: of the first packet that is sent.
        seeds: source of independent generators, one per imperfection, so that changing one
            leaves the draws of the others as they were.
    """
    jitter_rng, loss_rng, burst_rng, *delay_rngs = (
        np.random.default_rng(seed) for seed in seeds.spawn(6)
    )
    n = len(elapsed_s)
    sends = sending(faults, elapsed_s)
    sequence = first_sequence + np.cumsum(sends) - 1

    share = np.full(n, config.loss_share, np.float32)
    for fault in faults:
        if fault.kind is FaultKind.PACKET_LOSS:
            share[_during(fault, elapsed_s)] = fault.magnitude
    is_lost = loss_rng.random(n) < share
    is_lost |= _in_burst(config, n, period_s=period_s, rng=burst_rng)
    is_lost &= sends
    arrives = sends & ~is_lost

    jitter_s = config.jitter_mean_s * jitter_rng.standard_exponential(n)
    delay_s = range_m / SPEED_OF_LIGHT_M_S + config.processing_s
    delay_s += np.minimum(jitter_s, config.jitter_max_s)
    _store_and_dump(config, faults, elapsed_s, delay_s, period_s=period_s)

    found = _drawn_delays(
        config, faults, elapsed_s=elapsed_s, arrives=arrives, period_s=period_s, rngs=delay_rngs
    )
    for label in ("late", "late_beyond_allowance"):
        sample, extra_s = found[label]
        delay_s[sample] += extra_s
    repeated, repeat_s = found["duplicated"]
    once, lost = np.flatnonzero(arrives), np.flatnonzero(is_lost)
    labels = {"lost": (lost, np.zeros(len(lost))), **found}
    return Transmission(
        sequence=sequence,
        received=np.concatenate([once, repeated]),
        delay_s=np.concatenate([delay_s[once], delay_s[repeated] + repeat_s]),
        impairments=pl.DataFrame(
            {
                "sequence": sequence[np.concatenate([at for at, _ in labels.values()])],
                "kind": [kind for kind, (at, _) in labels.items() for _ in range(len(at))],
                "delay_s": np.concatenate([extra_s for _, extra_s in labels.values()]),
            },
            schema=IMPAIRMENT_SCHEMA,
        ).sort("sequence", maintain_order=True),
    )


def _drawn_delays(
    config: LinkConfig,
    faults: Sequence[Fault],
    *,
    elapsed_s: FloatArray,
    arrives: BoolArray,
    period_s: float,
    rngs: Sequence[np.random.Generator],
) -> dict[str, tuple[IntArray, FloatArray]]:
    """Of the packets that arrive those to be delayed, and by how much (s), by label.

    ``rngs`` are for those late, late beyond the allowance, and repeated.
    """
    late_rng, beyond_rng, repeat_rng = rngs
    n = len(elapsed_s)

    def may_be_delayed(sample: IntArray, extra_s: FloatArray) -> BoolArray:
        in_time = elapsed_s[sample] + extra_s < n * period_s
        meets = _meets_outage(config, faults, elapsed_s[sample], extra_s)
        fits: BoolArray = arrives[sample] & in_time & ~meets
        return fits

    # Candidates and their delays are drawn first and sifted afterwards, so that what a fault
    # sifts out does not change the delays of the others.
    late, late_s = _candidates(config.late_share, config.late_s, size=n, rng=late_rng)
    late, late_s = _only(may_be_delayed(late, late_s), late, late_s)
    # Far more candidates than wanted, because some are lost, late already, or meet an outage.
    beyond = np.unique(beyond_rng.integers(0, n, 100 * config.beyond_rows))
    beyond = beyond_rng.permutation(beyond)
    beyond_s = beyond_rng.uniform(*config.beyond_s, len(beyond))
    fits = may_be_delayed(beyond, beyond_s) & ~np.isin(beyond, late)
    fits &= np.cumsum(fits) <= config.beyond_rows
    beyond, beyond_s = _only(fits, beyond, beyond_s)

    repeated, repeat_s = _candidates(config.duplicate_share, _REPEAT_S, size=n, rng=repeat_rng)
    fits = may_be_delayed(repeated, repeat_s) & ~np.isin(repeated, np.concatenate([late, beyond]))
    repeated, repeat_s = _only(fits, repeated, repeat_s)
    return {
        "duplicated": (repeated, repeat_s),
        "late": (late, late_s),
        "late_beyond_allowance": (beyond, beyond_s),
    }


def sending(faults: Sequence[Fault], elapsed_s: FloatArray) -> BoolArray:
    """bool[n]: whether a packet is sent at each sampling time, float64[n]."""
    sends = np.ones(len(elapsed_s), np.bool_)
    for fault in faults:
        if fault.kind in QUIET_KINDS:
            sends[_during(fault, elapsed_s)] = False
    return sends


def _during(fault: Fault, elapsed_s: FloatArray) -> slice:
    """Samples from its first moment to its last; ``elapsed_s`` ascends."""
    return slice(*np.searchsorted(elapsed_s, [fault.start_s, fault.end_s]).tolist())


def _candidates(
    share: float, delay_s: tuple[float, float], *, size: int, rng: np.random.Generator
) -> tuple[IntArray, FloatArray]:
    """Indices of a share of all samples, and a uniform extra delay (s) for each."""
    sample = np.flatnonzero(rng.random(size) < share)
    return sample, rng.uniform(*delay_s, len(sample))


def _only(keep: BoolArray, sample: IntArray, extra_s: FloatArray) -> tuple[IntArray, FloatArray]:
    return sample[keep], extra_s[keep]


def _in_burst(
    config: LinkConfig, n: int, *, period_s: float, rng: np.random.Generator
) -> BoolArray:
    """bool[n]: samples that fall into a burst of losses."""
    chance = min(1.0, config.bursts_per_h * period_s / 3600)
    first = np.flatnonzero(rng.random(n) < chance)
    length = np.minimum(
        rng.geometric(1 / config.burst_mean_packets, len(first)), config.burst_max_packets
    )
    open_bursts = np.zeros(n + 1, np.int32)
    np.add.at(open_bursts, first, 1)
    np.add.at(open_bursts, np.minimum(first + length, n), -1)
    within: BoolArray = np.cumsum(open_bursts[:-1], dtype=np.int32) > 0
    return within


def _store_and_dump(
    config: LinkConfig,
    faults: Sequence[Fault],
    elapsed_s: FloatArray,
    delay_s: FloatArray,
    *,
    period_s: float,
) -> None:
    """Change ``delay_s`` in place where the satellite stores its packets during an outage.

    A first-in-first-out queue with a fixed service time: packet k is received at
    ``max(ready_k, received_(k-1) + service)``, solved for all k at once. New packets wait behind
    the stored ones, so the receipt of one satellite stays in the order of its event times.
    """
    for fault in faults:
        if fault.kind is FaultKind.BACKLOG:
            rows = slice(int(np.searchsorted(elapsed_s, fault.start_s)), None)
            ready_s = np.maximum(elapsed_s[rows], fault.end_s) + delay_s[rows]
            served_s = np.arange(len(ready_s)) * period_s / config.dump_speedup
            received_s = np.maximum.accumulate(ready_s - served_s) + served_s
            delay_s[rows] = received_s - elapsed_s[rows]


def _meets_outage(
    config: LinkConfig, faults: Sequence[Fault], sent_s: FloatArray, extra_s: FloatArray
) -> BoolArray:
    """bool[k]: whether a packet sent at ``sent_s``, delayed by ``extra_s``, runs into an outage.

    Without newer packets of the same satellite there is nothing to be late against.
    """
    meets = np.zeros(len(sent_s), np.bool_)
    for fault in faults:
        over_s = fault.end_s
        if fault.kind is FaultKind.BACKLOG:
            # The queue shrinks by the speed-up less the new packets that join it.
            over_s += (fault.end_s - fault.start_s) / (config.dump_speedup - 1)
        elif fault.kind not in QUIET_KINDS:
            continue
        meets |= (sent_s < over_s) & (sent_s + extra_s > fault.start_s)
    return meets
