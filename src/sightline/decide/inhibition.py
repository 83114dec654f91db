"""Inhibition: a wider decision explains, and therefore silences, the narrower ones.

When a whole region goes silent, one decision about the region is worth more than one per
satellite. A narrower episode is inhibited when an episode of a wider kind in the same group is
raised no later than ``hold_ns`` after it and is not over before it. Because the wider verdict may
come later than the narrower candidate, the candidate is held for ``hold_ns`` of event time; the
hold counts in the latency budget.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sightline.records import Decision, Transition


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
        return self.raised.event_ns if self.raised else -(1 << 62)

    @property
    def end_ns(self) -> int:
        """When it was cleared; long after everything while it lasts."""
        return self.cleared.event_ns if self.cleared else 1 << 62


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


def released(
    rule: InhibitionRule,
    candidates: Sequence[Episode],
    wider: Mapping[str, Sequence[Episode]],
    *,
    group: str,
    now_ns: int,
) -> list[Decision]:
    """The decisions of ``candidates`` (one subject) that may be published at ``now_ns``.

    A candidate whose hold has not passed is not released yet; one that is inhibited never is.

    Args:
        rule: the rule of the candidates' kind.
        candidates: episodes of one subject.
        wider: episodes of the inhibiting kinds, by group, all kinds of ``rule`` together.
        group: the group of the subject.
        now_ns: time up to which all verdicts are known.
    """
    said: list[Decision] = []
    for candidate in candidates:
        if candidate.raised is not None and candidate.start_ns + rule.hold_ns > now_ns:
            continue
        if any(
            w.start_ns <= candidate.start_ns + rule.hold_ns and w.end_ns > candidate.start_ns
            for w in wider.get(group, ())
        ):
            continue
        said.extend(d for d in (candidate.raised, candidate.cleared) if d is not None)
    return said
