"""Decisions as a table, and what an alert desk came to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import polars as pl

from sightline.records import Decision
from sightline.records.decision import decision_order


def decisions_frame(decisions: Iterable[Decision]) -> pl.DataFrame:
    """One row per revision, by event time: what a notebook shows.

    ``reason`` to ``unit`` are those of the first reason; times are UTC.
    """
    ordered = sorted(decisions, key=decision_order)
    first = [d.reasons[0] for d in ordered]
    instant = pl.Datetime("ns", "UTC")
    columns: dict[str, tuple[Any, Sequence[Any]]] = {
        "event": (instant, [d.event_ns for d in ordered]),
        "kind": (pl.String, [d.kind for d in ordered]),
        "subject": (pl.String, [d.subject for d in ordered]),
        "group": (pl.String, [d.group for d in ordered]),
        "transition": (pl.String, [str(d.transition) for d in ordered]),
        "severity": (pl.String, [str(d.severity) for d in ordered]),
        "reason": (pl.String, [r.code for r in first]),
        "measure": (pl.String, [r.measure for r in first]),
        "value": (pl.Float64, [r.value for r in first]),
        "threshold": (pl.Float64, [r.threshold for r in first]),
        "unit": (pl.String, [r.unit for r in first]),
        "score": (pl.Float64, [d.score for d in ordered]),
        "confidence": (pl.Float64, [d.confidence for d in ordered]),
        "window_start": (instant, [d.window_start_ns for d in ordered]),
        "window_end": (instant, [d.window_end_ns for d in ordered]),
        "mode": (pl.String, [str(d.mode) for d in ordered]),
        "revision": (pl.Int64, [d.revision for d in ordered]),
        "status": (pl.String, [str(d.status) for d in ordered]),
        "decision_id": (pl.String, [d.decision_id for d in ordered]),
    }
    return pl.DataFrame([pl.Series(n, v, dtype=t) for n, (t, v) in columns.items()])


def for_spreadsheets(table: pl.DataFrame) -> pl.DataFrame:
    """The same for a CSV file: a text that a spreadsheet would run as a formula begins with '.

    >>> for_spreadsheets(pl.DataFrame({"subject": ["sat-1", "=cmd()"]}))["subject"].to_list()
    ['sat-1', "'=cmd()"]
    """
    text = pl.col(pl.String)
    is_formula = text.str.contains(r"^[=+\-@\t\r]")
    return table.with_columns(pl.when(is_formula).then("'" + text).otherwise(text).name.keep())


def alerting_lines(sums: Mapping[str, Mapping[str, int]]) -> list[tuple[str, str]]:
    """What an alert desk came to: alerts by where they are, messages by kind."""
    fates, messages = sums["fates"], sums["messages"]
    shown = " + ".join(f"{fate} {count:,}" for fate, count in fates.items()) or "none"
    kinds = ", ".join(f"{kind} {count:,}" for kind, count in messages.items())
    return [
        ("alerts", f"raised {sum(fates.values()):,} = {shown}"),
        ("messages", f"{sum(messages.values()):,}{': ' + kinds if kinds else ''}"),
    ]
