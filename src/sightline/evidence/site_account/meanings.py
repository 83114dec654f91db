"""What reason codes mean, in words for somebody who sees them for the first time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

from sightline.assess.site import RiskCode
from sightline.decide.actuation import (
    COMMAND_EXPIRED,
    FALLBACKS_FAILED,
    HOLDING,
    NO_SIGHT,
    STALE_SIGHT,
    WAITS_FOR_RESET,
)
from sightline.records.decision import Reason
from sightline.runtime.frames.conditions import FALLBACK
from sightline.runtime.frames.frame_core import NO_FRAMES
from sightline.sense.frames import FrameReason

MEANINGS: Mapping[str, str] = MappingProxyType(
    {
        RiskCode.IN_FORBIDDEN_ZONE: "somebody is, or has not yet surely left, where nobody may be",
        RiskCode.LOST_IN_ZONE: "somebody was last seen in the zone and may still be there "
        "(forgotten after the threshold)",
        RiskCode.ZONE_OCCUPANCY: "too many are in the zone",
        RiskCode.DWELL: "somebody has been in the zone for too long",
        RiskCode.OVERSPEED: "somebody is too fast in the zone",
        RiskCode.TOO_CLOSE: "somebody is too close to the machine",
        RiskCode.IN_STOPPING_PATH: "somebody is where the machine would still be moving",
        RiskCode.COLLISION_COURSE: "somebody and the machine will meet if it does not stop now",
        RiskCode.APPROACHING: "somebody and the machine are coming near each other",
        RiskCode.LOST_NEAR_MACHINE: "somebody at risk from the machine is no longer seen "
        "(forgotten after the threshold)",
        RiskCode.UNLOCATED: "somebody is seen, but not where",
        FrameReason.FROZEN: "the picture does not change any more",
        FrameReason.BLACK: "the picture is black",
        FrameReason.OVER_EXPOSED: "the picture is over-exposed",
        FrameReason.COVERED: "something covers the camera",
        FrameReason.MOVED: "the camera looks elsewhere than where it was calibrated",
        FrameReason.BLURRED: "the picture is blurred",
        FrameReason.SHIFTED: "the picture is a little shifted",
        FrameReason.RATE_LOW: "frames come too rarely",
        NO_SIGHT: "no picture has been looked at yet, or it claims to be from the future",
        STALE_SIGHT: "the newest picture is too old",
        FALLBACKS_FAILED: "no detector answered, or the machine itself is not seen",
        COMMAND_EXPIRED: "the last command ran out: the machine had stopped by itself",
        HOLDING: "less is asked for, but not yet for long enough",
        WAITS_FOR_RESET: "nothing is wrong any more, but nobody has pressed reset",
        NO_FRAMES: "the camera gives nothing that can be looked at",
        "CALM": "nothing asks for anything",
    }
)


def meaning(code: str) -> str:
    """A code in words; ``""`` where there are none.

    >>> meaning("DWELL")
    'somebody has been in the zone for too long'
    """
    if code.startswith(FALLBACK):
        return "the detector did not answer itself"
    return MEANINGS.get(code, "")


def reason_words(reason: Reason) -> str:
    """Code, measure, value, threshold and unit on one line.

    >>> reason_words(Reason(code="DWELL", measure="dwell", value=9.04, threshold=5.0, unit="s",
    ...                     version="1"))
    'DWELL: dwell 9.04 s, threshold 5 s'
    """
    return (
        f"{reason.code}: {reason.measure} {quantity(reason.value, reason.unit)}, "
        f"threshold {quantity(reason.threshold, reason.unit)}"
    )


def quantity(value: float, unit: str) -> str:
    """A number with its unit; what was not measured is said to be.

    >>> quantity(0.25, "1"), quantity(float("nan"), "m")
    ('0.25', 'unknown')
    """
    if math.isnan(value):
        return "unknown"
    return f"{value:.4g}" + ("" if unit == "1" else f" {unit}")
