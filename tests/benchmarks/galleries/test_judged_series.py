"""Labels and events of a series are matched as the scorers match them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.alert_scores import Intervals
from benchmarks.galleries.wording import delay_text
from benchmarks.published.nasa_score import score_nasa
from sightline.errors import UsageError
from tests.benchmarks.galleries.gallery_cases import ROWS, judged

cuts = st.lists(st.integers(0, ROWS - 1), max_size=12, unique=True).map(sorted)


def spans(at: list[int]) -> list[tuple[int, int]]:
    return list(zip(at[::2], at[1::2], strict=False))


@given(labels=cuts, events=cuts)
def test_counts_are_those_of_the_published_score(labels: list[int], events: list[int]) -> None:
    found = judged(labels=spans(labels), events=spans(events))
    score = score_nasa([(Intervals.of(spans(labels)), Intervals.of(spans(events)))])
    assert (found.hits, found.misses, found.false_alarms) == (
        score.true_positives,
        score.false_negatives,
        score.false_positives,
    )


def test_an_event_in_the_last_row_of_a_label_is_a_hit() -> None:
    found = judged(labels=[(10, 20)], events=[(20, 30)])
    assert (found.hits, found.delay_rows.tolist()) == (1, [10.0])


def test_events_near_each_other_are_told_once() -> None:
    found = judged(events=[(10, 20), (30, 40), (60, 61)], episode_gap_rows=10)
    assert found.false_alarms == 2


def test_an_episode_that_belongs_to_a_label_is_no_false_alarm() -> None:
    found = judged(labels=[(0, 10)], events=[(5, 8), (15, 20)], episode_gap_rows=10)
    assert (found.hits, found.true_episodes, found.false_alarms) == (1, 1, 0)


def test_a_label_between_the_events_of_an_episode_is_missed() -> None:
    found = judged(labels=[(22, 24)], events=[(10, 20), (30, 40)], episode_gap_rows=10)
    assert (found.hits, found.misses, found.false_alarms) == (0, 1, 1)


def test_delays_are_seconds_where_rows_have_times() -> None:
    time_ns = np.arange(ROWS) * 60 * 10**9
    found = judged(labels=[(10, 20), (50, 60)], events=[(13, 14)], time_ns=time_ns)
    np.testing.assert_array_equal(found.delay_s, [180.0, np.nan])
    assert delay_text(found, 0) == "+3 min"


def test_an_event_that_began_before_its_label_says_so() -> None:
    assert delay_text(judged(labels=[(10, 20)], events=[(5, 30)]), 0) == "(began before)"


def test_labels_within_what_was_learnt_are_counted_apart() -> None:
    found = judged(labels=[(10, 20), (95, 105), (300, 310)], learnt_rows=100)
    assert (found.misses, found.unseen_labels) == (3, 1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"channels": {}},
        {"channels": {"value": np.zeros(ROWS - 1)}},
        {"time_ns": np.arange(ROWS + 1)},
        {"labels": [(ROWS - 1, ROWS)]},
        {"events": [(ROWS, ROWS)]},
    ],
)
def test_what_does_not_fit_the_series_is_refused(wrong: dict[str, object]) -> None:
    score = np.zeros(ROWS)
    with pytest.raises(UsageError, match="judged series"):
        judged(**({"score": score} | wrong))
