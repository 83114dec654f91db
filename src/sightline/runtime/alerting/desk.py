"""The alert desk inside the fan-in partition: decisions and operator inputs in, messages out.

:class:`DecisionIntake` puts decisions and their revisions into what a desk takes in,
:class:`Subjects` knows what alerts may have in common, :class:`NewKeys` tells the desk, from each
partition, whom there is to alert about.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from sightline.decide.alerting import (
    Alert,
    AlertingRules,
    AlertingState,
    Cleared,
    OperatorAction,
    advance,
)
from sightline.decide.alerting.rules import Replaced, Resumed, Retracted
from sightline.limits import Limits
from sightline.perceive.row_store import Rows
from sightline.records import Decision
from sightline.records.decision import Status, Transition
from sightline.runtime.alerting.controls import PendingActions
from sightline.runtime.alerting.form import AlertingForm
from sightline.runtime.alerting.said import AlertingSaid, said_of
from sightline.runtime.engine.stream import StreamState
from sightline.runtime.engine.summary import KnownKey
from sightline.runtime.plan import ITEM_KEY, Plan

# --- from decisions and their revisions to what a desk takes in -----------------------------------
#
# A desk knows alarm points, each with the alerts that were raised at it. Here the decisions of each
# (stage, subject) that may still be revised are kept, and what changed is put in those terms:
#
# - a raised state is an alert, a cleared one a return to normal;
# - a retracted state that nothing overlaps now was none;
# - a state that only began at another time (it is retracted, and another one that overlaps it is
#   issued) is another alert in the place of the first: nothing is told twice;
# - an end that moved is nothing to tell; an end that was taken back makes the point active again.
#
# A decision that is revised and stays where it is, with another score or reason, is the same alert:
# what was told of it (subject, code, severity, time) still holds.

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
        for decision in sorted(decisions, key=_order):
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


def _order(decision: Decision) -> tuple[int, str, str, int, str]:
    return (
        decision.event_ns,
        decision.subject,
        decision.kind,
        decision.revision,
        decision.decision_id,
    )


# --- keys that a partition has heard of for the first time ----------------------------------------


class NewKeys:
    """Keys not told of yet, and keys whose rows were all refused so far.

    Args:
        streams: by source; each key is told once, with the group of its first row.
    """

    def __init__(self, streams: Mapping[str, StreamState]) -> None:
        self._streams = streams
        self._known = dict.fromkeys(streams, 0)
        self._unheard: dict[str, set[int]] = {source: set() for source in streams}
        self._found: list[KnownKey] = []

    def note(self, source: str, rows: Rows | None) -> None:
        """Rows of ``source`` were kept."""
        stream, unheard = self._streams[source], self._unheard[source]
        unheard.update(range(self._known[source], len(stream.keys)))
        self._known[source] = len(stream.keys)
        if rows is None or not unheard:
            return
        keys, first = np.unique(rows.key, return_index=True)
        for key, row in zip(keys.tolist(), first.tolist(), strict=True):
            if key in unheard:
                unheard.discard(key)
                group = stream.groups[int(rows.group[row])]
                self._found.append((source, stream.keys[key], group))

    def take(self) -> tuple[KnownKey, ...]:
        """What has been found since the last call, sorted."""
        found, self._found = tuple(sorted(self._found)), []
        return found

    def snapshot(self) -> dict[str, Any]:
        """JSON-ready, between two ticks."""
        return {
            source: [known, sorted(self._unheard[source])] for source, known in self._known.items()
        }

    def restore(self, plain: Mapping[str, Any]) -> None:
        """Inverse of :meth:`snapshot`."""
        self._known = {source: int(known) for source, (known, _) in plain.items()}
        self._unheard = {source: set(unheard) for source, (_, unheard) in plain.items()}


# --- what alerts may have in common ---------------------------------------------------------------

_EVERYWHERE = "*"  # subject of a silence of scope global, and group where there is none


class Subjects:
    """Attributes of subjects, and the subjects heard of so far.

    A group's population counts what may alert in it: of each key the key itself, if a stage
    decides on it, and each of its fields that a stage decides on.

    Args:
        plan: with an ``alerting`` section.
    """

    def __init__(self, plan: Plan) -> None:
        form = plan.pipeline.alerting
        assert form is not None
        self._form: AlertingForm = form
        self._contracts = plan.streams
        self._source_of: dict[str, str] = {}
        self._is_group: dict[str, bool] = {}
        parts: dict[str, set[str]] = {}
        for chain in plan.chains:
            for step in chain.steps:
                if step.stage.decides:
                    self._source_of[step.name] = chain.source
                    fields = {m.field for m in step.reads} or {""}
                    parts.setdefault(chain.source, set()).update(fields)
        for step in plan.watches:
            self._source_of[step.name] = plan.chain_of(step.name).source
            self._is_group[step.name] = True
        self._subjects_per_key = {source: len(found) for source, found in parts.items()}
        self._population: dict[tuple[str, str], int] = {}
        self.is_changed = True

    @property
    def population(self) -> Mapping[tuple[str, str], int]:
        """Subjects by (attribute, value), of the keys heard of so far."""
        return MappingProxyType(self._population)

    def note(self, keys: Iterable[KnownKey]) -> None:
        """Keys that were heard of for the first time."""
        for source, key, group in keys:
            count = self._subjects_per_key.get(source, 0)
            if not count:
                continue
            for pair in self._of_key(source, key, group).items():
                if pair not in self._population:
                    if len(self._population) >= self._form.max_groups:
                        continue
                    self._population[pair] = 0
                self._population[pair] += count
                self.is_changed = True

    def attributes(self, decision: Decision) -> dict[str, str]:
        """What the subject of a decision may share with others."""
        source = self._source_of.get(decision.kind)
        if source is None:  # of an item stage: its subject begins with the camera or the machine
            return self._chosen({ITEM_KEY: decision.subject.split("/")[0]})
        if self._is_group.get(decision.kind):
            group = "" if decision.subject == _EVERYWHERE else decision.subject
            return self._of_group(source, group)
        width = len(self._contracts[source].key)
        key = "/".join(decision.subject.split("/")[:width])
        return self._of_key(source, key, decision.group)

    def _of_key(self, source: str, key: str, group: str) -> dict[str, str]:
        contract = self._contracts[source]
        own = dict(zip(contract.key, key.split("/"), strict=False))
        if contract.group is not None and group:
            own[contract.group] = group
        return self._chosen({**own, **self._form.subjects.get(key, {})})

    def _of_group(self, source: str, group: str) -> dict[str, str]:
        name = self._contracts[source].group
        own = {name: group} if name is not None and group else {}
        return self._chosen({**own, **self._form.subjects.get(group, {})})

    def _chosen(self, found: Mapping[str, str]) -> dict[str, str]:
        by = self._form.by
        return {n: v for n, v in found.items() if by is None or n in by or n == self.digest_by}

    @property
    def digest_by(self) -> str:
        """Attribute by which a digest is grouped."""
        first = next(iter(self._contracts.values()), None)
        return self._form.digest_by or (ITEM_KEY if first is None else first.key[0])

    def snapshot(self) -> list[list[Any]]:
        """JSON-ready."""
        return [[*pair, count] for pair, count in sorted(self._population.items())]

    def restore(self, plain: Iterable[Iterable[Any]]) -> None:
        """Inverse of :meth:`snapshot`."""
        self._population = {(str(name), str(value)): int(n) for name, value, n in plain}
        self.is_changed = True


# --- the desk -------------------------------------------------------------------------------------

DESK = "alerting"
"""Name under which the desk's work is timed."""


