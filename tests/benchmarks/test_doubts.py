"""How often what is no track would make machines slow, counted over recorded detections."""

import pytest

from benchmarks.doubts import count_doubts


def counted(tmp_path, frames):
    """Somebody of score 0.9 in the middle of the first zone, in these of 40 frames at 10 Hz."""
    lines = [f"{frame},-1,45,20,10,40,0.9" for frame in frames] + ["40,-1,5,5,1,1,0.1"]
    (tmp_path / "det.txt").write_text("\n".join(lines))
    return count_doubts(tmp_path / "det.txt", rate_hz=10.0, picture_px=(400, 300), min_score=0.25)


@pytest.mark.parametrize(
    ("frames", "doubts", "stopped"),
    [([5, 6, 7, 8], 1, 1), ([5, 6], 1, 0), ([5], 0, 0), ([], 0, 0)],
    ids=["who becomes a track", "seen twice", "seen once", "nobody"],
)
def test_doubts_are_counted_with_what_became_of_them(tmp_path, frames, doubts, stopped):
    found = counted(tmp_path, frames)
    assert (found.frames, found.doubts, found.stopped) == (40, doubts, stopped)


def test_the_time_without_a_reason_to_stop_is_that_of_all_zones(tmp_path):
    assert counted(tmp_path, []).free_minutes == pytest.approx(12 * 40 / 10 / 60)
