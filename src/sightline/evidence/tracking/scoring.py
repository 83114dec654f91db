"""One score of tracks against truth: HOTA, CLEAR MOT and ID measures with all their counts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from sightline.errors import UsageError
from sightline.evidence.tracking.overlaps import (
    EPSILON,
    FrameOverlaps,
    Overlaps,
    ScoringRules,
    chosen_frames,
    scored_boxes,
)
from sightline.records.windows import FloatArray, IntArray
from sightline.sense.frames.mot_files import MotTable


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrackingScore:
    """How well tracks follow the truth of one sequence, or of several.

    Ratios are 0 to 1 (MOTA can be negative). One whose denominator is 0 is undefined: NaN here,
    null in :meth:`as_mapping`: MOTA, recall, DetRe and IDR without truth; precision, DetPr and IDP
    without tracks; MOTP and LocA without a match; all of them without either.

    Attributes:
        frames: frames scored, up to the last one with a box where no range was given.
        truth_boxes: boxes of truth that were scored.
        track_boxes: boxes of tracks that were scored.
        truth_ids: identities among them.
        track_ids: tracks among them.
        left_out_truth: boxes of truth that the rules leave out.
        left_out_tracks: boxes of tracks on distractors.
        clear: counts behind MOTA.
        identity: counts behind IDF1.
        terms: terms of HOTA at each threshold.
    """

    frames: int
    truth_boxes: int
    track_boxes: int
    truth_ids: int
    track_ids: int
    left_out_truth: int
    left_out_tracks: int
    clear: ClearCounts
    identity: IdentityCounts
    terms: HotaTerms

    @property
    def hota(self) -> float:
        return _mean(self.terms.hota)

    @property
    def det_a(self) -> float:
        return _mean(self.terms.det_a)

    @property
    def ass_a(self) -> float:
        return self._association(self.terms.ass_a)

    @property
    def loc_a(self) -> float:
        return _mean(self.terms.loc_a) if self.terms.tp.any() else math.nan

    @property
    def mota(self) -> float:
        """1 - (FN + FP + switches) / boxes of truth."""
        counts = self.clear
        return _ratio(counts.tp - counts.fp - counts.switches, self.truth_boxes)

    @property
    def motp(self) -> float:
        """Mean overlap of the matches; higher is better (in the paper it is a distance)."""
        return _ratio(self.clear.iou_sum, self.clear.tp)

    @property
    def idf1(self) -> float:
        return _ratio(2 * self.identity.idtp, self.truth_boxes + self.track_boxes)

    @property
    def idp(self) -> float:
        return _ratio(self.identity.idtp, self.track_boxes)

    @property
    def idr(self) -> float:
        return _ratio(self.identity.idtp, self.truth_boxes)

    def as_mapping(self) -> dict[str, Any]:
        """The score under the names of the literature, undefined ratios as None."""
        clear, identity = self.clear, self.identity
        ratios = {
            "HOTA": self.hota,
            "DetA": self.det_a,
            "AssA": self.ass_a,
            "LocA": self.loc_a,
            "DetRe": _mean(self.terms.det_re),
            "DetPr": _mean(self.terms.det_pr),
            "AssRe": self._association(self.terms.ass_re),
            "AssPr": self._association(self.terms.ass_pr),
            "MOTA": self.mota,
            "MOTP": self.motp,
            "recall": _ratio(clear.tp, self.truth_boxes),
            "precision": _ratio(clear.tp, self.track_boxes),
            "IDF1": self.idf1,
            "IDP": self.idp,
            "IDR": self.idr,
        }
        counts = {
            "TP": clear.tp,
            "FP": clear.fp,
            "FN": clear.fn,
            "switches": clear.switches,
            "fragmentations": clear.fragmentations,
            "MT": clear.mostly_tracked,
            "PT": clear.partly_tracked,
            "ML": clear.mostly_lost,
            "IDTP": identity.idtp,
            "IDFP": identity.idfp,
            "IDFN": identity.idfn,
            "frames": self.frames,
            "truth_boxes": self.truth_boxes,
            "truth_ids": self.truth_ids,
            "track_boxes": self.track_boxes,
            "track_ids": self.track_ids,
            "left_out_truth": self.left_out_truth,
            "left_out_tracks": self.left_out_tracks,
        }
        known = {name: None if math.isnan(value) else value for name, value in ratios.items()}
        return {**known, **counts}

    def _association(self, values: FloatArray) -> float:
        return _mean(values) if self.truth_boxes or self.track_boxes else math.nan


def score_tracks(
    truth: MotTable,
    tracks: MotTable,
    *,
    rules: ScoringRules | None = None,
    frames: tuple[int, int] | None = None,
    min_iou: float = 0.5,
) -> TrackingScore:
    """Score tracks against the truth of the same sequence.

    Args:
        truth: boxes with identities, as ``read_truth`` gives them.
        tracks: boxes with ids from 0, each at most once in a frame.
        rules: which boxes count; those that fit the truth's form for None.
        frames: first and last frame to score, both included; all for None. Tracks outside the
            frames that have truth count as false, so give the range where truth covers a part.
        min_iou: overlap of a match in CLEAR MOT and the ID measures, above 0 to 1.

    Raises:
        UsageError: for a threshold or range that cannot be, or rules that do not fit the truth.

    >>> boxes = np.array([[0.0, 0, 10, 10], [1, 0, 11, 10]])
    >>> truth = MotTable(frame=np.array([1, 2]), track_id=np.array([7, 7]), box_px=boxes,
    ...                  score=np.ones(2), class_id=np.full(2, -1))
    >>> score = score_tracks(truth, truth)
    >>> score.hota, score.mota, score.idf1, score.clear.switches
    (1.0, 1.0, 1.0, 0)
    """
    if not 0 < min_iou <= 1:
        raise UsageError(
            expected="an overlap above 0, at most 1",
            got=str(min_iou),
            where="min_iou",
            action="0.5 is what benchmarks use",
        )
    rules = rules or ScoringRules.fitting(truth)
    all_truth, all_tracks = chosen_frames(truth, frames), chosen_frames(tracks, frames)
    truth, tracks = scored_boxes(all_truth, all_tracks, rules)
    overlaps = Overlaps.of(truth, tracks)
    last = max((int(table.frame[-1]) for table in (all_truth, all_tracks) if len(table)), default=0)
    return TrackingScore(
        frames=last if frames is None else frames[1] - frames[0] + 1,
        truth_boxes=len(truth),
        track_boxes=len(tracks),
        truth_ids=len(overlaps.truth_boxes),
        track_ids=len(overlaps.track_boxes),
        left_out_truth=len(all_truth) - len(truth),
        left_out_tracks=len(all_tracks) - len(tracks),
        clear=clear_counts(overlaps, min_iou=min_iou),
        identity=identity_counts(overlaps, min_iou=min_iou),
        terms=hota_terms(overlaps),
    )


def _mean(values: FloatArray) -> float:
    return float(np.mean(values))


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else math.nan


# --- CLEAR MOT ------------------------------------------------------------------------------------
# CLEAR MOT: matches that are kept while they hold, and what is missed, invented or swapped.
#
# Bernardin & Stiefelhagen, "Evaluating Multiple Object Tracking Performance: The CLEAR MOT
# Metrics", EURASIP JIVP 2008; MT and ML: Li, Huang & Nevatia, "Learning to Associate", CVPR 2009.
# Where those leave a choice, that of MOTChallenge's own scorer is taken, so that numbers compare:
#
# - A frame without boxes on one side changes nothing but the counts of false or missed boxes: the
#   matches before it count as the previous ones after it.
# - A fragmentation is every start of a tracked stretch but the first. So also where the *truth* was
#   absent in between, and not where a whole frame had no boxes on one side.
# - A switch compares with the last track that the identity was ever matched to.

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


# --- HOTA -----------------------------------------------------------------------------------------
# HOTA: detection and association weighed alike, over all demands on localisation.
#
# Luiten, Osep, Dendorfer, Torr, Geiger, Leal-Taixé & Leibe, "HOTA: A Higher Order Metric for
# Evaluating Multi-Object Tracking", IJCV 129 (2021). With a match c of identity i and track k,
# TPA(c) are the matches of i with k, FNA(c) the other boxes of i and FPA(c) the other boxes of k:
#
#     A(c)   = |TPA(c)| / (|TPA(c)| + |FNA(c)| + |FPA(c)|)
#     AssA_α = mean of A(c) over the matches whose overlap is at least α
#     DetA_α = |TP| / (|TP| + |FN| + |FP|)
#     HOTA_α = √(DetA_α · AssA_α) = √(Σ A(c) / (|TP| + |FN| + |FP|))
#     HOTA   = mean of HOTA_α over α = 0.05, 0.10, …, 0.95

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
        return _share_of(self.tp, self.tp + self.fn + self.fp)

    @property
    def det_re(self) -> FloatArray:
        """float64[19], detection recall |TP| / (|TP| + |FN|)."""
        return _share_of(self.tp, self.tp + self.fn)

    @property
    def det_pr(self) -> FloatArray:
        """float64[19], detection precision |TP| / (|TP| + |FP|)."""
        return _share_of(self.tp, self.tp + self.fp)

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


def _share_of(part: IntArray, whole: IntArray) -> FloatArray:
    """NaN where there is nothing to have a share in."""
    found: FloatArray = np.full(len(part), np.nan)
    np.divide(part, whole, out=found, where=whole > 0)
    return found


# --- ID measures ----------------------------------------------------------------------------------
# ID measures: how much of each identity is one track, by the best one-to-one assignment.
#
# Ristani, Solera, Zou, Cucchiara & Tomasi, "Performance Measures and a Data Set for Multi-Target,
# Multi-Camera Tracking", ECCV workshops 2016:
#
#     IDP = IDTP / (IDTP + IDFP),  IDR = IDTP / (IDTP + IDFN),
#     IDF1 = 2 IDTP / (2 IDTP + IDFP + IDFN)


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityCounts:
    """Sums over frames; sequences add up.

    Attributes:
        idtp: boxes of truth covered by the track that its identity is assigned to.
        idfp: boxes of tracks that cover nothing of the identity assigned to them.
        idfn: boxes of truth that the assigned track does not cover.
    """

    idtp: int = 0
    idfp: int = 0
    idfn: int = 0


def identity_counts(overlaps: Overlaps, *, min_iou: float = 0.5) -> IdentityCounts:
    """Assign tracks to identities for the whole sequence and count.

    The paper's minimum-cost matching of identities and tracks pays for every box that is missed
    or false. As IDFN = boxes of truth - IDTP and IDFP = boxes of tracks - IDTP, the least cost is
    the greatest IDTP: the assignment maximises the number of boxes that overlap by ``min_iou``.

    Memory: float64[identities, tracks].
    """
    together = np.zeros((len(overlaps.truth_boxes), len(overlaps.track_boxes)))
    for frame in overlaps.frames:
        near = frame.pair_iou >= min_iou
        together[frame.truth[frame.pair_truth[near]], frame.track[frame.pair_track[near]]] += 1
    row, column = linear_sum_assignment(together, maximize=True)
    idtp = int(together[row, column].sum())
    return IdentityCounts(
        idtp=idtp, idfp=overlaps.track_total - idtp, idfn=overlaps.truth_total - idtp
    )