class DeskStage:
    """State of the alert desk of a run; ``epoch`` is its only way forward.

    Args:
        plan: with an ``alerting`` section.
        limits: ``max_open_decisions``.
    """

    def __init__(self, plan: Plan, *, limits: Limits) -> None:
        form = plan.pipeline.alerting
        assert form is not None
        self._pipeline = plan.digest
        self._form = form
        self._revise_ns = plan.max_backlog_ns
        self._subjects = Subjects(plan)
        codes = {name: step.stage.settings.code for name, step in plan.deciding_steps().items()}
        self._intake = DecisionIntake(
            attributes=self._subjects.attributes, code=codes, most=limits.max_open_decisions
        )
        self._actions = PendingActions(most=form.max_controls)
        self._message_counts: Counter[str] = Counter()
        self.state = AlertingState()
        self.rules = self._rules()

    def control(self, control: Mapping[str, Any]) -> None:
        """Take an operator input that is the desk's."""
        self._actions.add(control)

    @property
    def message_counts(self) -> dict[str, int]:
        """Messages said so far by kind."""
        return dict(sorted(self._message_counts.items()))

    @property
    def waiting_controls(self) -> int:
        """Operator inputs whose time has not come."""
        return len(self._actions)

    def epoch(
        self,
        number: int,
        decisions: Iterable[Decision],
        keys: Iterable[KnownKey],
        *,
        now_ns: int,
        is_last: bool,
    ) -> AlertingSaid | None:
        """Take what one epoch has brought; None if there is nothing to say.

        Args:
            number: of the epoch.
            decisions: revisions of all deciding stages, in any order.
            keys: heard of for the first time.
            now_ns: event time that was reached, UTC ns.
            is_last: nothing comes after this.
        """
        self._subjects.note(keys)
        if self._subjects.is_changed:
            self.rules = self._rules()
        said = self._intake.take(decisions)
        reached_ns = self.state.through_ns
        if reached_ns is None:
            reached_ns = min((now_ns, *(item.event_ns for item in said)))
        # An operator acts on what the desk has come to, so before what comes now.
        at_once, timed = self._actions.due(now_ns=now_ns, reached_ns=reached_ns)
        steps = []
        if at_once:
            steps.append(advance(self.rules, self.state, at_once, now_ns=reached_ns))
            self.state = steps[0].state
        inputs: list[OperatorAction | DecisionInput] = [*timed, *said]
        steps.append(advance(self.rules, self.state, inputs, now_ns=now_ns, is_last=is_last))
        self.state = steps[-1].state
        messages = [message for step in steps for message in step.messages]
        dispositions = [disposition for step in steps for disposition in step.dispositions]
        changes = [change for step in steps for change in step.changes]
        refused = [*self._actions.take_refused(), *(r for step in steps for r in step.refused)]
        self._message_counts.update(str(message.kind) for message in messages)
        if not (messages or dispositions or changes or refused):
            return None
        return said_of(
            self.state,
            epoch=number,
            pipeline=self._pipeline,
            messages=messages,
            dispositions=dispositions,
            changes=changes,
            refused=refused,
            message_counts=self._message_counts,
        )

    def settle(self, until_ns: int) -> None:
        """Forget what can no longer be revised."""
        self._intake.settle(until_ns)

    def snapshot(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "state": self.state.as_mapping(),
            "intake": self._intake.snapshot(),
            "subjects": self._subjects.snapshot(),
            "actions": self._actions.snapshot(),
            "messages": dict(self._message_counts),
        }

    def restore(self, plain: Mapping[str, Any]) -> None:
        """Inverse of :meth:`snapshot`."""
        self.state = AlertingState.from_mapping(plain["state"])
        self._intake.restore(plain["intake"])
        self._subjects.restore(plain["subjects"])
        self._actions.restore(plain["actions"])
        self._message_counts = Counter(plain["messages"])
        self.rules = self._rules()

    def _rules(self) -> AlertingRules:
        self._subjects.is_changed = False
        return self._form.rules(
            revise_ns=self._revise_ns,
            digest_by=self._subjects.digest_by,
            population=dict(self._subjects.population),
        )
