"""Cases of what leaves a run: ledger, alerts, commands to machines, and the secrets on the way."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.cases.case import Case, case
from sightline.act import (
    CommandKey,
    CommandReceiver,
    CommandSigner,
    DeliveryError,
    Ledger,
    RunMetrics,
    open_outlet,
)
from sightline.act.command_signing import Counter
from sightline.apps.gateway import PIPELINE, simulate, watched_scene, write_frames
from sightline.errors import SightlineError
from sightline.records.command import ActuatorCommand, CommandLevel
from sightline.records.decision import Mode
from sightline.records.signals import NS_PER_S

SIGHTLINE = (sys.executable, "-c", "from sightline.cli import main; main()")

# --- a receiver that misbehaves on demand ---------------------------------------------------------


@dataclass
class Receiver:
    """A web server that notes what comes, and answers as it is told.

    Attributes:
        status: of its answers.
        waits_s: before each.
        came: when each request came, seconds of the monotonic clock, and its body.
    """

    status: int = 200
    waits_s: float = 0.0
    headers: dict[str, str] = field(default_factory=dict)
    came: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    taken: set[str] = field(default_factory=set)
    url: str = ""

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        body = json.loads(request.rfile.read(int(request.headers["Content-Length"])))
        self.came.append((time.monotonic(), body))
        time.sleep(self.waits_s)
        if self.status == 200:
            self.taken.add(str(request.headers["Idempotency-Key"]))
        request.send_response(self.status)
        for name, value in self.headers.items():
            request.send_header(name, value)
        request.send_header("Content-Length", "0")
        request.end_headers()


@contextmanager
def receiver() -> Iterator[Receiver]:
    """A receiver for as long as the context lasts."""
    found = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            found.answer(self)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    found.url = f"http://127.0.0.1:{server.server_address[1]}/x"
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()


def _report(process: subprocess.Popen[str], *, timeout_s: float = 60.0) -> dict[str, Any]:
    """The JSON of a run, with its exit status and what it said beside."""
    out, err = process.communicate(timeout=timeout_s)
    found: dict[str, Any] = json.loads(out) if out.lstrip().startswith("{") else {}
    return {**found, "rc": process.returncode, "err": err}


# --- alerts of live runs --------------------------------------------------------------------------

CONTRACT = """contract: t
version: "1"
key: [k]
event_time: {column: time, format: iso8601, time_zone: utc}
fields: {v: {type: number, unit: V, required: true}}
timing: {out_of_order_s: 0, revision_allowance_s: 0, max_backlog_s: 86400, clock_skew_s: 5}
expected_rate_hz: 5
"""
ONE_ALARM = """pipeline: p
tick_s: 1
latency_budget_s: 2
sources: {t: {contract: c.yaml}}
stages:
  w: {use: windows, input: t, width_s: 1, statistics: [count, max]}
  a: {use: alarm, input: w, measure: v.max, unit: V, raise_above: 3, clear_below: 1, code: X,
      severity: critical}
