"""``sightline replay|verify|prune|quarantine``: commands that read the log of a run."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from string import hexdigits
from typing import Annotated

import polars as pl
import typer
from rich.markup import escape

from sightline.cli.console import Json, Terminal, counting_display, print_json
from sightline.cli.run_command import show_report
from sightline.cli.runs import Plugins, Run, entries_of, open_run
from sightline.cli.sources import open_sources
from sightline.errors import UsageError
from sightline.runtime import (
    ReplayVerdict,
    RunComparison,
    RunDirectory,
    RunReport,
    compare_runs,
    make_plan,
    replay_run,
    run_pipeline,
)
from sightline.runtime.engine.answerers import lookers
from sightline.runtime.pictures.logged_pictures import looked_at_again
from sightline.runtime.pruning import prune_run
from sightline.runtime.verification import RunVerdict, verify_run
from sightline.sense import MemorySource, feed_again_frame, load_contract

_SHOWN_DIFFERENCES = 10

Sources = Annotated[
    list[str] | None,
    typer.Option(
        "--source",
        metavar="NAME=LOCATION",
        help="Source files, for rows that the log only refers to.",
    ),
]


def replay(
    path: Run,
    against: Annotated[
        Path | None, typer.Option("--against", help="Another run, to compare decisions with.")
    ] = None,
    source: Sources = None,
    rerun_models: Annotated[
        bool,
        typer.Option("--rerun-models", help="Also run the models again and compare their answers."),
    ] = False,
    plugins: Plugins = None,
    as_json: Json = False,
) -> None:
    """Run the log of a run through the engine again; exit 0 only if every byte is the same."""
    directory = open_run(path, plugins=plugins, has_logs=False)
    verify_run(directory).check(str(path))
    sources = open_sources(directory.plan, source) if source else None
    with counting_display("replay", is_quiet=as_json, entries=entries_of(directory)) as on_progress:
        verdict = replay_run(
            directory, sources=sources, rerun_models=rerun_models, on_progress=on_progress
        )
    changed: list[tuple[int, str]] = []
    if rerun_models and directory.plan.cameras:
        changed = list(looked_at_again(directory, lookers(directory.plan)))
    comparison = None
    if against is not None:
        other = open_run(against, plugins=plugins, has_logs=False)
        verify_run(other).check(str(against))
        comparison = compare_runs(directory, other)
    holds = bool(verdict) and not changed and (comparison is None or bool(comparison))
    if as_json:
        print_json(
            {
                "identical": bool(verdict),
                "decisions": verdict.decisions,
                "entries": verdict.entries,
                "digest": verdict.digest,
                "final_digest": verdict.final_digest,
                "difference": str(verdict.difference) if verdict.difference else None,
                "models_differ": [text for _, text in changed] if rerun_models else None,
                "began_at": dict(verdict.began_at),
                "against": None
                if comparison is None
                else {
                    "equivalent": bool(comparison),
                    "final_equal": comparison.is_final_equal,
                    "digest": comparison.digest_b,
                    "final_digest": comparison.final_digest_b,
                    "difference": str(comparison.difference) if comparison.difference else None,
                },
            }
        )
    else:
        _show_replay(verdict, comparison)
        _show_changed(changed, was_asked=rerun_models and bool(directory.plan.cameras))
    raise typer.Exit(0 if holds else 1)


def _show_replay(verdict: ReplayVerdict, comparison: RunComparison | None) -> None:
    console = Terminal()
    for partition, after in verdict.began_at.items():
        console.print(
            f"{partition}: replayed from the checkpoint at entry {after:,} on; pruned before"
        )
    if verdict:
        console.print(
            f"replay: {verdict.decisions} decisions from {verdict.entries} entries, "
            "[green]every one the same bytes[/green]",
            markup=True,
        )
        console.print(f"  digest {verdict.digest}")
    else:
        console.print(
            f"replay: [red]differs[/red] at {escape(str(verdict.difference))}", markup=True
        )
    if comparison is not None:
        if comparison:
            console.print("against: [green]equivalent[/green]", markup=True)
            console.print(f"  digest {comparison.digest_b}")
        else:
            final = "equal" if comparison.is_final_equal else "different"
            console.print(
                f"against: [red]not equivalent[/red] ({comparison.decisions_a} and "
                f"{comparison.decisions_b} revisions; final revisions {final})",
                markup=True,
            )
            if comparison.difference:
                console.print(f"  {comparison.difference}", markup=False)


def _show_changed(changed: Sequence[tuple[int, str]], *, was_asked: bool) -> None:
    console = Terminal()
    if was_asked and not changed:
        console.print("models: asked again, [green]every answer the same[/green]", markup=True)
    for sequence, text in changed[:_SHOWN_DIFFERENCES]:
        console.print(
            f"[red]models differ[/red] log sequence {sequence}, {escape(text)}", markup=True
        )
    if len(changed) > _SHOWN_DIFFERENCES:
        console.print(f"… and {len(changed) - _SHOWN_DIFFERENCES} more")


def verify(
    path: Run,
    head: Annotated[
        list[str] | None,
        typer.Option(
            "--head",
            metavar="PARTITION=HASH",
            help="Hash of a log, as you noted it elsewhere, now or at an earlier time.",
        ),
    ] = None,
    plugins: Plugins = None,
    as_json: Json = False,
) -> None:
    """Check every file of a run against the others, and that every received row is counted."""
    directory = open_run(path, plugins=plugins, has_logs=False)
    wanted = _noted_heads(head or [], directory.partitions)
    with counting_display("verify", is_quiet=as_json, entries=entries_of(directory)) as on_progress:
        verdict = verify_run(directory, wanted=wanted, on_progress=on_progress)
    problems = [*verdict.problems, *verdict.torn]
    if as_json:
        print_json(
            {
                "holds": bool(verdict),
                "run": directory.run_id,
                "root": verdict.root,
                "closed": verdict.is_closed,
                "logs": {
                    name: {
                        "holds": bool(log),
                        "entries": log.entries,
                        "pruned": log.pruned_entries,
                        "head": log.head.hash,
                        "problem": log.problem,
                    }
                    for name, log in verdict.logs.items()
                },
                "problems": problems,
                "conservation": None if verdict.accounts is None else verdict.accounts.equation(),
            }
        )
    else:
        _show_verdict(verdict, wanted)
    raise typer.Exit(0 if verdict else 1)


def _noted_heads(given: Sequence[str], partitions: Sequence[str]) -> dict[str, set[str]]:
    """``PARTITION=HASH`` options; hex digits may be in capitals.

    Raises:
        UsageError: an option of another form, or of a partition that the run does not have.
    """
    found: dict[str, set[str]] = {}
    for option in given:
        name, equals, text = option.partition("=")
        digits = text.strip().lower()
        if not equals or not digits or not {*digits} <= {*hexdigits}:
            raise UsageError(
                expected="PARTITION=HASH, the hash in hex digits as verify prints it",
                got=repr(option),
                where="--head",
                action=f"write --head {partitions[0]}=…",
            )
        if name not in partitions:
            raise UsageError(
                expected=f"a partition of the run: {', '.join(partitions)}",
                got=repr(name),
                where="--head",
                action="mend the name",
            )
        found.setdefault(name, set()).add(digits)
    return found


def _show_verdict(verdict: RunVerdict, wanted: Mapping[str, Collection[str]]) -> None:
    console = Terminal()
    for name, log in verdict.logs.items():
        mark = "[green]holds[/green]" if log else "[red]broken[/red]"
        console.print(
            f"{name}: chain {mark}, {log.entries} entries, head {log.head.hash}", markup=True
        )
        for noted in sorted(wanted.get(name, ())):
            at = log.found.get(noted)
            if at is not None and at < log.head.sequence:
                console.print(f"  passed {noted[:16]}… at entry {at}, and went on from there")
    console.print(f"root {verdict.root}")
    if not verdict.is_closed:
        console.print("not closed: it goes on, or was interrupted; a resume closes it")
    for problem in (*verdict.problems, *verdict.torn):
        console.print(f"broken {problem}")
    if verdict.accounts is not None:
        console.print(f"conservation: {verdict.accounts.equation()}")


def prune(
    path: Run,
    keep_bytes: Annotated[
        int | None, typer.Option(min=0, help="Prune while a partition's log is larger.")
    ] = None,
    older_than_days: Annotated[
        float | None, typer.Option(min=0, help="Prune what is older, by the wall clock.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Free the space of old log entries; their hashes stay, so that verify still holds.

    Only what lies before the newest checkpoint goes. It cannot be replayed or explained any more.
    """
    if keep_bytes is None and older_than_days is None:
        raise UsageError(
            expected="--keep-bytes or --older-than-days",
            got="neither",
            where="prune",
            action="say how much to keep",
        )
    keep_after_ns = None
    if older_than_days is not None:
        keep_after_ns = time.time_ns() - round(older_than_days * 86400e9)
    done = prune_run(open_run(path), keep_bytes=keep_bytes, keep_after_ns=keep_after_ns)
    if as_json:
        print_json(
            {
                "pruned": {
                    n: {"entries": p.entries, "freed_bytes": p.freed_bytes}
                    for n, p in done.pruned.items()
                },
                "kept": dict(done.kept),
            }
        )
        return
    console = Terminal()
    for name, pruned in done.pruned.items():
        console.print(f"{name}: {pruned.entries:,} entries, {pruned.freed_bytes:,} bytes freed")
    for name, why in done.kept.items():
        console.print(f"{name}: nothing pruned ({why})")


