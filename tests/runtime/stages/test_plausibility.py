"""What a contract calls implausible: decisions on such windows say so and are degraded."""

import pytest

from sightline.errors import PipelineError
from sightline.records.decision import Mode
from simulation.small_runs import of_kind, readings, run_small, windows
from simulation.small_world import CONTRACT, small_plan


def plan(**plausibility):
    fields = {"value": {**CONTRACT["fields"]["value"], "plausibility": plausibility}}
    return small_plan(partitions=1, contract={"fields": fields})


def raised(levels, **plausibility):
    result = run_small(readings(levels), plan=plan(**plausibility))
    (decision,) = [d for d in of_kind(result, "high") if d.transition == "raised"]
    return decision


def codes(decision):
    return [reason.code for reason in decision.reasons]


def test_a_value_that_does_not_move_is_a_reason_to_doubt():
    decision = raised(windows(1.0, 30.0, 1.0), stuck_for_s=8)
    assert codes(decision) == ["HIGH", "IMPLAUSIBLE_STUCK"]
    assert decision.mode is Mode.DEGRADED


def test_a_value_that_moves_is_not():
    levels = [*windows(1.0), *(30.0 + 0.1 * (i % 2) for i in range(10)), *windows(1.0)]
    decision = raised(levels, stuck_for_s=8)
    assert codes(decision) == ["HIGH"]
    assert decision.mode is Mode.PRIMARY


def test_a_jump_faster_than_physics_allows_is_a_reason_to_doubt():
    levels = [*windows(1.0), *([30.0] * 5 + [90.0] * 5), *windows(1.0)]
    decision = raised(levels, max_rate_per_s=50)
    assert decision.reasons[1].code == "IMPLAUSIBLE_RATE"
    assert (decision.reasons[1].value, decision.reasons[1].threshold) == (60.0, 50.0)
    assert decision.reasons[1].unit == "1/s"


def test_too_many_invalid_values_are_a_reason_to_doubt():
    levels = [*windows(1.0), *([float("nan")] * 6 + [30.0] * 4), *windows(1.0)]
    decision = raised(levels, max_nan_share=0.5)
    assert codes(decision) == ["HIGH", "IMPLAUSIBLE_NAN_SHARE"]


def test_the_reason_names_the_contract_that_asked_for_it():
    decision = raised(windows(1.0, 30.0, 1.0), stuck_for_s=8)
    assert decision.reasons[1].version.startswith("small@")


def test_the_order_of_arrival_does_not_matter():
    rows = readings(windows(1.0, 30.0, 1.0))
    shuffled = rows.sample(fraction=1.0, shuffle=True, seed=3).with_columns(
        received_ns=rows["received_ns"].max()
    )
    in_order = run_small(rows, plan=plan(stuck_for_s=8))
    late = run_small(shuffled, plan=plan(stuck_for_s=8))
    assert [codes(d) for d in of_kind(in_order, "high")] == [
        codes(d) for d in of_kind(late, "high")
    ]


def test_a_time_that_no_window_can_hold_is_refused():
    with pytest.raises(PipelineError, match=r"plausibility\.stuck_for_s of value"):
        plan(stuck_for_s=11)
