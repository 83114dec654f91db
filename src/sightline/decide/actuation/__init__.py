"""Commands to machines: escalated at once, lowered after a proven calm, stopped without sight."""

from sightline.decide.actuation.interlock import advance, command_id
from sightline.decide.actuation.rule import ActuationRule
from sightline.decide.actuation.situation import Situation
from sightline.decide.actuation.state import ActuationState

__all__ = ["ActuationRule", "ActuationState", "Situation", "advance", "command_id"]
