"""The benchmark of the bank: what it times are the scores of the detectors it is compared with."""

from benchmarks.detector_bank import bench_detector_bank


def test_the_benchmark_times_scores_that_are_those_of_detectors_of_one_series():
    found = bench_detector_bank(
        series=24, rows_per_call=7, memory_size=8, learn_rows=300, settle_rows=10
    )
    assert found["agrees_with_detectors_alone"]
    assert set(found["samples_per_s_by_rows_per_call"]) == {"1", "5", "7", "60"}
    assert found["holds"] == (
        found["samples_per_s_by_rows_per_call"]["7"] >= found["bound_samples_per_s"]
    )
