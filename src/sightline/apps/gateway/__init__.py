"""The gateway application: health of satellites, links and regions from telemetry and logs."""

from pathlib import Path

from sightline.apps.gateway.faults import Fault, FaultKind
from sightline.apps.gateway.link import LinkConfig
from sightline.apps.gateway.simulator import (
    Constellation,
    ConstellationConfig,
    shuffle_arrival,
    simulate,
    write_constellation,
)

PIPELINE = Path(__file__).with_name("gateway.yaml")
"""The pipeline for constellations: telemetry and ground-station logs."""
ARCHIVE_PIPELINE = Path(__file__).with_name("smap.yaml")
"""The pipeline for telemetry channels in NumPy archives."""

__all__ = [
    "ARCHIVE_PIPELINE",
    "PIPELINE",
    "Constellation",
    "ConstellationConfig",
    "Fault",
    "FaultKind",
    "LinkConfig",
    "shuffle_arrival",
    "simulate",
    "write_constellation",
]
