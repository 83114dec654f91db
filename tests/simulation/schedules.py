"""Fault schedules: everything that may go wrong in a simulated run, drawn from one seed.

A schedule has two halves. *Arrival* faults change how and when rows arrive, and are part of the
data: a run and its crashed twin see the same. *Engine* faults change what happens to the process
and its disk, and must not show in any decision.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import polars as pl

NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Stall:
    """One key stores its rows from ``start_s`` on and sends them within ``dump_s`` of ``end_s``.

    The backlog is sent first, in order; what the key measures meanwhile comes after it.
    """

    key: str
    start_s: float
    end_s: float
    dump_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrivalFaults:
    """How rows arrive. Times are in s after the first row.

    Attributes:
        reorder_s: each row is delayed by a random 0 to this.
        stalls: keys that deliver a backlog.
        duplicate_share: share of rows that come twice, the second time with the same sequence, or
            with a higher one and another value (which then wins).
        jump_share: share of rows whose clock jumps by ``jump_s``.
        jump_s: jumps to draw from.
        calm_s: no clock jumps before this.
        bad_share: share of rows with a value outside the contract's range.
        seed: of the draws.
    """

    reorder_s: float = 0.0
    stalls: tuple[Stall, ...] = ()
    duplicate_share: float = 0.0
    jump_share: float = 0.0
    jump_s: tuple[float, ...] = ()
    calm_s: float = 20.0
    bad_share: float = 0.0
    seed: int = 0

    def in_order(self) -> ArrivalFaults:
        """The same rows without any disorder: what the final decisions must not depend on."""
        return replace(self, reorder_s=0.0, stalls=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Names of the columns that faults touch; times are int64 UTC ns."""

    key: str
    time: str
    received: str
    sequence: str
    value: str


def arrive(rows: pl.DataFrame, faults: ArrivalFaults, columns: Columns) -> pl.DataFrame:
    """``rows`` as they arrive under ``faults``: in order of the receipt column, which is set here.

    Which rows are repeated, spoilt or displaced in event time depends on the seed and not on the
    order of arrival, so :meth:`ArrivalFaults.in_order` gives the same rows.
    """
    change, delay = (np.random.default_rng([faults.seed, i]) for i in range(2))
    rows = rows.sort(columns.time, columns.key)
    rows = _with_duplicates(rows, faults, columns, change)
    n = rows.height
    true_ns = rows[columns.time].to_numpy()
    value = rows[columns.value].to_numpy()
    value = np.where(change.random(n) < faults.bad_share, 1e9, value)
    # Before the first tick nobody can tell how old a row is.
    jumps = (change.random(n) < faults.jump_share) & (
        true_ns - true_ns[0] > faults.calm_s * NS_PER_S
    )
    jump_ns = np.zeros(n, np.int64)
    if faults.jump_s:
        jump_ns = np.where(jumps, change.choice(faults.jump_s, n) * NS_PER_S, 0).astype(np.int64)
    sent_ns = true_ns.copy()
    delay_ns = delay.integers(0, round(faults.reorder_s * NS_PER_S) + 1, n)
    origin_ns = int(true_ns[0])
    for stall in faults.stalls:
        since_ns = true_ns - origin_ns
        start_ns, end_ns, over_ns = (
            round(t * NS_PER_S) for t in (stall.start_s, stall.end_s, stall.end_s + stall.dump_s)
        )
        own = (rows[columns.key] == stall.key).to_numpy()
        stored = own & (since_ns >= start_ns) & (since_ns < end_ns)
        share = (since_ns - start_ns) / (end_ns - start_ns)
        sent_ns[stored] = origin_ns + end_ns + (share[stored] * (over_ns - end_ns)).astype(np.int64)
        waits = own & (since_ns >= end_ns) & (since_ns < over_ns)
        sent_ns[waits] = origin_ns + over_ns
        delay_ns[stored | waits] = 0
    return rows.with_columns(
        pl.Series(columns.value, value),
        pl.Series(columns.time, true_ns + jump_ns),
        pl.Series(columns.received, sent_ns + delay_ns),
    ).sort(columns.received, maintain_order=True)


