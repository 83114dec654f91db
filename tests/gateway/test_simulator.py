"""The simulator is a pure function of its configuration, and writes what it made."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from gateway.simulated_runs import (
    NS,
    contract,
    default_run,
    faultless_run,
    impaired,
    telemetry_field,
)
from sightline.apps.gateway import (
    Constellation,
    ConstellationConfig,
    Fault,
    FaultKind,
    LinkConfig,
    shuffle_arrival,
    simulate,
    write_constellation,
)
from sightline.errors import UsageError

FRAMES = ("telemetry", "logs", "contacts", "faults", "impairments")


# --- a pure function of its configuration ---------------------------------------------------------


@pytest.mark.parametrize("frame", FRAMES)
def test_the_same_seed_gives_the_same_frames(frame: str) -> None:
    again = simulate(ConstellationConfig(seed=7))
    assert_frame_equal(getattr(again, frame), getattr(default_run(), frame), check_exact=True)


@pytest.mark.parametrize("frame", ["telemetry", "logs", "impairments"])
def test_another_seed_gives_other_frames(frame: str) -> None:
    other = simulate(ConstellationConfig(seed=8))
    assert not getattr(other, frame).equals(getattr(default_run(), frame))


def test_a_fault_leaves_the_other_satellites_as_they_were() -> None:
    concerned = default_run().faults["subject"].implode()
    others = ~(pl.col("satellite").is_in(concerned) | (pl.col("region") == "equator"))
    # Rows late beyond the allowance are drawn among all satellites.
    stray = impaired("late_beyond_allowance")
    stray = pl.concat(
        [stray, faultless_run().impairments.filter(kind="late_beyond_allowance")[stray.columns]]
    )
    with_faults, without = (
        run.telemetry.filter(others)
        .join(stray, on=["satellite", "sequence"], how="anti")
        .sort("satellite", "sequence", "received_ns")
        for run in (default_run(), faultless_run())
    )
    assert with_faults.height > 10_000
    assert_frame_equal(with_faults, without, check_exact=True)


# --- shuffled arrival -----------------------------------------------------------------------------


@cache
def short_run() -> Constellation:
    return simulate(ConstellationConfig(n_satellites=6, duration_s=120))


@settings(max_examples=40, derandomize=True, deadline=None)
@given(
    within_s=st.floats(0, 30),
    seed=st.integers(0, 2**32 - 1),
    frame=st.sampled_from(["telemetry", "logs"]),
)
def test_shuffling_displaces_no_row_by_more_than_the_bound(
    within_s: float, seed: int, frame: str
) -> None:
    rows = getattr(short_run(), frame)
    shuffled = shuffle_arrival(rows, within_s=within_s, rng=np.random.default_rng(seed))
    behind_ns = shuffled.select((pl.col("time_ns").cum_max() - pl.col("time_ns")).max()).item()
    assert behind_ns <= within_s * NS


@settings(max_examples=20, derandomize=True, deadline=None)
@given(within_s=st.floats(0, 30), seed=st.integers(0, 2**32 - 1))
def test_shuffling_keeps_every_row_and_gives_receipt_times_in_order(
    within_s: float, seed: int
) -> None:
    rows = short_run().telemetry
    shuffled = shuffle_arrival(rows, within_s=within_s, rng=np.random.default_rng(seed))
    content = [name for name in rows.columns if name != "received_ns"]
    assert shuffled.columns == rows.columns
    assert_frame_equal(shuffled[content], rows[content], check_row_order=False, check_exact=True)
    assert shuffled["received_ns"].is_sorted()
    assert shuffled.select((pl.col("received_ns") > pl.col("time_ns")).all()).item()


def test_shuffling_uses_most_of_its_bound() -> None:
    shuffled = shuffle_arrival(short_run().telemetry, within_s=5, rng=np.random.default_rng(1))
    behind = pl.col("time_ns").cum_max().over("satellite") - pl.col("time_ns")
    assert shuffled.select(behind.max()).item() > 2.5 * NS


def test_a_negative_bound_is_refused() -> None:
    with pytest.raises(UsageError, match="within_s"):
        shuffle_arrival(short_run().telemetry, within_s=-1, rng=np.random.default_rng(1))


# --- files ----------------------------------------------------------------------------------------


def test_written_frames_read_back_as_they_were(tmp_path: Path) -> None:
    write_constellation(default_run(), tmp_path / "run")
    for name in ("telemetry", "logs"):
        read = pl.read_parquet(tmp_path / "run" / f"{name}.parquet")
        assert_frame_equal(read, getattr(default_run(), name), check_exact=True)
    for name in ("contacts", "faults", "impairments"):
        schema = getattr(default_run(), name).schema
        read = pl.read_csv(
            tmp_path / "run" / f"{name}.csv", schema=schema, empty_string_is_null=False
        )
        assert_frame_equal(read, getattr(default_run(), name), check_exact=True)


def test_a_folder_that_cannot_be_made_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(UsageError, match="taken"):
        write_constellation(default_run(), tmp_path / "taken")
    assert (tmp_path / "taken").read_text() == "a file"


# --- configurations that cannot work --------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("seed", -1),
        ("n_satellites", 2),
        ("regions", ()),
        ("regions", ("north", "north")),
        ("duration_s", 0.0),
        ("duration_s", float("nan")),
        ("period_s", 0.0),
        ("start_ns", -1),
        ("max_samples", 100),
    ],
)
def test_a_configuration_that_cannot_work_names_its_field(name: str, value: object) -> None:
    with pytest.raises(UsageError, match=rf"ConstellationConfig\.{name}"):
        ConstellationConfig(**{name: value})


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
        (Fault(kind=FaultKind.BACKLOG, subject="sat-099", start_s=0, end_s=9), "subject"),
        (Fault(kind=FaultKind.REGIONAL_OUTAGE, subject="sat-001", start_s=0, end_s=9), "subject"),
        (Fault(kind=FaultKind.STEP, subject="sat-001", start_s=0, end_s=9), "field"),
        (Fault(kind=FaultKind.BACKLOG, subject="sat-001", start_s=9, end_s=9), "start_s < end_s"),
    ],
)
def test_an_explicit_fault_that_cannot_be_is_refused(fault: Fault, where: str) -> None:
    with pytest.raises(UsageError, match=where):
        simulate(ConstellationConfig(faults=(fault,)))


def test_an_explicit_fault_is_the_only_one() -> None:
    fault = Fault(
        kind=FaultKind.STEP,
        subject="sat-001",
        start_s=10,
        end_s=20,
        field="snr_db",
        magnitude=-5.0,
    )
    start_ns = ConstellationConfig().start_ns
    made = simulate(ConstellationConfig(duration_s=60, faults=(fault,)))
    assert made.faults.rows() == [
        ("step", "sat-001", "north", start_ns + 10 * NS, start_ns + 20 * NS, "snr_db", -5.0)
    ]


# --- contracts ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["telemetry", "logs"])
def test_the_simulated_frame_has_every_column_its_contract_reads(name: str) -> None:
    frame: pl.DataFrame = getattr(default_run(), name)
    assert set(contract(name).columns) <= set(frame.columns)


def test_the_labels_share_no_file_or_column_with_what_the_contracts_read() -> None:
    assert set(contract("telemetry").columns) == set(default_run().telemetry.columns)
    assert set(contract("logs").columns) == set(default_run().logs.columns)


def test_default_faults_outlast_the_time_outs_that_should_find_them() -> None:
    telemetry = contract("telemetry")
    least_s = {
        FaultKind.SATELLITE_SILENT: telemetry.silence.timeout_s,
        FaultKind.REGIONAL_OUTAGE: telemetry.silence.timeout_s,
        FaultKind.PLANNED_LOSS_OF_CONTACT: telemetry.silence.timeout_s,
        FaultKind.STUCK_SENSOR: telemetry_field("bus_voltage_v").plausibility.stuck_for_s,
    }
    shortest = simulate(ConstellationConfig(duration_s=600)).faults
    length_s = dict(shortest.select("kind", (pl.col("end_ns") - pl.col("start_ns")) / NS).rows())
    assert len(length_s) == len(FaultKind)
    assert all(length_s[kind] >= 1.5 * timeout_s for kind, timeout_s in least_s.items())


def test_smap_rows_are_a_minute_apart_and_named_by_their_file() -> None:
    smap = contract("smap")
    assert smap.event_time.assumed.period_s == 60
    assert smap.key == (smap.archive.stem_column, smap.archive.array_column)
    assert smap.archive.arrays == ("train", "test")
    assert smap.expected_rate_hz == pytest.approx(1 / 60)
