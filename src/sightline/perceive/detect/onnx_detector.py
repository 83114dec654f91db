"""Exported detectors of the YOLO and DETR families, without the framework that trained them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from sightline.errors import UsageError
from sightline.perceive.detect.admission import BoxReason, admit_boxes
from sightline.perceive.detect.detector import DetectorFailed, version_digest
from sightline.perceive.detect.letterbox import Letterbox
from sightline.perceive.detect.onnx_layouts import (
    NEEDS_SUPPRESSION,
    Layout,
    RawBoxes,
    check_layout,
    decode,
    recognise,
)
from sightline.perceive.detect.onnx_session import OnnxSession, read_model
from sightline.perceive.detect.suppression import suppress
from sightline.records.detections import Detections
from sightline.records.frames import Frame
from sightline.records.windows import IntArray

PROGRAM = 1
"""Counts changes of the program that change answers; part of the version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxSettings:
    """What is not in the model file.

    Attributes:
        class_names: instead of ``names`` in the metadata.
        keep_classes: report only these; None: all.
        layout: where the outputs alone do not tell.
        min_score: less sure boxes are left out, 0 to 1.
        max_overlap: intersection over union above which one of two boxes of a class goes.
        most_objects: bound on what is reported for one frame; the surest are kept.
        fit: keep the aspect ratio and pad, or stretch, as the model was trained.
        input_px: (width, height), for a model that leaves its size open.
        mean_rgb, std_rgb: subtracted from, and divided into, red, green and blue of 0 to 1.
        threads: of ONNX Runtime; one is repeatable and shares the machine with the other stages.
        most_batch: pictures run at a time, where the model takes any number.
    """

    class_names: tuple[str, ...] = ()
    keep_classes: tuple[str, ...] | None = None
    layout: Layout | None = None
    min_score: float = 0.25
    max_overlap: float = 0.5
    most_objects: int = 300
    fit: Literal["letterbox", "stretch"] = "letterbox"
    input_px: tuple[int, int] | None = None
    mean_rgb: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std_rgb: tuple[float, float, float] = (1.0, 1.0, 1.0)
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

    Keeps nothing between frames, so one may serve many cameras. What the outputs mean is settled
    when it is made, by a run on a grey picture.

    Args:
        data: the model file's bytes; :meth:`load` reads them.
        digest: their SHA-256 in hex, part of the version.
        settings: what is not in the file.
        where: the model's name in errors.

    Raises:
        UsageError: if the model cannot be loaded, takes something else than pictures, lacks class
            names, or puts out what cannot be understood.
        DetectorFailed: if it fails on a grey picture.
    """

    def __init__(
        self,
        data: bytes,
        *,
        digest: str,
        settings: OnnxSettings | None = None,
        where: str = "model",
    ) -> None:
        self._settings = settings or OnnxSettings()
        self._session = OnnxSession(data, where=where, threads=self._settings.threads)
        self._input_px = self._chosen_input_px()
        self._class_names = self._settings.class_names or self._session.class_names()
        self._kept_classes = self._chosen_classes()
        self._counts: Counter[str] = Counter()
        shapes = [tuple(o.shape) for o in self._session.run(self._grey_pictures())]
        if self._settings.layout is None:
            self._layout = recognise(
                shapes,
                classes=len(self._class_names),
                metadata=self._session.metadata,
                where=where,
            )
        else:
            self._layout = self._settings.layout
            check_layout(self._layout, shapes, classes=len(self._class_names), where=where)
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
        """How the model's outputs are read."""
        return self._layout

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of all classes the model knows, in its order."""
        return self._class_names

    @property
    def counts(self) -> dict[str, int]:
        """Boxes refused or cut, by :class:`.BoxReason`, since the start."""
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
                self._layout,
                picture=number,
                input_px=self._input_px,
                min_score=self._settings.min_score,
            )
            kept = self._chosen(raw)
            seen, refused = admit_boxes(
                frame,
                box_px=placing.to_image(raw.box_px[kept]),
                score=raw.score[kept],
                class_id=raw.class_id[kept],
                class_names=self._class_names,
            )
            self._counts += refused
            found.append(seen)
        return found

    def _chosen(self, raw: RawBoxes) -> IntArray:
        """Rows to report, the surest first."""
        unknown = (raw.class_id < 0) | (raw.class_id >= len(self._class_names))
        if unknown.any():
            raise DetectorFailed(
                expected=f"classes 0 to {len(self._class_names) - 1}",
                got=f"class {raw.class_id[unknown][0]}",
                where=self._session.where,
                action="give the class names the model was trained with",
            )
        wanted: IntArray = np.flatnonzero(np.isin(raw.class_id, self._kept_classes))
        score, most = raw.score[wanted], self._settings.most_objects
        if self._layout in NEEDS_SUPPRESSION:
            kept = suppress(
                raw.box_px[wanted],
                score,
                raw.class_id[wanted],
                max_overlap=self._settings.max_overlap,
                most=most,
            )
        else:
            kept = np.argsort(-score, kind="stable")[:most]
        if len(kept) >= most:
            self._counts[str(BoxReason.AT_BOUND)] += 1
        return wanted[kept]

    def _placing(self, frame: Frame) -> Letterbox:
        image_px = (frame.width_px, frame.height_px)
        if self._settings.fit == "stretch":
            return Letterbox.stretch(image_px=image_px, input_px=self._input_px)
        return Letterbox.keep_aspect(image_px=image_px, input_px=self._input_px)

    def _pictures(self, placed: list[npt.NDArray[np.uint8]]) -> npt.NDArray[np.float32]:
        """float32[b, 3, h, w], red, green, blue; filled up to a fixed batch with black."""
        batch = self._session.input.batch or len(placed)
        blank = [np.zeros_like(placed[0])] * (batch - len(placed))
        pictures = cv2.dnn.blobFromImages(placed + blank, scalefactor=1 / 255, swapRB=True)
        found: npt.NDArray[np.float32] = np.asarray(pictures, np.float32)
        if any(self._settings.mean_rgb) or self._settings.std_rgb != (1.0, 1.0, 1.0):
            shape = (1, 3, 1, 1)
            found -= np.array(self._settings.mean_rgb, np.float32).reshape(shape)
            found /= np.array(self._settings.std_rgb, np.float32).reshape(shape)
        return found

    def _grey_pictures(self) -> npt.NDArray[np.float32]:
        width_px, height_px = self._input_px
        return self._pictures([np.full((height_px, width_px, 3), 128, np.uint8)])

    def _chosen_input_px(self) -> tuple[int, int]:
        fixed, given = self._session.input.size_px, self._settings.input_px
        if fixed is None and given is None:
            raise UsageError(
                expected="the size of the model's input",
                got="a model that leaves it open, and no input_px",
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
        chosen = fixed or given
        assert chosen is not None
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
