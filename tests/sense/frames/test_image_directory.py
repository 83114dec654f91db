"""Directories of images: natural order, times three ways, damage with reasons."""

from __future__ import annotations

import random
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sense.frames.frame_cases import PERIOD_NS, RATE_HZ, faults_of, frames_of, textured_picture
from sightline.errors import SourceError, UsageError
from sightline.limits import Limits
from sightline.sense.frames import ImageDirectory
from sightline.sense.frames.image_files import ListedTimes, NameTimes, RateTimes, decode_image
from sightline.sense.frames.video_parts import Damage

RATE = RateTimes(start_ns=0, rate_hz=RATE_HZ)


def encoded(suffix=".jpg", pixels=None):
    return cv2.imencode(suffix, textured_picture(0) if pixels is None else pixels)[1].tobytes()


def fill(folder, names, data=None):
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_bytes(encoded() if data is None else data)
    return folder


def test_numbers_in_names_count_by_their_value(tmp_path):
    folder = tmp_path / "yard"
    folder.mkdir()
    for number in (10, 9, 1, 2):
        picture = np.full((8, 8, 3), number, np.uint8)
        (folder / f"frame{number}.png").write_bytes(encoded(".png", picture))
    frames = frames_of(ImageDirectory("yard", folder, times=RATE))
    assert [int(frame.pixels[0, 0, 0]) for frame in frames] == [1, 2, 9, 10]


def test_images_are_timed_by_the_rate(tmp_path):
    folder = fill(tmp_path / "yard", ["1.jpg", "2.jpg", "3.jpg"])
    frames = frames_of(ImageDirectory("yard", folder, times=RATE))
    assert [frame.capture_ns for frame in frames] == [0, PERIOD_NS, 2 * PERIOD_NS]


def test_a_corrupt_image_is_refused_and_the_others_keep_their_times(tmp_path):
    folder = fill(tmp_path / "yard", ["1.jpg", "2.jpg", "3.jpg"])
    (folder / "2.jpg").write_bytes(encoded()[:-200])
    items = list(ImageDirectory("yard", folder, times=RATE))
    assert faults_of(items) == {"UNREADABLE": 1}
    assert items[1].origin == "2.jpg"
    assert [f.capture_ns for f in frames_of(items)] == [0, 2 * PERIOD_NS]
    assert [f.index for f in frames_of(items)] == [0, 2]


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp"])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.9, 0.999])
def test_no_part_of_an_image_passes_for_a_whole_one(suffix, share):
    data = encoded(suffix)
    assert isinstance(decode_image(data[: int(share * len(data))], max_frame_px=10**6), Damage)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp"])
def test_a_grey_image_stays_grey(suffix):
    pixels = decode_image(encoded(suffix, textured_picture(0)[..., 0]), max_frame_px=10**6)
    assert pixels.shape == (120, 160)


def test_a_progressive_jpeg_with_a_thumbnail_is_whole():
    flags = [cv2.IMWRITE_JPEG_PROGRESSIVE, 1, cv2.IMWRITE_JPEG_RST_INTERVAL, 4]
    whole = cv2.imencode(".jpg", textured_picture(0), flags)[1].tobytes()
    thumbnail = encoded(pixels=textured_picture(0)[:16, :16])
    segment = b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    assert decode_image(whole[:2] + segment + whole[2:], max_frame_px=10**6).shape == (120, 160, 3)


def test_what_follows_the_end_of_a_jpeg_does_not_matter():
    assert decode_image(encoded() + b"trailer" * 1000, max_frame_px=10**6).shape == (120, 160, 3)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp"])
def test_an_image_with_too_many_pixels_is_not_decoded(suffix):
    damage = decode_image(encoded(suffix), max_frame_px=1000)
    assert damage.reason == "TOO_LARGE"


def test_an_image_with_too_many_bytes_is_not_read(tmp_path):
    folder = fill(tmp_path / "yard", ["1.jpg"])
    bounds = Limits(max_image_bytes=100)
    items = list(ImageDirectory("yard", folder, times=RATE, limits=bounds))
    assert faults_of(items) == {"TOO_LARGE": 1}


@given(st.binary(max_size=400), st.sampled_from([b"", b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"BM"]))
def test_arbitrary_bytes_never_raise(data, head):
    assert isinstance(decode_image(head + data, max_frame_px=10**4), Damage | np.ndarray)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp"])
def test_damaged_images_never_raise(suffix):
    whole, source = encoded(suffix), random.Random(1)
    for _ in range(300):
        data = bytearray(whole)
        for _ in range(source.randrange(1, 20)):
            data[source.randrange(len(data))] = source.randrange(256)
        decode_image(bytes(data[: source.randrange(1, len(data) + 1)]), max_frame_px=10**6)


def test_an_image_of_another_size_is_told_and_delivered(tmp_path):
    folder = fill(tmp_path / "yard", ["1.jpg", "2.jpg"])
    (folder / "2.jpg").write_bytes(encoded(pixels=textured_picture(0)[:60]))
    items = list(ImageDirectory("yard", folder, times=RATE))
    assert [frame.height_px for frame in frames_of(items)] == [120, 60]
    assert faults_of(items) == {"RESOLUTION_CHANGED": 0}


