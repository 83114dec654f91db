"""A run on a simulated disk, clock and source, with faults as inputs drawn from a seed.

The seed decides everything: which rows exist, how they arrive, when the disk tears, fills up or
loses power, what the scorer does. A failing seed can be run alone: SIGHTLINE_SEED=123 pytest …
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from sightline.errors import StorageError
from sightline.limits import Limits
from sightline.recorder import read_entries
from sightline.records import Accounts, Decision, EntryKind
from sightline.records.decision import decisions_digest, final_revisions
from sightline.runtime import Pipeline, RunDirectory, make_plan
from sightline.runtime.deciding import run_scorer
from sightline.runtime.driving import EpochDriver
from sightline.runtime.fan_in import FanInCore
from sightline.runtime.guard import Outcome, OutcomeStatus
from sightline.runtime.host import HostClocks, PartitionHost
from sightline.runtime.hosting import FAN_IN, HostSettings, LocalHosting
from sightline.runtime.replay import Difference, replay_partition
from sightline.sense import MemorySource
from sightline.sense.arrival import epochs
from sightline.sense.contract_file import parse_contract
from simulation.disk import SimulatedCrash, SimulatedDisk

START_S = 1_767_225_600
NS = 1_000_000_000

CONTRACT = {
    "contract": "small",
    "key": ["sensor"],
    "group": "area",
    "event_time": {"column": "time_ns", "format": "unix_ns"},
    "sequence": {"column": "sequence"},
    "fields": {"value": {"type": "number", "unit": "1", "range": [-1000, 1000]}},
    "timing": {"out_of_order_s": 2, "revision_allowance_s": 20, "max_backlog_s": 3600},
    "silence": {"timeout_s": 5},
}
PIPELINE = {
    "pipeline": "small",
    "partitions": 2,
    "tick_s": 10,
    "idle_s": 10,
    "sources": {"t": {"contract": "-"}},
    "stages": {
        "level": {"use": "windows", "input": "t", "width_s": 10, "statistics": ["count", "mean"]},
        "odd": {
            "use": "robust_deviation",
            "input": "level",
            "measures": ["value.mean"],
            "history": 4,
            "min_history": 2,
            "floor": {"value.mean": 0.5},
            "guarded": {
                "budget_s": 1,
                "fallback": "level_deviation",
                "breaker": {"open_after": 2, "retry_after_ticks": 2, "close_after": 1},
            },
        },
        "seen": {"use": "presence", "input": "t", "width_s": 5},
        "area_silent": {"use": "silence", "input": "seen", "scope": "group", "code": "AREA"},
        "silent": {
            "use": "silence",
            "input": "seen",
            "code": "SILENT",
            "inhibited_by": ["area_silent"],
            "inhibit_hold_s": 5,
        },
        "high": {
            "use": "alarm",
            "input": "level",
            "measure": "value.mean",
            "unit": "1",
            "raise_above": 10,
            "clear_below": 5,
            "code": "HIGH",
        },
        "unusual": {
            "use": "alarm",
            "input": "odd",
            "measure": "value",
            "unit": "1",
            "raise_above": 6,
            "clear_below": 3,
            "code": "ODD",
        },
    },
}


def small_plan(**changes):
    """The small array-only pipeline; ``changes`` replace keys of single stages."""
    stages = {n: {**s, **changes.get(n, {})} for n, s in PIPELINE["stages"].items()}
    form = Pipeline.model_validate({**PIPELINE, "stages": stages})
    return make_plan(form, {"t": parse_contract(CONTRACT, where="small")})


def small_rows(rng: np.random.Generator) -> pl.DataFrame:
    """Six sensors in two areas for 60 s: gaps, steps, duplicates, disorder, bad rows."""
    frames = []
    for sensor in range(6):
        time_s = np.arange(0, 60, 1.0) + sensor / 10
        value = rng.normal(size=len(time_s)) + 15 * (rng.random() < 0.4) * (time_s > 30)
        keep = np.ones(len(time_s), bool)
        if rng.random() < 0.5:
            begin = rng.uniform(5, 40)
            keep &= ~((time_s > begin) & (time_s < begin + rng.uniform(3, 40)))
        frames.append(
            pl.DataFrame(
                {
                    "sensor": f"s{sensor}",
                    "area": "north" if sensor < 3 else "south",
                    "time_ns": ((START_S + time_s) * NS).astype(np.int64),
                    "sequence": np.arange(len(time_s)),
                    "value": value,
                }
            ).filter(pl.Series(keep))
        )
    rows = pl.concat(frames).sort("time_ns", maintain_order=True)
    again = rows.filter(pl.Series(rng.random(rows.height) < 0.05))
    again = again.with_columns(pl.col("sequence") + pl.lit(rng.integers(0, 2)))
    rows = pl.concat([rows, again])
    # Arrival: in order of time but for a jitter; some far beyond what is punctual.
    late = np.where(rng.random(rows.height) < 0.08, rng.uniform(0, 30, rows.height), 0)
    jitter = rng.uniform(0, 1.9, rows.height) + late
    rows = rows[np.argsort(rows["time_ns"].to_numpy() + jitter * NS, kind="stable")]
    bad = rng.random(rows.height) < 0.02
    value = np.where(bad, rng.choice([5000.0, np.inf], rows.height), rows["value"].to_numpy())
    jump = rng.random(rows.height) < 0.005
    time_ns = rows["time_ns"].to_numpy() + np.where(jump, rng.integers(-90, 120) * NS, 0)
    return rows.with_columns(pl.Series("value", value), pl.Series("time_ns", time_ns))


class SimulatedScoring:
    """Answers as a stage might: by request id and seed, so that it is the same in every attempt."""

    def __init__(self, seed: int, fault_share: float) -> None:
        self._seed = seed
        self._fault_share = fault_share

    def run(self, requests):
        return [self._answer(r) for r in requests]

    def _answer(self, request):
        draw = np.random.default_rng([self._seed, *request.request_id.encode()])
        if draw.random() < self._fault_share:
            status = draw.choice([OutcomeStatus.TIMEOUT, OutcomeStatus.CRASH, OutcomeStatus.NAN])
            return Outcome(
                request_id=request.request_id,
                stage=request.stage,
                status=OutcomeStatus(status),
                scores=np.empty(0),
            )
        return Outcome(
            request_id=request.request_id,
            stage=request.stage,
            status=OutcomeStatus.OK,
            scores=run_scorer(request, request.scorer),
        )

    def close(self):
        pass


class FakeClock:
    """Moves by a millisecond each time it is read, and may jump back."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._now_ns = START_S * NS

    def wall_ns(self) -> int:
        jump_ns = -5 * NS if self._rng.random() < 0.002 else 1_000_000
        self._now_ns = max(self._now_ns + jump_ns, 0)
        return self._now_ns

    def monotonic_s(self) -> float:
        return self._now_ns / NS


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a simulated run came to."""

    decisions: list[Decision]
    accounts: Accounts
    crashes: int
    disk: SimulatedDisk

    @property
    def digest(self) -> str:
        return decisions_digest(self.decisions)

    @property
    def final_digest(self) -> str:
        return decisions_digest(final_revisions(self.decisions))


class SimulatedRun:
    """One plan and its sources, run on simulated hardware.

    Args:
        plan: the pipeline.
        frames: rows by source.
        seed: of the scorer, the clock and the faults.
        fault_share: share of scorer requests that fail.
        group: epochs between two commits.
    """

    def __init__(self, plan, frames, *, seed, fault_share=0.0, group=3, limits=None):
        self.plan = plan
        self.sources = [
            (MemorySource(name, {name: frame}), plan.contracts[name])
            for name, frame in frames.items()
        ]
        self.rows = sum(f.height for f in frames.values())
        self.seed = seed
        self.fault_share = fault_share
        self.group = group
        self.limits = limits or Limits()
        self.epochs = list(epochs(self.sources, tick_ns=plan.tick_ns, limits=self.limits))

    def go(self, disk: SimulatedDisk, *, most_crashes: int = 0) -> Result:
        """Run to the end; after each crash of the disk, resume on what is left of it."""
        rng = np.random.default_rng([self.seed, 1])
        crashes = 0
        while True:
            try:
                self._attempt(disk, rng)
                break
            except (SimulatedCrash, StorageError):
                crashes += 1
                disk = disk.crash(rng)
                if crashes < most_crashes:
                    disk.crash_at_operation = disk.operations + int(rng.integers(1, 200))
        return Result(
            decisions=[
                Decision.from_bytes(e.payload)
                for name in self.partitions
                for e in read_entries(disk, name, kinds={EntryKind.DECISION})
            ],
            accounts=self._accounts(disk),
            crashes=crashes,
            disk=disk,
        )

    @property
    def partitions(self) -> list[str]:
        names = [f"p{p:03d}" for p in range(self.plan.pipeline.partitions)]
        return [*names, FAN_IN] if self.plan.has_fan_in else names

    def _attempt(self, disk: SimulatedDisk, rng: np.random.Generator) -> None:
        clock = FakeClock(rng)
        clocks = HostClocks(wall_ns=clock.wall_ns, monotonic_s=clock.monotonic_s)
        scoring = SimulatedScoring(self.seed, self.fault_share)
        settings = HostSettings(
            configuration=b"{}", references=frozenset(), checkpoint_epochs=4, limits=self.limits
        )
        hosting = LocalHosting(
            self.plan,
            range(self.plan.pipeline.partitions),
            disk,
            settings,
            clocks=clocks,
            scoring=scoring,
        )
        fan_in = None
        if self.plan.has_fan_in:
            fan_in = PartitionHost(
                FAN_IN,
                FanInCore(self.plan, partitions=self.plan.pipeline.partitions, limits=self.limits),
                disk,
                scoring=scoring,
                clocks=clocks,
                checkpoint_epochs=4,
                limits=self.limits,
            )
        driver = EpochDriver(self.plan, hosting, fan_in)
        for i, epoch in enumerate(self.epochs):
            driver.feed(epoch)
            if epoch.is_complete and (epoch.is_final or i % self.group == 0):
                for committed in driver.commit():
                    committed.accounts.check(f"seed {self.seed}, {committed.name}")
        driver.close()

    def _accounts(self, disk: SimulatedDisk) -> Accounts:
        run = SimulatedDirectory(self.plan, disk)
        return Accounts.total(run.accounts().values())

    def replay_difference(self, disk: SimulatedDisk) -> Difference | None:
        """The first point at which a replay of the logs says something else."""
        run = SimulatedDirectory(self.plan, disk)
        for name in self.partitions:
            for item in replay_partition(run, name):
                if isinstance(item, Difference):
                    return item
        return None


class SimulatedDirectory(RunDirectory):
    """A run directory whose storage is a simulated disk."""

    def __init__(self, plan, disk):
        object.__setattr__(self, "path", None)
        object.__setattr__(self, "plan", plan)
        object.__setattr__(self, "sources", {})
        object.__setattr__(self, "_disk", disk)

    __slots__ = ("_disk",)

    @property
    def storage(self):
        return self._disk
