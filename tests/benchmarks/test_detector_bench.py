"""``sightline bench detector``: what it times gives right answers, and it prints its bound."""

from benchmarks.detector import bench_detector


def test_the_benchmark_times_answers_that_agree_with_an_independent_search():
    found = bench_detector(samples=10_000)
    assert found["nearest"]["agrees_with_scipy"]
    assert found["holds"] == (
        max(found["samples_per_s_by_batch_rows"].values()) >= found["bound_samples_per_s"]
    )
