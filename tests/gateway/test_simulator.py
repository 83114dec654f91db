"""The simulated constellation does what its configuration and its labels say."""

from __future__ import annotations

import dataclasses
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from sightline.apps import gateway
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
from sightline.apps.gateway.orbits import (
    Fleet,
    eclipse_half_angle_rad,
    orbital_period_s,
    slant_ranges_m,
)
from sightline.errors import UsageError
from sightline.sense.contract import Contract, FieldForm, load_contract

FRAMES = ("telemetry", "logs", "contacts", "faults", "impairments")
FIELDS = ("snr_db", "bus_voltage_v", "temperature_c", "wheel_speed_rpm")
CONTRACTS = Path(gateway.__file__).parent
NS = 1_000_000_000


@cache
def default_run() -> Constellation:
    return simulate(ConstellationConfig(seed=7))


@cache
def faultless_run() -> Constellation:
    return simulate(ConstellationConfig(seed=7, faults="none"))


def label(kind: FaultKind) -> dict[str, object]:
    return default_run().faults.row(by_predicate=pl.col("kind") == kind, named=True)


def during(fault: dict[str, object], column: str = "time_ns") -> pl.Expr:
    return pl.col(column).is_between(fault["start_ns"], fault["end_ns"], closed="left")


def rows_of(satellite: object, run: Constellation | None = None) -> pl.DataFrame:
    return (run or default_run()).telemetry.filter(satellite=satellite)


def offset_from_faultless(fault: dict[str, object]) -> pl.DataFrame:
    """time_ns and by how much the labelled field differs from the run without faults."""
    field = str(fault["field"])
    mine = rows_of(fault["subject"]).unique("time_ns")
    healthy = rows_of(fault["subject"], faultless_run()).unique("time_ns")
    joined = mine.join(healthy, on="time_ns", suffix="_healthy").sort("time_ns")
    return joined.select("time_ns", offset=pl.col(field) - pl.col(f"{field}_healthy"))


def lateness_s(telemetry: pl.DataFrame) -> pl.DataFrame:
    """Each row with its distance behind the newest row of its satellite received before it."""
    behind = pl.col("time_ns").cum_max().over("satellite") - pl.col("time_ns")
    return telemetry.with_columns(lateness_s=behind / NS)


def impaired(kind: str) -> pl.DataFrame:
    return default_run().impairments.filter(kind=kind).select("satellite", "sequence", "delay_s")


@cache
def contract(name: str) -> Contract:
    return load_contract(CONTRACTS / f"{name}.contract.yaml")


def telemetry_field(name: str) -> FieldForm:
    return contract("telemetry").fields[name]


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


# --- telemetry of healthy satellites --------------------------------------------------------------


def test_rows_are_in_order_of_receipt() -> None:
    assert default_run().telemetry["received_ns"].is_sorted()


def test_no_row_is_received_before_it_was_measured() -> None:
    assert default_run().telemetry.select((pl.col("received_ns") > pl.col("time_ns")).all()).item()


def test_a_perfect_link_delivers_every_sample_once_and_in_order() -> None:
    config = ConstellationConfig(duration_s=300, faults="none", link=LinkConfig.perfect())
    rows = simulate(config).telemetry
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
    assert default_run().telemetry[field].is_between(low, high).all()


@pytest.mark.parametrize("field", FIELDS)
def test_healthy_fields_change_no_faster_than_the_contract_allows(field: str) -> None:
    most = telemetry_field(field).plausibility.max_rate_per_s
    rows = faultless_run().telemetry.unique(["satellite", "time_ns"]).sort("satellite", "time_ns")
    change = pl.col(field).diff().abs() / (pl.col("time_ns").diff() / NS)
    assert rows.select(change.over("satellite").max()).item() < most


def test_signal_to_noise_rises_and_falls_with_the_passes() -> None:
    config = ConstellationConfig(
        n_satellites=3, duration_s=5700, period_s=10, faults="none", link=LinkConfig.perfect()
    )
    smooth = simulate(config).telemetry.filter(satellite="sat-001")["snr_db"].rolling_mean(9)
    values = smooth.drop_nulls().to_numpy()
    above = values > np.median(values)
    # Twelve stations in one orbit, each with one rise and one fall.
    assert 20 <= np.count_nonzero(above[1:] != above[:-1]) <= 28


