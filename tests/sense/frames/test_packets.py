"""Compressed packets: every one that is needed is there, and decodes to the same pictures."""

from __future__ import annotations

import re
import threading
import time

import numpy as np
import pytest

from sense.frames.camera_servers import MjpegServer, RtspServer
from sense.frames.frame_cases import frames_of, write_video
from sightline.errors import UsageError
from sightline.limits import Limits
from sightline.sense.frames import LiveCamera, VideoFile
from sightline.sense.frames.video_file import read_with_opencv
from sightline.sense.frames.video_parts import PacketTape, StreamCoding, StreamPacket

av_packets = pytest.importorskip(
    "sightline.sense.frames.av_video", reason="packets not tested: PyAV is not installed"
)

ALL = 1 << 40
CODING = StreamCoding(decoder="h264", extradata=b"", settings={}, versions={})
VIDEOS = pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mp4", "libx264"),
        ("a.ts", "libx264"),
        ("a.mp4", "libx265"),
        ("a.avi", "mpeg4"),
        ("a.mp4", "mpeg4"),
        ("a.avi", "mjpeg"),
        ("a.mkv", "libvpx-vp9"),
        ("a.mkv", "ffv1"),
    ],
)


def taped(path, bounds=None):
    """(frames by index, packets) of a video."""
    video, tape = VideoFile("yard", path), PacketTape(bounds or Limits())
    video.record_packets(tape)
    return {f.index: f for f in frames_of(video)}, tape.take(through_index=ALL)


def decoded(packets):
    """Pictures by frame index, from packets alone."""
    decoder = av_packets.PacketDecoder(packets[0].packet.coding)
    frames_in = {one.packet.number: one.pictures for one in packets}
    found = {}
    for packet in [*(one.packet for one in packets), None]:
        for number, picture in decoder.decoded(packet):
            for index, _ in frames_in[number]:
                found[index] = decoder.pixels(picture)
    return found


def equal(frames, pictures, indexes):
    return all(np.array_equal(frames[n].pixels, pictures[n]) for n in indexes)


def packet(number, *, is_key=False, size=10):
    return StreamPacket(
        number=number,
        data=bytes(size),
        is_key=is_key,
        pts=number,
        dts=number,
        time_base=(1, 10),
        coding=CODING,
    )


@VIDEOS
def test_packets_decode_to_the_pictures_of_the_video(tmp_path, name, codec):
    frames, packets = taped(write_video(tmp_path / name, codec=codec, frames=25))
    assert len(packets) == len(frames) == 25
    assert equal(frames, decoded(packets), range(25))


@VIDEOS
def test_packets_decode_from_any_key_packet_on(tmp_path, name, codec):
    frames, packets = taped(write_video(tmp_path / name, codec=codec, frames=25))
    keys = [n for n, one in enumerate(packets) if one.packet.is_key]
    begin = keys[len(keys) // 2]
    pictures = decoded(packets[begin:])
    # Of reordered streams a group may begin with pictures that need the group before.
    first = packets[begin].pictures[0][0]
    assert set(range(first, 25)) <= set(pictures)
    assert equal(frames, pictures, range(first, 25))


@pytest.mark.parametrize(("codec", "types"), [("libx264", b"\x67"), ("libx265", b"\x42")])
@pytest.mark.parametrize("name", ["a.mp4", "a.ts"])
def test_each_key_packet_carries_the_parameters_in_annex_b(tmp_path, name, codec, types):
    _, packets = taped(write_video(tmp_path / name, codec=codec, frames=25))
    start = re.compile(rb"\x00\x00\x00?\x01")
    assert all(start.match(one.packet.data) for one in packets)
    keys = [one.packet.data for one in packets if one.packet.is_key]
    assert len(keys) > 1
    assert all(b"\x00\x00\x01" + types in data for data in keys)


def test_a_packet_names_the_frame_it_holds_also_where_they_are_reordered(tmp_path):
    frames, packets = taped(write_video(tmp_path / "a.mp4", codec="libx264"))
    indexes = [index for one in packets for index, _ in one.pictures]
    assert indexes != sorted(indexes)
    assert sorted(indexes) == list(range(40))
    assert all(frames[i].capture_ns == at for one in packets for i, at in one.pictures)


def test_a_truncated_video_has_the_packets_of_all_that_was_seen(tmp_path):
    path = write_video(tmp_path / "a.mkv", codec="libx264")
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    frames, packets = taped(path)
    assert 5 <= len(frames) < 40
    assert equal(frames, decoded(packets), frames)


def test_what_is_decoded_after_a_damaged_packet_is_decoded_again(tmp_path):
    path = write_video(tmp_path / "a.ts", codec="libx264")
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 900] = bytes(900)
    path.write_bytes(data)
    frames, packets = taped(path)
    assert 10 <= len(frames) < 40
    assert equal(frames, decoded(packets), frames)


