"""Commands of ``sightline``.

Exit codes: 0 done; 1 a replay, comparison or verification did not hold; 2 wrong usage;
3 contract; 4 pipeline; 5 source; 6 log, checkpoint or ledger; 7 alert receiver or database;
8 disk; 70 a defect of Sightline.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from sightline.cli import (
    alert_commands,
    anomaly_benchmark_commands,
    bench_command,
    demo_command,
    detect_command,
    explain_command,
    profile_command,
    render_command,
    report_command,
    site_score_command,
    tracking_commands,
)
from sightline.cli.console import (
    counting_display,
    fail,
    print_json,
    progress_display,
    stop_on_signal,
)
from sightline.cli.feeding import feed_quarantine_again
from sightline.cli.outlets import parse_alerts
from sightline.cli.site_commands import is_site_file, replay_site, run_site_file
from sightline.cli.sources import open_sources, parse_controls, parse_speed
from sightline.errors import SightlineError, UsageError
from sightline.evidence import (
    quarantine_frame,
    summary_lines,
)
from sightline.limits import DEFAULT_LIMITS
from sightline.recorder import verify_log
from sightline.records import Accounts
from sightline.runtime import (
    Pipeline,
    ReplayVerdict,
    RunComparison,
    RunDirectory,
    RunOptions,
    RunReport,
    compare_runs,
    load_plan,
    replay_run,
    run_pipeline,
)
from sightline.runtime.pruning import prune_run
from sightline.sense.contract import contract_json_schema

app = typer.Typer(
    name="sightline",
    help="Raw sensor streams in, audited decisions out, on time.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
bench_command.register(app)
app.add_typer(alert_commands.app, name="alert")
app.command("alerts")(alert_commands.alerts)
app.add_typer(tracking_commands.app, name="evaluate")
anomaly_benchmark_commands.register(tracking_commands.app)
site_score_command.register(tracking_commands.app)
app.command("demo")(demo_command.demo)
app.command("track")(tracking_commands.track)
app.command("render")(render_command.render)
app.command("detect")(detect_command.detect)
app.command("explain")(explain_command.explain_command)
app.command("report")(report_command.report)
app.command("profile")(profile_command.profile)

Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
Run = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")]
Sources = Annotated[
    list[str] | None,
    typer.Option(
        "--source",
        metavar="NAME=LOCATION",
        help="File, folder, - for stdin; cameras: also rtsp:// or http(s)://.",
    ),
]


def main() -> None:
    """Entry point of the ``sightline`` command."""
    try:
        app()
    except SightlineError as error:
        try:
            fail(error)
        except typer.Exit as leave:
            sys.exit(leave.exit_code)


@app.command()
def run(
    pipeline: Annotated[Path, typer.Argument(help="Pipeline file (YAML).")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the run.")],
    source: Sources = None,
    speed: Annotated[str, typer.Option(help="max, or a multiple of real time: 1x, 60x.")] = "max",
    live: Annotated[
        bool,
        typer.Option("--live", help="Take rows as they come and tick by the wall clock."),
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    workers: Annotated[int, typer.Option(min=0, help="Worker processes; 0: in this one.")] = 0,
    alerts: Annotated[
        list[str] | None,
        typer.Option(
            "--alerts", metavar="[NAME=]LOCATION", help="jsonl:FILE, http(s)://… or mqtt(s)://…"
        ),
    ] = None,
    control: Annotated[
        list[Path] | None, typer.Option("--control", help="Operator inputs (JSON lines).")
    ] = None,
    actuator: Annotated[
        list[str] | None,
        typer.Option(
            "--actuator",
            metavar="MACHINE=LOCATION",
            help="Of a site: mqtt(s)://HOST/PREFIX, http(s)://… or jsonl:FILE.",
        ),
    ] = None,
    metrics_port: Annotated[
        int | None, typer.Option(help="Serve /metrics on this port of localhost.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Run a pipeline over files, folders or standard input, or a site over its cameras.

    With --live, or of a site, an interrupt (Ctrl-C, SIGTERM) commits what has come and ends the
    run; --resume goes on with it.
    """
    if is_site_file(pipeline):
        run_site_file(
            pipeline,
            out,
            source=source or [],
            speed=speed,
            resume=resume,
            actuator=actuator or [],
            alerts=alerts or [],
            control=control or [],
            metrics_port=metrics_port,
            as_json=as_json,
        )
        return
    plan = load_plan(pipeline)
    if workers > DEFAULT_LIMITS.max_workers:
        raise UsageError(
            expected=f"at most {DEFAULT_LIMITS.max_workers} workers",
            got=str(workers),
            where="--workers",
            action="give fewer",
        )
    options = RunOptions(
        speed=parse_speed(speed),
        is_live=live,
        workers=workers,
        resume=resume,
        controls=parse_controls(control or []),
    )
    sources = open_sources(plan, source or [])
    with (
        stop_on_signal(is_armed=live) as is_stopped,
        demo_command.metrics_server(metrics_port) as metrics,
        progress_display(plan.pipeline.pipeline, is_quiet=as_json) as on_progress,
    ):
        report = run_pipeline(
            plan,
            sources,
            out,
            options=options,
            sinks=parse_alerts(alerts or []),
            metrics=metrics,
            on_progress=on_progress,
            is_stopped=is_stopped,
        )
    show_report(report, as_json=as_json)


def show_report(report: RunReport, *, as_json: bool) -> None:
    """Print what a run came to."""
    if as_json:
        print_json(report.as_mapping())
        return
    console = Console(highlight=False, soft_wrap=True)
    for line in summary_lines(report):
        console.print(line)


