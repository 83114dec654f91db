"""Which boxes are scored: frames, classes, the ``consider`` flag and distractors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from sightline.errors import UsageError
from sightline.evidence.tracking.overlaps import EPSILON, iou_matrix, shared_frames
from sightline.sense.frames.mot_files import MotTable

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
