"""What one picture of a run shows: plain values, no pixels are drawn and nothing is read here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from sightline.records import Tracks
from sightline.records.command import CommandLevel
from sightline.records.decision import Mode, Reason
from sightline.records.frames import Image
from sightline.records.windows import FloatArray

NOT_KEPT = "picture not kept"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CameraScene:
    """One camera at one time.

    Attributes:
        name: of the camera.
        index: of its newest frame; -1 before the first.
        capture_ns: of that frame, UTC ns.
        digest: of its pixels, as logged.
        tracks: after that frame.
        trail_px: by track id, float64[k, 2], middle of the box's lower edge of the last moments,
            oldest first, in px of the camera's picture.
        trail_m: the same on the ground; empty without geometry.
        risk: by track id, the reason code of who is at risk.
        zones_at_risk: by index of the camera's zones in which a risk is: the reason code that no
            track in the picture shows (somebody lost, a zone too full); ``""`` where tracks do.
        mode: who answered for its detections.
        signs: reason codes of what is wrong with its picture.
        is_usable: whether the frame kept its contract, so that a detector looked at it.
        step_s: what the frame took in the run; NaN where it was not measured.
        age_s: of the frame at the time of the picture.
        is_stale: whether that is more than the camera's contract allows.
        picture: uint8[height, width, 3] or [height, width]; None where there is none.
        note: why there is no picture.
    """

    name: str
    index: int
    capture_ns: int
    digest: str
    tracks: Tracks
    trail_px: Mapping[int, FloatArray] = field(default_factory=dict)
    trail_m: Mapping[int, FloatArray] = field(default_factory=dict)
    risk: Mapping[int, str] = field(default_factory=dict)
    zones_at_risk: Mapping[int, str] = field(default_factory=dict)
    mode: Mode = Mode.PRIMARY
    signs: tuple[str, ...] = ()
    is_usable: bool = True
    step_s: float = math.nan
    age_s: float = 0.0
    is_stale: bool = False
    picture: Image | None = None
    note: str = NOT_KEPT


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineScene:
    """One machine at one time.

    Attributes:
        name: of the machine.
        level: of the command in force.
        reason: the most important of its reasons; None where there is none.
        others: how many more there are.
        mode: how the answer came about.
    """

    name: str
    level: CommandLevel
    reason: Reason | None = None
    others: int = 0
    mode: Mode = Mode.PRIMARY


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SiteScene:
    """A whole site at one time.

    Attributes:
        at_s: seconds of event time since the first frame of the run.
        at_ns: the same in UTC ns.
        cameras: in the order of the pipeline.
        machines: in the order of the pipeline.
    """

    at_s: float
    at_ns: int
    cameras: tuple[CameraScene, ...]
    machines: tuple[MachineScene, ...]
