"""An inspector from its folder, ready to look at pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sightline.errors import UsageError
from sightline.models import ModelArtefact, load_artefact
from sightline.perceive.inspection.cells import BackboneCells, Cells, HandcraftedCells
from sightline.perceive.inspection.inspector import Inspected, Inspector
from sightline.records.frames import Image

KIND = "inspection"
BACKBONE = "backbone"
"""Name of the graph in the model; a model without one has handcrafted features."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InspectorModel:
    """A model that was checked, and what runs it.

    Attributes:
        artefact: its card, digest and contract.
        inspector: what was learnt.
        cells: makes cells of pictures.
    """

    artefact: ModelArtefact
    inspector: Inspector
    cells: Cells

    def inspect(self, picture: Image) -> Inspected:
        """Look at a picture that keeps the contract."""
        height_px, width_px = picture.shape[:2]
        return self.inspector.inspect(self.cells(picture), height_px=height_px, width_px=width_px)


def load_inspector(folder: Path, *, digest: str | None = None) -> InspectorModel:
    """Read an inspector; every file of it is checked.

    Args:
        folder: that ``sightline train inspection`` wrote.
        digest: it must have; None: any.

    Raises:
        UsageError: it is none, was changed, or does not fit together.
    """
    artefact = load_artefact(folder, kind=KIND, digest=digest)
    try:
        inspector = Inspector.from_arrays(artefact.arrays)
    except (KeyError, ValueError, IndexError) as error:
        raise _unfit(f"{type(error).__name__}: {error}", folder) from error
    cells: Cells = HandcraftedCells()
    if BACKBONE in artefact.graphs:
        where = f"{folder}, {BACKBONE}.onnx"
        cells = BackboneCells(artefact.graphs[BACKBONE], where=where, scale=inspector.scale)
    if cells.channels != inspector.memory.vectors.shape[1]:
        got = f"{cells.channels} features, memory of {inspector.memory.vectors.shape[1]}"
        raise _unfit(got, folder)
    return InspectorModel(artefact=artefact, inspector=inspector, cells=cells)


def _unfit(got: str, folder: Path) -> UsageError:
    return UsageError(
        expected="a memory, a head and features that fit together",
        got=got,
        where=str(folder),
        action="train the model again",
    )
