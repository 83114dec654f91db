"""Detections in the forms of others: supervision, COCO results, YOLO text, MOTChallenge text.

Boxes are ours inside (left, top, right, bottom in px of the frame, origin at the outer corner of
the top-left pixel) and theirs outside; what a form cannot hold is left out, and said below. What
comes from outside is checked as :class:`.Detections` are: boxes with an area, scores from 0 to 1.

==============  ==============================  =============================================
form            box                             not in it
==============  ==============================  =============================================
supervision     left, top, right, bottom in px  the time
COCO results    left, top, width, height in px  the time; class names (by number)
YOLO text       centre, width, height, shares   the time; class names; the size of the picture
MOT text        left, top, width, height in px  class names; the time is frame / rate
==============  ==============================  =============================================
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sightline.errors import UsageError
from sightline.limits import DEFAULT_LIMITS
from sightline.records import Detections
from sightline.records.signals import NS_PER_S
from sightline.sense.frames.mot_files import read_detections

if TYPE_CHECKING:
    from sightline.records.windows import FloatArray

_YOLO_FIELDS = 5
"""Of a line without a score: class, centre x and y, width, height."""


def to_supervision(seen: Detections) -> Any:
    """As ``supervision.Detections`` (0.2x and 0.3x), with ``class_name`` in its data.

    Needs the package supervision, which Sightline does not bring.
    """
    import supervision  # type: ignore[import-not-found]  # noqa: PLC0415 - a peer

    return supervision.Detections(
        xyxy=seen.box_px.astype(np.float32),
        confidence=seen.score.astype(np.float32),
        class_id=seen.class_id.astype(int),
        data={"class_name": np.array([seen.class_names[i] for i in seen.class_id], dtype=str)},
    )


def from_supervision(
    found: Any, *, stream: str = "camera", capture_ns: int = 0, class_names: Sequence[str] = ()
) -> Detections:
    """From ``supervision.Detections``, or whatever has its ``xyxy``, ``confidence``, ``class_id``.

    Args:
        found: without confidence all scores are 1; without classes all are of the first.
        stream, capture_ns: camera and capture time, which that form does not have.
        class_names: by class number; none: those of its ``data["class_name"]``, else ``class 0``.

    Raises:
        UsageError: a box without an area, a score beyond 0 to 1, a class without a name.
    """
    boxes = np.asarray(found.xyxy, np.float64).reshape(-1, 4)
    score = np.ones(len(boxes)) if found.confidence is None else found.confidence
    class_id = np.zeros(len(boxes), int) if found.class_id is None else np.asarray(found.class_id)
    names = list(class_names)
    if not names:
        names = [f"class {i}" for i in range(int(class_id.max(initial=0)) + 1)]
        told = (getattr(found, "data", None) or {}).get("class_name", ())
        for number, name in zip(class_id.tolist(), told, strict=False):
            names[number] = str(name)
    return _checked(
        stream,
        capture_ns,
        boxes,
        score=score,
        class_id=class_id,
        class_names=names,
        where="supervision.Detections",
    )


def to_coco(
    seen: Detections, *, image_id: int, category_ids: Mapping[str, int] | None = None
) -> list[dict[str, Any]]:
    """As COCO results: ``json.dump`` of a list of all images is a results file.

    Args:
        seen: of one image.
        image_id: of it in the data set.
        category_ids: by class name; None: number of the class and 1.

    Raises:
        UsageError: a class that ``category_ids`` does not have.

    >>> to_coco(Detections.of("c", 0, box_px=[[10, 20, 30, 80]], score=[0.5]), image_id=7)
    [{'image_id': 7, 'category_id': 1, 'bbox': [10.0, 20.0, 20.0, 60.0], 'score': 0.5}]
    """
    known = dict(category_ids or {n: i + 1 for i, n in enumerate(seen.class_names)})
    missing = sorted({seen.class_names[i] for i in seen.class_id} - set(known))
    if missing:
        raise _wrong(f"category_ids with {', '.join(missing)}", str(known), "COCO results")
    return [
        {
            "image_id": image_id,
            "category_id": known[seen.class_names[number]],
            "bbox": [left, top, right - left, bottom - top],
            "score": score,
        }
        for (left, top, right, bottom), score, number in zip(
            seen.box_px.tolist(), seen.score.tolist(), seen.class_id.tolist(), strict=True
        )
    ]


def from_coco(
    results: Iterable[Mapping[str, Any]],
    *,
    image_id: int,
    categories: Mapping[int, str],
    stream: str = "camera",
    capture_ns: int = 0,
) -> Detections:
    """Of one image, from COCO results, or from annotations (no score: 1).

    Args:
        results: of all images; those of others are left out.
        image_id: of the image.
        categories: names by ``category_id``, as the data set's ``categories`` give them.
        stream, capture_ns: camera and capture time, which that form does not have.

    Raises:
        UsageError: an unknown category, a box without an area, a score beyond 0 to 1.
    """
    mine = [one for one in results if one["image_id"] == image_id]
    numbers = sorted(categories)
    unknown = sorted({one["category_id"] for one in mine} - set(numbers))
    if unknown:
        raise _wrong(f"categories with {unknown}", str(numbers), "COCO results")
    boxes = np.array([one["bbox"] for one in mine], np.float64).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return _checked(
        stream,
        capture_ns,
        boxes,
        score=[one.get("score", 1.0) for one in mine],
        class_id=np.array([numbers.index(one["category_id"]) for one in mine], int),
        class_names=[categories[number] for number in numbers],
        where="COCO results",
    )


def to_yolo(seen: Detections, *, size_px: tuple[int, int]) -> str:
    r"""As text of YOLO: a line ``class x y width height score`` for each, in shares of the picture.

    Args:
        seen: of one picture.
        size_px: its width and height.

    >>> to_yolo(Detections.of("c", 0, box_px=[[10, 20, 30, 80]], score=[0.5]), size_px=(100, 100))
    '0 0.2 0.5 0.2 0.6 0.5\n'
    """
    sides = np.array([*size_px, *size_px], np.float64)
    centre = (seen.box_px[:, :2] + seen.box_px[:, 2:]) / 2
    shares = np.concatenate([centre, seen.box_px[:, 2:] - seen.box_px[:, :2]], axis=1) / sides
    rows = zip(seen.class_id.tolist(), shares.tolist(), seen.score.tolist(), strict=True)
    return "".join(
        f"{number} {' '.join(f'{share:.9g}' for share in box)} {score:.9g}\n"
        for number, box, score in rows
    )


def from_yolo(
    text: str,
    *,
    size_px: tuple[int, int],
    class_names: Sequence[str],
    stream: str = "camera",
    capture_ns: int = 0,
) -> Detections:
    """Of one picture, from text of YOLO: labels (5 numbers a line, score 1) or predictions (6).

    Args:
        text: of the file; empty: nothing was seen.
        size_px: width and height of the picture.
        class_names: by number, as in ``data.yaml``.
        stream, capture_ns: camera and capture time, which that form does not have.

    Raises:
        UsageError: a line of another form, with its number, a class without a name.
    """
    rows = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        if not words:
            continue
        try:
            values = [float(word) for word in words]
        except ValueError:
            values = []
        if len(values) not in (_YOLO_FIELDS, _YOLO_FIELDS + 1):
            raise _wrong(
                "5 or 6 numbers: class x y width height score", line[:60], f"line {number}"
            )
        rows.append([*values, 1.0][: _YOLO_FIELDS + 1])
    table = np.array(rows, np.float64).reshape(-1, _YOLO_FIELDS + 1)
    centre, half = table[:, 1:3] * size_px, table[:, 3:5] * size_px / 2
    boxes = np.concatenate([centre - half, centre + half], axis=1)
    return _checked(
        stream,
        capture_ns,
        boxes,
        score=table[:, 5],
        class_id=table[:, 0].astype(int),
        class_names=class_names,
        where="YOLO text",
    )


def to_mot(seen: Sequence[Detections]) -> str:
    r"""As MOTChallenge text of detections: ``frame,-1,left,top,width,height,score,-1,-1,-1``.

    Args:
        seen: of each frame, the first being frame 1; frames without any have no line.

    >>> to_mot([Detections.of("c", 0, box_px=[[10, 20, 30, 80]], score=[0.5])])
    '1,-1,10,20,20,60,0.5,-1,-1,-1\n'
    """
    lines = []
    for frame, one in enumerate(seen, start=1):
        for (left, top, right, bottom), score in zip(
            one.box_px.tolist(), one.score.tolist(), strict=True
        ):
            box = ",".join(f"{v:.9g}" for v in (left, top, right - left, bottom - top))
            lines.append(f"{frame},-1,{box},{score:.9g},-1,-1,-1\n")
    return "".join(lines)


def from_mot(
    path: Path | str, *, rate_hz: float, stream: str = "camera", class_name: str = "person"
) -> list[Detections]:
    """Of each frame of a MOTChallenge file of detections, from frame 1 to the last one in it.

    Args:
        path: the file; ``.gz`` too.
        rate_hz: frames per second; frame 1 is at time 0.
        stream: camera.
        class_name: of all of them: detections of that form have no classes.

    Raises:
        UsageError: a row that cannot be used, with its reason.
        SourceError: there is no such file.
    """
    found = read_detections(Path(path), limits=DEFAULT_LIMITS)
    if found.refused.height:
        first = found.refused.row(0, named=True)
        raise _wrong("rows that can be used", first["detail"], f"{path}, row {first['_row']}")
    table = found.table
    last = int(table.frame[-1]) if len(table.frame) else 0
    starts = np.searchsorted(table.frame, np.arange(1, last + 2))
    return [
        Detections.of(
            stream,
            round((frame - 1) * NS_PER_S / rate_hz),
            box_px=table.box_px[starts[frame - 1] : starts[frame]],
            score=table.score[starts[frame - 1] : starts[frame]],
            class_names=(class_name,),
        )
        for frame in range(1, last + 1)
    ]


def _checked(
    stream: str,
    capture_ns: int,
    box_px: FloatArray,
    *,
    score: Any,
    class_id: Any,
    class_names: Sequence[str],
    where: str,
) -> Detections:
    """The detections, if they can be."""
    scores, classes = np.asarray(score, np.float64), np.asarray(class_id)
    has_area = (box_px[:, 2] > box_px[:, 0]) & (box_px[:, 3] > box_px[:, 1])
    is_bad = ~(np.isfinite(box_px).all(axis=1) & has_area)
    if is_bad.any():
        row = int(np.flatnonzero(is_bad)[0])
        raise _wrong("boxes with an area", str(box_px[row].tolist()), f"{where}, row {row}")
    is_bad = ~((scores >= 0) & (scores <= 1))
    if is_bad.any():
        row = int(np.flatnonzero(is_bad)[0])
        raise _wrong("scores from 0 to 1", f"{scores[row]:g}", f"{where}, row {row}")
    if len(classes) and not (classes.min() >= 0 and classes.max() < len(class_names)):
        got = f"class {int(classes.max() if classes.min() >= 0 else classes.min())}"
        raise _wrong(f"classes 0 to {len(class_names) - 1}, which have names", got, where)
    return Detections.of(
        stream,
        capture_ns,
        box_px=box_px,
        score=scores,
        class_id=classes,
        class_names=tuple(class_names),
    )


def _wrong(expected: str, got: str, where: str) -> UsageError:
    return UsageError(expected=expected, got=got, where=where, action="mend what comes from there")
