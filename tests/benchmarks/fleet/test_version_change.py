"""A version that breaks something is found over all who run it; seasons and ageing are not."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from benchmarks.fleet.version_change import (
    DeclaredChange,
    daily_level_and_spread,
    version_change,
)
from sightline.errors import UsageError

FloatArray = npt.NDArray[np.float64]
DAYS = 10


def fleet(seed: int, subjects: int = 30) -> tuple[FloatArray, npt.NDArray[np.int64]]:
    """Daily values with ageing, seasons of 64 days with phases of their own, and noise whose days
    depend on each other; and when each subject was updated."""
    rng = np.random.default_rng(seed)
    day = np.arange(45)
    phase = rng.uniform(0, 2 * np.pi, (subjects, 1))
    season = 3 * np.sin(2 * np.pi * day / 64 + phase)
    noise = rng.normal(0, 0.3, (subjects, 45))
    for k in range(1, 45):
        noise[:, k] += 0.7 * noise[:, k - 1]
    return 20 + 0.05 * day + season + noise, rng.integers(22, 28, subjects)


def after(daily: FloatArray, first_day: npt.NDArray[np.int64]) -> FloatArray:
    """Days since the update, 0 before it."""
    return np.maximum(np.arange(daily.shape[1]) - first_day[:, None], 0).astype(np.float64)


def test_false_alarms_are_as_frequent_as_stated() -> None:
    """Over 400 fleets in which nothing changed: no more than the level, but for chance."""
    alarms = sum(
        bool(version_change(*fleet(seed), days=DAYS, false_alarm_probability=0.05))
        for seed in range(400)
    )
    assert alarms <= stats.binom.ppf(0.999, 400, 0.05)
    assert alarms >= stats.binom.ppf(0.001, 400, 0.05)


def test_a_step_is_found_with_its_size() -> None:
    daily, first_day = fleet(0)
    daily += 5.0 * (after(daily, first_day) > 0)
    found = version_change(daily, first_day, days=DAYS, false_alarm_probability=1e-3)
    assert found
    assert found.effect == pytest.approx(5.0, abs=1.0)
    assert not found.is_ramp
    assert abs(found.onset_day - 1) <= 1


def test_a_ramp_is_found_with_its_beginning() -> None:
    daily, first_day = fleet(1)
    daily += 0.5 * after(daily, first_day)
    found = version_change(daily, first_day, days=DAYS, false_alarm_probability=1e-3)
    assert found
    assert found.is_ramp
    assert abs(found.onset_day - 1) <= 2


def test_steady_ageing_is_no_change() -> None:
    daily, first_day = fleet(2)
    aged = daily + 5.0 * np.arange(daily.shape[1])
    plain, steep = (
        version_change(x, first_day, days=DAYS, false_alarm_probability=0.01) for x in (daily, aged)
    )
    assert steep.p_value == pytest.approx(plain.p_value, rel=1e-6)


def test_a_declared_change_undone_is_no_change() -> None:
    daily, first_day = fleet(3)
    changed = np.where(after(daily, first_day) > 0, daily * 1.5 + 4.0, daily)
    undone = np.where(
        after(daily, first_day) > 0,
        DeclaredChange(gain=1.5, offset=4.0).level_as_before(changed),
        changed,
    )
    assert version_change(changed, first_day, days=DAYS, false_alarm_probability=1e-3)
    assert not version_change(undone, first_day, days=DAYS, false_alarm_probability=1e-3)


def test_half_of_the_satellites_mad_do_not_make_a_change() -> None:
    daily, first_day = fleet(4)
    rng = np.random.default_rng(4)
    daily[::2, 30:] += rng.choice([-50.0, 50.0], (15, 1))
    assert not version_change(daily, first_day, days=DAYS, false_alarm_probability=1e-3)


def test_five_subjects_are_no_evidence() -> None:
    daily, first_day = fleet(5, subjects=5)
    daily += 100 * (after(daily, first_day) > 0)
    assert version_change(daily, first_day, days=DAYS, false_alarm_probability=0.05).p_value == 1


def test_subjects_without_days_enough_are_left_out() -> None:
    daily, first_day = fleet(6)
    daily[:4, 26:] = np.nan
    found = version_change(daily, first_day, days=DAYS, false_alarm_probability=0.05)
    assert found.subjects == 26


def test_the_spread_sees_noise_and_no_orbit_and_no_jump() -> None:
    t = np.arange(8640) * 10.0
    noise = np.random.default_rng(0).normal(0, 0.5, len(t))
    x = 100 * np.sin(2 * np.pi * t / 5700) + 40 * (t % 20_000 > 10_000) + noise
    _, spread = daily_level_and_spread(x[:, None])
    assert spread[0] == pytest.approx(0.5, rel=0.03)


def test_a_coarser_step_undone_leaves_the_spread_as_it_was() -> None:
    x = np.random.default_rng(0).normal(0, 0.3, (20_000, 1))
    fine, coarse = (daily_level_and_spread(np.rint(x / q) * q)[1] for q in (0.1, 0.4))
    declared = DeclaredChange(quantum_before=0.1, quantum_after=0.4)
    assert coarse[0] > 1.05 * fine[0]
    assert declared.spread_as_before(coarse)[0] == pytest.approx(fine[0], rel=0.01)


def test_a_channel_without_values_has_no_statistic() -> None:
    level, spread = daily_level_and_spread(np.full((100, 1), np.nan))
    assert math.isnan(level[0])
    assert math.isnan(spread[0])


@pytest.mark.parametrize(
    ("days", "probability", "first"), [(2, 0.1, 30), (5, 0.0, 30), (5, 1.0, 30), (5, 0.1, 29)]
)
def test_arguments_that_do_not_fit_are_refused(days: int, probability: float, first: int) -> None:
    with pytest.raises(UsageError):
        version_change(
            np.zeros((30, 40)),
            np.zeros(first, np.int64),
            days=days,
            false_alarm_probability=probability,
        )
