"""Live sources of a run: inboxes, their readers, and the epochs that come of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sightline.act import RunMetrics
from sightline.limits import Limits
from sightline.recorder import Storage
from sightline.runtime.alerting.control_inbox import ControlInbox
from sightline.runtime.plan import Plan
from sightline.runtime.run_options import RunClocks
from sightline.sense import Source
from sightline.sense.arrival import Epoch
from sightline.sense.inbox import Inbox, SpillFolder
from sightline.sense.live import LiveReaders, live_epochs


class LiveFeed:
    """Epochs of the live sources of a run.

    Args:
        inboxes: one per source, in the order of the pipeline.
        epochs: of these inboxes.
        metrics: told how deep the inboxes are.
        controls: operator inputs that come while the run goes on.
    """

    def __init__(
        self,
        inboxes: list[Inbox],
        epochs: Iterator[Epoch],
        metrics: RunMetrics,
        controls: ControlInbox,
    ) -> None:
        self._inboxes = inboxes
        self._epochs = epochs
        self._metrics = metrics
        self._controls = controls

    def epochs(self) -> Iterator[Epoch]:
        """One per tick, until every source has ended or the run is stopped."""
        for epoch in self._epochs:
            for inbox in self._inboxes:
                self._metrics.observe_queue(inbox.source, inbox.depth_rows)
            yield epoch

    def committed(self) -> None:
        """What was fed is durable."""
        for inbox in self._inboxes:
            inbox.committed()
        self._controls.committed()

    def take_controls(self) -> list[dict[str, Any]]:
        """Operator inputs that have come, for the epoch that begins."""
        return self._controls.take()


@contextmanager
def live_feed(
    plan: Plan,
    sources: Mapping[str, Source],
    storage: Storage,
    controls: ControlInbox,
    *,
    first_epoch: int,
    clocks: RunClocks,
    is_stopped: Callable[[], bool],
    metrics: RunMetrics,
    limits: Limits,
) -> Iterator[LiveFeed]:
    """Read ``sources`` on threads of their own for as long as the context lasts.

    A run that was not stopped has ended with it, and takes no operator inputs any more.
    """
    inboxes = {
        name: Inbox(
            name,
            policy=form.inbox.policy,
            max_rows=form.inbox.max_rows,
            spill=SpillFolder(storage, name) if form.inbox.policy == "spill" else None,
            limits=limits,
        )
        for name, form in plan.pipeline.sources.items()
    }
    readers = LiveReaders([(sources[n], inboxes[n]) for n in inboxes], wall_ns=clocks.wall_ns)
    epochs = live_epochs(
        list(inboxes.values()),
        tick_ns=plan.tick_ns,
        first_number=first_epoch,
        wall_ns=clocks.wall_ns,
        wait_s=clocks.sleep_s,
        is_stopped=is_stopped,
        limits=limits,
    )
    readers.start()
    try:
        yield LiveFeed(list(inboxes.values()), epochs, metrics, controls)
        if not is_stopped():
            controls.close()
    finally:
        readers.stop(limits.reader_join_s)
