"""Stages with ``begin`` and ``follow``: what they say hangs on the rows, and on nothing else."""

import copy

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline.errors import LogError
from sightline.recorder.checkpoint import pack_state, unpack_state
from sightline.runtime import make_plan
from sightline.runtime.engine.core import PartitionCore
from sightline.runtime.pipeline import parse_pipeline
from sightline.sense.admission import Share
from sightline.sense.contract import parse_contract
from simulation import own_stages
from simulation.schedules import NS_PER_S
from simulation.small_runs import readings
from simulation.small_world import ALLOWANCE_S, CONTRACT, START_NS
from simulation.stepping import epochs_of

SECONDS = 40
FORM = {
    "pipeline": "following",
    "tick_s": 3,
    "idle_s": 10,
    "plugins": ["simulation.own_stages"],
    "sources": {"t": {"contract": "small"}},
    "stages": {
        "w": {"use": "windows", "input": "t", "width_s": 2, "slide_s": 1, "statistics": ["mean"]},
        "since": {"use": "since_rise", "input": "w", "measures": ["value.mean"]},
    },
}


def following_plan():
    made = parse_contract(CONTRACT, where="small")
    return make_plan(parse_pipeline(copy.deepcopy(FORM), where="p.yaml"), {"t": made})


PLAN = following_plan()


def values(seed):
    """Three sensors whose levels rise now and then."""
    rng = np.random.default_rng(seed)
    frames = []
    for i in range(3):
        level = np.cumsum(2.0 * (rng.random(SECONDS) < 0.15)) + rng.normal(0, 0.3, SECONDS)
        frames.append(readings(np.round(level, 3), sensor=f"s{i}"))
    return pl.concat(frames)


def final_values(rows, *, restored_at=None):
    """What the stage wrote last for each window, by sensor and second.

    Args:
        rows: in any order; they are fed in order of receipt.
        restored_at: after so many ticks the core goes on as a fresh one with its checkpoint.
    """
    rows = rows.sort("received_ns", maintain_order=True)
    written = {}

    def observe(wrote):
        if wrote.stage == "since":
            for subject, start_ns, found in zip(
                wrote.subjects, wrote.start_ns.tolist(), wrote.values[:, 0].tolist(), strict=True
            ):
                written[subject, (start_ns - START_NS) // NS_PER_S] = found

    core = PartitionCore(PLAN, partition=0, observe=observe)
    for ticks, (epoch, tick) in enumerate(epochs_of(PLAN, rows)):
        if ticks == restored_at:
            state = unpack_state(pack_state(core.snapshot()))
            core = PartitionCore(PLAN, partition=0, observe=observe)
            core.restore(state)
        for name, batch in epoch.batches:
            core.step_rows(name, Share.of(batch))
        core.step(tick)
    accounts = core.accounts()
    assert (accounts.decided, accounts.quarantined) == (rows.height, {})
    return written


def as_the_stage_says(rows):
    """The stage over the windows of each sensor, one after the other, in order."""
    stage = own_stages.SinceRise("since", PLAN.pipeline.stages["since"])
    found = {}
    for (sensor,), part in rows.group_by("sensor"):
        at = (part["time_ns"].to_numpy() - START_NS) // NS_PER_S
        value = part["value"].to_numpy()
        state = dict(stage.begin(1, 1))
        for second in range(-1, SECONDS):
            inside = (at >= second) & (at < second + 2)
            mean = np.array([[value[inside].mean()]])
            found[sensor, second] = stage.follow(state, mean)[0, 0]
    return found


def arriving(rows, seed, share):
    """A share of the rows comes late, within what the contract allows."""
    rng = np.random.default_rng([seed, 1])
    late_s = rng.uniform(0, ALLOWANCE_S - 4, rows.height) * (rng.random(rows.height) < share)
    return rows.with_columns(received_ns=rows["time_ns"] + (late_s * NS_PER_S).astype(np.int64))


def test_in_order_it_is_the_stage_over_one_window_after_the_other():
    found, expected = final_values(values(0)), as_the_stage_says(values(0))
    assert found.keys() == expected.keys()
    for at, value in expected.items():
        assert found[at] == pytest.approx(value, abs=1e-9), at


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), share=st.sampled_from([0.05, 0.4, 1.0]))
def test_the_order_of_arrival_does_not_show(seed, share):
    rows = values(seed % 5)
    assert final_values(arriving(rows, seed, share)) == final_values(rows)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), restored_at=st.integers(1, 14))
def test_a_checkpoint_between_does_not_show(seed, restored_at):
    rows = arriving(values(seed % 5), seed, 0.4)
    assert final_values(rows, restored_at=restored_at) == final_values(rows)


def test_state_of_another_version_of_the_stage_is_refused(monkeypatch):
    core = PartitionCore(PLAN, partition=0)
    parts = core.snapshot()
    monkeypatch.setattr(own_stages.SinceRise, "version", 2)
    with pytest.raises(LogError, match="since_rise, version 2"):
        PartitionCore(PLAN, partition=0).restore(parts)
