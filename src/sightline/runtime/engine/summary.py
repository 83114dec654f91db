"""Summaries: what a key partition tells the fan-in partition, once per epoch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sightline.errors import LogError
from sightline.records import Decision


@dataclass(frozen=True, slots=True, kw_only=True)
class PresenceSummary:
    """When the groups of one partition had data; slots as in the presence stage ``chain``.

    All tuples have one element per (group, slot). Offsets count from the slot's start.
    """

    chain: str
    groups: tuple[str, ...]
    window: tuple[int, ...]
    first_offset_ns: tuple[int, ...]
    last_offset_ns: tuple[int, ...]


KnownKey = tuple[str, str, str]
"""Source, key and group of a key that was heard of for the first time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """One epoch of one key partition.

    Attributes:
        partition: who says it.
        epoch: number of the epoch.
        tick_ns: the tick that ended it.
        is_final: whether the stream has ended.
        presence: group presence that changed.
        candidates: revisions of decisions that wider ones may inhibit, or that may inhibit; with
            an alert desk revisions of all decisions.
        new_keys: keys that were heard of for the first time, for an alert desk.
        reports: by stage over all keys, what its half here reports, JSON-ready.
    """

    partition: int
    epoch: int
    tick_ns: int
    is_final: bool
    presence: tuple[PresenceSummary, ...]
    candidates: tuple[Decision, ...]
    new_keys: tuple[KnownKey, ...] = ()
    reports: Mapping[str, Any] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """JSON, UTF-8."""
        plain: dict[str, Any] = {
            "partition": self.partition,
            "epoch": self.epoch,
            "tick_ns": self.tick_ns,
            "final": self.is_final,
            "presence": [
                [p.chain, p.groups, p.window, p.first_offset_ns, p.last_offset_ns]
                for p in self.presence
            ],
            "candidates": [d.as_mapping() for d in self.candidates],
        }
        if self.new_keys:
            plain["new_keys"] = self.new_keys
        if self.reports:
            plain["reports"] = self.reports
        return json.dumps(plain, separators=(",", ":"), ensure_ascii=False).encode()

    @classmethod
    def from_bytes(cls, payload: bytes) -> Summary:
        """Inverse of :meth:`to_bytes`.

        Raises:
            LogError: if the payload is not a summary.
        """
        try:
            plain = json.loads(payload)
            return cls(
                partition=plain["partition"],
                epoch=plain["epoch"],
                tick_ns=plain["tick_ns"],
                is_final=plain["final"],
                presence=tuple(
                    PresenceSummary(
                        chain=p[0],
                        groups=tuple(p[1]),
                        window=tuple(p[2]),
                        first_offset_ns=tuple(p[3]),
                        last_offset_ns=tuple(p[4]),
                    )
                    for p in plain["presence"]
                ),
                candidates=tuple(Decision.from_mapping(d) for d in plain["candidates"]),
                new_keys=tuple((k[0], k[1], k[2]) for k in plain.get("new_keys", ())),
                reports=plain.get("reports", {}),
            )
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise LogError(
                expected="a summary of one epoch",
                got=f"{len(payload)} bytes that cannot be read ({error})",
                where="log entry of kind summary",
                action="run `sightline verify` on the run",
            ) from error
