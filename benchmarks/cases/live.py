"""Live runs: more than their inbox holds, more than their bounds, and clocks that are set."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import numpy as np

from benchmarks.cases.case import Case, case
from benchmarks.cases.outlets import CONTRACT, ONE_ALARM, SIGHTLINE, receiver

# --- a clock that is set --------------------------------------------------------------------------

_RUN_S, _SET_AFTER_S = 24.0, 9.0
_CLOCK_RUN = """
import json, sys, time
from pathlib import Path
from sightline.cli.outlets import parse_alerts
from sightline.cli.sources import open_sources
from sightline.runtime import RunOptions, load_plan, run_pipeline
from sightline.runtime.run_options import RunClocks
pipeline, out, url, offset = sys.argv[1:]
def wall_ns():
    return time.time_ns() + int(float(Path(offset).read_text()) * 10**9)
plan = load_plan(Path(pipeline))
report = run_pipeline(
    plan, open_sources(plan, ["t=-"]), Path(out), options=RunOptions(is_live=True),
    alerts=parse_alerts([url]), clocks=RunClocks(wall_ns=wall_ns),
)
print(json.dumps(report.as_mapping(), default=str))
"""


@case("reliability/20_clock")
def clocks_that_are_set(c: Case) -> Iterator[str]:
    """Set by an hour: nothing is refused, alerts go on, and a decision says so; it replays."""
    (c.folder / "c.yaml").write_text(CONTRACT)
    (c.folder / "p.yaml").write_text(ONE_ALARM)
    for set_s in (0, -3600, 3600):
        with receiver() as hook:
            yield from (f"set by {set_s} s: {short}" for short in _set(c, set_s, hook.url))
            if not any(event["code"] == "X" for event in _told(hook.came)):
                yield f"set by {set_s} s: no alert was told"


def _told(came: list[tuple[float, dict[str, Any]]]) -> list[dict[str, Any]]:
    return [{"code": body["reasons"][0]["code"]} for _, body in came if "reasons" in body]


def _set(c: Case, set_s: int, url: str) -> Iterator[str]:
    out, offset = c.folder / f"r{set_s}", c.folder / "offset"
    offset.write_text("0")
    process = subprocess.Popen(
        [sys.executable, "-c", _CLOCK_RUN, "p.yaml", str(out), url, str(offset)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        cwd=c.folder,
    )  # fmt: skip
    assert process.stdin is not None
    while not (out / "run.json").exists() and process.poll() is None:
        time.sleep(0.1)
    began_s = time.monotonic()
    while (at_s := time.monotonic() - began_s) < _RUN_S:
        if at_s > _SET_AFTER_S and set_s:
            (c.folder / "offset2").write_text(str(set_s))
            (c.folder / "offset2").replace(offset)
        value = 5 if at_s > 12 and int(at_s / 3) % 2 else 0
        row = {"k": "a", "time": datetime.now(UTC).isoformat(), "v": value}
        process.stdin.write(json.dumps(row) + "\n")
        process.stdin.flush()
        time.sleep(0.2)
    said, err = process.communicate(timeout=60)
    if process.returncode:
        yield f"exit {process.returncode}, {err[-200:]}"
        return
    report = json.loads(said)
    if report["accounts"]["quarantined"] or report["undelivered"]:
        yield f"quarantined {report['accounts']['quarantined']}, {report['undelivered']} untold"
    decided = json.loads(c.run("sightline", "decisions", out, "--last", "999", "--json").out)[
        "newest"
    ]
    clock = [d for d in decided if d["kind"] == "clock-set" and d["transition"] == "raised"]
    if len(clock) != bool(set_s) or any(abs(d["score"] - set_s) > 1 for d in clock):
        yield f"decisions about the clock: {[d['score'] for d in clock]}"
    for word in ("verify", "replay"):
        done = c.run("sightline", word, out)
        if done.rc:
            yield f"{word}: exit {done.rc}, {done.text[-200:]}"


# --- more than there is room for ------------------------------------------------------------------


@case("reliability/16_load")
def more_than_there_is_room_for(c: Case) -> Iterator[str]:
    """Short form: full inboxes with bad and long lines between, kills, bounds of keys."""
    (c.folder / "c.yaml").write_text(CONTRACT)
    for policy, kills in (("block", 0), ("latest", 0), ("spill", 0), ("spill", 2)):
        yield from (f"{policy}, {kills} kills: {s}" for s in _flooded(c, policy, kills))
    yield from _keys_at_their_bound(c)


def _flooded(c: Case, policy: str, kills: int) -> Iterator[str]:
    sources = f"sources: {{t: {{contract: c.yaml, inbox: {{policy: {policy}, max_rows: 500}}}}}}"
    pipeline = ONE_ALARM.replace("sources: {t: {contract: c.yaml}}", sources)
    (c.folder / "p.yaml").write_text(pipeline.replace("tick_s: 1", "tick_s: 1\npartitions: 2"))
    out = c.folder / "r"
    shutil.rmtree(out, ignore_errors=True)
    rng, sent = np.random.default_rng(1), 0
    for life in range(kills + 1):
        process = subprocess.Popen(
            [*SIGHTLINE, "run", "p.yaml", "--source", "t=-", "--live", "--out", "r", "--json",
             *(("--resume",) if life else ())],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=c.folder,
        )  # fmt: skip
        assert process.stdin is not None
        until_s = time.monotonic() + 8
        for _ in range(12_000):
            try:
                process.stdin.write(_line(rng))
            except BrokenPipeError:
                break
            sent += 1
            if life < kills and time.monotonic() > until_s:
                break
        if life < kills:
            process.kill()
        said, err = process.communicate(timeout=120)
    if process.returncode:
        yield f"exit {process.returncode}, {err[-200:].decode()}"
        return
    accounts = json.loads(said)["accounts"]
    total = accounts["decided"] + accounts["superseded"] + accounts["in_flight"]
    total += sum(accounts["dropped"].values()) + sum(accounts["quarantined"].values())
    if not accounts["balanced"] or total != accounts["received"]:
        yield f"{accounts}"
    if (not kills and accounts["received"] != sent) or accounts["received"] > sent:
        yield f"{sent} lines were sent, {accounts['received']} received"
    if list(out.glob("spill/*/*")):
        yield "rows are left in the spill folder"
    for word in ("verify", "replay"):
        done = c.run("sightline", word, out)
        if done.rc:
            yield f"{word}: exit {done.rc}, {done.text[-200:]}"


def _line(rng: np.random.Generator) -> bytes:
    kind = rng.random()
    if kind < 0.001:
        return b'{"k":"a","broken\n'
    if kind < 0.0015:
        return b'{"k":"' + b"x" * (2 << 20) + b'"}\n'
    if kind < 0.002:
        return b"\xff\xfe\n"
    row = {"k": f"k{rng.integers(50)}", "time": datetime.now(UTC).isoformat(), "v": 1}
    return json.dumps(row).encode() + b"\n"


_KEYS = """
from dataclasses import replace
from pathlib import Path
import polars as pl
from sightline.limits import DEFAULT_LIMITS
from sightline.runtime import load_plan, run_pipeline
from sightline.sense import MemorySource
n = 3000
rows = pl.DataFrame({
    "k": [f"key-{i}" for i in range(n)] * 2,
    "time": ["2026-01-01T00:00:00Z"] * n + ["2026-01-01T00:00:01Z"] * n,
    "v": [5.0] * 2 * n,
})
report = run_pipeline(load_plan(Path("p.yaml")), {"t": MemorySource("t", {"x": rows})},
                      Path("keys"), limits=replace(DEFAULT_LIMITS, max_keys=1000,
                                                   max_open_decisions=200))
print(report.accounts.equation(), dict(report.at_bounds))
"""


def _keys_at_their_bound(c: Case) -> Iterator[str]:
    (c.folder / "p.yaml").write_text(ONE_ALARM)
    done = c.run("python", "-c", _KEYS)
    quarantined = 2 * (3000 - 1000)
    if done.rc or f"quarantined {quarantined}" not in done.out or "max_open" not in done.out:
        yield f"bounds of keys and open decisions: exit {done.rc}, {done.text[-200:]}"
