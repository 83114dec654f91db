"""One windows (or presence) stage in one partition: when its windows close, and what they hold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from sightline.perceive.presence import PresenceRows, merge_presence, presence
from sightline.perceive.row_store import Rows
from sightline.perceive.window_series import WindowSeries
from sightline.perceive.windows import (
    Segments,
    Statistics,
    row_statistics,
    segment_expressions,
    segment_statistics,
)
from sightline.recorder.checkpoint import StateParts
from sightline.records.windows import FloatArray, IdArray, IntArray, WindowTable
from sightline.runtime.learning_stages import (
    LEARNING_FORMS,
    AnyLearningStage,
    learning_stage,
)
from sightline.runtime.pipeline import PresenceForm, ScorerForm, WindowsForm
from sightline.runtime.plan import Chain
from sightline.runtime.stream import StreamState

BoolArray = npt.NDArray[np.bool_]

_CODE_BITS = 42
_MOST = 0.5


def mode_column(stage: str) -> str:
    """Name of the column that says how a scorer answered (0 primary, 1 fallback)."""
    return f"{stage}.mode"


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """What closed or changed at a tick.

    Attributes:
        rows: int64[c], positions in the series of the windows that closed or changed.
        targets: int64[t], those and every later window of the same keys: what to decide again.
    """

    rows: IntArray
    targets: IntArray


class ChainState:
    """State of a chain: its series, and up to which window each key is closed."""

    def __init__(self, chain: Chain, stream: StreamState) -> None:
        self.chain = chain
        self.stream = stream
        modes = [mode_column(s.name) for s in chain.steps if isinstance(s.form, ScorerForm)]
        self.series = WindowSeries(
            (*chain.columns, *modes), slide_ns=chain.slide_ns, width_ns=chain.width_ns
        )
        self.closed_until: IntArray = np.empty(0, np.int64)
        """int64[keys], windows before this number are closed."""
        self._dirty: list[IntArray] = []  # codes (key << 42 | window) of closed windows to redo
        self._presence: list[PresenceRows] = []
        # What follows from the description alone, worked out once and not at every tick.
        self._statistics = {n: Statistics.of(chain.statistics_of(n)) for n in chain.fields}
        form = chain.form
        expressions = form.expressions if isinstance(form, WindowsForm) else {}
        self._expressions = {n: pl.sql_expr(e.sql) for n, e in expressions.items()}
        self.learning: dict[str, AnyLearningStage] = {
            s.name: learning_stage(s, max_series=stream.limits.max_learnt_series)
            for s in chain.steps
            if isinstance(s.form, LEARNING_FORMS)
        }

    @property
    def is_presence(self) -> bool:
        return isinstance(self.chain.form, PresenceForm)

    def note(self, rows: Rows) -> None:
        """Take notice of new rows of the stream."""
        self._resize()
        if self.is_presence:
            self._presence.append(
                presence(
                    key=rows.key,
                    group=rows.group,
                    time_ns=rows.time_ns,
                    width_ns=self.chain.width_ns,
                )
            )
            return
        newest = rows.time_ns // self.chain.slide_ns
        until = self.closed_until[rows.key]
        for back in range(self.chain.width_ns // self.chain.slide_ns):
            window = newest - back
            again = (window < until) & (window >= 0)
            if again.any():
                code = (rows.key[again].astype(np.int64) << _CODE_BITS) | window[again]
                self._dirty.append(np.unique(code))

    def _resize(self) -> None:
        missing = len(self.stream.keys) - len(self.closed_until)
        if missing > 0:
            self.closed_until = np.concatenate([self.closed_until, np.zeros(missing, np.int64)])

    def close(self) -> Changed | None:
        """Close what is complete and redo what changed; None when nothing did."""
        self._resize()
        tables = self._presence_tables() if self.is_presence else self._window_tables()
        if not tables:
            return None
        table = _concatenate(tables, self.chain)
        rows = np.sort(self.series.upsert(table))
        key = self.series.code[rows] >> _CODE_BITS
        is_first = np.ones(len(rows), np.bool_)
        is_first[1:] = key[1:] != key[:-1]
        first = rows[is_first]
        targets = self.series.rows_from(
            key[is_first].astype(np.uint32), self.series.code[first] & ((1 << _CODE_BITS) - 1)
        )
        return Changed(rows=rows, targets=targets)

    # --- presence -------------------------------------------------------------------------------

    def _presence_tables(self) -> list[WindowTable]:
        """Presence is read at every tick: more data can only widen it."""
        if not self._presence:
            return []
        parts, self._presence = self._presence, []
        rows = parts[0] if len(parts) == 1 else _merge(parts)
        first_ns, last_ns, group = rows.first_ns, rows.last_ns, rows.group
        # What is already in the series for these slots widens with the new rows.
        at, known = self.series.find((rows.key.astype(np.int64) << _CODE_BITS) | rows.window)
        if known.any():
            old = at[known]
            start = self.series.start_ns(old)
            old_first_ns = start + self.series.column("first_offset_ns")[old].astype(np.int64)
            old_last_ns = start + self.series.column("last_offset_ns")[old].astype(np.int64)
            old_group = self.series.column("group")[old].astype(np.uint32)
            is_later = (old_last_ns > last_ns[known]) | (
                (old_last_ns == last_ns[known]) & (old_group > group[known])
            )
            first_ns[known] = np.minimum(first_ns[known], old_first_ns)
            last_ns[known] = np.maximum(last_ns[known], old_last_ns)
            group[known] = np.where(is_later, old_group, group[known])
        start = rows.window * self.chain.slide_ns
        return [
            WindowTable(
                key=rows.key,
                window=rows.window,
                slide_ns=self.chain.slide_ns,
                width_ns=self.chain.width_ns,
                columns={
                    "first_offset_ns": (first_ns - start).astype(np.float64),
                    "last_offset_ns": (last_ns - start).astype(np.float64),
                    "group": group.astype(np.float64),
                },
            )
        ]

    # --- windows --------------------------------------------------------------------------------

    def _window_tables(self) -> list[WindowTable]:
        chain = self.chain
        complete = self.stream.key_complete_ns()
        own_ready = (complete - chain.width_ns) // chain.slide_ns + 1
        ready = np.maximum(own_ready, self.closed_until)
        codes, self._dirty = self._dirty, []
        dirty = np.unique(np.concatenate(codes)) if codes else np.empty(0, np.int64)
        # A key that delivers its backlog fills windows that a tick had closed while it was away.
        # They are decided again when they are complete, not once for every part that comes.
        waits = (dirty & ((1 << _CODE_BITS) - 1)) >= own_ready[dirty >> _CODE_BITS]
        if waits.any():
            self._dirty.append(dirty[waits])
            dirty = dirty[~waits]
        dirty_window = dirty & ((1 << _CODE_BITS) - 1)
        dirty_key = dirty >> _CODE_BITS
        windows = self._candidate_windows(ready, dirty_window)
        tables = []
        for window in windows:
            keys: BoolArray = (self.closed_until <= window) & (window < ready)
            redo = dirty_key[dirty_window == window]
            if len(redo):
                keys[redo] = True
            if keys.any():
                table = self._aggregate(window, keys)
                if table is not None:
                    tables.append(table)
        self.closed_until = ready
        return tables

    def _candidate_windows(self, ready: IntArray, dirty_window: IntArray) -> list[int]:
        """Windows that have rows and may close now, ascending."""
        chain = self.chain
        moves = ready > self.closed_until
        found = set(dirty_window.tolist())
        if moves.any():
            lo = int(self.closed_until[moves].min())
            hi = int(ready[moves].max())
            panes_per_slide = chain.slide_ns // self.stream.store.pane_ns
            overlap = chain.width_ns // chain.slide_ns
            for pane, _ in self.stream.store.panes():
                newest = pane // panes_per_slide
                found.update(
                    w for w in range(max(newest - overlap + 1, 0), newest + 1) if lo <= w < hi
                )
        return sorted(found)

    def _aggregate(self, window: int, keys: BoolArray) -> WindowTable | None:
        chain = self.chain
        pane_ns = self.stream.store.pane_ns
        start_ns = window * chain.slide_ns
        # Sorting the whole pane once is cheaper than picking most of its keys out of it.
        most = bool(keys.mean() >= _MOST)
        rows = self.stream.store.gather(
            first_pane=start_ns // pane_ns,
            last_pane=(start_ns + chain.width_ns) // pane_ns - 1,
            keys=None if most else keys,
        )
        if rows is None:
            return None
        is_start = np.ones(len(rows), np.bool_)
        is_start[1:] = rows.key[1:] != rows.key[:-1]
        lo = np.flatnonzero(is_start).astype(np.int64)
        hi = np.append(lo[1:], len(rows)).astype(np.int64)
        if most:
            wanted = keys[rows.key[lo]]
            if not wanted.any():
                return None
            lo, hi = lo[wanted], hi[wanted]
        key: IdArray = rows.key[lo]
        columns = self._row_columns(rows, lo, hi, start_ns)
        for name in chain.fields:
            values = segment_statistics(
                rows.values[name],
                lo,
                hi,
                statistics=self._statistics[name],
                time_ns=rows.time_ns,
            )
            columns.update({f"{name}.{s}": v for s, v in values.items()})
        if self._expressions:
            frame = pl.DataFrame({n: rows.values[n] for n in self.stream.fields})
            number = np.full(len(lo), window, np.int64)
            found = Segments(key=key, window=number, lo=lo, hi=hi)
            columns.update(segment_expressions(frame, found, self._expressions))
        return WindowTable(
            key=key,
            window=np.full(len(key), window, np.int64),
            slide_ns=chain.slide_ns,
            width_ns=chain.width_ns,
            columns=columns,
        )

    def _row_columns(
        self, rows: Rows, lo: IntArray, hi: IntArray, start_ns: int
    ) -> dict[str, FloatArray]:
        found = row_statistics(rows.time_ns, rows.sequence, lo, hi)
        sequence = {
            name: np.where(found[name] >= 0, found[name], np.nan).astype(np.float64)
            for name in ("sequence_min", "sequence_max", "sequence_distinct")
        }
        return {
            "rows": found["rows"].astype(np.float64),
            "group": rows.group[hi - 1].astype(np.float64),
            "first_offset_ns": (found["first_ns"] - start_ns).astype(np.float64),
            "last_offset_ns": (found["last_ns"] - start_ns).astype(np.float64),
            **sequence,
        }

    def trim(self, settled_ns: IntArray) -> None:
        """Let go of settled windows that no stage looks back on."""
        for stage in self.learning.values():
            stage.settle(self.series, settled_ns)
        self.series.trim(settled_ns=settled_ns, lookback=self.chain.lookback)

    def snapshot(self, prefix: str, into: StateParts) -> None:
        """Put this state into ``into``; to be called between two ticks."""
        for name, array in self.series.snapshot().items():
            into.arrays[f"{prefix}.{name}"] = array
        into.arrays[f"{prefix}.closed_until"] = self.closed_until
        if self._dirty:
            into.arrays[f"{prefix}.dirty"] = np.unique(np.concatenate(self._dirty))
        for name, stage in self.learning.items():
            for part, array in stage.snapshot().items():
                into.arrays[f"{prefix}.learning.{name}.{part}"] = array

    def restore(self, prefix: str, parts: StateParts) -> None:
        """Inverse of :meth:`snapshot`."""
        self.series.restore({n: parts.arrays[f"{prefix}.{n}"] for n in ("code", "values")})
        self.closed_until = parts.arrays[f"{prefix}.closed_until"]
        dirty = parts.arrays.get(f"{prefix}.dirty")
        self._dirty = [] if dirty is None else [dirty]
        for name, stage in self.learning.items():
            begins = f"{prefix}.learning.{name}."
            found = {
                n.removeprefix(begins): a for n, a in parts.arrays.items() if n.startswith(begins)
            }
            stage.restore(found)


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


def _concatenate(tables: list[WindowTable], chain: Chain) -> WindowTable:
    if len(tables) == 1:
        return tables[0]
    key = np.concatenate([t.key for t in tables])
    window = np.concatenate([t.window for t in tables])
    order = np.lexsort((window, key))
    columns = {
        name: np.concatenate([t.columns[name] for t in tables])[order] for name in tables[0].columns
    }
    return WindowTable(
        key=key[order],
        window=window[order],
        slide_ns=chain.slide_ns,
        width_ns=chain.width_ns,
        columns=columns,
    )
