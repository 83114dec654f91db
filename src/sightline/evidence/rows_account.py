"""A decision on rows: whose rows they are, which field and measure decide, and since when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sightline.decide import AlarmRule
from sightline.evidence.words import number
from sightline.perceive.window_expression import window_expression
from sightline.records import Decision
from sightline.records.windows import FloatArray, IntArray
from sightline.runtime import Plan
from sightline.runtime.stage import AllKeysStage, Chain
from sightline.runtime.stages.alarm import AlarmStage
from sightline.runtime.stages.windows import WindowsStage

MAX_TOLD = 200
"""Windows of the deciding measure that are told."""
MAX_POINTS = 2000
"""Points of what is drawn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionSubject:
    """Where a decision comes from.

    Attributes:
        source: its rows came from; an item stage, where they are what that measured.
        is_measured: whether an item stage measured them: then they are not in the log, and the
            windows of the deciding measure are shown in their stead.
        key: canonical key of its rows; ``""`` for a decision on a group.
        group: whose rows they are, where the decision is on a group; else ``""``.
        field: whose values decide; ``""`` where none does, or more than one.
        unit: of the field.
        shown: the field whose rows are shown; ``""`` where arrivals are.
        shown_unit: its unit.
        is_integer: whether its values are whole numbers.
        measures: columns named by its reasons, the deciding one first.
        rule: of an alarm; None for a silence.
        width_ns, slide_ns: of its windows; 0 for a silence.
        why_no_field: why no value decides; ``""`` where one does.
    """

    source: str
    is_measured: bool
    key: str
    group: str
    field: str
    unit: str
    shown: str
    shown_unit: str
    is_integer: bool
    measures: tuple[str, ...]
    rule: AlarmRule | None
    width_ns: int
    slide_ns: int
    why_no_field: str


def decision_subject(plan: Plan, decision: Decision) -> DecisionSubject:
    """What a decision of a series stage is about, from the pipeline that made it."""
    chain = plan.chain_of(decision.kind)
    step = plan.deciding_steps()[decision.kind]
    source = chain.source
    measures = tuple(r.measure for r in decision.reasons if r.measure in chain.columns)
    field, key, why = "", decision.subject, ""
    rule = step.stage.rule if isinstance(step.stage, AlarmStage) else None
    if isinstance(step.stage, AllKeysStage):
        why = "it is decided on the days of many keys, not on one value"
    elif step.reads:
        read = next((m for m in step.reads if m.column in measures[:1]), None)
        field = "" if read is None else read.field
        if field and key.endswith(f"/{field}"):
            key = key.removesuffix(f"/{field}")
        if not field and measures:
            field, why = _field_in(plan, chain, measures[0])
    else:
        why = "it is decided on rows that did not come, not on a value"
    is_group = decision.subject == decision.group
    contract = plan.streams[source].fields
    if field and not (field in contract and contract[field].is_numeric):
        field, why = "", f"{field} is no number"
    shown = next(
        (
            part
            for reason in reversed(decision.reasons)  # the scored value comes after the score
            for part in reason.measure.split(".")
            if part in contract and contract[part].is_numeric
        ),
        field,
    )
    return DecisionSubject(
        source=source,
        is_measured=source in plan.measured,
        key="" if is_group and rule is None else key,
        group=decision.group if is_group else "",
        field=field,
        unit=(contract[field].unit or "1") if field else "",
        shown=shown,
        shown_unit=(contract[shown].unit or "1") if shown else "",
        is_integer=bool(field) and contract[field].type == "integer",
        measures=measures,
        rule=rule,
        width_ns=chain.width_ns if step.reads else 0,
        slide_ns=chain.slide_ns if step.reads else 0,
        why_no_field=why,
    )


def _field_in(plan: Plan, chain: Chain, measure: str) -> tuple[str, str]:
    """The one numeric field an expression of a user reads; or why there is none."""
    fields = plan.streams[chain.source].fields
    root = chain.root.stage
    if not isinstance(root, WindowsStage) or measure not in root.settings.expressions:
        return "", f"{measure} comes from which rows came, not from a value"
    numeric = [n for n in fields if fields[n].is_numeric]
    named = window_expression(root.settings.expressions[measure].sql, numeric).columns
    if len(named) == 1:
        return named[0], ""
    return "", f"{measure} is made of {', '.join(named) or 'no field'}: not of one value"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ShownRows:
    """The rows that a decision rests on, thinned for drawing.

    Attributes:
        time_ns: int64[n], event times, ascending, at most ``MAX_POINTS``.
        value: float64[n], their values; NaN where invalid; all 1 for arrivals.
        rows: how many there were before thinning.
        note: what is missing and why; ``""`` if nothing.
    """

    time_ns: IntArray
    value: FloatArray
    rows: int
    note: str = ""

    @classmethod
    def of(cls, time_ns: IntArray, value: FloatArray, note: str = "") -> ShownRows:
        """Sort and thin them: of each stretch the lowest and the highest value."""
        order = np.argsort(time_ns, kind="stable")
        time_ns, value = time_ns[order], value[order]
        n = len(time_ns)
        if n > MAX_POINTS:
            edges = np.linspace(0, n, MAX_POINTS // 2 + 1).astype(np.int64)
            kept: list[int] = []
            for lo, hi in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
                part = value[lo:hi]
                if np.isfinite(part).any():
                    kept += sorted({lo + int(np.nanargmin(part)), lo + int(np.nanargmax(part))})
                else:
                    kept.append(lo)
            index = np.array(kept, np.int64)
            time_ns, value = time_ns[index], value[index]
        return cls(time_ns=time_ns, value=value, rows=n, note=note)


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
