"""Commands to a file, one JSON object a line."""

from __future__ import annotations

import os
from collections import OrderedDict
from pathlib import Path

from sightline.act.sinks import DeliveryError
from sightline.errors import SinkError
from sightline.records.command import ActuatorCommand

_TAIL_BYTES = 1 << 20
"""End of the file that is searched for an unfinished line: far above one command."""


class JsonLinesActuator:
    """Appends the canonical bytes of each command, one a line, forced to disk.

    For one writer at a time. A command that is sent again is left out while it is among the last
    ``remembered`` ones of this instance; readers go by the command's id anyway.

    Args:
        path: the file; made with its folder where it is absent. A last line that a crash left
            unfinished is cut: its command was not acknowledged.
        remembered: commands known not to be written twice, some 100 bytes each.

    Raises:
        SinkError: the file cannot be written.
    """

    def __init__(self, path: Path, *, remembered: int = 10_000) -> None:
        self._path = path
        self._remembered = remembered
        self._written: OrderedDict[str, None] = OrderedDict()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise SinkError(
                expected="a file to append to",
                got=error.strerror or type(error).__name__,
                where=str(path),
                action="check the folder and its permissions, or give another file",
            ) from error
        self._end = self._last_line_end()

    def __repr__(self) -> str:
        return f"JsonLinesActuator({str(self._path)!r})"

    def send(self, command: ActuatorCommand) -> None:
        """Append one command. A failed write leaves the file as it was.

        Raises:
            DeliveryError: the disk refused, or the actuator is closed.
        """
        key = command.idempotency_key
        if key in self._written:
            return
        line = command.canonical_bytes() + b"\n"
        try:
            # Whatever an earlier failure left behind the last whole line goes away here.
            os.ftruncate(self._file, self._end)
            view = memoryview(line)
            while view:
                view = view[os.pwrite(self._file, view, self._end + len(line) - len(view)) :]
            os.fsync(self._file)
        except OSError as error:
            raise DeliveryError(
                expected="the command to be written",
                got=error.strerror or type(error).__name__,
                where=str(self._path),
                action="free space or give another file",
            ) from error
        self._end += len(line)
        self._written[key] = None
        if len(self._written) > self._remembered:
            self._written.popitem(last=False)

    def close(self) -> None:
        """Close the file; once."""
        os.close(self._file)
        self._file = -1

    def _last_line_end(self) -> int:
        size = os.fstat(self._file).st_size
        start = max(size - _TAIL_BYTES, 0)
        return start + os.pread(self._file, size - start, start).rfind(b"\n") + 1
