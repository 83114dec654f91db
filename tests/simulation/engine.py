"""The whole engine on simulated hardware: real cores, hosts and logs, fake disk, clock and guard.

It is driven as a real run is, without a ledger. A *life* ends when the power goes out, when the
disk refuses, or at the end of the data; :func:`run_through` starts the next life on what is left
of the disk, feeding the sources from their beginning, until the run is finished.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from sightline.errors import StorageError
from sightline.limits import Limits
from sightline.recorder import read_entries
from sightline.recorder.storage import Storage
from sightline.records import Accounts, Decision, Detections, EntryKind, Frame
from sightline.records.decision import Mode, decisions_digest, final_revisions
from sightline.records.readings import Arrays, Readings
from sightline.runtime import Plan, RunDirectory, replay_run
from sightline.runtime.engine.driving import EpochDriver
from sightline.runtime.engine.fan_in import FanInCore
from sightline.runtime.engine.feeds import Part, finite_feed
from sightline.runtime.engine.guard import (
    ArraysRequest,
    FrameRequest,
    Outcome,
    OutcomeStatus,
    Request,
)
from sightline.runtime.engine.guarding import Answers
from sightline.runtime.engine.host import PartitionHost
from sightline.runtime.engine.hosting import FAN_IN, HostSettings, LocalHosting
from sightline.runtime.engine.logged_core import HostClocks
from sightline.runtime.engine.replay import ReplayVerdict
from sightline.runtime.stage import Stage
from sightline.sense import MemorySource
from sightline.sense.arrival import Epoch, epochs
from sightline.sense.frames.delivery import FrameSource
from simulation.disk import SimulatedCrash, SimulatedDisk
from simulation.schedules import EngineFaults

_MOST_LIVES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedRun(RunDirectory):
    """A run directory on a simulated disk."""

    disk: SimulatedDisk

    @property
    def storage(self) -> Storage:
        return self.disk


Sees = Callable[[str, Frame], Detections | Readings]
"""(stage, frame) → what it sees there."""


class FaultyAnswers:
    """Answers requests; a share of them fails, which ones is a function of seed and request.

    So the same request fails in every life, and in every run that asks it.

    Args:
        plan: of the run; series stages answer for themselves.
        seed: of the draws.
        fault_share: share of the requests that fail.
        sees: what is seen in a frame; nobody has a fallback.
    """

    def __init__(self, plan: Plan, seed: int, fault_share: float, *, sees: Sees | None = None):
        self._plan = plan
        self._seed = seed
        self._fault_share = fault_share
        self._sees = sees
        self._held: dict[str, Frame] = {}

    def hold(self, frame: Frame) -> None:
        self._held[frame.stream] = frame

    def warm(self, frame: Frame) -> None:
        pass

    def run(self, requests: Sequence[Request]) -> list[Outcome]:
        return [
            self._answer(r) if isinstance(r, ArraysRequest) else self._look(r) for r in requests
        ]

    def close(self) -> None:
        pass

    def _look(self, request: FrameRequest) -> Outcome:
        frame = self._held[request.camera]
        assert request.request_id == f"{request.stage}:{request.camera}:{frame.index}"
        status = OutcomeStatus.SKIPPED
        if request.ask_primary:
            status = self._status(request.request_id.encode())
        is_ok = status is OutcomeStatus.OK
        assert self._sees is not None
        return Outcome(
            request_id=request.request_id,
            stage=request.stage,
            status=status,
            mode=Mode.PRIMARY if is_ok else Mode.FALLBACK,
            answer=self._sees(request.stage, frame) if is_ok else None,
            batch=(request.request_id,),
        )

    def _answer(self, request: ArraysRequest) -> Outcome:
        # Which keys are asked for tells partitions apart, whose requests have equal ids.
        text = request.request_id.encode() + request.asked["current"].tobytes()
        status = self._status(text)
        is_ok = status is OutcomeStatus.OK
        return Outcome(
            request_id=request.request_id,
            stage=request.stage,
            status=status,
            answer=own_answer(self._plan, request) if is_ok else None,
        )

    def _status(self, text: bytes) -> OutcomeStatus:
        number = int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big")
        rng = np.random.default_rng([self._seed, number])
        if rng.random() >= self._fault_share:
            return OutcomeStatus.OK
        failures = [OutcomeStatus.TIMEOUT, OutcomeStatus.CRASH, OutcomeStatus.NAN]
        return failures[int(rng.integers(len(failures)))]


def own_answer(plan: Plan, request: ArraysRequest) -> Arrays:
    """What the stage itself answers."""
    stage = plan.stage(request.stage)
    assert isinstance(stage, Stage)
    return stage.answer(request.asked, stage.use)


class FakeClock:
    """Moves by a random step each time the wall clock is read; now and then it jumps back."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng([seed, 5])
        self.now_ns = 1_767_225_600_000_000_000

    def wall_ns(self) -> int:
        self.now_ns += int(self._rng.integers(-50_000_000, 100_000_000))
        return self.now_ns

    def monotonic_s(self) -> float:
        return 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedResult:
    """What a simulated run came to, as its logs tell.

    Attributes:
        run: the run directory, on the disk as it was left.
        logged: (partition, sequence, canonical bytes) of each decision in the logs.
        commands: to machines, as logged, in order.
        published: the same of each decision that left a host.
        accounts: of all partitions, as last logged.
        lives: how often the process was started.
        fallbacks: outcomes that were not OK, as ``stage:status``.
        phases: phases the circuit breakers were seen in, in order of commits.
        operations: changes to the disk in the last life.
    """

    run: SimulatedRun
    logged: frozenset[tuple[str, int, bytes]]
    published: frozenset[tuple[str, int, bytes]]
    commands: tuple[bytes, ...]
    accounts: Accounts
    lives: int
    fallbacks: tuple[str, ...]
    phases: tuple[str, ...]
    operations: int

    @property
    def decisions(self) -> list[Decision]:
        """Every revision, in order of (partition, log sequence)."""
        return [Decision.from_bytes(payload) for _, _, payload in sorted(self.logged)]

    @property
    def digest(self) -> str:
        return decisions_digest(self.decisions)

    @property
    def final_digest(self) -> str:
        return decisions_digest(final_revisions(self.decisions))

    def replay(self, sources: Mapping[str, MemorySource]) -> ReplayVerdict:
        """Replay the logs."""
        return replay_run(self.run, sources=sources)


