"""What a cell looks like among those around it, and how much that looks like a defect.

A stain and a cavity differ less in themselves than in how they stand out. So of each cell the head
sees its features, brought to a few numbers (principal components); the same less their mean over
the picture, and less their mean over the 3 x 3 cells about it; that mean less the one over 7 x 7;
how far the cells above and below differ, and those left and right; and the distance to the four
borders.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np

from sightline.perceive.inspection.defect_head import DefectHead
from sightline.perceive.inspection.floats import Floats

BORDER_CELLS = 6
"""Cells further from a border than this are all in the middle."""
COMPONENTS = 64
"""Numbers that the features of a cell are brought to; fewer where there are fewer features."""
_NEAR_CELLS, _WIDE_CELLS, _STEP_CELLS = 3, 7, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """Brings the features of cells to what a head sees.

    Attributes:
        mean: float32[c], taken from features first.
        basis: float32[c, d], principal components of good cells.
    """

    mean: Floats
    basis: Floats

    def rows(self, cells: Floats) -> Floats:
        """float32[rows · columns, 6 d + 4] of [rows, columns, c]."""
        rows, columns = cells.shape[:2]
        own = np.asarray((cells - self.mean) @ self.basis, np.float32)
        near, wide = _mean_around(own, _NEAR_CELLS), _mean_around(own, _WIDE_CELLS)
        y, x = np.mgrid[:rows, :columns]
        borders = np.stack([y, rows - 1 - y, x, columns - 1 - x], axis=-1)
        seen = (
            *(own, own - own.mean(axis=(0, 1)), own - near, near - wide),
            *(_across(near, 0), _across(near, 1)),
            np.minimum(borders, BORDER_CELLS).astype(np.float32),
        )
        return np.concatenate(seen, axis=2, dtype=np.float32).reshape(rows * columns, -1)


def learn_surroundings(cells: Floats) -> Surroundings:
    """From cells float32[n, c] of good parts.

    Each component is divided by the fourth root of its variance: between components that count
    as they vary, and ones that all count the same.
    """
    wide = cells.astype(np.float64)
    mean, scale = wide.mean(axis=0), wide.std(axis=0) + 1e-3
    scaled = (wide - mean) / scale
    variances, vectors = np.linalg.eigh(scaled.T @ scaled / len(scaled))
    largest = np.argsort(-variances, kind="stable")[:COMPONENTS]
    roots = np.maximum(variances[largest], 1e-6) ** 0.25
    basis = vectors[:, largest] / roots / scale[:, None]
    return Surroundings(mean=mean.astype(np.float32), basis=basis.astype(np.float32))


@dataclass(frozen=True, slots=True, kw_only=True)
class CellHead:
    """What was learnt of cells of defects.

    Attributes:
        surroundings: what it sees of a cell.
        head: what it makes of that.
    """

    surroundings: Surroundings
    head: DefectHead

    def log_odds(self, cells: Floats) -> Floats:
        """float32[rows, columns] for [rows, columns, c]: above 0 a defect is more likely."""
        return self.head.of_rows(self.surroundings.rows(cells)).reshape(cells.shape[:2])

    def randomised(self, random: np.random.Generator) -> CellHead:
        """One of the same form that has learnt nothing: weights drawn with the same spread.

        A heat map that such a head draws, too, shows the picture and not what was learnt
        (J. Adebayo et al., Sanity Checks for Saliency Maps, NeurIPS 2018).
        """
        drawn = (random.normal(size=w.shape) * w.std() for w in self.head.weights)
        weights = tuple(w.astype(np.float32) for w in drawn)
        return replace(self, head=replace(self.head, weights=weights))

    def as_arrays(self) -> dict[str, Floats]:
        """All of it as arrays by name."""
        around = self.surroundings
        return {"around_mean": around.mean, "around_basis": around.basis, **self.head.as_arrays()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any]) -> CellHead:
        """Inverse of :meth:`as_arrays`.

        Raises:
            KeyError: an array is missing.
        """
        around = Surroundings(mean=arrays["around_mean"], basis=arrays["around_basis"])
        return cls(surroundings=around, head=DefectHead.from_arrays(arrays))


def _mean_around(values: Floats, side: int) -> Floats:
    around = cv2.blur(values, (side, side), borderType=cv2.BORDER_REFLECT)
    return np.asarray(around, np.float32).reshape(values.shape)


def _across(values: Floats, axis: int) -> Floats:
    """How far the cells two before and two after differ; past a border, the last cell counts."""
    places = np.arange(values.shape[axis])
    before = np.take(values, np.maximum(places - _STEP_CELLS, 0), axis=axis)
    after = np.take(values, np.minimum(places + _STEP_CELLS, places[-1]), axis=axis)
    return np.asarray(np.abs(after - before))
