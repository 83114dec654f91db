"""The outlet that is a file: alerts or commands, one JSON object a line, each once."""

from __future__ import annotations

import json
import os
from collections import OrderedDict
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, Self

from sightline.act.outlet import DeliveryError, Outlet, Sayable, Taken
from sightline.errors import SinkError, UsageError
from sightline.limits import DEFAULT_LIMITS, Limits


class JsonLinesOutlet(Outlet):
    """Appends JSON to a file, one object a line, and forces it to the disk.

    For one writer at a time. The newest ``limits.outlet_keys`` keys of the file are held in memory
    and not written again, also over runs; opening reads the whole file and changes nothing in it.

    Args:
        path: the file; made with its folder where it is absent, also while it is written to. A
            last line that a crash left unfinished is cut before the first line is written: it was
            not acknowledged and comes again. Anything else is left alone.
        limits: ``max_line_bytes``, ``outlet_keys``.

    Attributes:
        cut_bytes: size of the unfinished last line that was found on opening.

    Raises:
        SinkError: the file cannot be read or written, or holds something else.
    """

    schemes: ClassVar[tuple[str, ...]] = ("jsonl",)
    takes: ClassVar[tuple[Taken, ...]] = ("alerts", "commands")

    def __init__(self, path: Path, *, limits: Limits = DEFAULT_LIMITS) -> None:
        self._path = path
        self._limits = limits
        self._keys: OrderedDict[str, None] = OrderedDict()
        self._end = 0  # size of the file up to its last whole line
        self.cut_bytes = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a+b") as file:
                self._read_on(file)
                self.cut_bytes = file.seek(0, os.SEEK_END) - self._end
            _sync_folder(path.parent)
        except OSError as error:
            raise SinkError(
                expected="a file to append to",
                got=_cause(error),
                where=str(path),
                action="check the folder and its permissions, or give another file",
            ) from error

    @classmethod
    def open(cls, location: str, *, name: str, options: Any, limits: Limits) -> Self:
        """``jsonl:FILE``."""
        path = location.partition(":")[2]
        if not path:
            raise UsageError(
                expected="jsonl:FILE", got="no file", where=name, action="name the file"
            )
        return cls(Path(path), limits=limits)

    def __repr__(self) -> str:
        return f"JsonLinesOutlet({str(self._path)!r})"

    def send(self, said: Sayable, /, *, idempotency_key: str, deadline_s: float) -> None:
        """Append ``said`` unless the file has it. A failed write leaves the file as it was.

        Raises:
            DeliveryError: the disk refused.
        """
        line = said.canonical_bytes() + b"\n"
        key = _key(json.loads(line))  # what the line itself says: so it is found again on opening
        if key in self._keys:
            return
        try:
            # Not "a": a write that failed is to be overwritten. A file that was moved away, as
            # logs are, begins anew.
            with self._path.open("r+b" if self._path.exists() else "x+b", buffering=0) as file:
                if os.fstat(file.fileno()).st_size != self._end:
                    self._read_on(file)
                    # What a crash or an earlier failure left behind the last whole line.
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
        self._remember(key)

    def _remember(self, key: str) -> None:
        self._keys[key] = None
        if len(self._keys) > self._limits.outlet_keys:
            self._keys.popitem(last=False)

    def _read_on(self, file: BinaryIO) -> None:
        """Learn the whole lines after the last one that is known; of a shorter file, all.

        Raises:
            SinkError: something that we have not written.
        """
        if os.fstat(file.fileno()).st_size < self._end:
            self._end = 0
        most_bytes = self._limits.max_line_bytes
        file.seek(self._end)
        while line := file.readline(most_bytes + 1):
            if not line.endswith(b"\n"):
                if len(line) > most_bytes or not self._may_be_torn(line):
                    raise self._foreign(line)
                break
            try:
                self._remember(_key(json.loads(line)))
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
                raise self._foreign(line) from error
            self._end += len(line)

    def _may_be_torn(self, line: bytes) -> bool:
        """Whether a line without an end may be one of ours; alone in a file it is to look so."""
        return self._end > 0 or any(
            line.startswith(ours) or ours.startswith(line) for ours in _BEGINNINGS
        )

    def _foreign(self, line: bytes) -> SinkError:
        return SinkError(
            expected="a file of decisions, notices or commands, one JSON object a line",
            got=repr(line[:60].decode(errors="replace")),
            where=f"{self._path}, byte {self._end}",
            action="give another file",
        )


_BEGINNINGS = (b'{"at_ns":', b'{"command', b'{"confidence":')
"""Of messages, commands and decisions."""


def _key(plain: dict[str, object]) -> str:
    """What a line is known by."""
    signed = plain.get("command")
    if isinstance(signed, str):
        # A signed command: a new session signs the same one anew.
        return f"{_key(json.loads(signed))}:{plain['counter']}"
    if "notice_id" in plain:
        return str(plain["notice_id"])
    identity = plain["command_id"] if "command_id" in plain else plain["decision_id"]
    return f"{identity}:{plain['revision']}"


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
