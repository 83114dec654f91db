"""The shell around one core: log every entry, step the core, log what it said, commit.

An entry group is one or more whole epochs. It is durable before its effects: decisions, summaries
and accounts leave a host only from :meth:`PartitionHost.commit`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol

import polars as pl

from sightline.errors import LogError
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.recorder import PartitionLog, Storage, read_entries
from sightline.recorder.checkpoint import (
    Checkpoint,
    StateParts,
    read_newest_checkpoint,
    write_checkpoint,
)
from sightline.recorder.log import ChainHead
from sightline.recorder.walk import chain_hash_at
from sightline.records import Accounts, Decision, Entry, EntryKind
from sightline.records.entry import CORE_INPUTS
from sightline.runtime.batches import encode_frame, frame_digest
from sightline.runtime.outputs import StepOutput
from sightline.runtime.references import entries_by_epoch, take_referenced
from sightline.runtime.row_counts import SUPERSEDED
from sightline.runtime.scoring import Scoring
from sightline.runtime.stage_timer import MeasuredStages
from sightline.runtime.summary import Summary


class Core(Protocol):
    """What a host needs of a core; key partitions and the fan-in both have it."""

    epoch: int
    models: dict[str, str]

    @property
    def is_finished(self) -> bool: ...
    def step(self, entry: Entry) -> StepOutput: ...
    def step_rows(self, source: str, raw: pl.DataFrame) -> StepOutput: ...
    def snapshot(self) -> StateParts: ...
    def restore(self, parts: StateParts) -> None: ...
    def accounts(self) -> Accounts: ...
    def open_rows(self) -> int: ...
    def breaker_phases(self) -> tuple[tuple[str, str], ...]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """What became durable, and may now take effect.

    Attributes:
        name: the partition.
        decisions: (log sequence, decision).
        summaries: for the fan-in, in order of epoch.
        through_sequence: last log sequence that is durable.
        accounts: where the rows of the partition are.
        open_rows: rows in windows that may still change.
        step_s: seconds the core took per epoch.
        stage_s: (stage, seconds) per epoch.
        missed: stages that took longer than their budget, once per time.
        fallbacks: outcomes of guarded stages that were not OK, by ``stage:status``.
        breakers: phase of each circuit breaker that was ever used.
    """

    name: str
    decisions: tuple[tuple[int, Decision], ...]
    summaries: tuple[Summary, ...]
    through_sequence: int
    accounts: Accounts
    open_rows: int
    step_s: tuple[float, ...] = ()
    stage_s: tuple[tuple[str, float], ...] = ()
    missed: tuple[str, ...] = ()
    fallbacks: tuple[str, ...] = ()
    breakers: tuple[tuple[str, str], ...] = ()


@dataclass(slots=True)
class _Pending:
    decisions: list[tuple[int, Decision]] = field(default_factory=list)
    summaries: list[Summary] = field(default_factory=list)
    step_s: list[float] = field(default_factory=list)
    stage_s: list[tuple[str, float]] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    fallbacks: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class HostClocks:
    """Clocks of the shell, passed in so that tests can be run on fake ones."""

    wall_ns: Callable[[], int]
    monotonic_s: Callable[[], float]


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
        core: Core,
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
        self._scoring = scoring
        self._clocks = clocks
        self._timer = timer or MeasuredStages(clocks.monotonic_s)
        self._budgets_s = budgets_s
        self._models = models
        self._references = references
        self._checkpoint_epochs = checkpoint_epochs
        self._limits = limits
        self._pending = _Pending()
        self._log = PartitionLog.open(storage, name, limits=limits)
        self.recovery = self._log.recovery
        self._catch_up: dict[int, list[Entry]] = {}
        self._epochs_since_checkpoint = 0
        self._resume()
        if self._log.head.sequence < 0:
            self._log.append(
                EntryKind.CONFIGURATION, "", configuration, time_ns=self._clocks.wall_ns()
            )
            self._log.commit()
        self.committed_epoch = max([self.core.epoch, *self._catch_up])

    @property
    def is_finished(self) -> bool:
        """Whether the final epoch has been taken."""
        return self.core.is_finished

    # --- resume ---------------------------------------------------------------------------------

    def _resume(self) -> None:
        """Newest checkpoint on the chain, then the committed entries after it."""
        head = self._log.head
        if head.sequence < 0:
            return
        checkpoint = read_newest_checkpoint(
            self._storage,
            self.name,
            is_on_chain=lambda sequence, chain: (
                chain_hash_at(self._storage, self.name, sequence, limits=self._limits) == chain
            ),
            limits=self._limits,
        )
        after = -1
        if checkpoint is not None:
            self.core.restore(checkpoint.state)
            after = checkpoint.sequence
        entries = read_entries(
            self._storage, self.name, after=after, kinds=CORE_INPUTS, limits=self._limits
        )
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
            self._apply(EntryKind.REJECTED, source, encode_frame(frame))
        for source, frame in batches:
            if source in self._references:
                reference = {"epoch": number, "rows": frame.height, "digest": frame_digest(frame)}
                self._append(EntryKind.INPUT_REFERENCE, source, _json(reference))
            else:
                self._append(EntryKind.INPUT, source, encode_frame(frame))
            self._take(self.core.step_rows(source, frame))
        if not is_complete:
            return
        tick = {"epoch": number, "tick_ns": tick_ns, "final": is_final}
        self._apply(EntryKind.TICK, "", _json(tick))
        self._epochs_since_checkpoint += 1
        self._pending.step_s.append(self._clocks.monotonic_s() - started_s)
        self._measure_stages()

    def _measure_stages(self) -> None:
        """Note what each stage took in this epoch, and log those that took too long."""
        for stage, took_s in sorted(self._timer.take().items()):
            self._pending.stage_s.append((stage, took_s))
            budget_s = self._budgets_s.get(stage)
            if budget_s is not None and took_s > budget_s:
                self._pending.missed.append(stage)
                self.feed_missed(
                    {
                        "stage": stage,
                        "epoch": self.core.epoch,
                        "took_s": round(took_s, 6),
                        "budget_s": budget_s,
                    }
                )

    def feed_missed(self, missed: Mapping[str, Any]) -> None:
        """Log an overrun beside the decisions: the core never reads it."""
        self._append(EntryKind.DEADLINE_MISSED, str(missed["stage"]), _json(missed))

    def begin(self, controls: Sequence[dict[str, Any]]) -> None:
        """Log the models that are live, and the operator inputs of the start.

        What the log has already, with its first epoch, is not said again.
        """
        for stage, version in sorted(self._models.items()):
            if self.core.models.get(stage) != version:
                self._apply(EntryKind.MODEL, stage, _json({"version": version}))
        if self.committed_epoch < 0:
            for control in controls:
                self.feed_control(control)

    def feed_control(self, control: dict[str, Any]) -> None:
        """Take an operator input (contacts, acknowledgement, shelving, mask)."""
        self._apply(EntryKind.CONTROL, str(control.get("control", "")), _json(control))

    def feed_drop(self, source: str, *, cause: str, rows: int) -> None:
        """Account for rows that were lost or superseded before the core."""
        self._apply(EntryKind.DROP, source, _json({"cause": cause, "rows": rows}))

    def feed_summary(self, summary: Summary) -> None:
        """Take one epoch of one key partition (fan-in only)."""
        if summary.epoch <= self.committed_epoch:
            return
        self._apply(EntryKind.SUMMARY_IN, f"p{summary.partition:03d}", summary.to_bytes())
        if self.core.epoch == summary.epoch:  # it was the last one of its epoch
            self._epochs_since_checkpoint += 1
            self._measure_stages()

    def _apply(self, kind: EntryKind, name: str, payload: bytes) -> None:
        sequence = self._append(kind, name, payload)
        entry = Entry(sequence=sequence, kind=kind, name=name, time_ns=0, payload=payload)
        output = self.core.step(entry)
        self._take(output)
        while output.requests:
            outcomes = []
            for request in output.requests:
                with self._timer.span(request.stage):
                    outcomes += self._scoring.run([request])
            output = StepOutput()
            for outcome in outcomes:
                payload = outcome.to_bytes()
                if outcome.status != "ok":
                    self._pending.fallbacks.append(f"{outcome.stage}:{outcome.status}")
                sequence = self._append(EntryKind.OUTCOME, outcome.stage, payload)
                said = self.core.step(
                    Entry(
                        sequence=sequence,
                        kind=EntryKind.OUTCOME,
                        name=outcome.stage,
                        time_ns=0,
                        payload=payload,
                    )
                )
                self._take(said)
                output.requests.extend(said.requests)

    def _append(self, kind: EntryKind, name: str, payload: bytes) -> int:
        return self._log.append(kind, name, payload, time_ns=self._clocks.wall_ns())

    def _take(self, output: StepOutput) -> None:
        """Log what the core said."""
        for source, refused in output.refused:
            self._append(EntryKind.QUARANTINE, source, encode_frame(refused))
        if output.digests:
            digests = {"epoch": self.core.epoch, "stages": output.digests}
            self._append(EntryKind.STAGE_DIGEST, "", _json(digests))
        for decision in output.decisions:
            sequence = self._append(EntryKind.DECISION, decision.kind, decision.canonical_bytes())
            self._pending.decisions.append((sequence, decision))
        if output.summary is not None:
            self._append(EntryKind.SUMMARY_OUT, "", output.summary.to_bytes())
            self._pending.summaries.append(output.summary)

    # --- commit ---------------------------------------------------------------------------------

    def commit(self) -> Committed:
        """Make everything fed so far durable, and hand out what may now take effect."""
        accounts = self.core.accounts()
        if self._pending.step_s:
            measured = {
                "epoch": self.core.epoch,
                "accounts": {
                    "received": accounts.received,
                    "decided": accounts.decided,
                    "superseded": accounts.superseded,
                    "dropped": dict(accounts.dropped),
                    "quarantined": dict(accounts.quarantined),
                    "in_flight": accounts.in_flight,
                },
                "step_s": [round(s, 6) for s in self._pending.step_s],
            }
            self._append(EntryKind.MEASUREMENT, "", _json(measured))
        head = self._log.commit()
        self.committed_epoch = max(self.core.epoch, self.committed_epoch)
        pending, self._pending = self._pending, _Pending()
        self._maybe_checkpoint(head)
        return Committed(
            name=self.name,
            decisions=tuple(pending.decisions),
            summaries=tuple(pending.summaries),
            through_sequence=head.sequence,
            accounts=accounts,
            open_rows=self.core.open_rows(),
            step_s=tuple(pending.step_s),
            stage_s=tuple(pending.stage_s),
            missed=tuple(pending.missed),
            fallbacks=tuple(pending.fallbacks),
            breakers=self.core.breaker_phases(),
        )

    def _maybe_checkpoint(self, head: ChainHead) -> None:
        if self._catch_up or self._epochs_since_checkpoint < self._checkpoint_epochs:
            return
        write_checkpoint(
            self._storage,
            self.name,
            Checkpoint(
                sequence=head.sequence,
                chain_hash=head.hash,
                epoch=self.core.epoch,
                state=self.core.snapshot(),
            ),
            limits=self._limits,
        )
        self._epochs_since_checkpoint = 0

    def close(self) -> None:
        """Finish the log; what was not committed is not there."""
        self._log.close()


def _json(plain: object) -> bytes:
    return json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()
