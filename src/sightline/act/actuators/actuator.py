"""What an actuator promises: commands go out, and each takes effect once."""

from __future__ import annotations

from typing import Protocol

from sightline.records.command import ActuatorCommand


class Actuator(Protocol):
    """A way to machines. The machine makes each command take effect once, and stops by itself.

    Sightline is no safety-rated control: what must never fail belongs into the machine's own
    safety function (ISO 13849-1), and so does leave to start again after a stop.
    """

    def send(self, command: ActuatorCommand) -> None:
        """Hand over one command; sending it again is safe.

        Returning means that the next station (broker, web server, file) has it. That the machine
        has obeyed is for the machine to say.

        Raises:
            DeliveryError: not taken; worth another attempt while the command is valid.
        """

    def close(self) -> None:
        """Let go in good order; whoever watches learns that this was no accident."""
