"""Hosts of all partitions of a run: in this process, or spread over worker processes.

The number of logical partitions is the pipeline's; a worker only hosts some of them. What a
partition is fed does not depend on where it is hosted, so neither does what it says.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

import polars as pl

from sightline.errors import InvariantViolation, SightlineError
from sightline.limits import Limits
from sightline.recorder import DirectoryStorage, Storage
from sightline.runtime.batches import decode_frame, encode_frame
from sightline.runtime.core import PartitionCore
from sightline.runtime.host import PartitionHost
from sightline.runtime.logged_core import Committed, HostClocks
from sightline.runtime.model_versions import live_models
from sightline.runtime.pipeline import stage_budgets_s
from sightline.runtime.plan import Plan
from sightline.runtime.scoring import DeadlineScoring, Scoring
from sightline.runtime.stage_timer import MeasuredStages
from sightline.runtime.summary import Summary

FAN_IN = "fan-in"


def partition_name(partition: int) -> str:
    """Name of a key partition in the run directory.

    >>> partition_name(3)
    'p003'
    """
    return f"p{partition:03d}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionEpoch:
    """One partition's share of an epoch."""

    number: int
    tick_ns: int
    is_complete: bool
    is_final: bool
    batches: tuple[tuple[str, pl.DataFrame], ...]
    rejected: tuple[tuple[str, pl.DataFrame], ...]
    superseded: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSettings:
    """How partitions are hosted; the same for all of a run."""

    configuration: bytes
    references: frozenset[str]
    checkpoint_epochs: int
    limits: Limits


class Hosting(Protocol):
    """All key partitions of a run."""

    @property
    def committed_epochs(self) -> dict[int, int]:
        """Last epoch that is in the log, by partition."""

    @property
    def finished(self) -> dict[int, bool]:
        """Whether the final epoch is in the log, by partition, when it was opened."""

    @property
    def recoveries(self) -> dict[str, str]:
        """What was cut from torn logs, by partition."""

    def feed(self, partition: int, epoch: PartitionEpoch) -> None:
        """Give a partition its share of an epoch; may return before it is processed."""

    def begin(self, controls: Sequence[dict[str, Any]]) -> None:
        """Give operator inputs to the partitions that have no epoch yet."""

    def feed_control(self, control: dict[str, Any]) -> None:
        """Give an operator input to every partition, between two epochs."""

    def commit(self) -> list[Committed]:
        """Commit every partition; results in order of partition."""

    def feed_missed(self, name: str, missed: Mapping[str, Any]) -> None:
        """Log an overrun in the partition called ``name``, with its next commit."""

    def summaries_after(self, epoch: int) -> list[Summary]:
        """Committed summaries after ``epoch``, for a fan-in that is behind."""

    def close(self) -> None:
        """Close logs and end processes."""