def _with_duplicates(
    rows: pl.DataFrame, faults: ArrivalFaults, columns: Columns, rng: np.random.Generator
) -> pl.DataFrame:
    again = rows.filter(pl.Series(rng.random(rows.height) < faults.duplicate_share))
    corrected = pl.Series(rng.random(again.height) < 0.5)
    again = again.with_columns(
        pl.col(columns.sequence) + corrected.cast(pl.Int64),
        pl.col(columns.value) + corrected.cast(pl.Float64),
    )
    return pl.concat([rows, again]).sort(columns.time, columns.key, maintain_order=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineFaults:
    """What happens to the process and its disk.

    Attributes:
        crashes: power cuts, each after this share of the disk operations of an undisturbed run.
        io_error: share of the operations after which one operation fails; None: never.
        disk_full: share of the bytes of an undisturbed run that fit on the disk at first.
        commit_epochs: epochs between two commits.
        checkpoint_epochs: epochs between two checkpoints.
        segment_bytes: size of a log segment.
        by_reference: whether the log refers to the rows instead of holding them.
        seed: of the draws: what a power cut tears, how the clock runs.
    """

    crashes: tuple[float, ...] = ()
    io_error: float | None = None
    disk_full: float | None = None
    commit_epochs: int = 1
    checkpoint_epochs: int = 200
    segment_bytes: int = 64 << 20
    by_reference: bool = False
    seed: int = 0


def draw_arrival(
    seed: int,
    *,
    keys: tuple[str, ...],
    duration_s: float,
    out_of_order_s: float,
    allowance_s: float,
) -> ArrivalFaults:
    """The arrival faults of ``seed``.

    Args:
        seed: of every draw.
        keys: that may stall.
        duration_s: length of the data.
        out_of_order_s: disorder that is still punctual.
        allowance_s: disorder that leads to revisions.
    """
    rng = np.random.default_rng([seed, 7])
    stalls = []
    for key in rng.choice(keys, rng.integers(0, 3), replace=False):
        start_s = float(rng.uniform(0, 0.7 * duration_s))
        length_s = float(rng.uniform(0.05, 0.5) * duration_s)
        stalls.append(
            Stall(
                key=str(key),
                start_s=start_s,
                end_s=start_s + length_s,
                dump_s=float(rng.choice([0.0, 0.3 * length_s])),
            )
        )
    return ArrivalFaults(
        reorder_s=float(rng.choice([0.0, out_of_order_s, 0.9 * allowance_s], p=[0.2, 0.6, 0.2])),
        stalls=tuple(stalls),
        duplicate_share=float(rng.choice([0.0, 0.05])),
        jump_share=float(rng.choice([0.0, 0.01], p=[0.7, 0.3])),
        jump_s=(3600.0, 86_400.0, -86_400.0),
        bad_share=float(rng.choice([0.0, 0.02], p=[0.7, 0.3])),
        seed=seed,
    )


def draw_engine_faults(seed: int) -> EngineFaults:
    """The engine faults of ``seed``."""
    rng = np.random.default_rng([seed, 13])
    n_crashes = int(rng.choice([0, 1, 2, 4], p=[0.1, 0.7, 0.15, 0.05]))
    return EngineFaults(
        crashes=tuple(rng.random(n_crashes).tolist()),
        io_error=float(rng.random()) if rng.random() < 0.12 else None,
        disk_full=float(rng.random()) if rng.random() < 0.12 else None,
        commit_epochs=int(rng.integers(1, 5)),
        checkpoint_epochs=int(rng.choice([1, 3, 200])),
        segment_bytes=int(rng.choice([2_000, 20_000, 64 << 20])),
        by_reference=bool(rng.random() < 0.3),
        seed=seed,
    )
