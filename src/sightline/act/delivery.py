"""Delivering the outbox: at least once, in order per subject, with backoff and without chance."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sightline.act.ledger import Ledger
from sightline.act.outbox_table import OutboxRow
from sightline.act.sinks import DeliveryError, Sink
from sightline.errors import SinkError, UsageError
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.records.signals import NS_PER_S

_PAGE_ROWS = 500
_SHORTEST_SLEEP_S = 0.001
_MAX_DOUBLINGS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Exponential backoff whose jitter is a hash of the key: spread out, and the same in a replay.

    Attributes:
        first_s: wait after the first failed attempt, before jitter.
        factor: growth per further attempt, at least 1.
        cap_s: longest wait.

    Raises:
        UsageError: a wait that is not positive, or shrinks.

    >>> Backoff(first_s=1.0, factor=2.0, cap_s=60.0).wait_s(3, key="a") <= 4.0
    True
    """

    first_s: float = 0.5
    factor: float = 2.0
    cap_s: float = 60.0

    def __post_init__(self) -> None:
        if not (0 < self.first_s <= self.cap_s and self.factor >= 1):
            raise UsageError(
                expected="0 < first_s <= cap_s and factor >= 1",
                got=f"first_s={self.first_s}, cap_s={self.cap_s}, factor={self.factor}",
                where="backoff",
                action="mend the numbers",
            )

    def wait_s(self, attempts: int, *, key: str) -> float:
        """Seconds to wait after ``attempts`` failed ones (from 1): half to all of the full wait."""
        doublings = min(attempts - 1, _MAX_DOUBLINGS)  # beyond it a float could overflow
        full_s = min(self.first_s * self.factor**doublings, self.cap_s)
        digest = hashlib.blake2b(f"{key}:{attempts}".encode(), digest_size=2).digest()
        return full_s * (0.5 + 0.5 * int.from_bytes(digest, "big") / 0xFFFF)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryReport:
    """What a call did, and what the outbox holds after it.

    Attributes:
        attempted: deliveries tried in this call.
        delivered: of those, taken.
        given_up: of those, now ``failed``.
        pending: rows in the outbox that wait, those of absent sinks included.
        failed: rows in the outbox that were given up, in this call or before.
    """

    attempted: int
    delivered: int
    given_up: int
    pending: int
    failed: int


