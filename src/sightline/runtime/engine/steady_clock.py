"""A wall clock that never goes back: without ticks nobody would stop a machine."""

from __future__ import annotations

import threading
from collections.abc import Callable

from sightline.records.signals import NS_PER_S

JUMP_S = 1.0
"""A wall clock that differs by more from one look to the next, in s, was set."""


def steady_clock(
    wall_ns: Callable[[], int],
    monotonic_s: Callable[[], float],
    *,
    on_trouble: Callable[[str], None] = lambda text: None,
) -> Callable[[], int]:
    """UTC ns that follow ``wall_ns`` forwards, and go on at their own pace where it is set back.

    Everything in a run shares one, so that ages stay right: after the wall clock was set back, all
    are ahead of it until it has caught up. A clock that is steady already is given back as it is.

    Args:
        wall_ns: the machine's clock, UTC ns.
        monotonic_s: that runs evenly.
        on_trouble: told in one sentence when the wall clock was set by more than ``JUMP_S``.

    >>> wall_s, real_s = iter([100, 160, 101, 102]), iter([0.0, 1.0, 2.0, 3.0])
    >>> now_ns = steady_clock(lambda: next(wall_s) * 10**9, lambda: next(real_s), on_trouble=print)
    >>> [now_ns() // 10**9 for _ in range(3)]
    clock: set forward by 59 s; the run goes on from there
    clock: set back by 60 s; the run goes on at its own pace until it has caught up
    [160, 161, 162]
    """
    if isinstance(wall_ns, _SteadyClock):
        return wall_ns
    return _SteadyClock(wall_ns, monotonic_s, on_trouble)


class _SteadyClock:
    """The clock of :func:`steady_clock`; any thread may look at it."""

    def __init__(
        self,
        wall_ns: Callable[[], int],
        monotonic_s: Callable[[], float],
        on_trouble: Callable[[str], None],
    ) -> None:
        self._wall_ns = wall_ns
        self._monotonic_s = monotonic_s
        self._on_trouble = on_trouble
        self._lock = threading.Lock()
        self._last_wall_ns, self._last_s = wall_ns(), monotonic_s()
        self._now_ns = self._last_wall_ns

    def __call__(self) -> int:
        with self._lock:
            wall_ns, real_s = self._wall_ns(), self._monotonic_s()
            passed_ns = round((real_s - self._last_s) * NS_PER_S)
            jump_s = (wall_ns - self._last_wall_ns - passed_ns) / NS_PER_S
            self._now_ns = max(wall_ns, self._now_ns + passed_ns)
            self._last_wall_ns, self._last_s = wall_ns, real_s
            now_ns = self._now_ns
        if jump_s > JUMP_S:
            self._on_trouble(f"clock: set forward by {jump_s:,.0f} s; the run goes on from there")
        elif jump_s < -JUMP_S:
            self._on_trouble(
                f"clock: set back by {-jump_s:,.0f} s; the run goes on at its own pace until it "
                "has caught up"
            )
        return now_ns