def test_times_are_read_from_names(tmp_path):
    names = ["c_20240101T000000.500.jpg", "c_20240101T000001.000.jpg", "c_unknown.jpg"]
    times = NameTimes(pattern=r"_(?P<time>[\dT.]+)\.jpg", time_format="%Y%m%dT%H%M%S.%f")
    items = list(ImageDirectory("yard", fill(tmp_path / "yard", names), times=times))
    assert [f.capture_ns for f in frames_of(items)] == [1704067200500000000, 1704067201000000000]
    assert faults_of(items) == {"TIME_MISSING": 1}


@pytest.mark.parametrize(
    ("text", "time_format", "expected_ns"),
    [
        ("1700000000.25", "unix_s", 1700000000250000000),
        ("1700000000250", "unix_ms", 1700000000250000000),
        ("2011-09-26 13:02:25.964389445", "iso8601", 1317042145964389445),
        ("2024-01-01T02:00:00+02:00", "iso8601", 1704067200000000000),
        ("20240101 +0200", "%Y%m%d %z", 1704060000000000000),
        ("yesterday", "unix_s", -1),
        ("-5", "unix_s", -1),
        ("nonsense", "%Y", -1),
    ],
)
def test_forms_of_time(tmp_path, text, time_format, expected_ns):
    path = tmp_path / "times.txt"
    path.write_text(f"{text}\n")
    times = ListedTimes(path=path, time_format=time_format)
    assert times.capture_ns(["a.jpg"]).tolist() == [expected_ns]


def test_a_list_names_images_in_any_order(tmp_path):
    path = tmp_path / "times.csv"
    path.write_text("# name,time\n2.jpg,20\n\n1.jpg, 10\n")
    times = ListedTimes(path=path, time_format="unix_s")
    assert times.capture_ns(["1.jpg", "2.jpg", "3.jpg"]).tolist() == [10**10, 2 * 10**10, -1]


def test_a_list_without_names_goes_by_the_order_of_the_images(tmp_path):
    path = tmp_path / "times.txt"
    path.write_text("1\n2\n")
    times = ListedTimes(path=path, time_format="unix_s")
    assert times.capture_ns(["a", "b", "c"]).tolist() == [10**9, 2 * 10**9, -1]


@pytest.mark.parametrize("content", ["a,1\n2\n", "x" * 2000])
def test_a_list_that_cannot_be_meant_is_an_error(tmp_path, content):
    path = tmp_path / "times.txt"
    path.write_text(content)
    bounds = Limits(max_times_bytes=1000)
    with pytest.raises(SourceError):
        ListedTimes(path=path, time_format="unix_s", limits=bounds).capture_ns(["a"])


def test_a_list_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(SourceError):
        ListedTimes(path=tmp_path / "none", time_format="unix_s").capture_ns(["a"])


def test_images_whose_times_go_back_are_refused(tmp_path):
    path = tmp_path / "times.txt"
    path.write_text("5\n4\n6\n")
    folder = fill(tmp_path / "yard", ["1.jpg", "2.jpg", "3.jpg"])
    times = ListedTimes(path=path, time_format="unix_s")
    items = list(ImageDirectory("yard", folder, times=times))
    assert [f.index for f in frames_of(items)] == [0, 2]
    assert faults_of(items) == {"TIME_BACKWARDS": 1}


def test_other_files_are_left_alone_and_listed(tmp_path):
    folder = fill(tmp_path / "yard", ["1.jpg"])
    (folder / "notes.txt").write_text("?")
    (folder / "deeper").mkdir()
    directory = ImageDirectory("yard", folder, times=RATE)
    assert directory.ignored == ("notes.txt",)
    assert len(frames_of(directory)) == 1


def test_an_image_that_vanished_is_refused(tmp_path):
    folder = fill(tmp_path / "yard", ["1.jpg", "2.jpg"])
    directory = ImageDirectory("yard", folder, times=RATE)
    (folder / "1.jpg").unlink()
    assert faults_of(directory) == {"UNREADABLE": 1}


@pytest.mark.parametrize("bounds", [Limits(), Limits(max_images=1)])
def test_no_image_or_too_many_is_an_error(tmp_path, bounds):
    names = [] if bounds.max_images > 1 else ["1.jpg", "2.jpg"]
    with pytest.raises(SourceError):
        ImageDirectory("yard", fill(tmp_path / "yard", names), times=RATE, limits=bounds)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: RateTimes(start_ns=-1, rate_hz=1),
        lambda: RateTimes(start_ns=0, rate_hz=float("inf")),
        lambda: NameTimes(pattern="(", time_format="unix_s"),
        lambda: NameTimes(pattern="no group", time_format="unix_s"),
        lambda: NameTimes(pattern="(?P<time>.*)", time_format="unix_days"),
        lambda: ListedTimes(path=Path("times.txt"), time_format="unix_days"),
    ],
)
def test_times_that_cannot_be_are_refused(wrong):
    with pytest.raises(UsageError):
        wrong()
