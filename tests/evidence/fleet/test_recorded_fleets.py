"""A recorded fleet is watched as it goes, and scored honestly."""

import json
import math
from dataclasses import replace

import polars as pl
import pytest
from typer.testing import CliRunner

from sightline.apps.gateway.telemetry_scene import TelemetryScene, write_recorded_fleet
from sightline.cli.main import app_for
from sightline.errors import SourceError, UsageError
from sightline.evidence.fleet_evaluation import (
    read_fleet,
    summary_lines,
    watch_fleet,
    write_predictions,
)
from tests.evidence.fleet.other_world import START_NS, World, write

DAY_NS = 86_400_000_000_000
FAULTS = (
    (0, "agc_dbm", "step", 4.30, 7200.0, 12.0),
    (1, "load_i", "stuck", 4.50, 9000.0, 0.0),
    (1, "t_panel", "dropout", 4.70, 5400.0, 0.0),
)
WORLD = World(
    satellites=2,
    days=5,
    step_s=120,
    sensor_faults_per_day=0,
    physical_faults_per_day=0,
    given=FAULTS,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("fleet")
    write(WORLD, path)
    return path


@pytest.fixture(scope="module")
def result(folder):
    return watch_fleet(read_fleet(folder))


def test_a_step_a_stuck_and_a_missing_channel_are_told_while_they_last(result):
    score = result.as_mapping()["score"]
    assert score["found"] == score["faults"] == len(FAULTS)
    assert all(0 <= row["delay_s"] <= 7200 for row in score["each"])


def test_nothing_is_told_before_there_is_evidence_for_it(result):
    told = result.predictions()
    assert (told["start_ns"] <= told["told_ns"]).all()
    assert (told["told_ns"] <= told["end_ns"] + 10 * 120 * 10**9).all()


def test_what_comes_later_changes_nothing_that_was_told(folder, result, tmp_path):
    cut_ns = START_NS + int(4.6 * DAY_NS)
    table = pl.read_parquet(folder / "telemetry.parquet").filter(pl.col("time_ns") < cut_ns)
    table.write_parquet(tmp_path / "telemetry.parquet")
    commands = pl.read_parquet(folder / "commands.parquet")
    commands.write_parquet(tmp_path / "commands.parquet")
    early = watch_fleet(read_fleet(tmp_path)).predictions()
    columns = ["satellite", "channel", "told_ns", "reason"]
    before = cut_ns - 3600 * 10**9
    known = result.predictions().filter(pl.col("told_ns") < before).select(columns)
    assert early.filter(pl.col("told_ns") < before).select(columns).equals(known)


def test_predictions_have_the_stated_columns(result, tmp_path):
    write_predictions(result, tmp_path / "out.csv")
    assert pl.read_csv(tmp_path / "out.csv").columns == [
        *("satellite", "channel", "start_ns", "end_ns", "told_ns", "score", "reason")
    ]


def test_finding_nothing_does_not_look_like_success(folder, result, tmp_path):
    (tmp_path / "telemetry.parquet").write_bytes((folder / "telemetry.parquet").read_bytes())
    # A fault where nothing happened.
    start = START_NS + int(4.1 * DAY_NS)
    (tmp_path / "faults.csv").write_text(
        f"satellite,channel,kind,start_ns,end_ns\ns00,batt_v,drift,{start},{start + 10**9}\n"
    )
    blind = replace(result, fleet=read_fleet(tmp_path))
    plain = blind.as_mapping()
    assert plain["score"]["recall"] == 0
    assert "NO FAULT WAS FOUND" in summary_lines(plain)


def test_a_fleet_known_to_be_healthy_has_a_rate_of_false_alerts_and_no_recall(
    folder, result, tmp_path
):
    (tmp_path / "telemetry.parquet").write_bytes((folder / "telemetry.parquet").read_bytes())
    (tmp_path / "faults.csv").write_text("satellite,channel,kind,start_ns,end_ns\n")
    score = replace(result, fleet=read_fleet(tmp_path)).as_mapping()["score"]
    assert score["recall"] is None
    assert score["false_alerts"] == len(result.predictions())
    bounds = [score[f"false_alerts_per_clean_day_{side}_95"] for side in ("lower", "upper")]
    assert bounds[0] <= score["false_alerts_per_clean_day"] < bounds[1]


def test_without_faults_there_is_no_score(folder, tmp_path):
    (tmp_path / "telemetry.parquet").write_bytes((folder / "telemetry.parquet").read_bytes())
    fleet = read_fleet(tmp_path)
    assert fleet.faults is None
    assert all(len(record.commands.name) == 0 for record in fleet.records)


def test_a_table_without_channels_is_refused_by_name(tmp_path):
    pl.DataFrame({"satellite": ["a"], "time_ns": [1]}).write_parquet(tmp_path / "telemetry.parquet")
    with pytest.raises(SourceError, match="channel"):
        read_fleet(tmp_path)


def test_one_time_that_cannot_be_is_an_error_and_not_all_memory(tmp_path):
    times = [0, *range(START_NS, START_NS + 10**11, 10**9)]
    table = pl.DataFrame({"satellite": "a", "time_ns": times, "value": 1.0})
    table.write_parquet(tmp_path / "telemetry.parquet")
    with pytest.raises(SourceError, match="a time that cannot be"):
        read_fleet(tmp_path)


def test_too_short_a_recording_is_an_error_and_no_silence(folder):
    with pytest.raises(UsageError, match="more than 9 days"):
        watch_fleet(read_fleet(folder), learn_days=9)


def test_packets_that_come_twice_late_or_not_at_all_fall_onto_the_grid(tmp_path):
    scene = TelemetryScene(n_satellites=1, duration_s=7200, outages_per_gateway_day=0)
    rows = write_recorded_fleet(scene, tmp_path)
    fleet = read_fleet(tmp_path)
    (record,) = fleet.records
    assert math.isclose(record.step_s, 10)
    assert rows >= record.is_heard.sum()
    assert (fleet.row_ns[0][1:] > fleet.row_ns[0][:-1]).all()


def test_the_two_commands_go_together(tmp_path):
    def call(*given):
        return CliRunner().invoke(app_for(given), given)

    out = str(tmp_path / "fleet")
    options = ["--satellites", "1", "--days", "3.5", "--period-s", "60"]
    made = call("lab", "simulate", "fleet", out, *options)
    assert made.exit_code == 0, made.output
    scored = call("evaluate", "fleet", out, "--learn-days", "3", "--json")
    assert scored.exit_code == 0, scored.output
    assert json.loads(scored.output)["satellites"] == 1


def test_without_commands_with_other_orbits_and_renamed_channels_it_still_learns(tmp_path):
    world = World(
        satellites=2,
        days=5,
        step_s=240,
        periods_h=(11.967, 23.93),
        eccentricities=(0.7, 0.0002),
        never_dark=True,
        clock_offset_s=1.0,
        rename={"agc_dbm": "q17", "load_i": "q3", "t_panel": "q5", "mode": "q9"},
        sensor_faults_per_day=0,
        physical_faults_per_day=0,
        given=(
            (0, "agc_dbm", "step", 4.3, 14_400.0, 15.0),
            (1, "t_panel", "dropout", 4.4, 9_000.0, 0.0),
            (1, "rate_dps", "stuck", 4.6, 14_400.0, 0.0),
        ),
    )
    write(world, tmp_path, commands=False)
    plain = watch_fleet(read_fleet(tmp_path)).as_mapping()
    told = {row["channel"]: row["delay_s"] for row in plain["score"]["each"]}
    cannot = {name for names in plain["without_expectation"].values() for name in names}
    assert set(told) == {"q17", "q5", "rate_dps"}
    assert all(delay is not None or name in cannot for name, delay in told.items()), (told, cannot)
