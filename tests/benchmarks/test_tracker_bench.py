"""The tracker benchmark: what it measures, not how fast."""

import numpy as np
import pytest

from benchmarks.tracker import Crowd, bench_tracker, kernel_times, main, simulated_crowd
from sightline.errors import UsageError
from sightline.perceive.tracking import Tracker
from sightline.records import Detections


def as_detections(crowd):
    return [
        Detections.of("bench", 40_000_000 * i, box_px=box_px, score=score)
        for i, (box_px, score) in enumerate(crowd.frame(i) for i in range(len(crowd)))
    ]


def test_a_seed_always_makes_the_same_crowd():
    one, two, other = (simulated_crowd(objects=20, frames=9, seed=s) for s in (4, 4, 5))
    assert one.box_px.tobytes() == two.box_px.tobytes()
    assert one.box_px.tobytes() != other.box_px.tobytes()


def test_a_crowd_has_misses_false_detections_and_noise():
    crowd = simulated_crowd(objects=100, frames=50, seed=2)
    counts = np.diff(crowd.begins)
    assert 90 < counts.mean() < 100  # 90 seen, 5 false
    assert counts.std() > 1
    assert (crowd.score < 0.6).mean() > 0.1


def test_most_of_the_crowd_is_followed():
    tracker = Tracker("bench")
    shown = [len(tracker.update(d)) for d in as_detections(simulated_crowd(
        objects=50, frames=30, seed=3))]  # fmt: skip
    assert 45 <= np.median(shown[10:]) <= 55


def test_a_crowd_survives_its_file(tmp_path):
    crowd = simulated_crowd(objects=5, frames=4, seed=1)
    crowd.save(tmp_path / "crowd.npz")
    loaded = Crowd.load(tmp_path / "crowd.npz")
    assert [loaded.frame(i)[0].tobytes() for i in range(4)] == [
        crowd.frame(i)[0].tobytes() for i in range(4)
    ]


def test_kernels_agree_with_numpy_on_a_crowd():
    found = kernel_times(as_detections(simulated_crowd(objects=30, frames=10, seed=1)))
    assert {name: step["is_equal"] for name, step in found.items()} == dict.fromkeys(
        ("usable", "predict", "match", "update"), True
    )


def test_a_run_without_peers_measures_ours_and_says_what_is_missing(tmp_path):
    result = bench_tracker(
        objects=(5,), frames=25, peers=True, peer_python=tmp_path / "no" / "python"
    )
    (crowd,) = result["crowds"]
    assert set(crowd["ours"]["update_ms"]) == {"p50", "p95", "p99", "worst"}
    assert "make peers" in crowd["bytetrack"]["skipped"]
    assert "bytetrack_over_ours" not in crowd


@pytest.mark.parametrize(
    "bad", [{"objects": (0,)}, {"objects": (10**6,)}, {"objects": (5,), "frames": 1}]
)
def test_sizes_out_of_range_are_refused(bad):
    with pytest.raises(UsageError, match="bench tracker"):
        bench_tracker(**bad)


def test_a_worker_that_is_not_known_starts_no_benchmark():
    with pytest.raises(UsageError, match="bench tracker"):
        main(["nobody", "crowd.npz"])
