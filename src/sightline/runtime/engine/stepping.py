"""Giving a core what a log holds, which may have been made by somebody else.

A chain that holds says that nothing was changed since; it does not say that it was Sightline that
wrote it. So an error of the core on such an entry is reported as a fault of the log.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

import polars as pl

from sightline.errors import LogError
from sightline.recorder.checkpoint import Checkpoint, StateParts
from sightline.records import Entry
from sightline.runtime.engine.outputs import StepOutput

NO_ENTRY_OF_OURS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
    pl.exceptions.PolarsError,
    pl.exceptions.PanicException,
)
"""What reading an entry may raise that Sightline did not write."""


_T = TypeVar("_T")


class _Steps(Protocol):
    def step(self, entry: Entry) -> StepOutput: ...
    def restore(self, parts: StateParts) -> None: ...


def step_logged(core: _Steps, entry: Entry, *, partition: str) -> StepOutput:
    """What ``core`` says to an entry of a log.

    Raises:
        LogError: the entry is not what a run of this pipeline can have logged.
    """
    return heeded(
        lambda: core.step(entry),
        where=f"partition {partition}, log sequence {entry.sequence}, {entry.kind} {entry.name!r}",
    )


def restore_logged(core: _Steps, checkpoint: Checkpoint, *, partition: str) -> None:
    """Bring ``core`` to a checkpoint.

    Raises:
        LogError: it is not the state of a core of this pipeline.
    """
    heeded(
        lambda: core.restore(checkpoint.state),
        where=f"partition {partition}, checkpoint {checkpoint.sequence}",
    )


def heeded(act: Callable[[], _T], *, where: str) -> _T:
    """What ``act`` makes of a log.

    Args:
        act: reads entries.
        where: for the error: which.

    Raises:
        LogError: it came upon something that a run of Sightline does not log.
    """
    try:
        return act()
    except NO_ENTRY_OF_OURS as error:
        raise LogError(
            expected="what a run of this pipeline logs",
            got=" ".join(f"{type(error).__name__}: {error}".split())[:200],
            where=where,
            action="if the run is yours, report it and keep the folder; else do not trust it",
        ) from error
