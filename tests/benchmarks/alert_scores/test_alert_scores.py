"""Events matched by the stated rules, and the figures of ESA-ADB."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.alert_scores import (
    Intervals,
    TrueEvents,
    pooled_score,
    score_alerts,
)
from benchmarks.alert_scores.events import match
from sightline.errors import UsageError
from tests.benchmarks.published.alert_cases import DAY_NS

pairs = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 8)).map(lambda p: (p[0], p[0] + p[1])), max_size=8
)


def score(events, alerts, *, watched=(0, 100), kinds=None):
    return score_alerts(TrueEvents.of(events, kinds), Intervals.of(alerts), watched=watched)


def test_an_event_is_found_by_an_alert_that_shares_one_instant():
    assert score([(10, 20)], [(20, 30)]).found == 1
    assert score([(10, 20)], [(21, 30)]).found == 0


def test_an_alert_that_overlaps_no_event_is_false():
    assert score([(10, 20)], [(21, 30), (40, 41)]).false_alerts == 2


def test_one_alert_can_find_several_events_and_is_not_false():
    found = score([(10, 20), (30, 40)], [(15, 35)])
    assert (found.found, found.false_alerts) == (2, 0)


def test_an_event_seen_in_two_channels_is_one_event():
    truth = TrueEvents(
        seen=Intervals.of([(10, 20), (50, 60)]), event=np.zeros(2, np.int64), kind=("heater",)
    )
    found = score_alerts(truth, Intervals.of([(55, 56)]), watched=(0, 100))
    assert (found.found, found.missed) == (1, 0)
    assert found.delay_ns.tolist() == [45.0]


def test_a_second_alert_of_an_event_is_redundant_and_not_false():
    found = score([(10, 40)], [(12, 14), (20, 22), (30, 31)])
    assert (found.redundant, found.false_alerts) == (2, 0)
    assert found.alarming_precision == pytest.approx(1 / 3)


def test_alerts_that_touch_are_one():
    assert score([(10, 40)], [(12, 14), (14, 22)]).redundant == 0


def test_the_delay_counts_from_the_start_of_the_event_and_is_never_negative():
    assert score([(10, 40)], [(25, 26)]).delay_ns.tolist() == [15.0]
    assert score([(10, 40)], [(5, 26)]).delay_ns.tolist() == [0.0]


def test_the_example_of_esa_adb_has_its_precision_corrected_for_time():
    # Events of day 0-1, 3-4 and 6-7 of 14; one alert from day 3 to day 8: 11 nominal days, of
    # which 3 are covered.
    day = DAY_NS
    found = score(
        [(0, day), (3 * day, 4 * day), (6 * day, 7 * day)],
        [(3 * day, 8 * day)],
        watched=(0, 14 * day),
    )
    assert found.recall == pytest.approx(2 / 3)
    assert found.precision == 1.0
    assert found.corrected_precision == pytest.approx(1 - 3 / 11)
    p, r = 8 / 11, 2 / 3
    assert found.corrected_f05 == pytest.approx(1.25 * p * r / (0.25 * p + r))


def test_one_alert_over_everything_is_not_perfect():
    everything = score([(10, 20)], [(0, 100)])
    assert everything.f1 == 1.0
    assert everything.corrected_f05 == 0.0


def test_without_events_and_alerts_nothing_is_defined():
    nothing = score([], [])
    assert math.isnan(nothing.recall)
    assert math.isnan(nothing.precision)
    assert math.isnan(nothing.corrected_f05)
    assert json.loads(json.dumps(nothing.as_mapping(), allow_nan=False))["recall"] is None


def test_an_alert_outside_the_watched_time_is_refused():
    with pytest.raises(UsageError, match="an alert within"):
        score([], [(90, 101)])


def test_the_missed_events_are_listed_by_kind_of_fault():
    found = score([(1, 2), (10, 12), (30, 33)], [(11, 11)], kinds=["drift", "drift", "step"])
    assert {k.kind: k.missed_events for k in found.by_kind} == {"drift": (0,), "step": (2,)}


def test_delays_are_told_per_kind_of_fault():
    found = score([(0, 40), (50, 60)], [(30, 31), (51, 52)], kinds=["drift", "step"])
    assert {k.kind: k.delays.worst_s for k in found.by_kind} == {"drift": 3e-8, "step": 1e-9}


def test_pooling_streams_adds_their_counts_and_times():
    one = score([(10, 20)], [(50, 60)], kinds=["drift"])
    two = score([(10, 20)], [(10, 12)], kinds=["step"])
    both = pooled_score([one, two])
    assert (both.found, both.missed, both.false_alerts) == (1, 1, 1)
    assert both.true_negative_rate == pytest.approx(1 - 10 / 180)
    assert both.missed_events == [0]


@settings(max_examples=80, deadline=None)
@given(events=pairs, alerts=pairs)
def test_matching_agrees_with_comparing_every_pair(events, alerts):
    truth = TrueEvents.of(events)
    found = match(truth, Intervals.of(alerts))
    merged = found.alerts.as_pairs()
    hit = [[a <= end and b >= start for a, b in merged] for start, end in events]
    assert found.is_found.tolist() == [any(row) for row in hit]
    assert found.is_true.tolist() == [any(row[i] for row in hit) for i in range(len(merged))]
    assert found.redundant == sum(max(sum(row) - 1, 0) for row in hit)
    for (start, _), row, delay in zip(events, hit, found.delay_ns.tolist(), strict=True):
        begun = [max(a - start, 0) for (a, _), h in zip(merged, row, strict=True) if h]
        assert delay == min(begun) if begun else math.isnan(delay)


@settings(max_examples=50, deadline=None)
@given(events=pairs, alerts=pairs)
def test_times_agree_with_counting_unit_steps(events, alerts):
    def covered(given_pairs):
        return {t for a, b in given_pairs for t in range(a, b)}

    found = score(events, alerts)
    assert found.nominal_ns == 100 - len(covered(events))
    assert found.false_ns == len(covered(alerts) - covered(events))
