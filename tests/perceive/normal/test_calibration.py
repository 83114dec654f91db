"""Rarities of many series: what is learnt, what is held back, and what a state promises."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perceive.normal.plain_calibration import calibrated, level_of
from sightline.errors import LogError, UsageError
from sightline.perceive.normal.calibration import CalibrationBank, CalibrationSettings

SMALL = CalibrationSettings(
    block_rows=5, least_blocks=10, kept_blocks=16, confirm_blocks=12, doubt=3.0
)
ONE_ROW = CalibrationSettings(block_rows=1)


def scores_of(seed, blocks=60, rows=5, *, missing=0.0, shift=0.0, shifted=slice(0, 0), drift=0.0):
    rng = np.random.default_rng(seed)
    scores = rng.exponential(size=(blocks, rows)) + drift * np.arange(blocks)[:, None]
    scores[shifted] += shift
    scores[rng.random(scores.shape) < missing] = np.nan
    return scores.ravel()


def bank_of(series=1, settings=SMALL):
    bank = CalibrationBank(settings, max_series=100)
    bank.grow(series)
    return bank


def follow(bank, scores, series=0):
    return bank.follow(np.array([series]), np.array([len(scores)]), scores)


streams = st.builds(
    scores_of,
    st.integers(0, 1000),
    missing=st.sampled_from([0.0, 0.1, 0.5]),
    shift=st.sampled_from([0.0, 2.0, 8.0]),
    shifted=st.builds(slice, st.integers(0, 50), st.integers(0, 60)),
    drift=st.sampled_from([0.0, 0.05, 0.3]),
)


@given(scores=streams)
@settings(max_examples=40)
def test_the_bank_does_what_the_reference_says(scores):
    np.testing.assert_allclose(
        follow(bank_of(), scores), calibrated(scores, SMALL), rtol=1e-6, atol=1e-9
    )


def test_the_reference_and_the_bank_agree_on_a_long_stream_with_the_usual_settings():
    scores = np.random.default_rng(3).lognormal(size=600)
    scores[400:430] += 200.0
    np.testing.assert_allclose(
        follow(bank_of(settings=ONE_ROW), scores), calibrated(scores, ONE_ROW), rtol=1e-6, atol=1e-9
    )


@given(scores=streams, cuts=st.lists(st.integers(0, 300), max_size=4))
def test_a_stream_cut_anywhere_equals_the_whole(scores, cuts):
    bank = bank_of()
    parts = [follow(bank, part) for part in np.split(scores, sorted(cuts))]
    np.testing.assert_array_equal(np.concatenate(parts), follow(bank_of(), scores))


def test_row_by_row_equals_the_whole():
    scores = scores_of(1, missing=0.1, shift=5.0, shifted=slice(30, 35))
    bank = bank_of()
    found = [follow(bank, scores[i : i + 1])[0] for i in range(len(scores))]
    np.testing.assert_array_equal(found, follow(bank_of(), scores))


@given(
    seeds=st.lists(st.integers(0, 50), min_size=3, max_size=3),
    lengths=st.lists(st.integers(0, 300), min_size=3, max_size=3),
)
@settings(max_examples=25)
def test_series_do_not_know_of_each_other(seeds, lengths):
    parts = [scores_of(seed)[:n] for seed, n in zip(seeds, lengths, strict=True)]
    bank = bank_of(5)
    found = bank.follow(np.array([0, 2, 4]), np.array(lengths), np.concatenate(parts))
    alone = [follow(bank_of(), part) for part in parts]
    np.testing.assert_array_equal(found, np.concatenate(alone))
    assert bank.rows.tolist() == [lengths[0], 0, lengths[1], 0, lengths[2]]


def test_series_that_come_later_begin_later():
    bank = bank_of()
    follow(bank, scores_of(0))
    bank.grow(1)
    assert (len(bank), bank.is_known.tolist()) == (2, [True, False])
    np.testing.assert_array_equal(follow(bank, scores_of(1), 1), follow(bank_of(), scores_of(1)))


def test_nothing_is_known_until_enough_blocks_were_learnt():
    rarity = follow(bank_of(), scores_of(0, blocks=12))
    assert np.isnan(rarity[:50]).all()
    assert np.isfinite(rarity[50:]).all()


def test_a_score_that_is_missing_has_no_rarity_and_the_others_have():
    scores = scores_of(0, missing=0.2)
    rarity = follow(bank_of(), scores)
    np.testing.assert_array_equal(np.isnan(rarity[60:]), np.isnan(scores[60:]))


def test_a_block_that_is_mostly_missing_is_not_learnt():
    bank, other = bank_of(), bank_of()
    scores = scores_of(0, blocks=20)
    gappy = np.array([0.1, 0.2, np.nan, np.nan, np.nan])
    follow(bank, scores)
    follow(other, np.concatenate([scores[:60], gappy, scores[60:]]))
    assert level_of(bank, 3.0) == level_of(other, 3.0)


@given(seed=st.integers(0, 100), low=st.floats(-10, 50), step=st.floats(0, 10))
@settings(max_examples=50)
def test_a_higher_score_is_never_less_rare(seed, low, step):
    bank = bank_of()
    follow(bank, scores_of(seed, blocks=30))
    rarity = follow(bank, np.array([low, low + step]))
    assert 0 <= rarity[0] <= rarity[1]


def test_low_scores_are_not_rare_at_all():
    bank = bank_of(settings=ONE_ROW)
    rng = np.random.default_rng(0)
    follow(bank, rng.gumbel(10.0, 1.0, 200))
    assert follow(bank, np.array([0.0, -5.0, -np.inf])).tolist() == [0.0, 0.0, 0.0]


def copy_of(bank):
    found = CalibrationBank(bank.settings, max_series=100)
    found.restore(bank.snapshot())
    return found


def test_a_score_is_not_judged_by_its_own_block():
    quiet = scores_of(0, blocks=30)
    loud = quiet.copy()
    loud[104] = 1000.0
    np.testing.assert_array_equal(follow(bank_of(), loud)[:104], follow(bank_of(), quiet)[:104])


def test_a_score_that_never_moved_is_not_rare_until_it_does():
    bank = bank_of(settings=ONE_ROW)
    rarity = follow(bank, np.append(np.full(60, 5.0), 6.0))
    assert rarity[20:60].max() < 1.0
    assert rarity[60] > 6.0


# --- what is held back ----------------------------------------------------------------------------


@pytest.mark.parametrize("blocks", [1, 5, 30, 300])
def test_an_anomaly_that_is_seen_changes_no_level_however_long_it_lasts(blocks):
    bank = bank_of(settings=ONE_ROW)
    rng = np.random.default_rng(0)
    follow(bank, rng.gumbel(10.0, 1.0, 100))
    before = level_of(bank, 3.0)
    held = bank.held_blocks
    follow(bank, rng.gumbel(40.0, 1.0, blocks))
    assert level_of(bank, 3.0) == before
    assert (bank.held_blocks - held).tolist() == [blocks]


def test_an_anomaly_of_which_half_the_blocks_look_normal_is_not_learnt_by_halves():
    bank = bank_of(settings=ONE_ROW)
    rng = np.random.default_rng(0)
    follow(bank, rng.gumbel(10.0, 1.0, 200))
    before = level_of(bank, 2.0)
    mixed = rng.gumbel(10.0, 1.0, 200)
    mixed[np.arange(200) % 3 > 0] += 30.0
    follow(bank, mixed)
    assert abs(level_of(bank, 2.0) - before) < 0.1


def test_what_stays_unlike_the_past_needs_a_person():
    bank = bank_of(settings=ONE_ROW)
    rng = np.random.default_rng(0)
    follow(bank, rng.gumbel(10.0, 1.0, 100))
    follow(bank, rng.gumbel(40.0, 1.0, 20))
    assert not bank.needs_confirmation[0]
    assert bank.is_in_doubt[0]
    follow(bank, rng.gumbel(40.0, 1.0, 10))
    assert bank.needs_confirmation[0]


def test_once_accepted_it_is_normal_and_judged_at_once():
    bank = bank_of(settings=ONE_ROW)
    rng = np.random.default_rng(0)
    follow(bank, np.concatenate([rng.gumbel(10.0, 1.0, 100), rng.gumbel(40.0, 1.0, 50)]))
    assert bank.accept(np.array([0])).tolist() == [True]
    assert not bank.needs_confirmation[0]
    rarity = follow(bank, rng.gumbel(40.0, 1.0, 200))
    assert np.isfinite(rarity).all()
    assert np.mean(rarity >= 1.0) < 0.2
    assert not bank.needs_confirmation[0]


def test_what_asks_for_nothing_is_not_accepted():
    bank = bank_of(2, settings=ONE_ROW)
    follow(bank, np.random.default_rng(0).gumbel(10.0, 1.0, 100))
    before = level_of(bank, 3.0)
    assert bank.accept(np.array([0, 1])).tolist() == [False, False]
    np.testing.assert_array_equal(level_of(bank, 3.0), before)


def test_after_an_anomaly_is_over_learning_goes_on_by_itself():
    bank = bank_of(settings=ONE_ROW)
    rng = np.random.default_rng(0)
    follow(bank, np.concatenate([rng.gumbel(10.0, 1.0, 100), rng.gumbel(40.0, 1.0, 50)]))
    follow(bank, rng.gumbel(10.0, 1.0, 30))
    before = level_of(bank, 3.0)
    follow(bank, rng.gumbel(10.0, 1.0, 1))
    assert level_of(bank, 3.0) != before
    assert not bank.needs_confirmation[0]


def test_a_slow_drift_of_healthy_scores_is_followed():
    bank = bank_of(settings=ONE_ROW)
    rarity = follow(bank, np.random.default_rng(0).gumbel(0.003 * np.arange(800), 1.0))
    assert np.mean(rarity[100:] >= 1.0) < 0.2
    assert bank.drift[0] > 1.0
    assert not bank.needs_confirmation[0]


def test_a_drift_that_goes_too_far_needs_a_person_and_is_followed_no_more():
    bank = bank_of(settings=ONE_ROW)
    rng = np.random.default_rng(0)
    follow(bank, rng.gumbel(0.003 * np.arange(2000), 1.0))
    assert bank.needs_confirmation[0]
    assert 4.0 < bank.drift[0] < 4.5
    assert bank.accept(np.array([0])).tolist() == [True]
    assert not bank.needs_confirmation[0]


def test_an_infinite_score_is_as_rare_as_can_be_and_never_learnt():
    bank = bank_of(settings=ONE_ROW)
    rng = np.random.default_rng(0)
    early = rng.gumbel(10.0, 1.0, 30)
    early[5] = np.inf
    rarity = follow(bank, np.append(early, np.inf))
    assert rarity[-1] == 300.0
    assert level_of(bank, 2.0)[0] < 30.0


# --- the state ------------------------------------------------------------------------------------


def test_a_stored_state_goes_on_as_if_it_had_not_been():
    bank = bank_of(2)
    follow(bank, scores_of(0)[:137])
    again = CalibrationBank(SMALL, max_series=100)
    again.restore(bank.snapshot())
    np.testing.assert_array_equal(follow(again, scores_of(2)), follow(bank, scores_of(2)))
    again.grow(1)
    assert len(again) == 3


def test_a_snapshot_does_not_change_while_the_bank_goes_on():
    bank = bank_of()
    follow(bank, scores_of(0))
    kept = bank.snapshot()
    before = {name: array.copy() for name, array in kept.items()}
    follow(bank, scores_of(1))
    for name, array in kept.items():
        np.testing.assert_array_equal(array, before[name])


def test_series_that_are_taken_over_go_on_from_there_and_others_do_not():
    bank, other = bank_of(2), bank_of(2)
    follow(other, scores_of(0), 1)
    bank.take_over(other, np.array([1]))
    assert bank.is_known.tolist() == [False, True]
    np.testing.assert_array_equal(follow(bank, scores_of(1), 1), follow(other, scores_of(1), 1))


def test_a_state_of_other_settings_is_refused():
    with pytest.raises(UsageError, match="other settings"):
        CalibrationBank(ONE_ROW, max_series=9).restore(bank_of().snapshot())
    with pytest.raises(UsageError, match="same settings"):
        bank_of().take_over(bank_of(settings=ONE_ROW), np.array([0]))


def test_a_state_with_something_missing_is_refused():
    state = bank_of().snapshot()
    with pytest.raises(LogError, match="no 'waiting'"):
        bank_of().restore({name: a for name, a in state.items() if name != "waiting"})
    with pytest.raises(LogError):
        bank_of().restore({**state, "maxima": np.zeros((1, 3), np.float32)})


def test_more_series_than_allowed_are_refused():
    bank = CalibrationBank(SMALL, max_series=3)
    bank.grow(3)
    with pytest.raises(UsageError, match="at most 3"):
        bank.grow(1)
    small = CalibrationBank(SMALL, max_series=2)
    with pytest.raises(UsageError, match="at most 2"):
        small.restore(bank.snapshot())


@pytest.mark.parametrize(
    ("series", "lengths", "rows"),
    [([1, 0], [1, 1], 2), ([0, 0], [1, 1], 2), ([2], [1], 1), ([-1], [1], 1), ([0], [2], 1),
     ([0], [-1], 0), ([0, 1], [1], 1)],
)  # fmt: skip
def test_series_and_rows_that_do_not_fit_are_refused(series, lengths, rows):
    with pytest.raises(UsageError):
        bank_of(2).follow(np.array(series), np.array(lengths), np.zeros(rows))


@pytest.mark.parametrize(
    "wrong",
    [
        {"block_rows": 0},
        {"least_blocks": 5},
        {"kept_blocks": 10},
        {"confirm_blocks": 5},
        {"allowance": 0.4},
        {"doubt": 0.0},
        {"suspicious_rarity": 0.5},
        {"most_drift": 0.0},
        {"least_scale": float("nan")},
    ],
)
def test_settings_that_cannot_work_are_refused(wrong):
    with pytest.raises(UsageError):
        CalibrationSettings(**wrong)
