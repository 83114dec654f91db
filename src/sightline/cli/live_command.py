"""``sightline live``: `sightline run` with `--live`, by the name that people look for."""

from __future__ import annotations

import inspect
from typing import Any

from sightline.cli.run_command import run

_OF_RUN = inspect.signature(run, eval_str=True)


def live(**options: Any) -> None:
    """Run a pipeline on rows and pictures as they come; the same as run --live.

    Ctrl-C or SIGTERM ends the run after what has come is in the log; --resume goes on with it.
    """
    run(**options, live=True)


# Typer reads the options of a command from its signature: these are those of `run`, but one.
live.__annotations__ = {name: one.annotation for name, one in _OF_RUN.parameters.items()}
live.__signature__ = _OF_RUN.replace(  # type: ignore[attr-defined]
    parameters=[one for name, one in _OF_RUN.parameters.items() if name != "live"]
)
