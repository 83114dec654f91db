"""Frames against their contract: size, colour, age and rate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sightline.records.frames import Frame
from sightline.records.signals import NS_PER_S
from sightline.sense.frames.frame_contract import FrameContract
from sightline.sense.frames.health_signal import HealthSignal
from sightline.sense.frames.reasons import FrameReason

_RATE_INTERVALS = 10
"""Intervals over which the mean interval forgets."""
_LEAST_RATE_SHARE = 0.5
"""Every other frame is missing."""


def contract_breaches(frame: Frame, contract: FrameContract) -> tuple[HealthSignal, ...]:
    """What a single frame breaks; a frame that breaks anything is to be refused.

    >>> import numpy as np
    >>> contract = FrameContract(width_px=6, height_px=4, rate_hz=10, max_age_s=1.0)
    >>> frame = Frame(stream="yard", index=0, capture_ns=0, received_ns=2 * NS_PER_S,
    ...               pixels=np.zeros((4, 6), np.uint8))
    >>> [str(signal.reason) for signal in contract_breaches(frame, contract)]
    ['CHANNELS', 'STALE']
    """
    found: list[HealthSignal] = []
    if (frame.width_px, frame.height_px) != (contract.width_px, contract.height_px):
        found.append(
            HealthSignal(
                reason=FrameReason.SIZE,
                value=float(frame.width_px * frame.height_px),
                threshold=float(contract.width_px * contract.height_px),
                is_raised=True,
            )
        )
    if frame.channels != contract.channels:
        found.append(
            HealthSignal(
                reason=FrameReason.CHANNELS,
                value=float(frame.channels),
                threshold=float(contract.channels),
                is_raised=True,
            )
        )
    age = age_signal(
        newest_age_s=(frame.received_ns - frame.capture_ns) / NS_PER_S, contract=contract
    )
    return (*found, age) if age.is_raised else tuple(found)


def age_signal(*, newest_age_s: float, contract: FrameContract) -> HealthSignal:
    """Whether a frame, or a camera's newest frame, is too old.

    Args:
        newest_age_s: from the capture, s; infinite where there was no frame at all.
        contract: ``max_age_s``.
    """
    return HealthSignal(
        reason=FrameReason.STALE,
        value=newest_age_s,
        threshold=contract.max_age_s,
        is_raised=newest_age_s > contract.max_age_s,
    )


class RateWatch:
    """Follows how often a camera's frames were taken, by their capture times.

    A camera that gives nothing at all is not seen here but by :func:`age_signal`.

    Args:
        contract: ``rate_hz``.

    >>> contract = FrameContract(width_px=6, height_px=4, rate_hz=10, max_age_s=1.0)
    >>> watch = RateWatch(contract)
    >>> [watch.update(n * NS_PER_S // 4).is_raised for n in range(12)].index(True)
    10
    """

    def __init__(self, contract: FrameContract) -> None:
        self._rate_hz = contract.rate_hz
        self._last_ns: int | None = None
        self._intervals = 0
        self._mean_s = 0.0

    def update(self, capture_ns: int) -> HealthSignal:
        """Take the capture time of the next frame, UTC ns, after the one before.

        The rate is NaN, and nothing is raised, before ten intervals are known.
        """
        if self._last_ns is not None:
            self._intervals = min(self._intervals + 1, _RATE_INTERVALS)
            interval_s = (capture_ns - self._last_ns) / NS_PER_S
            self._mean_s += (interval_s - self._mean_s) / self._intervals
        self._last_ns = capture_ns
        is_known = self._intervals == _RATE_INTERVALS and self._mean_s > 0
        rate_hz = 1 / self._mean_s if is_known else float("nan")
        least_hz = _LEAST_RATE_SHARE * self._rate_hz
        return HealthSignal(
            reason=FrameReason.RATE_LOW,
            value=rate_hz,
            threshold=least_hz,
            is_raised=rate_hz < least_hz,
        )

    def snapshot(self) -> dict[str, Any]:
        """JSON-ready state."""
        return {
            "last_ns": self._last_ns,
            "intervals": self._intervals,
            "mean_s": self._mean_s,
        }

    def restore(self, plain: Mapping[str, Any]) -> None:
        """Inverse of :meth:`snapshot`."""
        self._last_ns = plain["last_ns"]
        self._intervals = plain["intervals"]
        self._mean_s = plain["mean_s"]
