"""Simulated days are drawn as the alert trials judge them."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from benchmarks.__main__ import app
from benchmarks.fleet.alert_days import (
    JudgedDay,
    TestKey,
    greatest,
    judged_days,
    scored_day,
    trial_scene,
)
from benchmarks.fleet.drawn_days import DrawnDaysPlan, day_series
from sightline.apps.gateway.telemetry_scene import TelemetryScene
from sightline.errors import UsageError

pytestmark = pytest.mark.soak

PERIOD_S = 10.0


def scene(faults: float) -> TelemetryScene:
    return trial_scene(
        seed=41, satellites=1, days=1, period_s=PERIOD_S, faults_per_satellite_day=faults
    )


@cache
def thresholds() -> dict[TestKey, float]:
    """Half as much again as the same day shows without a fault."""
    clean = greatest(next(judged_days(scene(0.0), 0)))
    return {
        key: 1.5 * max(value, 1.0) if np.isfinite(value) else 9.0 for key, value in clean.items()
    }


@cache
def day() -> JudgedDay:
    return next(judged_days(scene(8.0), 0))


def test_hits_and_delays_are_those_of_the_trials() -> None:
    _, faults, _, _ = scored_day(scene(8.0), day(), thresholds())
    expected = sorted(
        (row.channel, row.kind, row.delay_s) for row in faults if np.isfinite(row.delay_s)
    )
    drawn = day_series(scene(8.0), day(), thresholds())
    found = sorted(
        (one.category, kind.split()[0], delay_s)
        for one in drawn
        for kind, is_hit, delay_s in zip(one.kinds, one.is_hit, one.delay_s, strict=True)
        if is_hit
    )
    assert len(expected) >= 3
    assert [row[:2] for row in found] == [row[:2] for row in expected]
    # Faults begin between two samples, and rows are samples.
    for (*_, drawn_s), (*_, scored_s) in zip(found, expected, strict=True):
        assert abs(drawn_s - scored_s) <= PERIOD_S
    assert sum(len(one.labels) for one in drawn) == len(faults)


def test_the_score_reaches_one_where_there_is_an_alert() -> None:
    for one in day_series(scene(8.0), day(), thresholds()):
        beyond = np.flatnonzero(one.score > 1.0)
        rows = [np.arange(a, b + 1) for a, b in one.events.as_pairs()]
        np.testing.assert_array_equal(np.concatenate(rows) if rows else [], beyond)


def test_a_day_without_fault_and_alert_has_nothing_to_draw() -> None:
    clean = next(judged_days(scene(0.0), 0))
    assert day_series(scene(0.0), clean, thresholds()) == []


@pytest.mark.parametrize(
    "wrong",
    [{"satellites": 0}, {"days": 0}, {"satellites": 401, "days": 1}, {"faults_seed": 9301}],
)
def test_a_plan_that_cannot_be_drawn_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="drawn days"):
        DrawnDaysPlan(**wrong)


@pytest.mark.slow
def test_simulated_days_are_drawn_by_one_command(tmp_path: Path) -> None:
    arguments = ["--satellites", "1", "--days", "1", "--calibration-days", "10", "--limit", "1"]
    found = CliRunner().invoke(
        app,
        ["alert-days", "-o", str(tmp_path), *arguments, "--json"],
        catch_exceptions=False,
    )
    told = json.loads(found.stdout)
    assert told["labels"] > 0
    assert (tmp_path / "overview.png").exists()
