"""What a run of the KPI job came to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sightline.runtime.kpis.plan import Status, Task, Why


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What became of one window of one metric."""

    metric: str
    version: int
    window_start_ns: int
    revision: int
    why: Why
    status: Status | None
    """None: it would be computed, and nothing was."""
    reasons: tuple[str, ...] = ()

    @classmethod
    def of(cls, task: Task, status: Status | None, reasons: Sequence[str] = ()) -> Done:
        """What became of a task."""
        return cls(
            metric=task.metric.name,
            version=task.metric.version,
            window_start_ns=task.window * task.metric.width_ns,
            revision=task.revision,
            why=task.why,
            status=status,
            reasons=tuple(reasons),
        )


@dataclass(slots=True, kw_only=True)
class KpiReport:
    """What a run of the job came to.

    Attributes:
        files: at the location.
        new_files: not read before.
        gone: names of files of before that are not there any more.
        rows: read in this run, for values.
        refused: of them, by reason.
        superseded: of them, duplicates that lost.
        done: windows computed, or to be computed, in order of time.
        held: windows held before that nothing has changed of.
        known: windows that were left alone.
    """

    files: int = 0
    new_files: int = 0
    gone: list[str] = field(default_factory=list)
    rows: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    superseded: int = 0
    done: list[Done] = field(default_factory=list)
    held: int = 0
    known: int = 0
