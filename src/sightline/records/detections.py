"""Detections: what was seen in one frame, as a struct of arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from sightline.errors import UsageError
from sightline.records.windows import FloatArray

ClassArray = npt.NDArray[np.int32]
BoolArray = npt.NDArray[np.bool_]


class DoubtCode(StrEnum):
    """Why a detector that has answered may have overlooked somebody. Part of the interface."""

    VIEW_UNPROVEN = "VIEW_UNPROVEN"
    """It compares the picture with what the camera itself has shown since some time. Who stood
    there then, and has not moved since, is not among what it reports."""
    VIEW_CHANGED = "VIEW_CHANGED"
    """The picture is not one that it can compare (light, view). It reports nothing, and that
    nothing means nothing."""
    VIEW_DARK = "VIEW_DARK"
    """What it compares with is so dark that who differs from it by a good part of its brightness
    does not stand out. What it reports is there; others may be."""
    AT_BOUND = "AT_BOUND"
    """So much was found that not all of it is reported, or followed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """What a detector says about its own answer. A detector that compares with no past has none.

    Attributes:
        code: why.
        since_ns: capture time from which on it is so, UTC ns. For VIEW_UNPROVEN the first picture
            of what it compares with: somebody who sees to it that the view is empty at that time
            or later settles the doubt.
    """

    code: DoubtCode
    since_ns: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Detections:
    """Things seen in one frame; n of them, in no particular order.

    Attributes:
        stream: name of the camera.
        capture_ns: capture time of the frame, UTC ns.
        box_px: float64[n, 4], left, top, right, bottom in pixels; x to the right, y down, the
            outer corner of the top-left pixel is (0, 0). Right > left and bottom > top.
        score: float64[n], the detector's confidence, 0 to 1.
        class_id: int32[n], index into ``class_names``.
        class_names: names of the classes, for example ``("person", "vehicle")``.
        left_aside: what the detector found in the frame and did not report, by cause.
        doubt: why somebody may have been overlooked, by the detector's own account; None: it knows
            of nothing.
        advice: which setting of the detector would fit what it has seen, for people; said when it
            becomes known and when it changes, otherwise empty.

    >>> seen = Detections.of("yard", 0, box_px=[[10, 20, 30, 80]], score=[0.9])
    >>> len(seen), seen.foot_px.tolist(), seen.only(seen.score > 0.95).box_px.shape
    (1, [[20.0, 80.0]], (0, 4))
    """

    stream: str
    capture_ns: int
    box_px: FloatArray
    score: FloatArray
    class_id: ClassArray
    class_names: tuple[str, ...] = ("person",)
    left_aside: Mapping[str, int] = field(default_factory=dict)
    doubt: Doubt | None = None
    advice: str = ""

    def __post_init__(self) -> None:
        n = len(self.score)
        if self.box_px.shape != (n, 4) or self.class_id.shape != (n,):
            raise UsageError(
                expected=f"box_px float64[{n}, 4] and class_id int32[{n}], as there are {n} scores",
                got=f"{list(self.box_px.shape)} and {list(self.class_id.shape)}",
                where=f"detections of stream {self.stream} at {self.capture_ns}",
                action="give one row per detection",
            )

    @classmethod
    def of(
        cls,
        stream: str,
        capture_ns: int,
        *,
        box_px: npt.ArrayLike,
        score: npt.ArrayLike,
        class_id: npt.ArrayLike | None = None,
        class_names: tuple[str, ...] = ("person",),
    ) -> Detections:
        """Detections from anything array-like; without ``class_id`` all are of class 0."""
        scores = np.asarray(score, np.float64).reshape(-1)
        classes = np.zeros(len(scores)) if class_id is None else np.asarray(class_id)
        return cls(
            stream=stream,
            capture_ns=capture_ns,
            box_px=np.asarray(box_px, np.float64).reshape(-1, 4),
            score=scores,
            class_id=classes.astype(np.int32).reshape(-1),
            class_names=class_names,
        )

    def __len__(self) -> int:
        return len(self.score)

    @property
    def is_sight(self) -> bool:
        """Whether that nothing is reported says anything at all about the picture."""
        return self.doubt is None or self.doubt.code is not DoubtCode.VIEW_CHANGED

    @property
    def foot_px(self) -> FloatArray:
        """float64[n, 2], x and y of the middle of the lower edge: where it stands."""
        found: FloatArray = np.stack(
            [(self.box_px[:, 0] + self.box_px[:, 2]) / 2, self.box_px[:, 3]], axis=1
        )
        return found

    def only(self, keep: BoolArray) -> Detections:
        """Those for which ``keep`` (bool[n]) is true, in the same order."""
        return replace(
            self, box_px=self.box_px[keep], score=self.score[keep], class_id=self.class_id[keep]
        )
