"""What the motion detector may assume, and what it says about a frame besides detections."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from sightline.errors import UsageError
from sightline.perceive.detect.background import BackgroundSettings


class SceneCondition(StrEnum):
    """How far the last frame's answer can be relied on."""

    STARTED = "STARTED"
    """The first frame after a start or reset: it is the background, nothing can be seen."""
    STEADY = "STEADY"
    """The scene is the known one."""
    CHANGED = "CHANGED"
    """The picture as a whole is another (dark, blinded, moved): nothing is reported."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MotionSettings:
    """What the motion detector may assume; the defaults are meant for every fixed camera.

    Attributes:
        background: of the background model.
        work_px: larger images are made smaller to about this many pixels.
        person_heights_m: heights tried; children below 1.2 m want one more.
        least_height_px: smaller people are not looked for, px of the work image. Johnson (1958)
            asks for 8 pixels across to tell a person from something else, 0.3 of the height.
        least_visible: a person must show this share of its silhouette, 0 to 1.
        least_blob_share: without person sizes, smaller regions are noise; share of the image.
        ghost_contrast: an object is a ghost if the background's contrast along its contour is
            more than this many times the image's.
        most_foreground: if a larger share of the image is foreground, the scene has changed.
        gain_range: light below or above this, against the background's, is a change of scene.
        settle_s: a changed scene that lasts so long is the new one, s.
        most_objects: bound on what is reported for one frame; the largest are kept.
    """

    background: BackgroundSettings = field(default_factory=BackgroundSettings)
    work_px: int = 200_000
    person_heights_m: tuple[float, ...] = (1.45, 1.7, 1.9)
    least_height_px: float = 26.0
    least_visible: float = 0.3
    least_blob_share: float = 0.0005
    ghost_contrast: float = 1.25
    most_foreground: float = 0.5
    gain_range: tuple[float, float] = (0.5, 2.0)
    settle_s: float = 2.0
    most_objects: int = 128

    def __post_init__(self) -> None:
        is_usable = (
            self.work_px >= 1024
            and len(self.person_heights_m) > 0
            and min(self.person_heights_m) > 0
            and self.least_height_px > 0
            and 0 < self.least_visible < 1
            and 0 < self.least_blob_share < 1
            and self.ghost_contrast > 0
            and 0 < self.most_foreground <= 1
            and 0 < self.gain_range[0] < 1 < self.gain_range[1]
            and self.settle_s > 0
            and self.most_objects > 0
        )
        if not is_usable:
            raise UsageError(
                expected="shares within 0 to 1, a gain range around 1, the others > 0",
                got=str(self),
                where="motion detector settings",
                action="correct the value that is out of range",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class MotionReport:
    """What the detector can say about the last frame besides the detections.

    Attributes:
        condition: how far the answer can be relied on.
        size_changed: the frame had another size than the one before, so the model began again.
        gain: light against the background's; NaN where it cannot be told.
        foreground_share: part of the image that is foreground, 0 to 1.
        ghosts: objects taken for holes in the background, and not reported.
    """

    condition: SceneCondition
    size_changed: bool = False
    gain: float = float("nan")
    foreground_share: float = 0.0
    ghosts: int = 0
