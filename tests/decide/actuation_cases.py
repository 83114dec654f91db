"""Situations of a saw that is watched ten times a second."""

from sightline.decide.actuation import ActuationRule, ActuationState, Situation, advance
from sightline.records.command import CommandLevel
from sightline.records.decision import Reason

S = 1_000_000_000
STEP_NS = S // 10
NONE, WARN, SLOW, STOP = CommandLevel
CODE_OF = {WARN: "NEAR", SLOW: "APPROACHING", STOP: "TOO_CLOSE"}
LEVEL_OF = {code: level for level, code in CODE_OF.items()}


def rule(**changes):
    return ActuationRule(**{"pipeline": "p", "machine": "saw", "level_of": LEVEL_OF} | changes)


def reason(code, value=1.0):
    return Reason(code=code, measure="m", value=value, threshold=1.0, unit="1", version="v")


def asks(level):
    """The reasons that ask for a level."""
    return () if level is NONE else (reason(CODE_OF[level]),)


def situation(step, level=NONE, **changes):
    """Step number ``step``, in sight, in which so much is asked for."""
    now_ns = (step + 1) * STEP_NS
    plain = {"event_ns": now_ns, "newest_capture_ns": now_ns, "reasons": asks(level)}
    return Situation(**plain | changes)


def driven(situations, *, state=None, by=None):
    """The state after all, and (level in force, command) of each step."""
    state, by = state or ActuationState(), by or rule()
    steps = []
    for one in situations:
        state, command = advance(by, state, one)
        steps.append((state.level, command))
    return state, steps


def running(by=None):
    """A machine that was let go: its state, and the number of the next step."""
    state, _ = driven([situation(i) for i in range(30)], by=by)
    assert state.level is NONE
    return state, 30
