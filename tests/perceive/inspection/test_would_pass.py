"""What would have passed: found by looking again, so a rule that is known gives its own limits."""

import numpy as np
import pytest

from sightline.perceive.inspection.would_pass import what_would_pass


def spotted(side_px=16, depth=100):
    picture = np.full((80, 100), 150, np.uint8)
    picture[30 : 30 + side_px, 40 : 40 + side_px] -= depth
    return picture


def dark_pixels(picture):
    """A rule of known limits: pixels darker than 150 by 40 and more."""
    return float((picture < 110).sum())


def darkness(picture):
    return float(150 - picture.min())


def test_the_size_that_passes_is_that_of_the_rule():
    found = what_would_pass(spotted(), (40, 30, 56, 46), dark_pixels, passes_below=65.0)
    assert found.size_px == 16.0
    assert found.contrast * 255 == pytest.approx(100, abs=2)
    assert found.size_passes_px == pytest.approx(8.0, abs=1.0)  # 64 of 256 pixels: half the side


def test_the_contrast_that_passes_is_that_of_the_rule():
    found = what_would_pass(spotted(), (40, 30, 56, 46), darkness, passes_below=30.0)
    assert found.contrast_passes * 255 == pytest.approx(30.0, abs=2.0)


def test_where_something_else_speaks_against_a_picture_nothing_is_said_to_pass():
    picture = spotted()
    picture[70:78, 5:13] = 20
    found = what_would_pass(picture, (40, 30, 56, 46), dark_pixels, passes_below=10.0)
    assert not found.is_all
    assert (found.without, found.size_passes_px, found.contrast_passes) == (64.0, 0.0, 0.0)
