"""Decisions that may still be revised are bounded; beyond the bound the oldest become final."""

import polars as pl

from sightline.limits import Limits
from sightline.recorder.checkpoint import pack_state, unpack_state
from sightline.runtime import run_pipeline
from sightline.runtime.engine.core import PartitionCore
from sightline.sense import MemorySource
from sightline.sense.admission import Share
from simulation.schedules import NS_PER_S
from simulation.small_runs import readings
from simulation.small_world import CONTRACT, SENSORS, START_NS, small_plan
from simulation.stepping import epochs_of

WINDOWS = 30
PLAN = small_plan(
    partitions=1,
    contract={"timing": {**CONTRACT["timing"], "revision_allowance_s": 1000}},
    stages={"odd": {"guarded": None}},
)
MOST = 60


def rows(*late):
    """Each sensor is high in every second window: a decision at the end of each window."""
    levels = [20.0 * (n % 2) for n in range(WINDOWS) for _ in range(10)]
    frames = [readings(levels, sensor=sensor) for sensor in SENSORS]
    return pl.concat([*frames, *late]).sort("received_ns", maintain_order=True)


def decided(given, *, most, is_restored=False):
    """(most decisions held, all that was said about levels, the core at the end)."""
    limits = Limits(max_open_decisions=most)
    core = PartitionCore(PLAN, partition=0, limits=limits)
    said, held = [], 0
    for epoch, tick in epochs_of(PLAN, given):
        if is_restored:
            state = unpack_state(pack_state(core.snapshot()))
            core = PartitionCore(PLAN, partition=0, limits=limits)
            core.restore(state)
        for name, batch in epoch.batches:
            core.step_rows(name, Share.of(batch))
        said += core.step(tick).decisions
        held = max(held, len(core.issued))
    return held, [d for d in said if d.kind == "high"], core


def test_without_late_rows_the_bound_changes_nothing_that_is_said():
    held, free, _ = decided(rows(), most=10_000)
    bounded_held, bounded, core = decided(rows(), most=MOST)
    assert held > MOST >= bounded_held
    assert [d.canonical_bytes() for d in bounded] == [d.canonical_bytes() for d in free]
    assert core.issued.made_final > 0


def late():
    """Takes the first rise away, long after it was said."""
    return readings([-1000.0], sensor="s0", time_s=[15.5], received_s=250.5)


def test_what_is_final_is_not_revised_and_its_rows_are_accounted_for():
    _, free, _ = decided(rows(late()), most=10_000)
    _, bounded, core = decided(rows(late()), most=MOST)
    first_ns = START_NS + 20 * NS_PER_S
    assert "retracted" in {d.status for d in free if d.event_ns == first_ns}
    assert {str(d.status) for d in bounded if d.event_ns == first_ns} == {"issued"}
    assert core.accounts().decided == rows(late()).height


def test_a_checkpoint_between_changes_nothing():
    _, straight, core = decided(rows(late()), most=MOST)
    _, restored, again = decided(rows(late()), most=MOST, is_restored=True)
    assert [d.canonical_bytes() for d in restored] == [d.canonical_bytes() for d in straight]
    assert again.issued.made_final == core.issued.made_final


def test_the_report_of_a_run_says_what_the_bound_has_cost(tmp_path):
    _, _, core = decided(rows(), most=MOST)
    source = MemorySource("t", {"t": rows()})
    limits = Limits(max_open_decisions=MOST)
    report = run_pipeline(PLAN, {"t": source}, tmp_path / "run", limits=limits)
    assert report.at_bounds == {"max_open_decisions": core.issued.made_final}
