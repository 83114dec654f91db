"""Metrics of a run for Prometheus, in a registry of their own, and the server that shows them."""

from __future__ import annotations

import hmac
import threading
from collections.abc import Callable, Mapping
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any, ClassVar, Self

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)

from sightline.act.bounded_server import BoundedServer
from sightline.errors import UsageError
from sightline.limits import DEFAULT_LIMITS
from sightline.records import Accounts, Decision

BUCKETS_S = (0.01, 0.1, 1.0, 5.0, 15.0, 30.0, 45.0, 60.0)
"""Upper edges in s: the budget of a minute and its shares, and below 1 s for single stages."""

BREAKER_STATES = {"closed": 0.0, "half_open": 0.5, "open": 1.0}


class RunMetrics:
    """Counters, gauges and histograms of one run, all named ``sightline_…``.

    Two runs in one process do not mix: nothing goes to prometheus_client's global registry.
    Label values come from the pipeline file and from reason codes, never from data, so their
    number is bounded. May be rendered from another thread.

    >>> metrics = RunMetrics()
    >>> metrics.observe_deadline_missed("score")
    >>> b'sightline_deadline_missed_total{stage="score"} 1.0' in metrics.render()
    True
    """

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self._accounts: dict[str, Accounts] = {}
        self._records = Counter(
            "sightline_records_total",
            "Source rows by what became of them.",
            ["outcome", "cause"],
            registry=registry,
        )
        self._in_flight = Gauge(
            "sightline_records_in_flight",
            "Source rows in windows that may still change.",
            ["partition"],
            registry=registry,
        )
        self._decisions = Counter(
            "sightline_decisions_total",
            "Decision revisions.",
            ["kind", "mode", "status"],
            registry=registry,
        )
        self._queue_depth = Gauge(
            "sightline_queue_depth", "Rows that wait.", ["source"], registry=registry
        )
        self._stage_latency_s = Histogram(
            "sightline_stage_latency_seconds",
            "Time of one step of a stage.",
            ["stage"],
            buckets=BUCKETS_S,
            registry=registry,
        )
        self._decision_latency_s = Histogram(
            "sightline_decision_latency_seconds",
            "From receipt to durable decision.",
            buckets=BUCKETS_S,
            registry=registry,
        )
        self._deadline_missed = Counter(
            "sightline_deadline_missed_total",
            "Stages, and decisions, that took longer than their budget.",
            ["stage"],
            registry=registry,
        )
        self._breaker = Gauge(
            "sightline_breaker_state",
            "Circuit breaker: 0 closed, 0.5 half open, 1 open, NaN unknown.",
            ["stage"],
            registry=registry,
        )

        self._undelivered = Gauge(
            "sightline_alerts_undelivered",
            "Alerts in the outbox: pending, or failed (refused for good).",
            ["receiver", "state"],
            registry=registry,
        )
        self._delivered = Gauge(
            "sightline_alerts_delivered",
            "Alerts that a receiver has taken in this run.",
            ["receiver"],
            registry=registry,
        )
        self._delivery_failures = Gauge(
            "sightline_alert_delivery_failures",
            "Failures of this run: to send an alert or a notice, or a whole pass over the outbox.",
            ["receiver", "what"],
            registry=registry,
        )
        self._delivery_alarm = Gauge(
            "sightline_alert_delivery_alarm",
            "1: a receiver takes no alerts, or has refused some for good.",
            ["receiver"],
            registry=registry,
        )
        self._ledger_current = Gauge(
            "sightline_ledger_well",
            "1: the ledger takes what is stored; 0: it fails, and the run goes on without it.",
            registry=registry,
        )
        self._ledger_failures = Gauge(
            "sightline_ledger_failures",
            "Attempts to store something in the ledger that failed in this run.",
            registry=registry,
        )
        self._commands = Gauge(
            "sightline_commands",
            "Commands of this run by what became of them: sent, superseded, failed.",
            ["machine", "outcome"],
            registry=registry,
        )

    def observe_delivery(
        self,
        receiver: str,
        *,
        pending: int,
        failed: int,
        delivered: int,
        failures: Mapping[str, int],
    ) -> None:
        """What a receiver of alerts has taken, and what it has not; failures by what failed."""
        self._undelivered.labels(receiver, "pending").set(pending)
        self._undelivered.labels(receiver, "failed").set(failed)
        self._delivered.labels(receiver).set(delivered)
        for what, times in failures.items():
            self._delivery_failures.labels(receiver, what).set(times)

    def observe_delivery_alarm(self, receiver: str, *, is_on: bool) -> None:
        """Whether a receiver is known to be in trouble."""
        self._delivery_alarm.labels(receiver).set(is_on)

    def observe_ledger(self, *, is_well: bool, failures: int) -> None:
        """Whether the ledger takes what is stored, and how often it has not."""
        self._ledger_current.set(is_well)
        self._ledger_failures.set(failures)

    def observe_commands(self, machine: str, *, sent: int, superseded: int, failed: int) -> None:
        """What became of the commands to a machine."""
        for outcome, count in (("sent", sent), ("superseded", superseded), ("failed", failed)):
            self._commands.labels(machine, outcome).set(count)

    def observe_accounts(self, partition: str, accounts: Accounts) -> None:
        """The accounts of a partition, as they stand; counters grow by the difference."""
        before = self._accounts.get(partition, Accounts())
        self._accounts[partition] = accounts
        for outcome in ("received", "decided", "superseded"):
            self._count(outcome, "", getattr(accounts, outcome) - getattr(before, outcome))
        for cause, rows in accounts.dropped.items():
            self._count("dropped", cause, rows - before.dropped.get(cause, 0))
        for reason, rows in accounts.quarantined.items():
            self._count("quarantined", reason, rows - before.quarantined.get(reason, 0))
        self._in_flight.labels(partition).set(accounts.in_flight)

    def observe_decision(self, decision: Decision, latency_s: float) -> None:
        """One revision and its latency from receipt, in s."""
        self._decisions.labels(decision.kind, str(decision.mode), str(decision.status)).inc()
        self._decision_latency_s.observe(latency_s)

    def observe_stage(self, stage: str, latency_s: float) -> None:
        """One step of a stage, in s."""
        self._stage_latency_s.labels(stage).observe(latency_s)

    def observe_queue(self, source: str, rows: int) -> None:
        """Rows that wait for a source or partition."""
        self._queue_depth.labels(source).set(rows)

    def observe_deadline_missed(self, stage: str, *, times: int = 1) -> None:
        """A stage, or the whole way, took longer than its budget."""
        self._deadline_missed.labels(stage).inc(times)

    def observe_breaker(self, stage: str, phase: str) -> None:
        """Phase of a circuit breaker: ``closed``, ``half_open`` or ``open``."""
        self._breaker.labels(stage).set(BREAKER_STATES.get(phase, float("nan")))

    def render(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self._registry)

    def _count(self, outcome: str, cause: str, rows: int) -> None:
        # Accounts never shrink in a run; those of a partition that starts over count from there.
        self._records.labels(outcome, cause).inc(max(rows, 0))


