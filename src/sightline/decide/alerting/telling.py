"""From alerts that may be told to messages: repeats, common causes, storms and digests."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

from sightline.decide.alerting.alert import (
    SEVERITY_RANK,
    Alert,
    Disposition,
    Fate,
    Message,
    MessageKind,
    correction_message,
    digest_rows,
)
from sightline.decide.alerting.grouping import common_causes
from sightline.decide.alerting.rules import AlertingRules
from sightline.decide.alerting.state import AlertingState, PlacedAlerts, Standing
from sightline.decide.alerting.storm import is_digest_due, offer, settle


class Teller:
    """Working copy of what a desk tells, for the length of one step.

    Whatever changes where an alert is goes through :meth:`dispose`.
    """

    def __init__(self, rules: AlertingRules, state: AlertingState) -> None:
        self.rules = rules
        self.waiting = list(state.waiting)
        self.repeats = dict(state.repeats)
        self.groups = dict(state.groups)
        self.digest = list(state.digest)
        self.digest_id = state.digest_id
        self.storm = state.storm
        self.said = state.messages
        self.counts = dict(state.counts)
        self.placed = PlacedAlerts(state.placed)
        self.corrections = list(state.corrections)
        self.messages: list[Message] = []
        self.dispositions: list[Disposition] = []
        self.ended: set[str] = set()
        self._update_due_ns = self._earliest_update_ns()

    # --- in ---------------------------------------------------------------------------------------

    def dispose(
        self,
        alert: Alert,
        fate: Fate,
        *,
        before: Fate | None,
        cause: str,
        at_ns: int,
        held_by: str = "",
        reason: str = "",
    ) -> None:
        """Record where an alert is now."""
        if before is not None:
            self.counts[before] -= 1
        self.counts[fate] = self.counts.get(fate, 0) + 1
        disposition = Disposition(
            alert_id=alert.alert_id,
            fate=fate,
            before=before,
            cause=cause,
            reason=reason,
            held_by=held_by,
            at_ns=at_ns,
        )
        self.dispositions.append(disposition)
        self.placed.note(alert, disposition)

    def is_repeat(self, alert: Alert, at_ns: int) -> bool:
        """Whether it is to be counted on an alert of the same subject and code."""
        standing = self.repeats.get((alert.subject, alert.code))
        return (
            standing is not None
            and at_ns < standing.since_ns + self.rules.repeat_ns
            and alert.rank <= standing.rank
        )

    def count_repeat(self, alert: Alert, at_ns: int) -> None:
        """Count it there."""
        key = (alert.subject, alert.code)
        standing = self.repeats[key]
        self.repeats[key] = self._noted(replace(standing, count=standing.count + 1))
        self.dispose(
            alert,
            Fate.SUPPRESSED,
            before=None,
            cause="REPEAT",
            held_by=standing.first_id,
            at_ns=at_ns,
        )

    def queue(self, alert: Alert, at_ns: int, *, before: Fate | None) -> None:
        """Take an alert that is to be told: into an open group, at once, or after the hold."""
        for name, value in alert.attributes:
            label = f"{name}={value}"
            group = self.groups.get(label)
            is_open = group is not None and at_ns < group.since_ns + self.rules.join_ns
            if group is not None and is_open and alert.rank <= group.rank and before is None:
                self.groups[label] = self._noted(replace(group, count=group.count + 1))
                self.dispose(
                    alert,
                    Fate.SUPPRESSED,
                    before=None,
                    cause="IN_GROUP",
                    held_by=group.message_id,
                    at_ns=at_ns,
                )
                return
        self._begin_repeats(alert, at_ns)
        cause = "RAISED" if before is None else "STILL_ACTIVE"
        self.dispose(alert, Fate.WAITING, before=before, cause=cause, at_ns=at_ns)
        if alert.severity in self.rules.urgent:
            self._tell([alert], at_ns)
            return
        self.waiting.append((at_ns, alert))
        if len(self.waiting) >= self.rules.max_waiting:
            self._release(at_ns)

    def withdraw(
        self, subject: str, code: str, at_ns: int, *, fate: Fate, cause: str, reason: str
    ) -> None:
        """Take back what waits of a point that is hidden now."""
        kept = []
        for since_ns, alert in self.waiting:
            if (alert.subject, alert.code) != (subject, code):
                kept.append((since_ns, alert))
                continue
            self.dispose(alert, fate, before=Fate.WAITING, cause=cause, reason=reason, at_ns=at_ns)
            # Nobody was told of it, so nothing more may be counted on it.
            self.repeats.pop((subject, code), None)
        self.waiting = kept

    def _begin_repeats(self, alert: Alert, at_ns: int) -> None:
        key = (alert.subject, alert.code)
        if key not in self.repeats and len(self.repeats) >= self.rules.max_points:
            return  # its repeats are told one by one: noise, and no loss
        self.repeats[key] = Standing(
            first_id=alert.alert_id,
            message_id="",
            rank=alert.rank,
            since_ns=at_ns,
            count=1 + _untold(self.repeats.get(key)),
            told=1,
            updated_ns=at_ns,
        )

    def over(self, alert: Alert, at_ns: int, *, until_ns: int | None) -> None:
        """Say that an alert of which a message told is back to normal; in a storm nothing is."""
        placed = self.placed.by_id.get(alert.alert_id)
        is_told = placed is not None and placed.fate is Fate.TOLD
        if not (self.rules.tell_ends and is_told) or self.storm.is_storm:
            return
        assert placed is not None
        if alert.alert_id in self.ended:
            return
        self.ended.add(alert.alert_id)
        self.messages.append(
            Message(
                message_id=self.next_id(),
                kind=MessageKind.OVER,
                at_ns=at_ns,
                subject=alert.subject,
                code=alert.code,
                severity=alert.severity,
                count=1,
                named=(alert.alert_id,),
                subjects=(alert.subject,),
                update_of=placed.held_by,
                since_ns=alert.event_ns,
                until_ns=until_ns,
            )
        )

    # --- out --------------------------------------------------------------------------------------

    def settle(self, at_ns: int, *, is_last: bool = False) -> None:
        """Say what is due at ``at_ns``; with ``is_last`` all there is."""
        self.storm = settle(self.rules.storm, self.storm, at_ns)
        if self.waiting and (is_last or at_ns >= self.waiting[0][0] + self.rules.hold_ns):
            self._release(at_ns)
        is_due = not self.storm.is_storm or is_digest_due(self.rules.storm, self.storm, at_ns)
        if self.digest and (is_due or is_last or len(self.digest) >= self.rules.max_digest):
            self._say_digest(at_ns)
        if self.corrections and self.storm.is_storm and is_due:
            self._say_corrections(at_ns)
            self.storm = replace(self.storm, digest_ns=at_ns)
        self._update(at_ns, is_last=is_last)

    def correct(self, at_ns: int, *, is_last: bool = False) -> None:
        """Take back what was told and was no alert, in one message; in a storm it waits."""
        if not self.corrections:
            return
        if not (is_last or self.storm.is_storm):
            self.storm = offer(self.rules.storm, self.storm, at_ns)
        is_full = len(self.corrections) >= self.rules.max_digest
        if is_last or is_full or not self.storm.is_storm:
            self._say_corrections(at_ns)

    def next_due_ns(self) -> int | None:
        """When :meth:`settle` will next have something to do, if nothing comes in before."""
        rule, storm = self.rules.storm, self.storm
        times = [self.waiting[0][0] + self.rules.hold_ns] if self.waiting else []
        if (self.digest or self.corrections) and storm.digest_ns is not None:
            times.append(storm.digest_ns + rule.digest_every_ns)
        if storm.is_storm:
            # A storm is over when the offer that makes it calm_below drops out of the window.
            times.append(storm.offered_ns[-rule.calm_below] + rule.window_ns)
        elif self._update_due_ns is not None:
            times.append(self._update_due_ns)
        return min(times, default=None)

    def _release(self, at_ns: int) -> None:
        alerts = [alert for _, alert in self.waiting]
        self.waiting = []
        parts: list[tuple[list[Alert], str, float]] = []
        grouped: set[int] = set()
        for cause in common_causes(self.rules.grouping, alerts):
            parts.append(([alerts[i] for i in cause.members], cause.label, cause.tail))
            grouped.update(cause.members)
        parts += [([a], "", math.nan) for i, a in enumerate(alerts) if i not in grouped]
        # The worst first, so that they are told before a storm begins.
        for members, label, tail in sorted(parts, key=lambda p: min(a.worst_first for a in p[0])):
            self._tell(members, at_ns, label=label, tail=tail)

    def _tell(
        self, members: Sequence[Alert], at_ns: int, *, label: str = "", tail: float = math.nan
    ) -> None:
        """Say one message, or put its members into the digest if there is a storm."""
        members = sorted(members, key=lambda alert: alert.worst_first)
        self.storm = offer(self.rules.storm, self.storm, at_ns)
        if self.storm.is_storm:
            self._to_digest(members, at_ns, label)
            return
        message_id = self.next_id()
        worst = members[0]
        codes = {alert.code for alert in members}
        self.messages.append(
            Message(
                message_id=message_id,
                kind=MessageKind.GROUP if label else MessageKind.ALERT,
                at_ns=at_ns,
                subject=label or worst.subject,
                code=worst.code if len(codes) == 1 else "",
                severity=worst.severity,
                count=len(members),
                named=tuple(a.alert_id for a in members[: self.rules.max_named]),
                subjects=tuple(a.subject for a in members[: self.rules.max_named]),
                tail=tail,
                since_ns=worst.event_ns if len(members) == 1 else None,
                measured=worst.measured,
            )
        )
        if label:
            self.groups[label] = self._noted(
                Standing(
                    first_id=message_id,
                    message_id=message_id,
                    rank=worst.rank,
                    since_ns=at_ns,
                    count=len(members) + _untold(self.groups.get(label)),
                    told=len(members),
                    updated_ns=at_ns,
                )
            )
        cause = "COMMON_CAUSE" if label else "ALONE"
        self._told(members, Fate.TOLD, cause, message_id, at_ns)

    def _to_digest(self, members: Iterable[Alert], at_ns: int, label: str) -> None:
        self.digest_id = self.digest_id or self.next_id()
        for alert in members:
            own = dict(alert.attributes).get(self.rules.digest_by, alert.subject)
            self.digest.append((label or own, alert))
        self._told(members, Fate.IN_DIGEST, "STORM", self.digest_id, at_ns)

    def _told(
        self, members: Iterable[Alert], fate: Fate, cause: str, message_id: str, at_ns: int
    ) -> None:
        for alert in members:
            self.dispose(
                alert, fate, before=Fate.WAITING, cause=cause, held_by=message_id, at_ns=at_ns
            )
            standing = self.repeats.get((alert.subject, alert.code))
            if standing is not None and standing.first_id == alert.alert_id:
                self.repeats[alert.subject, alert.code] = self._noted(
                    replace(standing, message_id=message_id)
                )

    def _say_digest(self, at_ns: int) -> None:
        rows = digest_rows(self.digest, self.rules.max_named)
        alerts = sorted((alert for _, alert in self.digest), key=lambda a: a.worst_first)
        self.messages.append(
            Message(
                message_id=self.digest_id,
                kind=MessageKind.DIGEST,
                at_ns=at_ns,
                subject="",
                code="",
                severity=alerts[0].severity,
                count=len(alerts),
                named=tuple(a.alert_id for a in alerts[: self.rules.max_named]),
                subjects=tuple(a.subject for a in alerts[: self.rules.max_named]),
                rows=rows,
            )
        )
        self.digest, self.digest_id = [], ""
        if self.storm.is_storm:
            self.storm = replace(self.storm, digest_ns=at_ns)

    def _say_corrections(self, at_ns: int) -> None:
        held, self.corrections = self.corrections, []
        self.messages.append(
            correction_message(
                held,
                message_id=self.next_id(),
                at_ns=at_ns,
                max_named=self.rules.max_named,
            )
        )

    def _update(self, at_ns: int, *, is_last: bool) -> None:
        """Say counts that have grown; in a storm they wait."""
        is_due = self._update_due_ns is not None and at_ns >= self._update_due_ns
        if not (is_last or (is_due and not self.storm.is_storm)):
            return
        for key in sorted(self.repeats):
            self.repeats[key] = self._updated(self.repeats[key], *key, at_ns, is_last)
        for label in sorted(self.groups):
            self.groups[label] = self._updated(self.groups[label], label, "", at_ns, is_last)
        self._update_due_ns = self._earliest_update_ns()

    def _due_ns(self, standing: Standing) -> int | None:
        is_due = standing.count > standing.told and standing.message_id
        return standing.updated_ns + self.rules.update_every_ns if is_due else None

    def _earliest_update_ns(self) -> int | None:
        due = map(self._due_ns, (*self.repeats.values(), *self.groups.values()))
        return min((t for t in due if t is not None), default=None)

    def _noted(self, standing: Standing) -> Standing:
        """The same, its update remembered."""
        due_ns = self._due_ns(standing)
        if due_ns is not None:
            known_ns = self._update_due_ns
            self._update_due_ns = due_ns if known_ns is None else min(known_ns, due_ns)
        return standing

    def _updated(
        self, standing: Standing, subject: str, code: str, at_ns: int, is_last: bool
    ) -> Standing:
        due_ns = self._due_ns(standing)
        if due_ns is None or (at_ns < due_ns and not is_last):
            return standing
        if not is_last:
            if not self.storm.is_storm:
                self.storm = offer(self.rules.storm, self.storm, at_ns)
            if self.storm.is_storm:
                return standing
        self.messages.append(
            Message(
                message_id=self.next_id(),
                kind=MessageKind.UPDATE,
                at_ns=at_ns,
                subject=subject,
                code=code,
                severity=list(SEVERITY_RANK)[standing.rank],
                count=standing.count,
                update_of=standing.message_id,
            )
        )
        return replace(standing, told=standing.count, updated_ns=at_ns)

    def forget(self, at_ns: int) -> None:
        """Drop what nothing can be counted on any more and whose count is known."""
        self.repeats = {
            key: s
            for key, s in self.repeats.items()
            if s.count > s.told or at_ns < s.since_ns + self.rules.repeat_ns
        }
        self.groups = {
            key: s
            for key, s in self.groups.items()
            if s.count > s.told or at_ns < s.since_ns + self.rules.join_ns
        }

    def next_id(self) -> str:
        """Of the next message."""
        self.said += 1
        return f"{self.rules.name}-{self.said}"


def _untold(standing: Standing | None) -> int:
    """What was counted and not said yet: it is carried on to what stands next."""
    return standing.count - standing.told if standing else 0
