"""Sending commands to one machine: newest first, each once, on threads of their own."""

from __future__ import annotations

import threading
import time
from typing import Self

from sightline.act.command_signing import CommandSigner
from sightline.act.outlet import Outlet, Sayable
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.records.command import ActuatorCommand
from sightline.records.signals import NS_PER_S


class CommandSender:
    """Sends the newest command of one machine, on threads of its own.

    A command that waits gives way to a newer one, which says all that the machine has to heed;
    both are counted. One that cannot be delivered is not tried again: the next comes with the
    heartbeat, and a machine that hears nothing stops by itself. Where the outlet allows several
    attempts at once, one that hangs holds up no newer command; the machine heeds the newest,
    in whatever order they arrive.

    Args:
        outlet: the way to the machine; closed with the sender.
        signer: signs the commands in the order in which they are handed over; None: they are not
            signed.
        limits: ``delivery_timeout_s``. A command that holds for less has its own time as deadline.
        join_timeout_s: time the threads get to end; one that hangs is left behind as a daemon.
    """

    def __init__(
        self,
        outlet: Outlet,
        *,
        signer: CommandSigner | None = None,
        limits: Limits = DEFAULT_LIMITS,
        join_timeout_s: float = 2.0,
    ) -> None:
        self._outlet = outlet
        self._signer = signer
        self._limits = limits
        self._join_timeout_s = join_timeout_s
        self._changed = threading.Condition()
        self._waiting: tuple[ActuatorCommand, Sayable] | None = None
        self._is_closing = False
        self._sent = self._superseded = self._failed = 0
        self._last_error = ""
        self._threads = [
            threading.Thread(target=self._work, name="commands", daemon=True)
            for _ in range(outlet.attempts_at_once)
        ]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(self, command: ActuatorCommand) -> None:
        """Hand over a command; never waits."""
        with self._changed:
            self._superseded += self._waiting is not None
            said = command if self._signer is None else self._signer.sign(command)
            self._waiting = command, said
            self._changed.notify()

    @property
    def is_signed(self) -> bool:
        """Whether the machine can tell our commands from anybody else's."""
        return self._signer is not None

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
            self._changed.notify_all()
        until_s = time.monotonic() + self._join_timeout_s
        for thread in self._threads:
            thread.join(max(until_s - time.monotonic(), 0.0))
        if not any(thread.is_alive() for thread in self._threads):
            self._outlet.close()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting is not None or self._is_closing)
                taken, self._waiting = self._waiting, None
            if taken is None:
                return
            command, said = taken
            try:
                valid_s = (command.valid_until_ns - command.issued_ns) / NS_PER_S
                self._outlet.send(
                    said,
                    idempotency_key=command.idempotency_key,
                    deadline_s=min(self._limits.delivery_timeout_s, valid_s),
                )
            except Exception as error:  # noqa: BLE001 - the next heartbeat must still be sent
                with self._changed:
                    self._failed += 1
                    self._last_error = str(error)
            else:
                with self._changed:
                    self._sent += 1
