"""The gateway application: health of satellites, links and regions from telemetry and logs."""

from pathlib import Path

from sightline.apps.gateway.telemetry_scene import (
    Fault,
    FaultKind,
    LinkConfig,
    SceneFrames,
    TelemetryScene,
    simulate,
    simulate_with_past,
    watched_scene,
    write_frames,
)

PIPELINE = Path(__file__).with_name("gateway.yaml")
"""The pipeline for constellations: telemetry and ground-station logs."""
ARCHIVE_PIPELINE = Path(__file__).with_name("smap.yaml")
"""The pipeline for telemetry channels in NumPy archives."""

__all__ = [
    "ARCHIVE_PIPELINE",
    "PIPELINE",
    "Fault",
    "FaultKind",
    "LinkConfig",
    "SceneFrames",
    "TelemetryScene",
    "simulate",
    "simulate_with_past",
    "watched_scene",
    "write_frames",
]
