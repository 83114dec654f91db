"""Live runs on a simulated wall clock: ticks, stopping, resuming, and what the inbox does."""

import shutil
from dataclasses import replace

import pytest

from sightline.errors import SourceError, UsageError
from sightline.evidence.account import explain
from sightline.evidence.account_text import account_lines
from sightline.runtime import RunDirectory, replay_run, run_pipeline
from sightline.runtime.engine.hosting import FAN_IN
from sightline.sense.source import MemorySource
from simulation.live_runs import (
    NS,
    ScriptedSource,
    WallClock,
    feed_every_second,
    plan,
    plan_with_a_region,
    run_live,
    ticks_of,
)


def test_windows_close_with_the_wall_clock_and_the_run_ends_with_its_sources(tmp_path):
    clock, source = WallClock(), ScriptedSource()
    feed_every_second(clock, source, 0, 60, value=lambda s: 9.0 if 20 <= s < 40 else 1.0)
    clock.at(61, source.end)
    report = run_live(tmp_path / "run", clock, source)
    assert report.accounts.decided == 180
    assert report.decisions == {"high cleared issued": 3, "high raised issued": 3}


def test_a_live_run_replays_to_the_same_bytes(tmp_path):
    clock, source = WallClock(), ScriptedSource()
    feed_every_second(clock, source, 0, 60, value=lambda s: 9.0 if s > 30 else 1.0)
    clock.at(61, source.end)
    report = run_live(tmp_path / "run", clock, source)
    verdict = replay_run(RunDirectory.open(tmp_path / "run"))
    assert verdict
    assert verdict.digest == report.digest


def test_silence_is_raised_while_nothing_comes(tmp_path):
    clock, source = WallClock(), ScriptedSource()
    feed_every_second(clock, source, 0, 15)
    clock.at(95, lambda: setattr(clock, "stopped", True))
    report = run_live(tmp_path / "run", clock, source)
    assert report.decisions == {"silent raised issued": 3}


def test_a_stopped_run_goes_on_where_it_was(tmp_path):
    clock, source = WallClock(), ScriptedSource()
    feed_every_second(clock, source, 0, 25)
    clock.at(25, lambda: setattr(clock, "stopped", True))
    first = run_live(tmp_path / "run", clock, source)
    assert first.accounts.in_flight > 0
    clock.stopped = False
    again = ScriptedSource()
    feed_every_second(clock, again, 27, 50)
    clock.at(51, again.end)
    second = run_live(tmp_path / "run", clock, again, resume=True)
    assert second.accounts.received == (25 + 23) * 3
    assert second.accounts.decided == second.accounts.received
    assert replay_run(RunDirectory.open(tmp_path / "run"))


def test_a_run_whose_sources_have_ended_takes_no_more(tmp_path):
    clock, source = WallClock(), ScriptedSource()
    clock.at(5, source.end)
    run_live(tmp_path / "run", clock, source)
    with pytest.raises(UsageError, match="have ended"):
        run_live(tmp_path / "run", clock, ScriptedSource(), resume=True)


def test_latest_counts_what_gave_way_as_superseded(tmp_path):
    clock, source = WallClock(), ScriptedSource()
    feed_every_second(clock, source, 0, 20)
    clock.at(21, source.end)
    latest = plan(inbox={"policy": "latest", "max_rows": 6})
    report = run_live(tmp_path / "run", clock, source, the_plan=latest)
    assert report.accounts.received == 60
    assert report.accounts.superseded == 2 * (30 - 6)  # two full ticks of 30 rows
    assert replay_run(RunDirectory.open(tmp_path / "run"))


def test_spill_decides_everything_and_leaves_nothing_on_disk(tmp_path):
    clock, source = WallClock(), ScriptedSource()
    feed_every_second(clock, source, 0, 20)
    clock.at(21, source.end)
    spill = plan(inbox={"policy": "spill", "max_rows": 6})
    report = run_live(tmp_path / "run", clock, source, the_plan=spill)
    assert report.accounts.decided == 60
    assert list((tmp_path / "run" / "spill" / "t").iterdir()) == []


def test_a_wall_clock_that_goes_back_neither_stops_nor_turns_the_ticks(tmp_path):
    clock, source = WallClock(), ScriptedSource()
    feed_every_second(clock, source, 0, 30)
    clock.at(31, lambda: setattr(clock, "offset_ns", -3600 * NS))
    clock.at(75, lambda: setattr(clock, "stopped", True))
    run_live(tmp_path / "run", clock, source)
    ticks = ticks_of(tmp_path / "run", "p000")
    assert ticks == sorted(ticks)
    assert len(ticks) == 8


