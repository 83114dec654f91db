"""How good alerts are, event by event, with what is behind each figure.

The corrected event-wise F-score and the alarming precision are those of ESA-ADB (K. Kotowski et
al., European Space Agency Benchmark for Anomaly Detection in Satellite Telemetry, 2024,
arXiv:2406.17826): precision = TP / (TP + FP) · TNR, where TP counts true events that were found,
FP alerts that overlap no true event, and TNR is the share of the nominal time that is free of
alerts. Without it, one alert over everything would be perfect (M. E. A. Sehili and Z. Zhang,
2023, arXiv:2308.13068). Alarming precision = TP / (TP + redundant alerts): 1 when each event is
told once. Both sources take F with β = 0.5, for operators who pay for false alerts.

Where a figure has no denominator it is NaN here, and not the 0 of the reference code: nothing was
measured, and NaN passes no gate.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.alert_scores.events import Intervals, TrueEvents, match
from sightline.errors import UsageError
from sightline.evidence.bounds import binomial_lower
from sightline.records.signals import NS_PER_S
from sightline.records.windows import FloatArray, IntArray


@dataclass(frozen=True, slots=True, kw_only=True)
class DelayQuantiles:
    """Delays of the found events, by nearest rank: each is one that happened. NaN without any.

    Attributes:
        count: found events. The missed ones have no delay: read it beside the misses.
        p50_s, p95_s, worst_s: seconds.
    """

    count: int
    p50_s: float
    p95_s: float
    worst_s: float

    def as_mapping(self) -> dict[str, float | int | None]:
        """JSON-ready; NaN becomes null."""
        named = {"p50": self.p50_s, "p95": self.p95_s, "worst": self.worst_s}
        return {"count": self.count, **{k: None if math.isnan(v) else v for k, v in named.items()}}


def delay_quantiles(delay_ns: FloatArray) -> DelayQuantiles:
    """Of float64[n] in ns; NaN stands for an event that was not found.

    >>> delay_quantiles(np.array([1e9, 3e9, np.nan, 2e9])).as_mapping()
    {'count': 3, 'p50': 2.0, 'p95': 3.0, 'worst': 3.0}
    """
    known = delay_ns[np.isfinite(delay_ns)]
    if not len(known):
        return DelayQuantiles(count=0, p50_s=math.nan, p95_s=math.nan, worst_s=math.nan)
    p50, p95, worst = np.percentile(known, [50, 95, 100], method="inverted_cdf") / NS_PER_S
    return DelayQuantiles(
        count=len(known), p50_s=float(p50), p95_s=float(p95), worst_s=float(worst)
    )


NS_PER_DAY = 86_400_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertScore:
    """What became of each event, and what was told for nothing.

    Attributes:
        kind: kind of fault of each event, n of them.
        delay_ns: float64[n], of each event; NaN where it was missed.
        false_alerts: alerts that belong to no true event (FP).
        redundant: further alerts of an event that was already told.
        nominal_ns: time without a true event.
        false_ns: nominal time covered by alerts.
        watched_ns: the whole time, nominal or not.
    """

    kind: tuple[str, ...]
    delay_ns: FloatArray
    false_alerts: int
    redundant: int
    nominal_ns: int
    false_ns: int
    watched_ns: int

    @property
    def found(self) -> int:
        """True events that were found (TP)."""
        return int(np.isfinite(self.delay_ns).sum())

    @property
    def missed(self) -> int:
        """True events that were not (FN)."""
        return len(self.kind) - self.found

    @property
    def events(self) -> int:
        return len(self.kind)

    @property
    def missed_events(self) -> list[int]:
        """Positions of the missed events, ascending: the list to work on."""
        return np.flatnonzero(~np.isfinite(self.delay_ns)).tolist()

    @property
    def delays(self) -> DelayQuantiles:
        """Over all found events."""
        return delay_quantiles(self.delay_ns)

    @property
    def by_kind(self) -> tuple[KindScore, ...]:
        """Each kind of fault, by name. False alerts have no kind."""
        kinds = np.array(self.kind, dtype=object)
        return tuple(
            KindScore.of(name, np.flatnonzero(kinds == name), self.delay_ns)
            for name in sorted(set(self.kind))
        )

    @property
    def true_negative_rate(self) -> float:
        """Share of the nominal time without an alert; NaN without nominal time."""
        return 1 - self.false_ns / self.nominal_ns if self.nominal_ns else math.nan

    @property
    def precision(self) -> float:
        """Uncorrected: found events over found events and false alerts."""
        return ratio(self.found, self.found + self.false_alerts)

    @property
    def corrected_precision(self) -> float:
        """Precision times the true negative rate (ESA-ADB)."""
        precision = self.precision
        return 0.0 if precision == 0 else precision * self.true_negative_rate

    @property
    def recall(self) -> float:
        return ratio(self.found, self.events)

    @property
    def alarming_precision(self) -> float:
        return ratio(self.found, self.found + self.redundant)

    @property
    def f1(self) -> float:
        """Uncorrected."""
        return f_score(self.precision, self.recall, beta=1)

    @property
    def corrected_f05(self) -> float:
        """The first figure of ESA-ADB."""
        return f_score(self.corrected_precision, self.recall, beta=0.5)

    def as_mapping(self) -> dict[str, Any]:
        """JSON-ready; what is undefined is null."""
        plain: dict[str, Any] = {
            "events": self.events,
            "found": self.found,
            "missed": self.missed,
            "false_alerts": self.false_alerts,
            "redundant": self.redundant,
            "watched_days": self.watched_ns / NS_PER_DAY,
            "true_negative_rate": self.true_negative_rate,
            "precision": self.precision,
            "corrected_precision": self.corrected_precision,
            "recall": self.recall,
            "recall_lower_95": binomial_lower(self.found, self.events),
            "alarming_precision": self.alarming_precision,
            "f1": self.f1,
            "corrected_f05": self.corrected_f05,
        }
        return {
            **{k: None if math.isnan(v) else v for k, v in plain.items()},
            "delay_s": self.delays.as_mapping(),
            "by_kind": [kind.as_mapping() for kind in self.by_kind],
            "missed_events": self.missed_events,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class KindScore:
    """The events of one kind of fault; false alerts have no kind.

    Attributes:
        kind: its name.
        found, missed: events.
        missed_events: positions of the missed ones: the list to work on.
        delays: of the found ones.
    """

    kind: str
    found: int
    missed: int
    missed_events: tuple[int, ...]
    delays: DelayQuantiles

    @classmethod
    def of(cls, kind: str, at: IntArray, delay_ns: FloatArray) -> KindScore:
        """Of the events at the positions ``at``."""
        lost = at[~np.isfinite(delay_ns[at])]
        return cls(
            kind=kind,
            found=len(at) - len(lost),
            missed=len(lost),
            missed_events=tuple(lost.tolist()),
            delays=delay_quantiles(delay_ns[at]),
        )

    def as_mapping(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "found": self.found,
            "missed": self.missed,
            "missed_events": list(self.missed_events),
            "delay_s": self.delays.as_mapping(),
        }


def score_alerts(truth: TrueEvents, alerts: Intervals, *, watched: tuple[int, int]) -> AlertScore:
    """Score the alerts of one stream against its true events.

    Args:
        truth: what happened.
        alerts: what was told, as intervals in which the alert was raised.
        watched: first and last instant that were scored, UTC ns; everything lies in it.

    Raises:
        UsageError: an event or alert outside ``watched``.

    >>> day = 86_400_000_000_000
    >>> truth = TrueEvents.of([(0, day), (6 * day, 7 * day)])
    >>> score = score_alerts(truth, Intervals.of([(3 * day, 8 * day)]), watched=(0, 14 * day))
    >>> score.found, score.missed, score.false_alerts, round(score.corrected_precision, 4)
    (1, 1, 0, 0.6667)
    """
    first, last = watched
    for name, given in (("an event", truth.seen), ("an alert", alerts)):
        if len(given) and (given.start_ns.min() < first or given.end_ns.max() > last):
            raise UsageError(
                expected=f"{name} within [{first}, {last}]",
                got=f"[{given.start_ns.min()}, {given.end_ns.max()}]",
                where="scoring of alerts",
                action="score the time that was watched, and all of it",
            )
    matching = match(truth, alerts)
    seen = truth.seen.merged()
    nominal_ns = (last - first) - int(seen.duration_ns().sum())
    false_ns = int(matching.alerts.duration_ns().sum()) - shared_ns(seen, matching.alerts)
    return AlertScore(
        kind=truth.kind,
        delay_ns=matching.delay_ns,
        false_alerts=int((~matching.is_true).sum()),
        redundant=matching.redundant,
        nominal_ns=nominal_ns,
        false_ns=false_ns,
        watched_ns=last - first,
    )


def pooled_score(scores: Sequence[AlertScore]) -> AlertScore:
    """Several streams (satellites, channels) as one: counts and times are added, events joined."""
    return AlertScore(
        kind=tuple(kind for score in scores for kind in score.kind),
        delay_ns=np.concatenate([np.empty(0), *(score.delay_ns for score in scores)]),
        false_alerts=sum(score.false_alerts for score in scores),
        redundant=sum(score.redundant for score in scores),
        nominal_ns=sum(score.nominal_ns for score in scores),
        false_ns=sum(score.false_ns for score in scores),
        watched_ns=sum(score.watched_ns for score in scores),
    )


def shared_ns(a: Intervals, b: Intervals) -> int:
    """Time covered by both; each is merged (disjoint and sorted)."""
    points = np.concatenate([a.start_ns, a.end_ns, b.start_ns, b.end_ns])
    steps = np.repeat([1, -1, 1, -1], [len(a), len(a), len(b), len(b)])
    order = np.argsort(points, kind="stable")
    depth = np.cumsum(steps[order])[:-1]
    return int(np.diff(points[order])[depth == 2].sum())


def ratio(part: float, whole: float) -> float:
    """``part / whole``; NaN for a whole of 0."""
    return part / whole if whole else math.nan


def f_score(precision: float, recall: float, *, beta: float) -> float:
    """F with weight ``beta`` of recall; 0 where both are 0, NaN where one is.

    >>> round(f_score(0.5, 1.0, beta=0.5), 4), f_score(0.0, 0.0, beta=1)
    (0.5556, 0.0)
    """
    if precision == recall == 0:
        return 0.0
    return (1 + beta**2) * precision * recall / (beta**2 * precision + recall)
