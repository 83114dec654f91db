"""A wall clock that never goes back: without ticks nobody would stop a machine."""

from __future__ import annotations

from collections.abc import Callable

from sightline.records.signals import NS_PER_S


def steady_clock(wall_ns: Callable[[], int], monotonic_s: Callable[[], float]) -> Callable[[], int]:
    """UTC ns that follow ``wall_ns`` forwards, and go on at their own pace where it is set back.

    Cameras and engine of a run must share one, so that ages stay right: after the wall clock was
    set back, both are ahead of it until it has caught up.

    >>> wall_s, real_s = iter([100, 160, 101, 102]), iter([0.0, 1.0, 2.0, 3.0])
    >>> now_ns = steady_clock(lambda: next(wall_s) * 10**9, lambda: next(real_s))
    >>> [now_ns() // 10**9 for _ in range(3)]
    [160, 161, 162]
    """
    ahead_of = [wall_ns(), monotonic_s()]

    def now_ns() -> int:
        wall, real_s = wall_ns(), monotonic_s()
        passed_ns = round((real_s - ahead_of[1]) * NS_PER_S)
        ahead_of[0], ahead_of[1] = max(wall, ahead_of[0] + passed_ns), real_s
        return int(ahead_of[0])

    return now_ns
