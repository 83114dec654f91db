"""Which boxes of truth and tracks overlap, frame by frame: what every measure is computed from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from sightline.errors import UsageError
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


# --- which boxes are scored -----------------------------------------------------------------------
# Which boxes are scored: frames, classes, the ``consider`` flag and distractors.

PEDESTRIAN = 1
DISTRACTOR_IOU = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoringRules:
    """What a benchmark counts as truth.

    A box of truth whose ``consider`` flag (seventh column) is 0 is left out, whatever the rules.

    Attributes:
        name: of the benchmark.
        scored_classes: classes of truth that are scored; empty for all, where a file has none.
        distractor_classes: a track's box that matches truth of these classes (one to one with all
            boxes of truth of that frame, overlap at least 0.5) is taken out: neither right nor
            wrong.
    """

    name: str = "mot15"
    scored_classes: tuple[int, ...] = ()
    distractor_classes: tuple[int, ...] = ()

    @classmethod
    def named(cls, name: str) -> ScoringRules:
        """The rules of ``mot15`` (no classes), ``mot16``, ``mot17`` or ``mot20``.

        MOT16 and 17 score class 1 (pedestrian); distractors are 2 (person on vehicle), 7 (static
        person), 8 (distractor) and 12 (reflection), in MOT20 also 6 (other vehicle).

        >>> ScoringRules.named("mot20").distractor_classes
        (2, 6, 7, 8, 12)
        """
        distractors = {
            "mot15": (),
            "mot16": (2, 7, 8, 12),
            "mot17": (2, 7, 8, 12),
            "mot20": (2, 6, 7, 8, 12),
        }
        if name not in distractors:
            raise UsageError(
                expected=f"one of {', '.join(distractors)}",
                got=name,
                where="scoring rules",
                action="name the benchmark whose form the truth has",
            )
        scored = () if name == "mot15" else (PEDESTRIAN,)
        return cls(name=name, scored_classes=scored, distractor_classes=distractors[name])

    @classmethod
    def fitting(cls, truth: MotTable) -> ScoringRules:
        """Those of MOT17 where the truth has a class column, else those of MOT15."""
        return cls.named("mot17" if truth.has_classes else "mot15")


def chosen_frames(table: MotTable, frames: tuple[int, int] | None) -> MotTable:
    """The boxes of frames first to last, both included; all for None.

    Raises:
        UsageError: if the first is below 1 or above the last.
    """
    if frames is None:
        return table
    first, last = frames
    if not 1 <= first <= last:
        raise UsageError(
            expected="FIRST:LAST with 1 <= FIRST <= LAST",
            got=f"{first}:{last}",
            where="frames to score",
            action="frames count from 1, and both ends are scored",
        )
    return table.only((table.frame >= first) & (table.frame <= last))


def left_out_notes(truth: MotTable, rules: ScoringRules) -> list[str]:
    """What of the truth these rules do not score, in words; none where all of it is."""
    if not len(truth):
        return []
    notes = []
    ignored = int((truth.score == 0).sum())
    if ignored:
        notes.append(
            f"{ignored} of {len(truth)} boxes of truth are not to be considered: their seventh "
            "column is 0"
        )
    considered = truth.only(truth.score != 0)
    other = considered.only(~np.isin(considered.class_id, rules.scored_classes))
    if rules.scored_classes and len(other):
        classes, counts = np.unique(other.class_id, return_counts=True)
        listed = ", ".join(f"{c}: {n}" for c, n in zip(classes, counts, strict=True))
        notes.append(
            f"{len(other)} of {len(truth)} boxes of truth are of classes that {rules.name} does "
            f"not score (class: boxes, {listed}); if the classes are not the benchmark's, "
            "--benchmark mot15 scores all of them"
        )
    return notes


def scored_boxes(
    truth: MotTable, tracks: MotTable, rules: ScoringRules
) -> tuple[MotTable, MotTable]:
    """Truth and tracks with only the boxes that are scored.

    Raises:
        UsageError: if the rules need classes and the truth has none.
    """
    if rules.scored_classes and len(truth) and not truth.has_classes:
        raise UsageError(
            expected=f"a class column in the truth, as in {rules.name}",
            got="a file without",
            where="scoring rules",
            action="choose mot15 for truth without classes",
        )
    keep = np.ones(len(tracks), np.bool_)
    is_distractor = np.isin(truth.class_id, rules.distractor_classes)
    for a, b in shared_frames(truth, tracks):
        if is_distractor[a].any():
            iou = iou_matrix(truth.box_px[a], tracks.box_px[b])
            iou[iou < DISTRACTOR_IOU - EPSILON] = 0
            row, column = linear_sum_assignment(iou, maximize=True)
            is_hit = (iou[row, column] > 0) & is_distractor[a][row]
            keep[b.start + column[is_hit]] = False
    is_scored = truth.score != 0
    if rules.scored_classes:
        is_scored &= np.isin(truth.class_id, rules.scored_classes)
    return truth.only(is_scored), tracks.only(keep)
