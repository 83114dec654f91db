"""``windows``: the rows of one key in windows of event time, and statistics of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from sightline.errors import UsageError
from sightline.perceive.compiled import warm
from sightline.perceive.row_store import Rows
from sightline.perceive.statistic_names import PLAIN_STATISTICS, is_statistic
from sightline.perceive.window_expression import window_expression
from sightline.perceive.windows import (
    Segments,
    Statistics,
    row_statistics,
    segment_expressions,
    segment_statistics,
)
from sightline.records.decision import Reason
from sightline.records.signals import NS_PER_S
from sightline.records.windows import FloatArray, IdArray, IntArray, WindowTable
from sightline.runtime.settings import Form, Grid, Name, SeriesSettings
from sightline.runtime.stage import (
    BY_FALLBACK,
    ChainView,
    Measure,
    Planning,
    PlausibilityCheck,
    RootStage,
    Shape,
)
from sightline.sense import Contract

BoolArray = npt.NDArray[np.bool_]

ROW_COLUMNS: Mapping[str, str] = {
    "rows": "1",
    "group": "1",
    "first_offset_ns": "ns",
    "last_offset_ns": "ns",
    "sequence_min": "1",
    "sequence_max": "1",
    "sequence_distinct": "1",
}
"""Columns every window has, with their units. Offsets count from the window's start."""
_STATISTIC_UNITS = {"count": "1", "nan_share": "1", "stuck_s": "s"}
_IMPLAUSIBLE = {
    "IMPLAUSIBLE_STUCK": "the value did not change for so long: the sensor may be stuck",
    "IMPLAUSIBLE_RATE": "the value changed faster than the contract thinks possible",
    "IMPLAUSIBLE_NAN_SHARE": "too many of the window's values are missing",
}
_CODE_BITS = 42
_MOST = 0.5


class Expression(Form):
    """A user aggregate: a SQL expression over the fields of a window's rows."""

    sql: str
    """One number per window of numeric fields of the contract; docs/expressions.md."""
    unit: str
    """Unit of its value; "1" where it has none."""


class WindowsSettings(SeriesSettings):
    """Rows of one key in windows of event time."""

    width_s: Grid
    """Width of a window, in seconds."""
    slide_s: Grid | None = None
    """Seconds between the starts of two windows; null: one begins where the last ends."""
    fields: tuple[str, ...] | None = None
    """Fields of the contract; null: all numeric ones."""
    statistics: tuple[str, ...] = ("count", "mean")
    """Of each field: count, mean, min, max, p95 and so on."""
    expressions: dict[Name, Expression] = {}
    """Further columns, by name."""


class WindowsStage(RootStage):
    """Rows of one key in windows of event time, and statistics of their fields."""

    use = "windows"
    version = 2  # 1 took a missing value for a large number in comparisons
    Settings = WindowsSettings

    def explain(self, reason: Reason) -> str:
        return _IMPLAUSIBLE.get(reason.code) or super().explain(reason)

    def shape(self, contract: Contract, planning: Planning) -> Shape:
        form: WindowsSettings = self.settings
        width_ns = round(form.width_s * NS_PER_S)
        slide_ns = width_ns
        if form.slide_s is not None:
            slide_ns = round(form.slide_s * NS_PER_S)
            if slide_ns > width_ns or width_ns % slide_ns:
                planning.fail("width_s a multiple of slide_s", f"{form.slide_s:g}")
        numeric = {
            n: f for n, f in contract.fields.items() if f.type != "text" and n != BY_FALLBACK
        }
        fields = tuple(numeric) if form.fields is None else form.fields
        for column in fields:
            if column not in numeric:
                planning.fail("fields: numeric fields of the contract", column, list(numeric))
        for statistic in form.statistics:
            if not is_statistic(statistic):
                planning.fail("statistics: known ones, or pNN", statistic, PLAIN_STATISTICS)
        checks = _plausibility(fields, contract, width_ns, planning)
        measures = [Measure(column=c, field="", unit=u) for c, u in ROW_COLUMNS.items()]
        for column in fields:
            unit = numeric[column].unit or "1"
            wanted = [f"{column}.{s}" for s in form.statistics]
            wanted += [c.column for c in checks if c.field == column]
            measures += [
                Measure(
                    column=full, field=column, unit=_unit_of(full.removeprefix(f"{column}."), unit)
                )
                for full in dict.fromkeys(wanted)
            ]
        if BY_FALLBACK in contract.fields:
            fields = (*fields, BY_FALLBACK)
            measures.append(Measure(column=f"{BY_FALLBACK}.max", field=BY_FALLBACK, unit="1"))
        for key, expression in form.expressions.items():
            try:
                window_expression(expression.sql, list(numeric))
            except UsageError as error:
                planning.fail(
                    f"expressions.{key}.sql: a SQL expression (docs/expressions.md), at "
                    f"{error.where} {error.expected}",
                    error.got,
                )
            measures.append(Measure(column=key, field="", unit=expression.unit))
        return Shape(
            width_ns=width_ns,
            slide_ns=slide_ns,
            fields=fields,
            statistics=form.statistics,
            measures=tuple(measures),
            checks=checks,
        )

    def begin_closing(self, chain: ChainView) -> WindowClosing:
        return WindowClosing(chain, self.settings)


