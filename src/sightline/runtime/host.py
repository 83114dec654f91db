"""The shell around the core of one partition: epochs of rows in, commits out.

An entry group is one or more whole epochs. It is durable before its effects: decisions, summaries
and accounts leave a host only from :meth:`PartitionHost.commit`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol

import polars as pl

from sightline.errors import LogError
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.recorder import Storage, read_entries
from sightline.records import Entry, EntryKind
from sightline.records.plain_json import plain_json
from sightline.runtime.batches import encode_frame, frame_digest
from sightline.runtime.logged_core import Committed, Core, HostClocks, LoggedCore
from sightline.runtime.outputs import StepOutput
from sightline.runtime.references import entries_by_epoch, take_referenced
from sightline.runtime.row_counts import SUPERSEDED
from sightline.runtime.scoring import Scoring
from sightline.runtime.stage_timer import MeasuredStages
from sightline.runtime.summary import Summary


class RowCore(Core, Protocol):
    """What a host needs of a core; key partitions and the fan-in both have it."""

    def step_rows(self, source: str, raw: pl.DataFrame) -> StepOutput: ...


class PartitionHost:
    """Hosts one partition: its core, its log, its checkpoints.

    Args:
        name: name of the partition in the run directory.
        core: a fresh core; it is brought to where the log ends.
        storage: the disk.
        scoring: runs guarded stages.
        clocks: wall clock for log stamps, monotonic clock for latencies.
        timer: the one the core was given.
        budgets_s: by stage; a stage that took longer is logged DEADLINE_MISSED.
        models: version of the model that is live, by stage; a change is logged.
        references: sources whose rows are logged as references only.
        configuration: logged once, as the first entry.
        checkpoint_epochs: epochs between two checkpoints.
        limits: bounds.
    """

    def __init__(
        self,
        name: str,
        core: RowCore,
        storage: Storage,
        *,
        scoring: Scoring,
        clocks: HostClocks,
        timer: MeasuredStages | None = None,
        budgets_s: Mapping[str, float] = MappingProxyType({}),
        models: Mapping[str, str] = MappingProxyType({}),
        references: frozenset[str] = frozenset(),
        configuration: bytes = b"{}",
        checkpoint_epochs: int = 200,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self.name = name
        self.core = core
        self._storage = storage
        self._models = models
        self._references = references
        self._limits = limits
        self._clocks = clocks
        self._logged = LoggedCore(
            name,
            core,
            storage,
            guard=scoring,
            clocks=clocks,
            timer=timer,
            budgets_s=budgets_s,
            configuration=configuration,
            checkpoint_epochs=checkpoint_epochs,
            limits=limits,
        )
        self.recovery = self._logged.recovery
        self._catch_up: dict[int, list[Entry]] = {}
        self._resume()
        self._logged.begin()
        self.committed_epoch = max([self.core.epoch, *self._catch_up])

    @property
    def is_finished(self) -> bool:
        """Whether the final epoch has been taken."""
        return self.core.is_finished

    # --- resume ---------------------------------------------------------------------------------

    def _resume(self) -> None:
        """Newest checkpoint on the chain, then the committed entries after it."""
        if self._logged.is_new:
            return
        entries = self._logged.inputs_after(self._logged.restore())
        group: list[Entry] = []
        needs_rows = False
        for entry in entries:
            if not needs_rows and entry.kind is not EntryKind.INPUT_REFERENCE:
                # Decisions were logged with the entries that caused them: nothing to say again.
                self.core.step(entry)
                continue
            needs_rows = True
            group.append(entry)
        if group:
            self._catch_up = entries_by_epoch(group)
            if self._catch_up:
                self.core.epoch = min(self.core.epoch, min(self._catch_up) - 1)

    def _catch_up_epoch(self, number: int, batches: Sequence[tuple[str, pl.DataFrame]]) -> None:
        """Apply a committed epoch whose rows had to be read again from a durable source."""
        waiting = list(batches)
        for entry in self._catch_up.pop(number):
            if entry.kind is EntryKind.INPUT_REFERENCE:
                self.core.step_rows(entry.name, take_referenced(entry, waiting, self.name))
            else:
                self.core.step(entry)

    def summaries_after(self, epoch: int) -> Iterator[Summary]:
        """Committed summaries of epochs after ``epoch``, from the log."""
        for entry in read_entries(
            self._storage,
            self.name,
            kinds={EntryKind.SUMMARY_OUT},
            skip_pruned=True,  # pruned only when the ledger, and so the fan-in, had them
            limits=self._limits,
        ):
            summary = Summary.from_bytes(entry.payload)
            if summary.epoch > epoch:
                yield summary

    # --- feeding --------------------------------------------------------------------------------

    def feed(
        self,
        number: int,
        *,
        tick_ns: int,
        is_complete: bool,
        is_final: bool,
        batches: Sequence[tuple[str, pl.DataFrame]],
        rejected: Sequence[tuple[str, pl.DataFrame]],
        superseded: Sequence[tuple[str, int]] = (),
    ) -> None:
        """Take one epoch (or part of one); an epoch that is already in the log is passed over.

        Args:
            number: of the epoch.
            tick_ns: its end, UTC ns.
            is_complete: False when more of it follows.
            is_final: nothing follows.
            batches: (source, rows).
            rejected: (source, lines or files that are no rows).
            superseded: (source, rows that newer ones replaced in the inbox).
        """
        if number in self._catch_up:
            if not is_complete:
                raise LogError(
                    expected="epochs that fit one step, to be read again",
                    got=f"epoch {number} in parts",
                    where=f"partition {self.name}",
                    action="raise Limits.max_epoch_rows or record payloads instead of references",
                )
            self._catch_up_epoch(number, batches)
            return
        if number <= self.committed_epoch or self.is_finished:
            return
        started_s = self._clocks.monotonic_s()
        for source, rows in superseded:
            self.feed_drop(source, cause=SUPERSEDED, rows=rows)
        for source, frame in rejected:
            self._logged.apply(EntryKind.REJECTED, source, encode_frame(frame))
        for source, frame in batches:
            if source in self._references:
                reference = {"epoch": number, "rows": frame.height, "digest": frame_digest(frame)}
                self._logged.append(EntryKind.INPUT_REFERENCE, source, plain_json(reference))
            else:
                self._logged.append(EntryKind.INPUT, source, encode_frame(frame))
            self._logged.take(self.core.step_rows(source, frame))
        if not is_complete:
            return
        tick = {"epoch": number, "tick_ns": tick_ns, "final": is_final}
        self._logged.apply(EntryKind.TICK, "", plain_json(tick))
        self._logged.count_epoch()
        self._logged.took(self._clocks.monotonic_s() - started_s)

    def feed_missed(self, missed: Mapping[str, Any]) -> None:
        """Log an overrun beside the decisions: the core never reads it."""
        self._logged.feed_missed(missed)

    def begin(self, controls: Sequence[dict[str, Any]]) -> None:
        """Log the models that are live, and the operator inputs of the start.

        What the log has already, with its first epoch, is not said again.
        """
        for stage, version in sorted(self._models.items()):
            if self.core.models.get(stage) != version:
                self._logged.apply(EntryKind.MODEL, stage, plain_json({"version": version}))
        if self.committed_epoch < 0:
            for control in controls:
                self.feed_control(control)

    def feed_control(self, control: dict[str, Any]) -> None:
        """Take an operator input (contacts, acknowledgement, shelving, mask)."""
        self._logged.apply(EntryKind.CONTROL, str(control.get("control", "")), plain_json(control))

    def feed_drop(self, source: str, *, cause: str, rows: int) -> None:
        """Account for rows that were lost or superseded before the core."""
        self._logged.apply(EntryKind.DROP, source, plain_json({"cause": cause, "rows": rows}))

    def feed_summary(self, summary: Summary) -> None:
        """Take one epoch of one key partition (fan-in only)."""
        if summary.epoch <= self.committed_epoch:
            return
        self._logged.apply(EntryKind.SUMMARY_IN, f"p{summary.partition:03d}", summary.to_bytes())
        if self.core.epoch == summary.epoch:  # it was the last one of its epoch
            self._logged.count_epoch()
            self._logged.measure_stages()

    # --- commit ---------------------------------------------------------------------------------

    def commit(self) -> Committed:
        """Make everything fed so far durable, and hand out what may now take effect."""
        # A checkpoint amid a catch-up would lack the rows that are still to be read again.
        committed = self._logged.commit(may_checkpoint=not self._catch_up)
        self.committed_epoch = max(self.core.epoch, self.committed_epoch)
        return committed

    def close(self) -> None:
        """Finish the log; what was not committed is not there."""
        self._logged.close()
