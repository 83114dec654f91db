"""Recorded cameras at the speed of the machine: every frame, in the order in which it came."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.records import Frame
from sightline.sense.frames.delivery import FrameItem, FrameSource


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