def test_temperature_repeats_after_one_orbit() -> None:
    config = ConstellationConfig(
        n_satellites=3, duration_s=11480, period_s=10, faults="none", link=LinkConfig.perfect()
    )
    one = simulate(config).telemetry.filter(satellite="sat-002").sort("time_ns")
    values = one["temperature_c"].to_numpy()
    orbit = 573  # samples in 95.5 minutes
    assert np.ptp(values) > 10
    assert np.abs(values[orbit:] - values[:-orbit]).max() < 1.5


def test_a_satellite_is_always_above_the_horizon_of_its_station() -> None:
    fleet = Fleet.draw(
        n_satellites=50, regions=("north",), period_s=1.0, rng=np.random.default_rng(3)
    )
    elapsed_s = np.arange(0, orbital_period_s(), 5.0)[:, None] + np.zeros(50)
    range_m, sine = slant_ranges_m(fleet, elapsed_s)
    assert np.degrees(np.arcsin(sine.min())) > 7
    assert 550e3 <= range_m.min() < range_m.max() < 2.2e6


def test_a_handover_changes_the_serving_station_to_the_one_that_logs_it() -> None:
    fleet = Fleet.draw(
        n_satellites=1, regions=("north",), period_s=1.0, rng=np.random.default_rng(3)
    )
    satellite = np.zeros(1, np.int64)
    stations, times_s = fleet.handovers(orbital_period_s())
    assert len(stations) == 12
    for station, at_s in zip(stations.tolist(), times_s.tolist(), strict=True):
        before = fleet.serving_station(satellite, np.array([at_s - 0.01]))[0]
        after = fleet.serving_station(satellite, np.array([at_s + 0.01]))[0]
        assert (before + 1) % 12 == after == station


def test_more_than_a_third_of_a_low_orbit_is_in_shadow() -> None:
    share = eclipse_half_angle_rad(np.zeros(1))[0] / np.pi
    assert share == pytest.approx(0.37, abs=0.01)


def test_the_battery_falls_in_shadow_and_temperature_with_it() -> None:
    config = ConstellationConfig(
        n_satellites=3, duration_s=5700, period_s=10, faults="none", link=LinkConfig.perfect()
    )
    rows = simulate(config).telemetry.filter(satellite="sat-003").sort("time_ns")
    falls = {
        field: rows[field].rolling_mean(31).diff().drop_nulls() < 0
        for field in ("bus_voltage_v", "temperature_c")
    }
    agree = (falls["bus_voltage_v"] == falls["temperature_c"]).mean()
    assert 0.25 < falls["temperature_c"].mean() < 0.5
    assert agree > 0.8


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
    assert rows.height == LinkConfig().beyond_rows
    assert rows["lateness_s"].min() > bounds.out_of_order_s + bounds.revision_allowance_s


def test_all_other_rows_are_on_time_backlog_included() -> None:
    late = pl.concat([impaired("late"), impaired("late_beyond_allowance")])
    rows = lateness_s(default_run().telemetry).join(late, on=["satellite", "sequence"], how="anti")
    assert rows["lateness_s"].max() <= contract("telemetry").timing.out_of_order_s


def test_losses_come_in_bursts_too() -> None:
    config = ConstellationConfig(
        faults="none", link=dataclasses.replace(LinkConfig.perfect(), bursts_per_h=6)
    )
    lost = simulate(config).impairments.filter(kind="lost").sort("satellite", "sequence")
    follows = (pl.col("sequence").diff() == 1).over("satellite").fill_null(value=False)
    assert lost.height > 50
    assert lost.select(follows.mean()).item() > 0.6


# --- each default fault shows where its label says ------------------------------------------------


def test_the_default_schedule_has_each_fault_once() -> None:
    assert sorted(default_run().faults["kind"]) == sorted(FaultKind)


