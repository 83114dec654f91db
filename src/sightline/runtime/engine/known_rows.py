"""Rows that come a second time: which of them a partition has in its log.

Partitions commit one after the other, so after a crash some know more of a stream than others. It
is read again from the least position of all, and each passes over what it knows. A row is
known by its number in its stream, which is the same whenever it is given.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from sightline.records.signals import ORIGIN, ROW
from sightline.sense.source import Position


class KnownRows:
    """What partitions had when a run was opened, until all that was read again is past.

    Args:
        positions: by partition, source and stream; a row with a lower number is known.
        partitions: how many there are; one that has nothing knows nothing.

    >>> at = {0: {"t": {"S": 5}}, 1: {"t": {"S": 3}}}
    >>> known = KnownRows(at, 2)
    >>> known.by_all()
    {'t': {'S': 3}}
    >>> rows = pl.DataFrame({"_origin": ["S"] * 3, "_row": [3, 4, 5]})
    >>> [known.without(p, "t", rows)["_row"].to_list() for p in (0, 1)]
    [[5], [3, 4, 5]]
    >>> known.reached({"t": {"S": 6}})
    >>> known.without(0, "t", rows).height
    3
    """

    def __init__(
        self, positions: Mapping[int, Mapping[str, Mapping[str, Position]]], partitions: int
    ) -> None:
        self._known: dict[str, dict[str, list[int]]] = {}
        for partition, sources in positions.items():
            for source, streams in sources.items():
                for origin, position in streams.items():
                    if isinstance(position, int):
                        of_all = self._known.setdefault(source, {})
                        of_all.setdefault(origin, [0] * partitions)[partition] = position

    def by_all(self) -> dict[str, dict[str, int]]:
        """By source and stream, the position that every partition has reached."""
        return {
            source: {origin: min(known) for origin, known in streams.items()}
            for source, streams in self._known.items()
        }

    def without(self, partition: int, source: str, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows that a partition does not know yet; all of them once nothing is read again."""
        streams = self._known.get(source)
        if not streams:
            return rows
        known = pl.col(ORIGIN).replace_strict(
            {origin: at[partition] for origin, at in streams.items()},
            default=0,
            return_dtype=pl.Int64,
        )
        return rows.filter(pl.col(ROW) >= known)

    def reached(self, positions: Mapping[str, Mapping[str, Position]]) -> None:
        """Streams were fed up to here: what every partition knew of them is past."""
        for source, streams in positions.items():
            known = self._known.get(source, {})
            for origin, position in streams.items():
                if isinstance(position, int) and position >= max(known.get(origin, [0])):
                    known.pop(origin, None)
