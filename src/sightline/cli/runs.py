"""Opening the folder of a run, with the plugins that its user trusts."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from sightline.errors import UsageError
from sightline.runtime import RunDirectory

PLUGINS = "SIGHTLINE_PLUGINS"
"""Environment variable: folders, separated as in ``PATH``, for every command that opens a run."""

Run = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")]
Plugins = Annotated[
    list[str] | None,
    typer.Option(
        "--plugins",
        metavar="FOLDER|MODULE",
        help="Folder with the modules that the run's pipeline names under plugins, or an installed "
        f"one of them. Only what is named here, or in {PLUGINS}, is imported.",
    ),
]


def open_run(
    path: Path, *, plugins: Sequence[str] | None = None, has_logs: bool = True
) -> RunDirectory:
    """As :meth:`.RunDirectory.open`, with the plugins of the option and of the environment.

    Raises:
        UsageError: it is the folder of ``inspect``, which has pictures and no parts.
    """
    if (path / "explained.jsonl").exists() and not (path / "run.json").exists():
        raise UsageError(
            expected="the folder of a run",
            got="that of `sightline inspect`: decisions of pictures, without a log",
            where=str(path),
            action="to review pictures as parts: sightline init PICTURES --model MODEL -o DIR, and "
            "the command that it prints",
        )
    named = [name for name in os.environ.get(PLUGINS, "").split(os.pathsep) if name]
    return RunDirectory.open(path, plugins=[*(plugins or ()), *named], has_logs=has_logs)


def entries_of(run: RunDirectory) -> dict[str, int]:
    """How many entries each log has, about: as the run ended, or as its newest checkpoint is named.

    A run that still goes on has more than at its last end; its checkpoints follow it.
    """
    found = {}
    for partition in run.partitions:
        folder = run.path / "checkpoints" / partition
        names = [path.stem for path in folder.glob("*.ckpt")] if folder.is_dir() else []
        head = run.state.heads.get(partition)
        ended = 0 if head is None else head.sequence
        found[partition] = max([ended, *(int(name) for name in names if name.isdecimal())])
    return found
