"""All that a run said: its decisions and commands, and finding one of them by its id."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from sightline.errors import SightlineError, UsageError
from sightline.evidence.site_subjects import COMMAND_KIND
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.recorder import read_entries
from sightline.records import Decision, EntryKind
from sightline.records.command import ActuatorCommand
from sightline.records.decision import Transition
from sightline.runtime import RunDirectory
from sightline.runtime.engine.headers import FrameHeader
from sightline.runtime.engine.stepping import heeded


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One revision of a decision, or one command, and where it is in the log.

    Attributes:
        partition: whose log has it.
        sequence: in that log.
        what: the decision or command.
        payload: its bytes there.
    """

    partition: str
    sequence: int
    what: Decision | ActuatorCommand
    payload: bytes

    @property
    def said_id(self) -> str:
        """What a person types: the id of a decision, or ``id:revision`` of a command."""
        if isinstance(self.what, Decision):
            return self.what.decision_id
        return self.what.idempotency_key

    @property
    def at_ns(self) -> int:
        """Event time, UTC ns."""
        return self.what.event_ns if isinstance(self.what, Decision) else self.what.issued_ns


@dataclass(frozen=True, slots=True, kw_only=True)
class SaidLog:
    """What a run said, partition by partition, in the order of each log.

    Attributes:
        said: decisions, all revisions of them, that the logs still have.
        commands: the same; those that only repeat a level are among them.
    """

    said: tuple[Said, ...]
    commands: tuple[Said, ...]

    @classmethod
    def of(cls, run: RunDirectory, *, limits: Limits = DEFAULT_LIMITS) -> SaidLog:
        """Read it from the logs.

        Raises:
            LogError: a log is damaged.
        """
        found: dict[EntryKind, list[Said]] = {EntryKind.DECISION: [], EntryKind.COMMAND: []}
        for name in run.partitions:
            for entry in read_entries(
                run.storage, name, kinds=set(found), skip_pruned=True, limits=limits
            ):
                read = Decision if entry.kind is EntryKind.DECISION else ActuatorCommand
                found[entry.kind].append(
                    Said(
                        partition=name,
                        sequence=entry.sequence,
                        what=heeded(
                            lambda read=read, e=entry: read.from_bytes(e.payload),  # type: ignore[misc]
                            where=f"log sequence {entry.sequence}",
                        ),
                        payload=entry.payload,
                    )
                )
        return cls(said=tuple(found[EntryKind.DECISION]), commands=tuple(found[EntryKind.COMMAND]))

    @property
    def decisions(self) -> list[Decision]:
        """All revisions of all decisions."""
        return [one.what for one in self.said if isinstance(one.what, Decision)]

    def revisions(self, one: Said) -> tuple[Decision, ...]:
        """All revisions of a decision, oldest first; none of a command."""
        found = [d for d in self.decisions if d.decision_id == one.said_id]
        return tuple(sorted(found, key=lambda d: d.revision))

    def changes(self, machine: str) -> list[ActuatorCommand]:
        """The commands of a machine that changed its level, the first one among them."""
        changed: list[ActuatorCommand] = []
        for command in (one.what for one in self.commands):
            assert isinstance(command, ActuatorCommand)
            if command.machine == machine and (
                not changed or changed[-1].level is not command.level
            ):
                changed.append(command)
        return changed

    def counterpart(self, one: Said) -> Decision | None:
        """What ended a decision; of one that says an end, what it ended. None: nothing did.

        The level of a machine is ended by the next decision about its level.
        """
        decision = one.what
        if not isinstance(decision, Decision):
            return None
        is_level = decision.kind.startswith(COMMAND_KIND)
        wants_later = is_level or decision.transition is Transition.RAISED
        at = (decision.event_ns, one.sequence)
        mine = [
            (d.event_ns, s.sequence, d)
            for s in self.said
            if isinstance(d := s.what, Decision)
            and d.subject == decision.subject
            and d.decision_id != decision.decision_id
            and (d.kind.startswith(COMMAND_KIND) if is_level else d.kind == decision.kind)
        ]
        mine.sort(key=lambda item: item[:2])
        if wants_later:
            return next((d for t, s, d in mine if (t, s) > at), None)
        return next((d for t, s, d in reversed(mine) if (t, s) < at), None)

    def find(self, wanted: str, run: RunDirectory) -> Said:
        """What has this id: of a decision its last revision.

        Args:
            wanted: id of a decision or of a command, or the beginning of one; ``id:revision`` for
                a command other than the first of its id.
            run: the run.

        Raises:
            UsageError: nothing has it, or more than one.
        """
        start, _, revision = wanted.partition(":")
        found: dict[str, Said] = {}
        for one in self.commands if revision else (*self.said, *self.commands):
            if not one.said_id.startswith(start):
                continue
            name, _, number = one.said_id.partition(":")
            if isinstance(one.what, Decision):
                known = found.get(name)
                if known is None or known.what.revision <= one.what.revision:
                    found[name] = one
            elif not revision or number == revision:
                found.setdefault(name, one)
        if len(found) == 1:
            return next(iter(found.values()))
        raise UsageError(
            expected="the id of one decision or command",
            got=f"{wanted!r}, {self._problem(start, run, len(found))}",
            where=str(run.path),
            action=self._advice(start, run, len(found)),
        )

    def _problem(self, start: str, run: RunDirectory, count: int) -> str:
        if count:
            return f"the beginning of {count}"
        return "whose log entry was pruned" if start and _in_ledger(run, start) else "unknown"

    def _advice(self, start: str, run: RunDirectory, count: int) -> str:
        if count:
            return "give more of the id"
        known = {one.said_id[: len(start)] for one in (*self.said, *self.commands)}
        near = difflib.get_close_matches(start, sorted(known), n=1)
        return f"did you mean {near[0]}?" if near else f"`sightline explain {run.path}` lists them"


def first_frame_ns(run: RunDirectory, *, limits: Limits = DEFAULT_LIMITS) -> int | None:
    """When the first frame that the log still has was received, UTC ns; None without any."""
    if not run.plan.cameras:
        return None
    entries = read_entries(
        run.storage, run.partitions[0], kinds={EntryKind.FRAME}, skip_pruned=True, limits=limits
    )
    first = next(entries, None)
    return None if first is None else FrameHeader.from_bytes(first.payload).received_ns


def ledger_has(run: RunDirectory, decision: Decision) -> str:
    """What the ledger holds under the decision's key: ``same``, ``other``, ``missing`` or
    ``no ledger``.
    """
    try:
        with run.ledger() as ledger:
            rows = ledger.decisions(subject=decision.subject, kind=decision.kind)
    except SightlineError:
        return "no ledger"
    key = (decision.decision_id, decision.revision)
    found = [d for d in rows if (d.decision_id, d.revision) == key]
    if not found:
        return "missing"
    return "same" if found[0].canonical_bytes() == decision.canonical_bytes() else "other"


def _in_ledger(run: RunDirectory, start: str) -> bool:
    try:
        with run.ledger() as ledger:
            return bool(ledger.decision(start))
    except SightlineError:
        return False
