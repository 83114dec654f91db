"""Frame contracts: what a camera promises about its frames, and when its picture is unwell."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from sightline.sense.contract import Form, PositiveSeconds, Seconds, to_ns
from sightline.sense.yaml_form import load_form, parse_form

Share = Annotated[float, Field(gt=0, le=1)]
Ratio = Annotated[float, Field(gt=0, lt=1)]
PixelCount = Annotated[int, Field(ge=1, le=65535)]
Relative = Annotated[float, Field(ge=0, le=1)]
RelativeBox = tuple[Relative, Relative, Relative, Relative]


class FrozenCheck(Form):
    """The picture has not changed at all for too long."""

    after_s: PositiveSeconds = 10.0
    """Longer than the pause between key frames: an encoder repeats a scene in which nothing moves
    without a change until the next one."""
    tolerance_levels: Annotated[int, Field(ge=0, le=64)] = 1
    """Grey levels by which a pixel may differ and still count as unchanged. 1 is rounding; a
    device that encodes a frozen picture anew each time needs more."""
    overlays: tuple[RelativeBox, ...] = ()
    """Boxes (left, top, right, bottom, in parts of the picture) into which the camera itself
    writes, such as its clock: a change in there is no sign of life."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if any(left >= right or top >= bottom for left, top, right, bottom in self.overlays):
            raise ValueError("overlays whose left is below right and top above bottom")
        return self


class BlackCheck(Form):
    """Nearly everything is dark."""

    dark_share: Share = 0.98
    """Of the pixels at or below a tenth of full scale."""


class OverExposedCheck(Form):
    """A large part is clipped to white."""

    clipped_share: Share = 0.5
    """Of the pixels at or above 0.98 of full scale."""


class BlurredCheck(Form):
    """Fine detail is gone."""

    sharpness_ratio: Ratio = 0.25
    """Of the variance of the Laplacian to its recent level."""


class CoveredCheck(Form):
    """A large part of the picture has become uniform."""

    flat_share: Share = 0.75
    """Of the blocks that usually have texture."""


class MovedCheck(Form):
    """The edges of the scene are not where they were."""

    agreement_ratio: Ratio = 0.5
    """Of the agreement of edge directions to its usual level; chance is at 0."""


class ShiftedCheck(Form):
    """The whole picture has shifted a little: the camera was nudged."""

    shift_share: Ratio = 0.015
    """Of the picture's longer side: more than one pixel of the shrunk picture at any size."""


class HealthChecks(Form):
    """Which signs of an unwell camera are looked for; null leaves one out. They never remove a
    frame.
    """

    frozen: FrozenCheck | None = FrozenCheck()
    """The same picture again and again."""
    black: BlackCheck | None = BlackCheck()
    """Nearly everything is dark."""
    over_exposed: OverExposedCheck | None = OverExposedCheck()
    """A large part is clipped to white."""
    blurred: BlurredCheck | None = BlurredCheck()
    """Fine detail is gone."""
    covered: CoveredCheck | None = CoveredCheck()
    """A large part has become uniform."""
    moved: MovedCheck | None = MovedCheck()
    """The edges of the scene are not where they were."""
    shifted: ShiftedCheck | None = ShiftedCheck()
    """The whole picture has shifted a little."""
    confirm_s: Seconds = 2.0
    """How long a condition must hold before it is raised, and be gone before it is cleared."""
    learn_s: PositiveSeconds = 10.0
    """How long the camera is watched before it is compared with its own level."""
    level_s: PositiveSeconds = 60.0
    """Time constant of the recent level of sharpness, contrast and agreement of edges."""
    reference_s: PositiveSeconds = 300.0
    """Time constant with which the reference for edges follows the scene."""


class FrameContract(Form):
    """What one camera promises.

    Width and height are those of the picture as it comes; a frame of another size is refused.
    """

    version: Literal[1] = 1
    """Of this form."""
    description: str = ""
    """For people; it changes nothing."""
    width_px: PixelCount
    """Of a picture as it is used, in pixels. A frame of another size is refused."""
    height_px: PixelCount
    """Of a picture as it is used, in pixels."""
    channels: Literal[1, 3] = 3
    """3 for blue, green, red; 1 for grey."""
    rate_hz: Annotated[float, Field(gt=0, le=10_000)]
    """Frames per second that are expected."""
    max_age_s: PositiveSeconds
    """From capture to receipt. An older frame is refused STALE."""
    health: HealthChecks = HealthChecks()
    """Which signs of an unwell camera are looked for."""

    @property
    def max_age_ns(self) -> int:
        return to_ns(self.max_age_s)

    @property
    def digest(self) -> str:
        """16 hex digits over everything that can change a frame's fate or its health."""
        plain = self.model_dump(mode="json", exclude={"description"})
        text = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def load_frame_contract(path: Path) -> FrameContract:
    """Read a frame contract from a YAML file.

    Raises:
        ContractError: naming the file, the field, what was expected and what was found.
    """
    return load_form(path, FrameContract)


def parse_frame_contract(plain: object, *, where: str) -> FrameContract:
    """Validate a mapping as a frame contract; ``where`` names it in errors.

    Raises:
        ContractError: on the first problem, with the number of problems in all.

    >>> parse_frame_contract({"width_px": 640, "height_px": 480, "rate_hz": 10, "max_age_s": 1},
    ...                      where="yard").health.frozen.after_s
    10.0
    """
    return parse_form(plain, FrameContract, where=where)
