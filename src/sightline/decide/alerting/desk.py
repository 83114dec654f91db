"""The alert desk: a function of (state, what comes in) that decides what one operator is told.

Alerts, returns to normal and operator's actions come in by event time, the order of equal times
as given; what comes late is taken at the time the desk has reached, and what comes from beyond
``now_ns`` at that. An alert goes through

1. masks and shelves: an alert that is hidden at the time reached, or was masked at its own time, is
   recorded with the reason and not told; if the alarm is still active when the mask or shelf ends,
   it is told then;
2. repeats: if the same subject and code was told lately, and no less severe, the alert is counted
   there;
3. groups: an open group of a common cause counts it, else it waits ``hold_ns`` for others;
4. the storm rule: beyond a storm's rate it goes into the digest.

Late data may take an alert back, put another one in its place, or take its end back. A retracted
alert is withdrawn from where it is, and what was told of it is corrected.

*Conservation.* Every alert that was taken in is in exactly one place (:class:`.Fate`), checked at
the end of each step. Times at which something falls due are gone through one by one, so it makes
no difference whether time passes in one step or in many.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sightline.decide.alerting.alert import Alert, Fate
from sightline.decide.alerting.hiding import (
    ENTERING,
    ActionKind,
    Hiding,
    OperatorAction,
    covering,
    next_boundary_ns,
)
from sightline.decide.alerting.points import HIDDEN, AlarmEvent, AlarmState, Points
from sightline.decide.alerting.rules import (
    AlertingRules,
    Cleared,
    Replaced,
    Resumed,
    Retracted,
)
from sightline.decide.alerting.state import AlertingState, AlertingStep, Placed, Standing
from sightline.decide.alerting.telling import Teller
from sightline.decide.mask import ANY
from sightline.errors import InvariantViolation

_SHELVED = AlarmState.SHELVED


DeskInput = Alert | Cleared | Retracted | Replaced | Resumed | OperatorAction
"""What a desk takes in."""


def advance(
    rules: AlertingRules,
    state: AlertingState,
    inputs: Sequence[DeskInput] = (),
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
        desk.go_to(min(item.event_ns, now_ns))
        match item:
            case Alert():
                desk.take(item)
            case Cleared():
                desk.clear(item)
            case OperatorAction():
                desk.act(item)
            case Retracted():
                desk.retract(item)
            case Replaced():
                desk.replace(item)
            case Resumed():
                desk.resume(item)
        desk.teller.settle(desk.at_ns)
    desk.go_to(now_ns)
    taken = sum(isinstance(i, Alert | Replaced) for i in inputs)
    return desk.finish(state, taken=taken, is_last=is_last)


class _Desk:
    """Working copy of a desk, for the length of one step."""

    def __init__(self, rules: AlertingRules, state: AlertingState) -> None:
        self.rules = rules
        self.teller = Teller(rules, state)
        self.through_ns = state.through_ns
        self.points = Points(rules, state.points, untracked=state.untracked)
        self.hidings = list(state.hidings)
        self.unplaced = state.unplaced
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
            if time_ns > self.at_ns:
                self.teller.correct(self.at_ns)
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
        self.teller.correct(self.at_ns, is_last=is_last)
        self._end_what_was_over()
        self.teller.forget(self.at_ns)
        self._sync()
        self.hidings = self._kept_hidings()
        teller = self.teller
        state = AlertingState(
            through_ns=self.through_ns,
            points=self.points.by_key,
            hidings=tuple(self.hidings),
            repeats=teller.repeats,
            groups=teller.groups,
            waiting=tuple(teller.waiting),
            digest=tuple(teller.digest),
            digest_id=teller.digest_id,
            storm=teller.storm,
            messages=teller.said,
            counts=teller.counts,
            untracked=self.points.untracked,
            placed=teller.placed.kept(
                after_ns=self.at_ns - self.rules.revise_ns,
                active=self.points.active(),
                most=self.rules.max_placed,
            ),
            corrections=tuple(teller.corrections),
            unplaced=self.unplaced,
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
            changes=tuple(self.points.changes),
            refused=tuple(self.refused),
        )

    def _end_what_was_over(self) -> None:
        """Say of alerts that were told when they were over already that they are."""
        told = {d.alert_id for d in self.teller.dispositions if d.fate is Fate.TOLD}
        for key in sorted(self.points.by_key) if told else ():
            point = self.points.by_key[key]
            if point.alert.alert_id in told and not point.is_active:
                self.teller.over(point.alert, self.at_ns, until_ns=None)

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
            self.points.enter(alert, fate, ENTERING[hiding.state], self.at_ns)
        elif self.teller.is_repeat(alert, self.at_ns):
            self.teller.count_repeat(alert, self.at_ns)
            self.points.enter(alert, Fate.SUPPRESSED, AlarmEvent.REPEATED, self.at_ns)
        else:
            self.points.enter(alert, Fate.WAITING, AlarmEvent.RAISED, self.at_ns)
            self.teller.queue(alert, self.at_ns, before=None)

    def clear(self, cleared: Cleared) -> None:
        """A point is back to normal; one that is not known was never raised here."""
        key = cleared.subject, cleared.code
        point = self.points.by_key.get(key)
        if point is not None:
            self.teller.placed.touch(point.alert.alert_id, self.at_ns)
            if point.is_active:
                self.teller.over(point.alert, self.at_ns, until_ns=cleared.event_ns)
            self.points.leave(key, self.at_ns)

    def retract(self, item: Retracted) -> None:
        """An alert was none; one that is not known any more stays as it is."""
        placed = self.teller.placed.by_id.get(item.alert_id)
        if placed is None:
            self.unplaced += 1
            return
        retract(self.teller, placed, self.at_ns)
        key = placed.alert.subject, placed.alert.code
        other = self.points.take_back(key, item.alert_id, self.at_ns)
        if other is None or not other.is_active or other.state in HIDDEN:
            return
        newest = self.teller.placed.by_id.get(other.alert.alert_id)
        if newest is not None and newest.held_by == item.alert_id:
            # It was counted on what was none: now it has to be told itself.
            self.teller.queue(other.alert, self.at_ns, before=newest.fate)

    def replace(self, item: Replaced) -> None:
        """An alert stands where another one stood; if that is not known any more it is new."""
        placed = self.teller.placed.by_id.get(item.alert_id)
        if placed is None:
            self.take(item.alert)
            return
        substitute(self.teller, placed, item.alert, self.at_ns)
        key = item.alert.subject, item.alert.code
        point = self.points.by_key.get(key)
        if point is not None and point.alert.alert_id == item.alert_id:
            self.points.by_key[key] = replace(point, alert=item.alert)

    def resume(self, item: Resumed) -> None:
        """A point never was back to normal; it is told of only if it was hidden before."""
        placed = self.teller.placed.by_id.get(item.alert.alert_id)
        if placed is None:
            self.unplaced += 1
            return
        hiding = covering(self.hidings, item.alert, self.at_ns)
        was_hidden = placed.fate in (Fate.MASKED, Fate.SHELVED)
        fate, event = placed.fate, AlarmEvent.REPEATED
        if hiding is not None:
            event = ENTERING[hiding.state]
        elif was_hidden:
            fate, event = Fate.WAITING, AlarmEvent.RAISED
        self.points.enter(item.alert, fate, event, self.at_ns, is_again=True)
        if was_hidden and hiding is None:
            self.teller.queue(item.alert, self.at_ns, before=placed.fate)

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
        asked = [
            key
            for key in sorted(self.points.by_key)
            if key[0] == action.subject and action.code in (ANY, key[1])
        ]
        done = [
            self.points.answer(key, event, self.at_ns, operator=action.operator) for key in asked
        ]
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

    # --- hiding -----------------------------------------------------------------------------------

    def _cover(self) -> None:
        """Hide what is covered now, and reveal what no longer is."""
        if not self.hidings and not any(p.state in HIDDEN for p in self.points.by_key.values()):
            return
        self._sync()
        in_digest = {alert.alert_id for _, alert in self.teller.digest}
        for key in sorted(self.points.by_key):
            point = self.points.by_key[key]
            hiding = covering(self.hidings, point.alert, self.at_ns)
            if hiding is None and point.state in HIDDEN:
                self._reveal(key, in_digest)
            elif hiding is not None and hiding.state is not point.state:
                self.points.move(key, ENTERING[hiding.state], self.at_ns)
                self.teller.withdraw(
                    *key,
                    self.at_ns,
                    fate=_fate_of(hiding.state),
                    cause=str(hiding.state).upper(),
                    reason=hiding.reason,
                )

    def _reveal(self, key: tuple[str, str], in_digest: set[str]) -> None:
        alert = self.points.reveal(key, self.at_ns)
        if alert is not None and alert.alert_id not in in_digest:
            # Also what was told before it was hidden: a shelf that runs out must be heard of.
            self.teller.queue(alert, self.at_ns, before=self.points.by_key[key].fate)

    def _hiding_of(self, alert: Alert) -> Hiding | None:
        """What covers it at its own time (masks), or its point at the time the desk has reached.

        A shelf is about what an operator wants to hear now; it is nothing to a late alert.
        """
        masks = [hiding for hiding in self.hidings if hiding.state is not _SHELVED]
        return covering(masks, alert, alert.event_ns) or covering(self.hidings, alert, self.at_ns)

    def _kept_hidings(self) -> list[Hiding]:
        oldest_ns = self.at_ns - self.rules.late_ns
        return [hiding for hiding in self.hidings if hiding.mask.until_ns > oldest_ns]

    def _sync(self) -> None:
        """Tell points what became of their newest alert since the last call."""
        new = self.teller.dispositions[self._synced :]
        self._synced = len(self.teller.dispositions)
        self.points.note_fates(new)


def _fate_of(state: AlarmState) -> Fate:
    return Fate.SHELVED if state is _SHELVED else Fate.MASKED


# --- corrections ----------------------------------------------------------------------------------
# Taking alerts back: late data has shown that they were none, or that they began at other times.
#
# What was not said is not said any more. What was said is corrected, by one message for all that is
# taken back at one time; in a storm corrections wait for the next digest.


def retract(teller: Teller, placed: Placed, at_ns: int) -> None:
    """Take an alert out of where it is, and note what has to be corrected.

    An alert that was counted on one that waits takes its place. Those counted on one that was
    told stay counted: an update says how many they are.
    """
    alert = placed.alert
    match placed.fate:
        case Fate.IN_DIGEST if any(a.alert_id == alert.alert_id for _, a in teller.digest):
            teller.digest = [(g, a) for g, a in teller.digest if a.alert_id != alert.alert_id]
            teller.digest_id = teller.digest_id if teller.digest else ""
        case Fate.TOLD | Fate.IN_DIGEST:
            teller.corrections.append((placed.held_by, alert))
            _uncount(teller, placed, was_told=True)
        case Fate.SUPPRESSED:
            _uncount(teller, placed, was_told=False)
        case _:
            pass
    teller.dispose(alert, Fate.RETRACTED, before=placed.fate, cause="RETRACTED", at_ns=at_ns)
    key = alert.subject, alert.code
    standing = teller.repeats.get(key)
    if standing is not None and standing.first_id == alert.alert_id:
        _close(teller, standing, placed, at_ns)
    teller.waiting = [w for w in teller.waiting if w[1].alert_id != alert.alert_id]


def _close(teller: Teller, standing: Standing, placed: Placed, at_ns: int) -> None:
    """Nothing more is counted on an alert that was none."""
    alert = placed.alert
    key = alert.subject, alert.code
    heirs = teller.placed.counted_on(alert.alert_id)
    if not heirs:
        del teller.repeats[key]
    elif placed.fate is Fate.WAITING:
        heir = heirs[0].alert
        teller.waiting = [
            (since, heir if a.alert_id == alert.alert_id else a) for since, a in teller.waiting
        ]
        teller.dispose(heir, Fate.WAITING, before=Fate.SUPPRESSED, cause="TAKES_PLACE", at_ns=at_ns)
        teller.placed.rename_holder(alert.alert_id, heir.alert_id)
        teller.repeats[key] = replace(
            standing, first_id=heir.alert_id, count=max(standing.count - 1, 1)
        )
    else:
        teller.repeats[key] = _less(
            replace(standing, since_ns=at_ns - teller.rules.repeat_ns), was_told=True
        )


def _uncount(teller: Teller, placed: Placed, *, was_told: bool) -> None:
    """Count one less where it was counted."""
    for label, group in teller.groups.items():
        if group.message_id == placed.held_by:
            teller.groups[label] = _less(group, was_told=was_told)
            return
    key = placed.alert.subject, placed.alert.code
    standing = teller.repeats.get(key)
    if standing is not None and standing.first_id == placed.held_by:
        teller.repeats[key] = _less(standing, was_told=was_told)


def _less(standing: Standing, *, was_told: bool) -> Standing:
    count = max(standing.count - 1, 0)
    return replace(standing, count=count, told=min(max(standing.told - was_told, 0), count))


def substitute(teller: Teller, placed: Placed, alert: Alert, at_ns: int) -> None:
    """Let ``alert`` stand where an alert of the same point stood that is taken back."""
    before = placed.alert.alert_id

    def now(one: Alert) -> Alert:
        return alert if one.alert_id == before else one

    teller.waiting = [(since, now(one)) for since, one in teller.waiting]
    teller.digest = [(group, now(one)) for group, one in teller.digest]
    key = alert.subject, alert.code
    standing = teller.repeats.get(key)
    if standing is not None and standing.first_id == before:
        teller.repeats[key] = replace(standing, first_id=alert.alert_id)
    teller.placed.rename_holder(before, alert.alert_id)
    teller.dispose(
        placed.alert,
        Fate.RETRACTED,
        before=placed.fate,
        cause="REPLACED",
        held_by=alert.alert_id,
        at_ns=at_ns,
    )
    teller.dispose(
        alert,
        placed.fate,
        before=None,
        cause="REPLACES",
        held_by=placed.held_by,
        at_ns=at_ns,
    )
