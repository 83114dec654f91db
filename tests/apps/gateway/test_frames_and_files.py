"""The simulator is a pure function of its configuration, and writes what it made."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from apps.gateway.simulated_runs import (
    NS,
    SCENE,
    contract,
    default_run,
    faultless_run,
    telemetry_field,
)
from sightline.apps.gateway import (
    Fault,
    FaultKind,
    LinkConfig,
    SceneFrames,
    TelemetryScene,
    simulate,
    watched_scene,
    write_frames,
)
from sightline.errors import UsageError

FRAMES = ("telemetry", "logs", "contacts", "impairments", "faults", "outages")


def frame_of(run: SceneFrames, name: str) -> pl.DataFrame:
    holder = run.truth if name in ("faults", "outages") else run
    frame: pl.DataFrame = getattr(holder, name)
    return frame


# --- a pure function of its configuration ---------------------------------------------------------


@pytest.mark.parametrize("frame", FRAMES)
def test_the_same_seed_gives_the_same_frames(frame: str) -> None:
    again = simulate(watched_scene(seed=7, duration_s=1800))
    assert_frame_equal(frame_of(again, frame), frame_of(default_run(), frame), check_exact=True)


@pytest.mark.parametrize("frame", ["telemetry", "logs", "impairments"])
def test_another_seed_gives_other_frames(frame: str) -> None:
    other = simulate(watched_scene(seed=8, duration_s=1800))
    assert not getattr(other, frame).equals(getattr(default_run(), frame))


def test_a_fault_leaves_the_other_satellites_as_they_were() -> None:
    concerned = default_run().truth.faults["subject"].implode()
    others = ~(pl.col("satellite").is_in(concerned) | (pl.col("region") == "equator"))
    with_faults, without = (
        run.telemetry.filter(others).sort("satellite", "sequence", "received_ns")
        for run in (default_run(), faultless_run())
    )
    assert with_faults.height > 10_000
    assert_frame_equal(with_faults, without, check_exact=True)


# --- files ----------------------------------------------------------------------------------------


def test_written_frames_read_back_as_they_were(tmp_path: Path) -> None:
    write_frames(default_run(), tmp_path / "run")
    for name in ("telemetry", "logs"):
        read = pl.read_parquet(tmp_path / "run" / f"{name}.parquet")
        assert_frame_equal(read, getattr(default_run(), name), check_exact=True)
    for name in FRAMES[2:]:
        wanted = frame_of(default_run(), name)
        read = pl.read_csv(
            tmp_path / "run" / f"{name}.csv", schema=wanted.schema, empty_string_is_null=False
        )
        assert_frame_equal(read, wanted, check_exact=True)


def test_a_folder_that_cannot_be_made_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(UsageError, match="taken"):
        write_frames(default_run(), tmp_path / "taken")
    assert (tmp_path / "taken").read_text() == "a file"


# --- configurations that cannot work --------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("seed", -1),
        ("n_satellites", 0),
        ("gateways", ()),
        ("gateways", ("north", "north")),
        ("duration_s", 0.0),
        ("duration_s", float("nan")),
        ("period_s", 0.0),
        ("start_ns", -1),
    ],
)
def test_a_configuration_that_cannot_work_names_its_field(name: str, value: object) -> None:
    with pytest.raises(UsageError, match=rf"TelemetryScene\.{name}"):
        TelemetryScene(**{name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("loss_share", 1.5),
        ("late_share", float("nan")),
        ("late_s", (20.0, 10.0)),
        ("beyond_rows", -1),
        ("burst_mean_packets", 0.5),
        ("dump_speedup", 1.0),
    ],
)
def test_a_link_that_cannot_work_names_its_field(name: str, value: object) -> None:
    with pytest.raises(UsageError, match=rf"LinkConfig\.{name}"):
        LinkConfig(**{name: value})


@pytest.mark.parametrize(
    ("fault", "where"),
    [
        (Fault(kind=FaultKind.BACKLOG, subject="sat-00099", start_s=0, end_s=9), "subject"),
        (Fault(kind=FaultKind.OUTAGE, subject="sat-00001", start_s=0, end_s=9), "subject"),
        (Fault(kind=FaultKind.STEP, subject="sat-00001", start_s=0, end_s=9), "channel"),
        (Fault(kind=FaultKind.BACKLOG, subject="sat-00001", start_s=9, end_s=9), "start_s < end_s"),
    ],
)
def test_an_explicit_fault_that_cannot_be_is_refused(fault: Fault, where: str) -> None:
    with pytest.raises(UsageError, match=where):
        TelemetryScene(scheduled_faults=(fault,))


def test_an_explicit_fault_is_the_only_one() -> None:
    fault = Fault(
        kind=FaultKind.STEP,
        subject="sat-00001",
        start_s=10,
        end_s=20,
        channel="snr_db",
        magnitude=5.0,
    )
    start_ns = SCENE.start_ns
    made = simulate(replace(SCENE, duration_s=60, scheduled_faults=(fault,)))
    when = (start_ns + 10 * NS, start_ns + 20 * NS)
    assert made.truth.faults.rows() == [
        ("step", "sat-00001", "sat-00001", "north", "snr_db", *when, 5.0)
    ]
    assert made.truth.outages.is_empty()


# --- contracts ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["telemetry", "logs"])
def test_the_simulated_frame_has_every_column_its_contract_reads(name: str) -> None:
    frame: pl.DataFrame = getattr(default_run(), name)
    assert set(contract(name).columns) <= set(frame.columns)


def test_the_labels_share_no_file_or_column_with_what_the_contracts_read() -> None:
    extra = set(default_run().telemetry.columns) - set(contract("telemetry").columns)
    assert extra == {"current_a"}  # a channel that the pipeline does not watch
    assert set(contract("logs").columns) == set(default_run().logs.columns)


def test_default_faults_outlast_the_time_outs_that_should_find_them() -> None:
    telemetry = contract("telemetry")
    least_s = {
        FaultKind.SATELLITE_SILENT: telemetry.silence.timeout_s,
        FaultKind.OUTAGE: telemetry.silence.timeout_s,
        FaultKind.PLANNED_SILENCE: telemetry.silence.timeout_s,
        FaultKind.STUCK: telemetry_field("bus_voltage_v").plausibility.stuck_for_s,
    }
    shortest = watched_scene(duration_s=600).scheduled_faults
    length_s = {fault.kind: fault.end_s - fault.start_s for fault in shortest}
    assert len(length_s) == len(SCENE.scheduled_faults) == 11
    assert all(length_s[kind] >= 1.5 * timeout_s for kind, timeout_s in least_s.items())


def test_smap_rows_are_a_minute_apart_and_named_by_their_file() -> None:
    smap = contract("smap")
    assert smap.event_time.assumed.period_s == 60
    assert smap.key == (smap.archive.stem_column, smap.archive.array_column)
    assert smap.archive.arrays == ("train", "test")
    assert smap.expected_rate_hz == pytest.approx(1 / 60)
