"""A stated number of false alerts: shared out over channels, spent over time."""

from sightline.decide.alerting.budget.allocation import BudgetTarget, allocate
from sightline.decide.alerting.budget.spending import SpendingRule, SpendingState, spend

__all__ = ["BudgetTarget", "SpendingRule", "SpendingState", "allocate", "spend"]
