"""Driving all partitions of a run through the epochs: route, feed, commit, fan in."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import polars as pl

from sightline.recorder.chain import ChainHead
from sightline.runtime.engine.host import PartitionHost
from sightline.runtime.engine.hosting import FAN_IN, Hosting, LocalHosting, PartitionEpoch
from sightline.runtime.engine.known_rows import KnownRows
from sightline.runtime.engine.logged_core import Committed
from sightline.runtime.engine.summary import Summary
from sightline.runtime.plan import Plan
from sightline.sense.arrival import Epoch, Router


class EpochDriver:
    """Feeds epochs to the key partitions, and their summaries to the fan-in.

    Args:
        plan: the checked pipeline.
        hosting: the key partitions.
        fan_in: host of the fan-in partition, if the plan has one.
        followed: names of live sources whose positions are logged with their rows.
    """

    def __init__(
        self,
        plan: Plan,
        hosting: Hosting,
        fan_in: PartitionHost | None,
        *,
        followed: Collection[str] = (),
    ) -> None:
        self._partitions = plan.pipeline.partitions
        self._hosting = hosting
        self._fan_in = fan_in
        self._has_desk = plan.pipeline.alerting is not None
        self._router = Router(plan.contracts, self._partitions)
        self._waiting: dict[int, dict[int, Summary]] = {}
        self._heads: dict[str, ChainHead] = {}
        self._followed = frozenset(followed)
        self._known = KnownRows(hosting.positions if followed else {}, self._partitions)
        self.cameras: PartitionHost | None = None
        """Host of the partition that takes frames, if the pipeline has cameras."""
        if plan.cameras and isinstance(hosting, LocalHosting):
            self.cameras = hosting.hosts[0]
        self.has_unlogged = self.cameras is not None and self.cameras.has_unlogged
        """Whether something was fed that only the next commit makes durable."""
        if fan_in is not None:
            # The fan-in may be behind the partitions that were committed before it.
            self._wait(hosting.summaries_after(fan_in.committed_epoch))

    @property
    def recoveries(self) -> dict[str, str]:
        """What was cut from torn logs when they were opened, by partition."""
        found = dict(self._hosting.recoveries)
        if self._fan_in is not None and self._fan_in.recovery.cut_bytes:
            found[FAN_IN] = self._fan_in.recovery.message
        return found

    @property
    def kept(self) -> dict[str, dict[str, int]]:
        """Of followed sources, by stream: up to where every partition had each row at first."""
        return self._known.by_all()

    @property
    def committed_epoch(self) -> int:
        """Last epoch that any partition has in its log, -1 for none."""
        return max(self._hosting.committed_epochs.values())

    @property
    def has_ended(self) -> bool:
        """Whether the final epoch was in every log when they were opened."""
        return all(self._hosting.finished.values())

    @property
    def is_ending(self) -> bool:
        """Whether the final epoch was in some log: then no rows can be added."""
        return any(self._hosting.finished.values())

    def level(self) -> None:
        """Let the partitions that missed an epoch in a crash pass through it, without rows.

        For sources that cannot be read again: what was not committed is lost, but the fan-in must
        not wait for it.
        """
        for number, summaries in sorted(self._waiting.items()):
            known = next(iter(summaries.values()))
            for partition in range(self._partitions):
                if partition not in summaries:
                    self.has_unlogged = True
                    self._hosting.feed(
                        partition,
                        PartitionEpoch(
                            number=number,
                            tick_ns=known.tick_ns,
                            is_complete=True,
                            is_final=known.is_final,
                            batches=(),
                            rejected=(),
                        ),
                    )

    def feed_missed(self, name: str, missed: Mapping[str, Any]) -> None:
        """Log an overrun in the partition called ``name``, with the next commit."""
        self.has_unlogged = True
        if self._fan_in is not None and name == self._fan_in.name:
            self._fan_in.feed_missed(missed)
        else:
            self._hosting.feed_missed(name, missed)

    def begin(self, controls: Sequence[Mapping[str, Any]]) -> None:
        """Give the operator inputs of the start to every partition that has not begun yet.

        A partition commits them with its first epoch, so after a crash some may have them.
        """
        plain = [dict(control) for control in controls]
        if self._has_desk:
            # A fan-in that begins again may have them in its log already.
            plain = [{"id": f"start-{i}", **control} for i, control in enumerate(plain)]
        self._hosting.begin(plain)
        if self._fan_in is not None:
            self._fan_in.begin(plain)

    def feed_control(self, control: Mapping[str, Any]) -> None:
        """Give an operator input to every partition, between two epochs."""
        self.has_unlogged = True
        self._hosting.feed_control(dict(control))
        if self._fan_in is not None:
            self._fan_in.feed_control(dict(control))

    def feed_clock(self, report: Mapping[str, Any]) -> None:
        """Tell the first partition what was seen of the machine's clock."""
        self.has_unlogged = True
        self._hosting.feed_clock(dict(report))

    def feed(self, epoch: Epoch) -> None:
        """Give each key partition its share of an epoch."""
        parts: dict[int, list[tuple[str, pl.DataFrame]]] = {p: [] for p in range(self._partitions)}
        for source, frame in epoch.batches:
            for partition, share in self._router.route(source, frame):
                fresh = self._known.without(partition, source, share)
                if fresh.height:
                    parts[partition].append((source, fresh))
        rejected = tuple((s, self._known.without(0, s, frame)) for s, frame in epoch.rejected)
        positions = {s: p for s, p in epoch.positions.items() if s in self._followed}
        for partition, batches in parts.items():
            self._hosting.feed(
                partition,
                PartitionEpoch(
                    number=epoch.number,
                    tick_ns=epoch.tick_ns,
                    is_complete=epoch.is_complete,
                    is_final=epoch.is_final,
                    batches=tuple(batches),
                    # What could not be read has no key; partition 0 keeps account of it.
                    rejected=tuple(r for r in rejected if r[1].height) if partition == 0 else (),
                    superseded=epoch.superseded if partition == 0 else (),
                    positions=positions,
                ),
            )
        if positions:
            self._known.reached(positions)

    def commit(self, *, at_once: Callable[[list[Committed]], None]) -> list[Committed]:
        """Commit the key partitions, then what the fan-in makes of their summaries.

        Args:
            at_once: told what the key partitions have committed, before the fan-in begins: a
                machine does not wait for an alert desk.
        """
        self.has_unlogged = False
        committed = self._hosting.commit()
        at_once(committed)
        if self._fan_in is None:
            return committed
        self._wait(s for c in committed for s in c.summaries)
        for number in sorted(self._waiting):
            summaries = self._waiting[number]
            if len(summaries) < self._partitions:
                break  # some partition is behind after a crash and will deliver this epoch again
            for partition in sorted(summaries):
                self._fan_in.feed_summary(summaries[partition])
            del self._waiting[number]
        self._heads.update({c.name: ChainHead(c.through_sequence, c.chain_hash) for c in committed})
        self._fan_in.note_heads(self._heads)
        return [*committed, self._fan_in.commit()]

    def close(self) -> None:
        """Close all logs and end all workers."""
        self._hosting.close()
        if self._fan_in is not None:
            self._fan_in.close()

    def _wait(self, summaries: Iterable[Summary]) -> None:
        for summary in summaries:
            self._waiting.setdefault(summary.epoch, {})[summary.partition] = summary
