"""Lost and falsely stopped trials can be drawn, by their seeds."""

import json

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from benchmarks.__main__ import app
from benchmarks.safety import Deployment, SceneConfig, draw_conflict, run_trial
from benchmarks.safety.trial_movie import MAX_MOVIES, Kind, draw_failures, draw_trial
from benchmarks.safety.trial_picture import SIZE_PX
from sightline.errors import UsageError

SHORT = SceneConfig(duration_s=1.0, lead_s=2.0)


def called(*arguments):
    return CliRunner().invoke(app, [str(one) for one in arguments])


def test_who_looks_on_changes_nothing():
    scene, moments = draw_conflict(SceneConfig(), 4), []
    assert run_trial(scene, Deployment(), watch=moments.append) == run_trial(scene, Deployment())
    assert moments and moments[-1].people_m.shape == (1, 2)


def test_the_first_stop_of_a_trial_is_the_first_moment_that_commands_one():
    scene, moments = draw_conflict(SceneConfig(), 4), []
    trial = run_trial(scene, Deployment(), watch=moments.append)
    first = next(m.time_s for m in moments if m.time_s >= 0 and m.level == "stop")
    assert first == trial.stops[0].time_s


def test_a_still_shows_the_stop_in_red(tmp_path):
    scene = draw_conflict(SceneConfig(), 4)
    stop_s = run_trial(scene, Deployment()).stops[0].time_s
    before, after = (
        draw_trial(4, Kind.CONFLICT, tmp_path / f"{name}.png", at_s=at_s).path
        for name, at_s in (("before", 0.0), ("after", stop_s))
    )
    pixels = [cv2.imread(str(path))[540, 14].tolist() for path in (before, after)]
    assert pixels[0] != pixels[1] == [52, 48, 222]
    assert cv2.imread(str(after)).shape == (SIZE_PX[1], SIZE_PX[0], 3)


def test_a_trial_is_drawn_as_a_video(tmp_path):
    drawn = draw_trial(1, Kind.CLEAR, tmp_path / "a.mp4", config=SHORT)
    video = cv2.VideoCapture(str(drawn.path))
    is_read, picture = video.read()
    assert is_read and picture.shape[:2] == (SIZE_PX[1], SIZE_PX[0])
    assert drawn.pictures == pytest.approx(SHORT.duration_s * 15, abs=2)


def test_a_picture_is_the_same_each_time(tmp_path):
    one, two = (
        draw_trial(1, Kind.CLEAR, tmp_path / f"{n}.png", at_s=0.5, config=SHORT).path
        for n in (1, 2)
    )
    assert np.array_equal(cv2.imread(str(one)), cv2.imread(str(two)))


@pytest.mark.parametrize(("name", "at_s"), [("a.png", None), ("a.mp4", 1.0), ("a.gif", None)])
def test_a_name_that_does_not_fit_is_refused(tmp_path, name, at_s):
    with pytest.raises(UsageError, match="mend the name"):
        draw_trial(1, Kind.CLEAR, tmp_path / name, at_s=at_s)


def test_no_failures_leave_an_empty_folder(tmp_path):
    assert draw_failures([], [], tmp_path / "new") == []
    assert (tmp_path / "new").is_dir() and MAX_MOVIES == 20


def test_the_command_draws_one_trial_and_tells_what_came_of_it(tmp_path):
    out = tmp_path / "a.png"
    result = called("safety-trial", 4, "--kind", "conflict", "-o", out, "--at", 2, "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["is_in_time"] and told["stops"] and out.exists()


def test_the_trials_that_failed_are_drawn_when_asked_for(tmp_path):
    arguments = ["safety", "--runs", 1, "--first-seed", 0, "--render", tmp_path / "f", "--json"]
    told = json.loads(called(*arguments).stdout)
    failed = told["conflict"]["missed"] + told["clear"]["false_stops"]
    assert len(told["rendered"]) == failed == len(list((tmp_path / "f").iterdir()))
