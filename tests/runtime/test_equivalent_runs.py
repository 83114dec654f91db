"""Neither speed, nor workers, nor arrival, nor a kill can show in what is decided."""

import json

import numpy as np
import polars as pl
import pytest

from runtime.killing import check_kill
from sightline.apps.gateway import (
    PIPELINE,
    ConstellationConfig,
    LinkConfig,
    shuffle_arrival,
    simulate,
)
from sightline.runtime import (
    RunDirectory,
    RunOptions,
    compare_runs,
    load_plan,
    make_plan,
    replay_run,
    run_pipeline,
)
from sightline.runtime.run import RunClocks
from sightline.sense import MemorySource

SECONDS = 600


class FakeClock:
    def __init__(self):
        self.now_s = 0.0
        self.slept_s = 0.0

    def wall_ns(self):
        return round(self.now_s * 1e9)

    def monotonic_s(self):
        return self.now_s

    def sleep_s(self, seconds):
        self.now_s += seconds
        self.slept_s += seconds


def go(constellation, out, *, telemetry=None, plan=None, clock=None, **options):
    telemetry = constellation.telemetry if telemetry is None else telemetry
    clock = clock or FakeClock()
    return run_pipeline(
        plan or load_plan(PIPELINE),
        {
            "telemetry": MemorySource("telemetry", {"t": telemetry}),
            "logs": MemorySource("logs", {"l": constellation.logs}),
        },
        out,
        options=RunOptions(durable=False, **options),
        clocks=RunClocks(
            wall_ns=clock.wall_ns, monotonic_s=clock.monotonic_s, sleep_s=clock.sleep_s
        ),
    )


@pytest.fixture(scope="module")
def constellation():
    return simulate(ConstellationConfig(seed=11, n_satellites=12, duration_s=SECONDS))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def reference(constellation, folder):
    return go(constellation, folder / "reference")


@pytest.fixture(scope="module")
def punctual():
    """Nothing is late: only the shuffling of a test is."""
    return simulate(
        ConstellationConfig(seed=12, n_satellites=12, duration_s=SECONDS, link=LinkConfig.perfect())
    )


@pytest.fixture(scope="module")
def in_order(punctual, folder):
    telemetry = shuffle_arrival(punctual.telemetry, within_s=0.0, rng=np.random.default_rng(0))
    return go(punctual, folder / "in-order", telemetry=telemetry)


def test_a_replay_gives_the_same_bytes(reference):
    verdict = replay_run(RunDirectory.open(reference.path))
    assert verdict.difference is None
    assert (verdict.digest, verdict.decisions > 5) == (reference.digest, True)


