"""One writer per run directory."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sightline.errors import UsageError

LOCK_NAME = "run.lock"


@contextmanager
def run_lock(path: Path) -> Iterator[None]:
    """Hold the run directory ``path`` for this process; made if it is not there.

    The lock is the operating system's and ends with the process, however it ends: a lock file
    that lies there means nothing by itself.

    Raises:
        UsageError: another process holds it.
    """
    path.mkdir(parents=True, exist_ok=True)
    with (path / LOCK_NAME).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            raise UsageError(
                expected="a run directory that nobody writes to",
                got=f"one held by process {file.read().strip() or 'unknown'}",
                where=str(path),
                action="wait for the other run, or choose another folder for --out",
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
