"""Probability of detection: truth is found, bounds hold, what cannot be said is refused."""

import math

import numpy as np
import pytest
from scipy.stats import norm

from sightline.errors import UsageError
from sightline.evidence.detection_probability import (
    draw_detection,
    false_calls,
    fit_hit_miss,
    fit_signal,
)

SLOPE = 3.5
A90 = math.exp(math.log(9) / SLOPE)


def hit_miss(seed, *, flaws=60, least=0.3, greatest=5.0):
    random = np.random.default_rng(seed)
    size = np.exp(random.uniform(math.log(least), math.log(greatest), flaws))
    return size, random.random(flaws) < 1 / (1 + np.exp(-SLOPE * np.log(size)))


def signals(seed, *, flaws=60, scatter=0.4):
    random = np.random.default_rng(seed)
    size = np.exp(random.uniform(math.log(0.3), math.log(5.0), flaws))
    return size, np.exp(0.3 + 1.2 * np.log(size) + scatter * random.normal(size=flaws))


def test_many_flaws_give_the_true_a90():
    found = fit_hit_miss(*hit_miss(0, flaws=20_000), points=2)
    assert found.a90 == pytest.approx(A90, rel=0.03)
    assert found.a50 == pytest.approx(1.0, rel=0.03)


def test_the_fit_is_where_the_likelihood_is_greatest():
    size, is_hit = hit_miss(1)
    found = fit_hit_miss(size, is_hit, points=2)

    def likelihood(centre, slope):
        odds = slope * (np.log(size) - centre)
        return (is_hit * odds - np.logaddexp(0, odds)).sum()

    best = likelihood(found.centre, found.slope)
    for centre, slope in ((1e-3, 0), (-1e-3, 0), (0, 1e-2), (0, -1e-2)):
        assert likelihood(found.centre + centre, found.slope + slope) < best


def test_the_bound_of_hit_miss_covers_at_60_flaws():
    covered = tried = 0
    for seed in range(250):
        try:
            found = fit_hit_miss(*hit_miss(seed), points=2)
        except UsageError:  # no overlap: refused, and no bound is given
            continue
        tried += 1
        covered += found.a90_95 is None or found.a90_95 >= A90
    assert tried > 240
    assert covered / tried >= 0.92


def test_the_bound_of_signals_covers_at_60_flaws():
    true = math.exp(norm.ppf(0.9) * 0.4 / 1.2)
    found = [fit_signal(*signals(seed), threshold=math.exp(0.3)) for seed in range(200)]
    covered = sum(one.a90_95 is not None and one.a90_95 >= true for one in found)
    assert covered / len(found) >= 0.91


def test_many_signals_give_the_true_a90():
    found = fit_signal(*signals(0, flaws=20_000), threshold=math.exp(0.3))
    assert found.a90 == pytest.approx(math.exp(norm.ppf(0.9) * 0.4 / 1.2), rel=0.02)


def test_the_bound_lies_beyond_a90_and_below_the_curve():
    found = fit_hit_miss(*hit_miss(2), points=8)
    assert found.a90_95 > found.a90
    assert (found.curve[:, 2] <= found.curve[:, 1]).all()


def test_the_curve_has_its_bound_at_a90_95():
    size, is_hit = hit_miss(2)
    found = fit_hit_miss(size, is_hit, points=200)
    at = np.interp(found.a90_95, found.curve[:, 0], found.curve[:, 2])
    assert at == pytest.approx(0.9, abs=0.005)


def test_a_line_that_does_not_fit_is_told():
    size, signal = signals(0, flaws=200, scatter=0.1)
    bent = signal * np.exp(0.5 * np.log(size) ** 2)
    found = fit_signal(size, bent, threshold=math.exp(0.6))
    assert any("lack of fit" in note for note in found.notes)


def test_few_flaws_are_told():
    assert "asks for at least 60" in fit_hit_miss(*hit_miss(3, flaws=40), points=2).notes[0]


@pytest.mark.parametrize(
    ("size", "is_hit", "message"),
    [
        (*hit_miss(0, flaws=19), "at least 20 flaws"),
        (np.arange(1.0, 31), np.ones(30, np.bool_), "all found"),
        (np.arange(1.0, 31), np.zeros(30, np.bool_), "all missed"),
        (np.arange(1.0, 31), np.arange(30) > 14, "sizes at which some"),
        (np.arange(1.0, 31), (np.arange(30) < 14) | (np.arange(30) == 20), "larger flaws found"),
        (*hit_miss(0, greatest=1.4), "sizes that bracket a90"),
        (np.zeros(30), np.arange(30) % 2 == 0, "sizes above 0"),
    ],
)
def test_what_cannot_be_said_is_refused(size, is_hit, message):
    with pytest.raises(UsageError, match=message):
        fit_hit_miss(size, is_hit, points=2)


def test_signals_that_do_not_bracket_a90_are_refused():
    with pytest.raises(UsageError, match="sizes that bracket a90"):
        fit_signal(*signals(0), threshold=1000.0)


def test_false_calls_have_exact_bounds():
    found = false_calls(3, 100)
    assert (found.low, found.high) == (
        pytest.approx(0.00623, abs=1e-5),
        pytest.approx(0.08518, abs=1e-5),
    )


def test_no_opportunities_bound_nothing():
    found = false_calls(0, 0)
    assert (found.low, found.high) == (0.0, 1.0)


def test_the_drawing_tells_a90():
    size, is_hit = hit_miss(2)
    found = fit_hit_miss(size, is_hit, points=8)
    drawn = draw_detection(found, size, is_hit, unit="mm")
    assert f"a90 {found.a90:.3g} mm" in drawn
    assert drawn.count("<circle") == 60
