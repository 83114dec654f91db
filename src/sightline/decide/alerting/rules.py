"""The rules of an alert desk, and what it takes in besides alerts."""

from __future__ import annotations

from dataclasses import dataclass, field

from sightline.decide.alerting.alert import Alert
from sightline.decide.alerting.grouping import GroupingRule
from sightline.decide.alerting.storm import MINUTE_NS, StormRule
from sightline.errors import UsageError
from sightline.records.decision import Severity

HOUR_NS = 60 * MINUTE_NS


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertingRules:
    """How alerts become messages to one operator.

    Attributes:
        name: of the desk; message ids begin with it.
        hold_ns: time an alert waits for others of its cause. It counts in the latency budget.
        urgent: severities that do not wait. They are grouped with nothing, but join an open group.
        grouping: when alerts have a common cause.
        join_ns: time after a group was told in which further members are counted on it.
        repeat_ns: time after an alert in which the same subject and code is counted on it.
        update_every_ns: least time between two updates of one count.
        tell_ends: whether a message says that what was told is over.
        storm: when messages become a digest.
        digest_by: attribute that a digest is grouped by where there is no common cause.
        latching: codes that have to be reset by hand after they cleared.
        max_shelve_ns: shelving for longer is cut to this.
        revise_ns: how long after the last event of an alert it can be retracted. An alert that is
            active can be for as long as it is.
        late_ns: how long a mask is kept behind its end, for alerts that come late.
        max_points: alarm points that are not normal. Alerts of further ones have no life cycle
            and are counted as untracked; what a mask or shelf hides of them stays hidden.
        max_waiting: alerts that wait. At the bound they are released early.
        max_digest: alerts in a digest. At the bound it is said early.
        max_hidings: masks and shelves in force or to come. Further ones are refused.
        max_placed: alerts that can still be retracted. Beyond it the oldest cannot any more: a
            retraction of one is counted as unplaced.
        max_named: alert ids in a message or a row of a digest; the others are counted. Every
            alert's disposition names its message all the same.

    Raises:
        UsageError: a number out of its range.
    """

    name: str = "desk"
    hold_ns: int = MINUTE_NS
    urgent: tuple[Severity, ...] = (Severity.CRITICAL,)
    grouping: GroupingRule = field(default_factory=GroupingRule)
    join_ns: int = 30 * MINUTE_NS
    repeat_ns: int = 6 * HOUR_NS
    update_every_ns: int = HOUR_NS
    tell_ends: bool = False
    storm: StormRule = field(default_factory=StormRule)
    digest_by: str = "satellite"
    latching: tuple[str, ...] = ()
    max_shelve_ns: int = 24 * HOUR_NS
    revise_ns: int = 24 * HOUR_NS
    late_ns: int = 24 * HOUR_NS
    max_points: int = 10_000
    max_waiting: int = 1_000
    max_digest: int = 10_000
    max_hidings: int = 1_000
    max_placed: int = 20_000
    max_named: int = 50

    def __post_init__(self) -> None:
        at_least_0 = (
            self.hold_ns, self.join_ns, self.repeat_ns, self.revise_ns, self.late_ns
        )  # fmt: skip
        at_least_1 = (self.update_every_ns, self.max_shelve_ns, self.max_points)
        bounds = (self.max_waiting, self.max_digest, self.max_hidings)
        named = (self.max_placed, self.max_named)
        if min(at_least_0) < 0 or min(*at_least_1, *bounds, *named) < 1:
            raise UsageError(
                expected="hold, join, repeat, revise and late of 0 or more, all others above 0",
                got=f"{self}",
                where="alerting rules",
                action="mend the number below its range",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleared:
    """The process is back to normal.

    Attributes:
        subject, code: the alarm point.
        event_ns: when, UTC ns of event time.
    """

    subject: str
    code: str
    event_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Retracted:
    """Late data says that an alert was none.

    Attributes:
        alert_id: of the alert.
        subject, code: its alarm point.
        event_ns: of the alert, UTC ns.
    """

    alert_id: str
    subject: str
    code: str
    event_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Replaced:
    """Late data says that an alert began at another time: ``alert`` stands where it stood.

    Attributes:
        alert_id: of the one that is retracted.
        alert: at the same alarm point.
    """

    alert_id: str
    alert: Alert

    @property
    def event_ns(self) -> int:
        """Of the new alert, UTC ns."""
        return self.alert.event_ns


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """Late data says that the process never was back to normal after ``alert``.

    Attributes:
        alert: the one that is active again.
        event_ns: when its end had been said to be, UTC ns.
    """

    alert: Alert
    event_ns: int
