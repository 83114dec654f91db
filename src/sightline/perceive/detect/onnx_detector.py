"""Detections from a model in ONNX: frames into its input, and its outputs into boxes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt

from sightline.errors import UsageError
from sightline.perceive.compiled import warm
from sightline.perceive.detect.detector import (
    BoxReason,
    DetectorFailed,
    admit_boxes,
    suppress,
    version_digest,
)
from sightline.perceive.detect.onnx_outputs import (
    BoxForm,
    BoxUnit,
    Layout,
    NamedOutput,
    RawBoxes,
    decode,
    known_picture,
    settle,
)
from sightline.perceive.detect.onnx_session import OnnxSession, read_model
from sightline.records.detections import Detections, Doubt, DoubtCode
from sightline.records.frames import Frame, Image
from sightline.records.windows import FloatArray, IntArray

PAD_LEVEL = 114
"""Grey around the image: what the YOLO family is trained with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Letterbox:
    """How an image of one size lies in a model's input.

    The scale is kept for each axis, since sizes are rounded to whole pixels: a box survives the
    way there and back to the last bits, whatever the sizes.

    Attributes:
        image_px: (width, height) of the image.
        inside_px: (width, height) it has inside the input.
        offset_px: (left, top) of it inside the input.
        input_px: (width, height) of the input.

    >>> box = Letterbox.keep_aspect(image_px=(200, 100), input_px=(64, 64))
    >>> box.inside_px, box.offset_px
    ((64, 32), (0, 16))
    >>> box.to_image(np.array([[0.0, 16.0, 64.0, 48.0]])).tolist()
    [[0.0, 0.0, 200.0, 100.0]]
    """

    image_px: tuple[int, int]
    inside_px: tuple[int, int]
    offset_px: tuple[int, int]
    input_px: tuple[int, int]

    @classmethod
    def keep_aspect(cls, *, image_px: tuple[int, int], input_px: tuple[int, int]) -> Letterbox:
        """As large as it fits, in the middle."""
        scale = min(input_px[0] / image_px[0], input_px[1] / image_px[1])
        width_px = max(1, min(input_px[0], round(image_px[0] * scale)))
        height_px = max(1, min(input_px[1], round(image_px[1] * scale)))
        return cls(
            image_px=image_px,
            inside_px=(width_px, height_px),
            offset_px=((input_px[0] - width_px) // 2, (input_px[1] - height_px) // 2),
            input_px=input_px,
        )

    @classmethod
    def stretch(cls, *, image_px: tuple[int, int], input_px: tuple[int, int]) -> Letterbox:
        """Over the whole input, distorted: what most of the DETR family is trained with."""
        return cls(image_px=image_px, inside_px=input_px, offset_px=(0, 0), input_px=input_px)

    def place(self, image: Image) -> Image:
        """uint8[input height, input width, 3] from uint8[image height, image width, 3]."""
        if self.inside_px != self.image_px:
            image = cv2.resize(image, self.inside_px, interpolation=cv2.INTER_LINEAR).astype(
                np.uint8, copy=False
            )
        if self.inside_px == self.input_px:
            return image
        placed = np.full((self.input_px[1], self.input_px[0], 3), PAD_LEVEL, np.uint8)
        left, top = self.offset_px
        placed[top : top + self.inside_px[1], left : left + self.inside_px[0]] = image
        return placed

    def to_image(self, box_px: FloatArray) -> FloatArray:
        """float64[n, 4] left, top, right, bottom, from px of the input to px of the image."""
        offset = np.array(self.offset_px * 2, np.float64)
        scale = np.array(self.inside_px * 2) / np.array(self.image_px * 2)
        found: FloatArray = (box_px - offset) / scale
        return found


# --- the detector ---------------------------------------------------------------------------------

PROGRAM = 3
"""Counts changes of the program that change answers; part of the version."""
NOTICED_SCORE = 0.05
"""Boxes of at least this score that are below ``min_score`` are counted as left aside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxSettings:
    """What is not in the model file.

    Attributes:
        class_names: instead of ``names`` in the metadata.
        keep_classes: report only these; None: all.
        layout: how outputs are arranged, where nothing else tells.
        box_form: what the four numbers of a box are, where nothing else tells.
        box_unit: what they are measured in, where nothing else tells.
        min_score: less sure boxes are left out, 0 to 1.
        max_overlap: intersection over union above which one of two boxes of a class goes.
        most_objects: bound on what is reported for one frame; the surest are kept.
        fit: keep the aspect ratio and pad, or stretch, as the model was trained.
        input_px: (width, height), for a model that leaves its size open.
        mean_rgb, std_rgb: subtracted from, and divided into, red, green and blue of 0 to 1.
        channels: order in which the model takes the colours.
        threads: of ONNX Runtime; one is repeatable and shares the machine with the other stages.
        most_batch: pictures run at a time, where the model takes any number.
    """

    class_names: tuple[str, ...] = ()
    keep_classes: tuple[str, ...] | None = None
    layout: Layout | None = None
    box_form: BoxForm | None = None
    box_unit: BoxUnit | None = None
    min_score: float = 0.25
    max_overlap: float = 0.5
    most_objects: int = 300
    fit: Literal["letterbox", "stretch"] = "letterbox"
    input_px: tuple[int, int] | None = None
    mean_rgb: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std_rgb: tuple[float, float, float] = (1.0, 1.0, 1.0)
    channels: Literal["rgb", "bgr"] = "rgb"
    threads: int = 1
    most_batch: int = 8

    def __post_init__(self) -> None:
        is_usable = (
            0 <= self.min_score <= 1
            and 0 <= self.max_overlap <= 1
            and min(self.most_objects, self.threads, self.most_batch) > 0
            and min(self.input_px or (1,)) > 0
            and min(self.std_rgb) > 0
            and self.fit in ("letterbox", "stretch")
            and self.channels in ("rgb", "bgr")
        )
        if not is_usable:
            raise UsageError(
                expected="score and overlap within 0 to 1, fit letterbox or stretch, others > 0",
                got=str(self),
                where="ONNX detector settings",
                action="correct the value that is out of range",
            )


class OnnxDetector:
    """A detector from an ONNX file; see :class:`.Layout` for what it may put out.

    Keeps nothing between frames but counts, so one may serve many cameras. What the outputs mean is
    settled when it is made, by a run on a known picture.

    Args:
        data: the model file's bytes; :meth:`load` reads them.
        digest: their SHA-256 in hex, part of the version.
        settings: what is not in the file.
        where: the model's name in errors.

    Raises:
        UsageError: if the model cannot be loaded, takes something else than pictures, lacks class
            names, or puts out what cannot be understood.
        DetectorFailed: if it fails on that picture.
    """

    def __init__(
        self,
        data: bytes,
        *,
        digest: str,
        settings: OnnxSettings | None = None,
        where: str = "model",
    ) -> None:
        warm(suppress.__module__)
        self._settings = settings or OnnxSettings()
        self._session = OnnxSession(data, where=where, threads=self._settings.threads)
        self._input_px = self._chosen_input_px()
        self._class_names = self._settings.class_names or self._session.class_names()
        self._kept_classes = self._chosen_classes()
        self._counts: Counter[str] = Counter()
        outputs = self._named_outputs()
        self._reading = settle(
            outputs,
            classes=len(self._class_names),
            metadata=self._session.metadata,
            input_px=self._input_px,
            layout=self._settings.layout,
            form=self._settings.box_form,
            unit=self._settings.box_unit,
            where=where,
        )
        # Lists without a dimension for pictures are of one picture.
        self._reads_one_picture = (
            self._reading.layout is Layout.LISTED
            and len(outputs[self._reading.places[0]].shape) == 2
        )
        self._version = version_digest(
            {
                "detector": self.name,
                "program": PROGRAM,
                "model": digest,
                "settings": asdict(self._settings),
            }
        )

    @classmethod
    def load(
        cls, path: Path, *, sha256: str | None = None, settings: OnnxSettings | None = None
    ) -> OnnxDetector:
        """Read, check and load a model file.

        Args:
            path: the file.
            sha256: hex digest the file must have, checked before it is loaded; None: any file.
            settings: what is not in the file.

        Raises:
            UsageError: as above, and if the file cannot be read or is another one.
        """
        data, digest = read_model(path, sha256=sha256)
        return cls(data, digest=digest, settings=settings, where=str(path))

    @property
    def name(self) -> str:
        """``onnx``."""
        return "onnx"

    @property
    def version(self) -> str:
        """32 hex digits over the model file, the settings and the program."""
        return self._version

    @property
    def layout(self) -> Layout:
        """How the model's outputs are arranged."""
        return self._reading.layout

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of all classes the model knows, in its order."""
        return self._class_names

    @property
    def counts(self) -> dict[str, int]:
        """Boxes left aside or cut, by :class:`.BoxReason`, since the start."""
        return dict(sorted(self._counts.items()))

    def detect(self, frame: Frame) -> Detections:
        """What is seen in ``frame``, boxes in px of the frame, the surest first.

        Raises:
            DetectorFailed: if the model fails.
            NotFiniteOutput: if it puts out NaN or infinity.
        """
        return self.detect_batch([frame])[0]

    def detect_batch(self, frames: Sequence[Frame]) -> list[Detections]:
        """The same for several frames, run together where the model takes that.

        Frames may differ in size. The raised errors are those of :meth:`detect`.
        """
        most = self._session.input.batch or self._settings.most_batch
        if self._reads_one_picture:
            most = 1
        found: list[Detections] = []
        for start in range(0, len(frames), most):
            found += self._run(frames[start : start + most])
        return found

    def _run(self, frames: Sequence[Frame]) -> list[Detections]:
        boxes = [self._placing(frame) for frame in frames]
        pictures = self._pictures(
            [box.place(_three_channels(frame)) for box, frame in zip(boxes, frames, strict=True)]
        )
        outputs = self._session.run(pictures)
        found = []
        for number, (frame, placing) in enumerate(zip(frames, boxes, strict=True)):
            raw = decode(
                outputs,
                self._reading,
                picture=number,
                input_px=self._input_px,
                min_score=min(self._settings.min_score, NOTICED_SCORE),
            )
            kept, left_aside = self._chosen(raw)
            self._check_area(raw, kept)
            seen, refused = admit_boxes(
                frame,
                box_px=placing.to_image(raw.box_px[kept]),
                score=raw.score[kept],
                class_id=raw.class_id[kept],
                class_names=self._class_names,
            )
            self._counts += refused + left_aside
            del refused[str(BoxReason.CLIPPED)]  # those are kept
            doubt = None
            if left_aside[str(BoxReason.AT_BOUND)]:
                doubt = Doubt(code=DoubtCode.AT_BOUND, since_ns=frame.capture_ns)
            found.append(replace(seen, left_aside=dict(refused + left_aside), doubt=doubt))
        return found

    def _check_area(self, raw: RawBoxes, kept: IntArray) -> None:
        """Fail where not one box has an area: the outputs are not what they are read as."""
        box = raw.box_px[kept]
        if len(box) and not (box[:, 2:] > box[:, :2]).all(axis=1).any():
            reading = self._reading
            raise DetectorFailed(
                expected="boxes with an area",
                got=f"{len(box)} without, read as {reading.layout}, {reading.form}",
                where=self._session.where,
                action="give layout, box_form (xyxy, cxcywh, xywh, yxyx) and box_unit (pixels, "
                "shares) as the model was exported",
            )

    def _chosen(self, raw: RawBoxes) -> tuple[IntArray, Counter[str]]:
        """Rows to report, the surest first, and what is left aside."""
        unknown = (raw.class_id < 0) | (raw.class_id >= len(self._class_names))
        if unknown.any():
            raise DetectorFailed(
                expected=f"classes 0 to {len(self._class_names) - 1}",
                got=f"class {raw.class_id[unknown][0]}",
                where=self._session.where,
                action="give the class names the model was trained with",
            )
        wanted: IntArray = np.flatnonzero(np.isin(raw.class_id, self._kept_classes))
        score = raw.score[wanted]
        if self._reading.is_suppressed:
            kept = np.argsort(-score, kind="stable")
        else:
            kept = suppress(
                raw.box_px[wanted],
                score,
                raw.class_id[wanted],
                max_overlap=self._settings.max_overlap,
                most=len(score),
            )
        # The surest come first, and a box gives way to a surer one only.
        most, sure = (
            self._settings.most_objects,
            int((score[kept] >= self._settings.min_score).sum()),
        )
        left_aside = Counter({str(BoxReason.BELOW_MIN_SCORE): len(kept) - sure})
        if sure >= most:
            left_aside[str(BoxReason.AT_BOUND)] = 1
        return wanted[kept[: min(sure, most)]], +left_aside

    def _placing(self, frame: Frame) -> Letterbox:
        image_px = (frame.width_px, frame.height_px)
        if self._settings.fit == "stretch":
            return Letterbox.stretch(image_px=image_px, input_px=self._input_px)
        return Letterbox.keep_aspect(image_px=image_px, input_px=self._input_px)

    def _pictures(self, placed: list[npt.NDArray[np.uint8]]) -> npt.NDArray[Any]:
        """What the model takes, filled up to a fixed batch with black: float32[b, 3, h, w] of 0 to
        1, or uint8[b, 3, h, w].
        """
        batch = self._session.input.batch or len(placed)
        blank = [np.zeros_like(placed[0])] * (batch - len(placed))
        swaps = self._settings.channels == "rgb"
        if self._session.input.dtype is np.uint8:
            whole = np.stack(placed + blank)[..., :: -1 if swaps else 1].transpose(0, 3, 1, 2)
            return np.ascontiguousarray(whole)
        pictures = cv2.dnn.blobFromImages(placed + blank, scalefactor=1 / 255, swapRB=swaps)
        found: npt.NDArray[np.float32] = np.asarray(pictures, np.float32)
        if any(self._settings.mean_rgb) or self._settings.std_rgb != (1.0, 1.0, 1.0):
            shape = (1, 3, 1, 1)
            found -= np.array(self._settings.mean_rgb, np.float32).reshape(shape)
            found /= np.array(self._settings.std_rgb, np.float32).reshape(shape)
        return found

    def _named_outputs(self) -> list[NamedOutput]:
        """What the model puts out for the known picture."""
        outputs = self._session.run(self._pictures([known_picture(self._input_px)]))
        return [
            NamedOutput(name=name, values=values)
            for name, values in zip(self._session.output_names, outputs, strict=True)
        ]

    def _chosen_input_px(self) -> tuple[int, int]:
        fixed, given = self._session.input.size_px, self._settings.input_px
        chosen = fixed or (given or self._session.exported_px())
        if chosen is None:
            raise UsageError(
                expected="the size of the model's input",
                got="a model that leaves it open, no `imgsz` in its metadata, and no input_px",
                where=self._session.where,
                action="give input_px, the size it was trained with",
            )
        if fixed is not None and given is not None and fixed != given:
            raise UsageError(
                expected=f"input_px {fixed[0]} x {fixed[1]}, as the model says",
                got=f"{given[0]} x {given[1]}",
                where=self._session.where,
                action="leave input_px out",
            )
        return chosen

    def _chosen_classes(self) -> IntArray:
        if not self._class_names:
            raise UsageError(
                expected="class names",
                got="no `names` in the model's metadata, and none in the settings",
                where=self._session.where,
                action="give class_names",
            )
        wanted = self._settings.keep_classes
        unknown = sorted(set(wanted or ()) - set(self._class_names))
        if unknown:
            raise UsageError(
                expected=f"classes among {', '.join(self._class_names)}",
                got=", ".join(unknown),
                where=f"{self._session.where}, keep_classes",
                action="use the model's names",
            )
        return np.array(
            [i for i, n in enumerate(self._class_names) if wanted is None or n in wanted], np.int64
        )


def _three_channels(frame: Frame) -> npt.NDArray[np.uint8]:
    if frame.channels == 3:
        return frame.pixels
    return cv2.cvtColor(frame.pixels, cv2.COLOR_GRAY2BGR).astype(np.uint8, copy=False)
