"""Which boxes of truth and tracks overlap, frame by frame: what every measure is computed from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sightline.records.windows import FloatArray, IntArray
from sightline.sense.frames.mot_files import MotTable

EPSILON = float(np.finfo(np.float64).eps)
"""An overlap this much below a threshold still reaches it: the rounding of one division."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FrameOverlaps:
    """One frame in which there are boxes of both sides: a of truth, b of tracks.

    Attributes:
        truth: int64[a], identity of each box of truth, 0 to I-1.
        track: int64[b], identity of each box of tracks, 0 to K-1.
        pair_truth: int64[p], position (0 to a-1) in each pair of boxes that overlap at all.
        pair_track: int64[p], position (0 to b-1).
        pair_iou: float64[p], intersection over union, above 0.
    """

    truth: IntArray
    track: IntArray
    pair_truth: IntArray
    pair_track: IntArray
    pair_iou: FloatArray

    def iou(self) -> FloatArray:
        """float64[a, b], 0 where two boxes do not overlap."""
        full = np.zeros((len(self.truth), len(self.track)))
        full[self.pair_truth, self.pair_track] = self.pair_iou
        return full


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Overlaps:
    """A sequence, with the identities of both sides numbered from 0.

    Only overlapping pairs are kept, so that memory grows with the boxes and not with their square.

    Attributes:
        truth_boxes: int64[I], boxes of each identity of the truth.
        track_boxes: int64[K], boxes of each track.
        frames: the frames with boxes of both sides, ascending.
    """

    truth_boxes: IntArray
    track_boxes: IntArray
    frames: tuple[FrameOverlaps, ...]

    @property
    def truth_total(self) -> int:
        return int(self.truth_boxes.sum())

    @property
    def track_total(self) -> int:
        return int(self.track_boxes.sum())

    @classmethod
    def of(cls, truth: MotTable, tracks: MotTable) -> Overlaps:
        """Overlaps of two tables, whose rows all count."""
        truth_ids, truth_index = np.unique(truth.track_id, return_inverse=True)
        track_ids, track_index = np.unique(tracks.track_id, return_inverse=True)
        frames = []
        for a, b in shared_frames(truth, tracks):
            iou = iou_matrix(truth.box_px[a], tracks.box_px[b])
            pair_truth, pair_track = np.nonzero(iou)
            frames.append(
                FrameOverlaps(
                    truth=truth_index[a],
                    track=track_index[b],
                    pair_truth=pair_truth,
                    pair_track=pair_track,
                    pair_iou=iou[pair_truth, pair_track],
                )
            )
        return cls(
            truth_boxes=np.bincount(truth_index, minlength=len(truth_ids)),
            track_boxes=np.bincount(track_index, minlength=len(track_ids)),
            frames=tuple(frames),
        )


def shared_frames(truth: MotTable, tracks: MotTable) -> list[tuple[slice, slice]]:
    """Rows of both tables for each frame that has rows in both, ascending."""
    shared = np.intersect1d(truth.frame, tracks.frame)
    bounds = [
        np.searchsorted(table.frame, shared, side=side).tolist()
        for table in (truth, tracks)
        for side in ("left", "right")
    ]
    return [(slice(a, b), slice(c, d)) for a, b, c, d in zip(*bounds, strict=True)]


def iou_matrix(boxes: FloatArray, others: FloatArray) -> FloatArray:
    """Intersection over union of every box with every other: float64[n, m], 0 to 1.

    Args:
        boxes: float64[n, 4], left, top, right, bottom in pixels.
        others: float64[m, 4]. A box without an area overlaps nothing.

    >>> one, others = np.array([[0.0, 0, 4, 2]]), np.array([[0.0, 0, 4, 2], [2, 0, 6, 2]])
    >>> iou_matrix(one, others).round(4).tolist()  # the second shares 4 of 8 + 8 - 4
    [[1.0, 0.3333]]
    """
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    inside = np.clip(high - low, 0, None)
    intersection = inside[..., 0] * inside[..., 1]
    area, other_area = _area(boxes), _area(others)
    union = area[:, None] + other_area[None, :] - intersection
    is_met = (intersection > 0) & (area > 0)[:, None] & (other_area > 0)[None, :]
    found: FloatArray = np.zeros_like(union)
    np.divide(intersection, union, out=found, where=is_met)
    return found


def _area(boxes: FloatArray) -> FloatArray:
    size = boxes[:, 2:] - boxes[:, :2]
    found: FloatArray = np.where((size > 0).all(axis=1), size[:, 0] * size[:, 1], 0.0)
    return found
