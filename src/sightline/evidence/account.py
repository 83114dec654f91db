"""One account of a decision: the facts that text, picture and page show.

What was decided and when; each reason with value, threshold, unit and what it means, from the
stage that gave it; the inputs that led to it; who answered; what else happened around it; what
came of it; and what would not have raised it. It is the same for every stage: one on rows also
tells the rows and their measure, one on pictures what the cameras saw and the machines were told.

The log goes by once. Only what needs the core to run on other rows reads it again: the search for
what would not have raised a decision, and the attribution of a novelty score.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import polars as pl

from sightline.decide.alerting.alert import Fate
from sightline.evidence.camera_account import CameraFacts, CameraMoment
from sightline.evidence.circumstances import (
    Circumstances,
    CircumstancesSeen,
    LogEpoch,
    log_epochs,
    may_hold,
)
from sightline.evidence.novelty_account import NoveltyAccount, novelty_account
from sightline.evidence.part_account import Again, PartFacts, SeenParts
from sightline.evidence.rows_account import (
    DecisionSubject,
    ShownRows,
    decision_subject,
    history_mapping,
)
from sightline.evidence.said import Said, SaidLog, ledger_has
from sightline.evidence.site_subjects import PAIR_KINDS, subject_of
from sightline.evidence.trial import NOT_TRIED, TriedDecision, try_decision
from sightline.evidence.words import moment, number
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.recorder import read_entries
from sightline.recorder.retention import first_kept
from sightline.records import Decision, EntryKind
from sightline.records.command import ActuatorCommand
from sightline.records.decision import Mode, Reason, Transition
from sightline.records.signals import GROUP, KEY, NS_PER_S, TIME_NS
from sightline.records.windows import FloatArray, IntArray
from sightline.runtime import Plan, RunDirectory
from sightline.runtime.alerting.said import AlertingSaid
from sightline.runtime.engine.batches import decode_frame
from sightline.runtime.engine.clock_watch import CLOCK_MEANINGS, CLOCK_SET
from sightline.runtime.engine.hosting import FAN_IN
from sightline.runtime.engine.outputs import StageRows
from sightline.runtime.engine.replay import replay_partition
from sightline.runtime.engine.stepping import heeded
from sightline.runtime.stage import AnyStage
from sightline.runtime.stages.camera_health import CameraHealthStage
from sightline.runtime.stages.zones import ZonesStage
from sightline.sense import admit

AROUND_S = 300.0
"""What happened so long before and after a decision is told."""
_CONTEXT_WINDOWS = 6  # whose rows are shown before and after the decided window
_ANSWERS = {"acknowledge": "acknowledged", "reset": "reset"}
_LEAST_CONTEXT_NS = 120 * NS_PER_S
_ROWS = frozenset({EntryKind.INPUT, EntryKind.INPUT_REFERENCE})


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasonFact:
    """One reason, and what it means.

    Attributes:
        reason: code, measure, value, threshold, unit and version.
        stage: that gave it; ``""`` where no stage of the pipeline did.
        meaning: one plain sentence without the value; ``""`` where nobody knows.
    """

    reason: Reason
    stage: str
    meaning: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RowsFacts:
    """What a decision on rows rests on.

    Attributes:
        about: whose rows, which field and measure.
        shown: the rows around the decided window.
        tried: what would not have raised it, and since when its measure has departed.
        novelty: what was unlike its past; None where it rests on no novelty stage, or the core was
            not to be run again.
    """

    about: DecisionSubject
    shown: ShownRows
    tried: TriedDecision
    novelty: NoveltyAccount | None

    def as_mapping(self) -> dict[str, Any]:
        """JSON-ready, without the rows."""
        about, tried = self.about, self.tried
        return {
            "source": about.source,
            "field": about.shown,
            "rows": self.shown.rows,
            "note": self.shown.note,
            "subject": {
                "source": about.source,
                "key": about.key,
                "field": about.field,
                "unit": about.unit,
            },
            "history": None if tried.history is None else history_mapping(tried.history),
            "counterfactual": tried.counterfactual.as_mapping(),
            "counterfactual_of_all_windows": None
            if tried.whole is None
            else tried.whole.as_mapping(),
            "put_off_until_ns": tried.put_off_ns if tried.put_off_ns >= 0 else None,
            "run_until_ns": tried.until_ns if tried.until_ns >= 0 else None,
            "field_before": dict(
                zip(("median", "least", "greatest"), map(number, tried.before), strict=True)
            ),
            "core_runs": tried.runs,
            "core_began_after": tried.began_after,
            "novelty": None if self.novelty is None else self.novelty.as_mapping(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything a person needs to judge one decision or command.

    Attributes:
        said: the decision, its last revision, or the command; and where the log has it.
        revisions: all revisions of a decision, oldest first; none of a command.
        reasons: most important first.
        settings: of the deciding stage; empty where the decision is of none.
        rows: of a decision on rows; else None.
        cameras: of a decision on pictures, and of a command; else None.
        part: that a decision of a line is about; else None.
        circumstances: what else happened.
        other: of a decision that raises something what ended it, of one that ends something what
            raised it, of a command the next one to another level; None where the log has none.
        alerts: of an alert desk, what became of the alert, in words, in order.
        versions: by name.
        ledger: whether the ledger has the same bytes: ``same``, ``other``, ``missing``,
            ``no ledger``, or ``no commands`` (it has only decisions).
    """

    said: Said
    revisions: tuple[Decision, ...]
    reasons: tuple[ReasonFact, ...]
    settings: Mapping[str, Any]
    rows: RowsFacts | None
    cameras: CameraFacts | None
    part: PartFacts | None
    circumstances: Circumstances
    other: Decision | ActuatorCommand | None
    alerts: tuple[str, ...]
    versions: Mapping[str, str]
    ledger: str

    @property
    def what(self) -> Decision | ActuatorCommand:
        """The decision or command."""
        return self.said.what

    @property
    def decision(self) -> Decision:
        """The last revision of the decision; not of a command."""
        assert isinstance(self.said.what, Decision)
        return self.said.what

    @property
    def mode(self) -> Mode:
        """Who answered: the stages themselves, a fallback, or stages on poor inputs."""
        return self.said.what.mode

    @property
    def threshold(self) -> float:
        """Threshold on the rows shown; NaN where the reason is about something made of them."""
        if self.rows is None:
            return float("nan")
        reason, about = self.reasons[0].reason, self.rows.about
        is_shown = reason.measure.startswith(f"{about.shown}.") and reason.unit == about.shown_unit
        return reason.threshold if about.shown and is_shown else float("nan")

    def as_mapping(self) -> dict[str, Any]:
        """JSON-ready, without the rows shown."""
        what = self.said.what
        key = "decision" if isinstance(what, Decision) else "command"
        plain: dict[str, Any] = {
            key: what.as_mapping(),
            "revisions": [
                {"revision": d.revision, "status": str(d.status)} for d in self.revisions
            ],
            "log": {"partition": self.said.partition, "sequence": self.said.sequence},
            "reasons": [
                {"code": r.reason.code, "stage": r.stage, "meaning": r.meaning}
                for r in self.reasons
            ],
            "stage": dict(self.settings),
            "circumstances": self.circumstances.as_mapping(),
            "other": None if self.other is None else self.other.as_mapping(),
            "alerts": list(self.alerts),
            "versions": dict(self.versions),
            "ledger": self.ledger,
        }
        if self.rows is not None:
            plain |= self.rows.as_mapping()
        if self.cameras is not None:
            plain |= self.cameras.as_mapping(self.said.at_ns)
        if self.part is not None:
            plain |= self.part.as_mapping()
        return plain


