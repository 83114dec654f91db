"""``presence``: when data exists at all; read at every tick, so that silence is seen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from sightline.perceive.compiled import warm
from sightline.perceive.presence import PresenceRows, merge_presence, presence
from sightline.perceive.row_store import Rows
from sightline.records.signals import NS_PER_S
from sightline.records.windows import WindowTable
from sightline.runtime.settings import Grid, SeriesSettings
from sightline.runtime.stage import ChainView, Measure, Planning, RootStage, Shape
from sightline.runtime.stages.windows import ROW_COLUMNS
from sightline.sense import Contract

_CODE_BITS = 42


class PresenceSettings(SeriesSettings):
    """When data exists at all."""

    width_s: Grid
    """Width of a slot, in seconds; no time-out can be shorter."""


class PresenceStage(RootStage):
    """First and last datum of each key in slots of event time."""

    use = "presence"
    Settings = PresenceSettings
    writes = "presence"
    needs_rows = False

    def shape(self, contract: Contract, planning: Planning) -> Shape:
        del contract, planning
        width_ns = round(self.settings.width_s * NS_PER_S)
        measures = tuple(Measure(column=c, field="", unit=u) for c, u in ROW_COLUMNS.items())
        return Shape(
            width_ns=width_ns, slide_ns=width_ns, fields=(), statistics=(), measures=measures
        )

    def begin_closing(self, chain: ChainView) -> PresenceClosing:
        return PresenceClosing(chain)


class PresenceClosing:
    """Presence is read at every tick: more data can only widen it."""

    def __init__(self, chain: ChainView) -> None:
        warm(presence.__module__)
        self._chain = chain
        self._parts: list[PresenceRows] = []

    def note(self, rows: Rows) -> None:
        """Take notice of new rows of the stream."""
        self._parts.append(
            presence(
                key=rows.key,
                group=rows.group,
                time_ns=rows.time_ns,
                width_ns=self._chain.chain.width_ns,
            )
        )

    def tables(self) -> list[WindowTable]:
        """Slots that data came into since the last tick."""
        if not self._parts:
            return []
        parts, self._parts = self._parts, []
        rows = parts[0] if len(parts) == 1 else _merge(parts)
        first_ns, last_ns, group = rows.first_ns, rows.last_ns, rows.group
        series = self._chain.series
        # What is already in the series for these slots widens with the new rows.
        at, known = series.find((rows.key.astype(np.int64) << _CODE_BITS) | rows.window)
        if known.any():
            old = at[known]
            start = series.start_ns(old)
            old_first_ns = start + series.column("first_offset_ns")[old].astype(np.int64)
            old_last_ns = start + series.column("last_offset_ns")[old].astype(np.int64)
            old_group = series.column("group")[old].astype(np.uint32)
            is_later = (old_last_ns > last_ns[known]) | (
                (old_last_ns == last_ns[known]) & (old_group > group[known])
            )
            first_ns[known] = np.minimum(first_ns[known], old_first_ns)
            last_ns[known] = np.maximum(last_ns[known], old_last_ns)
            group[known] = np.where(is_later, old_group, group[known])
        chain = self._chain.chain
        start = rows.window * chain.slide_ns
        return [
            WindowTable(
                key=rows.key,
                window=rows.window,
                slide_ns=chain.slide_ns,
                width_ns=chain.width_ns,
                columns={
                    "first_offset_ns": (first_ns - start).astype(np.float64),
                    "last_offset_ns": (last_ns - start).astype(np.float64),
                    "group": group.astype(np.float64),
                },
            )
        ]

    def snapshot(self) -> Mapping[str, npt.NDArray[Any]]:
        """Nothing is kept between two ticks but the series."""
        return {}

    def restore(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Inverse of :meth:`snapshot`."""


def _merge(parts: list[PresenceRows]) -> PresenceRows:
    return merge_presence(
        PresenceRows(
            key=np.concatenate([p.key for p in parts]),
            window=np.concatenate([p.window for p in parts]),
            first_ns=np.concatenate([p.first_ns for p in parts]),
            last_ns=np.concatenate([p.last_ns for p in parts]),
            group=np.concatenate([p.group for p in parts]),
        )
    )
