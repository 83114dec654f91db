"""Healthy satellites fly and measure as satellites in low orbit do; links are not perfect."""

from __future__ import annotations

import dataclasses

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from apps.gateway.simulated_runs import (
    FIELDS,
    NS,
    SCENE,
    contract,
    default_run,
    faultless_run,
    impaired,
    telemetry_field,
)
from sightline.apps.gateway import LinkConfig, simulate, watched_scene
from sightline.apps.gateway.telemetry_scene import scene_block
from sightline.apps.gateway.telemetry_scene.orbit import Orbit


def lateness_s(telemetry: pl.DataFrame) -> pl.DataFrame:
    """Each row with its distance behind the newest row of its satellite received before it."""
    behind = pl.col("time_ns").cum_max().over("satellite") - pl.col("time_ns")
    return telemetry.with_columns(lateness_s=behind / NS)


# --- telemetry of healthy satellites --------------------------------------------------------------


def test_rows_are_in_order_of_receipt() -> None:
    assert default_run().telemetry["received_ns"].is_sorted()


def test_no_row_is_received_before_it_was_measured() -> None:
    assert default_run().telemetry.select((pl.col("received_ns") > pl.col("time_ns")).all()).item()


def test_a_perfect_link_delivers_every_sample_once_and_in_order() -> None:
    scene = watched_scene(duration_s=300, link=LinkConfig.perfect())
    rows = simulate(dataclasses.replace(scene, scheduled_faults=())).telemetry
    gaps = rows.sort("satellite", "sequence").group_by("satellite", maintain_order=True)
    gaps = gaps.agg(pl.len(), span=pl.col("sequence").max() - pl.col("sequence").min())
    assert gaps["len"].to_list() == [300] * 24
    assert gaps["span"].to_list() == [299] * 24


def test_every_region_has_several_satellites() -> None:
    counts = default_run().telemetry.group_by("region").agg(pl.col("satellite").n_unique())
    assert dict(counts.iter_rows()) == {"north": 8, "south": 8, "equator": 8}


@pytest.mark.parametrize("field", FIELDS)
def test_fields_stay_in_the_range_of_the_contract(field: str) -> None:
    low, high = telemetry_field(field).range
    valid = default_run().telemetry[field].drop_nans()
    assert valid.is_between(low, high).all()


@pytest.mark.parametrize("field", FIELDS)
def test_healthy_fields_change_no_faster_than_the_contract_allows(field: str) -> None:
    most = telemetry_field(field).plausibility.max_rate_per_s
    rows = faultless_run().telemetry.unique(["satellite", "time_ns"]).sort("satellite", "time_ns")
    change = pl.col(field).diff().abs() / (pl.col("time_ns").diff() / NS)
    assert rows.select(change.over("satellite").max()).item() < most


def test_signal_to_noise_rises_and_falls_with_the_passes() -> None:
    scene = dataclasses.replace(SCENE, n_satellites=1, scheduled_faults=(), duration_s=5700)
    values = scene_block(scene, satellite=0, day=0, with_expected=True).expected
    assert values is not None
    snr_db = values[:, 4]
    above = snr_db > np.median(snr_db)
    # Twelve stations in one orbit, each with one rise and one fall.
    assert 20 <= np.count_nonzero(above[1:] != above[:-1]) <= 28


def test_temperature_repeats_after_one_orbit() -> None:
    scene = dataclasses.replace(SCENE, scheduled_faults=(), duration_s=12_000, period_s=10.0)
    values = scene_block(scene, satellite=1, day=0).values[:, 1]
    orbit = round(Orbit.draw(scene.seed, 1).period_s / 10)
    assert np.ptp(values) > 10
    assert np.abs(values[orbit:] - values[:-orbit]).max() < 1.5


def test_a_satellite_is_always_above_the_horizon_of_its_station() -> None:
    elapsed_s = np.arange(0, 86_400, 5.0)
    for satellite in range(50):
        orbit = Orbit.draw(3, satellite)
        altitudes, sine = orbit.pass_geometry(elapsed_s)
        range_m = altitudes * orbit.altitude_m
        assert np.degrees(np.arcsin(sine.min())) > 5
        assert 480e3 <= range_m.min() < range_m.max() < 2.3e6


def test_a_handover_changes_the_serving_station_to_the_one_that_logs_it() -> None:
    orbit = Orbit.draw(3, 0)
    times_s, stations = orbit.handovers(orbit.period_s)
    assert len(stations) == 12
    before, after = orbit.station(times_s - 0.01), orbit.station(times_s + 0.01)
    assert ((before + 1) % 12).tolist() == after.tolist() == stations.tolist()


