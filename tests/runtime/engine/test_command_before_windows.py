"""What a tick commands of a machine does not wait for stages on windows that are asked then."""

from pathlib import Path

import pytest

from sightline.recorder import DirectoryStorage, read_entries
from sightline.records import EntryKind
from sightline.runtime import RunDirectory, RunOptions, replay_run, run_pipeline
from sightline.runtime.engine.guard import ArraysRequest, Outcome, OutcomeStatus
from sightline.runtime.engine.guarding import Guard
from sightline.runtime.pipeline import parse_pipeline
from sightline.runtime.pipeline_file import written_out
from sightline.runtime.planner import make_plan
from simulation.site_cases import camera, told, walker, yard

RATE_HZ = 1.0  # so that the machine is told at ticks what it is told
ON_WINDOWS = {
    "ages": {"use": "windows", "input": "east_health", "width_s": 0.3, "statistics": ["mean"]},
    "odd": {
        "use": "robust_deviation",
        "input": "ages",
        "measures": ["frame_age_s.mean"],
        "history": 4,
        "min_history": 2,
        "guarded": {
            "budget_s": 1,
            "fallback": "level_deviation",
            "breaker": {"open_after": 1000},
        },
    },
}


def plan():
    plain = yard(latency_budget_s=5.0)
    plain["cameras"]["east"]["contract"]["rate_hz"] = RATE_HZ
    form = written_out(parse_pipeline(plain, where="yard.yaml"), Path())
    stages = form.model_dump(mode="json")
    stages["stages"] |= ON_WINDOWS
    return make_plan(parse_pipeline(stages, where="yard.yaml"), where="yard.yaml")


class Killed(BaseException):
    """Stands for SIGKILL: nothing on the way up may see to anything."""


class LateOnWindows(Guard):
    """Looks at frames as told; asked about windows, it notes what is durable, and is late."""

    def __init__(self, of, out, *, dies_at=-1):
        super().__init__(of, told(of), monotonic_s=lambda: 0.0)
        self.out = out
        self.dies_at = dies_at
        self.durable = []

    def run(self, requests):
        if not any(isinstance(r, ArraysRequest) for r in requests):
            return super().run(requests)
        self.durable.append(len(commands(self.out)))
        if len(self.durable) == self.dies_at:
            raise Killed
        late = OutcomeStatus.TIMEOUT
        return [
            Outcome(request_id=r.request_id, stage=r.stage, status=late, answer=None)
            for r in requests
        ]


def commands(out):
    kinds = {EntryKind.COMMAND}
    return [e.sequence for e in read_entries(DirectoryStorage(out), "p000", kinds=kinds)]


def commands_at_ticks(out):
    """Whether there was a command in each tick at which windows were asked about."""
    found = False
    for entry in read_entries(DirectoryStorage(out), "p000"):
        if entry.kind is EntryKind.OUTCOME and entry.name == "odd":
            yield found
        found = entry.kind is EntryKind.COMMAND or (found and entry.kind is not EntryKind.TICK)


def run(out, guard=None, **options):
    the_plan = plan()
    return run_pipeline(
        the_plan,
        {"east": camera(seconds=8, rate_hz=RATE_HZ, things=(walker(from_s=1, until_s=4),))},
        out,
        guard=guard or LateOnWindows(the_plan, out),
        options=RunOptions(durable=False, **options),
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "run"
    guard = LateOnWindows(plan(), out)
    return out, guard, run(out, guard)


def test_when_windows_are_asked_about_all_commands_before_are_durable(whole):
    out, guard, _ = whole
    asked = read_entries(DirectoryStorage(out), "p000", kinds={EntryKind.OUTCOME})
    before = [
        sum(at < entry.sequence for at in commands(out)) for entry in asked if entry.name == "odd"
    ]
    assert before == guard.durable
    assert any(commands_at_ticks(out))


def test_a_command_that_was_sent_early_is_sent_once(whole):
    out, _, report = whole
    assert sum(report.commands.values()) == len(commands(out))


@pytest.mark.parametrize("dies_at", [2, 4, 6])
def test_a_run_that_is_killed_while_windows_are_asked_about_comes_to_the_same_end(
    whole, tmp_path, dies_at
):
    out = tmp_path / "run"
    with pytest.raises(Killed):
        run(out, LateOnWindows(plan(), out, dies_at=dies_at))
    report = run(out, resume=True)
    assert report.digest == whole[2].digest
    assert len(commands(out)) == len(commands(whole[0]))
    assert replay_run(RunDirectory.open(out))
