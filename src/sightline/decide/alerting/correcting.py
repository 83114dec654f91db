"""Taking alerts back: late data has shown that they were none, or that they began at other times.

What was not said is not said any more. What was said is corrected, by one message for all that is
taken back at one time; in a storm corrections wait for the next digest.
"""

from __future__ import annotations

from dataclasses import replace

from sightline.decide.alerting.alert import Alert, Fate
from sightline.decide.alerting.placed import Placed
from sightline.decide.alerting.state import Standing
from sightline.decide.alerting.telling import Teller


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
