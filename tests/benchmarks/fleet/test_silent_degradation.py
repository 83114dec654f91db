"""Firmware that breaks a channel quietly is found over the fleet; what it declares is no change."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt
import pytest

from benchmarks.fleet.version_change import (
    DeclaredChange,
    VersionChange,
    daily_level_and_spread,
    version_change,
)
from sightline.apps.gateway.telemetry_scene import (
    FirmwareRelease,
    TelemetryScene,
    scene_blocks,
    scene_records,
)
from sightline.apps.gateway.telemetry_scene.firmware import FirmwareEffect

DAYS = 8
DECLARED = {
    "current_a": FirmwareEffect(channel="current_a", offset=0.15),
    "wheel_speed_rpm": FirmwareEffect(channel="wheel_speed_rpm", gain=1.03),
    "bus_voltage_v": FirmwareEffect(channel="bus_voltage_v", quantum_factor=2.0),
}
BROKEN = {
    ("spread", "snr_db"): FirmwareEffect(channel="snr_db", noise_growth_per_day=0.05),
    ("level", "attitude_error_mdeg"): FirmwareEffect(
        channel="attitude_error_mdeg", drift_per_day=0.15
    ),
}
SCENE = TelemetryScene(
    seed=11,
    n_satellites=20,
    duration_s=30 * 86_400,
    period_s=60.0,
    releases=(
        FirmwareRelease(version="2.0", at_day=16.0, effects=(*DECLARED.values(), *BROKEN.values())),
    ),
)
NAMES = [model.name for model in SCENE.channels]
STATISTICS = ("level", "spread")
# One version, eight channels, two statistics: together 1 %.
LEVEL = 0.01 / (len(NAMES) * len(STATISTICS))


@cache
def daily() -> npt.NDArray[np.float64]:
    """float64[statistic, satellite, day, channel]."""
    table = np.empty((2, SCENE.n_satellites, SCENE.n_days, len(NAMES)))
    for block in scene_blocks(SCENE):
        table[:, block.satellite, block.day] = daily_level_and_spread(block.values)
    return table


@cache
def update_days() -> npt.NDArray[np.int64]:
    updates = scene_records(SCENE).updates.sort("satellite")
    elapsed_ns = updates["time_ns"].to_numpy() - SCENE.start_ns
    days: npt.NDArray[np.int64] = elapsed_ns // (86_400 * 1_000_000_000)
    return days


def judged(statistic: str, channel: str, *, as_declared: bool = True) -> VersionChange:
    k = NAMES.index(channel)
    values = daily()[STATISTICS.index(statistic), :, :, k]
    first_day = update_days()
    if as_declared and channel in DECLARED:
        effect, quantum = DECLARED[channel], SCENE.channels[k].quantum
        declared = DeclaredChange(
            gain=effect.gain,
            offset=effect.offset,
            quantum_before=quantum,
            quantum_after=quantum * effect.quantum_factor,
        )
        undo = declared.level_as_before if statistic == "level" else declared.spread_as_before
        is_after = np.arange(SCENE.n_days) > first_day[:, None]
        values = np.where(is_after, undo(values), values)
    return version_change(values, first_day, days=DAYS, false_alarm_probability=LEVEL)


@pytest.mark.parametrize(("statistic", "channel"), BROKEN)
def test_silent_degradation_is_found(statistic: str, channel: str) -> None:
    assert judged(statistic, channel)


@pytest.mark.parametrize(("statistic", "channel"), BROKEN)
def test_it_is_found_to_grow_from_the_update_on(statistic: str, channel: str) -> None:
    found = judged(statistic, channel)
    assert found.is_ramp
    assert abs(found.onset_day) <= 4


@pytest.mark.parametrize("statistic", STATISTICS)
@pytest.mark.parametrize("channel", NAMES)
def test_nothing_is_found_where_nothing_broke(statistic: str, channel: str) -> None:
    if (statistic, channel) not in BROKEN:
        assert not judged(statistic, channel)


def test_the_offset_would_have_been_found_had_it_not_been_declared() -> None:
    assert judged("level", "current_a", as_declared=False)
