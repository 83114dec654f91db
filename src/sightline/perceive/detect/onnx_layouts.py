"""What the numbers that exported detectors put out mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from sightline.errors import UsageError
from sightline.records.detections import ClassArray
from sightline.records.windows import FloatArray

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