class OutboxDispatcher:
    """Sends the alerts of a ledger's outbox to their sinks.

    An alert is sent until its sink takes it; a crash after that and before it is noted sends it
    again, with the same idempotency key. A permanent refusal, or ``limits.delivery_attempts``
    failures, makes it ``failed``: it stays in the outbox, visible, holds nothing back, and goes
    out again after :meth:`retry_failed`. A sink that does not answer at all, or asks for time, is
    left alone until then, so that a dead receiver costs one time-out and not one per alert.

    Args:
        ledger: holds the outbox.
        sinks: by name; alerts for other sinks wait.
        clock_ns: UTC ns.
        sleep_s: waits that many seconds.
        backoff: waits between attempts.
        limits: ``delivery_attempts``.
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
        self._outbox = ledger.outbox
        self._sinks = dict(sinks)
        self._clock_ns = clock_ns
        self._sleep_s = sleep_s
        self._backoff = backoff
        self._limits = limits
        self._quiet_until_ns: dict[str, int] = {}

    def deliver_due(self, *, deadline_ns: int | None = None) -> DeliveryReport:
        """Try every alert whose time has come, once each, oldest first.

        Args:
            deadline_ns: UTC ns after which no further attempt begins; None: try all.

        Raises:
            SinkError: the ledger's database failed. A sink that fails does not raise.
        """
        return self._report(self._deliver(deadline_ns=deadline_ns))

    def drain(self, deadline_ns: int) -> DeliveryReport:
        """Deliver, waiting for further attempts, until nothing is pending or the deadline comes.

        Returns early if the next attempt lies beyond the deadline. An attempt that has begun is
        not cut short: the call may overrun by one sink's time-out.

        Args:
            deadline_ns: UTC ns on ``clock_ns``.
        """
        done = _Tally()
        while True:
            done.add(self._deliver(deadline_ns=deadline_ns))
            now_ns = self._clock_ns()
            next_ns = self._next_attempt_ns()
            if next_ns is None or max(now_ns, next_ns) >= deadline_ns:
                break
            if next_ns > now_ns:
                self._sleep_s(max((next_ns - now_ns) / NS_PER_S, _SHORTEST_SLEEP_S))
                if self._clock_ns() <= now_ns:
                    break  # a clock that stands still never reaches a deadline
        return self._report(done)

    def retry_failed(self) -> int:
        """Put alerts that were given up back in line; how many."""
        return self._outbox.retry_failed()

    def _deliver(self, *, deadline_ns: int | None) -> _Tally:
        """One pass. Whatever fails is due after ``now_ns``, so that no alert is tried twice."""
        done = _Tally()
        now_ns = self._clock_ns()
        while rows := self._outbox.due(now_ns, sinks=self._open_sinks(now_ns), most=_PAGE_ROWS):
            held_back: set[tuple[str, str]] = set()
            for row in rows:
                if deadline_ns is not None and self._clock_ns() >= deadline_ns:
                    return done
                is_quiet = self._quiet_until_ns.get(row.sink, now_ns) > now_ns
                if is_quiet or (row.sink, row.subject) in held_back:
                    continue
                done.attempted += 1
                try:
                    self._sinks[row.sink].send(row.said, idempotency_key=row.idempotency_key)
                except SinkError as error:
                    held_back.add((row.sink, row.subject))
                    done.given_up += self._after_failure(row, error, now_ns=now_ns)
                else:
                    self._outbox.mark_delivered(row, delivered_ns=self._clock_ns())
                    done.delivered += 1
        return done

    def _after_failure(self, row: OutboxRow, error: SinkError, *, now_ns: int) -> bool:
        """Note a failed attempt; whether the alert was given up."""
        attempts = row.attempts + 1
        wait_s = self._backoff.wait_s(attempts, key=row.idempotency_key)
        is_permanent = is_receiver_wide = False
        if isinstance(error, DeliveryError):
            wait_s = max(wait_s, error.retry_after_s or 0.0)
            is_permanent = error.is_permanent
            is_receiver_wide = error.is_unreachable or error.retry_after_s is not None
        # A wall clock may go back; the next attempt must still lie after this pass.
        next_ns = max(self._clock_ns(), now_ns) + max(round(wait_s * NS_PER_S), 1)
        if is_receiver_wide:
            self._quiet_until_ns[row.sink] = next_ns
        if is_permanent or attempts >= self._limits.delivery_attempts:
            self._outbox.mark_failed(row, error=error.got)
            return True
        self._outbox.mark_waiting(row, next_attempt_ns=next_ns, error=error.got)
        return False

    def _open_sinks(self, now_ns: int) -> list[str]:
        return [name for name in self._sinks if self._quiet_until_ns.get(name, now_ns) <= now_ns]

    def _next_attempt_ns(self) -> int | None:
        found = self._outbox.next_attempts_ns(sinks=self._sinks)
        return min(
            (max(ns, self._quiet_until_ns.get(sink, ns)) for sink, ns in found.items()),
            default=None,
        )

    def _report(self, done: _Tally) -> DeliveryReport:
        counts = self._outbox.counts()
        return DeliveryReport(
            attempted=done.attempted,
            delivered=done.delivered,
            given_up=done.given_up,
            pending=counts["pending"],
            failed=counts["failed"],
        )


@dataclass(slots=True)
class _Tally:
    attempted: int = 0
    delivered: int = 0
    given_up: int = 0

    def add(self, other: _Tally) -> None:
        self.attempted += other.attempted
        self.delivered += other.delivered
        self.given_up += other.given_up
