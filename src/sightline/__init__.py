"""Sightline: raw sensor streams in, audited decisions out, on time.

    import sightline as sl

Each name is imported when it is first used, so that the package itself is there at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from sightline.late_names import late_names

__version__ = "0.2.0.dev0"

_PLACES: Mapping[str, str] = MappingProxyType(
    {
        "Chunk": "sightline.sense.source",
        "Condition": "sightline.decide.standing",
        "Detections": "sightline.records",
        "DetectorKind": "sightline.runtime.detector",
        "DetectorSettings": "sightline.runtime.settings",
        "Frame": "sightline.records",
        "GuardSettings": "sightline.runtime.settings",
        "ItemSettings": "sightline.runtime.settings",
        "ItemStage": "sightline.runtime.item_stage",
        "Measure": "sightline.runtime.stage",
        "Outlet": "sightline.act",
        "OutletOptions": "sightline.act",
        "SeriesSettings": "sightline.runtime.settings",
        "Source": "sightline.sense.source",
        "SourceOptions": "sightline.sense.source",
        "Stage": "sightline.runtime.stage",
        "Stream": "sightline.sense.source",
        "Tracker": "sightline.notebook",
        "aggregate_recent_tile_max": "sightline.perceive.tiles",
        "chunk_of": "sightline.sense.source",
        "decisions": "sightline.notebook",
        "detect": "sightline.notebook",
        "explain": "sightline.notebook",
        "load_pipeline": "sightline.notebook",
        "replay": "sightline.notebook",
        "run": "sightline.notebook",
    }
)

__all__ = [
    "Chunk",
    "Condition",
    "Detections",
    "DetectorKind",
    "DetectorSettings",
    "Frame",
    "GuardSettings",
    "ItemSettings",
    "ItemStage",
    "Measure",
    "Outlet",
    "OutletOptions",
    "SeriesSettings",
    "Source",
    "SourceOptions",
    "Stage",
    "Stream",
    "Tracker",
    "aggregate_recent_tile_max",
    "chunk_of",
    "decisions",
    "detect",
    "explain",
    "load_pipeline",
    "replay",
    "run",
]

if TYPE_CHECKING:
    from sightline.act import Outlet, OutletOptions
    from sightline.decide.standing import Condition
    from sightline.notebook import (
        Tracker,
        decisions,
        detect,
        explain,
        load_pipeline,
        replay,
        run,
    )
    from sightline.perceive.tiles import aggregate_recent_tile_max
    from sightline.records import Detections, Frame
    from sightline.runtime.detector import DetectorKind
    from sightline.runtime.item_stage import ItemStage
    from sightline.runtime.settings import (
        DetectorSettings,
        GuardSettings,
        ItemSettings,
        SeriesSettings,
    )
    from sightline.runtime.stage import Measure, Stage
    from sightline.sense.source import Chunk, Source, SourceOptions, Stream, chunk_of


__getattr__ = late_names(__name__, _PLACES)


def __dir__() -> list[str]:
    return sorted({*globals(), *_PLACES})
