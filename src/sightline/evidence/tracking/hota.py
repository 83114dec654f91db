"""HOTA: detection and association weighed alike, over all demands on localisation.

Luiten, Osep, Dendorfer, Torr, Geiger, Leal-Taixé & Leibe, "HOTA: A Higher Order Metric for
Evaluating Multi-Object Tracking", IJCV 129 (2021). With a match c of identity i and track k, TPA(c)
are the matches of i with k, FNA(c) the other boxes of i and FPA(c) the other boxes of k:

    A(c)   = |TPA(c)| / (|TPA(c)| + |FNA(c)| + |FPA(c)|)
    AssA_α = mean of A(c) over the matches whose overlap is at least α
    DetA_α = |TP| / (|TP| + |FN| + |FP|)
    HOTA_α = √(DetA_α · AssA_α) = √(Σ A(c) / (|TP| + |FN| + |FP|))
    HOTA   = mean of HOTA_α over α = 0.05, 0.10, …, 0.95
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from sightline.evidence.tracking.overlaps import EPSILON, Overlaps
from sightline.records.windows import FloatArray, IntArray

ALPHAS: tuple[float, ...] = tuple(np.arange(0.05, 0.99, 0.05).tolist())
"""Thresholds of intersection over union, 0.05 to 0.95: the integral over α as a sum."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HotaTerms:
    """The terms of HOTA at each of the 19 thresholds; see :func:`combined_terms` for sequences.

    Where nothing is matched at a threshold, the association terms are 0 and the localisation is 1
    there, as in the scorer of MOTChallenge; the means over thresholds contain those values.

    Attributes:
        tp: int64[19], matches.
        fn: int64[19], boxes of truth without a match.
        fp: int64[19], boxes of tracks without a match.
        ass_a: float64[19], association accuracy, the mean of A(c).
        ass_re: float64[19], association recall, the mean of |TPA| / (|TPA| + |FNA|).
        ass_pr: float64[19], association precision, the mean of |TPA| / (|TPA| + |FPA|).
        loc_a: float64[19], localisation accuracy, the mean overlap of the matches.
    """

    tp: IntArray
    fn: IntArray
    fp: IntArray
    ass_a: FloatArray
    ass_re: FloatArray
    ass_pr: FloatArray
    loc_a: FloatArray

    @property
    def det_a(self) -> FloatArray:
        """float64[19], detection accuracy |TP| / (|TP| + |FN| + |FP|)."""
        return _ratio(self.tp, self.tp + self.fn + self.fp)

    @property
    def det_re(self) -> FloatArray:
        """float64[19], detection recall |TP| / (|TP| + |FN|)."""
        return _ratio(self.tp, self.tp + self.fn)

    @property
    def det_pr(self) -> FloatArray:
        """float64[19], detection precision |TP| / (|TP| + |FP|)."""
        return _ratio(self.tp, self.tp + self.fp)

    @property
    def hota(self) -> FloatArray:
        """float64[19], geometric mean of detection and association accuracy."""
        found: FloatArray = np.sqrt(self.det_a * self.ass_a)
        return found


def hota_terms(overlaps: Overlaps) -> HotaTerms:
    """Match each frame once, for all thresholds, and count.

    The matching is the one-to-one assignment that is meant to give the highest HOTA. It maximises
    the sum of overlap times alignment, where the alignment of an identity and a track is a Jaccard
    index over the whole sequence: how often the two could be matched, each chance weighed by how
    exclusive it is, over all their boxes.

    Memory: float64[identities, tracks].
    """
    alignment = _alignment(overlaps)
    pairs: list[IntArray] = [np.empty(0, np.int64)]
    ious: list[FloatArray] = [np.empty(0)]
    for frame in overlaps.frames:
        iou = frame.iou()
        score = alignment[frame.truth[:, None], frame.track[None, :]] * iou
        row, column = linear_sum_assignment(score, maximize=True)
        pairs.append(frame.truth[row] * len(overlaps.track_boxes) + frame.track[column])
        ious.append(iou[row, column])
    pair, matched_iou = np.concatenate(pairs), np.concatenate(ious)
    is_match = matched_iou[None, :] >= np.array(ALPHAS)[:, None] - EPSILON
    tp = is_match.sum(axis=1, dtype=np.int64)
    association = np.array([_association(overlaps, pair[chosen]) for chosen in is_match])
    return HotaTerms(
        tp=tp,
        fn=overlaps.truth_total - tp,
        fp=overlaps.track_total - tp,
        ass_a=association[:, 0],
        ass_re=association[:, 1],
        ass_pr=association[:, 2],
        loc_a=np.where(tp > 0, (is_match * matched_iou).sum(axis=1) / np.maximum(tp, 1), 1.0),
    )


def _alignment(overlaps: Overlaps) -> FloatArray:
    """float64[identities, tracks]: alignment of an identity with a track over the sequence."""
    shared = np.zeros((len(overlaps.truth_boxes), len(overlaps.track_boxes)))
    for frame in overlaps.frames:
        iou = frame.iou()
        rivals = iou.sum(axis=0)[None, :] + iou.sum(axis=1)[:, None] - iou
        at = frame.pair_truth, frame.pair_track
        shared[frame.truth[at[0]], frame.track[at[1]]] += iou[at] / rivals[at]
    union = overlaps.truth_boxes[:, None] + overlaps.track_boxes[None, :] - shared
    found: FloatArray = shared / union
    return found


def _association(overlaps: Overlaps, pair: IntArray) -> tuple[float, float, float]:
    """Mean over matches of A = TPA / (TPA + FNA + FPA) and its recall and precision.

    All matches of one identity with one track (``pair``: identity * tracks + track) have the same
    TPA (their number), FNA (other boxes of the identity) and FPA (other boxes of the track).
    """
    if not len(pair):
        return 0.0, 0.0, 0.0
    kind, tpa = np.unique(pair, return_counts=True)
    truth, track = np.divmod(kind, len(overlaps.track_boxes))
    of_truth, of_track = overlaps.truth_boxes[truth], overlaps.track_boxes[track]
    return (
        float((tpa * (tpa / (of_truth + of_track - tpa))).sum() / len(pair)),
        float((tpa * (tpa / of_truth)).sum() / len(pair)),
        float((tpa * (tpa / of_track)).sum() / len(pair)),
    )


def _ratio(part: IntArray, whole: IntArray) -> FloatArray:
    """NaN where there is nothing to have a share in."""
    found: FloatArray = np.full(len(part), np.nan)
    np.divide(part, whole, out=found, where=whole > 0)
    return found