@app.command()
def replay(
    path: Run,
    against: Annotated[
        Path | None, typer.Option("--against", help="Another run, to compare with.")
    ] = None,
    source: Sources = None,
    rerun_models: Annotated[
        bool, typer.Option("--rerun-models", help="Ask the models again and compare.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Replay a run; exit 0 only if every decision is byte-identical."""
    directory = RunDirectory.open(path)
    if directory.is_site:
        replay_site(directory, rerun_models=rerun_models, against=against, as_json=as_json)
        return
    sources = open_sources(directory.plan, source) if source else None
    with counting_display("replay", is_quiet=as_json) as on_progress:
        verdict = replay_run(
            directory, sources=sources, rerun_models=rerun_models, on_progress=on_progress
        )
    comparison = compare_runs(directory, RunDirectory.open(against)) if against else None
    holds = bool(verdict) and (comparison is None or bool(comparison))
    if as_json:
        print_json(
            {
                "identical": bool(verdict),
                "decisions": verdict.decisions,
                "entries": verdict.entries,
                "digest": verdict.digest,
                "final_digest": verdict.final_digest,
                "difference": str(verdict.difference) if verdict.difference else None,
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
    raise typer.Exit(0 if holds else 1)


def _show_replay(verdict: ReplayVerdict, comparison: RunComparison | None) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for partition, after in verdict.began_at.items():
        console.print(
            f"{partition}: replayed from the checkpoint at entry {after:,} on; pruned before"
        )
    if verdict:
        console.print(
            f"replay: {verdict.decisions} decisions from {verdict.entries} entries, "
            f"[green]every one the same bytes[/green]\n  digest {verdict.digest}"
        )
    else:
        console.print(f"replay: [red]differs[/red] at {verdict.difference}")
    if comparison is not None:
        if comparison:
            console.print(f"against: [green]equivalent[/green]\n  digest {comparison.digest_b}")
        else:
            final = "equal" if comparison.is_final_equal else "different"
            console.print(
                f"against: [red]not equivalent[/red] ({comparison.decisions_a} and "
                f"{comparison.decisions_b} revisions; final revisions {final})"
            )
            if comparison.difference:
                console.print(f"  {comparison.difference}", soft_wrap=True)


@app.command()
def verify(
    path: Run,
    head: Annotated[
        list[str] | None,
        typer.Option("--head", metavar="PARTITION=HASH", help="Head hash kept elsewhere."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Verify the hash chain of every log, and the conservation equation."""
    directory = RunDirectory.open(path)
    expected = dict(item.split("=", 1) for item in head or [] if "=" in item)
    with counting_display("verify", is_quiet=as_json) as on_progress:
        verdicts = {
            name: verify_log(directory.storage, name, on_progress=on_progress)
            for name in directory.partitions
        }
    heads = {n: n not in expected or v.head.hash == expected[n] for n, v in verdicts.items()}
    chains_hold = all(verdicts.values()) and all(heads.values())
    accounts = Accounts.total(directory.accounts().values()) if chains_hold else Accounts()
    holds = chains_hold and accounts.is_balanced
    if as_json:
        print_json(
            {
                "holds": holds,
                "logs": {
                    n: {
                        "holds": bool(v) and heads[n],
                        "entries": v.entries,
                        "pruned": v.pruned_entries,
                        "head": v.head.hash,
                        "problem": v.problem or ("" if heads[n] else "another head hash"),
                    }
                    for n, v in verdicts.items()
                },
                "conservation": accounts.equation() if chains_hold else None,
            }
        )
    else:
        console = Console(highlight=False, soft_wrap=True)
        for name, verdict in verdicts.items():
            mark = "[green]holds[/green]" if verdict and heads[name] else "[red]broken[/red]"
            console.print(
                f"{name}: chain {mark}, {verdict.entries} entries, head {verdict.head.hash}"
            )
            if verdict.problem:
                console.print(f"  {verdict.problem}", soft_wrap=True)
            elif not heads[name]:
                console.print(f"  expected head {expected[name]}", soft_wrap=True)
        if chains_hold:
            console.print(f"conservation: {accounts.equation()}")
    raise typer.Exit(0 if holds else 1)


@app.command()
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
    done = prune_run(RunDirectory.open(path), keep_bytes=keep_bytes, keep_after_ns=keep_after_ns)
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
    console = Console(highlight=False, soft_wrap=True)
    for name, pruned in done.pruned.items():
        console.print(f"{name}: {pruned.entries:,} entries, {pruned.freed_bytes:,} bytes freed")
    for name, why in done.kept.items():
        console.print(f"{name}: nothing pruned ({why})")


@app.command()
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
    directory = RunDirectory.open(path)
    frame = quarantine_frame(directory)
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
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"{frame.height} rows in quarantine")
    for row in counts.to_dicts():
        console.print(f"  {row['source']:12} {row['reason']:24} {row['len']:>9,}")
    for row in frame.head(limit).to_dicts():
        console.print(
            f"{row['_origin']}:{row['_row']} {row['reason']} {row['field']}: {row['detail']}\n"
            f"    {row['raw']}",
            markup=False,
            soft_wrap=True,
        )


@app.command()
def schema(
    what: Annotated[str, typer.Argument(help="contract or pipeline")] = "contract",
) -> None:
    """Print the JSON Schema of contracts or pipelines, for editors."""
    if what not in ("contract", "pipeline"):
        raise UsageError(
            expected="contract or pipeline", got=what, where="argument", action="choose one"
        )
    print_json(contract_json_schema() if what == "contract" else Pipeline.model_json_schema())