def test_sixty_times_real_time_is_the_same_run(constellation, folder, reference):
    clock = FakeClock()
    paced = go(constellation, folder / "paced", clock=clock, speed=60.0)
    assert paced.digest == reference.digest
    assert clock.slept_s == pytest.approx(SECONDS / 60, rel=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_the_number_of_workers_does_not_show(constellation, folder, reference, workers):
    report = go(constellation, folder / f"workers-{workers}", workers=workers)
    assert (report.digest, report.accounts) == (reference.digest, reference.accounts)


def test_arrival_within_the_out_of_order_bound_does_not_show(punctual, folder, in_order):
    shuffled = shuffle_arrival(punctual.telemetry, within_s=4.9, rng=np.random.default_rng(1))
    report = go(punctual, folder / "shuffled", telemetry=shuffled)
    assert report.digest == in_order.digest


def test_arrival_within_the_allowance_shows_in_no_final_revision(punctual, folder, in_order):
    shuffled = shuffle_arrival(punctual.telemetry, within_s=120.0, rng=np.random.default_rng(2))
    report = go(punctual, folder / "late", telemetry=shuffled)
    assert report.digest != in_order.digest  # something was revised on the way
    assert report.final_digest == in_order.final_digest


def test_an_outage_longer_than_every_allowance_makes_no_backlog_late(constellation, folder):
    fault = constellation.faults.filter(pl.col("kind") == "backlog").to_dicts()[0]
    dumped = constellation.telemetry.filter(pl.col("satellite") == fault["subject"])
    report = go(
        constellation,
        folder / "backlog",
        telemetry=dumped.unique(["satellite", "sequence"], keep="first", maintain_order=True),
    )
    delay_s = (dumped["received_ns"] - dumped["time_ns"]).max() / 1e9
    assert delay_s > 60
    assert report.accounts.quarantined.get("LATE_BEYOND_BACKLOG", 0) == 0


def test_a_silent_region_is_one_decision_and_inhibits_its_satellites(reference, constellation):
    run = RunDirectory.open(reference.path)
    fault = constellation.faults.filter(pl.col("kind") == "regional_outage").to_dicts()[0]
    said = [d for d in run.decisions() if d.group == fault["subject"]]
    raised = [d for d in said if d.kind == "region_silence" and d.transition == "raised"]
    narrower = [
        d
        for d in said
        if d.kind == "link_silence" and fault["start_ns"] <= d.event_ns <= fault["end_ns"]
    ]
    members = constellation.telemetry.filter(pl.col("region") == fault["subject"])
    assert members["satellite"].n_unique() >= 3
    assert (len(raised), narrower) == (1, [])


def test_a_changed_threshold_is_found_as_the_first_difference(constellation, folder, reference):
    plan = load_plan(PIPELINE)
    plain = plan.pipeline.model_dump(mode="json")
    plain["stages"]["sensor_stuck"]["raise_above"] = 20
    changed = make_plan(type(plan.pipeline).model_validate(plain), plan.contracts)
    other = go(constellation, folder / "changed", plan=changed)
    comparison = compare_runs(RunDirectory.open(reference.path), RunDirectory.open(other.path))
    assert not comparison
    assert comparison.difference is not None
    assert comparison.difference.stage == "sensor_stuck"
    assert comparison.difference.subject.startswith("sat-")
    assert comparison.difference.window_start_ns > 0


def test_a_run_is_equivalent_to_itself(reference):
    run = RunDirectory.open(reference.path)
    assert compare_runs(run, run)


def test_the_ledger_holds_what_the_log_says(reference):
    from sightline.act import Ledger

    run = RunDirectory.open(reference.path)
    with Ledger.open(run.ledger_url) as ledger:
        held = sorted(d.canonical_bytes() for d in ledger.decisions())
    assert held == sorted(d.canonical_bytes() for d in run.decisions())


def test_a_lost_ledger_is_rebuilt_from_the_log(constellation, folder):
    from sightline.act import Ledger

    report = go(constellation, folder / "rebuilt")
    run = RunDirectory.open(report.path)
    for file in report.path.glob("ledger.sqlite*"):
        file.unlink()
    go(constellation, folder / "rebuilt", resume=True)
    with Ledger.open(run.ledger_url) as ledger:
        assert len(ledger.decisions()) == len(run.decisions())


def test_planned_loss_of_contact_is_no_alarm(constellation, folder, reference):
    fault = constellation.faults.filter(pl.col("kind") == "planned_loss_of_contact").to_dicts()[0]
    control = {
        "control": "contacts",
        "source": "telemetry",
        "contacts": constellation.contacts.to_dicts(),
    }
    planned = go(constellation, folder / "planned", controls=(control,))

    def silences(report):
        return [
            d
            for d in RunDirectory.open(report.path).decisions()
            if d.kind == "link_silence" and d.subject == fault["subject"]
        ]

    assert silences(reference)
    assert silences(planned) == []


def test_a_masked_subject_is_not_decided_on(constellation, folder, reference):
    stuck = next(
        d for d in RunDirectory.open(reference.path).decisions() if d.kind == "sensor_stuck"
    )
    mask = {
        "control": "mask",
        "subject": stuck.subject.split("/")[0],
        "from_ns": 0,
        "until_ns": 2**62,
    }
    masked = go(constellation, folder / "masked", controls=(mask,))
    said = RunDirectory.open(masked.path).decisions()
    assert not [d for d in said if d.subject == stuck.subject]


def test_the_run_report_is_plain_json(reference):
    assert json.loads(json.dumps(reference.as_mapping()))["accounts"]["balanced"]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_a_killed_run_that_is_resumed_ends_like_an_undisturbed_one(seed, tmp_path):
    check_kill(seed, tmp_path)
