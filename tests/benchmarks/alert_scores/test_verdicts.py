"""Verdicts that no missing number can pass."""

import json
import math

import pytest

from benchmarks.alert_scores import Requirement, Ruling, rule
from sightline.errors import UsageError

NAN = math.nan


def rate(events, exposure, limit=1e-3, name="false alerts"):
    return Requirement.rate_at_most(name, limit, events=events, exposure=exposure)


def recall(hits, trials, limit=0.9):
    return Requirement.share_at_least("recall", limit, hits=hits, trials=trials)


def test_bounds_within_all_limits_ship():
    assert rule([rate(4, 10_000), recall(60, 60)]).ruling is Ruling.SHIP


def test_one_broken_limit_is_no_ship_whatever_the_others_say():
    assert rule([rate(4, 10_000), recall(5, 60)]).ruling is Ruling.NO_SHIP
    assert rule([rate(0, 0), recall(5, 60)]).ruling is Ruling.NO_SHIP


@pytest.mark.parametrize(
    "open_one",
    [rate(0, 0), rate(0, NAN), rate(0, 10), rate(4, 10_000, NAN), recall(0, 0), recall(9, 9)],
    ids=["no exposure", "NaN exposure", "too little exposure", "NaN limit", "no events", "few"],
)
def test_too_little_to_say_is_inconclusive(open_one):
    assert rule([rate(4, 10_000, name="met"), open_one]).ruling is Ruling.INCONCLUSIVE


def test_no_requirement_at_all_is_inconclusive():
    assert not rule([])
    assert rule([]).ruling is Ruling.INCONCLUSIVE


def test_a_bound_that_is_not_a_number_passes_nothing():
    lost = Requirement(name="x", limit=1.0, is_at_most=True, lower=NAN, upper=NAN)
    assert lost.ruling is Ruling.INCONCLUSIVE


def test_a_verdict_is_json_with_null_for_what_is_unknown():
    plain = json.loads(json.dumps(rule([rate(0, 0)]).as_mapping(), allow_nan=False))
    assert plain["requirements"][0]["upper"] is None


def test_two_requirements_of_one_name_are_refused():
    with pytest.raises(UsageError, match="different names"):
        rule([recall(1, 1), recall(2, 2)])
