"""The health of a camera: each sign of trouble on generated scenes, and none on ordinary ones."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sense.frames.frame_cases import health_contract, yard
from sightline.records.frames import Frame
from sightline.records.signals import NS_PER_S
from sightline.sense.frames import CameraHealth, FrameReason
from sightline.sense.frames.simulated_camera import SimulatedScene
from sightline.sense.frames.usual_view import measure_picture

RATE_HZ = 5
TROUBLE_S, END_S = 20.0, 28.0


@cache
def scene_pictures(**changes):
    """A yard with two people, at five frames per second."""
    scene = yard(**changes)
    return [scene.render(round(n * NS_PER_S / RATE_HZ)) for n in range(round(END_S * RATE_HZ))]


def frame(pixels, at_s):
    at_ns = round(at_s * NS_PER_S)
    return Frame(stream="yard", index=0, capture_ns=at_ns, received_ns=at_ns, pixels=pixels)


def watch(spoil=lambda pixels: pixels, *, pictures=None, **checks):
    """(time in s, health) of each frame of a camera that is spoilt from 20 s on."""
    health = CameraHealth(health_contract(**checks))
    found = []
    for n, pixels in enumerate(pictures or scene_pictures()):
        at_s = n / RATE_HZ
        shown = spoil(pixels) if at_s >= TROUBLE_S else pixels
        found.append((at_s, health.update(frame(shown, at_s))))
    return found


def raised_ever(found):
    return {reason for _, health in found for reason in health.raised}


def first_raised_s(found, reason):
    return next(at_s for at_s, health in found if reason in health.raised)


def blurred(pixels):
    return cv2.GaussianBlur(pixels, (0, 0), 4)


def covered(pixels):
    shade = np.linspace(40, 70, pixels.shape[0])[:, None, None]
    return np.broadcast_to(shade, pixels.shape).astype(np.uint8)


def turned(pixels):
    return np.roll(pixels, 150, axis=1)


def nudged(pixels):
    return np.roll(pixels, 12, axis=0)


def black(pixels):
    return pixels // 16


def clipped(pixels):
    return np.clip(pixels.astype(int) * 2 + 80, 0, 255).astype(np.uint8)


TROUBLES = [
    (black, FrameReason.BLACK),
    (clipped, FrameReason.OVER_EXPOSED),
    (blurred, FrameReason.BLURRED),
    (covered, FrameReason.COVERED),
    (turned, FrameReason.MOVED),
    (nudged, FrameReason.SHIFTED),
]


@pytest.mark.parametrize(("spoil", "reason"), TROUBLES, ids=[r for _, r in TROUBLES])
def test_trouble_is_raised_after_the_time_of_confirmation(spoil, reason):
    found = watch(spoil)
    assert first_raised_s(found, reason) == TROUBLE_S + 2.0
    assert reason in found[-1][1].raised


@pytest.mark.parametrize(("spoil", "reason"), TROUBLES, ids=[r for _, r in TROUBLES])
def test_a_signal_says_what_was_measured_and_what_it_was_compared_with(spoil, reason):
    signal = watch(spoil)[-1][1].signal(reason)
    falls = reason in (FrameReason.BLURRED, FrameReason.MOVED)
    assert signal.value < signal.threshold if falls else signal.value >= signal.threshold


@pytest.mark.parametrize(("spoil", "reason"), TROUBLES, ids=[r for _, r in TROUBLES])
def test_trouble_of_a_moment_is_not_raised(spoil, reason):
    health = CameraHealth(health_contract())
    for n, pixels in enumerate(scene_pictures()):
        at_s = n / RATE_HZ
        shown = spoil(pixels) if TROUBLE_S <= at_s < TROUBLE_S + 1.5 else pixels
        assert reason not in health.update(frame(shown, at_s)).raised


@pytest.mark.parametrize(("spoil", "reason"), TROUBLES, ids=[r for _, r in TROUBLES])
def test_trouble_that_is_over_is_cleared(spoil, reason):
    health = CameraHealth(health_contract())
    stands = []
    for n, pixels in enumerate(scene_pictures()):
        at_s = n / RATE_HZ
        shown = spoil(pixels) if TROUBLE_S <= at_s < TROUBLE_S + 3 else pixels
        stands.append(reason in health.update(frame(shown, at_s)).raised)
    assert any(stands)
    assert not stands[-1]


@pytest.mark.parametrize(("spoil", "reason"), TROUBLES, ids=[r for _, r in TROUBLES])
def test_a_check_that_is_left_out_says_nothing(spoil, reason):
    checks = {str(reason).lower(): None}
    found = watch(spoil, **checks)
    assert reason not in raised_ever(found)
    with pytest.raises(KeyError):
        found[-1][1].signal(reason)


def half_covered(pixels):
    spoilt = pixels.copy()
    spoilt[:, : pixels.shape[1] * 4 // 5] = 90
    return spoilt


def test_a_lens_that_is_covered_for_the_most_part_is_raised():
    assert FrameReason.COVERED in raised_ever(watch(half_covered))


def test_a_lens_that_is_covered_from_the_beginning_is_raised():
    found = watch(pictures=[covered(p) for p in scene_pictures()])
    assert first_raised_s(found, FrameReason.COVERED) == 2.0


def test_a_cap_on_the_lens_is_black_and_nothing_else():
    found = watch(np.zeros_like, frozen=None)
    assert raised_ever(found) == {FrameReason.BLACK}


# --- ordinary life ----------------------------------------------------------------------------


def dimmed(pixels):
    return (pixels * 0.3).astype(np.uint8)


def brighter(pixels):
    return np.clip(pixels * 1.4, 0, 255).astype(np.uint8)


def noisy(pixels):
    noise = np.random.default_rng(int(pixels[0, 0, 0])).normal(0, 12, pixels.shape)
    return np.clip(pixels + noise, 0, 255).astype(np.uint8)


def compressed(pixels):
    return cv2.imdecode(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 20])[1], 1)


def a_person_close_by(pixels):
    spoilt = pixels.copy()
    spoilt[:, 200:460] = (60, 40, 30)  # 40 % of the picture, all of one colour
    return spoilt


def trembling(pixels):
    down, right = np.random.default_rng(int(pixels[0, 0, 0])).integers(-3, 4, 2)
    return np.roll(pixels, (down, right), axis=(0, 1))


@pytest.mark.parametrize(
    "change", [dimmed, brighter, noisy, compressed, a_person_close_by, trembling]
)
def test_an_ordinary_change_is_no_trouble(change):
    assert not raised_ever(watch(change))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_people_who_walk_by_are_no_trouble(seed):
    assert not raised_ever(watch(pictures=scene_pictures(seed=seed, walks=4)))


def test_slow_light_is_no_trouble():
    light = ((0, 1.0), (round(14 * NS_PER_S), 0.25), (round(28 * NS_PER_S), 1.2))
    assert not raised_ever(watch(pictures=scene_pictures(light=light)))


def test_people_before_an_even_wall_are_no_trouble():
    scene = SimulatedScene(
        width_px=640, height_px=480, things=yard(walks=3).things, seed=1, noise_levels=1.5
    )
    flat = np.full((480, 640, 3), 180, np.float32)
    flat[300:] = 90  # a floor
    object.__setattr__(scene, "_ground", flat)
    pictures = [scene.render(round(n * NS_PER_S / RATE_HZ)) for n in range(140)]
    assert not raised_ever(watch(pictures=pictures, covered=None))


# --- frozen -----------------------------------------------------------------------------------


def stills(seconds, *, rate_hz=RATE_HZ, picture=None):
    picture = scene_pictures()[0] if picture is None else picture
    return [(n / rate_hz, picture) for n in range(round(seconds * rate_hz))]


def frozen_at(timed, **checks):
    health = CameraHealth(health_contract(**checks))
    found = [(at_s, health.update(frame(p, at_s)).raised) for at_s, p in timed]
    return [at_s for at_s, raised in found if FrameReason.FROZEN in raised]


@pytest.mark.parametrize("rate_hz", [1, 5, 25])
def test_a_picture_is_frozen_by_time_and_not_by_frames(rate_hz):
    assert frozen_at(stills(12, rate_hz=rate_hz))[0] == 10.0


def test_a_picture_that_changes_once_is_not_frozen():
    timed = stills(18)
    changed = timed[0][1].copy()
    changed[100:104, 100:104] += 40
    assert not frozen_at([(at_s, p if at_s < 9 else changed) for at_s, p in timed])


def test_rounding_does_not_count_as_change():
    timed = stills(12)
    assert frozen_at([(at_s, p ^ np.uint8(round(at_s) & 1)) for at_s, p in timed])


def test_a_slow_drift_counts_as_change():
    picture = np.full((480, 640, 3), 60, np.uint8)
    assert not frozen_at([(n / 5, picture + np.uint8(n // 5)) for n in range(100)])


def test_the_noise_of_a_live_sensor_is_a_sign_of_life():
    scene = yard(walks=0, noise_levels=1.0)
    assert not frozen_at([(n / 2, scene.render(n)) for n in range(40)])


def test_the_clock_that_a_camera_draws_is_no_sign_of_life():
    def with_clock(pixels, at_s):
        pixels = pixels.copy()
        pixels[8:24, 500:600] = round(at_s * 40) % 256
        return pixels

    timed = [(at_s, with_clock(p, at_s)) for at_s, p in stills(14)]
    assert not frozen_at(timed)
    assert frozen_at(timed, frozen={"overlays": [[0.75, 0.0, 1.0, 0.1]]})


def test_a_frozen_picture_that_is_encoded_anew_needs_tolerance():
    timed = [
        (at_s, cv2.imdecode(cv2.imencode(".jpg", p, [1, 50 + round(at_s) % 2])[1], 1))
        for at_s, p in stills(12)
    ]
    assert not frozen_at(timed)
    assert frozen_at(timed, frozen={"tolerance_levels": 24})


def test_equal_frames_give_equal_bytes_wherever_they_lie_in_memory():
    def shifted(pixels, by):
        room = np.zeros(pixels.size + by, np.uint8)[by:].reshape(pixels.shape)
        room[:] = pixels
        return room

    one = watch(pictures=[shifted(p, 1) for p in scene_pictures()[:80]])
    other = watch(pictures=[shifted(p, 6) for p in scene_pictures()[:80]])
    assert repr(one) == repr(other)


# --- state ------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [1, 60, 105, 115])
def test_a_restored_camera_goes_on_as_if_nothing_had_happened(cut):
    pictures = [turned(p) if n >= 100 else p for n, p in enumerate(scene_pictures())]
    whole = watch(pictures=pictures)
    first, second = CameraHealth(health_contract()), CameraHealth(health_contract())
    for n in range(cut):
        first.update(frame(pictures[n], n / RATE_HZ))
    second.restore(first.snapshot())
    again = [second.update(frame(pictures[n], n / RATE_HZ)) for n in range(cut, len(pictures))]
    assert repr(again) == repr([health for _, health in whole[cut:]])  # NaN is not equal to NaN


def test_a_snapshot_does_not_change_afterwards():
    health = CameraHealth(health_contract())
    health.update(frame(scene_pictures()[0], 0.0))
    kept = {name: array.copy() for name, array in health.snapshot().items()}
    taken = health.snapshot()
    for n in range(1, 30):
        health.update(frame(scene_pictures()[n], n / RATE_HZ))
    assert all((kept[name] == taken[name]).all() for name in kept)


def test_the_state_is_small():
    health = CameraHealth(health_contract())
    health.update(frame(scene_pictures()[0], 0.0))
    assert sum(array.nbytes for array in health.snapshot().values()) < 300_000


def test_a_moved_camera_does_not_become_usual_by_itself():
    health = CameraHealth(health_contract(reference_s=10.0, level_s=10.0))
    pictures = scene_pictures()
    for n in range(600):
        shown = pictures[n % 100] if n < 100 else turned(pictures[n % 100])
        found = health.update(frame(shown, n / RATE_HZ))
    assert FrameReason.MOVED in found.raised


def test_a_view_that_a_person_accepts_becomes_usual():
    health = CameraHealth(health_contract())
    pictures = scene_pictures()
    for n in range(120):
        shown = pictures[n] if n < 100 else turned(pictures[n])
        found = health.update(frame(shown, n / RATE_HZ))
    assert FrameReason.MOVED in found.raised
    health.accept_view()
    for n in range(120, 240):
        found = health.update(frame(turned(pictures[n % 100]), n / RATE_HZ))
    assert not found.raised
    assert found.signal(FrameReason.MOVED).value > found.signal(FrameReason.MOVED).threshold


def test_a_new_size_is_learnt_anew():
    pictures = scene_pictures()
    health = CameraHealth(health_contract())
    for n in range(140):
        shown = pictures[n] if n < 80 else np.ascontiguousarray(turned(pictures[n])[:360])
        found = health.update(frame(shown, n / RATE_HZ))
        assert not found.raised
    assert np.isfinite(found.signal(FrameReason.MOVED).threshold)


@settings(max_examples=30, deadline=None)
@given(
    height=st.integers(1, 130),
    width=st.integers(1, 30_000),
    is_grey=st.booleans(),
    level=st.integers(0, 255),
)
def test_any_picture_can_be_measured(height, width, is_grey, level):
    shape = (height, width) if is_grey else (height, width, 3)
    health = CameraHealth(health_contract())
    for n in range(3):
        pixels = np.full(shape, level, np.uint8)
        health.update(frame(pixels, float(n)))


def test_the_measures_do_not_depend_on_the_light():
    picture = yard(noise_levels=0.0).render(0) // 2 * 2
    whole, half = measure_picture(picture), measure_picture(picture // 2)
    # The floor under the brightness keeps dark pictures from counting as full of contrast.
    assert np.all(half.contrast > 0.8 * whole.contrast)
    assert np.all(half.contrast <= 1.05 * whole.contrast)


def test_grey_and_colour_are_measured_alike():
    grey = cv2.cvtColor(scene_pictures()[0], cv2.COLOR_BGR2GRAY)
    as_grey, as_colour = measure_picture(grey), measure_picture(np.dstack([grey] * 3))
    assert np.abs(as_grey.fine.astype(int) - as_colour.fine).max() <= 1
