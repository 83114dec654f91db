"""Item stages of one's own in a run: what they may keep, what they are told, how they answered."""

from dataclasses import replace

import pytest

from sightline.errors import UsageError
from sightline.records.decision import Mode
from sightline.runtime import RunDirectory, replay_run
from simulation.camera_plans import INSIDE, camera_plan, run_camera_plan
from simulation.site_cases import Told, camera


class Broken:
    version = "broken@1"

    def look(self, frames):
        raise RuntimeError("no such layer")


class Fails(Told):
    """Fails when it is asked for these times, counted from 1, and is well else."""

    def __init__(self, *times):
        super().__init__(lambda capture_ns: INSIDE)
        self.times = times
        self.asked = 0

    def look(self, frames):
        self.asked += 1
        if self.asked in self.times:
            raise RuntimeError("not now")
        return super().look(frames)


def seer():
    return Told(lambda capture_ns: INSIDE)


def modes(out, kind):
    return {d.mode for d in RunDirectory.open(out).decisions() if d.kind == kind}


# --- answers that rest on a fallback --------------------------------------------------------------

COUNTS = {
    "counts": {"use": "count_tracks", "input": "things"},
    "again": {"use": "repeat_counts", "input": "counts"},
}


def test_a_stage_on_tracks_says_that_a_fallback_has_seen_them(tmp_path):
    run_camera_plan(camera_plan(COUNTS), tmp_path / "run", primary=Broken(), fallback=seer())
    assert modes(tmp_path / "run", "tracks") == {Mode.FALLBACK}


def test_a_stage_on_such_a_stage_says_so_too(tmp_path):
    run_camera_plan(camera_plan(COUNTS), tmp_path / "run", primary=Broken(), fallback=seer())
    assert modes(tmp_path / "run", "again") == {Mode.FALLBACK}


ALARM = {
    **COUNTS,
    "w": {"use": "windows", "input": "counts", "width_s": 1, "statistics": ["mean"]},
    "some": {
        "use": "alarm", "input": "w", "measure": "tracks.mean", "unit": "1",
        "raise_above": -1, "code": "SOME",
    },
}  # fmt: skip


@pytest.mark.parametrize(
    ("primary", "mode"), [(Broken(), Mode.FALLBACK), (seer(), Mode.PRIMARY)], ids=["broken", "well"]
)
def test_an_alarm_on_what_such_a_stage_has_measured_says_so_too(tmp_path, primary, mode):
    plan = camera_plan(ALARM)
    run_camera_plan(plan, tmp_path / "run", primary=primary, fallback=seer(), seconds=3.0)
    assert modes(tmp_path / "run", "some") == {mode}


def test_where_the_detector_itself_has_seen_the_stages_on_it_say_so(tmp_path):
    run_camera_plan(camera_plan(COUNTS), tmp_path / "run", fallback=seer())
    assert modes(tmp_path / "run", "again") == {Mode.PRIMARY}


def test_a_stage_that_does_not_read_the_detector_has_answered_itself(tmp_path):
    plan = camera_plan({**COUNTS, "level": LEVEL})
    run_camera_plan(plan, tmp_path / "run", primary=Broken(), fallback=seer())
    assert modes(tmp_path / "run", "level") == {Mode.PRIMARY}


def test_a_detector_that_is_well_again_is_no_fallback_any_more(tmp_path):
    many = {"use": "many_frames", "input": "things", "above": 10}
    run_camera_plan(
        camera_plan({"many": many}), tmp_path / "run", primary=Fails(1, 2), fallback=seer()
    )
    assert modes(tmp_path / "run", "many_frames") == {Mode.PRIMARY}


def test_a_detector_that_has_just_failed_makes_it_a_fallback_again(tmp_path):
    many = {"use": "many_frames", "input": "things", "above": 10}
    run_camera_plan(
        camera_plan({"many": many}), tmp_path / "run", primary=Fails(11), fallback=seer()
    )
    assert modes(tmp_path / "run", "many_frames") == {Mode.FALLBACK}


def test_a_run_that_rests_on_a_fallback_replays(tmp_path):
    run_camera_plan(camera_plan(COUNTS), tmp_path / "run", primary=Broken(), fallback=seer())
    assert replay_run(RunDirectory.open(tmp_path / "run"))


