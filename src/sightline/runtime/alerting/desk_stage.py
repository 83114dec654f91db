"""The alert desk inside the fan-in partition: decisions and operator inputs in, messages out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from sightline.decide.alerting import AlertingRules, AlertingState, OperatorAction, advance
from sightline.limits import Limits
from sightline.records import Decision
from sightline.runtime.alerting.actions import PendingActions
from sightline.runtime.alerting.intake import DecisionInput, DecisionIntake
from sightline.runtime.alerting.said import AlertingSaid, said_of
from sightline.runtime.alerting.subjects import Subjects
from sightline.runtime.engine.summary import KnownKey
from sightline.runtime.plan import Plan

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
