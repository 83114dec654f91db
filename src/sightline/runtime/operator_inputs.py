"""What operators tell a run: planned contacts and masks, as state that replays.

Acknowledgement and shelving are logged too; they change no decision. What is shelved is decided
and kept in the outbox, and told to nobody.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sightline.assess import ContactPlan
from sightline.assess.silence import EVERYONE
from sightline.decide import Mask, unmasked
from sightline.errors import LogError, UsageError
from sightline.records import Decision
from sightline.sense import Contract


class OperatorInputs:
    """Contacts by source, beginning with those of the contracts, and masks."""

    def __init__(self, contracts: Mapping[str, Contract]) -> None:
        self._contacts = {
            name: [(c.key, c.start_ns, c.end_ns) for c in contract.contacts]
            for name, contract in contracts.items()
        }
        self._masks: list[Mask] = []

    def apply(self, payload: bytes) -> None:
        """Apply the payload of a CONTROL entry.

        Raises:
            LogError: if it is none.
        """
        try:
            plain = json.loads(payload)
            match plain["control"]:
                case "contacts":
                    self._contacts[plain["source"]] = [
                        (str(c["key"]), int(c["start_ns"]), int(c["end_ns"]))
                        for c in plain["contacts"]
                    ]
                case "mask":
                    self._masks.append(Mask.from_mapping(plain))
                case "shelve":
                    Mask.from_mapping(plain)
        except (ValueError, KeyError, TypeError) as error:
            raise LogError(
                expected="an operator input",
                got=payload[:80].decode(errors="replace"),
                where="log entry of kind control",
                action="mend the operator input and start the run again",
            ) from error

    @classmethod
    def check(
        cls, contracts: Mapping[str, Contract], controls: Sequence[Mapping[str, Any]]
    ) -> None:
        """Raise UsageError unless every control can be applied."""
        for control in controls:
            try:
                cls(contracts).apply(json.dumps(dict(control)).encode())
            except LogError as error:
                raise UsageError(
                    expected=error.expected,
                    got=error.got,
                    where="operator inputs",
                    action="mend the operator input",
                ) from error

    def plans(
        self, source: str, names: Sequence[str]
    ) -> tuple[dict[int, ContactPlan], ContactPlan | None]:
        """Contact plans by position in ``names``, and that of all others (None: always)."""
        contacts = self._contacts[source]
        if not contacts:
            return {}, None
        everyone = [(start, end) for key, start, end in contacts if key == EVERYONE]
        by_key: dict[str, list[tuple[int, int]]] = {}
        for key, start, end in contacts:
            if key != EVERYONE:
                by_key.setdefault(key, []).append((start, end))
        plans = {
            i: ContactPlan.of([*by_key[name], *everyone])
            for i, name in enumerate(names)
            if name in by_key
        }
        return plans, ContactPlan.of(everyone) if everyone else None

    def visible(self, decisions: Sequence[Decision]) -> list[Decision]:
        """The decisions that no mask hides."""
        return unmasked(decisions, self._masks)

    def snapshot(self) -> dict[str, Any]:
        """JSON-ready."""
        return {"contacts": self._contacts, "masks": [m.as_mapping() for m in self._masks]}

    def restore(self, plain: Mapping[str, Any]) -> None:
        """Inverse of :meth:`snapshot`."""
        self._contacts = {n: [(k, s, e) for k, s, e in cs] for n, cs in plain["contacts"].items()}
        self._masks = [Mask.from_mapping(m) for m in plain["masks"]]
