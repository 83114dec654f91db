"""From which log-odds a pixel is marked, where defects were marked to learn from."""

import math

import numpy as np
import pytest

from perceive.inspection.surface_cases import CELLS, SETTINGS, bad, good
from sightline.evidence.inspection.training import _Held
from sightline.perceive.inspection import learn_inspector


@pytest.fixture(scope="module")
def learnt():
    return learn_inspector(good(24), bad(8), cells=CELLS, settings=SETTINGS)


def pixel_f1(learnt, review_from, mark_from):
    hits = marked = wanted = 0
    for held in (*learnt.held_good, *learnt.held_bad):
        odds = held.pixel_odds()
        mask = np.zeros(odds.shape, np.bool_) if held.source.mask is None else held.source.mask()
        is_marked = (odds >= mark_from) & (held.score() >= review_from)
        hits, marked = hits + (is_marked & mask).sum(), marked + is_marked.sum()
        wanted += mask.sum()
    return 2 * hits / (marked + wanted)


def test_no_other_mark_has_a_better_f1_where_accepted_pictures_are_not_marked(learnt):
    review_from = float(np.median([one.score() for one in learnt.held_bad]))
    found = pixel_f1(learnt, review_from, _Held(learnt).mark_from(review_from))
    others = [pixel_f1(learnt, review_from, mark) for mark in np.linspace(-8, 8, 65)]
    assert found > 0.3
    assert found >= max(others) - 0.01


def test_where_every_picture_is_accepted_the_mark_is_at_even_odds(learnt):
    assert _Held(learnt).mark_from(math.inf) == 0.0
