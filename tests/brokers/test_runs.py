"""Whole runs over brokers: what they decide, and what a kill leaves."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import pytest

from brokers.run_cases import (
    broker_source,
    command,
    final_digest_of,
    live_run,
    publish_rows,
    rows,
    rows_of,
    written_plan,
)
from brokers.servers import Case, consumer_of
from sightline.errors import StorageError
from sightline.runtime import RunOptions, run_pipeline
from sightline.runtime.engine.host import PartitionHost


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("undisturbed")
    return final_digest_of(written_plan(folder), rows(420), folder / "run")


def test_a_run_over_a_stream_decides_what_one_over_a_file_does(
    broker: Case, tmp_path: Path, undisturbed: str
) -> None:
    broker.needs_numbers()
    plan, frame, address = written_plan(tmp_path), rows(420), broker.address()
    publish_rows(broker, address, frame)
    source = broker_source(plan, address, is_live=False)
    report = run_pipeline(plan, {"telemetry": source}, tmp_path / "run")
    assert report.digest == undisturbed
    assert report.accounts.received == frame.height


def test_a_live_run_that_broke_off_between_two_commits_goes_on_without_loss_or_double(
    broker: Case, tmp_path: Path, undisturbed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, frame, address = written_plan(tmp_path), rows(420), broker.address()
    publish_rows(broker, address, frame.head(2250))
    committed = PartitionHost.commit

    def break_off(host: PartitionHost) -> object:
        # The first partition has this commit in its log, the others have not.
        if host.name == "p001" and rows_of(tmp_path / "run") > 0:
            raise StorageError(expected="space", got="none", where="p001", action="make some")
        return committed(host)

    monkeypatch.setattr(PartitionHost, "commit", break_off)
    with pytest.raises(StorageError):
        live_run(plan, address, tmp_path / "run", until_rows=frame.height)
    before = rows_of(tmp_path / "run")
    assert 0 < before < frame.height
    monkeypatch.undo()
    broker.publish_more(address, frame.slice(2250))
    again = RunOptions(is_live=True, resume=True)
    report = live_run(plan, address, tmp_path / "run", until_rows=frame.height, options=again)
    assert report.accounts.received == frame.height
    assert not report.accounts.superseded
    assert report.final_digest == undisturbed


def test_a_live_run_that_was_killed_goes_on_without_loss_or_double(
    broker: Case, tmp_path: Path, undisturbed: str
) -> None:
    plan, frame, address = written_plan(tmp_path), rows(420), broker.address()
    publish_rows(broker, address, frame.head(2250))
    out = tmp_path / "run"
    running = subprocess.Popen(
        command("run", str(tmp_path / "gateway.yaml"), "--live", "--source",
                f"telemetry={address}", "--source-option",
                f"telemetry.consumer={consumer_of(address)}", "--out", str(out)),
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while not (out / "run.json").exists() or not rows_of(out):
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        running.send_signal(signal.SIGKILL)
        running.wait()
    broker.publish_more(address, frame.slice(2250))
    again = RunOptions(is_live=True, resume=True)
    report = live_run(plan, address, out, until_rows=frame.height, options=again)
    assert report.accounts.received == frame.height
    assert not report.accounts.superseded
    assert report.final_digest == undisturbed
