"""Why a picture was not accepted: what it was compared with, and what would have passed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np

from sightline.perceive.inspection.cells import CELL_PX
from sightline.perceive.inspection.floats import Floats
from sightline.perceive.inspection.inspector import Inspected
from sightline.perceive.inspection.inspector_model import InspectorModel
from sightline.perceive.inspection.would_pass import WouldPass, what_would_pass
from sightline.records.frames import Image
from sightline.records.part import Box

NEAREST = 3
"""Normal patches that are shown beside the place that decides."""
MOST_CORRELATION = 0.5
"""Maps that are more alike to those of an inspector that has learnt nothing show the picture rather
than what was learnt: they are not shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NearPatch:
    """A normal patch that the place that decides was compared with.

    Attributes:
        image, sha256: the good picture it is of, by name and digest of its pixels.
        x_px, y_px: corner of its cell there.
        distance: from that place, in deviations of a feature of the memory's patches.
        crop: uint8[24, 24] or [24, 24, 3], the patch with what is around it.
    """

    image: str
    sha256: str
    x_px: int
    y_px: int
    distance: float
    crop: Image


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureAccount:
    """What is known of the place of a picture that speaks most for the greater reason.

    Attributes:
        x_px, y_px: corner of its cell.
        near: the nearest normal patches; empty for a model that was learnt without their origins.
        would_pass: what of its mark would have passed.
    """

    x_px: int
    y_px: int
    near: tuple[NearPatch, ...]
    would_pass: WouldPass

    def as_mapping(self) -> dict[str, Any]:
        """JSON-ready."""
        near = [
            {name: getattr(one, name) for name in one.__slots__ if name != "crop"}
            for one in self.near
        ]
        place = {"x_px": self.x_px, "y_px": self.y_px}
        return place | {"nearest_normal": near, "would_pass": asdict(self.would_pass)}


def account_of(model: InspectorModel, picture: Image, found: Inspected) -> PictureAccount:
    """Account for a picture that was not accepted; it is looked at about 17 times more.

    Args:
        model: the inspector.
        picture: that keeps the contract.
        found: what was seen in it.
    """
    inspector, examples = model.inspector, model.examples
    row, column = found.peak
    side = CELL_PX / inspector.scale
    x_px, y_px = round(column * side), round(row * side)
    near: list[NearPatch] = []
    if examples is not None:
        cell = model.cells(picture)[row, column]
        sources = model.artefact.card["memory_pictures"]
        gap = (cell - inspector.memory.mean) / inspector.memory.scale
        for i in inspector.memory.nearest(cell, count=NEAREST).tolist():
            square = float(((inspector.memory.vectors[i] - gap) ** 2).mean())
            name, sha256 = sources[int(examples.picture[i])]
            x, y = examples.place_px[i].tolist()
            near.append(
                NearPatch(
                    image=name, sha256=sha256, x_px=x, y_px=y,
                    distance=round(math.sqrt(square), 4), crop=examples.crops[i],
                )
            )  # fmt: skip
    box = _hottest(found.heat)
    return PictureAccount(
        x_px=x_px,
        y_px=y_px,
        near=tuple(near),
        would_pass=what_would_pass(
            picture,
            box,
            lambda changed: model.inspect(changed).score,
            passes_below=inspector.review_from,
        ),
    )


def _hottest(heat: Floats) -> Box:
    """Around what is at least half as hot as the hottest pixel, and hangs together with it."""
    _, labels = cv2.connectedComponents((heat >= heat.max() / 2).astype(np.uint8))
    rows, columns = np.nonzero(labels == labels[np.unravel_index(int(heat.argmax()), heat.shape)])
    return (
        float(columns.min()), float(rows.min()), float(columns.max() + 1), float(rows.max() + 1),
    )  # fmt: skip


def passes_line(found: WouldPass, *, mm_per_px: float | None = None) -> str:
    """What would have passed, as a sentence.

    >>> one = WouldPass(box_px=(0, 0, 14, 9), size_px=14, contrast=0.31, without=0.5,
    ...     passes_below=4.0, size_passes_px=9.2, contrast_passes=0.12)
    >>> passes_line(one, mm_per_px=0.1)
    'it is 1.40 mm / 14.0 px long with a contrast of 31.0 %; up to 0.92 mm / 9.2 px, or up to \
12.0 %, it would have been accepted here'
    """

    def size(px: float) -> str:
        shown = f"{px:.1f} px"
        return shown if mm_per_px is None else f"{px * mm_per_px:.2f} mm / {shown}"

    said = f"it is {size(found.size_px)} long with a contrast of {100 * found.contrast:.1f} %; "
    if not found.is_all:
        return (
            f"{said}without it the score would be {found.without:.2f}, and it is accepted below "
            f"{found.passes_below:.2f}: something else speaks against this picture, too"
        )
    contrast = f"up to {100 * found.contrast_passes:.1f} %"
    if found.size_passes_px < 1:
        return f"{said}{contrast} it would have been accepted here, and at its contrast at no size"
    return (
        f"{said}up to {size(found.size_passes_px)}, or {contrast}, it would have been accepted here"
    )


def maps_note(card: Mapping[str, Any]) -> str:
    """Why the heat maps of a model must not be shown; empty if they may be."""
    alike = card.get("randomised_map_correlation")
    if alike is None or alike <= MOST_CORRELATION:
        return ""
    return (
        f"Heat maps are not shown: they are like those of an inspector that has learnt nothing "
        f"(rank correlation {alike:.2f}, at most {MOST_CORRELATION:g} allowed)."
    )
