"""What a run is fed: rows and frames in the order of their time, and the ticks between them.

Finite sources are merged by arrival and cut at the grid of ``tick_s``, so that the speed of a run
cannot matter. Live ones are taken as they come, with ticks by the clock.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.records import Frame
from sightline.records.signals import NS_PER_S
from sightline.runtime.engine.camera_inbox import Arrival
from sightline.runtime.plan import Plan
from sightline.sense.arrival import Epoch, join_batches
from sightline.sense.frames.delivery import FrameItem, FrameSource
from sightline.sense.inbox import Inbox
from sightline.sense.live import TakenRows, take_waiting
from sightline.sense.source import Position


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What a run is fed at once: frames, or the rows up to a tick and the tick.

    Attributes:
        items: frames of different cameras whose looks may share a batch, and faults.
        epoch: rows, and the tick that ends them.
        superseded: by camera, frames that gave way to newer ones since the last part.
        left_behind: whether the items waited when the run was stopped: they are only counted.
        age_s: by camera, how old each frame was when it was taken, in seconds of the run's clock.
    """

    items: tuple[FrameItem, ...] = ()
    epoch: Epoch | None = None
    superseded: Mapping[str, int] = field(default_factory=dict)
    left_behind: bool = False
    age_s: Mapping[str, float] = field(default_factory=dict)


# --- finite ---------------------------------------------------------------------------------------


def finite_feed(
    plan: Plan, rows: Iterator[Epoch] | None, cameras: Sequence[FrameSource], limits: Limits
) -> Iterator[Part]:
    """Rows and recordings at the speed of the machine, each row and frame in its order.

    Args:
        plan: the checked pipeline.
        rows: epochs of its sources of rows; None without any.
        cameras: recordings, one per camera.
        limits: ``max_quiet_ticks``.
    """
    if not cameras:
        yield from (Part(epoch=one) for one in rows or ())
        return
    moments = recorded_moments(
        cameras, tick_ns=plan.tick_ns, batch_wait_ns=plan.batch_wait_ns, limits=limits
    )
    number = 0
    epochs = iter(rows or ())
    moment, epoch = next(moments, None), next(epochs, None)
    while moment is not None or epoch is not None:
        rows_ns = math.inf if epoch is None else epoch.tick_ns
        if moment is not None and moment.items and moment.at_ns < rows_ns:
            yield Part(items=moment.items)
            moment = next(moments, None)
            continue
        frames_ns = math.inf if moment is None or moment.items else moment.at_ns
        tick_ns = int(min(rows_ns, frames_ns))
        taken: list[Epoch] = []
        while epoch is not None and epoch.tick_ns <= tick_ns:
            taken.append(epoch)
            epoch = next(epochs, None)
        if frames_ns == tick_ns:
            moment = next(moments, None)
        yield Part(
            epoch=Epoch(
                number=number,
                tick_ns=tick_ns,
                batches=join_batches([b for e in taken for b in e.batches]),
                rejected=tuple(r for e in taken for r in e.rejected),
                positions=_positions(taken),
                is_final=moment is None and epoch is None,
            )
        )
        number += 1


