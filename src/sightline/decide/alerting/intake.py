"""From decisions and their revisions to what an alert desk takes in.

A desk knows alarm points, each with the alerts that were raised at it. Here the decisions of each
(stage, subject) that may still be revised are kept, and what changed is put in those terms:

- a raised state is an alert, a cleared one a return to normal;
- a retracted state that nothing overlaps now was none;
- a state that only began at another time (it is retracted, and another one that overlaps it is
  issued) is another alert in the place of the first: nothing is told twice;
- an end that moved is nothing to tell; an end that was taken back makes the point active again.

A decision that is revised and stays where it is, with another score or reason, is the same alert:
what was told of it (subject, code, severity, time) still holds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sightline.decide.alerting.alert import Alert
from sightline.decide.alerting.rules import Cleared, Replaced, Resumed, Retracted
from sightline.records import Decision
from sightline.records.decision import Status, Transition, decision_order

_LASTS = math.inf

DecisionInput = Alert | Cleared | Retracted | Replaced | Resumed
"""What can come of decisions."""
_Marks = Mapping[str, "_Mark"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mark:
    """A standing decision: when it is, and what the desk knows it as (None: it clears)."""

    decision_id: str
    event_ns: int
    alert: Alert | None


class DecisionIntake:
    """The decisions that may still be revised, as the desk knows them.

    Args:
        attributes: of the subject of a decision.
        code: of the alarm points of a deciding stage, by its name; of what an item stage
            decides it is the kind itself.
        most: decisions that are kept. Beyond it the oldest subject's are forgotten: what is
            revised of it is the desk's to refuse.
    """

    def __init__(
        self,
        *,
        attributes: Callable[[Decision], Mapping[str, str]],
        code: Mapping[str, str],
        most: int,
    ) -> None:
        self._attributes = attributes
        self._code = code
        self._most = most
        self._standing: dict[tuple[str, str], dict[str, _Mark]] = {}

    def take(self, decisions: Iterable[Decision]) -> list[DecisionInput]:
        """What the revisions of one epoch come to."""
        by_point: dict[tuple[str, str], list[Decision]] = {}
        for decision in sorted(decisions, key=decision_order):
            by_point.setdefault((decision.kind, decision.subject), []).append(decision)
        return [item for point, said in by_point.items() for item in self._changes(point, said)]

    def settle(self, until_ns: int) -> None:
        """Forget what can no longer be revised; an open state keeps its beginning."""
        for point in list(self._standing):
            marks = self._standing[point]
            last = _in_time(marks)[-1]
            kept = {
                i: mark
                for i, mark in marks.items()
                if mark.event_ns > until_ns or (mark is last and mark.alert is not None)
            }
            if kept:
                self._standing[point] = kept
            else:
                del self._standing[point]
        self._keep_to_the_bound()

    def _keep_to_the_bound(self) -> None:
        held = sum(len(marks) for marks in self._standing.values())
        if held <= self._most:
            return
        newest = {p: max(m.event_ns for m in ms.values()) for p, ms in self._standing.items()}
        for point in sorted(newest, key=lambda p: (newest[p], p)):
            held -= len(self._standing.pop(point))
            if held <= self._most:
                return

    def _changes(self, point: tuple[str, str], said: Sequence[Decision]) -> list[DecisionInput]:
        kind, subject = point
        code = self._code.get(kind) or kind.upper()  # an item stage's kind is its code
        before = self._standing.get(point, {})
        after = dict(before)
        unknown: list[DecisionInput] = []
        for decision in said:
            known = after.get(decision.decision_id)
            if decision.status is Status.RETRACTED:
                after.pop(decision.decision_id, None)
                if known is None and decision.transition is Transition.RAISED:
                    unknown.append(_retracted(decision.decision_id, decision, code))
            else:
                after[decision.decision_id] = self._mark(decision, known)
        if after:
            self._standing[point] = after
        else:
            self._standing.pop(point, None)
        inputs = unknown + _differences(subject, code, before, after)
        return inputs + _closing(subject, code, before, after, inputs)

    def _mark(self, decision: Decision, known: _Mark | None) -> _Mark:
        if decision.transition is Transition.CLEARED:
            return _Mark(decision_id=decision.decision_id, event_ns=decision.event_ns, alert=None)
        alert = Alert.from_decision(decision, self._attributes(decision))
        alert = replace(alert, code=self._code.get(decision.kind) or decision.kind.upper())
        if known is not None and known.alert is not None:
            told = known.alert
            if (told.event_ns, told.severity) == (alert.event_ns, alert.severity):
                alert = replace(alert, alert_id=told.alert_id)
                return replace(known, alert=alert)
        if decision.revision:
            # Each alert is raised once: one that comes back is another alert.
            alert = replace(alert, alert_id=f"{decision.decision_id}:{decision.revision}")
        return _Mark(decision_id=decision.decision_id, event_ns=decision.event_ns, alert=alert)

    def snapshot(self) -> list[list[Any]]:
        """JSON-ready."""
        return [
            [
                *point,
                mark.decision_id,
                mark.event_ns,
                None if mark.alert is None else mark.alert.as_mapping(),
            ]
            for point, marks in sorted(self._standing.items())
            for _, mark in sorted(marks.items())
        ]

    def restore(self, plain: Iterable[Sequence[Any]]) -> None:
        """Inverse of :meth:`snapshot`."""
        self._standing = {}
        for kind, subject, decision_id, event_ns, alert in plain:
            mark = _Mark(
                decision_id=decision_id,
                event_ns=event_ns,
                alert=None if alert is None else Alert.from_mapping(alert),
            )
            self._standing.setdefault((kind, subject), {})[decision_id] = mark


def _differences(subject: str, code: str, before: _Marks, after: _Marks) -> list[DecisionInput]:
    """Alerts that are gone, new, or in each other's place, and new returns to normal."""
    old, new = _states(before), _states(after)
    old_ids = {alert.alert_id for alert, _ in old}
    new_ids = {alert.alert_id for alert, _ in new}
    gone = [(alert, end) for alert, end in old if alert.alert_id not in new_ids]
    inputs: list[DecisionInput] = []
    replaces: dict[str, str] = {}
    for alert, end in gone:
        heir = next(
            (
                other.alert_id
                for other, until in new
                if other.alert_id not in old_ids
                and other.alert_id not in replaces
                and other.event_ns < end
                and alert.event_ns < until
            ),
            None,
        )
        if heir is None:
            inputs.append(_retracted(alert.alert_id, alert, code))
        else:
            replaces[heir] = alert.alert_id
    for mark in _in_time(after):
        if mark.alert is None:
            if mark.decision_id not in before:
                inputs.append(Cleared(subject=subject, code=code, event_ns=mark.event_ns))
        elif mark.alert.alert_id in replaces:
            replaced = replaces[mark.alert.alert_id]
            inputs.append(Replaced(alert_id=replaced, alert=mark.alert))
        elif mark.alert.alert_id not in old_ids:
            inputs.append(mark.alert)
    return inputs


