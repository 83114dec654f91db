"""MOTChallenge files: good rows are read, bad ones are refused by name, and none is lost."""

import gzip

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline.errors import SourceError
from sightline.limits import Limits
from sightline.records import Tracks
from sightline.sense.frames.mot_files import (
    read_detections,
    read_frame_times,
    read_tracks,
    read_truth,
    write_tracks,
)

GOOD = "1,1,10,20,30,40,0.5"


def written(tmp_path, *lines, name="rows.txt"):
    file = tmp_path / name
    file.write_bytes(b"\n".join(x if isinstance(x, bytes) else x.encode() for x in lines))
    return file


BAD_ROWS = {
    "too few columns": ("2,1,10,20,30", "LINE_UNREADABLE", ""),
    "only commas": (",,,,,", "LINE_UNREADABLE", ""),
    "first column empty": (",1,10,20,30,40,0.5", "SCHEMA", "frame"),
    "a heading": ("frame,id,left,top,width,height,score", "SCHEMA", "frame"),
    "text for a number": ("2,1,ten,20,30,40,0.5", "SCHEMA", "left"),
    "a frame with a fraction": ("2.5,1,10,20,30,40,0.5", "SCHEMA", "frame"),
    "an id with a fraction": ("2,1.5,10,20,30,40,0.5", "SCHEMA", "id"),
    "NaN": ("2,1,NaN,20,30,40,0.5", "NOT_FINITE", "left"),
    "infinite": ("2,1,10,20,inf,40,0.5", "NOT_FINITE", "width"),
    "beyond floating point": ("2,1,10,-1e999,30,40,0.5", "NOT_FINITE", "top"),
    "frame 0": ("0,1,10,20,30,40,0.5", "RANGE", "frame"),
    "a negative frame": ("-3,1,10,20,30,40,0.5", "RANGE", "frame"),
    "a frame beyond the bound": ("10000001,1,10,20,30,40,0.5", "RANGE", "frame"),
    "a box beyond the bound": ("2,1,2000000,20,30,40,0.5", "RANGE", "left"),
}
NO_SIZE = {
    "no width": ("2,1,10,20,0,40,0.5", "RANGE", "width"),
    "a negative height": ("2,1,10,20,30,-4,0.5", "RANGE", "height"),
    "a width lost in rounding": ("2,1,900000,20,1e-12,40,0.5", "RANGE", "width"),
}
BAD_SCORES = {
    "a score above 1": ("2,1,10,20,30,40,64.2", "RANGE", "score"),
    "a negative score": ("2,1,10,20,30,40,-1", "RANGE", "score"),
}
BAD_LINES = {
    "not UTF-8": (b"2,1,\xff,20,30,40,0.5", "ENCODING", ""),
    "a line too long": ("2,1," + "1" * 300, "LINE_TOO_LONG", ""),
}
LIMITS = Limits(max_line_bytes=200)


@pytest.mark.parametrize("case", BAD_ROWS | NO_SIZE | BAD_SCORES | BAD_LINES)
def test_a_bad_detection_is_refused_by_name_and_the_others_are_used(tmp_path, case):
    line, reason, field = (BAD_ROWS | NO_SIZE | BAD_SCORES | BAD_LINES)[case]
    found = read_detections(written(tmp_path, GOOD, line, GOOD), limits=LIMITS)
    assert len(found.table) == 2
    assert found.rows == 3
    assert found.refused.select("_origin", "_row", "reason", "field").rows() == [
        ("rows.txt", 1, reason, field)
    ]
    assert found.refused["detail"][0].startswith("expected")


@pytest.mark.parametrize("case", BAD_ROWS | NO_SIZE | BAD_LINES)
def test_a_bad_row_of_truth_is_an_error_that_names_it(tmp_path, case):
    line, reason, _ = (BAD_ROWS | NO_SIZE | BAD_LINES)[case]
    with pytest.raises(SourceError, match=r"rows.txt, row 1: .*" + reason):
        read_truth(written(tmp_path, GOOD, line), limits=LIMITS)


@pytest.mark.parametrize("case", BAD_ROWS | BAD_LINES)
def test_a_bad_row_of_tracks_is_an_error_that_names_it(tmp_path, case):
    line, reason, _ = (BAD_ROWS | BAD_LINES)[case]
    with pytest.raises(SourceError, match=r"rows.txt, row 1: .*" + reason):
        read_tracks(written(tmp_path, GOOD, line), limits=LIMITS)


@pytest.mark.parametrize("case", NO_SIZE)
def test_a_box_without_an_area_stays_among_tracks_to_be_counted_false(tmp_path, case):
    assert len(read_tracks(written(tmp_path, NO_SIZE[case][0]))) == 1


@pytest.mark.parametrize("read", [read_truth, read_tracks])
def test_an_id_twice_in_a_frame_is_an_error(tmp_path, read):
    file = written(tmp_path, GOOD, "2,1,10,20,30,40,1", "1,1,50,20,30,40,1")
    with pytest.raises(SourceError, match=r"rows 0 and 2: .*id 1 twice in frame 1"):
        read(file)


