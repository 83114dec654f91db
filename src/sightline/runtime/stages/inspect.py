"""``inspect``: what an inspector sees in each picture of a station; guarded."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from sightline.errors import PipelineError
from sightline.models.artefact import InputContract
from sightline.perceive.inspection.inspector import REASONS
from sightline.perceive.inspection.inspector_model import InspectorModel, load_inspector
from sightline.records import Frame
from sightline.records.part import PartPicture
from sightline.runtime.item_stage import CameraPlan, ItemPlanning, ItemStage, Turn
from sightline.runtime.settings import GuardSettings, ItemSettings

UNSEEN = "UNSEEN"
"""Nobody has looked at the picture in time."""
_BREACHES = ("", "WRONG_BIT_DEPTH", "WRONG_CHANNELS", "WRONG_SIZE")
"""By the number under which an answer names them: answers are numbers."""
_NOVEL = frozenset({"UNLIKE_NORMAL_PATCHES", "UNLIKE_NORMAL_ALL_OVER"})
"""Reasons of the memory of good parts; the others are of the opinion on defects."""


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
        path = Path(folder) / self.settings.model
        model = load_inspector(path, digest=self.settings.digest)
        _check_contract(model.artefact.contract, camera, where=f"stages.{self.name} ({path})")
        return InspectorLooking(model)

    def on_item(self, turn: Turn) -> dict[str, Any]:
        assert turn.header is not None
        header, found = turn.header, turn.found
        code = UNSEEN if found is None else _BREACHES[int(found["breach"])]
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


class InspectorLooking:
    """An inspector, as something that looks at frames."""

    def __init__(self, model: InspectorModel) -> None:
        self._model = model
        self.version = f"inspection@{model.artefact.digest[:16]}"

    def look(self, frames: Sequence[Frame]) -> list[Mapping[str, float]]:
        """Numbers by name for each frame: the score, its two halves, thresholds, and a box."""
        return [self._look(frame) for frame in frames]

    def _look(self, frame: Frame) -> Mapping[str, float]:
        inspector = self._model.inspector
        thresholds = {"reject_from": inspector.reject_from, "review_from": inspector.review_from}
        breach = self._model.artefact.contract.breach(frame.pixels)
        if breach is not None:
            return {"score": 0.0, "breach": float(_BREACHES.index(breach[0])), **thresholds}
        found = self._model.inspect(frame.pixels)
        reasons = dict(zip(REASONS, found.reasons.tolist(), strict=True))
        box = found.boxes[0].tolist()[:4] if len(found.boxes) else [0.0] * 4
        return {
            "score": found.score,
            "breach": 0.0,
            **thresholds,
            "novelty": sum(v for name, v in reasons.items() if name in _NOVEL),
            "likeness": sum(v for name, v in reasons.items() if name not in _NOVEL),
            **dict(zip(("x1", "y1", "x2", "y2"), box, strict=True)),
        }


def _check_contract(contract: InputContract, camera: CameraPlan, *, where: str) -> None:
    """Raise PipelineError where no picture of the camera could be looked at."""
    width_px, height_px = camera.contract.width_px, camera.contract.height_px
    fits = (
        contract.min_width_px <= width_px <= contract.max_width_px
        and contract.min_height_px <= height_px <= contract.max_height_px
        and contract.channels == camera.contract.channels
        and contract.bit_depth == 8
    )
    if not fits:
        raise PipelineError(
            expected=f"pictures as the model learnt from: {contract.channels} channels of "
            f"{contract.bit_depth} bits, {contract.min_width_px} to {contract.max_width_px} x "
            f"{contract.min_height_px} to {contract.max_height_px} px",
            got=f"{camera.contract.channels} channels of 8 bits, {width_px} x {height_px} px",
            where=f"{where}, camera {camera.name}",
            action="mend the camera's contract, or train a model on its pictures",
        )