def explain(
    run: RunDirectory,
    said_id: str,
    *,
    is_quick: bool = True,
    on_progress: Callable[[str, int], None] = lambda _name, _sequence: None,
    limits: Limits = DEFAULT_LIMITS,
) -> Facts:
    """Explain a decision or command of a run, from its log.

    Args:
        run: the run.
        said_id: id of a decision or command, or a unique beginning of one; ``id:revision`` for a
            command other than the first of its id.
        is_quick: do not run the core on other rows to find what would not have raised it, nor what
            a novelty score rests on.
        on_progress: called with each partition and log sequence that is read.
        limits: bounds for reading the log.

    Raises:
        UsageError: an unknown or ambiguous id.
        LogError: the log is damaged; or, of cameras, it does not replay.
    """
    everything = SaidLog.of(run, limits=limits)
    return explain_said(
        run, everything, everything.find(said_id, run),
        is_quick=is_quick, on_progress=on_progress, limits=limits,
    )  # fmt: skip


def explain_said(
    run: RunDirectory,
    everything: SaidLog,
    said: Said,
    *,
    is_quick: bool = True,
    on_progress: Callable[[str, int], None] = lambda _name, _sequence: None,
    limits: Limits = DEFAULT_LIMITS,
) -> Facts:
    """The same for one of the things that a run has said."""
    plan, what = run.plan, said.what
    decision = what if isinstance(what, Decision) else None
    is_on_rows = decision is not None and decision.kind in plan.deciding_steps()
    about = decision_subject(plan, decision) if decision is not None and is_on_rows else None
    is_of_clock = decision is not None and decision.kind == CLOCK_SET
    moment = None if is_on_rows or is_of_clock else CameraMoment(run, said, limits)
    rows = None if about is None else _RowsSeen(run, said, about, limits)
    around_ns = round(AROUND_S * NS_PER_S)
    start_ns, end_ns = (
        (said.at_ns, said.at_ns)
        if decision is None
        else (decision.window_start_ns, decision.window_end_ns)
    )
    seen = CircumstancesSeen(
        run,
        source="" if about is None else about.source,
        key="" if about is None else about.key,
        names=_names(what),
        span_ns=(start_ns - around_ns, end_ns + around_ns),
        limits=limits,
    )
    alerts = _AlertsSeen(said)
    for name in run.partitions:
        heeded(
            lambda name=name: _read(  # type: ignore[misc]
                run,
                name,
                seen=seen,
                rows=rows,
                moment=moment,
                alerts=alerts,
                on_progress=on_progress,
                limits=limits,
            ),
            where=f"partition {name}",
        )
    found_rows = None
    if rows is not None and about is not None and decision is not None:
        found_rows = RowsFacts(
            about=about,
            shown=rows.found(),
            tried=NOT_TRIED if is_quick else try_decision(run, decision, about, limits=limits),
            novelty=None
            if is_quick
            else novelty_account(
                run, decision, partition=said.partition, sequence=said.sequence, limits=limits
            ),
        )
    cameras = None if moment is None else moment.found(everything)
    part = None
    if decision is not None and cameras is not None:
        again: Again = "no" if is_quick else "account"
        seen_parts = SeenParts(run, limits=limits)
        part = seen_parts.facts(decision, again=again, versions=cameras.versions)
    stage = None if decision is None else plan.stage(decision.kind)
    return Facts(
        said=said,
        revisions=everything.revisions(said),
        reasons=tuple(_reason_fact(plan, what, reason) for reason in what.reasons),
        settings={} if stage is None else stage.settings.model_dump(mode="json"),
        rows=found_rows,
        cameras=cameras,
        part=part,
        circumstances=seen.found(decision, everything.decisions),
        other=_other(everything, said),
        alerts=tuple(alerts.found),
        versions={"pipeline": plan.digest} | dict({} if cameras is None else cameras.versions),
        ledger="no commands" if decision is None else ledger_has(run, decision),
    )