def test_a_partition_that_lost_an_epoch_in_a_crash_does_not_hold_up_the_others(tmp_path):
    grouped = plan_with_a_region()
    clock, source, out = WallClock(), ScriptedSource(), tmp_path / "run"
    feed_every_second(clock, source, 0, 15)
    clock.at(15, lambda: setattr(clock, "stopped", True))
    run_live(out, clock, source, the_plan=grouped)
    shutil.copytree(out / "log", tmp_path / "kept")
    clock.stopped, again = False, ScriptedSource()
    feed_every_second(clock, again, 17, 25)
    clock.at(25, lambda: setattr(clock, "stopped", True))
    run_live(out, clock, again, the_plan=grouped, resume=True)
    for name in ("p001", FAN_IN):  # as if killed after the commit of p000 only
        shutil.rmtree(out / "log" / name)
        shutil.copytree(tmp_path / "kept" / name, out / "log" / name)
    (out / "ledger.sqlite").unlink()
    killed = RunDirectory.open(out, has_logs=False)
    killed.in_state(replace(killed.state, is_closed=False, heads={}, ledger_digest=""))
    clock.at(75, lambda: setattr(clock, "stopped", True))
    clock.stopped = False
    report = run_live(out, clock, ScriptedSource(), the_plan=grouped, resume=True)
    assert report.decisions["region raised issued"] == 1
    assert ticks_of(out, "p000")[-1] == ticks_of(out, "p001")[-1]


def test_what_breaks_a_source_ends_the_run_after_its_rows_are_committed(tmp_path):
    clock, source = WallClock(), ScriptedSource()
    feed_every_second(clock, source, 0, 15)
    clock.at(15, lambda: source.fail(SourceError(expected="a line", got="none", where="wire",
                                                 action="mend it")))  # fmt: skip
    with pytest.raises(SourceError, match="wire"):
        run_live(tmp_path / "run", clock, source)
    accounts = RunDirectory.open(tmp_path / "run").accounts()
    assert sum(a.received for a in accounts.values()) == 45


def test_what_can_be_read_once_must_have_its_rows_in_the_log(tmp_path):
    source = MemorySource("t", {}, durable=False)
    with pytest.raises(SourceError, match="record: payload"):
        run_pipeline(plan(record="reference"), {"t": source}, tmp_path / "run")


def test_live_sources_have_their_own_speed(tmp_path):
    with pytest.raises(UsageError, match="own speed"):
        run_live(tmp_path / "run", WallClock(), ScriptedSource(), speed=60.0)


def test_a_clock_that_is_set_is_a_decision_that_replays(tmp_path):
    clock, source = WallClock(), ScriptedSource()
    feed_every_second(clock, source, 0, 80)
    clock.at(31, lambda: setattr(clock, "offset_ns", -3600 * NS))
    clock.at(55, lambda: setattr(clock, "offset_ns", 0))
    clock.at(81, source.end)
    report = run_live(tmp_path / "run", clock, source)
    run = RunDirectory.open(tmp_path / "run")
    said = [(d.transition, d.reasons[0].code, d.score) for d in run.decisions() if
            d.kind == "clock-set"]  # fmt: skip
    assert said == [
        ("raised", "CLOCK_SET_BACK", -3600.0),
        ("cleared", "CLOCK_SET_BACK", -3600.0),
        ("raised", "CLOCK_SET_FORWARD", 3600.0),
        ("cleared", "CLOCK_SET_FORWARD", 3600.0),
    ]
    assert report.accounts.quarantined == {}
    assert replay_run(run)


def test_what_was_said_of_the_clock_is_settled_when_a_run_goes_on(tmp_path):
    clock, source = WallClock(), ScriptedSource()
    feed_every_second(clock, source, 0, 40)
    clock.at(31, lambda: setattr(clock, "offset_ns", -3600 * NS))
    clock.at(45, lambda: setattr(clock, "stopped", True))
    run_live(tmp_path / "run", clock, source)
    clock.stopped = False
    again = ScriptedSource()
    clock.at(60, again.end)
    run_live(tmp_path / "run", clock, again, resume=True)
    said = RunDirectory.open(tmp_path / "run").decisions()
    assert [d.transition for d in said if d.kind == "clock-set"] == ["raised", "cleared"]


def test_what_was_said_of_the_clock_is_explained(tmp_path):
    clock, source = WallClock(), ScriptedSource()
    clock.at(31, lambda: setattr(clock, "offset_ns", -3600 * NS))
    clock.at(45, source.end)
    run_live(tmp_path / "run", clock, source)
    run = RunDirectory.open(tmp_path / "run")
    (said,) = run.decisions()
    lines = "\n".join(account_lines(explain(run, said.decision_id)))
    assert "jump -3600 s" in lines
    assert "the machine's clock was set back" in lines
