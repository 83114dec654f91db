"""When live frames were taken: presentation times tied to our clock, which may be set back."""

from __future__ import annotations

from collections.abc import Callable

from sightline.records.signals import NS_PER_S

_DRIFT = 200e-6
"""Most that a camera's clock runs slow against ours (s per s); quartz keeps within half of it."""
_MAX_DELAY_NS = 10 * NS_PER_S
"""A frame later than this against the fastest one means that the camera's clock was reset."""


class CaptureClock:
    """Turns presentation times of one connection into capture times on our clock.

    The fastest delivery so far tells how the two clocks lie; what takes longer was delayed on its
    way and not taken later (the clock filter of NTP, RFC 5905, clause 10). So jitter of the
    network does not become jitter of motion. The delay of that fastest delivery itself, from the
    sensor through the encoder, cannot be seen and stays in.

    >>> clock = CaptureClock()
    >>> [clock.capture_ns(pts_ns=pts, received_ns=at)
    ...  for pts, at in [(0, 1000), (100, 1150), (200, 1200), (300, 1340)]]
    [1000, 1100, 1200, 1300]
    """

    def __init__(self) -> None:
        self._offset_ns: int | None = None
        self._last_received_ns = 0

    def capture_ns(self, *, pts_ns: int | None, received_ns: int) -> int:
        """UTC ns, never after ``received_ns``; equal to it for a stream without times."""
        if pts_ns is None:
            return received_ns
        offset_ns = received_ns - pts_ns
        known_ns = self._offset_ns
        if known_ns is not None:
            known_ns += int(max(received_ns - self._last_received_ns, 0) * _DRIFT)
            if offset_ns - known_ns <= _MAX_DELAY_NS:
                offset_ns = min(offset_ns, known_ns)
        self._offset_ns, self._last_received_ns = offset_ns, received_ns
        return pts_ns + offset_ns


class SlewedClock:
    """A wall clock that never goes back: set back, it runs at half speed until caught up.

    Motion computed meanwhile looks up to twice as fast as it is, which errs on the safe side.

    Args:
        wall_ns: UTC ns.

    >>> times = iter([100, 200, 150, 170, 300])
    >>> clock = SlewedClock(lambda: next(times))
    >>> [clock.now_ns() for _ in range(5)]
    [100, 200, 200, 210, 300]
    """

    def __init__(self, wall_ns: Callable[[], int]) -> None:
        self._wall_ns = wall_ns
        self._last_wall_ns = 0
        self._now_ns = 0

    def now_ns(self) -> int:
        wall_ns = self._wall_ns()
        passed_ns = max(wall_ns - self._last_wall_ns, 0)
        self._last_wall_ns = wall_ns
        self._now_ns = max(wall_ns, self._now_ns + passed_ns // 2)
        return self._now_ns
