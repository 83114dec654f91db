"""What one version of Sightline decides, recorded, so that another can be held to it.

    python -m benchmarks.golden record --code SRC_DIR --data DATA_DIR OUT [--inputs DIR]
                                       [--only NAME …] [--jobs N] [--keep]
    python -m benchmarks.golden compare A B

``record`` runs every scenario with the code in ``SRC_DIR`` (the folder that holds ``sightline/``),
through its command line alone, and writes ``OUT/SCENARIO.json``. Inputs are written into
``OUT/inputs`` if no folder with them is given: do that once, with the old code, and give the same
folder to the new. ``compare`` leaves with 1 at any difference.

A decision is what the log says, in the order of the log of each partition, without what hangs on
the digest of the pipeline: ids, trace, versions. Numbers are compared exactly. Recorded beside it:
commands to machines, the messages that reached a receiver, whether the ledger holds the same
decisions as the log, and the exit codes of the run and of its replay. Rows by where they ended are
recorded too; a difference there is a note and no failure.

Scenarios that must decide the same within one version (workers, speed, kills, isolation, how
pictures are kept) name the one they must equal; ``record`` leaves with 1 if they do not.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.golden.answers import (
    COMPARED,
    LISTS,
    Plain,
    accounts_of,
    compare,
    differences,
    read_messages,
    read_run,
    say,
    standing,
    without_names,
    write_answer,
)
from benchmarks.golden.inputs import NS_PER_S, live_rows, make_inputs
from benchmarks.golden.scenarios import SCENARIOS, Scenario

# The console entry of the package, as a process of its own.
_COMMAND = "from sightline.cli import main; main()"
# The same for one command after the other: importing takes longer than most of the runs.
_SERVICE = """
import contextlib, json, sys, traceback
from sightline.cli import main
for line in sys.stdin:
    asked = json.loads(line)
    sys.argv, code = ["sightline", *asked["command"]], 0
    with open(asked["stdout"], "w") as out, contextlib.redirect_stdout(out):
        try:
            main()
        except SystemExit as leave:
            code = leave.code or 0
        except BaseException:
            traceback.print_exc()
            code = 70
    print(json.dumps(code), flush=True)
