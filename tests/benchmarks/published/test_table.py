"""Rows of a table that are unlike the others of their group."""

import numpy as np
import pytest

from benchmarks.published.table import (
    TableScale,
    labelled_scores,
    table_alarms,
    table_scores,
)
from sightline.errors import UsageError


def rows(n=200, seed=0):
    return np.exp(np.random.default_rng(seed).normal(size=(n, 3)))


def test_scaling_does_not_depend_on_the_unit_of_features_that_are_never_negative():
    values = rows()
    np.testing.assert_allclose(
        TableScale.of(values * 1e6).apply(values * 1e6), TableScale.of(values).apply(values)
    )


def test_a_constant_feature_says_nothing():
    values = rows()
    values[:, 1] = 7.0
    assert np.ptp(TableScale.of(values).apply(values)[:, 1]) == pytest.approx(0.0)


def test_what_is_not_finite_is_refused():
    with pytest.raises(UsageError, match="1 values not finite"):
        TableScale.of(np.array([[1.0], [np.nan]]))


def test_a_row_far_from_all_of_its_group_has_the_greatest_score():
    values = np.random.default_rng(0).normal(size=(100, 2))
    values[7] = 9.0
    group = np.repeat(["a", "b"], 50)
    assert np.argmax(table_scores(values, group)) == 7


def test_another_group_is_no_neighbour():
    values = np.array([[0.0], [0.1], [0.0], [5.0]])
    group = np.array(["a", "a", "b", "b"])
    assert table_scores(values, group, neighbours=1)[2] == 5.0


def test_few_scores_of_one_kind_are_alarms():
    score = np.exp(np.random.default_rng(0).normal(size=1000))
    assert 0.02 < table_alarms(score).mean() < 0.12


def test_labels_decide_where_distance_cannot():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(200, 2))
    label = values[:, 0] > 0
    found = labelled_scores(values[:150], label[:150], values[150:])
    assert np.mean((found > 0) == label[150:]) > 0.9
