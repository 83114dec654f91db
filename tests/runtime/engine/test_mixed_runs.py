"""Rows and frames in one plan: what is measured on frames flows on, and nothing else shows."""

import numpy as np
import polars as pl
import pytest

from sightline.records.decision import Mode, final_revisions
from sightline.runtime import RunDirectory, RunOptions, replay_run, run_pipeline
from sightline.sense import MemorySource
from simulation.engine import FaultyAnswers
from simulation.mixed_world import RATE_HZ, East, mixed_engine, mixed_plan, shade_of
from simulation.schedules import EngineFaults, arrive, draw_arrival, draw_engine_faults
from simulation.small_runs import readings, windows
from simulation.small_world import (
    ALLOWANCE_S,
    COLUMNS,
    DURATION_S,
    OUT_OF_ORDER_S,
    SENSORS,
    START_NS,
    small_rows,
)
from simulation.trials import unaccounted

NS = 1_000_000_000
LEVELS = windows(0, 0, 12, 0, 0, 0)
"""The sensor s0 is high from 20 s to 30 s; the camera's shadow lasts from 20 s to 40 s."""


def run(rows, **options):
    engine = mixed_engine(rows, **options)
    result = engine.run_through()
    assert not unaccounted(result, engine)
    verdict = result.replay(engine.sources)
    assert verdict, str(verdict.difference)
    return engine, result


@pytest.fixture(scope="module")
def plain():
    return run(readings(LEVELS))[1]


def times(result, kind):
    """(transition, seconds) of each decision of ``kind``, as said."""
    return [
        (str(d.transition), (d.event_ns - START_NS) / NS)
        for d in result.decisions
        if d.kind == kind
    ]


def test_what_a_stage_measures_on_frames_is_decided_on_through_windows(plain):
    assert times(plain, "shadow") == [("raised", 25.0), ("cleared", 45.0)]
    (raised, _) = [d for d in plain.decisions if d.kind == "shadow"]
    assert raised.subject == "east/shade"


def test_a_stage_with_a_memory_reads_what_was_measured_on_frames(plain):
    assert times(plain, "fallen") == [("raised", 45.0)]
    (raised,) = [d for d in plain.decisions if d.kind == "fallen"]
    assert -9.0 < raised.score < -7.0


def test_sensors_beside_a_camera_are_decided_as_without_it(plain):
    assert times(plain, "high") == [("raised", 30.0), ("cleared", 40.0)]


def test_a_frame_is_decided_on_what_was_known_of_the_series_by_then(plain):
    # 8 and the level of 12, which is known from when its window has closed; then the level of 0.
    odd = [d for d in plain.decisions if d.kind == "odd_shade"]
    assert [str(d.transition) for d in odd] == ["raised", "cleared"]
    raised_s = (odd[0].event_ns - START_NS) / NS
    assert 30.0 < raised_s <= 36.0
    assert f"window_end_{START_NS + 30 * NS}" in odd[0].reasons[0].measure


def test_what_comes_late_revises_the_series_and_no_frame(plain):
    late = readings([300], time_s=[12.25], received_s=24.5)
    _, result = run(_joined(readings(LEVELS), late))
    # The window from 10 s to 20 s was 0 when its frames were decided on, and is 27 now.
    assert times(result, "high")[0] == ("raised", 20.0)
    assert [d.event_ns for d in result.decisions if d.kind == "shadow"] == [
        d.event_ns for d in plain.decisions if d.kind == "shadow"
    ]
    assert all(d.status == "issued" for d in result.decisions if d.kind == "odd_shade")


def _joined(*frames):

    return pl.concat(frames).sort("received_ns", maintain_order=True)


def test_a_camera_that_is_lost_is_said_to_be_silent_and_its_windows_end():
    _, result = run(readings(LEVELS), camera=East(gone_s=(28.0, 50.0)))
    said = times(result, "camera_silent")
    assert [t for t, _ in said] == ["raised", "cleared"]
    assert 30.0 <= said[0][1] <= 36.0
    assert 50.0 <= said[1][1] <= 56.0
    assert times(result, "high") == [("raised", 30.0), ("cleared", 40.0)]


def test_frames_that_cannot_be_read_are_accounted_for():
    engine, result = run(readings(LEVELS), camera=East(torn=7))
    assert result.accounts.quarantined["UNREADABLE"] == engine.frames // 7
    assert result.accounts.decided == engine.rows + engine.frames - engine.frames // 7


