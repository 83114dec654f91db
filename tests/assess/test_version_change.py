"""A version that changes a channel is told from seasons, ageing, outages and chance."""

import math

import numpy as np
import pytest
from scipy import stats

from sightline.assess.version_change import (
    BETS,
    UpdateDay,
    changes,
    comparable,
    effect,
    log_evidence,
    risk_sets,
    together,
)

LENGTHS = (3, 9)
DAYS = 50
COMMON = 3 * np.sin(2 * np.pi * np.arange(DAYS) / 50)


def fleet(seed, *, subjects=30, share=0.6, rollout=(18, 35), step=0.0, own=1.0, ageing=0.0):
    """Daily values with a season common to all, one of their own, and days that hang together."""
    rng = np.random.default_rng(seed)
    day = np.arange(DAYS)
    phase = rng.uniform(0, 2 * np.pi, (subjects, 1))
    rate = ageing * rng.uniform(0.5, 1.5, (subjects, 1))
    noise = rng.normal(0, 0.3, (subjects, DAYS))
    for k in range(1, DAYS):
        noise[:, k] += 0.6 * noise[:, k - 1]
    daily = 20 + COMMON + own * np.sin(2 * np.pi * day / 64 + phase) + rate * day + noise
    updated = np.where(rng.random(subjects) < share, rng.integers(*rollout, subjects), DAYS)
    after = day > updated[:, None]
    return daily + step * after, (day >= updated[:, None]).astype(np.int64)


def update_days(daily, version, length):
    """(last day, what changed) of each day on which the version went out."""
    for end in range(3 * length + 1, DAYS + 1):
        begin = end - 3 * length - 1
        for found in risk_sets(version[:, begin:end], days=length, known_from=1):
            around = comparable(daily[found.has, begin:end, None], version[found.has, begin:end])
            yield (
                end,
                UpdateDay(
                    change=changes(around, days=length),
                    share=found.share[found.has],
                    is_updated=found.is_updated[found.has],
                ),
            )


def told_on(daily, version, *, probability):
    """The first day on which somebody who looks daily tells of it; None if never."""
    first = []
    for length in LENGTHS:
        total = np.zeros((BETS, 1))
        for end, day in update_days(daily, version, length):
            total += log_evidence(day)
            if together(total)[0] >= math.log(len(LENGTHS) / probability):
                first.append(end)
                break
    return min(first, default=None)


@pytest.mark.parametrize(
    "shape",
    [{}, {"share": 0.95}, {"subjects": 8}, {"rollout": (20, 22)}, {"ageing": 0.3}, {"own": 4.0}],
    ids=str,
)
def test_a_version_that_changes_nothing_is_told_no_more_often_than_stated(shape):
    """Looked at daily over 60 fleets, at a level at which six would be told."""
    told = sum(told_on(*fleet(seed, **shape), probability=0.1) is not None for seed in range(60))
    assert told <= stats.binom.ppf(0.999, 60, 0.1)


@pytest.mark.soak
@pytest.mark.parametrize("rate", [0.01, 0.1])
def test_over_a_thousand_fleets_the_rate_is_below_the_stated_one_with_95_percent(rate):
    told = sum(
        told_on(*fleet(seed), probability=rate) is not None for seed in range(10_000, 11_000)
    )
    upper = stats.beta.ppf(0.95, told + 1, 1000 - told)
    print(f"{told} of 1,000 harmless releases told, stated {rate:g}, at most {upper:.4f} (95 %)")
    assert upper <= rate


def test_the_mean_of_the_evidence_is_at_most_one_where_nothing_changed():
    """Exactly so for one draw of three out of six: over all of them, with ties and a gap."""
    change = np.array([0.0, 1.0, 1.0, 2.0, 5.0, np.nan])[:, None, None].repeat(2, axis=1)
    masks = [np.isin(np.arange(6), (a, b, c)) for a in range(6) for b in range(a) for c in range(b)]
    each = [
        np.exp(log_evidence(UpdateDay(change=change, share=mask * 1.0, is_updated=mask)))
        for mask in masks
    ]
    assert (np.mean(each, axis=0) <= 1 + 1e-12).all()
    assert np.max(each) > 1


