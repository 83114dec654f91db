"""Delivery of alerts: from the outbox to their receivers, each until it is taken.

Each receiver has a thread of its own, which looks at the outbox by time. So one that hangs holds up
neither the loop that decides nor another receiver, and an alert is tried again on a quiet day too.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from sightline.act.ledger import Ledger
from sightline.act.metrics import RunMetrics
from sightline.act.notices import Notice
from sightline.act.outbox import OutboxRow, Undelivered
from sightline.act.outlet import DeliveryError, Outlet, Retry
from sightline.errors import SightlineError
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.records.plain_json import canonical_json
from sightline.records.signals import NS_PER_S

_PAGE_ROWS = 500
_SHORTEST_SLEEP_S = 0.001
_LOOK_AGAIN_S = 1.0
"""How often the thread of a receiver looks for attempts that have become due."""
_NOTICES_WAITING = 16
"""Notices about other receivers that wait for one; at the bound the oldest gives way."""


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


def _cause(error: Exception) -> str:
    """What went wrong; of an error that is not ours only its kind: its words may hold a secret."""
    return error.got if isinstance(error, SightlineError) else type(error).__name__


class OutboxDispatcher:
    """Sends the alerts of a ledger's outbox to their outlets, in the caller's thread.

    An alert is sent until its outlet takes it; a crash after that and before it is noted sends it
    again, with the same idempotency key. There is no last attempt, since a receiver may come back
    after a day, unless the outlet's :class:`.Retry` has one. A permanent refusal makes an alert
    ``failed``: it stays in the outbox, visible, holds nothing back, and goes out again after
    :meth:`retry_failed`. An outlet that does not answer at all, or asks for time, is left alone
    until then, so that a dead receiver costs one time-out and not one per alert.

    Args:
        ledger: holds the outbox.
        outlets: by name; alerts for others wait.
        clock_ns: UTC ns.
        sleep_s: waits that many seconds.
        backoff: used in place of each outlet's own ``retry``.
        limits: ``delivery_timeout_s``, ``delivery_wait_s``.
        quiet_until_ns: by outlet, until when it is to be left alone; kept by the caller where
            there is a dispatcher for each pass.
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
        quiet_until_ns: dict[str, int] | None = None,
    ) -> None:
        self._outbox = ledger.outbox
        self._outlets = dict(outlets)
        self._clock_ns = clock_ns
        self._sleep_s = sleep_s
        self._backoff = backoff
        self._limits = limits
        self._quiet_until_ns = {} if quiet_until_ns is None else quiet_until_ns

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
        while rows := self._outbox.due(
            now_ns,
            sinks=self._open_outlets(now_ns),
            most=_PAGE_ROWS,
            longest_wait_ns=self._longest_wait_ns,
        ):
            held_back: set[tuple[str, str]] = set()
            for row in rows:
                if deadline_ns is not None and self._clock_ns() >= deadline_ns:
                    return done
                if self._is_quiet(row.sink, now_ns) or (row.sink, row.subject) in held_back:
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
        cause = _cause(error)
        is_permanent = is_receiver_wide = False
        if isinstance(error, DeliveryError):
            wait_s = max(wait_s, min(error.retry_after_s or 0.0, self._limits.delivery_wait_s))
            is_permanent = error.is_permanent
            is_receiver_wide = error.is_unreachable or error.retry_after_s is not None
        # A wall clock may go back; the next attempt must still lie after this pass.
        next_ns = max(self._clock_ns(), now_ns) + max(round(wait_s * NS_PER_S), 1)
        if is_receiver_wide:
            self._quiet_until_ns[row.sink] = next_ns
        if is_permanent or (retry.attempts is not None and attempts >= retry.attempts):
            self._outbox.mark_failed(row, error=cause)
            return True
        self._outbox.mark_waiting(row, next_attempt_ns=next_ns, error=cause)
        return False

    def _open_outlets(self, now_ns: int) -> list[str]:
        return [name for name in self._outlets if not self._is_quiet(name, now_ns)]

    def _is_quiet(self, name: str, now_ns: int) -> bool:
        """Whether an outlet is to be left alone; more than the longest wait is of another clock."""
        left_ns = self._quiet_until_ns.get(name, now_ns) - now_ns
        return 0 < left_ns <= self._longest_wait_ns

    @property
    def _longest_wait_ns(self) -> int:
        return round(self._limits.delivery_wait_s * NS_PER_S)

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
    """Sends what is due from the outbox: a thread and a connection for each receiver, by time.

    A receiver that hangs holds up no other, and a ledger that fails is opened again. One more
    thread watches: how many alerts wait and were given up is in the metrics, and of a receiver
    that has taken nothing for ``limits.delivery_alarm_s``, or refuses for good, ``on_trouble`` and
    the other receivers are told.

    Without :meth:`start` (or ``with``) there is no thread, and :meth:`drain` does the work in the
    caller's: the same in every run with a clock that is given.

    Args:
        ledger_url: of the run; until there is a ledger nothing is delivered.
        outlets: by name; without any there is no thread. They are closed with the delivery.
        wall_ns: UTC ns. One that never goes back, or waits last longer than they should.
        sleep_s: waits.
        metrics: counts what is delivered and what waits; None: nobody counts.
        on_trouble: told in one sentence when a receiver is in trouble, and when it no longer is.
        limits: ``delivery_pass_s``, ``delivery_timeout_s``, ``delivery_alarm_s``.
    """

    def __init__(
        self,
        ledger_url: str,
        outlets: Mapping[str, Outlet],
        *,
        wall_ns: Callable[[], int],
        sleep_s: Callable[[float], None],
        metrics: RunMetrics | None = None,
        on_trouble: Callable[[str], None] = lambda text: None,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self._url = ledger_url
        self._outlets = dict(outlets)
        self._wall_ns = wall_ns
        self._sleep_s = sleep_s
        self._metrics = metrics
        self._on_trouble = on_trouble
        self._limits = limits
        self._is_closing = threading.Event()
        self._lanes = {
            name: _Lane(name, self._dispatcher(ledger_url, {name: outlet}), wall_ns, limits)
            for name, outlet in self._outlets.items()
        }
        self._in_this_thread = self._dispatcher(ledger_url, self._outlets)
        self._watcher = threading.Thread(target=self._watch, name="alerts watched", daemon=True)
        self._alarms = {name: _Alarm(since_ns=None) for name in self._outlets}
        self._told: dict[str, str] = {}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Deliver on threads from now on."""
        if self._outlets:
            for lane in self._lanes.values():
                lane.start()
            self._watcher.start()

    def there_may_be_some(self) -> None:
        """Look at the outbox soon; never waits and never raises."""
        for lane in self._lanes.values():
            lane.wake()

    def retry_failed(self) -> int:
        """Put alerts that were given up back in line; how many.

        Raises:
            SinkError, LogError: the ledger has failed.
        """
        with self._ledger() as ledger:
            return ledger.outbox.retry_failed()

    def drain(self, timeout_s: float) -> Mapping[str, Undelivered]:
        """Send what is left, waiting for further attempts, and end the threads.

        Args:
            timeout_s: for all of it. A receiver that hangs is left behind after that and one
                ``limits.delivery_timeout_s``.

        Returns:
            What stays in the outbox, by receiver, absent ones included.

        Raises:
            SinkError, LogError: the ledger has failed.
        """
        until_ns = self._wall_ns() + round(timeout_s * NS_PER_S)
        if self._watcher.is_alive():
            self._end(until_ns=until_ns, wait_s=timeout_s)
        elif self._outlets and not self._is_closing.is_set():
            with self._in_this_thread() as dispatcher:
                dispatcher.drain(until_ns)
        with self._ledger() as ledger:
            found = ledger.outbox.undelivered()
        self._count(found)
        return found

    def close(self) -> None:
        """End after the passes that are under way, or leave a hanging receiver behind."""
        self._end(until_ns=None, wait_s=self._limits.delivery_pass_s)
        for name, lane in self._lanes.items():
            if not lane.is_alive():
                self._outlets[name].close()

    def _end(self, *, until_ns: int | None, wait_s: float) -> None:
        self._is_closing.set()
        for lane in self._lanes.values():
            lane.end(until_ns=until_ns)
        until_s = time.monotonic() + wait_s + self._limits.delivery_timeout_s
        for lane in self._lanes.values():
            lane.join(max(until_s - time.monotonic(), 0.0))

    # --- watching ---------------------------------------------------------------------------------

    def _watch(self) -> None:
        while not self._is_closing.wait(_LOOK_AGAIN_S):
            try:
                with self._ledger() as ledger:
                    self._look(ledger.outbox.undelivered())
            except SightlineError:
                continue  # whoever keeps the ledger says what is wrong with it

    def _look(self, found: Mapping[str, Undelivered]) -> None:
        """Sound the alarm about alarms, or end it."""
        self._count(found)
        now_ns = self._wall_ns()
        for name, lane in self._lanes.items():
            trouble, before = lane.trouble, self._told.get(name, "")
            self._told[name] = trouble
            if trouble not in ("", before):
                self._on_trouble(f"alerts to {name}: {trouble}; it is tried again")
            alarm, waits = self._alarms[name], found.get(name, _NOTHING)
            change = alarm.look(
                waits,
                delivered=lane.delivered,
                now_ns=now_ns,
                patience_ns=round(self._limits.delivery_alarm_s * NS_PER_S),
            )
            if not change:
                continue
            if self._metrics is not None:
                self._metrics.observe_delivery_alarm(name, is_on=alarm.is_on)
            self._on_trouble(f"alerts to {name}: {change}")
            notice = delivery_notice(name, change, waits, at_ns=now_ns, is_on=alarm.is_on)
            for other, its_lane in self._lanes.items():
                if other != name:
                    its_lane.tell(notice)

    def _count(self, found: Mapping[str, Undelivered]) -> None:
        if self._metrics is None:
            return
        for name in {*self._outlets, *found}:
            waits, lane = found.get(name, _NOTHING), self._lanes.get(name)
            self._metrics.observe_delivery(
                name,
                pending=waits.pending,
                failed=waits.failed,
                delivered=lane.delivered if lane is not None else 0,
                failures=dict(lane.failures) if lane is not None else {},
            )

    def _dispatcher(self, url: str, outlets: Mapping[str, Outlet]) -> _OpenedDispatcher:
        return _OpenedDispatcher(
            url, outlets, wall_ns=self._wall_ns, sleep_s=self._sleep_s, limits=self._limits
        )

    @contextlib.contextmanager
    def _ledger(self) -> Iterator[Ledger]:
        with Ledger.open(self._url, create=False, limits=self._limits) as ledger:
            yield ledger


_NOTHING = Undelivered(pending=0, failed=0, last_error="")


def _pass_end_ns(wall_ns: Callable[[], int], limits: Limits) -> int:
    return wall_ns() + round(limits.delivery_pass_s * NS_PER_S)


@dataclass(slots=True)
class _OpenedDispatcher:
    """A dispatcher with a connection of its own, which is made anew after each failure.

    It keeps which receivers want to be left alone for the time of the run.
    """

    url: str
    outlets: Mapping[str, Outlet]
    wall_ns: Callable[[], int]
    sleep_s: Callable[[float], None]
    limits: Limits
    quiet_until_ns: dict[str, int] = field(default_factory=dict)
    _ledger: Ledger | None = None

    @contextlib.contextmanager
    def __call__(self) -> Iterator[OutboxDispatcher]:
        if self._ledger is not None and not self._ledger.is_in_place():
            self.close()
        if self._ledger is None:
            self._ledger = Ledger.open(self.url, create=False, limits=self.limits)
        try:
            yield OutboxDispatcher(
                self._ledger,
                self.outlets,
                clock_ns=self.wall_ns,
                sleep_s=self.sleep_s,
                limits=self.limits,
                quiet_until_ns=self.quiet_until_ns,
            )
        except SightlineError:
            self.close()
            raise

    def close(self) -> None:
        if self._ledger is not None:
            self._ledger.close()
            self._ledger = None


class _Lane:
    """The thread of one receiver.

    Attributes:
        delivered: alerts it has taken.
        failures: how often an ``alert``, a ``notice`` or a whole ``pass`` failed.
        trouble: why the last pass, or the notice in it, failed; ``""`` where neither did.
    """

    def __init__(
        self,
        name: str,
        dispatcher: _OpenedDispatcher,
        wall_ns: Callable[[], int],
        limits: Limits,
    ) -> None:
        self._name = name
        self._dispatcher = dispatcher
        self._wall_ns = wall_ns
        self._limits = limits
        self._due = threading.Event()
        self._is_closing = False
        self._until_ns: int | None = None
        self._notices: deque[Notice] = deque(maxlen=_NOTICES_WAITING)
        self._thread = threading.Thread(target=self._work, name=f"alerts {name}", daemon=True)
        self.delivered = 0
        self.failures: Counter[str] = Counter()
        self.trouble = ""

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        self._due.set()

    def tell(self, notice: Notice) -> None:
        """Send a notice that is in no outbox; at the bound the oldest gives way."""
        self._notices.append(notice)
        self._due.set()

    def end(self, *, until_ns: int | None) -> None:
        """End after the pass that is under way; until then go on with what is left."""
        self._until_ns = until_ns
        self._is_closing = True
        self._due.set()

    def join(self, timeout_s: float) -> None:
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def _work(self) -> None:
        while not self._is_closing:
            self._due.wait(_LOOK_AGAIN_S)
            self._due.clear()
            self._pass(lambda one: one.deliver_due(deadline_ns=self._pass_end_ns()))
        until_ns = self._until_ns
        if until_ns is not None:
            self._pass(lambda one: one.drain(until_ns))
        self._dispatcher.close()

    def _pass(self, deliver: Callable[[OutboxDispatcher], DeliveryReport]) -> None:
        try:
            trouble = self._send_notices()
            with self._dispatcher() as dispatcher:
                done = deliver(dispatcher)
        except Exception as error:  # noqa: BLE001 - the next pass must come
            self.failures["pass"] += 1
            self.trouble = f"a pass over the outbox failed: {_cause(error)}"
            return
        self.trouble = trouble
        self.delivered += done.delivered
        self.failures["alert"] += done.attempted - done.delivered

    def _send_notices(self) -> str:
        """Send what waits, in order; why it stopped before the last one, ``""`` if it did not."""
        outlet = self._dispatcher.outlets[self._name]
        while self._notices and self._dispatcher.quiet_until_ns.get(self._name, 0) <= (
            self._wall_ns()
        ):
            notice = self._notices[0]
            try:
                outlet.send(
                    notice,
                    idempotency_key=notice.notice_id,
                    deadline_s=self._limits.delivery_timeout_s,
                )
            except Exception as error:  # noqa: BLE001 - it is tried again with the next pass
                self.failures["notice"] += 1
                return f"a notice of other receivers was not taken: {_cause(error)}"
            self._notices.popleft()
        return ""

    def _pass_end_ns(self) -> int:
        return _pass_end_ns(self._wall_ns, self._limits)


@dataclass(slots=True)
class _Alarm:
    """Whether one receiver is in trouble.

    Attributes:
        since_ns: when alerts began to wait while none was taken; None: none waits.
        is_on: whether it was told.
    """

    since_ns: int | None
    is_on: bool = False
    _delivered: int = 0
    _failed: int = 0

    def look(self, waits: Undelivered, *, delivered: int, now_ns: int, patience_ns: int) -> str:
        """What is to be told now; ``""``: nothing new."""
        if not waits.pending or delivered > self._delivered:
            self.since_ns = None
        if waits.pending and self.since_ns is None:
            self.since_ns = now_ns
        self._delivered = delivered
        is_late = self.since_ns is not None and now_ns - self.since_ns >= patience_ns
        more_failed, self._failed = waits.failed > self._failed, waits.failed
        is_trouble = is_late or waits.failed > 0
        if is_trouble and (not self.is_on or more_failed):
            self.is_on = True
            return f"{waits.words()}; they stay in the outbox"
        if self.is_on and not is_trouble:
            self.is_on = False
            return "they are taken again, and none waits" if not waits.pending else "taken again"
        return ""


def delivery_notice(
    receiver: str, text: str, waits: Undelivered, *, at_ns: int, is_on: bool
) -> Notice:
    """The alarm about alarms, as the receivers that work are told of it."""
    plain: dict[str, Any] = {
        "message_id": f"delivery-{receiver}",
        "kind": "delivery",
        "at_ns": at_ns,
        "subject": f"receiver {receiver}",
        "code": "ALERTS_UNDELIVERED" if is_on else "ALERTS_DELIVERED",
        "severity": "critical" if is_on else "info",
        "count": waits.pending + waits.failed,
        "update_of": "",
        "text": text,
    }
    identity = hashlib.blake2b(canonical_json(plain), digest_size=16).hexdigest()
    return Notice.from_mapping({"notice_id": identity, **plain})
