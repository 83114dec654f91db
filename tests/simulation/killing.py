"""Killing a real run at random points until it gets to its end."""

from __future__ import annotations

import json
import subprocess
import sys
import time
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
