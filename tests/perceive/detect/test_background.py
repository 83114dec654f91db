import numpy as np
import pytest

from perceive.detect import reference_background
from perceive.detect.detect_cases import yard
from sightline.errors import LogError, UsageError
from sightline.perceive.detect import background
from sightline.perceive.detect.background import (
    BACKGROUND,
    FOREGROUND,
    FORGET,
    HOLD,
    SHADOW,
    BackgroundModel,
    BackgroundSettings,
)


def learned(picture, frames=30, **settings):
    model = BackgroundModel(BackgroundSettings(**settings))
    for _ in range(frames):
        model.observe(picture, elapsed_s=0.1)
    return model


def seconds_until_background(model, picture, *, care=None, limit_s=200.0):
    """Time until the top-left pixel of ``picture`` is background."""
    for number in range(int(limit_s * 10)):
        if model.observe(picture, elapsed_s=0.1, care=care)[0, 0] == BACKGROUND:
            return number / 10
    return limit_s


@pytest.mark.parametrize("seed", range(4))
def test_the_kernel_agrees_with_its_specification_to_the_bit(seed):
    rng = np.random.default_rng(seed)
    scene = rng.integers(0, 256, (12, 17, 3)).astype(np.float64)
    states = []
    for _ in range(2):
        mean, variance = np.zeros((12, 17, 3, 3), np.float32), np.zeros((12, 17, 3), np.float32)
        weight = np.zeros((12, 17, 3), np.float32)
        mean[:, :, 0], variance[:, :, 0], weight[:, :, 0] = scene, 108, 1
        states.append((mean, variance, weight))
    seen = set()
    for number in range(80):
        noise = rng.normal(0, rng.choice([3, 8, 60]), scene.shape)
        light = np.where(rng.random((12, 17, 1)) < 0.1, 0.7, 1.0)
        image = np.clip((scene + noise) * light, 0, 255).astype(np.uint8)
        care = rng.integers(0, 3, (12, 17)).astype(np.uint8)
        rates = np.array([0.1, 0.01 if number % 3 else 0.0, 0.5], np.float32)
        follow = np.array([max(0.02, 1 / (number + 1)), 0.0, 0.02], np.float32)
        numbers = np.array([16, 108, 27, 300, 0.9, 0.5], np.float32)
        labels = [np.empty((12, 17), np.uint8) for _ in range(2)]
        arguments = (rates, follow, numbers)
        background.observe_pixels(image, care, *states[0], *arguments, labels[0])
        reference_background.observe_pixels(image, care, *states[1], *arguments, labels[1])
        seen |= set(labels[0].ravel().tolist())
        assert np.array_equal(*labels)
        for fast, plain in zip(*states, strict=True):
            assert np.array_equal(fast, plain)
    assert seen == {BACKGROUND, SHADOW, FOREGROUND}


def test_what_stays_the_same_is_background():
    picture = yard()
    assert not learned(picture).observe(picture, elapsed_s=0.1).any()


def test_what_differs_is_foreground():
    picture = yard()
    changed = picture.copy()
    changed[40:60, 50:70] = 15
    labels = learned(picture).observe(changed, elapsed_s=0.1)
    assert (labels[40:60, 50:70] == FOREGROUND).all()
    assert np.count_nonzero(labels) == 400


def test_a_darker_version_of_the_ground_is_shadow():
    picture = yard()
    shaded = (picture * 0.7).astype(np.uint8)
    labels = learned(picture).observe(shaded, elapsed_s=0.1)
    assert np.mean(labels == SHADOW) > 0.95


def test_without_colour_nothing_is_shadow():
    picture = yard()
    shaded = (picture * 0.7).astype(np.uint8)
    labels = learned(picture).observe(shaded, elapsed_s=0.1, has_colour=False)
    assert (labels == FOREGROUND).all()


