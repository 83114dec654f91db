"""Turn risk into one decision: persistence, hysteresis, revision, inhibition."""

from sightline.decide.alarm import AlarmRule, AlarmStates, alarm_states
from sightline.decide.inhibition import Episode, InhibitionRule, episodes, released
from sightline.decide.mask import Mask, unmasked
from sightline.decide.revision import IssuedDecisions

__all__ = [
    "AlarmRule",
    "AlarmStates",
    "Episode",
    "InhibitionRule",
    "IssuedDecisions",
    "Mask",
    "alarm_states",
    "episodes",
    "released",
    "unmasked",
]
