"""Common causes: the narrowest group that explains most."""

import pytest
from scipy.stats import binom

from decide.alerting.alerting_cases import POPULATION, alert
from sightline.decide.alerting import GroupingRule
from sightline.decide.alerting.grouping import common_causes
from sightline.errors import UsageError

RULE = GroupingRule(population=POPULATION, member_probability=1e-3)


def named(alerts, rule=RULE):
    return [(cause.label, len(cause.members)) for cause in common_causes(rule, alerts)]


def of_gateway(gateway, n, *, first=0):
    return [alert(first + i, gateway=gateway, region="r") for i in range(n)]


def test_one_gateway_is_named_and_not_its_region():
    assert named(of_gateway("g-1", 6)) == [("gateway=g-1", 6)]


def test_a_region_is_named_where_its_members_are_spread():
    spread = [a for i in range(4) for a in of_gateway(f"g-{i}", 6, first=10 * i)]
    assert named(spread) == [("region=r", 24)]


def test_two_causes_at_once_are_both_named():
    rule = GroupingRule(population={("gateway", "g-0"): 10, ("gateway", "g-1"): 10})
    assert sorted(named(of_gateway("g-0", 5) + of_gateway("g-1", 5, first=10), rule)) == [
        ("gateway=g-0", 5),
        ("gateway=g-1", 5),
    ]


def test_what_is_expected_by_chance_is_no_cause():
    big = GroupingRule(population={("firmware", "7.1"): 10_000}, member_probability=1e-3)
    few = [alert(i, firmware="7.1") for i in range(12)]
    assert named(few, big) == []
    assert named([alert(i, firmware="7.1") for i in range(40)], big) == [("firmware=7.1", 40)]


def test_the_same_subject_counts_once():
    noisy = [alert(i, subject="sat-0", code=f"C{i}", gateway="g-1") for i in range(8)]
    assert named(noisy) == []


def test_a_group_that_is_not_described_is_never_named():
    assert named([alert(i, gateway="g-unknown") for i in range(8)]) == []


def test_of_groups_with_the_same_members_the_smaller_is_named():
    rule = GroupingRule(population={("region", "r"): 40, ("gateway", "g-1"): 10})
    assert named(of_gateway("g-1", 4), rule) == [("gateway=g-1", 4)]


def test_the_tail_is_the_binomial_one_corrected_for_the_groups_looked_at():
    (cause,) = common_causes(RULE, of_gateway("g-1", 4))
    assert cause.tail == pytest.approx(2 * binom.sf(3, 10, 1e-3))


def test_chance_alone_is_named_as_seldom_as_stated():
    """All groups of a fleet at a high rate: the share of windows with a cause is below max_tail."""
    import numpy as np

    rng = np.random.default_rng(3)
    population = {("gateway", f"g-{i}"): 10 for i in range(10)} | {("region", "r"): 100}
    rule = GroupingRule(population=population, member_probability=0.1, max_tail=0.05, min_members=2)
    windows = 1500
    false = 0
    for _ in range(windows):
        raised = np.flatnonzero(rng.random(100) < 0.1)
        alerts = [alert(i, gateway=f"g-{i // 10}", region="r") for i in raised]
        false += bool(common_causes(rule, alerts))
    # Only groups with members are counted, so the correction is by those: still below.
    assert false / windows <= 0.05 + 3 * (0.05 * 0.95 / windows) ** 0.5


@pytest.mark.parametrize("wrong", [{"member_probability": 0.0}, {"min_members": 1}])
def test_a_rule_out_of_its_range_is_refused(wrong):
    with pytest.raises(UsageError):
        GroupingRule(**wrong)
