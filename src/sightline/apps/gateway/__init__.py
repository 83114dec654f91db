"""The gateway application: health of satellites, links and regions from telemetry and logs."""

from sightline.apps.gateway.faults import Fault, FaultKind
from sightline.apps.gateway.link import LinkConfig
from sightline.apps.gateway.simulator import (
    Constellation,
    ConstellationConfig,
    shuffle_arrival,
    simulate,
    write_constellation,
)

__all__ = [
    "Constellation",
    "ConstellationConfig",
    "Fault",
    "FaultKind",
    "LinkConfig",
    "shuffle_arrival",
    "simulate",
    "write_constellation",
]