def test_no_satellite_has_two_default_faults() -> None:
    subjects = default_run().faults["subject"]
    outage_region = rows_of("sat-003")["region"][0]
    assert subjects.n_unique() == len(subjects)
    assert label(FaultKind.REGIONAL_OUTAGE)["subject"] == outage_region
    assert outage_region not in default_run().faults["group"]


def test_a_run_too_short_for_a_fault_leaves_it_out() -> None:
    kinds = simulate(ConstellationConfig(duration_s=300)).faults["kind"].to_list()
    assert FaultKind.BACKLOG not in kinds
    assert FaultKind.REGIONAL_OUTAGE not in kinds
    assert FaultKind.STATION_FAULT not in kinds
    assert FaultKind.STEP in kinds


def test_a_small_constellation_has_as_many_faults_as_satellites_for_them() -> None:
    made = simulate(ConstellationConfig(n_satellites=6))
    on_satellites = made.faults.filter(pl.col("subject").str.starts_with("sat-"))
    assert on_satellites.height == 4


def test_a_stuck_sensor_repeats_one_value() -> None:
    fault = label(FaultKind.STUCK_SENSOR)
    rows = rows_of(fault["subject"])
    field = str(fault["field"])
    assert rows.filter(during(fault))[field].n_unique() == 1
    assert rows.filter(~during(fault))[field].n_unique() > 100


def test_a_drift_reaches_its_magnitude_at_the_end_and_stops() -> None:
    fault = label(FaultKind.DRIFT)
    offset = offset_from_faultless(fault)
    inside = offset.filter(during(fault))["offset"]
    assert inside.is_sorted() or inside.diff().min() > -0.03  # converter steps
    assert inside[-1] == pytest.approx(fault["magnitude"], rel=0.01)
    assert offset.filter(~during(fault))["offset"].abs().max() == 0


def test_a_step_has_its_magnitude_from_start_to_end() -> None:
    fault = label(FaultKind.STEP)
    offset = offset_from_faultless(fault)
    inside = offset.filter(during(fault))["offset"]
    assert inside.min() == pytest.approx(fault["magnitude"])
    assert inside.max() == pytest.approx(fault["magnitude"])
    assert offset.filter(~during(fault))["offset"].abs().max() == 0


def test_an_snr_fade_is_deepest_half_way() -> None:
    fault = label(FaultKind.SNR_FADE)
    offset = offset_from_faultless(fault)
    inside = offset.filter(during(fault))
    deepest_ns = inside["time_ns"][inside["offset"].arg_min()]
    middle_ns = (fault["start_ns"] + fault["end_ns"]) // 2
    assert inside["offset"].min() == pytest.approx(-fault["magnitude"], rel=0.01)
    assert abs(deepest_ns - middle_ns) < 10 * NS
    assert offset.filter(~during(fault))["offset"].abs().max() == 0


def test_packet_loss_loses_the_share_it_says() -> None:
    fault = label(FaultKind.PACKET_LOSS)
    received = rows_of(fault["subject"]).filter(during(fault))["sequence"]
    sent = received.max() - received.min() + 1
    assert 1 - received.n_unique() / sent == pytest.approx(fault["magnitude"], abs=0.1)


@pytest.mark.parametrize("kind", [FaultKind.SATELLITE_SILENT, FaultKind.PLANNED_LOSS_OF_CONTACT])
def test_a_silent_satellite_sends_nothing_and_comes_back(kind: FaultKind) -> None:
    fault = label(kind)
    rows = rows_of(fault["subject"])
    assert rows.filter(during(fault)).is_empty()
    assert rows.filter(pl.col("time_ns") < fault["start_ns"]).height > 500
    assert rows.filter(pl.col("time_ns") >= fault["end_ns"]).height > 500


def test_the_contact_plan_has_the_planned_gap_and_no_other() -> None:
    fault = label(FaultKind.PLANNED_LOSS_OF_CONTACT)
    start_ns = ConstellationConfig().start_ns
    assert default_run().contacts.rows() == [
        (fault["subject"], start_ns, fault["start_ns"]),
        (fault["subject"], fault["end_ns"], start_ns + 1800 * NS),
    ]


