"""What one operator is told: masks, repeats, common causes, storms and the life cycle of alarms.

The budget of false alerts is in :mod:`sightline.decide.alerting.budget`.
"""

from sightline.decide.alerting.alert import Alert
from sightline.decide.alerting.desk import advance
from sightline.decide.alerting.grouping import GroupingRule
from sightline.decide.alerting.rules import AlertingRules, Cleared, OperatorAction
from sightline.decide.alerting.state import AlertingState
from sightline.decide.alerting.step import AlertingStep
from sightline.decide.alerting.storm import StormRule

__all__ = [
    "Alert",
    "AlertingRules",
    "AlertingState",
    "AlertingStep",
    "Cleared",
    "GroupingRule",
    "OperatorAction",
    "StormRule",
    "advance",
]
