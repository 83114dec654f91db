"""A simulated vehicle: drives straight on, heeds its commands, brakes as real brakes do."""

from __future__ import annotations

from dataclasses import dataclass, field

from sightline.records.command import ActuatorCommand, CommandLevel
from sightline.records.signals import NS_PER_S


@dataclass(frozen=True, slots=True, kw_only=True)
class VehicleModel:
    """The true vehicle, not what is declared of it.

    Attributes:
        length_m: of its box.
        width_m: of its box.
        cruise_m_s: speed it drives when let go.
        slow_m_s: speed it drives when told to be slow.
        acceleration_m_s2: when setting off.
        deceleration_m_s2: when braking.
        response_s: from a command's arrival to its effect.
    """

    length_m: float = 4.0
    width_m: float = 2.0
    cruise_m_s: float = 5.0
    slow_m_s: float = 1.0
    acceleration_m_s2: float = 2.0
    deceleration_m_s2: float = 3.0
    response_s: float = 0.3


@dataclass(slots=True, kw_only=True)
class Vehicle:
    """A drive along the x axis of the scene, advanced in small steps.

    Attributes:
        model: how it drives.
        x_m: of its centre.
        speed_m_s: forwards, >= 0.

    >>> parked = Vehicle(model=VehicleModel(), x_m=0.0)
    >>> parked.drive(0, 0.02)
    >>> parked.x_m, parked.speed_m_s
    (0.0, 0.0)
    """

    model: VehicleModel
    x_m: float
    speed_m_s: float = 0.0
    _heeded: ActuatorCommand | None = None
    _waiting: list[ActuatorCommand] = field(default_factory=list)

    def receive(self, command: ActuatorCommand) -> None:
        """Take a command; it has its effect after the response time."""
        self._waiting.append(command)

    def drive(self, now_ns: int, step_s: float) -> None:
        """Move on from ``now_ns`` by ``step_s``."""
        response_ns = round(self.model.response_s * NS_PER_S)
        while self._waiting and self._waiting[0].issued_ns + response_ns <= now_ns:
            self._heeded = self._waiting.pop(0)
        wanted_m_s = self._wanted_m_s(now_ns)
        if wanted_m_s > self.speed_m_s:
            after = min(wanted_m_s, self.speed_m_s + self.model.acceleration_m_s2 * step_s)
        else:
            after = max(wanted_m_s, self.speed_m_s - self.model.deceleration_m_s2 * step_s)
        self.x_m += (self.speed_m_s + after) / 2 * step_s
        self.speed_m_s = after

    def _wanted_m_s(self, now_ns: int) -> float:
        if self._heeded is None or now_ns >= self._heeded.valid_until_ns:
            return 0.0
        match self._heeded.level:
            case CommandLevel.STOP:
                return 0.0
            case CommandLevel.SLOW:
                return min(self.model.slow_m_s, self.model.cruise_m_s)
            case _:
                return self.model.cruise_m_s
