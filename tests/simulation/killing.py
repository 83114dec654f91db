"""Killing a real run at random points until it gets to its end."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

SCRIPT = Path(__file__).with_name("killable_run.py")
_TIMEOUT_S = 120.0


def run_to_the_end(out: Path, *options: str) -> dict[str, Any]:
    """Run, or resume what is in ``out``; the digest and accounts at the end."""
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(out), *options],
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def kill_once(out: Path, *options: str, commits: int, delay_s: float) -> int:
    """Start or resume a run and kill it (SIGKILL) ``delay_s`` after so many commits of this life.

    Returns:
        The commits it had told of; fewer than asked for if it came to its end first.
    """
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), str(out), *options], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        seen = 0
        for line in process.stdout:
            seen += line.startswith("committed")
            if line.startswith("started" if commits == 0 else "committed") and seen >= commits:
                time.sleep(delay_s)
                break
        return seen
    finally:
        process.kill()
        process.wait(_TIMEOUT_S)
        process.stdout.close()


def kill_at_random(
    out: Path, *options: str, rng: np.random.Generator, kills: int, most_commits: int = 5
) -> int:
    """Kill a run again and again; how many of the kills met it before its end."""
    met = 0
    for _ in range(kills):
        commits = int(rng.integers(1, most_commits + 1))
        delay_s = float(rng.uniform(0, 0.03))
        met += kill_once(out, *options, commits=commits, delay_s=delay_s) == commits
    return met


@contextlib.contextmanager
def begun(out: Path, *options: str, commits: int = 0) -> Iterator[subprocess.Popen[str]]:
    """A run, or one that goes on, once it has told of so many commits; killed at the end."""
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), str(out), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        wanted = "committed" if commits else "started"
        for _ in range(max(commits, 1)):
            next((line for line in process.stdout if line.startswith(wanted)), None)
        yield process
    finally:
        process.kill()
        process.communicate(timeout=_TIMEOUT_S)


def workers_of(process: subprocess.Popen[str], count: int) -> list[int]:
    """Process ids of its workers, as soon as there are so many."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    until_s = time.monotonic() + _TIMEOUT_S
    while process.poll() is None and time.monotonic() < until_s:
        found = [int(pid) for pid in children.read_text().split()]
        if len(found) >= count:
            return found
        time.sleep(0.01)
    return []


def end_of(process: subprocess.Popen[str]) -> tuple[int, dict[str, Any], str]:
    """Exit code, digest and accounts (empty where it failed), and what it said of an error."""
    said, err = process.communicate(timeout=_TIMEOUT_S)
    lines = said.splitlines()
    return process.returncode, json.loads(lines[-1]) if process.returncode == 0 else {}, err


def signalled(pids: list[int], number: signal.Signals) -> None:
    """Send a signal to processes of which some may have ended."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def resume_while_workers_sleep(out: Path, *, commits: int) -> tuple[int, dict[str, Any], str]:
    """Stop the workers of a run, kill their coordinator, go on with the run, and wake them.

    Returns:
        How the run that goes on ended.
    """
    with begun(out, "--workers", "2", commits=commits) as first:
        asleep = workers_of(first, 2)
        signalled(asleep, signal.SIGSTOP)
        first.kill()
        with begun(out, "--workers", "2", commits=1) as second:
            signalled(asleep, signal.SIGCONT)
            return end_of(second)


def resume_while_a_writer_sleeps(out: Path, *, commits: int) -> list[tuple[int, Any, str]]:
    """Stop a run, try to go on with it, wake it; how the second and then the first one ended."""
    with begun(out, commits=commits) as first:
        signalled([first.pid], signal.SIGSTOP)
        (out / "run.lock").unlink(missing_ok=True)
        with begun(out) as second:
            ended = end_of(second)
        signalled([first.pid], signal.SIGCONT)
        return [ended, end_of(first)]
