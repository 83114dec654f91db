"""Where a decision on rows comes from: whose rows, which field, which measure, since when."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
import numpy as np
import polars as pl
from sightline.errors import UsageError
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.recorder import read_entries
from sightline.recorder.retention import first_kept
from sightline.records import Decision, EntryKind
from sightline.records.signals import GROUP, KEY, TIME_NS
from sightline.records.windows import FloatArray, IntArray
from sightline.runtime import Plan, RunDirectory
from sightline.runtime.engine.batches import decode_frame
from sightline.runtime.engine.hosting import FAN_IN
from sightline.runtime.pipeline import WindowsForm
from sightline.sense import admit
import re
from collections.abc import Mapping
from dataclasses import dataclass
import numpy as np
from sightline.decide import AlarmRule
from sightline.evidence.words import number
from sightline.records import Decision
from sightline.runtime import Plan
from sightline.runtime.deciding import alarm_rule
from sightline.runtime.pipeline import AlarmForm, WindowsForm


_CONTEXT_WINDOWS = 6  # drawn before and after the decided window
_LEAST_CONTEXT_NS = 120 * 1_000_000_000
MAX_POINTS = 2000
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Everything a person needs to judge one decision.

    Attributes:
        revisions: all revisions, oldest first.
        partition: partition whose log holds the last revision.
        sequence: its place there.
        stage: configuration of the deciding stage.
        source: the source the evidence came from.
        field: the field drawn; ``""`` where arrivals are drawn.
        unit: its unit.
        time_ns: int64[n], event times of the rows drawn, ascending, at most 2,000.
        value: float64[n], their values; NaN where invalid; all 1 for arrivals.
        rows: rows of the subject in the drawn time, before thinning.
        note: what is missing and why; ``""`` if nothing.
        related: other decisions of the same subject, and wider ones of its group, in that time.
    """

    revisions: tuple[Decision, ...]
    partition: str
    sequence: int
    stage: dict[str, Any]
    source: str
    field: str
    unit: str
    time_ns: IntArray
    value: FloatArray
    rows: int
    note: str
    related: tuple[Decision, ...]

    @property
    def decision(self) -> Decision:
        """The last revision."""
        return self.revisions[-1]

    @property
    def threshold(self) -> float:
        """Threshold on what is drawn; NaN where the reason is about something derived from it."""
        reason = self.decision.reasons[0]
        is_drawn = reason.measure.startswith(f"{self.field}.") and reason.unit == self.unit
        return reason.threshold if self.field and is_drawn else float("nan")

    def as_mapping(self) -> dict[str, Any]:
        """JSON-ready, without the drawn rows."""
        return {
            "decision": self.decision.as_mapping(),
            "revisions": [
                {"revision": d.revision, "status": str(d.status)} for d in self.revisions
            ],
            "log": {"partition": self.partition, "sequence": self.sequence},
            "stage": self.stage,
            "source": self.source,
            "field": self.field,
            "rows": self.rows,
            "note": self.note,
            "related": [d.as_mapping() for d in self.related],
        }


def explain(run: RunDirectory, decision_id: str, *, limits: Limits = DEFAULT_LIMITS) -> Explanation:
    """Explain a decision of a run.

    Args:
        run: the run.
        decision_id: its id, or a unique beginning of it.
        limits: bounds for reading the log.

    Raises:
        UsageError: unknown or ambiguous id.
        LogError: the log is damaged.
    """
    found, every = _find(run, decision_id, limits)
    last = found[-1][2]
    form = run.plan.pipeline.stages[last.kind]
    source = _source_of(run.plan, last.kind)
    field, unit = _field_of(run.plan, source, last)
    context_ns = max(
        _CONTEXT_WINDOWS * (last.window_end_ns - last.window_start_ns), _LEAST_CONTEXT_NS
    )
    from_ns, to_ns = last.window_start_ns - context_ns, last.window_end_ns + context_ns
    time_ns, value, note = _rows(
        run, source, last, field=field, span_ns=(from_ns, to_ns), limits=limits
    )
    drawn_time_ns, drawn_value = _thinned(time_ns, value)
    wider = set(getattr(form, "inhibited_by", ()))
    related = [
        d
        for d in every
        if d.decision_id != last.decision_id
        and from_ns <= d.event_ns <= to_ns
        and (d.subject == last.subject or (d.kind in wider and d.group == last.group))
    ]
    return Explanation(
        revisions=tuple(d for _, _, d in found),
        partition=found[-1][0],
        sequence=found[-1][1],
        stage=form.model_dump(mode="json"),
        source=source,
        field=field,
        unit=unit,
        time_ns=drawn_time_ns,
        value=drawn_value,
        rows=len(time_ns),
        note=note,
        related=tuple(sorted(related, key=lambda d: d.event_ns)),
    )


