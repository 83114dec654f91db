"""A wall clock that never goes back: without ticks nobody would stop a machine."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

from sightline.records.signals import NS_PER_S
from sightline.runtime.engine.clock_watch import JUMP_S


def steady_clock(
    wall_ns: Callable[[], int],
    monotonic_s: Callable[[], float],
    *,
    on_trouble: Callable[[str], None] = lambda text: None,
) -> SteadyClock:
    """The clock of a run; one that is steady already is given back as it is.

    >>> wall_s, real_s = iter([100, 160, 101, 102]), iter([0.0, 1.0, 2.0, 3.0])
    >>> now_ns = steady_clock(lambda: next(wall_s) * 10**9, lambda: next(real_s), on_trouble=print)
    >>> [now_ns() // 10**9 for _ in range(3)]
    clock: set forward by 59 s; the run goes on from there
    clock: set back by 60 s; the run goes on at its own pace until it has caught up
    [160, 161, 162]
    >>> now_ns.take_jumps(), now_ns.ahead_s
    ([59.0, -60.0], 60.0)
    """
    if isinstance(wall_ns, SteadyClock):
        return wall_ns
    return SteadyClock(wall_ns, monotonic_s, on_trouble=on_trouble)


class SteadyClock:
    """UTC ns that follow ``wall_ns`` forwards, and go on at their own pace where it is set back.

    Everything in a run shares one, so that ages stay right: after the wall clock was set back, all
    are ahead of it until it has caught up. Any thread may look at it.

    Args:
        wall_ns: the machine's clock, UTC ns.
        monotonic_s: that runs evenly.
        on_trouble: told in one sentence when the wall clock was set by more than ``JUMP_S``.
    """

    def __init__(
        self,
        wall_ns: Callable[[], int],
        monotonic_s: Callable[[], float],
        *,
        on_trouble: Callable[[str], None],
    ) -> None:
        self._wall_ns = wall_ns
        self._monotonic_s = monotonic_s
        self._on_trouble = on_trouble
        self._lock = threading.Lock()
        self._last_wall_ns, self._last_s = wall_ns(), monotonic_s()
        self._now_ns = self._last_wall_ns
        self._jumps_s: list[float] = []

    def __call__(self) -> int:
        with self._lock:
            wall_ns, real_s = self._wall_ns(), self._monotonic_s()
            passed_ns = round((real_s - self._last_s) * NS_PER_S)
            jump_s = (wall_ns - self._last_wall_ns - passed_ns) / NS_PER_S
            self._now_ns = max(wall_ns, self._now_ns + passed_ns)
            self._last_wall_ns, self._last_s = wall_ns, real_s
            now_ns = self._now_ns
            if abs(jump_s) > JUMP_S:
                self._jumps_s.append(jump_s)
        if jump_s > JUMP_S:
            self._on_trouble(f"clock: set forward by {jump_s:,.0f} s; the run goes on from there")
        elif jump_s < -JUMP_S:
            self._on_trouble(
                f"clock: set back by {-jump_s:,.0f} s; the run goes on at its own pace until it "
                "has caught up"
            )
        return now_ns

    @property
    def ahead_s(self) -> float:
        """By how much it was ahead of the wall clock when somebody last looked, in s."""
        with self._lock:
            return (self._now_ns - self._last_wall_ns) / NS_PER_S

    def take_jumps(self) -> list[float]:
        """By how much the wall clock was set since the last call, in s; positive is forward."""
        with self._lock:
            jumps_s, self._jumps_s = self._jumps_s, []
        return jumps_s


class ClockReports:
    """What the shell logs of the clock of one live run; :class:`.ClockWatch` decides on it.

    Args:
        clock: of the run.
        is_resumed: then what stood when the run ended is settled as it goes on.
    """

    def __init__(self, clock: SteadyClock, *, is_resumed: bool) -> None:
        self._clock = clock
        self._is_apart = is_resumed

    def take(self) -> Iterator[dict[str, Any]]:
        """Payloads of the entries that are due."""
        at_ns = self._clock()
        for jump_s in self._clock.take_jumps():
            self._is_apart = True
            yield {"at_ns": at_ns, "jump_s": round(jump_s, 3)}
        if self._is_apart and self._clock.ahead_s <= JUMP_S:
            self._is_apart = False
            yield {"at_ns": at_ns, "jump_s": 0.0}
