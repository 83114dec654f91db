"""One score of tracks against truth: HOTA, CLEAR MOT and ID measures with all their counts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from sightline.errors import UsageError
from sightline.evidence.tracking.clear_mot import ClearCounts, clear_counts
from sightline.evidence.tracking.hota import HotaTerms, hota_terms
from sightline.evidence.tracking.identity import IdentityCounts, identity_counts
from sightline.evidence.tracking.overlaps import Overlaps
from sightline.evidence.tracking.rules import ScoringRules, chosen_frames, scored_boxes
from sightline.records.windows import FloatArray
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