"""
_TIMEOUT_S = 900.0
_KILLS = 3
_KILL_SEED = 5
_FEED_PAUSE_S = 0.8
_LIVE_AGE_S = 3600
"""How long ago the rows of the live run were taken: all silences have run out when it ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorder:
    """Runs scenarios with one version of the code.

    Attributes:
        code: folder that holds ``sightline/``.
        inputs: see :mod:`.inputs`.
        out: where the answers go; runs lie in ``out/runs`` while they are needed.
        services: holds a process for each thread, see ``_SERVICE``; it ends when its input does.
    """

    code: Path
    inputs: Path
    out: Path
    services: threading.local = field(default_factory=threading.local)

    @property
    def environment(self) -> dict[str, str]:
        """Of the processes of the code under test."""
        return {**os.environ, "PYTHONPATH": str(self.code)}

    def check(self) -> None:
        """Leave unless the package that is imported is the one in ``code``."""
        asked = [sys.executable, "-c", "import sightline; print(sightline.__file__)"]
        found = subprocess.run(
            asked, env=self.environment, capture_output=True, text=True, check=True
        ).stdout.strip()
        if not Path(found).is_relative_to(self.code):
            sys.exit(f"expected sightline under {self.code}, got {found}")

    def record(self, scenario: Scenario) -> Plain:
        """Run, replay, and write down what came of it."""
        began_s = time.monotonic()
        run = self.out / "runs" / scenario.name
        shutil.rmtree(run, ignore_errors=True)
        run.mkdir(parents=True)
        command = self._run_command(scenario, run)
        base_ns, kills = 0, 0
        if scenario.is_killed:
            kills = self._kill_at_times(scenario, command, run)
            command = [*command, "--resume"]
        if scenario.is_live:
            base_ns = (time.time_ns() // NS_PER_S // 60 * 60 - _LIVE_AGE_S) * NS_PER_S
            ended, report = self._fed(command, run, base_ns)
        else:
            ended, report = self._ended(command, run)
        replayed, _ = self._ended(["replay", str(run / "run")], run)
        said = read_run(run / "run")
        if scenario.is_live:
            said["decisions"] = standing(said["decisions"], base_ns=base_ns)
        found = {
            "scenario": scenario.name,
            "exit": ended,
            "replay_exit": replayed,
            **{name: [without_names(one) for one in said[name]] for name in LISTS},
            "ledger_agrees": said["ledger_agrees"],
            "messages": read_messages(run / "alerts.jsonl"),
            "accounts": accounts_of(report),
            "kills_met": kills,
            "seconds": round(time.monotonic() - began_s, 1),
        }
        write_answer(self.out / f"{scenario.name}.json", found)
        return found

    def _run_command(self, scenario: Scenario, run: Path) -> list[str]:
        command = ["run", str(self.inputs / scenario.pipeline), "--out", str(run / "run"), "--json"]
        for source in scenario.sources:
            name, _, location = source.partition("=")
            place = location if location == "-" else str(self.inputs / location)
            command += ["--source", f"{name}={place}"]
        if scenario.control:
            command += ["--control", str(self.inputs / scenario.control)]
        if scenario.alerts:
            command += ["--alerts", f"jsonl:{run / 'alerts.jsonl'}"]
        if scenario.is_live:
            command += ["--live"]
        return [*command, *scenario.options]

    def _started(self, command: Sequence[str], run: Path, **options: Any) -> subprocess.Popen[str]:
        """A process in a group of its own; what it says goes to files beside the run."""
        with (run / "stdout").open("w") as said, (run / "stderr").open("a") as complained:
            return subprocess.Popen(
                [sys.executable, "-c", _COMMAND, *command],
                env=self.environment,
                stdout=said,
                stderr=complained,
                text=True,
                start_new_session=True,
                **options,
            )

    def _ended(self, command: Sequence[str], run: Path) -> tuple[int, str]:
        """Exit code and standard output of a command, run by the process of this thread."""
        service: subprocess.Popen[str] | None = getattr(self.services, "process", None)
        if service is None or service.poll() is not None:
            log = self.out / "runs" / f"service-{threading.get_ident()}.stderr"
            with log.open("a") as complained:
                service = subprocess.Popen(
                    [sys.executable, "-c", _SERVICE],
                    env=self.environment,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=complained,
                    text=True,
                )
            self.services.process = service
        assert service.stdin is not None
        assert service.stdout is not None
        said = run / f"{command[0]}.stdout"
        service.stdin.write(json.dumps({"command": command, "stdout": str(said)}) + "\n")
        service.stdin.flush()
        watch = threading.Timer(_TIMEOUT_S, service.kill)
        watch.start()
        answer = service.stdout.readline()
        watch.cancel()
        return int(answer) if answer else -1, said.read_text() if said.exists() else ""

    def _fed(self, command: Sequence[str], run: Path, base_ns: int) -> tuple[int, str]:
        """A live run whose rows are written to its standard input bit by bit."""
        process = self._started(command, run, stdin=subprocess.PIPE)
        assert process.stdin is not None
        # Or every row would lie in the pipe before the first tick.
        _wait_until(process, (run / "run" / "log").exists)
        with process.stdin as pipe:
            for batch in live_rows(base_ns):
                pipe.write("".join(json.dumps(row) + "\n" for row in batch))
                pipe.flush()
                time.sleep(_FEED_PAUSE_S)
        return _code_of(process), (run / "stdout").read_text()

    def _kill_at_times(self, scenario: Scenario, command: list[str], run: Path) -> int:
        """Kill the run (SIGKILL, children too) at random sizes of its log; how many met it."""
        whole = log_bytes(self.out / "runs" / scenario.same_as / "run")
        rng = np.random.default_rng(_KILL_SEED)
        met = 0
        for share in sorted(rng.uniform(0.05, 0.9, _KILLS)):
            process = self._started(command, run, stdin=subprocess.DEVNULL)
            _wait_until(process, partial(_has_grown, run / "run", share * whole))
            met += process.poll() is None
            _kill(process)
            if "--resume" not in command:
                command = [*command, "--resume"]
        return met


def _wait_until(process: subprocess.Popen[str], is_met: Callable[[], bool]) -> None:
    """Until the condition holds, the process has ended, or the time is over."""
    until_s = time.monotonic() + _TIMEOUT_S
    while process.poll() is None and not is_met() and time.monotonic() < until_s:
        time.sleep(0.005)


def _code_of(process: subprocess.Popen[str]) -> int:
    try:
        return process.wait(_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        _kill(process)
        return process.wait()


def _kill(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def log_bytes(run: Path) -> int:
    """Size of the log of a run."""
    return sum(path.stat().st_size for path in run.glob("log/*/*.mcap"))


def _has_grown(run: Path, size_bytes: float) -> bool:
    return log_bytes(run) >= size_bytes


def record_all(recorder: Recorder, scenarios: Sequence[Scenario], *, jobs: int, keep: bool) -> bool:
    """Record ``scenarios``, the undisturbed ones first; whether all that must agree do."""
    answers: dict[str, Plain] = {}
    with ThreadPoolExecutor(jobs) as pool:
        for are_killed in (False, True):
            chosen = [one for one in scenarios if one.is_killed is are_killed]
            for found in pool.map(recorder.record, chosen):
                answers[found["scenario"]] = found
                say(_line(found))
    holds = True
    for scenario in scenarios:
        if scenario.is_killed and not answers[scenario.name]["kills_met"]:
            say(f"{scenario.name} shows nothing: it ended before each kill")
            holds = False
        other = answers.get(scenario.same_as) if scenario.same_as else None
        names = [n for n in COMPARED if n != "messages" or scenario.alerts]
        for line in differences(other, answers[scenario.name], names) if other else ():
            say(f"{scenario.name} is not as {scenario.same_as}: {line}")
            holds = False
    if not keep:
        shutil.rmtree(recorder.out / "runs", ignore_errors=True)
    return holds


def _line(found: Plain) -> str:
    counts = ", ".join(f"{len(found[n])} {n}" for n in (*LISTS, "messages"))
    ledger = "" if found["ledger_agrees"] else ", LEDGER DIFFERS"
    kills = f", {found['kills_met']} kills" if found["kills_met"] else ""
    codes = f"exit {found['exit']}, replay {found['replay_exit']}"
    return f"{found['scenario']:16} {found['seconds']:6.1f} s  {counts}, {codes}{kills}{ledger}"


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.golden")
    commands = parser.add_subparsers(dest="command", required=True)
    recording = commands.add_parser("record", help="run every scenario")
    recording.add_argument("out", type=Path)
    recording.add_argument("--code", type=Path, required=True, help="folder with sightline/")
    recording.add_argument("--data", type=Path, required=True, help="folder with nasa_smap, …")
    recording.add_argument("--inputs", type=Path, help="made if absent; default OUT/inputs")
    recording.add_argument("--only", nargs="+", metavar="NAME", help="these scenarios alone")
    recording.add_argument("--jobs", type=int, default=2, help="scenarios at a time")
    recording.add_argument("--keep", action="store_true", help="keep the runs in OUT/runs")
    comparing = commands.add_parser("compare", help="compare two recordings")
    comparing.add_argument("a", type=Path)
    comparing.add_argument("b", type=Path)
    given = parser.parse_args()
    if given.command == "compare":
        return 0 if compare(given.a, given.b) else 1
    out = given.out.absolute()
    out.mkdir(parents=True, exist_ok=True)
    inputs = (given.inputs or out / "inputs").absolute()
    recorder = Recorder(code=given.code.absolute(), inputs=inputs, out=out)
    recorder.check()
    make_inputs(inputs, code=recorder.code, data=given.data, environment=recorder.environment)
    named = set(given.only or ())
    wanted = named | {s.same_as for s in SCENARIOS if s.name in named}
    chosen = [s for s in SCENARIOS if given.only is None or s.name in wanted]
    began_s = time.monotonic()
    holds = record_all(recorder, chosen, jobs=given.jobs, keep=given.keep)
    say(f"{len(chosen)} scenarios in {time.monotonic() - began_s:.0f} s")
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
