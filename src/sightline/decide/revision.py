"""Revisions: what has been said, and what must be said when the evidence changes.

Deciding again over changed windows gives a new list of decisions. Compared with what was issued
for the same subject and stretch of time, each decision is new, unchanged, revised or retracted.
Nothing changes silently: a retraction is a decision too, with the same id and a higher revision.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sightline.records import Decision
from sightline.records.decision import Status, Transition


class IssuedDecisions:
    """Decisions that may still be revised, by (kind, subject).

    The last revision of each id is kept, retracted ones included, so that a decision which comes
    back continues its own revision numbers.
    """

    def __init__(self) -> None:
        self._by_subject: dict[tuple[str, str], dict[str, Decision]] = {}

    def __len__(self) -> int:
        return sum(len(known) for known in self._by_subject.values())

    def subjects(self, kind: str) -> frozenset[str]:
        """Subjects with revisable decisions of ``kind``."""
        return frozenset(s for k, s in self._by_subject if k == kind)

    def reconcile(
        self,
        kind: str,
        subject: str,
        now: Sequence[Decision],
        *,
        from_ns: int,
        settled_ns: int = -(1 << 62),
    ) -> list[Decision]:
        """Say what changed, and remember it.

        Args:
            kind: kind of the decisions.
            subject: subject of the decisions.
            now: what follows from the evidence, for events at or after ``from_ns``.
            from_ns: events before this were not looked at again and stand.
            settled_ns: events at or before this were settled, and perhaps forgotten, before this
                look: what is not known of them was said long ago.

        Returns:
            The revisions to publish, in order of event time.
        """
        known = self._by_subject.get((kind, subject), {})
        said: list[Decision] = []
        present = {decision.decision_id for decision in now}
        for decision in known.values():
            gone = decision.decision_id not in present and decision.event_ns >= from_ns
            if gone and decision.status is not Status.RETRACTED:
                said.append(
                    decision.revised(revision=decision.revision + 1, status=Status.RETRACTED)
                )
        for decision in now:
            before = known.get(decision.decision_id)
            if before is None and decision.event_ns <= settled_ns:
                continue
            if before is None:
                said.append(decision.revised(revision=0, status=Status.ISSUED))
            elif (
                before.status is Status.RETRACTED
                or before.content_bytes() != decision.content_bytes()
            ):
                said.append(decision.revised(revision=before.revision + 1, status=Status.REVISED))
        if said:
            store = self._by_subject.setdefault((kind, subject), {})
            for decision in said:
                store[decision.decision_id] = decision
        return sorted(said, key=lambda d: (d.event_ns, d.decision_id))

    def settle(self, settled_ns: Mapping[tuple[str, str], int]) -> None:
        """Forget decisions whose events are at or before the settled time of their subject.

        A raised state that lasts is remembered, however old: its end will refer to it.

        Args:
            settled_ns: by (kind, subject); subjects that are missing stay as they are.
        """
        for identity, until_ns in settled_ns.items():
            known = self._by_subject.get(identity)
            if known is None:
                continue
            standing = [d for d in known.values() if d.status is not Status.RETRACTED]
            last = max(standing, key=lambda d: d.event_ns, default=None)
            kept = {
                i: d
                for i, d in known.items()
                if d.event_ns > until_ns or (d is last and d.transition is Transition.RAISED)
            }
            if kept:
                self._by_subject[identity] = kept
            else:
                del self._by_subject[identity]

    def identities(self) -> list[tuple[str, str]]:
        """All (kind, subject) pairs with revisable decisions."""
        return list(self._by_subject)

    def snapshot(self) -> list[dict[str, Any]]:
        """JSON-ready list that :meth:`restore` takes back."""
        return [
            decision.as_mapping()
            for _, known in sorted(self._by_subject.items())
            for decision in known.values()
        ]

    def restore(self, plain: Iterable[Mapping[str, Any]]) -> None:
        """Inverse of :meth:`snapshot`."""
        self._by_subject = {}
        for item in plain:
            decision = Decision.from_mapping(item)
            store = self._by_subject.setdefault((decision.kind, decision.subject), {})
            store[decision.decision_id] = decision
