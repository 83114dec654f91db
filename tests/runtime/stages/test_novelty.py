"""The novelty stage: detectors that learn, in an engine whose windows may be revised."""

import numpy as np
import polars as pl
import pytest

from sightline.errors import PipelineError
from sightline.limits import Limits
from sightline.perceive.normal import SeriesDetector
from sightline.recorder.checkpoint import pack_state, unpack_state
from sightline.records.decision import final_revisions
from sightline.runtime import RunOptions, run_pipeline
from sightline.runtime.engine.core import PartitionCore
from sightline.sense import MemorySource
from simulation.engine import SimulatedEngine
from simulation.learning_runs import (
    LATE,
    LEARN,
    NOVELTY,
    SETTINGS,
    N,
    fleet,
    learning_plan,
    logged,
    of_subject,
    scores_of,
    values,
)
from simulation.schedules import NS_PER_S, EngineFaults, arrive
from simulation.small_world import COLUMNS, START_NS


def engine(rows=None, **arguments):
    return SimulatedEngine(learning_plan(), {"t": fleet() if rows is None else rows}, **arguments)


def spec(series):
    """Scores by the detector of one series."""
    detector = SeriesDetector.learn(series[:LEARN], SETTINGS)
    found, _ = detector.follow(series[LEARN:])
    return np.concatenate([np.full(LEARN, np.nan), found])


def test_each_series_is_scored_as_its_own_detector_scores_it():
    _, written = scores_of(fleet())
    for i in range(3):
        np.testing.assert_array_equal(of_subject(written, f"s{i}"), spec(values(i)))


def without(sensor, seconds, n=N):
    """The fleet without some rows of one sensor."""
    at = (pl.col("time_ns") - START_NS) // NS_PER_S
    return fleet(n).filter(~((pl.col("sensor") == sensor) & at.is_in(seconds)))


def test_a_long_outage_counts_as_missing_samples_of_the_widest_stretch_and_no_more():
    gone = list(range(120, 190))
    _, written = scores_of(without("s0", gone))
    series = values(0)
    shortened = np.concatenate([series[:120], np.full(SETTINGS.widths[-1], np.nan), series[190:]])
    expected = spec(shortened)[120 + SETTINGS.widths[-1] :]
    np.testing.assert_array_equal(of_subject(written, "s0")[190:], expected)


def test_windows_without_data_are_missing_samples():
    gone = [*range(120, 125), *range(150, 151)]
    rows = without("s0", gone)
    _, written = scores_of(rows)
    series = values(0)
    series[gone] = np.nan
    expected = spec(series)
    expected[gone] = np.nan
    np.testing.assert_array_equal(of_subject(written, "s0"), expected)


def test_a_jump_is_raised_after_learning_and_not_before():
    result = engine().run_through()
    raised = [d for d in final_revisions(result.decisions) if d.transition == "raised"]
    assert {d.subject for d in raised} == {"s0/value", "s1/value", "s2/value"}
    assert all(d.event_ns - START_NS > 200 * NS_PER_S for d in raised)


def test_a_decision_names_the_value_that_was_scored():
    result = engine().run_through()
    raised = next(d for d in result.decisions if d.transition == "raised")
    codes = [reason.code for reason in raised.reasons]
    assert codes == ["UNLIKE_PAST", "SCORED_VALUE", "PERSISTENCE"]
    scored = raised.reasons[1]
    at = (raised.window_start_ns - START_NS) // NS_PER_S
    sensor = int(raised.subject[1])
    assert (scored.measure, scored.unit) == ("value.mean", "1")
    assert scored.value == values(sensor)[at]


def test_disorder_within_the_allowance_ends_in_the_scores_of_the_run_in_order():
    _, disordered = scores_of(arrive(fleet(), LATE, COLUMNS))
    _, in_order = scores_of(arrive(fleet(), LATE.in_order(), COLUMNS))
    for i in range(3):
        subject = f"s{i}"
        np.testing.assert_array_equal(
            of_subject(disordered, subject), of_subject(in_order, subject)
        )


def test_disorder_within_the_allowance_ends_in_the_decisions_of_the_run_in_order():
    disordered = engine(arrive(fleet(), LATE, COLUMNS)).run_through()
    in_order = engine(arrive(fleet(), LATE.in_order(), COLUMNS)).run_through()
    assert disordered.final_digest == in_order.final_digest
    assert disordered.digest != in_order.digest  # it had to revise on the way


