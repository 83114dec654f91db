"""Delivering the outbox: at least once, in order per subject, with backoff."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sightline.act.ledger import Ledger
from sightline.act.sinks import DeliveryError, Sink
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.records import Decision
from sightline.records.signals import NS_PER_S

_BATCH = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Exponential backoff with a jitter derived from the key, so that nothing is random.

    >>> Backoff(first_s=1.0, factor=2.0, cap_s=60.0).wait_s(3, key="a") <= 8.0
    True
    """

    first_s: float = 0.5
    factor: float = 2.0
    cap_s: float = 60.0

    def wait_s(self, attempts: int, *, key: str) -> float:
        """Seconds before the next attempt after ``attempts`` failed ones (at least 1)."""
        full = min(self.first_s * self.factor ** (attempts - 1), self.cap_s)
        share = hashlib.blake2b(f"{key}:{attempts}".encode(), digest_size=2).digest()
        return full * (0.5 + 0.5 * int.from_bytes(share, "big") / 65535)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryReport:
    """What the outbox came to."""

    delivered: int
    pending: int
    failed: int


class OutboxDispatcher:
    """Sends pending alerts to their sinks.

    Args:
        ledger: holds the outbox.
        sinks: by name; rows of a sink that is not given wait.
        clock_ns: wall clock.
        sleep_s: waits.
        backoff: between attempts.
        limits: attempts per alert.
    """

    def __init__(
        self,
        ledger: Ledger,
        sinks: Mapping[str, Sink],
        *,
        clock_ns: Callable[[], int],
        sleep_s: Callable[[float], None],
        backoff: Backoff,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self._ledger = ledger
        self._sinks = dict(sinks)
        self._clock_ns = clock_ns
        self._sleep_s = sleep_s
        self._backoff = backoff
        self._limits = limits

    def deliver_due(self) -> DeliveryReport:
        """Try every alert that is due, once. A subject that fails holds back its later alerts."""
        delivered = 0
        blocked: set[tuple[str, str]] = set()
        for row in self._ledger.outbox_due(self._clock_ns(), most=_BATCH):
            sink = self._sinks.get(row.sink)
            if sink is None or (row.sink, row.subject) in blocked:
                continue
            decision = Decision.from_bytes(row.canonical.encode())
            try:
                sink.send(decision, idempotency_key=row.idempotency_key)
            except DeliveryError as error:
                blocked.add((row.sink, row.subject))
                self._postpone(row, error)
                continue
            self._ledger.outbox_update(
                row.sink,
                row.idempotency_key,
                state="delivered",
                attempts=row.attempts + 1,
                delivered_ns=self._clock_ns(),
                last_error="",
            )
            delivered += 1
        counts = self._ledger.outbox_counts()
        return DeliveryReport(
            delivered=delivered, pending=counts.get("pending", 0), failed=counts.get("failed", 0)
        )

    def _postpone(self, row: object, error: DeliveryError) -> None:
        sink, key = row.sink, row.idempotency_key  # type: ignore[attr-defined]
        attempts: int = row.attempts + 1  # type: ignore[attr-defined]
        gives_up = error.is_permanent or attempts >= self._limits.delivery_attempts
        wait_s = self._backoff.wait_s(attempts, key=key)
        if error.retry_after_s is not None:
            wait_s = max(wait_s, error.retry_after_s)
        self._ledger.outbox_update(
            sink,
            key,
            state="failed" if gives_up else "pending",
            attempts=attempts,
            next_attempt_ns=self._clock_ns() + round(wait_s * NS_PER_S),
            last_error=error.got,
        )

    def drain(self, deadline_ns: int) -> DeliveryReport:
        """Deliver until nothing is pending or the deadline has come; the rest stays."""
        delivered = 0
        while True:
            report = self.deliver_due()
            delivered += report.delivered
            next_ns = self._ledger.outbox_next_ns()
            if next_ns is None or not self._sinks or self._clock_ns() >= deadline_ns:
                break
            if report.delivered == 0 and next_ns > deadline_ns:
                break
            wait_ns = min(next_ns, deadline_ns) - self._clock_ns()
            if report.delivered == 0 and wait_ns <= 0:
                break  # what is due belongs to sinks that are not here
            if wait_ns > 0:
                self._sleep_s(wait_ns / NS_PER_S)
        return DeliveryReport(delivered=delivered, pending=report.pending, failed=report.failed)

    def retry_failed(self) -> int:
        """Put alerts that were given up back in line; how many."""
        return self._ledger.outbox_retry_failed()
