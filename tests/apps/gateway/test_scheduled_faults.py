"""Each fault shows in the data where its label says."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from apps.gateway.simulated_runs import (
    NS,
    SCENE,
    contract,
    default_run,
    during,
    faultless_run,
    label,
    rows_of,
)
from sightline.apps.gateway import FaultKind, watched_scene

NOISE_SD = {channel.name: channel.noise_sd for channel in SCENE.channels}
DRAWN_ALONE = {FaultKind.GATEWAY, FaultKind.OSCILLATION}


def offset_from_faultless(fault: dict[str, object]) -> pl.DataFrame:
    """time_ns and by how much the labelled field differs from the run without faults."""
    field = str(fault["channel"])
    mine = rows_of(fault["subject"]).unique("time_ns")
    healthy = rows_of(fault["subject"], faultless_run()).unique("time_ns")
    joined = mine.join(healthy, on="time_ns", suffix="_healthy").sort("time_ns")
    return joined.select("time_ns", offset=pl.col(field) - pl.col(f"{field}_healthy"))


# --- each default fault shows where its label says ------------------------------------------------


def test_the_schedule_has_each_fault_once() -> None:
    kinds = [fault.kind for fault in SCENE.scheduled_faults]
    assert sorted(kinds) == sorted(set(FaultKind) - DRAWN_ALONE)


def test_every_scheduled_fault_is_labelled() -> None:
    truth = default_run().truth
    kinds = [*truth.faults["kind"], *["outage"] * truth.outages.height]
    assert sorted(kinds) == sorted(fault.kind for fault in SCENE.scheduled_faults)


def test_no_satellite_has_two_default_faults() -> None:
    subjects = default_run().truth.faults["subject"]
    outage_region = rows_of("sat-00003")["region"][0]
    assert subjects.n_unique() == len(subjects)
    assert label(FaultKind.OUTAGE)["gateway"] == outage_region
    assert outage_region not in default_run().truth.faults["gateway"]


def test_a_run_too_short_for_a_fault_leaves_it_out() -> None:
    kinds = [fault.kind for fault in watched_scene(duration_s=300).scheduled_faults]
    assert FaultKind.BACKLOG not in kinds
    assert FaultKind.OUTAGE not in kinds
    assert FaultKind.STATION not in kinds
    assert FaultKind.STEP in kinds


def test_a_small_constellation_has_as_many_faults_as_satellites_for_them() -> None:
    faults = watched_scene(n_satellites=6, duration_s=1800).scheduled_faults
    assert sum(fault.subject.startswith("sat-") for fault in faults) == 4


def test_a_stuck_sensor_repeats_one_value() -> None:
    fault = label(FaultKind.STUCK)
    rows = rows_of(fault["subject"])
    field = str(fault["channel"])
    assert rows.filter(during(fault))[field].n_unique() == 1
    assert rows.filter(~during(fault))[field].n_unique() > 20


def test_a_silent_sensor_has_no_value_in_packets_that_come_as_always() -> None:
    fault = label(FaultKind.DROPOUT)
    rows = rows_of(fault["subject"])
    field = str(fault["channel"])
    inside = rows.filter(during(fault))
    assert inside.height > 100
    assert inside[field].is_nan().all()
    assert rows.filter(~during(fault))[field].is_not_nan().all()


def test_a_drift_reaches_its_magnitude_at_the_end_and_stops() -> None:
    fault = label(FaultKind.DRIFT)
    offset = offset_from_faultless(fault)
    inside = offset.filter(during(fault))["offset"]
    reached = fault["magnitude"] * NOISE_SD["temperature_c"]
    assert (inside * np.sign(inside[-1])).diff().min() >= -0.25  # converter steps
    assert abs(inside[-1]) == pytest.approx(reached, rel=0.03)
    assert offset.filter(~during(fault))["offset"].abs().max() == 0


def test_a_step_has_its_magnitude_from_start_to_end() -> None:
    fault = label(FaultKind.STEP)
    offset = offset_from_faultless(fault)
    inside = offset.filter(during(fault))["offset"]
    assert inside.n_unique() == 1
    assert abs(inside[0]) == pytest.approx(fault["magnitude"] * NOISE_SD["wheel_speed_rpm"])
    assert offset.filter(~during(fault))["offset"].abs().max() == 0


def test_an_snr_fade_is_deepest_half_way() -> None:
    fault = label(FaultKind.FADE)
    offset = offset_from_faultless(fault)
    inside = offset.filter(during(fault))
    deepest_ns = inside["time_ns"][inside["offset"].arg_min()]
    middle_ns = (fault["start_ns"] + fault["end_ns"]) // 2
    assert inside["offset"].min() == pytest.approx(
        -fault["magnitude"] * NOISE_SD["snr_db"], rel=0.01
    )
    assert abs(deepest_ns - middle_ns) < 10 * NS
    assert offset.filter(~during(fault))["offset"].abs().max() == 0


def test_packet_loss_loses_the_share_it_says() -> None:
    fault = label(FaultKind.PACKET_LOSS)
    received = rows_of(fault["subject"]).filter(during(fault))["sequence"]
    sent = received.max() - received.min() + 1
    assert 1 - received.n_unique() / sent == pytest.approx(fault["magnitude"], abs=0.1)


@pytest.mark.parametrize("kind", [FaultKind.SATELLITE_SILENT, FaultKind.PLANNED_SILENCE])
def test_a_silent_satellite_sends_nothing_and_comes_back(kind: FaultKind) -> None:
    fault = label(kind)
    rows = rows_of(fault["subject"])
    assert rows.filter(during(fault)).is_empty()
    assert rows.filter(pl.col("time_ns") < fault["start_ns"]).height > 500
    assert rows.filter(pl.col("time_ns") >= fault["end_ns"]).height > 500


def test_the_contact_plan_has_the_planned_gap_and_no_other() -> None:
    fault = label(FaultKind.PLANNED_SILENCE)
    start_ns = SCENE.start_ns
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
    fault = label(FaultKind.OUTAGE)
    heard = default_run().telemetry.filter(during(fault))["region"].unique()
    assert fault["gateway"] not in heard
    assert sorted(heard) == ["north", "south"]


def test_a_station_fault_shows_as_antenna_faults_of_that_station() -> None:
    fault = label(FaultKind.STATION)
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
    fault = label(FaultKind.OUTAGE)
    lost = default_run().logs.filter(code="LOCK_LOST", region=fault["gateway"])
    assert lost.filter(during(fault))["station"].n_unique() == 12
    assert lost.filter(during(fault)).height > 20 * lost.filter(~during(fault)).height


def test_a_fade_is_warned_of_in_its_region() -> None:
    fault = label(FaultKind.FADE)
    warned = default_run().logs.filter(during(fault), code="RAIN_FADE")
    assert fault["gateway"] in warned["region"]


def test_each_satellite_is_handed_over_about_every_eight_minutes() -> None:
    handovers = faultless_run().logs.filter(code="HANDOVER").height
    assert handovers == pytest.approx(24 * 1800 / (5730 / 12), rel=0.1)


def test_log_codes_levels_and_severities_are_those_of_the_contract() -> None:
    fields = contract("logs").fields
    logs = default_run().logs
    assert set(logs["code"]) == set(fields["code"].allowed)
    assert set(logs["level"]) == set(fields["level"].allowed)
    assert (logs["severity"].min(), logs["severity"].max()) == fields["severity"].range