def test_an_id_twice_in_a_frame_of_detections_says_nothing(tmp_path):
    assert len(read_detections(written(tmp_path, GOOD, GOOD)).table) == 2


def test_truth_without_an_identity_is_an_error(tmp_path):
    with pytest.raises(SourceError, match="id 0 or above"):
        read_truth(written(tmp_path, "1,-1,10,20,30,40,1"))


def test_tracks_without_an_identity_are_left_out(tmp_path):
    found = read_tracks(written(tmp_path, GOOD, "1,-1,10,20,30,40,1", "1,-1,10,20,30,40,1"))
    assert found.track_id.tolist() == [1]


def test_a_class_that_is_none_is_an_error_in_truth(tmp_path):
    with pytest.raises(SourceError, match="class a whole number"):
        read_truth(written(tmp_path, "1,1,10,20,30,40,1,walker,0.5"))


def test_the_first_reason_counts(tmp_path):
    found = read_detections(written(tmp_path, "-1,1,x,NaN,0,0,7"))
    assert found.refused.select("reason", "field").rows() == [("SCHEMA", "left")]


def test_boxes_become_corners(tmp_path):
    table = read_truth(written(tmp_path, "3,7,10.5,20,30,40.25,1,-1,-1,-1"))
    assert table.frame.tolist() == [3]
    assert table.track_id.tolist() == [7]
    assert table.box_px.tolist() == [[10.5, 20, 40.5, 60.25]]


@pytest.mark.parametrize(
    ("line", "class_id", "has_classes"),
    [
        ("1,1,10,20,30,40,1", -1, False),
        ("1,1,10,20,30,40,1,8", 8, True),
        ("1,1,10,20,30,40,1,8,0.5", 8, True),
        ("1,1,10,20,30,40,1,-1,-1,-1", -1, False),
        ("1,1,10,20,30,40,1,2.5,1.5,0", -1, False),  # a position in metres
    ],
)
def test_eight_or_nine_columns_have_a_class(tmp_path, line, class_id, has_classes):
    table = read_truth(written(tmp_path, line))
    assert (table.class_id.tolist(), table.has_classes) == ([class_id], has_classes)


@pytest.mark.parametrize("line", ["1, 1, 10, 20, 30, 40, 0.5", GOOD + ",", GOOD + "\r", GOOD])
def test_blanks_and_a_final_comma_do_no_harm(tmp_path, line):
    found = read_detections(written(tmp_path, "", line, "  ", line, ""))
    assert (len(found.table), found.rows, found.table.score.tolist()) == (2, 2, [0.5, 0.5])


def test_detections_without_a_score_are_sure(tmp_path):
    assert read_detections(written(tmp_path, "1,-1,10,20,30,40")).table.score.tolist() == [1]


def test_scores_of_another_kind_can_be_left_unused(tmp_path):
    file = written(tmp_path, "1,-1,10,20,30,40,64.2", "1,-1,10,20,30,40,-3")
    found = read_detections(file, uses_scores=False)
    assert (found.table.score.tolist(), found.refused.height) == ([1, 1], 0)


def test_rows_out_of_order_are_sorted_by_frame_and_counted(tmp_path):
    rows = [f"{frame},-1,{left},20,30,40,0.5" for frame, left in [(2, 1), (1, 2), (2, 3), (1, 4)]]
    found = read_detections(written(tmp_path, *rows))
    assert found.table.frame.tolist() == [1, 1, 2, 2]
    assert found.table.box_px[:, 0].tolist() == [2, 4, 1, 3]
    assert found.rows_out_of_order == 2


def test_every_frame_that_has_detections_gives_one_record(tmp_path):
    found = read_detections(written(tmp_path, "2,-1,10,20,30,40,0.5", "4,-1,10,20,30,40,0.5"))
    assert found.frames.tolist() == [2, 4]
    frames = list(found.by_frame("yard", np.array([100, 300])))
    assert [(len(frame), frame.capture_ns) for frame in frames] == [(1, 100), (1, 300)]
    assert frames[0].box_px.tolist() == [[10, 20, 40, 60]]


def test_an_empty_file_is_refused_as_detections_and_is_nothing_otherwise(tmp_path):
    file = written(tmp_path)
    found = read_detections(file)
    assert (len(found.table), found.refused["reason"].to_list()) == (0, ["FILE_EMPTY"])
    assert found.last_frame == 0
    assert (len(read_truth(file)), len(read_tracks(file))) == (0, 0)


@pytest.mark.parametrize("read", [read_detections, read_truth, read_tracks, read_frame_times])
def test_a_missing_file_is_an_error(tmp_path, read):
    with pytest.raises(SourceError, match="readable file"):
        read(tmp_path / "nowhere.txt")


def test_a_file_beyond_the_limit_is_refused(tmp_path):
    file = written(tmp_path, *[GOOD] * 100)
    small = Limits(max_file_bytes_in_memory=50)
    assert read_detections(file, limits=small).refused["reason"].to_list() == ["FILE_TOO_LARGE"]
    with pytest.raises(SourceError, match="FILE_TOO_LARGE"):
        read_truth(file, limits=small)


