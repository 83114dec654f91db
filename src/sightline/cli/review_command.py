"""``sightline review``: uncertain parts on a page, and what people said of them as a data set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sightline.cli.console import Terminal, print_json
from sightline.cli.output_files import check_outputs
from sightline.cli.runs import Plugins, Run, open_run
from sightline.cli.serve_command import Host, Port, TokenFile, serve_run
from sightline.console.access import Access, read_token
from sightline.evidence.part_pixels import PartPixels
from sightline.evidence.parts_account import known_parts
from sightline.evidence.review_queue import miss_bound, review_queue
from sightline.evidence.reviewed_set import write_reviewed


def review(
    path: Run,
    export: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Write what was reviewed as pictures to train from, with masks, a manifest and "
            "COCO annotations, and serve no page.",
        ),
    ] = None,
    host: Host = "127.0.0.1",
    port: Port = 8765,
    token_file: TokenFile = None,
    plugins: Plugins = None,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print the queue and the audit as JSON, and serve no page."),
    ] = False,
) -> None:
    """Look at the parts that most need it: accept, reject or paint, from the keyboard.

    The queue has what the line could not decide, what lies near a threshold, where two opinions
    disagree, what is unlike good parts, and a random audit of accepted parts, which bounds how
    many defects were missed. For example `sightline review RUN`, then
    `sightline review RUN --export REVIEWED` and `sightline train inspection REVIEWED -o MODEL`.
    """
    check_outputs({"--export": export}, inputs=[path])
    if export is None and not as_json:
        access = Access.of(host=host, token=read_token(token_file))
        serve_run(
            lambda: open_run(path, plugins=plugins),
            access,
            host=host,
            port=port,
            refresh_s=2.0,
            at="review",
        )
        return
    run = open_run(path, plugins=plugins)
    parts = known_parts(run.parts())
    bound = miss_bound(parts, run.run_id)
    written = None
    if export is not None:
        pixels = PartPixels(run)
        pixels.read_on()
        written = write_reviewed(run, parts, pixels.pixels, export)
    if as_json:
        print_json(
            {
                "queue": [one.as_mapping() for one in review_queue(parts, run.run_id)],
                "audit": bound.as_mapping(),
                "set": None
                if written is None
                else {name: getattr(written, name) for name in written.__slots__},
            }
        )
        return
    assert written is not None
    console = Terminal()
    console.print(f"set          {export}")
    console.print(f"version      {written.version}")
    console.print(
        f"pictures     {written.good} good, {written.defect} with a defect, of which "
        f"{written.masks} are painted"
    )
    if written.without_picture:
        console.print(f"no picture   {written.without_picture} reviewed parts: not in the log")
    console.print(
        f"audit        {bound.audited} answered, {bound.defects} with a defect: with 95 % "
        f"confidence at most {100 * bound.rate_bound:.1f} % of {bound.accepted} accepted parts"
    )
