"""CLEAR MOT: matches that are kept while they hold, and what is missed, invented or swapped.

Bernardin & Stiefelhagen, "Evaluating Multiple Object Tracking Performance: The CLEAR MOT
Metrics", EURASIP JIVP 2008; MT and ML: Li, Huang & Nevatia, "Learning to Associate", CVPR 2009.
Where those leave a choice, that of MOTChallenge's own scorer is taken, so that numbers compare:

- A frame without boxes on one side changes nothing but the counts of false or missed boxes: the
  matches before it count as the previous ones after it.
- A fragmentation is every start of a tracked stretch but the first. So also where the *truth* was
  absent in between, and not where a whole frame had no boxes on one side.
- A switch compares with the last track that the identity was ever matched to.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from sightline.evidence.tracking.overlaps import EPSILON, FrameOverlaps, Overlaps
from sightline.records.windows import FloatArray, IntArray

MOSTLY_TRACKED_ABOVE = 0.8
MOSTLY_LOST_BELOW = 0.2
_KEEP = 1000.0  # no swap of up to 1000 boxes gains as much overlap
_NOBODY = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class ClearCounts:
    """Sums over frames; sequences add up.

    Attributes:
        tp: boxes of truth matched with a track's box.
        fp: boxes of tracks without a match.
        fn: boxes of truth without a match.
        switches: matches of an identity with another track than its last.
        fragmentations: interruptions of a tracked identity that is tracked again.
        mostly_tracked: identities matched in more than 80 % of their boxes.
        partly_tracked: the rest.
        mostly_lost: identities matched in less than 20 %.
        iou_sum: sum of the overlaps of the matches.
    """

    tp: int = 0
    fp: int = 0
    fn: int = 0
    switches: int = 0
    fragmentations: int = 0
    mostly_tracked: int = 0
    partly_tracked: int = 0
    mostly_lost: int = 0
    iou_sum: float = 0.0


def clear_counts(overlaps: Overlaps, *, min_iou: float = 0.5) -> ClearCounts:
    """Count matches and errors.

    In each frame (the paper's mapping procedure) matches of the frame before are kept where the two
    boxes still overlap by ``min_iou``; the others are matched one to one so that the sum of
    overlaps is greatest, and no pair below ``min_iou`` is a match.
    """
    identities = len(overlaps.truth_boxes)
    last_ever = np.full(identities, _NOBODY, np.int64)
    last_frame = np.full(identities, _NOBODY, np.int64)
    matched = np.zeros(identities, np.int64)
    stretches = np.zeros(identities, np.int64)
    switches, iou_sum = 0, 0.0
    for frame in overlaps.frames:
        truth, track, iou = _matches(frame, last_frame, min_iou)
        switches += int(((last_ever[truth] != track) & (last_ever[truth] != _NOBODY)).sum())
        iou_sum += float(iou.sum())
        matched[truth] += 1
        stretches[truth] += last_frame[truth] == _NOBODY
        last_ever[truth] = track
        last_frame[:] = _NOBODY
        last_frame[truth] = track
    share = matched / overlaps.truth_boxes
    tp = int(matched.sum())
    mostly_tracked = int((share > MOSTLY_TRACKED_ABOVE).sum())
    mostly_lost = int((share < MOSTLY_LOST_BELOW).sum())
    return ClearCounts(
        tp=tp,
        fp=overlaps.track_total - tp,
        fn=overlaps.truth_total - tp,
        switches=switches,
        fragmentations=int(np.clip(stretches - 1, 0, None).sum()),
        mostly_tracked=mostly_tracked,
        partly_tracked=identities - mostly_tracked - mostly_lost,
        mostly_lost=mostly_lost,
        iou_sum=iou_sum,
    )


def _matches(
    frame: FrameOverlaps, last_frame: IntArray, min_iou: float
) -> tuple[IntArray, IntArray, FloatArray]:
    """Identities of both sides and overlap of each match."""
    iou = frame.iou()
    is_kept = last_frame[frame.truth][:, None] == frame.track[None, :]
    value = np.where(iou < min_iou - EPSILON, 0.0, iou + _KEEP * is_kept)
    row, column = linear_sum_assignment(value, maximize=True)
    is_match = value[row, column] > EPSILON
    row, column = row[is_match], column[is_match]
    return frame.truth[row], frame.track[column], iou[row, column]
