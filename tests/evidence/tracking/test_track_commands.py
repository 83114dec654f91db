"""``sightline track`` and ``sightline evaluate mot`` as functions of files."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from evidence.tracking.tracking_cases import DATA, path, save
from sightline.cli.main import app_for
from sightline.cli.track_command import follow
from sightline.errors import RefusedError, SourceError, StorageError, UsageError
from sightline.records import Tracks
from sightline.sense.frames.mot_files import read_detections, read_tracks


def printed(*arguments):
    given = list(map(str, arguments))
    return CliRunner().invoke(app_for(given), given)


def call(*arguments):
    """Standard output as JSON; errors come through as they are."""
    given = [*map(str, arguments), "--json"]
    done = CliRunner().invoke(app_for(given), given, catch_exceptions=True)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


@pytest.fixture
def walk(tmp_path):
    """One person who walks through 20 frames, and one bad row."""
    rows = [f"{f},-1,{100 + 4 * f},50,40,120,0.9,-1,-1,-1" for f in range(1, 21)]
    file = tmp_path / "det.txt"
    file.write_text("\n".join([*rows, "21,-1,0,0,0,0,0.9"]))
    return file


def test_a_walk_becomes_one_track(walk, tmp_path):
    summary = call("track", walk, "-o", tmp_path / "tracks.txt", "--fps", 10)
    assert (summary["frames"], summary["detections"], summary["tracks"]) == (20, 20, 1)
    assert summary["rows"] == 21
    assert summary["refused"] == {"RANGE": 1}
    assert summary["refused_rows"][0]["row"] == 20
    assert set(summary["update_ms"]) == {"p50", "p95", "p99", "worst"}
    written = read_tracks(tmp_path / "tracks.txt")
    assert set(written.track_id.tolist()) == {1}
    assert len(written) == summary["track_rows"]


def test_times_of_a_file_are_those_of_its_lines(walk, tmp_path):
    times = tmp_path / "times.txt"
    times.write_text("\n".join(f"{i / 10}" for i in range(25)))
    summary = call("track", walk, "-o", tmp_path / "a.txt", "--timestamps", times)
    assert summary["frames"] == 25  # frames without detections are updates too
    call("track", walk, "-o", tmp_path / "b.txt", "--fps", 10)
    by_times, by_rate = read_tracks(tmp_path / "a.txt"), read_tracks(tmp_path / "b.txt")
    shared = by_times.only(by_times.frame <= 20)
    assert np.array_equal(shared.box_px, by_rate.box_px)


def test_a_rate_that_is_not_given_is_assumed_and_said(walk, tmp_path):
    summary = call("track", walk, "-o", tmp_path / "tracks.txt")
    assert summary["time"] == {"source": "assumed", "fps": 25.0}


def test_an_empty_file_is_no_success(tmp_path):
    (tmp_path / "det.txt").write_text("")
    with pytest.raises(SourceError, match="FILE_EMPTY"):
        call("track", tmp_path / "det.txt", "-o", tmp_path / "tracks.txt", "--fps", 10)


def test_too_few_times_are_an_error(walk, tmp_path):
    times = tmp_path / "times.txt"
    times.write_text("0\n0.1\n")
    with pytest.raises(SourceError, match="20 frames"):
        call("track", walk, "-o", tmp_path / "tracks.txt", "--timestamps", times)


@pytest.mark.parametrize("fps", ["0", "-5", "nan", "1e-300"])
def test_a_rate_that_cannot_be_is_refused(walk, tmp_path, fps):
    with pytest.raises(UsageError, match="--fps"):
        call("track", walk, "-o", tmp_path / "tracks.txt", "--fps", fps)


def test_a_rate_and_times_contradict(walk, tmp_path):
    with pytest.raises(UsageError, match="got both"):
        call("track", walk, "-o", tmp_path / "t.txt", "--fps", 10, "--timestamps", walk)


def test_a_folder_that_is_not_there_is_a_storage_error(walk, tmp_path):
    with pytest.raises(StorageError, match="can be written"):
        call("track", walk, "-o", tmp_path / "nowhere" / "tracks.txt", "--fps", 10)


def test_a_person_is_tracked_in_metres_with_a_camera(tmp_path):
    folder = DATA / "pets2009_s2l1"
    if not folder.exists():
        pytest.skip(f"no recording at {folder}")
    lines = (folder / "det.txt").read_text().splitlines()
    detections = tmp_path / "det.txt"
    detections.write_text("\n".join(line for line in lines if int(line.split(",")[0]) <= 50))
    camera = folder / "camera_view_001.xml"
    out = tmp_path / "tracks.txt"
    call("track", detections, "-o", out, "--fps", 10, "--camera", camera)
    ground_m = np.loadtxt(out, delimiter=",")[:, 7:9]
    assert len(ground_m) > 100
    assert np.abs(ground_m).max() < 60  # the place is a crossing some 30 m across


def saved(file, boxes):
    rows = np.array(boxes, np.float64)
    rows[:, 4:] -= rows[:, 2:4]
    return save(file, rows)


def test_tracks_are_scored_from_files(tmp_path):
    truth = saved(tmp_path / "gt.txt", path(1, range(1, 5)))
    tracks = saved(tmp_path / "t.txt", path(1, [1, 2]) + path(2, [3, 4]))
    result = call("evaluate", "mot", "--truth", truth, "--tracks", tracks)
    assert (result["MOTA"], result["IDF1"], result["switches"]) == (0.75, 0.5, 1)
    assert (result["rules"], result["min_iou"], result["notes"]) == ("mot15", 0.5, [])


def test_tracks_beyond_the_truth_are_false_and_that_is_said(tmp_path):
    truth = saved(tmp_path / "gt.txt", path(1, range(1, 5)))
    tracks = saved(tmp_path / "t.txt", path(1, range(1, 9)))
    files = ["--truth", truth, "--tracks", tracks]
    whole = call("evaluate", "mot", *files)
    assert whole["FP"] == 4
    assert "--frames 1:4" in whole["notes"][0]
    part = call("evaluate", "mot", *files, "--frames", "1:4")
    assert (part["FP"], part["MOTA"], part["notes"]) == (0, 1, [])


def test_undefined_ratios_are_null(tmp_path):
    truth = saved(tmp_path / "gt.txt", path(1, [1]))
    (tmp_path / "t.txt").write_text("")
    result = call("evaluate", "mot", "--truth", truth, "--tracks", tmp_path / "t.txt")
    assert result["MOTP"] is None
    assert result["MOTA"] == 0


@pytest.mark.parametrize("frames", ["1-4", "a:b", "4", "5:4", "0:3", ":"])
def test_a_range_that_is_none_is_refused(tmp_path, frames):
    truth = saved(tmp_path / "gt.txt", path(1, [1]))
    with pytest.raises(UsageError, match="FIRST:LAST"):
        call("evaluate", "mot", "--truth", truth, "--tracks", truth, "--frames", frames)


def test_what_a_person_reads_has_the_same_numbers(tmp_path):
    truth = saved(tmp_path / "gt.txt", path(1, range(1, 5)))
    shown = printed("evaluate", "mot", "--truth", truth, "--tracks", truth)
    assert "HOTA             1.0000" in shown.stdout


def test_what_a_person_reads_names_each_refused_row(walk, tmp_path):
    shown = printed("track", walk, "-o", tmp_path / "t.txt", "--fps", "10")
    assert "row 20: RANGE width: expected above 0, got 0" in shown.stdout


def text(file, rows):
    """Rows of numbers as they are."""
    file.write_text("".join(",".join(map(str, row)) + "\n" for row in rows))
    return file


def test_truth_of_classes_that_are_not_scored_is_said(tmp_path):
    boxes = [(f, i, 10 * f, 20, 30, 90, 1, i, 1.0) for f in range(1, 6) for i in (1, 2)]
    truth = text(tmp_path / "gt.txt", boxes)
    tracks = text(tmp_path / "t.txt", [box[:7] for box in boxes])
    notes = call("evaluate", "mot", "--truth", truth, "--tracks", tracks)["notes"]
    assert "5 of 10 boxes of truth are of classes that mot17 does not score" in notes[0]
    assert "2: 5" in notes[0]


def test_truth_that_is_not_to_be_considered_is_said(tmp_path):
    truth = text(tmp_path / "gt.txt", [(f, 1, 10, 20, 30, 90, f % 2) for f in range(1, 5)])
    notes = call("evaluate", "mot", "--truth", truth, "--tracks", truth)["notes"]
    assert notes == ["2 of 4 boxes of truth are not to be considered: their seventh column is 0"]


def test_what_is_in_no_track_is_counted(tmp_path):
    detections = text(tmp_path / "det.txt", [(f, -1, 10, 20, 30, 90, 0.9) for f in (1, 9, 17)])
    summary = call("track", detections, "-o", tmp_path / "t.txt", "--fps", 10)
    assert (summary["tracks"], summary["unused_by_tracker"]) == (0, {"no_track": 3})


def test_updates_go_with_detections_and_not_with_the_numbers_of_frames(tmp_path):
    rows = [(1 + 5000 * f, -1, 10, 20, 30, 90, 0.9) for f in range(20)]
    found = read_detections(text(tmp_path / "det.txt", rows))

    class Counting:
        held, updates = 0, 0

        def update(self, detections):
            self.updates += 1
            return Tracks.none("", detections.capture_ns)

    tracker = Counting()
    pairs = zip(found.frames.tolist(), found.by_frame("", found.frames * 40), strict=True)
    follow(tracker, pairs, times=lambda number: number * 40, last=found.last_frame)
    assert tracker.updates == 20


def test_a_gap_changes_no_track(tmp_path):
    rows = [(f, -1, 10 + 3 * f, 20, 30, 90, 0.9) for f in [*range(1, 20), *range(9000, 9020)]]
    summary = call("track", text(tmp_path / "det.txt", rows), "-o", tmp_path / "t.txt", "--fps", 25)
    frames = np.loadtxt(tmp_path / "t.txt", delimiter=",")[:, 0]
    assert summary["tracks"] == 2
    assert (frames[0], frames[frames > 1000].min()) == (3, 9002)


def test_times_as_frame_numbers_are_noted(tmp_path):
    rows = [(1 + 40 * f, -1, 10, 20, 30, 90, 0.9) for f in range(20)]
    summary = call("track", text(tmp_path / "det.txt", rows), "-o", tmp_path / "t.txt", "--fps", 25)
    assert "go up by 40 at a time: is this a time?" in summary["notes"][0]


def test_frames_that_count_from_0_are_noted(tmp_path):
    rows = [(f, -1, 10, 20, 30, 90, 0.9) for f in range(20)]
    summary = call("track", text(tmp_path / "det.txt", rows), "-o", tmp_path / "t.txt", "--fps", 25)
    assert "1 rows of frame 0 are left out" in summary["notes"][0]


def test_lines_that_end_in_cr_are_lines(walk, tmp_path):
    walk.write_text(walk.read_text().replace("\n", "\r"))
    summary = call("track", walk, "-o", tmp_path / "tracks.txt", "--fps", 10)
    assert (summary["rows"], summary["tracks"]) == (21, 1)


def test_a_file_of_which_most_rows_are_refused_is_no_success(walk, tmp_path):
    lines = [f"{f / 25:.3f},-1,100,50,40,120,0.9" for f in range(1, 101)]
    walk.write_text("\n".join(lines))
    with pytest.raises(RefusedError, match="96 of 100 refused"):
        call("track", walk, "-o", tmp_path / "tracks.txt", "--fps", 10)


def test_boxes_that_may_be_shares_of_a_picture_are_noted(walk, tmp_path):
    walk.write_text("\n".join(f"{f},-1,0.1,0.1,0.2,0.4,0.9" for f in range(1, 21)))
    summary = call("track", walk, "-o", tmp_path / "tracks.txt", "--fps", 10)
    assert "shares of a picture" in summary["notes"][0]
