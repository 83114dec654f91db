"""What is asked of a machine at one time: by the risks that were found, and by loss of sight."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sightline.decide.actuation.rule import ActuationRule
from sightline.records.command import CommandLevel
from sightline.records.decision import Mode, Reason
from sightline.records.signals import NS_PER_S

NO_SIGHT = "NO_SIGHT"
"""There has been no picture at all, or it claims to be from the future. Value: its age."""
STALE_SIGHT = "STALE_SIGHT"
"""The newest picture is older than allowed. Value: its age."""
FALLBACKS_FAILED = "FALLBACKS_FAILED"
"""Neither the stage nor any of its fallbacks has an answer. Value: answers."""
COMMAND_EXPIRED = "COMMAND_EXPIRED"
"""The last command ran out before this step: the machine has stopped by itself. Value: since."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """All that counts for one machine at one step.

    Attributes:
        event_ns: event time of the step, UTC ns, later than that of the step before.
        newest_capture_ns: capture time of the newest picture that was assessed, UTC ns; where
            several cameras are needed, of the one that is furthest behind. None: no picture yet.
        reasons: what is wrong, in any order.
        has_answer: False when the stage and all its fallbacks failed, or the machine itself is
            not among what is seen.
        is_reset_pressed: whether the reset button is down. Pressing counts, holding does not.
        mode: how the answer came about.
    """

    event_ns: int
    newest_capture_ns: int | None
    reasons: tuple[Reason, ...] = ()
    has_answer: bool = True
    is_reset_pressed: bool = False
    mode: Mode = Mode.PRIMARY


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """The level that is asked for, and the reasons, most important first."""

    level: CommandLevel
    reasons: tuple[Reason, ...]


def demand(rule: ActuationRule, situation: Situation, *, valid_until_ns: int | None) -> Demand:
    """What ``situation`` asks for: the most that any of its reasons does.

    Args:
        rule: of the machine.
        situation: now.
        valid_until_ns: end of the last command; None if there was none.

    >>> rule = ActuationRule(pipeline="p", machine="saw", level_of={})
    >>> demand(rule, Situation(event_ns=0, newest_capture_ns=None), valid_until_ns=None).level
    <CommandLevel.STOP: 'stop'>
    """
    losses = _losses(rule, situation, valid_until_ns)
    levels = [CommandLevel.STOP] * len(losses) + [level(rule, r) for r in situation.reasons]
    both = [*losses, *situation.reasons]
    # Sorted by content, so that neither the order of tracks nor that of stages can show.
    ranked = sorted(zip(levels, both, strict=True), key=lambda pair: _importance(*pair))
    return Demand(
        level=ranked[0][0] if ranked else CommandLevel.NONE,
        reasons=tuple(reason for _, reason in ranked),
    )


def level(rule: ActuationRule, reason: Reason) -> CommandLevel:
    """What one reason asks for."""
    return rule.level_of.get(reason.code, CommandLevel.STOP)


def _losses(rule: ActuationRule, situation: Situation, valid_until_ns: int | None) -> list[Reason]:
    # (code, measure, value, threshold, unit)
    found: list[tuple[str, str, float, float, str]] = []
    if not situation.has_answer:
        found.append((FALLBACKS_FAILED, "answers", 0.0, 1.0, "1"))
    if situation.newest_capture_ns is None:
        found.append((NO_SIGHT, "picture_age", math.nan, rule.max_age_s, "s"))
    else:
        age_ns = situation.event_ns - situation.newest_capture_ns
        if age_ns < 0 or age_ns > rule.max_age_ns:
            # A picture from the future tells nothing of its age: a wrong clock must not pass for
            # sight for as long as it is wrong.
            code = NO_SIGHT if age_ns < 0 else STALE_SIGHT
            found.append((code, "picture_age", age_ns / NS_PER_S, rule.max_age_s, "s"))
    if valid_until_ns is not None and situation.event_ns >= valid_until_ns:
        since_s = (situation.event_ns - valid_until_ns) / NS_PER_S
        found.append((COMMAND_EXPIRED, "time_without_command", since_s, 0.0, "s"))
    return [
        Reason(
            code=code,
            measure=measure,
            value=value,
            threshold=threshold,
            unit=unit,
            version=rule.version,
        )
        for code, measure, value, threshold, unit in found
    ]


def _importance(asked: CommandLevel, reason: Reason) -> tuple[int, str, str, str, str, str, str]:
    # Numbers as text: NaN has no place in an order of numbers, and any fixed order will do.
    return (
        -asked.rank,
        reason.code,
        reason.measure,
        repr(reason.value),
        repr(reason.threshold),
        reason.unit,
        reason.version,
    )
