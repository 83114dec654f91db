"""A tick's work grows with what has come, not with all the keys there are."""

import sys

import polars as pl
import pytest

from sightline.runtime import make_plan
from sightline.runtime.engine.core import PartitionCore
from sightline.runtime.engine.stream import Names
from sightline.sense.admission import Share
from simulation.small_runs import readings
from simulation.small_world import small_plan
from simulation.stepping import epochs_of


def plan_without_silence():
    """A key that is said to be silent is looked at for as long as that stands."""
    made = small_plan(partitions=1, stages={"odd": {"guarded": None}})
    stages = {n: f for n, f in made.pipeline.stages.items() if f.use != "silence"}
    return make_plan(made.pipeline.model_copy(update={"stages": stages}), made.contracts)


PLAN = plan_without_silence()
STEADY = 4
"""Keys that go on giving rows; all others have given theirs in the first seconds."""
UNTIL_S = 120


def ticks(keys):
    """(core, tick entry) of each tick of a run over so many keys; the rows are fed before it."""
    frames = [
        readings([0.0] * (UNTIL_S if i < STEADY else 3), sensor=f"s{i:05d}", area=f"a{i % 3}")
        for i in range(keys)
    ]
    rows = pl.concat(frames).sort("received_ns", maintain_order=True)
    core = PartitionCore(PLAN, partition=0)
    for epoch, tick in epochs_of(PLAN, rows):
        for name, batch in epoch.batches:
            core.step_rows(name, Share.of(batch))
        yield core, tick


def calls_of(core, entry):
    """Python functions called in a tick."""
    count = [0]

    def seen(frame, event, argument):
        count[0] += event == "call"

    sys.setprofile(seen)
    try:
        core.step(entry)
    finally:
        sys.setprofile(None)
    return count[0]


def test_a_tick_late_in_a_run_calls_no_function_for_each_key_that_is_quiet():
    found = {}
    for keys in (40, 400):
        counts = [calls_of(core, entry) for core, entry in ticks(keys)]
        found[keys] = counts[-3]  # long after the others fell silent; the last tick ends the run
    assert found[400] <= found[40] * 1.1


def test_no_tick_goes_over_the_names_of_all_keys(monkeypatch):
    for core, entry in ticks(20):
        with monkeypatch.context() as patched:
            patched.setattr(Names, "all", lambda self: pytest.fail("every name in a tick"))
            core.step(entry)
