"""One writer per run directory: two locks while it lives, and a fence should it be taken for dead.

The lock on the folder itself cannot be got round by deleting what lies in it. But the lock of a
folder is inherited: a child that stands between fork and exec when the writer is killed, asleep
perhaps, goes on holding it. The lock on ``run.lock`` is of another kind (POSIX): no child has it,
and it ends with its process. Who gets it on the file that the last writer left knows that this
writer is dead, and need not wait for whoever holds the folder still.

Neither says anything to worker processes, which write too and may be asleep when their
coordinator dies. So each opening of a run for writing has a number, its *epoch*, in ``run.json``;
a process that finds a higher one there than its own writes nothing any more.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sightline.errors import LogError, UsageError, writing

LOCK_NAME = "run.lock"
"""Holds the process id of the writer, for people, and the lock that ends with the writer."""

_UNKNOWN = "unknown"
_LOCK = fcntl.LOCK_EX | fcntl.LOCK_NB
_held: set[tuple[int, int]] = set()
"""Device and inode of the folders that this process holds: it must not open their lock files, as
a process that closes a file loses its POSIX locks on it, however often it had opened it."""
_held_guard = threading.Lock()


@contextmanager
def run_lock(path: Path) -> Iterator[None]:
    """Hold the run directory ``path`` for this process; made if it is not there.

    The locks are the operating system's and end with the process, however it ends: a lock file
    that lies there means nothing by itself.

    Raises:
        UsageError: another process holds it, or this one does already.
        LogError: something else lies in the place of the lock file, or there are no locks here.
        StorageError: the folder cannot be made or opened.
    """
    with writing(path):
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    with ExitStack() as stack:
        stack.callback(os.close, folder)
        stack.enter_context(_held_once(folder, path))
        holds_folder = _locked(fcntl.flock, folder)
        # Without the folder, only the file of a writer that is dead helps, not a new one.
        file = _open_lock_file(path, may_make=holds_folder is not False)
        if file is None:
            raise _held_by(_UNKNOWN, path)
        stack.callback(os.close, file)
        holds_file = _locked(fcntl.lockf, file)
        # A file without a process id is no writer's: somebody put it in the place of a lost one.
        is_left_behind = holds_file and _pid_in(file) != _UNKNOWN
        if holds_file is False or (holds_folder is False and not is_left_behind):
            raise _held_by(_pid_in(file), path)
        if not holds_folder and not holds_file:
            raise LogError(
                expected="a file system with locks",
                got="one that has none for folders, nor for files",
                where=str(path),
                action="choose a folder on another file system for --out",
            )
        os.ftruncate(file, 0)
        os.pwrite(file, str(os.getpid()).encode(), 0)
        yield


@contextmanager
def _held_once(folder: int, path: Path) -> Iterator[None]:
    status = os.fstat(folder)
    identity = (status.st_dev, status.st_ino)
    with _held_guard:
        if identity in _held:
            raise _held_by(str(os.getpid()), path)
        _held.add(identity)
    try:
        yield
    finally:
        with _held_guard:
            _held.discard(identity)


def _locked(lock: Callable[[int, int], None], descriptor: int) -> bool | None:
    """Take a lock; False where somebody has it, None where the file system has none such."""
    try:
        lock(descriptor, _LOCK)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        return None  # some network file systems lock files only, some nothing
    return True


def _held_by(holder: str, path: Path) -> UsageError:
    return UsageError(
        expected="a run directory that nobody writes to",
        got=f"one held by process {holder}",
        where=str(path),
        action="wait for the other run, or choose another folder for --out",
    )


def _open_lock_file(path: Path, *, may_make: bool) -> int | None:
    """The lock file, which may be somebody else's making: nothing but a plain file is opened.

    None where there is none and it may not be made.
    """
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    where = path / LOCK_NAME
    try:
        descriptor = os.open(where, flags | (os.O_CREAT if may_make else 0), 0o600)
    except FileNotFoundError:
        return None
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


def _pid_in(file: int) -> str:
    text = os.pread(file, 20, 0).decode(errors="replace")
    return text if text.isdecimal() else _UNKNOWN


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