class LocalHosting:
    """Hosts partitions in this process.

    Args:
        plan: the checked pipeline.
        partitions: the ones to host.
        storage: the disk of the run.
        settings: how.
        clocks: of the shell.
        scoring: runs guarded stages.
    """

    def __init__(
        self,
        plan: Plan,
        partitions: Sequence[int],
        storage: Storage,
        settings: HostSettings,
        *,
        clocks: HostClocks,
        scoring: Scoring,
    ) -> None:
        self._scoring = scoring
        budgets_s, models = stage_budgets_s(plan.pipeline), live_models(plan)
        timers = {p: MeasuredStages(clocks.monotonic_s) for p in partitions}
        self.hosts = {
            p: PartitionHost(
                partition_name(p),
                PartitionCore(plan, partition=p, limits=settings.limits, timer=timers[p]),
                storage,
                scoring=scoring,
                clocks=clocks,
                timer=timers[p],
                budgets_s=budgets_s,
                models=models,
                references=settings.references,
                configuration=settings.configuration,
                checkpoint_epochs=settings.checkpoint_epochs,
                limits=settings.limits,
            )
            for p in partitions
        }

    @property
    def committed_epochs(self) -> dict[int, int]:
        return {p: h.committed_epoch for p, h in self.hosts.items()}

    @property
    def finished(self) -> dict[int, bool]:
        return {p: h.is_finished for p, h in self.hosts.items()}

    @property
    def recoveries(self) -> dict[str, str]:
        return {h.name: h.recovery.message for h in self.hosts.values() if h.recovery.cut_bytes}

    def feed(self, partition: int, epoch: PartitionEpoch) -> None:
        self.hosts[partition].feed(
            epoch.number,
            tick_ns=epoch.tick_ns,
            is_complete=epoch.is_complete,
            is_final=epoch.is_final,
            batches=epoch.batches,
            rejected=epoch.rejected,
            superseded=epoch.superseded,
        )

    def begin(self, controls: Sequence[dict[str, Any]]) -> None:
        for host in self.hosts.values():
            host.begin(controls)

    def feed_control(self, control: dict[str, Any]) -> None:
        for host in self.hosts.values():
            host.feed_control(control)

    def commit(self) -> list[Committed]:
        return [host.commit() for _, host in sorted(self.hosts.items())]

    def feed_missed(self, name: str, missed: Mapping[str, Any]) -> None:
        for host in self.hosts.values():
            if host.name == name:
                host.feed_missed(missed)

    def summaries_after(self, epoch: int) -> list[Summary]:
        return [s for _, h in sorted(self.hosts.items()) for s in h.summaries_after(epoch)]

    def close(self) -> None:
        for host in self.hosts.values():
            host.close()
        self._scoring.close()


class WorkerHosting:
    """Hosts partitions in spawned worker processes (fork is unsafe with Polars' threads).

    Epochs are sent ahead without waiting; :meth:`commit` is the point where all workers meet, so
    at most the epochs between two commits are in flight.
    """

    def __init__(self, plan: Plan, run: Path, settings: HostSettings, *, workers: int) -> None:
        partitions = range(plan.pipeline.partitions)
        self._of = {p: p % workers for p in partitions}
        self._workers = [
            _Worker(plan, run, settings, [p for p in partitions if p % workers == w])
            for w in range(workers)
        ]
        self._committed_epochs: dict[int, int] = {}
        self._recoveries: dict[str, str] = {}
        self._finished: dict[int, bool] = {}
        for worker in self._workers:
            epochs, recoveries, finished = worker.receive()
            self._finished.update(finished)
            self._committed_epochs.update(epochs)
            self._recoveries.update(recoveries)

    @property
    def committed_epochs(self) -> dict[int, int]:
        return self._committed_epochs

    @property
    def finished(self) -> dict[int, bool]:
        return self._finished

    @property
    def recoveries(self) -> dict[str, str]:
        return self._recoveries

    def feed(self, partition: int, epoch: PartitionEpoch) -> None:
        packed = (
            epoch.number,
            epoch.tick_ns,
            epoch.is_complete,
            epoch.is_final,
            tuple((s, encode_frame(f)) for s, f in epoch.batches),
            tuple((s, encode_frame(f)) for s, f in epoch.rejected),
            epoch.superseded,
        )
        self._workers[self._of[partition]].send(("feed", partition, packed))

    def begin(self, controls: Sequence[dict[str, Any]]) -> None:
        for worker in self._workers:
            worker.send(("begin", controls))

    def feed_control(self, control: dict[str, Any]) -> None:
        for worker in self._workers:
            worker.send(("control", control))

    def feed_missed(self, name: str, missed: Mapping[str, Any]) -> None:
        for partition, worker in self._of.items():
            if partition_name(partition) == name:
                self._workers[worker].send(("missed", name, dict(missed)))

    def commit(self) -> list[Committed]:
        for worker in self._workers:
            worker.send(("commit",))
        found = [c for worker in self._workers for c in worker.receive()]
        return sorted(found, key=lambda c: c.name)

    def summaries_after(self, epoch: int) -> list[Summary]:
        for worker in self._workers:
            worker.send(("summaries", epoch))
        found = [s for worker in self._workers for s in worker.receive()]
        return sorted(found, key=lambda s: s.partition)

    def close(self) -> None:
        for worker in self._workers:
            worker.close()


