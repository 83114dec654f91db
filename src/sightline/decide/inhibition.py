"""Inhibition: a wider decision explains, and therefore silences, the narrower ones.

When a whole region goes silent, one decision about the region is worth more than one per
satellite. A narrower episode is inhibited when an episode of a wider kind in the same group is
raised no later than ``hold_ns`` after it, is not over before it, and outlasts it but for
``hold_ns``: a satellite that stays silent after its region has come back is news again. Because
the wider verdict may come later than the narrower candidate, the candidate is held for ``hold_ns``
of event time; the hold counts in the latency budget.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sightline.records import Decision
from sightline.records.decision import Transition

_LASTS_NS = (1 << 63) - 1  # after all data


@dataclass(frozen=True, slots=True, kw_only=True)
class InhibitionRule:
    """Which kinds silence ``kind``, and how long to wait for their verdict."""

    kind: str
    inhibited_by: tuple[str, ...]
    hold_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """A raised state of one subject: its decisions, and when it was over."""

    raised: Decision | None
    cleared: Decision | None

    @property
    def start_ns(self) -> int:
        """When it was raised; long before everything if that is no longer known."""
        return self.raised.event_ns if self.raised else -_LASTS_NS

    @property
    def end_ns(self) -> int:
        """When it was cleared; long after everything while it lasts."""
        return self.cleared.event_ns if self.cleared else _LASTS_NS


def episodes(transitions: Sequence[Decision]) -> list[Episode]:
    """Pair the alternating transitions of one subject into episodes, in order of time."""
    found: list[Episode] = []
    opened: Decision | None = None
    for decision in sorted(transitions, key=lambda d: d.event_ns):
        if decision.transition is Transition.RAISED:
            opened = decision
        else:
            found.append(Episode(raised=opened, cleared=decision))
            opened = None
    if opened is not None:
        found.append(Episode(raised=opened, cleared=None))
    return found


def is_inhibited(
    rule: InhibitionRule, candidate: Episode, wider: Sequence[Episode], *, now_ns: int
) -> bool:
    """Whether some episode of ``wider`` explains ``candidate``, as far as known at ``now_ns``."""
    # Of a candidate that lasts nothing is known but that it has lasted until now.
    end_ns = min(candidate.end_ns, now_ns)
    return any(
        w.start_ns <= candidate.start_ns + rule.hold_ns
        and w.end_ns > candidate.start_ns
        and end_ns <= w.end_ns + rule.hold_ns
        for w in wider
    )


def released(
    rule: InhibitionRule,
    candidates: Sequence[Episode],
    wider: Sequence[Episode],
    *,
    now_ns: int,
) -> tuple[list[Decision], bool]:
    """The decisions of ``candidates`` (one subject) that may be published at ``now_ns``.

    Args:
        rule: the rule of the candidates' kind.
        candidates: episodes of one subject.
        wider: episodes of the inhibiting kinds in the subject's group.
        now_ns: time up to which all verdicts are known.

    Returns:
        The decisions, and whether any candidate waits: for its hold to pass, or because it lasts
        and is inhibited.
    """
    said: list[Decision] = []
    waits = False
    for candidate in candidates:
        if candidate.raised is not None and candidate.start_ns + rule.hold_ns > now_ns:
            waits = True
        elif is_inhibited(rule, candidate, wider, now_ns=now_ns):
            waits = waits or candidate.cleared is None
        else:
            said.extend(d for d in (candidate.raised, candidate.cleared) if d is not None)
    return said, waits
