"""``inspect``: what an inspector sees in each picture of a station; guarded."""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import Field

from sightline.records.part import PartPicture
from sightline.runtime.inspector import BREACHES, InspectorLooking, open_inspector
from sightline.runtime.item_stage import CameraPlan, ItemPlanning, ItemStage, Turn
from sightline.runtime.settings import GuardSettings, ItemSettings

UNSEEN = "UNSEEN"
"""Nobody has looked at the picture in time."""


class InspectSettings(ItemSettings):
    """What an inspector sees in each picture of a station."""

    model: str
    """Folder of the inspector that `sightline train inspection` wrote, relative to the pipeline
    file."""
    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    """SHA-256 that the model must have; null: any, and the log says which it was."""
    guarded: GuardSettings
    """Deadline of one look. There is no fallback: a picture that nobody has looked at in time is
    UNSEEN, and its part goes to where `parts` sends what is missing."""


class InspectStage(ItemStage):
    """How unlike good parts each picture is, and where."""

    use = "inspect"
    Settings = InspectSettings
    reads = ("frames",)
    writes = "inspections"
    measures = {"score": "1", "novelty": "1", "likeness": "1"}
    looks = True
    finds = ("score", "reject_from", "review_from", "breach")

    def plan(self, planning: ItemPlanning) -> None:
        if len(planning.cameras) != 1:
            planning.fail("one camera, that of the station", ", ".join(planning.cameras))

    def load(self, camera: CameraPlan, folder: str) -> InspectorLooking:
        """The inspector.

        Raises:
            UsageError: there is none, or another one than the digest says.
            PipelineError: it does not take the pictures that the camera promises.
        """
        return open_inspector(
            self.settings.model,
            folder=folder,
            digest=self.settings.digest,
            camera=camera,
            where=f"stages.{self.name}",
        )

    def on_item(self, turn: Turn) -> dict[str, Any]:
        assert turn.header is not None
        header, found = turn.header, turn.found
        code = UNSEEN if found is None else BREACHES[int(found["breach"])]
        number = dict.fromkeys(_NUMBERS, math.nan) if found is None or code else dict(found)
        box = [number.get(name, 0.0) for name in ("x1", "y1", "x2", "y2")]
        picture = PartPicture(
            station=self.name,
            camera=header.camera,
            index=header.index,
            digest=header.digest,
            capture_ns=header.capture_ns,
            code=code,
            box_px=(box[0], box[1], box[2], box[3]),
            **{name: number[name] for name in _NUMBERS},
        )
        if not code:
            turn.measure({name: number[name] for name in self.measures})
        return picture.as_mapping()


_NUMBERS = ("score", "reject_from", "review_from", "novelty", "likeness")
