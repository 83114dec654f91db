"""One simulated satellite before the fleet detector: no labels, commands on record."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from benchmarks.fleet import (
    Channel,
    CommandRecord,
    SatelliteModel,
    SatelliteSeries,
    SatelliteWatch,
)
from benchmarks.fleet.alert_days import judged_days, trial_scene
from sightline.apps.gateway.telemetry_scene import scene_block, scene_records

SCENE = trial_scene(seed=31, satellites=1, days=1, period_s=10.0)
ANALOGUE = [channel for channel in Channel if channel is not Channel.COUNTER]


def series(day):
    block = scene_block(SCENE, satellite=0, day=day)
    return SatelliteSeries(
        time_s=(block.time_ns - SCENE.start_ns) / 1e9,
        values=np.ascontiguousarray(block.values.T),
        period_s=10.0,
    )


@cache
def commands():
    table = scene_records(SCENE).commands
    return CommandRecord(
        sent_s=(table["time_ns"].to_numpy() - SCENE.start_ns) / 1e9,
        name=table["command"].to_numpy().astype(np.str_),
    )


@cache
def history():
    return tuple(series(day) for day in range(3))


@cache
def judged(fault=""):
    today = series(3)
    values = today.values.copy()
    if fault == "missing":
        values[Channel.LINK, 5000:5100] = np.nan
    if fault == "stuck":
        values[Channel.LOAD, 5000:5100] = values[Channel.LOAD, 5000]
    if fault == "step":
        values[Channel.POINTING, 5000:] += 32.0
    watch = SatelliteWatch(days=history())
    return watch.judge(replace(today, values=values), commands())[0]


@pytest.mark.soak
@pytest.mark.parametrize("channel", ANALOGUE, ids=lambda channel: channel.name)
def test_the_next_day_is_expected_to_within_its_wander(channel):
    past = SatelliteSeries.joined(*history())
    model = SatelliteModel.learn(past, commands().until(float(past.time_s[-1])))
    left = model.residuals(series(3), commands()).values[channel]
    assert np.nanpercentile(np.abs(left), 90) < 5


@pytest.mark.parametrize(
    ("fault", "channel", "test"),
    [
        ("missing", Channel.LINK, "missing"),
        ("stuck", Channel.LOAD, "stuck"),
        ("step", Channel.POINTING, "jump_8"),
    ],
)
def test_a_fault_is_twice_as_plain_as_the_worst_of_a_healthy_day(fault, channel, test):
    healthy = np.nanmax(judged()[channel, test])
    assert np.nanmax(judged(fault)[channel, test]) > 2 * max(healthy, 1.0)


def test_a_fault_leaves_the_evidence_before_it_as_it_was():
    for key, score in judged().items():
        np.testing.assert_array_equal(judged("step")[key][:5000], score[:5000])


@pytest.mark.soak
def test_a_day_cut_short_has_the_same_evidence_so_far():
    today = series(3)
    half = SatelliteSeries(
        time_s=today.time_s[:4000],
        values=np.ascontiguousarray(today.values[:, :4000]),
        period_s=10.0,
    )
    part = SatelliteWatch(days=history()).judge(half, commands())[0]
    for key, score in judged().items():
        np.testing.assert_allclose(part[key], score[:4000], rtol=1e-9, atol=1e-9)


@pytest.mark.soak
def test_the_first_judged_day_comes_after_three_to_learn_from():
    assert [day.day for day in judged_days(SCENE, 0)] == [3]
