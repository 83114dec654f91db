"""The budget: shared out so that the total holds, spent so that it holds over any time."""

import json

import numpy as np
import pytest
from alerting_cases import MINUTE

from sightline.decide.alerting.budget import (
    BudgetTarget,
    SpendingRule,
    SpendingState,
    allocate,
    spend,
)
from sightline.errors import UsageError

DAY = 24 * 60 * MINUTE


def test_the_channels_of_a_satellite_share_its_budget_exactly():
    blocks = np.array([1440.0, 144.0, 24.0])
    tail = allocate(BudgetTarget(per_satellite_day=0.02), blocks)
    assert (tail * blocks).sum() == pytest.approx(0.02)
    assert tail * blocks == pytest.approx([0.02 / 3] * 3)


def test_weights_say_who_gets_how_much():
    blocks = np.full(3, 100.0)
    tail = allocate(BudgetTarget(per_satellite_day=0.4), blocks, weights=np.array([2.0, 1.0, 1.0]))
    assert tail * blocks == pytest.approx([0.2, 0.1, 0.1])


def test_the_engineers_limit_holds_over_all_satellites():
    target = BudgetTarget(per_satellite_day=0.1, per_engineer_day=2.0, satellites=200)
    blocks = np.full(7, 288.0)
    assert 200 * (allocate(target, blocks) * blocks).sum() == pytest.approx(2.0)


def test_of_two_limits_the_stricter_is_in_force():
    assert BudgetTarget(per_satellite_day=0.001, per_engineer_day=2.0).in_force == 0.001


def test_independent_channels_keep_the_share_of_days_without_a_false_alert_exactly():
    blocks = np.array([1440.0, 144.0, 24.0])
    tail = allocate(BudgetTarget(per_satellite_day=0.5), blocks, is_independent=True)
    assert np.prod((1 - tail) ** blocks) == pytest.approx(np.exp(-0.5))


def test_the_form_for_independent_channels_is_never_the_looser():
    blocks, target = np.array([3.0, 50.0, 1440.0]), BudgetTarget(per_satellite_day=2.0)
    assert np.all(allocate(target, blocks, is_independent=True) <= allocate(target, blocks))


@pytest.mark.parametrize("weights", [[0.0, 0.0], [1.0, -1.0], [1.0], [1.0, np.nan]])
def test_weights_that_share_out_nothing_sensible_are_refused(weights):
    with pytest.raises(UsageError):
        allocate(BudgetTarget(per_satellite_day=1.0), np.ones(2), weights=np.array(weights))


def test_an_account_begins_empty_and_fills_with_time():
    rule = SpendingRule(per_day=1.0)
    state, granted = spend(rule, SpendingState(), now_ns=5 * DAY, wanted=np.array([0.5]))
    assert granted.tolist() == [0.0]
    state, _ = spend(rule, state, now_ns=5 * DAY + DAY // 4, wanted=np.empty(0))
    assert state.available == 0.25


def test_what_is_not_used_is_carried_up_to_the_bound():
    rule = SpendingRule(per_day=1.0, carry_days=2.0)
    state = SpendingState(through_ns=0)
    state, _ = spend(rule, state, now_ns=100 * DAY, wanted=np.empty(0))
    assert state.available == 2.0


def test_a_time_before_the_last_one_fills_nothing():
    rule, state = SpendingRule(per_day=1.0), SpendingState(through_ns=DAY)
    assert spend(rule, state, now_ns=0, wanted=np.empty(0))[0] == state


def test_an_account_survives_json():
    state = SpendingState(available=0.1, through_ns=7, spent=0.3)
    assert SpendingState.from_mapping(json.loads(json.dumps(state.as_mapping()))) == state


def test_a_state_of_another_format_is_refused():
    with pytest.raises(UsageError, match="format 9"):
        SpendingState.from_mapping({"format": 9})


def test_no_more_is_spent_than_came_in_over_any_span():
    rng = np.random.default_rng(1)
    rule, state = SpendingRule(per_day=0.5, carry_days=1.5), SpendingState(through_ns=0)
    times = np.cumsum(rng.exponential(0.2, 300))
    spent = []
    for time in times:
        wanted = rng.random(4) * rng.choice([0.0, 0.01, 0.5])
        state, granted = spend(rule, state, now_ns=int(time * DAY), wanted=wanted)
        assert np.all(granted <= wanted)
        spent.append(granted.sum())
    total = np.concatenate([[0.0], np.cumsum(spent)])
    for first in range(len(times)):
        span = times[first:] - times[first]
        taken = total[first + 1 :] - total[first]
        assert np.all(taken <= 0.5 * (1.5 + span) + 1e-9)


def test_false_alerts_keep_to_the_budget_with_dependent_channels_and_adaptive_demands():
    """300 satellites over 40 days: channels that move together, demands that chase alerts.

    A satellite asks for ten times as much after an alert and for nothing on silent days. Expected
    are at most 0.2 · (1 + 40) = 8.2 false alerts per satellite, or 8.0 as the account began empty.
    """
    rng = np.random.default_rng(7)
    runs, days, channels = 300, 40, 6
    rule = SpendingRule(per_day=0.2, carry_days=1.0)
    alerts = np.zeros(runs)
    for run in range(runs):
        state, eagerness = SpendingState(through_ns=0), 1.0
        for day in range(1, days + 1):
            wanted = np.full(channels, 0.04 * eagerness) * (rng.random() < 0.8)
            wanted = np.minimum(wanted, 1.0)
            state, granted = spend(rule, state, now_ns=day * DAY, wanted=wanted)
            # One number for all channels, or one each: the two ends of dependence.
            p = np.full(channels, rng.random()) if run % 2 else rng.random(channels)
            found = int((p <= granted).sum())
            alerts[run] += found
            eagerness = 10.0 if found else 1.0
    expected_at_most = rule.per_day * days
    standard_error = alerts.std() / np.sqrt(runs)
    assert alerts.mean() <= expected_at_most + 3 * standard_error
    assert alerts.mean() >= 0.5 * expected_at_most  # and the budget is used, not hoarded
