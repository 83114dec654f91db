"""Revisions: compares what was decided with what follows from the data as it is now.

Deciding again over changed windows gives a new list of decisions. Compared with what was issued
for the same subject and stretch of time, each decision is new, unchanged, revised or retracted.
Nothing changes silently: a retraction is a decision too, with the same id and a higher revision.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sightline.limits import DEFAULT_LIMITS
from sightline.records import Decision
from sightline.records.decision import Status, Transition


class IssuedDecisions:
    """Decisions that may still be revised, by (kind, subject).

    The last revision of each id is kept, retracted ones included, so that a decision which comes
    back continues its own revision numbers.

    Beyond ``most`` the oldest become final: what was said of them stands, and late data can revise
    them no more, nor add to the time before them. Raised states that last are the last to go,
    because their end refers to them. To be cheap this takes a tenth of ``most`` more than it must.

    Args:
        most: decisions held.

    Attributes:
        made_final: decisions that became final because there was no room.

    >>> IssuedDecisions(most=10).made_final
    0
    """

    def __init__(self, *, most: int = DEFAULT_LIMITS.max_open_decisions) -> None:
        self._most = most
        self._by_subject: dict[tuple[str, str], dict[str, Decision]] = {}
        self._count = 0
        # Newest event that was made final, by (kind, subject): what is not known up to there is
        # not new.
        self._final_ns: dict[tuple[str, str], int] = {}
        self.made_final = 0

    def __len__(self) -> int:
        return self._count

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
        settled_ns = max(settled_ns, self._final_ns.get((kind, subject), settled_ns))
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
            before_count = len(store)
            for decision in said:
                store[decision.decision_id] = decision
            self._count += len(store) - before_count
            if self._count > self._most:
                self._make_oldest_final()
        return sorted(said, key=lambda d: (d.event_ns, d.decision_id))

    def settle(self, settled_ns: Mapping[tuple[str, str], int]) -> None:
        """Forget decisions whose events are at or before the settled time of their subject.

        A raised state that lasts is remembered, however old: its end will refer to it.

        Args:
            settled_ns: by (kind, subject); subjects that are missing stay as they are.
        """
        for identity, until_ns in settled_ns.items():
            if identity in self._final_ns and self._final_ns[identity] <= until_ns:
                del self._final_ns[identity]
            known = self._by_subject.get(identity)
            if known is None:
                continue
            lasting = _lasting(known)
            kept = {i: d for i, d in known.items() if d.event_ns > until_ns or d is lasting}
            self._keep(identity, kept)

    def _make_oldest_final(self) -> None:
        """Forget the oldest, so that there is room again."""
        open_ones = [
            (d is lasting, d.event_ns, identity, d.decision_id)
            for identity, known in self._by_subject.items()
            for lasting in (_lasting(known),)
            for d in known.values()
        ]
        going = sorted(open_ones)[: self._count - self._most + self._most // 10]
        ids: dict[tuple[str, str], set[str]] = {}
        for _, event_ns, identity, decision_id in going:
            ids.setdefault(identity, set()).add(decision_id)
            self._final_ns[identity] = max(event_ns, self._final_ns.get(identity, event_ns))
        for identity, gone in ids.items():
            known = self._by_subject[identity]
            self._keep(identity, {i: d for i, d in known.items() if i not in gone})
        self.made_final += len(going)

    def _keep(self, identity: tuple[str, str], kept: dict[str, Decision]) -> None:
        self._count += len(kept) - len(self._by_subject[identity])
        if kept:
            self._by_subject[identity] = kept
        else:
            del self._by_subject[identity]

    def identities(self) -> list[tuple[str, str]]:
        """All (kind, subject) pairs with revisable decisions."""
        return list(self._by_subject)

    def snapshot(self) -> dict[str, Any]:
        """JSON-ready mapping that :meth:`restore` takes back."""
        return {
            "decisions": [
                decision.as_mapping()
                for _, known in sorted(self._by_subject.items())
                for decision in known.values()
            ],
            "final": [[*identity, ns] for identity, ns in sorted(self._final_ns.items())],
            "made_final": self.made_final,
        }

    def restore(self, plain: Mapping[str, Any]) -> None:
        """Inverse of :meth:`snapshot`."""
        self._by_subject = {}
        for item in plain["decisions"]:
            decision = Decision.from_mapping(item)
            store = self._by_subject.setdefault((decision.kind, decision.subject), {})
            store[decision.decision_id] = decision
        self._count = sum(len(known) for known in self._by_subject.values())
        self._final_ns = {(kind, subject): ns for kind, subject, ns in plain["final"]}
        self.made_final = int(plain["made_final"])


def _lasting(known: Mapping[str, Decision]) -> Decision | None:
    """The raised state of a subject that lasts; None if it does not."""
    standing = [d for d in known.values() if d.status is not Status.RETRACTED]
    last = max(standing, key=lambda d: d.event_ns, default=None)
    return last if last is not None and last.transition is Transition.RAISED else None
