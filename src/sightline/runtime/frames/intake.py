"""What the shell does with a frame before the core hears of it: contract, health, digest."""

from __future__ import annotations

import hashlib

from sightline.records import Frame
from sightline.records.signals import NS_PER_S
from sightline.runtime.frames.entries import FrameFaultNote, FrameHeader, HealthSign
from sightline.runtime.frames.site_plan import CLOCK_SKEW
from sightline.sense.frames import CameraHealth, FrameContract, FrameFault
from sightline.sense.frames.health import HealthSignal, RateWatch, contract_breaches
from sightline.sense.frames.reasons import MEASURES

_DIGEST_HEX = 32


class FrameIntake:
    """Looks at every frame of one camera, in order.

    A frame that breaks its contract, or was taken after it came, is not to be looked at by a
    detector. What is wrong with the camera's picture is said, and leaves the frame usable.

    Args:
        contract: of the camera.
        may_skew_s: how much later than its receipt a frame may claim to be taken.
    """

    def __init__(self, contract: FrameContract, *, may_skew_s: float = 0.05) -> None:
        self._contract = contract
        self._may_skew_s = may_skew_s
        self._health = CameraHealth(contract)
        self._rate = RateWatch(contract)

    def header(self, frame: Frame) -> FrameHeader:
        """The frame without its pixels, with all that was found on them."""
        ahead_s = (frame.capture_ns - frame.received_ns) / NS_PER_S
        breaches = [_sign(signal) for signal in contract_breaches(frame, self._contract)]
        if ahead_s > self._may_skew_s:
            breaches.append(
                HealthSign(
                    code=CLOCK_SKEW,
                    measure="capture_after_receipt",
                    value=ahead_s,
                    threshold=self._may_skew_s,
                    unit="s",
                )
            )
        signals: list[HealthSignal] = []
        if not breaches:
            health = self._health.update(frame)
            signals = [*health.signals, self._rate.update(frame.capture_ns)]
        return FrameHeader(
            camera=frame.stream,
            index=frame.index,
            capture_ns=frame.capture_ns,
            received_ns=frame.received_ns,
            width_px=frame.width_px,
            height_px=frame.height_px,
            digest=pixel_digest(frame),
            signs=(*breaches, *(_sign(signal) for signal in signals if signal.is_raised)),
            is_usable=not breaches,
        )


def fault_note(fault: FrameFault) -> FrameFaultNote:
    """A fault as the core reads it."""
    return FrameFaultNote(
        camera=fault.stream,
        index=fault.index,
        reason=str(fault.reason),
        detail=fault.detail,
        origin=fault.origin,
        frames=fault.frames,
        capture_ns=fault.capture_ns,
    )


def pixel_digest(frame: Frame) -> str:
    """32 hex digits of SHA-256 over shape and pixels: equal pictures, equal digests.

    >>> import numpy as np
    >>> black = Frame(stream="yard", index=0, capture_ns=0, received_ns=0,
    ...               pixels=np.zeros((2, 3), np.uint8))
    >>> pixel_digest(black)[:8]
    '02fcf8a2'
    """
    digest = hashlib.sha256(repr(frame.pixels.shape).encode())
    digest.update(frame.pixels.data if frame.pixels.flags.c_contiguous else frame.pixels.tobytes())
    return digest.hexdigest()[:_DIGEST_HEX]


def _sign(signal: HealthSignal) -> HealthSign:
    note = MEASURES[signal.reason]
    return HealthSign(
        code=str(signal.reason),
        measure=note.measure,
        value=signal.value,
        threshold=signal.threshold,
        unit=note.unit,
    )
