"""Deduplicated 5-minute windows with count, mean and p95: ours, Polars and the stream engines.

Every measurement runs in a process of its own, pinned to one core. ``python -m
benchmarks.windows`` prints the result as JSON.

What the numbers mean: *read* is reading the Parquet file in row groups and nothing else; *windows*
is reading plus all the work. Rates count rows as they arrive, duplicates included.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import polars as pl

from benchmarks.window_data import WIDTH_NS, read_batches
from benchmarks.window_work import deferred_windows, largest_difference
from sightline.errors import UsageError

Progress = Callable[[str], None]

READ_RATIO_BOUND = 4.0
"""Reading with windows may take this many times as long as reading alone."""
PEER_RATIO_BOUND = 100.0
"""Rows per second, ours over the fastest peer's."""
MEAN_TOLERANCE = 1e-9
"""Relative difference allowed between means: engines sum in different orders."""

_REPETITIONS = 7
_PEER_SECONDS = 20
_PEER_REPETITIONS = 3
_TIMEOUT_S = 1800
_CHECKOUT = Path(__file__).parents[1]
_ONE_THREAD = {
    "POLARS_MAX_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
}
_PEERS = {
    "bytewax": "its event clock without the wall clock it normally adds",
    "quixstreams": "Kafka mocked: rows come from a loop, no broker, one state flush at the end",
}


def _silent(_message: str) -> None:
    pass


def bench_windows(
    *,
    keys: int = 10_000,
    minutes: int = 15,
    peers: bool = False,
    peer_python: Path = Path(".venv-peers/bin/python"),
    open_rows: tuple[int, ...] = (1_000_000, 10_000_000),
    progress: Progress = _silent,
) -> dict[str, Any]:
    """Measure windows over ``keys`` keys at 1 Hz.

    Args:
        keys: sensors.
        minutes: length of the data, at least 5.
        peers: also run Bytewax and Quix Streams, on the same kind of data, 20 s long.
        peer_python: interpreter that has them; absent means they are skipped, with a reason.
        open_rows: sizes at which memory is measured.
        progress: told what is about to be measured.

    Raises:
        UsageError: for less than one window or one key.
        InvariantViolation: if a row is unaccounted for.
        subprocess.CalledProcessError: if a measurement fails.
    """
    if minutes < 5 or keys < 1:
        raise UsageError(
            expected="at least 1 key and 5 minutes (one window)",
            got=f"{keys} keys and {minutes} minutes",
            where="bench windows",
            action="give more of them",
        )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "telemetry.parquet"
        progress(f"generating {keys} keys x {minutes} minutes")
        _measure("generate", path=str(path), keys=keys, seconds=minutes * 60)
        progress("reading, windows and Polars, alternated")
        speed = _measure("speed", path=str(path), keys=keys, repetitions=_REPETITIONS)
        progress("kernels alone")
        kernel = _measure("kernel", keys=keys, repetitions=_REPETITIONS)
        memory = []
        for rows in open_rows:
            progress(f"memory of {rows} open rows")
            memory.append(_measure("memory", rows=rows, keys=keys))
        result = _summary(keys, minutes, speed, kernel) | {"memory": memory}
        if peers:
            result["peers"] = _peers(Path(folder), keys, peer_python.absolute(), progress)
            _compare_with_peers(result)
    return result


def _summary(
    keys: int, minutes: int, speed: dict[str, Any], kernel: dict[str, Any]
) -> dict[str, Any]:
    rows = speed["rows"]
    read_s, windows_s = median(speed["read_s"]), median(speed["windows_s"])
    polars_s = median(speed["polars_s"])
    ratio = windows_s / read_s
    return {
        "benchmark": "windows",
        "keys": keys,
        "minutes": minutes,
        "window_s": WIDTH_NS // 1_000_000_000,
        "rows": rows,
        "superseded_rows": speed["superseded"],
        "lost_rows": 0,  # the measurement raises otherwise
        "windows": speed["windows"],
        "repetitions": len(speed["windows_s"]),
        "read_s": speed["read_s"],
        "windows_s": speed["windows_s"],
        "read_rows_per_s": rows / read_s,
        "windows_rows_per_s": rows / windows_s,
        "windows_over_read": ratio,
        "windows_over_read_bound": READ_RATIO_BOUND,
        "is_within_read_bound": ratio <= READ_RATIO_BOUND,
        "kernel_rows_per_s": kernel["rows"] / median(kernel["seconds"]),
        "polars": {
            "seconds": speed["polars_s"],
            "rows_per_s": rows / polars_s,
            "ours_over_polars": polars_s / windows_s,
            "difference": speed["polars_difference"],
            "is_equal": _is_equal(speed["polars_difference"]),
        },
    }


