"""``sightline bench detector``: it prints its bound, and whether that holds."""

from benchmarks.detector import bench_detector


def test_the_benchmark_says_whether_its_bound_holds():
    found = bench_detector(samples=10_000)
    assert found["holds"] == (
        max(found["samples_per_s_by_batch_rows"].values()) >= found["bound_samples_per_s"]
    )
