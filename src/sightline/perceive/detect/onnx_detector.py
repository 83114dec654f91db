"""Detections from a model in ONNX: frames into its input, and its outputs into boxes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Literal

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
from sightline.perceive.detect.onnx_session import OnnxSession, read_model
from sightline.records.detections import ClassArray, Detections
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


# --- what the numbers that exported detectors put out mean ----------------------------------------

Output = npt.NDArray[np.floating]


class Layout(StrEnum):
    """How boxes and scores are arranged; b pictures, n boxes, c classes.

    YOLO boxes are centre x, centre y, width, height in px of the input; the scores lie between 0
    and 1. With objectness a fifth column is multiplied with the scores of the classes.
    """

    YOLO_COLUMNS = "yolo_columns"
    """[b, 4 + c, n]: YOLOv8 and later."""
    YOLO_COLUMNS_OBJECTNESS = "yolo_columns_objectness"
    """[b, 5 + c, n]."""
    YOLO_ROWS = "yolo_rows"
    """[b, n, 4 + c]."""
    YOLO_ROWS_OBJECTNESS = "yolo_rows_objectness"
    """[b, n, 5 + c]: YOLOv5, YOLOv7."""
    SUPPRESSED = "suppressed"
    """[b, n, 6]: left, top, right, bottom in px of the input, score, class: YOLOv10 and later, or
    exported with suppression. Rows without score fill up."""
    DETR_SIGMOID = "detr_sigmoid"
    """[b, n, c] logits and [b, n, 4] centre x, centre y, width, height as shares of the input, in
    either order: Deformable DETR, RT-DETR, D-FINE, RF-DETR."""
    DETR_SOFTMAX = "detr_softmax"
    """[b, n, c + 1] logits, the last for nothing, and boxes as before: DETR."""


DETR = (Layout.DETR_SIGMOID, Layout.DETR_SOFTMAX)
NEEDS_SUPPRESSION = (
    Layout.YOLO_COLUMNS,
    Layout.YOLO_COLUMNS_OBJECTNESS,
    Layout.YOLO_ROWS,
    Layout.YOLO_ROWS_OBJECTNESS,
)
_SUPPRESSED_WIDTH = 6
_TRUE = "true"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RawBoxes:
    """Boxes of one picture, in px of the model's input, unchecked.

    Attributes:
        box_px: float64[n, 4], left, top, right, bottom.
        score: float64[n], of the likeliest class.
        class_id: int32[n].
    """

    box_px: FloatArray
    score: FloatArray
    class_id: ClassArray


def recognise(
    shapes: Sequence[tuple[int, ...]],
    *,
    classes: int,
    metadata: Mapping[str, str],
    where: str,
) -> Layout:
    """The one layout that shapes of outputs and number of classes allow.

    Args:
        shapes: of what the model put out for one batch, in its order.
        classes: number of class names.
        metadata: of the model; ``end2end`` or ``nms`` in ``args`` decide for SUPPRESSED.
        where: the model, for errors.

    Raises:
        UsageError: if none fits, or more than one.

    >>> recognise([(1, 84, 8400)], classes=80, metadata={}, where="a.onnx").value
    'yolo_columns'
    """
    fits = [layout for layout in Layout if _fits(layout, shapes, classes)]
    if Layout.SUPPRESSED in fits and _is_suppressed(metadata):
        return Layout.SUPPRESSED
    if len(fits) == 1:
        return fits[0]
    got = ", ".join(str(list(shape)) for shape in shapes)
    if fits:
        raise UsageError(
            expected="outputs that can be read in one way",
            got=f"{got} with {classes} classes, which may be {' or '.join(fits)}",
            where=where,
            action="give the layout in the detector's settings",
        )
    raise UsageError(
        expected=f"[b, 4 + c, n], [b, n, 5 + c], [b, n, 6] or logits and boxes, c = {classes}",
        got=got or "no output",
        where=where,
        action="export the model with one of these heads, or give the right class names",
    )


def check_layout(
    layout: Layout, shapes: Sequence[tuple[int, ...]], *, classes: int, where: str
) -> None:
    """Refuse a layout that was given and does not fit.

    Raises:
        UsageError: if the outputs cannot have this layout.
    """
    if not _fits(layout, shapes, classes):
        raise UsageError(
            expected=f"outputs of layout {layout} for {classes} classes",
            got=", ".join(str(list(shape)) for shape in shapes) or "no output",
            where=where,
            action="leave the layout out, or give the right class names",
        )


def decode(
    outputs: Sequence[Output],
    layout: Layout,
    *,
    picture: int,
    input_px: tuple[int, int],
    min_score: float,
) -> RawBoxes:
    """Boxes of one picture of a batch with at least ``min_score``.

    Args:
        outputs: what the model put out, finite, of this layout.
        layout: see :class:`Layout`.
        picture: its number in the batch.
        input_px: (width, height) of the model's input.
        min_score: 0 to 1.
    """
    if layout in DETR:
        logits, boxes = outputs if outputs[1].shape[2] == 4 else (outputs[1], outputs[0])
        scores = _activated(logits[picture].astype(np.float64), layout)
        score, class_id = _best(scores)
        keep = score >= min_score
        scale = np.array(input_px * 2, np.float64)
        box = _corners(boxes[picture][keep].astype(np.float64)) * scale
        return RawBoxes(box_px=box, score=score[keep], class_id=class_id[keep])
    rows = outputs[0][picture]
    if layout in (Layout.YOLO_COLUMNS, Layout.YOLO_COLUMNS_OBJECTNESS):
        rows = rows.T
    if layout == Layout.SUPPRESSED:
        keep = (rows[:, 4] >= min_score) & (rows[:, 4] > 0)
        kept = rows[keep].astype(np.float64)
        return RawBoxes(
            box_px=kept[:, :4], score=kept[:, 4], class_id=np.rint(kept[:, 5]).astype(np.int32)
        )
    if layout in (Layout.YOLO_ROWS, Layout.YOLO_COLUMNS):
        score, class_id = _best(rows[:, 4:])
    else:
        score, class_id = _best(rows[:, 5:])
        score = score * rows[:, 4]
    keep = score >= min_score
    return RawBoxes(
        box_px=_corners(rows[keep, :4].astype(np.float64)),
        score=score[keep].astype(np.float64),
        class_id=class_id[keep],
    )


def _fits(layout: Layout, shapes: Sequence[tuple[int, ...]], classes: int) -> bool:
    if layout in DETR:
        if len(shapes) != 2 or any(len(shape) != 3 for shape in shapes):
            return False
        wide = classes + (layout == Layout.DETR_SOFTMAX)
        is_paired = shapes[0][:2] == shapes[1][:2]
        return is_paired and sorted(shape[2] for shape in shapes) == sorted((4, wide))
    if len(shapes) != 1 or len(shapes[0]) != 3:
        return False
    _, first, second = shapes[0]
    if layout == Layout.SUPPRESSED:
        return second == _SUPPRESSED_WIDTH
    width = classes + (4 if layout in (Layout.YOLO_COLUMNS, Layout.YOLO_ROWS) else 5)
    is_columns = layout in (Layout.YOLO_COLUMNS, Layout.YOLO_COLUMNS_OBJECTNESS)
    return (first if is_columns else second) == width


def _is_suppressed(metadata: Mapping[str, str]) -> bool:
    """What Ultralytics writes into ``end2end`` and ``args`` on export."""
    arguments = metadata.get("args", "").lower().replace('"', "'")
    return metadata.get("end2end", "").lower() == _TRUE or f"'nms': {_TRUE}" in arguments


def _best(scores: Output) -> tuple[FloatArray, ClassArray]:
    class_id = scores.argmax(axis=1)
    best: FloatArray = scores[np.arange(len(scores)), class_id].astype(np.float64)
    return best, class_id.astype(np.int32)


def _activated(logits: FloatArray, layout: Layout) -> FloatArray:
    if layout == Layout.DETR_SOFTMAX:
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares: FloatArray = powers / powers.sum(axis=1, keepdims=True)
        return shares[:, :-1]
    # 1 / (1 + exp(-x)) without overflow: exp(-|x|) is at most 1.
    decay = np.exp(-np.abs(logits))
    sigmoid: FloatArray = np.where(logits >= 0, 1.0, decay) / (1.0 + decay)
    return sigmoid


def _corners(centred: FloatArray) -> FloatArray:
    """Left, top, right, bottom from centre x, centre y, width, height; float64[n, 4]."""
    half = centred[:, 2:] / 2
    return np.concatenate([centred[:, :2] - half, centred[:, :2] + half], axis=1)


# --- the detector ---------------------------------------------------------------------------------

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
        warm(suppress.__module__)
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
