"""``sightline explain`` of a run of telemetry: what would not have been raised, and what else was.

What is said to end a decision is tried by running the whole pipeline on rows that were edited so.
"""

import json
from dataclasses import replace
from functools import cache

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from sightline.cli.main import app_for
from sightline.evidence import account_lines, draw_account, explain
from sightline.evidence.rows_account import decision_subject
from sightline.evidence.trial import MAX_RUNS, try_decision
from sightline.records.decision import final_revisions
from sightline.runtime import Pipeline, RunDirectory, RunOptions, make_plan, run_pipeline
from sightline.sense import MemorySource
from sightline.sense.contract import parse_contract
from simulation.learning_runs import fleet, learning_plan
from simulation.schedules import NS_PER_S
from simulation.small_runs import readings
from simulation.small_world import CONTRACT, PIPELINE, START_NS, mask

SECONDS = 240
FAULT_S = (160, 190)
OVER = "avg(case when value > 12 then 1.0 else 0.0 end)"
STAGES = {
    "level": {"expressions": {"over": {"sql": OVER, "unit": "1"}}},
    # A deadline that no test machine misses: what is tried is the answer, not the clock.
    "odd": {
        "guarded": {
            "budget_s": 60,
            "fallback": "level_deviation",
            "breaker": {"open_after": 2, "retry_after_ticks": 2, "close_after": 1},
        }
    },
    "seldom": {
        "use": "alarm",
        "input": "level",
        "measure": "over",
        "unit": "1",
        "raise_above": 0.4,
        "code": "OVER",
    },
}


def plan(**options):
    """The small pipeline with patient deadlines, and an alarm on an expression."""
    stages = {n: {**s, **STAGES.get(n, {})} for n, s in PIPELINE["stages"].items()}
    form = Pipeline.model_validate(
        {**PIPELINE, "tick_s": 5, **options, "stages": {**stages, "seldom": STAGES["seldom"]}}
    )
    return make_plan(form, {"t": parse_contract(CONTRACT, where="small")})


def rows():
    rng = np.random.default_rng(4)
    frames = []
    for sensor, area in (("s0", "north"), ("s1", "north"), ("s2", "south")):
        value = rng.normal(0, 1, SECONDS).round(3)
        at = np.arange(SECONDS)
        if sensor == "s0":
            value[(at >= FAULT_S[0]) & (at < FAULT_S[1])] += 15.0
        keep = np.ones(SECONDS, np.bool_)
        if sensor == "s1":
            keep[100:125] = False
            value[170:180] += 14.0
        frames.append(readings(value[keep], sensor=sensor, area=area, time_s=at[keep]))
    return pl.concat(frames).sort("received_ns", maintain_order=True)


def run(out, *, given=None, record="payload", **options):
    run_pipeline(
        plan(sources={"t": {"contract": "small", "record": record}}),
        {"t": MemorySource("t", {"t": rows() if given is None else given})},
        out,
        options=RunOptions(durable=False, **options),
    )
    return RunDirectory.open(out)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """With rows that are refused, and an operator's mask on another sensor."""
    given = rows().with_columns(
        value=pl.when(pl.int_range(pl.len()) % 101 == 7).then(1e6).otherwise("value")
    )
    given = pl.concat([rows(), given.filter(pl.col("value") == 1e6)]).sort("received_ns")
    shelved = {**mask("s0"), "control": "shelve"}
    return run(tmp_path_factory.mktemp("alerts") / "run", given=given, controls=(shelved,))


def raised(run, kind, subject):
    found = [
        d
        for d in final_revisions(run.decisions())
        if (d.kind, str(d.transition)) == (kind, "raised") and d.subject.startswith(subject)
    ]
    return found[0]


def tried(run, kind, subject="s0"):
    return _tried(run.path, kind, subject)


@cache
def _tried(path, kind, subject):
    run = RunDirectory.open(path)
    decision = raised(run, kind, subject)
    return decision, try_decision(run, decision, decision_subject(run.plan, decision))


def edited(found, *, sensor="s0", slack=0.0):
    """The rows, clipped as a counterfactual says; the bound wider by a slack."""
    low = -np.inf if np.isnan(found.low) else found.low - slack
    high = np.inf if np.isnan(found.high) else found.high + slack
    inside = (pl.col("sensor") == sensor) & pl.col("time_ns").is_between(
        found.start_ns, found.end_ns
    )
    clipped = pl.col("value").clip(low, high)
    return rows().with_columns(value=pl.when(inside).then(clipped).otherwise("value"))


def is_raised(run, decision):
    ids = {d.decision_id for d in final_revisions(run.decisions())}
    return decision.decision_id in ids


# --- what would not have raised it --------------------------------------------------------------


