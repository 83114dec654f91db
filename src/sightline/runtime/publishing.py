"""Publishing: what is committed takes effect in ledger, outbox and metrics, and is measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from sightline.act import LatencyRecorder, Ledger, Outlet, RunMetrics
from sightline.act.notices import Notice, Told
from sightline.decide import Mask, unmasked
from sightline.limits import Limits
from sightline.recorder import read_entries
from sightline.records import Accounts, Decision, EntryKind
from sightline.runtime.alerting.said import AlertingSaid
from sightline.runtime.engine.learning import Learning
from sightline.runtime.engine.logged_core import Committed
from sightline.runtime.run_directory import RunDirectory

FROM_RECEIPT = "receipt-to-decision"
"""Stands for the whole way where a stage is named; no stage can be called so."""


class Publisher:
    """Carries out commits, and keeps the run's numbers.

    Args:
        run: the run.
        ledger: of the run.
        outlets: receivers of alerts, by name.
        metrics: of the run.
        monotonic_s: for latencies.
        limits: bounds.
    """

    def __init__(
        self,
        run: RunDirectory,
        ledger: Ledger,
        outlets: Mapping[str, Outlet],
        metrics: RunMetrics,
        *,
        monotonic_s: Callable[[], float],
        limits: Limits,
    ) -> None:
        self._run = run
        self._ledger = ledger
        has_desk = run.plan.pipeline.alerting is not None
        self._has_desk = has_desk
        # With an alert desk its messages are sent, and no decision by itself.
        self._sinks = () if has_desk else tuple(outlets)
        self._notice_sinks = tuple(outlets)
        self._metrics = metrics
        self._monotonic_s = monotonic_s
        self._limits = limits
        self._shelves = [
            Mask.from_mapping(control)
            for control in run.controls
            if control.get("control") == "shelve" and not has_desk
        ]
        self.decisions = 0
        self.step_s = LatencyRecorder()
        self.latency_s = LatencyRecorder()
        self.stage_s: dict[str, LatencyRecorder] = {}
        self.missed: Counter[str] = Counter()
        self.fallbacks: Counter[str] = Counter()
        self._at_bounds: dict[tuple[str, str], int] = {}
        self._learning: dict[tuple[str, str], Learning] = {}

    def publish(self, one: Committed, *, released_s: float) -> dict[str, Any] | None:
        """Let a commit of one partition take effect.

        Args:
            one: the commit.
            released_s: when its oldest row was received, on the monotonic clock.

        Returns:
            What to log if its decisions took longer than the pipeline's budget.
        """
        self._ledger.apply(
            one.name,
            one.decisions,
            through_sequence=one.through_sequence,
            accounts=one.accounts,
            sinks=self._sinks,
            shelved=self._shelved(decision for _, decision in one.decisions),
            told=_told(one.alerting),
            notice_sinks=self._notice_sinks,
        )
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
        for stage, phase in one.breakers:
            self._metrics.observe_breaker(stage, phase)
        self._metrics.observe_accounts(one.name, one.accounts)
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

    def at_bounds(self) -> dict[str, int]:
        """By bound that was reached, what it has cost, all partitions together."""
        found: Counter[str] = Counter()
        for (_, bound), count in sorted(self._at_bounds.items()):
            found[bound] += count
        return dict(found)

    def learning(self) -> dict[str, Learning]:
        """How far each stage that learns knows its series, all partitions together."""
        found: dict[str, Learning] = {}
        for (_, stage), one in sorted(self._learning.items()):
            found[stage] = found.get(stage, Learning()) + one
        return found

    def alerting_sums(self) -> dict[str, dict[str, int]] | None:
        """Alerts by where they are and messages by kind, of the whole run; None without a desk."""
        if not self._has_desk:
            return None
        return {
            "fates": dict(self._ledger.alerts_by_fate()),
            "messages": dict(self._ledger.notices_by_kind()),
        }

    def rebuild_ledger(self) -> None:
        """The ledger is derived: bring it to where the logs are."""
        for name in self._run.partitions:
            found: list[tuple[int, Decision]] = []
            said: list[tuple[int, AlertingSaid]] = []
            through = after = self._ledger.applied_through(name)
            for entry in read_entries(
                self._run.storage,
                name,
                after=after,
                kinds={EntryKind.DECISION, EntryKind.ALERTING, EntryKind.MEASUREMENT},
                limits=self._limits,
            ):
                through = entry.sequence
                if entry.kind is EntryKind.DECISION:
                    found.append((entry.sequence, Decision.from_bytes(entry.payload)))
                elif entry.kind is EntryKind.ALERTING:
                    said.append((entry.sequence, AlertingSaid.from_bytes(entry.payload)))
            if found or said:
                self._ledger.apply(
                    name,
                    found,
                    through_sequence=through,
                    accounts=self._run.accounts(limits=self._limits).get(name, Accounts()),
                    sinks=self._sinks,
                    shelved=self._shelved(decision for _, decision in found),
                    told=_told(said),
                    notice_sinks=self._notice_sinks,
                )

    def _shelved(self, decisions: Iterable[Decision]) -> set[str]:
        """Ids of the decisions that an operator wants to be decided but not to hear of."""
        return {d.decision_id for d in decisions if not unmasked([d], self._shelves)}

    def _miss(self, stage: str, *, times: int = 1) -> None:
        self.missed[stage] += times
        self._metrics.observe_deadline_missed(stage, times=times)


def _told(said: Sequence[tuple[int, AlertingSaid]]) -> list[tuple[int, Told]]:
    """What a desk said, as the ledger takes it."""
    return [
        (
            sequence,
            Told(
                notices=tuple(Notice.from_mapping(message) for message in one.messages),
                dispositions=one.dispositions,
            ),
        )
        for sequence, one in said
    ]


def newest(committed: Sequence[Committed]) -> tuple[Decision, ...]:
    """The decisions of some commits, for a progress display."""
    return tuple(decision for one in committed for _, decision in one.decisions)
