"""The interlock of one machine: commands go up at once, and down only after a proven calm.

Rule, situation, state and one step; a pure function of them. Time is the event time of the
situation; nothing reads a clock.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from sightline.errors import UsageError
from sightline.records.command import ActuatorCommand, CommandLevel
from sightline.records.decision import Mode, Reason
from sightline.records.holding import so_since
from sightline.records.plain_json import plain_fields
from sightline.records.signals import NS_PER_S


@dataclass(frozen=True, slots=True, kw_only=True)
class ActuationRule:
    """How reasons become commands to one machine.

    Attributes:
        pipeline: digest of the pipeline that decides, part of the command ids.
        machine: name of the machine.
        level_of: what each reason code asks for. A code that is not listed asks for STOP: a
            reason that nobody thought of is no reason to drive on.
        max_age_s: oldest picture that counts as sight, > 0.
        hold_s: how long less must be asked for, in sight all the time, before the command is
            lowered; >= 0.
        valid_s: how long a command holds, > 0. A machine that has no valid command must stop by
            itself; so a lost connection or a dead sender stops it within this time.
        heartbeat_s: time after which a command is issued again; at most half of ``valid_s``, so
            that one may be lost on the way. Steps must come at least as often.
        restarts_at: the most that may be asked for while a stopped machine waits for the hold to
            pass; below STOP. With NONE it sets off only when nothing at all is wrong.
        needs_reset: whether a stopped machine also waits for a person to press reset, after the
            hold (ISO 13849-1, manual reset function).
        max_reasons: reasons in one command, the most important ones; at least 1.
        version: name and digest of this rule, for the reasons that come from it.

    Raises:
        UsageError: a value out of its range.
    """

    pipeline: str
    machine: str
    level_of: Mapping[str, CommandLevel]
    max_age_s: float = 0.5
    hold_s: float = 2.0
    valid_s: float = 1.0
    heartbeat_s: float = 0.4
    restarts_at: CommandLevel = CommandLevel.NONE
    needs_reset: bool = False
    max_reasons: int = 16
    version: str = "actuation@1"

    def __post_init__(self) -> None:
        times = (self.max_age_s, self.hold_s, self.valid_s, self.heartbeat_s)
        is_positive = min(self.max_age_s, self.valid_s, self.heartbeat_s) > 0 and self.hold_s >= 0
        is_named = bool(self.pipeline and self.machine) and self.max_reasons >= 1
        can_stop = self.restarts_at is not CommandLevel.STOP
        is_beating = 2 * self.heartbeat_s <= self.valid_s
        if not (
            is_positive and is_named and can_stop and is_beating and all(map(math.isfinite, times))
        ):
            raise UsageError(
                expected="a pipeline, a machine, finite times > 0 (hold_s >= 0), "
                "heartbeat_s <= valid_s / 2, restarts_at below stop and max_reasons >= 1",
                got=f"{self.pipeline!r}, {self.machine!r}, max_age, hold, valid, heartbeat "
                f"{times}, restarts_at {self.restarts_at}, max_reasons {self.max_reasons}",
                where="actuation rule",
                action="mend the rule",
            )
        object.__setattr__(self, "level_of", MappingProxyType(dict(self.level_of)))

    @property
    def max_age_ns(self) -> int:
        return round(self.max_age_s * NS_PER_S)

    @property
    def hold_ns(self) -> int:
        return round(self.hold_s * NS_PER_S)

    @property
    def valid_ns(self) -> int:
        return round(self.valid_s * NS_PER_S)

    @property
    def heartbeat_ns(self) -> int:
        return round(self.heartbeat_s * NS_PER_S)


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


FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ActuationState:
    """What is known of one machine after a step. Times are UTC ns of event time.

    Attributes:
        level: of the command in force. A machine begins stopped.
        event_ns: of the last step; None before the first.
        newest_capture_ns: of that step.
        episode_ns: when the episode began: an episode is from leaving level NONE to the return
            to it, or the time between two such.
        reasons: those that asked for ``level`` last.
        calm_since_ns: since when less has been asked for, in sight; None if not.
        calm_level: the most that was asked for since then.
        calm_reasons: those that asked for it.
        is_reset_down: whether the reset button was down at the last step.
        last_command: the newest command; None before the first.
    """

    level: CommandLevel = CommandLevel.STOP
    event_ns: int | None = None
    newest_capture_ns: int | None = None
    episode_ns: int | None = None
    reasons: tuple[Reason, ...] = ()
    calm_since_ns: int | None = None
    calm_level: CommandLevel = CommandLevel.NONE
    calm_reasons: tuple[Reason, ...] = ()
    is_reset_down: bool = False
    last_command: ActuatorCommand | None = None

    def as_mapping(self) -> dict[str, Any]:
        """JSON-ready mapping; NaN becomes null."""
        return {"format": FORMAT, **plain_fields(self)}

    @classmethod
    def from_mapping(cls, plain: Mapping[str, Any]) -> ActuationState:
        """Inverse of :meth:`as_mapping`.

        Raises:
            UsageError: if ``plain`` is no such mapping, or of another format.
        """
        try:
            if plain["format"] != FORMAT:
                raise ValueError(f"format {plain['format']}")
            return _state(plain)
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(
                expected=f"an actuation state of format {FORMAT}",
                got=f"{type(error).__name__}: {error}",
                where="actuation state, from_mapping",
                action="start from a new state: it is stopped",
            ) from error


def _state(plain: Mapping[str, Any]) -> ActuationState:
    command = plain["last_command"]
    return ActuationState(
        level=CommandLevel(plain["level"]),
        event_ns=_time(plain["event_ns"]),
        newest_capture_ns=_time(plain["newest_capture_ns"]),
        episode_ns=_time(plain["episode_ns"]),
        reasons=tuple(Reason.from_mapping(reason) for reason in plain["reasons"]),
        calm_since_ns=_time(plain["calm_since_ns"]),
        calm_level=CommandLevel(plain["calm_level"]),
        calm_reasons=tuple(Reason.from_mapping(reason) for reason in plain["calm_reasons"]),
        is_reset_down=bool(plain["is_reset_down"]),
        last_command=None if command is None else ActuatorCommand.from_mapping(command),
    )


def _time(value: Any) -> int | None:
    if value is not None and type(value) is not int:
        raise TypeError(f"{value!r} is no time in whole nanoseconds")
    return value


HOLDING = "HOLDING"
"""Less is asked for, but not yet for long enough. Value: for how long."""
WAITS_FOR_RESET = "WAITS_FOR_RESET"
"""Nothing is wrong any more, but nobody has pressed reset. Value: for how long."""


def advance(
    rule: ActuationRule, state: ActuationState, situation: Situation
) -> tuple[ActuationState, ActuatorCommand | None]:
    """Take one step.

    Rules, in this order:

    1. What is asked for is the most that any reason asks for, and STOP without sight: no
       picture, one older than ``max_age_s`` or from the future, no answer, or a command that ran
       out (see ``situation``).
    2. More than the level in force, or as much: that is the level, at once.
    3. Less: the calm begins; with STOP in force only if no more than ``restarts_at`` is asked
       for. It begins anew when more is asked for again, or when there was no sight between two
       steps (steps or pictures more than ``max_age_s`` apart). When it has lasted ``hold_s``, the
       level becomes the most that was asked for during the calm. From STOP with ``needs_reset``
       only in a step in which the reset button goes down after that.
    4. A command is issued at the first step, when the level changes, and when the last one is
       ``heartbeat_s`` old. Its id is a hash of (pipeline, machine, start of the episode); within
       an episode the revision counts up. While the hold lasts, its reasons are those that asked
       for the level last, followed by HOLDING or WAITS_FOR_RESET.

    A machine starts stopped, and is let go by rule 3.

    Returns:
        The new state, and the command to send, or None.

    Raises:
        UsageError: a step that is not later than the one before.
    """
    if state.event_ns is not None and situation.event_ns <= state.event_ns:
        raise UsageError(
            expected=f"a step after {state.event_ns}",
            got=str(situation.event_ns),
            where=f"interlock of machine {rule.machine}",
            action="give steps in order of event time",
        )
    last = state.last_command
    asked = demand(rule, situation, valid_until_ns=last.valid_until_ns if last else None)
    state = _with_calm(rule, state, situation, asked)
    level, waiting = _level(rule, state, situation, asked)

    was_none, is_none = state.level is CommandLevel.NONE, level is CommandLevel.NONE
    begins = state.episode_ns is None or was_none != is_none
    reasons = state.reasons
    if level.rank < state.level.rank:
        reasons = state.calm_reasons
        # Of what is asked for now this much is known; the way further down starts anew.
        state = _calm(state, situation, asked) if asked.level.rank < level.rank else _no_calm(state)
    elif asked.level is level:
        reasons = asked.reasons[: rule.max_reasons]
    now = replace(
        state,
        level=level,
        event_ns=situation.event_ns,
        newest_capture_ns=situation.newest_capture_ns,
        episode_ns=situation.event_ns if begins else state.episode_ns,
        reasons=reasons,
        calm_reasons=state.calm_reasons[: rule.max_reasons],
        is_reset_down=situation.is_reset_pressed,
    )
    is_changed = level is not state.level
    is_due = last is None or situation.event_ns - last.issued_ns >= rule.heartbeat_ns
    if not (is_due or is_changed):
        return now, None
    command = _command(rule, now, situation, waiting)
    return replace(now, last_command=command), command


def command_id(*, pipeline: str, machine: str, episode_ns: int) -> str:
    """Deterministic id of an episode's commands: 32 hex digits.

    >>> command_id(pipeline="p", machine="saw", episode_ns=0)[:8]
    '38c12bdf'
    """
    parts = json.dumps(["command", pipeline, machine, episode_ns], separators=(",", ":"))
    return hashlib.blake2b(parts.encode(), digest_size=16).hexdigest()


def _with_calm(
    rule: ActuationRule, state: ActuationState, situation: Situation, asked: Demand
) -> ActuationState:
    """The state with its calm brought up to this step."""
    is_stopped = state.level is CommandLevel.STOP
    calm_rank = rule.restarts_at.rank if is_stopped else state.level.rank - 1
    # Whatever may have happened unseen ends a calm as surely as what was seen.
    before_ns = state.calm_since_ns if _was_in_sight(rule, state, situation) else None
    since_ns = so_since(before_ns, asked.level.rank <= calm_rank, situation.event_ns)
    if since_ns is None:
        return _no_calm(state)
    if before_ns is None:
        return _calm(state, situation, asked)
    if asked.level.rank >= state.calm_level.rank:
        return replace(state, calm_level=asked.level, calm_reasons=asked.reasons)
    return state


def _no_calm(state: ActuationState) -> ActuationState:
    return replace(state, calm_since_ns=None, calm_level=CommandLevel.NONE, calm_reasons=())


def _calm(state: ActuationState, situation: Situation, asked: Demand) -> ActuationState:
    """A calm that begins now."""
    return replace(
        state,
        calm_since_ns=situation.event_ns,
        calm_level=asked.level,
        calm_reasons=asked.reasons,
    )


def _was_in_sight(rule: ActuationRule, state: ActuationState, situation: Situation) -> bool:
    """Whether nothing can have happened unseen since the last step."""
    if state.event_ns is None or state.newest_capture_ns is None:
        return False
    if situation.newest_capture_ns is None:
        return False
    return (
        situation.event_ns - state.event_ns <= rule.max_age_ns
        and situation.newest_capture_ns - state.newest_capture_ns <= rule.max_age_ns
    )


def _level(
    rule: ActuationRule, state: ActuationState, situation: Situation, asked: Demand
) -> tuple[CommandLevel, tuple[Reason, ...]]:
    """The level after this step, and what it still waits for."""
    if asked.level.rank >= state.level.rank:
        return asked.level, ()
    if state.calm_since_ns is None:
        return state.level, (_waiting(rule, HOLDING, 0.0),)
    calm_s = (situation.event_ns - state.calm_since_ns) / NS_PER_S
    if situation.event_ns - state.calm_since_ns < rule.hold_ns:
        return state.level, (_waiting(rule, HOLDING, calm_s),)
    is_pressed_now = situation.is_reset_pressed and not state.is_reset_down
    if rule.needs_reset and state.level is CommandLevel.STOP and not is_pressed_now:
        return state.level, (_waiting(rule, WAITS_FOR_RESET, calm_s),)
    return state.calm_level, ()


def _waiting(rule: ActuationRule, code: str, calm_s: float) -> Reason:
    return Reason(
        code=code,
        measure="calm",
        value=calm_s,
        threshold=rule.hold_s,
        unit="s",
        version=rule.version,
    )


def _command(
    rule: ActuationRule, state: ActuationState, situation: Situation, waiting: tuple[Reason, ...]
) -> ActuatorCommand:
    assert state.episode_ns is not None
    identity = command_id(pipeline=rule.pipeline, machine=rule.machine, episode_ns=state.episode_ns)
    last = state.last_command
    revision = last.revision + 1 if last is not None and last.command_id == identity else 0
    return ActuatorCommand(
        command_id=identity,
        machine=rule.machine,
        level=state.level,
        issued_ns=situation.event_ns,
        valid_until_ns=situation.event_ns + rule.valid_ns,
        revision=revision,
        reasons=state.reasons + waiting,
        mode=situation.mode,
    )
