"""The alarm points of a desk, for the length of one step: what is in which state of its life."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from sightline.decide.alerting.alert import Alert, Disposition, Fate
from sightline.decide.alerting.life_cycle import AlarmEvent, AlarmState, next_state
from sightline.decide.alerting.rules import AlertingRules
from sightline.decide.alerting.state import AlertingState, Point
from sightline.decide.alerting.step import StateChange

PointKey = tuple[str, str]
"""Subject and code."""


class Points:
    """Working copy of the points that are not normal, and the changes made to them."""

    def __init__(self, rules: AlertingRules, state: AlertingState) -> None:
        self._rules = rules
        self.by_key = dict(state.points)
        self.untracked = state.untracked
        self.changes: list[StateChange] = []

    def active(self) -> frozenset[str]:
        """Ids of the newest alerts of the points whose process is in the alarm state."""
        return frozenset(p.alert.alert_id for p in self.by_key.values() if p.is_active)

    def enter(
        self, alert: Alert, fate: Fate, event: AlarmEvent, at_ns: int, *, is_again: bool = False
    ) -> None:
        """The process went into the alarm state; ``is_again``: its end was taken back."""
        key = alert.subject, alert.code
        point = self.by_key.get(key)
        if point is None and len(self.by_key) >= self._rules.max_points:
            self.untracked += 1
            return
        is_seen = event in (AlarmEvent.RAISED, AlarmEvent.REPEATED)
        latches = is_seen and alert.code in self._rules.latching
        self.by_key[key] = Point(
            state=point.state if point else AlarmState.NORMAL,
            is_active=True,
            is_latched=latches or (point is not None and point.is_latched),
            alert=alert,
            fate=fate,
            since_ns=point.since_ns if point else at_ns,
            count=point.count + (not is_again) if point else 1,
        )
        self.move(key, event, at_ns)

    def leave(self, key: PointKey, at_ns: int) -> None:
        """The process is back to normal."""
        point = self.by_key[key] = replace(self.by_key[key], is_active=False)
        is_latched = point.is_latched
        self.move(key, AlarmEvent.CLEARED_LATCHING if is_latched else AlarmEvent.CLEARED, at_ns)

    def take_back(self, key: PointKey, alert_id: str, at_ns: int) -> Point | None:
        """An alert of the point was none.

        Returns:
            The point, if its newest alert is another one.
        """
        point = self.by_key.get(key)
        if point is None:
            return None
        point = self.by_key[key] = replace(point, count=max(point.count - 1, 0))
        if point.alert.alert_id != alert_id:
            return point
        if point.count:
            self.leave(key, at_ns)
        else:
            self.by_key[key] = replace(point, is_active=False, is_latched=False)
            self.move(key, AlarmEvent.RETRACTED, at_ns)
        return None

    def reveal(self, key: PointKey, at_ns: int) -> Alert | None:
        """What hid a point has ended; its alert, if that is active and so has to be told."""
        point = self.by_key[key]
        if not point.is_active:
            is_latched = point.is_latched
            event = AlarmEvent.REVEAL_LATCHED if is_latched else AlarmEvent.REVEAL_QUIET
            self.move(key, event, at_ns)
            return None
        if point.alert.code in self._rules.latching:
            self.by_key[key] = replace(point, is_latched=True)
        self.move(key, AlarmEvent.REVEAL_ACTIVE, at_ns)
        return point.alert

    def answer(self, key: PointKey, event: AlarmEvent, at_ns: int) -> bool:
        """An operator acknowledges or resets a point; whether that can be done."""
        point = self.by_key[key]
        if event is AlarmEvent.RESET and next_state(point.state, event):
            self.by_key[key] = replace(point, is_latched=False)
        return self.move(key, event, at_ns)

    def move(self, key: PointKey, event: AlarmEvent, at_ns: int) -> bool:
        """Apply an event; whether it can happen. A point that is normal again is let go."""
        point = self.by_key[key]
        after = next_state(point.state, event)
        if after is not None and after is not point.state:
            self.changes.append(
                StateChange(
                    subject=key[0],
                    code=key[1],
                    before=point.state,
                    after=after,
                    event=event,
                    at_ns=at_ns,
                )
            )
            self.by_key[key] = replace(point, state=after)
        if self.by_key[key].state is AlarmState.NORMAL and not point.is_active:
            del self.by_key[key]
        return after is not None

    def note_fates(self, dispositions: Iterable[Disposition]) -> None:
        """Tell the points what became of their newest alerts."""
        fates = {disposition.alert_id: disposition.fate for disposition in dispositions}
        if not fates:
            return
        for key, point in self.by_key.items():
            fate = fates.get(point.alert.alert_id)
            if fate is not None and fate is not point.fate:
                self.by_key[key] = replace(point, fate=fate)
