"""Logs, ledger and run directories: what was believed dead, what is missing, what was forged.

The scripts of these folders kill for half an hour; the checks here are short forms of them: one
run of the gateway on a few satellites, made once and copied, and each harm done once.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.cases.case import Case, Finished, case
from sightline.errors import WorkerError

_MAIN = "from sightline.cli import main; main()"
_MAKE = """
from pathlib import Path
from sightline.apps.gateway import simulate, watched_scene, write_frames
write_frames(simulate(watched_scene(seed=7, n_satellites=8, duration_s=600)), Path("data"))
"""


def _rel(c: Case) -> Path:
    """The folder of the inputs that all cases of this area share; made by whoever comes first."""
    rel = c.folder.parent / "rel"
    if not (rel / "data").exists():
        rel.mkdir(exist_ok=True)
        made = c.run("python", "-c", _MAKE, folder=rel)
        if made.rc:
            raise RuntimeError(f"no inputs: {made.text[-300:]}")
    return rel


def _command(c: Case, out: Path, *more: str) -> list[str]:
    pipeline = Path(c.environment["SIGHTLINE_SRC"]) / "sightline/apps/gateway/gateway.yaml"
    data = _rel(c) / "data"
    return [
        "sightline", "run", str(pipeline), "--source", f"telemetry={data / 'telemetry.parquet'}",
        "--source", f"logs={data / 'logs.parquet'}", "--out", str(out), "--json", *more,
    ]  # fmt: skip


def _base(c: Case, name: str = "base") -> tuple[Path, dict[str, object]]:
    """A finished run, and what it printed."""
    out, said = _rel(c) / name, _rel(c) / f"{name}.json"
    if not said.exists():
        shutil.rmtree(out, ignore_errors=True)
        done = c.run(*_command(c, out), timeout_s=300)
        if done.rc:
            raise RuntimeError(f"the run that is to be harmed ended with {done.rc}: {done.err}")
        said.write_text(done.out)
    return out, json.loads(said.read_text())


def _harmed(c: Case, harm: Callable[[Path], object]) -> Path:
    base, _ = _base(c)
    copy = _rel(c) / "harmed"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(base, copy, symlinks=True)
    harm(copy)
    return copy


def _start(c: Case, *command: str) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", _MAIN, *command[1:]]
    return subprocess.Popen(
        words,
        cwd=c.folder,
        env={**os.environ, **c.environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _children(process: subprocess.Popen[str]) -> list[int]:
    found = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True,
                           check=False)  # fmt: skip
    return [int(pid) for pid in found.stdout.split()]


def _await(condition: Callable[[], bool], within_s: float) -> bool:
    end_s = time.monotonic() + within_s
    while not condition() and time.monotonic() < end_s:
        time.sleep(0.02)
    return condition()


def _same(c: Case, done: Finished, out: Path) -> Iterator[str]:
    """A run that went on came to the same end, and verifies."""
    _, expected = _base(c)
    if done.rc:
        yield f"the resumed run: exit {done.rc}, {done.err[-200:]}"
    elif json.loads(done.out)["digest"] != expected["digest"]:
        yield "the resumed run decided something else"
    verified = c.run("sightline", "verify", out)
    if verified.rc:
        yield f"verify of the resumed run: exit {verified.rc}, {verified.text[-300:]}"


@case("reliability/00_setup")
def inputs_are_made(c: Case) -> Iterator[str]:
    """The inputs of the others can be made, and a finished run verifies and replays."""
    base, _ = _base(c)
    for words in (("verify", base), ("replay", base)):
        done = c.run("sightline", *words)
        if done.rc:
            yield f"{words[0]}: exit {done.rc}, {done.text[-200:]}"


_PACE = ("--workers", "2", "--speed", "20x")
"""Of runs that are killed: slow enough that none ends before, on a busy machine too."""
_START_S = 120.0
"""For a run to begin, on a busy machine too."""


def _with_workers(process: subprocess.Popen[str]) -> list[int]:
    """The workers of a run, as soon as there are two.

    Raises:
        RuntimeError: it ended before, or they did not come.
    """
    _await(lambda: process.poll() is not None or len(_children(process)) == 2, _START_S)
    workers = _children(process)
    if len(workers) != 2:
        process.kill()
        _, err = process.communicate()
        raise RuntimeError(f"no two workers; exit {process.returncode}, {err[-200:]}")
    return workers


@case("reliability/01_kill9")
def killed_runs_go_on(c: Case) -> Iterator[str]:
    """Killed twice with workers, then a worker alone: the same end; exit 9 for the worker."""
    out = _rel(c) / "killed"
    shutil.rmtree(out, ignore_errors=True)
    for resume in ((), ("--resume",)):
        process = _start(c, *_command(c, out, *_PACE, *resume))
        _with_workers(process)
        _await(lambda: len(list(out.glob("log/p*/*.mcap"))) >= 4, _START_S)
        time.sleep(1)
        process.kill()
        process.communicate()
    process = _start(c, *_command(c, out, *_PACE, "--resume"))
    os.kill(_with_workers(process)[0], signal.SIGKILL)
    _, err = process.communicate(timeout=_START_S)
    if process.returncode != WorkerError.exit_code or "Traceback" in err or "Aborted" in err:
        yield f"a worker was killed: exit {process.returncode}, {err[-200:]}"
    yield from _same(c, c.run(*_command(c, out, "--resume"), timeout_s=300), out)


@case("reliability/06_orphan_worker")
def sleeping_workers(c: Case) -> Iterator[str]:
    """Workers stopped as they start, their coordinator killed, the run resumed, they wake up."""
    out = _rel(c) / "orphan"
    for wait_s in (0.0, 2.0):
        shutil.rmtree(out, ignore_errors=True)
        process = _start(c, *_command(c, out, *_PACE))
        workers = _with_workers(process)
        time.sleep(wait_s)
        for worker in workers:
            os.kill(worker, signal.SIGSTOP)
        process.kill()
        process.communicate()
        going = _start(c, *_command(c, out, "--resume", "--speed", "20x"))
        _await(lambda: len(list(out.glob("log/p*/*.mcap"))) >= 4, _START_S)
        for worker in workers:
            try:
                os.kill(worker, signal.SIGCONT)
            except ProcessLookupError:
                continue  # dead with its coordinator
        said, err = going.communicate(timeout=240)
        done = Finished(rc=going.returncode, out=said, err=err, wall_s=0.0)
        yield from _same(c, done, out)


@case("reliability/07_disk")
def a_disk_that_refuses(c: Case) -> Iterator[str]:
    """Short form: no file may grow beyond 100 kB, then the disk is mended and the run resumed."""
    out = _rel(c) / "disk"
    shutil.rmtree(out, ignore_errors=True)
    limited = 'trap "" XFSZ; ulimit -f 100; exec "$@"'
    words = _command(c, out)[1:]
    refused = c.run("bash", "-c", limited, "-", sys.executable, "-c", _MAIN, *words)
    if refused.rc != 8 or refused.is_defect:
        yield f"a disk that refuses: exit {refused.rc}, {refused.err[-200:]}"
    yield from _same(c, c.run(*_command(c, out, "--resume"), timeout_s=300), out)


@case("reliability/10_verify_gaps")
def what_is_missing(c: Case) -> Iterator[str]:
    """Every tampering fails in verify and in replay; heads are checked, also earlier ones."""
    base, _ = _base(c)
    other, _ = _base(c, "other")

    def edited(old: str, new: str) -> Callable[[Path], object]:
        def edit(run: Path) -> None:
            text = (run / "run.json").read_text()
            if old not in text:
                raise ValueError(f"nothing to edit: {old}")
            (run / "run.json").write_text(text.replace(old, new, 1))

        return edit

    def cut(run: Path) -> None:
        newest = sorted((run / "log/p002").glob("*.mcap"))[-1]
        os.truncate(newest, newest.stat().st_size // 2)

    def swap(run: Path) -> None:
        (run / "log/p003").rename(run / "x")
        (run / "log/p002").rename(run / "log/p003")
        (run / "x").rename(run / "log/p002")

    def edit_ledger(run: Path) -> None:
        with sqlite3.connect(run / "ledger.sqlite") as connection:
            connection.execute("UPDATE decisions SET severity = 'info'")
        connection.close()

    harms: dict[str, Callable[[Path], object]] = {
        "a partition removed": lambda run: shutil.rmtree(run / "log/p002"),
        "all logs removed": lambda run: shutil.rmtree(run / "log"),
        "the fan-in removed": lambda run: shutil.rmtree(run / "log/fan-in"),
        "a segment cut": cut,
        "partitions swapped": swap,
        "a log of another run": lambda run: shutil.copytree(
            other / "log/p002", run / "log/p002", dirs_exist_ok=True
        ),
        "the ledger edited": edit_ledger,
        "the ledger of another run": lambda run: shutil.copy(
            other / "ledger.sqlite", run / "ledger.sqlite"
        ),
        "controls forged": edited('"controls": []', '"controls": [{"control": "mask"}]'),
        "a budget edited": edited('"latency_budget_s": 60.0', '"latency_budget_s": 99.0'),
        "partitions edited": edited('"partitions": 4', '"partitions": 2'),
        "a fingerprint edited": edited('"sha256": "', '"sha256": "0'),
    }
    for what, harm in harms.items():
        run = _harmed(c, harm)
        for word in ("verify", "replay"):
            done = c.run("sightline", word, run)
            if done.rc == 0 or done.is_defect:
                yield f"{what}: {word} exit {done.rc}, {done.text[-120:]}"
    head = json.loads(c.run("sightline", "verify", base, "--json").out)["logs"]["p000"]["head"]
    for given, is_right in (
        (f"p000={head}", True), (f"p000={head.upper()}", True), ("p000=deadbeef", False),
        (f"p000={head[:-1]}", False), (f"p0000={head}", False), (head, False),
        (f"P000={head}", False),
    ):  # fmt: skip
        done = c.run("sightline", "verify", base, "--head", given)
        if (done.rc == 0) != is_right or done.is_defect:
            yield f"--head {given[:16]}: exit {done.rc}"


@case("reliability/11_bitflips")
def bit_flips(c: Case) -> Iterator[str]:
    """One flipped bit at ten places of each file is found; the test suite tries more."""
    base, _ = _base(c)
    for file in sorted(p for p in base.rglob("*") if p.is_file() and p.name != "run.lock"):
        name, content = file.relative_to(base), file.read_bytes()
        for part in range(3):
            flipped = bytearray(content)
            flipped[len(content) * (2 * part + 1) // 6] ^= 1 << part
            run = _harmed(c, lambda run, n=name, f=flipped: (run / n).write_bytes(f))  # type: ignore[misc]
            done = c.run("sightline", "verify", run)
            if done.rc == 0 or done.is_defect:
                yield f"{name}, part {part}: verify exit {done.rc}"


@case("reliability/13_ledger")
def a_ledger_that_does_not_follow(c: Case) -> Iterator[str]:
    """A ledger ahead of its log is refused; one that is gone is rebuilt."""

    def ahead(run: Path) -> None:
        with sqlite3.connect(run / "ledger.sqlite") as connection:
            connection.execute("UPDATE applied_through SET log_sequence = 1000000000")
        connection.close()

    run = _harmed(c, ahead)
    done = c.run(*_command(c, run, "--resume"))
    if done.rc == 0 or done.is_defect:
        yield f"a ledger ahead of its log: exit {done.rc}"
    run = _harmed(c, lambda run: (run / "ledger.sqlite").unlink())
    yield from _same(c, c.run(*_command(c, run, "--resume")), run)


@case("reliability/15_determinism")
def the_same_everywhere(c: Case) -> Iterator[str]:
    """Short form: another hash seed, one thread, another zone and language: the same digest."""
    _, expected = _base(c)
    for name, value in (("PYTHONHASHSEED", "99"), ("POLARS_MAX_THREADS", "1"),
                        ("TZ", "Pacific/Kiritimati")):  # fmt: skip
        out = _rel(c) / "determined"
        shutil.rmtree(out, ignore_errors=True)
        words = _command(c, out)[1:]
        done = c.run("env", f"{name}={value}", sys.executable, "-c", _MAIN, *words)
        if done.rc or json.loads(done.out)["digest"] != expected["digest"]:
            yield f"{name}={value}: exit {done.rc}, or another digest"


@case("reliability/21_interop")
def read_by_others(c: Case) -> Iterator[str]:
    """Mcap's own reader reads every message, and the chain holds without Sightline."""
    base, _ = _base(c)
    done = c.run("python", c.folder / "interop.py", base)
    if done.rc or "undecodable or against their schema 0 broken links 0" not in done.out:
        yield f"interop.py: exit {done.rc}, {done.text[:200]}"


