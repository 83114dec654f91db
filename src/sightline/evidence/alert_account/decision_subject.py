"""What a decision of telemetry is about: whose rows, which field, which measure, since when."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sightline.decide import AlarmRule
from sightline.evidence.alert_account.words import number
from sightline.records import Decision
from sightline.runtime import Plan
from sightline.runtime.deciding import alarm_rule
from sightline.runtime.pipeline import AlarmForm, WindowsForm

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
