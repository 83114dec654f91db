"""No sequence of inputs loses an alert, and time may pass in any steps."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from decide.alerting.alerting_cases import (
    CRITICAL,
    INFO,
    MINUTE,
    WARNING,
    Run,
    action,
    alert,
    cleared,
    rules,
)
from sightline.decide.alerting import Alert, StormRule
from sightline.decide.alerting.points import HIDDEN, TRANSITIONS

SUBJECTS = ("sat-0", "sat-1", "sat-2", "sat-3", "sat-4")
TIGHT = rules(
    hold_ns=2 * MINUTE,
    repeat_ns=20 * MINUTE,
    join_ns=10 * MINUTE,
    update_every_ns=7 * MINUTE,
    max_shelve_ns=15 * MINUTE,
    latching=("STEP",),
    storm=StormRule(
        window_ns=10 * MINUTE, max_messages=4, calm_below=2, digest_every_ns=3 * MINUTE
    ),
)

# Half-minute grid: many inputs share a time, and many times are due times.
moments = st.integers(0, 120).map(lambda i: i / 2)
points = st.tuples(st.sampled_from(SUBJECTS), st.sampled_from(("DRIFT", "STEP")))
raises = st.tuples(st.just("raise"), moments, points, st.sampled_from((INFO, WARNING, CRITICAL)))
clears = st.tuples(st.just("clear"), moments, points, st.none())
answers = st.tuples(
    st.sampled_from(("acknowledge", "reset", "unshelve", "put_back")),
    moments,
    points,
    st.none(),
)
hides = st.tuples(
    st.sampled_from(("shelve", "suppress", "take_out")),
    moments,
    points,
    st.tuples(st.integers(0, 20), st.integers(-1, 30)),
)
sequences = st.lists(st.one_of(raises, raises, raises, clears, answers, hides), max_size=40)


def built(sequence):
    made = []
    for i, (what, at, (subject, code), more) in enumerate(sequence):
        if what == "raise":
            gateway = f"g-{int(subject[-1]) // 4}"
            made.append(alert(i, at, subject=subject, code=code, severity=more, gateway=gateway))
        elif what == "clear":
            made.append(cleared(subject, at, code))
        elif more is None:
            made.append(action(what, at, subject, code=code))
        else:
            begin = at + more[0] / 2
            made.append(action(what, at, subject, from_=begin, until=begin + more[1] / 2))
    return made


@settings(max_examples=50, deadline=None)
@given(sequence=sequences, data=st.data())
def test_no_alert_is_lost_that_comes_late(sequence, data):
    inputs = built(sequence)
    late = data.draw(st.lists(st.integers(0, 3), min_size=len(inputs), max_size=len(inputs)))
    run = Run(TIGHT)
    for tick in range(10):
        batch = [
            item
            for item, ticks in zip(inputs, late, strict=True)
            if item.event_ns // (10 * MINUTE) + ticks == tick
        ]
        run.step(*batch, now=10 * tick + 10)
    run.step(now=200, is_last=True)
    fates = run.fates()
    assert set(fates) == {item.alert_id for item in inputs if isinstance(item, Alert)}
    assert set(fates.values()) <= {"told", "in_digest", "suppressed", "masked", "shelved"}
    assert run.state.raised == len(fates)


@settings(max_examples=80, deadline=None)
@given(sequence=sequences, cuts=st.lists(st.integers(0, 60), max_size=5))
def test_no_alert_is_lost_whatever_comes_in(sequence, cuts):
    inputs = built(sequence)
    alerts = [i for i in inputs if isinstance(i, Alert)]
    run = Run(TIGHT)
    edges = [-1, *sorted(cuts), 200]
    for first, past in pairwise(edges):
        batch = [i for i in inputs if first * MINUTE <= i.event_ns < past * MINUTE]
        run.step(*batch, now=past)
        # In every state on the way: one place for each.
        assert run.state.raised == sum(a.event_ns < past * MINUTE for a in alerts)
    run.step(now=200, is_last=True)

    fates = run.fates()
    assert set(fates) == {a.alert_id for a in alerts}
    counted = {str(fate): n for fate, n in run.state.counts.items() if n}
    assert counted == {fate: list(fates.values()).count(fate) for fate in set(fates.values())}
    assert "waiting" not in fates.values()

    # Each disposition goes on from the one before it.
    last = {}
    for d in run.dispositions:
        assert d.before == last.get(d.alert_id)
        last[d.alert_id] = d.fate

    # What is said to be told is told: the message exists and stands for as many as it says.
    by_id = {m.message_id: m for m in run.messages}
    holding = {}
    for d in run.dispositions:
        if d.fate in ("told", "in_digest"):
            holding.setdefault(d.held_by, []).append(d.alert_id)
    for message_id, ids in holding.items():
        assert by_id[message_id].count == len(ids)
        assert set(by_id[message_id].named) == set(ids)
        if by_id[message_id].rows:
            assert sum(row.count for row in by_id[message_id].rows) == len(ids)


@settings(max_examples=50, deadline=None)
@given(sequence=sequences, cuts=st.lists(st.integers(0, 130), max_size=8))
def test_time_may_pass_in_one_step_or_in_many(sequence, cuts):
    inputs = built(sequence)
    whole = Run(TIGHT).step(*inputs, now=200)
    parts = Run(TIGHT)
    edges = [-1, *sorted(c / 2 for c in cuts), 200]
    for first, past in pairwise(edges):
        batch = [i for i in inputs if first * MINUTE <= i.event_ns < past * MINUTE]
        parts.step(*batch, now=past)
    assert parts.messages == whole.messages
    assert parts.dispositions == whole.dispositions
    assert parts.changes == whole.changes
    assert parts.state == whole.state


@settings(max_examples=50, deadline=None)
@given(sequence=sequences)
def test_what_is_active_and_uncovered_has_been_told_of(sequence):
    run = Run(TIGHT).step(*built(sequence), now=200, is_last=True)
    for point in run.state.points.values():
        assert point.state not in HIDDEN  # every cover has ended by then
        if not point.is_active:
            continue
        last = {d.alert_id: d for d in run.dispositions}[point.alert.alert_id]
        if last.cause == "REPEAT":
            last = {d.alert_id: d for d in run.dispositions}[last.held_by]
        assert last.fate in ("told", "in_digest") or last.cause == "IN_GROUP"


@settings(max_examples=50, deadline=None)
@given(sequence=sequences)
def test_every_change_of_state_is_in_the_table(sequence):
    for c in Run(TIGHT).step(*built(sequence), now=200).changes:
        assert TRANSITIONS[c.before, c.event] is c.after


@settings(max_examples=50, deadline=None)
@given(sequence=sequences)
def test_an_operator_never_gets_more_than_the_stated_rate(sequence):
    run = Run(TIGHT).step(*built(sequence), now=200)
    plain = [m.at_ns for m in run.messages if m.kind != "digest"]
    digests = [m.at_ns for m in run.messages if m.kind == "digest"]
    for at_ns in plain:
        assert sum(at_ns - 10 * MINUTE < t <= at_ns for t in plain) <= 4
    for at_ns in digests:
        # One each 3 minutes, one when a storm ends and one when the next begins.
        assert sum(at_ns - 10 * MINUTE < t <= at_ns for t in digests) <= 4 + 4
