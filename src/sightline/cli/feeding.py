"""Feeding quarantined rows in again, in a run of their own."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from sightline.errors import UsageError
from sightline.runtime import RunDirectory, RunReport, make_plan, run_pipeline
from sightline.sense import MemorySource, feed_again_frame, load_contract


def feed_quarantine_again(
    run: RunDirectory,
    refused: pl.DataFrame,
    contract: Path,
    *,
    out: Path | None,
    source: str | None,
) -> RunReport:
    """Run the refused rows of one source under another contract, in a new run directory.

    Rows that were cut when they were kept, and lines that never became rows, stay where they are.
    The new run counts only the rows it gets.
    """
    plan = run.plan
    name = source or next(iter(plan.contracts))
    if source is None and len(plan.contracts) > 1 and refused["source"].n_unique() > 1:
        raise UsageError(
            expected="one source",
            got=f"rows of {', '.join(sorted(refused['source'].unique()))}",
            where="--feed-again",
            action="choose one with --source",
        )
    if source is None and refused.height:
        name = refused["source"][0]
    rows = feed_again_frame(refused.filter(refused["source"] == name).drop("source"))
    if not rows.height:
        raise UsageError(
            expected="rows that can be fed in again",
            got="none",
            where=f"{run.path}, {name}",
            action="see `sightline quarantine RUN` for what was refused",
        )
    contracts = {**plan.contracts, name: load_contract(contract)}
    again = make_plan(plan.pipeline, contracts, where=str(contract))
    sources = {n: MemorySource(n, {"quarantine": rows} if n == name else {}) for n in contracts}
    return run_pipeline(again, sources, out or run.path.with_name(f"{run.path.name}-again"))
