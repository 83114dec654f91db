"""Whatever is taken back, every alert is in one place, and time may pass in any steps."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from decide.alerting.alerting_cases import (
    CRITICAL,
    MINUTE,
    WARNING,
    Run,
    action,
    alert,
    cleared,
    rules,
)
from sightline.decide.alerting import StormRule
from sightline.decide.alerting.alert import Alert
from sightline.decide.alerting.points import TRANSITIONS
from sightline.decide.alerting.rules import Replaced, Resumed, Retracted

TIGHT = rules(
    hold_ns=2 * MINUTE,
    repeat_ns=20 * MINUTE,
    join_ns=10 * MINUTE,
    update_every_ns=7 * MINUTE,
    latching=("STEP",),
    storm=StormRule(
        window_ns=10 * MINUTE, max_messages=4, calm_below=2, digest_every_ns=3 * MINUTE
    ),
)
MOST_AT = 60

moments = st.integers(0, 2 * MOST_AT).map(lambda i: i / 2)
subjects = st.sampled_from(("sat-0", "sat-1", "sat-2"))
codes = st.sampled_from(("DRIFT", "STEP"))
kinds = st.sampled_from(
    ("raise", "raise", "raise", "clear", "retract", "replace", "resume", "mask", "acknowledge")
)
steps = st.lists(st.tuples(kinds, moments, subjects, codes, st.integers(0, 20)), max_size=40)


def built(plan):
    """Inputs by time; what is taken back is an alert that was raised before, perhaps unknown."""
    made, raised, gone = [], [], set()
    for i, (kind, at, subject, code, pick) in enumerate(sorted(plan, key=lambda p: p[1])):
        severity = CRITICAL if pick % 3 == 0 else WARNING
        new = alert(i, at, subject=subject, code=code, severity=severity, gateway="g-1")
        own = [a for a in raised if (a.subject, a.code) == (subject, code)]
        of = own[pick % len(own)] if own else None
        at_ns = int(at * MINUTE)
        if kind == "raise":
            made.append(new)
            raised.append(new)
        elif kind == "clear":
            made.append(cleared(subject, at, code))
        elif kind == "mask":
            made.append(action("suppress", at, subject, until=at + pick))
        elif kind == "acknowledge":
            made.append(action("acknowledge", at, subject))
        elif of is not None and of.alert_id not in gone:
            if kind == "retract":
                gone.add(of.alert_id)
                made.append(
                    Retracted(alert_id=of.alert_id, subject=subject, code=code, event_ns=at_ns)
                )
            elif kind == "replace":
                gone.add(of.alert_id)
                made.append(Replaced(alert_id=of.alert_id, alert=new))
                raised.append(new)
            else:
                made.append(Resumed(alert=of, event_ns=at_ns))
    return made, {a.alert_id for a in raised}, gone


@settings(max_examples=150, deadline=None)
@given(plan=steps, cuts=st.lists(st.integers(0, MOST_AT), max_size=5))
def test_every_alert_is_in_one_place_whatever_is_taken_back(plan, cuts):
    inputs, raised, gone = built(plan)
    run = Run(TIGHT)
    for first, past in pairwise([-1, *sorted(cuts), 200]):
        run.step(*[i for i in inputs if first * MINUTE <= i.event_ns < past * MINUTE], now=past)
    run.step(now=200, is_last=True)
    fates = run.fates()
    assert set(fates) == raised
    assert {i for i, fate in fates.items() if fate == "retracted"} == gone
    counted = {str(fate): n for fate, n in run.state.counts.items() if n}
    assert counted == {fate: list(fates.values()).count(fate) for fate in set(fates.values())}
    assert "waiting" not in fates.values()
    last = {}
    for d in run.dispositions:
        assert d.before == last.get(d.alert_id)
        last[d.alert_id] = d.fate
    for c in run.changes:
        assert TRANSITIONS[c.before, c.event] is c.after


@settings(max_examples=100, deadline=None)
@given(plan=steps)
def test_who_was_told_of_an_alert_that_was_none_is_told_so(plan):
    inputs, _, _ = built(plan)
    run = Run(TIGHT).step(*inputs, now=200, is_last=True)
    said = {i for m in run.messages if m.kind in ("alert", "group", "digest") for i in m.named}
    corrected = {i for m in run.messages if m.kind == "correction" for i in m.named}
    retracted = {d.alert_id for d in run.dispositions if d.cause == "RETRACTED"}
    assert corrected <= retracted
    assert said & retracted <= corrected


@settings(max_examples=100, deadline=None)
@given(plan=steps, cuts=st.lists(st.integers(0, 2 * MOST_AT), max_size=8))
def test_time_may_pass_in_one_step_or_in_many(plan, cuts):
    inputs, _, _ = built(plan)
    whole = Run(TIGHT).step(*inputs, now=200)
    parts = Run(TIGHT)
    for first, past in pairwise([-1, *sorted(c / 2 for c in cuts), 200]):
        parts.step(*[i for i in inputs if first * MINUTE <= i.event_ns < past * MINUTE], now=past)
    assert parts.messages == whole.messages
    assert parts.dispositions == whole.dispositions
    assert parts.state == whole.state


@settings(max_examples=100, deadline=None)
@given(plan=steps)
def test_a_point_whose_alerts_were_all_none_is_normal(plan):
    inputs, _, gone = built(plan)
    run = Run(TIGHT).step(*inputs, now=200)
    for point in run.state.points.values():
        own = [
            i.alert_id if isinstance(i, Alert) else i.alert.alert_id
            for i in inputs
            if isinstance(i, Alert | Replaced)
            and _point(i) == (point.alert.subject, point.alert.code)
        ]
        assert set(own) - gone


def _point(item):
    one = item if isinstance(item, Alert) else item.alert
    return one.subject, one.code
