"""Carry decisions out and store them: ledger, outbox, outlets, metrics."""

from sightline.act.command_receiver import CommandReceiver, Reception
from sightline.act.command_sender import CommandSender
from sightline.act.command_signing import CommandKey, CommandSigner, SignedCommand
from sightline.act.delivery import AlertDelivery, DeliveryReport, OutboxDispatcher
from sightline.act.latency import LatencyRecorder
from sightline.act.ledger import Ledger
from sightline.act.metrics import RunMetrics, serve_metrics
from sightline.act.outlet import (
    DeliveryError,
    Outlet,
    OutletOptions,
    Retry,
    Sayable,
    open_outlet,
    outlet_registry,
)

__all__ = [
    "AlertDelivery",
    "CommandKey",
    "CommandReceiver",
    "CommandSender",
    "CommandSigner",
    "DeliveryError",
    "DeliveryReport",
    "LatencyRecorder",
    "Ledger",
    "OutboxDispatcher",
    "Outlet",
    "OutletOptions",
    "Reception",
    "Retry",
    "RunMetrics",
    "Sayable",
    "SignedCommand",
    "open_outlet",
    "outlet_registry",
    "serve_metrics",
]