# --- recordings alone -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What happens at one time: frames and faults, or a tick.

    Attributes:
        at_ns: event time, UTC ns.
        items: frames of different cameras, and faults; empty for a tick.
        is_final: a tick after which nothing follows.
    """

    at_ns: int
    items: tuple[FrameItem, ...] = ()
    is_final: bool = False


def recorded_moments(
    sources: Sequence[FrameSource],
    *,
    tick_ns: int,
    batch_wait_ns: int = 0,
    limits: Limits = DEFAULT_LIMITS,
) -> Iterator[Moment]:
    """Merge recorded cameras by receipt, with the ticks of the grid between their frames.

    Frames of different cameras that come within ``batch_wait_ns`` are given together. A gap longer
    than ``limits.max_quiet_ticks`` is jumped over. After the last frame comes one final tick.

    Args:
        sources: one per camera; each gives frames by ascending time.
        tick_ns: the grid.
        batch_wait_ns: how long a frame waits for those of other cameras.
        limits: ``max_quiet_ticks``.
    """
    merged = heapq.merge(*(_timed(source) for source in sources), key=lambda pair: pair[0])
    next_tick_ns: int | None = None
    group: list[FrameItem] = []
    began_ns = 0
    for at_ns, item in merged:
        if group and (at_ns - began_ns > batch_wait_ns or _is_in(group, item)):
            yield Moment(at_ns=began_ns, items=tuple(group))
            group = []
        if next_tick_ns is None:
            next_tick_ns = (at_ns // tick_ns + 1) * tick_ns
        if not group:
            if (at_ns - next_tick_ns) // tick_ns > limits.max_quiet_ticks:
                next_tick_ns = at_ns // tick_ns * tick_ns
            while at_ns >= next_tick_ns:
                yield Moment(at_ns=next_tick_ns)
                next_tick_ns += tick_ns
            began_ns = at_ns
        group.append(item)
    if group:
        yield Moment(at_ns=began_ns, items=tuple(group))
    if next_tick_ns is not None:
        yield Moment(at_ns=next_tick_ns, is_final=True)


def _is_in(group: Sequence[FrameItem], item: FrameItem) -> bool:
    """Whether a batch has a frame of this camera already."""
    return any(one.stream == item.stream for one in group)


def _timed(source: FrameSource) -> Iterator[tuple[int, FrameItem]]:
    """Items with the time at which they came; a fault without one comes with what is before it."""
    at_ns = 0
    for item in source:
        if isinstance(item, Frame):
            at_ns = item.received_ns
        elif item.capture_ns >= 0:
            at_ns = max(at_ns, item.capture_ns)
        yield at_ns, item


# --- live -----------------------------------------------------------------------------------------


class Cameras(Protocol):
    """What a live feed asks of the cameras; :class:`.CameraInbox` with real ones."""

    @property
    def waiting(self) -> int: ...
    @property
    def is_finished(self) -> bool: ...
    def wait(self, timeout_s: float) -> None: ...
    def missing(self, cameras: Sequence[str]) -> bool: ...
    def take(self) -> Arrival: ...
    def stop(self) -> None: ...


class Rows(Protocol):
    """Rows beside the frames of a live feed."""

    @property
    def is_finished(self) -> bool: ...
    def take(self, tick_ns: int) -> TakenRows: ...


class NoRows:
    """A pipeline of cameras alone."""

    is_finished = True

    def take(self, tick_ns: int) -> TakenRows:
        """Nothing."""
        del tick_ns
        return TakenRows()


class LiveRows:
    """Rows of live sources, as they wait in their inboxes.

    Args:
        inboxes: one per source, in the order of the pipeline.
        limits: ``max_epoch_rows``.
    """

    def __init__(self, inboxes: Sequence[Inbox], limits: Limits) -> None:
        self._inboxes = inboxes
        self._limits = limits

    @property
    def is_finished(self) -> bool:
        """Whether every source has ended and nothing waits."""
        return all(inbox.is_finished for inbox in self._inboxes)

    def take(self, tick_ns: int) -> TakenRows:
        """All that waits."""
        del tick_ns
        return take_waiting(self._inboxes, self._limits)


class FiniteRows:
    """Rows of finite sources, handed out when the clock reaches them.

    Args:
        epochs: of the sources.
    """

    def __init__(self, epochs: Iterator[Epoch]) -> None:
        self._epochs = epochs
        self._next = next(epochs, None)

    @property
    def is_finished(self) -> bool:
        """Whether there are no more."""
        return self._next is None

    def take(self, tick_ns: int) -> TakenRows:
        """Those that arrived up to ``tick_ns``."""
        taken: list[Epoch] = []
        while self._next is not None and self._next.tick_ns <= tick_ns:
            taken.append(self._next)
            self._next = next(self._epochs, None)
        return TakenRows(
            batches=join_batches([b for e in taken for b in e.batches]),
            rejected=tuple(r for e in taken for r in e.rejected),
            positions=_positions(taken),
        )


def _positions(taken: Sequence[Epoch]) -> dict[str, dict[str, Position]]:
    """The newest position of each stream, by source."""
    found: dict[str, dict[str, Position]] = {}
    for epoch in taken:
        for source, positions in epoch.positions.items():
            found.setdefault(source, {}).update(positions)
    return found


def clocked_feed(
    plan: Plan,
    cameras: Cameras,
    rows: Rows,
    *,
    first_number: int,
    now_ns: Callable[[], int],
    monotonic_s: Callable[[], float],
    sleep_s: Callable[[float], None],
    is_stopped: Callable[[], bool],
    speed: float = 1.0,
    limits: Limits = DEFAULT_LIMITS,
) -> Iterator[Part]:
    """Frames as they come, rows and ticks by the clock; a stop leaves a run that can go on.

    Args:
        plan: the checked pipeline.
        cameras: an inbox in which the newest frame wins.
        rows: beside them.
        first_number: of the first tick.
        now_ns: the clock of the run, UTC ns; for recordings one that runs ``speed`` times as fast.
        monotonic_s, sleep_s: of the shell.
        is_stopped: asked now and then.
        speed: seconds of the frames' clock per second.
        limits: ``feed_wait_s``, ``silent_camera_s``.
    """
    tick_ns = plan.tick_ns
    number = first_number
    next_tick_ns = (now_ns() // tick_ns + 1) * tick_ns
    shares = sharing(plan)
    came_s: dict[str, float] = {}
    while not is_stopped():
        wait_s = min((next_tick_ns - now_ns()) / NS_PER_S, limits.feed_wait_s)
        if not cameras.waiting:
            cameras.wait(wait_s)
        if cameras.waiting:
            _wait_for_batch(
                plan,
                cameras,
                [
                    n
                    for n in shares
                    if monotonic_s() - came_s.get(n, -math.inf) <= limits.silent_camera_s
                ],
                most_s=wait_s,
                monotonic_s=monotonic_s,
                sleep_s=sleep_s,
            )
        is_last = cameras.is_finished and rows.is_finished
        arrival = cameras.take()
        if arrival.items or arrival.superseded:
            frames = [item for item in arrival.items if isinstance(item, Frame)]
            came_s.update(dict.fromkeys((f.stream for f in frames), monotonic_s()))
            at_ns = now_ns()
            yield Part(
                items=arrival.items,
                superseded=arrival.superseded,
                age_s={f.stream: (at_ns - f.capture_ns) / NS_PER_S / speed for f in frames},
            )
        if now_ns() >= next_tick_ns or is_last:
            # A loop that was held up has one tick to catch up with, not many.
            tick_at_ns = max(now_ns() // tick_ns * tick_ns, next_tick_ns)
            taken = rows.take(tick_at_ns)
            is_final = is_last and rows.is_finished
            yield Part(
                epoch=Epoch(
                    number=number,
                    tick_ns=tick_at_ns,
                    batches=taken.batches,
                    rejected=taken.rejected,
                    superseded=taken.superseded,
                    positions=taken.positions,
                    is_final=is_final,
                )
            )
            number += 1
            next_tick_ns = tick_at_ns + tick_ns
            if is_final:
                return
    cameras.stop()
    arrival = cameras.take()
    yield Part(items=arrival.items, superseded=arrival.superseded, left_behind=True)


def sharing(plan: Plan) -> tuple[str, ...]:
    """Cameras whose detector serves more than one, so that their frames share batches."""
    uses = [
        (detector, camera)
        for step in plan.items
        if (detector := getattr(step.stage.settings, "detector", None)) is not None
        for camera in step.cameras
    ]
    count = Counter(detector for detector, _ in uses)
    return tuple(dict.fromkeys(camera for detector, camera in uses if count[detector] > 1))


def _wait_for_batch(
    plan: Plan,
    cameras: Cameras,
    shares: Sequence[str],
    *,
    most_s: float,
    monotonic_s: Callable[[], float],
    sleep_s: Callable[[float], None],
) -> None:
    """Wait for the cameras that still send; a tick never waits for a batch."""
    until_s = monotonic_s() + min(plan.pipeline.batch_wait_s, most_s)
    while shares and cameras.missing(shares):
        left_s = until_s - monotonic_s()
        if left_s <= 0:
            return
        sleep_s(min(left_s, 0.001))
