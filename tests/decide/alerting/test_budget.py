"""The budget is shared out so that the total holds."""

import numpy as np
import pytest

from sightline.decide.alerting.budget import (
    BudgetTarget,
    allocate,
)
from sightline.errors import UsageError


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
