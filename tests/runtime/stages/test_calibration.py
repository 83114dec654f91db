"""The calibration stage: what a score means, in an engine whose windows may be revised."""

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from sightline.errors import PipelineError
from sightline.perceive.normal import CalibrationBank, CalibrationSettings
from sightline.records import EntryKind
from sightline.records.decision import final_revisions
from sightline.runtime import make_plan
from sightline.runtime.engine.core import PartitionCore
from simulation.engine import SimulatedEngine
from simulation.learning_runs import (
    LATE,
    fleet,
    learning_plan,
    logged,
    of_subject,
    scores_of_stages,
)
from simulation.schedules import NS_PER_S, EngineFaults, arrive
from simulation.small_world import COLUMNS, START_NS

N, JUMP = 560, (500, 530)
BLOCK, BLOCKS = 20, 12
CALIBRATION = {"block_windows": BLOCK, "least_blocks": BLOCKS}
KNOWN = 80 + BLOCK * BLOCKS
"""Windows until something is known at the soonest: those the detector learns, and the blocks."""


def plan(**pipeline):
    return learning_plan(calibration=CALIBRATION, **pipeline)


def calibrated(scores, settings):
    """What a bank of one series says."""
    bank = CalibrationBank(settings, max_series=1)
    bank.grow(1)
    return bank.follow(np.zeros(1, np.int64), np.array([len(scores)]), scores)


def rows():
    return fleet(N, JUMP)


def test_each_series_is_as_rare_as_its_own_scores_say():
    one = plan(partitions=1)
    _, (scores, rarities) = scores_of_stages(rows(), ["unlike", "rare"], plan=one)
    settings = CalibrationSettings(
        block_rows=BLOCK, least_blocks=BLOCKS, confirm_blocks=BLOCKS, kept_blocks=200
    )
    for i in range(3):
        expected = calibrated(of_subject(scores, f"s{i}", N), settings)
        np.testing.assert_allclose(
            of_subject(rarities, f"s{i}", N), expected, rtol=1e-9, atol=1e-12
        )