def _find(
    run: RunDirectory, decision_id: str, limits: Limits
) -> tuple[list[tuple[str, int, Decision]], list[Decision]]:
    located = [
        (name, entry.sequence, Decision.from_bytes(entry.payload))
        for name in run.partitions
        for entry in read_entries(run.storage, name, kinds={EntryKind.DECISION}, limits=limits)
    ]
    ids = sorted({d.decision_id for _, _, d in located if d.decision_id.startswith(decision_id)})
    if len(ids) != 1:
        known = sorted({d.decision_id[: len(decision_id)] for _, _, d in located})
        near = difflib.get_close_matches(decision_id, known, n=1)
        raise UsageError(
            expected="the id of one decision",
            got=f"{decision_id!r}, {'unknown' if not ids else f'the beginning of {len(ids)}'}",
            where=str(run.path),
            action=f"did you mean {near[0]}?" if near and not ids else "give more of the id",
        )
    mine = [item for item in located if item[2].decision_id == ids[0]]
    return sorted(mine, key=lambda item: item[2].revision), [d for _, _, d in located]


def _source_of(plan: Plan, stage: str) -> str:
    while stage in plan.pipeline.stages:
        stage = plan.pipeline.stages[stage].input
    return stage


def _field_of(plan: Plan, source: str, decision: Decision) -> tuple[str, str]:
    """The field whose rows show the reason, from the measures named in the reasons."""
    fields = plan.contracts[source].fields
    for reason in reversed(decision.reasons):  # the scored value comes after the score
        for part in reason.measure.split("."):
            if part in fields and fields[part].is_numeric:
                return part, fields[part].unit or "1"
    return _field_read(plan, source, decision)


def _field_read(plan: Plan, source: str, decision: Decision) -> tuple[str, str]:
    """The one numeric field that the deciding expression of a user reads, and its unit."""
    stage = decision.kind
    while plan.pipeline.stages[stage].input in plan.pipeline.stages:
        stage = plan.pipeline.stages[stage].input
    form = plan.pipeline.stages[stage]
    expressions = form.expressions if isinstance(form, WindowsForm) else {}
    found = expressions.get(decision.reasons[0].measure)
    fields = plan.contracts[source].fields
    words = set(_WORD.findall(found.sql)) if found is not None else set()
    named = [n for n in fields if n in words and fields[n].is_numeric]
    return (named[0], fields[named[0]].unit or "1") if len(named) == 1 else ("", "")


