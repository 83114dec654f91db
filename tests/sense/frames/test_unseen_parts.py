"""A part of a picture that stands still or is covered shows nothing, and is said to."""

import numpy as np
import pytest

from sightline.records.frames import Frame
from sightline.records.signals import NS_PER_S
from sightline.sense.frames import FrameContract
from sightline.sense.frames.health import CameraHealth
from sightline.sense.frames.unseen_parts import UnseenParts, unpacked

HEIGHT_PX, WIDTH_PX = 144, 192
LOWER = np.arange(12)[:, None] >= 6 + np.zeros(16)


def ground(seed=1, *, contrast=20.0):
    rng = np.random.default_rng(seed)
    patches = rng.normal(0, contrast, (HEIGHT_PX // 4, WIDTH_PX // 4))
    return 110 + np.kron(patches, np.ones((4, 4)))


def live(picture, seed, *, noise=1.5):
    rng = np.random.default_rng(seed)
    return np.clip(np.rint(picture + rng.normal(0, noise, picture.shape)), 0, 255).astype(np.uint8)


def watched(pictures, **checks):
    parts = UnseenParts(**checks)
    return [parts.update(picture, picture) for picture in pictures]


def lively(picture, many=40, **noise):
    return [live(picture, i, **noise) for i in range(many)]


def half_frozen(pictures):
    """The lower half of each stays as it is in the first."""
    stuck = [picture.copy() for picture in pictures]
    for picture in stuck:
        picture[HEIGHT_PX // 2 :] = pictures[0][HEIGHT_PX // 2 :]
    return stuck


def test_a_half_that_stands_still_is_unseen_at_once_and_as_long_as_it_does():
    pictures = lively(ground(), 80)
    found = watched(pictures[:40] + half_frozen(pictures[39:60]) + pictures[60:])
    assert not any(one.any() for one in found[:41])
    assert all((one == LOWER).all() for one in found[41:61])
    assert not any(one.any() for one in found[61:])


def test_a_picture_that_stands_still_as_a_whole_says_nothing_of_its_parts():
    pictures = lively(ground())
    assert not any(one.any() for one in watched(pictures + [pictures[-1]] * 20))


@pytest.mark.parametrize("gain", [0.3, 0.6, 1.5])
@pytest.mark.parametrize("noise", [0.6, 1.5, 5.0])
def test_another_light_hides_no_part(gain, noise):
    dark = lively(gain * ground(), noise=noise)
    assert not any(one.any() for one in watched(lively(ground(), noise=noise) + dark))


def test_a_light_that_goes_out_slowly_hides_no_part():
    gains = np.linspace(1.0, 0.4, 200)
    fading = [live(gain * ground(), i) for i, gain in enumerate(gains)]
    assert not any(one.any() for one in watched(lively(ground()) + fading))


def test_a_picture_without_noise_has_no_part_that_stands_still():
    still = ground().astype(np.uint8)
    pictures = []
    for i in range(200):
        pictures.append(still.copy())
        pictures[-1][40:80, i % WIDTH_PX : i % WIDTH_PX + 12] = 20  # somebody walks by, and goes
    assert not any(one.any() for one in watched(pictures, looks_for_flat=False))


def test_who_works_in_a_part_from_the_first_picture_and_goes_leaves_no_part_unseen():
    rng = np.random.default_rng(3)
    busy = lively(ground(), 60)
    for picture in busy:
        picture[60:120, 60:100] = rng.integers(20, 200, (60, 40))
    assert not any(one.any() for one in watched(busy + lively(ground(), 60)))


@pytest.mark.parametrize("level", [5, 60, 110, 255])
def test_a_flat_cover_of_any_brightness_hides_what_it_covers(level):
    covered = np.where(np.arange(HEIGHT_PX)[:, None] >= HEIGHT_PX // 2, level, ground())
    found = watched(lively(ground()) + lively(covered, 1000))
    assert not any(one.any() for one in found[:40])
    assert all((one <= LOWER).all() and one[LOWER].mean() > 0.95 for one in found[40:])


def test_ground_without_texture_cannot_be_told_from_a_cover():
    flat = np.full((HEIGHT_PX, WIDTH_PX), 110.0)
    assert not any(one.any() for one in watched(lively(flat) + lively(0.6 * flat)))


def test_somebody_who_stood_for_long_and_goes_leaves_no_part_unseen():
    rng = np.random.default_rng(5)
    weak = ground(contrast=4.0)
    taken = weak.copy()
    taken[60:120, 60:100] = rng.integers(20, 200, (60, 40))
    assert not any(
        one.any() for one in watched(lively(weak, 300) + lively(taken, 250) + lively(weak))
    )


def test_what_has_been_watched_goes_on_where_it_was():
    pictures = lively(ground(), 45)
    pictures += half_frozen([pictures[-1], *lively(ground(), 10)])
    whole = watched(pictures)
    first, second = UnseenParts(), UnseenParts()
    for picture in pictures[:50]:
        first.update(picture, picture)
    second.restore(first.snapshot())
    again = [second.update(picture, picture) for picture in pictures[50:]]
    assert [one.tolist() for one in again] == [one.tolist() for one in whole[50:]]
    assert again[-1].any()


def test_a_camera_s_health_says_which_parts_are_unseen_until_the_view_is_accepted():
    contract = FrameContract(width_px=WIDTH_PX, height_px=HEIGHT_PX, rate_hz=5, max_age_s=1.0)
    health = CameraHealth(contract)
    pictures = lively(ground(), 40)
    covered = np.where(np.arange(HEIGHT_PX)[:, None] >= HEIGHT_PX // 2, 70.0, ground())

    def at(index, pixels):
        when_ns = index * NS_PER_S // 5
        frame = Frame(
            stream="yard", index=index, capture_ns=when_ns, received_ns=when_ns, pixels=pixels
        )
        return health.update(frame).unseen

    assert {at(i, picture) for i, picture in enumerate(pictures)} == {""}
    assert unpacked(at(40, live(covered, 40)))[LOWER].mean() > 0.95
    health.accept_view()
    assert at(41, live(covered, 41)) == ""


@pytest.mark.parametrize("grey", [30, 75, 200])
def test_people_in_plain_clothes_who_stand_for_long_are_no_cover(grey):
    picture = ground()
    for left in (30, 90, 150):
        picture[60:132, left : left + 26] = grey
    found = watched(lively(ground()) + lively(picture, 200) + lively(ground()))
    assert not any(one.any() for one in found)
