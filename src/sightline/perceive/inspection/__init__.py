"""Inspection: is this picture of a surface like those of good parts, and where is it not.

Functions of arrays. A picture becomes **cells** (features of 8 x 8 px); a **patch memory** says how
far each cell is from the nearest normal one; a **defect head** says how much it looks like a
defect, simulated on good pictures or marked by a person; both are held against what is usual at
that place of good parts.
"""

from sightline.perceive.inspection.cells import BackboneCells, Cells, HandcraftedCells
from sightline.perceive.inspection.inspector import Inspected, Inspector
from sightline.perceive.inspection.learning import InspectionSettings, LearntFrom, learn_inspector

__all__ = [
    "BackboneCells",
    "Cells",
    "HandcraftedCells",
    "Inspected",
    "InspectionSettings",
    "Inspector",
    "LearntFrom",
    "learn_inspector",
]
