"""Driving all partitions of a run through the epochs: route, feed, commit, fan in."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import polars as pl

from sightline.recorder.chain import ChainHead
from sightline.records.signals import ORIGIN, ROW
from sightline.runtime.engine.host import PartitionHost
from sightline.runtime.engine.hosting import FAN_IN, Hosting, LocalHosting, PartitionEpoch
from sightline.runtime.engine.logged_core import Committed
from sightline.runtime.engine.summary import Summary
from sightline.runtime.plan import Plan
from sightline.sense.admission import Share
from sightline.sense.arrival import Epoch, Router
from sightline.sense.source import Position


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
        parts: dict[int, list[tuple[str, Share]]] = {p: [] for p in range(self._partitions)}
        for source, frame in epoch.batches:
            for partition, share in self._router.route(source, frame):
                fresh = self._fresh(partition, source, share)
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

    def _fresh(self, partition: int, source: str, share: Share) -> Share:
        """The rows of a share that its partition does not know yet."""
        rows = share.rows
        fresh = self._known.without(partition, source, rows)
        return share if fresh is rows else Share.of(fresh)

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


# --- rows that come a second time -----------------------------------------------------------------
# Rows that come a second time: which of them a partition has in its log.
#
# Partitions commit one after the other, so after a crash some know more of a stream than others. It
# is read again from the least position of all, and each passes over what it knows. A row is
# known by its number in its stream, which is the same whenever it is given.


class KnownRows:
    """What partitions had when a run was opened, until all that was read again is past.

    Args:
        positions: by partition, source and stream; a row with a lower number is known.
        partitions: how many there are; one that has nothing knows nothing.

    >>> at = {0: {"t": {"S": 5}}, 1: {"t": {"S": 3}}}
    >>> known = KnownRows(at, 2)
    >>> known.by_all()
    {'t': {'S': 3}}
    >>> rows = pl.DataFrame({"_origin": ["S"] * 3, "_row": [3, 4, 5]})
    >>> [known.without(p, "t", rows)["_row"].to_list() for p in (0, 1)]
    [[5], [3, 4, 5]]
    >>> known.reached({"t": {"S": 6}})
    >>> known.without(0, "t", rows).height
    3
    """

    def __init__(
        self, positions: Mapping[int, Mapping[str, Mapping[str, Position]]], partitions: int
    ) -> None:
        self._known: dict[str, dict[str, list[int]]] = {}
        for partition, sources in positions.items():
            for source, streams in sources.items():
                for origin, position in streams.items():
                    if isinstance(position, int):
                        of_all = self._known.setdefault(source, {})
                        of_all.setdefault(origin, [0] * partitions)[partition] = position

    def by_all(self) -> dict[str, dict[str, int]]:
        """By source and stream, the position that every partition has reached."""
        return {
            source: {origin: min(known) for origin, known in streams.items()}
            for source, streams in self._known.items()
        }

    def without(self, partition: int, source: str, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows that a partition does not know yet; all of them once nothing is read again."""
        streams = self._known.get(source)
        if not streams:
            return rows
        known = pl.col(ORIGIN).replace_strict(
            {origin: at[partition] for origin, at in streams.items()},
            default=0,
            return_dtype=pl.Int64,
        )
        return rows.filter(pl.col(ROW) >= known)

    def reached(self, positions: Mapping[str, Mapping[str, Position]]) -> None:
        """Streams were fed up to here: what every partition knew of them is past."""
        for source, streams in positions.items():
            known = self._known.get(source, {})
            for origin, position in streams.items():
                if isinstance(position, int) and position >= max(known.get(origin, [0])):
                    known.pop(origin, None)
