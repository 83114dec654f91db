"""``sightline serve``: the page of a live or finished run."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from sightline.cli.console import Terminal, stop_on_signal
from sightline.cli.runs import Plugins, open_run
from sightline.console.access import Access, read_token
from sightline.console.console import Console
from sightline.console.serving import ConsoleServer

_LOOK_S = 0.1


def serve(
    path: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")],
    host: Annotated[
        str, typer.Option(help="Address to listen at; other than this machine's: with a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 8765,
    token_file: Annotated[
        Path | None,
        typer.Option(
            help="File whose first line is the token that is asked for; also "
            "SIGHTLINE_CONSOLE_TOKEN."
        ),
    ] = None,
    refresh: Annotated[
        float,
        typer.Option(min=0.5, max=3600, help="Seconds between two looks at the log, at least."),
    ] = 2.0,
    plugins: Plugins = None,
) -> None:
    """Show a run as a page: standing alarms, why, cameras, sources; answer alarms of a live one.

    Open the address that is printed. Ctrl-C ends it; the run is not touched.
    """
    access = Access.of(host=host, token=read_token(token_file))
    console = Console(open_run(path, plugins=plugins), refresh_s=refresh)
    with (
        stop_on_signal(is_armed=True) as is_stopped,
        ConsoleServer(console, access, host=host, port=port) as server,
    ):
        said = "with a token" if access.token is not None else "for this machine alone"
        Terminal().print(f"page     {server.url} ({said}); Ctrl-C ends it")
        while not is_stopped():
            time.sleep(_LOOK_S)
