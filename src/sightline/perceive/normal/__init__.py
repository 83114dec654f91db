"""What is unlike its own past: features, a bounded memory of them, a score, and how rare it is.

:class:`DetectorBank` is the detector of many live series, :class:`SeriesDetector` that of one that
is at hand, :class:`CalibrationBank` says how rare a score is, :func:`score_events` and :func:`told`
make events of scores, and :func:`attribute_series` says why a sample scored as it did.
"""

from sightline.perceive.normal.attribution import attribute_score, attribute_series
from sightline.perceive.normal.bank import DetectorBank, SeriesDetector
from sightline.perceive.normal.calibration import CalibrationBank, CalibrationSettings
from sightline.perceive.normal.events import EventRule, score_events
from sightline.perceive.normal.settings import NormalSettings, learning_rows

__all__ = [
    "CalibrationBank",
    "CalibrationSettings",
    "DetectorBank",
    "EventRule",
    "NormalSettings",
    "SeriesDetector",
    "attribute_score",
    "attribute_series",
    "learning_rows",
    "score_events",
]
