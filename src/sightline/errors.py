"""The errors Sightline raises, arranged by who is at fault.

Every message says what was expected, what was found, where, and what to do. Bad *data* never
raises: it goes to quarantine with a reason code and the run goes on. These errors are for what
stops a run: a wrong file from the user, a damaged run directory, an unreachable service, a bug.

Exit codes of the command line are the ``exit_code`` of the class.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar


class SightlineError(Exception):
    """Base of every error raised on purpose.

    Args:
        expected: what should have been there.
        got: what was there.
        where: file, row, field, stage or address.
        action: what the user can do about it.

    Attributes:
        beside: further faults of the same document, where one error stands for several.

    >>> str(ContractError(expected="a unit", got="nothing", where="c.yaml, fields.snr_db",
    ...                   action="add `unit: dB`"))
    'c.yaml, fields.snr_db: expected a unit, got nothing; add `unit: dB`'
    """

    exit_code: ClassVar[int] = 70

    def __init__(self, *, expected: str, got: str, where: str, action: str) -> None:
        super().__init__(f"{where}: expected {expected}, got {got}; {action}")
        self.expected = expected
        self.got = got
        self.where = where
        self.action = action
        self.beside: tuple[SightlineError, ...] = ()

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only arguments do not survive the default pickling between worker processes.
        return (_rebuild, (type(self), self.expected, self.got, self.where, self.action))


def _rebuild(
    kind: type[SightlineError], expected: str, got: str, where: str, action: str
) -> SightlineError:
    return kind(expected=expected, got=got, where=where, action=action)


# --- the user's files are wrong ------------------------------------------------------------


class UsageError(SightlineError):
    """A command or call was given arguments that cannot work."""

    exit_code = 2


class ContractError(SightlineError):
    """A data contract (YAML) is malformed or contradicts itself."""

    exit_code = 3


class PipelineError(SightlineError):
    """A pipeline description does not fit together."""

    exit_code = 4


class SourceError(SightlineError):
    """A source as a whole cannot be opened (a bad row or file is quarantined instead)."""

    exit_code = 5


# --- the run directory is damaged or does not match ------------------------------------------


class LogError(SightlineError):
    """A log, checkpoint or ledger is missing, damaged or of an unknown version."""

    exit_code = 6


# --- the world outside is failing --------------------------------------------------------------


class SinkError(SightlineError):
    """An alert receiver or the ledger's database did not take what was sent."""

    exit_code = 7


class StorageError(SightlineError):
    """The disk is full or refuses to write."""

    exit_code = 8


@contextmanager
def writing(place: Path) -> Iterator[None]:
    """What is done inside writes to ``place``, a file or folder that the user named.

    Raises:
        StorageError: in place of the OSError of a disk that refuses.

    >>> with writing(Path("/nowhere/x.txt")):
    ...     Path("/nowhere/x.txt").write_text("")
    Traceback (most recent call last):
    sightline.errors.StorageError: /nowhere/x.txt: expected a place that can be written, got No \
such file or directory; check the folder, its permissions and the free space
    """
    try:
        yield
    except OSError as error:
        raise StorageError(
            expected="a place that can be written",
            got=error.strerror or str(error) or type(error).__name__,
            where=str(place),
            action="check the folder, its permissions and the free space",
        ) from error


class WorkerError(SightlineError):
    """A worker process of the run was killed, or does not answer. What was committed is kept."""

    exit_code = 9


class RefusedError(SightlineError):
    """Most rows, frames or pictures were refused. What was asked for was done, and is written."""

    exit_code = 10


# --- we are at fault --------------------------------------------------------------------------


class InvariantViolation(SightlineError):
    """A promise of Sightline itself does not hold, for example the conservation of records."""

    exit_code = 70
