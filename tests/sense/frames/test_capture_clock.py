"""When live frames were taken: the camera's clock against ours."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sightline.records.signals import NS_PER_S
from sightline.sense.frames.live_camera import CaptureClock, SlewedClock

MS = NS_PER_S // 1000


@given(st.lists(st.integers(0, 200 * MS), min_size=30, max_size=60))
def test_jitter_of_the_network_is_not_jitter_of_motion(delays_ns):
    clock = CaptureClock()
    delays_ns[0] = 0  # the fastest comes first: from then on times are exact
    times = [
        clock.capture_ns(pts_ns=n * 40 * MS, received_ns=NS_PER_S + n * 40 * MS + delay)
        for n, delay in enumerate(delays_ns)
    ]
    assert np.abs(np.diff(times) - 40 * MS).max() < MS


@given(st.lists(st.integers(0, 5 * NS_PER_S), min_size=1, max_size=50))
def test_nothing_is_taken_after_it_was_received(delays_ns):
    clock = CaptureClock()
    for n, delay in enumerate(delays_ns):
        received_ns = NS_PER_S + n * 40 * MS + delay
        assert clock.capture_ns(pts_ns=n * 40 * MS, received_ns=received_ns) <= received_ns


def test_a_camera_whose_clock_runs_slow_is_followed():
    clock = CaptureClock()
    slow = 1 - 100e-6
    for n in range(0, 36_000, 10):  # an hour
        received_ns = n * 100 * MS
        capture_ns = clock.capture_ns(pts_ns=round(received_ns * slow), received_ns=received_ns)
    assert received_ns - capture_ns < MS


def test_a_camera_whose_clock_was_set_back_is_tied_anew():
    clock = CaptureClock()
    clock.capture_ns(pts_ns=3600 * NS_PER_S, received_ns=5000 * NS_PER_S)
    assert clock.capture_ns(pts_ns=0, received_ns=5001 * NS_PER_S) == 5001 * NS_PER_S


def test_a_stream_without_times_is_timed_by_its_receipt():
    assert CaptureClock().capture_ns(pts_ns=None, received_ns=7) == 7


@given(st.lists(st.integers(0, 10**12), min_size=1))
def test_a_slewed_clock_never_goes_back(walls_ns):
    times = iter(walls_ns)
    clock = SlewedClock(lambda: next(times))
    shown = [clock.now_ns() for _ in walls_ns]
    assert shown == sorted(shown)
    assert all(now >= wall for now, wall in zip(shown, walls_ns, strict=True))


def test_a_clock_that_was_set_back_is_caught_up_with():
    walls = iter([100, 100 - 40, *range(60, 200)])
    clock = SlewedClock(lambda: next(walls))
    shown = [clock.now_ns() for _ in range(142)]
    assert shown[-1] == 199
