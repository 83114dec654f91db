"""Attribution: the windows, features and past windows a score is made of."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perceive.normal.plain_detector import PlainDetector
from sightline.errors import UsageError
from sightline.perceive.normal.attribution import (
    attribute_score,
    attribute_series,
    unusual_since,
)
from sightline.perceive.normal.bank import SeriesDetector
from sightline.perceive.normal.features import STATISTICS, window_features
from sightline.perceive.normal.settings import NormalSettings

LEARN, ROWS, SPIKE = 600, 3000, slice(2000, 2016)


@cache
def series():
    rng = np.random.default_rng(7)
    found = np.sin(np.arange(ROWS) / 9) + rng.normal(0, 0.05, ROWS)
    found[SPIKE] = 5.0
    found[1200:1203] = np.nan
    return found


@cache
def scores(learns_below=NormalSettings().learns_below):
    """Scores and deviations by width, of the rows after the learning stretch, as specified."""
    settings_ = NormalSettings(learns_below=learns_below)
    return PlainDetector(series()[:LEARN], settings_).follow(series()[LEARN:])


def at(row, **options):
    return attribute_series(series(), learn_rows=LEARN, row=row, **options)


@settings(max_examples=40, deadline=None)
@given(row=st.integers(LEARN, ROWS - 1))
def test_what_is_attributed_is_the_score_of_the_detector(row):
    found = at(row)
    np.testing.assert_allclose(found.score, scores()[0][row - LEARN], rtol=1e-9)
    by_width = sorted(found.widths, key=lambda one: one.width)
    np.testing.assert_allclose(
        [one.deviations for one in by_width], scores()[1][row - LEARN], rtol=1e-9
    )


@pytest.mark.parametrize("learns_below", [0.0, 2.0])
def test_so_it_is_where_what_is_unusual_is_not_learnt(learns_below):
    found = at(2300, settings=NormalSettings(learns_below=learns_below))
    np.testing.assert_allclose(found.score, scores(learns_below)[0][2300 - LEARN], rtol=1e-9)


@settings(max_examples=40, deadline=None)
@given(row=st.integers(LEARN + 300, ROWS - 1))
def test_the_nearest_window_has_exactly_the_features_that_were_compared(row):
    for one in at(row).widths:
        if np.isnan(one.deviations):
            continue
        assert one.normal is not None
        last = one.normal.last_row
        own = window_features(series()[: last + 1], widths=(one.width,))[last, 0]
        np.testing.assert_allclose(own, one.nearest, rtol=1e-12)
        assert one.normal.last_row - one.normal.first_row == one.width - 1
        # Nothing is compared with itself: the two do not overlap.
        assert last <= one.row - one.width


def test_shares_sum_to_one_and_make_the_distance():
    for one in at(SPIKE.stop - 1).widths:
        assert one.share.sum() == pytest.approx(1.0)
        parts = ((one.features - one.nearest) / one.spread) ** 2
        assert np.sqrt(parts.sum()) == pytest.approx(one.distance)
        np.testing.assert_allclose(parts / parts.sum(), one.share)


def test_a_spike_of_the_width_of_a_window_shows_in_its_mean_in_the_unit_of_the_samples():
    # A look stands until the next one, two rows on: at row 2016 it is at 2014 or 2016 itself.
    narrow = next(one for one in at(SPIKE.stop - 1).widths if one.width == 16)
    inside = narrow.row - SPIKE.start + 1
    before = series()[narrow.row - 15 : SPIKE.start]
    now, nearest, _ = narrow.feature("mean")
    assert now == pytest.approx((5.0 * inside + before.sum()) / 16)
    assert -1.2 < nearest < 1.2


def test_the_width_that_adds_most_comes_first():
    deviations = [one.deviations for one in at(SPIKE.stop + 40).widths]
    assert deviations == sorted(deviations, reverse=True)


def test_times_are_those_of_the_nearest_window():
    time_ns = np.arange(ROWS, dtype=np.int64) * 10**9
    for one in at(2500, time_ns=time_ns).widths:
        assert one.normal.start_ns == one.normal.first_row * 10**9
        assert one.normal.end_ns == one.normal.last_row * 10**9


def test_a_window_further_back_than_is_searched_is_said_to_be_older():
    # Of a memory that learns nothing, all windows lie in the learning stretch.
    detector = SeriesDetector.learn(series()[:LEARN], NormalSettings(learns_below=0.0))
    found = attribute_score(detector, series(), row=2430, searched_rows=1000)
    whole = attribute_score(detector, series(), row=2430)
    assert all(one.normal is None for one in found.widths)
    assert all(one.normal is not None for one in whole.widths)
    assert [one.distance for one in found.widths] == [one.distance for one in whole.widths]


def test_a_detector_that_is_past_the_row_is_refused():
    detector = SeriesDetector.learn(series()[:LEARN]).follow(series()[LEARN:2500])[1]
    with pytest.raises(UsageError, match="a detector from before the row"):
        attribute_score(detector, series(), row=2400)


def test_a_row_that_was_learnt_from_is_refused():
    with pytest.raises(UsageError, match="what is learnt from is not scored"):
        at(LEARN - 1)


def test_a_run_of_scores_ends_at_what_is_missing():
    score = np.array([9.0, 9.0, np.nan, 2.0, 3.0])
    assert unusual_since(score, row=4, level=1.0) == 3


def test_a_run_may_begin_with_the_series():
    assert unusual_since(np.array([2.0, 3.0]), row=1, level=1.0) == 0


def test_it_is_json_ready():
    plain = at(2500).as_mapping()
    assert set(plain["widths"][0]["features"]) == set(STATISTICS)
    assert plain["widths"][0]["nearest_window"]["last_row"] < 2500
