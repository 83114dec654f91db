"""``sightline detect --explain``: what is said of an event holds when the file is changed so."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from sightline.cli.main import app_for
from sightline.errors import UsageError
from sightline.evidence.series_detection import detect_series
from sightline.evidence.series_events import (
    explain_events,
    series_alert_lines,
    write_series_alerts,
)
from sightline.evidence.series_file import Series
from sightline.perceive.normal.events import EventRule

ROWS = 2400
START = datetime(2026, 1, 1, tzinfo=UTC)
START_NS = int(START.timestamp()) * 10**9
RULE = EventRule(threshold=4.0)
HIGH, FLAT = slice(1515, 1520), slice(1500, 1560)  # at a crest of the wave, and anywhere


def wave(seed=0):
    rng = np.random.default_rng(seed)
    return np.sin(np.arange(ROWS) / 6) + rng.normal(0, 0.05, ROWS)


def series_of(values, key=""):
    row = np.arange(len(values))
    return Series(key=key, time_ns=START_NS + row * 10**10, values=values, row=row)


@cache
def high():
    """A crest that is two higher."""
    values = wave()
    values[HIGH] += 2.0
    return detect_series(series_of(values), rule=RULE)


@cache
def flat():
    """A stretch that stands still, at a value that is often seen."""
    values = wave()
    values[FLAT] = 0.5
    return detect_series(series_of(values), rule=RULE)


@cache
def explained(which):
    return explain_events([which()], rule=RULE, rank=1)[0]


def events_near(values, alert):
    """Events that a detector finds from the beginning, near what was an event."""
    found = detect_series(series_of(values), rule=RULE).events
    return [(a, b) for a, b in found if a <= alert.trial.until_row and b >= alert.trial.first_row]


# --- what would not have alerted ----------------------------------------------------------------


def test_values_that_stay_within_the_band_do_not_alert_in_a_run_from_the_beginning():
    alert = explained(high)
    assert alert.level.is_found
    values = high().series.values.copy()
    rows = slice(alert.trial.first_row, alert.trial.last_row + 1)
    values[rows] = np.clip(values[rows], np.nan_to_num(alert.level.low, nan=-9), alert.level.high)
    assert not events_near(values, alert)


def test_values_a_little_beyond_the_band_still_alert():
    alert = explained(high)
    change = alert.level.change
    values = high().series.values.copy()
    rows = slice(alert.trial.first_row, alert.trial.last_row + 1)
    wider = alert.level.high + 0.01 * (alert.level.was_high - alert.level.high)
    values[rows] = np.clip(values[rows], -9, wider)
    assert events_near(values, alert)
    assert change.alerted_at < change.strength


def test_the_band_is_in_measured_units_between_what_is_normal_and_what_was():
    alert = explained(high)
    level = alert.level
    assert 0.9 < level.high < level.was_high
    assert alert.trial.first_row <= level.first_row <= HIGH.start <= level.last_row < HIGH.stop
    assert level.changed > 0


def test_an_event_within_the_normal_range_is_said_not_to_be_one_of_level():
    level = explained(flat).level
    assert level.change is None
    assert "not their level is unusual" in level.note


def test_the_course_of_a_normal_stretch_does_not_alert_in_a_run_from_the_beginning():
    alert = explained(flat)
    assert alert.normal.is_found
    values = flat().series.values.copy()
    rows = slice(alert.normal.first_row, alert.normal.last_row + 1)
    stretch = values[rows.start - alert.stretch.lag_rows : rows.stop - alert.stretch.lag_rows]
    values[rows] += alert.normal.change.strength * (stretch - values[rows])
    assert not events_near(values, alert)


def test_a_normal_stretch_is_in_phase_with_what_it_is_laid_over():
    alert = explained(flat)
    expected = np.sin(np.arange(FLAT.start, FLAT.stop) / 6)
    at = FLAT.start - alert.trial.first_row
    found = alert.stretch.values[at : at + len(expected)]
    assert np.corrcoef(found, expected)[0, 1] > 0.95


def test_the_same_samples_score_the_same_to_the_last_bit():
    trial = explained(high).trial
    np.testing.assert_array_equal(trial.scores(trial.original), trial.score)
    assert trial.alerts(trial.score)


def test_a_weaker_event_beside_a_strong_one_is_explained_too():
    values = wave()
    values[HIGH] += 6.0
    values[2006:2010] += 0.5
    both = detect_series(series_of(values), rule=RULE)
    assert both.is_weaker.tolist() == [False, True]
    assert [alert.rank for alert in explain_events([both], rule=RULE)] == [1, 2]


# --- what is said -------------------------------------------------------------------------------


def test_it_departs_before_it_is_an_event_and_not_long_before():
    alert = explained(high)
    assert HIGH.start - 16 <= alert.since <= alert.rows[0]


def test_the_nearest_normal_windows_lie_before_the_event():
    for one in explained(high).why.widths:
        assert one.normal.last_row < HIGH.start


def test_events_of_other_series_at_the_same_time_are_named_and_others_are_not():
    near, far, values = wave(1), wave(2), wave()
    for one, rows in ((values, HIGH), (near, HIGH), (far, slice(2000, 2040))):
        one[rows] += 2.0
    found = [
        detect_series(series_of(v, key), rule=RULE)
        for key, v in (("a", values), ("b", near), ("c", far))
    ]
    alert = next(a for a in explain_events(found, rule=RULE) if a.found.series.key == "a")
    assert [n.key for n in alert.neighbours] == ["b"]
    assert alert.neighbours_in_all == 1


@pytest.mark.parametrize("which", [high, flat])
def test_the_text_is_short_and_says_times_in_utc(which):
    lines = series_alert_lines(explained(which), value="level", of=1)
    assert len(lines) < 30
    assert lines[0].startswith("event 1 of 1: level, 2026-01-01 0")
    assert lines[0].endswith("Z")


def test_a_series_without_times_is_told_in_rows():
    bare = replace(high().series, time_ns=None)
    alert = explain_events([detect_series(bare, rule=RULE)], rule=RULE)[0]
    text = "\n".join(series_alert_lines(alert))
    assert "rows 15" in text
    assert "Z" not in text


def test_missing_samples_in_an_event_are_no_obstacle():
    values = high().series.values.copy()
    values[1516:1518] = np.nan
    alert = explain_events([detect_series(series_of(values), rule=RULE)], rule=RULE)[0]
    assert alert.level.is_found
    json.dumps(alert.as_mapping(), allow_nan=False)


def test_everything_is_written_as_json_and_as_a_picture(tmp_path):
    pytest.importorskip("matplotlib", reason="the extra `report` is not installed")
    written = write_series_alerts(tmp_path / "why", [explained(high)], value="a $ b_{")
    plain = json.loads(written[0].read_text())
    assert plain["counterfactuals"][0]["verdict"] == "found"
    assert plain["first"]["time_ns"] == START_NS + plain["first"]["row"] * 10**10
    assert written[1].read_bytes().startswith(b"\x89PNG")


# --- the command --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def csv(tmp_path_factory):
    path = tmp_path_factory.mktemp("series") / "pump.csv"
    values = wave()
    values[HIGH] += 2.0
    values[2024:2029] -= 2.2  # another one than the first, which is learnt by then
    stamps = [(START + timedelta(seconds=10 * i)).isoformat() for i in range(ROWS)]
    pl.DataFrame({"when": stamps, "level": values}).write_csv(path)
    return path


def detect(csv, *arguments):
    whole = ["detect", csv, "--time", "when", "--value", "level", *arguments]
    given = list(map(str, whole))
    return CliRunner().invoke(app_for(given), given)


def test_all_events_are_explained_by_strength(csv):
    plain = json.loads(detect(csv, "--explain", "all", "--json").stdout)["explained"]
    assert [one["rank"] for one in plain] == [1, 2]
    assert plain[0]["greatest"]["score"] >= plain[1]["greatest"]["score"]


def test_one_event_is_chosen_by_its_rank(csv):
    plain = json.loads(detect(csv, "--explain", "2", "--json").stdout)["explained"]
    assert [one["rank"] for one in plain] == [2]


def test_one_event_is_chosen_by_its_time(csv):
    at = (START + timedelta(seconds=10 * 2030)).isoformat()
    plain = json.loads(detect(csv, "--explain", at, "--json").stdout)["explained"]
    assert len(plain) == 1
    assert plain[0]["first"]["row"] <= 2030 <= plain[0]["last"]["row"]


@pytest.mark.parametrize("which", ["0", "3", "2026-01-01T00:00:00Z", "soon"])
def test_an_event_that_is_not_there_is_refused(csv, which):
    assert isinstance(detect(csv, "--explain", which).exception, UsageError)


def test_the_text_follows_the_list_of_events(csv):
    text = detect(csv, "--explain", "1").stdout
    assert text.index("2 events") < text.index("event 1 of 2: level")


def test_without_being_asked_nothing_is_explained(csv):
    assert "explained" not in json.loads(detect(csv, "--json").stdout)