@case("reliability/23_bombs")
def bombs(c: Case) -> Iterator[str]:
    """A few kilobytes that unpack to a gigabyte, in a log whose chain holds: refused by name."""
    forge = """
import io, sys
import polars as pl
from pathlib import Path
from sightline.recorder import DirectoryStorage
from sightline.recorder.log import PartitionLog
from sightline.records import EntryKind
from sightline.runtime import RunDirectory
run = Path(sys.argv[1])
origin = RunDirectory.open(run).origin
for file in (run / "log/p000").iterdir():
    file.unlink()
stream = io.BytesIO()
zeros = pl.zeros(150_000_000, dtype=pl.Int64, eager=True)
pl.DataFrame({"a": zeros}).write_ipc_stream(stream, compression="zstd")
log = PartitionLog.open(DirectoryStorage(run), "p000")
log.append(EntryKind.ORIGIN, "", origin.genesis("p000"), time_ns=0)
log.append(EntryKind.INPUT, "telemetry", stream.getvalue(), time_ns=1)
log.append(EntryKind.QUARANTINE, "telemetry", stream.getvalue(), time_ns=2)
log.commit()
log.close()
"""
    run = _harmed(c, lambda run: None)
    c.run("python", "-c", forge, run)
    for words in (("verify",), ("replay",), ("quarantine",), ("report", "-o", "bomb.html")):
        limited = 'ulimit -v 9000000; exec "$@"'
        word, *more = words
        done = c.run("bash", "-c", limited, "-", sys.executable, "-c", _MAIN, word, run, *more)
        if (done.rc in (0, 1, 70) and word != "verify") or done.rc == 0 or done.is_defect:
            yield f"{word}: exit {done.rc}, {done.text[-200:]}"


