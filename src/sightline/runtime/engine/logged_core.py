"""A core whose every entry is logged: what it reads before it reads it, what it says at once.

Nothing leaves before it is durable: decisions, commands, summaries and accounts come from
:meth:`LoggedCore.commit`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.recorder import PartitionLog, Storage, read_entries
from sightline.recorder.chain import ChainHead, LogOrigin
from sightline.recorder.checkpoint import (
    Checkpoint,
    StateParts,
    read_newest_checkpoint,
    stored_digest,
    write_checkpoint,
)
from sightline.recorder.walk import checkpoint_payload, is_logged_checkpoint
from sightline.records import Accounts, Decision, Entry, EntryKind
from sightline.records.command import ActuatorCommand
from sightline.records.entry import CORE_INPUTS
from sightline.records.part import PartNote, note_bytes
from sightline.records.plain_json import plain_json
from sightline.runtime.alerting.said import AlertingSaid
from sightline.runtime.engine.batches import encode_frame
from sightline.runtime.engine.guard import ArraysRequest, FrameRequest, Outcome, Request
from sightline.runtime.engine.guarding import Answers
from sightline.runtime.engine.learning import Learning
from sightline.runtime.engine.outputs import StepOutput
from sightline.runtime.engine.stage_timer import MeasuredStages
from sightline.runtime.engine.stepping import restore_logged
from sightline.runtime.engine.summary import Summary


class Core(Protocol):
    """What is logged: a function of (state, entry)."""

    epoch: int
    models: dict[str, str]

    @property
    def is_finished(self) -> bool: ...
    def step(self, entry: Entry) -> StepOutput: ...
    def snapshot(self) -> StateParts: ...
    def restore(self, parts: StateParts) -> None: ...
    def accounts(self) -> Accounts: ...
    def breaker_phases(self) -> tuple[tuple[str, str], ...]: ...
    def learning(self) -> tuple[tuple[str, Learning], ...]: ...

    def at_bounds(self) -> tuple[tuple[str, int], ...]: ...
    def left_aside(self) -> tuple[tuple[str, str, int], ...]: ...
    def advice(self) -> tuple[tuple[str, str], ...]: ...


class Input(NamedTuple):
    """An entry to be: its kind, its name, its payload, and what that was encoded from, if known."""

    kind: EntryKind
    name: str
    payload: bytes
    decoded: object = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """What became durable, and may now take effect.

    Attributes:
        name: the partition.
        decisions: (log sequence, decision).
        summaries: for the fan-in, in order of epoch.
        commands: to machines, in the order they were issued.
        parts: (log sequence, record of a part or review of one).
        alerting: (log sequence, what an alert desk said in an epoch).
        through_sequence: last log sequence that is durable.
        chain_hash: of the log after it.
        accounts: where the rows of the partition are.
        step_s: seconds the core took per epoch.
        stage_s: (stage, seconds) per epoch.
        missed: stages that took longer than their budget, once per time.
        fallbacks: outcomes of guarded stages that were not OK, by ``stage:status``.
        breakers: phase of each circuit breaker that was ever used.
        learning: how far each stage that learns knows its series.
        at_bounds: by bound of :class:`.Limits` that was reached, what it has cost so far.
        left_aside: (camera, cause, count) of what was found in pictures and is in no track so far.
        advice: (camera, text), which setting of its detector would fit what was seen.
    """

    name: str
    decisions: tuple[tuple[int, Decision], ...]
    summaries: tuple[Summary, ...]
    through_sequence: int
    chain_hash: str
    accounts: Accounts
    step_s: tuple[float, ...] = ()
    stage_s: tuple[tuple[str, float], ...] = ()
    missed: tuple[str, ...] = ()
    fallbacks: tuple[str, ...] = ()
    breakers: tuple[tuple[str, str], ...] = ()
    learning: tuple[tuple[str, Learning], ...] = ()
    at_bounds: tuple[tuple[str, int], ...] = ()
    left_aside: tuple[tuple[str, str, int], ...] = ()
    advice: tuple[tuple[str, str], ...] = ()
    commands: tuple[ActuatorCommand, ...] = ()
    alerting: tuple[tuple[int, AlertingSaid], ...] = ()
    parts: tuple[tuple[int, PartNote], ...] = ()

    def then(self, later: Committed) -> Committed:
        """Join this commit and the next one of the same partition into one."""
        return replace(
            later,
            decisions=self.decisions + later.decisions,
            summaries=self.summaries + later.summaries,
            step_s=self.step_s + later.step_s,
            stage_s=self.stage_s + later.stage_s,
            missed=self.missed + later.missed,
            fallbacks=self.fallbacks + later.fallbacks,
            commands=self.commands + later.commands,
            alerting=self.alerting + later.alerting,
            parts=self.parts + later.parts,
        )


@dataclass(slots=True)
class _Pending:
    decisions: list[tuple[int, Decision]] = field(default_factory=list)
    summaries: list[Summary] = field(default_factory=list)
    step_s: list[float] = field(default_factory=list)
    stage_s: list[tuple[str, float]] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    fallbacks: list[str] = field(default_factory=list)
    commands: list[ActuatorCommand] = field(default_factory=list)
    alerting: list[tuple[int, AlertingSaid]] = field(default_factory=list)
    parts: list[tuple[int, PartNote]] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class HostClocks:
    """Clocks of the shell, passed in so that tests can be run on fake ones."""

    wall_ns: Callable[[], int]
    monotonic_s: Callable[[], float]


class LoggedCore:
    """One core, its log and its checkpoints.

    Args:
        name: name of the partition in the run directory.
        core: a fresh core; :meth:`restore` brings it to its newest checkpoint.
        storage: the disk.
        guard: runs guarded stages.
        clocks: wall clock for log stamps, monotonic clock for latencies.
        timer: the one the core was given.
        budgets_s: by stage; a stage that took longer is logged DEADLINE_MISSED.
        configuration: logged once, as the first entry.
        checkpoint_epochs: epochs between two checkpoints.
        origin: of the log; None: a log that belongs to no run.
        limits: bounds.
    """

    def __init__(
        self,
        name: str,
        core: Core,
        storage: Storage,
        *,
        guard: Answers,
        clocks: HostClocks,
        timer: MeasuredStages | None = None,
        budgets_s: Mapping[str, float] = MappingProxyType({}),
        configuration: bytes = b"{}",
        checkpoint_epochs: int = 200,
        origin: LogOrigin | None = None,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self.name = name
        self.core = core
        self.clocks = clocks
        self._storage = storage
        self._guard = guard
        self._timer = timer or MeasuredStages(clocks.monotonic_s)
        self._budgets_s = budgets_s
        self._configuration = configuration
        self._checkpoint_epochs = checkpoint_epochs
        self._limits = limits
        self._pending = _Pending()
        self._genesis = None if origin is None else origin.genesis(name)
        self._log = PartitionLog.open(
            storage,
            name,
            genesis=self._genesis,
            epoch=None if origin is None else origin.epoch,
            limits=limits,
        )
        self.recovery = self._log.recovery
        self._epochs_since_checkpoint = 0
        self._early: Committed | None = None
        self.send_early: Callable[[Sequence[Committed]], None] = lambda committed: None
        """Told what a tick commands of machines before stages on windows are waited for."""

    @property
    def is_new(self) -> bool:
        """Whether the log is empty."""
        return self._log.head.sequence < 0

    # --- resume ---------------------------------------------------------------------------------

    def restore(self) -> int:
        """Bring the core to its newest checkpoint on the chain; its log sequence, -1 for none."""
        checkpoint = read_newest_checkpoint(
            self._storage,
            self.name,
            is_logged=lambda sequence, chain_hash, digest: is_logged_checkpoint(
                self._storage, self.name, sequence, chain_hash, digest, limits=self._limits
            ),
            limits=self._limits,
        )
        if checkpoint is None:
            return -1
        restore_logged(self.core, checkpoint, partition=self.name)
        return checkpoint.sequence

    def inputs_after(self, sequence: int) -> Iterator[Entry]:
        """What the core read after ``sequence``, from the log."""
        return read_entries(
            self._storage, self.name, after=sequence, kinds=CORE_INPUTS, limits=self._limits
        )

    def begin(self) -> None:
        """Log the configuration, once."""
        if self.is_new:
            if self._genesis is not None:
                self.append(EntryKind.ORIGIN, "", self._genesis)
            self.append(EntryKind.CONFIGURATION, "", self._configuration)
            self._log.commit()

    # --- entries --------------------------------------------------------------------------------

    def append(self, kind: EntryKind, name: str, payload: bytes) -> int:
        """Log an entry without giving it to the core; its sequence."""
        return self._log.append(kind, name, payload, time_ns=self.clocks.wall_ns())

    def apply(self, kind: EntryKind, name: str, payload: bytes) -> None:
        """Log an entry, give it to the core, and run what the core then asks for."""
        self.apply_together([Input(kind, name, payload)])

    def apply_together(self, entries: Sequence[Input]) -> None:
        """The same for entries whose requests may share a batch of a guarded stage."""
        requests: list[Request] = []
        for entry in entries:
            requests += self._step(entry)
        self.answer(requests)

    def answer(self, requests: Sequence[Request]) -> None:
        """Run what the core asks for, until it asks for nothing more.

        A machine does not wait for stages on windows: what a tick has commanded is made durable
        and sent before they are asked. A run that ends just there asks them when it goes on.
        """
        requests = list(requests)
        is_on_windows = requests and all(isinstance(r, ArraysRequest) for r in requests)
        if is_on_windows and self._pending.commands:
            self._commit_early()
        while requests:
            asked, requests = requests, []
            for outcome in self._answers(asked):
                if not outcome.is_ok:
                    self._pending.fallbacks.append(f"{outcome.stage}:{outcome.status}")
                requests += self._step(
                    Input(EntryKind.OUTCOME, outcome.stage, outcome.to_bytes(), outcome)
                )

    def _answers(self, requests: Sequence[Request]) -> list[Outcome]:
        """Run requests: those that look at frames together, because they may share a batch."""
        looks = [r for r in requests if isinstance(r, FrameRequest)]
        others = [[r] for r in requests if not isinstance(r, FrameRequest)]
        found: dict[str, Outcome] = {}
        groups: list[Sequence[Request]] = [looks, *others] if looks else [*others]
        for together in groups:
            began_s = self.clocks.monotonic_s()
            found.update({o.request_id: o for o in self._guard.run(together)})
            took_s = self.clocks.monotonic_s() - began_s
            for stage in dict.fromkeys(request.stage for request in together):
                self._timer.add(stage, took_s)
        return [found[request.request_id] for request in requests]

    def _step(self, given: Input) -> Sequence[Request]:
        kind, name, payload, decoded = given
        sequence = self.append(kind, name, payload)
        output = self.core.step(
            Entry(
                sequence=sequence,
                kind=kind,
                name=name,
                time_ns=0,
                payload=payload,
                decoded=decoded,
            )
        )
        self.take(output)
        return output.requests

    def take(self, output: StepOutput) -> None:
        """Log what the core said."""
        for source, refused in output.refused:
            self.append(EntryKind.QUARANTINE, source, encode_frame(refused))
        if output.digests:
            digests = {"epoch": self.core.epoch, "stages": output.digests}
            self.append(EntryKind.STAGE_DIGEST, "", plain_json(digests))
        for command in output.commands:
            self.append(EntryKind.COMMAND, command.machine, command.canonical_bytes())
            self._pending.commands.append(command)
        for decision in output.decisions:
            sequence = self.append(EntryKind.DECISION, decision.kind, decision.canonical_bytes())
            self._pending.decisions.append((sequence, decision))
        for note in output.parts:
            sequence = self.append(EntryKind.PART, "", note_bytes(note))
            self._pending.parts.append((sequence, note))
        if output.alerting is not None:
            sequence = self.append(EntryKind.ALERTING, "", output.alerting.to_bytes())
            self._pending.alerting.append((sequence, output.alerting))
        if output.summary is not None:
            self.append(EntryKind.SUMMARY_OUT, "", output.summary.to_bytes())
            self._pending.summaries.append(output.summary)

    # --- measures -------------------------------------------------------------------------------

    def took(self, step_s: float) -> None:
        """Note what an epoch, or a frame, took in all, and what each stage took of it."""
        self._pending.step_s.append(step_s)
        self.measure_stages()

    def measure_stages(self) -> None:
        """Note what each stage took since the last call, and log those that took too long."""
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
        self.append(EntryKind.DEADLINE_MISSED, str(missed["stage"]), plain_json(missed))

    # --- commit ---------------------------------------------------------------------------------

    def count_epoch(self) -> None:
        """One more epoch since the last checkpoint."""
        self._epochs_since_checkpoint += 1

    def _commit_early(self) -> None:
        early = self._committed(may_checkpoint=False)  # never amid a tick
        self.send_early([early])
        sent = replace(early, commands=())
        self._early = sent if self._early is None else self._early.then(sent)

    def commit(self, *, may_checkpoint: bool = True) -> Committed:
        """Make everything so far durable, and hand out what may now take effect.

        Commands that were sent early are not handed out again.
        """
        committed = self._committed(may_checkpoint=may_checkpoint)
        early, self._early = self._early, None
        return committed if early is None else early.then(committed)

    def _committed(self, *, may_checkpoint: bool) -> Committed:
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
                "stage_s": [[stage, round(s, 6)] for stage, s in self._pending.stage_s],
            }
            self.append(EntryKind.MEASUREMENT, "", plain_json(measured))
        head = self._log.commit()
        pending, self._pending = self._pending, _Pending()
        if may_checkpoint and self._epochs_since_checkpoint >= self._checkpoint_epochs:
            head = self._checkpoint(head)
        return Committed(
            name=self.name,
            decisions=tuple(pending.decisions),
            summaries=tuple(pending.summaries),
            through_sequence=head.sequence,
            chain_hash=head.hash,
            accounts=accounts,
            step_s=tuple(pending.step_s),
            stage_s=tuple(pending.stage_s),
            missed=tuple(pending.missed),
            fallbacks=tuple(pending.fallbacks),
            breakers=self.core.breaker_phases(),
            learning=self.core.learning(),
            at_bounds=self.core.at_bounds(),
            left_aside=self.core.left_aside(),
            advice=self.core.advice(),
            commands=tuple(pending.commands),
            alerting=tuple(pending.alerting),
            parts=tuple(pending.parts),
        )

    def _checkpoint(self, head: ChainHead) -> ChainHead:
        """Write one, and log which it is: no other is ever resumed from. The head after that."""
        path = write_checkpoint(
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
        digest = stored_digest(self._storage, path)
        self.append(EntryKind.CHECKPOINT, "", checkpoint_payload(head.sequence, digest))
        return self._log.commit()

    def close(self) -> None:
        """Finish the log; what was not committed is not there."""
        self._log.close()
