"""A live pipeline on a simulated wall clock, with a source that gives what it is told to."""

import json
import threading
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from sightline.recorder import read_entries
from sightline.records.entry import EntryKind
from sightline.runtime import Pipeline, RunDirectory, RunOptions, make_plan, run_pipeline
from sightline.runtime.run_options import RunClocks
from sightline.sense.contract import parse_contract
from sightline.sense.refused_rows import no_rejections
from sightline.sense.source import Chunk, Source, Stream, placed

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


class ScriptedSource(Source):
    """A live source that gives a chunk when it is told to, and returns when the engine has it."""

    name = "t"

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


def run_live(out, clock, source, *, the_plan=None, controls=tuple, **options):
    return run_pipeline(
        the_plan or plan(),
        {"t": source},
        out,
        options=RunOptions(is_live=True, durable=False, **options),
        clocks=clock.clocks(),
        is_stopped=lambda: clock.stopped,
        controls=controls,
    )


def feed_every_second(clock, source, first_s, last_s, value=lambda s: 1.0, sensors="abc"):
    for s in range(first_s, last_s):
        clock.at(s + 0.5, lambda s=s: source.give(reading(s + 0.4, value(s), sensors)))
