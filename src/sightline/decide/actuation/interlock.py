"""The interlock of one machine: commands go up at once, and down only after a proven calm.

A pure function of (rule, state, situation). Time is the event time of the situation; nothing
reads a clock.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

from sightline.decide.actuation.rule import ActuationRule
from sightline.decide.actuation.situation import Demand, Situation, demand
from sightline.decide.actuation.state import ActuationState
from sightline.errors import UsageError
from sightline.records.command import ActuatorCommand, CommandLevel
from sightline.records.decision import Reason
from sightline.records.signals import NS_PER_S

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
    if asked.level.rank > calm_rank:
        return _no_calm(state)
    if state.calm_since_ns is None or not _was_in_sight(rule, state, situation):
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
