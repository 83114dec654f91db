"""The simulator: a fleet, its telemetry, its ground stations, and what goes wrong, with labels.

Orbits, eclipses, modes and commands, limit cycles, ageing, quantisation, heavy tails, firmware that
moves channels on purpose and firmware that breaks them; faults; packets that are repeated, late or
lost; outages; logs of the ground stations. See ``docs/satellite-simulator.md``.
"""

from sightline.apps.gateway.telemetry_scene.faults import Fault, FaultKind
from sightline.apps.gateway.telemetry_scene.firmware import FirmwareRelease
from sightline.apps.gateway.telemetry_scene.ground import (
    SceneFrames,
    scene_packets,
    simulate,
    simulate_with_past,
    watched_scene,
    write_frames,
    write_recorded_fleet,
)
from sightline.apps.gateway.telemetry_scene.link import LinkConfig
from sightline.apps.gateway.telemetry_scene.records import scene_records, scene_truth
from sightline.apps.gateway.telemetry_scene.scene import (
    SceneBlock,
    TelemetryScene,
    scene_block,
    scene_blocks,
)

__all__ = [
    "Fault",
    "FaultKind",
    "FirmwareRelease",
    "LinkConfig",
    "SceneBlock",
    "SceneFrames",
    "TelemetryScene",
    "scene_block",
    "scene_blocks",
    "scene_packets",
    "scene_records",
    "scene_truth",
    "simulate",
    "simulate_with_past",
    "watched_scene",
    "write_frames",
    "write_recorded_fleet",
]