def _peers(folder: Path, keys: int, python: Path, progress: Progress) -> dict[str, Any]:
    if not python.exists():
        reason = f"no interpreter at {python}: run `make peers`"
        return {name: {"skipped": reason} for name in _PEERS}
    path = folder / "peers.parquet"
    rows = _measure("generate", path=str(path), keys=keys, seconds=_PEER_SECONDS)["rows"]
    same = _measure("speed", path=str(path), keys=keys, repetitions=_REPETITIONS)
    ours = deferred_windows(read_batches(path), keys=keys).table()
    found: dict[str, Any] = {"ours_on_the_same_rows_per_s": rows / median(same["windows_s"])}
    for name, note in _PEERS.items():
        progress(f"{name} on {rows} rows")
        found[name] = _peer(name, source=path, python=python, rows=rows, ours=ours)
        found[name]["note"] = note
    return found


def _peer(
    name: str, *, source: Path, python: Path, rows: int, ours: pl.DataFrame
) -> dict[str, Any]:
    """Run one peer; its rate leaves out the start of the process and its imports."""
    output = source.with_name(f"{name}.parquet")
    runs = []
    for _ in range(_PEER_REPETITIONS):
        done = subprocess.run(
            [str(python), "-m", f"benchmarks.peers.{name}_windows", str(source), str(output)],
            cwd=_CHECKOUT,
            env=os.environ | _ONE_THREAD | {"PYTHONDONTWRITEBYTECODE": "1"},
            preexec_fn=_pin,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
        if done.returncode:
            return {"skipped": f"failed with exit code {done.returncode}: {done.stderr[-500:]}"}
        runs.append(json.loads(done.stdout))
    difference = largest_difference(ours, pl.read_parquet(output))
    return {
        "version": runs[0]["version"],
        "rows": rows,
        "seconds": [run["seconds"] for run in runs],
        "rows_per_s": rows / median(run["seconds"] for run in runs),
        "late_rows": runs[0]["late_rows"],
        "difference": difference,
        "is_equal": _is_equal(difference),
    }


def _compare_with_peers(result: dict[str, Any]) -> None:
    peers = result["peers"]
    rates = [peers[name]["rows_per_s"] for name in _PEERS if "rows_per_s" in peers[name]]
    if not rates:
        return
    ratio = result["windows_rows_per_s"] / max(rates)
    peers["ours_over_fastest_peer"] = ratio
    peers["ours_over_fastest_peer_on_the_same_rows"] = peers["ours_on_the_same_rows_per_s"] / max(
        rates
    )
    peers["ours_over_fastest_peer_bound"] = PEER_RATIO_BOUND
    peers["is_within_peer_bound"] = ratio >= PEER_RATIO_BOUND


def _is_equal(difference: dict[str, float]) -> bool:
    return (
        difference["count"] == 0 and difference["p95"] == 0 and difference["mean"] <= MEAN_TOLERANCE
    )


def _measure(name: str, **arguments: Any) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.window_work", name, json.dumps(arguments)],
        cwd=_CHECKOUT,
        env=os.environ | _ONE_THREAD,
        stdout=subprocess.PIPE,
        text=True,
        timeout=_TIMEOUT_S,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _pin() -> None:
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def main(arguments: list[str]) -> None:
    def progress(message: str) -> None:
        sys.stderr.write(message + "\n")

    result = bench_windows(peers="--peers" in arguments, progress=progress)
    sys.stdout.write(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
