"""Kills and restarts of everything under a live run: nothing lost, nothing twice, by digest.

A live run reads three streams at once (NATS JetStream, a quorum queue and a stream of RabbitMQ) and
keeps its ledger in PostgreSQL, all of them servers of the trial's own. While rows are published,
one fault follows the other in a drawn order:

- a worker is killed (SIGKILL), or the coordinator;
- the workers are stopped (SIGSTOP), the coordinator is killed, and the orphans are woken when the
  next opening of the run has begun;
- NATS, RabbitMQ or PostgreSQL is killed and started again.

Whoever supervises the run starts it again whenever it has ended, with another number of workers
(1, 2 or 4). A fault is over when there is something new in the ledger: after a kill rows, after the
restart of a broker decisions of its own rows, counted from when the run was opened again, or the
server serves. Then the KPI job is killed, and PostgreSQL under it. What came of it all is held
against runs over the same rows in files that nobody disturbed.

What a stream of RabbitMQ was given twice, because a confirmation was lost with the server, counts
as superseded: by AMQP 0.9.1 it does not know a message again.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import sqlalchemy as sa

from benchmarks.servers import (
    Server,
    ended_in_order,
    nats_server,
    own,
    postgres_server,
    rabbitmq_server,
)
from sightline.act.kpi_ledger import KpiLedger
from sightline.act.ledger_database import ledger_engine
from sightline.brokers.address import BrokerAddress
from sightline.brokers.link import ARROW
from sightline.brokers.opening import open_writer
from sightline.errors import SightlineError, SinkError, WorkerError
from sightline.limits import DEFAULT_LIMITS
from sightline.records import Decision
from sightline.records.decision import decisions_digest, final_revisions

_START_S = 1_767_225_600
_SECONDS = 1_000  # of telemetry, a row a second of each satellite
_WINDOW_S = 5
_QUIET_S = 30  # the newest windows of a live run that is stopped are open: no alarm in them
_WORKERS = (1, 4, 2, 1, 2, 1, 2)
_FAULT_S, _QUIET_WAIT_S, _END_S, _KPI_S, _ALONE_S = 240.0, 120.0, 120.0, 300.0, 900.0
"""Longest waits: for the end of a fault, for one more of the last rows, for the end of a run, for a
KPI job, for the undisturbed run."""
_MESSAGE_ROWS = 2_000
SOURCES = ("nats", "queue", "stream")
_CONTRACT = """contract: telemetry
key: [satellite]
event_time: {column: time, format: unix_s}
fields: {bus_voltage_v: {type: number, unit: V}}
timing: {out_of_order_s: 5, revision_allowance_s: 300, max_backlog_s: 315360000}
"""
_KPIS = """kpis: bus
contract: telemetry.contract.yaml
metrics:
  voltage_median: {version: 1, unit: V, field: bus_voltage_v, statistic: median, width_s: 100}
  rows: {version: 1, unit: "1", sql: "count(bus_voltage_v)", width_s: 100}
