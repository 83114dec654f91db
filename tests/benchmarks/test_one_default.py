"""A default that is chosen without the data it is reported on."""

import numpy as np

from benchmarks.one_default import (
    DEFAULT,
    Candidate,
    candidates,
    choice_lines,
    data_sets,
    left_out_choices,
    simulated_series,
)

SCORES = {
    "far": {DEFAULT: 0.5, "x": 0.9},
    "near": {DEFAULT: 0.8, "x": 0.7},
    "like near": {DEFAULT: 0.8, "x": 0.75},
}


def test_what_is_best_on_the_set_that_is_left_out_does_not_count():
    choice = next(c for c in left_out_choices(SCORES) if c["left_out"] == "far")
    assert (choice["chosen"], choice["best"]) == (DEFAULT, "x")


def test_the_fall_is_against_the_best_that_could_have_been_chosen():
    choice = next(c for c in left_out_choices(SCORES) if c["left_out"] == "far")
    assert (choice["score"], choice["fall"]) == (0.5, 0.4)


def test_every_set_is_in_the_table():
    lines = choice_lines({"choices": left_out_choices(SCORES)})
    assert [line.split("  ")[0] for line in lines[1:]] == list(SCORES)


def test_each_candidate_differs_from_the_default():
    found = candidates()
    assert found.pop(DEFAULT) == Candidate()
    assert all(one != Candidate() for one in found.values())


def test_data_sets_that_are_not_there_are_left_out(tmp_path):
    assert list(data_sets(tmp_path)) == ["simulated", "simulated: as it goes"]


def test_another_score_of_the_data_that_is_left_out_has_no_say():
    scores = {**SCORES, "far: another way": {DEFAULT: 0.1, "x": 0.9}}
    choice = next(c for c in left_out_choices(scores) if c["left_out"] == "far")
    assert choice["chosen"] == DEFAULT


def test_the_fault_of_a_simulated_series_is_where_it_is_said_to_be():
    for seed in range(6):
        values, (first, last) = simulated_series(seed)
        assert np.isfinite(values).all()
        assert 1_500 <= first <= last < len(values)
