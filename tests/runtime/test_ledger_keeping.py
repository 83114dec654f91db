"""The ledger beside a run: whatever becomes of it the run goes on, and nothing is lost."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sightline.act import Ledger, Outlet
from sightline.errors import SinkError
from sightline.limits import Limits
from sightline.records import Accounts
from sightline.runtime import (
    Plan,
    RunDirectory,
    RunOptions,
    RunReport,
    make_plan,
    run_pipeline,
)
from sightline.runtime.engine.logged_core import Committed
from sightline.runtime.ledger_keeping import LedgerKeeper
from sightline.runtime.run_options import Progress
from sightline.sense import MemorySource
from simulation.gateway_runs import constellation, plan

WAIT_S = 30.0
LIMITS = Limits(ledger_finish_s=0.3)


class Taking(Outlet):
    """Takes every alert."""

    def __init__(self) -> None:
        self.keys: list[str] = []

    def send(self, said: object, /, *, idempotency_key: str, deadline_s: float) -> None:
        self.keys.append(idempotency_key)


def told_one_by_one() -> Plan:
    """The gateway without its desk: each decision is an alert."""
    form = plan().pipeline.model_copy(update={"alerting": None})
    return make_plan(form, plan().contracts)


def go(
    out: Path,
    *,
    alerts: Outlet | None = None,
    resume: bool = False,
    limits: Limits = Limits(),
    on_progress: Callable[[Progress], None] | None = None,
) -> RunReport:
    found = constellation()
    return run_pipeline(
        told_one_by_one(),
        {
            "telemetry": MemorySource("telemetry", {"t": found.telemetry}),
            "logs": MemorySource("logs", {"l": found.logs}),
        },
        out,
        options=RunOptions(durable=False, resume=resume),
        alerts={} if alerts is None else {"ops": alerts},
        limits=limits,
        on_progress=on_progress,
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    return RunDirectory.open(go(tmp_path_factory.mktemp("finished") / "run").path)


@pytest.fixture
def run(finished: RunDirectory) -> RunDirectory:
    """A finished run without a ledger."""
    for file in finished.path.glob("ledger.sqlite*"):
        file.unlink()
    return finished


def held(run: RunDirectory) -> list[bytes]:
    with Ledger.open(run.ledger_url, create=False) as ledger:
        return sorted(d.canonical_bytes() for d in ledger.decisions())


def logged(run: RunDirectory) -> list[bytes]:
    return sorted(d.canonical_bytes() for d in run.decisions())


def wait_until(holds: Callable[[], object]) -> None:
    until_s = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < until_s
        time.sleep(0.01)


def newest(run: RunDirectory) -> Committed:
    """A commit after all that the log has."""
    name = run.partitions[0]
    with Ledger.open(run.ledger_url) as ledger:
        through = ledger.applied_through(name) + 1
    return commit_through(name, through)


def commit_through(name: str, sequence: int) -> Committed:
    """A commit that says nothing, up to an entry of whatever hash."""
    return Committed(
        name=name,
        decisions=(),
        summaries=(),
        through_sequence=sequence,
        chain_hash="0" * 64,
        accounts=Accounts(),
    )


def test_what_the_ledger_lacks_is_read_from_the_log(run: RunDirectory) -> None:
    with LedgerKeeper(run, ("ops",)) as keeper:
        assert keeper.finish().is_current
    assert held(run) == logged(run) != []


def test_it_is_read_in_groups_that_fit_the_outbox(run: RunDirectory) -> None:
    limits = Limits(ledger_group=2, outbox_rows=1_000)
    with LedgerKeeper(run, ("ops",), limits=limits) as keeper:
        keeper.finish()
    assert held(run) == logged(run)


def test_a_locked_ledger_is_tried_until_it_is_free(run: RunDirectory) -> None:
    Ledger.open(run.ledger_url).close()
    holding = sqlite3.connect(run.ledger_path, isolation_level=None)
    holding.execute("begin immediate")
    said: list[str] = []
    with LedgerKeeper(run, (), on_trouble=said.append) as keeper:
        wait_until(lambda: keeper.state.failures)
        assert not keeper.state.is_current
        holding.execute("rollback")
        wait_until(lambda: keeper.state.is_current)
    holding.close()
    assert held(run) == logged(run)
    assert "locked" in said[0]
    assert "well again" in said[1]


def test_a_ledger_that_is_deleted_is_made_again(run: RunDirectory) -> None:
    said: list[str] = []
    with LedgerKeeper(run, (), on_trouble=said.append) as keeper:
        keeper.finish()
        next_one = newest(run)
        run.ledger_path.unlink()
        keeper.hand([next_one], may_wait=False)
        wait_until(lambda: keeper.state.is_current and run.ledger_path.exists())
    assert held(run) == logged(run)
    assert "deleted" in said[0]


def test_a_ledger_that_loses_a_table_is_put_aside_and_made_again(run: RunDirectory) -> None:
    with LedgerKeeper(run, ("ops",)) as keeper:
        keeper.finish()
        next_one = newest(run)
        with sqlite3.connect(run.ledger_path) as other:
            other.execute("drop table applied_through")
        other.close()
        keeper.hand([next_one], may_wait=False)
        wait_until(lambda: keeper.state.put_aside and keeper.state.is_current)
    assert held(run) == logged(run)
    for file in run.path.glob("*.damaged*"):
        file.unlink()


def test_at_its_bound_the_queue_is_let_go_and_the_log_is_read(run: RunDirectory) -> None:
    Ledger.open(run.ledger_url).close()
    holding = sqlite3.connect(run.ledger_path, isolation_level=None)
    holding.execute("begin immediate")
    with LedgerKeeper(run, (), limits=replace(LIMITS, ledger_waiting=2)) as keeper:
        wait_until(lambda: keeper.state.failures)
        empty = commit_through(run.partitions[0], 0)
        keeper.hand([empty] * 5, may_wait=False)
        holding.execute("rollback")
        wait_until(lambda: keeper.state.is_current)
    holding.close()
    assert held(run) == logged(run)


def test_a_full_outbox_fills_again_when_there_is_room(run: RunDirectory) -> None:
    limits = Limits(outbox_rows=3, ledger_group=1)
    with LedgerKeeper(run, ("ops",), limits=limits) as keeper:
        wait_until(lambda: "undelivered" in keeper.state.last_error)
        while not keeper.state.is_current:
            with Ledger.open(run.ledger_url) as ledger:
                for row in ledger.outbox.rows("pending"):
                    ledger.outbox.mark_delivered(row, delivered_ns=1)
            time.sleep(0.05)
    assert held(run) == logged(run)


def test_a_run_whose_ledger_is_locked_ends_and_says_so_and_a_resume_tells_every_alert(
    tmp_path: Path,
) -> None:
    out, early = tmp_path / "run", Taking()
    holding: list[sqlite3.Connection] = []

    def lock(_progress: object) -> None:
        if not holding:
            found = sqlite3.connect(out / "ledger.sqlite", isolation_level=None, timeout=10)
            found.execute("begin immediate")
            holding.append(found)

    report = go(out, alerts=early, limits=LIMITS, on_progress=lock)
    holding[0].close()
    assert report.decisions
    assert isinstance(report.problem(), SinkError)
    late = Taking()
    again = go(out, alerts=late, resume=True)
    assert again.problem() is None
    raised = RunDirectory.open(out).decisions()
    assert {*early.keys, *late.keys} == {f"{d.decision_id}:{d.revision}" for d in raised}
