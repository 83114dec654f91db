"""Figures of an inspector against plain references."""

import numpy as np
import pytest

from sightline.errors import UsageError
from sightline.evidence.inspection.scores import (
    PixelCounts,
    auroc,
    average_precision,
    best_f1,
    by_part,
)
from sightline.evidence.inspection.threshold import part_scores, set_threshold

RANDOM = np.random.default_rng(3)
BAD = RANDOM.random(60) < 0.4
SCORE = np.round(RANDOM.normal(size=60) + BAD, 1)


def test_auroc_is_the_share_of_pairs_in_order():
    pairs = SCORE[BAD][:, None] - SCORE[~BAD][None]
    assert auroc(SCORE, BAD) == pytest.approx(((pairs > 0) + 0.5 * (pairs == 0)).mean())


def test_average_precision_is_that_of_the_thresholds():
    found, before = 0.0, 0.0
    for threshold in sorted(set(SCORE.tolist()), reverse=True):
        above = threshold <= SCORE
        recall, precision = (above & BAD).sum() / BAD.sum(), (above & BAD).sum() / above.sum()
        found += (recall - before) * precision
        before = recall
    assert average_precision(SCORE, BAD) == pytest.approx(found)


def test_best_f1_is_that_of_the_best_threshold():
    every = [
        2 * ((t <= SCORE) & BAD).sum() / ((t <= SCORE).sum() + BAD.sum()) for t in SCORE.tolist()
    ]
    assert best_f1(SCORE, BAD) == pytest.approx(max(every))


def test_figures_without_bad_pictures_are_unknown():
    none = np.zeros(60, np.bool_)
    assert np.isnan([auroc(SCORE, none), average_precision(SCORE, none)]).all()


def test_an_interval_draws_whole_parts():
    parts = [f"p{i // 20}" for i in range(60)]
    seen = set()

    def figure(chosen):
        counts = np.bincount(chosen // 20, minlength=3)
        seen.update((counts % 20).tolist())
        return float(len(chosen))

    found = by_part(figure, parts, seed=0, resamples=20)
    assert seen == {0}
    assert (found.low, found.value, found.high) == (60, 60, 60)


def pixel_counts():
    counts = PixelCounts()
    heat, mask = np.zeros((20, 20)), np.zeros((20, 20), np.bool_)
    mask[2:6, 2:6] = mask[10:18, 10:18] = True
    heat[2:6, 2:4], heat[10:18, 10:18], heat[0, :5] = 2.0, 3.0, 2.5
    counts.add(heat, mask)
    return counts


def test_pixel_f1_counts_pixels_at_heat_1():
    found = pixel_counts().figures(["p"], seed=0)["pixel_f1"].value
    assert found == pytest.approx(2 * 72 / (77 + 80))


def test_pro_weighs_each_area_alike():
    found = pixel_counts().figures(["p"], seed=0)["pro"].value
    false = 5 / 320
    # At no false positive the larger area is found; from 5 on half of the smaller one, too; up to
    # the whole picture its other half comes with the rest.
    grows = (0.3 - false) / (1 - false) * 0.25
    plain = 0.5 * false + 0.25 / 2 * 0 + 0.75 * (0.3 - false) + grows * (0.3 - false) / 2
    assert found == pytest.approx(plain / 0.3, abs=0.01)


def test_a_threshold_holds_its_bound_on_new_parts():
    broken = 0
    for trial in range(400):
        random = np.random.default_rng(trial)
        found = set_threshold(random.exponential(size=100), rate=0.05)
        broken += float(np.exp(-found.score)) > found.bound
    assert broken / 400 <= 0.075  # 5 % and three deviations of the count


def test_too_few_parts_do_not_hold_the_rate_and_say_so():
    found = set_threshold(np.arange(20.0), rate=0.05)
    assert not found.holds
    assert found.bound == pytest.approx(0.1391, abs=1e-4)


def test_a_rate_that_is_none_is_refused():
    with pytest.raises(UsageError, match="a rate above 0"):
        set_threshold(np.arange(20.0), rate=0.0)


def test_one_picture_rejects_a_part():
    assert part_scores([1.0, 5.0, 2.0], ["a", "a", "b"]).tolist() == [5.0, 2.0]
