"""Frames on their way into the log: contract, digest, and faults."""

import numpy as np
import pytest

from sightline.errors import LogError
from sightline.records import Frame
from sightline.records.signals import NS_PER_S
from sightline.runtime.engine.frame_shell import FrameIntake, pixel_digest
from sightline.runtime.engine.headers import FrameFaultNote
from sightline.sense.frames import FrameContract

CONTRACT = FrameContract(width_px=64, height_px=48, rate_hz=10, max_age_s=1.0)


def picture(seed=0):
    return np.random.default_rng(seed).integers(0, 255, (48, 64, 3), np.uint8)


def frame(at_s=0.0, *, received_s=None, pixels=None, index=0):
    return Frame(
        stream="yard",
        index=index,
        capture_ns=round(at_s * NS_PER_S),
        received_ns=round((at_s if received_s is None else received_s) * NS_PER_S),
        pixels=picture() if pixels is None else pixels,
    )


def test_a_frame_that_keeps_its_contract_is_usable_and_has_no_sign():
    header = FrameIntake(CONTRACT).header(frame())
    assert (header.is_usable, header.signs) == (True, ())


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (frame(pixels=np.zeros((24, 32, 3), np.uint8)), "SIZE"),
        (frame(pixels=np.zeros((48, 64), np.uint8)), "CHANNELS"),
        (frame(0.0, received_s=2.0), "STALE"),
        (frame(5.0, received_s=1.0), "CLOCK_SKEW"),
    ],
)
def test_a_frame_that_breaks_it_is_not_usable_and_says_why(bad, code):
    header = FrameIntake(CONTRACT).header(bad)
    assert not header.is_usable
    assert header.signs[0].code == code


def test_a_clock_that_is_ahead_by_less_than_the_tolerance_is_no_trouble():
    assert FrameIntake(CONTRACT).header(frame(1.02, received_s=1.0)).is_usable


def test_a_camera_at_half_its_rate_is_said_to_be_slow_and_stays_usable():
    intake = FrameIntake(CONTRACT)
    for n in range(30):
        header = intake.header(frame(n * 0.25, pixels=picture(n), index=n))
    assert header.is_usable
    assert [sign.code for sign in header.signs] == ["RATE_LOW"]


def test_a_digest_tells_pictures_apart_by_one_level_of_one_pixel():
    other = picture()
    other[0, 0, 0] ^= 1
    assert pixel_digest(frame()) != pixel_digest(frame(pixels=other))
    assert pixel_digest(frame()) == pixel_digest(frame(3.0))


def test_a_digest_tells_shapes_apart():
    flat = np.zeros((2, 8), np.uint8)
    assert pixel_digest(frame(pixels=flat)) != pixel_digest(frame(pixels=flat.reshape(4, 4)))


def test_a_fault_survives_the_log():
    note = FrameFaultNote(
        camera="yard",
        index=3,
        reason="UNREADABLE",
        detail="not a JPEG",
        origin="3.jpg",
        frames=1,
        capture_ns=-1,
    )
    assert FrameFaultNote.from_bytes(note.to_bytes()) == note


@pytest.mark.parametrize("payload", [b"", b"[]", b'{"camera": 1}'])
def test_what_is_no_fault_is_a_log_error(payload):
    with pytest.raises(LogError):
        FrameFaultNote.from_bytes(payload)
