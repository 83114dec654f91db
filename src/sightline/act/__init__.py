"""Carry decisions out and store them: ledger, outbox, outlets, metrics."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from sightline.late_names import late_names

if TYPE_CHECKING:
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

_PLACES: Mapping[str, str] = MappingProxyType(
    {
        "AlertDelivery": "sightline.act.delivery",
        "CommandKey": "sightline.act.command_signing",
        "CommandReceiver": "sightline.act.command_receiver",
        "CommandSender": "sightline.act.command_sender",
        "CommandSigner": "sightline.act.command_signing",
        "DeliveryError": "sightline.act.outlet",
        "DeliveryReport": "sightline.act.delivery",
        "LatencyRecorder": "sightline.act.latency",
        "Ledger": "sightline.act.ledger",
        "OutboxDispatcher": "sightline.act.delivery",
        "Outlet": "sightline.act.outlet",
        "OutletOptions": "sightline.act.outlet",
        "Reception": "sightline.act.command_receiver",
        "Retry": "sightline.act.outlet",
        "RunMetrics": "sightline.act.metrics",
        "Sayable": "sightline.act.outlet",
        "SignedCommand": "sightline.act.command_signing",
        "open_outlet": "sightline.act.outlet",
        "outlet_registry": "sightline.act.outlet",
        "serve_metrics": "sightline.act.metrics",
    }
)
__getattr__ = late_names(__name__, _PLACES)