def test_a_step_below_the_season_is_told_within_days_of_the_first_update():
    days = [told_on(*fleet(seed, step=0.8), probability=0.01) for seed in range(20)]
    assert sum(day is not None for day in days) >= 18
    assert np.median([day for day in days if day is not None]) <= 18 + 16


def test_what_is_common_to_all_changes_no_evidence():
    daily, version = fleet(3, step=0.5)
    jumped = daily + 50.0 * (np.arange(DAYS) >= 24)
    for length in LENGTHS:
        plain = [log_evidence(day) for _, day in update_days(daily, version, length)]
        other = [log_evidence(day) for _, day in update_days(jumped, version, length)]
        assert np.allclose(plain, other)


def test_steady_ageing_at_rates_of_their_own_leaves_the_second_change_alone():
    daily = 3.0 * np.arange(28.0) * np.array([[1.0], [2.0], [-1.0]])
    found = changes(daily[:, :, None], days=9)
    assert np.allclose(found[:, 1], 0)
    assert np.allclose(found[:, 0, 0], [30, 60, -30])


def test_an_outage_on_the_day_of_an_update_is_no_change():
    """Looked at daily over 60 fleets whose channels stand anywhere on that day."""
    told = 0
    for seed in range(60):
        daily, version = fleet(seed)
        is_update = np.diff(version, axis=1, prepend=0) > 0
        told += told_on(np.where(is_update, -500.0, daily), version, probability=0.1) is not None
    assert told <= stats.binom.ppf(0.999, 60, 0.1)


def test_days_lost_while_all_follow_one_season_are_no_change():
    """Whoever is updated loses the next day too, on the steepest part of the season."""
    told = 0
    for seed in range(60):
        daily, version = fleet(seed)
        is_update = np.diff(version, axis=1, prepend=0) > 0
        is_lost = np.roll(is_update, 1, axis=1) | is_update
        told += told_on(np.where(is_lost, np.nan, daily), version, probability=0.1) is not None
    assert told <= stats.binom.ppf(0.999, 60, 0.1)


def test_nothing_can_be_told_where_all_are_updated_on_one_day():
    daily, version = fleet(5, share=1.0, rollout=(25, 26), step=30.0)
    assert not list(update_days(daily, version, 3))


def test_whoever_gets_a_third_version_meanwhile_is_not_compared():
    version = np.zeros((4, 10), np.int64)
    version[0, 6:], version[1, 6:], version[1, 8:] = 1, 1, 2
    (found,) = risk_sets(version, days=3, known_from=1)
    assert found.has.tolist() == [True, False, True, True]
    assert found.is_updated.tolist() == [True, False, False, False]


def test_whoever_is_updated_later_is_compared_until_then_with_its_share():
    version = np.zeros((3, 10), np.int64)
    version[0, 6:], version[1, 8:] = 1, 1
    (found,) = risk_sets(version, days=3, known_from=1)
    assert found.share.tolist() == [1.0, pytest.approx(1 / 3), 0.0]


def test_a_stretch_of_which_more_than_half_is_missing_has_no_change():
    daily = np.ones((2, 10, 1))
    daily[0, 7:9] = np.nan
    daily[1, 7] = np.nan
    found = changes(daily, days=3)
    assert np.isnan(found[0]).all()
    assert (found[1] == 0).all()


def test_the_interval_holds_the_true_step_however_often_it_was_looked_at():
    """Over 20 fleets, at a level at which two intervals would miss it."""
    missed, sizes = 0, []
    for seed in range(20):
        days = [day for _, day in update_days(*fleet(seed, step=1.0), 3)]
        found = effect(days, 0, error=0.1)
        missed += not found.low <= 1.0 <= found.high
        sizes.append(found.size)
    assert missed <= stats.binom.ppf(0.999, 20, 0.1)
    assert np.mean(sizes) == pytest.approx(1.0, abs=0.1)