@dataclass(slots=True)
class _Seen:
    published: set[tuple[str, int, bytes]]
    fallbacks: list[str]
    phases: list[str]


class SimulatedEngine:
    """One pipeline over rows and frames in memory, to be run on one disk after the other.

    Args:
        plan: the pipeline.
        frames: raw rows by source, in order of arrival.
        limits: bounds of the run.
        guard: runs guarded stages; by default they never fail.
        controls: operator inputs of the start.
        cameras: recordings of the plan's cameras, which give the same frames each time.
    """

    def __init__(
        self,
        plan: Plan,
        frames: Mapping[str, pl.DataFrame],
        *,
        limits: Limits = Limits(),
        guard: Answers | None = None,
        controls: Sequence[Mapping[str, Any]] = (),
        cameras: Sequence[FrameSource] = (),
    ) -> None:
        self.plan = plan
        self._cameras = cameras
        self.frames = sum(
            1 if isinstance(item, Frame) else item.frames for one in cameras for item in one
        )
        self.sources = {n: MemorySource(n, {n: frame}) for n, frame in frames.items()}
        self.rows = sum(frame.height for frame in frames.values())
        self._limits = limits
        self._guard = guard or FaultyAnswers(plan, 0, 0.0)
        self._controls = controls
        opened = [(source, plan.contracts[n]) for n, source in self.sources.items()]
        # Epochs depend on the data alone, so every life is fed the same.
        self._epochs: tuple[Epoch, ...] = tuple(epochs(opened, tick_ns=plan.tick_ns, limits=limits))

    def run_through(
        self, faults: EngineFaults = EngineFaults(), *, like: SimulatedResult | None = None
    ) -> SimulatedResult:
        """Run to the end through all faults.

        Args:
            faults: what happens to process and disk.
            like: the undisturbed run, whose size tells when faults are due.
        """
        rng = np.random.default_rng([faults.seed, 11])
        disk = SimulatedDisk()
        crashes = list(faults.crashes)
        if like is not None:
            disk = self._faulty_disk(faults, like, crashes)
        seen = _Seen(set(), [], [])
        for life in range(1, _MOST_LIVES + 1):
            try:
                self._live(disk, faults, seen, life)
            except SimulatedCrash:
                disk = disk.crash(rng)
            except StorageError:
                disk = disk.copy()  # somebody has made room
                disk.capacity_bytes = None
            else:
                return self._result(disk, seen, life)
            if crashes and like is not None:
                disk.crash_at_operation = _nth(crashes.pop(), like.operations)
        raise AssertionError(f"not finished after {_MOST_LIVES} lives")

    def _result(self, disk: SimulatedDisk, seen: _Seen, lives: int) -> SimulatedResult:
        run = SimulatedRun(path=Path("simulated"), plan=self.plan, sources={}, disk=disk)
        return SimulatedResult(
            run=run,
            logged=frozenset(
                (name, entry.sequence, entry.payload)
                for name in run.partitions
                for entry in read_entries(disk, name, kinds={EntryKind.DECISION})
            ),
            published=frozenset(seen.published),
            commands=tuple(
                entry.payload
                for name in run.partitions
                for entry in read_entries(disk, name, kinds={EntryKind.COMMAND})
            ),
            accounts=Accounts.total(run.accounts().values()),
            lives=lives,
            fallbacks=tuple(seen.fallbacks),
            phases=tuple(seen.phases),
            operations=disk.operations,
        )

    def _faulty_disk(
        self, faults: EngineFaults, like: SimulatedResult, crashes: list[float]
    ) -> SimulatedDisk:
        return SimulatedDisk(
            capacity_bytes=None
            if faults.disk_full is None
            else round(faults.disk_full * like.run.disk.used_bytes),
            fail_at_operation=None
            if faults.io_error is None
            else _nth(faults.io_error, like.operations),
            crash_at_operation=_nth(crashes.pop(), like.operations) if crashes else None,
        )

    def _live(self, disk: SimulatedDisk, faults: EngineFaults, seen: _Seen, life: int) -> None:
        driver = self._start(disk, faults, life)
        try:
            driver.begin(self._controls)
            for number, part in enumerate(self._parts(), 1):
                if part.items:
                    self._take_items(driver, part, seen)
                epoch = part.epoch
                if epoch is None or (driver.cameras and driver.cameras.has_epoch(epoch.number)):
                    continue
                driver.feed(epoch)
                if epoch.is_complete and (epoch.is_final or number % faults.commit_epochs == 0):
                    self._commit(driver, seen)
        except StorageError:
            with contextlib.suppress(StorageError):  # the disk may refuse this as well
                driver.close()
            raise
        driver.close()

    def _parts(self) -> Iterator[Part]:
        rows = iter(self._epochs) if self.plan.contracts else None
        return finite_feed(self.plan, rows, self._cameras, self._limits)

    def _take_items(self, driver: EpochDriver, part: Part, seen: _Seen) -> None:
        host = driver.cameras
        assert host is not None
        fresh = [item for item in part.items if not host.knows(item)]
        for item in part.items:
            if isinstance(item, Frame) and item not in fresh:
                host.warm(item)
        if fresh:
            host.feed_items(fresh)
            self._commit(driver, seen)

    def _commit(self, driver: EpochDriver, seen: _Seen) -> None:
        for committed in driver.commit(at_once=lambda committed: None):
            committed.accounts.check(f"simulated run, {committed.name}")
            seen.published.update(
                (committed.name, sequence, decision.canonical_bytes())
                for sequence, decision in committed.decisions
            )
            seen.fallbacks.extend(committed.fallbacks)
            seen.phases.extend(phase for _, phase in committed.breakers)

    def _start(self, disk: SimulatedDisk, faults: EngineFaults, life: int) -> EpochDriver:
        clock = FakeClock(faults.seed + life)
        clocks = HostClocks(wall_ns=clock.wall_ns, monotonic_s=clock.monotonic_s)
        limits = replace(self._limits, segment_bytes=faults.segment_bytes)
        settings = HostSettings(
            configuration=b"{}",
            references=frozenset(self.plan.contracts) if faults.by_reference else frozenset(),
            models={},
            checkpoint_epochs=faults.checkpoint_epochs,
            limits=limits,
        )
        partitions = self.plan.pipeline.partitions
        hosting = LocalHosting(
            self.plan, range(partitions), disk, settings, clocks=clocks, guard=self._guard
        )
        fan_in = None
        if self.plan.has_fan_in:
            fan_in = PartitionHost(
                FAN_IN,
                FanInCore(self.plan, partitions=partitions, limits=limits),
                disk,
                guard=self._guard,
                clocks=clocks,
                checkpoint_epochs=faults.checkpoint_epochs,
                limits=limits,
            )
        return EpochDriver(self.plan, hosting, fan_in)


def _nth(share: float, operations: int) -> int:
    return 1 + int(share * operations)


def differences(a: SimulatedResult, b: SimulatedResult) -> Iterator[str]:
    """What stands at the end of one run and not of the other, for people."""
    left, right = ({d.canonical_bytes(): d for d in final_revisions(r.decisions)} for r in (a, b))
    for sign, only in (("-", left.keys() - right.keys()), ("+", right.keys() - left.keys())):
        for key in sorted(only):
            d = left.get(key) or right[key]
            yield (
                f"{sign} {d.kind} {d.subject} {d.transition} at {d.event_ns} "
                f"score {d.score!r} mode {d.mode} window {d.window_start_ns}"
            )
