"""Steps calculate on one thread, so that a run says the same bytes on any number of cores."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from sightline.runtime.engine.one_thread import OneThread

STAGE = """\
import numpy as np
import sightline as sl


class WeighedSettings(sl.SeriesSettings):
    measures: tuple[str, ...]


class Weighed(sl.Stage):
    use = "weighed"
    Settings = WeighedSettings

    def begin(self, keys, measures):
        return {"windows": np.zeros(keys)}

    def follow(self, state, values):
        state["windows"] += 1
        noise = np.random.default_rng(1).normal(size=1_000_000)
        return values * np.dot(noise, np.arange(noise.size) % 7)
"""
PIPELINE = """\
pipeline: p
plugins: [weighing]
sources: {t: {contract: t.contract.yaml}}
stages:
  minutes: {use: windows, input: t, width_s: 60, statistics: [mean]}
  heavy: {use: weighed, input: minutes, measures: ["*.mean"]}
  high: {use: alarm, input: heavy, measure: "*", unit: V, raise_above: -1e6, code: HIGH}
"""
CONTRACT = """\
contract: t
key: [unit]
event_time: {column: time, format: unix_s}
fields: {volts: {type: number, unit: V}}
timing: {out_of_order_s: 0, revision_allowance_s: 0}
"""
RUN = """\
import json, sys
import numpy as np
import polars as pl
from threadpoolctl import ThreadpoolController
import sightline as sl

def threads():
    blas = ThreadpoolController().select(user_api="blas").info()
    return [library["num_threads"] for library in blas]

rows = pl.DataFrame({"unit": ["a"] * 900, "time": np.arange(900) * 1.0, "volts": [1.0] * 900})
before = threads()
report = sl.run("p.yaml", sources={"t": rows}, out="run")
print(json.dumps({"decisions": sl.decisions("run").height, "digest": report.digest,
                  "replays": bool(sl.replay("run")), "before": before, "after": threads()}))
"""


def ran(folder: Path, *, threads: int) -> dict:
    """What a run from Python came to in a process whose linear algebra has so many threads."""
    folder.mkdir()
    for name, text in {
        "weighing.py": STAGE,
        "p.yaml": PIPELINE,
        "t.contract.yaml": CONTRACT,
    }.items():
        (folder / name).write_text(text)
    done = subprocess.run(
        [sys.executable, "-c", RUN],
        cwd=folder,
        env=os.environ | {"OPENBLAS_NUM_THREADS": str(threads)},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    return ran(tmp_path_factory.mktemp("threads") / "two", threads=2)


def test_a_run_from_python_says_the_same_with_any_number_of_threads(tmp_path, two):
    if set(two["before"]) == {1}:
        pytest.skip("the linear algebra of this machine has one thread")
    one = ran(tmp_path / "one", threads=1)
    assert (one["decisions"], one["digest"]) == (1, two["digest"])


def test_after_a_run_the_process_has_its_threads_again(two):
    assert two["after"][: len(two["before"])] == two["before"]


@dataclass
class Library:
    """Of linear algebra, with so many threads."""

    num_threads: int

    def set_num_threads(self, num_threads: int) -> None:
        self.num_threads = num_threads


def test_two_that_overlap_have_one_thread_until_the_last_is_left():
    library = Library(4)
    first, second = OneThread((library,)), OneThread((library,))
    seen = []
    with first:
        second.__enter__()
    seen.append(library.num_threads)
    second.__exit__()
    assert (*seen, library.num_threads) == (1, 4)


def test_a_library_that_only_the_second_knows_has_its_threads_again():
    known, later = Library(4), Library(3)
    with OneThread((known,)), OneThread((known, later)):
        within = known.num_threads, later.num_threads
    assert (*within, known.num_threads, later.num_threads) == (1, 1, 4, 3)
