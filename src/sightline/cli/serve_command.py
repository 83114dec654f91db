"""``sightline serve``: the page of a live or finished run."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from sightline.cli.console import Terminal, stop_on_signal
from sightline.cli.runs import Plugins, Run, open_run
from sightline.console.access import Access, read_token
from sightline.console.console import Console
from sightline.console.reviewing import ReviewView
from sightline.console.serving import ConsoleServer
from sightline.runtime import RunDirectory
from sightline.runtime.stages.parts import PartsSettings

_LOOK_S = 0.1

Host = Annotated[
    str, typer.Option(help="Address to listen at. One that other machines can reach needs a token.")
]
Port = Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")]
TokenFile = Annotated[
    Path | None,
    typer.Option(
        help="File whose first line is the token that is asked for; also SIGHTLINE_CONSOLE_TOKEN."
    ),
]


def serve(
    path: Run,
    host: Host = "127.0.0.1",
    port: Port = 8765,
    token_file: TokenFile = None,
    refresh: Annotated[
        float,
        typer.Option(min=0.5, max=3600, help="Seconds between two looks at the log, at least."),
    ] = 2.0,
    plugins: Plugins = None,
) -> None:
    """Show a run as a page: standing alarms, why, cameras, sources; answer alarms of a live one.

    Open the address that is printed. Ctrl-C ends it. Only your answers
    change anything in the run.
    """
    access = Access.of(host=host, token=read_token(token_file))
    serve_run(
        lambda: open_run(path, plugins=plugins), access, host=host, port=port, refresh_s=refresh
    )


def serve_run(
    opened: Callable[[], RunDirectory],
    access: Access,
    *,
    host: str,
    port: int,
    refresh_s: float,
    at: str = "",
) -> None:
    """Serve the page of a run until somebody ends it.

    Args:
        opened: opens the run directory.
        access: who may look.
        host, port: where to listen.
        refresh_s: between two looks at the log, at least.
        at: the page whose address is printed, without the first ``/``.
    """
    run = opened()
    has_parts = any(isinstance(s, PartsSettings) for s in run.plan.pipeline.stages.values())
    review = ReviewView(opened) if has_parts else None
    console = Console(run, refresh_s=refresh_s, review=review)
    with (
        stop_on_signal(is_armed=True) as is_stopped,
        ExitStack() as stack,
        ConsoleServer(console, access, host=host, port=port) as server,
    ):
        if review is not None:
            stack.callback(review.close)
        said = "with a token" if access.token is not None else "for this machine alone"
        Terminal().print(f"page     {server.url}{at} ({said}); Ctrl-C ends it")
        while not is_stopped():
            time.sleep(_LOOK_S)
