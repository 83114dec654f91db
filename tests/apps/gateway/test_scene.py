"""Scenes are functions of their configuration, in which each satellite and day stands alone."""

from __future__ import annotations

import dataclasses

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from sightline.apps.gateway.telemetry_scene import (
    FirmwareRelease,
    LinkConfig,
    TelemetryScene,
    scene_block,
    scene_blocks,
    scene_packets,
    scene_records,
    scene_truth,
)
from sightline.apps.gateway.telemetry_scene.channels import Nature
from sightline.apps.gateway.telemetry_scene.firmware import FirmwareEffect
from sightline.apps.gateway.telemetry_scene.orbit import Orbit
from sightline.errors import UsageError

NS = 1_000_000_000
DAY_S = 86_400
SCENE = TelemetryScene(seed=3, n_satellites=4, duration_s=2 * DAY_S, faults_per_satellite_day=2)
HEALTHY = dataclasses.replace(SCENE, faults_per_satellite_day=0, gateway_faults_per_day=0)


# --- determinism and independence -----------------------------------------------------------------


def test_equal_scenes_give_equal_samples() -> None:
    again = scene_block(dataclasses.replace(SCENE), satellite=1, day=1)
    np.testing.assert_array_equal(scene_block(SCENE, satellite=1, day=1).values, again.values)


def test_another_seed_gives_other_samples() -> None:
    other = scene_block(dataclasses.replace(SCENE, seed=4), satellite=1, day=1)
    assert (scene_block(SCENE, satellite=1, day=1).values != other.values).mean() > 0.5


def test_a_satellite_is_the_same_in_a_larger_fleet() -> None:
    larger = dataclasses.replace(SCENE, n_satellites=400)
    small = scene_block(SCENE, satellite=2, day=0)
    np.testing.assert_array_equal(scene_block(larger, satellite=2, day=0).values, small.values)


def test_a_longer_scene_begins_with_the_samples_of_a_shorter_one() -> None:
    short = scene_block(dataclasses.replace(HEALTHY, duration_s=5000), satellite=0, day=0).values
    assert short.shape == (500, 8)
    long = scene_block(dataclasses.replace(HEALTHY, duration_s=9 * DAY_S), satellite=0, day=0)
    np.testing.assert_array_equal(long.values[:500], short)


def test_more_channels_leave_the_first_ones_as_they_were() -> None:
    wide = dataclasses.replace(HEALTHY, n_channels=50)
    values = scene_block(wide, satellite=0, day=0).values
    assert values.shape == (8640, 50)
    np.testing.assert_array_equal(values[:, :8], scene_block(HEALTHY, satellite=0, day=0).values)


def test_blocks_streamed_are_blocks_asked_for() -> None:
    for block in scene_blocks(SCENE):
        alone = scene_block(SCENE, satellite=block.satellite, day=block.day)
        np.testing.assert_array_equal(block.values, alone.values)
        np.testing.assert_array_equal(block.time_ns, alone.time_ns)


def test_nothing_jumps_at_midnight() -> None:
    """Shapes, wander and ageing go on from one block to the next."""
    models = HEALTHY.channels
    days = [scene_block(HEALTHY, satellite=0, day=d, with_expected=True).expected for d in (0, 1)]
    assert days[0] is not None
    assert days[1] is not None
    for k, model in enumerate(models):
        # The counter is scrubbed at midnight.
        if model.nature is not Nature.COUNTER:
            steps = np.abs(np.diff(days[0][:, k]))
            jump = abs(days[1][0, k] - days[0][-1, k])
            assert jump <= np.quantile(steps, 0.999) + 0.1 * model.noise_sd, model.name


# --- nature ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("satellite", range(8))
def test_orbits_take_94_to_97_minutes_of_which_36_are_dark_at_most(satellite: int) -> None:
    orbit = Orbit.draw(0, satellite)
    entry_s, exit_s = orbit.eclipses_s(0, 100 * DAY_S)
    assert 94 * 60 < orbit.period_s < 97 * 60
    assert (exit_s - entry_s).max() < 36 * 60