def picture_facts(
    run: RunDirectory, chosen: Sequence[Said], *, limits: Limits = DEFAULT_LIMITS
) -> list[Facts]:
    """What the pictures of some decisions on rows show, from one pass over the log.

    The rows around each, and its reasons; what else happened and what came of it are not looked
    for: :func:`explain_said` does that, with a pass for each.

    Args:
        run: they were made in.
        chosen: decisions on rows, as they are in the log.
        limits: bounds for reading the log.

    Raises:
        LogError: the log is damaged.
    """
    nothing = CircumstancesSeen(
        run, source="", key="", names=[], span_ns=(0, 0), limits=limits
    ).found(None, ())
    found = []
    for said, about, shown in _shown_rows(run, chosen, limits):
        decision = said.what
        found.append(
            Facts(
                said=said,
                revisions=(),
                reasons=tuple(_reason_fact(run.plan, decision, r) for r in decision.reasons),
                settings={},
                rows=RowsFacts(about=about, shown=shown, tried=NOT_TRIED, novelty=None),
                cameras=None,
                part=None,
                circumstances=nothing,
                other=None,
                alerts=(),
                versions={"pipeline": run.plan.digest},
                ledger="",
            )
        )
    return found


def _shown_rows(
    run: RunDirectory, chosen: Sequence[Said], limits: Limits
) -> list[tuple[Said, DecisionSubject, ShownRows]]:
    """The rows around each decision; each input is decoded once."""
    seen: dict[str, list[_RowsSeen]] = {}
    every = []
    for said in chosen:
        assert isinstance(said.what, Decision)
        about = decision_subject(run.plan, said.what)
        rows = _RowsSeen(run, said, about, limits)
        every.append((said, about, rows))
        seen.setdefault(about.source, []).append(rows)

    def hand_out(source: str, frames: list[pl.DataFrame]) -> None:
        if frames:
            contract = run.plan.streams[source]
            admitted = admit(contract, pl.concat(frames), limits=limits).signals
            for one in seen[source]:
                one.keep(admitted)

    for name in run.partitions if every else ():
        waiting: dict[str, list[pl.DataFrame]] = {source: [] for source in seen}
        for entry in read_entries(run.storage, name, kinds=_ROWS, skip_pruned=True, limits=limits):
            if entry.name not in seen:
                continue
            if entry.kind is EntryKind.INPUT_REFERENCE:
                for one in seen[entry.name]:
                    one.lack_rows()
                continue
            frame, frames = decode_frame(entry.payload), waiting[entry.name]
            is_full = sum(map(len, frames)) > limits.chunk_rows
            if frames and (is_full or frame.schema != frames[0].schema):
                hand_out(entry.name, frames)
                frames.clear()
            frames.append(frame)
        for source, frames in waiting.items():
            hand_out(source, frames)
    return [(said, about, rows.found()) for said, about, rows in every]


