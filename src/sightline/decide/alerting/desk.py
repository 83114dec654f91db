"""The alert desk: a function of (state, what comes in) that says what one operator is told.

Alerts, returns to normal and operator's actions come in by event time, the order of equal times
as given; what comes late is taken at the time the desk has reached. An alert goes through

1. masks and shelves: covered at the time reached, or by a mask at its own time, it is recorded
   with its reason and told to nobody, until the cover ends and the process is still in the alarm
   state;
2. repeats: the same subject and code told lately, and no less severe, counts it;
3. groups: an open group of a common cause counts it, else it waits ``hold_ns`` for others;
4. the circuit breaker: beyond a storm's rate it goes into the digest.

*Conservation.* Every alert that was taken in is in exactly one place (:class:`.Fate`), checked at
the end of each step. Times at which something falls due are gone through one by one, so it makes
no difference whether time passes in one step or in many.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sightline.decide.alerting.alert import Alert, Disposition, Fate, Message
from sightline.decide.alerting.hiding import (
    ENTERING,
    Hiding,
    covering,
    next_boundary_ns,
)
from sightline.decide.alerting.life_cycle import HIDDEN, AlarmEvent, AlarmState, next_state
from sightline.decide.alerting.rules import ActionKind, AlertingRules, Cleared, OperatorAction
from sightline.decide.alerting.state import AlertingState, Point
from sightline.decide.alerting.telling import Teller
from sightline.decide.mask import ANY
from sightline.errors import InvariantViolation

_SHELVED = AlarmState.SHELVED


@dataclass(frozen=True, slots=True, kw_only=True)
class StateChange:
    """A point went from one state of its life cycle to another."""

    subject: str
    code: str
    before: AlarmState
    after: AlarmState
    event: AlarmEvent
    at_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertingStep:
    """What came of a step.

    Attributes:
        state: for the next one.
        messages: to be sent, in order.
        dispositions: what became of alerts, in order; to be logged.
        changes: of life cycles, in order; to be logged.
        refused: actions that could not be done, with the cause.
    """

    state: AlertingState
    messages: tuple[Message, ...]
    dispositions: tuple[Disposition, ...]
    changes: tuple[StateChange, ...]
    refused: tuple[tuple[OperatorAction, str], ...]


def advance(
    rules: AlertingRules,
    state: AlertingState,
    inputs: Sequence[Alert | Cleared | OperatorAction] = (),
    *,
    now_ns: int,
    is_last: bool = False,
) -> AlertingStep:
    """Take in what has come and let event time go on to ``now_ns``.

    Args:
        rules: of this desk.
        state: of this desk.
        inputs: each alert once in the life of the desk.
        now_ns: event time that was reached, UTC ns; earlier than before changes nothing.
        is_last: nothing comes after this: what waits is said.

    Raises:
        InvariantViolation: an alert was lost, which is a bug.

    >>> from sightline.records.decision import Severity
    >>> alert = Alert(alert_id="a", subject="sat-1/bus_v", code="DRIFT", kind="drift", event_ns=0,
    ...               severity=Severity.CRITICAL)
    >>> step = advance(AlertingRules(), AlertingState(), [alert], now_ns=1)
    >>> [(str(m.kind), m.subject, m.count) for m in step.messages]
    [('alert', 'sat-1/bus_v', 1)]
    """
    desk = _Desk(rules, state)
    for item in sorted(inputs, key=lambda item: item.event_ns):
        desk.go_to(item.event_ns)
        match item:
            case Alert():
                desk.take(item)
            case Cleared():
                desk.clear(item)
            case OperatorAction():
                desk.act(item)
        desk.teller.settle(desk.at_ns)
    desk.go_to(now_ns)
    return desk.finish(state, taken=sum(isinstance(i, Alert) for i in inputs), is_last=is_last)


@dataclass(frozen=True, slots=True)
class _Seen:
    """A point at some time, for masks."""

    kind: str
    subject: str
    event_ns: int


class _Desk:
    """Working copy of a desk, for the length of one step."""

    def __init__(self, rules: AlertingRules, state: AlertingState) -> None:
        self.rules = rules
        self.teller = Teller(rules, state)
        self.through_ns = state.through_ns
        self.points = dict(state.points)
        self.hidings = list(state.hidings)
        self.untracked = state.untracked
        self.changes: list[StateChange] = []
        self.refused: list[tuple[OperatorAction, str]] = []
        self._synced = 0

    @property
    def at_ns(self) -> int:
        """The time reached."""
        assert self.through_ns is not None
        return self.through_ns

    # --- time -------------------------------------------------------------------------------------

    def go_to(self, time_ns: int) -> None:
        """Let time pass, doing what falls due on the way."""
        if self.through_ns is None:
            self.through_ns = time_ns
        while True:
            times = (next_boundary_ns(self.hidings, self.at_ns), self.teller.next_due_ns())
            due_ns = min((t for t in times if t is not None), default=None)
            if due_ns is None or due_ns > time_ns or due_ns <= self.at_ns:
                break
            self.through_ns = due_ns
            self._cover()
            self.teller.settle(due_ns)
        self.through_ns = max(time_ns, self.at_ns)

    def finish(self, before: AlertingState, *, taken: int, is_last: bool) -> AlertingStep:
        """Say what is due, and hand out the result."""
        self._cover()
        self.teller.settle(self.at_ns, is_last=is_last)
        self.teller.forget(self.at_ns)
        self._sync()
        self.hidings = self._kept_hidings()
        teller = self.teller
        state = AlertingState(
            through_ns=self.through_ns,
            points=self.points,
            hidings=tuple(self.hidings),
            repeats=teller.repeats,
            groups=teller.groups,
            waiting=tuple(teller.waiting),
            digest=tuple(teller.digest),
            digest_id=teller.digest_id,
            storm=teller.storm,
            messages=teller.said,
            counts=teller.counts,
            untracked=self.untracked,
        )
        waits = state.counts.get(Fate.WAITING, 0)
        if state.raised != before.raised + taken or waits != len(state.waiting):
            raise InvariantViolation(
                expected=f"{before.raised + taken} alerts, {len(state.waiting)} of them waiting",
                got=f"{dict(state.counts)}",
                where="alert desk",
                action="report this with the log",
            )
        return AlertingStep(
            state=state,
            messages=tuple(teller.messages),
            dispositions=tuple(teller.dispositions),
            changes=tuple(self.changes),
            refused=tuple(self.refused),
        )

    # --- inputs -----------------------------------------------------------------------------------

    def take(self, alert: Alert) -> None:
        """A point was raised."""
        hiding = self._hiding_of(alert)
        if hiding is not None:
            fate = _fate_of(hiding.state)
            self.teller.dispose(
                alert,
                fate,
                before=None,
                cause=str(hiding.state).upper(),
                reason=hiding.reason,
                at_ns=self.at_ns,
            )
            self._raise(alert, fate, ENTERING[hiding.state])
        elif self.teller.is_repeat(alert, self.at_ns):
            self.teller.count_repeat(alert, self.at_ns)
            self._raise(alert, Fate.SUPPRESSED, AlarmEvent.REPEATED)
        else:
            self._raise(alert, Fate.WAITING, AlarmEvent.RAISED)
            self.teller.queue(alert, self.at_ns, before=None)

    def clear(self, cleared: Cleared) -> None:
        """A point is back to normal; one that is not known was never raised here."""
        key = cleared.subject, cleared.code
        point = self.points.get(key)
        if point is None:
            return
        self.points[key] = replace(point, is_active=False)
        is_latched = point.is_latched
        self._move(key, AlarmEvent.CLEARED_LATCHING if is_latched else AlarmEvent.CLEARED)

    def act(self, action: OperatorAction) -> None:
        """An operator did something."""
        match action.kind:
            case ActionKind.ACKNOWLEDGE | ActionKind.RESET:
                is_done = self._answer(action)
            case ActionKind.UNSHELVE | ActionKind.PUT_BACK:
                is_done = self._end_hidings(action)
            case _:
                is_done = self._hide(action)
        if not is_done:
            self.refused.append((action, "NOTHING_TO_DO"))

    def _answer(self, action: OperatorAction) -> bool:
        event = AlarmEvent(str(action.kind))
        done = []
        for key in sorted(self.points):
            if key[0] == action.subject and action.code in (ANY, key[1]):
                if event is AlarmEvent.RESET and next_state(self.points[key].state, event):
                    self.points[key] = replace(self.points[key], is_latched=False)
                done.append(self._move(key, event))
        return any(done)

    def _hide(self, action: OperatorAction) -> bool:
        hiding = Hiding.of(action, max_shelve_ns=self.rules.max_shelve_ns)
        self.hidings = self._kept_hidings()
        if hiding is None:
            self.refused.append((action, "NO_END"))
        elif len(self.hidings) >= self.rules.max_hidings:
            self.refused.append((action, "TOO_MANY"))
        else:
            self.hidings.append(hiding)
            self._cover()
        return True

    def _end_hidings(self, action: OperatorAction) -> bool:
        is_shelf = action.kind is ActionKind.UNSHELVE
        ended = [
            i
            for i, hiding in enumerate(self.hidings)
            if (hiding.state is _SHELVED) == is_shelf
            and hiding.mask.subject == action.subject
            and action.decided_by in (ANY, hiding.mask.kind)
            and hiding.mask.until_ns > self.at_ns
        ]
        for i in ended:
            self.hidings[i] = self.hidings[i].ended(self.at_ns)
        self._cover()
        return bool(ended)

    # --- life cycles ------------------------------------------------------------------------------

    def _raise(self, alert: Alert, fate: Fate, event: AlarmEvent) -> None:
        key = alert.subject, alert.code
        point = self.points.get(key)
        if point is None and len(self.points) >= self.rules.max_points:
            self.untracked += 1
            return
        is_seen = event in (AlarmEvent.RAISED, AlarmEvent.REPEATED)
        latches = is_seen and alert.code in self.rules.latching
        self.points[key] = Point(
            state=point.state if point else AlarmState.NORMAL,
            is_active=True,
            is_latched=latches or (point is not None and point.is_latched),
            alert=alert,
            fate=fate,
        )
        self._move(key, event)

    def _move(self, key: tuple[str, str], event: AlarmEvent) -> bool:
        """Apply an event; whether it can happen. A point that is normal again is let go."""
        point = self.points[key]
        after = next_state(point.state, event)
        if after is not None and after is not point.state:
            self.changes.append(
                StateChange(
                    subject=key[0],
                    code=key[1],
                    before=point.state,
                    after=after,
                    event=event,
                    at_ns=self.at_ns,
                )
            )
            self.points[key] = replace(point, state=after)
        if self.points[key].state is AlarmState.NORMAL and not point.is_active:
            del self.points[key]
        return after is not None

    def _cover(self) -> None:
        """Hide what is covered now, and reveal what no longer is."""
        if not self.hidings and not any(p.state in HIDDEN for p in self.points.values()):
            return
        self._sync()
        in_digest = {alert.alert_id for _, alert in self.teller.digest}
        for key in sorted(self.points):
            point = self.points[key]
            seen = _Seen(point.alert.kind, point.alert.subject, self.at_ns)
            hiding = covering(self.hidings, seen)
            if hiding is None and point.state in HIDDEN:
                self._reveal(key, in_digest)
            elif hiding is not None and hiding.state is not point.state:
                self._move(key, ENTERING[hiding.state])
                self.teller.withdraw(
                    *key,
                    self.at_ns,
                    fate=_fate_of(hiding.state),
                    cause=str(hiding.state).upper(),
                    reason=hiding.reason,
                )

    def _reveal(self, key: tuple[str, str], in_digest: set[str]) -> None:
        point = self.points[key]
        if not point.is_active:
            is_latched = point.is_latched
            self._move(key, AlarmEvent.REVEAL_LATCHED if is_latched else AlarmEvent.REVEAL_QUIET)
            return
        if point.alert.code in self.rules.latching:
            self.points[key] = replace(point, is_latched=True)
        self._move(key, AlarmEvent.REVEAL_ACTIVE)
        if point.alert.alert_id not in in_digest:
            # Also what was told before it was hidden: a shelf that runs out must be heard of.
            self.teller.queue(point.alert, self.at_ns, before=point.fate)

    def _hiding_of(self, alert: Alert) -> Hiding | None:
        """What covers it at its own time (masks), or its point at the time the desk has reached.

        A shelf is about what an operator wants to hear now; it is nothing to a late alert.
        """
        masks = [hiding for hiding in self.hidings if hiding.state is not _SHELVED]
        seen = _Seen(alert.kind, alert.subject, self.at_ns)
        return covering(masks, alert) or covering(self.hidings, seen)

    def _kept_hidings(self) -> list[Hiding]:
        oldest_ns = self.at_ns - self.rules.late_ns
        return [hiding for hiding in self.hidings if hiding.mask.until_ns > oldest_ns]

    def _sync(self) -> None:
        """Tell points what became of their newest alert since the last call."""
        new = self.teller.dispositions[self._synced :]
        self._synced = len(self.teller.dispositions)
        fates = {disposition.alert_id: disposition.fate for disposition in new}
        for key, point in self.points.items():
            fate = fates.get(point.alert.alert_id)
            if fate is not None and fate is not point.fate:
                self.points[key] = replace(point, fate=fate)


def _fate_of(state: AlarmState) -> Fate:
    return Fate.SHELVED if state is _SHELVED else Fate.MASKED