def test_the_battery_falls_in_shadow_and_temperature_with_it() -> None:
    scene = dataclasses.replace(SCENE, scheduled_faults=(), duration_s=5700, period_s=10.0)
    values = scene_block(scene, satellite=2, day=0).values
    voltage_falls, temperature_falls = (
        (pl.Series(values[:, k]).rolling_mean(31).diff().drop_nulls() < 0) for k in (0, 1)
    )
    assert 0.25 < temperature_falls.mean() < 0.5
    assert (voltage_falls == temperature_falls).mean() > 0.8


# --- everyday imperfections -----------------------------------------------------------------------


def test_sequence_gaps_are_exactly_the_lost_packets() -> None:
    counted = default_run().telemetry.group_by("satellite").agg("sequence")
    missing = {
        (satellite, gap)
        for satellite, numbers in counted.iter_rows()
        for gap in np.setdiff1d(np.arange(min(numbers), max(numbers) + 1), numbers).tolist()
    }
    lost = set(impaired("lost").select("satellite", "sequence").iter_rows())
    ends = counted.select(
        "satellite",
        first=pl.col("sequence").list.min(),
        last=pl.col("sequence").list.max(),
    )
    inner = {
        (satellite, number)
        for satellite, number, first, last in impaired("lost")
        .select("satellite", "sequence")
        .join(ends, on="satellite")
        .iter_rows()
        if first < number < last
    }
    assert len(inner) > len(lost) - 5
    assert missing == inner


def test_rows_that_come_twice_are_exactly_the_labelled_duplicates() -> None:
    rows = default_run().telemetry
    twice = rows.group_by("satellite", "sequence").len().filter(pl.col("len") > 1)
    labelled = impaired("duplicated").select("satellite", "sequence")
    assert twice["len"].unique().to_list() == [2]
    assert_frame_equal(twice.select("satellite", "sequence"), labelled, check_row_order=False)


def test_a_duplicate_has_the_same_content() -> None:
    rows = default_run().telemetry.join(impaired("duplicated"), on=["satellite", "sequence"])
    contents = rows.unique(["satellite", "sequence", "time_ns", *FIELDS])
    assert contents.height == rows.height // 2


def test_a_late_row_is_late_by_what_its_label_says() -> None:
    rows = lateness_s(default_run().telemetry).join(impaired("late"), on=["satellite", "sequence"])
    assert rows.height > 30
    # Some of its lateness is lost again to the delay of the rows it is compared with.
    assert rows.select((pl.col("lateness_s") - pl.col("delay_s")).is_between(-40, 3).all()).item()
    typical = rows.select((pl.col("lateness_s") - pl.col("delay_s")).median()).item()
    assert -1.5 < typical < 0.5


def test_a_late_row_is_behind_the_watermark_and_within_the_allowance() -> None:
    bounds = contract("telemetry").timing
    rows = lateness_s(default_run().telemetry).join(impaired("late"), on=["satellite", "sequence"])
    low = bounds.out_of_order_s
    high = low + bounds.revision_allowance_s
    assert rows["lateness_s"].is_between(low, high, closed="none").mean() == 1.0


def test_a_row_late_beyond_the_allowance_is_late_beyond_it() -> None:
    bounds = contract("telemetry").timing
    rows = lateness_s(default_run().telemetry).join(
        impaired("late_beyond_allowance"), on=["satellite", "sequence"]
    )
    assert rows.height == LinkConfig().beyond_rows * SCENE.n_satellites
    assert rows["lateness_s"].min() > bounds.out_of_order_s + bounds.revision_allowance_s


def test_all_other_rows_are_on_time_backlog_included() -> None:
    late = pl.concat([impaired("late"), impaired("late_beyond_allowance")])
    rows = lateness_s(default_run().telemetry).join(late, on=["satellite", "sequence"], how="anti")
    assert rows["lateness_s"].max() <= contract("telemetry").timing.out_of_order_s


def test_losses_come_in_bursts_too() -> None:
    link = dataclasses.replace(LinkConfig.perfect(), bursts_per_h=6)
    scene = dataclasses.replace(SCENE, scheduled_faults=(), link=link)
    lost = simulate(scene).impairments.filter(kind="lost").sort("satellite", "sequence")
    follows = (pl.col("sequence").diff() == 1).over("satellite").fill_null(value=False)
    assert lost.height > 50
    assert lost.select(follows.mean()).item() > 0.6