def _read(
    run: RunDirectory,
    name: str,
    *,
    seen: CircumstancesSeen,
    rows: _RowsSeen | None,
    moment: CameraMoment | None,
    alerts: _AlertsSeen,
    on_progress: Callable[[str, int], None],
    limits: Limits,
) -> None:
    """Let the log of a partition go by once, as far as it matters to any of them."""
    seen.begin()
    cameras = moment if moment is not None and name == moment.partition else None
    after = -1 if cameras is None else cameras.began_after
    has_desk = run.plan.pipeline.alerting is not None
    for epoch in log_epochs(run, name, after=after, limits=limits):
        on_progress(name, epoch.after)
        goes_on = seen.take(epoch)
        if rows is not None:
            goes_on |= rows.take(epoch)
        for entry in epoch.entries:
            if cameras is not None:
                cameras.take(entry)
            if entry.kind is EntryKind.ALERTING:
                alerts.take(entry.payload)
        if cameras is not None:
            goes_on |= not cameras.is_done
        if not goes_on and not has_desk:
            break


def _names(what: Decision | ActuatorCommand) -> list[str]:
    """Subjects and groups that a decision concerns."""
    if isinstance(what, ActuatorCommand):
        return [what.machine]
    about = subject_of(what)
    return [what.subject, what.group, about.camera, about.machine]