def test_a_backlog_is_received_after_the_outage_and_in_order() -> None:
    fault = label(FaultKind.BACKLOG)
    rows = rows_of(fault["subject"])
    stored = rows.filter(during(fault)).unique("sequence", keep="first", maintain_order=True)
    assert rows.filter(during(fault, "received_ns")).is_empty()
    assert stored.height > 500
    assert stored["received_ns"].min() > fault["end_ns"]
    assert stored["time_ns"].is_sorted()


def test_a_backlog_is_sent_faster_than_it_was_measured() -> None:
    fault = label(FaultKind.BACKLOG)
    stored = rows_of(fault["subject"]).filter(during(fault))
    assert stored["received_ns"].max() - fault["end_ns"] < 60 * NS


def test_a_backlog_outage_is_longer_than_every_allowance() -> None:
    fault = label(FaultKind.BACKLOG)
    bounds = contract("telemetry").timing
    allowances_s = bounds.out_of_order_s + bounds.revision_allowance_s
    assert fault["end_ns"] - fault["start_ns"] > allowances_s * NS


def test_a_regional_outage_silences_its_region_alone() -> None:
    fault = label(FaultKind.REGIONAL_OUTAGE)
    heard = default_run().telemetry.filter(during(fault))["region"].unique()
    assert fault["subject"] not in heard
    assert sorted(heard) == ["north", "south"]


def test_a_station_fault_shows_as_antenna_faults_of_that_station() -> None:
    fault = label(FaultKind.STATION_FAULT)
    entries = default_run().logs.filter(code="ANTENNA_FAULT")
    assert entries["station"].unique().to_list() == [fault["subject"]]
    assert entries.filter(~during(fault)).is_empty()


# --- ground-station logs --------------------------------------------------------------------------


def test_every_station_has_a_heartbeat_every_ten_seconds() -> None:
    beats = default_run().logs.filter(code="HEARTBEAT").sort("station", "time_ns")
    steps = beats.select(step=pl.col("time_ns").diff().over("station") / NS)["step"].drop_nulls()
    assert beats["station"].n_unique() == 36
    assert steps.min() == pytest.approx(10, abs=1e-6)
    assert steps.max() == pytest.approx(10, abs=1e-6)


def test_log_sequence_counts_the_entries_of_a_station_in_time() -> None:
    logs = default_run().logs.sort("station", "time_ns", "sequence")
    expected = pl.int_range(pl.len()).over("station")
    assert logs.select((pl.col("sequence") == expected).all()).item()


def test_errors_cluster_in_a_regional_outage() -> None:
    fault = label(FaultKind.REGIONAL_OUTAGE)
    lost = default_run().logs.filter(code="LOCK_LOST", region=fault["subject"])
    assert lost.filter(during(fault))["station"].n_unique() == 12
    assert lost.filter(during(fault)).height > 20 * lost.filter(~during(fault)).height


def test_a_fade_is_warned_of_in_its_region() -> None:
    fault = label(FaultKind.SNR_FADE)
    warned = default_run().logs.filter(during(fault), code="RAIN_FADE")
    assert fault["group"] in warned["region"]


def test_each_satellite_is_handed_over_about_every_eight_minutes() -> None:
    handovers = faultless_run().logs.filter(code="HANDOVER").height
    assert handovers == pytest.approx(24 * 1800 / (5730 / 12), rel=0.1)


def test_log_codes_levels_and_severities_are_those_of_the_contract() -> None:
    fields = contract("logs").fields
    logs = default_run().logs
    assert set(logs["code"]) == set(fields["code"].allowed)
    assert set(logs["level"]) == set(fields["level"].allowed)
    assert (logs["severity"].min(), logs["severity"].max()) == fields["severity"].range


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
    assert smap.key == (smap.archive.stem_column,)
    assert smap.archive.arrays == ("train", "test")
    assert smap.expected_rate_hz == pytest.approx(1 / 60)