# --- readings of a stage's own look ---------------------------------------------------------------

LEVEL = {"use": "look_for_level", "input": "east", "guarded": {"budget_s": 1.0}}
NOTHING = {"use": "look_for_nothing", "input": "east", "guarded": {"budget_s": 1.0}}


def test_a_look_that_lacks_a_name_is_answered_by_the_fallback_of_the_stage(tmp_path):
    report = run_camera_plan(camera_plan({"nothing": NOTHING}), tmp_path / "run")
    assert report.fallbacks["nothing:nan"] > 0
    assert modes(tmp_path / "run", "level") == {Mode.FALLBACK}


def test_a_look_that_has_its_names_is_the_answer(tmp_path):
    report = run_camera_plan(camera_plan({"level": LEVEL}), tmp_path / "run")
    assert report.fallbacks == {}
    assert modes(tmp_path / "run", "level") == {Mode.PRIMARY}


# --- what a stage may keep ------------------------------------------------------------------------


def keep(what, *, is_value=False):
    stage = {"use": "keep", "input": "east", "what": what, "is_value": is_value}
    return camera_plan({"kept": stage})


@pytest.mark.parametrize("what", ["int_keys", "tuple", "nan", "object", "numpy"])
def test_state_that_a_checkpoint_would_not_give_back_is_refused_with_its_stage(tmp_path, what):
    with pytest.raises(UsageError, match=r"stage kept: expected a turn\.state of text"):
        run_camera_plan(keep(what), tmp_path / "run", seconds=0.5)


@pytest.mark.parametrize("what", ["int_keys", "tuple", "nan", "object", "numpy"])
def test_a_value_that_is_no_plain_json_is_refused_with_its_stage(tmp_path, what):
    with pytest.raises(UsageError, match="stage kept: expected a value of text"):
        run_camera_plan(keep(what, is_value=True), tmp_path / "run", seconds=0.5)


@pytest.mark.parametrize("is_value", [False, True])
def test_plain_values_may_be_kept(tmp_path, is_value):
    plan = keep("plain", is_value=is_value)
    report = run_camera_plan(plan, tmp_path / "run", seconds=0.5, checkpoint_epochs=1)
    assert report.accounts.decided == 5


# --- what a stage may ask and measure -------------------------------------------------------------


@pytest.mark.parametrize("column", ["nowhere.level", "counts.tracks", "w.speed.median", "w.group"])
def test_a_column_that_nobody_has_cannot_be_asked_for(tmp_path, column):
    stages = {
        **COUNTS,
        "w": {"use": "windows", "input": "counts", "width_s": 1, "statistics": ["mean"]},
        "knows": {"use": "knows_column", "input": "east", "column": column},
    }
    with pytest.raises(UsageError, match=r"turn\.known: expected a column of a stage on windows"):
        run_camera_plan(camera_plan(stages), tmp_path / "run", seconds=0.5)


class Delayed:
    """Each frame reaches us 150 ms after it was taken, so that a tick may lie between."""

    stream = "east"
    durable = True

    def __iter__(self):
        for frame in camera(seconds=3.0):
            yield replace(frame, received_ns=frame.received_ns + 150_000_000)


MEASURED = {
    "twice": {"use": "measure_twice", "input": "east"},
    "w": {"use": "windows", "input": "twice", "width_s": 1, "statistics": ["count"]},
}


def test_measured_rows_that_come_too_late_for_their_windows_are_counted(tmp_path):
    report = run_camera_plan(camera_plan(MEASURED), tmp_path / "run", east=Delayed())
    assert report.accounts.quarantined["LATE_BEYOND_ALLOWANCE"] > 0
    assert report.accounts.is_balanced


def test_measured_rows_that_come_too_late_are_in_quarantine_each(tmp_path):
    report = run_camera_plan(camera_plan(MEASURED), tmp_path / "run", east=Delayed())
    rows = RunDirectory.open(tmp_path / "run").quarantine()
    assert rows.filter(rows["source"] == "twice").height == sum(
        report.accounts.quarantined.values()
    )
