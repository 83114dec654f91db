"""How good alerts are: events matched by stated rules, exact bounds, a verdict.

Scorers of published data sets are in :mod:`benchmarks.published`.
"""

from benchmarks.alert_scores.events import Intervals, TrueEvents
from benchmarks.alert_scores.scoring import (
    AlertScore,
    pooled_score,
    score_alerts,
)
from benchmarks.alert_scores.verdict import Requirement, Ruling, rule

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