"""


def _live(
    c: Case,
    name: str,
    to: str,
    *,
    value: Callable[[float], float],
    run_s: float,
    desk: bool = False,
) -> tuple[subprocess.Popen[str], threading.Thread]:
    """A live run whose only source is fed for ``run_s``; in it ``value`` is measured."""
    folder = c.folder / name
    folder.mkdir()
    (folder / "c.yaml").write_text(CONTRACT)
    (folder / "p.yaml").write_text(ONE_ALARM + ("alerting: {hold_s: 0}\n" if desk else ""))
    process = subprocess.Popen(
        [*SIGHTLINE, "run", "p.yaml", "--source", "t=-", "--live", "--out", "r",
         "--alerts", to, "--json"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        cwd=folder,
    )  # fmt: skip

    def feed() -> None:
        assert process.stdin is not None
        began_s = time.monotonic()
        while (at_s := time.monotonic() - began_s) < run_s:
            now = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
            row = {"k": "a", "time": f"{now}.{time.time_ns() % NS_PER_S // 1000:06d}Z"}
            process.stdin.write(json.dumps({**row, "v": value(at_s)}) + "\n")
            process.stdin.flush()
            time.sleep(0.2)

    thread = threading.Thread(target=feed, daemon=True)
    thread.start()
    return process, thread


@case("reliability/04_live_retry")
def live_retry(c: Case) -> Iterator[str]:
    """An alert that met 503 for 3 s is told soon after, although nothing else is decided."""
    for desk in (False, True):
        with receiver() as hook:
            hook.status = 503
            process, feeding = _live(
                c, f"desk{desk}", hook.url, run_s=24, desk=desk,
                value=lambda at_s: 5.0 if at_s > 6 else 0.0,
            )  # fmt: skip
            while not hook.came and process.poll() is None:
                time.sleep(0.1)
            first_s = time.monotonic()
            time.sleep(3)
            hook.status = 200
            while not hook.taken and time.monotonic() - first_s < 15:
                time.sleep(0.1)
            took_s = time.monotonic() - first_s
            if not hook.taken or took_s > 10:
                yield f"desk {desk}: not told within 10 s of the first attempt ({took_s:.1f} s)"
            feeding.join()
            process.stdin = None  # closed by communicate
            done = _report(process)
            if done["rc"] or done["undelivered"]:
                yield f"desk {desk}: exit {done['rc']}, {done.get('undelivered')} undelivered"


@case("reliability/05_webhook")
def webhook_latency(c: Case) -> Iterator[str]:
    """A receiver that hangs reaches neither into the latency nor unseen into the end."""
    with receiver() as hook:
        hook.waits_s = 30.0
        process, feeding = _live(
            c, "hang", hook.url, run_s=20,
            value=lambda at_s: 5.0 if at_s > 4 and int(at_s / 2) % 2 else 0.0,
        )  # fmt: skip
        feeding.join()
        process.stdin = None
        done = _report(process)
        if done.get("deadline_missed"):
            yield f"deadlines missed: {done['deadline_missed']}"
        if done.get("latency_s", {}).get("worst", 9.0) > 2:
            yield f"latency {done.get('latency_s')}"
        if done["rc"] == 0:
            yield f"exit 0 with {done.get('undelivered')} undelivered"
    for status, headers, is_permanent in (
        (503, {"Retry-After": "99999999999999"}, False),
        (429, {"Retry-After": "1"}, False),
        (400, {}, True),
        (307, {"Location": "http://127.0.0.2:1/"}, True),
    ):
        with receiver() as hook:
            hook.status, hook.headers = status, headers
            outlet = open_outlet(hook.url, use="alerts", where="case")[1]
            try:
                outlet.send(_command(CommandLevel.STOP), idempotency_key="k", deadline_s=2.0)
                yield f"HTTP {status} was taken"
            except DeliveryError as error:
                if error.is_permanent is not is_permanent:
                    yield f"HTTP {status}: permanent {error.is_permanent}"


# --- secrets --------------------------------------------------------------------------------------

SECRETS = ("hunter2", "TOKSECRET", "PATHSECRET")
ADDRESSES = (
    ("--alerts", "http://user:hunter2@127.0.0.1:9/PATHSECRET?token=TOKSECRET"),
    ("--alerts", "http://user:hunter2@[bad/PATHSECRET"),
    ("--alerts", "ftp://user:hunter2@x/PATHSECRET"),
    ("--alerts", "http://user:hunter2@x:99999/PATHSECRET"),
    ("--alerts", "HTTP://user:hunter2@127.0.0.1:9/PATHSECRET"),
    ("--alerts", "http://user:hunter2@h/ü PATHSECRET"),
    ("--alerts", "http://127.0.0.1:9/x#TOKSECRET"),
    ("--alerts", "mqtt://user:hunter2@127.0.0.1:9/pre"),
    ("--alerts", "mqtts://user:hunter2@127.0.0.1:9/pre"),
    ("--alerts", "mqtt://127.0.0.1:9/pre?password=hunter2"),
    ("--alerts", "ops=ws://user:hunter2@x/PATHSECRET"),
    ("--alerts", "user:hunter2@x/PATHSECRET"),
    ("--source", "telemetry=rtmp://user:hunter2@127.0.0.1:9/PATHSECRET"),
    ("--source", "telemetry=srt://127.0.0.1:9?passphrase=hunter2"),
    ("--source", "telemetry=s3://user:hunter2@bucket/PATHSECRET"),
    ("--source", "telemetry=HTTPS://user:hunter2@127.0.0.1:9/PATHSECRET"),
)


@case("reliability/09_secrets")
def secrets(c: Case) -> Iterator[str]:
    """Credentials in an address are used or refused, and neither printed nor kept."""
    table = _gateway_input(c)
    for number, (option, address) in enumerate(ADDRESSES):
        given = {"--source": [f"telemetry={table[0]}", f"logs={table[1]}"]}
        if option == "--source":
            given[option][0] = address
        else:
            given[option] = [address]
        words = [w for name, values in given.items() for value in values for w in (name, value)]
        out = f"r{number}"
        done = c.run("sightline", "run", PIPELINE, *words, "--out", out)
        shown = address.replace("hunter2", "…")
        if any(secret in done.text for secret in SECRETS):
            yield f"{option} {shown}: printed"
        kept = [p for p in c.folder.joinpath(out).rglob("*") if p.is_file()]
        if any(s.encode() in p.read_bytes() for p in kept for s in SECRETS):
            yield f"{option} {shown}: kept in the run"
        if done.rc == 0 or done.is_defect:
            yield f"{option} {shown}: exit {done.rc}"


def _gateway_input(c: Case) -> tuple[Path, Path]:
    folder = c.folder / "input"
    write_frames(simulate(watched_scene(seed=7, n_satellites=6, duration_s=600)), folder)
    return folder / "telemetry.parquet", folder / "logs.parquet"


# --- the safety loop ------------------------------------------------------------------------------

SITE = """use: site
pipeline: yard
detectors: {motion: {use: motion, person_px: [40, 110]}}
cameras:
  east:
    contract: {width_px: 480, height_px: 360, rate_hz: 7, max_age_s: 0.5}
    detector: motion