class _Worker:
    """One worker process, seen from the coordinator."""

    _JOIN_S = 10.0

    def __init__(
        self, plan: Plan, run: Path, settings: HostSettings, partitions: list[int]
    ) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=_work, args=(theirs, plan, run, settings, partitions), daemon=True
        )
        # One Polars thread per worker: the workers are the parallelism.
        before = os.environ.get("POLARS_MAX_THREADS")
        os.environ["POLARS_MAX_THREADS"] = "1"
        try:
            self._process.start()
        finally:
            if before is None:
                del os.environ["POLARS_MAX_THREADS"]
            else:
                os.environ["POLARS_MAX_THREADS"] = before
        theirs.close()

    def send(self, message: tuple[Any, ...]) -> None:
        try:
            self._pipe.send(message)
        except OSError as error:
            raise self._died() from error

    def receive(self) -> Any:
        try:
            answer = self._pipe.recv()
        except (EOFError, OSError) as error:
            raise self._died() from error
        if isinstance(answer, SightlineError):
            raise answer
        return answer

    def _died(self) -> InvariantViolation:
        self._process.join(self._JOIN_S)
        if self._pipe.poll():
            answer = self._pipe.recv()
            if isinstance(answer, SightlineError):
                raise answer
        return InvariantViolation(
            expected="a living worker process",
            got=f"exit code {self._process.exitcode}",
            where=f"worker {self._process.pid}",
            action="run again with --resume: committed work is kept",
        )

    def close(self) -> None:
        with contextlib.suppress(OSError):  # it may have ended already, which is what is wanted
            self._pipe.send(("close",))
        self._process.join(self._JOIN_S)
        if self._process.is_alive():
            self._process.kill()
        self._pipe.close()


def _work(
    pipe: Connection, plan: Plan, run: Path, settings: HostSettings, partitions: list[int]
) -> None:
    """Main of a worker process."""
    try:
        hosting = LocalHosting(
            plan,
            partitions,
            DirectoryStorage(run),
            settings,
            clocks=HostClocks(wall_ns=time.time_ns, monotonic_s=time.monotonic),
            scoring=DeadlineScoring(),
        )
        pipe.send((hosting.committed_epochs, hosting.recoveries, hosting.finished))
        while True:
            message = pipe.recv()
            match message[0]:
                case "feed":
                    hosting.feed(message[1], _unpack(message[2]))
                case "begin":
                    hosting.begin(message[1])
                case "control":
                    hosting.feed_control(message[1])
                case "missed":
                    hosting.feed_missed(message[1], message[2])
                case "commit":
                    pipe.send(hosting.commit())
                case "summaries":
                    pipe.send(hosting.summaries_after(message[1]))
                case _:
                    hosting.close()
                    return
    except EOFError:
        return  # the coordinator is gone; what was committed is safe
    except SightlineError as error:
        pipe.send(error)
    except Exception as error:  # noqa: BLE001 - a defect, told to the coordinator with its trace
        pipe.send(
            InvariantViolation(
                expected="a worker without defects",
                got=f"{type(error).__name__}: {error}\n{traceback.format_exc()}",
                where=f"worker hosting partitions {partitions}",
                action="keep the run directory and report it",
            )
        )


def _unpack(packed: tuple[Any, ...]) -> PartitionEpoch:
    number, tick_ns, is_complete, is_final, batches, rejected, superseded = packed
    return PartitionEpoch(
        number=number,
        tick_ns=tick_ns,
        is_complete=is_complete,
        is_final=is_final,
        batches=tuple((s, decode_frame(b)) for s, b in batches),
        rejected=tuple((s, decode_frame(b)) for s, b in rejected),
        superseded=superseded,
    )