def _plausibility(
    fields: Sequence[str], contract: Contract, width_ns: int, planning: Planning
) -> tuple[PlausibilityCheck, ...]:
    """The plausibility of the contract as checks of each window."""
    found: list[PlausibilityCheck] = []
    for field_name in fields:
        form = contract.fields[field_name]
        rule = form.plausibility
        if rule is None:
            continue
        if rule.stuck_for_s is not None and rule.stuck_for_s * NS_PER_S > width_ns:
            planning.fail(
                f"width_s of at least plausibility.stuck_for_s of {field_name} "
                f"({rule.stuck_for_s:g} s), or a shorter time in the contract",
                f"{width_ns / NS_PER_S:g}",
            )
        for statistic, above, code in (
            ("stuck_s", rule.stuck_for_s, "IMPLAUSIBLE_STUCK"),
            ("rate_max", rule.max_rate_per_s, "IMPLAUSIBLE_RATE"),
            ("nan_share", rule.max_nan_share, "IMPLAUSIBLE_NAN_SHARE"),
        ):
            if above is not None:
                found.append(
                    PlausibilityCheck(
                        field=field_name,
                        column=f"{field_name}.{statistic}",
                        above=above,
                        unit=_unit_of(statistic, form.unit or "1"),
                        code=code,
                        version=f"{contract.contract}@{contract.digest[:8]}",
                    )
                )
    return tuple(found)


def _unit_of(statistic: str, unit: str) -> str:
    if statistic == "rate_max":
        return f"{unit}/s"
    if statistic.startswith("below_"):
        return "1"
    return _STATISTIC_UNITS.get(statistic, unit)


class WindowClosing:
    """When the windows of one chain close, and what they hold.

    Args:
        chain: of the windows.
        settings: of their stage.
    """

    def __init__(self, chain: ChainView, settings: WindowsSettings) -> None:
        warm(segment_statistics.__module__)
        self._chain = chain.chain
        self._stream = chain.stream
        self.closed_until: IntArray = np.empty(0, np.int64)
        """int64[keys], windows before this number are closed."""
        self._dirty: list[IntArray] = []  # codes (key << 42 | window) of closed windows to redo
        # What follows from the description alone, worked out once and not at every tick.
        shape = self._chain.shape
        self._statistics = {}
        for name in shape.fields:
            columns = (m.column for m in shape.measures if m.field == name)
            self._statistics[name] = Statistics.of(
                tuple(column.removeprefix(f"{name}.") for column in columns)
            )
        read = {
            name: window_expression(expression.sql, self._stream.fields)
            for name, expression in settings.expressions.items()
        }
        self._expressions = {name: found.expr for name, found in read.items()}
        self._read = sorted({column for found in read.values() for column in found.columns})

    def note(self, rows: Rows) -> None:
        """Take notice of new rows of the stream."""
        self._resize()
        newest = rows.time_ns // self._chain.slide_ns
        until = self.closed_until[rows.key]
        for back in range(self._chain.width_ns // self._chain.slide_ns):
            window = newest - back
            again = (window < until) & (window >= 0)
            if again.any():
                code = (rows.key[again].astype(np.int64) << _CODE_BITS) | window[again]
                self._dirty.append(np.unique(code))

    def _resize(self) -> None:
        missing = len(self._stream.keys) - len(self.closed_until)
        if missing > 0:
            self.closed_until = np.concatenate([self.closed_until, np.zeros(missing, np.int64)])

    def tables(self) -> list[WindowTable]:
        """Windows that are complete now, and those that changed."""
        self._resize()
        chain = self._chain
        complete = self._stream.key_complete_ns()
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
        chain = self._chain
        moves = ready > self.closed_until
        found = set(dirty_window.tolist())
        if moves.any():
            lo = int(self.closed_until[moves].min())
            hi = int(ready[moves].max())
            panes_per_slide = chain.slide_ns // self._stream.store.pane_ns
            overlap = chain.width_ns // chain.slide_ns
            for pane, _ in self._stream.store.panes():
                newest = pane // panes_per_slide
                found.update(
                    w for w in range(max(newest - overlap + 1, 0), newest + 1) if lo <= w < hi
                )
        return sorted(found)

    def _aggregate(self, window: int, keys: BoolArray) -> WindowTable | None:
        chain = self._chain
        pane_ns = self._stream.store.pane_ns
        start_ns = window * chain.slide_ns
        # Sorting the whole pane once is cheaper than picking most of its keys out of it.
        most = bool(keys.mean() >= _MOST)
        rows = self._stream.store.gather(
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
        columns = _row_columns(rows, lo, hi, start_ns)
        for name in chain.shape.fields:
            values = segment_statistics(
                rows.values[name],
                lo,
                hi,
                statistics=self._statistics[name],
                time_ns=rows.time_ns,
            )
            columns.update({f"{name}.{s}": v for s, v in values.items()})
        if self._expressions:
            values = {name: rows.values[name] for name in self._read}
            frame = pl.DataFrame({"_time_ns": rows.time_ns, **values})  # rows, also without fields
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

    def snapshot(self) -> Mapping[str, npt.NDArray[Any]]:
        """Arrays, between two ticks."""
        parts: dict[str, npt.NDArray[Any]] = {"closed_until": self.closed_until}
        if self._dirty:
            parts["dirty"] = np.unique(np.concatenate(self._dirty))
        return parts

    def restore(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Inverse of :meth:`snapshot`."""
        self.closed_until = arrays["closed_until"]
        dirty = arrays.get("dirty")
        self._dirty = [] if dirty is None else [dirty]


def _row_columns(rows: Rows, lo: IntArray, hi: IntArray, start_ns: int) -> dict[str, FloatArray]:
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