def _rows(
    run: RunDirectory,
    source: str,
    decision: Decision,
    *,
    field: str,
    span_ns: tuple[int, int],
    limits: Limits,
) -> tuple[IntArray, FloatArray, str]:
    """Rows of the subject between two times, from the inputs in the log."""
    times: list[IntArray] = []
    values: list[FloatArray] = []
    is_group = decision.subject == decision.group
    key = decision.subject
    if not is_group and field and key.endswith(f"/{field}"):
        key = key.removesuffix(f"/{field}")
    note = ""
    for name in run.partitions:
        if name == FAN_IN:
            continue
        if first_kept(run.storage, name, limits=limits):
            note = f"older rows of {source} were pruned from the log"
        for frame in _inputs(run, name, source, limits):
            if frame is None:
                note = f"rows of {source} are not in the log: it refers to the source's files"
                continue
            signals = admit(run.plan.contracts[source], frame, limits=limits).signals.filter(
                (pl.col(GROUP if is_group else KEY) == key) & pl.col(TIME_NS).is_between(*span_ns)
            )
            if signals.height:
                times.append(signals[TIME_NS].to_numpy())
                values.append(
                    signals[field].to_numpy() if field else np.ones(signals.height, np.float64)
                )
    if not times:
        return np.empty(0, np.int64), np.empty(0, np.float64), note
    time_ns = np.concatenate(times)
    order = np.argsort(time_ns, kind="stable")
    return time_ns[order], np.concatenate(values)[order], note


def _inputs(
    run: RunDirectory, name: str, source: str, limits: Limits
) -> Iterator[pl.DataFrame | None]:
    for entry in read_entries(
        run.storage,
        name,
        kinds={EntryKind.INPUT, EntryKind.INPUT_REFERENCE},
        skip_pruned=True,
        limits=limits,
    ):
        if entry.name == source:
            yield decode_frame(entry.payload) if entry.kind is EntryKind.INPUT else None


