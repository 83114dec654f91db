"""What people say of the parts of a run, as operator inputs: of one that goes on, or has ended.

A live run takes them at its next tick. To a run that has ended the reviewer adds them: the log is
opened, the input is an entry like any other, and the run is closed again. So a review is in the
chain, in the ledger, and replays.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any, Self

from sightline.errors import UsageError
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.runtime.alerting.controls import give_control, takes_controls
from sightline.runtime.engine.core import PartitionCore
from sightline.runtime.engine.guarding import Guard
from sightline.runtime.engine.host import PartitionHost
from sightline.runtime.engine.hosting import partition_name
from sightline.runtime.engine.logged_core import HostClocks
from sightline.runtime.engine.operator_inputs import OperatorInputs
from sightline.runtime.ledger_keeping import LedgerKeeper
from sightline.runtime.run_directory import MANIFEST, RunDirectory, RunState
from sightline.runtime.run_lock import WriteFence, run_lock
from sightline.runtime.run_opening import closed_at_the_end
from sightline.runtime.verification import check_heads


class ReviewTaker:
    """Takes reviews for one run. Safe to be used by several threads.

    A run that has ended is opened for writing with the first review, and closed by ``close``:
    meanwhile nobody else can write to it.

    Args:
        open_run: opens the run directory.
        limits: bounds.
    """

    def __init__(
        self, open_run: Callable[[], RunDirectory], *, limits: Limits = DEFAULT_LIMITS
    ) -> None:
        self._open_run = open_run
        self._run = open_run()
        self._limits = limits
        self._stack = ExitStack()
        self._writing: tuple[PartitionHost, LedgerKeeper] | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the run, if it was opened."""
        with self._lock:
            self._writing = None
            self._stack.close()

    def give(self, control: Mapping[str, Any]) -> None:
        """Give an operator input; durable on return.

        Raises:
            UsageError: the pipeline takes no such input, or another process writes to the run.
            LogError, StorageError: the log or the disk failed.
        """
        OperatorInputs.check(self._run.plan, [control])
        name = f"{time.time_ns():020d}-{secrets.token_hex(4)}"
        with self._lock:
            if self._writing is None and takes_controls(self._run.path):
                give_control(self._run.path, control, name=name)
                return
            host, keeper = self._writing or self._opened()
            host.feed_control({**control, "id": name})
            keeper.hand([host.commit()], may_wait=True)
            state = keeper.finish()
            if not state:
                raise UsageError(
                    expected="a ledger that can be written to",
                    got=state.last_error,
                    where=str(self._run.path),
                    action="the review is in the log; resume the run, or review on, to store it",
                )

    def _opened(self) -> tuple[PartitionHost, LedgerKeeper]:
        """The run, opened for writing at the end of its log."""
        with ExitStack() as stack:
            stack.enter_context(run_lock(self._run.path))
            run = self._open_run()
            check_heads(run)
            run = run.in_state(
                RunState(epoch=run.state.epoch + 1, is_closed=False, heads=run.state.heads)
            )
            fence = WriteFence.of(run.path, manifest=MANIFEST, epoch=run.state.epoch)
            stack.enter_context(closed_at_the_end(run, fence, self._limits))
            host = PartitionHost(
                partition_name(0),
                PartitionCore(run.plan, partition=0, limits=self._limits),
                run.storage,
                guard=Guard(run.plan, monotonic_s=time.monotonic, limits=self._limits),
                clocks=HostClocks(wall_ns=time.time_ns, monotonic_s=time.monotonic),
                origin=run.origin,
                limits=self._limits,
            )
            stack.callback(host.close)
            keeper = stack.enter_context(LedgerKeeper(run, (), limits=self._limits))
            self._writing = host, keeper
            self._stack = stack.pop_all()
        return self._writing
