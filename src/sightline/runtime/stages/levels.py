"""What each reason asks of a machine where the machine says nothing else, and how grave it is."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from sightline.assess.site import RiskCode
from sightline.records.command import CommandLevel
from sightline.records.decision import Severity
from sightline.records.detections import DoubtCode
from sightline.sense.frames import FrameReason

_STOP, _SLOW, _WARN = CommandLevel.STOP, CommandLevel.SLOW, CommandLevel.WARN
DEFAULT_LEVELS: Mapping[str, CommandLevel] = MappingProxyType(
    {
        RiskCode.IN_FORBIDDEN_ZONE: _STOP,
        RiskCode.LOST_IN_ZONE: _STOP,
        RiskCode.ZONE_OCCUPANCY: _WARN,
        RiskCode.DWELL: _WARN,
        RiskCode.OVERSPEED: _SLOW,
        RiskCode.TOO_CLOSE: _STOP,
        RiskCode.IN_STOPPING_PATH: _STOP,
        RiskCode.COLLISION_COURSE: _STOP,
        RiskCode.APPROACHING: _SLOW,
        RiskCode.LOST_NEAR_MACHINE: _STOP,
        RiskCode.UNLOCATED: _STOP,
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
