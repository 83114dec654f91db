"""What one operator is told: masks, repeats, common causes, storms and the life cycle of alarms.

The budget of false alerts is in :mod:`sightline.decide.alerting.budget`.
"""

from sightline.decide.alerting.alert import Alert, Disposition, Fate, Message, MessageKind
from sightline.decide.alerting.desk import advance
from sightline.decide.alerting.grouping import GroupingRule
from sightline.decide.alerting.hiding import ActionKind, OperatorAction
from sightline.decide.alerting.points import StateChange
from sightline.decide.alerting.rules import AlertingRules, Cleared, Replaced, Resumed, Retracted
from sightline.decide.alerting.state import AlertingState, AlertingStep
from sightline.decide.alerting.storm import StormRule

__all__ = [
    "ActionKind",
    "Alert",
    "AlertingRules",
    "AlertingState",
    "AlertingStep",
    "Cleared",
    "Disposition",
    "Fate",
    "GroupingRule",
    "Message",
    "MessageKind",
    "OperatorAction",
    "Replaced",
    "Resumed",
    "Retracted",
    "StateChange",
    "StormRule",
    "advance",
]
