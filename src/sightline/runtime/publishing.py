"""Publishing: what is committed is measured, and handed to the keeper of the ledger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from sightline.act import CommandSender, LatencyRecorder, RunMetrics
from sightline.records import Decision
from sightline.runtime.engine.learning import Learning
from sightline.runtime.engine.logged_core import Committed
from sightline.runtime.ledger_keeping import LedgerKeeper
from sightline.runtime.refusals import RefusalWatch
from sightline.runtime.run_directory import RunDirectory

FROM_RECEIPT = "receipt-to-decision"
"""Stands for the whole way where a stage is named; no stage can be called so."""


class Publisher:
    """Measures commits, hands them on, and keeps the run's numbers.

    Args:
        run: the run.
        keeper: of the ledger.
        metrics: of the run.
        monotonic_s: for latencies.
        is_by_the_clock: whether the run must go on while the ledger is behind.
        refusals: tells when most of what comes is refused.
    """

    def __init__(
        self,
        run: RunDirectory,
        keeper: LedgerKeeper,
        metrics: RunMetrics,
        *,
        monotonic_s: Callable[[], float],
        is_by_the_clock: bool,
        refusals: RefusalWatch | None = None,
    ) -> None:
        self._run = run
        self._keeper = keeper
        self._metrics = metrics
        self._monotonic_s = monotonic_s
        self._is_by_the_clock = is_by_the_clock
        self._refusals = refusals
        self.decisions = 0
        self.step_s = LatencyRecorder()
        self.latency_s = LatencyRecorder()
        self.stage_s: dict[str, LatencyRecorder] = {}
        self.missed: Counter[str] = Counter()
        self.fallbacks: Counter[str] = Counter()
        self._at_bounds: dict[tuple[str, str], int] = {}
        self._left_aside: dict[str, tuple[tuple[str, str, int], ...]] = {}
        self._advice: dict[str, tuple[tuple[str, str], ...]] = {}
        self._learning: dict[tuple[str, str], Learning] = {}

    def publish(self, one: Committed, *, released_s: float) -> dict[str, Any] | None:
        """Measure a commit of one partition, and let it take effect.

        Args:
            one: the commit.
            released_s: when its oldest row was received, on the monotonic clock.

        Returns:
            What to log if its decisions took longer than the pipeline's budget.
        """
        latency_s = self._monotonic_s() - released_s
        for _, decision in one.decisions:
            self.latency_s.record(latency_s)
            self._metrics.observe_decision(decision, latency_s)
        self.decisions += len(one.decisions)
        for step_s in one.step_s:
            self.step_s.record(step_s)
            self._metrics.observe_stage("core", step_s)
        for stage, took_s in one.stage_s:
            self.stage_s.setdefault(stage, LatencyRecorder()).record(took_s)
            self._metrics.observe_stage(stage, took_s)
        for stage in one.missed:
            self._miss(stage)
        self.fallbacks.update(one.fallbacks)
        self._learning.update({(one.name, stage): found for stage, found in one.learning})
        self._at_bounds.update({(one.name, bound): count for bound, count in one.at_bounds})
        self._left_aside[one.name] = one.left_aside
        self._advice[one.name] = one.advice
        for stage, phase in one.breakers:
            self._metrics.observe_breaker(stage, phase)
        self._metrics.observe_accounts(one.name, one.accounts)
        if self._refusals is not None:
            self._refusals.note(one.name, one.accounts)
        self._keeper.hand([one], may_wait=not self._is_by_the_clock)
        ledger = self._keeper.state
        self._metrics.observe_ledger(is_well=bool(ledger), failures=ledger.failures)
        budget_s = self._run.plan.pipeline.latency_budget_s
        if not one.decisions or latency_s <= budget_s:
            return None
        self._miss(FROM_RECEIPT, times=len(one.decisions))
        return {
            "stage": FROM_RECEIPT,
            "through_sequence": one.through_sequence,
            "decisions": len(one.decisions),
            "took_s": round(latency_s, 6),
            "budget_s": budget_s,
        }

    def observe_commands(self, machine: str, sender: CommandSender) -> None:
        """What became of the commands to a machine."""
        self._metrics.observe_commands(
            machine, sent=sender.sent, superseded=sender.superseded, failed=sender.failed
        )

    def at_bounds(self) -> dict[str, int]:
        """By bound that was reached, what it has cost, all partitions together."""
        found: Counter[str] = Counter()
        for (_, bound), count in sorted(self._at_bounds.items()):
            found[bound] += count
        return dict(found)

    def advice(self) -> dict[str, str]:
        """By camera, which setting of its detector would fit what was seen, or that nothing was."""
        return {camera: text for said in self._advice.values() for camera, text in said}

    def left_aside(self) -> dict[str, dict[str, int]]:
        """What was found in pictures and is in no track, by camera and cause."""
        found: dict[str, dict[str, int]] = {}
        for camera, why, count in (one for many in self._left_aside.values() for one in many):
            found.setdefault(camera, {})[why] = count
        return found

    def learning(self) -> dict[str, Learning]:
        """How far each stage that learns knows its series, all partitions together."""
        found: dict[str, Learning] = {}
        for (_, stage), one in sorted(self._learning.items()):
            found[stage] = found.get(stage, Learning()) + one
        return found

    def _miss(self, stage: str, *, times: int = 1) -> None:
        self.missed[stage] += times
        self._metrics.observe_deadline_missed(stage, times=times)


def newest(committed: Sequence[Committed]) -> tuple[Decision, ...]:
    """The decisions of some commits, for a progress display."""
    return tuple(decision for one in committed for _, decision in one.decisions)
