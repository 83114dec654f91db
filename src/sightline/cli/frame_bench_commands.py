"""``sightline bench frames`` and ``deadlines``, and ``sightline profile``: where the time goes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from sightline.act import LatencyRecorder
from sightline.bench.deadlines import DeadlineCase, bench_deadlines
from sightline.bench.frames import bench_frames, stages_to_fix
from sightline.cli.console import print_json
from sightline.errors import LogError
from sightline.recorder import read_entries
from sightline.records import EntryKind
from sightline.runtime import RunDirectory
from sightline.runtime.frames.site_plan import DETECT
from sightline.runtime.pipeline import stage_budgets_s

Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
_PERCENTILES = ("p50", "p95", "p99", "worst")


def register(app: typer.Typer) -> None:
    """Add ``frames`` and ``deadlines`` to the app of the benchmarks."""
    app.command("frames")(frames)
    app.command("deadlines")(deadlines)


def frames(
    as_json: Json = False,
    count: Annotated[
        int, typer.Option("--frames", min=20, help="Frames for the bookkeeping.")
    ] = 2_000,
    live: Annotated[int, typer.Option(min=10, help="Frames in real time, at 15 per second.")] = 300,
) -> None:
    """What the engine costs per frame at 640 x 480, and from capture to command."""
    _show(bench_frames(frames=count, live_frames=live, progress=_say), as_json=as_json)


def deadlines(
    as_json: Json = False,
    count: Annotated[
        int,
        typer.Option(
            "--frames", min=20, help="Of all cameras, in real time; 600 for a quick look."
        ),
    ] = 10_000,
    cameras: Annotated[int, typer.Option(min=1, max=16)] = 4,
    rate: Annotated[float, typer.Option(min=1.0, max=60.0, help="Frames per second each.")] = 15.0,
    seed: Annotated[int, typer.Option(min=0, help="Of the faults.")] = 1,
    own: Annotated[
        bool, typer.Option("--own", help="A detector per camera instead of one for all.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Keep the run in this folder; otherwise it is removed.")
    ] = None,
) -> None:
    """Cameras in real time while the detector stalls, crashes and says NaN in 5 % of frames.

    Leaves with 1 if the replay differs, frames are lost or a fallback is not flagged.
    """
    case = DeadlineCase(frames=count, cameras=cameras, rate_hz=rate, seed=seed, is_shared=not own)
    found = bench_deadlines(case, out=out, progress=_say)
    _show(found, as_json=as_json)
    missed = found["deadline_missed"]
    is_sound = (
        found["replay"]["identical"]
        and found["accounts"]["conserved"]
        and found["fallbacks"]["all_flagged"]
        and missed["frames_reported"] == missed["frames_logged"]
        and not missed["frames_late_by_log_stamps_not_logged"]
    )
    raise typer.Exit(0 if is_sound else 1)


def profile(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")],
    as_json: Json = False,
) -> None:
    """Say which stage of a run takes most of the time it has: the one to fix first."""
    found = read_profile(RunDirectory.open(run))
    if as_json:
        print_json(found)
        return
    for stage in found["stages"]:
        times = ", ".join(f"{name} {stage[f'{name}_s'] * 1e3:9.3f} ms" for name in _PERCENTILES)
        whose = "its budget" if stage["has_own_budget"] else "the whole budget"
        typer.echo(
            f"{stage['stage']:16} {times}  p99 is {stage['share']:.1%} of {whose}, "
            f"{stage['budget_s'] * 1e3:g} ms; {stage['missed']} missed"
        )
    typer.echo(f"fix first        {found['fix_first']}")


def read_profile(run: RunDirectory) -> dict[str, Any]:
    """What each stage took per frame (or tick), by the measurements in the log of ``run``.

    Returns:
        ``stages``, the one to fix first at the head: ``stage``, ``p50_s`` to ``worst_s``,
        ``budget_s``, ``share`` of p99 in it, ``missed`` deadlines; and ``fix_first``.

    Raises:
        LogError: the log holds no times of stages.
    """
    recorders: dict[str, LatencyRecorder] = {}
    missed: dict[str, int] = {}
    kinds = {EntryKind.MEASUREMENT, EntryKind.DEADLINE_MISSED}
    for partition in run.partitions:
        for entry in read_entries(run.storage, partition, kinds=kinds, skip_pruned=True):
            if entry.kind is EntryKind.DEADLINE_MISSED:
                missed[entry.name] = missed.get(entry.name, 0) + 1
                continue
            for stage, took_s in json.loads(entry.payload).get("stage_s", ()):
                recorders.setdefault(stage, LatencyRecorder()).record(float(took_s))
    if not recorders:
        raise LogError(
            expected="measurements with the times of stages",
            got="none",
            where=str(run.path),
            action="profile a run that was made by this version and has fed a frame or tick",
        )
    stage_s = {stage: recorder.summary() for stage, recorder in recorders.items()}
    ranked = stages_to_fix(
        stage_s,
        budgets_s=_budgets_s(run),
        whole_budget_s=run.planned.pipeline.latency_budget_s,
    )
    return {
        "run": str(run.path),
        "fix_first": ranked[0].stage,
        "stages": [
            {
                "stage": one.stage,
                "count": int(stage_s[one.stage]["count"]),
                **{f"{name}_s": round(stage_s[one.stage][name], 6) for name in _PERCENTILES},
                "budget_s": one.budget_s,
                "has_own_budget": one.has_own_budget,
                "share": round(one.share, 4),
                "missed": missed.get(one.stage, 0),
            }
            for one in ranked
        ],
    }


def _budgets_s(run: RunDirectory) -> Mapping[str, float]:
    if not run.is_site:
        return stage_budgets_s(run.plan.pipeline)
    form = run.site.pipeline
    return {DETECT: max(form.detectors[c.detector].budget_s for c in form.cameras.values())}


def _say(message: str) -> None:
    typer.echo(message, err=True)


def _show(result: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(result)
        return
    for name, value in _lines(result):
        typer.echo(f"{name:58} {value}")


def _lines(plain: object, prefix: str = "") -> list[tuple[str, object]]:
    """One line per value; percentiles and lists of names share one."""
    if isinstance(plain, Mapping):
        if "p50" in plain:
            return [(prefix.rstrip("."), ", ".join(f"{k} {v:g}" for k, v in plain.items()))]
        return [line for key, one in plain.items() for line in _lines(one, f"{prefix}{key}.")]
    if isinstance(plain, list) and plain and isinstance(plain[0], Mapping):
        return [line for n, one in enumerate(plain) for line in _lines(one, f"{prefix}{n + 1}.")]
    if isinstance(plain, list):
        return [(prefix.rstrip("."), ", ".join(map(str, plain)))]
    return [(prefix.rstrip("."), plain)]