@pytest.mark.parametrize("share", [0.2, 0.5, 0.75, 0.9])
def test_a_crash_shows_in_no_decision(share):
    simulated = engine(arrive(fleet(), LATE, COLUMNS))
    undisturbed = simulated.run_through()
    faults = EngineFaults(crashes=(share,), checkpoint_epochs=3)
    crashed = simulated.run_through(faults, like=undisturbed)
    assert crashed.lives == 2
    assert crashed.digest == undisturbed.digest
    assert crashed.replay(simulated.sources)


def test_a_restored_core_goes_on_as_the_one_that_was_stored():
    plan = learning_plan(partitions=1)
    rows = arrive(fleet(), LATE, COLUMNS)
    entries = logged(plan, rows)
    first = PartitionCore(plan, partition=0)
    ticks = [i for i, entry in enumerate(entries) if entry.kind == "tick"]
    cut = ticks[len(ticks) * 3 // 4] + 1
    for entry in entries[:cut]:
        first.step(entry)
    second = PartitionCore(plan, partition=0)
    second.restore(unpack_state(pack_state(first.snapshot())))
    for entry in entries[cut:]:
        assert first.step(entry).digests == second.step(entry).digests


def test_the_state_does_not_grow_with_the_length_of_the_run():
    def size(n):
        core, _ = scores_of(fleet(n))
        return sum(array.nbytes for array in core.snapshot().arrays.values())

    assert size(600) == pytest.approx(size(300), rel=0.05)


def test_keys_beyond_the_limit_are_counted_and_not_scored():
    core, written = scores_of(fleet(), limits=Limits(max_learnt_series=2))
    learning = dict(core.learning())["unlike"]
    assert (learning.known, learning.learning, learning.without_room) == (2, 0, 1)
    scored = {subject for (subject, _), score in written.items() if np.isfinite(score)}
    assert len(scored) == 2


def test_the_report_of_a_run_says_what_is_known_and_what_is_still_learnt_from(tmp_path):
    rows = pl.concat([fleet(), fleet(LEARN - 10).with_columns(sensor=pl.lit("late"))])
    report = run_pipeline(
        learning_plan(),
        {"t": MemorySource("t", {"t": rows.sort("received_ns", maintain_order=True)})},
        tmp_path / "run",
        options=RunOptions(durable=False),
    )
    assert report.as_mapping()["learning"] == {
        "unlike": {"known": 3, "learning": 1, "without_room": 0}
    }


def test_learning_can_be_spread_over_the_keys():
    plan = learning_plan(novelty={**NOVELTY, "spread_windows": 40}, partitions=1)
    _, written = scores_of(fleet(), plan=plan)
    begins = {int(np.flatnonzero(np.isfinite(of_subject(written, f"s{i}")))[0]) for i in range(3)}
    assert len(begins) > 1
    assert all(LEARN <= at <= LEARN + 40 for at in begins)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"widths": [8, 12]}, "powers of two"),
        ({"measures": ["*.median"]}, "ending in .median"),
        ({"measures": ["value.mean", "*.mean"], "learn_windows": 34, "widths": [32]}, "96 or more"),
    ],
)
def test_a_stage_that_cannot_work_is_refused_with_its_name(change, expected):
    with pytest.raises(PipelineError, match=r"stages\.unlike") as caught:
        learning_plan(novelty={**NOVELTY, **change})
    assert expected in str(caught.value)


def test_an_absurd_value_is_unusual_and_not_unknown():
    rows = fleet().with_columns(
        value=pl.when((pl.col("sensor") == "s0") & (pl.col("value") > 2.0))
        .then(1e300)
        .otherwise(pl.col("value"))
    )
    contract = {"fields": {"value": {"type": "number", "unit": "1"}}}
    result = SimulatedEngine(learning_plan(contract=contract), {"t": rows}).run_through()
    raised = [d for d in result.decisions if d.transition == "raised" and "s0" in d.subject]
    assert raised
    assert raised[0].event_ns - START_NS < 210 * NS_PER_S


def test_an_alarm_on_several_measures_without_a_field_is_refused():
    seconds = {
        "expressions": {
            "a": {"sql": "avg(value)", "unit": "1"},
            "b": {"sql": "max(value)", "unit": "1"},
        }
    }
    with pytest.raises(PipelineError, match=r"stages\.odd.*one measure of each field"):
        learning_plan(novelty={**NOVELTY, "measures": ["a", "b"]}, seconds=seconds)


def test_a_dictionary_id_cannot_be_learnt_from():
    with pytest.raises(PipelineError, match="group"):
        learning_plan(novelty={**NOVELTY, "measures": ["group"]})
