"""``sightline render`` as it is called."""

import json

import pytest
import typer
from typer.testing import CliRunner

from sightline.cli.render_command import render
from sightline.errors import UsageError
from sightline.evidence.drawing import run_scenes
from sightline.limits import Limits
from sightline.runtime import RunDirectory, RunOptions, run_pipeline
from sightline.runtime.pruning import prune_run
from simulation.yard_runs import camera, made_run, plan_of, told, yard


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return made_run(tmp_path_factory.mktemp("yard"), keep="around_decisions")


def called(*arguments):
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command("render")(render)
    return CliRunner().invoke(app, [str(one) for one in arguments])


def test_a_still_is_written_and_told_as_json(run, tmp_path):
    result = called(run.path, "-o", tmp_path / "a.png", "--at", "5", "--json")
    assert result.exit_code == 0, result.output
    told_of = json.loads(result.stdout)
    assert (told_of["pictures"], told_of["at_s"]) == (1, 5.0)
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_pictures_around_decisions_are_found_though_they_were_logged_later(run, tmp_path):
    result = called(run.path, "-o", tmp_path / "a.png", "--at", "3", "--json")
    assert json.loads(result.stdout)["with_picture"] == 1


def test_what_the_log_lacks_is_told_with_what_to_do(run, tmp_path):
    kept_none = made_run(tmp_path / "none", keep="digest")
    result = called(kept_none.path, "-o", tmp_path / "a.png", "--at", "5")
    assert "give --source CAMERA=LOCATION" in result.output


@pytest.mark.parametrize(
    "options", [["-o", "a.png"], ["-o", "a.mp4", "--at", "1"], ["-o", "a.gif", "--at", "1"]]
)
def test_a_name_that_does_not_fit_is_refused(run, options):
    assert isinstance(called(run.path, *options).exception, UsageError)


def test_a_live_source_is_refused(run, tmp_path):
    options = ["-o", tmp_path / "a.mp4", "--source", "east=rtsp://10.0.0.1/live"]
    result = called(run.path, *options)
    assert isinstance(result.exception, UsageError)
    assert "cannot be seen again" in str(result.exception)


def test_a_pruned_run_is_drawn_from_its_checkpoint_on(tmp_path):
    plan = plan_of(yard())
    run_pipeline(
        plan,
        {"east": camera(seconds=6)},
        tmp_path / "run",
        looking=told(plan, lambda _: [[200.0, 100.0, 220.0, 160.0]]),
        options=RunOptions(durable=False, checkpoint_epochs=25),
        limits=Limits(segment_bytes=8192),
    )
    run = RunDirectory.open(tmp_path / "run")
    whole = list(run_scenes(run))
    assert prune_run(run, keep_bytes=0, keep_after_ns=None).pruned["p000"].entries > 0
    left = list(run_scenes(run))
    assert 0 < len(left) < len(whole)
    for again, before in zip(left, whole[-len(left) :], strict=True):
        assert again.at_ns == before.at_ns
        assert again.machines == before.machines
        assert again.cameras[0].risk == before.cameras[0].risk
