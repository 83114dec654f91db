"""Pictures are turned as their file asks: videos by their display matrix, images by their EXIF."""

import struct
from fractions import Fraction

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sense.frames.frame_cases import faults_of, frames_of
from sightline.sense.frames import ImageDirectory, VideoFile
from sightline.sense.frames.av_video import turned, turning_of
from sightline.sense.frames.image_files import RateTimes
from sightline.sense.frames.video_file import read_with_opencv
from sightline.sense.frames.video_parts import PacketTape

av = pytest.importorskip("av", reason="turned videos not tested: PyAV is not installed")

ONE = 1 << 16
CORNERS = np.zeros((48, 64, 3), np.uint8)
CORNERS[:16, :16] = (0, 0, 255)  # red at the top left
CORNERS[:16, -16:] = (0, 255, 0)  # green at the top right


def matrix(a, b, c, d):
    return [a * ONE, b * ONE, 0, c * ONE, d * ONE, 0, 0, 0, 1 << 30]


MATRICES = {
    "": matrix(1, 0, 0, 1),
    "tx": matrix(0, 1, -1, 0),
    "xy": matrix(-1, 0, 0, -1),
    "ty": matrix(0, -1, 1, 0),
    "x": matrix(-1, 0, 0, 1),
    "y": matrix(1, 0, 0, -1),
    "t": matrix(0, 1, 1, 0),
    "txy": matrix(0, -1, -1, 0),
}


def write(path, display, *, codec="libx264", pixels="yuv420p"):
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pixels
        stream.set_display_matrix(display)
        for number in range(5):
            frame = av.VideoFrame.from_ndarray(CORNERS, format="bgr24")
            frame.pts, frame.time_base = number, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def corner(pixels, colour):
    """Where one colour is: (row, column) of its centre, as shares of the picture."""
    wanted = np.zeros(3, np.int16) + (np.arange(3) == colour) * 255
    near = np.abs(pixels.astype(np.int16) - wanted).max(axis=2) < 100
    rows, columns = np.nonzero(near)
    return rows.mean() / pixels.shape[0] > 0.5, columns.mean() / pixels.shape[1] > 0.5


@pytest.mark.parametrize("turning", list(MATRICES))
def test_a_video_is_turned_and_mirrored_as_its_display_matrix_says(tmp_path, turning):
    frames = frames_of(VideoFile("yard", write(tmp_path / "a.mp4", MATRICES[turning])))
    expected = turned(CORNERS, turning)
    assert len(frames) == 5
    for frame in frames:
        assert frame.pixels.shape == expected.shape
        assert corner(frame.pixels, 2) == corner(expected, 2)
        assert corner(frame.pixels, 1) == corner(expected, 1)


@pytest.mark.parametrize("turning", ["", "tx", "xy", "ty"])
def test_opencv_and_pyav_turn_alike(tmp_path, turning):
    path = write(tmp_path / "a.mp4", MATRICES[turning])
    one = frames_of(VideoFile("yard", path))[0].pixels
    two = frames_of(VideoFile("yard", path, reader=read_with_opencv))[0].pixels
    assert one.shape == two.shape
    assert (corner(one, 2), corner(one, 1)) == (corner(two, 2), corner(two, 1))


@pytest.mark.parametrize("turning", list(MATRICES))
def test_packets_in_a_log_are_turned_as_in_the_run(tmp_path, turning):
    from sightline.sense.frames.av_video import PacketDecoder

    video, tape = VideoFile("yard", write(tmp_path / "a.mp4", MATRICES[turning])), PacketTape()
    video.record_packets(tape)
    frames = frames_of(video)
    packets = tape.take(through_index=len(frames))
    decoder = PacketDecoder(packets[0].packet.coding)
    again = [
        decoder.pixels(picture)
        for packet in [*(one.packet for one in packets), None]
        for _, picture in decoder.decoded(packet)
    ]
    assert len(again) == 5
    assert all(np.array_equal(a, f.pixels) for a, f in zip(again, frames, strict=True))


def test_a_turning_by_no_quarter_turns_is_said_and_not_applied(tmp_path):
    slanted = [56756, 32768, 0, -32768, 56756, 0, 0, 0, 1 << 30]  # 30 degrees
    items = list(VideoFile("yard", write(tmp_path / "a.mp4", slanted)))
    assert [frame.pixels.shape for frame in frames_of(items)] == [(48, 64, 3)] * 5
    assert faults_of(items) == {"NOT_TURNED": 0}
    assert "degrees; not applied" in items[0].detail


@given(st.binary(max_size=40))
def test_no_bytes_are_taken_for_a_turning_that_there_is_not(data):
    assert turning_of(data) in {*MATRICES, None}


@given(st.sampled_from(list(MATRICES)))
def test_a_turning_moves_each_pixel_to_where_its_matrix_says(turning):
    display = MATRICES[turning]
    assert turning_of(struct.pack("<9i", *display)) == turning
    picture = np.arange(12, dtype=np.uint8).reshape(3, 4)
    shown = turned(picture, turning)
    a, b, c, d = (display[n] // ONE for n in (0, 1, 3, 4))
    height, width = shown.shape
    for y, x in np.ndindex(3, 4):
        # A negative place counts from the other side: the picture is shifted back into view.
        to_x, to_y = a * x + c * y, b * x + d * y
        to_x += (width - 1) * (min(a, c) < 0)
        to_y += (height - 1) * (min(b, d) < 0)
        assert shown[to_y, to_x] == picture[y, x]


# --- images ---------------------------------------------------------------------------------------


def with_orientation(orientation):
    """A JPEG whose EXIF says how it is to be turned (EXIF 2.32, tag 0x0112)."""
    data = cv2.imencode(".jpg", CORNERS)[1].tobytes()
    tiff = b"II*\x00\x08\x00\x00\x00\x01\x00" + struct.pack("<HHIHH", 0x112, 3, 1, orientation, 0)
    exif = b"Exif\x00\x00" + tiff + b"\x00\x00\x00\x00"
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + data[2:]


@pytest.mark.parametrize(
    ("orientation", "turning"),
    [(1, ""), (2, "x"), (3, "xy"), (4, "y"), (5, "t"), (6, "tx"), (7, "txy"), (8, "ty")],
)
def test_an_image_is_turned_as_its_exif_says(tmp_path, orientation, turning):
    (tmp_path / "1.jpg").write_bytes(with_orientation(orientation))
    times = RateTimes(start_ns=0, rate_hz=1.0)
    (frame,) = frames_of(ImageDirectory("yard", tmp_path, times=times))
    expected = turned(CORNERS, turning)
    assert frame.pixels.shape == expected.shape
    assert corner(frame.pixels, 2) == corner(expected, 2)
    assert corner(frame.pixels, 1) == corner(expected, 1)