def quarantine(
    path: Run,
    feed_again: Annotated[
        Path | None,
        typer.Option(
            "--feed-again", metavar="CONTRACT", help="Feed the rows in under this contract."
        ),
    ] = None,
    source: Annotated[str | None, typer.Option(help="Only rows of this source.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the new run.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Rows shown.")] = 20,
    as_json: Json = False,
) -> None:
    """Browse refused rows with their reasons, or feed them in again."""
    directory = open_run(path)
    frame = directory.quarantine()
    if source is not None:
        frame = frame.filter(frame["source"] == source)
    if feed_again is not None:
        report = feed_quarantine_again(directory, frame, feed_again, out=out, source=source)
        show_report(report, as_json=as_json)
        return
    counts = frame.group_by("source", "reason").len().sort("source", "reason")
    if as_json:
        print_json(
            {
                "rows": frame.height,
                "by_reason": counts.to_dicts(),
                "sample": frame.head(limit).to_dicts(),
            }
        )
        return
    console = Terminal()
    console.print(f"{frame.height} rows in quarantine")
    for row in counts.to_dicts():
        console.print(f"  {row['source']:12} {row['reason']:24} {row['len']:>9,}", markup=False)
    for row in frame.head(limit).to_dicts():
        console.print(
            f"{row['_origin']}:{row['_row']} {row['reason']} {row['field']}: {row['detail']}",
            markup=False,
        )
        console.print(f"    {row['raw']}", markup=False)


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
