"""Decisions, quarantine and run summaries as tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import polars as pl
from rich.console import RenderableType
from rich.table import Table

from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.recorder import read_entries
from sightline.records import Decision, EntryKind
from sightline.records.signals import QUARANTINE_SCHEMA
from sightline.runtime import RunDirectory, RunReport
from sightline.runtime.engine.batches import decode_frame
from sightline.runtime.engine.learning import Learning

_STAGES_SHOWN = 3
"""The slowest stages are shown to people; all of them are in the JSON of the report."""


def decisions_frame(decisions: Iterable[Decision]) -> pl.DataFrame:
    """One row per revision, by event time: what a notebook shows."""
    rows = [
        {
            "event": d.event_ns,
            "kind": d.kind,
            "subject": d.subject,
            "transition": str(d.transition),
            "severity": str(d.severity),
            "score": d.score,
            "confidence": d.confidence,
            "reason": d.reasons[0].code,
            "mode": str(d.mode),
            "revision": d.revision,
            "status": str(d.status),
            "decision_id": d.decision_id,
        }
        for d in sorted(decisions, key=lambda d: (d.event_ns, d.subject, d.kind, d.revision))
    ]
    schema = {
        "event": pl.Int64,
        "kind": pl.String,
        "subject": pl.String,
        "transition": pl.String,
        "severity": pl.String,
        "score": pl.Float64,
        "confidence": pl.Float64,
        "reason": pl.String,
        "mode": pl.String,
        "revision": pl.Int64,
        "status": pl.String,
        "decision_id": pl.String,
    }
    frame = pl.DataFrame(rows, schema=schema)
    return frame.with_columns(pl.from_epoch("event", time_unit="ns").dt.replace_time_zone("UTC"))


def quarantine_frame(run: RunDirectory, *, limits: Limits = DEFAULT_LIMITS) -> pl.DataFrame:
    """Every refused row of a run: the quarantine layout with a ``source`` column in front."""
    frames = [
        decode_frame(entry.payload).select(
            pl.lit(entry.name).alias("source"), pl.col(list(QUARANTINE_SCHEMA))
        )
        for name in run.partitions
        for entry in read_entries(
            run.storage, name, kinds={EntryKind.QUARANTINE}, skip_pruned=True, limits=limits
        )
    ]
    empty = pl.DataFrame(schema={"source": pl.String, **QUARANTINE_SCHEMA})
    return pl.concat([empty, *frames])


def alerting_lines(sums: Mapping[str, Mapping[str, int]]) -> list[tuple[str, str]]:
    """What an alert desk came to: alerts by where they are, messages by kind."""
    fates, messages = sums["fates"], sums["messages"]
    shown = " + ".join(f"{fate} {count:,}" for fate, count in fates.items()) or "none"
    kinds = ", ".join(f"{kind} {count:,}" for kind, count in messages.items())
    return [
        ("alerts", f"raised {sum(fates.values()):,} = {shown}"),
        ("messages", f"{sum(messages.values()):,}{': ' + kinds if kinds else ''}"),
    ]


def summary_lines(report: RunReport) -> list[RenderableType]:
    """What a run came to, for a terminal."""
    accounts = report.accounts
    numbers = Table.grid(padding=(0, 2))
    numbers.add_column(no_wrap=True)
    numbers.add_column(overflow="fold")
    numbers.add_row("pipeline", report.pipeline)
    numbers.add_row("rows", f"{accounts.equation()}")
    for title, causes in (("dropped", accounts.dropped), ("quarantined", accounts.quarantined)):
        for cause, count in causes.items():
            if count:
                numbers.add_row("", f"{title} {cause}: {count:,}")
    numbers.add_row("speed", f"{report.rows_per_s:,.0f} rows/s, {report.wall_s:.1f} s")
    slowest = sorted(report.stage_s, key=lambda stage: -report.stage_s[stage].get("p99", 0.0))
    for title, seconds in (
        ("latency", report.latency_s),
        ("step", report.step_s),
        *((f"  {stage}", report.stage_s[stage]) for stage in slowest[:_STAGES_SHOWN]),
    ):
        if seconds.get("count"):
            numbers.add_row(
                title,
                "  ".join(
                    f"{k} {seconds[k] * 1000:,.1f} ms" for k in ("p50", "p95", "p99", "worst")
                ),
            )
    if not report.deadline_missed:
        numbers.add_row("deadlines", "none missed")
    for stage, times in report.deadline_missed.items():
        numbers.add_row("deadlines", f"{stage}: {times} missed")
    for name, count in report.fallbacks.items():
        numbers.add_row("fallback", f"{name}: {count}")
    for stage, found in report.learning.items():
        numbers.add_row("learning", f"{stage}: {learning_words(found)}")
    if report.alerting is not None:
        for title, line in alerting_lines(report.alerting):
            numbers.add_row(title, line)
    for receiver, waits in (report.undelivered or {}).items():
        numbers.add_row("outbox", f"{receiver}: {waits.words()}")
    for partition, message in report.recoveries.items():
        numbers.add_row("recovered", f"{partition}: {message}")
    numbers.add_row("digest", report.digest)
    decisions = Table(title=None, box=None, padding=(0, 2))
    decisions.add_column("decision")
    decisions.add_column("count", justify="right")
    for name, count in report.decisions.items():
        decisions.add_row(name, f"{count:,}")
    return [numbers, "", decisions, ""] if report.decisions else [numbers, "", "no decisions", ""]


def learning_words(found: Learning) -> str:
    """How far a stage knows its series.

    >>> learning_words(Learning(known=1200, learning=40))
    '1,200 series known, 40 still learnt from'
    """
    words = f"{found.known:,} series known, {found.learning:,} still learnt from"
    return f"{words}, {found.without_room:,} without room" if found.without_room else words
