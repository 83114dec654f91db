"""What is learnt of a satellite: its heater under several settings, its shadow, its counts."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from benchmarks.fleet import Channel, CommandRecord, SatelliteModel, SatelliteSeries
from benchmarks.fleet.alert_days import satellite_day, trial_scene
from benchmarks.fleet.clock import OrbitClock
from benchmarks.fleet.counting import CountRate, surprise
from benchmarks.fleet.cycles import LoadModel, ThermostatModel
from benchmarks.fleet.evidence import day_evidence
from benchmarks.fleet.moves import jumps
from benchmarks.fleet.scales import ChannelScale
from sightline.apps.gateway.telemetry_scene import scene_records
from sightline.apps.gateway.telemetry_scene.orbit import Orbit
from sightline.errors import UsageError

CLOCK = OrbitClock(period_s=5700.0, phase_rad=0.4)
TIME_S = np.arange(0.0, 3 * 86_400.0, 10.0)
SET_S = np.array([-np.inf, 1.5 * 86_400.0])
SEED = 35


def heater(cycle_s, duties=(0.4, 0.52)):
    """Fraction of the cycle and duty, the second setting from the middle on."""
    angle = CLOCK.angle_rad(TIME_S)
    phase = TIME_S / cycle_s + 0.3 + 0.35 * np.sin(angle + 1.0)
    duty = np.where(SET_S[1] > TIME_S, *duties) + 0.12 * np.cos(angle + 1.0)
    return phase % 1, duty


def amps(**settings):
    fraction, duty = heater(780.0, **settings)
    return 1.2 + 0.26 * (fraction < duty) + 0.03 * np.random.default_rng(4).standard_normal(25_920)


def load_model(since_s=SET_S, **settings):
    nominal = np.ones(len(TIME_S), np.int64)
    return LoadModel.learn(CLOCK, TIME_S, amps(**settings), nominal, since_s)


def test_each_setting_of_a_heater_has_its_own_duty():
    np.testing.assert_allclose(load_model().cycle.duty, [0.4, 0.52], atol=0.01)


def test_a_setting_hardly_seen_has_no_duty_and_no_expectation():
    model = load_model(np.array([-np.inf, TIME_S[-1] - 3000.0]), duties=(0.4, 0.4))
    expected = model.expected(CLOCK, TIME_S, np.ones(len(TIME_S), np.int64))
    assert np.isfinite(expected[TIME_S[-1] - 3001 > TIME_S]).all()
    assert np.isnan(expected[TIME_S[-1] - 2999 < TIME_S]).all()


def test_the_edges_of_a_heater_are_where_it_switches():
    fraction, duty = heater(780.0)
    switched = np.flatnonzero(np.diff(fraction < duty)) + 1
    near = load_model().near_edge(CLOCK, TIME_S, 15.0)
    assert near[switched].mean() > 0.97
    assert near.mean() < 0.12


def test_a_thermostat_is_expected_under_both_settings():
    fraction, duty = heater(840.0)
    progress = np.where(fraction < duty, fraction / duty, (fraction - duty) / (1 - duty))
    rise = (1 - np.exp(-1.6 * progress)) / (1 - np.exp(-1.6))
    warm = 18 + 4 * np.where(fraction < duty, rise, 1 - rise)
    model = ThermostatModel.learn(CLOCK, TIME_S, warm, SET_S)
    off = np.abs(model.expected(CLOCK, TIME_S) - warm)
    assert np.percentile(off, 99) < 0.16


@cache
def satellite():
    scene = trial_scene(seed=SEED, satellites=1, days=1, period_s=10.0)
    table = scene_records(scene).commands
    commands = CommandRecord(
        sent_s=(table["time_ns"].to_numpy() - scene.start_ns) / 1e9,
        name=table["command"].to_numpy().astype(np.str_),
    )
    days = tuple(satellite_day(scene, 0, day)[1] for day in range(4))
    history = SatelliteSeries.joined(*days[:3])
    model = SatelliteModel.learn(history, commands.until(float(history.time_s[-1])))
    return commands, history, days[3], model


def test_tomorrows_shadows_are_known_to_half_a_minute():
    commands, _, today, model = satellite()
    at_s, is_dark, _ = model.power.switches(today.time_s, commands)
    entry_s = at_s[1:][is_dark[1:] & ~is_dark[:-1]]
    entry_s = entry_s[entry_s > today.time_s[0]]
    true_s, _ = Orbit.draw(SEED, 0).eclipses_s(today.time_s[0] - 7200, today.time_s[-1] + 7200)
    off_s = np.abs(entry_s[:, None] - true_s).min(axis=1)
    assert len(off_s) > 10
    assert off_s.max() < 30


def at_beta(model, u, **changes):
    """The power model where u is as given."""
    beta = np.array([np.arccos(model.clock.shadow_limit / u), 0.0])
    return replace(model.power, beta=beta, **changes)


def test_near_full_sun_nothing_is_expected_of_the_battery():
    _, _, today, model = satellite()
    sure = {"information": np.diag([1e6, 1e6, 1e6])}
    assert at_beta(model, 0.7, **sure).is_sound(today.time_s)
    assert not at_beta(model, 0.97, **sure).is_sound(today.time_s)


def test_a_shadow_that_is_not_sure_is_not_sound():
    _, _, today, model = satellite()
    vague = at_beta(model, 0.7, information=np.diag([1e6, 50.0, 1e3]))
    assert not vague.is_sound(today.time_s)


def test_no_jump_of_the_days_learnt_from_is_beyond_the_usual():
    commands, history, _, model = satellite()
    recent = history.last(2 * 86_400.0)
    residuals = model.residuals(recent, commands)
    scales = {
        channel: ChannelScale.learn(channel, recent, residuals)
        for channel in Channel
        if channel is not Channel.COUNTER
    }
    found = day_evidence(model, scales, recent, commands)
    jumps = [score for (_, name), score in found.items() if name.startswith("jump_")]
    known = np.concatenate([score[np.isfinite(score)] for score in jumps])
    assert len(known) > 100_000
    assert known.max() <= 4.5 + 1e-9


def counted(per_hour, seed=1):
    values = np.zeros((8, len(TIME_S)))
    rng = np.random.default_rng(seed)
    values[Channel.COUNTER] = np.cumsum(rng.poisson(per_hour / 360, len(TIME_S)))
    return SatelliteSeries(time_s=TIME_S, values=values, period_s=10.0)


NOTHING_SENT = CommandRecord(sent_s=np.empty(0), name=np.empty(0, np.str_))


@pytest.mark.parametrize("per_hour", [0.6, 6.0])
def test_the_rate_of_a_counter_is_learnt(per_hour):
    rate = CountRate.learn(CLOCK, counted(per_hour), NOTHING_SENT)
    assert np.mean(rate.at(TIME_S)) * 3600 == pytest.approx(per_hour, rel=0.3)


def test_a_count_that_was_hardly_learnt_is_less_of_a_surprise_than_poisson_would_have_it():
    score = surprise(np.array([12.0]), np.array([2.0]))[0]
    poisson = 14.0  # -ln P(12 or more of mean 2.05)
    assert 8 < score < poisson


def test_names_of_commands_are_text():
    with pytest.raises(UsageError, match="text"):
        CommandRecord(sent_s=np.zeros(1), name=np.array(["slew"], object))


@pytest.mark.parametrize(("length", "is_jump"), [(3, False), (40, True)])
def test_three_outliers_in_a_row_are_no_jump(length, is_jump):
    left = 0.1 * np.random.default_rng(5).standard_normal(400)
    left[200 : 200 + length] += 30.0
    calm = np.zeros(400, np.bool_)
    score = jumps(Channel.POINTING, left, np.ones(400), calm, 10.0)["jump_4"]
    assert (np.nanmax(score) > 5) == is_jump


def test_a_jump_counts_for_less_where_the_model_is_unsure():
    commands, history, _, model = satellite()
    recent = history.last(2 * 86_400.0)
    residuals = model.residuals(recent, commands)
    sure, unsure = (
        ChannelScale.learn(Channel.THERMAL, recent, residuals, step).spread["jump_15"]
        for step in (0.0, 2.0)
    )
    assert unsure > sure + 1
