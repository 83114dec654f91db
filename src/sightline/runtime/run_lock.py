"""One writer per run directory: a lock while it lives, and a fence should it be taken for dead.

The lock is on the folder itself, so nothing that lies in it can be deleted to get round it, and it
ends with the process. It says nothing to worker processes, which write too and may be asleep when
their coordinator dies. So each opening of a run for writing has a number, its *epoch*, in
``run.json``; a process that finds a higher one there than its own writes nothing any more.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sightline.errors import LogError, UsageError

LOCK_NAME = "run.lock"
"""Holds the process id of the writer, for people, and for file systems that lock no folders."""


@contextmanager
def run_lock(path: Path) -> Iterator[None]:
    """Hold the run directory ``path`` for this process; made if it is not there.

    The lock is the operating system's and ends with the process, however it ends: a lock file
    that lies there means nothing by itself.

    Raises:
        UsageError: another process holds it.
        LogError: something else lies in the place of the lock file.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        is_folder_held = _lock(folder, path)
        file = _open_lock_file(path)
        try:
            _lock(file, path, must_work=not is_folder_held)
            os.ftruncate(file, 0)
            os.pwrite(file, str(os.getpid()).encode(), 0)
            yield
        finally:
            os.close(file)
    finally:
        os.close(folder)


def _lock(descriptor: int, path: Path, *, must_work: bool = False) -> bool:
    """Take the lock; False where the file system has none for such a file."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise UsageError(
            expected="a run directory that nobody writes to",
            got=f"one held by process {_holder(path)}",
            where=str(path),
            action="wait for the other run, or choose another folder for --out",
        ) from error
    except OSError as error:
        if not must_work:
            return False  # some network file systems lock files only
        raise LogError(
            expected="a file system with locks",
            got=error.strerror or type(error).__name__,
            where=str(path),
            action="choose a folder on another file system for --out",
        ) from error
    return True


def _open_lock_file(path: Path) -> int:
    """The lock file, which may be somebody else's making: nothing but a plain file is opened."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    where = path / LOCK_NAME
    try:
        descriptor = os.open(where, flags, 0o600)
    except OSError as error:
        raise _no_lock_file(where) from error
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
        os.close(descriptor)
        raise _no_lock_file(where)
    return descriptor


def _no_lock_file(where: Path) -> LogError:
    return LogError(
        expected="a plain file for the lock, or none",
        got="a link, a folder, a pipe or something that cannot be opened",
        where=str(where),
        action="delete it: it is made again",
    )


def _holder(path: Path) -> str:
    try:
        descriptor = os.open(path / LOCK_NAME, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return "unknown"
    with os.fdopen(descriptor, "rb") as file:
        text = file.read(20).decode(errors="replace")
    return text if text.isdecimal() else "unknown"


@dataclass(slots=True)
class WriteFence:
    """Says whether this opening of a run may still write to it.

    Args:
        run: the run directory, as it is named by who writes.
        manifest: name of the file with the epoch.
        folder_id: device and inode of the directory that was locked.
        epoch: of this opening.
    """

    run: Path
    manifest: str
    folder_id: tuple[int, int]
    epoch: int
    _seen: tuple[int, int, int] | None = field(default=None)

    @classmethod
    def of(cls, run: Path, *, manifest: str, epoch: int) -> WriteFence:
        """The fence of a process that has opened ``run`` for writing, and holds its lock."""
        status = run.stat()
        return cls(run, manifest, (status.st_dev, status.st_ino), epoch)

    def check(self) -> None:
        """Return if nobody has opened the run for writing since; some microseconds.

        Raises:
            LogError: somebody has, or the folder or its ``run.json`` is another one by now.
        """
        try:
            folder = self.run.stat()
            file = (self.run / self.manifest).lstat()
            seen = (file.st_ino, file.st_mtime_ns, file.st_size)
            if (folder.st_dev, folder.st_ino) == self.folder_id and seen == self._seen:
                return
            epoch = _epoch(self.run / self.manifest)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise self._refusal(f"one that cannot be read ({type(error).__name__})") from error
        if (folder.st_dev, folder.st_ino) != self.folder_id:
            raise self._refusal("another folder of the same name")
        if epoch != self.epoch:
            raise self._refusal(f"one that was opened again since (opening {epoch})")
        self._seen = seen

    def _refusal(self, got: str) -> LogError:
        return LogError(
            expected=f"a run directory that only opening {self.epoch} of the run writes to",
            got=got,
            where=str(self.run),
            action="nothing more is written here; what was committed is safe: leave the run to "
            "the later opening, or resume it",
        )


def _epoch(manifest: Path) -> int:
    return int(json.loads(manifest.read_bytes())["state"]["epoch"])
