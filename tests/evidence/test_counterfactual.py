"""The search along a line: what it finds, and what it says where there is nothing to find."""

from hypothesis import given
from hypothesis import strategies as st

from sightline.evidence.counterfactual import GRID, HALVINGS, least_change


@given(edge=st.floats(0.001, 0.999))
def test_the_edge_of_a_line_is_found_to_one_part_in_2048(edge):
    found = least_change(lambda strength: strength < edge)
    assert found.is_found
    assert edge <= found.strength <= edge + 1 / 2048
    assert found.alerted_at < edge
    assert found.is_monotone


@given(edge=st.floats(0.001, 0.999))
def test_it_takes_no_more_trials_than_it_says(edge):
    asked = []
    least_change(lambda strength: asked.append(strength) or strength < edge)
    assert len(asked) == len(set(asked)) <= GRID + HALVINGS + 2


def test_a_line_that_alerts_again_further_on_is_not_monotone():
    found = least_change(lambda strength: strength < 0.3 or 0.6 < strength < 0.7)
    assert found.is_found
    assert 0.3 <= found.strength < 0.31
    assert not found.is_monotone


def test_a_line_whose_end_alerts_has_no_change():
    assert least_change(lambda strength: not 0.4 < strength < 0.5).verdict == "none"


def test_what_does_not_alert_as_it_was_is_not_explained():
    assert least_change(lambda strength: False).verdict == "not reproduced"
