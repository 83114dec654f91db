"""An inspector from its folder, ready to look at pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sightline.errors import UsageError
from sightline.models import ModelArtefact, load_artefact
from sightline.perceive.inspection.cells import BackboneCells, Cells, HandcraftedCells
from sightline.perceive.inspection.inspector import Inspected, Inspector
from sightline.perceive.inspection.normal_examples import NormalExamples
from sightline.records.frames import Image

KIND = "inspection"
BACKBONE = "backbone"
"""Name of the graph in the model; a model without one has handcrafted features."""
NETWORK = "network"
"""Name of the graph if it is a segmentation network, with a map of log-odds, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InspectorModel:
    """A model that was checked, and what runs it.

    Attributes:
        artefact: its card, digest and contract.
        inspector: what was learnt.
        cells: makes cells of pictures.
        examples: where the patches of the memory came from; None: the model does not say.
    """

    artefact: ModelArtefact
    inspector: Inspector
    cells: Cells
    examples: NormalExamples | None = None

    def inspect(self, picture: Image) -> Inspected:
        """Look at a picture that keeps the contract."""
        height_px, width_px = picture.shape[:2]
        cells, fine = self.cells.look(picture)
        return self.inspector.inspect(cells, height_px=height_px, width_px=width_px, fine=fine)


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
        examples = NormalExamples.from_arrays(artefact.arrays)
    except (KeyError, ValueError, IndexError) as error:
        raise _unfit(f"{type(error).__name__}: {error}", folder) from error
    cells: Cells = HandcraftedCells()
    for name in (BACKBONE, NETWORK):
        if name in artefact.graphs:
            graph, where = artefact.graphs[name], f"{folder}, {name}.onnx"
            is_network = name == NETWORK
            cells = BackboneCells(graph, where=where, scale=inspector.scale, has_odds=is_network)
    if cells.channels != inspector.memory.vectors.shape[1]:
        got = f"{cells.channels} features, memory of {inspector.memory.vectors.shape[1]}"
        raise _unfit(got, folder)
    return InspectorModel(artefact=artefact, inspector=inspector, cells=cells, examples=examples)


def _unfit(got: str, folder: Path) -> UsageError:
    return UsageError(
        expected="a memory, a head and features that fit together",
        got=got,
        where=str(folder),
        action="train the model again",
    )