def test_where_nobody_looked_in_time_the_decision_says_so():
    _, result = run(readings(LEVELS), fault_share=0.4, seed=3)
    fallback = [d for d in result.decisions if d.kind == "nobody_looked"]
    assert fallback
    assert {d.mode for d in fallback if d.transition == "raised"} == {Mode.FALLBACK}
    assert {"shade:timeout", "shade:crash", "shade:nan", "shade:skipped"} <= set(result.fallbacks)


def test_a_paced_run_of_rows_and_frames_accounts_for_all_and_replays(tmp_path):
    plan = mixed_plan()
    report = run_pipeline(
        plan,
        {"t": MemorySource("t", {"t": readings(LEVELS)}), "east": East()},
        tmp_path / "run",
        guard=FaultyAnswers(plan, 0, 0.0, sees=shade_of),
        options=RunOptions(durable=False, speed=30.0),
    )
    accounts = report.accounts
    assert accounts.is_balanced
    assert accounts.received == len(LEVELS) + round(DURATION_S * RATE_HZ)
    assert accounts.decided + accounts.superseded == accounts.received
    assert report.decisions["high raised issued"] == report.decisions["shadow raised issued"] == 1
    run = RunDirectory.open(tmp_path / "run")
    assert sum(a.received for a in run.accounts().values()) == accounts.received
    verdict = replay_run(run)
    assert verdict, str(verdict.difference)


# --- whatever happens -----------------------------------------------------------------------------


def disturbed(seed):
    """Rows in disorder and late, a camera that is lost, and answers that fail."""
    arrival = draw_arrival(
        seed,
        keys=SENSORS,
        duration_s=DURATION_S,
        out_of_order_s=OUT_OF_ORDER_S,
        allowance_s=ALLOWANCE_S,
    )
    rows = arrive(small_rows(seed), arrival, COLUMNS)
    camera = East(gone_s=(25.0, 37.0), torn=11) if seed % 2 else East()
    return mixed_engine(rows, camera=camera, fault_share=0.3 * (seed % 3), seed=seed)


@pytest.fixture(scope="module", params=range(3))
def world(request):
    engine = disturbed(request.param)
    result = engine.run_through()
    assert not unaccounted(result, engine)
    verdict = result.replay(engine.sources)
    assert verdict, str(verdict.difference)
    return engine, result


@pytest.mark.parametrize("seed", range(8))
def test_a_crash_anywhere_shows_in_nothing_that_is_said(world, seed):
    engine, undisturbed = world
    drawn = draw_engine_faults(seed)
    faults = EngineFaults(
        crashes=tuple(np.random.default_rng([seed, 5]).random(2)),
        commit_epochs=drawn.commit_epochs,
        checkpoint_epochs=int(np.random.default_rng(seed).choice([1, 3])),
        segment_bytes=drawn.segment_bytes,
        seed=seed,
    )
    found = engine.run_through(faults, like=undisturbed)
    assert found.lives > 1
    assert found.digest == undisturbed.digest
    assert found.accounts == undisturbed.accounts
    assert not found.published - found.logged
    if seed % 4 == 0:
        verdict = found.replay(engine.sources)
        assert verdict, str(verdict.difference)


def test_arrival_of_rows_does_not_show_in_what_is_measured_on_frames():
    rows = small_rows(2)
    arrival = draw_arrival(
        2,
        keys=SENSORS,
        duration_s=DURATION_S,
        out_of_order_s=OUT_OF_ORDER_S,
        allowance_s=ALLOWANCE_S,
    )
    kinds = {"shadow", "fallen"}

    def said(engine):
        final = final_revisions(engine.run_through().decisions)
        return [d.canonical_bytes() for d in final if d.kind in kinds]

    late = said(mixed_engine(arrive(rows, arrival, COLUMNS)))
    assert late == said(mixed_engine(arrive(rows, arrival.in_order(), COLUMNS)))
    assert late


def test_the_version_of_a_stage_of_one_s_own_is_in_the_digest(monkeypatch):
    before = mixed_plan().digest
    monkeypatch.setattr("simulation.own_stages.Shade.version", 2, raising=False)
    between = mixed_plan().digest
    monkeypatch.setattr("simulation.own_stages.SinceRise.version", 2, raising=False)
    assert len({before, between, mixed_plan().digest}) == 3
