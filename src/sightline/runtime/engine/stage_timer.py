"""How long each stage took: measured by the shell, never seen by the core.

The core only says where a stage begins and ends. In a replay nobody measures.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol


class StageTimer(Protocol):
    """Told where the work of a stage begins and ends."""

    def span(self, stage: str) -> AbstractContextManager[None]:
        """A context around some work of ``stage``; spans do not nest."""


class Untimed:
    """Measures nothing.

    >>> with Untimed().span("health"):
    ...     pass
    """

    def span(self, stage: str) -> AbstractContextManager[None]:
        return nullcontext()


class MeasuredStages:
    """Adds up the time of each stage until it is taken.

    >>> now_s = iter([1.0, 1.25])
    >>> timer = MeasuredStages(lambda: next(now_s))
    >>> with timer.span("health"):
    ...     pass
    >>> timer.take(), timer.take()
    ({'health': 0.25}, {})
    """

    def __init__(self, monotonic_s: Callable[[], float]) -> None:
        self._monotonic_s = monotonic_s
        self._took_s: dict[str, float] = {}

    def span(self, stage: str) -> AbstractContextManager[None]:
        return _Span(stage, self._took_s, self._monotonic_s)

    def add(self, stage: str, took_s: float) -> None:
        """Count time that was measured elsewhere."""
        self._took_s[stage] = self._took_s.get(stage, 0.0) + took_s

    def take(self) -> dict[str, float]:
        """Seconds by stage since the last call."""
        found = dict(self._took_s)
        self._took_s.clear()
        return found


class _Span:
    __slots__ = ("_began_s", "_monotonic_s", "_stage", "_took_s")

    def __init__(
        self, stage: str, took_s: dict[str, float], monotonic_s: Callable[[], float]
    ) -> None:
        self._stage = stage
        self._took_s = took_s
        self._monotonic_s = monotonic_s
        self._began_s = 0.0

    def __enter__(self) -> None:
        self._began_s = self._monotonic_s()

    def __exit__(self, *_: object) -> None:
        took_s = self._monotonic_s() - self._began_s
        self._took_s[self._stage] = self._took_s.get(self._stage, 0.0) + took_s
