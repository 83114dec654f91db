"""Cameras on their way to the engine: recorded ones in order, live ones newest first."""

import threading
import time

import numpy as np
import pytest

from sightline.limits import Limits
from sightline.records import Frame
from sightline.records.signals import NS_PER_S
from sightline.runtime.engine.camera_inbox import CameraInbox, Pace
from sightline.runtime.engine.feeds import recorded_moments
from sightline.sense.frames import FrameFault, FrameReason
from simulation.site_cases import camera

TICK_NS = NS_PER_S // 10


class Given:
    """A source of given items; waits for ``go`` before each one after the first."""

    def __init__(self, stream, items, go=None):
        self.stream = stream
        self.items = items
        self.go = go

    def __iter__(self):
        for n, item in enumerate(self.items):
            if n and self.go is not None:
                self.go.wait(5)
            yield item


def frame(stream, index, at_s):
    return Frame(
        stream=stream,
        index=index,
        capture_ns=round(at_s * NS_PER_S),
        received_ns=round(at_s * NS_PER_S),
        pixels=np.zeros((4, 4), np.uint8),
    )


def fault(stream, index):
    return FrameFault(
        stream=stream,
        origin="x",
        index=index,
        reason=FrameReason.UNREADABLE,
        detail="",
        frames=1,
    )


def moments(*sources, **options):
    return list(recorded_moments(sources, tick_ns=TICK_NS, **options))


# --- recorded -----------------------------------------------------------------------------------


def test_cameras_are_merged_by_the_time_their_frames_came():
    found = moments(
        Given("a", [frame("a", 0, 0.01), frame("a", 1, 0.05)]), Given("b", [frame("b", 0, 0.03)])
    )
    order = [(i.stream, i.index) for m in found for i in m.items]
    assert order == [("a", 0), ("b", 0), ("a", 1)]


def test_ticks_stand_on_the_grid_between_the_frames_that_they_separate():
    found = moments(Given("a", [frame("a", 0, 0.05), frame("a", 1, 0.25)]))
    assert [(m.at_ns / NS_PER_S, len(m.items)) for m in found] == [
        (0.05, 1),
        (0.1, 0),
        (0.2, 0),
        (0.25, 1),
        (0.3, 0),
    ]


def test_only_the_last_tick_is_final():
    found = moments(camera(seconds=1))
    assert [m.is_final for m in found if not m.items][-1]
    assert sum(m.is_final for m in found) == 1


def test_frames_within_the_wait_share_a_batch_but_never_two_of_one_camera():
    a = Given("a", [frame("a", 0, 0.010), frame("a", 1, 0.011)])
    b = Given("b", [frame("b", 0, 0.012)])
    found = moments(a, b, batch_wait_ns=5_000_000)
    batches = [[(i.stream, i.index) for i in m.items] for m in found if m.items]
    assert batches == [[("a", 0)], [("a", 1), ("b", 0)]]


def test_a_fault_without_a_time_comes_after_what_was_before_it():
    found = moments(Given("a", [frame("a", 0, 0.02), fault("a", 1), frame("a", 2, 0.04)]))
    kinds = [type(i).__name__ for m in found for i in m.items]
    assert kinds == ["Frame", "FrameFault", "Frame"]


def test_a_gap_longer_than_the_bound_is_jumped_over():
    source = Given("a", [frame("a", 0, 0.0), frame("a", 1, 1000.0)])
    found = moments(source, limits=Limits(max_quiet_ticks=5))
    assert len(found) < 10


def test_no_camera_at_all_gives_nothing():
    assert moments() == []


# --- live ---------------------------------------------------------------------------------------


def until(condition, timeout_s=5.0):
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.002)


def test_of_each_camera_the_newest_frame_waits_and_the_others_are_counted():
    frames = [frame("a", n, n / 10) for n in range(5)]
    with CameraInbox({"a": Given("a", frames)}, now_ns=time.time_ns) as inbox:
        until(lambda: inbox.missing(["a"]) is False and inbox.waiting)
        until(lambda: not inbox._threads[0].is_alive())
        arrival = inbox.take()
    assert [item.index for item in arrival.items] == [4]
    assert arrival.superseded == {"a": 4}


def test_what_was_superseded_is_told_once():
    frames = [frame("a", n, n / 10) for n in range(3)]
    with CameraInbox({"a": Given("a", frames)}, now_ns=time.time_ns) as inbox:
        until(lambda: not inbox._threads[0].is_alive())
        assert inbox.take().superseded == {"a": 2}
        assert inbox.take().superseded == {}
        assert inbox.is_finished


def test_faults_are_given_with_the_frame_they_came_before():
    items = [fault("a", 0), frame("a", 1, 0.1)]
    with CameraInbox({"a": Given("a", items)}, now_ns=time.time_ns) as inbox:
        until(lambda: not inbox._threads[0].is_alive())
        assert [type(i).__name__ for i in inbox.take().items] == ["FrameFault", "Frame"]


def test_the_cameras_take_turns_in_being_first():
    go = threading.Event()
    sources = {n: Given(n, [frame(n, i, i / 10) for i in range(2)], go) for n in ("a", "b")}
    with CameraInbox(sources, now_ns=time.time_ns) as inbox:
        until(lambda: inbox.waiting == 2)
        first = [i.stream for i in inbox.take().items]
        go.set()
        until(lambda: inbox.waiting == 2)
        second = [i.stream for i in inbox.take().items]
    assert (first, second) == (["a", "b"], ["b", "a"])


def test_what_ends_a_camera_is_raised_where_its_frames_are_taken():
    class Breaking:
        stream = "a"

        def __iter__(self):
            yield frame("a", 0, 0.1)
            raise OSError("the cable")

    with CameraInbox({"a": Breaking()}, now_ns=time.time_ns) as inbox:
        until(lambda: not inbox._threads[0].is_alive())
        assert len(inbox.take().items) == 1
        with pytest.raises(OSError, match="the cable"):
            inbox.take()


def test_a_recording_is_played_at_its_pace_and_stamped_when_it_comes():
    waits = []
    now = [0]

    def sleep_s(seconds):
        waits.append(seconds)
        now[0] += round(seconds * 2 * NS_PER_S)

    pace = Pace(first_ns=0, speed=2.0, sleep_s=sleep_s)
    source = Given("a", [frame("a", 0, 0.0), frame("a", 1, 1.0)])
    with CameraInbox({"a": source}, now_ns=lambda: now[0], pace=pace) as inbox:
        until(lambda: not inbox._threads[0].is_alive())
        last = inbox.take().items[-1]
    assert waits == [0.5]
    assert last.received_ns >= last.capture_ns
