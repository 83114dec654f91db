"""Scoring tracks against truth: HOTA, CLEAR MOT and ID measures from their definitions."""

from sightline.evidence.tracking.overlaps import ScoringRules
from sightline.evidence.tracking.scoring import TrackingScore, score_tracks

__all__ = [
    "ScoringRules",
    "TrackingScore",
    "score_tracks",
]
