"""An inspector as something that looks at the pictures of a station: files in, numbers out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from sightline.errors import PipelineError
from sightline.models.artefact import InputContract
from sightline.perceive.inspection.inspector import REASONS
from sightline.perceive.inspection.inspector_model import InspectorModel, load_inspector
from sightline.records import Frame
from sightline.runtime.item_stage import CameraPlan

BREACHES = ("", "WRONG_BIT_DEPTH", "WRONG_CHANNELS", "WRONG_SIZE")
"""What can be wrong with a picture, by the number under which an answer names it."""
_NOVEL = frozenset({"UNLIKE_NORMAL_PATCHES"})
"""Reasons of the memory of good parts; the others are of the opinion on defects."""


def open_inspector(
    model: str, *, folder: str, digest: str | None, camera: CameraPlan, where: str
) -> InspectorLooking:
    """The inspector of a station.

    Args:
        model: its folder.
        folder: where a relative one begins.
        digest: it must have; None: any.
        camera: whose pictures it is to look at.
        where: for errors.

    Raises:
        UsageError: there is none, or another one than the digest says.
        PipelineError: it does not take the pictures that the camera promises.
    """
    path = Path(folder) / model
    found = load_inspector(path, digest=digest)
    _check_contract(found.artefact.contract, camera, where=f"{where} ({path})")
    return InspectorLooking(found)


class InspectorLooking:
    """An inspector, as something that looks at frames."""

    def __init__(self, model: InspectorModel) -> None:
        self.model = model
        self.version = f"inspection@{model.artefact.digest[:16]}"

    def look(self, frames: Sequence[Frame]) -> list[Mapping[str, float]]:
        """Numbers by name for each frame: the score, its two halves, thresholds, and a box."""
        return [self._look(frame) for frame in frames]

    def _look(self, frame: Frame) -> Mapping[str, float]:
        inspector = self.model.inspector
        thresholds = {"reject_from": inspector.reject_from, "review_from": inspector.review_from}
        breach = self.model.artefact.contract.breach(frame.pixels)
        if breach is not None:
            return {"score": 0.0, "breach": float(BREACHES.index(breach[0])), **thresholds}
        found = self.model.inspect(frame.pixels)
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
