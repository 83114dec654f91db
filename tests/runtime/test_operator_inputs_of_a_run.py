"""Operator inputs are taken while any run goes on: live or finite, of rows or of cameras."""

import json

from sightline.cli.run_command import _followed
from sightline.recorder import read_entries
from sightline.records import EntryKind
from sightline.records.command import ActuatorCommand
from sightline.runtime import RunDirectory, RunOptions, replay_run, run_pipeline
from sightline.runtime.alerting.controls import give_control
from sightline.sense import MemorySource
from simulation.site_cases import camera, plan_of, run_yard, told, yard
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


def test_an_input_that_is_none_is_counted_and_the_run_goes_on(tmp_path):
    asked = []

    def controls():
        asked.append(1)
        return [{"control": "rest"}, {}, mask("s0")] if len(asked) == 4 else []

    report = run(tmp_path / "run", controls=controls)
    assert report.refused_controls == 2
    assert raised_s(tmp_path / "run") == [20.0]


# --- a file of inputs that is read again ----------------------------------------------------------


def latched():
    """A machine that stays stopped for a person until somebody presses its button."""
    plain = yard()
    plain["machines"]["saw"]["needs_reset"] = True
    return plan_of(plain)


def visited():
    """Somebody is in the pit of the camera between 3 s and 5 s."""
    inside = [[200.0, 100.0, 220.0, 160.0]]
    return told(latched(), lambda at_ns: inside if 3 * NS <= at_ns < 5 * NS else [])


def press_file(folder):
    path = folder / "controls.jsonl"
    lines = [{"control": "reset", "machine": "saw", "is_down": d} for d in (False, True, False)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def run_latched(out, path, *, is_stopped=lambda: False, **options):
    return run_yard(
        latched(), out, camera(seconds=12), looking=visited(), is_stopped=is_stopped,
        controls=_followed([path]), **options,
    )  # fmt: skip


def levels(out):
    storage = RunDirectory.open(out).storage
    entries = read_entries(storage, "p000", kinds={EntryKind.COMMAND})
    found = [str(ActuatorCommand.from_bytes(entry.payload).level) for entry in entries]
    return [level for level, before in zip(found, [None, *found], strict=False) if level != before]


def test_a_button_that_was_pressed_before_somebody_came_does_not_let_the_machine_go(tmp_path):
    run_latched(tmp_path / "run", press_file(tmp_path))
    assert levels(tmp_path / "run")[-1] == "stop"


def test_a_file_of_inputs_that_is_read_again_on_resume_presses_no_button_twice(tmp_path):
    path, asked = press_file(tmp_path), []

    def is_stopped():
        asked.append(1)
        return len(asked) > 70

    run_latched(tmp_path / "run", path, is_stopped=is_stopped)
    resumed = run_latched(tmp_path / "run", path, resume=True)
    whole = run_latched(tmp_path / "whole", path)
    assert levels(tmp_path / "run") == levels(tmp_path / "whole")
    assert resumed.accounts == whole.accounts
