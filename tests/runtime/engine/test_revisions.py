"""Late data: a revision within the allowance, quarantine beyond it, never a silent change."""

import polars as pl
import pytest

from sightline.records.decision import final_revisions
from sightline.runtime import Pipeline, make_plan
from sightline.sense.contract import parse_contract
from simulation.engine import SimulatedEngine
from simulation.small_runs import of_kind, readings, run_small, story, windows
from simulation.small_world import CONTRACT, PIPELINE
from simulation.trials import unaccounted

LEVELS = windows(0, 0, 12, 0, 0, 0, 0)
"""One window above the threshold of 10: raised at 30 s, cleared at 40 s."""
RAISED_AND_CLEARED = [("raised", 0, "issued"), ("cleared", 0, "issued")]


def late(value, *, time_s=29.5, received_s=50.5):
    """A row of the window that raised, just inside the allowance, after both were said."""
    return readings([value], time_s=[time_s], received_s=received_s)


def test_punctual_rows_are_decided_once():
    assert story(run_small(readings(LEVELS)), "high") == RAISED_AND_CLEARED


def test_a_late_row_within_the_allowance_revises_the_decision_it_changes():
    result = run_small(readings(LEVELS), late(23))
    assert story(result, "high") == [*RAISED_AND_CLEARED, ("raised", 1, "revised")]
    first, _, revised = of_kind(result, "high")
    assert revised.decision_id == first.decision_id
    assert (first.score, revised.score) == (12.0, 13.0)  # (10 · 12 + 23) / 11


def test_a_late_row_that_takes_the_evidence_away_retracts_the_decisions():
    result = run_small(readings(LEVELS), late(-100))
    retracted = [("raised", 1, "retracted"), ("cleared", 1, "retracted")]
    assert story(result, "high") == [*RAISED_AND_CLEARED, *retracted]
    assert [d for d in final_revisions(result.decisions) if d.kind == "high"] == []


def test_a_decision_that_comes_back_continues_its_revision_numbers():
    result = run_small(readings(LEVELS), late(-100, received_s=44), late(300, time_s=29.25))
    raised = [s for s in story(result, "high") if s[0] == "raised"]
    assert raised == [("raised", 0, "issued"), ("raised", 1, "retracted"), ("raised", 2, "revised")]


def test_a_late_row_that_changes_no_decision_says_nothing_about_alarms():
    result = run_small(readings(LEVELS), late(0, time_s=35.5))
    assert [d.score for d in of_kind(result, "high")] == [12.0, 0.0]


def test_a_late_row_within_the_allowance_is_decided_like_any_other():
    result = run_small(readings(LEVELS), late(23))
    assert (result.accounts.decided, result.accounts.quarantined) == (len(LEVELS) + 1, {})


def test_a_row_later_than_the_allowance_is_quarantined_and_changes_nothing():
    result = run_small(readings(LEVELS), late(-100, received_s=62))
    assert story(result, "high") == RAISED_AND_CLEARED
    assert result.accounts.quarantined == {"LATE_BEYOND_ALLOWANCE": 1}
    assert result.accounts.decided == len(LEVELS)


def test_the_final_revisions_are_those_of_the_run_without_lateness():
    revised = run_small(readings(LEVELS), late(23))
    punctual = run_small(readings(LEVELS), late(23, received_s=29.5))
    assert revised.final_digest == punctual.final_digest
    assert revised.digest != punctual.digest


@pytest.mark.parametrize("received_s", [25.5, 44.0])
def test_a_duplicate_that_lost_is_superseded_whenever_it_comes(received_s):
    loser = readings([500], time_s=[25], received_s=received_s)
    winner = readings([12], time_s=[25]).with_columns(pl.col("sequence") + 5)
    rows = readings(LEVELS)
    result = run_small(rows.filter(rows["time_ns"] != winner["time_ns"][0]), winner, loser)
    assert result.accounts.superseded == 1
    assert of_kind(result, "high")[-2].score == 12.0


def test_a_silence_that_backlog_fills_is_retracted():
    rows = readings(windows(0, 0, 0, 0, 0))
    held = (rows["sequence"] >= 150) & (rows["sequence"] < 350)
    came_ns = rows.filter(rows["sequence"] == 350)["received_ns"][0]
    stored = rows.filter(held).with_columns(received_ns=came_ns)
    others = readings(windows(0, 0, 0, 0, 0), sensor="s1")
    result = run_small(rows.filter(~held), stored, others)
    assert story(result, "silent") == [("raised", 0, "issued"), ("raised", 1, "retracted")]


# --- two sources that share their keys ------------------------------------------------------------

PUNCTUAL = {"out_of_order_s": 0, "revision_allowance_s": 0, "max_backlog_s": 60, "clock_skew_s": 1}


def run_beside_a_punctual_source(rows):
    """The small pipeline, and a source of the same sensors whose rows settle as they come."""
    sources = {**PIPELINE["sources"], "u": {"contract": "punctual"}}
    beside = {"use": "windows", "input": "u", "width_s": 10, "statistics": ["mean"]}
    form = {**PIPELINE, "sources": sources, "stages": {**PIPELINE["stages"], "beside": beside}}
    contracts = {
        "t": parse_contract(CONTRACT, where="small"),
        "u": parse_contract({**CONTRACT, "timing": PUNCTUAL}, where="punctual"),
    }
    plan = make_plan(Pipeline.model_validate(form), contracts)
    other = readings(windows(*[0] * 9))
    engine = SimulatedEngine(plan, {"t": rows, "u": other})
    result = engine.run_through()
    assert not unaccounted(result, engine)
    assert result.replay(engine.sources)
    return result


def joined(*frames):
    return pl.concat(frames).sort("received_ns", maintain_order=True)


def test_a_late_row_retracts_although_another_source_of_its_key_is_ahead():
    result = run_beside_a_punctual_source(joined(readings(LEVELS), late(-100)))
    retracted = [("raised", 1, "retracted"), ("cleared", 1, "retracted")]
    assert story(result, "high") == [*RAISED_AND_CLEARED, *retracted]


def test_no_revision_is_said_twice_beside_a_source_that_is_ahead():
    rows = joined(readings(LEVELS), late(-100, received_s=44), late(300, time_s=29.25))
    result = run_beside_a_punctual_source(rows)
    said = [(d.decision_id, d.revision) for d in result.decisions]
    assert len(said) == len(set(said))
    assert ("raised", 2, "revised") in story(result, "high")
