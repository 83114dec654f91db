"""A disk in memory that can fill up, fail, and lose power."""

from __future__ import annotations

import io
from typing import BinaryIO

import numpy as np

from sightline.errors import LogError, StorageError, UsageError
from sightline.recorder.storage import TEMPORARY_SUFFIX, Storage, WritableFile, check_path

SECTOR_BYTES = 512


class SimulatedCrash(BaseException):
    """The power went out. A BaseException, so that no handler in the product can catch it."""


class SimulatedDisk(Storage):
    """Storage in memory with the guarantees of a real disk and no more.

    Bytes that were not synced may be lost by :meth:`crash`, from any point on; names (create,
    replace, remove) are durable at once, as ``Storage`` promises. An operation is one call that
    changes the disk: create, write, sync, sync_path, replace or remove.

    Args:
        capacity_bytes: all files together; a write beyond it stores what fits, then fails.
        fail_at_operation: this operation (from 1) fails once with a StorageError. A write stores
            half of its bytes before it fails.
        crash_at_operation: this operation (from 1) and every later one raises SimulatedCrash. A
            write stores half of its bytes before.
    """

    def __init__(
        self,
        *,
        capacity_bytes: int | None = None,
        fail_at_operation: int | None = None,
        crash_at_operation: int | None = None,
    ) -> None:
        self.capacity_bytes = capacity_bytes
        self.fail_at_operation = fail_at_operation
        self.crash_at_operation = crash_at_operation
        self.operations = 0
        self._files: dict[str, _Content] = {}

    # --- Storage ------------------------------------------------------------------------------

    def create(self, path: str) -> WritableFile:
        check_path(path)
        if path in self._files and not path.endswith(TEMPORARY_SUFFIX):
            raise LogError(
                expected="no file of this name yet", got="one", where=path, action="fix the test"
            )
        self._operate(path)
        self._files[path] = _Content(path)
        return _SimulatedFile(self, self._files[path])

    def open_read(self, path: str) -> BinaryIO:
        return io.BytesIO(bytes(self._content(path).data))

    def sync(self, file: WritableFile) -> None:
        if not isinstance(file, _SimulatedFile) or file.disk is not self:
            raise UsageError(
                expected="a file of this disk", got=repr(file), where="sync", action="fix the test"
            )
        self._operate(file.content.path)
        file.content.synced_bytes = len(file.content.data)

    def sync_path(self, path: str) -> None:
        content = self._content(path)
        self._operate(path)
        content.synced_bytes = len(content.data)

    def replace(self, src: str, dst: str) -> None:
        content = self._content(src)
        self._operate(dst)
        del self._files[src]
        content.path = dst
        self._files[dst] = content

    def remove(self, path: str) -> None:
        self._content(path)
        self._operate(path)
        del self._files[path]

    def listdir(self, path: str) -> list[str]:
        folder = str(check_path(path))
        prefix = "" if folder == "." else folder + "/"
        return sorted(
            {p[len(prefix) :].split("/", 1)[0] for p in self._files if p.startswith(prefix)}
        )

    def exists(self, path: str) -> bool:
        return path in self._files or bool(self.listdir(path))

    def size(self, path: str) -> int:
        return len(self._content(path).data)

    # --- what only a simulated disk can do ----------------------------------------------------

    @property
    def used_bytes(self) -> int:
        return sum(len(content.data) for content in self._files.values())

    def paths(self) -> list[str]:
        """Every file on the disk, sorted."""
        return sorted(self._files)

    def read_bytes(self, path: str) -> bytes:
        return bytes(self._content(path).data)

    def overwrite(self, path: str, data: bytes) -> None:
        """Damage or repair a file behind the product's back; what is written is durable."""
        content = self._files.setdefault(path, _Content(path))
        content.data = bytearray(data)
        content.synced_bytes = len(data)

    def copy(self) -> SimulatedDisk:
        """The same files on a healthy disk of the same capacity, all synced."""
        twin = SimulatedDisk(capacity_bytes=self.capacity_bytes)
        for path in self.paths():
            twin.overwrite(path, self.read_bytes(path))
        return twin

    def crash(self, rng: np.random.Generator, *, garble_probability: float = 0.25) -> SimulatedDisk:
        """The disk after a power cut: healthy again, and missing what was not synced.

        Every file keeps its synced bytes and a random part of the others. With probability
        ``garble_probability`` the last sector it kept holds noise where it was not synced.
        """
        twin = SimulatedDisk(capacity_bytes=self.capacity_bytes)
        for path in self.paths():
            content = self._files[path]
            kept = int(rng.integers(content.synced_bytes, len(content.data) + 1))
            data = bytearray(content.data[:kept])
            garbled = max(content.synced_bytes, (kept - 1) // SECTOR_BYTES * SECTOR_BYTES)
            if kept > garbled and rng.random() < garble_probability:
                data[garbled:] = rng.bytes(kept - garbled)
            twin.overwrite(path, bytes(data))
        return twin

    def _content(self, path: str) -> _Content:
        content = self._files.get(str(check_path(path)))
        if content is None:
            raise LogError(
                expected="this file", got="nothing", where=path, action="create it first"
            )
        return content

    def _write(self, content: _Content, data: bytes) -> int:
        try:
            self._operate(content.path)
        except (StorageError, SimulatedCrash):
            content.data += data[: len(data) // 2]
            raise
        if self.capacity_bytes is not None:
            free = max(0, self.capacity_bytes - self.used_bytes)
            if len(data) > free:
                content.data += data[:free]
                raise _refused(content.path, "no space left on device")
        content.data += data
        return len(data)

    def _operate(self, path: str) -> None:
        self.operations += 1
        if self.crash_at_operation is not None and self.operations >= self.crash_at_operation:
            raise SimulatedCrash(f"operation {self.operations} on {path}")
        if self.operations == self.fail_at_operation:
            raise _refused(path, "input/output error")


class _Content:
    """Bytes of a file; from ``synced_bytes`` on they are volatile."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.data = bytearray()
        self.synced_bytes = 0


class _SimulatedFile:
    def __init__(self, disk: SimulatedDisk, content: _Content) -> None:
        self.disk = disk
        self.content = content
        self._is_closed = False

    def write(self, data: bytes) -> int:
        if self._is_closed:
            raise ValueError("write to a closed file")
        return self.disk._write(self.content, data)

    def flush(self) -> None:
        pass

    def tell(self) -> int:
        return len(self.content.data)

    def close(self) -> None:
        self._is_closed = True


def _refused(path: str, got: str) -> StorageError:
    return StorageError(
        expected="the disk to take the operation", got=got, where=path, action="free space"
    )
