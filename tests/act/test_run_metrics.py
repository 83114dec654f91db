"""What Prometheus sees."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from act.act_cases import decision
from sightline.act import RunMetrics, serve_metrics
from sightline.errors import UsageError
from sightline.records import Accounts


def value(metrics: RunMetrics, name: str, **labels: str) -> float | None:
    """One sample as a scraper reads it; None where there is none."""
    found = [
        sample.value
        for family in text_string_to_metric_families(metrics.render().decode())
        for sample in family.samples
        if sample.name == f"sightline_{name}" and sample.labels == labels
    ]
    return found[0] if found else None


def get(url: str) -> tuple[int, bytes, str]:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, answer.read(), answer.headers["Content-Type"]
    except urllib.error.HTTPError as error:
        return error.code, error.read(), ""


def test_records_grow_by_the_difference_of_accounts() -> None:
    metrics = RunMetrics()
    metrics.observe_accounts(
        "p000", Accounts(received=6, decided=2, quarantined={"RANGE": 1}, in_flight=3)
    )
    metrics.observe_accounts("p000", Accounts(received=9, decided=7, quarantined={"RANGE": 2}))
    assert value(metrics, "records_total", outcome="received", cause="") == 9
    assert value(metrics, "records_total", outcome="decided", cause="") == 7
    assert value(metrics, "records_total", outcome="quarantined", cause="RANGE") == 2
    assert value(metrics, "records_in_flight", partition="p000") == 0


def test_records_of_partitions_add_up() -> None:
    metrics = RunMetrics()
    for partition in ("p000", "p001"):
        metrics.observe_accounts(partition, Accounts(received=2, dropped={"BUFFER_FULL": 2}))
    assert value(metrics, "records_total", outcome="dropped", cause="BUFFER_FULL") == 4


def test_a_decision_is_counted_and_timed() -> None:
    metrics = RunMetrics()
    metrics.observe_decision(decision(), 17.0)
    labels = {"kind": "packet_loss", "mode": "primary", "status": "issued"}
    assert value(metrics, "decisions_total", **labels) == 1
    assert value(metrics, "decision_latency_seconds_bucket", le="15.0") == 0
    assert value(metrics, "decision_latency_seconds_bucket", le="30.0") == 1


@pytest.mark.parametrize("edge", ["0.01", "0.1", "1.0", "5.0", "15.0", "30.0", "45.0", "60.0"])
def test_latency_buckets_end_at(edge: str) -> None:
    metrics = RunMetrics()
    metrics.observe_stage("score", float(edge))
    assert value(metrics, "stage_latency_seconds_bucket", stage="score", le=edge) == 1


def test_depth_and_lateness_are_shown() -> None:
    metrics = RunMetrics()
    metrics.observe_queue("telemetry", 7)
    metrics.observe_deadline_missed("score")
    assert value(metrics, "queue_depth", source="telemetry") == 7
    assert value(metrics, "deadline_missed_total", stage="score") == 1


@pytest.mark.parametrize(("phase", "shown"), [("closed", 0.0), ("half_open", 0.5), ("open", 1.0)])
def test_a_breaker_shows_its_phase(phase: str, shown: float) -> None:
    metrics = RunMetrics()
    metrics.observe_breaker("score", phase)
    assert value(metrics, "breaker_state", stage="score") == shown


def test_a_breaker_in_an_unknown_phase_does_not_look_closed() -> None:
    metrics = RunMetrics()
    metrics.observe_breaker("score", "melted")
    found = value(metrics, "breaker_state", stage="score")
    assert found is not None
    assert found != found  # noqa: PLR0124 - NaN


def test_two_runs_do_not_mix() -> None:
    one, other = RunMetrics(), RunMetrics()
    one.observe_deadline_missed("score")
    assert value(other, "deadline_missed_total", stage="score") is None


def test_the_global_registry_stays_empty_of_ours() -> None:
    RunMetrics()
    assert not [f.name for f in REGISTRY.collect() if f.name.startswith("sightline")]


def test_metrics_are_served_as_they_stand() -> None:
    metrics = RunMetrics()
    with serve_metrics(metrics, port=0) as server:
        metrics.observe_queue("telemetry", 7)
        status, body, content_type = get(server.url)
    assert status == 200
    assert b'sightline_queue_depth{source="telemetry"} 7.0' in body
    assert content_type.startswith("text/plain")


def test_with_a_token_metrics_are_for_those_who_have_it_and_health_for_all() -> None:
    with serve_metrics(RunMetrics(), port=0, token="t0ken-of-this-test") as server:
        asked = urllib.request.Request(server.url)
        for wrong in ({}, {"Authorization": "Bearer other"}):
            asked.headers = wrong
            with pytest.raises(urllib.error.HTTPError, match="401"):
                urllib.request.urlopen(asked, timeout=5)
        asked.headers = {"Authorization": "Bearer t0ken-of-this-test"}
        assert urllib.request.urlopen(asked, timeout=5).status == 200
        assert get(f"http://{server.host}:{server.port}/healthz")[0] == 200


def test_health_is_served() -> None:
    with serve_metrics(RunMetrics(), port=0) as server:
        assert get(f"http://{server.host}:{server.port}/healthz")[:2] == (200, b"ok\n")


@pytest.mark.parametrize("path", ["/", "/metrics/", "/../etc/passwd", "/favicon.ico"])
def test_nothing_else_is_served(path: str) -> None:
    with serve_metrics(RunMetrics(), port=0) as server:
        assert get(f"http://{server.host}:{server.port}{path}")[0] == 404


def test_nothing_can_be_posted() -> None:
    with serve_metrics(RunMetrics(), port=0) as server:
        request = urllib.request.Request(server.url, data=b"x", method="POST")
        with pytest.raises(urllib.error.HTTPError, match="501"):
            urllib.request.urlopen(request, timeout=5)


def test_only_this_machine_is_served_unless_asked() -> None:
    with serve_metrics(RunMetrics(), port=0) as server:
        assert server.address == ("127.0.0.1", server.port)


def test_after_closing_the_port_is_free() -> None:
    with serve_metrics(RunMetrics(), port=0) as server:
        port = server.port
    server.close()  # again, without harm
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=1)
    serve_metrics(RunMetrics(), port=port).close()


def test_a_port_that_is_taken_is_refused_with_an_action() -> None:
    with (
        serve_metrics(RunMetrics(), port=0) as server,
        pytest.raises(UsageError, match="choose another port"),
    ):
        serve_metrics(RunMetrics(), port=server.port)


def test_a_port_that_cannot_be_is_refused() -> None:
    with pytest.raises(UsageError, match="free port"):
        serve_metrics(RunMetrics(), port=99_999)


@given(st.text(max_size=40))
def test_whatever_a_receiver_is_called_its_name_comes_back_from_the_page(name: str) -> None:
    metrics = RunMetrics()
    metrics.observe_delivery(name, pending=3, failed=0, delivered=0, failures={})
    assert value(metrics, "alerts_undelivered", receiver=name, state="pending") == 3
