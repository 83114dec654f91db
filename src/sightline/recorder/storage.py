"""Storage: the only disk the recorder knows, small enough to simulate whole.

Paths are relative POSIX strings below one root. Every failure to write is a
:class:`~sightline.errors.StorageError`, so that no caller has to know ``errno``.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Protocol

from sightline.errors import LogError, StorageError, UsageError
from sightline.limits import DEFAULT_LIMITS, Limits


class WritableFile(Protocol):
    """A file being written from its beginning; nothing before the end can be changed."""

    def write(self, data: bytes) -> int: ...

    def flush(self) -> None: ...

    def tell(self) -> int: ...

    def close(self) -> None: ...


class Storage(Protocol):
    """What the recorder asks of a disk.

    Raises:
        StorageError: the disk is full or refuses.
        LogError: a file that should be there is missing, or one that should not is there.
    """

    def create(self, path: str) -> WritableFile:
        """Create ``path``, with its parents. Its name is durable on return.

        A file that is there already is somebody's work and refused, except for what an
        interrupted write left behind: a name that ends in :data:`TEMPORARY_SUFFIX`.
        """

    def open_read(self, path: str) -> BinaryIO:
        """Open for reading; seekable."""

    def sync(self, file: WritableFile) -> None:
        """Return when everything written to ``file`` is durable."""

    def sync_path(self, path: str) -> None:
        """Return when everything in the file is durable, whoever wrote it."""

    def replace(self, src: str, dst: str) -> None:
        """Rename ``src`` to ``dst`` atomically; durable on return. ``src`` is synced before."""

    def remove(self, path: str) -> None: ...

    def listdir(self, path: str) -> list[str]:
        """Names in the folder, sorted; empty when there is no such folder."""

    def exists(self, path: str) -> bool: ...

    def size(self, path: str) -> int:
        """Bytes in the file."""


TEMPORARY_SUFFIX = ".tmp"
"""Ends the name of a file that takes its place by :meth:`Storage.replace` once it is whole."""


class DirectoryStorage(Storage):
    """Storage in a folder of the local file system, for its owner alone (0700, 0600).

    The folder may come from somebody else: links in it are not followed, and what is no plain
    file (a pipe, a device) is not opened.

    Args:
        root: the folder; made when first written to.
        durable: True makes :meth:`sync`, :meth:`create` and :meth:`replace` wait for the disk
            (fsync of the file, of its folder). False hands the bytes to the operating system
            only: what was synced survives a killed process but not a power cut, and what a
            power cut leaves may be refused as damaged.
        limits: ``write_buffer_bytes``.
        check_writer: called before anything is written or removed; raises if somebody else
            writes here by now.

    >>> import tempfile
    >>> storage = DirectoryStorage(Path(tempfile.mkdtemp()))
    >>> file = storage.create("a/b.bin")
    >>> _ = file.write(b"hello"); storage.sync(file); file.close()
    >>> storage.listdir("a"), storage.size("a/b.bin")
    (['b.bin'], 5)
    """

    def __init__(
        self,
        root: Path,
        *,
        durable: bool = True,
        limits: Limits = DEFAULT_LIMITS,
        check_writer: Callable[[], None] = lambda: None,
    ) -> None:
        self._buffer_bytes = limits.write_buffer_bytes
        self._check_writer = check_writer
        self.root = root
        self.durable = durable

    def create(self, path: str) -> WritableFile:
        self._check_writer()
        target = self._locate(path)
        with _disk_errors(path):
            self._make_folder(target.parent)
            if path.endswith(TEMPORARY_SUFFIX):
                target.unlink(missing_ok=True)
            try:
                file = _DirectoryFile(target, path, self._buffer_bytes)
            except FileExistsError as error:
                raise LogError(
                    expected="no file of this name yet",
                    got="one that another process made, or that was put there",
                    where=path,
                    action="see whether somebody else writes to the run; else move the file away "
                    "and resume the run",
                ) from error
            self._sync_folder(target.parent)
        return file

    def open_read(self, path: str) -> BinaryIO:
        with _disk_errors(path):
            descriptor = _open_plain(self._locate(path), path)
            return os.fdopen(descriptor, "rb")

    def sync(self, file: WritableFile) -> None:
        if not isinstance(file, _DirectoryFile):
            raise UsageError(
                expected="a file made by create() of this storage",
                got=type(file).__name__,
                where="DirectoryStorage.sync",
                action="sync the file with the storage that created it",
            )
        self._check_writer()
        file.flush()
        if self.durable:
            file.fsync()

    def sync_path(self, path: str) -> None:
        self._check_writer()
        if not self.durable:
            return
        with self.open_read(path) as file, _disk_errors(path):
            os.fsync(file.fileno())

    def replace(self, src: str, dst: str) -> None:
        self._check_writer()
        source, target = self._locate(src), self._locate(dst)
        with _disk_errors(dst):
            source.replace(target)
            self._sync_folder(target.parent)

    def remove(self, path: str) -> None:
        self._check_writer()
        with _disk_errors(path):
            self._locate(path).unlink()

    def listdir(self, path: str) -> list[str]:
        with _disk_errors(path):
            try:
                folder = self._locate(path)
                _check_no_link(folder, path)
                return sorted(entry.name for entry in folder.iterdir())
            except FileNotFoundError:
                return []

    def exists(self, path: str) -> bool:
        return os.path.lexists(self._locate(path))

    def size(self, path: str) -> int:
        with _disk_errors(path):
            return self._locate(path).lstat().st_size

    def _locate(self, path: str) -> Path:
        target = self.root / check_path(path)
        folder = target.parent
        while folder != self.root:
            _check_no_link(folder, path)
            folder = folder.parent
        return target

    def _make_folder(self, folder: Path) -> None:
        if folder.is_dir():
            return
        self._make_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
        self._sync_folder(folder.parent)

    def _sync_folder(self, folder: Path) -> None:
        # A new name is durable only once its folder is; Windows cannot open folders and needs not.
        if not self.durable or os.name != "posix":
            return
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class _DirectoryFile:
    """A buffered file whose failures are StorageErrors."""

    def __init__(self, target: Path, path: str, buffer_bytes: int) -> None:
        self._path = path
        # O_EXCL follows no link, and tells two writers apart who both think it is their turn.
        descriptor = os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY | _CLOEXEC, 0o600)
        self._file = os.fdopen(descriptor, "wb", buffering=buffer_bytes)

    def write(self, data: bytes) -> int:
        try:
            return self._file.write(data)
        except OSError as error:
            raise storage_error(error, self._path) from error

    def flush(self) -> None:
        with _disk_errors(self._path):
            self._file.flush()

    def fsync(self) -> None:
        with _disk_errors(self._path):
            os.fsync(self._file.fileno())

    def tell(self) -> int:
        return self._file.tell()

    def close(self) -> None:
        with _disk_errors(self._path):
            self._file.close()


_CLOEXEC = getattr(os, "O_CLOEXEC", 0)
_READ_PLAIN = os.O_RDONLY | _CLOEXEC | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
"""A link is an error, and opening a pipe does not wait for somebody to write to it."""


def _open_plain(target: Path, path: str) -> int:
    """A descriptor of a plain file, for reading."""
    try:
        descriptor = os.open(target, _READ_PLAIN)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EMLINK):
            raise _no_plain_file(path, "a link") from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _no_plain_file(path, "a folder, pipe or device")
    return descriptor


def _check_no_link(folder: Path, path: str) -> None:
    if folder.is_symlink():
        raise _no_plain_file(path, f"a link in the place of {folder.name}")


def _no_plain_file(path: str, got: str) -> LogError:
    return LogError(
        expected="a plain file in the run directory itself",
        got=got,
        where=path,
        action="put the file itself there: what a run directory points to is not opened",
    )


def check_path(path: str) -> PurePosixPath:
    """``path`` if it is relative and stays below the root, else a UsageError.

    >>> check_path("log/p0/000000.mcap").name
    '000000.mcap'
    """
    parts = PurePosixPath(path)
    if not path or parts.is_absolute() or ".." in parts.parts or "\\" in path or "\0" in path:
        raise UsageError(
            expected="a relative POSIX path below the run directory",
            got=repr(path),
            where="recorder storage",
            action="name files without '..', backslashes or a leading '/'",
        )
    return parts


def storage_error(error: OSError, path: str) -> StorageError:
    """The StorageError that says what the operating system refused."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return StorageError(
        expected="the disk to take the operation",
        got=error.strerror or str(error),
        where=path,
        action="free space on the disk and resume the run"
        if full
        else "check the disk and its permissions, then resume the run",
    )


@contextlib.contextmanager
def _disk_errors(path: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise LogError(
            expected="this file in the run directory",
            got="nothing",
            where=path,
            action="restore the run directory from a copy, or start a new run",
        ) from error
    except NotADirectoryError as error:
        raise LogError(
            expected="a folder",
            got="a file in its place",
            where=path,
            action="restore the run directory from a copy, or start a new run",
        ) from error
    except OSError as error:
        raise storage_error(error, path) from error
