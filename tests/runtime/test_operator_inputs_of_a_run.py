"""Operator inputs are taken while any run goes on: live or finite, of rows or of cameras."""

import json

from sightline.recorder import read_entries
from sightline.records import EntryKind
from sightline.runtime import RunDirectory, RunOptions, replay_run, run_pipeline
from sightline.runtime.alerting.controls import give_control
from sightline.sense import MemorySource
from simulation.small_runs import readings, windows
from simulation.small_world import START_NS, mask, small_plan

LEVELS = windows(0, 12, 0, 12, 0, 12, 0)
NS = 1_000_000_000


def run(out, *, on_progress=None, controls=tuple):
    return run_pipeline(
        small_plan(),
        {"t": MemorySource("t", {"t": readings(LEVELS)})},
        out,
        # A speed makes each tick a commit; the clock does not wait.
        options=RunOptions(durable=False, speed=1e9),
        on_progress=on_progress,
        controls=controls,
    )


def raised_s(out):
    return [
        (d.event_ns - START_NS) / NS
        for d in RunDirectory.open(out).decisions()
        if d.kind == "high" and d.transition == "raised"
    ]


def controls_of(out, partition):
    storage = RunDirectory.open(out).storage
    found = read_entries(storage, partition, kinds={EntryKind.CONTROL})
    return [json.loads(entry.payload)["control"] for entry in found]


def test_without_any_every_rise_is_raised(tmp_path):
    run(tmp_path / "run")
    assert raised_s(tmp_path / "run") == [20.0, 40.0, 60.0]


def test_what_a_caller_gives_while_a_finite_run_goes_on_takes_effect_and_replays(tmp_path):
    asked = []

    def controls():
        asked.append(1)
        return [mask("s0")] if len(asked) == 4 else []

    run(tmp_path / "run", controls=controls)
    assert raised_s(tmp_path / "run") == [20.0]
    for partition in RunDirectory.open(tmp_path / "run").partitions:
        assert controls_of(tmp_path / "run", partition) == ["mask"]
    assert replay_run(RunDirectory.open(tmp_path / "run"))


def test_a_file_that_is_put_into_a_finite_run_takes_effect_and_is_removed(tmp_path):
    out = tmp_path / "run"

    def give(progress):
        if not (out / "controls").exists() or not given:
            given.append(give_control(out, mask("s0"), name="0001"))

    given = []
    run(out, on_progress=give)
    assert len(raised_s(out)) < 3
    assert set(controls_of(out, "p000")) == {"mask"}
    assert list((out / "controls").iterdir()) == []
    assert replay_run(RunDirectory.open(out))