def _thinned(time_ns: IntArray, value: FloatArray) -> tuple[IntArray, FloatArray]:
    """At most MAX_POINTS points: of each stretch the lowest and the highest value."""
    n = len(time_ns)
    if n <= MAX_POINTS:
        return time_ns, value
    edges = np.linspace(0, n, MAX_POINTS // 2 + 1).astype(np.int64)
    kept: list[int] = []
    for lo, hi in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        part = value[lo:hi]
        if np.isfinite(part).any():
            kept += sorted({lo + int(np.nanargmin(part)), lo + int(np.nanargmax(part))})
        else:
            kept.append(lo)
    index = np.array(kept, np.int64)
    return time_ns[index], value[index]


MAX_TOLD = 200
"""Windows of the deciding measure that are told."""
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionSubject:
    """Where a decision comes from.

    Attributes:
        source: its rows came from.
        key: canonical key of its rows; ``""`` for a decision on a group.
        field: whose values decide; ``""`` where none does, or more than one.
        unit: of the field.
        is_integer: whether its values are whole numbers.
        measures: columns named by its reasons, the deciding one first.
        rule: of an alarm; None for a silence.
        width_ns, slide_ns: of its windows; 0 for a silence.
        why_no_field: why no value decides; ``""`` where one does.
    """

    source: str
    key: str
    field: str
    unit: str
    is_integer: bool
    measures: tuple[str, ...]
    rule: AlarmRule | None
    width_ns: int
    slide_ns: int
    why_no_field: str


def subject_of(plan: Plan, decision: Decision) -> DecisionSubject:
    """What a decision is about, from the pipeline that made it."""
    stages = plan.pipeline.stages
    form = stages[decision.kind]
    chain_name = decision.kind
    while stages[chain_name].input in stages:
        chain_name = stages[chain_name].input
    source = stages[chain_name].input
    chain = next(c for c in plan.chains if c.name == chain_name)
    measures = tuple(r.measure for r in decision.reasons if r.measure in chain.columns)
    field, key, why = "", decision.subject, ""
    if isinstance(form, AlarmForm):
        step = plan.deciding_steps()[decision.kind]
        read = next((m for m in step.reads if m.column in measures[:1]), None)
        field = "" if read is None else read.field
        if field and key.endswith(f"/{field}"):
            key = key.removesuffix(f"/{field}")
        if not field and measures:
            field, why = _field_in(plan, chain.form, source, measures[0])
    else:
        why = "it is decided on rows that did not come, not on a value"
        key = "" if decision.subject == decision.group else key
    contract = plan.contracts[source].fields
    if field and not (field in contract and contract[field].is_numeric):
        field, why = "", f"{field} is no number"
    return DecisionSubject(
        source=source,
        key=key,
        field=field,
        unit=(contract[field].unit or "1") if field else "",
        is_integer=bool(field) and contract[field].type == "integer",
        measures=measures,
        rule=alarm_rule(form) if isinstance(form, AlarmForm) else None,
        width_ns=chain.width_ns if isinstance(form, AlarmForm) else 0,
        slide_ns=chain.slide_ns if isinstance(form, AlarmForm) else 0,
        why_no_field=why,
    )


def _field_in(plan: Plan, form: object, source: str, measure: str) -> tuple[str, str]:
    """The one numeric field an expression of a user reads; or why there is none."""
    fields = plan.contracts[source].fields
    if not isinstance(form, WindowsForm) or measure not in form.expressions:
        return "", f"{measure} comes from which rows came, not from a value"
    words = set(_WORD.findall(form.expressions[measure].sql))
    named = [n for n in fields if n in words and fields[n].is_numeric]
    if len(named) == 1:
        return named[0], ""
    return "", f"{measure} is made of {', '.join(named) or 'no field'}: not of one value"


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureHistory:
    """The deciding measure over the windows of its subject.

    Attributes:
        measure: its column.
        unit: of it.
        since_ns: start of the first window of the unbroken run beyond the level to clear at, up
            to the decided one, UTC ns; -1 where there is none.
        windows: in that run.
        is_open: whether it may have begun earlier: there is no window before it at hand.
        usual: median, 1st and 99th percentile of the windows before the run; NaN without any.
        before: how many those are.
        start_ns, value: the windows at hand, at most ``MAX_TOLD``, those nearest to the decision
            and after it.
    """

    measure: str
    unit: str
    since_ns: int
    windows: int
    is_open: bool
    usual: tuple[float, float, float]
    before: int
    start_ns: tuple[int, ...]
    value: tuple[float, ...]


def measure_history(
    found: Mapping[int, float], *, measure: str, unit: str, rule: AlarmRule | None, at_ns: int
) -> MeasureHistory:
    """What was usual of a measure, and since when it is not.

    Args:
        found: value by start of window, UTC ns.
        measure, unit: of it.
        rule: thresholds; None: every earlier window counts as before.
        at_ns: start of the decided window.
    """
    told = sorted(found)[-MAX_TOLD:]
    start = np.array(sorted(s for s in found if s <= at_ns), np.int64)
    value = np.array([found[int(s)] for s in start], np.float64)
    run = 0
    if rule is not None and len(value):
        away = np.isfinite(value) & ~rule.is_back(value)
        back = np.flatnonzero(~away)
        run = len(value) - (int(back[-1]) + 1 if len(back) else 0)
    elif len(value):
        run = 1
    before = value[: len(value) - run]
    before = before[np.isfinite(before)]
    usual = (
        (float(np.median(before)), *(float(v) for v in np.percentile(before, (1, 99))))
        if len(before)
        else (np.nan, np.nan, np.nan)
    )
    return MeasureHistory(
        measure=measure,
        unit=unit,
        since_ns=int(start[len(start) - run]) if run else -1,
        windows=run,
        is_open=run == len(value),
        usual=(usual[0], usual[1], usual[2]),
        before=len(before),
        start_ns=tuple(told),
        value=tuple(found[s] for s in told),
    )


def history_mapping(found: MeasureHistory) -> dict[str, object]:
    """JSON-ready."""
    return {
        "measure": found.measure,
        "unit": found.unit,
        "since_ns": found.since_ns if found.since_ns >= 0 else None,
        "windows": found.windows,
        "may_have_begun_earlier": found.is_open,
        "usual_median": number(found.usual[0]),
        "usual_p01": number(found.usual[1]),
        "usual_p99": number(found.usual[2]),
        "windows_before": found.before,
        "start_ns": list(found.start_ns),
        "value": [number(v) for v in found.value],
    }
