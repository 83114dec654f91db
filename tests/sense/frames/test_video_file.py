"""Video files: every frame with its time, and everything that is wrong with a reason."""

from __future__ import annotations

import os
import random
import time
import tracemalloc
from fractions import Fraction

import numpy as np
import pytest

from sense.frames.frame_cases import (
    DATA,
    PERIOD_NS,
    RATE_HZ,
    faults_of,
    frames_of,
    textured_picture,
    write_video,
)
from sightline.errors import SourceError, UsageError
from sightline.limits import Limits
from sightline.sense.frames import VideoFile
from sightline.sense.frames.video_file import best_reader, read_with_opencv

pytest.importorskip("av", reason="videos not tested: PyAV is not installed")

READERS = pytest.mark.parametrize("reader", [best_reader(), read_with_opencv], ids=["av", "opencv"])
START_NS = 1_700_000_000_000_000_000


def cut(path, share):
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def damage(path, numbers):
    """The same video with the payload of some packets spoilt; the container stays whole."""
    import av

    spoilt = path.with_name(f"spoilt-{path.name}")
    source = random.Random(1)
    with av.open(str(path)) as whole, av.open(str(spoilt), "w") as container:
        stream = container.add_stream_from_template(whole.streams.video[0])
        for number, packet in enumerate(whole.demux(video=0)):
            if not packet.size:
                continue  # asks the decoder for the rest
            data = bytearray(bytes(packet))
            if number in numbers:
                for _ in range(20):
                    data[source.randrange(len(data) // 4, len(data))] ^= 255
            copy = av.Packet(bytes(data))
            copy.pts, copy.dts, copy.time_base = packet.pts, packet.dts, packet.time_base
            copy.is_keyframe, copy.stream = packet.is_keyframe, stream
            container.mux(copy)
    return spoilt


@READERS
@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.avi", "mpeg4"), ("a.mp4", "libx264"), ("a.mkv", "libx264"), ("a.ts", "libx264")],
)
def test_every_frame_comes_in_order_with_its_time(tmp_path, reader, name, codec):
    path = write_video(tmp_path / name, codec=codec)
    items = list(VideoFile("yard", path, start_ns=START_NS, reader=reader))
    assert not faults_of(items)
    assert [frame.index for frame in items] == list(range(40))
    times_ns = np.array([frame.capture_ns for frame in items]) - START_NS
    assert np.abs(times_ns - np.arange(40) * PERIOD_NS).max() < 1000  # OpenCV rounds


@READERS
def test_colours_come_as_blue_green_red(tmp_path, reader):
    plain = np.full((120, 160, 3), (200, 100, 50), np.uint8)
    path = write_video(tmp_path / "a.mkv", codec="ffv1", pictures=[plain] * 3)
    for frame in frames_of(VideoFile("yard", path, reader=reader)):
        assert np.abs(frame.pixels.astype(int) - plain).max() <= 3


def test_uneven_times_are_kept(tmp_path):
    path = write_video(tmp_path / "a.mkv", codec="libx264", frames=4, pts=[0, 1, 5, 6])
    times = [frame.capture_ns // PERIOD_NS for frame in frames_of(VideoFile("yard", path))]
    assert times == [0, 1, 5, 6]


def test_a_recording_arrives_when_it_was_taken(tmp_path):
    path = write_video(tmp_path / "a.mkv", frames=3)
    assert all(f.received_ns == f.capture_ns for f in frames_of(VideoFile("yard", path)))


def test_a_file_can_be_read_twice(tmp_path):
    video = VideoFile("yard", write_video(tmp_path / "a.mp4"))
    first, second = frames_of(video), frames_of(video)
    assert all((a.pixels == b.pixels).all() for a, b in zip(first, second, strict=True))


@READERS
@pytest.mark.parametrize("name", ["a.avi", "a.mkv"])
def test_a_truncated_video_gives_its_beginning_and_says_so(tmp_path, reader, name):
    path = cut(write_video(tmp_path / name), 0.6)
    items = list(VideoFile("yard", path, reader=reader))
    assert 5 <= len(frames_of(items)) < 40
    assert faults_of(items)["TRUNCATED"] == 1


@READERS
def test_a_video_that_lost_its_index_is_unreadable(tmp_path, reader):
    path = cut(write_video(tmp_path / "a.mp4"), 0.6)
    assert faults_of(VideoFile("yard", path, reader=reader)) == {"UNREADABLE": 1}


@READERS
@pytest.mark.parametrize("content", [b"", b"no video at all", bytes(range(256)) * 50])
def test_what_is_no_video_is_one_fault(tmp_path, reader, content):
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    assert faults_of(VideoFile("yard", path, reader=reader)) == {"UNREADABLE": 1}


def test_corrupt_packets_are_counted_and_the_run_goes_on(tmp_path):
    path = damage(write_video(tmp_path / "a.avi", codec="mjpeg"), {5, 17})
    items = list(VideoFile("yard", path))
    assert faults_of(items) == {"PACKET_CORRUPT": 2}
    assert [f.index for f in frames_of(items)] == [n for n in range(40) if n not in (5, 17)]
    assert all(f.capture_ns == f.index * PERIOD_NS for f in frames_of(items))


def test_pictures_computed_from_a_damaged_one_are_refused_until_a_key_frame(tmp_path):
    path = damage(write_video(tmp_path / "a.mkv"), {13})
    items = list(VideoFile("yard", path))
    assert faults_of(items) == {"PACKET_CORRUPT": 1, "REFERENCE_DAMAGED": 6}
    assert [f.index for f in frames_of(items)] == [*range(13), *range(20, 40)]


def test_a_stream_without_key_frames_is_taken_up_again(tmp_path):
    path = damage(write_video(tmp_path / "a.mkv", key_frame_every=1000), {4})
    items = list(VideoFile("yard", path, limits=Limits(recovery_frames=3)))
    assert faults_of(items) == {"PACKET_CORRUPT": 1, "REFERENCE_DAMAGED": 3}
    assert frames_of(items)[-1].index == 39


def test_what_the_decoder_swallows_is_counted_too(tmp_path):
    path = damage(write_video(tmp_path / "a.mkv", codec="libx264"), {3, 4, 5, 6, 7, 21, 22})
    items = list(VideoFile("yard", path))
    lost = faults_of(items)
    assert sum(lost.values()) >= 2
    assert len(frames_of(items)) + sum(lost.values()) == 40


def two_sizes(path):
    """One H.264 stream of which the second half has another size."""
    import av

    with av.open(str(path), "w", format="mpegts") as container:
        stream = container.add_stream("libx264", rate=25)
        for part, (width_px, height_px) in enumerate([(160, 120), (320, 240)]):
            encoder = av.CodecContext.create("libx264", "w")
            encoder.width, encoder.height, encoder.pix_fmt = width_px, height_px, "yuv420p"
            encoder.framerate, encoder.time_base = 25, Fraction(1, 25)
            encoder.options = {"tune": "zerolatency"}
            if part == 0:
                stream.width, stream.height, stream.pix_fmt = width_px, height_px, "yuv420p"
            for number in range(10):
                pixels = textured_picture(number, width_px=width_px, height_px=height_px)
                frame = av.VideoFrame.from_ndarray(pixels, format="bgr24")
                frame.pts = 10 * part + number
                for packet in encoder.encode(frame):
                    packet.stream = stream
                    container.mux(packet)
    return path


def test_a_change_of_resolution_is_told_and_the_stream_goes_on_at_the_new_size(tmp_path):
    items = list(VideoFile("yard", two_sizes(tmp_path / "a.ts")))
    assert [frame.width_px for frame in frames_of(items)] == [160] * 10 + [320] * 10
    assert faults_of(items) == {"RESOLUTION_CHANGED": 0}


def test_times_that_go_back_are_refused(tmp_path):
    first = write_video(tmp_path / "1.ts", codec="libx264", frames=10)
    again = write_video(tmp_path / "2.ts", codec="libx264", frames=10)
    both = tmp_path / "both.ts"
    both.write_bytes(first.read_bytes() + again.read_bytes())
    items = list(VideoFile("yard", both))
    times = [frame.capture_ns for frame in frames_of(items)]
    assert times == sorted(set(times))
    assert faults_of(items)["TIME_BACKWARDS"] > 0


def test_frames_without_times_are_refused(tmp_path):
    path = write_video(tmp_path / "a.h264", codec="libx264", container_format="h264")
    assert faults_of(VideoFile("yard", path)) == {"TIME_MISSING": 40}


def test_frames_without_times_are_timed_by_the_given_rate(tmp_path):
    path = write_video(tmp_path / "a.h264", codec="libx264", container_format="h264")
    items = list(VideoFile("yard", path, rate_hz=RATE_HZ))
    assert [frame.capture_ns for frame in items] == [n * PERIOD_NS for n in range(40)]


def test_a_picture_beyond_the_bound_is_not_decoded(tmp_path):
    path = write_video(tmp_path / "a.mp4", codec="libx264", frames=5)
    items = list(VideoFile("yard", path, limits=Limits(max_frame_px=1000)))
    assert not frames_of(items)
    assert faults_of(items)["TOO_LARGE"] > 0


def test_a_playlist_that_calls_itself_a_video_opens_nothing_else(tmp_path):
    write_video(tmp_path / "secret.mp4")
    path = tmp_path / "a.mp4"
    path.write_text("#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/x.ts\n#EXT-X-ENDLIST\n")
    assert not frames_of(VideoFile("yard", path))


def test_without_pyav_videos_are_read_with_opencv(monkeypatch):
    monkeypatch.setattr("sightline.sense.frames.video_file.find_spec", lambda name: None)
    assert best_reader() is read_with_opencv


def test_a_file_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(SourceError):
        VideoFile("yard", tmp_path / "none.mp4")


@pytest.mark.parametrize("wrong", [{"start_ns": -1}, {"rate_hz": 0.0}, {"rate_hz": float("nan")}])
def test_numbers_that_cannot_be_are_refused(tmp_path, wrong):
    path = write_video(tmp_path / "a.mp4", frames=2)
    with pytest.raises(UsageError):
        VideoFile("yard", path, **wrong)


def test_memory_does_not_grow_with_the_video(tmp_path):
    path = write_video(tmp_path / "a.mp4", frames=300)
    tracemalloc.start()
    for _ in VideoFile("yard", path):
        pass
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 20 * 160 * 120 * 3


def test_a_container_without_presentation_times_is_put_in_order():
    path = DATA / "pets2009_s2l1" / "video.avi"
    if not path.exists():
        pytest.skip(f"a real AVI with reordered frames not tested: {path} is not there")
    items = list(VideoFile("yard", path))
    assert not faults_of(items)
    assert [frame.capture_ns for frame in items] == [n * PERIOD_NS for n in range(795)]


@READERS
def test_arbitrary_damage_never_raises(tmp_path, reader):
    whole = write_video(tmp_path / "whole.mkv", frames=12).read_bytes()
    source = random.Random(4)
    end = time.monotonic() + float(os.environ.get("SIGHTLINE_FUZZ_S", "2"))
    path = tmp_path / "a.mkv"
    while time.monotonic() < end:
        data = bytearray(whole)
        for _ in range(source.randrange(1, 60)):
            data[source.randrange(len(data))] = source.randrange(256)
        path.write_bytes(data[: source.randrange(1, len(data) + 1)])
        list(VideoFile("yard", path, reader=reader))
