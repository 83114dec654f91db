"""What the numbers that an exported detector puts out mean: a reading of its outputs.

Shapes alone tell little: a table of 300 rows and 84 columns may hold pixels or shares of the
picture, centres or corners. So a reading is settled when a model is loaded, in this order: what the
settings say; what the model finds in a picture that is known, if it finds anything there; what the
metadata of the export say; what the numbers themselves can be. What is still open is an error that
says what to set. Nothing is guessed that could end in no box at all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import product
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from sightline.errors import UsageError
from sightline.records.detections import ClassArray
from sightline.records.windows import FloatArray

Numbers = npt.NDArray[Any]
"""Numbers of any kind, as a model puts them out."""


class Layout(StrEnum):
    """How boxes and scores are arranged; b pictures, n boxes, c classes, e further columns (masks
    or key points, which are not used).

    With objectness a fifth column is multiplied with the scores of the classes.
    """

    YOLO_COLUMNS = "yolo_columns"
    """[b, 4 + c + e, n]: YOLOv8 and later."""
    YOLO_COLUMNS_OBJECTNESS = "yolo_columns_objectness"
    """[b, 5 + c, n]."""
    YOLO_COLUMNS_ANGLE = "yolo_columns_angle"
    """[b, 4 + c + 1, n], the last an angle in rad: oriented boxes, of which the upright box around
    each is taken."""
    YOLO_ROWS = "yolo_rows"
    """[b, n, 4 + c + e]: RT-DETR of Ultralytics."""
    YOLO_ROWS_OBJECTNESS = "yolo_rows_objectness"
    """[b, n, 5 + c]: YOLOv5, YOLOv6, YOLOv7, YOLOX with decoded boxes."""
    SUPPRESSED = "suppressed"
    """[b, n, 6 + e]: box, score, class: YOLOv10 and later, or exported with suppression. Rows
    without score fill up."""
    NUMBERED = "numbered"
    """[n, 7]: picture, box, class, score: YOLOv7 with suppression."""
    DETR_SIGMOID = "detr_sigmoid"
    """[b, n, c] logits and [b, n, 4], in either order: Deformable DETR, RT-DETR, D-FINE, RF-DETR.
    """
    DETR_SOFTMAX = "detr_softmax"
    """[b, n, c + 1] logits, the last for nothing, and boxes: DETR."""
    BOXES_AND_SCORES = "boxes_and_scores"
    """[b, n, 4] and [b, n, c] scores from 0 to 1, in either order: YOLO-NAS."""
    LISTED = "listed"
    """Boxes [b, n, 4], scores [b, n] and classes [b, n], in any order, or without b: SSD, Faster
    R-CNN, RT-DETR and D-FINE with their last step, NMS plug-ins."""


class BoxForm(StrEnum):
    """What the four numbers of a box are."""

    CORNERS = "xyxy"
    """Left, top, right, bottom."""
    CENTRE = "cxcywh"
    """Centre x, centre y, width, height."""
    CORNER = "xywh"
    """Left, top, width, height."""
    CORNERS_YX = "yxyx"
    """Top, left, bottom, right."""


class BoxUnit(StrEnum):
    """What they are measured in."""

    PIXELS = "pixels"
    """Of the model's input."""
    SHARES = "shares"
    """Of its width and height, 0 to 1."""


