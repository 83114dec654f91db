"""States that are kept and taken back: JSON-ready mappings that name the version of their format.

The version stands under ``"format"``. A state of another version is never guessed at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from sightline.errors import UsageError

State = TypeVar("State")


@dataclass(frozen=True, slots=True, kw_only=True)
class StateFormat:
    """The format of one kind of state, as this code writes and reads it.

    Attributes:
        kind: of state, with its article: ``a memory``.
        version: written as ``"format"``.
        where: for the errors.
        action: what to do with a state that cannot be read.

    >>> counter = StateFormat(kind="a counter", version=1, where="counter", action="count anew")
    >>> counter.read({"format": 1, "count": 7}, lambda plain: int(plain["count"]))
    7
    >>> counter.read({"format": 2}, lambda plain: int(plain["count"]))
    Traceback (most recent call last):
    sightline.errors.UsageError: counter: expected a counter of format 1, got ValueError: \
format 2; count anew
    """

    kind: str
    version: int
    where: str
    action: str

    def check(self, plain: Mapping[str, Any]) -> None:
        """For a state that stands inside another one, whose reader sees to what else is wrong.

        Raises:
            UsageError: of another format.
            KeyError, TypeError: if it is no such mapping.
        """
        if plain["format"] != self.version:
            raise self._refused(str(plain["format"]))

    def read(self, plain: Mapping[str, Any], make: Callable[[Mapping[str, Any]], State]) -> State:
        """The state that ``make`` makes of a mapping of this format.

        Raises:
            UsageError: of another format, or ``make`` raised KeyError, TypeError or ValueError.
        """
        try:
            if plain["format"] != self.version:
                raise ValueError(f"format {plain['format']}")
            return make(plain)
        except (KeyError, TypeError, ValueError) as error:
            raise self._refused(f"{type(error).__name__}: {error}") from error

    def _refused(self, got: str) -> UsageError:
        return UsageError(
            expected=f"{self.kind} of format {self.version}",
            got=got,
            where=self.where,
            action=self.action,
        )