def test_the_bound_of_an_alarm_on_a_mean_is_its_threshold(made):
    _, found = tried(made, "high")
    assert found.counterfactual.family == "at most"
    assert 9.9 < found.counterfactual.reached <= 10.0


@pytest.mark.parametrize("kind", ["high", "unusual", "seldom"])
def test_rows_within_the_bound_raise_nothing_in_a_run_of_the_whole_pipeline(made, tmp_path, kind):
    decision, found = tried(made, kind)
    assert found.counterfactual.is_found
    again = run(tmp_path / "run", given=edited(found.counterfactual))
    assert not is_raised(again, decision)


@pytest.mark.parametrize("kind", ["high", "unusual", "seldom"])
def test_rows_a_little_beyond_the_bound_raise_it(made, tmp_path, kind):
    decision, found = tried(made, kind)
    again = run(tmp_path / "run", given=edited(found.counterfactual, slack=0.1))
    assert is_raised(again, decision)


def test_an_alarm_that_is_only_put_off_says_until_when(made, tmp_path):
    decision, found = tried(made, "high")
    again = run(tmp_path / "run", given=edited(found.counterfactual))
    next_one = raised(again, "high", "s0")
    assert found.put_off_ns == next_one.event_ns > decision.event_ns


def test_and_what_would_have_kept_it_from_being_raised_at_all(made, tmp_path):
    _, found = tried(made, "high")
    again = run(tmp_path / "run", given=edited(found.whole))
    later = [
        d
        for d in final_revisions(again.decisions())
        if d.kind == "high" and d.subject.startswith("s0") and d.event_ns <= found.until_ns
    ]
    assert later == []


def test_a_fault_of_one_window_is_not_put_off(made):
    _, found = tried(made, "high", "s1")
    assert found.counterfactual.is_found
    assert (found.put_off_ns, found.whole) == (-1, None)


def test_a_measure_of_an_expression_is_explained_by_the_one_field_it_reads(made):
    decision, found = tried(made, "seldom")
    assert decision_subject(made.plan, decision).field == "value"
    assert found.counterfactual.high == pytest.approx(12.0, abs=0.1)


def test_since_when_it_is_beyond_the_level_and_what_was_usual_before(made):
    decision, found = tried(made, "high")
    history = found.history
    assert history.since_ns == START_NS + FAULT_S[0] * NS_PER_S
    assert history.windows == 1
    assert not history.is_open
    assert history.before == FAULT_S[0] // 10
    assert abs(history.usual[0]) < 1
    assert decision.window_start_ns in history.start_ns


def test_a_search_takes_no_more_runs_than_it_says(made):
    assert all(tried(made, kind)[1].runs <= MAX_RUNS for kind in ("high", "unusual", "seldom"))


def test_from_a_checkpoint_it_is_the_same_as_from_the_beginning(made, tmp_path):
    short = run(tmp_path / "run", checkpoint_epochs=20)
    _, from_checkpoint = tried(short, "high")
    _, from_beginning = tried(run(tmp_path / "whole"), "high")
    assert from_checkpoint.began_after > from_beginning.began_after == -1
    assert from_checkpoint.counterfactual == from_beginning.counterfactual


def test_a_silence_is_not_decided_on_a_value(made):
    _, found = tried(made, "silent", "s1")
    assert found.counterfactual.change is None
    assert "rows that did not come" in found.counterfactual.note


def test_what_ends_an_alert_is_not_explained_as_one(made):
    over = next(d for d in made.decisions() if str(d.transition) == "cleared" and d.kind == "high")
    found = try_decision(made, over, decision_subject(made.plan, over))
    assert "see what raised it" in found.counterfactual.note


def test_rows_that_the_log_only_refers_to_cannot_be_tried_and_it_says_so(tmp_path):
    _, found = tried(run(tmp_path / "run", record="reference"), "high")
    assert "not in the log" in found.counterfactual.note


def test_a_decision_that_the_log_does_not_give_again_is_not_explained(made):
    decision = raised(made, "high", "s0")
    other = replace(decision, decision_id="0" * 32)
    found = try_decision(made, other, decision_subject(made.plan, other))
    assert "does not raise it again" in found.counterfactual.note


def test_of_a_score_that_remembers_the_windows_that_led_to_it_are_changed_too(tmp_path):
    run_pipeline(
        learning_plan(),
        {"t": MemorySource("t", {"t": fleet()})},
        tmp_path / "run",
        options=RunOptions(durable=False),
    )
    made = RunDirectory.open(tmp_path / "run")
    decision, found = tried(made, "odd")
    assert found.counterfactual.is_found
    assert found.history.since_ns <= found.counterfactual.start_ns < decision.window_start_ns


def novel_run(folder):
    run_pipeline(
        learning_plan(),
        {"t": MemorySource("t", {"t": fleet()})},
        folder / "run",
        options=RunOptions(durable=False),
    )
    return RunDirectory.open(folder / "run")


