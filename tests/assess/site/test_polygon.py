"""Polygons: who is inside, how deep, and which shapes are refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightline.assess.site.polygon import MAX_VERTICES, probability_within
from sightline.assess.site.zones import Polygon
from sightline.errors import UsageError

L_SHAPE = Polygon.of([(0, 0), (4, 0), (4, 2), (2, 2), (2, 4), (0, 4)])
SQUARE = Polygon.of([(0, 0), (4, 0), (4, 4), (0, 4)])
coordinates = st.floats(-10, 10, allow_nan=False)


def depth(polygon, x, y):
    return float(polygon.signed_distance(np.array([[x, y]]))[0])


def test_a_polygon_that_crosses_itself_is_refused_and_the_edges_are_named():
    with pytest.raises(UsageError, match=r"edge 0 .* and edge 2 .* meet"):
        Polygon.of([(0, 0), (4, 4), (4, 0), (0, 4)])


def test_a_polygon_that_touches_itself_is_refused():
    with pytest.raises(UsageError, match="meet"):
        Polygon.of([(0, 0), (4, 0), (4, 4), (2, 0), (0, 4)])


def test_an_edge_that_runs_back_along_the_one_before_is_refused():
    with pytest.raises(UsageError, match="meet"):
        Polygon.of([(0, 0), (4, 0), (2, 0), (2, 2)])


def test_two_vertices_are_no_polygon():
    with pytest.raises(UsageError, match="3 to"):
        Polygon.of([(0, 0), (1, 1)])


def test_more_vertices_than_the_bound_are_refused():
    angle = np.linspace(0, 2 * np.pi, MAX_VERTICES + 1, endpoint=False)
    with pytest.raises(UsageError, match=str(MAX_VERTICES)):
        Polygon.of(np.stack([np.cos(angle), np.sin(angle)], axis=1))


def test_a_coordinate_that_is_not_finite_is_refused_and_named():
    with pytest.raises(UsageError, match="vertex 1"):
        Polygon.of([(0, 0), (np.nan, 0), (1, 1)])


def test_a_vertex_repeated_in_a_row_is_refused():
    with pytest.raises(UsageError, match="different vertices in a row"):
        Polygon.of([(0, 0), (1, 0), (1, 0), (1, 1)])


def test_a_ring_that_is_closed_by_repeating_its_first_vertex_is_taken():
    assert len(Polygon.of([(0, 0), (1, 0), (1, 1), (0, 0)]).vertices) == 3


def test_units_other_than_metres_and_pixels_are_refused():
    with pytest.raises(UsageError, match="m or px"):
        Polygon.of([(0, 0), (1, 0), (1, 1)], unit="ft")


def test_the_orientation_of_the_vertices_does_not_matter():
    turned = Polygon.of(L_SHAPE.vertices[::-1])
    points = np.random.default_rng(0).uniform(-1, 5, (200, 2))
    np.testing.assert_allclose(turned.signed_distance(points), L_SHAPE.signed_distance(points))


@pytest.mark.parametrize(
    ("x", "y", "expected"),
    [(1, 1, 1.0), (1, 3, 1.0), (3, 3, -1.0), (5, 1, -1.0), (2, 2, 0.0), (5, 5, -(10**0.5))],
)
def test_the_signed_distance_in_a_concave_polygon(x, y, expected):
    assert depth(L_SHAPE, x, y) == pytest.approx(expected)


def test_a_point_on_the_border_is_inside():
    assert SQUARE.contains(np.array([[4.0, 1.0], [0.0, 0.0]])).all()


def test_a_point_on_an_edge_that_two_polygons_share_is_in_both():
    right = Polygon.of([(4, 0), (8, 0), (8, 4), (4, 4)])
    border = np.array([[4.0, 1.7]])
    assert SQUARE.contains(border).all() and right.contains(border).all()


def test_a_point_that_is_nan_is_in_no_polygon():
    assert not SQUARE.contains(np.array([[np.nan, 1.0]])).any()


@given(st.lists(st.tuples(coordinates, coordinates), min_size=1, max_size=30))
def test_the_distance_to_a_square_is_that_of_its_formula(points):
    at = np.array(points)
    beyond = np.abs(at - 2) - 2
    expected = np.hypot(*np.maximum(beyond, 0).T) + np.minimum(beyond.max(axis=1), 0)
    np.testing.assert_allclose(SQUARE.signed_distance(at), -expected, atol=1e-7)


def test_the_probability_of_being_inside_agrees_with_monte_carlo_at_a_straight_edge():
    random = np.random.default_rng(7)
    at, covariance = np.array([[0.3, 2.0]]), np.array([[[0.25, 0.1], [0.1, 0.16]]])
    drawn = random.multivariate_normal(at[0], covariance[0], 200_000)
    share = SQUARE.contains(drawn).mean()
    assert probability_within(*SQUARE.nearest_border(at), covariance)[0] == pytest.approx(
        share, abs=0.01
    )


def test_the_probability_at_a_corner_is_wrong_by_at_most_what_is_documented():
    random = np.random.default_rng(8)
    at, covariance = np.array([[0.0, 0.0]]), 0.25 * np.eye(2)[None]
    share = SQUARE.contains(random.multivariate_normal(at[0], covariance[0], 100_000)).mean()
    assert share == pytest.approx(0.25, abs=0.01)
    assert abs(probability_within(*SQUARE.nearest_border(at), covariance)[0] - share) <= 0.26


def test_without_a_covariance_the_position_counts_as_exact():
    assert probability_within(
        *SQUARE.nearest_border(np.array([[1.0, 1.0], [5.0, 1.0]]))
    ).tolist() == [1.0, 0.0]