def test_blocks_are_of_windows_with_data():
    one = plan(partitions=1)
    gone = list(range(300, 340))
    left = rows().filter(~((pl.col("time_ns") - START_NS) // NS_PER_S).is_in(gone))
    _, (scores, rarities) = scores_of_stages(left, ["unlike", "rare"], plan=one)
    settings = CalibrationSettings(
        block_rows=BLOCK, least_blocks=BLOCKS, confirm_blocks=BLOCKS, kept_blocks=200
    )
    at = [i for i in range(N) if i not in gone]
    expected = calibrated(of_subject(scores, "s0", N)[at], settings)
    found = of_subject(rarities, "s0", N)[at]
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_nothing_is_raised_before_enough_blocks_are_known():
    early = fleet(N, (200, 230))  # known to the detector, and not yet to the calibration
    result = SimulatedEngine(plan(), {"t": early}).run_through()
    assert not [d for d in result.decisions if d.event_ns - START_NS < KNOWN * NS_PER_S]


def test_what_is_rare_among_the_blocks_before_is_raised():
    result = SimulatedEngine(plan(), {"t": rows()}).run_through()
    raised = [d for d in final_revisions(result.decisions) if d.transition == "raised"]
    about = {d.subject for d in raised if d.event_ns - START_NS > JUMP[0] * NS_PER_S}
    assert about == {"s0/value", "s1/value", "s2/value"}


def test_a_decision_names_the_score_and_the_value_under_it():
    result = SimulatedEngine(plan(), {"t": rows()}).run_through()
    raised = next(d for d in result.decisions if d.transition == "raised")
    measures = [r.measure for r in raised.reasons if r.code == "SCORED_VALUE"]
    assert measures == ["unlike.value", "value.mean"]


def test_disorder_within_the_allowance_ends_in_the_decisions_of_the_run_in_order():
    disordered = SimulatedEngine(plan(), {"t": arrive(rows(), LATE, COLUMNS)}).run_through()
    in_order = SimulatedEngine(plan(), {"t": arrive(rows(), LATE.in_order(), COLUMNS)})
    assert disordered.final_digest == in_order.run_through().final_digest


@pytest.mark.parametrize("share", [0.4, 0.8])
def test_a_crash_shows_in_no_decision(share):
    simulated = SimulatedEngine(plan(), {"t": arrive(rows(), LATE, COLUMNS)})
    undisturbed = simulated.run_through()
    assert undisturbed.decisions
    faults = EngineFaults(crashes=(share,), checkpoint_epochs=3)
    assert simulated.run_through(faults, like=undisturbed).digest == undisturbed.digest


# --- a change that stays --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def changed_for_good():
    """What the core of a run reads in which three sensors change and stay so."""
    return logged(plan(partitions=1), fleet(1000, (450, 1000)))


def taken_as_normal(entries, subject):
    """How far the stage knows its series, and what is decided of ``s0`` from the input on.

    The input comes once all three wait for it, ``None``: never.
    """
    core, learning, found = PartitionCore(plan(partitions=1), partition=0), None, []
    for entry in entries:
        found += core.step(entry).decisions
        waiting = dict(core.learning())["rare"].waiting
        if subject and learning is None and entry.kind == EntryKind.TICK and waiting == 3:
            payload = json.dumps({"control": "take_as_normal", "subject": subject}).encode()
            core.step(replace(entry, kind=EntryKind.CONTROL, payload=payload))
            learning, found = dict(core.learning())["rare"], []
    last = dict(core.learning())["rare"]
    return learning or last, [d for d in found if d.subject == "s0/value"], core.tick_ns


def test_series_that_have_changed_for_good_are_named(changed_for_good):
    learning, _, _ = taken_as_normal(changed_for_good, None)
    assert learning.as_mapping()["named"] == ["s0/value", "s1/value", "s2/value"]


@pytest.mark.parametrize("subject", ["s0/value", "s0"])
def test_what_is_taken_as_normal_waits_no_more(changed_for_good, subject):
    learning, _, _ = taken_as_normal(changed_for_good, subject)
    assert learning.as_mapping()["named"] == ["s1/value", "s2/value"]


def test_an_alarm_of_what_is_taken_as_normal_is_over(changed_for_good):
    _, found, end_ns = taken_as_normal(changed_for_good, "s0/value")
    assert [d.transition for d in found] == ["cleared"]
    assert found[0].event_ns < end_ns - 100 * NS_PER_S


@pytest.mark.parametrize("subject", ["s9", "s0/other", "s9/value"])
def test_a_subject_that_is_not_known_changes_nothing(changed_for_good, subject):
    learning, _, _ = taken_as_normal(changed_for_good, subject)
    assert learning.waiting == 3


def test_settings_that_do_not_fit_together_are_refused_with_the_name_of_the_stage():
    with pytest.raises(PipelineError, match=r"stages\.rare"):
        learning_plan(calibration={"least_blocks": 50, "kept_blocks": 20})


def budget_plan(per_day, **alarm):
    """The alarm with a budget of false alerts in place of a threshold."""
    made = plan()
    stages = dict(made.pipeline.stages)
    changed = {"raise_above": None, "false_alerts_per_day": per_day, **alarm}
    stages["odd"] = stages["odd"].model_copy(update=changed)
    return make_plan(made.pipeline.model_copy(update={"stages": stages}), made.contracts)


def test_a_budget_of_false_alerts_becomes_the_rarity_to_raise_at():
    # 86,400 windows of a second make 4,320 blocks of 20 a day.
    form = budget_plan(0.432).pipeline.stages["odd"]
    assert form.raise_above == pytest.approx(4.0)


def test_a_run_keeps_the_threshold_that_its_budget_came_to():
    made = budget_plan(0.432)
    again = make_plan(made.pipeline, made.contracts)
    assert again.digest == made.digest
    assert steps_of(again) == steps_of(made)


def steps_of(plan):
    return [
        (s.name, s.version, s.stage.settings, s.reads, s.adds)
        for chain in plan.chains
        for s in (chain.root, *chain.steps)
    ]


@pytest.mark.parametrize(
    ("per_day", "alarm", "expected"),
    [
        (0.1, {"raise_above": 3.0}, "either false_alerts_per_day"),
        (0.1, {"input": "unlike"}, "on measures of a `calibration`"),
        (5000.0, {}, "less than one false alert per block"),
    ],
)
def test_a_budget_that_cannot_be_kept_is_refused(per_day, alarm, expected):
    with pytest.raises(PipelineError, match=r"stages\.odd") as caught:
        budget_plan(per_day, **alarm)
    assert expected in str(caught.value)
