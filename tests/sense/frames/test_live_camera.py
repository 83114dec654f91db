"""Cameras on the network: the newest frame wins, and a camera that was lost is found again."""

from __future__ import annotations

import itertools
import socket
import threading
import time

import numpy as np
import pytest

from sense.frames.camera_servers import HEIGHT_PX, WIDTH_PX, MjpegServer, RtspServer
from sightline.errors import UsageError
from sightline.limits import Limits
from sightline.records.frames import Frame
from sightline.records.signals import NS_PER_S
from sightline.sense.frames import FrameFault, LiveCamera
from sightline.sense.frames.live_camera import Reconnect
from sightline.sense.frames.reasons import FrameReason
from sightline.sense.frames.video_file import best_reader, read_with_opencv
from sightline.sense.frames.video_parts import Damage, Picture

WAIT_S = 20.0
SOON = Reconnect(first_s=0.05, cap_s=0.2)
CAMERAS = pytest.mark.parametrize("server", [RtspServer, MjpegServer], ids=["rtsp", "mjpeg"])
READERS = pytest.mark.parametrize("reader", [best_reader(), read_with_opencv], ids=["av", "opencv"])


def take(camera, holds, *, most_s=WAIT_S):
    """What comes until ``holds(items)``."""
    items, end = [], time.monotonic() + most_s
    while not holds(items):
        assert time.monotonic() < end, items
        item = camera.take(0.2)
        if item is not None:
            items.append(item)
    return items


def frames(items):
    return [item for item in items if isinstance(item, Frame)]


def faults(items):
    return [item for item in items if isinstance(item, FrameFault)]


@CAMERAS
@READERS
def test_a_camera_that_is_lost_is_found_again(server, reader):
    with server() as running:
        camera = LiveCamera(
            "yard", running.address, wall_ns=time.time_ns, reconnect=SOON, reader=reader
        )
        with camera:
            before = take(camera, lambda items: len(frames(items)) >= 5)
            running.cut()
            lost = take(camera, faults)
            running.come_back()
            after = take(camera, lambda items: len(frames(items)) >= 5)
            status = camera.status(time.time_ns())
        assert {fault.reason for fault in faults(lost)} == {FrameReason.NO_CONNECTION}
        assert all(fault.frames == 0 for fault in faults(lost))
        assert status.connections == 2
        assert status.attempts >= 2
        assert running.connections == 2
        seen = frames(before + lost + after)
        assert all(f.pixels.shape == (HEIGHT_PX, WIDTH_PX, 3) for f in seen)
        assert [f.index for f in seen] == sorted({f.index for f in seen})
        assert np.all(np.diff([f.capture_ns for f in seen]) > 0)
        assert all(f.capture_ns <= f.received_ns for f in seen)


@CAMERAS
def test_a_slow_taker_gets_the_newest_frame_and_the_others_are_counted(server):
    with server() as running:
        camera = LiveCamera("yard", running.address, wall_ns=time.time_ns)
        with camera:
            take(camera, frames)
            end = time.monotonic() + WAIT_S
            while camera.status(0).superseded < 5:
                assert time.monotonic() < end
                threading.Event().wait(0.02)
            newest = camera.take(1.0)
        status = camera.status(time.time_ns())
        assert newest.index >= 6
        assert status.received == (
            status.taken + status.waiting + status.superseded + sum(status.refused.values())
        )


def test_the_health_of_a_camera_is_the_age_of_its_newest_frame():
    with MjpegServer() as running:
        with LiveCamera("yard", running.address, wall_ns=time.time_ns) as camera:
            assert camera.status(time.time_ns()).newest_age_s == float("inf")
            newest = frames(take(camera, frames))[-1]
        status = camera.status(newest.capture_ns + 3 * NS_PER_S)
        assert 0 < status.newest_age_s <= 3.0


@CAMERAS
def test_stopping_is_clean(server):
    before = set(threading.enumerate())
    with server() as running:
        camera = LiveCamera("yard", running.address, wall_ns=time.time_ns)
        with camera:
            take(camera, frames)
        assert camera.stop()
    assert set(threading.enumerate()) == before


def test_what_waits_can_still_be_taken_after_the_stop():
    with MjpegServer() as running:
        with LiveCamera("yard", running.address, wall_ns=time.time_ns) as camera:
            end = time.monotonic() + WAIT_S
            while not camera.status(0).waiting:
                assert time.monotonic() < end
        assert len(list(camera)) == 1