"""


def _pipeline() -> str:
    sources = ", ".join(f"{name}: {{contract: telemetry.contract.yaml}}" for name in SOURCES)
    lines = ["pipeline: disturbed", "partitions: 4", "tick_s: 1", f"sources: {{{sources}}}",
             "stages:"]  # fmt: skip
    for name in SOURCES:
        lines += [
            f"  {name}_level: {{use: windows, input: {name}, width_s: {_WINDOW_S}, "
            "statistics: [mean]}",
            f"  {name}_wide: {{use: alarm, input: {name}_level, measure: bus_voltage_v.mean, "
            "unit: V, raise_above: 20, code: WIDE}",
        ]
    return "\n".join(lines) + "\n"


def rows_of(source: str, satellites: int) -> pl.DataFrame:
    """One row a second of each satellite of a source; every tenth is high now and then."""
    t = np.repeat(np.arange(_SECONDS), satellites)
    k = np.tile(np.arange(satellites), _SECONDS)
    high = (k % 10 == 0) & ((t // _WINDOW_S + k // 10) % 5 == 0) & (t < _SECONDS - _QUIET_S)
    return pl.DataFrame(
        {
            "time": t + float(_START_S),
            "satellite": pl.Series([f"{source}-{i:04d}" for i in range(satellites)]).gather(k),
            "bus_voltage_v": np.where(high, 30.0, 10.0) + (t * 7 + k * 13) % 10 / 10,
        }
    )


@dataclass
class _Trial:
    """What the parts of a trial share."""

    folder: Path
    servers: Mapping[str, Server]
    ending: contextlib.ExitStack
    """Ends what the trial has started, however it ends."""
    chance: np.random.Generator
    say: Callable[[str], None]
    recovery_s: dict[str, list[float]] = field(default_factory=dict)
    publishers: list[_Publisher] = field(default_factory=list)
    gateway: _Gateway | None = None

    def go_on(self) -> None:
        """What every wait does again and again.

        Raises:
            Exception: what ended a publisher: its rows will not come.
        """
        for one in self.publishers:
            if one.failure is not None:
                raise one.failure
        if self.gateway is not None:
            self.gateway.supervise()

    @property
    def out(self) -> Path:
        return self.folder / "run"

    def ledger(self, schema: str) -> str:
        port = self.servers["postgresql"].port
        return f"postgresql://postgres@127.0.0.1:{port}/postgres?schema={schema}"

    def address(self, source: str) -> str:
        if source == "nats":
            return f"nats://127.0.0.1:{self.servers['nats'].port}/TRIAL/trial"
        scheme = "amqp" if source == "queue" else "amqp+stream"
        return f"{scheme}://guest:guest@127.0.0.1:{self.servers['rabbitmq'].port}/trial-{source}"


def disturb(
    *,
    records: int,
    kills: int,
    restarts: int,
    kpi_kills: int,
    seconds_most: float,
    seed: int,
    folder: Path | None,
    progress: Callable[[str], None],
) -> dict[str, Any]:
    """Run the trial.

    Args:
        records: rows in all; a third comes from each source.
        kills: of workers and coordinators.
        restarts: of each of the three servers.
        kpi_kills: of the KPI job.
        seconds_most: after so many no further fault begins: what was reached is said.
        seed: of the order of faults, and of the moments.
        folder: where the files of the trial go, and stay; None: a temporary one.
        progress: told what happens.

    Raises:
        WorkerError: a wait took longer than its bound.
        UsageError: a server is not installed.
    """
    satellites = max(records // (len(SOURCES) * _SECONDS), 10)
    with ended_in_order(), contextlib.ExitStack() as stack:
        if folder is None:
            made = stack.enter_context(tempfile.TemporaryDirectory())
        else:
            made = tempfile.mkdtemp(prefix="trial-", dir=folder)
        servers = {
            name: stack.enter_context(own(make()))
            for name, make in (
                ("nats", nats_server),
                ("rabbitmq", rabbitmq_server),
                ("postgresql", postgres_server),
            )
        }
        trial = _Trial(Path(made), servers, stack, np.random.default_rng(seed), progress)
        _write_files(trial.folder, satellites)
        progress("undisturbed run over the same rows in files")
        undisturbed = _undisturbed(trial.folder)
        faults = _drawn_faults(trial, kills, restarts)
        began_s = time.monotonic()
        run = _disturbed(trial, faults, began_s + seconds_most)
        took_s = time.monotonic() - began_s
        kpi = _kpis(trial, kpi_kills)
    rows = satellites * _SECONDS * len(SOURCES)
    return {
        "records": rows,
        "decisions": sum(undisturbed["decisions"].values()),
        "took_s": round(took_s, 1),
        **run,
        "decisions_equal": run["final_digest"] == undisturbed["final_digest"],
        "ledger_equal": run["ledger_digest"] == undisturbed["final_digest"],
        "nothing_lost": run["received"] - run["superseded"] == rows,
        "recovery_s": {name: _percentiles(found) for name, found in trial.recovery_s.items()},
        "kpi": kpi,
    }


def _percentiles(found: Sequence[float]) -> dict[str, float]:
    p50, p95, worst = np.percentile(found, (50, 95, 100), method="inverted_cdf")
    return {"p50": round(p50, 1), "p95": round(p95, 1), "worst": round(worst, 1),
            "count": len(found)}  # fmt: skip


def _drawn_faults(trial: _Trial, kills: int, restarts: int) -> list[str]:
    kinds = ["kill worker", "kill coordinator", "wake orphans"]
    faults = [kinds[n % len(kinds)] for n in range(kills)]
    faults += [f"restart {name}" for name in trial.servers for _ in range(restarts)]
    trial.chance.shuffle(faults)
    return faults


def _write_files(folder: Path, satellites: int) -> None:
    (folder / "telemetry.contract.yaml").write_text(_CONTRACT, encoding="utf-8")
    (folder / "pipeline.yaml").write_text(_pipeline(), encoding="utf-8")
    (folder / "kpis.yaml").write_text(_KPIS, encoding="utf-8")
    (folder / "rows").mkdir()
    for name in SOURCES:
        rows_of(name, satellites).write_parquet(folder / "rows" / f"{name}.parquet")


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-c", "from sightline.cli import main; main()", *arguments]


def _undisturbed(folder: Path) -> dict[str, Any]:
    sources = [f"--source={name}={folder / 'rows' / f'{name}.parquet'}" for name in SOURCES]
    done = subprocess.run(
        _command("run", str(folder / "pipeline.yaml"), *sources, "--json",
                 "--out", str(folder / "undisturbed")),
        stdout=subprocess.PIPE, check=True, timeout=_ALONE_S,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(done.stdout)
    return found


# --- publishing ---------------------------------------------------------------------------------


class _Publisher(threading.Thread):
    """Publishes the rows of a source in parts, each when it is let; tries again until it is taken.

    Args:
        trial: that it belongs to.
        source: whose rows.
        parts: to publish.
    """

    def __init__(self, trial: _Trial, source: str, parts: int) -> None:
        super().__init__(name=f"publisher {source}", daemon=True)
        self.source = source
        self._file = trial.folder / "rows" / f"{source}.parquet"
        self._address = trial.address(source)
        self._parts = parts
        self._say = trial.say
        self._may = threading.Semaphore(0)
        self.sent = 0
        """Messages that the server has."""
        self.failure: Exception | None = None
        self.tries = 0

    def let(self) -> None:
        """Publish one part more."""
        self._may.release()

    def run(self) -> None:
        try:
            self._publish()
        except Exception as error:  # noqa: BLE001 - raised by whoever waits, which is soon
            self._say(f"publisher of {self.source}: {type(error).__name__}: {error}")
            self.failure = error

    def _publish(self) -> None:
        rows = pl.read_parquet(self._file)
        each = -(-rows.height // self._parts)
        writer = open_writer(
            BrokerAddress.parse(self._address),
            producer=self.source,
            creates=True,
            limits=DEFAULT_LIMITS,
        )
        for part in rows.iter_slices(each):
            self._may.acquire()
            bodies = [_body(frame) for frame in part.iter_slices(_MESSAGE_ROWS)]
            keys = [f"{self.source}:{self.sent + n}" for n in range(len(bodies))]
            deadline = time.monotonic() + _FAULT_S
            while True:
                try:
                    writer.write(bodies, content_type=ARROW, keys=keys, deadline_s=30.0)
                    break
                except SinkError:
                    self.tries += 1
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.2)
            self.sent += len(bodies)
        writer.close()


def _body(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.rechunk().write_ipc_stream(buffer, compression="uncompressed")
    return buffer.getvalue()


# --- the run under faults -----------------------------------------------------------------------


@dataclass
class _Gateway:
    """The run, and who starts it again."""

    trial: _Trial
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0
    endings: Counter[str] = field(default_factory=Counter)

    def start(self) -> None:
        trial = self.trial
        sources = [f"--source={name}={trial.address(name)}" for name in SOURCES]
        workers = str(_WORKERS[self.starts % len(_WORKERS)])
        resume = ["--resume"] if (trial.out / "run.json").exists() else []
        self.starts += 1
        with (trial.folder / "said.txt").open("ab") as said:
            self.process = subprocess.Popen(
                _command("run", str(trial.folder / "pipeline.yaml"), "--live", *sources, *resume,
                         "--workers", workers, "--ledger", trial.ledger("gate"),
                         "--out", str(trial.out), "--json"),
                stdin=subprocess.DEVNULL, stdout=(trial.folder / "report.json").open("wb"),
                stderr=said,
            )  # fmt: skip

    def supervise(self) -> None:
        """Start it again where it has ended."""
        if self.process is not None and self.process.poll() is not None:
            self.endings[_ending(self.process.returncode)] += 1
            self.start()

    def workers(self) -> list[int]:
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        try:
            return [int(pid) for pid in children.read_text(encoding="utf-8").split()]
        except OSError:
            return []

    def end(self) -> dict[str, Any]:
        """Stop it in good order.

        Raises:
            WorkerError: it does not end, or not well.
        """
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(_END_S)
        except subprocess.TimeoutExpired as error:
            raise _hangs(self.trial, "a run that was told to stop to end", _END_S) from error
        if code:
            raise WorkerError(
                expected="a run that ends well",
                got=f"exit code {code}: {_said(self.trial)}",
                where="the last opening of the run",
                action="read what it says",
            )
        found: dict[str, Any] = json.loads((self.trial.folder / "report.json").read_bytes())
        return found

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()


def _ending(code: int) -> str:
    return f"killed ({signal.Signals(-code).name})" if code < 0 else f"exit code {code}"


def _said(trial: _Trial) -> str:
    text = (trial.folder / "said.txt").read_text(encoding="utf-8", errors="replace")
    return " | ".join(text.splitlines()[-3:])[:600]


def _published(trial: _Trial) -> str:
    return ", ".join(f"{one.sent} messages of {one.source}" for one in trial.publishers)


def _hangs(trial: _Trial, what: str, longest_s: float) -> WorkerError:
    return WorkerError(
        expected=f"{what} within {longest_s:g} s",
        got=f"nothing; published were {_published(trial)}; the run said last: {_said(trial)}",
        where=str(trial.folder),
        action="run the trial again with this --seed and --folder, and look at the run with py-spy",
    )


def _disturbed(trial: _Trial, faults: Sequence[str], no_more_at_s: float) -> dict[str, Any]:
    trial.publishers = publishers = [_Publisher(trial, n, 2 * len(faults) + 2) for n in SOURCES]
    for one in publishers:
        one.start()
        one.let()
    gateway, seen = _Gateway(trial), _Ledger(trial)
    met: Counter[str] = Counter()
    try:
        _wait(trial, lambda: _is_there(trial), _FAULT_S, "streams to be there")
        gateway.start()
        trial.gateway = gateway
        _wait(trial, lambda: seen.received() > 0, _FAULT_S, "first rows")
        for number, fault in enumerate(faults):
            for one in publishers:
                one.let()
            if time.monotonic() > no_more_at_s:
                for one in publishers:
                    one.let()
                continue
            recovery_s = _suffer(trial, fault, gateway, seen)
            met[fault] += 1
            trial.recovery_s.setdefault(fault.replace("restart ", ""), []).append(recovery_s)
            trial.say(f"{number + 1}/{len(faults)} {fault}: {recovery_s:.1f} s")
        for one in publishers:
            one.let()
        wanted = sum(pl.scan_parquet(trial.folder / "rows" / f"{name}.parquet")
                     .select(pl.len()).collect().item() for name in SOURCES)  # fmt: skip
        trial.say("waits for the last rows")
        kept = seen.kept()
        while kept < wanted:
            more = lambda: seen.kept() > kept  # noqa: B023, E731 - used within the loop
            _wait(trial, more, _QUIET_WAIT_S, f"rows after {kept} of {wanted}")
            kept = seen.kept()
        time.sleep(3.0)  # ticks after the last row
        trial.gateway = None
        report = gateway.end()
    finally:
        gateway.kill()
    return {
        "kills": sum(count for fault, count in met.items() if not fault.startswith("restart")),
        "restarts": {n: met[f"restart {n}"] for n in trial.servers},
        "faults": dict(met),
        "openings": gateway.starts,
        "endings": dict(gateway.endings),
        "published_again_after_lost_confirmations": sum(one.tries for one in publishers),
        "received": report["accounts"]["received"],
        "superseded": report["accounts"]["superseded"],
        "balanced": report["accounts"]["balanced"],
        "final_digest": report["final_digest"],
        "ledger_digest": seen.digest(),
    }


def _is_there(trial: _Trial) -> bool:
    """Whether the streams can be read, so that the first opening of the run does not fail."""
    from sightline.sense import open_source  # noqa: PLC0415 - imports the engine
    from sightline.sense.contract import load_contract  # noqa: PLC0415

    contract = load_contract(trial.folder / "telemetry.contract.yaml")
    try:
        for name in SOURCES:
            open_source(name, trial.address(name), contract, is_live=True).close()
    except SightlineError:
        return False
    return True


def _suffer(trial: _Trial, fault: str, gateway: _Gateway, seen: _Ledger) -> float:
    """One fault; how long it took until what came after it was in the ledger, in s."""
    what, _, name = fault.partition(" ")
    deadline = time.monotonic() + _FAULT_S
    while not gateway.workers() and time.monotonic() < deadline:
        trial.go_on()
        time.sleep(0.02)
    time.sleep(trial.chance.random() * 0.5)
    assert gateway.process is not None
    began_s = time.monotonic()
    orphans: list[int] = []
    if what == "restart":
        trial.servers[name].kill()
        time.sleep(trial.chance.random())
        trial.servers[name].start()
    elif name == "worker":
        _signal(
            int(trial.chance.choice(gateway.workers() or [gateway.process.pid])), signal.SIGKILL
        )
    else:
        if name == "orphans":
            orphans = gateway.workers()
            for pid in orphans:
                _signal(pid, signal.SIGSTOP)
        gateway.process.kill()
        gateway.process.wait()
    epoch, before = _epoch(trial), seen.marks()
    sources = {"restart nats": ["nats"], "restart rabbitmq": ["queue", "stream"]}.get(fault, [])

    if what != "restart":
        again = lambda: _epoch(trial) > epoch  # noqa: E731
        _wait(trial, again, _FAULT_S, f"an opening of the run after {fault}")
        for pid in orphans:  # somebody else has the run: they wake
            _signal(pid, signal.SIGCONT)
        before = seen.marks()
    for one in trial.publishers:  # what was there before may all be in the ledger
        one.let()

    def is_over() -> bool:
        now = seen.marks()
        grown = {name for name in now if now[name] > before.get(name, 0)}
        return set(sources) <= grown if sources else "received" in grown

    _wait(trial, is_over, _FAULT_S, f"rows after {fault}")
    return time.monotonic() - began_s


def _epoch(trial: _Trial) -> int:
    try:
        return int(json.loads((trial.out / "run.json").read_bytes())["state"]["epoch"])
    except (OSError, ValueError, KeyError):
        return 0


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _wait(trial: _Trial, is_done: Callable[[], bool], longest_s: float, what: str) -> None:
    deadline = time.monotonic() + longest_s
    while not is_done():
        trial.go_on()
        if time.monotonic() > deadline:
            raise _hangs(trial, what, longest_s)
        time.sleep(0.1)


class _Ledger:
    """What the ledger has, whenever the database answers."""

    def __init__(self, trial: _Trial) -> None:
        self._engine = ledger_engine(trial.ledger("gate"))
        self._newest: dict[str, int] = {}
        self._accounts: list[dict[str, Any]] = []

    def _read(self) -> None:
        with contextlib.suppress(sa.exc.SQLAlchemyError), self._engine.connect() as connection:
            found = connection.execute(sa.text("SELECT accounts FROM accounts")).scalars()
            self._accounts = [json.loads(text) for text in found]
            counts = connection.execute(
                sa.text("SELECT split_part(subject, '-', 1), count(*) FROM decisions GROUP BY 1")
            )
            self._newest = {str(name): int(count) for name, count in counts}

    def received(self) -> int:
        """Rows."""
        self._read()
        return sum(int(one["received"]) for one in self._accounts)

    def kept(self) -> int:
        """Rows, those left out that came twice."""
        return self.received() - sum(int(one["superseded"]) for one in self._accounts)

    def marks(self) -> dict[str, int]:
        """What grows: rows, and decisions of each source."""
        return {"received": self.received(), **self._newest}

    def digest(self) -> str:
        """Of the final decisions that are stored."""
        with self._engine.connect() as connection:
            found = connection.execute(sa.text("SELECT canonical FROM decisions")).scalars()
            return decisions_digest(final_revisions(Decision.from_bytes(t.encode()) for t in found))


# --- KPIs ---------------------------------------------------------------------------------------


def _kpis(trial: _Trial, kills: int) -> dict[str, Any]:
    """The KPI job in waves of files that arrive in a drawn order, killed, its database too."""
    arriving, whole = trial.folder / "arriving", trial.folder / "rows"
    arriving.mkdir()
    parts = list(_sliced(whole, trial.folder / "parts"))
    trial.chance.shuffle(parts)
    waves = [parts[n::4] for n in range(4)]
    killed, restarted, took_s = 0, 0, 0.0
    for number, wave in enumerate(waves):
        for path in wave:
            shutil.copy(path, arriving / f".{path.name}")
            (arriving / f".{path.name}").rename(arriving / path.name)
        # The first wave shows how long a job takes, so that the kills of the others meet it.
        for _ in range(-(-kills // (len(waves) - 1)) if number else 0):
            job = _kpi_job(trial, arriving)
            try:
                job.wait(took_s * trial.chance.uniform(0.3, 1.0))
            except subprocess.TimeoutExpired:
                killed += 1
                job.kill()
                job.wait()
        began_s = time.monotonic()
        job = _kpi_job(trial, arriving)
        if number:
            time.sleep(took_s * trial.chance.uniform(0.3, 1.0))
            trial.servers["postgresql"].kill()
            trial.servers["postgresql"].start()
            restarted += 1
        while job.wait(_KPI_S):
            if time.monotonic() > began_s + _KPI_S:
                raise _hangs(trial, "a KPI job that comes to its end", _KPI_S)
            job = _kpi_job(trial, arriving)
        if not number:
            took_s = time.monotonic() - began_s
        trial.say(f"KPIs, {number + 1} of {len(waves)} waves of files")
    url = f"sqlite:///{trial.folder / 'kpis.sqlite'}"
    alone = subprocess.run(_kpi_command(trial, whole, url), timeout=_KPI_S, check=False,
                           stdout=subprocess.DEVNULL)  # fmt: skip
    undisturbed, disturbed = _kpi_digest(url), _kpi_digest(trial.ledger("kpis"))
    return {
        "kills": killed,
        "restarts_of_postgresql": restarted,
        "rows": disturbed[0],
        "rows_equal": disturbed == undisturbed and not alone.returncode,
        "digest": disturbed[1],
    }


def _sliced(whole: Path, folder: Path) -> Iterator[Path]:
    folder.mkdir()
    for file in sorted(whole.iterdir()):
        frame = pl.read_parquet(file)
        for n, part in enumerate(frame.iter_slices(-(-frame.height // 8))):
            path = folder / f"{file.stem}{n}.parquet"
            part.write_parquet(path)
            yield path


def _kpi_command(trial: _Trial, files: Path, url: str) -> list[str]:
    return _command("kpi", str(files), "--metrics", str(trial.folder / "kpis.yaml"),
                    "--ledger", url)  # fmt: skip


def _kpi_job(trial: _Trial, files: Path) -> subprocess.Popen[bytes]:
    with (trial.folder / "said.txt").open("ab") as said:
        job = subprocess.Popen(_kpi_command(trial, files, trial.ledger("kpis")),
                               stdout=subprocess.DEVNULL, stderr=said)  # fmt: skip
    trial.ending.callback(job.kill)
    return job


def _kpi_digest(url: str) -> tuple[int, str]:
    """Number and digest of the current values, revisions left out."""
    digest, count = hashlib.sha256(), 0
    with KpiLedger.open(url, create=False) as ledger:
        for metric in ("voltage_median", "rows"):
            found = ledger.values("bus", metric, 1, start_ns=0, end_ns=1 << 62).drop("revision")
            digest.update(f"{metric}\n{found.write_csv()}".encode())
            count += found.height
    return count, digest.hexdigest()
