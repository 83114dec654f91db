"""Hosts of all partitions of a run, in this process; :mod:`.workers` spreads them over several.

The number of logical partitions is the pipeline's; a worker only hosts some of them. What a
partition is fed does not depend on where it is hosted, so neither does what it says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol

import polars as pl

from sightline.limits import Limits
from sightline.recorder import Storage
from sightline.recorder.chain import LogOrigin
from sightline.runtime.engine.core import PartitionCore
from sightline.runtime.engine.frame_shell import FrameShell
from sightline.runtime.engine.guarding import Answers
from sightline.runtime.engine.host import PartitionHost
from sightline.runtime.engine.logged_core import Committed, HostClocks
from sightline.runtime.engine.stage_timer import MeasuredStages
from sightline.runtime.engine.summary import Summary
from sightline.runtime.plan import Plan
from sightline.sense.admission import Share
from sightline.sense.frames.video_parts import PacketTape
from sightline.sense.source import Position

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
    batches: tuple[tuple[str, Share], ...]
    rejected: tuple[tuple[str, pl.DataFrame], ...]
    superseded: tuple[tuple[str, int], ...] = ()
    positions: Mapping[str, Mapping[str, Position]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSettings:
    """How partitions are hosted; the same for all of a run."""

    configuration: bytes
    references: frozenset[str]
    models: Mapping[str, str]
    checkpoint_epochs: int
    limits: Limits
    has_deadlines: bool = True
    origin: LogOrigin | None = None


class Hosting(Protocol):
    """All key partitions of a run."""

    @property
    def committed_epochs(self) -> dict[int, int]:
        """Last epoch that is in the log, by partition."""

    @property
    def finished(self) -> dict[int, bool]:
        """Whether the final epoch is in the log, by partition, when it was opened."""

    @property
    def positions(self) -> dict[int, Mapping[str, Mapping[str, Position]]]:
        """Up to where each partition had every row when it was opened: source, stream, position."""

    @property
    def recoveries(self) -> dict[str, str]:
        """What was cut from torn logs, by partition."""

    def feed(self, partition: int, epoch: PartitionEpoch) -> None:
        """Give a partition its share of an epoch; may return before it is processed."""

    def begin(self, controls: Sequence[dict[str, Any]]) -> None:
        """Give operator inputs to the partitions that have no epoch yet."""

    def feed_control(self, control: dict[str, Any]) -> None:
        """Give an operator input to every partition, between two epochs."""

    def feed_clock(self, report: dict[str, Any]) -> None:
        """Tell the first partition what was seen of the machine's clock."""

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
        guard: runs guarded stages.
        tapes: by camera, its packets, where they are to be kept.
    """

    def __init__(
        self,
        plan: Plan,
        partitions: Sequence[int],
        storage: Storage,
        settings: HostSettings,
        *,
        clocks: HostClocks,
        guard: Answers,
        tapes: Mapping[str, PacketTape] = MappingProxyType({}),
    ) -> None:
        self._guard = guard
        timers = {p: MeasuredStages(clocks.monotonic_s) for p in partitions}
        frames = FrameShell(plan, tapes, limits=settings.limits) if plan.cameras else None
        self.hosts = {
            p: PartitionHost(
                partition_name(p),
                PartitionCore(
                    plan,
                    partition=p,
                    limits=settings.limits,
                    timer=timers[p],
                    observe_item=None if frames is None else frames.observe,
                ),
                storage,
                guard=guard,
                clocks=clocks,
                timer=timers[p],
                budgets_s=plan.budgets_s(),
                models=settings.models,
                frames=frames,
                references=settings.references,
                configuration=settings.configuration,
                checkpoint_epochs=settings.checkpoint_epochs,
                origin=settings.origin,
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
    def positions(self) -> dict[int, Mapping[str, Mapping[str, Position]]]:
        return {p: h.positions for p, h in self.hosts.items()}

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
            positions=epoch.positions,
        )

    def begin(self, controls: Sequence[dict[str, Any]]) -> None:
        for host in self.hosts.values():
            host.begin(controls)

    def feed_control(self, control: dict[str, Any]) -> None:
        for host in self.hosts.values():
            host.feed_control(control)

    def feed_clock(self, report: dict[str, Any]) -> None:
        self.hosts[min(self.hosts)].feed_clock(report)

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
        self._guard.close()
