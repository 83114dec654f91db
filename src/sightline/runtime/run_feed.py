"""What the loop of a run goes over: recordings, live sources, or recordings played as if live."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any

from sightline.act import RunMetrics
from sightline.errors import UsageError
from sightline.limits import Limits
from sightline.recorder import Storage
from sightline.records import Frame
from sightline.records.signals import NS_PER_S
from sightline.runtime.engine.camera_inbox import CameraInbox, Pace
from sightline.runtime.engine.driving import EpochDriver
from sightline.runtime.engine.feeds import (
    FiniteRows,
    LiveRows,
    NoRows,
    Part,
    Rows,
    clocked_feed,
    finite_feed,
)
from sightline.runtime.engine.loop import paced
from sightline.runtime.plan import Plan
from sightline.runtime.run_opening import OpenedRun
from sightline.sense import Source
from sightline.sense.arrival import epochs
from sightline.sense.frames.delivery import FrameItem, FrameSource
from sightline.sense.inbox import Inbox, SpillFolder
from sightline.sense.live import LiveReaders, live_epochs


@contextmanager
def run_feed(
    opened: OpenedRun, driver: EpochDriver
) -> Iterator[tuple[Iterator[Part], list[Inbox]]]:
    """The parts of the run, and the inboxes that are to be told of commits."""
    plan, options, clocks = opened.plan, opened.options, opened.clocks
    if plan.cameras and driver.has_ended:
        yield iter(()), []
        return
    if options.is_live:
        with _live(opened, driver) as found:
            yield found
        return
    rows = None
    if plan.contracts:
        given = [(source, plan.contracts[n]) for n, source in opened.rows.items()]
        rows = epochs(given, tick_ns=plan.tick_ns, limits=opened.limits)
    if plan.cameras and options.speed is not None:
        with _played(opened, rows, options.speed) as feed:
            yield feed, []
        return
    if rows is not None and not plan.cameras:
        rows = paced(rows, options.speed, clocks)
    yield finite_feed(plan, rows, list(opened.cameras.values()), opened.limits), []


@contextmanager
def _live(opened: OpenedRun, driver: EpochDriver) -> Iterator[tuple[Iterator[Part], list[Inbox]]]:
    plan, clocks, limits = opened.plan, opened.clocks, opened.limits
    if driver.has_ended:
        raise UsageError(
            expected="a run that can go on",
            got="one whose live sources have ended",
            where=str(opened.run.path),
            action="choose another folder for --out",
        )
    driver.level()
    if driver.is_ending:
        yield iter(()), []
        return
    storage = opened.storage
    with ExitStack() as stack:
        inboxes: list[Inbox] = []
        if plan.contracts:
            inboxes = stack.enter_context(
                _live_inboxes(plan, opened.rows, storage, wall_ns=clocks.wall_ns, limits=limits)
            )
        first = driver.committed_epoch + 1
        if plan.cameras:
            rows: Rows = LiveRows(inboxes, limits) if inboxes else NoRows()
            cameras = stack.enter_context(CameraInbox(opened.cameras, now_ns=clocks.wall_ns))
            feed = clocked_feed(
                plan,
                cameras,
                rows,
                first_number=first,
                now_ns=clocks.wall_ns,
                monotonic_s=clocks.monotonic_s,
                sleep_s=clocks.sleep_s,
                is_stopped=opened.is_stopped,
                limits=opened.limits,
            )
        else:
            live = live_epochs(
                inboxes,
                tick_ns=plan.tick_ns,
                first_number=first,
                wall_ns=clocks.wall_ns,
                wait_s=clocks.sleep_s,
                is_stopped=opened.is_stopped,
                limits=limits,
            )
            feed = (Part(epoch=epoch) for epoch in live)
        yield _observed(feed, inboxes, opened.metrics), inboxes


@contextmanager
def _live_inboxes(
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
    readers = LiveReaders(
        [(sources[n], plan.contracts[n], inboxes[n]) for n in inboxes], wall_ns=wall_ns
    )
    readers.start()
    try:
        yield list(inboxes.values())
    finally:
        for name in inboxes:  # one that waits for a broker does not see that nobody takes any more
            sources[name].close()
        readers.stop(limits.reader_join_s)


def _observed(
    feed: Iterator[Part], inboxes: Sequence[Inbox], metrics: RunMetrics
) -> Iterator[Part]:
    for part in feed:
        for inbox in inboxes:
            metrics.observe_queue(inbox.source, inbox.depth_rows)
        yield part


@contextmanager
def _played(opened: OpenedRun, rows: Any, speed: float) -> Iterator[Iterator[Part]]:
    """Recordings as if they were cameras, on a clock that runs ``speed`` times as fast."""
    plan, clocks = opened.plan, opened.clocks
    first_ns, begun = _begun(opened.cameras)
    started_s = clocks.monotonic_s()

    def now_ns() -> int:
        return first_ns + round((clocks.monotonic_s() - started_s) * speed * NS_PER_S)

    pace = Pace(first_ns=first_ns, speed=speed, sleep_s=clocks.sleep_s)
    with CameraInbox(begun, now_ns=now_ns, pace=pace) as cameras:
        yield clocked_feed(
            plan,
            cameras,
            NoRows() if rows is None else FiniteRows(rows),
            first_number=0,
            now_ns=now_ns,
            monotonic_s=clocks.monotonic_s,
            sleep_s=clocks.sleep_s,
            is_stopped=opened.is_stopped,
            speed=speed,
            limits=opened.limits,
        )


@dataclass(frozen=True, slots=True)
class _Begun:
    """A source whose first item has been read already."""

    stream: str
    items: Any

    def __iter__(self) -> Any:
        return iter(self.items)


def _begun(sources: Mapping[str, FrameSource]) -> tuple[int, dict[str, FrameSource]]:
    """The capture time at which recordings begin, and the recordings from their beginning."""
    begun: dict[str, FrameSource] = {}
    first_ns: list[int] = []
    for name, source in sources.items():
        items = iter(source)
        head: list[FrameItem] = []
        for item in items:
            head.append(item)
            if isinstance(item, Frame):
                first_ns.append(item.capture_ns)
                break
        begun[name] = _Begun(name, chain(head, items))
    return min(first_ns, default=0), begun
