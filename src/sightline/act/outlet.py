"""Where alerts go: what a sink promises, and the sink that is a file."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path
from typing import BinaryIO, Protocol

from sightline.errors import SinkError
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.records import Decision


class Sayable(Protocol):
    """A decision, or a message of an alert desk."""

    def canonical_bytes(self) -> bytes:
        """One JSON object, UTF-8, without a line break."""


class Sink(Protocol):
    """A receiver of alerts. It makes each idempotency key take effect once."""

    def send(self, said: Sayable, /, *, idempotency_key: str) -> None:
        """Hand over one decision or message; returning means that the receiver has it for good.

        Args:
            said: what to send.
            idempotency_key: ``decision_id:revision``, or the id of a notice; the same at every
                attempt.

        Raises:
            SinkError: not taken; it will be tried again. A :class:`DeliveryError` says more.
        """


class DeliveryError(SinkError):
    """An alert was not taken. ``got`` is kept in the outbox, so it must hold no secret.

    Attributes:
        is_permanent: trying again cannot help.
        is_unreachable: there was no answer at all, so other alerts would fare no better.
        retry_after_s: how long the receiver asked to be left alone; None where it did not.
    """

    def __init__(
        self,
        *,
        got: str,
        where: str,
        expected: str = "the alert to be taken",
        action: str = "mend the receiver; the alert stays in the outbox",
        is_permanent: bool = False,
        is_unreachable: bool = False,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(expected=expected, got=got, where=where, action=action)
        self.is_permanent = is_permanent
        self.is_unreachable = is_unreachable
        self.retry_after_s = retry_after_s

    def __reduce__(self) -> tuple[object, ...]:
        rebuild = partial(
            DeliveryError,
            expected=self.expected, got=self.got, where=self.where, action=self.action,
            is_permanent=self.is_permanent, is_unreachable=self.is_unreachable,
            retry_after_s=self.retry_after_s,
        )  # fmt: skip
        return (rebuild, ())


class JsonLinesSink:
    """Appends the canonical bytes of each decision or notice once to a file, one a line, forced to
    disk.

    For one writer at a time. The keys of a file are held in memory, some 100 bytes each.

    Args:
        path: the file; made with its folder where it is absent. A last line that a crash left
            unfinished is cut: its decision was not acknowledged and comes again.
        max_keys: decisions in one file. Beyond it sending is refused.
        limits: ``max_line_bytes``.

    Attributes:
        cut_bytes: size of the unfinished last line that was cut on opening.

    Raises:
        SinkError: the file cannot be read or written, or holds something else than decisions.
    """

    def __init__(
        self, path: Path, *, max_keys: int = 5_000_000, limits: Limits = DEFAULT_LIMITS
    ) -> None:
        self._path = path
        self._max_keys = max_keys
        self._max_line_bytes = limits.max_line_bytes
        self._keys: set[str] = set()
        self._end = 0  # size of the file up to its last whole line
        self.cut_bytes = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a+b") as file:
                self._recover(file)
            _sync_folder(path.parent)
        except OSError as error:
            raise SinkError(
                expected="a file to append to",
                got=_cause(error),
                where=str(path),
                action="check the folder and its permissions, or give another file",
            ) from error

    def __repr__(self) -> str:
        return f"JsonLinesSink({str(self._path)!r})"

    def send(self, said: Sayable, /, *, idempotency_key: str) -> None:
        """Append ``said`` unless the file has it. A failed write leaves the file as it was.

        Raises:
            DeliveryError: the disk refused, or the file holds ``max_keys`` decisions.
        """
        line = said.canonical_bytes() + b"\n"
        # Only what the line itself says is found again when the file is opened.
        if isinstance(said, Decision):
            key = f"{said.decision_id}:{said.revision}"
        else:
            key = _key(json.loads(line))
        if key in self._keys:
            return
        if len(self._keys) >= self._max_keys:
            raise DeliveryError(
                expected=f"at most {self._max_keys} decisions in a file",
                got="a full file",
                where=str(self._path),
                action="give another file; the alert stays in the outbox",
            )
        try:
            with self._path.open("r+b", buffering=0) as file:
                # Whatever an earlier failure left behind the last whole line goes away here.
                file.truncate(self._end)
                file.seek(self._end)
                _write_all(file, line)
                os.fsync(file.fileno())
        except OSError as error:
            raise DeliveryError(
                got=_cause(error),
                where=str(self._path),
                action="free space; the alert stays in the outbox",
            ) from error
        self._end += len(line)
        self._keys.add(key)

    def _recover(self, file: BinaryIO) -> None:
        file.seek(0)
        while line := file.readline(self._max_line_bytes + 1):
            if not line.endswith(b"\n"):
                if len(line) > self._max_line_bytes:
                    raise self._foreign(line)
                break
            try:
                self._keys.add(_key(json.loads(line)))
            except (ValueError, KeyError, TypeError) as error:
                raise self._foreign(line) from error
            self._end += len(line)
        self.cut_bytes = file.seek(0, os.SEEK_END) - self._end
        if self.cut_bytes:
            file.truncate(self._end)
            os.fsync(file.fileno())

    def _foreign(self, line: bytes) -> SinkError:
        return SinkError(
            expected="a file of decisions or notices, one JSON object a line",
            got=repr(line[:60].decode(errors="replace")),
            where=f"{self._path}, byte {self._end}",
            action="give another file",
        )


def _key(plain: dict[str, object]) -> str:
    """What a line is known by."""
    if "notice_id" in plain:
        return str(plain["notice_id"])
    return f"{plain['decision_id']}:{plain['revision']}"


def _write_all(file: BinaryIO, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


def _sync_folder(folder: Path) -> None:
    """Make the file's name durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _cause(error: OSError) -> str:
    return error.strerror or type(error).__name__
