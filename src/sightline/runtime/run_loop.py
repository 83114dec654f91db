"""The loop of a run: epochs are fed, committed and published, in order, until there are no more.

The loop is the same at every speed and for live sources; only where its epochs come from differs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from sightline.limits import Limits
from sightline.records import Accounts
from sightline.records.decision import decisions_digest, final_revisions
from sightline.records.signals import NS_PER_S, RECEIVED_NS
from sightline.runtime.driving import EpochDriver
from sightline.runtime.plan import Plan
from sightline.runtime.publishing import Publisher, newest
from sightline.runtime.run_directory import RunDirectory
from sightline.runtime.run_options import Progress, RunClocks, RunOptions
from sightline.runtime.run_report import RunReport
from sightline.sense.arrival import Epoch

_COMMIT_ROWS = 400_000  # rows fed between two commits at full speed
_DRAIN_S = 10.0  # time for alerts that are left when the sources have ended


@dataclass(slots=True)
class RunLoop:
    """Feeds epochs until there are no more; the shell's only loop."""

    plan: Plan
    run: RunDirectory
    driver: EpochDriver
    publisher: Publisher
    clocks: RunClocks
    on_progress: Callable[[Progress], None] | None
    options: RunOptions
    limits: Limits
    rows: int = 0
    tick_ns: int = 0
    released_s: float | None = None

    def go(
        self,
        stream: Iterator[Epoch],
        on_commit: Callable[[], None],
        take_controls: Callable[[], list[dict[str, Any]]] = list,
    ) -> RunReport:
        """Run to the end of ``stream``.

        Args:
            stream: of epochs.
            on_commit: called when a commit is durable.
            take_controls: asked at the beginning of each epoch for operator inputs that have come.
        """
        started_s = self.clocks.monotonic_s()
        self.publisher.rebuild_ledger()
        if self.options.resume:
            self.publisher.retry_failed()
        self.driver.begin(self.run.controls)
        since_rows, since_epochs = 0, 0
        is_paced = self.options.speed is not None or self.options.is_live
        is_boundary = True
        for epoch in stream:
            if is_boundary:
                for control in take_controls():
                    self.driver.feed_control(control)
            is_boundary = epoch.is_complete
            self._note_receipt(epoch)
            self.tick_ns = epoch.tick_ns
            self.driver.feed(epoch)
            self.rows += epoch.rows
            since_rows += epoch.rows
            since_epochs += epoch.is_complete
            due = (
                is_paced
                or since_rows >= _COMMIT_ROWS
                or since_epochs >= self.limits.epochs_in_flight
            )
            if epoch.is_final or (due and epoch.is_complete):
                self._commit(epoch.tick_ns)
                on_commit()
                since_rows, since_epochs = 0, 0
        if self.driver.has_unlogged:
            self._commit(self.tick_ns)
        wall_s = self.clocks.monotonic_s() - started_s
        return self._report(wall_s, self.publisher.drain(_DRAIN_S))

    def _note_receipt(self, epoch: Epoch) -> None:
        """Latency counts from the oldest row of a commit."""
        now_s = self.clocks.monotonic_s()
        if self.options.is_live:
            oldest_ns = [
                int(frame[RECEIVED_NS].min())  # type: ignore[arg-type]  # never null here
                for _, frame in epoch.batches
            ]
            now_s -= max(self.clocks.wall_ns() - min(oldest_ns), 0) / NS_PER_S if oldest_ns else 0.0
        self.released_s = now_s if self.released_s is None else min(self.released_s, now_s)

    def _commit(self, tick_ns: int) -> None:
        committed = self.driver.commit()
        released_s, self.released_s = self.released_s, None
        for one in committed:
            missed = self.publisher.publish(
                one, released_s=self.clocks.monotonic_s() if released_s is None else released_s
            )
            if missed is not None:
                self.driver.feed_missed(one.name, missed)
        said = newest(committed)
        if said or any(one.alerting for one in committed):
            self.publisher.deliver()
        if self.on_progress is not None:
            self.on_progress(
                Progress(
                    tick_ns=tick_ns,
                    rows=self.rows,
                    decisions=self.publisher.decisions,
                    open_rows=sum(c.open_rows for c in committed),
                    newest=said,
                )
            )

    def _report(self, wall_s: float, undelivered: int) -> RunReport:
        decisions = self.run.decisions(limits=self.limits)
        counts = Counter(f"{d.kind} {d.transition} {d.status}" for d in decisions)
        accounts = Accounts.total(self.run.accounts(limits=self.limits).values())
        accounts.check(f"run {self.run.path}")
        numbers = self.publisher
        return RunReport(
            path=self.run.path,
            pipeline=f"{self.plan.pipeline.pipeline} {self.plan.digest}",
            accounts=accounts,
            decisions=dict(sorted(counts.items())),
            digest=decisions_digest(decisions),
            final_digest=decisions_digest(final_revisions(decisions)),
            wall_s=wall_s,
            rows_per_s=self.rows / wall_s if wall_s > 0 else 0.0,
            step_s=numbers.step_s.summary(),
            stage_s={stage: r.summary() for stage, r in sorted(numbers.stage_s.items())},
            latency_s=numbers.latency_s.summary(),
            deadline_missed=dict(sorted(numbers.missed.items())),
            fallbacks=dict(sorted(numbers.fallbacks.items())),
            undelivered=undelivered,
            recoveries=dict(self.driver.recoveries),
            alerting=numbers.alerting_sums(),
            learning=numbers.learning(),
        )


def paced(stream: Iterator[Epoch], speed: float | None, clocks: RunClocks) -> Iterator[Epoch]:
    """Hold each epoch back until its time has come on a clock that runs ``speed`` times as fast."""
    if speed is None:
        yield from stream
        return
    started_s = clocks.monotonic_s()
    first_ns: int | None = None
    for epoch in stream:
        if first_ns is None:
            first_ns = epoch.tick_ns
        due_s = started_s + (epoch.tick_ns - first_ns) / NS_PER_S / speed
        wait_s = due_s - clocks.monotonic_s()
        if wait_s > 0:
            clocks.sleep_s(wait_s)
        yield epoch
