"""Each rule of event time, one short test."""

import numpy as np
import pytest

from sightline.sense.event_time import FOREVER_NS, StreamClock, TimeBounds


@pytest.fixture
def clock() -> StreamClock:
    clock = StreamClock(
        TimeBounds(out_of_order_ns=5, revision_allowance_ns=20, max_backlog_ns=1000, idle_ns=50)
    )
    clock.resize(2)
    return clock


def observe(clock: StreamClock, group: int, *times: int) -> None:
    clock.observe(np.full(len(times), group), np.array(times))


def late(clock: StreamClock, group: int, time_ns: int) -> bool:
    punctual = clock.punctual(np.array([group]), np.array([time_ns]))
    return punctual is not None and not punctual[0]


def test_a_watermark_is_the_newest_time_held_back_by_the_out_of_order_bound(clock):
    observe(clock, 0, 100)
    assert clock.watermark_ns[0] == 95


def test_a_watermark_never_goes_back(clock):
    observe(clock, 0, 100)
    observe(clock, 0, 40)
    assert clock.watermark_ns[0] == 95


def test_the_data_of_one_group_does_not_move_the_watermark_of_another(clock):
    observe(clock, 0, 100)
    observe(clock, 1, 10)
    assert clock.watermark_ns.tolist() == [95, 5]


def test_a_tick_does_not_move_a_watermark(clock):
    observe(clock, 0, 100)
    clock.tick(10_000, final=False)
    assert clock.watermark_ns[0] == 95


def test_a_row_within_the_allowance_is_not_late(clock):
    observe(clock, 0, 100)
    assert not late(clock, 0, 75)


def test_a_row_behind_the_allowance_is_late(clock):
    observe(clock, 0, 100)
    assert late(clock, 0, 74)


def test_backlog_of_a_group_is_not_late_however_far_the_others_are(clock):
    observe(clock, 0, 10)
    observe(clock, 1, 900)
    clock.tick(900, final=False)
    assert not late(clock, 0, 11)


def test_a_row_older_than_the_backlog_limit_is_refused(clock):
    clock.tick(2000, final=False)
    assert clock.is_beyond_backlog(np.array([999, 1000])).tolist() == [True, False]


def test_an_active_group_closes_windows_by_its_own_watermark_only(clock):
    observe(clock, 0, 100)
    clock.tick(120, final=False)
    assert clock.complete_ns[0] == 95


def test_a_tick_closes_the_windows_of_an_idle_group_provisionally(clock):
    observe(clock, 0, 100)
    clock.tick(155, final=False)
    assert clock.complete_ns[0] == 150


def test_a_provisional_close_settles_nothing(clock):
    observe(clock, 0, 100)
    clock.tick(155, final=False)
    assert clock.settled_ns[0] == 75


def test_a_group_that_speaks_again_is_not_idle_any_more(clock):
    observe(clock, 0, 100)
    clock.tick(400, final=False)
    observe(clock, 0, 110)
    clock.tick(410, final=False)
    assert clock.complete_ns[0] == 105


def test_a_window_settles_when_its_end_is_behind_the_watermark_by_the_allowance(clock):
    observe(clock, 0, 100)
    assert clock.settled_ns[0] == 75


def test_a_silent_group_settles_when_the_backlog_limit_has_passed(clock):
    observe(clock, 0, 100)
    clock.tick(5000, final=False)
    assert clock.settled_ns[0] == 4000


def test_what_is_settled_is_always_complete(clock):
    observe(clock, 0, 100)
    clock.tick(1200, final=False)
    observe(clock, 0, 210)  # speaks again, far behind: not idle, and not complete by itself
    clock.tick(1240, final=False)
    assert clock.complete_ns[0] >= clock.settled_ns[0]


def test_the_end_of_a_finite_stream_settles_everything(clock):
    observe(clock, 0, 100)
    clock.tick(100, final=True)
    assert clock.settled_ns[0] == FOREVER_NS


def test_at_the_end_nothing_is_still_on_its_way(clock):
    clock.tick(100, final=True)
    assert clock.effective_ns == 100


def test_a_tick_never_goes_back(clock):
    clock.tick(100, final=False)
    clock.tick(50, final=False)
    assert clock.tick_ns == 100
