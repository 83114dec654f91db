"""The hard simulator: fleets whose telemetry no single threshold can watch.

Orbits, eclipses, modes and commands, limit cycles, ageing, quantisation, heavy tails, firmware that
moves channels on purpose and firmware that breaks them; faults with labels; packets that are
repeated, late or lost. See ``docs/gateway.md``.
"""

from sightline.apps.gateway.telemetry_scene.blocks import SceneBlock, scene_block, scene_blocks
from sightline.apps.gateway.telemetry_scene.config import TelemetryScene
from sightline.apps.gateway.telemetry_scene.firmware import FirmwareRelease
from sightline.apps.gateway.telemetry_scene.packets import scene_contract, scene_packets
from sightline.apps.gateway.telemetry_scene.records import scene_records, scene_truth

__all__ = [
    "FirmwareRelease",
    "SceneBlock",
    "TelemetryScene",
    "scene_block",
    "scene_blocks",
    "scene_contract",
    "scene_packets",
    "scene_records",
    "scene_truth",
]