Page = tuple[str, Callable[[], bytes]]
"""Content type, and what gives the body."""


class MetricsServer:
    """Serves until it is closed; a context manager. Made by :func:`serve_metrics`.

    Attributes:
        host: address it listens on.
        port: port it listens on, the one taken where 0 was asked for.
    """

    def __init__(self, metrics: RunMetrics, *, host: str, port: int, token: str | None) -> None:
        pages: Mapping[str, Page] = {
            "/metrics": (CONTENT_TYPE_LATEST, metrics.render),
            "/healthz": ("text/plain; charset=utf-8", lambda: b"ok\n"),
        }
        try:
            handler = partial(_Handler, pages, token)
            self._server = BoundedServer(
                (host, port), handler, most=DEFAULT_LIMITS.metrics_requests
            )
        except (OSError, OverflowError) as error:
            raise UsageError(
                expected="a free port of this machine",
                got=getattr(error, "strerror", None) or str(error),
                where=f"metrics at {host}:{port}",
                action="choose another port, or 0 for any",
            ) from error
        bound = self._server.server_address
        self.host, self.port = str(bound[0]), int(bound[1])
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )
        self._thread.start()

    @property
    def address(self) -> tuple[str, int]:
        """Host and port it listens on."""
        return self.host, self.port

    @property
    def url(self) -> str:
        """Address of the metrics page."""
        return f"http://{self.host}:{self.port}/metrics"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening and wait for the thread; closing again does nothing."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


def serve_metrics(
    metrics: RunMetrics, *, host: str = "127.0.0.1", port: int, token: str | None = None
) -> MetricsServer:
    """Serve ``metrics`` from now on, to this machine alone unless ``host`` says otherwise.

    Args:
        metrics: rendered anew at each request.
        host: address to listen on.
        port: 0 takes any free one; see ``MetricsServer.port``.
        token: that ``/metrics`` asks for (``Authorization: Bearer``); None: nobody is asked.

    Raises:
        UsageError: the address or port cannot be had.
    """
    return MetricsServer(metrics, host=host, port=port, token=token)


class _Handler(BaseHTTPRequestHandler):
    timeout: ClassVar[float] = 5.0  # s; a client that says nothing must not keep a thread
    server_version = "sightline"
    sys_version = ""

    def __init__(self, pages: Mapping[str, Page], token: str | None, *args: Any) -> None:
        self._pages, self._token = pages, token
        super().__init__(*args)

    def do_GET(self) -> None:
        page = self._pages.get(self.path.partition("?")[0])
        if page is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        if self._token is not None and self.path.startswith("/metrics"):
            given = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
            if not hmac.compare_digest(given.encode(), self._token.encode()):
                self.send_error(HTTPStatus.UNAUTHORIZED)
                return
        content_type, render = page
        body = render()
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        """A scraper's requests are not news."""
