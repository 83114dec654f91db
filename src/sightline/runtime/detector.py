"""Detectors as a pipeline names them: settings, and how each is built from them.

A detector of one's own extends :class:`DetectorKind`, and is found by ``use`` among built-in ones,
entry points (``sightline.detectors``) and plugins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Protocol

import numpy as np
from pydantic import Field

from sightline.errors import UsageError
from sightline.perceive.detect import (
    CameraPersonSize,
    MotionDetector,
    MotionSettings,
    OnnxDetector,
    OnnxSettings,
    ReplayedDetector,
    RowPersonSize,
)
from sightline.perceive.detect.onnx_outputs import BoxForm, BoxUnit, Layout
from sightline.perceive.detect.people import PersonSize
from sightline.records import Detections, Frame
from sightline.records.signals import NS_PER_S
from sightline.runtime.item_stage import CameraPlan
from sightline.runtime.settings import DetectorSettings
from sightline.sense.frames.mot_files import read_detections

Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
PositiveInt = Annotated[int, Field(gt=0)]


class Detecting(Protocol):
    """Looks at frames and says what is there."""

    @property
    def version(self) -> str:
        """Changes with whatever could change an answer."""

    def detect_batch(self, frames: Sequence[Frame]) -> list[Detections]:
        """Things seen in each of ``frames``, in their order; one failure fails them all."""


class DetectorKind:
    """A detector: extend this, and say how it is built.

    Attributes:
        use: its name in pipeline files.
        Settings: what it can be told.
        is_shared: one object serves all cameras that name it, whose frames then share batches.
    """

    use: ClassVar[str] = ""
    Settings: ClassVar[type[DetectorSettings]] = DetectorSettings
    is_shared: ClassVar[bool] = False

    def build(self, settings: Any, camera: CameraPlan, folder: Path) -> Detecting:
        """A new detector.

        Args:
            settings: of its ``Settings``.
            camera: the one it is for, or of those the first.
            folder: where relative paths begin.

        Raises:
            UsageError: a file is missing, is another one, or cannot be used.
        """
        raise TypeError(f"{type(self).__name__} does not say how it is built")


# --- motion ---------------------------------------------------------------------------------------


class MotionForm(DetectorSettings):
    """What moves against the background; needs no weights. One is made per camera."""

    person_heights_m: tuple[Positive, ...] = (1.45, 1.7, 1.9)
    """Body heights that are looked for where a geometry is known, in metres."""
    person_px: tuple[Positive, Positive] | None = None
    """Without a camera geometry: about how tall people appear at the top and at the bottom of the
    picture, in pixels of a frame. It is a first guess: the size is learnt from who walks."""
    learns_size: bool = True
    """Whether the size of people is learnt from what moves where no geometry gives it; false: only
    ``person_px`` holds, or everything that moves is a region."""


class Motion(DetectorKind):
    """What moves against the background."""

    use = "motion"
    Settings = MotionForm

    def build(self, settings: MotionForm, camera: CameraPlan, folder: Path) -> MotionDetector:
        del folder
        size: PersonSize | None = None
        if settings.person_px is not None:
            at_top_px, at_bottom_px = settings.person_px
            size = RowPersonSize(at_top_px=at_top_px, at_bottom_px=at_bottom_px)
        elif camera.geometry is not None:
            size = CameraPersonSize(camera=camera.geometry)
        detector = MotionDetector(
            size=size,
            settings=MotionSettings(
                person_heights_m=settings.person_heights_m, learns_size=settings.learns_size
            ),
            starts_empty=camera.starts_empty,
        )
        _warm_up(detector, camera)
        return detector


def _warm_up(detector: MotionDetector, camera: CameraPlan) -> None:
    """Let the first frame find compiled kernels and tables: else it alone would be late."""
    contract = camera.contract
    shape = (contract.height_px, contract.width_px, contract.channels)
    grey = np.full(shape if contract.channels > 1 else shape[:2], 128, np.uint8)
    spot = grey.copy()
    spot[contract.height_px // 3 : contract.height_px // 2, : contract.width_px // 8] = 255
    for index, pixels in enumerate((grey, spot)):
        detector.detect(
            Frame(
                stream=camera.name,
                index=index,
                capture_ns=index * NS_PER_S,
                received_ns=index * NS_PER_S,
                pixels=pixels,
            )
        )
    detector.reset()


# --- ONNX -----------------------------------------------------------------------------------------


class OnnxForm(DetectorSettings):
    """A detector from an ONNX file; it may serve many cameras, whose frames then share batches."""

    model: str
    """Path of the file, relative to the pipeline file."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """SHA-256 of the file; another file is refused."""
    min_score: Annotated[float, Field(ge=0, le=1)] = 0.25
    """Least score of what it reports, 0 to 1."""
    classes: tuple[str, ...] | None = None
    """Names of the classes to keep; null: all."""
    class_names: tuple[str, ...] = ()
    """Names of all classes in the model's order, where its metadata have no `names`."""
    input_px: tuple[PositiveInt, PositiveInt] | None = None
    """Width and height of the input, for a model that leaves it open and does not say `imgsz`."""
    layout: Layout | None = None
    """How the outputs are arranged, where they can be read in more than one way."""
    box_form: BoxForm | None = None
    """What the four numbers of a box are; null: what the model's known outputs tell."""
    box_unit: BoxUnit | None = None
    """What they are measured in; null: what the model's known outputs tell."""
    fit: Literal["letterbox", "stretch"] = "letterbox"
    """Keep the aspect ratio and pad, or stretch, as the model was trained."""
    mean_rgb: tuple[Finite, Finite, Finite] = (0.0, 0.0, 0.0)
    """Subtracted from red, green and blue of 0 to 1."""
    std_rgb: tuple[Positive, Positive, Positive] = (1.0, 1.0, 1.0)
    """Divided into them."""
    channels: Literal["rgb", "bgr"] = "rgb"
    """Order in which the model takes the colours."""
    max_overlap: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Intersection over union above which one of two boxes of a class goes."""
    most_objects: PositiveInt = 300
    """Bound on what is reported for one frame; the surest are kept."""


class Onnx(DetectorKind):
    """A detector from an ONNX file."""

    use = "onnx"
    Settings = OnnxForm
    is_shared = True

    def build(self, settings: OnnxForm, camera: CameraPlan, folder: Path) -> OnnxDetector:
        del camera
        return OnnxDetector.load(
            folder / settings.model,
            sha256=settings.sha256,
            settings=OnnxSettings(
                class_names=settings.class_names,
                keep_classes=settings.classes,
                layout=settings.layout,
                box_form=settings.box_form,
                box_unit=settings.box_unit,
                min_score=settings.min_score,
                max_overlap=settings.max_overlap,
                most_objects=settings.most_objects,
                fit=settings.fit,
                input_px=settings.input_px,
                mean_rgb=settings.mean_rgb,
                std_rgb=settings.std_rgb,
                channels=settings.channels,
            ),
        )


# --- given ----------------------------------------------------------------------------------------


class GivenForm(DetectorSettings):
    """Detections that were made elsewhere, in MOTChallenge form; by frame number."""

    file: str
    """Path of the file, relative to the pipeline file."""


class Given(DetectorKind):
    """Detections that were made elsewhere."""

    use = "given"
    Settings = GivenForm

    def build(self, settings: GivenForm, camera: CameraPlan, folder: Path) -> ReplayedDetector:
        del camera
        read = read_detections(folder / settings.file)
        if read.refused.height:
            reasons: Mapping[str, int] = dict(
                read.refused["reason"].value_counts().iter_rows()  # of a handful
            )
            raise UsageError(
                expected="a file of detections in which every row can be read",
                got=f"{read.refused.height} rows refused: {reasons}",
                where=settings.file,
                action="mend the file; `sightline lab track` says which rows",
            )
        table = read.table
        return ReplayedDetector.from_columns(
            frame_index=table.frame - 1,
            box_px=table.box_px,
            score=np.clip(table.score, 0.0, 1.0),
        )
