"""What the log of a run says by now, read on as it grows.

Each entry is read once, however many people look. Of most only the place and the stamp are read;
payloads of what is shown alone. What is kept is bounded, whatever the length of the run.
"""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from sightline.evidence.site_subjects import COMMAND_KIND, SitePlan
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.recorder.segment_reader import SegmentReader, StoredEntry
from sightline.recorder.walk import walk_groups
from sightline.records import Accounts, Decision, Entry, EntryKind
from sightline.records.decision import (
    Transition,
    decision_order,
    final_revisions,
    still_raised,
)
from sightline.records.entry import CORE_INPUTS
from sightline.runtime import RunDirectory
from sightline.runtime.alerting.account import DeskReading
from sightline.runtime.engine.batches import decode_frame
from sightline.runtime.engine.guard import Outcome
from sightline.runtime.engine.headers import FrameFaultNote, FrameHeader
from sightline.runtime.engine.hosting import FAN_IN

_RECEIVED = frozenset({EntryKind.INPUT, EntryKind.INPUT_REFERENCE, EntryKind.REJECTED})
_READ = frozenset(
    {
        EntryKind.DECISION,
        EntryKind.TICK,
        EntryKind.MEASUREMENT,
        EntryKind.QUARANTINE,
        EntryKind.FRAME,
        EntryKind.FRAME_FAULT,
        EntryKind.OUTCOME,
        EntryKind.DROP,
        EntryKind.IMAGE,
        EntryKind.VIDEO,
    }
)
"""Kinds whose payloads are read; of the fan-in also what its core reads."""
_REVISED = 8
"""Newest decisions of a subject and kind that are kept, so that a retraction finds what was
before."""
_FRAMES = 256
"""Newest frames of a camera whose answers are kept: their pictures come into the log later."""


@dataclass(slots=True, kw_only=True)
class SourceSeen:
    """A source of rows.

    Attributes:
        batches: that it gave.
        received_ns: stamp of the newest, UTC ns; -1 before the first.
        quarantined: refused rows by reason.
        example: the last refused row in words; ``""`` for none.
    """

    batches: int = 0
    received_ns: int = -1
    quarantined: Counter[str] = field(default_factory=Counter)
    example: str = ""


@dataclass(slots=True, kw_only=True)
class CameraSeen:
    """A camera.

    Attributes:
        frames: whose headers are in the log.
        refused: frames that broke their contract, by the first reason.
        lost: frames that could not be read, by reason.
        gone: frames that were never looked at, by cause.
        outcomes: of asking the detector, by status.
        by_fallback: frames that the detector itself did not answer, and somebody else did.
        newest: header of the newest frame; None before the first.
        pictures: entries of the newest picture; of packets all from the last key packet on.
        held_bytes: of these.
        answers: newest frames by capture time, each with what was answered about it.
    """

    frames: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    gone: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    by_fallback: int = 0
    newest: FrameHeader | None = None
    pictures: list[Entry] = field(default_factory=list)
    held_bytes: int = 0
    answers: dict[int, tuple[FrameHeader, Outcome | None]] = field(default_factory=dict)


