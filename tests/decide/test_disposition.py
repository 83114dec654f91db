"""Where a part goes: the cheapest place by the odds, else by thresholds; never accepted unseen."""

import math

import numpy as np
import pytest

from sightline.decide.disposition import (
    Costs,
    Odds,
    ProcessCheck,
    RejectRun,
    Rule,
    cost_thresholds,
    dispose,
)
from sightline.records.decision import Mode
from sightline.records.part import Disposition, PartPicture

COSTS = Costs(miss=100.0, false_reject=10.0, review=2.0)
PLAIN = Rule(part_number="*", station="*", zone_px=None, costs=COSTS, odds=None)
ODDS = Odds(offset=-6.0, slope=1.0)


def picture(score=0.0, *, station="top", box=(0.0, 0.0, 0.0, 0.0), code=""):
    return PartPicture(
        station=station, camera=station, index=0, digest="0" * 32, capture_ns=0, code=code,
        score=math.nan if code else score, reject_from=5.0, review_from=4.0, box_px=box,
        novelty=0.0, likeness=0.0,
    )  # fmt: skip


def disposed(*pictures, rules=(PLAIN,), process=(), marks=None, part_number="", **how):
    return dispose(
        part_number, pictures, process=process, marks=marks or {}, rules=rules, version="parts@1",
        **{"margin": 1.0, "reject_as": Disposition.SCRAP, "fallback": Disposition.REVIEW, **how},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("score", "expected"), [(3.9, "accept"), (4.0, "review"), (4.9, "review"), (5.0, "scrap")]
)
def test_without_odds_the_thresholds_of_the_inspector_decide(score, expected):
    assert disposed(picture(score)).disposition == expected


def test_the_worst_picture_decides():
    assert disposed(picture(0.0), picture(9.0, station="side")).disposition == "scrap"


def test_less_evidence_makes_the_threshold_stricter():
    silent = ProcessCheck(
        name="oven", value=math.nan, low=1, high=2, unit="degC", then=Disposition.REWORK
    )
    found = disposed(picture(4.1), process=[silent])
    assert (found.disposition, found.mode) == (Disposition.SCRAP, Mode.DEGRADED)
    assert disposed(picture(4.1)).disposition == "review"


@pytest.mark.parametrize("score", [0.0, 4.1, 9.0])
def test_a_part_that_is_decided_after_its_takt_goes_where_it_would_have_gone_and_says_so(score):
    late = disposed(picture(score), waited_s=0.3, takt_s=0.25)
    assert late.disposition == disposed(picture(score)).disposition
    assert late.mode is Mode.DEGRADED
    (reason,) = (one for one in late.reasons if one.code == "OVER_TAKT")
    assert (reason.value, reason.threshold, reason.unit) == (0.3, 0.25, "s")


def test_a_part_without_its_picture_goes_where_the_fallback_says():
    found = disposed(picture(0.0), marks={"MISSING_PICTURE": 1.0}, fallback=Disposition.REWORK)
    assert (found.disposition, found.mode) == (Disposition.REWORK, Mode.FALLBACK)
    assert found.reasons[0].code == "MISSING_PICTURE"


def test_a_defect_that_was_seen_outweighs_what_is_missing():
    found = disposed(picture(9.0), marks={"MISSING_PICTURE": 1.0})
    assert found.disposition == "scrap"
    assert found.reasons[0].code == "REJECTED"


def test_a_defect_in_a_picture_of_two_parts_scraps_neither():
    assert disposed(picture(9.0), marks={"TWO_PARTS_IN_PICTURE": 2.0}).disposition == "review"


def test_a_picture_that_nobody_saw_is_no_reason_to_accept():
    found = disposed(picture(code="UNSEEN"))
    assert (found.disposition, found.mode) == (Disposition.REVIEW, Mode.FALLBACK)


def test_what_is_outside_of_a_process_window_goes_where_its_sensor_says():
    cold = ProcessCheck(name="oven", value=0.0, low=1, high=2, unit="degC", then=Disposition.REWORK)
    found = disposed(picture(0.0), process=[cold])
    assert found.disposition == "rework"
    assert (found.reasons[0].value, found.reasons[0].threshold) == (0.0, 1)


def test_a_zone_has_costs_of_its_own():
    edge = Rule(part_number="*", station="top", zone_px=(0, 0, 10, 99), odds=ODDS,
                costs=Costs(miss=1.0, false_reject=10.0, review=2.0))  # fmt: skip
    rest = Rule(part_number="*", station="*", zone_px=None, costs=COSTS, odds=ODDS)
    inside, outside = (picture(5.0, box=box) for box in ((0, 0, 8, 8), (40, 0, 60, 8)))
    assert disposed(inside, rules=(edge, rest)).disposition == "accept"
    assert disposed(outside, rules=(edge, rest)).disposition == "review"


def test_a_part_number_has_costs_of_its_own():
    cheap = Rule(part_number="A-*", station="*", zone_px=None, odds=ODDS,
                 costs=Costs(miss=1.0, false_reject=10.0, review=2.0))  # fmt: skip
    rest = Rule(part_number="*", station="*", zone_px=None, costs=COSTS, odds=ODDS)
    found = [disposed(picture(5.0), rules=(cheap, rest), part_number=n).disposition
             for n in ("A-1", "B-1")]  # fmt: skip
    assert found == ["accept", "review"]


def test_the_thresholds_are_where_the_expected_costs_cross():
    costs = Costs(miss=100.0, false_reject=10.0, review=2.0, rework=1.5)
    table = cost_thresholds(costs)
    rule = Rule(part_number="*", station="*", zone_px=None, costs=costs, odds=ODDS)
    for p in np.linspace(0.001, 0.999, 97).tolist():
        expected = [where for start, where in table if start <= p][-1]
        assert disposed(picture(ODDS.score(p)), rules=(rule,)).disposition == expected


def test_an_accepted_part_says_what_would_have_sent_it_to_review():
    (reason,) = disposed(picture(1.5)).reasons
    assert (reason.code, reason.value, reason.threshold) == ("ACCEPTED", 1.5, 4.0)


def test_a_reject_counts_only_among_the_newest():
    run = RejectRun(most=2, of=3)
    for is_rejected in (True, False, False, True):
        run = run.after(is_rejected)
    assert not run.is_too_many
    assert run.after(True).is_too_many


def test_a_part_whose_sensor_must_be_known_goes_where_that_sensor_says():
    silent = ProcessCheck(
        name="weld", value=math.nan, low=1, high=2, unit="A", then=Disposition.SCRAP,
        missing=Disposition.REVIEW,
    )  # fmt: skip
    found = disposed(picture(0.0), process=[silent])
    assert (found.disposition, found.mode) == (Disposition.REVIEW, Mode.DEGRADED)
    assert found.reasons[0].code == "SENSOR_MISSING"
