"""Scorers of published data sets, each with the clause of its source."""

from sightline.evidence.alerts.datasets.nab import NabFile, NabProfile, score_nab
from sightline.evidence.alerts.datasets.nasa import score_nasa
from sightline.evidence.alerts.datasets.rows import average_precision, score_opssat, score_skab

__all__ = [
    "NabFile",
    "NabProfile",
    "average_precision",
    "score_nab",
    "score_nasa",
    "score_opssat",
    "score_skab",
]
