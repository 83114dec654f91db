"""Statistics of windows at many scales: as specified, and the same wherever a stream is cut."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from perceive.normal.plain_detector import plain_features
from sightline.errors import UsageError
from sightline.perceive.normal.features import STATISTICS, window_features

SAMPLES = arrays(
    np.float64, st.integers(1, 40), elements=st.floats(-1e3, 1e3, width=32) | st.just(np.nan)
)
WIDTHS = st.sampled_from([(2,), (4, 8), (2, 16), (8, 16, 32)])


@given(values=SAMPLES, widths=WIDTHS)
def test_the_kernel_is_what_is_specified(values, widths):
    ours = window_features(values, widths=widths)
    plain = plain_features(values, widths)
    np.testing.assert_allclose(ours, plain, rtol=1e-9, atol=1e-7)


@given(values=SAMPLES, widths=WIDTHS, data=st.data())
def test_a_stream_that_is_cut_anywhere_has_the_same_features(values, widths, data):
    cut = data.draw(st.integers(0, len(values)))
    whole = window_features(values, widths=widths)
    parts = [
        window_features(values[:cut], widths=widths),
        window_features(values[cut:], widths=widths, before=values[:cut]),
    ]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_small_changes_on_a_large_offset_are_not_lost():
    values = 1e9 + np.tile([0.0, 1e-3], 32)
    found = window_features(values, widths=(64,))[-1, 0]
    assert found[STATISTICS.index("deviation")] == pytest.approx(5e-4, rel=1e-3)


def test_until_a_window_is_full_nothing_is_said():
    found = window_features(np.ones(10), widths=(4, 8))
    assert np.isnan(found[:3, 0]).all()
    assert np.isfinite(found[3:, 0]).all()
    assert np.isnan(found[:7, 1]).all()


def test_a_window_with_less_than_half_of_its_samples_says_nothing():
    values = np.ones(16)
    values[4:13] = np.nan
    found = window_features(values, widths=(8,))[:, 0, 0]
    assert np.isfinite(found[[7]]).all()
    assert np.isnan(found[[8, 15]]).all()


@pytest.mark.parametrize("widths", [(), (3,), (8, 4), (4, 4), (1,), (1 << 17,)])
def test_other_widths_are_refused(widths):
    with pytest.raises(UsageError, match="powers of two"):
        window_features(np.ones(5), widths=widths)