DETR = (Layout.DETR_SIGMOID, Layout.DETR_SOFTMAX)
_COLUMNS = (Layout.YOLO_COLUMNS, Layout.YOLO_COLUMNS_OBJECTNESS, Layout.YOLO_COLUMNS_ANGLE)
_OBJECTNESS = (Layout.YOLO_COLUMNS_OBJECTNESS, Layout.YOLO_ROWS_OBJECTNESS)
_PAIRS = (*DETR, Layout.BOXES_AND_SCORES)
_SUPPRESSED_WIDTH, _NUMBERED_WIDTH = 6, 7
_MASK_COLUMNS = 32
MOST_SHARE = 1.5
"""Boxes whose numbers all lie within it are shares: in pixels nothing would be seen of them."""
_GRIDS = ((8, 16, 32), (8, 16, 32, 64), (4, 8, 16, 32), (16, 32))
_PROBE = (0.15, 0.3, 0.3, 0.75)
"""The thing in the known picture: left, top, right, bottom in shares. No two forms and units of its
box are the same numbers."""
_FOUND_IOU, _FOUND_SCORE = 0.9, 0.01
_TRUE = "true"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NamedOutput:
    """One output of a model: its name, and what it put out for one batch."""

    name: str
    values: Numbers

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the values."""
        return tuple(self.values.shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How the outputs of a model are read.

    Attributes:
        layout: how they are arranged.
        form: of the boxes.
        unit: of the boxes; None where the known picture did not tell: then each picture does.
        places: of the outputs that are read: the table, or boxes, scores and, where listed,
            classes.
        classes: number of class names.
        is_suppressed: each thing has one box already.
    """

    layout: Layout
    form: BoxForm
    unit: BoxUnit | None
    places: tuple[int, ...]
    classes: int
    is_suppressed: bool


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


_Choice = TypeVar("_Choice", bound=StrEnum)
_Reader = Callable[..., Iterator[Reading]]


# --- the known picture ----------------------------------------------------------------------------


