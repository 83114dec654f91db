"""Whole runs under kills of everything, again and again: nothing lost, nothing twice."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from brokers.run_cases import (
    command,
    final_digest_of,
    live_run,
    rows,
    rows_of,
    written_plan,
)
from brokers.servers import Case, nats_case
from sightline.runtime import RunOptions

KILLS, RESTARTS = 50, 10


@pytest.mark.soak
@pytest.mark.parametrize("workers", [0, 2], ids=["one process", "workers"])
def test_fifty_kills_and_ten_restarts_of_the_broker_change_no_decision(
    tmp_path: Path, workers: int
) -> None:
    plan, frame = written_plan(tmp_path), rows(6000, satellites=20)
    chance = random.Random(workers)
    parts = list(frame.iter_slices(frame.height // KILLS + 1))
    recovery_s: list[float] = []
    with nats_case() as broker:
        address, sent = broker.address(), 0
        out = tmp_path / "run"
        for turn, part in enumerate(parts):
            sent = publish(broker, address, part, sent)
            if turn % (KILLS // RESTARTS) == 0:
                broker.server.kill()
                broker.server.start()
            before = rows_of(out) if (out / "run.json").exists() else 0
            began_s = time.monotonic()
            running = subprocess.Popen(
                command("run", str(tmp_path / "gateway.yaml"), "--live", "--source",
                        f"telemetry={address}", "--out", str(out), "--workers", str(workers),
                        *(["--resume"] if (out / "run.json").exists() else [])),
                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            )  # fmt: skip
            while not (out / "run.json").exists() or rows_of(out) <= before:
                assert time.monotonic() < began_s + 120, running.poll()
                time.sleep(0.01)
            recovery_s.append(time.monotonic() - began_s)
            time.sleep(chance.random() * 0.3)
            running.send_signal(signal.SIGKILL)
            running.wait()
        report = live_run(
            plan, address, out, until_rows=frame.height,
            options=RunOptions(is_live=True, resume=True),
        )  # fmt: skip
    recovery_s.sort()
    print(f"recovery p50 {recovery_s[len(recovery_s) // 2]:.1f} s, "
          f"p95 {recovery_s[int(len(recovery_s) * 0.95)]:.1f} s of {len(recovery_s)}")  # fmt: skip
    assert report.accounts.received == frame.height
    assert not report.accounts.superseded
    assert report.final_digest == final_digest_of(plan, frame, tmp_path / "file")


def publish(broker: Case, address: str, part: object, sent: int) -> int:
    from brokers.run_cases import arrow_bodies
    from sightline.brokers.link import ARROW

    bodies = arrow_bodies(part, 400)  # type: ignore[arg-type]
    broker.publish(address, bodies, content_type=ARROW, first=sent)
    return sent + len(bodies)
