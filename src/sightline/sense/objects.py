"""Files in a folder or in object storage, listed and read the same way.

A listing can begin behind a name, so one that broke off goes on from there instead of from the
start. What is read of a bucket is tried again with growing waits (by the client, obstore); what
still fails is a SourceError. Credentials come from the environment or the machine's role, as the
AWS tools take them: they stand in no address.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from sightline.errors import SourceError, UsageError
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.sense.source import path_of

_PIECE_BYTES = 1 << 20
_SHOWN_CHARS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """A file of a folder or bucket.

    Attributes:
        name: from the root, with ``/`` between its parts.
        size: bytes.
        identity: changes when the file is written again: its time, or its tag.
    """

    name: str
    size: int
    identity: str


class ObjectFolder(Protocol):
    """A place with files."""

    location: str

    def listing(self, *, after: str = "") -> Iterator[StoredObject]:
        """Files whose name sorts behind ``after``, in order of name."""

    def open(self, name: str) -> Path | BinaryIO:
        """A file to read at any place: its path, or something with read and seek."""

    def sha256(self, name: str) -> str:
        """Of its bytes, hex."""


class LocalFolder:
    """A folder on the disk, with those below it; hidden files apart."""

    def __init__(self, location: str) -> None:
        self.location = location
        self._root = path_of(location)
        if not self._root.is_dir():
            raise SourceError(
                expected="a folder",
                got="a file" if self._root.exists() else "nothing",
                where=location,
                action="check the path",
            )

    def listing(self, *, after: str = "") -> Iterator[StoredObject]:
        found = []
        for path in self._root.rglob("*"):
            name = path.relative_to(self._root).as_posix()
            is_hidden = any(part.startswith(".") for part in name.split("/"))
            if name > after and not is_hidden and path.is_file():
                found.append((name, path))
        for name, path in sorted(found):
            status = path.stat()
            yield StoredObject(
                name=name, size=status.st_size, identity=f"{status.st_mtime_ns}-{status.st_ino}"
            )

    def open(self, name: str) -> Path | BinaryIO:
        return self._root / name

    def sha256(self, name: str) -> str:
        try:
            with (self._root / name).open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise _unreadable(f"{self.location}/{name}", error) from error


class Bucket:
    """``s3://BUCKET/PREFIX`` and what speaks like it (``AWS_ENDPOINT_URL``).

    Args:
        location: the address.
        limits: ``object_tries``, ``object_wait_s`` and ``object_answer_s``.

    Raises:
        UsageError: obstore is not installed, or the address cannot work.
    """

    def __init__(self, location: str, *, limits: Limits) -> None:
        try:
            import obstore  # noqa: PLC0415 - an extra
            from obstore.exceptions import BaseError  # noqa: PLC0415
            from obstore.store import S3Store  # noqa: PLC0415
        except ModuleNotFoundError as error:
            raise UsageError(
                expected="obstore, to read a bucket",
                got=f"no module {error.name}",
                where=location,
                action="pip install 'sightline[objects]'",
            ) from error
        self.location = location.rstrip("/")
        self._obstore: Any = obstore
        self._errors: tuple[type[BaseException], ...] = (BaseError, OSError)
        self._tries = limits.object_tries
        endpoint = os.environ.get("AWS_ENDPOINT_URL", "")
        try:
            self._store: Any = S3Store.from_url(
                self.location,
                client_options={
                    "allow_http": endpoint.startswith("http://"),
                    "timeout": timedelta(seconds=limits.object_answer_s),
                },
                retry_config={
                    "max_retries": limits.object_tries,
                    "retry_timeout": timedelta(seconds=limits.object_wait_s),
                },
                config={"endpoint": endpoint} if endpoint else {},
            )
        except (BaseError, ValueError) as error:
            raise UsageError(
                expected="s3://BUCKET/PREFIX",
                got=str(error)[:_SHOWN_CHARS],
                where=location,
                action="mend the address",
            ) from error

    def listing(self, *, after: str = "") -> Iterator[StoredObject]:
        """As promised; where it breaks off it is begun again behind the last name."""
        tries = 0
        while True:
            try:
                for page in self._obstore.list(self._store, offset=after or None):
                    for one in sorted(page, key=lambda o: str(o["path"])):
                        after = one["path"]
                        yield StoredObject(
                            name=after, size=one["size"], identity=str(one["e_tag"] or "")
                        )
                    tries = 0
                return
            except self._errors as error:
                tries += 1
                if tries > self._tries:
                    raise _unreadable(self.location, error) from error

    def open(self, name: str) -> Path | BinaryIO:
        try:
            opened = self._obstore.open_reader(self._store, name)
        except self._errors as error:
            raise _unreadable(f"{self.location}/{name}", error) from error
        return io.BufferedReader(_Reader(opened), _PIECE_BYTES)

    def sha256(self, name: str) -> str:
        digest = hashlib.sha256()
        try:
            for piece in self._obstore.get(self._store, name).stream(min_chunk_size=_PIECE_BYTES):
                digest.update(piece)
        except self._errors as error:
            raise _unreadable(f"{self.location}/{name}", error) from error
        return digest.hexdigest()


class _Reader(io.RawIOBase):
    """What a bucket gives, as a file of Python."""

    def __init__(self, opened: Any) -> None:
        self._opened = opened

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return int(self._opened.seek(offset, whence))

    def tell(self) -> int:
        return int(self._opened.tell())

    def readinto(self, into: Any) -> int:
        piece = bytes(self._opened.read(len(into)))
        into[: len(piece)] = piece
        return len(piece)


def open_folder(location: str, *, limits: Limits = DEFAULT_LIMITS) -> ObjectFolder:
    """The files at a path, or at ``s3://BUCKET/PREFIX``.

    Raises:
        SourceError: no folder there.
        UsageError: an address that cannot work, or without what reads it.
    """
    if location.startswith("s3://"):
        return Bucket(location, limits=limits)
    return LocalFolder(location)


def _unreadable(where: str, error: BaseException) -> SourceError:
    said = getattr(error, "strerror", None) or " ".join(str(error).split())
    return SourceError(
        expected="a place that can be read",
        got=f"{type(error).__name__}: {said}"[:_SHOWN_CHARS],
        where=where,
        action="see address, credentials (AWS_ACCESS_KEY_ID, AWS_REGION, …) and network; what was "
        "done is kept, run it again",
    )
