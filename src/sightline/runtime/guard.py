"""Guarded stages: requests, outcomes, and the circuit breaker, as pure values.

The core decides *whether* to ask; the shell asks, with a deadline; the outcome comes back as a
log entry. So a late answer, a crash and an open breaker all replay exactly.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np

from sightline.errors import LogError
from sightline.records.windows import FloatArray
from sightline.runtime.pipeline import Breaker


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreRequest:
    """Ask a scorer for n scores.

    Attributes:
        request_id: unique in the partition: ``epoch:stage:count``.
        stage: the guarded stage.
        scorer: name of the scorer.
        history: float64[n, h], values before each, oldest first, NaN where there are none.
        current: float64[n].
        floor: float64[n], smallest spread that counts.
        min_history: finite values needed to judge.
        budget_s: time allowed.
        run_on: ``thread`` or ``process``.
    """

    request_id: str
    stage: str
    scorer: str
    history: FloatArray
    current: FloatArray
    floor: FloatArray
    min_history: int
    budget_s: float
    run_on: str


class OutcomeStatus(StrEnum):
    OK = "ok"
    TIMEOUT = "timeout"
    CRASH = "crash"
    NAN = "nan"
    """An answer of the wrong length, infinite, or NaN where there was evidence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a request; ``scores`` is float64[n] when ``status`` is OK, else empty."""

    request_id: str
    stage: str
    status: OutcomeStatus
    scores: FloatArray
    detail: str = ""

    def to_bytes(self) -> bytes:
        """A JSON line, then the scores as little-endian float64."""
        head = {
            "request": self.request_id,
            "stage": self.stage,
            "status": str(self.status),
            "detail": self.detail,
        }
        return (
            json.dumps(head, sort_keys=True).encode() + b"\n" + self.scores.astype("<f8").tobytes()
        )

    @classmethod
    def from_bytes(cls, payload: bytes) -> Outcome:
        """Inverse of :meth:`to_bytes`.

        Raises:
            LogError: if the payload is not an outcome.
        """
        head, _, body = payload.partition(b"\n")
        try:
            plain: dict[str, Any] = json.loads(head)
            return cls(
                request_id=plain["request"],
                stage=plain["stage"],
                status=OutcomeStatus(plain["status"]),
                scores=np.frombuffer(body, "<f8").astype(np.float64),
                detail=plain["detail"],
            )
        except (ValueError, KeyError, TypeError) as error:
            raise LogError(
                expected="the outcome of a guarded stage",
                got=f"{len(payload)} bytes that are none ({error})",
                where="log entry of kind outcome",
                action="run `sightline verify` on the run",
            ) from error


def checked_scores(scores: object, request: ScoreRequest) -> OutcomeStatus:
    """Whether an answer can be used: right shape, finite wherever there was evidence."""
    if not isinstance(scores, np.ndarray) or scores.shape != request.current.shape:
        return OutcomeStatus.NAN
    evidence = np.isfinite(request.current) & (
        np.isfinite(request.history).sum(axis=1) >= request.min_history
    )
    usable = np.isfinite(scores) | (~evidence & np.isnan(scores))
    return OutcomeStatus.OK if bool(usable.all()) else OutcomeStatus.NAN


class BreakerPhase(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerState:
    """Circuit breaker: a pure value; every method returns the next one.

    >>> rule = Breaker(open_after=1, retry_after_ticks=2, close_after=1)
    >>> s = BreakerState().after(False, rule)
    >>> s.phase.value, s.ticked(rule).ticked(rule).phase.value
    ('open', 'half_open')
    """

    phase: BreakerPhase = BreakerPhase.CLOSED
    failures: int = 0
    successes: int = 0
    waited_ticks: int = 0

    @property
    def lets_through(self) -> bool:
        return self.phase is not BreakerPhase.OPEN

    def after(self, ok: bool, rule: Breaker) -> BreakerState:
        """State after an outcome."""
        if ok:
            if self.phase is BreakerPhase.HALF_OPEN:
                successes = self.successes + 1
                if successes < rule.close_after:
                    return replace(self, successes=successes)
            return BreakerState()
        failures = self.failures + 1
        if self.phase is BreakerPhase.HALF_OPEN or failures >= rule.open_after:
            return BreakerState(phase=BreakerPhase.OPEN, failures=failures)
        return replace(self, failures=failures)

    def ticked(self, rule: Breaker) -> BreakerState:
        """State after a tick."""
        if self.phase is not BreakerPhase.OPEN:
            return self
        waited = self.waited_ticks + 1
        if waited >= rule.retry_after_ticks:
            return BreakerState(phase=BreakerPhase.HALF_OPEN, failures=self.failures)
        return replace(self, waited_ticks=waited)

    def as_mapping(self) -> dict[str, Any]:
        return {
            "phase": str(self.phase),
            "failures": self.failures,
            "successes": self.successes,
            "waited_ticks": self.waited_ticks,
        }

    @classmethod
    def from_mapping(cls, plain: dict[str, Any]) -> BreakerState:
        return cls(**{**plain, "phase": BreakerPhase(plain["phase"])})
