"""What one stream gives is numbered, and a clock that jumps costs one frame."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sightline.records import Frame
from sightline.records.signals import NS_PER_S
from sightline.sense.frames.delivery import Delivery

PICTURE = np.zeros((4, 6, 3), np.uint8)
HOUR_NS = 3600 * NS_PER_S


def test_a_picture_from_the_future_does_not_refuse_those_that_follow():
    delivery = Delivery("yard", "rtsp://yard")
    delivery.frame(PICTURE, capture_ns=HOUR_NS, received_ns=1)
    (item,) = delivery.frame(PICTURE, capture_ns=2, received_ns=2)
    assert isinstance(item, Frame)


def test_a_picture_that_is_older_than_the_receipt_of_one_from_the_future_is_refused():
    delivery = Delivery("yard", "rtsp://yard")
    delivery.frame(PICTURE, capture_ns=HOUR_NS, received_ns=5)
    (item,) = delivery.frame(PICTURE, capture_ns=5, received_ns=6)
    assert str(item.reason) == "TIME_BACKWARDS"


# --- a recording's clock --------------------------------------------------------------------------


def delivered_s(clock_s, *, period_s=0.1):
    """Capture times of a recording whose clock shows ``clock_s``, None where one is refused."""
    delivery = Delivery("yard", "yard.mp4", period_ns=round(period_s * 10**9))
    found = []
    for at_s in clock_s:
        items = delivery.frame(PICTURE, capture_ns=round(at_s * 10**9))
        frame = items[-1]
        found.append(round(frame.capture_ns / 1e9, 6) if isinstance(frame, Frame) else None)
    return found


def test_after_a_clock_was_set_back_time_goes_on_at_the_pace_of_the_recording():
    clock_s = [8.0, 8.1, 8.2, 0.0, 0.1, 0.2]
    assert delivered_s(clock_s) == [8.0, 8.1, 8.2, 8.3, 8.4, 8.5]


def test_one_picture_out_of_its_order_is_refused_and_the_clock_stays_as_it_is():
    assert delivered_s([1.0, 1.1, 1.2, 1.15, 1.3]) == [1.0, 1.1, 1.2, None, 1.3]


def test_a_clock_that_was_set_back_a_little_costs_one_frame():
    clock_s = [1.0, 1.1, 1.2, 1.0, 1.1, 1.2]
    assert delivered_s(clock_s) == [1.0, 1.1, 1.2, None, 1.3, 1.4]


def test_a_clock_that_is_ahead_again_is_believed_again():
    assert delivered_s([8.0, 8.1, 0.0, 8.3, 8.4]) == [8.0, 8.1, 8.2, 8.3, 8.4]


def test_a_time_that_comes_twice_is_refused_the_second_time():
    clock_s = [1.0, 1.0, 1.1, 1.1, 1.2]
    assert delivered_s(clock_s) == [1.0, None, 1.1, None, 1.2]


def test_a_gap_stays_a_gap():
    assert delivered_s([0.0, 0.1, 3600.0, 3600.1]) == [0.0, 0.1, 3600.0, 3600.1]


@given(st.lists(st.tuples(st.floats(0.0, 1e5), st.integers(2, 20)), min_size=1, max_size=6))
def test_of_recordings_that_are_joined_at_most_one_frame_each_is_lost(parts):
    clock_s = [begin_s + 0.1 * n for begin_s, frames in parts for n in range(frames)]
    found = [at_s for at_s in delivered_s(clock_s) if at_s is not None]
    assert len(found) >= len(clock_s) - (len(parts) - 1)
    assert found == sorted(set(found))
