"""Detections that were made before, as a detector: to judge the rest without it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from sightline.errors import UsageError
from sightline.perceive.detect.detector import version_digest
from sightline.records.detections import Detections
from sightline.records.frames import Frame
from sightline.records.windows import FloatArray, IntArray

MAX_FRAMES = 10_000_000
"""Frames one table may describe; more is refused."""


class ReplayedDetector:
    """Answers from a table. A frame that is not in it has no detections, and is counted.

    Args:
        table: detections by frame index, or by capture time in UTC ns.
        by: what the table's keys are. Times must be equal to the nanosecond.

    Raises:
        UsageError: if the table is too large, or its detections differ in their class names.

    >>> seen = Detections.of("yard", 0, box_px=[[1, 2, 3, 4]], score=[0.5])
    >>> detector = ReplayedDetector({7: seen}, by="index")
    >>> def frame(index):
    ...     return Frame(stream="yard", index=index, capture_ns=index + 100, received_ns=0,
    ...                  pixels=np.zeros((8, 8), np.uint8))
    >>> [len(found) for found in detector.detect_batch([frame(6), frame(7)])], detector.missing
    ([0, 1], 1)
    """

    def __init__(
        self, table: Mapping[int, Detections], *, by: Literal["index", "capture_ns"]
    ) -> None:
        names = {found.class_names for found in table.values()}
        if len(table) > MAX_FRAMES or len(names) > 1:
            raise UsageError(
                expected=f"at most {MAX_FRAMES} frames with the same class names",
                got=f"{len(table)} frames, class names {sorted(names)}",
                where="replayed detections",
                action="cut the table, or give all the same class names",
            )
        self._table = dict(table)
        self._by = by
        self._class_names = names.pop() if names else ("person",)
        self._missing = 0
        self._version = version_digest(
            {
                "detector": self.name,
                "by": by,
                "names": self._class_names,
                "rows": [
                    [key, found.box_px.tolist(), found.score.tolist(), found.class_id.tolist()]
                    for key, found in sorted(self._table.items())
                ],
            }
        )

    @classmethod
    def from_columns(
        cls,
        *,
        frame_index: IntArray,
        box_px: FloatArray,
        score: FloatArray,
        class_id: npt.NDArray[np.int32] | None = None,
        class_names: tuple[str, ...] = ("person",),
    ) -> ReplayedDetector:
        """From one row per detection, in any order.

        Args:
            frame_index: int64[n], the source's frame counter, from 0.
            box_px: float64[n, 4], left, top, right, bottom in px of the frames.
            score: float64[n], 0 to 1.
            class_id: int32[n]; None: all of class 0.
            class_names: names of the classes.

        Raises:
            UsageError: if a box, score or index cannot be.
        """
        index = np.asarray(frame_index, np.int64)
        everything = Detections.of(
            "", 0, box_px=box_px, score=score, class_id=class_id, class_names=class_names
        )
        _check(index, everything)
        order = np.argsort(index, kind="stable")
        starts = np.flatnonzero(np.diff(index[order], prepend=-1))
        return cls(
            {
                int(index[rows[0]]): _part(everything, rows)
                for rows in np.split(order, starts[1:])
                if len(rows)
            },
            by="index",
        )

    @property
    def name(self) -> str:
        """``replayed``."""
        return "replayed"

    @property
    def version(self) -> str:
        """32 hex digits over the table."""
        return self._version

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes in the table."""
        return self._class_names

    @property
    def missing(self) -> int:
        """Frames asked for that were not in the table, since the start."""
        return self._missing

    def detect(self, frame: Frame) -> Detections:
        """The table's row for ``frame``, under the frame's own stream and capture time."""
        found = self._table.get(frame.index if self._by == "index" else frame.capture_ns)
        if found is None:
            self._missing += 1
            return Detections.of(
                frame.stream, frame.capture_ns, box_px=[], score=[], class_names=self._class_names
            )
        return Detections(
            stream=frame.stream,
            capture_ns=frame.capture_ns,
            box_px=found.box_px,
            score=found.score,
            class_id=found.class_id,
            class_names=found.class_names,
        )

    def detect_batch(self, frames: Sequence[Frame]) -> list[Detections]:
        """One row of the table per frame."""
        return [self.detect(frame) for frame in frames]


def _part(everything: Detections, rows: IntArray) -> Detections:
    return Detections(
        stream="",
        capture_ns=0,
        box_px=everything.box_px[rows],
        score=everything.score[rows],
        class_id=everything.class_id[rows],
        class_names=everything.class_names,
    )


def _check(index: IntArray, everything: Detections) -> None:
    boxes, score, classes = everything.box_px, everything.score, everything.class_id
    is_right = (
        np.isfinite(boxes).all(axis=1)
        & (boxes[:, 2] > boxes[:, 0])
        & (boxes[:, 3] > boxes[:, 1])
        & (score >= 0)
        & (score <= 1)
        & (classes >= 0)
        & (classes < len(everything.class_names))
    )
    if len(index) != len(score):
        got = f"{len(index)} frame indices for {len(score)} scores"
    elif not (is_right & (index >= 0)).all():
        row = int(np.argmin(is_right & (index >= 0)))
        got = f"row {row}: frame {index[row]}, box {boxes[row].tolist()}, score {score[row]}"
    else:
        return
    raise UsageError(
        expected="frame indices from 0, boxes with area, scores from 0 to 1, classes with a name",
        got=got,
        where="replayed detections",
        action="correct or leave out the row",
    )
