"""Carry decisions out and store them: ledger, outbox, sinks, metrics."""

from sightline.act.latency import LatencyRecorder
from sightline.act.ledger import Ledger
from sightline.act.metrics import RunMetrics
from sightline.act.metrics_server import serve_metrics
from sightline.act.outbox import Backoff, OutboxDispatcher
from sightline.act.sinks import JsonLinesSink, Sink
from sightline.act.webhook import WebhookSink

__all__ = [
    "Backoff",
    "JsonLinesSink",
    "LatencyRecorder",
    "Ledger",
    "OutboxDispatcher",
    "RunMetrics",
    "Sink",
    "WebhookSink",
    "serve_metrics",
]
