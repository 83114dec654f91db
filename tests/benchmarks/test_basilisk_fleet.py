"""A fleet that Basilisk flies: what is ours of it, and that it names what is missing."""

import importlib.util
import itertools

import numpy as np
import polars as pl
import pytest

from benchmarks.basilisk_fleet import (
    FAULT_GAP_S,
    MEASURED,
    PHYSICAL_CHANNELS,
    BasiliskFleet,
    Fault,
    _draw_faults,
    _measure,
    write_basilisk_fleet,
)
from sightline.errors import UsageError

IS_INSTALLED = importlib.util.find_spec("Basilisk") is not None


@pytest.mark.skipif(IS_INSTALLED, reason="Basilisk is installed: nothing is refused")
def test_without_basilisk_it_is_said_what_to_install(tmp_path):
    with pytest.raises(UsageError, match="expected Basilisk") as refused:
        write_basilisk_fleet(BasiliskFleet(satellites=1, days=1.0), tmp_path)
    assert "pip install bsk==" in refused.value.action


@pytest.mark.skipif(not IS_INSTALLED, reason="Basilisk (package bsk) is not installed")
def test_the_same_seed_flies_the_same_fleet_and_a_lost_string_shows(tmp_path):
    for name, rate in (("healthy", 0.0), ("again", 0.0), ("broken", 40.0)):
        fleet = BasiliskFleet(
            satellites=1,
            days=1.0,
            period_s=60.0,
            faults_from_day=0.2,
            sensor_faults_per_day=0.0,
            physical_faults_per_day=rate,
        )
        write_basilisk_fleet(fleet, tmp_path / name)
    healthy, again, broken = (
        pl.read_parquet(tmp_path / name / "telemetry.parquet")["array_a_i"]
        for name in ("healthy", "again", "broken")
    )
    assert healthy.equals(again)
    assert broken.tail(100).sum() < 0.9 * healthy.tail(100).sum()


def test_faults_of_a_satellite_lie_apart_and_begin_when_asked():
    fleet = BasiliskFleet(
        days=30.0, faults_from_day=4.0, sensor_faults_per_day=3.0, physical_faults_per_day=1.0
    )
    scatter = dict.fromkeys(MEASURED, 1.0)
    faults = _draw_faults(fleet, 1, MEASURED, scatter, np.random.default_rng(5))
    assert len(faults) > 10
    assert any(one.kind in PHYSICAL_CHANNELS for one in faults)
    assert faults[0].begin_s >= 4 * 86_400
    for one, after in itertools.pairwise(faults):
        assert after.begin_s - one.end_s > FAULT_GAP_S


@pytest.mark.parametrize("kind", ["step", "level", "stuck", "dropout", "spike", "oscillation"])
def test_a_fault_of_a_sensor_changes_its_rows_and_no_others(kind):
    values = {"bus_v": 28 + np.sin(np.arange(500) / 30)}
    scatter = {"bus_v": 1.0}
    fault = Fault(channel="bus_v", kind=kind, begin_s=6000.0, end_s=9000.0, size=0.4)
    read = [
        _measure(values, one, ("bus_v",), scatter, period_s=60.0, rng=np.random.default_rng(3))[
            "bus_v"
        ]
        for one in ((), (fault,))
    ]
    differs = np.flatnonzero(~(read[0] == read[1]))
    assert differs.min() >= 100
    assert differs.max() < 150
    assert len(differs) > 40
