"""Whether rarities are true: false alerts of healthy series, and what anomalies leave behind."""

import math

import numpy as np
import pytest
from scipy import stats

from perceive.normal.plain_calibration import level_of
from sightline.perceive.normal.calibration import (
    CUT_L1,
    CUT_L3,
    SHAPES,
    VARIANCE,
    WHOLE_L1,
    WHOLE_L3,
    CalibrationBank,
    CalibrationSettings,
    shape_table,
)

ROWS = 3600  # of the blocks whose maxima are drawn
SERIES, BLOCKS = 120, 400


def maxima_of(parent, rng, shape):
    """Maxima of ROWS independent scores, without drawing them all."""
    return parent.isf(-np.expm1(np.log(rng.random(shape)) / ROWS))


def autocorrelated(rng, shape):
    """Maxima of blocks of a log-normal score that goes on from block to block."""
    state, found = rng.normal(size=shape[0]), np.full(shape, -np.inf)
    for block in range(shape[1]):
        for step in 0.3 * rng.normal(size=(60, shape[0])):
            state = math.sqrt(1 - 0.09) * state + step
            found[:, block] = np.maximum(found[:, block], np.exp(0.5 * state))
    return found


SOURCES = {
    "exponential": lambda rng, shape: maxima_of(stats.expon(), rng, shape),
    "gamma": lambda rng, shape: maxima_of(stats.gamma(2.0), rng, shape),
    "lognormal": lambda rng, shape: maxima_of(stats.lognorm(0.5), rng, shape),
    "heavy": lambda rng, shape: stats.genextreme.rvs(-0.2, size=shape, random_state=rng),
    "autocorrelated": autocorrelated,
}


def followed(maxima):
    series, blocks = maxima.shape
    bank = CalibrationBank(CalibrationSettings(block_rows=1), max_series=series)
    bank.grow(series)
    rarity = bank.follow(np.arange(series), np.full(series, blocks), maxima.ravel())
    return bank, rarity.reshape(series, blocks)


@pytest.mark.parametrize("drift", [0.0, 0.25])
@pytest.mark.parametrize("source", SOURCES)
def test_healthy_blocks_are_as_rare_as_they_are_called(source, drift):
    maxima = SOURCES[source](np.random.default_rng(11), (SERIES, BLOCKS))
    maxima += drift * maxima.std() * np.arange(BLOCKS) / 200
    bank, rarity = followed(maxima)
    for least, low, high in ((1.0, 0.7, 1.5), (2.0, 0.3, 2.0), (3.0, 0.0, 4.0)):
        assert low <= np.nanmean(rarity >= least) * 10**least <= high
    assert bank.is_in_doubt.mean() < 0.05


@pytest.mark.parametrize(
    ("blocks", "deviations"), [(30, 0.5), (5, 1.0), (30, 1.5), (1, 2.0), (30, 3.0), (5, 10.0)]
)
def test_an_anomaly_of_any_size_raises_levels_by_little(blocks, deviations):
    healthy = stats.gumbel_r.rvs(size=(40, 230 + blocks), random_state=np.random.default_rng(5))
    with_anomaly = healthy.copy()
    with_anomaly[:, 200 : 200 + blocks] += deviations * healthy.std()
    rise = level_of(followed(with_anomaly)[0], 2.0) - level_of(followed(healthy)[0], 2.0)
    l_scale = math.log(2)
    assert rise.mean() < 0.5 * l_scale


def test_the_fewer_the_blocks_the_less_rare_a_score_is_called():
    maxima = stats.gumbel_r.rvs(size=(100, 220), random_state=np.random.default_rng(2))
    level = [np.median(level_of(followed(maxima[:, :n])[0], 4.0)) for n in (20, 60, 220)]
    assert level[0] > level[1] > level[2] > 9.2  # 9.2 is that of the true distribution


# --- the table of shapes --------------------------------------------------------------------------


@pytest.mark.parametrize("place", [0, 2, 6])
def test_moments_of_the_table_are_those_of_cut_off_samples(place):
    rng, n = np.random.default_rng(0), 100
    share = rng.random((6000, n)) * 0.99
    ordered = np.sort(stats.genextreme.ppf(share, -SHAPES[place]), axis=1)
    i = np.arange(n)
    b0, b1 = ordered.mean(axis=1), (ordered * i).sum(axis=1) / (n * (n - 1))
    b2 = (ordered * i * (i - 1)).sum(axis=1) / (n * (n - 1) * (n - 2))
    moments = np.stack([b0, 2 * b1 - b0, 6 * b2 - 6 * b1 + b0])
    row = shape_table(2.0)[place]
    np.testing.assert_allclose(moments.mean(axis=1), row[CUT_L1 : CUT_L3 + 1], atol=0.01)
    skewness = moments[2] / moments[1]
    assert n * skewness.var() == pytest.approx(row[VARIANCE], rel=0.15)


@pytest.mark.parametrize("place", [0, 2, 6])
def test_moments_of_the_whole_are_those_of_the_distribution(place):
    n = 20000
    maxima = stats.genextreme.ppf((np.arange(n) + 0.5) / n, -SHAPES[place])
    i = np.arange(n)
    b0, b1 = maxima.mean(), (maxima * i).sum() / (n * (n - 1))
    b2 = (maxima * i * (i - 1)).sum() / (n * (n - 1) * (n - 2))
    row = shape_table(2.0)[place]
    np.testing.assert_allclose(
        [b0, 2 * b1 - b0, 6 * b2 - 6 * b1 + b0], row[WHOLE_L1 : WHOLE_L3 + 1], rtol=0.02, atol=0.01
    )
    assert row[WHOLE_L3] > row[CUT_L3]
