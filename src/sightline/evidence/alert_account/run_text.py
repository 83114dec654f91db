"""A decision of a run as lines of text, most important first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from sightline.evidence.circumstances import Circumstances
from sightline.evidence.counterfactual import Counterfactual
from sightline.evidence.novelty_account import novelty_title
from sightline.evidence.alert_account.run_alert import RunAlert
from sightline.evidence.tried import put_off_words
from sightline.evidence.words import figure, moment, span
from sightline.records.decision import Reason, Status

_SHOWN_NEIGHBOURS = 4
_SHOWN_KINDS = 4


def run_alert_lines(alert: RunAlert) -> list[str]:
    """The decision for a terminal, under 30 lines without colour."""
    return list(_lines(alert))


def _lines(alert: RunAlert) -> Iterator[str]:
    decision = alert.decision
    state = "retracted" if decision.status is Status.RETRACTED else str(decision.transition)
    group = f" of {decision.group}" if decision.group not in ("", decision.subject) else ""
    yield f"{decision.kind} {state}: {decision.subject}{group}, {moment(decision.event_ns)}"
    yield (
        f"  {decision.severity}, {decision.mode}, confidence {decision.confidence:.2f}, "
        f"window {span(decision.window_start_ns, decision.window_end_ns)}"
    )
    for reason in decision.reasons:
        yield f"  {_reason(reason)}"
    yield from _history(alert)
    if alert.novelty is not None:
        yield novelty_title(alert.novelty, decision)
        yield from alert.novelty.lines()
    yield "what would not have raised it (the core run again on the log)"
    yield from _counterfactual(alert)
    yield f"what else happened, {span(alert.circumstances.from_ns, alert.circumstances.to_ns)}"
    yield from _circumstances(alert.circumstances)
    found = alert.explanation
    revisions = ", ".join(f"r{d.revision} {d.status}" for d in found.revisions)
    yield f"id {decision.decision_id}; {revisions}; log {found.partition} sequence {found.sequence}"


def _reason(reason: Reason) -> str:
    text = f"{reason.code}: {reason.measure} {figure(reason.value, reason.unit)}"
    if np.isfinite(reason.threshold):
        text += f" against {figure(reason.threshold, reason.unit)}"
    return f"{text}  [{reason.version}]"


def _history(alert: RunAlert) -> Iterator[str]:
    found = alert.tried.history
    if found is None:
        return
    if found.since_ns >= 0:
        open_ = " or earlier" if found.is_open else ""
        yield (
            f"  beyond the level to clear at since {moment(found.since_ns)}{open_}, "
            f"{found.windows} windows"
        )
    if found.before:
        median, low, high = (figure(v, found.unit) for v in found.usual)
        yield (
            f"  {found.measure} in the {found.before} windows before: {median}, "
            f"mostly {low} to {high}"
        )


def _counterfactual(alert: RunAlert) -> Iterator[str]:
    tried, field = alert.tried, alert.about.field
    found = tried.counterfactual
    if not found.is_found:
        yield f"  {found.note}"
    else:
        assert found.start_ns is not None
        assert found.end_ns is not None
        yield (
            f"  {field} {_bounds(found)} over {span(found.start_ns, found.end_ns)} "
            f"({found.changed} rows); was {_was(found)}"
        )
        reason = alert.decision.reasons[0]
        if np.isfinite(found.reached):
            yield f"  {reason.measure} would have been {figure(found.reached, reason.unit)}"
        if found.change is not None and not found.change.is_monotone:
            yield "  not monotone: a greater change may raise it again"
        if later := put_off_words(tried):
            yield f"  {later}"
    if np.isfinite(tried.before[0]):
        median, least, greatest = (figure(v, alert.about.unit) for v in tried.before)
        yield f"  {field} before: {median}, from {least} to {greatest}"
    if tried.runs:
        began = f"log sequence {tried.began_after}" if tried.began_after >= 0 else "the beginning"
        yield f"  {tried.runs} runs of the core to {moment(tried.until_ns)}, state from {began}"


def _bounds(found: Counterfactual) -> str:
    low, high = figure(found.low, found.unit), figure(found.high, found.unit)
    if np.isfinite(found.low) and np.isfinite(found.high):
        return f"within {low} to {high}"
    return f"at most {high}" if np.isfinite(found.high) else f"at least {low}"


def _was(found: Counterfactual) -> str:
    return f"{figure(found.was_low, found.unit)} to {figure(found.was_high, found.unit)}"


def _circumstances(found: Circumstances) -> Iterator[str]:
    said = 0
    if found.in_group:
        said += 1
        yield f"  same group: {_counts(found.in_group)}"
        for other in found.neighbours[:_SHOWN_NEIGHBOURS]:
            yield (
                f"    {moment(other.event_ns)} {other.kind} {other.subject} "
                f"({other.decision_id[:8]})"
            )
    if found.same_code:
        said += 1
        yield f"  same code about others, by group: {_counts(found.same_code)}"
    for text in found.controls:
        said += 1
        yield f"  operator: {text}"
    if found.quarantined:
        said += 1
        yield (
            f"  refused rows: {_counts(found.quarantined)}; "
            f"{found.quarantined_of_key} of them of this key"
        )
    for label, counts in (("lost rows", found.dropped), ("fallbacks", found.fallbacks)):
        if counts:
            said += 1
            yield f"  {label}: {_counts(counts)}"
    if found.missed:
        said += 1
        late = ", ".join(f"{s} {n} times, up to {t:.3g} s" for s, n, t in found.missed[:4])
        yield f"  late: {late}"
    for one in found.other:
        said += 1
        yield f"  {one.source}: {one.rows} rows; {_counts(one.kinds)}"
        for time_ns, key, text in one.lines:
            yield f"    {moment(time_ns)} {key} {text}"
    for note in found.notes:
        yield f"  note: {note}"
    if found.not_looked_at:
        yield f"  note: {found.not_looked_at} rows of other sources were not looked at"
    if not said:
        yield "  nothing that the log knows of"


def _counts(counts: Iterable[tuple[str, int]]) -> str:
    every = list(counts)
    text = ", ".join(f"{name or '-'} {n}" for name, n in every[:_SHOWN_KINDS])
    return text + (f" and {len(every) - _SHOWN_KINDS} more" if len(every) > _SHOWN_KINDS else "")