def test_some_satellites_have_seasons_without_eclipse() -> None:
    orbits = [Orbit.draw(0, satellite) for satellite in range(20)]
    revolutions = [100 * DAY_S / orbit.period_s for orbit in orbits]
    eclipses = [len(orbit.eclipses_s(0, 100 * DAY_S)[0]) for orbit in orbits]
    shares = [count / most for count, most in zip(eclipses, revolutions, strict=True)]
    assert min(shares) < 0.9
    assert max(shares) > 0.99


def test_values_are_whole_steps_within_the_converters_range() -> None:
    values = scene_block(HEALTHY, satellite=0, day=0).values
    for k, model in enumerate(HEALTHY.channels):
        steps = values[:, k] / model.quantum
        assert np.nanmax(np.abs(steps - np.rint(steps))) < 1e-6
        assert model.low <= np.nanmin(values[:, k]) <= np.nanmax(values[:, k]) <= model.high


def test_a_payload_channel_has_no_value_in_safe_mode_and_that_is_no_fault() -> None:
    scene = dataclasses.replace(HEALTHY, n_satellites=60, duration_s=7 * DAY_S)
    commands = scene_records(scene).commands
    safe = commands.filter(pl.col("command") == "mode_safe").row(0, named=True)
    satellite = int(safe["satellite"].removeprefix("sat-")) - 1
    day = (safe["time_ns"] + 10 * NS - scene.start_ns) // (DAY_S * NS)
    block = scene_block(scene, satellite=satellite, day=day)
    is_missing = np.isnan(block.values)
    assert is_missing[:, 5].any()
    assert not is_missing[:, [0, 1, 2, 3, 4, 6, 7]].any()


def test_commands_are_sent_shortly_before_the_mode_changes() -> None:
    commands = scene_records(HEALTHY, satellites=[0]).commands
    sent_ns = commands.filter(pl.col("command") == "mode_payload")["time_ns"].to_numpy()
    block = scene_block(HEALTHY, satellite=0, day=0)
    current = block.values[:, 3]
    today = sent_ns[(sent_ns > block.time_ns[3]) & (sent_ns < block.time_ns[-4])]
    at = np.searchsorted(block.time_ns, today)
    assert len(at) >= 5
    assert (current[at + 2] - current[at - 1] > 1.0).all()


# --- faults ---------------------------------------------------------------------------------------


def test_samples_differ_from_the_healthy_twin_only_within_labels() -> None:
    faults = scene_truth(SCENE).faults
    assert faults.height > 5
    names = [model.name for model in SCENE.channels]
    for block in scene_blocks(SCENE):
        twin = scene_block(HEALTHY, satellite=block.satellite, day=block.day)
        differs = (block.values != twin.values) & ~(np.isnan(block.values) & np.isnan(twin.values))
        own = faults.filter(pl.col("satellite") == SCENE.satellite_name(block.satellite))
        for fault in own.iter_rows(named=True):
            span = slice(*np.searchsorted(block.time_ns, [fault["start_ns"], fault["end_ns"]]))
            differs[span, names.index(fault["channel"])] = False
        assert not differs.any()


def test_a_disturbance_of_a_gateway_is_on_all_its_satellites_at_once() -> None:
    scene = dataclasses.replace(HEALTHY, n_satellites=9, gateway_faults_per_day=5)
    faults = scene_truth(scene).faults.filter(pl.col("subject") == "north")
    per_event = faults.group_by("start_ns", "end_ns").agg(pl.col("satellite").sort())
    assert per_event.height == 2
    assert per_event["satellite"].to_list() == [["sat-00001", "sat-00004", "sat-00007"]] * 2


def test_steps_stay_far_below_the_swing_of_a_healthy_day() -> None:
    """So no level tells them from health: the largest is below two thirds of the smallest swing."""
    values = scene_block(HEALTHY, satellite=0, day=0).values
    for k, model in enumerate(HEALTHY.channels):
        if model.nature is not Nature.COUNTER:
            low, high = np.nanquantile(values[:, k], [0.001, 0.999])
            assert 12 * model.noise_sd < 0.6 * (high - low), model.name


# --- packets --------------------------------------------------------------------------------------


