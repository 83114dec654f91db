"""The other end: what a machine does with commands, as a reference to build receivers by."""

from __future__ import annotations

from enum import StrEnum

from sightline.act.command_signing import CommandKey, Counter, verified
from sightline.errors import UsageError
from sightline.records.command import ActuatorCommand, CommandLevel
from sightline.records.signals import NS_PER_S

_Order = tuple[int, int] | tuple[int, int, int, str]
"""The counter of a signed command; of another one its own times and level."""

_NEVER_NS = -(2**63)
_MOST_PAYLOAD_BYTES = 1 << 16
_MOST_STOPS = 1024
"""STOPs that are remembered. An older one that came again would stop the machine once more."""


class Reception(StrEnum):
    """What became of a command that arrived."""

    APPLIED = "applied"
    """It holds from now on."""
    DUPLICATE = "duplicate"
    """It holds already, or was replaced by a newer one: nothing changes."""
    EXPIRED = "expired"
    """Its time is over: nothing changes."""
    REFUSED = "refused"
    """For another machine, unreadable, not signed as it must be, or with times that cannot be.
    Nothing changes, except that a STOP of this machine with times that cannot be stops it."""


class CommandReceiver:
    """Holds the newest valid command of one machine, and stops it where there is none.

    With a ``key`` only commands that are signed with it are heeded, in the order of their counter.
    Without one anybody who reaches the machine can command it; the order is that of
    (``issued_ns``, ``revision``), and of two equal ones the stricter goes first. The order only
    ever grows, so each command takes effect once, however often it arrives.

    STOP always wins: one that arrives late, after a command that is newer than it, stops the
    machine all the same, until a command that is newer than both lets it go on. The heartbeat is
    the stream of commands itself: when it ends, validity runs out and the machine stops. It also
    stops when its clock is set back, since nobody knows then what still holds.

    A receiver that has forgotten its counter cannot tell an old command from the newest. So after
    a start without ``after`` it lets the machine go on only by a command that was issued since.

    Both ends need clocks within ``max_ahead_s`` of each other.

    Args:
        machine: whose commands are heeded.
        key: shared with the sender; None: commands are not signed, and signed ones are refused.
        after: ``counter`` of the last command before a restart, if it was kept.
        max_validity_s: longest time a command may hold; a longer one is refused, so that no
            mistake keeps a machine running for ever.
        max_ahead_s: how far in the future a command may have been issued; one from further ahead
            is refused, or it would shut out all that come after it.

    Attributes:
        applied: commands that took effect.
        counter: of the newest signed command that was heeded; to be kept over restarts.

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
        self,
        machine: str,
        *,
        key: CommandKey | None = None,
        after: Counter | None = None,
        max_validity_s: float = 10.0,
        max_ahead_s: float = 1.0,
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
        self.counter = after
        self._key = key
        self._has_memory = key is None or after is not None
        self._max_validity_ns = round(max_validity_s * NS_PER_S)
        self._max_ahead_ns = round(max_ahead_s * NS_PER_S)
        self._began_ns = self._now_ns = _NEVER_NS
        self._order: _Order | None = after
        self._newest: ActuatorCommand | None = None
        self._is_stopped = False  # by a STOP that no newer command has ended
        self._is_controller_lost = False
        self._stops: dict[tuple[str, int], int] = {}  # those heeded, and when they end

    def take(self, payload: bytes, *, now_ns: int) -> Reception:
        """Take a command as it arrives.

        Args:
            payload: canonical bytes of a command, signed or not; anything else is refused.
            now_ns: the machine's clock, UTC ns.
        """
        now_ns = self._at(now_ns)
        try:
            command, order = self._read(payload)
        except (ValueError, KeyError, TypeError, UsageError):
            return Reception.REFUSED
        if command.machine != self.machine:
            return Reception.REFUSED
        if command.level is CommandLevel.STOP:
            return self._take_stop(command, order, now_ns)
        return self._take_other(command, order, now_ns)

    def controller_lost(self) -> None:
        """The broker says that the controller is gone: stop until a newer command arrives."""
        self._is_controller_lost = True

    def level(self, *, now_ns: int) -> CommandLevel:
        """What to do now; STOP where no valid command says otherwise."""
        now_ns = self._at(now_ns)
        newest = self._newest
        is_held = newest is not None and newest.valid_until_ns > now_ns
        if newest is None or not is_held or self._is_stopped or self._is_controller_lost:
            return CommandLevel.STOP
        return newest.level

    def _read(self, payload: bytes) -> tuple[ActuatorCommand, _Order]:
        """The command and its place among the others; raises where it is not to be heeded."""
        if len(payload) > _MOST_PAYLOAD_BYTES:
            raise ValueError("too long for a command")
        if self._key is None:
            command = ActuatorCommand.from_bytes(payload)
            return command, (
                command.issued_ns, command.revision, command.level.rank, command.command_id,
            )  # fmt: skip
        signed = verified(payload, self._key)
        return signed.command, signed.counter

    def _take_other(self, command: ActuatorCommand, order: _Order, now_ns: int) -> Reception:
        if not self._is_credible(command, now_ns):
            return Reception.REFUSED
        if not self._is_newer(order):
            return Reception.DUPLICATE
        if command.valid_until_ns <= now_ns:
            return Reception.EXPIRED
        if not self._has_memory and command.issued_ns <= self._began_ns + self._max_ahead_ns:
            return Reception.REFUSED  # an old one that somebody may have kept
        self._hold(command, order)
        self._is_stopped = False
        return Reception.APPLIED

    def _take_stop(self, command: ActuatorCommand, order: _Order, now_ns: int) -> Reception:
        identity = (command.idempotency_key, command.issued_ns)
        if identity in self._stops or order == self._order:
            return Reception.DUPLICATE
        if command.valid_until_ns <= now_ns:
            return Reception.EXPIRED
        self._is_stopped = True
        self._remember(identity, command.valid_until_ns, now_ns)
        is_credible = self._is_credible(command, now_ns)
        # Of a signed one the counter is true whatever its times are.
        if (is_credible or self._key is not None) and self._is_newer(order):
            self._hold(command, order)
        elif is_credible:
            self.applied += 1
        return Reception.APPLIED if is_credible else Reception.REFUSED

    def _is_newer(self, order: _Order) -> bool:
        return self._order is None or order > self._order  # all of one form

    def _hold(self, command: ActuatorCommand, order: _Order) -> None:
        self._newest, self._order = command, order
        if isinstance(order, Counter):
            self.counter = order
        self._is_controller_lost = False
        self.applied += 1

    def _remember(self, identity: tuple[str, int], until_ns: int, now_ns: int) -> None:
        ended = [one for one, end_ns in self._stops.items() if end_ns <= now_ns]
        if not ended and len(self._stops) >= _MOST_STOPS:
            ended = [next(iter(self._stops))]
        for one in ended:
            del self._stops[one]
        self._stops[identity] = until_ns

    def _at(self, now_ns: int) -> int:
        """The time, which does not go back: a clock that was set back ends what holds."""
        if self._began_ns == _NEVER_NS:
            self._began_ns = now_ns
        elif now_ns < self._now_ns - self._max_ahead_ns:
            self._newest, self._began_ns, self._now_ns = None, now_ns, now_ns
        self._now_ns = max(now_ns, self._now_ns)
        return self._now_ns

    def _is_credible(self, command: ActuatorCommand, now_ns: int) -> bool:
        return (
            command.valid_until_ns - command.issued_ns <= self._max_validity_ns
            and command.issued_ns - now_ns <= self._max_ahead_ns
        )
