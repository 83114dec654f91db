"""The alert desk inside the fan-in partition: decisions and operator inputs in, messages out.

:class:`Subjects` knows what alerts may have in common, :class:`NewKeys` tells the desk, from each
partition, whom there is to alert about.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from sightline.decide.alerting import (
    AlertingRules,
    AlertingState,
    OperatorAction,
    advance,
)
from sightline.decide.alerting.actions import PendingActions
from sightline.decide.alerting.intake import DecisionInput, DecisionIntake
from sightline.limits import Limits
from sightline.perceive.row_store import Rows
from sightline.records import Decision
from sightline.runtime.alerting.form import AlertingForm
from sightline.runtime.alerting.said import AlertingSaid, said_of
from sightline.runtime.engine.stream import StreamState
from sightline.runtime.engine.summary import KnownKey
from sightline.runtime.plan import ITEM_KEY, Plan

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
        over_all_keys = {step.name for step in plan.over_all_keys}
        parts: dict[str, set[str]] = {}
        for chain in plan.chains:
            for step in chain.steps:
                if step.stage.decides and step.name not in over_all_keys:
                    self._source_of[step.name] = chain.source
                    fields = {m.field for m in step.reads} or {""}
                    parts.setdefault(chain.source, set()).update(fields)
        for step in plan.watches:
            self._source_of[step.name] = plan.chain_of(step.name).source
            self._is_group[step.name] = True
        self._over_all_keys = over_all_keys
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
        if decision.kind in self._over_all_keys:
            name, _, value = decision.subject.partition("=")
            return self._chosen({name: value})
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
        # An operator acts on the state before this epoch, so their inputs go first.
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
