"""That the machine's clock was set during a live run, as decisions.

The shell logs what it saw (:class:`.ClockReports`), and the core decides: a jump raises
``clock-set``; it is cleared when the run's clock and the machine's agree again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from sightline.decide.standing import Condition, StandingConditions
from sightline.records import Decision
from sightline.records.decision import Mode, Reason, Severity

JUMP_S = 1.0
"""A wall clock that differs by more from one look to the next, in s, was set."""
CLOCK_SET = "clock-set"
"""Kind of the decisions; no stage can be called so."""
CLOCK_SET_BACK, CLOCK_SET_FORWARD = "CLOCK_SET_BACK", "CLOCK_SET_FORWARD"
"""Codes of the reason; its value is the jump in s."""
CLOCK_MEANINGS: Mapping[str, str] = MappingProxyType(
    {
        CLOCK_SET_BACK: "the machine's clock was set back; the run goes on at its own pace, "
        "ahead of it, until it has caught up",
        CLOCK_SET_FORWARD: "the machine's clock was set forward; the run goes on from there",
    }
)
"""What the codes mean, one sentence each."""
_SUBJECT = "clock"


class ClockWatch:
    """Decides on the clock, in the core of the first partition.

    Args:
        pipeline: digest of the pipeline.

    >>> watch = ClockWatch("p")
    >>> [(d.transition.value, d.score) for d in watch.take(b'{"at_ns": 9, "jump_s": -3600.0}')]
    [('raised', -3600.0)]
    >>> [d.transition.value for d in watch.take(b'{"at_ns": 20, "jump_s": 0.0}')]
    ['cleared']
    """

    def __init__(self, pipeline: str) -> None:
        self._standing = StandingConditions(pipeline, clear_ns=0)
        self._at_ns = -1

    def take(self, payload: bytes) -> list[Decision]:
        """The decisions that an entry of kind ``clock`` makes."""
        plain: Mapping[str, Any] = json.loads(payload)
        jump_s = float(plain["jump_s"])
        # A run that goes on after its clock was set back may begin before it ended.
        self._at_ns = max(int(plain["at_ns"]), self._at_ns + 1)
        said = self._standing.update(_SUBJECT, self._at_ns, [], mode=Mode.PRIMARY)
        if jump_s:
            said += self._standing.update(
                _SUBJECT, self._at_ns, [_condition(jump_s)], mode=Mode.PRIMARY
            )
        return said

    def snapshot(self) -> dict[str, Any]:
        """JSON-ready state."""
        return {"at_ns": self._at_ns, "standing": self._standing.snapshot()}

    def restore(self, plain: Mapping[str, Any]) -> None:
        """Inverse of :meth:`snapshot`."""
        self._at_ns = plain["at_ns"]
        self._standing.restore(plain["standing"])


def _condition(jump_s: float) -> Condition:
    return Condition(
        kind=CLOCK_SET,
        subject=_SUBJECT,
        group="",
        severity=Severity.WARNING,
        reason=Reason(
            code=CLOCK_SET_FORWARD if jump_s > 0 else CLOCK_SET_BACK,
            measure="jump",
            value=jump_s,
            threshold=JUMP_S if jump_s > 0 else -JUMP_S,
            unit="s",
            version="clock@1",
        ),
    )
