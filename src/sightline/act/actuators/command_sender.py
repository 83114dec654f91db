"""Sending commands beside the loop that issues them: a slow network must not blind the cameras."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

from sightline.act.actuators.actuator import Actuator
from sightline.records.command import ActuatorCommand


class CommandSender:
    """Sends the newest command of one machine, on a thread of its own.

    A command that waits gives way to a newer one, which says all that the machine has to heed;
    both are counted. One that cannot be delivered is not tried again: the next comes with the
    heartbeat, and a machine that hears nothing stops by itself.

    Args:
        actuator: the way to the machine.
        join_timeout_s: time the thread gets to end; one that hangs is left behind as a daemon.
    """

    def __init__(self, actuator: Actuator, *, join_timeout_s: float = 2.0) -> None:
        self._actuator = actuator
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
            self._actuator.close()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting is not None or self._is_closing)
                command, self._waiting = self._waiting, None
            if command is None:
                return
            try:
                self._actuator.send(command)
                self._sent += 1
            except Exception as error:  # noqa: BLE001 - the next heartbeat must still be sent
                self._failed += 1
                self._last_error = str(error)
