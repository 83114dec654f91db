"""An inspector tells a holed surface from a good one, and where the hole is."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from perceive.inspection.surface_cases import CELLS, SETTINGS, bad, good, holed, surface
from sightline.errors import UsageError
from sightline.perceive.inspection import Inspector, LearntFrom, learn_inspector


@pytest.fixture(scope="module")
def learnt():
    return learn_inspector(good(40), [], cells=CELLS, settings=SETTINGS)


def look(inspector, picture):
    return inspector.inspect(CELLS(picture), height_px=64, width_px=80)


def test_a_hole_scores_above_every_good_surface(learnt):
    usual = [look(learnt.inspector, surface(2000 + i)).score for i in range(10)]
    holes = [look(learnt.inspector, holed(3000 + i)).score for i in range(10)]
    assert min(holes) > max(usual)


def test_the_heat_is_at_picture_resolution_and_highest_at_the_hole(learnt):
    rejecting = learnt.inspector.with_thresholds(reject_from=0.0, review_from=0.0, mark_from=0.0)
    heat = look(rejecting, holed(3000)).heat
    assert heat.shape == (64, 80)
    y, x = np.unravel_index(heat.argmax(), heat.shape)
    assert 16 <= y < 48
    assert 24 <= x < 56


def test_what_is_accepted_has_no_mark_and_what_is_not_has_one(learnt):
    picture = holed(3000)
    score = look(learnt.inspector, picture).score
    odds = learnt.inspector.maps_of(CELLS(picture)).odds.max()
    for mark_from in (odds - 1, odds + 1):  # also where no cell reaches the mark
        one = learnt.inspector.with_thresholds(
            reject_from=score, review_from=score, mark_from=mark_from
        )
        taken = replace(one, reject_from=score + 1, review_from=score + 1)
        assert look(one, picture).heat.max() >= 1
        assert len(look(one, picture).boxes) >= 1
        assert look(taken, picture).heat.max() < 1
        assert len(look(taken, picture).boxes) == 0


def test_what_is_far_from_normal_is_marked_where_the_head_knows_no_defect(learnt):
    blind = replace(learnt.inspector, usual=np.array([[0.0, 1.0], [1e3, 1.0]]))
    blind = blind.with_thresholds(reject_from=-1e9, review_from=-1e9, mark_from=1e3)
    found = look(blind, holed(3000))  # the hole is in rows 24 to 40, columns 32 to 48
    assert found.reasons[0] > found.reasons[1]
    (x1, y1, x2, y2), row, column = found.boxes[0, :4], *found.peak
    assert found.heat.max() == 2
    assert 16 <= y1 <= 8 * row < 8 * row + 8 <= y2 <= 48
    assert 24 <= x1 <= 8 * column < 8 * column + 8 <= x2 <= 56


def test_the_score_is_the_sum_of_its_reasons(learnt):
    found = look(learnt.inspector, holed(3000))
    assert found.score == pytest.approx(found.reasons.sum(), rel=1e-5)


def test_equal_seeds_learn_equal_inspectors(learnt):
    again = learn_inspector(good(40), [], cells=CELLS, settings=SETTINGS)

    def digest(inspector):
        arrays = inspector.as_arrays()
        whole = b"".join(np.ascontiguousarray(arrays[name]).tobytes() for name in sorted(arrays))
        return hashlib.sha256(whole).hexdigest()

    assert digest(again.inspector) == digest(learnt.inspector)


def test_an_inspector_survives_its_arrays(learnt):
    again = Inspector.from_arrays(learnt.inspector.as_arrays())
    picture = holed(3000)
    assert look(again, picture).score == look(learnt.inspector, picture).score


def test_ten_times_as_many_pictures_hold_no_larger_memory():
    few, many = (learn_inspector(good(n), [], cells=CELLS, settings=SETTINGS) for n in (20, 200))
    assert [len(one.inspector.memory.vectors) for one in (few, many)] == [60, 60]


def test_each_part_is_looked_at_by_an_inspector_that_does_not_know_it():
    def with_a_stranger():  # one part is unlike all others: who has learnt from it finds it usual
        parts = good(39)
        odd = LearntFrom(name="odd", part="odd", read=lambda: surface(7) // 2)
        return [*parts, odd]

    learnt = learn_inspector(with_a_stranger(), [], cells=CELLS, settings=SETTINGS)
    (held,) = (one for one in learnt.held_good if one.source.part == "odd")
    strangeness = held.maps.strangeness.mean()
    knowing = learnt.inspector.maps_of(CELLS(surface(7) // 2)).strangeness.mean()
    assert strangeness > knowing + 1.0


def test_all_good_parts_say_what_is_usual(learnt):
    assert len(learnt.held_good) == learnt.fit_pictures == 40
    scores = [one.score() for one in learnt.held_good]
    assert abs(np.median(scores)) < 1.0


def test_marked_defects_can_be_learnt_from():
    found = learn_inspector(good(40), bad(20), cells=CELLS, settings=SETTINGS)
    assert (found.fit_bad, len(found.held_bad)) == (20, 20)
    assert look(found.inspector, holed(3000)).score > look(found.inspector, surface(2000)).score


def test_too_few_good_parts_are_refused():
    with pytest.raises(UsageError, match="at least 20 good parts"):
        learn_inspector(good(19), [], cells=CELLS, settings=SETTINGS)


def test_a_score_is_accepted_reviewed_or_rejected(learnt):
    one = learnt.inspector.with_thresholds(reject_from=5.0, review_from=2.0, mark_from=1.0)
    assert [one.disposition(s) for s in (1.9, 2.0, 4.9, 5.0)] == [
        "accept",
        "review",
        "review",
        "reject",
    ]
