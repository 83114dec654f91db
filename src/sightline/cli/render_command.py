"""``sightline render``: a site's run as a video, or one moment of it as a picture."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from sightline.cli.console import Json, Terminal, print_json, working
from sightline.cli.runs import open_run
from sightline.cli.sources import open_sources
from sightline.errors import UsageError
from sightline.evidence.drawing import render_still, render_video
from sightline.evidence.drawing.rendering import LONGEST_PAUSE_S
from sightline.sense.frames.delivery import CameraSource


def render(
    path: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a site's run.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="X.mp4, or X.png together with --at.")],
    source: Annotated[
        list[str] | None,
        typer.Option(
            "--source",
            metavar="CAMERA=LOCATION",
            help="Recording the run was made from, for pictures that the log did not keep.",
        ),
    ] = None,
    at: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="A still, this long after the first frame."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Draw a site's run from its log: pictures, tracks, zones, risks and commands."""
    run = open_run(path)
    plan = run.plan
    if (at is None) == (out.suffix.lower() == ".png"):
        raise UsageError(
            expected="--at SECONDS with X.png, and X.mp4 without it",
            got=out.name + ("" if at is None else f" with --at {at:g}"),
            where="-o",
            action="mend the options",
        )
    opened = open_sources(plan, source or [], wall_ns=time.time_ns)
    sources = {n: one for n, one in opened.items() if isinstance(one, CameraSource)}
    live = ", ".join(name for name, camera in sources.items() if not camera.durable)
    if live:
        raise UsageError(
            expected="the recording of what the run saw",
            got=f"{live} as a live stream",
            where="--source",
            action="give a file or folder; a live picture cannot be seen again",
        )
    began_s = time.monotonic()
    received = sum(one.received for one in run.accounts().values())
    if at is not None:
        done = render_still(run, out, at_s=at, sources=sources)
    else:
        with working(
            "render", is_quiet=as_json, total=received // max(len(run.plan.cameras), 1)
        ) as show:
            done = render_video(
                run,
                out,
                sources=sources,
                on_progress=show,
            )
    took_s = time.monotonic() - began_s
    if as_json:
        print_json(
            {
                "path": str(done.path),
                "pictures": done.pictures,
                "size_px": list(done.size_px),
                "with_picture": done.with_picture,
                "without_picture": done.without,
                "at_s": done.at_s,
                "gaps_shortened": done.gaps,
                "took_s": round(took_s, 3),
            }
        )
        return
    console = Terminal()
    width, height = done.size_px
    console.print(f"{done.path}: {done.pictures:,} pictures of {width} x {height} px", markup=False)
    if done.without:
        console.print(
            f"{done.without:,} camera pictures are not in the log; give --source CAMERA=LOCATION"
        )
    if done.gaps:
        console.print(
            f"{done.gaps:,} gaps without a picture are shown {LONGEST_PAUSE_S:g} s long; the time "
            "written on each picture is its own"
        )
    console.print(f"{done.pictures / took_s:,.1f} pictures/s")
