"""What the reason codes of cameras, zones and machines mean, one plain sentence each."""

from __future__ import annotations

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
from sightline.records.command import CommandLevel
from sightline.records.decision import Severity
from sightline.records.detections import DoubtCode
from sightline.runtime.engine.headers import CLOCK_SKEW
from sightline.sense.frames import FrameReason

NO_FRAMES = "NO_FRAMES"
"""A camera gives nothing that can be looked at. Value: age of its newest frame that could be."""
FALLBACK = "DETECTOR_FALLBACK"
"""The detector has not answered itself; the reason says who did. Value: detectors that did."""
FINDS_NOTHING = "FINDS_NOTHING"
"""A detector has found nothing for long. Value: for how long."""
ALL_LEFT_ASIDE = "ALL_LEFT_ASIDE"
"""The same; it has found boxes, all of which its settings threw away."""
CALM = "CALM"
"""Nothing asks a machine for anything."""
_MEANINGS: Mapping[str, str] = MappingProxyType(
    {
        RiskCode.IN_FORBIDDEN_ZONE: "somebody is in a forbidden zone",
        RiskCode.LOST_IN_ZONE: "somebody was last seen in the zone and may still be there "
        "(counted as gone after the threshold; where there is none, when they are seen to leave or "
        "somebody who has looked says so: the operator input view_is_empty)",
        RiskCode.UNCONFIRMED_IN_ZONE: "something was seen in the zone in more than one "
        "frame, too seldom or too unsurely to tell whether somebody is there",
        RiskCode.UNCONFIRMED_NEAR_MACHINE: "something was seen where the machine would have to "
        "stop for somebody, in more than one frame, too seldom or too unsurely to tell whether "
        "somebody is there",
        RiskCode.ZONE_OCCUPANCY: "too many are in the zone",
        RiskCode.DWELL: "somebody has been in the zone for too long",
        RiskCode.OVERSPEED: "somebody moves too fast in the zone",
        RiskCode.TOO_CLOSE: "somebody is too close to the machine",
        RiskCode.IN_STOPPING_PATH: "somebody is on the ground that the machine needs for stopping",
        RiskCode.COLLISION_COURSE: "somebody and the machine will meet if it does not stop now",
        RiskCode.APPROACHING: "somebody and the machine are getting close to each other",
        RiskCode.LOST_NEAR_MACHINE: "somebody who was at risk from the machine is not seen any "
        "more (counted as gone after the threshold; where there is none, when they are seen to be "
        "safe or somebody who has looked says so: the operator input view_is_empty)",
        FINDS_NOTHING: "the detector has found nothing for long: right only if nothing was there",
        ALL_LEFT_ASIDE: "the settings of the detector (as min_score) have long thrown away all "
        "that it found",
        RiskCode.UNLOCATED: "somebody is seen, but it is not known where they stand",
        RiskCode.ZONE_UNSEEN: "where the zone lies the picture stands still, is covered, dazzled "
        "or without light, so nobody can be seen there (clean or mend the camera; or, once "
        "somebody has looked, say that it may stay so: the operator input accept_view)",
        FrameReason.FROZEN: "the picture has stopped changing",
        FrameReason.BLACK: "the picture is black",
        FrameReason.OVER_EXPOSED: "the picture is overexposed",
        FrameReason.COVERED: "something covers the camera",
        FrameReason.MOVED: "the camera points somewhere else than before (put it back; or, "
        "once zones and geometry fit what it shows, say so: the operator input accept_view)",
        FrameReason.BLURRED: "the picture is blurred",
        FrameReason.SHIFTED: "the picture is slightly shifted",
        FrameReason.RATE_LOW: "frames come too rarely",
        DoubtCode.VIEW_UNPROVEN: "the detector compares with what the camera itself has shown, and "
        "nobody has said that the view was empty then: who has stood there since is not seen "
        "(starts_empty: true of the camera, or the operator input view_is_empty)",
        DoubtCode.AT_BOUND: "so much was found that not all of it is reported or followed",
        DoubtCode.VIEW_DARK: "the picture is so dark that the detector may overlook somebody",
        DoubtCode.VIEW_CHANGED: "the light or the view is another, and the detector cannot tell "
        "who is there",
        "SIZE": "the picture has another size than the camera's contract says",
        CLOCK_SKEW: "the frame says that it was taken after it arrived",
        NO_SIGHT: "no picture has been looked at yet, or its time lies in the future",
        STALE_SIGHT: "the newest picture is too old",
        FALLBACKS_FAILED: "no detector answered, or the machine itself is not seen",
        COMMAND_EXPIRED: "the last command ran out, so the machine had stopped by itself",
        HOLDING: "the cause is gone, but not yet for long enough",
        WAITS_FOR_RESET: "the cause is gone, but nobody has pressed the reset button",
        NO_FRAMES: "the camera has sent no usable picture for too long",
        CALM: "nothing asks the machine to slow down or stop",
    }
)


def meaning(code: str) -> str:
    """A code in words; ``""`` for one that is not of cameras, zones or machines.

    >>> meaning("DWELL")
    'somebody has been in the zone for too long'
    """
    if code.startswith(FALLBACK):
        return "the detector did not answer in time, or not usably"
    return _MEANINGS.get(code, "")


# --- what each reason asks of a machine -----------------------------------------------------------

_STOP, _SLOW, _WARN = CommandLevel.STOP, CommandLevel.SLOW, CommandLevel.WARN
DEFAULT_LEVELS: Mapping[str, CommandLevel] = MappingProxyType(
    {
        RiskCode.IN_FORBIDDEN_ZONE: _STOP,
        RiskCode.LOST_IN_ZONE: _STOP,
        RiskCode.UNCONFIRMED_IN_ZONE: _SLOW,
        RiskCode.UNCONFIRMED_NEAR_MACHINE: _SLOW,
        RiskCode.ZONE_OCCUPANCY: _WARN,
        RiskCode.DWELL: _WARN,
        RiskCode.OVERSPEED: _SLOW,
        RiskCode.TOO_CLOSE: _STOP,
        RiskCode.IN_STOPPING_PATH: _STOP,
        RiskCode.COLLISION_COURSE: _STOP,
        RiskCode.APPROACHING: _SLOW,
        RiskCode.LOST_NEAR_MACHINE: _STOP,
        RiskCode.UNLOCATED: _STOP,
        RiskCode.ZONE_UNSEEN: _STOP,
        # A picture that shows nothing, or something else than the calibrated view, is no sight.
        FrameReason.FROZEN: _STOP,
        FrameReason.BLACK: _STOP,
        FrameReason.OVER_EXPOSED: _STOP,
        FrameReason.COVERED: _STOP,
        FrameReason.MOVED: _STOP,
        FrameReason.BLURRED: _SLOW,
        FrameReason.SHIFTED: _SLOW,
        FrameReason.RATE_LOW: _WARN,
        # That nobody is reported means nothing, or not enough.
        DoubtCode.VIEW_UNPROVEN: _STOP,
        DoubtCode.VIEW_CHANGED: _STOP,
        DoubtCode.VIEW_DARK: _STOP,
        DoubtCode.AT_BOUND: _STOP,
    }
)
"""What each reason asks for where a machine says nothing else; any other asks for STOP."""
SEVERITY: Mapping[CommandLevel, Severity] = MappingProxyType(
    {
        CommandLevel.NONE: Severity.INFO,
        CommandLevel.WARN: Severity.WARNING,
        CommandLevel.SLOW: Severity.WARNING,
        CommandLevel.STOP: Severity.CRITICAL,
    }
)
"""How grave what asks for a level is."""
