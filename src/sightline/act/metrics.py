"""Metrics of a run for Prometheus, in a registry of their own, served on request."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from sightline.records import Accounts, Decision

BUCKETS_S = (0.01, 0.1, 1, 5, 15, 30, 45, 60)
"""Around the 60 s budget, and below it for single stages."""


class RunMetrics:
    """Counts, depths and latencies of one run."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._records = Gauge(
            "sightline_records",
            "Source rows by outcome and cause.",
            ["partition", "outcome", "cause"],
            registry=self._registry,
        )
        self._decisions = Counter(
            "sightline_decisions",
            "Decision revisions.",
            ["kind", "mode", "status"],
            registry=self._registry,
        )
        self._queue = Gauge(
            "sightline_open_rows",
            "Rows in windows that may still change.",
            ["partition"],
            registry=self._registry,
        )
        self._stage_s = Histogram(
            "sightline_stage_latency_seconds",
            "Time of one step.",
            ["stage"],
            buckets=BUCKETS_S,
            registry=self._registry,
        )
        self._decision_s = Histogram(
            "sightline_decision_latency_seconds",
            "Receipt to durable decision.",
            ["kind"],
            buckets=BUCKETS_S,
            registry=self._registry,
        )
        self._missed = Counter(
            "sightline_deadline_missed",
            "Stages that were late.",
            ["stage"],
            registry=self._registry,
        )
        self._breaker = Gauge(
            "sightline_breaker_open",
            "1 open, 0.5 half-open, 0 closed.",
            ["stage"],
            registry=self._registry,
        )

    def observe_accounts(self, partition: str, accounts: Accounts) -> None:
        """Where the rows of a partition are now."""
        for outcome in ("received", "decided", "superseded", "in_flight"):
            self._records.labels(partition, outcome, "").set(getattr(accounts, outcome))
        for cause, count in accounts.dropped.items():
            self._records.labels(partition, "dropped", cause).set(count)
        for reason, count in accounts.quarantined.items():
            self._records.labels(partition, "quarantined", reason).set(count)

    def observe_decision(self, decision: Decision, latency_s: float) -> None:
        """One revision, and how long it took."""
        self._decisions.labels(decision.kind, str(decision.mode), str(decision.status)).inc()
        self._decision_s.labels(decision.kind).observe(latency_s)

    def observe_stage(self, stage: str, latency_s: float) -> None:
        """Time of one step of a stage."""
        self._stage_s.labels(stage).observe(latency_s)

    def observe_queue(self, partition: str, rows: int) -> None:
        """Rows that wait in a partition."""
        self._queue.labels(partition).set(rows)

    def observe_deadline_missed(self, stage: str) -> None:
        """A stage was late and its fallback answered."""
        self._missed.labels(stage).inc()

    def observe_breaker(self, stage: str, phase: str) -> None:
        """Phase of a circuit breaker."""
        self._breaker.labels(stage).set({"open": 1.0, "half_open": 0.5}.get(phase, 0.0))

    def render(self) -> bytes:
        """The Prometheus text format."""
        return bytes(generate_latest(self._registry))


class MetricsServer:
    """Serves ``/metrics`` and ``/healthz``; a context manager."""

    def __init__(self, metrics: RunMetrics, *, host: str, port: int) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path not in ("/metrics", "/healthz"):
                    self.send_error(404)
                    return
                payload = metrics.render() if self.path == "/metrics" else b"ok\n"
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
                self.send_header("Content-Length", str(len(payload)))
                self.end_headers()
                self.wfile.write(payload)

            def log_message(self, *arguments: object) -> None:
                """Requests of a scraper are not news."""

        self._server = ThreadingHTTPServer((host, port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port it listens on."""
        host, port = self._server.server_address[:2]
        return str(host), int(port)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


def serve_metrics(metrics: RunMetrics, *, port: int, host: str = "127.0.0.1") -> MetricsServer:
    """A server for ``metrics``; port 0 takes a free one. Use it with ``with``."""
    return MetricsServer(metrics, host=host, port=port)
