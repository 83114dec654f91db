"""Recordings as they come out of recorders: joined, cut, wrapped, in grey, with several streams."""

import itertools
from fractions import Fraction

import cv2
import numpy as np
import pytest

from sense.frames.frame_cases import PERIOD_NS, faults_of, frames_of, textured_picture, write_video
from sightline.sense.frames import FrameContract, ImageDirectory, VideoFile
from sightline.sense.frames.image_files import RateTimes
from sightline.sense.opening import open_source

av = pytest.importorskip("av", reason="awkward recordings not tested: PyAV is not installed")

CAMERA = FrameContract(width_px=160, height_px=120, rate_hz=10, max_age_s=1.0)
RATE = RateTimes(start_ns=0, rate_hz=10.0)


def in_times(path, ticks, *, offset_s=0.0):
    """An MPEG transport stream whose pictures have these times, in units of 90 kHz."""
    with av.open(str(path), "w", format="mpegts") as container:
        stream = container.add_stream("mpeg2video", rate=10)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        stream.codec_context.gop_size, stream.codec_context.max_b_frames = 5, 0
        packets = []
        for number in range(len(ticks)):
            frame = av.VideoFrame.from_ndarray(textured_picture(number), format="bgr24")
            frame.pts, frame.time_base = number, Fraction(1, 10)
            packets += stream.encode(frame)
        packets += stream.encode(None)
        for packet, at in zip(packets, ticks, strict=True):
            packet.pts = packet.dts = at
            packet.time_base = Fraction(1, 90_000)
            packet.stream = stream
            container.mux(packet)
    return path


# --- clocks ---------------------------------------------------------------------------------------


def test_recordings_joined_into_one_lose_no_frame_and_go_on_in_time(tmp_path):
    first = write_video(tmp_path / "1.ts", codec="libx264", frames=30)
    again = write_video(tmp_path / "2.ts", codec="libx264", frames=40)
    both = tmp_path / "both.ts"
    both.write_bytes(first.read_bytes() + again.read_bytes())
    items = list(VideoFile("yard", both))
    times = [frame.capture_ns for frame in frames_of(items)]
    assert len(times) >= 66  # the packet at the joint is marked as corrupt
    assert times == sorted(set(times))
    assert times[-1] < 8 * 10**9
    assert faults_of(items)["CLOCK_CHANGED"] == 0


def test_a_clock_of_33_bits_that_begins_anew_goes_on(tmp_path):
    ticks = [(2**33 - 10 * 9000 + n * 9000) for n in range(20)]
    path = in_times(tmp_path / "a.ts", ticks)
    items = list(VideoFile("yard", path))
    times = [frame.capture_ns for frame in frames_of(items)]
    assert [b - a for a, b in itertools.pairwise(times)] == [PERIOD_NS] * 19
    assert not faults_of(items)


# --- which stream ---------------------------------------------------------------------------------


def two_videos(path, *, audio_first=False):
    with av.open(str(path), "w") as container:
        audio = container.add_stream("aac", rate=8000, layout="mono") if audio_first else None
        streams = []
        for size in ((160, 120), (320, 240)):
            stream = container.add_stream("mpeg4", rate=10)
            stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
            streams.append((stream, size))
        if audio is not None:
            sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            sound.rate = 8000
            container.mux(audio.encode(sound))
        for number in range(5):
            for stream, (width_px, height_px) in streams:
                pixels = textured_picture(number, width_px=width_px, height_px=height_px)
                frame = av.VideoFrame.from_ndarray(pixels, format="bgr24")
                frame.pts, frame.time_base = number, Fraction(1, 10)
                container.mux(stream.encode(frame))
        for stream, _ in streams:
            container.mux(stream.encode(None))
        if audio is not None:
            container.mux(audio.encode(None))
    return path


def test_that_a_file_has_further_video_streams_is_said(tmp_path):
    items = list(VideoFile("yard", two_videos(tmp_path / "a.mkv")))
    assert {frame.width_px for frame in frames_of(items)} == {160}
    assert faults_of(items) == {"FURTHER_STREAMS": 0}
    assert "1 further video streams" in items[0].detail


def test_another_video_stream_can_be_chosen(tmp_path):
    path = two_videos(tmp_path / "a.mkv", audio_first=True)
    camera = open_source("yard", str(path), CAMERA, options={"video_stream": 1})
    items = list(camera)
    assert {frame.width_px for frame in frames_of(items)} == {320}
    assert not faults_of(items)


def test_a_video_stream_that_is_not_there_is_named(tmp_path):
    path = two_videos(tmp_path / "a.mkv")
    (fault,) = open_source("yard", str(path), CAMERA, options={"video_stream": 7})
    assert fault.detail == "no video stream 7: there are 2, from 0"


