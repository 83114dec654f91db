"""How good alerts are: events matched by stated rules, exact bounds, a verdict.

Scorers of published data sets are in :mod:`sightline.evidence.alerts.datasets`.
"""

from sightline.evidence.alerts.events import Intervals, TrueEvents
from sightline.evidence.alerts.scoring import (
    AlertScore,
    pooled_score,
    score_alerts,
)
from sightline.evidence.alerts.verdict import Requirement, Ruling, rule

__all__ = [
    "AlertScore",
    "Intervals",
    "Requirement",
    "Ruling",
    "TrueEvents",
    "pooled_score",
    "rule",
    "score_alerts",
]