zones:
  pit: {camera: east, polygon_px: [[150, 120], [330, 120], [330, 260], [150, 260]],
        is_forbidden: true}
machines:
  saw: {cameras: [east], zones: [pit]}
  press: {cameras: [east], zones: [pit]}
"""
_BEFORE_S, _TROUBLE_S, _LONGEST_GAP_S = 4.0, 8.0, 1.5


def _write_video(path: Path) -> None:
    """Half a minute of a yard in which somebody walks to and fro."""
    draws = np.random.default_rng(5)
    ground = draws.integers(90, 130, (360, 480, 3), dtype=np.uint8)
    video = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 7.0, (480, 360))
    for frame in range(210):
        picture = ground.copy()
        x = 40 + abs((frame * 6) % 800 - 400)
        picture[150:230, x : x + 30] = (20, 30, 40)
        video.write(picture)
    video.release()


def _nothing() -> None:
    """What is to be undone where nothing is."""


def _locked(ledger: Path) -> Callable[[], None]:
    held = sqlite3.connect(ledger, isolation_level=None, timeout=10, check_same_thread=False)
    held.execute("begin immediate")
    return held.close


def _without_outbox(ledger: Path) -> Callable[[], None]:
    with sqlite3.connect(ledger, timeout=10) as held:
        held.execute("drop table outbox")
    return held.close


def _overwritten(ledger: Path) -> Callable[[], None]:
    with ledger.open("r+b") as file:
        file.write(b"\xa5" * ledger.stat().st_size)
    return _nothing


def _deleted(ledger: Path) -> Callable[[], None]:
    ledger.unlink()
    return _nothing


@case("reliability/14_site_shell")
def site_shell(c: Case) -> Iterator[str]:
    """Whatever becomes of ledger, alerts or another machine: commands go on, and it is said."""
    (c.folder / "site.yaml").write_text(SITE)
    _write_video(c.folder / "yard.avi")
    on_ledger = {
        "none": None, "locked": _locked, "no table": _without_outbox,
        "overwritten": _overwritten, "deleted": _deleted,
    }  # fmt: skip
    for name, trouble in on_ledger.items():
        yield from _site_run(c, f"ledger {name}", on_ledger=trouble)
    yield from _site_run(c, "alerts hang", alerts_hang=True)
    yield from _site_run(c, "saw hangs", saw_hangs=True)


def _site_run(
    c: Case,
    name: str,
    *,
    on_ledger: Callable[[Path], Callable[[], None]] | None = None,
    alerts_hang: bool = False,
    saw_hangs: bool = False,
) -> Iterator[str]:
    out = c.folder / name.replace(" ", "-")
    with receiver() as saw, receiver() as press, receiver() as alerts:
        process = subprocess.Popen(
            [*SIGHTLINE, "run", "site.yaml", "--source", "east=yard.avi", "--speed", "1x",
             "--out", out, "--actuator", f"saw={saw.url}", "--actuator", f"press={press.url}",
             "--alerts", f"ops={alerts.url}", "--json"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=c.folder,
        )  # fmt: skip
        while not press.came and process.poll() is None:
            time.sleep(0.05)
        time.sleep(_BEFORE_S)
        alerts.waits_s, saw.waits_s = 30.0 * alerts_hang, 30.0 * saw_hangs
        began_s = time.monotonic()
        undo = _nothing if on_ledger is None else on_ledger(out / "ledger.sqlite")
        time.sleep(_TROUBLE_S)
        if process.poll() is not None:
            yield f"{name}: the run ended: {process.communicate()[1][-160:]}"
            return
        for machine, got in (("saw", saw), ("press", press)):
            times = [began_s, *(t for t, _ in got.came if t > began_s), time.monotonic()]
            gap_s = max(b - a for a, b in pairwise(times))
            if gap_s > _LONGEST_GAP_S:
                yield f"{name}: {machine} heard nothing for {gap_s:.1f} s"
        undo()
        alerts.waits_s = saw.waits_s = 0.0
        process.send_signal(signal.SIGINT)
        done = _report(process)
    if on_ledger is not None and "ledger" not in done["err"]:
        yield f"{name}: nothing was said of it"
    if on_ledger is not None and done["rc"] == 0 and not _is_whole(out):
        yield f"{name}: exit 0 with a ledger that lacks decisions"
    if done["rc"] not in (0, 7):
        yield f"{name}: exit {done['rc']}: {done['err'][-160:]}"


def _is_whole(run: Path) -> bool:
    """Whether the ledger has what was decided."""
    try:
        with Ledger.open(f"sqlite:///{run / 'ledger.sqlite'}", create=False) as ledger:
            return bool(ledger.decisions())
    except SightlineError:
        return False


# --- who may command a machine --------------------------------------------------------------------


def _command(level: CommandLevel, *, at_s: float = 0.0, valid_s: float = 1.0) -> ActuatorCommand:
    return ActuatorCommand(
        command_id=f"{level}-{at_s}",
        machine="saw",
        level=level,
        issued_ns=round(at_s * NS_PER_S),
        valid_until_ns=round((at_s + valid_s) * NS_PER_S),
        revision=0,
        reasons=(),
        mode=Mode.PRIMARY,
    )


@case("reliability/19_mqtt")
def who_commands(c: Case) -> Iterator[str]:
    """A forged NONE frees no machine: STOP wins, and with a key nothing forged is heeded."""
    forged = _command(CommandLevel.NONE, at_s=0.95, valid_s=9.9)
    stop = _command(CommandLevel.STOP)
    plain = CommandReceiver("saw")
    for said in (forged, stop):
        plain.take(said.canonical_bytes(), now_ns=0)
    if plain.level(now_ns=1) is not CommandLevel.STOP:
        yield "without a key: a forged NONE outlives a STOP"
    key = CommandKey(b"k" * 32)
    signed = CommandReceiver("saw", key=key, after=Counter(0, 0))
    evil = CommandSigner(CommandKey(b"e" * 32), session=9).sign(forged)
    for payload in (forged.canonical_bytes(), evil.canonical_bytes()):
        signed.take(payload, now_ns=0)
    if signed.level(now_ns=1) is not CommandLevel.STOP:
        yield "with a key: a forged NONE was heeded"
    (c.folder / "site.yaml").write_text(SITE)
    _write_video(c.folder / "yard.avi")
    done = c.run(
        "sightline", "run", "site.yaml", "--source", "east=yard.avi", "--out", "x",
        "--actuator", "saw=mqtts://127.0.0.1:9/plant", "--json",
    )  # fmt: skip
    if done.rc:
        yield f"mqtts:// is refused: exit {done.rc}, {done.err[-160:]}"


# --- receivers by name ----------------------------------------------------------------------------


@case("reliability/25_sinks")
def sinks(c: Case) -> Iterator[str]:
    """Alerts go to whom they were meant for; what was not told is in the exit code and metrics."""
    table = _gateway_input(c)
    base = ["sightline", "run", str(PIPELINE), "--source", f"telemetry={table[0]}",
            "--source", f"logs={table[1]}", "--out", "r", "--json"]  # fmt: skip
    down = c.run(*base, "--alerts", "ops=http://127.0.0.1:9/a")
    waits = json.loads(down.out)["undelivered"] if down.out.startswith("{") else None
    if down.rc == 0 or not waits:
        yield f"a receiver that is down: exit {down.rc}, {waits} undelivered"
    with receiver() as hook:
        other = c.run(*base, "--resume", "--alerts", f"bot={hook.url}")
        if hook.taken or other.rc == 0:
            yield f"another receiver got {len(hook.taken)} alerts meant for ops, exit {other.rc}"
        again = c.run(*base, "--resume", "--alerts", "jsonl:f.jsonl", "--alerts", f"ops={hook.url}")
        if again.rc or len(hook.taken) != waits:
            yield f"in another place: {len(hook.taken)} of {waits} told, exit {again.rc}"
    page = RunMetrics().render().decode()
    if "sightline_alerts_undelivered" not in page:
        yield "nothing of delivery in the metrics"
    shutil.copy(c.folder / "run.sh", c.folder / "foreign.txt")
    before = (c.folder / "foreign.txt").read_bytes()[:-1]
    (c.folder / "foreign.txt").write_bytes(before)
    c.run(*base, "--alerts", "jsonl:foreign.txt")
    if (c.folder / "foreign.txt").read_bytes() != before:
        yield "a foreign file was changed by a command that was refused"
