"""Live runs on a simulated wall clock: ticks, stopping, resuming, and what the inbox does."""

import json
import shutil
import threading
from dataclasses import dataclass, field

import numpy as np
import polars as pl
import pytest

from sightline.errors import SourceError, UsageError
from sightline.recorder import read_entries
from sightline.records.entry import EntryKind
from sightline.runtime import (
    Pipeline,
    RunDirectory,
    RunOptions,
    make_plan,
    replay_run,
    run_pipeline,
)
from sightline.runtime.engine.hosting import FAN_IN
from sightline.runtime.run_options import RunClocks
from sightline.sense.contract import parse_contract
from sightline.sense.refused_rows import no_rejections
from sightline.sense.source import placed
from sightline.sense.sources import Chunk, MemorySource, Stream

NS = 1_000_000_000
START_NS = 1_767_225_600 * NS
CONTRACT = {
    "contract": "live",
    "key": ["sensor"],
    "event_time": {"column": "time_ns", "format": "unix_ns"},
    "fields": {"value": {"type": "number", "unit": "1"}},
    "timing": {"out_of_order_s": 1, "max_backlog_s": 600, "clock_skew_s": 1},
    "silence": {"timeout_s": 20},
}
PIPELINE = {
    "pipeline": "live",
    "partitions": 2,
    "tick_s": 10,
    "idle_s": 10,
    "sources": {"t": {"contract": "live.yaml"}},
    "stages": {
        "level": {"use": "windows", "input": "t", "width_s": 10},
        "high": {
            "use": "alarm", "input": "level", "measure": "value.mean", "unit": "1",
            "raise_above": 5, "code": "HIGH",
        },
        "seen": {"use": "presence", "input": "t", "width_s": 10},
        "silent": {"use": "silence", "input": "seen", "code": "SILENT"},
    },
}  # fmt: skip


@dataclass
class WallClock:
    """A wall clock that moves only when the engine waits; at its times things happen."""

    now_ns: int = START_NS
    offset_ns: int = 0
    mono_s: float = 0.0
    stopped: bool = False
    due: list = field(default_factory=list)  # (time in ns, what to do)

    def at(self, after_s, action):
        self.due.append((START_NS + round(after_s * NS), action))

    def wait(self, seconds):
        self.now_ns += round(seconds * NS)
        self.mono_s += seconds
        while self.due and min(self.due, key=lambda d: d[0])[0] <= self.now_ns:
            event = min(self.due, key=lambda d: d[0])
            self.due.remove(event)
            event[1]()

    def clocks(self):
        return RunClocks(
            wall_ns=lambda: self.now_ns + self.offset_ns,
            monotonic_s=lambda: self.mono_s,
            sleep_s=self.wait,
        )


class ScriptedSource:
    """A live source that gives a chunk when it is told to, and returns when the engine has it."""

    name = "t"
    durable = False
    ignored = ()

    def __init__(self):
        self._ready = threading.Semaphore(0)
        self._asked = threading.Semaphore(0)
        self._chunks = []
        self.rows = 0

    def streams(self):
        return [Stream(origin="wire", chunks=self._read)]

    def fingerprint(self):
        return []

    def give(self, frame):
        at = pl.int_range(self.rows, self.rows + frame.height, dtype=pl.Int64, eager=True)
        self.rows += frame.height
        self._say(Chunk(origin="wire", frame=placed(frame, origin="wire", rows=at),
                        rejected=no_rejections()))  # fmt: skip

    def fail(self, error):
        self._say(error)

    def end(self):
        self._say(None)

    def _say(self, item):
        self._chunks.append(item)
        self._ready.release()
        assert self._asked.acquire(timeout=10)  # the reader has put it and asks for more

    def _read(self):
        while True:
            self._ready.acquire()
            item = self._chunks.pop(0)
            if item is None or isinstance(item, Exception):
                self._asked.release()
                if item is not None:
                    raise item
                return
            yield item
            self._asked.release()


def plan(**source):
    pipeline = {**PIPELINE, "sources": {"t": {**PIPELINE["sources"]["t"], **source}}}
    contract = parse_contract(CONTRACT, where="live.yaml")
    return make_plan(Pipeline.model_validate(pipeline), {"t": contract}, where="p.yaml")


def plan_with_a_region():
    stages = {
        **PIPELINE["stages"],
        "region": {"use": "silence", "input": "seen", "scope": "global", "code": "REGION_SILENT"},
    }
    contract = parse_contract(CONTRACT, where="live.yaml")
    pipeline = Pipeline.model_validate({**PIPELINE, "stages": stages})
    return make_plan(pipeline, {"t": contract}, where="p.yaml")


def ticks_of(out, partition):
    """Ends of the epochs in a partition's log, UTC ns."""
    entries = read_entries(RunDirectory.open(out).storage, partition, kinds={EntryKind.TICK})
    return [json.loads(entry.payload)["tick_ns"] for entry in entries]


def reading(after_s, value=1.0, sensors=("a", "b", "c")):
    return pl.DataFrame(
        {
            "sensor": list(sensors),
            "time_ns": np.full(len(sensors), START_NS + round(after_s * NS)),
            "value": np.full(len(sensors), float(value)),
        }
    )


def run_live(out, clock, source, *, the_plan=None, **options):
    return run_pipeline(
        the_plan or plan(),
        {"t": source},
        out,
        options=RunOptions(is_live=True, durable=False, **options),
        clocks=clock.clocks(),
        is_stopped=lambda: clock.stopped,
    )


def feed_every_second(clock, source, first_s, last_s, value=lambda s: 1.0, sensors="abc"):
    for s in range(first_s, last_s):
        clock.at(s + 0.5, lambda s=s: source.give(reading(s + 0.4, value(s), sensors)))


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