def test_a_codec_whose_packets_cannot_be_kept_is_declined(tmp_path):
    path = write_video(tmp_path / "a.mkv", codec="mpeg2video", frames=3)
    video, tape = VideoFile("yard", path), PacketTape()
    video.record_packets(tape)
    assert len(frames_of(video)) == 3
    assert tape.is_declined
    assert tape.take(through_index=ALL) == []


def test_opencv_gives_no_packets(tmp_path):
    path = write_video(tmp_path / "a.mp4", frames=3)
    assert not VideoFile("yard", path, reader=read_with_opencv).gives_packets


def test_a_decoder_outside_the_list_is_never_opened():
    coding = StreamCoding(decoder="rawvideo", extradata=b"", settings={}, versions={})
    with pytest.raises(UsageError, match="rawvideo"):
        av_packets.PacketDecoder(coding)


# --- the tape -----------------------------------------------------------------------------------


def numbers(packets):
    return [one.packet.number for one in packets]


def test_packets_stay_until_their_frame_has_been_looked_at():
    tape = PacketTape()
    for n in range(3):
        tape.add(packet(n, is_key=n == 0))
        tape.shown(n, index=n, capture_ns=n)
    tape.end()
    assert numbers(tape.take(through_index=0)) == [0]
    assert numbers(tape.take(through_index=2)) == [1, 2]


def test_a_packet_whose_picture_never_comes_holds_nothing_up_for_long():
    tape = PacketTape(Limits(reorder_frames=2))
    tape.add(packet(0, is_key=True))
    for n in range(1, 6):
        tape.add(packet(n))
        tape.shown(n, index=n - 1, capture_ns=n)
    assert numbers(tape.take(through_index=ALL)) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("bounds", [{"tape_packets": 3}, {"tape_bytes": 30}])
def test_at_the_bound_packets_are_lost_up_to_the_next_key_and_counted(bounds):
    tape = PacketTape(Limits(**bounds))
    for n in range(5):
        tape.add(packet(n, is_key=n == 0))
        tape.shown(n, index=n, capture_ns=n)
    assert numbers(tape.take(through_index=ALL)) == [0, 1, 2]
    for n in range(5, 9):
        tape.add(packet(n, is_key=n == 7))
    tape.end()
    after = tape.take(through_index=ALL)
    assert numbers(after) == [7, 8]
    assert [one.lost for one in after] == [4, 0]
    assert tape.lost == 4


def test_a_packet_that_could_not_be_brought_into_form_costs_those_that_need_it():
    tape = PacketTape()
    for n in (0, 1, 3, 4, 5):
        tape.add(packet(n, is_key=n in (0, 5)))
    tape.end()
    assert numbers(tape.take(through_index=ALL)) == [0, 1, 5]
    assert tape.lost == 3


def test_a_new_connection_begins_anew():
    tape = PacketTape()
    for n in (0, 1, 0, 1):
        tape.add(packet(n, is_key=n == 0))
    tape.end()
    assert numbers(tape.take(through_index=ALL)) == [0, 1, 0, 1]
    assert tape.lost == 0


# --- live cameras -------------------------------------------------------------------------------


@pytest.mark.parametrize("server", [RtspServer, MjpegServer])
def test_packets_of_frames_that_gave_way_are_there_all_the_same(server):
    tape = PacketTape()
    with server() as running:
        camera = LiveCamera("yard", running.address, wall_ns=time.time_ns)
        camera.record_packets(tape)
        with camera:
            end = time.monotonic() + 20
            while camera.status(0).superseded < 10:
                assert time.monotonic() < end
                threading.Event().wait(0.02)
        newest = [f for f in camera if hasattr(f, "pixels")][-1]
    packets = tape.take(through_index=ALL)
    assert numbers(packets) == list(range(len(packets)))
    assert [i for one in packets for i, _ in one.pictures] == list(range(newest.index + 1))
    pictures = decoded(packets)
    assert np.array_equal(pictures[newest.index], newest.pixels)