def _other(everything: SaidLog, said: Said) -> Decision | ActuatorCommand | None:
    what = said.what
    if isinstance(what, Decision):
        return everything.counterpart(said)
    later = everything.changes(what.machine)
    return next(
        (c for c in later if c.issued_ns > what.issued_ns and c.level is not what.level), None
    )


# --- what reasons mean ----------------------------------------------------------------------------


def _reason_fact(plan: Plan, what: Decision | ActuatorCommand, reason: Reason) -> ReasonFact:
    stage = explaining_stage(plan, what, reason)
    if stage is None:
        return ReasonFact(reason=reason, stage="", meaning=CLOCK_MEANINGS.get(reason.code, ""))
    return ReasonFact(reason=reason, stage=stage.name, meaning=stage.explain(reason).rstrip("."))


def explaining_stage(
    plan: Plan, what: Decision | ActuatorCommand, reason: Reason
) -> AnyStage | None:
    """The stage that gave a reason: by its version ``stage@digest``, else by who speaks of it."""
    name = reason.version.partition("@")[0]
    stage = plan.stage(name)
    if stage is not None:
        return stage
    if name in plan.cameras:  # a camera's contract found it, and its health stage says it
        return _first(plan, name, CameraHealthStage)
    if isinstance(what, ActuatorCommand):
        return plan.stage(what.machine)
    about = subject_of(what)
    if what.kind in PAIR_KINDS and plan.stage(about.machine) is not None:
        return plan.stage(about.machine)
    if what.kind in plan.deciding_steps():  # a contract of rows found it: told by the windows
        return plan.chain_of(what.kind).root.stage
    found = _first(plan, about.camera, ZonesStage) if about.zone else None
    return found or plan.stage(what.kind)


def _first(plan: Plan, camera: str, kind: type[AnyStage]) -> AnyStage | None:
    steps = (s.stage for s in plan.items if camera in s.cameras and isinstance(s.stage, kind))
    return next(steps, None)


# --- what the log says of it ----------------------------------------------------------------------


class _RowsSeen:
    """The rows of the subject of a decision, from the inputs in the log."""

    def __init__(
        self, run: RunDirectory, said: Said, about: DecisionSubject, limits: Limits
    ) -> None:
        decision = said.what
        assert isinstance(decision, Decision)
        width_ns = decision.window_end_ns - decision.window_start_ns
        context_ns = max(_CONTEXT_WINDOWS * width_ns, _LEAST_CONTEXT_NS)
        self._from_ns = decision.window_start_ns - context_ns
        self._to_ns = decision.window_end_ns + context_ns
        self._run = run
        self._about = about
        self._said = said
        self._limits = limits
        self._contract = run.plan.streams[about.source]
        self._late_ns = self._contract.out_of_order_ns + self._contract.max_backlog_ns
        self._times: list[IntArray] = []
        self._values: list[FloatArray] = []
        self._note = ""
        if any(first_kept(run.storage, name, limits=limits) for name in run.partitions):
            self._note = f"older rows of {about.source} were pruned from the log"

    def take(self, epoch: LogEpoch) -> bool:
        """The next epoch; whether later ones may have rows that matter."""
        if not may_hold(epoch, from_ns=self._from_ns, skew_ns=self._contract.clock_skew_ns):
            return True
        for entry in epoch.entries:
            if entry.name != self._about.source:
                continue
            if entry.kind is EntryKind.INPUT_REFERENCE:
                self.lack_rows()
            elif entry.kind is EntryKind.INPUT:
                frame = decode_frame(entry.payload)
                self.keep(admit(self._contract, frame, limits=self._limits).signals)
        return epoch.tick_ns < 0 or epoch.tick_ns <= self._to_ns + self._late_ns

    def lack_rows(self) -> None:
        """The log refers to rows that are elsewhere."""
        self._note = (
            f"rows of {self._about.source} are not in the log: it refers to the source's files"
        )

    def keep(self, admitted: pl.DataFrame) -> None:
        """Keep of the admitted rows of the source those of the subject, around the window."""
        about = self._about
        whose = pl.col(GROUP) == about.group if about.group else pl.col(KEY) == about.key
        signals = admitted.filter(whose & pl.col(TIME_NS).is_between(self._from_ns, self._to_ns))
        if signals.height:
            self._times.append(signals[TIME_NS].to_numpy())
            self._values.append(
                signals[about.shown].to_numpy().astype(np.float64)
                if about.shown
                else np.ones(signals.height, np.float64)
            )

    def found(self) -> ShownRows:
        """All of them."""
        if self._about.is_measured:
            return self._windows()
        return ShownRows.of(
            np.concatenate([*self._times, np.empty(0, np.int64)]),
            np.concatenate([*self._values, np.empty(0)]),
            self._note,
        )

    def _windows(self) -> ShownRows:
        """The windows of the deciding measure, from running the core on the log again."""
        about, measure = self._about, self._about.measures[0]
        known: dict[int, float] = {}

        def observe(rows: StageRows) -> None:
            if measure in rows.columns:
                at = rows.columns.index(measure)
                for row, subject in enumerate(rows.subjects):
                    end_ns = int(rows.start_ns[row]) + about.width_ns
                    if subject == about.key and self._from_ns <= end_ns <= self._to_ns:
                        known[end_ns] = float(rows.values[row, at])

        name = self._said.partition if self._said.partition != FAN_IN else self._run.partitions[0]
        for _ in replay_partition(self._run, name, observe=observe, limits=self._limits):
            pass
        note = f"windows of {measure}: {about.source} measured it on pictures"
        times = np.array(sorted(known), np.int64)
        return ShownRows.of(times, np.array([known[t] for t in times.tolist()], np.float64), note)


