"""The other end: what a machine does with commands, as a reference to build receivers by."""

from __future__ import annotations

from enum import StrEnum

from sightline.errors import UsageError
from sightline.records.command import ActuatorCommand, CommandLevel
from sightline.records.signals import NS_PER_S


class Reception(StrEnum):
    """What became of a command that arrived."""

    APPLIED = "applied"
    """It holds from now on."""
    DUPLICATE = "duplicate"
    """It holds already, or was replaced by a newer one: nothing changes."""
    EXPIRED = "expired"
    """Its time is over: nothing changes."""
    REFUSED = "refused"
    """For another machine, unreadable, or with times that cannot be: nothing changes."""


class CommandReceiver:
    """Holds the newest valid command of one machine, and stops it where there is none.

    The order of commands is that of (``issued_ns``, ``revision``); of two equal ones the stricter
    goes first. Since it only ever grows, each command takes effect once, however often and in
    whatever order it arrives, and nothing but the newest has to be remembered. The heartbeat is
    the stream of commands itself: when it ends, validity runs out and the machine stops.

    Both ends need clocks within ``max_ahead_s`` of each other.

    Args:
        machine: whose commands are heeded.
        max_validity_s: longest time a command may hold; a longer one is refused, so that no
            mistake keeps a machine running for ever.
        max_ahead_s: how far in the future a command may have been issued; one from further ahead
            is refused, or it would shut out all that come after it.

    Attributes:
        applied: commands that took effect.

    Raises:
        UsageError: bounds that are not positive.

    >>> from sightline.records.decision import Mode
    >>> go = ActuatorCommand(command_id="c1", machine="saw", level=CommandLevel.NONE, issued_ns=0,
    ...     valid_until_ns=NS_PER_S, revision=0, reasons=(), mode=Mode.PRIMARY)
    >>> saw = CommandReceiver("saw")
    >>> [str(saw.take(go.canonical_bytes(), now_ns=1)) for _ in range(2)]
    ['applied', 'duplicate']
    >>> str(saw.level(now_ns=2)), str(saw.level(now_ns=NS_PER_S))
    ('none', 'stop')
    """

    def __init__(
        self, machine: str, *, max_validity_s: float = 10.0, max_ahead_s: float = 1.0
    ) -> None:
        if not (max_validity_s > 0 and max_ahead_s > 0):
            raise UsageError(
                expected="max_validity_s > 0 and max_ahead_s > 0",
                got=f"{max_validity_s}, {max_ahead_s}",
                where=f"receiver of {machine}",
                action="mend the numbers",
            )
        self.machine = machine
        self.applied = 0
        self._max_validity_ns = round(max_validity_s * NS_PER_S)
        self._max_ahead_ns = round(max_ahead_s * NS_PER_S)
        self._newest: ActuatorCommand | None = None
        self._is_controller_lost = False

    def take(self, payload: bytes, *, now_ns: int) -> Reception:
        """Take a command as it arrives.

        Args:
            payload: canonical bytes of a command; anything else is refused.
            now_ns: the machine's clock, UTC ns.
        """
        try:
            command = ActuatorCommand.from_bytes(payload)
        except (ValueError, KeyError, TypeError, RecursionError, UsageError):
            return Reception.REFUSED
        if not self._is_credible(command, now_ns):
            return Reception.REFUSED
        if self._newest is not None and _order(command) <= _order(self._newest):
            return Reception.DUPLICATE
        if command.valid_until_ns <= now_ns:
            return Reception.EXPIRED
        self._newest = command
        self._is_controller_lost = False
        self.applied += 1
        return Reception.APPLIED

    def controller_lost(self) -> None:
        """The broker says that the controller is gone: stop until a newer command arrives."""
        self._is_controller_lost = True

    def level(self, *, now_ns: int) -> CommandLevel:
        """What to do now; STOP where no valid command says otherwise."""
        newest = self._newest
        if newest is None or self._is_controller_lost or newest.valid_until_ns <= now_ns:
            return CommandLevel.STOP
        return newest.level

    def _is_credible(self, command: ActuatorCommand, now_ns: int) -> bool:
        return (
            command.machine == self.machine
            and command.valid_until_ns - command.issued_ns <= self._max_validity_ns
            and command.issued_ns - now_ns <= self._max_ahead_ns
        )


def _order(command: ActuatorCommand) -> tuple[int, int, int, str]:
    return (command.issued_ns, command.revision, command.level.rank, command.command_id)