def test_two_states_that_alternate_are_both_background():
    leaf, sky = np.full((4, 4, 3), 60, np.uint8), np.full((4, 4, 3), 200, np.uint8)
    model = BackgroundModel(BackgroundSettings())
    for number in range(300):
        labels = model.observe(leaf if number % 3 else sky, elapsed_s=0.1)
    assert not labels.any()
    assert not model.observe(leaf, elapsed_s=0.1).any()


def test_something_new_becomes_background_after_adapt_s():
    picture = yard()
    new = np.full_like(picture, 15)
    assert seconds_until_background(learned(picture), new) == pytest.approx(10.0, abs=0.3)


def test_where_something_was_detected_nothing_ever_becomes_background():
    picture = yard()
    model, standing = learned(picture), np.full_like(picture, 15)
    held = np.full(picture.shape[:2], HOLD, np.uint8)
    for _ in range(3600):
        labels = model.observe(standing, elapsed_s=1.0, care=held)
    assert (labels == FOREGROUND).all()


def test_comparing_learns_nothing():
    picture = yard()
    model = learned(picture)
    before = model.arrays()
    assert (model.compare(np.full_like(picture, 15)) == FOREGROUND).all()
    assert all(np.array_equal(before[name], array) for name, array in model.arrays().items())


def test_a_held_place_follows_the_light_of_the_whole_picture():
    picture = yard()
    model = learned(picture)
    for _ in range(100):
        model.relight(0.98, elapsed_s=1.0, where=np.ones(picture.shape[:2], np.bool_))
    assert model.picture.mean() < 0.9 * picture.mean()


def test_where_the_background_was_wrong_it_takes_forget_s():
    picture = yard()
    wrong = np.full(picture.shape[:2], FORGET, np.uint8)
    time_s = seconds_until_background(learned(picture), np.full_like(picture, 15), care=wrong)
    assert time_s == pytest.approx(0.5, abs=0.15)


def test_times_do_not_depend_on_the_frame_rate():
    picture, new = yard(), np.full_like(yard(), 15)
    model = learned(picture)
    frames = 0
    while model.observe(new, elapsed_s=0.5)[0, 0] != BACKGROUND:
        frames += 1
    assert frames * 0.5 == pytest.approx(10.0, abs=0.6)


def test_a_gap_teaches_no_more_than_a_second():
    picture = yard()
    model = learned(picture)
    new = np.full_like(picture, 15)
    model.observe(new, elapsed_s=3600.0)
    assert (model.observe(new, elapsed_s=0.1) == FOREGROUND).all()


def test_light_that_changes_slowly_is_followed():
    picture = np.full((8, 8, 3), 100, np.uint8)
    model = learned(picture)
    for number in range(600):
        level = 100 + number // 20  # thirty levels in a minute
        assert not model.observe(np.full_like(picture, level), elapsed_s=0.1).any()


def test_an_image_of_another_size_is_refused_until_reset():
    model = learned(yard())
    small = yard(width_px=80)
    with pytest.raises(UsageError, match="reset"):
        model.observe(small, elapsed_s=0.1)
    model.reset()
    assert not model.observe(small, elapsed_s=0.1).any()


def test_restored_models_continue_equally():
    picture = yard()
    model, twin = learned(picture), BackgroundModel(BackgroundSettings())
    twin.restore(model.frames, model.arrays())
    for number in range(5):
        image = np.roll(picture, number, axis=1)
        assert np.array_equal(
            model.observe(image, elapsed_s=0.1), twin.observe(image, elapsed_s=0.1)
        )
    assert all(np.array_equal(a, twin.arrays()[n]) for n, a in model.arrays().items())


def test_arrays_of_another_shape_are_refused():
    model = learned(yard())
    arrays = model.arrays() | {"variance": np.zeros((2, 2, 3), np.float32)}
    with pytest.raises(LogError, match="shapes"):
        BackgroundModel(BackgroundSettings()).restore(30, arrays)


@pytest.mark.parametrize(
    "wrong", [{"noise_levels": 0.0}, {"background_share": 1.0}, {"adapt_s": 0.0}]
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(UsageError, match="background settings"):
        BackgroundSettings(**wrong)
