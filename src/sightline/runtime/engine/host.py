"""The shell around the core of one partition: epochs of rows and frames in, commits out.

An entry group is one or more whole epochs. It is durable before its effects: decisions, summaries
and accounts leave a host only from :meth:`PartitionHost.commit`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Protocol

import polars as pl

from sightline.errors import LogError, SourceError
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.recorder import Storage, read_entries
from sightline.recorder.chain import ChainHead, LogOrigin
from sightline.records import Entry, EntryKind, Frame
from sightline.records.plain_json import plain_json
from sightline.runtime.engine.batches import (
    checked_frame,
    encode_frame,
    entries_by_epoch,
    frame_digest,
    take_referenced,
)
from sightline.runtime.engine.core import PartitionCore
from sightline.runtime.engine.frame_shell import FrameShell, FrameTally
from sightline.runtime.engine.guard import Request
from sightline.runtime.engine.guarding import Answers
from sightline.runtime.engine.headers import FrameHeader
from sightline.runtime.engine.heads import heads_payload, newest_heads
from sightline.runtime.engine.items import Items
from sightline.runtime.engine.logged_core import Committed, Core, HostClocks, Input, LoggedCore
from sightline.runtime.engine.outputs import StepOutput
from sightline.runtime.engine.row_counts import SUPERSEDED
from sightline.runtime.engine.stage_timer import MeasuredStages
from sightline.runtime.engine.stepping import step_logged
from sightline.runtime.engine.summary import Summary
from sightline.sense.admission import Share
from sightline.sense.frames import FrameFault
from sightline.sense.source import Position

SENSE, PICTURES = "sense", "pictures"
"""Names under which contract and health of frames, and the keeping of pictures, are timed."""
STOPPED = "STOPPED"
"""Cause of a drop: the frame waited when the run was stopped."""


class HostedCore(Core, Protocol):
    """What a host needs of a core; key partitions and the fan-in both have it."""

    def step_rows(self, source: str, share: Share) -> StepOutput: ...


class PartitionHost:
    """Hosts one partition: its core, its log, its checkpoints.

    Args:
        name: name of the partition in the run directory.
        core: a fresh core; it is brought to where the log ends.
        storage: the disk.
        guard: runs guarded stages.
        clocks: wall clock for log stamps, monotonic clock for latencies.
        timer: the one the core was given.
        budgets_s: by stage; a stage that took longer is logged DEADLINE_MISSED.
        models: version of the model that is live, by stage; a change is logged.
        references: sources whose rows are logged as references only.
        frames: what is done with frames, in a pipeline with cameras.
        configuration: logged once, as the first entry.
        checkpoint_epochs: epochs between two checkpoints.
        origin: of the log; None: a log that belongs to no run.
        limits: bounds.
    """

    def __init__(
        self,
        name: str,
        core: HostedCore,
        storage: Storage,
        *,
        guard: Answers,
        clocks: HostClocks,
        timer: MeasuredStages | None = None,
        budgets_s: Mapping[str, float] = MappingProxyType({}),
        models: Mapping[str, str] = MappingProxyType({}),
        references: frozenset[str] = frozenset(),
        frames: FrameShell | None = None,
        configuration: bytes = b"{}",
        checkpoint_epochs: int = 200,
        origin: LogOrigin | None = None,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self.name = name
        self.core = core
        self._storage = storage
        self._models = models
        self._references = references
        self._limits = limits
        self._clocks = clocks
        self._guard = guard
        self._timer = timer or MeasuredStages(clocks.monotonic_s)
        self._frames = frames
        self._logged = LoggedCore(
            name,
            core,
            storage,
            guard=guard,
            clocks=clocks,
            timer=self._timer,
            budgets_s=budgets_s,
            configuration=configuration,
            checkpoint_epochs=checkpoint_epochs,
            origin=origin,
            limits=limits,
        )
        self.recovery = self._logged.recovery
        self._manifest_digest = "" if origin is None else origin.manifest_digest
        self._noted_heads: dict[str, ChainHead] | None = None
        self._catch_up: dict[int, list[Entry]] = {}
        self.has_unlogged = False
        """Whether the core had something left to do when the log was opened."""
        self._resume()
        self._logged.begin()
        self.committed_epoch = max([self.core.epoch, *self._catch_up])

    @property
    def is_finished(self) -> bool:
        """Whether the final epoch has been taken."""
        return self.core.is_finished

    @property
    def positions(self) -> Mapping[str, Mapping[str, Position]]:
        """By source and stream, up to where every row of this partition is in the log."""
        return self.core.positions if isinstance(self.core, PartitionCore) else {}

    # --- resume ---------------------------------------------------------------------------------

    def _resume(self) -> None:
        """Newest checkpoint on the chain, then the committed entries after it."""
        if self._logged.is_new:
            return
        entries = self._logged.inputs_after(self._logged.restore())
        group: list[Entry] = []
        asked: list[Request] = []
        needs_rows = False
        for entry in entries:
            if not needs_rows and entry.kind is not EntryKind.INPUT_REFERENCE:
                # Decisions were logged with the entries that caused them: nothing to say again.
                asked = step_logged(self.core, entry, partition=self.name).requests
                continue
            needs_rows = True
            group.append(entry)
        if group:
            self._catch_up = entries_by_epoch(group)
            if self._catch_up:
                self.core.epoch = min(self.core.epoch, min(self._catch_up) - 1)

        if self.core.accounts().in_flight and self._frames is not None and self._items.waiting:
            raise LogError(  # commits are made of whole frames, so this cannot be
                expected="a log that ends between two frames",
                got=f"{self._items.waiting} frames whose outcomes are missing",
                where=f"partition {self.name}",
                action="run `sightline verify` on the run",
            )
        if asked:  # what the last tick commanded was made durable before they were answered
            self._logged.answer(asked)
            self.has_unlogged = True

    @property
    def _items(self) -> Items:
        assert isinstance(self.core, PartitionCore)
        return self.core.items

    def _catch_up_epoch(self, number: int, batches: Sequence[tuple[str, Share]]) -> None:
        """Apply a committed epoch whose rows had to be read again from a durable source."""
        waiting = [(source, share.rows) for source, share in batches]
        for entry in self._catch_up.pop(number):
            if entry.kind is EntryKind.INPUT_REFERENCE:
                rows = take_referenced(entry, waiting, self.name)
                self.core.step_rows(entry.name, Share.of(rows))
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
        batches: Sequence[tuple[str, Share]],
        rejected: Sequence[tuple[str, pl.DataFrame]],
        superseded: Sequence[tuple[str, int]] = (),
        positions: Mapping[str, Mapping[str, Position]] = MappingProxyType({}),
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
            positions: by source and stream, up to where every row is in the log with this epoch.
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
        for source, share in batches:
            frame = share.rows
            if source in self._references:
                reference = {"epoch": number, "rows": frame.height, "digest": frame_digest(frame)}
                self._logged.append(EntryKind.INPUT_REFERENCE, source, plain_json(reference))
            else:
                where = f"partition {self.name}, source {source}, epoch {number}"
                payload = checked_frame(frame, limits=self._limits, where=where)
                self._logged.append(EntryKind.INPUT, source, payload)
            self._logged.take(self.core.step_rows(source, share))
        if not is_complete:
            return
        tick: dict[str, Any] = {"epoch": number, "tick_ns": tick_ns, "final": is_final}
        if positions:
            tick["positions"] = {name: dict(streams) for name, streams in positions.items()}
        self._logged.apply(EntryKind.TICK, "", plain_json(tick))
        self._logged.count_epoch()
        if self._frames is None or batches or rejected or is_final:
            self._logged.took(self._clocks.monotonic_s() - started_s)
        else:
            self._logged.measure_stages()  # ticks between frames are no work worth a line each

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

    def feed_clock(self, report: Mapping[str, Any]) -> None:
        """Take what was seen of the machine's clock."""
        self._logged.apply(EntryKind.CLOCK, "", plain_json(report))

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

    # --- frames -----------------------------------------------------------------------------------

    @property
    def tallies(self) -> Mapping[str, FrameTally]:
        """What has come of each camera since the run was opened."""
        return {} if self._frames is None else self._frames.tallies

    def knows(self, item: Frame | FrameFault) -> bool:
        """Whether the log has this frame or fault already, from before a restart."""
        return item.index <= self._items.last_index(item.stream)

    def warm(self, frame: Frame) -> None:
        """Show a logged frame to all that remember frames: contract, health, detectors.

        So a resumed run over recordings decides what an uninterrupted one would.

        Raises:
            SourceError: it is another recording.
        """
        assert self._frames is not None
        header = self._header(frame)
        newest = self._items.newest(frame.stream)
        is_newest = newest is not None and newest.index == header.index
        if newest is not None and is_newest and newest.digest != header.digest:
            raise SourceError(
                expected=f"the recording of the run: a picture with digest {newest.digest}",
                got=header.digest,
                where=f"frame {frame.index} of {frame.stream}",
                action="resume with the recording the run was started with",
            )
        if header.is_usable:
            empty_ns = self._items.empty_ns(frame.stream, frame.capture_ns)
            self._guard.warm(replace(frame, empty_ns=empty_ns))
        self._frames.pass_by(frame)

    def _header(self, frame: Frame) -> FrameHeader:
        assert self._frames is not None
        return self._frames.header(frame, accepted_ns=self._items.accepted_ns(frame.stream))

    def feed_items(self, items: Sequence[Frame | FrameFault]) -> None:
        """Take faults, and frames of different cameras whose looks may share a batch."""
        assert self._frames is not None
        began_s = self._clocks.monotonic_s()
        entries: list[Input] = []
        frames: list[Frame] = []
        for item in items:
            if isinstance(item, FrameFault):
                note = self._frames.fault(item).to_bytes()
                entries.append(Input(EntryKind.FRAME_FAULT, item.stream, note))
                continue
            with self._timer.span(SENSE):
                header = self._header(item)
            if header.is_usable:
                self._guard.hold(item)
            entries.append(Input(EntryKind.FRAME, item.stream, header.to_bytes(), header))
            frames.append(item)
        self._logged.apply_together(entries)
        self._frames.fed(frames)
        if frames:
            self._logged.took(self._clocks.monotonic_s() - began_s)

    def feed_left_behind(self, item: Frame | FrameFault) -> None:
        """Account for a frame that waited when the run was stopped."""
        if isinstance(item, FrameFault):
            assert self._frames is not None
            note = self._frames.fault(item).to_bytes()
            self._logged.apply(EntryKind.FRAME_FAULT, item.stream, note)
        else:
            self.feed_drop(item.stream, cause=STOPPED, rows=1)

    def keep_pictures(self) -> bool:
        """Log the pictures of what was fed, with the next commit; whether there were some."""
        if self._frames is None or not self._frames.has_some:
            return False
        has_some = False
        with self._timer.span(PICTURES):
            for kind, camera, payload in self._frames.pictures():
                self._logged.append(kind, camera, payload)
                has_some = True
        return has_some

    def has_epoch(self, number: int) -> bool:
        """Whether the log has this tick already, from before a restart."""
        return number <= self.committed_epoch

    def note_heads(self, heads: Mapping[str, ChainHead]) -> None:
        """Log where the logs of the key partitions end by now (fan-in only)."""
        if self._noted_heads is None:
            self._noted_heads = newest_heads(
                self._storage, self.name, self._manifest_digest, limits=self._limits
            )
        if heads != self._noted_heads:
            self._noted_heads = dict(heads)
            self._logged.append(EntryKind.HEADS, "", heads_payload(heads, self._manifest_digest))

    # --- commit ---------------------------------------------------------------------------------

    def commit(self) -> Committed:
        """Make everything fed so far durable, and hand out what may now take effect."""
        # A checkpoint amid a catch-up would lack the rows that are still to be read again.
        committed = self._logged.commit(may_checkpoint=not self._catch_up)
        self.committed_epoch = max(self.core.epoch, self.committed_epoch)
        if self._frames is not None:
            self._frames.committed([decision for _, decision in committed.decisions])
            unkept = self._frames.unkept_pictures
            if unkept:
                bounds = (*committed.at_bounds, ("alert_picture_bytes", unkept))
                committed = replace(committed, at_bounds=bounds)
        return committed

    def send_early(self, send: Callable[[Sequence[Committed]], None]) -> None:
        """Have what a tick commands of machines sent before stages on windows are waited for."""
        self._logged.send_early = send

    def close(self) -> None:
        """Finish the log; what was not committed is not there."""
        self._logged.close()