# --- grey -----------------------------------------------------------------------------------------


def images(folder, grey):
    for number, is_grey in enumerate(grey):
        pixels = textured_picture(number)
        pixels = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY) if is_grey else pixels
        cv2.imwrite(str(folder / f"{number}.jpg"), pixels)
    return folder


@pytest.mark.parametrize("grey", [[0, 1, 1, 0], [1, 1, 0, 0]], ids=["colour-first", "grey-first"])
def test_grey_images_of_a_camera_that_switched_to_infrared_are_looked_at(tmp_path, grey):
    directory = ImageDirectory("yard", images(tmp_path, grey), times=RATE, channels=3)
    items = list(directory)
    assert [frame.channels for frame in frames_of(items)] == [3] * 4
    assert not faults_of(items)


def test_images_that_are_all_grey_stay_grey(tmp_path):
    directory = ImageDirectory("yard", images(tmp_path, [1, 1]), times=RATE, channels=3)
    assert [frame.channels for frame in frames_of(directory)] == [1, 1]


@pytest.mark.parametrize("pixels", ["gray", "gray10le", "gray16le"])
def test_a_video_that_is_grey_throughout_stays_grey(tmp_path, pixels):
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = 160, 120, pixels
        for number in range(3):
            frame = av.VideoFrame.from_ndarray(textured_picture(number), format="bgr24")
            frame.pts, frame.time_base = number, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert [frame.channels for frame in frames_of(VideoFile("yard", path))] == [1] * 3


def test_a_video_that_turns_grey_in_its_midst_stays_in_colour(tmp_path):
    path = tmp_path / "a.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=10)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuvj420p"
        for number in range(6):
            pixels = textured_picture(number)
            if number >= 3:
                pixels = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
            packet = av.Packet(cv2.imencode(".jpg", pixels)[1].tobytes())
            packet.pts = packet.dts = number
            packet.time_base, packet.stream = Fraction(1, 10), stream
            packet.is_keyframe = True
            container.mux(packet)
    items = list(VideoFile("yard", path))
    assert [frame.channels for frame in frames_of(items)] == [3] * 6
    assert not faults_of(items)


# --- what is no recording -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "the file is empty"),
        (b"\n<!DOCTYPE html><title>Login</title>", "a web page or XML, no video"),
        (bytes(10_000), "nothing but zeros"),
    ],
)
def test_what_is_no_video_is_told_in_words(tmp_path, data, words):
    path = tmp_path / "a.mp4"
    path.write_bytes(data)
    (fault,) = VideoFile("yard", path)
    assert words in fault.detail


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
def test_a_recording_that_was_cut_off_before_its_index_says_so(tmp_path, share):
    whole = write_video(tmp_path / "whole.mp4", codec="libx264").read_bytes()
    path = tmp_path / "cut.mp4"
    path.write_bytes(whole[: max(64, int(share * whole.index(b"moov")))])
    (fault,) = VideoFile("yard", path)
    assert fault.detail == "moov atom not found: the recording was cut off before its end"


def test_files_that_other_systems_leave_beside_images_are_no_frames(tmp_path):
    images(tmp_path, [0, 0])
    for name in ("._0.jpg", "._1.jpg", ".DS_Store", "Thumbs.db", "0.xmp", "0.json"):
        (tmp_path / name).write_bytes(b"\x00\x05\x16\x07")
    directory = ImageDirectory("yard", tmp_path, times=RATE)
    assert len(frames_of(directory)) == 2
    assert set(directory.ignored) == {
        "._0.jpg", "._1.jpg", ".DS_Store", "Thumbs.db", "0.xmp", "0.json",
    }  # fmt: skip


# --- when it began --------------------------------------------------------------------------------


def test_a_recording_begins_so_many_seconds_after_its_start(tmp_path):
    path = write_video(tmp_path / "a.mp4", codec="libx264", frames=3)
    options = {"start": "1970-01-01T00:01:00Z", "start_s": 2.5}
    frames = frames_of(open_source("yard", str(path), CAMERA, options=options))
    assert frames[0].capture_ns == 62_500_000_000


def test_a_recording_can_begin_when_it_says_itself(tmp_path):
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        container.metadata["creation_time"] = "2024-05-01T10:00:03Z"
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        frame = av.VideoFrame.from_ndarray(textured_picture(0), format="bgr24")
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    frames = frames_of(open_source("yard", str(path), CAMERA, options={"start": "creation"}))
    assert frames[0].capture_ns == 1_714_557_603 * 10**9
