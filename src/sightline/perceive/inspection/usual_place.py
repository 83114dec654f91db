"""What is usual where: borders and edges of good parts are more unusual than their middle.

A value of a map is held against those of good parts at the same relative place (a coarse grid over
the picture), in deviations. Whether it is held against the place at all is decided on good parts:
only where the places differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from sightline.perceive.inspection.floats import Floats

GRID = 12
"""Places along each side of a picture."""
LEAST_SHARE = 0.5
"""A place's deviation is at least half of the usual one, plus its own: few good parts are no proof
that a place never varies."""
PLACES_DIFFER = 0.1
"""Share of the variance that must lie between places for a map to be held against them. Of n alike
pictures 1 / n lies there by chance: 0.02 of fifty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UsualPlace:
    """Mean and deviation of a map by place.

    Attributes:
        mean, spread: float32[12, 12]; all the same where places do not differ.
        explained: share of the variance between places, 0 to 1.
    """

    mean: Floats
    spread: Floats
    explained: float

    @property
    def is_by_place(self) -> bool:
        return self.explained >= PLACES_DIFFER

    def deviations(self, values: Floats) -> Floats:
        """float32[rows, columns]: how far each value is above what is usual there."""
        rows, columns = values.shape
        mean, spread = (
            np.asarray(cv2.resize(g, (columns, rows), interpolation=cv2.INTER_LINEAR), np.float32)
            for g in (self.mean, self.spread)
        )
        return (values - mean) / spread


def learn_usual(maps: Sequence[Floats]) -> UsualPlace:
    """From maps [rows, columns] of good parts, at least two."""
    small = np.stack(
        [cv2.resize(m, (GRID, GRID), interpolation=cv2.INTER_LINEAR) for m in maps]
    ).astype(np.float32)
    mean, spread = small.mean(axis=0), small.std(axis=0)
    total = float(small.var())
    explained = float(mean.var()) / total if total > 0 else 0.0
    if explained < PLACES_DIFFER:
        mean = np.full_like(mean, small.mean())
        spread = np.full_like(spread, small.std())
    spread = spread + LEAST_SHARE * float(spread.mean()) + 1e-6
    return UsualPlace(mean=mean, spread=spread, explained=explained)
