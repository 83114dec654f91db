"""Live sources of rows: inboxes and the threads that fill them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from sightline.limits import Limits
from sightline.recorder import Storage
from sightline.runtime.plan import Plan
from sightline.sense import Source
from sightline.sense.inbox import Inbox, SpillFolder
from sightline.sense.live import LiveReaders


@contextmanager
def live_inboxes(
    plan: Plan,
    sources: Mapping[str, Source],
    storage: Storage,
    *,
    wall_ns: Callable[[], int],
    limits: Limits,
) -> Iterator[list[Inbox]]:
    """Read ``sources`` on threads of their own for as long as the context lasts.

    Yields:
        One inbox per source of rows, in the order of the pipeline.
    """
    inboxes = {
        name: Inbox(
            name,
            policy=form.inbox.policy,
            max_rows=form.inbox.max_rows,
            spill=SpillFolder(storage, name) if form.inbox.policy == "spill" else None,
            limits=limits,
        )
        for name, form in plan.pipeline.tables.items()
    }
    readers = LiveReaders([(sources[n], inboxes[n]) for n in inboxes], wall_ns=wall_ns)
    readers.start()
    try:
        yield list(inboxes.values())
    finally:
        for name in inboxes:  # one that waits for a broker does not see that nobody takes any more
            sources[name].close()
        readers.stop(limits.reader_join_s)
