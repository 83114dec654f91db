import urllib.error
import urllib.request

import numpy as np
import pytest
from decide.making import decision
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline.act import LatencyRecorder, RunMetrics, serve_metrics
from sightline.records import Accounts


@settings(max_examples=50, derandomize=True, deadline=None)
@given(st.lists(st.floats(1e-5, 1e3), min_size=1, max_size=200), st.sampled_from([0.5, 0.95, 0.99]))
def test_a_percentile_is_within_one_percent(values, share):
    recorder = LatencyRecorder()
    for value in values:
        recorder.record(value)
    exact = np.quantile(values, share, method="inverted_cdf")
    assert recorder.percentile_s(share) == pytest.approx(exact, rel=0.0101)


def test_the_worst_latency_is_exact():
    recorder = LatencyRecorder()
    for value in (0.1, 7.123456, 0.2):
        recorder.record(value)
    assert recorder.summary()["worst"] == 7.123456


def test_merging_counts_both():
    a, b = LatencyRecorder(), LatencyRecorder()
    a.record(1.0)
    b.record(3.0)
    a.merge(b)
    assert (a.count, a.summary()["worst"]) == (2, 3.0)


def test_without_values_nothing_is_claimed():
    assert LatencyRecorder().summary() == {"count": 0}


def scrape(address, path="/metrics"):
    with urllib.request.urlopen(f"http://{address[0]}:{address[1]}{path}", timeout=5) as answer:
        return answer.read().decode()


def test_metrics_are_served_with_buckets_around_the_budget():
    metrics = RunMetrics()
    metrics.observe_decision(decision(100), 17.0)
    with serve_metrics(metrics, port=0) as server:
        text = scrape(server.address)
    assert 'sightline_decision_latency_seconds_bucket{kind="k",le="15.0"} 0.0' in text
    assert 'sightline_decision_latency_seconds_bucket{kind="k",le="30.0"} 1.0' in text


def test_rows_are_counted_by_cause():
    metrics = RunMetrics()
    metrics.observe_accounts("p000", Accounts(received=3, decided=1, quarantined={"RANGE": 2}))
    line = 'sightline_records{cause="RANGE",outcome="quarantined",partition="p000"} 2.0'
    assert line in metrics.render().decode()


def test_two_runs_do_not_share_metrics():
    one, other = RunMetrics(), RunMetrics()
    one.observe_queue("p000", 5)
    assert "sightline_open_rows{" not in other.render().decode()


def test_other_paths_are_not_served():
    with serve_metrics(RunMetrics(), port=0) as server:
        assert scrape(server.address, "/healthz") == "ok\n"
        with pytest.raises(urllib.error.HTTPError, match="404"):
            scrape(server.address, "/etc/passwd")