def known_picture(input_px: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """uint8[height, width, 3], blue, green, red: one red thing, upright, on grey."""
    width_px, height_px = input_px
    picture = np.full((height_px, width_px, 3), 128, np.uint8)
    left, top, right, bottom = _thing_px(input_px).astype(int).tolist()
    picture[top:bottom, left:right] = (10, 10, 250)
    return picture


def _thing_px(input_px: tuple[int, int]) -> FloatArray:
    found: FloatArray = np.rint(np.array(_PROBE) * (input_px * 2))
    return found


# --- settling a reading ---------------------------------------------------------------------------


def settle(
    outputs: Sequence[NamedOutput],
    *,
    classes: int,
    metadata: Mapping[str, str],
    input_px: tuple[int, int],
    layout: Layout | None = None,
    form: BoxForm | None = None,
    unit: BoxUnit | None = None,
    where: str,
) -> Reading:
    """The one reading of what a model put out for :func:`known_picture`.

    Args:
        outputs: for that picture, finite.
        classes: number of class names.
        metadata: of the model: ``task``, ``head``, ``description``, ``end2end``, ``args``,
            ``kpt_shape`` count.
        input_px: (width, height) of the model's input.
        layout: only this one.
        form: only this one.
        unit: only this one.
        where: the model, for errors.

    Raises:
        UsageError: if none fits, more than one, or boxes that cannot be.

    >>> table = NamedOutput(name="output0", values=np.ones((1, 84, 8400), np.float32))
    >>> settle([table], classes=80, metadata={}, input_px=(640, 640), where="a.onnx").layout.value
    'yolo_columns'
    """
    task = metadata.get("task", "").lower()
    if task == "classify":
        raise UsageError(
            expected="a model that puts out boxes",
            got="task=classify in its metadata",
            where=where,
            action="export a detector",
        )
    fits = list(_fitting(outputs, classes=classes, metadata=metadata, given=layout))
    got = ", ".join(f"{o.name} {list(o.shape)}" for o in outputs) or "no output"
    if not fits and layout is not None:
        raise UsageError(
            expected=f"outputs of layout {layout} for {classes} classes",
            got=got,
            where=where,
            action="leave the layout out, or give the right class_names",
        )
    if not fits:
        raise UsageError(
            expected=f"[b, 4 + c, n], [b, n, 5 + c], [b, n, 6], logits and boxes, or boxes, "
            f"scores and classes; c = {classes}",
            got=got,
            where=where,
            action="export the model with one of these heads, or give the right class names in "
            "class_names",
        )
    found = [
        (one_form is not fit.form, replace(fit, form=one_form, unit=one_unit))
        for fit in fits
        for one_form, one_unit in product(
            _usual_first(fit.form, BoxForm, form), _usual_first(fit.unit, BoxUnit, unit)
        )
        if _finds_the_thing(outputs, replace(fit, form=one_form, unit=one_unit), input_px)
    ]
    if found:
        return min(found, key=lambda one: one[0])[1]
    fits = _by_number_of_boxes(outputs, fits, input_px)
    if len({fit.layout for fit in fits}) > 1:
        raise UsageError(
            expected="outputs that can be read in one way",
            got=f"{got} with {classes} classes, which may be "
            f"{' or '.join(fit.layout for fit in fits)}",
            where=where,
            action="give the layout in the detector's settings",
        )
    chosen = fits[0]
    numbers = _boxes(outputs, chosen)
    chosen = replace(
        chosen,
        form=form or chosen.form,
        unit=unit or _unit_of(numbers) or chosen.unit,
    )
    _check_boxes(numbers, chosen, form=form, unit=unit, where=where)
    return chosen


def _usual_first(
    usual: _Choice | None, every: type[_Choice], given: _Choice | None
) -> list[_Choice]:
    if given is not None:
        return [given]
    return sorted(every, key=lambda one: one is not usual)


def _fitting(
    outputs: Sequence[NamedOutput],
    *,
    classes: int,
    metadata: Mapping[str, str],
    given: Layout | None,
) -> Iterator[Reading]:
    """Readings that shapes, names and metadata allow, with the usual form; unit None: open."""
    is_detr = "RT-DETR" in metadata.get("description", "") or "RTDETR" in metadata.get("head", "")
    centred = BoxForm.CENTRE
    shares = BoxUnit.SHARES if is_detr else None

    def reading(
        layout: Layout,
        *places: int,
        form: BoxForm = centred,
        unit: BoxUnit | None = shares,
        is_suppressed: bool = True,
    ) -> Iterator[Reading]:
        if given in (None, layout):
            yield Reading(
                layout=layout, form=form, unit=unit, places=places, classes=classes,
                is_suppressed=is_suppressed,
            )  # fmt: skip

    tables = [i for i, output in enumerate(outputs) if len(output.shape) == 3]
    if len(tables) == 1 and all(len(o.shape) > 3 for o in outputs if len(o.shape) != 3):
        # Masks stand beside it (4 dimensions), or what it was made of (5).
        yield from _of_a_table(
            outputs[tables[0]].shape[1:], tables[0], classes, metadata,
            extra=_further_columns(outputs, metadata), is_detr=is_detr, is_given=given is not None,
            reading=reading,
        )  # fmt: skip
    if len(outputs) == 1 and len(outputs[0].shape) == 2:
        if outputs[0].shape[1] == _NUMBERED_WIDTH:
            yield from reading(Layout.NUMBERED, 0, form=BoxForm.CORNERS, unit=None)
        return
    if len(outputs) == 2 and len(tables) == 2:
        yield from _of_a_pair(outputs, classes, reading=reading)
    if listed := _listed(outputs):
        names = [outputs[i].name.lower() for i in listed]
        is_yx = names[0].startswith("detection_boxes")
        form = BoxForm.CORNERS_YX if is_yx else BoxForm.CORNERS
        yield from reading(Layout.LISTED, *listed, form=form, unit=None)


def _of_a_table(
    shape: tuple[int, ...],
    place: int,
    classes: int,
    metadata: Mapping[str, str],
    *,
    extra: int,
    is_detr: bool,
    is_given: bool,
    reading: _Reader,
) -> Iterator[Reading]:
    first, second = shape
    task = "" if is_given else metadata.get("task", "").lower()
    plain, more = 4 + classes + extra, 5 + classes
    is_suppressed = _is_suppressed(metadata)
    if second == _SUPPRESSED_WIDTH + extra:
        form = BoxForm.CENTRE if is_detr else BoxForm.CORNERS
        yield from reading(Layout.SUPPRESSED, place, form=form)
    if second == _SUPPRESSED_WIDTH + extra and is_suppressed and not is_given:
        return
    loose = {"is_suppressed": False}
    if first == plain:
        yield from reading(Layout.YOLO_COLUMNS, place, **loose)
    if first == more and not extra:
        if not task:
            yield from reading(Layout.YOLO_COLUMNS_OBJECTNESS, place, **loose)
        if task in ("", "obb"):
            yield from reading(Layout.YOLO_COLUMNS_ANGLE, place, **loose)
    if second == plain and task != "obb":
        yield from reading(Layout.YOLO_ROWS, place, is_suppressed=is_detr)
    if second == more and not extra and task != "obb":
        yield from reading(Layout.YOLO_ROWS_OBJECTNESS, place, **loose)


def _of_a_pair(
    outputs: Sequence[NamedOutput], classes: int, *, reading: _Reader
) -> Iterator[Reading]:
    """Boxes and scores of classes, in either order."""
    if outputs[0].shape[:2] != outputs[1].shape[:2]:
        return
    for boxes, scores in ((1, 0), (0, 1)):
        named = "box" in outputs[scores].name.lower() and "box" not in outputs[boxes].name.lower()
        if outputs[boxes].shape[2] != 4 or named:
            continue
        wide, values = outputs[scores].shape[2], outputs[scores].values
        is_share = values.size > 0 and values.min() >= 0 and values.max() <= 1
        in_shares = _unit_of(outputs[boxes].values.reshape(-1, 4)) is not BoxUnit.PIXELS
        form = BoxForm.CENTRE if in_shares else BoxForm.CORNERS
        if is_share and wide in (classes, classes + 1):
            yield from reading(
                Layout.BOXES_AND_SCORES, boxes, scores, form=form, is_suppressed=in_shares
            )
        elif wide == classes:
            yield from reading(Layout.DETR_SIGMOID, boxes, scores, unit=BoxUnit.SHARES)
        elif wide == classes + 1:
            yield from reading(Layout.DETR_SOFTMAX, boxes, scores, unit=BoxUnit.SHARES)
        else:
            continue
        return


def _listed(outputs: Sequence[NamedOutput]) -> tuple[int, ...]:
    """Places of boxes, scores and classes; none if the outputs are no such lists."""
    lists = [i for i, output in enumerate(outputs) if not _is_a_count(output)]
    boxes = [i for i in lists if len(outputs[i].shape) > 1 and outputs[i].shape[-1] == 4]
    if len(lists) != 3 or len(boxes) != 1:
        return ()
    rest = [i for i in lists if i not in boxes]
    if any(outputs[i].shape != outputs[boxes[0]].shape[:-1] for i in rest):
        return ()

    def is_class(i: int) -> bool:
        name = outputs[i].name.lower()
        return outputs[i].values.dtype.kind in "iu" or "label" in name or "class" in name

    labels = [i for i in rest if is_class(i)]
    if len(labels) != 1:
        return ()
    (scores,) = (i for i in rest if i not in labels)
    return boxes[0], scores, labels[0]


def _is_a_count(output: NamedOutput) -> bool:
    return "num" in output.name.lower() and output.values.size <= max(output.shape[:1], default=1)


def _further_columns(outputs: Sequence[NamedOutput], metadata: Mapping[str, str]) -> int:
    """Columns behind the classes that hold masks or key points."""
    masks = [o.shape[1] for o in outputs if len(o.shape) == 4]
    task = metadata.get("task", "").lower()
    if masks or task == "segment":
        return masks[0] if masks else _MASK_COLUMNS
    if task == "pose":
        numbers = [int(n) for n in metadata.get("kpt_shape", "").strip("[]() ").split(",") if n]
        return math.prod(numbers) if numbers else 0
    return 0


def _is_suppressed(metadata: Mapping[str, str]) -> bool:
    """What Ultralytics writes into ``end2end`` and ``args`` on export."""
    arguments = metadata.get("args", "").lower().replace('"', "'")
    return metadata.get("end2end", "").lower() == _TRUE or f"'nms': {_TRUE}" in arguments


def _finds_the_thing(
    outputs: Sequence[NamedOutput], reading: Reading, input_px: tuple[int, int]
) -> bool:
    """Whether the surest box, so read, is the thing in the known picture."""
    raw = decode([o.values for o in outputs], reading, picture=0, input_px=input_px,
                 min_score=_FOUND_SCORE)  # fmt: skip
    surest = np.argsort(-raw.score, kind="stable")[:1]
    is_known = (raw.class_id[surest] >= 0) & (raw.class_id[surest] < reading.classes)
    box = raw.box_px[surest[is_known]]
    thing = _thing_px(input_px)
    sides = np.minimum(box[:, 2:], thing[2:]) - np.maximum(box[:, :2], thing[:2])
    shared = np.clip(sides, 0, None).prod(axis=1)
    own = np.clip(box[:, 2:] - box[:, :2], 0, None).prod(axis=1)
    areas = own + (thing[2:] - thing[:2]).prod()
    return bool((shared >= _FOUND_IOU * (areas - shared)).any())


def _by_number_of_boxes(
    outputs: Sequence[NamedOutput], fits: list[Reading], input_px: tuple[int, int]
) -> list[Reading]:
    """Without what was suppressed, where there is a box for every place of a grid."""
    is_open = len({fit.layout for fit in fits}) > 1
    if is_open and _is_a_grid(outputs[fits[0].places[0]].shape[1], input_px):
        return [fit for fit in fits if fit.layout is not Layout.SUPPRESSED]
    return fits


def _is_a_grid(boxes: int, input_px: tuple[int, int]) -> bool:
    """Whether so many boxes are one or three for each place of the usual grids over a picture."""
    width_px, height_px = input_px
    return any(
        boxes in (cells, 3 * cells)
        for strides in _GRIDS
        for cells in [sum((width_px // s) * (height_px // s) for s in strides)]
    )


def _unit_of(boxes: FloatArray) -> BoxUnit | None:
    """What numbers of boxes, float64[n, 4], are measured in; None where all are 0."""
    most = float(np.abs(boxes).max(initial=0.0))
    if most == 0:
        return None
    return BoxUnit.SHARES if most <= MOST_SHARE else BoxUnit.PIXELS


def _check_boxes(
    boxes: FloatArray, reading: Reading, *, form: BoxForm | None, unit: BoxUnit | None, where: str
) -> None:
    """Refuse boxes that cannot be what they are read as."""
    if reading.layout in DETR and reading.unit is BoxUnit.PIXELS and unit is None:
        raise UsageError(
            expected="boxes as shares of the picture beside logits",
            got=f"numbers up to {np.abs(boxes).max():.0f}",
            where=where,
            action="give box_unit: pixels and box_form (xyxy, cxcywh, xywh or yxyx)",
        )
    filled = boxes[(boxes != 0).any(axis=1)]
    if reading.form is BoxForm.CENTRE and form is None and len(filled) > 1:
        inside_out = (filled[:, 2:] <= 0).any(axis=1).mean()
        if inside_out > 0.5:
            raise UsageError(
                expected="boxes with centre, width and height",
                got=f"no width or height above 0 in {inside_out:.0%} of {len(filled)} boxes",
                where=where,
                action="export it with decoded boxes (YOLOX: --decode_in_inference), or give "
                "box_form: xyxy, xywh or yxyx",
            )


# --- reading a picture ----------------------------------------------------------------------------


def decode(
    outputs: Sequence[Numbers],
    reading: Reading,
    *,
    picture: int,
    input_px: tuple[int, int],
    min_score: float,
) -> RawBoxes:
    """Boxes of one picture of a batch with at least ``min_score``.

    Args:
        outputs: what the model put out, finite.
        reading: how they are read.
        picture: its number in the batch.
        input_px: (width, height) of the model's input.
        min_score: 0 to 1.
    """
    numbers, score, class_id, angle = _rows(outputs, reading, picture, min_score)
    box = _corners(numbers.astype(np.float64), reading.form)
    unit = reading.unit or _unit_of(box) or BoxUnit.PIXELS
    if unit is BoxUnit.SHARES:
        box *= np.array(input_px * 2, np.float64)
    if angle is not None:
        box = _upright(box, angle)
    return RawBoxes(box_px=box, score=score.astype(np.float64), class_id=class_id)


def _rows(
    outputs: Sequence[Numbers], reading: Reading, picture: int, min_score: float
) -> tuple[Numbers, FloatArray, ClassArray, FloatArray | None]:
    """Numbers of boxes, scores, classes, and angles where there are some."""
    layout, classes = reading.layout, reading.classes
    table = outputs[reading.places[0]]
    if layout is Layout.LISTED:
        boxes, score, label = (_of_picture(outputs[i], i, reading, picture) for i in reading.places)
        keep = (score >= min_score) & (score > 0)
        return boxes[keep], score[keep], np.rint(label[keep]).astype(np.int32), None
    if layout is Layout.NUMBERED:
        keep = (table[:, 0] == picture) & (table[:, 6] >= min_score) & (table[:, 6] > 0)
        kept = table[keep]
        return kept[:, 1:5], kept[:, 6], np.rint(kept[:, 5]).astype(np.int32), None
    if layout in _PAIRS:
        scores = outputs[reading.places[1]][picture].astype(np.float64)
        if layout in DETR:
            scores = _activated(scores, layout)
        score, class_id = _best(scores[:, :classes])
        keep = score >= min_score
        return table[picture][keep], score[keep], class_id[keep], None
    rows = table[picture]
    if layout in _COLUMNS:
        rows = rows.T
    if layout is Layout.SUPPRESSED:
        keep = (rows[:, 4] >= min_score) & (rows[:, 4] > 0)
        kept = rows[keep]
        return kept[:, :4], kept[:, 4], np.rint(kept[:, 5]).astype(np.int32), None
    first = 5 if layout in _OBJECTNESS else 4
    score, class_id = _best(rows[:, first : first + classes])
    if layout in _OBJECTNESS:
        score *= rows[:, 4]
    keep = score >= min_score
    angle = rows[keep, 4 + classes] if layout is Layout.YOLO_COLUMNS_ANGLE else None
    return (
        rows[keep, :4], score[keep], class_id[keep],
        None if angle is None else angle.astype(np.float64),
    )  # fmt: skip


def _of_picture(values: Numbers, place: int, reading: Reading, picture: int) -> Numbers:
    """The part of a list that is of one picture; a list without pictures is of the only one."""
    has_pictures = values.ndim == (3 if place == reading.places[0] else 2)
    found: Numbers = values[picture] if has_pictures else values
    return found


def _boxes(outputs: Sequence[NamedOutput], reading: Reading) -> FloatArray:
    """float64[n, 4], the numbers of all boxes of all pictures."""
    values = outputs[reading.places[0]].values
    if reading.layout in _COLUMNS:
        values = values.transpose(0, 2, 1)
    first = 1 if reading.layout is Layout.NUMBERED else 0
    found: FloatArray = values[..., first : first + 4].reshape(-1, 4).astype(np.float64)
    return found


def _best(scores: Numbers) -> tuple[FloatArray, ClassArray]:
    class_id = scores.argmax(axis=1)
    best: FloatArray = scores[np.arange(len(scores)), class_id].astype(np.float64)
    return best, class_id.astype(np.int32)


def _activated(logits: FloatArray, layout: Layout) -> FloatArray:
    if layout == Layout.DETR_SOFTMAX:
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares: FloatArray = powers / powers.sum(axis=1, keepdims=True)
        return shares
    # 1 / (1 + exp(-x)) without overflow: exp(-|x|) is at most 1.
    decay = np.exp(-np.abs(logits))
    sigmoid: FloatArray = np.where(logits >= 0, 1.0, decay) / (1.0 + decay)
    return sigmoid


def _corners(numbers: FloatArray, form: BoxForm) -> FloatArray:
    """Left, top, right, bottom; float64[n, 4]."""
    first, second = numbers[:, :2], numbers[:, 2:]
    if form is BoxForm.CENTRE:
        return np.concatenate([first - second / 2, first + second / 2], axis=1)
    if form is BoxForm.CORNER:
        return np.concatenate([first, first + second], axis=1)
    if form is BoxForm.CORNERS_YX:
        return numbers[:, [1, 0, 3, 2]]
    return numbers.copy()


def _upright(box: FloatArray, angle_rad: FloatArray) -> FloatArray:
    """The upright box around each box turned about its centre."""
    middle, half = (box[:, :2] + box[:, 2:]) / 2, (box[:, 2:] - box[:, :2]) / 2
    cosine, sine = np.abs(np.cos(angle_rad)), np.abs(np.sin(angle_rad))
    around = np.stack(
        [half[:, 0] * cosine + half[:, 1] * sine, half[:, 0] * sine + half[:, 1] * cosine], axis=1
    )
    return np.concatenate([middle - around, middle + around], axis=1)