def test_what_was_unlike_the_past_is_told_with_the_nearest_normal_stretch(tmp_path):
    made = novel_run(tmp_path)
    decision = raised(made, "odd", "s0/value")
    found = explain(made, decision.decision_id, is_quick=False).rows.novelty
    assert (found.stage, found.measure, found.note) == ("unlike", "value.mean", "")
    assert found.why.score == pytest.approx(decision.score)
    widest = found.why.widths[0]
    assert widest.leading()[0] in {"mean", "greatest", "rise", "step", "deviation", "least"}
    assert widest.normal.end_ns < decision.window_start_ns


def test_the_text_of_a_novelty_names_features_and_the_stretch_it_was_compared_with(tmp_path):
    made = novel_run(tmp_path)
    decision = raised(made, "odd", "s0/value")
    lines = account_lines(explain(made, decision.decision_id, is_quick=False))
    assert len(lines) < 40
    assert any("deviations further from the past than usual" in line for line in lines)
    assert any("nearest normal stretch: 2026-01-01" in line for line in lines)


def test_a_decision_that_rests_on_no_novelty_says_nothing_of_it(made):
    found = explain(made, raised(made, "high", "s0").decision_id, is_quick=False)
    assert found.rows.novelty is None


# --- what else happened -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def alert(made):
    return explain(made, raised(made, "high", "s0").decision_id, is_quick=False)


def test_other_decisions_of_its_group_are_named_and_counted(alert):
    around = alert.circumstances
    assert dict(around.in_group)["high"] == 1  # of s1, in the same area
    assert {d.group for d in around.neighbours} == {"north"}


def test_the_same_code_about_others_is_counted_by_group(alert):
    assert dict(alert.circumstances.same_code) == {"north": 1}


def test_refused_rows_are_counted_by_reason_and_for_the_key(alert):
    counts = dict(alert.circumstances.quarantined)
    assert set(counts) == {"RANGE"}
    assert 0 < alert.circumstances.quarantined_of_key < counts["RANGE"]


def test_what_operators_said_of_the_subject_is_told(alert, made):
    assert alert.circumstances.controls == ("shelve on s0",)
    other = explain(made, raised(made, "high", "s1").decision_id)
    assert other.circumstances.controls == ()


def test_the_text_is_short_and_begins_with_what_was_decided(alert):
    lines = account_lines(alert)
    assert len(lines) < 30
    assert lines[0] == "high raised: s0/value of north, 2026-01-01 00:02:50Z"
    bound = alert.rows.tried.counterfactual.high
    assert any(line.startswith(f"  value at most {bound:.4g} over 2026-01-01") for line in lines)


def test_everything_is_in_json(alert):
    plain = json.loads(json.dumps(alert.as_mapping(), allow_nan=False))
    assert plain["counterfactual"]["verdict"] == "found"
    assert plain["counterfactual"]["unit"] == "1"
    assert plain["circumstances"]["operator_inputs"] == ["shelve on s0"]
    assert plain["history"]["windows"] == 1


@pytest.mark.parametrize("kind", ["high", "silent"])
def test_a_picture_can_be_drawn_of_any_decision(made, tmp_path, kind):
    pytest.importorskip("matplotlib", reason="the extra `report` is not installed")
    found = explain(made, raised(made, kind, "s1").decision_id, is_quick=False)
    draw_account(made, found, tmp_path / "why.png")
    assert (tmp_path / "why.png").read_bytes().startswith(b"\x89PNG")


# --- the command --------------------------------------------------------------------------------


def command(*arguments):
    given = ["explain", *map(str, arguments)]
    return CliRunner().invoke(app_for(given), given)


def test_the_command_says_it_all_and_draws_the_rows(made):
    done = command(made.path, raised(made, "high", "s0").decision_id[:12])
    assert done.exit_code == 0
    said = done.stdout
    assert said.index("high raised: s0/value") < said.index("what would not have raised it")
    assert said.index("what else happened") < said.index("window\n")


def test_quickly_the_core_is_not_run(made):
    done = command(made.path, raised(made, "high", "s0").decision_id, "--quick", "--json")
    assert json.loads(done.stdout)["core_runs"] == 0


@pytest.mark.parametrize("name", ["why.svg", "why.png"])
def test_a_picture_is_written_by_its_ending(made, tmp_path, name):
    pytest.importorskip("matplotlib", reason="the extra `report` is not installed")
    out = tmp_path / name
    done = command(made.path, raised(made, "high", "s0").decision_id, "--quick", "-o", out)
    assert done.exit_code == 0
    assert out.read_bytes()[:4] == {".svg": b"<svg", ".png": b"\x89PNG"}[out.suffix]
