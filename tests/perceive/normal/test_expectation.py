"""What a channel should read is learnt from its own past, and says where it does not hold."""

import re
from pathlib import Path

import numpy as np
import pytest

from sightline.perceive.normal.counters import learnt_counters
from sightline.perceive.normal.expectation import CommandTimes
from sightline.perceive.normal.expectation_learning import Past, common_periods, learn
from sightline.perceive.normal.innovations import (
    LAGS,
    lag_means,
    own_autoregression,
    squares_along,
    step_trace,
)
from sightline.perceive.normal.residual_tests import (
    equal_run,
    missing_run,
    residual_tests,
    statistics,
)

STEP_S = 60.0
PER_DAY = 1440
ROOT = Path(__file__).parents[3]


def world(days, *, seed=0, on=True):
    """Sun by phase, a load by command, a temperature that follows both; noise of .02."""
    rng = np.random.default_rng(seed)
    n = days * PER_DAY
    t = np.arange(n) * STEP_S
    sun = ((t / 5400) % 1 < 0.62).astype(float)
    at = np.cumsum(rng.uniform(6000, 20000, n // 150))
    at = at[at < t[-1] - 4000]
    commands = CommandTimes(
        time_s=np.sort(np.concatenate([at, at + 1800])),
        name=np.tile(["on", "off"], len(at)),
        value=np.full(2 * len(at), np.nan),
    )
    load = np.zeros(n)
    for a in at:
        load[int(np.ceil(a / STEP_S)) : int(np.ceil((a + 1800) / STEP_S))] = 1.0
    hidden = np.cumsum(rng.standard_normal(n)) * 0.02
    a = sun + hidden
    b = np.zeros(n)
    for i in range(1, n):
        b[i] = b[i - 1] + 0.1 * (sun[i] + 0.5 * load[i] - b[i - 1])
    values = np.stack([a, 2 * load, b, -hidden], axis=1) + 0.02 * rng.standard_normal((n, 4))
    return t, values, commands if on else CommandTimes.none()


def past_of(t, values, commands, days):
    rows = [slice(k * PER_DAY, (k + 1) * PER_DAY) for k in range(days)]
    return Past(
        time_s=[t[r] for r in rows],
        values=[values[r] for r in rows],
        is_healthy=[np.isfinite(values[r]) for r in rows],
        begins=[0] * days,
        commands=commands.until(days * 86_400.0),
    )


def left_of(learnt, t, values, commands):
    expected, _, _ = learnt.expect(t[3 * PER_DAY :], values[3 * PER_DAY :], commands)
    return 1.4826 * np.median(np.abs(values[3 * PER_DAY :] - expected)[:, 360:], axis=1)


def test_periods_commands_and_peers_explain_a_satellite_down_to_its_noise():
    t, values, commands = world(5)
    alone, peers = left_of(learn(past_of(t, values, commands, 4)), t, values, commands)
    assert alone[1] < 0.03  # the load, by its commands
    assert alone[2] < 0.05  # the temperature, by phase and what commands did before
    assert peers[0] < 0.1 < alone[0]  # what wanders in two channels, by each other


def test_without_commands_a_channel_is_still_explained_by_its_peers():
    t, values, commands = world(5, on=False)
    alone, peers = left_of(learn(past_of(t, values, commands, 4)), t, values, commands)
    assert peers[2] < 0.8 * alone[2]


def test_an_outlier_in_fifty_does_not_move_what_is_expected():
    t, values, commands = world(5)
    spoilt = values.copy()
    spoilt[::50] += 20
    left = left_of(learn(past_of(t, spoilt, commands, 4)), t, values, commands)
    assert left[0, 1] < 0.05


def test_noise_has_no_period():
    rng = np.random.default_rng(0)
    assert common_periods(rng.standard_normal((3000, 4)), 60.0) == ()


def test_a_channel_that_never_moved_is_called_constant():
    t, values, commands = world(4)
    values[:, 3] = 7.0
    learnt = learn(past_of(t, values, commands, 3))
    assert learnt.is_constant.tolist() == [False, False, False, True]


def test_gaps_are_no_values():
    t, values, commands = world(5)
    values[np.random.default_rng(1).random(values.shape) < 0.3] = np.nan
    learnt = learn(past_of(t, values, commands, 4))
    expected, _, _ = learnt.expect(t[-PER_DAY:], values[-PER_DAY:], commands)
    assert np.isfinite(expected).all()


@pytest.mark.parametrize(
    ("name", "moved"),
    [("step", lambda n: np.full(n, 4.0)), ("swing", lambda n: 6 * np.sin(np.arange(n) / 2))],
)
def test_what_happens_shows_in_the_test_for_it(name, moved):
    rng = np.random.default_rng(0)
    left = rng.standard_normal((2000, 1))
    left[1500:, 0] += moved(500)
    white = np.zeros((LAGS, 1))
    shown = []
    for test, found in statistics(left, left, white, residual_tests(60.0), share=np.ones(1)):
        if test.name == name:
            shown.append(np.nanmax(found[1500:1600]) / np.nanmax(found[:1500]))
    assert max(shown) > 2


def test_a_small_step_under_a_swing_that_nothing_tells_shows_in_what_is_new():
    rng = np.random.default_rng(0)
    n = 6000
    saw = np.abs(np.arange(n) % 55 - 27.0) / 4 + 0.3 * rng.standard_normal(n)
    saw[5000:] += 1.2  # four sizes of noise, half of the swing's
    left = saw[:, None] - saw.mean()
    weights = own_autoregression(lag_means(left[:4000]), left[:4000])
    new = left - np.einsum("nlc,lc->nc", lag_means(left), weights)
    new /= new[300:4000].std()
    found = squares_along(new, step_trace(weights, 4))
    assert np.nanmax(found[5000:5010]) > 1.4 * np.nanmax(found[300:4990])


def test_a_counter_that_begins_anew_is_no_gain_and_is_known():
    rng = np.random.default_rng(0)
    counted = np.cumsum(rng.poisson(5, 600)).astype(float)[:, None]
    counters = learnt_counters(counted)
    counted[400:] -= counted[400]
    assert np.flatnonzero(counters.resets(counted)[:, 0]).tolist() == [400]
    assert np.isnan(counters.rates(counted)[400, 0])
    assert np.nanmin(counters.rates(counted)) >= 0


def test_a_cycle_that_nothing_keeps_in_step_is_no_period():
    rng = np.random.default_rng(3)
    turn = np.cumsum(1 + 1.0 * rng.standard_normal(4000)) / 55.0
    assert common_periods(np.sin(2 * np.pi * turn)[:, None], 60.0) == ()


def test_runs_of_equal_and_of_missing_values_are_counted_as_they_grow():
    values = np.array([[1.0], [1.0], [1.0], [np.nan], [np.nan], [2.0]])
    assert equal_run(values).ravel().tolist() == [1, 2, 3, 3, 3, 1]
    heard = np.array([True, True, True, True, False, True])
    assert missing_run(values, heard).ravel().tolist() == [0, 0, 0, 1, 1, 0]


def test_nothing_of_a_simulator_or_a_data_set_is_known_to_what_learns():
    names = re.compile(
        r"voltage|wheel|eclipse|payload|heater|battery|snr|momentum|mode_|smap|telemanom", re.I
    )
    for path in sorted((ROOT / "src/sightline/perceive/normal").glob("*.py")):
        found = names.findall(path.read_text(encoding="utf-8"))
        assert not found, f"{path.name}: {found}"
