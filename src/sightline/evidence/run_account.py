"""What a run came to, from its log alone, which is replayed on the way."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sightline.act import LatencyRecorder
from sightline.evidence.log_replay import SAID, LogReplay, ReplayDiffers
from sightline.evidence.site_subjects import COMMAND_KIND
from sightline.evidence.words import number
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.recorder import read_entries
from sightline.records import Accounts, Decision, Entry, EntryKind
from sightline.records.command import ActuatorCommand, CommandLevel
from sightline.records.decision import Mode, Transition, decisions_digest, final_revisions
from sightline.records.plain_json import plain_fields
from sightline.records.signals import NS_PER_S
from sightline.runtime import RunDirectory
from sightline.runtime.alerting.said import AlertingSaid
from sightline.runtime.engine.guard import Outcome
from sightline.runtime.engine.headers import FrameFaultNote, FrameHeader
from sightline.runtime.engine.hosting import FAN_IN
from sightline.runtime.engine.stepping import heeded
from sightline.runtime.run_report import alerting_mapping

Seconds = Mapping[str, float]
"""``count``, and with values ``p50``, ``p95``, ``p99`` and ``worst`` in s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraAccount:
    """One camera.

    Attributes:
        name: of the camera.
        frames: whose headers are in the log.
        refused: frames that broke their contract, by the first reason.
        lost: frames that could not be read, by reason.
        notes: changes of the stream that cost no frame, by reason.
        gone: frames that were never looked at, by cause: superseded by newer ones, or dropped.
        signs: how many frames had each sign of an unwell picture or broken contract.
        age_s: from capture to receipt.
        longest_gap_s: between the captures of two usable frames that follow each other; NaN with
            fewer than two.
        outcomes: of asking the detector, by status.
        by_fallback: frames the detector itself did not answer, and somebody else did.
        unanswered: frames that nobody answered: tracks were carried on.
        left_aside: boxes that were found and are in no track, by cause; none where the log does not
            replay.
        advice: which setting would fit, or that nothing was found; none as above.
        words: of each reason under ``lost`` and ``notes`` its first words, with file or image.
    """

    name: str
    frames: int
    refused: Mapping[str, int]
    lost: Mapping[str, int]
    notes: Mapping[str, int]
    gone: Mapping[str, int]
    signs: Mapping[str, int]
    age_s: Seconds
    longest_gap_s: float
    outcomes: Mapping[str, int]
    by_fallback: int
    unanswered: int
    words: Mapping[str, str] = field(default_factory=dict)
    left_aside: Mapping[str, int] = field(default_factory=dict)
    advice: str = ""

    @property
    def asked(self) -> int:
        """Frames a detector was asked about."""
        return sum(self.outcomes.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineAccount:
    """One machine.

    Attributes:
        name: of the machine.
        level_s: event time at each level for which a command was valid.
        uncommanded_s: event time without a valid command: the machine stood still by itself.
        commands: by level, those that repeat it among them.
        changes: by level, the commands that changed to it.
        asked_by: by level and reason code, in how many of those changes it was a reason.
        held_by: by reason code, in how many of all commands above NONE it was a reason.
    """

    name: str
    level_s: Mapping[CommandLevel, float]
    uncommanded_s: float
    commands: Mapping[CommandLevel, int]
    changes: Mapping[CommandLevel, int]
    asked_by: Mapping[tuple[CommandLevel, str], int]
    held_by: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayCheck:
    """Whether a replay of the log says what the log says.

    Attributes:
        compared: decisions and commands that came out as the same bytes.
        began_after: log sequence of the checkpoint it began at; -1 for the whole log.
        difference: the first one; ``""`` for none.
    """

    compared: int
    began_after: int
    difference: str

    @property
    def verdict(self) -> str:
        """``same``, ``differs``, or ``nothing to compare``: that is no pass."""
        if self.difference:
            return "differs"
        return "same" if self.compared else "nothing to compare"

    def as_mapping(self) -> dict[str, Any]:
        """JSON-ready."""
        return {"verdict": self.verdict, **plain_fields(self)}


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedTimes:
    """What was measured, as logged.

    Attributes:
        step_s: from having the frames that were fed together to what was said about them.
        stage_s: by stage, the same of its share.
        said_s: from capture to the stamp of the log behind what was said: for runs by the wall
            clock only, else empty. Writing to the disk and sending come after it.
        budget_s: of the pipeline, from capture to command.
        stage_budget_s: of stages that have one.
        missed: DEADLINE_MISSED by stage.
        worst_missed_s: the worst of them by stage.
    """

    step_s: Seconds
    stage_s: Mapping[str, Seconds]
    said_s: Seconds
    budget_s: float
    stage_budget_s: Mapping[str, float]
    missed: Mapping[str, int]
    worst_missed_s: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunAccount:
    """What a run came to, of rows, of cameras, or of both.

    Attributes:
        name: of the pipeline.
        description: of the pipeline.
        digest: of the pipeline.
        span_s: event time from the first entry to the last.
        end_ns: of the last, UTC ns.
        is_finished: whether the log has its final tick.
        partitions: that its keys are spread over.
        accounts: where every row and frame is; of cameras counted again by the replay, else as
            last logged.
        cameras: in the order of the pipeline.
        machines: in the order of the pipeline.
        decisions: by (kind, reason code, transition), each once, as it stands at the end.
        by_status: all revisions, by ``kind transition status``.
        standing: decisions that were raised and not cleared, by kind; empty where the replay
            differs.
        times: measured.
        replay: the check; None of a run without cameras, which `sightline replay` checks.
        decisions_digest: over all revisions of all decisions.
        final_digest: over their final revisions.
        alerting: of an alert desk: alerts by ``fates``, messages by kind; None without one.
    """

    name: str
    description: str
    digest: str
    span_s: float
    end_ns: int
    is_finished: bool
    partitions: int
    accounts: Accounts
    cameras: tuple[CameraAccount, ...]
    machines: tuple[MachineAccount, ...]
    decisions: Mapping[tuple[str, str, str], int]
    by_status: Mapping[str, int]
    standing: Mapping[str, int]
    times: LoggedTimes
    replay: ReplayCheck | None
    decisions_digest: str
    final_digest: str
    alerting: Mapping[str, Any] | None

    def as_mapping(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "pipeline": f"{self.name} {self.digest}",
            "digest": self.decisions_digest,
            "final_digest": self.final_digest,
            "span_s": self.span_s,
            "finished": self.is_finished,
            "accounts": self.accounts.as_mapping(),
            "cameras": {c.name: _camera_mapping(c) for c in self.cameras},
            "machines": {m.name: _machine_mapping(m) for m in self.machines},
            "decisions": dict(self.by_status),
            "decision_codes": [
                {"kind": kind, "code": code, "transition": transition, "count": count}
                for (kind, code, transition), count in self.decisions.items()
            ],
            "standing": dict(self.standing),
            "times": {
                "step_s": dict(self.times.step_s),
                "stage_s": {stage: dict(s) for stage, s in self.times.stage_s.items()},
                "capture_to_said_s": dict(self.times.said_s),
                "budget_s": self.times.budget_s,
                "stage_budget_s": dict(self.times.stage_budget_s),
                "deadline_missed": dict(self.times.missed),
                "worst_missed_s": dict(self.times.worst_missed_s),
            },
            "step_s": dict(self.times.step_s),
            "deadline_missed": dict(self.times.missed),
            "replay": None if self.replay is None else self.replay.as_mapping(),
            **({} if self.alerting is None else {"alerting": dict(self.alerting)}),
        }


def _camera_mapping(camera: CameraAccount) -> dict[str, Any]:
    gap_s = camera.longest_gap_s
    return {
        "frames": camera.frames,
        "refused": dict(camera.refused),
        "lost": dict(camera.lost),
        "notes": dict(camera.notes),
        "words": dict(camera.words),
        "gone": dict(camera.gone),
        "signs": dict(camera.signs),
        "age_s": dict(camera.age_s),
        "longest_gap_s": number(gap_s),
        "outcomes": dict(camera.outcomes),
        "by_fallback": camera.by_fallback,
        "left_aside": dict(camera.left_aside),
        "advice": camera.advice,
        "unanswered": camera.unanswered,
        "fallback_share": camera.by_fallback / camera.asked if camera.asked else None,
    }


def _machine_mapping(machine: MachineAccount) -> dict[str, Any]:
    return {
        "level_s": {str(level): s for level, s in machine.level_s.items()},
        "uncommanded_s": machine.uncommanded_s,
        "commands": {str(level): n for level, n in machine.commands.items()},
        "changes": {str(level): n for level, n in machine.changes.items()},
        "asked_by": [
            {"level": str(level), "code": code, "count": n}
            for (level, code), n in machine.asked_by.items()
        ],
        "held_by": dict(machine.held_by),
    }


def counted(counts: Counter[Any]) -> dict[Any, int]:
    """The most frequent first, equal ones by name."""
    return dict(sorted(counts.items(), key=lambda one: (-one[1], str(one[0]))))


_MEASURED = (EntryKind.MEASUREMENT, EntryKind.DEADLINE_MISSED, EntryKind.ALERTING)
_COUNTED = frozenset({*_MEASURED, EntryKind.TICK, EntryKind.DECISION})
_WALL_CLOCK_S = 60.0
"""Receipt and log stamp of one frame lie this near each other where both are of the wall clock."""


def account_of_run(
    run: RunDirectory,
    *,
    on_progress: Callable[[str, int], None] = lambda _name, _sequence: None,
    limits: Limits = DEFAULT_LIMITS,
) -> RunAccount:
    """Account for a run, from its log alone.

    The partition with the cameras is replayed on the way; a log that does not replay is accounted
    for all the same, and said not to.

    Args:
        run: of rows, of cameras, or of both.
        on_progress: called with each partition and log sequence that is counted.
        limits: bounds for reading the log.

    Raises:
        LogError: the log is damaged.
    """
    return _Accounting(run, limits, on_progress).account()


class _Accounting:
    def __init__(
        self, run: RunDirectory, limits: Limits, on_progress: Callable[[str, int], None]
    ) -> None:
        plan = run.plan
        self._on_progress = on_progress
        self._run = run
        self._plan = plan
        self._limits = limits
        self._replay = LogReplay(run, limits=limits) if plan.cameras else None
        self._difference = ""
        self._cameras = {name: _CameraCounts(name) for name in plan.cameras}
        self._machines = (
            {}
            if self._replay is None
            else {
                name: _MachineCounts(name, self._replay.commands.get(name))
                for name in self._replay.site.machines
            }
        )
        self._times = _TimeCounts()
        self._decisions: list[Decision] = []
        self._last_logged: dict[str, Accounts] = {}
        self._alerting: AlertingSaid | None = None
        self._first_ns: int | None = None
        self._last_ns = 0
        self._is_finished = False
        self._partition = ""

    def account(self) -> RunAccount:
        for name in self._run.partitions:
            self._partition = name
            if self._replay is not None and name == self._replay.partition:
                self._replay_through(self._replay)
                continue
            for entry in read_entries(
                self._run.storage, name, kinds=_COUNTED, skip_pruned=True, limits=self._limits
            ):
                self._count(entry)
        plan, form = self._plan, self._plan.pipeline
        final = final_revisions(self._decisions)
        codes = Counter((d.kind, d.reasons[0].code, str(d.transition)) for d in final)
        revisions = Counter(f"{d.kind} {d.transition} {d.status}" for d in self._decisions)
        has_desk = form.alerting is not None
        said = self._alerting
        sums = {
            "fates": dict(said.fates) if said else {},
            "messages": dict(said.message_counts) if said else {},
        }
        return RunAccount(
            name=form.pipeline,
            description=form.description,
            digest=plan.digest,
            span_s=(self._last_ns - (self._first_ns or 0)) / NS_PER_S,
            end_ns=self._last_ns,
            is_finished=self._is_finished,
            partitions=form.partitions,
            accounts=self._accounts(),
            cameras=tuple(
                replace(
                    camera.account(), left_aside=self._left_aside(name), advice=self._advice(name)
                )
                for name, camera in self._cameras.items()
            ),
            machines=tuple(
                m.account(self._first_ns, self._last_ns) for m in self._machines.values()
            ),
            decisions=dict(sorted(codes.items())),
            by_status=dict(sorted(revisions.items())),
            standing={} if self._difference else counted(Counter(_standing(final))),
            times=self._times.account(form.latency_budget_s, plan.budgets_s()),
            replay=None
            if self._replay is None
            else ReplayCheck(
                compared=self._replay.compared,
                began_after=self._replay.began_after,
                difference=self._difference,
            ),
            decisions_digest=decisions_digest(self._decisions),
            final_digest=decisions_digest(final),
            alerting=alerting_mapping(sums) if has_desk else None,
        )

    def _left_aside(self, camera: str) -> dict[str, int]:
        if self._replay is None or self._difference:
            return {}
        found = self._replay.core.left_aside()
        return {cause: count for name, cause, count in found if name == camera}

    def _advice(self, camera: str) -> str:
        if self._replay is None or self._difference:
            return ""
        found = self._replay.core.advice()
        return "; ".join(text for name, text in found if name == camera)

    def _accounts(self) -> Accounts:
        logged = Accounts.total(self._last_logged.values())
        is_one = len(self._plan.cameras) > 0 and self._plan.pipeline.partitions == 1
        if self._replay is None or self._difference or not is_one:
            return logged
        return self._replay.core.accounts()

    def _replay_through(self, replay: LogReplay) -> None:
        last = -1
        for entry in replay.entries(*_MEASURED):
            last = entry.sequence
            self._check(replay, entry)
            self._count(entry)
        if not self._difference:
            try:
                replay.check_all_said(last)
            except ReplayDiffers as difference:
                self._difference = str(difference)

    def _check(self, replay: LogReplay, entry: Entry) -> None:
        """Replay it, until the first difference."""
        if self._difference or entry.kind in _MEASURED:
            return
        try:
            if entry.kind in SAID:
                replay.compare(entry)
            else:
                replay.step(entry)
        except ReplayDiffers as difference:
            self._difference = str(difference)

    def _count(self, entry: Entry) -> None:
        self._on_progress(self._partition, entry.sequence)
        heeded(
            lambda: self._take(entry),
            where=f"partition {self._partition}, log sequence {entry.sequence}",
        )

    def _take(self, entry: Entry) -> None:
        if entry.kind is EntryKind.FRAME:
            header = FrameHeader.from_bytes(entry.payload)
            self._goes_on(header.received_ns)
            self._cameras[header.camera].take(header)
            self._times.take(header, entry.time_ns)
        elif entry.kind is EntryKind.OUTCOME:
            outcome = Outcome.from_bytes(entry.payload)
            name, _, _ = outcome.request_id.partition(":")[2].rpartition(":")
            if name in self._cameras:
                self._cameras[name].answer(outcome)
        elif entry.kind is EntryKind.FRAME_FAULT:
            note = FrameFaultNote.from_bytes(entry.payload)
            camera = self._cameras[note.camera]
            (camera.lost if note.frames else camera.notes)[note.reason] += max(note.frames, 1)
            camera.words.setdefault(note.reason, f"{note.origin}: {note.detail}")
        elif entry.kind is EntryKind.DROP and entry.name in self._cameras:
            plain = json.loads(entry.payload)
            self._cameras[entry.name].gone[plain["cause"]] += int(plain["rows"])
        elif entry.kind is EntryKind.TICK:
            plain = json.loads(entry.payload)
            self._goes_on(int(plain["tick_ns"]))
            self._is_finished |= bool(plain["final"])
        elif entry.kind is EntryKind.COMMAND:
            command = ActuatorCommand.from_bytes(entry.payload)
            if command.machine in self._machines:
                self._machines[command.machine].take(command)
        elif entry.kind is EntryKind.DECISION:
            self._decisions.append(Decision.from_bytes(entry.payload))
        elif entry.kind is EntryKind.MEASUREMENT:
            plain = json.loads(entry.payload)
            if self._partition != FAN_IN:
                self._last_logged[self._partition] = Accounts.from_mapping(plain["accounts"])
            self._times.measure(plain, entry.time_ns)
        elif entry.kind is EntryKind.DEADLINE_MISSED:
            self._times.miss(entry)
        elif entry.kind is EntryKind.ALERTING:
            self._alerting = AlertingSaid.from_bytes(entry.payload)

    def _goes_on(self, at_ns: int) -> None:
        if self._first_ns is None:
            self._first_ns = at_ns
            for machine in self._machines.values():
                machine.from_ns = at_ns
        self._last_ns = max(self._last_ns, at_ns)


class _CameraCounts:
    def __init__(self, name: str) -> None:
        self._name = name
        self._frames = 0
        self._refused: Counter[str] = Counter()
        self._signs: Counter[str] = Counter()
        self._outcomes: Counter[str] = Counter()
        self._age_s = LatencyRecorder()
        self._usable_ns: int | None = None
        self._gap_ns = -1
        self._by_fallback = 0
        self._unanswered = 0
        self.lost: Counter[str] = Counter()
        self.notes: Counter[str] = Counter()
        self.gone: Counter[str] = Counter()
        self.words: dict[str, str] = {}

    def take(self, header: FrameHeader) -> None:
        self._frames += 1
        self._age_s.record((header.received_ns - header.capture_ns) / NS_PER_S)
        self._signs.update({sign.code for sign in header.signs})
        if not header.is_usable:
            self._refused[header.signs[0].code if header.signs else "UNUSABLE"] += 1
            return
        if self._usable_ns is not None:
            self._gap_ns = max(self._gap_ns, header.capture_ns - self._usable_ns)
        self._usable_ns = header.capture_ns

    def answer(self, outcome: Outcome) -> None:
        self._outcomes[str(outcome.status)] += 1
        if outcome.answer is None:
            self._unanswered += 1
        elif outcome.mode is not Mode.PRIMARY:
            self._by_fallback += 1

    def account(self) -> CameraAccount:
        return CameraAccount(
            name=self._name,
            frames=self._frames,
            refused=counted(self._refused),
            lost=counted(self.lost),
            notes=counted(self.notes),
            gone=counted(self.gone),
            signs=counted(self._signs),
            age_s=self._age_s.summary(),
            longest_gap_s=self._gap_ns / NS_PER_S if self._gap_ns >= 0 else math.nan,
            outcomes=counted(self._outcomes),
            by_fallback=self._by_fallback,
            unanswered=self._unanswered,
            words=dict(self.words),
        )


class _MachineCounts:
    """Time passes from command to command; each is valid until its end, or the next one."""

    def __init__(self, name: str, last: ActuatorCommand | None) -> None:
        self._name = name
        self._last = last
        self._level: CommandLevel | None = None if last is None else last.level
        self._level_ns: Counter[CommandLevel] = Counter()
        self.from_ns = 0
        self._commands: Counter[CommandLevel] = Counter()
        self._changes: Counter[CommandLevel] = Counter()
        self._asked_by: Counter[tuple[CommandLevel, str]] = Counter()
        self._held_by: Counter[str] = Counter()

    def take(self, command: ActuatorCommand) -> None:
        self._passes(command.issued_ns)
        self._last = command
        self._commands[command.level] += 1
        codes = {reason.code for reason in command.reasons}
        if command.level is not self._level:
            self._changes[command.level] += 1
            self._asked_by.update((command.level, code) for code in codes)
        if command.level is not CommandLevel.NONE:
            self._held_by.update(codes)
        self._level = command.level

    def _passes(self, until_ns: int) -> None:
        last = self._last
        if last is not None:
            held_ns = min(last.valid_until_ns, until_ns) - max(last.issued_ns, self.from_ns)
            self._level_ns[last.level] += max(held_ns, 0)

    def account(self, first_ns: int | None, last_ns: int) -> MachineAccount:
        self._passes(last_ns)
        held_ns = sum(self._level_ns.values())
        span_ns = 0 if first_ns is None else last_ns - first_ns
        return MachineAccount(
            name=self._name,
            level_s={level: self._level_ns[level] / NS_PER_S for level in CommandLevel},
            uncommanded_s=max(span_ns - held_ns, 0) / NS_PER_S,
            commands={level: self._commands[level] for level in CommandLevel},
            changes={level: self._changes[level] for level in CommandLevel},
            asked_by=counted(self._asked_by),
            held_by=counted(self._held_by),
        )


class _TimeCounts:
    def __init__(self) -> None:
        self._step_s = LatencyRecorder()
        self._stage_s: dict[str, LatencyRecorder] = {}
        self._said_s = LatencyRecorder()
        self._fed: list[FrameHeader] = []
        self._is_wall_clock = True
        self._missed: Counter[str] = Counter()
        self._worst_s: dict[str, float] = {}

    def take(self, header: FrameHeader, stamp_ns: int) -> None:
        self._fed.append(header)
        self._is_wall_clock &= abs(stamp_ns - header.received_ns) <= _WALL_CLOCK_S * NS_PER_S

    def measure(self, plain: Mapping[str, Any], stamp_ns: int) -> None:
        for step_s in plain["step_s"]:
            self._step_s.record(float(step_s))
        for stage, took_s in plain["stage_s"]:
            self._stage_s.setdefault(str(stage), LatencyRecorder()).record(float(took_s))
        for header in self._fed:
            self._said_s.record((stamp_ns - header.capture_ns) / NS_PER_S)
        self._fed.clear()

    def miss(self, entry: Entry) -> None:
        self._missed[entry.name] += 1
        took_s = float(json.loads(entry.payload)["took_s"])
        self._worst_s[entry.name] = max(took_s, self._worst_s.get(entry.name, 0.0))

    def account(self, budget_s: float, stage_budget_s: Mapping[str, float]) -> LoggedTimes:
        return LoggedTimes(
            step_s=self._step_s.summary(),
            stage_s={name: one.summary() for name, one in sorted(self._stage_s.items())},
            said_s=self._said_s.summary() if self._is_wall_clock else {"count": 0},
            budget_s=budget_s,
            stage_budget_s=stage_budget_s,
            missed=counted(self._missed),
            worst_missed_s=self._worst_s,
        )


def _standing(final: Sequence[Decision]) -> list[str]:
    """Kinds of what was raised and not cleared; the level of a machine is no such thing."""
    newest: dict[tuple[str, str], Decision] = {}
    for decision in sorted(final, key=lambda d: (d.event_ns, d.transition is Transition.RAISED)):
        if not decision.kind.startswith(COMMAND_KIND):
            newest[decision.kind, decision.subject] = decision
    return [d.kind for d in newest.values() if d.transition is Transition.RAISED]
