"""Health signals: one measure of a camera, what it was compared with, and what follows."""

from __future__ import annotations

from dataclasses import dataclass

from sightline.records.decision import Reason
from sightline.sense.frames.reasons import MEASURES, FrameReason


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthSignal:
    """One check of one frame.

    Attributes:
        reason: what it is that is checked.
        value: what was measured, in the unit of ``MEASURES[reason]``; NaN where it could not be,
            for example the sharpness of a black picture.
        threshold: what it was compared with, in the same unit; NaN where there is none yet.
        is_raised: whether the condition stands: for a picture, whether it has held for the
            contract's ``confirm_s`` and has not since been gone for as long.
    """

    reason: FrameReason
    value: float
    threshold: float
    is_raised: bool

    def as_reason(self, *, version: str) -> Reason:
        """The signal as a reason of a decision; ``version`` names the contract by its digest."""
        note = MEASURES[self.reason]
        return Reason(
            code=str(self.reason),
            measure=note.measure,
            value=self.value,
            threshold=self.threshold,
            unit=note.unit,
            version=version,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameHealth:
    """The health of a camera at one frame.

    Attributes:
        stream: name of the camera.
        index: of the frame.
        capture_ns: of the frame, UTC ns.
        signals: one for each check that the contract asks for, in a fixed order.
    """

    stream: str
    index: int
    capture_ns: int
    signals: tuple[HealthSignal, ...]

    @property
    def raised(self) -> tuple[FrameReason, ...]:
        """What is wrong now; empty when the camera is well."""
        return tuple(signal.reason for signal in self.signals if signal.is_raised)

    def signal(self, reason: FrameReason) -> HealthSignal:
        """The signal of one check.

        Raises:
            KeyError: the contract leaves that check out.
        """
        for signal in self.signals:
            if signal.reason is reason:
                return signal
        raise KeyError(reason)