_ORDER = """
import sys
from dataclasses import replace
from pathlib import Path
import numpy as np
import polars as pl
from sightline.limits import DEFAULT_LIMITS
from sightline.runtime import load_plan, run_pipeline
from sightline.sense import MemorySource
n, start_ns = 40_000, 1_767_225_600 * 10**9
rng = np.random.default_rng(1)
at_ns = np.sort(rng.integers(0, 600 * 10**9, n)) // 10**7 * 10**7  # many share one time
keys, values = [f"k{i}" for i in rng.integers(0, 3, n)], rng.lognormal(0, 3, n)
late_ns = rng.integers(0, 20 * 10**9, n)
for pipeline in sorted(Path().glob("p*.yaml")):
    for mode in sys.argv[1:]:
        rows = pl.DataFrame({
            "k": keys, "time_ns": at_ns + start_ns, "v": values, "seq": np.arange(n),
            "received_ns": at_ns + start_ns + (late_ns if mode == "shuffled" else 0),
            "tie": -np.arange(n) if mode == "ties" else np.arange(n),
        }).sort("received_ns", "tie").drop("tie")
        limits = replace(DEFAULT_LIMITS, chunk_rows=1000) if mode == "chunks" else DEFAULT_LIMITS
        report = run_pipeline(
            load_plan(pipeline), {"t": MemorySource("t", {"x": rows})},
            Path(f"{pipeline.stem}_{mode}_{len(sys.argv)}"), limits=limits,
        )
        print(pipeline.stem, report.final_digest, sum(report.decisions.values()))
"""
_ORDER_CONTRACT = """
contract: t
key: [k]
event_time: {column: time_ns, format: unix_ns}
receipt_time: {column: received_ns, format: unix_ns}
sequence: {column: seq}
duplicate_key: [k, time_ns, seq]
fields: {v: {type: number, unit: V, required: true}}
timing: {out_of_order_s: 30, revision_allowance_s: 60, max_backlog_s: 86400, clock_skew_s: 60}
"""
_ORDER_STAGES = """
pipeline: p
tick_s: 10
sources: {{t: {{contract: c.yaml}}}}
stages:
  w: {{use: windows, input: t, width_s: 600, statistics: [count],
       expressions: {{x: {{sql: "{sql}", unit: "1"}}}}}}
  a: {{use: alarm, input: w, measure: x, unit: "1", raise_above: 0.0001, clear_below: -1, code: X}}
"""


@case("reliability/24_sql_order")
def whatever_the_order(c: Case) -> Iterator[str]:
    """Arrival within the allowance, ties, chunks and threads change no bit of an expression."""
    (c.folder / "c.yaml").write_text(_ORDER_CONTRACT)
    for sql in ("avg(v)", "sum(v)", "first(v)", "stddev(v)"):
        (c.folder / f"p{sql[:3]}.yaml").write_text(_ORDER_STAGES.format(sql=sql))
    found: dict[str, set[str]] = {}
    order = (sys.executable, "-c", _ORDER)
    for words in (
        (*order, "plain", "shuffled", "ties", "chunks"),
        ("env", "POLARS_MAX_THREADS=1", *order, "plain"),
    ):
        done = c.run(*words)
        if done.rc:
            yield f"exit {done.rc}, {done.err[-200:]}"
            return
        for line in done.out.splitlines():
            found.setdefault(line.split()[0], set()).add(line)
    for name, said in found.items():
        if len(said) != 1:
            yield f"{name}: {said}"
    if len(found) != 4:
        yield f"only {sorted(found)} were run"
