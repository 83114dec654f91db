"""Site pipelines as typed YAML: cameras, detectors, zones and machines.

This module is the *form*; what it means together is checked in :mod:`.site_plan`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sightline.records.command import CommandLevel
from sightline.runtime.pipeline import Breaker, Name

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Probability = Annotated[float, Field(gt=0, lt=1)]
Point = tuple[
    Annotated[float, Field(allow_inf_nan=False)], Annotated[float, Field(allow_inf_nan=False)]
]
Deadline = Annotated[float, Field(gt=0, le=60)]

_DETECTION_BUDGET_S = 0.1


class _Form(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _DetectorForm(_Form):
    """What every detector has."""

    budget_s: Deadline = _DETECTION_BUDGET_S
    """Time for one answer; beyond it the fallback answers."""
    # Not part of the identity: answers are the same bytes with and without, so a run may go on, and
    # its detectors may be run again, in the other way.
    isolated: Annotated[bool, Field(exclude=True)] = False
    """In a process of its own, which may hang or crash; see ``isolated_detector``."""


class MotionForm(_DetectorForm):
    """What moves against the background; needs no weights. One is made per camera."""

    use: Literal["motion"]
    person_heights_m: tuple[Positive, ...] = (1.45, 1.7, 1.9)
    person_px: tuple[Positive, Positive] | None = None
    """Without a camera geometry: how tall people appear at the top and bottom of the picture."""


class OnnxForm(_DetectorForm):
    """A detector from an ONNX file; it may serve many cameras, whose frames then share batches."""

    use: Literal["onnx"]
    model: str
    """Path, relative to the pipeline file."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """Of the file; another one is refused."""
    min_score: Annotated[float, Field(ge=0, le=1)] = 0.25
    classes: tuple[str, ...] | None = None
    """Names of the classes to keep; null: all."""


class GivenForm(_DetectorForm):
    """Detections that were made elsewhere, in MOTChallenge form; by frame number."""

    use: Literal["given"]
    file: str
    """Path, relative to the pipeline file."""


DetectorForm = Annotated[MotionForm | OnnxForm | GivenForm, Field(discriminator="use")]


class CameraForm(_Form):
    """One camera: what it promises, where it looks, who looks at its frames."""

    contract: dict[str, Any] | str
    """A frame contract, or the path of one, relative to the pipeline file."""
    geometry: dict[str, Any] | str | None = None
    """A camera model, or the path of one; null: nothing is known in metres."""
    detector: Name
    fallback: Name | None = None
    """Detector that answers when the first is late or broken; null: tracks are carried on."""


class ZoneForm(_Form):
    """An area of one camera's ground (metres) or picture (pixels); see ``assess.site.zones``."""

    camera: Name
    polygon_m: tuple[Point, ...] | None = None
    polygon_px: tuple[Point, ...] | None = None
    classes: tuple[str, ...] = ("person",)
    is_forbidden: bool = False
    max_occupancy: Annotated[int, Field(ge=0)] | None = None
    max_speed_m_s: NotNegative | None = None
    max_dwell_s: NotNegative | None = None
    margin: NotNegative = 0.2
    """In the unit of the polygon."""
    hold_s: NotNegative = 0.5
    confidence: Annotated[float, Field(ge=0.5, lt=1)] = 0.8
    suspect_probability: Probability = 0.5
    lost_timeout_s: NotNegative = 60.0

    @model_validator(mode="after")
    def _one_polygon(self) -> Self:
        if (self.polygon_m is None) == (self.polygon_px is None):
            raise ValueError("either polygon_m or polygon_px")
        return self


class MovingForm(_Form):
    """A machine that moves and is itself tracked; see ``assess.site.machines``."""

    machine_class: str
    """Class name of its tracks."""
    length_m: Positive
    width_m: Positive
    response_s: NotNegative
    """From the command to the first effect of the brake, as its maker guarantees."""
    least_deceleration_m_s2: Positive
    margin_m: NotNegative = 0.0
    acceleration_m_s2: NotNegative = 0.0
    """How fast it may gain speed: a tracker sees it late. 0: it drives as it is seen to drive."""
    top_speed_m_s: Positive | None = None
    """What it never exceeds; null: unknown."""
    person_classes: tuple[str, ...] = ("person",)
    person_radius_m: NotNegative = 0.3
    clearance_m: NotNegative = 0.5
    probability: Probability = 0.5
    warn_ahead_s: NotNegative = 2.0
    restart_speed_m_s: Positive = 2.0
    lost_timeout_s: NotNegative = 10.0


class MachineForm(_Form):
    """Who is commanded, by what is seen where, and how long commands hold."""

    cameras: Annotated[tuple[Name, ...], Field(min_length=1)]
    """All of them are needed: without sight of one the machine stops."""
    zones: tuple[Name, ...] = ()
    moving: MovingForm | None = None
    """Null for a machine that stays where it is."""
    level_of: dict[str, CommandLevel] = {}
    """What a reason code asks for, where it differs from the default (see docs/site-safety.md)."""
    max_age_s: Positive = 0.5
    hold_s: NotNegative = 2.0
    valid_s: Positive = 1.0
    heartbeat_s: Positive = 0.4
    restarts_at: CommandLevel = CommandLevel.NONE
    needs_reset: bool = False


class ImagesForm(_Form):
    """Which pictures are kept in the log. Detections always are."""

    keep: Literal["full", "around_decisions", "digest"] = "digest"
    before_s: NotNegative = 2.0
    """``around_decisions``: kept before a decision."""
    after_s: NotNegative = 2.0
    quality: Annotated[int, Field(ge=1, le=100)] | None = None
    """JPEG quality of what is kept; null: without loss (PNG), as running detectors again needs."""
    form: Literal["images", "packets"] = "images"
    """``packets``: what the camera itself has compressed, in whole groups from a key frame on."""

    @model_validator(mode="after")
    def _packets_have_their_quality(self) -> Self:
        if self.form == "packets" and self.quality is not None:
            raise ValueError("no quality with form: packets: they are kept as the camera sent them")
        return self


class SitePipeline(_Form):
    """A whole site pipeline. All cameras of one file are decided on together."""

    version: Literal[1] = 1
    use: Literal["site"]
    pipeline: Name
    description: str = ""
    latency_budget_s: Deadline = 0.25
    """From capture to command; more is logged DEADLINE_MISSED."""
    tick_s: Annotated[float, Field(ge=0.01, le=10)] = 0.1
    """Grid on which time advances without frames; also the longest time between two looks at a
    machine."""
    batch_wait_s: Annotated[float, Field(ge=0, le=1)] = 0.0
    """How long a frame waits for those of other cameras that share its detector."""
    clear_s: NotNegative = 0.5
    """A risk is cleared when it has not been found for so long."""
    breaker: Breaker = Breaker()
    """Of the detectors: after so many failures in a row the fallback alone is asked for a while."""
    images: ImagesForm = ImagesForm()
    detectors: Annotated[dict[Name, DetectorForm], Field(min_length=1)]
    cameras: Annotated[dict[Name, CameraForm], Field(min_length=1)]
    zones: dict[Name, ZoneForm] = {}
    machines: dict[Name, MachineForm] = {}

    partitions: Literal[1] = 1
    """All cameras share one core and one log: a machine is decided on by all that see it."""