class FollowedRun:
    """A run, read from its log as far as it has come.

    Args:
        run: live or finished.
        limits: bounds for reading the log, and of what is kept of it.

    Attributes:
        run: the same.
        site: what its pipeline knows of its cameras.
        desk: of a run with an alert desk; else None.
        sources: of rows, by name.
        cameras: by name.
        said: newest decisions, all revisions of them, oldest first.
        decisions: how many the logs have.
        forgotten: subjects that found no room.
        now_ns: event time that the run has reached, UTC ns; -1 before the first tick.
        stamp_ns: of the newest entry, UTC ns; -1 of an empty log.
        is_read: whether all was read that was committed when last looked.

    Raises:
        LogError: the log is damaged.
    """

    def __init__(self, run: RunDirectory, *, limits: Limits = DEFAULT_LIMITS) -> None:
        self.run = run
        self.site = SitePlan(run.plan)
        has_desk = run.plan.pipeline.alerting is not None
        self.desk = DeskReading(run, limits=limits) if has_desk else None
        self.sources = {name: SourceSeen() for name in run.plan.contracts}
        self.cameras = {name: CameraSeen() for name in run.plan.cameras}
        self.said: deque[Decision] = deque(maxlen=limits.console_decisions)
        self.decisions = 0
        self.forgotten = 0
        self.now_ns = -1
        self.stamp_ns = -1
        self.is_read = False
        self._limits = limits
        self._after = dict.fromkeys(run.partitions, -1)
        self._walks: dict[str, Iterator[tuple[SegmentReader, StoredEntry]]] = {}
        self._is_final = {name: False for name in run.partitions if name != FAN_IN}
        self._accounts: dict[str, Accounts] = {}
        self._changes: dict[tuple[str, str], dict[str, Decision]] = {}

    @property
    def is_finished(self) -> bool:
        """Whether the log of each key partition ends with its final tick."""
        return all(self._is_final.values())

    @property
    def accounts(self) -> Accounts:
        """Where every row and frame is, as last logged."""
        return Accounts.total(self._accounts.values())

    @property
    def entries(self) -> int:
        """How many entries were read."""
        return sum(self._after.values()) + len(self._after)

    def standing(self) -> list[Decision]:
        """What was raised and not cleared, without the levels of machines."""
        return still_raised([d for d in self._final() if not d.kind.startswith(COMMAND_KIND)])

    def levels(self) -> dict[str, Decision]:
        """By machine the newest decision about its level."""
        return {d.subject: d for d in self._final() if d.kind.startswith(COMMAND_KIND)}

    def decision(self, kind: str, subject: str, decision_id: str) -> Decision | None:
        """One of the newest of a subject and kind."""
        return self._changes.get((kind, subject), {}).get(decision_id)

    def ended_ns(self, kind: str, subject: str, *, since_ns: int) -> int | None:
        """When what was raised at ``since_ns`` was cleared, UTC ns; None if it was not."""
        final = final_revisions(self._changes.get((kind, subject), {}).values())
        cleared = (d for d in final if d.transition is Transition.CLEARED)
        return next((d.event_ns for d in cleared if d.event_ns >= since_ns), None)

    def advance(self, is_over: Callable[[], bool]) -> None:
        """Read what was committed since; as far as it comes before ``is_over``.

        Raises:
            LogError: the log is damaged. What was read before still holds.
        """
        self.is_read = False
        for name in self._after:
            walk = self._walks.pop(name, None) or self._entries(name)
            for reader, stored in walk:
                self._take(name, reader, stored)
                if is_over():
                    self._walks[name] = walk
                    return
        self.is_read = True

    def _final(self) -> list[Decision]:
        return final_revisions(d for one in self._changes.values() for d in one.values())

    def _entries(self, name: str) -> Iterator[tuple[SegmentReader, StoredEntry]]:
        after = self._after[name]
        for reader, group in walk_groups(
            self.run.storage, name, from_sequence=after + 1, limits=self._limits
        ):
            for stored in group.entries:
                if stored.sequence > after:
                    yield reader, stored

    def _take(self, name: str, reader: SegmentReader, stored: StoredEntry) -> None:
        linked = stored.linked
        is_desks = (
            name == FAN_IN
            and self.desk is not None
            and stored.sequence > self.desk.after
            and linked.kind in CORE_INPUTS
        )
        if is_desks or (linked.kind in _READ and stored.offset >= 0):
            entry = Entry(
                sequence=stored.sequence,
                kind=linked.kind,
                name=linked.name,
                time_ns=linked.time_ns,
                payload=reader.payload(stored),
            )
            if is_desks and self.desk is not None:
                self.desk.take(entry)
            self._read(name, entry)
        elif linked.kind in _RECEIVED and linked.name in self.sources:
            source = self.sources[linked.name]
            source.batches += 1
            source.received_ns = max(source.received_ns, linked.time_ns)
        self.stamp_ns = max(self.stamp_ns, linked.time_ns)
        self._after[name] = stored.sequence

    def _read(self, name: str, entry: Entry) -> None:
        match entry.kind:
            case EntryKind.DECISION:
                self._decide(Decision.from_bytes(entry.payload))
            case EntryKind.TICK:
                plain = json.loads(entry.payload)
                self.now_ns = max(self.now_ns, int(plain["tick_ns"]))
                if name in self._is_final:
                    self._is_final[name] = bool(plain["final"])
            case EntryKind.MEASUREMENT if name != FAN_IN:
                self._accounts[name] = Accounts(**json.loads(entry.payload)["accounts"])
            case EntryKind.QUARANTINE if entry.name in self.sources:
                self._refuse(self.sources[entry.name], entry.payload)
            case EntryKind.DROP if entry.name in self.cameras:
                plain = json.loads(entry.payload)
                self.cameras[entry.name].gone[plain["cause"]] += int(plain["rows"])
            case EntryKind.FRAME:
                self._see(FrameHeader.from_bytes(entry.payload))
            case EntryKind.FRAME_FAULT:
                note = FrameFaultNote.from_bytes(entry.payload)
                if note.camera in self.cameras:
                    self.cameras[note.camera].lost[note.reason] += note.frames
            case EntryKind.OUTCOME:
                self._answer(Outcome.from_bytes(entry.payload))
            case EntryKind.IMAGE | EntryKind.VIDEO if entry.name in self.cameras:
                self._keep(self.cameras[entry.name], entry)
            case _:
                pass

    def _decide(self, decision: Decision) -> None:
        self.decisions += 1
        self.said.append(decision)
        key = (decision.kind, decision.subject)
        known = self._changes.pop(key, {})  # the newest subjects are the last
        known[decision.decision_id] = decision
        while len(known) > _REVISED:
            del known[min(known.values(), key=decision_order).decision_id]
        self._changes[key] = known
        if len(self._changes) > self._limits.console_subjects:
            self.forgotten += 1
            del self._changes[self._first_to_go()]

    def _first_to_go(self) -> tuple[str, str]:
        """The oldest subject, and of the oldest few one of which nothing stands."""
        oldest = list(self._changes)[:_FRAMES]
        calm = (k for k in oldest if not still_raised(final_revisions(self._changes[k].values())))
        return next(calm, oldest[0])

    def _refuse(self, source: SourceSeen, payload: bytes) -> None:
        refused = decode_frame(payload)
        for row in refused.group_by("reason").len().iter_rows():
            source.quarantined[str(row[0])] += int(row[1])
        last = refused.tail(1).to_dicts()
        for row_seen in last:
            source.example = (
                f"{row_seen['_origin']}:{row_seen['_row']} {row_seen['reason']} "
                f"{row_seen['detail']}"
            )

    def _see(self, header: FrameHeader) -> None:
        camera = self.cameras.get(header.camera)
        if camera is None:
            return
        camera.frames += 1
        camera.newest = header
        if not header.is_usable:
            camera.refused[header.signs[0].code if header.signs else "UNUSABLE"] += 1
        camera.answers[header.capture_ns] = (header, None)
        while len(camera.answers) > _FRAMES:
            del camera.answers[next(iter(camera.answers))]

    def _answer(self, outcome: Outcome) -> None:
        name, _, index = outcome.request_id.partition(":")[2].rpartition(":")
        camera = self.cameras.get(name)
        if camera is None:
            return
        camera.outcomes[str(outcome.status)] += 1
        camera.by_fallback += outcome.answer is not None and outcome.mode != "primary"
        for capture_ns, (header, known) in reversed(camera.answers.items()):
            if header.index == int(index) and (known is None or known.answer is None):
                camera.answers[capture_ns] = (header, outcome)
                return

    def _keep(self, camera: CameraSeen, entry: Entry) -> None:
        """The newest picture; packets from the last key packet on, which decoding begins at."""
        plain: dict[str, Any] = json.loads(entry.payload)
        own = plain.get("sightline")
        begins = own is None or bool(own["is_key"])
        if begins or camera.held_bytes + len(entry.payload) > self._limits.tape_bytes:
            camera.pictures.clear()
            camera.held_bytes = 0
            if not begins:
                return  # too long without a key packet: shown again from the next one on
        camera.pictures.append(entry)
        camera.held_bytes += len(entry.payload)
