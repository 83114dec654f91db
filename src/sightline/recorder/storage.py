"""Storage: the only disk the recorder knows, small enough to simulate whole.

Paths are relative POSIX strings below one root. Every failure to write is a
:class:`~sightline.errors.StorageError`, so that no caller has to know ``errno``.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
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
        LogError: a file that should be there is missing.
    """

    def create(self, path: str) -> WritableFile:
        """Create or truncate ``path``, with its parents. Its name is durable on return."""

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


class DirectoryStorage(Storage):
    """Storage in a folder of the local file system.

    Args:
        root: the folder; made when first written to.
        durable: True makes :meth:`sync`, :meth:`create` and :meth:`replace` wait for the disk
            (fsync of the file, of its folder). False hands the bytes to the operating system
            only: what was synced survives a killed process but not a power cut, and what a
            power cut leaves may be refused as damaged.
        limits: ``write_buffer_bytes``.

    >>> import tempfile
    >>> storage = DirectoryStorage(Path(tempfile.mkdtemp()))
    >>> file = storage.create("a/b.bin")
    >>> _ = file.write(b"hello"); storage.sync(file); file.close()
    >>> storage.listdir("a"), storage.size("a/b.bin")
    (['b.bin'], 5)
    """

    def __init__(
        self, root: Path, *, durable: bool = True, limits: Limits = DEFAULT_LIMITS
    ) -> None:
        self._buffer_bytes = limits.write_buffer_bytes
        self.root = root
        self.durable = durable

    def create(self, path: str) -> WritableFile:
        target = self._locate(path)
        with _disk_errors(path):
            self._make_folder(target.parent)
            file = _DirectoryFile(target, path, self._buffer_bytes)
            self._sync_folder(target.parent)
        return file

    def open_read(self, path: str) -> BinaryIO:
        with _disk_errors(path):
            return self._locate(path).open("rb")

    def sync(self, file: WritableFile) -> None:
        if not isinstance(file, _DirectoryFile):
            raise UsageError(
                expected="a file made by create() of this storage",
                got=type(file).__name__,
                where="DirectoryStorage.sync",
                action="sync the file with the storage that created it",
            )
        file.flush()
        if self.durable:
            file.fsync()

    def sync_path(self, path: str) -> None:
        if not self.durable:
            return
        with _disk_errors(path), self._locate(path).open("r+b") as file:
            os.fsync(file.fileno())

    def replace(self, src: str, dst: str) -> None:
        source, target = self._locate(src), self._locate(dst)
        with _disk_errors(dst):
            source.replace(target)
            self._sync_folder(target.parent)

    def remove(self, path: str) -> None:
        with _disk_errors(path):
            self._locate(path).unlink()

    def listdir(self, path: str) -> list[str]:
        with _disk_errors(path):
            try:
                return sorted(entry.name for entry in self._locate(path).iterdir())
            except FileNotFoundError:
                return []

    def exists(self, path: str) -> bool:
        return self._locate(path).exists()

    def size(self, path: str) -> int:
        with _disk_errors(path):
            return self._locate(path).stat().st_size

    def _locate(self, path: str) -> Path:
        return self.root / check_path(path)

    def _make_folder(self, folder: Path) -> None:
        if folder.is_dir():
            return
        self._make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
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
        self._file = target.open("wb", buffering=buffer_bytes)

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
    except OSError as error:
        raise storage_error(error, path) from error
