"""Starts a benchmark, from a checkout of the repository."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import typer

import sightline
from sightline.errors import UsageError


def checkout_of(package: Path) -> Path:
    """The folder that holds ``benchmarks``, where ``package`` is installed from a checkout.

    Raises:
        UsageError: it was installed without its repository.
    """
    checkout = package.parents[1]
    if not (checkout / "benchmarks" / "__main__.py").is_file():
        raise UsageError(
            expected="the folder benchmarks beside an editable installation",
            got=f"an installation in {package}, without it",
            where="sightline lab",
            action="clone the repository of Sightline, run `make install` there and try again",
        )
    return checkout


def bench(context: typer.Context) -> None:
    """Run a benchmark of the repository: NAME and its options; without them, list the names."""
    _run(context.args)


def published(context: typer.Context) -> None:
    """Run a published benchmark: `python -m benchmarks NAME DIR`, from a checkout."""
    _run([context.info_name or "", *context.args])


def _run(arguments: Sequence[str]) -> None:
    checkout = str(checkout_of(Path(sightline.__file__).parent))
    paths = [checkout, *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        check=False,
    )
    raise typer.Exit(done.returncode)
