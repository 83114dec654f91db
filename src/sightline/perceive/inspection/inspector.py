"""An inspector: cells in, a score, its reasons and a heat map out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from sightline.perceive.inspection.cell_head import CellHead
from sightline.perceive.inspection.cells import CELL_PX, ODDS_PX
from sightline.perceive.inspection.floats import Floats
from sightline.perceive.inspection.patch_memory import PatchMemory
from sightline.perceive.inspection.usual_place import UsualPlace

REASONS = ("UNLIKE_NORMAL_PATCHES", "LOOKS_LIKE_DEFECT")
"""What a score is the sum of, in deviations from good parts: the distance from the memory of the
farthest 2 % of cells beyond the median of the picture, and the greatest log-odds of a cell."""
_LARGEST_SHARE = 0.02
_COLD_ODDS = 8.0
"""Heat is 1 at log-odds of ``mark_from``, and 0 where they are lower by so much."""
_FAR_SHARE = 0.5
"""Where a distance decides, what is so much of the greatest is marked."""
_UNMARKED = 0.999
"""The greatest heat of a picture that is accepted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspected:
    """What was seen in one picture.

    Attributes:
        score: sum of the reasons; that of a usual good part is about 0.
        reasons: float32[2] in the order of ``REASONS``, in deviations from good parts.
        heat: float32[height, width], how much each pixel looks like a defect; 1 and more is marked.
            A picture that is accepted has no mark, any other has one. Where its distance decides
            and the head marks nothing, heat is the distance, 1 at half of the greatest.
        boxes: float32[n, 5]: x1, y1, x2, y2 in px and the greatest heat, the hottest first.
        peak: row and column of the cell that speaks most for the greater reason.
    """

    score: float
    reasons: Floats
    heat: Floats
    boxes: Floats
    peak: tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class CellMaps:
    """What memory and head say of a picture, before it is held against good parts.

    Attributes:
        strangeness: float32[rows, columns], logarithms of the distances from the memory.
        odds: float32[rows, columns], log-odds of a defect; beside a segmentation network those of
            the head and the greatest that the network has in the cell, together.
        fine: float32[h / 4, w / 4], log-odds of network and head together; None without a network.
    """

    strangeness: Floats
    odds: Floats
    fine: Floats | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspector:
    """What was learnt of good parts, and of defects where there were some.

    Attributes:
        memory: of normal patches.
        patches: what is usual of distances, by place.
        head: what defects look like.
        usual: float64[2, 2], median and deviation of each reason over good parts.
        scale: factor by which pictures are enlarged.
        reject_from: score from which a part is rejected.
        review_from: score from which a person looks.
        mark_from: log-odds from which a pixel is marked.
    """

    memory: PatchMemory
    patches: UsualPlace
    head: CellHead
    usual: Floats
    scale: float
    reject_from: float
    review_from: float
    mark_from: float

    def maps_of(self, cells: Floats, fine: Floats | None = None) -> CellMaps:
        """What memory and head say of float32[rows, columns, c] and the log-odds of a network."""
        return cell_maps(self.memory, self.head, cells, fine)

    def inspect(
        self, cells: Floats, *, height_px: int, width_px: int, fine: Floats | None = None
    ) -> Inspected:
        """Look at one picture.

        Args:
            cells: float32[rows, columns, c] of it.
            height_px, width_px: of the picture.
            fine: float32[h / 4, w / 4], log-odds of a segmentation network; None without one.
        """
        return self.judge(self.maps_of(cells, fine), height_px=height_px, width_px=width_px)

    def raw_reasons(self, maps: CellMaps) -> Floats:
        """float64[2] in the order of ``REASONS``, before they are held against good parts."""
        return np.array((_largest(self._distance(maps)), maps.odds.max()), np.float64)

    def reasons_of(self, maps: CellMaps) -> Floats:
        """float64[2] in the order of ``REASONS``; their sum is the score."""
        return np.asarray((self.raw_reasons(maps) - self.usual[:, 0]) / self.usual[:, 1])

    def judge(self, maps: CellMaps, *, height_px: int, width_px: int) -> Inspected:
        """What follows from the maps of a picture."""
        reasons = self.reasons_of(maps)
        score = float(reasons.sum())
        odds = self.pixel_odds(maps, height_px=height_px, width_px=width_px)
        is_accepted = self.disposition(score) == "accept"
        distance = self._distance(maps)
        is_by_distance = bool(reasons[0] > reasons[1] and distance.max() > 0)
        decides = distance if is_by_distance else maps.odds
        mark_from = self.mark_from
        if not is_accepted and not is_by_distance:
            mark_from = min(mark_from, float(odds.max()))
        heat = np.maximum(1 + (odds - np.float32(mark_from)) / np.float32(_COLD_ODDS), 0)
        if is_accepted:
            heat = np.minimum(heat, np.float32(_UNMARKED))
        elif heat.max() < 1:  # what decides is no defect that the head knows
            far = np.maximum(self._at_pixels(distance, height_px, width_px, CELL_PX), 0)
            heat = far / (np.float32(_FAR_SHARE) * far.max())
        boxes = marked_boxes(heat, least_px=round(CELL_PX / self.scale))
        if not is_accepted and not len(boxes):
            boxes = marked_boxes(heat, least_px=1)
        return Inspected(
            score=score,
            reasons=reasons.astype(np.float32),
            heat=heat,
            boxes=boxes,
            peak=divmod(int(decides.argmax()), decides.shape[1]),
        )

    def pixel_odds(self, maps: CellMaps, *, height_px: int, width_px: int) -> Floats:
        """float32[height, width]: log-odds of a defect of each pixel."""
        if maps.fine is not None:
            return self._at_pixels(maps.fine, height_px, width_px, ODDS_PX)
        return self._at_pixels(maps.odds, height_px, width_px, CELL_PX)

    def _distance(self, maps: CellMaps) -> Floats:
        """float32[rows, columns]: deviation of each cell's distance beyond that of the picture."""
        distance = self.patches.deviations(maps.strangeness)
        return distance - np.median(distance)

    def disposition(self, score: float) -> str:
        """``accept``, ``review`` or ``reject``."""
        if score >= self.reject_from:
            return "reject"
        return "review" if score >= self.review_from else "accept"

    def _at_pixels(self, cells: Floats, height_px: int, width_px: int, side_px: int) -> Floats:
        rows, columns = cells.shape
        size = (round(columns * side_px / self.scale), round(rows * side_px / self.scale))
        wide = np.asarray(cv2.resize(cells, size, interpolation=cv2.INTER_LINEAR), np.float32)
        below, right = max(height_px - wide.shape[0], 0), max(width_px - wide.shape[1], 0)
        return np.pad(wide, ((0, below), (0, right)), mode="edge")[:height_px, :width_px]

    def with_thresholds(
        self, *, reject_from: float, review_from: float, mark_from: float
    ) -> Inspector:
        """The same with these thresholds."""
        return replace(self, reject_from=reject_from, review_from=review_from, mark_from=mark_from)

    def as_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """All of it as arrays by name."""
        thresholds = (self.reject_from, self.review_from, self.mark_from)
        numbers = (self.scale, *thresholds, self.patches.explained)
        return {
            "memory_mean": self.memory.mean,
            "memory_scale": self.memory.scale,
            "memory_vectors": self.memory.vectors,
            "patches": np.stack([self.patches.mean, self.patches.spread]),
            **self.head.as_arrays(),
            "usual": self.usual,
            "numbers": np.array(numbers, np.float64),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Inspector:
        """Inverse of :meth:`as_arrays`.

        Raises:
            KeyError: an array is missing.
        """
        scale, reject_from, review_from, mark_from, explained = arrays["numbers"].tolist()
        mean, spread = arrays["patches"]
        return cls(
            memory=PatchMemory(
                mean=arrays["memory_mean"],
                scale=arrays["memory_scale"],
                vectors=arrays["memory_vectors"],
            ),
            patches=UsualPlace(mean=mean, spread=spread, explained=explained),
            head=CellHead.from_arrays(arrays),
            usual=arrays["usual"],
            scale=scale,
            reject_from=reject_from,
            review_from=review_from,
            mark_from=mark_from,
        )


def cell_maps(memory: PatchMemory, head: CellHead, cells: Floats, fine: Floats | None) -> CellMaps:
    """What a memory and a head, with the log-odds of a network, say of a picture's cells.

    Head and network see a place in different ways, and err at different ones: their log-odds are
    added.
    """
    strangeness, odds = memory.strangeness(cells), head.log_odds(cells)
    if fine is None:
        return CellMaps(strangeness=strangeness, odds=odds, fine=None)
    rows, columns, by = *odds.shape, CELL_PX // ODDS_PX
    wide = cv2.resize(odds, (columns * by, rows * by), interpolation=cv2.INTER_LINEAR)
    both = fine + np.asarray(wide, np.float32)[: fine.shape[0], : fine.shape[1]]
    below, right = rows * by - fine.shape[0], columns * by - fine.shape[1]
    blocks = np.pad(fine, ((0, below), (0, right)), mode="edge").reshape(rows, by, columns, by)
    return CellMaps(strangeness=strangeness, odds=odds + blocks.max(axis=(1, 3)), fine=both)


def _largest(values: Floats) -> float:
    count = max(1, int(values.size * _LARGEST_SHARE))
    return float(np.partition(values.ravel(), -count)[-count:].mean())


def marked_boxes(heat: Floats, *, least_px: int) -> Floats:
    """float32[n, 5]: x1, y1, x2, y2 and greatest heat of each area of 1 and more, hottest first.

    Args:
        heat: float32[height, width].
        least_px: areas that are both lower and narrower are left out.

    >>> heat = np.zeros((20, 20), np.float32); heat[5:15, 2:8] = 2.0
    >>> marked_boxes(heat, least_px=4).tolist()
    [[2.0, 5.0, 8.0, 15.0, 2.0]]
    """
    count, labels, statistics, _ = cv2.connectedComponentsWithStats(
        (heat >= 1).astype(np.uint8), connectivity=8
    )
    found = []
    for i in range(1, count):
        x, y, width, height, _ = (int(v) for v in statistics[i])
        if max(width, height) < least_px:
            continue
        inner = heat[y : y + height, x : x + width]
        hottest = float(inner[labels[y : y + height, x : x + width] == i].max())
        found.append((x, y, x + width, y + height, hottest))
    found.sort(key=lambda box: (-box[4], box))
    return np.array(found, np.float32).reshape(-1, 5)
