"""The detector that needs no weights: whatever differs from what a fixed camera usually sees."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from math import isfinite, sqrt
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from sightline.errors import LogError, UsageError
from sightline.perceive.detect.admission import BoxReason, admit_boxes
from sightline.perceive.detect.background import (
    FORGET,
    HOLD,
    BackgroundModel,
    LabelImage,
)
from sightline.perceive.detect.background_kernel import FOREGROUND
from sightline.perceive.detect.blobs import OwnerImage, clean, connected_blobs
from sightline.perceive.detect.detector import version_digest
from sightline.perceive.detect.exposure import light_gain, undo_gain
from sightline.perceive.detect.ghosts import contour_contrast
from sightline.perceive.detect.motion_settings import (
    MotionReport,
    MotionSettings,
    SceneCondition,
)
from sightline.perceive.detect.person_extent import measure_people, person_boxes
from sightline.perceive.detect.person_size import REFERENCE_HEIGHT_M, PersonSize, height_map
from sightline.perceive.detect.reduction import reduced
from sightline.perceive.detect.silhouettes import explain_foreground
from sightline.records.detections import Detections
from sightline.records.frames import Frame, Image
from sightline.records.signals import NS_PER_S
from sightline.records.windows import FloatArray

PROGRAM = 2
"""Counts changes of the program that change answers; part of the version."""

_MARGIN_PX = 2
"""Around an object the background learns as slowly as in it: blurred edges, the next step."""
_CONTRAST_FLOOR = 1.0
"""Grey levels, over a whole contour: without any contrast nothing is a ghost."""


class MotionDetector:
    """People (or, without sizes, regions) that stand out from the background of a fixed camera.

    Background subtraction, shadow removal, cleaning; then upright silhouettes of the size that
    the perspective gives are placed where they explain the foreground, which joins the pieces of
    one person and splits groups. One detector per camera, as it remembers the background.

    The state is small numbers and arrays; equal frames give equal bytes. Times come from
    ``capture_ns`` only; a frame that is not newer than the last is looked at, and teaches nothing.

    Not for moving cameras. Vehicles are reported as several people, or, where sizes are unknown,
    as one region. Who stands still for ``background.hold_s`` fades into the background. Grey
    frames have no colour to tell shadows by: there shadows count as foreground.

    Args:
        size: how tall people appear; None: report regions of class ``moving`` instead.
        settings: see :class:`MotionSettings`.

    >>> from sightline.perceive.detect.person_size import RowPersonSize
    >>> def frame(index, pixels):
    ...     return Frame(stream="yard", index=index, capture_ns=index * 10**8, received_ns=0,
    ...                  pixels=pixels)
    >>> yard = np.full((120, 160, 3), 120, np.uint8)
    >>> person = yard.copy()
    >>> person[40:100, 70:88] = 20
    >>> detector = MotionDetector(size=RowPersonSize(at_top_px=60, at_bottom_px=60))
    >>> len(detector.detect(frame(0, yard))), len(detector.detect(frame(1, person)))
    (0, 1)
    >>> detector.report.condition.value
    'STEADY'
    """

    def __init__(
        self, *, size: PersonSize | None = None, settings: MotionSettings | None = None
    ) -> None:
        self._size = size
        self._settings = settings or MotionSettings()
        self._background = BackgroundModel(self._settings.background)
        self._stream = ""
        self._frame_size_px = (0, 0)
        self._heights = np.empty((0, 0), np.float32)
        self._care = np.empty((0, 0), np.uint8)
        self._last_ns = 0
        self._changed_ns = -1
        self._counts: Counter[str] = Counter()
        self._report = MotionReport(condition=SceneCondition.STARTED)
        self._class_names = ("moving",) if size is None else ("person",)
        self._version = version_digest(
            {
                "detector": self.name,
                "program": PROGRAM,
                "size": None if size is None else size.digest,
                "settings": asdict(self._settings),
            }
        )

    @property
    def name(self) -> str:
        """``motion``."""
        return "motion"

    @property
    def version(self) -> str:
        """32 hex digits over the settings, the person sizes and the program."""
        return self._version

    @property
    def class_names(self) -> tuple[str, ...]:
        """``person``; without sizes ``moving``."""
        return self._class_names

    @property
    def report(self) -> MotionReport:
        """About the frame looked at last."""
        return self._report

    @property
    def counts(self) -> dict[str, int]:
        """Boxes refused or cut, by :class:`.BoxReason`, since the start."""
        return dict(sorted(self._counts.items()))

    def detect_batch(self, frames: Sequence[Frame]) -> list[Detections]:
        """One after the other, in order: each frame changes what the next is compared with."""
        return [self.detect(frame) for frame in frames]

    def detect(self, frame: Frame) -> Detections:
        """What stands out in ``frame``; the frame then becomes part of what is known.

        Boxes are in px of the frame and clipped to it. The score is the share of the silhouette
        that is foreground, less half of the share that is not; for regions it grows with their
        area, from a half at the least that is no noise.

        Raises:
            UsageError: if the frame is of another camera, or of a shape the sizes do not fit.
        """
        if self._stream not in ("", frame.stream):
            raise UsageError(
                expected=f"frames of stream {self._stream}",
                got=f"a frame of stream {frame.stream}",
                where="motion detector",
                action="make one detector per camera",
            )
        self._stream = frame.stream
        frame_size_px = (frame.width_px, frame.height_px)
        size_changed = self._frame_size_px not in ((0, 0), frame_size_px)
        if self._frame_size_px != frame_size_px:
            self._prepare(frame_size_px)
            self._background.reset()
            self._changed_ns = -1
        image = self._work_image(frame)
        if self._background.frames == 0:
            return self._start(frame, image, size_changed=size_changed)

        gain = light_gain(image, self._background.picture)
        low, high = self._settings.gain_range
        if not (isfinite(gain) and low <= gain <= high):
            return self._changed(
                frame, image, MotionReport(condition=SceneCondition.CHANGED, gain=gain)
            )
        image = undo_gain(image, self._background.picture, gain)
        elapsed_s = max(frame.capture_ns - self._last_ns, 0) / NS_PER_S
        labels = self._background.observe(
            image, elapsed_s=elapsed_s, care=self._care, has_colour=frame.channels == 3
        )
        self._last_ns = max(frame.capture_ns, self._last_ns)
        share = float(np.count_nonzero(labels == FOREGROUND) / labels.size)
        if share > self._settings.most_foreground:
            return self._changed(
                frame,
                image,
                MotionReport(condition=SceneCondition.CHANGED, gain=gain, foreground_share=share),
            )
        self._changed_ns = -1

        boxes, scores, extent, owner = self._objects(labels)
        if len(boxes) >= self._settings.most_objects:
            self._counts[str(BoxReason.AT_BOUND)] += 1
        is_ghost = self._ghosts(image, owner, len(extent))
        self._remember(extent, owner, is_ghost)
        self._report = MotionReport(
            condition=SceneCondition.STEADY,
            gain=gain,
            foreground_share=share,
            ghosts=int(is_ghost.sum()),
        )
        return self._admit(frame, boxes[~is_ghost], scores[~is_ghost])

    def reset(self) -> None:
        """Forget the background; the next frame is the first. Counts stay."""
        self._background.reset()
        self._care[:] = 0
        self._changed_ns = -1
        self._report = MotionReport(condition=SceneCondition.STARTED)

    def snapshot(self) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        """All that the next answers depend on: JSON-ready values, and arrays by name.

        The arrays take about 60 bytes per work pixel.
        """
        plain = {
            "version": self._version,
            "stream": self._stream,
            "frame_size_px": list(self._frame_size_px),
            "last_ns": self._last_ns,
            "changed_ns": self._changed_ns,
            "counts": self.counts,
            "frames": self._background.frames,
        }
        return plain, {"care": self._care.copy(), **self._background.arrays()}

    def restore(self, plain: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Inverse of :meth:`snapshot`; until the next frame the report is that of a start.

        Raises:
            LogError: if something is missing, or the snapshot is of a detector of another
                version; the detector is not to be used then.
        """
        try:
            if plain["version"] != self._version:
                raise _unusable(f"one of version {plain['version']}")
            width_px, height_px = (int(v) for v in plain["frame_size_px"])
            self._stream = str(plain["stream"])
            self._counts = Counter({str(r): int(n) for r, n in plain["counts"].items()})
            self._last_ns, self._changed_ns = int(plain["last_ns"]), int(plain["changed_ns"])
            care = np.array(arrays["care"], np.uint8)
            self._background.restore(int(plain["frames"]), arrays)
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise _unusable(f"{type(error).__name__}: {error}") from error
        self._prepare((width_px, height_px))
        if care.shape != self._care.shape or self._background.shape != care.shape:
            raise _unusable(f"arrays for {list(care.shape)}")
        self._care = care
        self._report = MotionReport(condition=SceneCondition.STARTED)

    def _work_size_px(self, frame_size_px: tuple[int, int]) -> tuple[int, int]:
        width_px, height_px = frame_size_px
        if frame_size_px == (0, 0):
            return 0, 0
        shrink = min(1.0, sqrt(self._settings.work_px / (width_px * height_px)))
        return max(1, round(width_px * shrink)), max(1, round(height_px * shrink))

    def _prepare(self, frame_size_px: tuple[int, int]) -> None:
        """Tables for frames of this size; (0, 0) before the first frame."""
        work_size_px = self._work_size_px(frame_size_px)
        if self._size is not None and frame_size_px != (0, 0):
            self._heights = height_map(
                self._size, frame_size_px=frame_size_px, work_size_px=work_size_px
            )
        self._frame_size_px = frame_size_px
        self._care = np.zeros(work_size_px[::-1], np.uint8)

    def _work_image(self, frame: Frame) -> Image:
        """uint8[h, w, 3] at most ``work_px`` large; its finest noise smoothed away."""
        pixels = reduced(frame.pixels, self._work_size_px(self._frame_size_px))
        if pixels.ndim == 2:
            pixels = cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR).astype(np.uint8, copy=False)
        return cv2.GaussianBlur(pixels, (3, 3), 0).astype(np.uint8, copy=False)

    def _start(self, frame: Frame, image: Image, *, size_changed: bool) -> Detections:
        self._background.observe(image, elapsed_s=0.0)
        self._last_ns = frame.capture_ns
        self._report = MotionReport(condition=SceneCondition.STARTED, size_changed=size_changed)
        return self._nothing(frame)

    def _changed(self, frame: Frame, image: Image, report: MotionReport) -> Detections:
        """Report nothing; once the new scene has lasted, take it for the background."""
        if self._changed_ns < 0:
            self._changed_ns = frame.capture_ns
        if frame.capture_ns - self._changed_ns >= self._settings.settle_s * NS_PER_S:
            self.reset()
            return self._start(frame, image, size_changed=False)
        self._report = report
        return self._nothing(frame)

    def _objects(self, labels: LabelImage) -> tuple[FloatArray, FloatArray, FloatArray, OwnerImage]:
        """Boxes, scores, extents (all in work px) and the pixels of each object."""
        cleaned = clean(labels)
        most = self._settings.most_objects
        if self._size is None:
            least_px = max(1, round(self._settings.least_blob_share * labels.size))
            extent, owner = connected_blobs(cleaned, least_px=least_px, most=most)
            area_px = extent[:, 4]
            return extent[:, :4], area_px / (area_px + least_px), extent, owner
        people = np.zeros((most, 4))
        sizes = np.array(sorted(self._settings.person_heights_m)) / REFERENCE_HEIGHT_M
        least = np.array([self._settings.least_height_px, self._settings.least_visible])
        found = explain_foreground(cleaned, self._heights, sizes, least, people)
        people = people[:found]
        owner, extent = np.empty(labels.shape, np.int32), np.empty((found, 5))
        measure_people(cleaned, labels, people, owner, extent)
        return person_boxes(people, extent), np.clip(people[:, 3], 0.0, 1.0), extent, owner

    def _ghosts(self, image: Image, owner: OwnerImage, objects: int) -> npt.NDArray[np.bool_]:
        contrast = np.zeros((objects, 2))
        if objects:
            contour_contrast(image, self._background.picture, owner, contrast)
        limit = self._settings.ghost_contrast * contrast[:, 0] + _CONTRAST_FLOOR
        found: npt.NDArray[np.bool_] = contrast[:, 1] > limit
        return found

    def _remember(
        self, extent: FloatArray, owner: OwnerImage, is_ghost: npt.NDArray[np.bool_]
    ) -> None:
        """Where the next frame is learned slowly (something stands there) or fast (a ghost)."""
        self._care[:] = 0
        around = np.array([-_MARGIN_PX, -_MARGIN_PX, _MARGIN_PX, _MARGIN_PX])
        edges = np.maximum(extent[:, :4] + around, 0).astype(np.int64)
        for left, top, right, bottom in edges[~is_ghost]:
            self._care[top:bottom, left:right] = HOLD
        for left, top, right, bottom in edges[is_ghost]:
            here = owner[top:bottom, left:right]
            is_free = (here < 0) | is_ghost[here]
            self._care[top:bottom, left:right][is_free] = FORGET

    def _admit(self, frame: Frame, boxes: FloatArray, scores: FloatArray) -> Detections:
        height, width = self._care.shape
        scale = np.array([frame.width_px / width, frame.height_px / height] * 2)
        seen, refused = admit_boxes(
            frame,
            box_px=boxes * scale,
            score=scores,
            class_id=np.zeros(len(scores), np.int32),
            class_names=self._class_names,
        )
        self._counts += refused
        return seen

    def _nothing(self, frame: Frame) -> Detections:
        return self._admit(frame, np.empty((0, 4)), np.empty(0))


def _unusable(got: str) -> LogError:
    return LogError(
        expected="the snapshot of this motion detector",
        got=got,
        where="motion detector, restore",
        action="delete the checkpoint; the detector starts again from the next frame",
    )