_FATES: Mapping[str, str] = MappingProxyType(
    {
        Fate.WAITING: "held for others of the same cause",
        Fate.TOLD: "sent",
        Fate.IN_DIGEST: "sent in a digest of many",
        Fate.SUPPRESSED: "counted on an alert that was sent before",
        Fate.MASKED: "not sent: masked",
        Fate.SHELVED: "not sent: shelved",
        Fate.RETRACTED: "retracted: late data shows that it was none",
    }
)
_CAUSES: Mapping[str, str] = MappingProxyType(
    {"RAISED": "", "ALONE": "", "COMMON_CAUSE": "with others of its cause"}
)
"""Of causes that say more, or nothing, in words; the others are shown as they are."""


class _AlertsSeen:
    """What an alert desk made of a decision."""

    def __init__(self, said: Said) -> None:
        self._id = said.said_id
        self._what = said.what
        self.found: list[str] = []

    def take(self, payload: bytes) -> None:
        said = AlertingSaid.from_bytes(payload)
        for plain in said.dispositions:
            if self._is_mine(plain["alert_id"]):
                why = plain.get("reason") or _CAUSES.get(plain["cause"], plain["cause"])
                self.found.append(f"{_FATES[plain['fate']]}{f' ({why})' if why else ''}")
        for message in said.messages:
            named = [*message["named"], *(one for row in message["rows"] for one in row["named"])]
            if any(map(self._is_mine, named)):
                self.found.append(f"told: {message['text']}")
        for change in said.changes:
            if self._is_answer(change):
                by = f" by {change['operator']}" if change["operator"] else ""
                self.found.append(f"{_ANSWERS[change['event']]}{by} at {moment(change['at_ns'])}")

    def _is_answer(self, change: Mapping[str, Any]) -> bool:
        what = self._what
        return (
            change["event"] in _ANSWERS
            and isinstance(what, Decision)
            and change["at_ns"] >= what.event_ns
            and (change["subject"], change["code"]) == (what.subject, what.reasons[0].code)
        )

    def _is_mine(self, alert_id: str) -> bool:
        return alert_id.partition(":")[0] == self._id


def is_end(what: Decision | ActuatorCommand) -> bool:
    """Whether it says that something is over."""
    return isinstance(what, Decision) and what.transition is Transition.CLEARED