def test_what_stands_before_the_damage_of_a_compressed_file_is_used(tmp_path):
    lines = "\n".join(f"{frame},-1,{frame},20,30,40,0.5" for frame in range(1, 20001))
    whole = gzip.compress(lines.encode())
    file = written(tmp_path, whole[: len(whole) // 2], name="rows.txt.gz")
    found = read_detections(file)
    assert found.refused.select("_row", "reason").rows() == [(-1, "FILE_UNREADABLE")]
    assert 0 < len(found.table) < 20000
    with pytest.raises(SourceError, match="FILE_UNREADABLE"):
        read_truth(file)


def tracks_at(capture_ns, ids, *, unseen_s=0.0, ground_m=np.nan):
    n = len(ids)
    return Tracks(
        stream="yard",
        capture_ns=capture_ns,
        track_id=np.array(ids, np.int64),
        box_px=np.array([[i + 0.1234567, 20, i + 30.5, 60] for i in ids]).reshape(-1, 4),
        score=np.full(n, 0.25),
        class_id=np.zeros(n, np.int32),
        class_names=("person",),
        unseen_s=np.full(n, unseen_s),
        age_s=np.zeros(n),
        ground_m=np.full((n, 2), ground_m),
        velocity_m_s=np.full((n, 2), np.nan),
        ground_covariance=np.full((n, 4, 4), np.nan),
        first_foot_px=np.full((n, 2), np.nan),
        first_ground_m=np.full((n, 2), np.nan),
    )


def test_tracks_come_back_as_they_were_written(tmp_path):
    file = tmp_path / "tracks.txt"
    frames = [(1, tracks_at(0, [])), (2, tracks_at(1, [1, 4])), (5, tracks_at(2, [4]))]
    assert write_tracks(file, frames) == 3
    found = read_tracks(file)
    assert found.frame.tolist() == [2, 2, 5]
    assert found.track_id.tolist() == [1, 4, 4]
    expected = np.concatenate([tracks.box_px for _, tracks in frames])
    assert np.abs(found.box_px - expected).max() <= 0.0011  # a corner and a size, each to 0.0005


def test_a_place_on_the_ground_is_written_where_there_is_one(tmp_path):
    file = tmp_path / "tracks.txt"
    write_tracks(file, [(1, tracks_at(0, [1])), (2, tracks_at(1, [1], ground_m=2.5))])
    ends = [line.split(",")[-3:] for line in file.read_text().splitlines()]
    assert ends == [["-1", "-1", "-1"], ["2.5", "2.5", "-1"]]


def test_predicted_boxes_are_written_as_reported_or_left_out_by_age(tmp_path):
    frames = [(1, tracks_at(0, [1])), (2, tracks_at(1, [1], unseen_s=0.2))]
    rows = [write_tracks(tmp_path / "t.txt", frames, max_unseen_s=m) for m in (None, 0.2, 0.1, 0)]
    assert rows == [2, 2, 1, 1]


def test_no_tracks_make_an_empty_file(tmp_path):
    assert write_tracks(tmp_path / "t.txt", []) == 0
    assert len(read_tracks(tmp_path / "t.txt")) == 0


def test_frame_times_are_exact_to_the_nanosecond(tmp_path):
    file = written(tmp_path, "0", "0.04", "1700000000.123456789", "")
    assert read_frame_times(file).tolist() == [0, 40_000_000, 1700000000123456789]


@pytest.mark.parametrize(
    ("lines", "row"),
    [(["0", "later"], 1), (["0.5", "0.5"], 1), (["2", "1"], 1), (["-1"], 0), (["NaN"], 0)],
)
def test_a_frame_time_that_does_not_advance_is_an_error(tmp_path, lines, row):
    with pytest.raises(SourceError, match=f"row {row}"):
        read_frame_times(written(tmp_path, *lines))


FIELDS = st.one_of(
    st.integers(-3, 5).map(str),
    st.floats().map(repr),
    st.sampled_from(["", " ", "x", "1e999", "-0", "0.5", '"', ";", "\t2", "٣"]),
)
LETTERS = st.characters(exclude_categories=["Cc", "Zl", "Zp", "Zs"])  # lone surrogates are in
LINES = st.one_of(st.lists(FIELDS, max_size=11).map(",".join), st.text(LETTERS, max_size=20))


@settings(max_examples=200, deadline=None)
@given(st.lists(LINES, max_size=8))
def test_whatever_a_file_holds_every_line_is_used_or_refused(tmp_path_factory, lines):
    text = "\n".join(lines)
    file = tmp_path_factory.mktemp("fuzz") / "rows.txt"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    found = read_detections(file)
    in_file = sum(1 for line in text.split("\n") if line.strip())
    assert found.rows == max(in_file, 1)  # a file without any is one refused row
    assert np.isfinite(found.table.box_px).all()
    assert (found.table.box_px[:, 2:] > found.table.box_px[:, :2]).all()
    rows = sorted(found.refused["_row"].to_list())
    assert rows == sorted(set(rows))
