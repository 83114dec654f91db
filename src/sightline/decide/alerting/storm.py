"""Storms: above a rate of messages they become one digest.

An operator can take in about one alarm in ten minutes as a matter of course; more than ten in ten
minutes is a flood, and it lasts until fewer than five come in ten (ANSI/ISA-18.2-2016 and IEC
62682:2014, performance metrics; EEMUA 191, 3rd ed., 2013). The two rates are the hysteresis.

What counts is what *would* have been said, so that the digest itself does not end the storm.
"""

from __future__ import annotations

from dataclasses import dataclass

from sightline.errors import UsageError

MINUTE_NS = 60_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class StormRule:
    """When there is a storm.

    Attributes:
        window_ns: the time that is looked back.
        max_messages: in it, beyond which there is a storm, 1 or more.
        calm_below: in it, under which it is over, 1 to ``max_messages``.
        digest_every_ns: time between two digests in a storm.

    Raises:
        UsageError: a number out of its range.
    """

    window_ns: int = 10 * MINUTE_NS
    max_messages: int = 10
    calm_below: int = 5
    digest_every_ns: int = 5 * MINUTE_NS

    def __post_init__(self) -> None:
        if (
            not (1 <= self.calm_below <= self.max_messages)
            or min(self.window_ns, self.digest_every_ns) < 1
        ):
            raise UsageError(
                expected="1 <= calm_below <= max_messages, times above 0",
                got=f"{self}",
                where="storm rule",
                action="10 and 5 in 10 minutes are the standard's",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class StormState:
    """What was offered lately.

    Attributes:
        offered_ns: times of the newest offers, oldest first, ``max_messages`` at most.
        is_storm: whether messages go into the digest.
        digest_ns: when the last digest of this storm was said; None before the first.
    """

    offered_ns: tuple[int, ...] = ()
    is_storm: bool = False
    digest_ns: int | None = None


def offer(rule: StormRule, state: StormState, at_ns: int) -> StormState:
    """One more message wants to be said; it may be if the state after it is no storm.

    >>> rule, state = StormRule(max_messages=2, calm_below=1), StormState()
    >>> for at_ns in (0, 1, 2):
    ...     state = offer(rule, state, at_ns)
    ...     print(state.is_storm)
    False
    False
    True
    """
    recent = tuple(t for t in state.offered_ns if t > at_ns - rule.window_ns)
    is_storm = state.is_storm or len(recent) >= rule.max_messages
    return StormState(
        offered_ns=(*recent, at_ns)[-rule.max_messages :],
        is_storm=is_storm,
        digest_ns=state.digest_ns if state.is_storm else None,
    )


def settle(rule: StormRule, state: StormState, at_ns: int) -> StormState:
    """What is left of it at ``at_ns``: a storm ends when its rate has fallen far enough."""
    recent = tuple(t for t in state.offered_ns if t > at_ns - rule.window_ns)
    is_storm = state.is_storm and len(recent) >= rule.calm_below
    return StormState(
        offered_ns=recent, is_storm=is_storm, digest_ns=state.digest_ns if is_storm else None
    )


def is_digest_due(rule: StormRule, state: StormState, at_ns: int) -> bool:
    """Whether a digest may be said: the first of a storm at once, further ones at intervals."""
    return state.digest_ns is None or at_ns >= state.digest_ns + rule.digest_every_ns
