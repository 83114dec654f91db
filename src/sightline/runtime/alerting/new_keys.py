"""Keys that a partition has heard of for the first time: the fan-in counts who may alert."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sightline.perceive.row_store import Rows
from sightline.runtime.engine.stream import StreamState
from sightline.runtime.engine.summary import KnownKey


class NewKeys:
    """Keys not told of yet, and keys whose rows were all refused so far.

    Args:
        streams: by source; each key is told once, with the group of its first row.
    """

    def __init__(self, streams: Mapping[str, StreamState]) -> None:
        self._streams = streams
        self._known = dict.fromkeys(streams, 0)
        self._unheard: dict[str, set[int]] = {source: set() for source in streams}
        self._found: list[KnownKey] = []

    def note(self, source: str, rows: Rows | None) -> None:
        """Rows of ``source`` were kept."""
        stream, unheard = self._streams[source], self._unheard[source]
        unheard.update(range(self._known[source], len(stream.keys)))
        self._known[source] = len(stream.keys)
        if rows is None or not unheard:
            return
        keys, first = np.unique(rows.key, return_index=True)
        for key, row in zip(keys.tolist(), first.tolist(), strict=True):
            if key in unheard:
                unheard.discard(key)
                group = stream.groups[int(rows.group[row])]
                self._found.append((source, stream.keys[key], group))

    def take(self) -> tuple[KnownKey, ...]:
        """What has been found since the last call, sorted."""
        found, self._found = tuple(sorted(self._found)), []
        return found

    def snapshot(self) -> dict[str, Any]:
        """JSON-ready, between two ticks."""
        return {
            source: [known, sorted(self._unheard[source])] for source, known in self._known.items()
        }

    def restore(self, plain: Mapping[str, Any]) -> None:
        """Inverse of :meth:`snapshot`."""
        self._known = {source: int(known) for source, (known, _) in plain.items()}
        self._unheard = {source: set(unheard) for source, (_, unheard) in plain.items()}