def test_a_perfect_link_delivers_the_block() -> None:
    scene = dataclasses.replace(SCENE, link=LinkConfig.perfect(), outages_per_gateway_day=0)
    telemetry = scene_packets(scene, satellite=1, day=0).telemetry
    block = scene_block(scene, satellite=1, day=0)
    names = [model.name for model in scene.channels]
    np.testing.assert_array_equal(telemetry["time_ns"].to_numpy(), block.time_ns)
    np.testing.assert_allclose(telemetry.select(names).to_numpy(), block.values, atol=1e-8)


def test_every_lost_packet_is_labelled_and_no_other() -> None:
    packets = scene_packets(
        dataclasses.replace(SCENE, outages_per_gateway_day=0), satellite=0, day=0
    )
    arrived = set(packets.telemetry["sequence"].to_list())
    lost = packets.impairments.filter(pl.col("kind") == "lost")["sequence"].to_list()
    assert lost
    assert arrived | set(lost) == set(range(8640))
    assert not arrived & set(lost)


def test_nothing_is_sent_in_an_outage_and_the_counter_stands_still() -> None:
    scene = dataclasses.replace(SCENE, link=LinkConfig.perfect(), outages_per_gateway_day=20)
    outages = scene_truth(scene).outages.filter(pl.col("gateway") == "north")
    rows = pl.concat([scene_packets(scene, satellite=0, day=d).telemetry for d in (0, 1)])
    assert outages.height == 2
    for outage in outages.iter_rows(named=True):
        inside = (pl.col("time_ns") >= outage["start_ns"]) & (pl.col("time_ns") < outage["end_ns"])
        assert rows.filter(inside).is_empty()
    assert rows["sequence"].to_list() == list(range(rows.height))


# --- firmware -------------------------------------------------------------------------------------


def test_releases_are_on_record_and_what_they_break_is_not() -> None:
    effects = (
        FirmwareEffect(channel="current_a", offset=0.1),
        FirmwareEffect(channel="snr_db", noise_growth_per_day=0.05),
    )
    release = FirmwareRelease(version="2.0", at_day=1.0, rollout_days=0.5, effects=effects)
    scene = dataclasses.replace(HEALTHY, releases=(release,))
    records, truth = scene_records(scene), scene_truth(scene)
    assert records.updates["satellite"].n_unique() == 4
    assert records.declared["channel"].to_list() == ["current_a"]
    assert truth.degradations.select("version", "channel", "kind").rows() == [
        ("2.0", "snr_db", "noise_growth")
    ]


def test_a_declared_offset_begins_with_the_update() -> None:
    release = FirmwareRelease(
        version="2.0",
        at_day=0.5,
        rollout_days=0.0,
        effects=(FirmwareEffect(channel="current_a", offset=0.5),),
    )
    without, with_it = (
        scene_block(dataclasses.replace(HEALTHY, releases=r), satellite=0, day=0)
        for r in ("none", (release,))
    )
    shift = (with_it.values - without.values)[:, 3]
    is_after = without.time_ns >= HEALTHY.start_ns + DAY_S * NS // 2
    np.testing.assert_allclose(shift, np.where(is_after, 0.5, 0.0), atol=1e-9)


def test_a_drawn_release_breaks_a_channel_now_and_then() -> None:
    scene = TelemetryScene(seed=1, duration_s=400 * DAY_S)
    degradations = scene_truth(dataclasses.replace(scene, n_satellites=1), satellites=[])
    assert 4 <= degradations.degradations.height < len(scene.firmware)


# --- what cannot be ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"n_satellites": 0},
        {"period_s": 7.1},
        {"duration_s": 10.0},
        {"gateways": ()},
        {"n_channels": 0},
        {"faults_per_satellite_day": -1.0},
        {
            "releases": (
                FirmwareRelease(version="2", at_day=0, effects=(FirmwareEffect(channel="x"),)),
            )
        },
    ],
)
def test_a_scene_that_cannot_be_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        dataclasses.replace(SCENE, **change)


def test_a_satellite_that_does_not_fly_is_refused() -> None:
    with pytest.raises(UsageError):
        scene_block(SCENE, satellite=4, day=0)


def test_records_of_some_satellites_are_those_of_all_cut_down() -> None:
    every = scene_records(SCENE).commands
    assert_frame_equal(
        scene_records(SCENE, satellites=[2]).commands,
        every.filter(pl.col("satellite") == "sat-00003"),
    )
