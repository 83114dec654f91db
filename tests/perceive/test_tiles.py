"""Detections in map tiles: where they lie, which are recent, and what is the greatest of each."""

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import sightline as sl
from sightline.errors import UsageError
from sightline.perceive.tiles import recent_tile_max
from sightline.records.map_tiles import MAX_LATITUDE_DEG, tile_corners, tile_of

LON = st.one_of(
    st.floats(-540, 540), st.sampled_from([-180.0, 180.0, 0.0, 179.999999999, 90.0, 540.0, -190.0])
)
LAT = st.one_of(
    st.floats(-90, 90),
    st.sampled_from([0.0, MAX_LATITUDE_DEG, -MAX_LATITUDE_DEG, 66.51326044311186, 85.06, -90.0]),
)
DETECTIONS = st.lists(
    st.tuples(st.floats(0, 100), LON, LAT, st.floats(0, 1)), min_size=1, max_size=60
)


def reference(rows, zoom, window_s):
    """One detection after the other, by the plain form of the tile."""
    newest, best = max(r[0] for r in rows), {}
    for at_s, lon, lat, score in rows:
        x, y = (int(v[0]) for v in tile_of(np.array([lon]), np.array([lat]), zoom=zoom))
        if at_s >= newest - window_s and x >= 0:
            best[zoom, x, y] = max(score, best.get((zoom, x, y), -math.inf))
    return best


@given(DETECTIONS, st.integers(0, 26), st.floats(0, 120))
def test_the_greatest_of_each_tile_is_that_of_one_detection_after_the_other(rows, zoom, window_s):
    assert sl.aggregate_recent_tile_max(rows, zoom, window_s) == reference(rows, zoom, window_s)


def test_many_tiles_more_than_the_table_begins_with_are_all_there():
    rng = np.random.default_rng(0)
    columns = (
        rng.uniform(0, 9, 50_000),
        rng.uniform(-180, 180, 50_000),
        rng.uniform(-85, 85, 50_000),
    )
    score = rng.random(50_000)
    found = recent_tile_max(*columns, score, zoom=9, window_s=5)
    rows = zip(*(c.tolist() for c in columns), score.tolist(), strict=True)
    wanted = reference(list(rows), 9, 5)
    assert len(found.x) == len(wanted)
    assert found.score.sum() == pytest.approx(sum(wanted.values()))


@given(LON.filter(lambda v: abs(v) <= 180), LAT.filter(lambda v: abs(v) <= MAX_LATITUDE_DEG),
       st.integers(0, 26))  # fmt: skip
def test_a_tile_is_that_of_mercantile(lon, lat, zoom):
    mercantile = pytest.importorskip("mercantile", reason="mercantile is not installed")
    (x,), (y,) = tile_of(np.array([lon]), np.array([lat]), zoom=zoom)
    wanted = mercantile.tile(lon, lat, zoom)
    assert (x, y) == (wanted.x, wanted.y)


@given(st.integers(0, 20), st.data())
def test_the_middle_of_a_tile_lies_in_it(zoom, data):
    x, y = (data.draw(st.integers(0, 2**zoom - 1)) for _ in range(2))
    west, south, east, north = tile_corners(np.array([x]), np.array([y]), zoom=zoom)[0]
    (found_x,), (found_y,) = tile_of(
        np.array([(west + east) / 2]), np.array([(south + north) / 2]), zoom=zoom
    )
    assert (found_x, found_y) == (x, y)


def test_the_antimeridian_is_the_border_of_the_easternmost_tile():
    x, _ = tile_of(np.array([180.0, -180.0, 180.1]), np.zeros(3), zoom=4)
    assert x.tolist() == [15, 0, 0]


def test_what_lies_nearer_to_a_pole_than_the_map_is_counted():
    found = recent_tile_max(
        np.zeros(3), np.array([0.0, 0.0, np.nan]), np.array([85.06, 0.0, 0.0]), np.ones(3),
        zoom=3, window_s=1,
    )  # fmt: skip
    assert (found.off_map, len(found.x)) == (2, 1)


def test_a_detection_without_a_score_is_counted_and_hides_no_other():
    found = recent_tile_max(
        np.zeros(2), np.zeros(2), np.zeros(2), np.array([np.nan, 0.4]), zoom=3, window_s=1
    )
    assert (found.unreadable, found.score.tolist()) == (1, [0.4])


def test_one_that_is_exactly_as_old_as_the_window_counts():
    rows = [(40.0, 1.0, 1.0, 0.9), (100.0, 50.0, 1.0, 0.1)]
    assert len(sl.aggregate_recent_tile_max(rows, 5, 60)) == 2


def test_without_detections_there_are_no_tiles():
    assert sl.aggregate_recent_tile_max([], 5, 60) == {}


def test_a_table_is_read_by_the_names_of_its_columns():
    table = pl.DataFrame({"score": [0.5], "lat": [50.0], "lon": [10.0], "time": [0.0]})
    assert sl.aggregate_recent_tile_max(table, 5, 60) == {(5, 16, 10): 0.5}


@pytest.mark.parametrize(("zoom", "window_s"), [(-1, 1), (27, 1), (3, -1), (3, math.nan)])
def test_a_zoom_or_window_out_of_its_range_is_refused(zoom, window_s):
    with pytest.raises(UsageError):
        sl.aggregate_recent_tile_max([(0, 0, 0, 1)], zoom, window_s)
