"""How to run a pipeline, and where a run is: values for :func:`.run.run_pipeline`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar

from sightline.errors import WorkerError
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.records import Decision


@dataclass(frozen=True, slots=True, kw_only=True)
class RunClocks:
    """The clocks of a run, passed in so that tests need not wait."""

    wall_ns: Callable[[], int] = time.time_ns
    monotonic_s: Callable[[], float] = time.monotonic
    sleep_s: Callable[[float], None] = time.sleep


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How to run; none of it can change a decision, unless somebody answers too late for it.

    Attributes:
        speed: seconds of data per second of wall clock; None: as fast as possible.
        is_live: take rows as they come, and tick by the wall clock; sources end when they end.
        deadlines: whether guarded stages must answer within their budgets. None: where time is
            real, that is live and at a speed; what is read as fast as possible waits for every
            answer, so that two runs of a file decide alike however busy the machine is.
        workers: 0 hosts all partitions in this process, else that many worker processes.
        on: what hosts the workers: processes of this machine, or actors of a Ray cluster.
        resume: go on with the run in the folder.
        checkpoint_epochs: epochs between two checkpoints of a partition.
        durable: force each commit to the disk (survives power loss, not only a kill).
        controls: operator inputs to log before the first epoch; a resumed run has its own.
        ledger: address of a database for the ledger; ``""``: a file in the run directory. The run
            directory keeps it without its password.
    """

    speed: float | None = None
    is_live: bool = False
    deadlines: bool | None = None
    workers: int = 0
    on: Literal["processes", "ray"] = "processes"
    resume: bool = False
    checkpoint_epochs: int = 200
    durable: bool = True
    controls: tuple[Mapping[str, Any], ...] = ()
    ledger: str = field(default="", repr=False)

    @property
    def has_deadlines(self) -> bool:
        """Whether an answer can come too late."""
        if self.deadlines is None:
            return self.is_live or self.speed is not None
        return self.deadlines


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a run is, for a progress display."""

    tick_ns: int
    rows: int
    decisions: int
    open_rows: int
    newest: tuple[Decision, ...]


Result = TypeVar("Result")


def restarted(
    start: Callable[[RunOptions], Result],
    options: RunOptions,
    *,
    on_trouble: Callable[[str], None],
    limits: Limits = DEFAULT_LIMITS,
) -> Result:
    """Run, and resume from the newest checkpoints when an actor or its machine has died.

    Processes of this machine are not restarted: who kills those means the run.

    Args:
        start: runs with the options that it is given, from sources opened anew.
        options: of the first start.
        on_trouble: told of each restart.
        limits: ``worker_restarts``.

    Raises:
        WorkerError: they died more often than that.
    """
    restarts = 0
    while True:
        try:
            return start(options)
        except WorkerError as error:
            restarts += 1
            if options.on != "ray" or restarts > limits.worker_restarts:
                raise
            on_trouble(f"{error.where}: {error.got}; goes on from the checkpoints")
            options = replace(options, resume=True)
