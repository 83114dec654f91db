"""A decision of a run of telemetry, with everything a person needs to judge it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sightline.evidence.circumstances import Circumstances, circumstances_of
from sightline.evidence.rows_account import (
    DecisionSubject,
    history_mapping,
    subject_of,
)
from sightline.evidence.novelty_account import NoveltyAccount, novelty_account
from sightline.evidence.tried import (
    NOT_TRIED,
    TriedDecision,
    try_decision,
)
from sightline.evidence.words import number
from sightline.evidence.rows_account import Explanation
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.records import Decision
from sightline.records.signals import NS_PER_S
from sightline.runtime import RunDirectory

AROUND_S = 300.0
"""What happened so long before and after a decision is told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunAlert:
    """A decision, explained.

    Attributes:
        explanation: the decision, its reasons and its rows.
        about: where it comes from.
        tried: what would not have raised it.
        circumstances: what else happened.
        novelty: what was unlike its past; None where the decision rests on no novelty stage, or
            the core was not to be run again.
    """

    explanation: Explanation
    about: DecisionSubject
    tried: TriedDecision
    circumstances: Circumstances
    novelty: NoveltyAccount | None

    @property
    def decision(self) -> Decision:
        """The last revision."""
        return self.explanation.decision

    def as_mapping(self) -> dict[str, Any]:
        """JSON-ready: what the explanation says, and the rest under names of its own."""
        tried = self.tried
        return self.explanation.as_mapping() | {
            "subject": {
                "source": self.about.source,
                "key": self.about.key,
                "field": self.about.field,
                "unit": self.about.unit,
            },
            "history": None if tried.history is None else history_mapping(tried.history),
            "counterfactual": tried.counterfactual.as_mapping(),
            "counterfactual_of_all_windows": None
            if tried.whole is None
            else tried.whole.as_mapping(),
            "put_off_until_ns": tried.put_off_ns if tried.put_off_ns >= 0 else None,
            "run_until_ns": tried.until_ns if tried.until_ns >= 0 else None,
            "field_before": dict(
                zip(("median", "least", "greatest"), map(number, tried.before), strict=True)
            ),
            "core_runs": tried.runs,
            "core_began_after": tried.began_after,
            "circumstances": self.circumstances.as_mapping(),
            "novelty": None if self.novelty is None else self.novelty.as_mapping(),
        }


def explain_alert(
    run: RunDirectory,
    explanation: Explanation,
    *,
    is_quick: bool = False,
    limits: Limits = DEFAULT_LIMITS,
) -> RunAlert:
    """Gather what surrounds an explained decision, and what would not have raised it.

    Args:
        run: of rows.
        explanation: of one of its decisions.
        is_quick: do not run the core again.
        limits: bounds for reading the log.

    Raises:
        LogError: the log is damaged.
    """
    decision = explanation.decision
    about = subject_of(run.plan, decision)
    around_ns = round(AROUND_S * NS_PER_S)
    return RunAlert(
        explanation=explanation,
        about=about,
        tried=NOT_TRIED if is_quick else try_decision(run, decision, about, limits=limits),
        circumstances=circumstances_of(
            run,
            decision,
            run.decisions(limits=limits),
            source=about.source,
            key=about.key,
            span_ns=(decision.window_start_ns - around_ns, decision.window_end_ns + around_ns),
            limits=limits,
        ),
        novelty=None
        if is_quick
        else novelty_account(
            run,
            decision,
            partition=explanation.partition,
            sequence=explanation.sequence,
            limits=limits,
        ),
    )
