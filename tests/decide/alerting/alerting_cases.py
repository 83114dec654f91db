"""Alerts and desks for tests: times in minutes."""

import json
from itertools import count

from sightline.decide.alerting import (
    ActionKind,
    Alert,
    AlertingRules,
    AlertingState,
    Cleared,
    GroupingRule,
    OperatorAction,
    advance,
)
from sightline.records.decision import Severity

MINUTE = 60_000_000_000
INFO, WARNING, CRITICAL = Severity.INFO, Severity.WARNING, Severity.CRITICAL
POPULATION = {("gateway", f"g-{i}"): 10 for i in range(4)} | {("region", "r"): 40}


def alert(identity, at=0.0, *, subject=None, code="DRIFT", severity=WARNING, **attributes):
    """An alert of its own subject, unless one is named, raised at a minute."""
    return Alert(
        alert_id=str(identity),
        subject=subject or f"sat-{identity}",
        code=code,
        kind="drift",
        event_ns=int(at * MINUTE),
        severity=severity,
        attributes=tuple(sorted(attributes.items())),
    )


def cleared(subject, at, code="DRIFT"):
    return Cleared(subject=subject, code=code, event_ns=int(at * MINUTE))


def action(kind, at, subject, *, until=None, from_=None, reason="", code="*"):
    return OperatorAction(
        kind=ActionKind(kind),
        event_ns=int(at * MINUTE),
        subject=subject,
        code=code,
        from_ns=None if from_ is None else int(from_ * MINUTE),
        until_ns=None if until is None else int(until * MINUTE),
        reason=reason,
    )


def rules(**changed):
    """Grouping by gateway and region, one minute of hold."""
    return AlertingRules(**{"grouping": GroupingRule(population=POPULATION)} | changed)


class Run:
    """A desk that is stepped, its state taken through JSON each time; everything it said."""

    def __init__(self, given_rules=None):
        self.rules = given_rules or rules()
        self.state = AlertingState()
        self.messages, self.dispositions, self.changes, self.refused = [], [], [], []

    def step(self, *inputs, now, is_last=False):
        step = advance(self.rules, self.state, inputs, now_ns=int(now * MINUTE), is_last=is_last)
        plain = json.loads(json.dumps(step.state.as_mapping(), allow_nan=False))
        self.state = AlertingState.from_mapping(plain)
        assert self.state == step.state
        self.messages += step.messages
        self.dispositions += step.dispositions
        self.changes += step.changes
        self.refused += step.refused
        return self

    def said(self):
        """(kind, subject, count) of each message."""
        return [(str(m.kind), m.subject, m.count) for m in self.messages]

    def fates(self):
        """Where each alert is."""
        return {d.alert_id: str(d.fate) for d in self.dispositions}

    def point(self, subject, code="DRIFT"):
        """State of a point; normal ones are not kept."""
        known = self.state.points.get((subject, code))
        return str(known.state) if known else "normal"


def many(n, at=0.0, *, first=0, **kwargs):
    numbers = count(first)
    return [alert(next(numbers), at, **kwargs) for _ in range(n)]
