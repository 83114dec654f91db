"""Delivery: alerts from the outbox, each until it is taken; commands newest first, each once.

Both go out on threads of their own. So a receiver that hangs holds up neither the loop that decides
nor a command.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from sightline.act.ledger import Ledger
from sightline.act.outbox import OutboxRow
from sightline.act.outlet import DeliveryError, Outlet, Retry
from sightline.errors import SinkError
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.records.command import ActuatorCommand
from sightline.records.signals import NS_PER_S

_PAGE_ROWS = 500
_SHORTEST_SLEEP_S = 0.001
_LOOK_AGAIN_S = 1.0
"""How often the thread of alerts looks for attempts that have become due."""


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
    """Sends the alerts of a ledger's outbox to their outlets, in the caller's thread.

    An alert is sent until its outlet takes it; a crash after that and before it is noted sends it
    again, with the same idempotency key. A permanent refusal, or as many failures as the outlet's
    :class:`.Retry` or ``limits.delivery_attempts`` allows, makes it ``failed``: it stays in the
    outbox, visible, holds nothing back, and goes out again after :meth:`retry_failed`. An outlet
    that does not answer at all, or asks for time, is left alone until then, so that a dead
    receiver costs one time-out and not one per alert.

    Args:
        ledger: holds the outbox.
        outlets: by name; alerts for others wait.
        clock_ns: UTC ns.
        sleep_s: waits that many seconds.
        backoff: used in place of each outlet's own ``retry``.
        limits: ``delivery_attempts``, ``delivery_timeout_s``.
    """

    def __init__(
        self,
        ledger: Ledger,
        outlets: Mapping[str, Outlet],
        *,
        clock_ns: Callable[[], int],
        sleep_s: Callable[[float], None],
        backoff: Retry | None = None,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self._outbox = ledger.outbox
        self._outlets = dict(outlets)
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
            SinkError: the ledger's database failed. An outlet that fails does not raise.
        """
        return self._report(self._deliver(deadline_ns=deadline_ns))

    def drain(self, deadline_ns: int) -> DeliveryReport:
        """Deliver, waiting for further attempts, until nothing is pending or the deadline comes.

        Returns early if the next attempt lies beyond the deadline. An attempt that has begun is
        not cut short: the call may overrun by one outlet's time-out.

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
        while rows := self._outbox.due(now_ns, sinks=self._open_outlets(now_ns), most=_PAGE_ROWS):
            held_back: set[tuple[str, str]] = set()
            for row in rows:
                if deadline_ns is not None and self._clock_ns() >= deadline_ns:
                    return done
                is_quiet = self._quiet_until_ns.get(row.sink, now_ns) > now_ns
                if is_quiet or (row.sink, row.subject) in held_back:
                    continue
                done.attempted += 1
                try:
                    self._outlets[row.sink].send(
                        row.said,
                        idempotency_key=row.idempotency_key,
                        deadline_s=self._limits.delivery_timeout_s,
                    )
                except Exception as error:  # noqa: BLE001 - an outlet may be anybody's code
                    held_back.add((row.sink, row.subject))
                    done.given_up += self._after_failure(row, error, now_ns=now_ns)
                else:
                    self._outbox.mark_delivered(row, delivered_ns=self._clock_ns())
                    done.delivered += 1
        return done

    def _after_failure(self, row: OutboxRow, error: Exception, *, now_ns: int) -> bool:
        """Note a failed attempt; whether the alert was given up."""
        attempts = row.attempts + 1
        retry = self._backoff or self._outlets[row.sink].retry
        wait_s = retry.wait_s(attempts, key=row.idempotency_key)
        # The words of an error that is not ours may hold a secret.
        cause = error.got if isinstance(error, SinkError) else type(error).__name__
        is_permanent = is_receiver_wide = False
        if isinstance(error, DeliveryError):
            wait_s = max(wait_s, error.retry_after_s or 0.0)
            is_permanent = error.is_permanent
            is_receiver_wide = error.is_unreachable or error.retry_after_s is not None
        # A wall clock may go back; the next attempt must still lie after this pass.
        next_ns = max(self._clock_ns(), now_ns) + max(round(wait_s * NS_PER_S), 1)
        if is_receiver_wide:
            self._quiet_until_ns[row.sink] = next_ns
        if is_permanent or attempts >= min(retry.attempts, self._limits.delivery_attempts):
            self._outbox.mark_failed(row, error=cause)
            return True
        self._outbox.mark_waiting(row, next_attempt_ns=next_ns, error=cause)
        return False

    def _open_outlets(self, now_ns: int) -> list[str]:
        return [name for name in self._outlets if self._quiet_until_ns.get(name, now_ns) <= now_ns]

    def _next_attempt_ns(self) -> int | None:
        found = self._outbox.next_attempts_ns(sinks=self._outlets)
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


class AlertDelivery:
    """Sends what is due from the outbox, on a thread with a connection of its own.

    Without :meth:`start` (or ``with``) there is no thread, and :meth:`deliver_now` and
    :meth:`drain` do the work in the caller's: the same in every run with a clock that is given.

    Args:
        ledger_url: of the run; the ledger must exist before anything is delivered.
        outlets: by name; without any there is no thread. They are closed with the delivery.
        wall_ns: UTC ns.
        sleep_s: waits.
        limits: ``delivery_pass_s``, ``delivery_attempts``, ``delivery_timeout_s``.
    """

    def __init__(
        self,
        ledger_url: str,
        outlets: Mapping[str, Outlet],
        *,
        wall_ns: Callable[[], int],
        sleep_s: Callable[[float], None],
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self._url = ledger_url
        self._outlets = dict(outlets)
        self._wall_ns = wall_ns
        self._sleep_s = sleep_s
        self._limits = limits
        self._due = threading.Event()
        self._is_closing = False
        self._drain_until_ns: int | None = None
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._work, name="alerts", daemon=True)
        self._own = contextlib.ExitStack()  # the ledger of the caller's thread
        self._dispatcher: OutboxDispatcher | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def start(self) -> None:
        """Deliver on a thread from now on."""
        if self._outlets:
            self._thread.start()

    def there_may_be_some(self) -> None:
        """Look at the outbox soon; never waits. Raises what :meth:`check` does."""
        self.check()
        self._due.set()

    def deliver_now(self) -> DeliveryReport:
        """One pass in the caller's thread; not while the thread runs.

        Raises:
            SinkError, LogError: the ledger has failed.
        """
        return self._pass(self._in_this_thread())

    def retry_failed(self) -> int:
        """Put alerts that were given up back in line; how many."""
        with self._ledger() as ledger:
            return ledger.outbox.retry_failed()

    def drain(self, timeout_s: float) -> int:
        """Send what is left, waiting for further attempts, and end the thread.

        Args:
            timeout_s: for all of it. A receiver that hangs is left behind after that and one
                ``limits.delivery_timeout_s``.

        Returns:
            How many alerts stay in the outbox, those of absent outlets and failed ones included.

        Raises:
            SinkError, LogError: the ledger has failed.
        """
        until_ns = self._wall_ns() + round(timeout_s * NS_PER_S)
        if self._thread.is_alive():
            self._drain_until_ns = until_ns
            self._end(timeout_s + self._limits.delivery_timeout_s)
        elif self._outlets and not self._is_closing:
            self._in_this_thread().drain(until_ns)
        self.check()
        with self._ledger() as ledger:
            counts = ledger.outbox.counts()
        return counts["pending"] + counts["failed"]

    def check(self) -> None:
        """Raise what ended the thread, once: the ledger or the outbox has failed."""
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def close(self) -> None:
        """End after the pass that is under way, or leave a hanging receiver behind."""
        self._end(self._limits.delivery_pass_s)
        self._own.close()
        self._dispatcher = None
        if not self._thread.is_alive():
            for outlet in self._outlets.values():
                outlet.close()

    def _end(self, wait_s: float) -> None:
        self._is_closing = True
        self._due.set()
        if self._thread.is_alive():
            self._thread.join(wait_s + self._limits.delivery_timeout_s)

    def _work(self) -> None:
        try:
            with self._ledger() as ledger:
                dispatcher = self._dispatcher_of(ledger)
                while not self._is_closing:
                    self._due.wait(_LOOK_AGAIN_S)
                    self._due.clear()
                    self._pass(dispatcher)
                if self._drain_until_ns is not None:
                    dispatcher.drain(self._drain_until_ns)
        except Exception as error:  # noqa: BLE001 - raised again where the loop tells of alerts
            self._failure = error

    def _pass(self, dispatcher: OutboxDispatcher) -> DeliveryReport:
        pass_ns = round(self._limits.delivery_pass_s * NS_PER_S)
        return dispatcher.deliver_due(deadline_ns=self._wall_ns() + pass_ns)

    def _in_this_thread(self) -> OutboxDispatcher:
        if self._dispatcher is None:
            self._dispatcher = self._dispatcher_of(self._own.enter_context(self._ledger()))
        return self._dispatcher

    def _dispatcher_of(self, ledger: Ledger) -> OutboxDispatcher:
        return OutboxDispatcher(
            ledger,
            self._outlets,
            clock_ns=self._wall_ns,
            sleep_s=self._sleep_s,
            limits=self._limits,
        )

    @contextlib.contextmanager
    def _ledger(self) -> Iterator[Ledger]:
        with Ledger.open(self._url, create=False, limits=self._limits) as ledger:
            yield ledger


class CommandSender:
    """Sends the newest command of one machine, on a thread of its own.

    A command that waits gives way to a newer one, which says all that the machine has to heed;
    both are counted. One that cannot be delivered is not tried again: the next comes with the
    heartbeat, and a machine that hears nothing stops by itself.

    Args:
        outlet: the way to the machine; closed with the sender.
        limits: ``delivery_timeout_s``. A command that holds for less has its own time as deadline.
        join_timeout_s: time the thread gets to end; one that hangs is left behind as a daemon.
    """

    def __init__(
        self,
        outlet: Outlet,
        *,
        limits: Limits = DEFAULT_LIMITS,
        join_timeout_s: float = 2.0,
    ) -> None:
        self._outlet = outlet
        self._limits = limits
        self._join_timeout_s = join_timeout_s
        self._changed = threading.Condition()
        self._waiting: ActuatorCommand | None = None
        self._is_closing = False
        self._sent = self._superseded = self._failed = 0
        self._last_error = ""
        self._thread = threading.Thread(target=self._work, name="commands", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def send(self, command: ActuatorCommand) -> None:
        """Hand over a command; never waits."""
        with self._changed:
            self._superseded += self._waiting is not None
            self._waiting = command
            self._changed.notify()

    @property
    def sent(self) -> int:
        """Commands that the next station has."""
        return self._sent

    @property
    def superseded(self) -> int:
        """Commands that gave way to newer ones."""
        return self._superseded

    @property
    def failed(self) -> int:
        """Commands that were not taken."""
        return self._failed

    @property
    def last_error(self) -> str:
        """Why the last of them was not; empty if all were."""
        return self._last_error

    def close(self) -> None:
        """Send what waits, and end."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        self._thread.join(self._join_timeout_s)
        if not self._thread.is_alive():
            self._outlet.close()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting is not None or self._is_closing)
                command, self._waiting = self._waiting, None
            if command is None:
                return
            try:
                valid_s = (command.valid_until_ns - command.issued_ns) / NS_PER_S
                self._outlet.send(
                    command,
                    idempotency_key=command.idempotency_key,
                    deadline_s=min(self._limits.delivery_timeout_s, valid_s),
                )
                self._sent += 1
            except Exception as error:  # noqa: BLE001 - the next heartbeat must still be sent
                self._failed += 1
                self._last_error = str(error)
