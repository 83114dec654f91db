"""Running counts of where the rows of a partition went."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import polars as pl

from sightline.records import Accounts

SUPERSEDED = "SUPERSEDED"
"""Cause of a DROP entry that means: a newer frame took its place."""


class RowCounts:
    """Counts in source rows; rows that are still held are counted by who holds them."""

    def __init__(self) -> None:
        self.received = 0
        self.decided = 0
        self.superseded = 0
        self._dropped: Counter[str] = Counter()
        self._quarantined: Counter[str] = Counter()

    def refuse(self, refused: pl.DataFrame) -> None:
        """Count rows in the quarantine layout by their reason."""
        if refused.height:
            counts = refused["reason"].value_counts()
            self._quarantined.update(
                dict(zip(counts["reason"].to_list(), counts["count"].to_list(), strict=True))
            )

    def refused(self, reason: str, rows: int) -> None:
        """Count rows that were refused for one reason."""
        if rows:
            self._quarantined[reason] += rows

    def drop(self, cause: str, rows: int) -> None:
        """Count rows that were lost or superseded before any decision."""
        if cause == SUPERSEDED:
            self.superseded += rows
        elif rows:
            self._dropped[cause] += rows

    def accounts(self, *, in_flight: int) -> Accounts:
        """As an immutable record."""
        return Accounts(
            received=self.received,
            decided=self.decided,
            superseded=self.superseded,
            dropped=dict(sorted(self._dropped.items())),
            quarantined=dict(sorted(self._quarantined.items())),
            in_flight=in_flight,
        )

    def snapshot(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "received": self.received,
            "decided": self.decided,
            "superseded": self.superseded,
            "dropped": dict(self._dropped),
            "quarantined": dict(self._quarantined),
        }

    def restore(self, plain: Mapping[str, Any]) -> None:
        """Inverse of :meth:`snapshot`."""
        self.received = plain["received"]
        self.decided = plain["decided"]
        self.superseded = plain["superseded"]
        self._dropped = Counter(plain["dropped"])
        self._quarantined = Counter(plain["quarantined"])
