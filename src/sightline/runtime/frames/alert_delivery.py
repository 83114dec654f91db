"""Alerts beside the loop that decides: a receiver that hangs must not blind the cameras."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

from sightline.act import Backoff, Ledger, OutboxDispatcher, Sink
from sightline.limits import Limits
from sightline.records.signals import NS_PER_S

_LOOK_AGAIN_S = 1.0  # for attempts that have become due


class AlertDelivery:
    """Sends what is due from the outbox, on a thread with a connection of its own.

    Args:
        ledger_url: of the run.
        sinks: receivers, by name; without any there is no thread.
        wall_ns: UTC ns.
        sleep_s: waits.
        limits: ``delivery_pass_s``, ``delivery_attempts``.
    """

    def __init__(
        self,
        ledger_url: str,
        sinks: Mapping[str, Sink],
        *,
        wall_ns: Callable[[], int],
        sleep_s: Callable[[float], None],
        limits: Limits,
    ) -> None:
        self._url = ledger_url
        self._sinks = dict(sinks)
        self._wall_ns = wall_ns
        self._sleep_s = sleep_s
        self._limits = limits
        self._due = threading.Event()
        self._is_closing = False
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._work, name="alerts", daemon=True)

    def __enter__(self) -> Self:
        if self._sinks:
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def there_may_be_some(self) -> None:
        """Look at the outbox soon; never waits. Raises what :meth:`check` does."""
        self.check()
        self._due.set()

    def check(self) -> None:
        """Raise what ended the thread, once: the ledger or the outbox has failed."""
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def close(self) -> None:
        """End after the pass that is under way, or leave a hanging receiver behind."""
        self._is_closing = True
        self._due.set()
        if self._thread.is_alive():
            self._thread.join(self._limits.delivery_pass_s + self._limits.delivery_timeout_s)

    def _work(self) -> None:
        try:
            with Ledger.open(self._url, create=False, limits=self._limits) as ledger:
                dispatcher = OutboxDispatcher(
                    ledger,
                    self._sinks,
                    clock_ns=self._wall_ns,
                    sleep_s=self._sleep_s,
                    backoff=Backoff(),
                    limits=self._limits,
                )
                while not self._is_closing:
                    self._due.wait(_LOOK_AGAIN_S)
                    self._due.clear()
                    pass_ns = round(self._limits.delivery_pass_s * NS_PER_S)
                    dispatcher.deliver_due(deadline_ns=self._wall_ns() + pass_ns)
        except Exception as error:  # noqa: BLE001 - raised again where the loop tells of alerts
            self._failure = error