def _closing(
    subject: str, code: str, before: _Marks, after: _Marks, inputs: Sequence[DecisionInput]
) -> list[DecisionInput]:
    """What is missing for the point to be active or not, as the standing decisions say."""
    was, now = _last(before), _last(after)
    active = None if was is None else was.alert
    for item in sorted(inputs, key=lambda item: item.event_ns):
        match item:
            case Alert():
                active = item
            case Cleared():
                active = None
            case Retracted() if active is not None and active.alert_id == item.alert_id:
                active = None
            case Replaced() if active is not None and active.alert_id == item.alert_id:
                active = item.alert
            case _:
                pass
    at_ns = max((item.event_ns for item in inputs), default=-(1 << 62))
    if now is not None and now.alert is not None and active is None:
        return [Resumed(alert=now.alert, event_ns=max(at_ns, now.event_ns))]
    if (now is None or now.alert is None) and active is not None:
        ended_ns = active.event_ns if now is None else now.event_ns
        return [Cleared(subject=subject, code=code, event_ns=max(at_ns, ended_ns))]
    return []


def _states(marks: _Marks) -> list[tuple[Alert, float]]:
    """Each alert, and when its state was over, in order of time."""
    found: list[tuple[Alert, float]] = []
    for mark in _in_time(marks):
        if mark.alert is not None:
            found.append((mark.alert, _LASTS))
        elif found and found[-1][1] == _LASTS:
            found[-1] = (found[-1][0], mark.event_ns)
    return found


def _in_time(marks: _Marks) -> list[_Mark]:
    return sorted(marks.values(), key=lambda mark: (mark.event_ns, mark.decision_id))


def _last(marks: _Marks) -> _Mark | None:
    return _in_time(marks)[-1] if marks else None


def _retracted(alert_id: str, of: Alert | Decision, code: str) -> Retracted:
    return Retracted(alert_id=alert_id, subject=of.subject, code=code, event_ns=of.event_ns)