def test_a_camera_that_accepts_and_says_nothing_is_given_up_in_time():
    bounds = Limits(open_timeout_s=0.3, read_timeout_s=0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"rtsp://127.0.0.1:{silent.getsockname()[1]}/"
        with LiveCamera("yard", address, wall_ns=time.time_ns, limits=bounds) as camera:
            assert faults(take(camera, faults))[0].reason is FrameReason.NO_CONNECTION


def test_secrets_of_the_address_are_shown_nowhere():
    with RtspServer() as running:
        running.cut()
        camera = LiveCamera("yard", running.address, wall_ns=time.time_ns, reconnect=SOON)
        with camera:
            fault = take(camera, faults)[0]
    shown = repr(camera) + repr(fault)
    assert "s3cret" not in shown
    assert "operator" not in shown
    assert "127.0.0.1" in shown


@pytest.mark.parametrize(
    "address", ["", "file:///etc/passwd", "rtsp://", "cam:7", "http://[", "/a.mp4"]
)
def test_what_is_no_network_address_is_refused(address):
    with pytest.raises(UsageError) as caught:
        LiveCamera("yard", address, wall_ns=time.time_ns)
    assert not address or address not in str(caught.value)


class Script:
    """A reader that plays given connections, and then none."""

    def __init__(self, *connections):
        self.connections = list(connections)
        self.opened = 0

    def __call__(self, location, bounds):
        self.opened += 1
        yield from self.connections.pop(0) if self.connections else []


def picture(pts_ns=None):
    return Picture(pixels=np.zeros((4, 4, 3), np.uint8), pts_ns=pts_ns)


def run_script(script, *, attempts, **settings):
    """(items, waits) of a camera whose waits pass at once, after some attempts."""
    waits = []
    done = threading.Event()

    def wait_s(seconds):
        waits.append(seconds)
        if len(waits) >= attempts:
            done.set()
            threading.Event().wait(0.01)

    settings.setdefault("wall_ns", itertools.count(10**9, 10**7).__next__)
    camera = LiveCamera("yard", "rtsp://camera/", wait_s=wait_s, reader=script, **settings)
    with camera:
        assert done.wait(WAIT_S)
    return list(camera), waits[:attempts], camera.status(2 * 10**9)


def test_waits_grow_to_their_cap_and_begin_anew_after_a_frame():
    nothing, one = [], [picture()]
    reconnect = Reconnect(first_s=1.0, factor=2.0, cap_s=8.0)
    script = Script(nothing, nothing, nothing, nothing, nothing, one, nothing)
    _, waits, status = run_script(script, attempts=7, reconnect=reconnect)
    full = [2.0, 4.0, 8.0, 8.0, 8.0, 1.0, 2.0]
    assert all(whole / 2 <= wait <= whole for wait, whole in zip(waits, full, strict=True))
    assert status.connections == 1


def test_corrupt_packets_of_a_camera_are_counted_by_reason():
    bad = Damage(reason=FrameReason.PACKET_CORRUPT, detail="", frames=1)
    _, _, status = run_script(Script([picture(), bad, bad, picture()]), attempts=1)
    assert status.refused == {"PACKET_CORRUPT": 2}
    assert status.received == 4


def test_faults_that_nobody_takes_stay_bounded():
    bad = Damage(reason=FrameReason.PACKET_CORRUPT, detail="", frames=1)
    bounds = Limits(waiting_faults=3)
    items, _, status = run_script(Script([bad] * 10), attempts=1, limits=bounds)
    assert len(items) == 3
    assert status.refused == {"PACKET_CORRUPT": 10}


def test_a_bigger_mailbox_keeps_the_newest_frames_in_order():
    bounds = Limits(mailbox_frames=3)
    items, _, status = run_script(Script([picture()] * 8), attempts=1, limits=bounds)
    assert [item.index for item in items] == [5, 6, 7]
    assert status.superseded == 5


def test_a_broken_reader_is_raised_to_the_taker():
    class Broken(Exception):
        pass

    def reader(location, bounds):
        yield picture()
        raise Broken

    camera = LiveCamera("yard", "rtsp://camera/", wall_ns=time.time_ns, reader=reader)
    with pytest.raises(Broken), camera:
        list(camera)


def test_a_camera_whose_clock_restarts_with_the_connection_goes_on():
    script = Script(
        [picture(pts_ns=n * 10**7) for n in range(5)], [picture(pts_ns=n * 10**7) for n in range(5)]
    )
    items, _, status = run_script(script, attempts=2, limits=Limits(mailbox_frames=20))
    assert len(frames(items)) == 10
    assert status.refused == {}


# --- joining a stream -----------------------------------------------------------------------------


def test_a_camera_whose_key_frames_are_far_apart_is_seen_from_the_first_one_on():
    with RtspServer(key_frame_every=10_000) as running:
        camera = LiveCamera("yard", running.address, wall_ns=time.time_ns, reconnect=SOON)
        with camera:
            items = take(camera, lambda items: len(frames(items)) >= 5)
            status = camera.status(time.time_ns())
    assert not faults(items)
    assert not status.refused
    assert frames(items)[-1].index == status.superseded + status.taken - 1


def test_pictures_before_the_first_key_frame_of_a_connection_are_counted():
    with RtspServer(key_frame_every=60, joins_at=20) as running:
        camera = LiveCamera("yard", running.address, wall_ns=time.time_ns, reconnect=SOON)
        with camera:
            items = take(camera, frames)
    (fault,) = faults(items)
    assert fault.reason is FrameReason.REFERENCE_DAMAGED
    assert "before the first key frame" in fault.detail
    assert 30 <= fault.frames <= 40  # what was sent before it, of the stream's 60


@pytest.mark.parametrize(
    ("answer", "words"), [("401 Unauthorized", "401"), ("404 Not Found", "404")]
)
def test_a_camera_that_turns_us_away_says_how(answer, words):
    with RtspServer(answer=answer) as running:
        camera = LiveCamera("yard", running.address, wall_ns=time.time_ns, reconnect=SOON)
        with camera:
            (fault, *_) = take(camera, faults)
    assert fault.reason is FrameReason.NO_CONNECTION
    assert words in fault.detail
    assert "s3cret" not in fault.detail
