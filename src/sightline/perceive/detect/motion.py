"""The detector that needs no weights: whatever differs from what a fixed camera usually sees."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from math import isfinite, sqrt
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from sightline.errors import LogError, UsageError
from sightline.perceive.compiled import warm
from sightline.perceive.detect.background import (
    ADAPT,
    BACKGROUND,
    FOREGROUND,
    FORGET,
    HOLD,
    UNCHANGED,
    BackgroundModel,
    BackgroundSettings,
    LabelImage,
    brightness,
    light_gain,
    undo_gain,
)
from sightline.perceive.detect.detector import BoxReason, admit_boxes, version_digest
from sightline.perceive.detect.learnt_size import MOST_RATIO, HeightLine, SizeLearner
from sightline.perceive.detect.people import (
    BELOW_SHARE,
    CLAIMED,
    HEAD_TO,
    PART_SCORE,
    REFERENCE_HEIGHT_M,
    CameraPersonSize,
    PersonSize,
    RowPersonSize,
    explain_foreground,
    height_map,
    keep_in_sight,
    may_be_parts,
    measure_people,
    person_boxes,
)
from sightline.perceive.detect.regions import (
    OwnerImage,
    clean,
    connected_blobs,
    contour_contrast,
    reduced,
    texture_agreement,
    without_false_shadows,
)
from sightline.records.detections import Detections, Doubt, DoubtCode
from sightline.records.frames import Frame, Image
from sightline.records.signals import NS_PER_S
from sightline.records.windows import FloatArray


class SceneCondition(StrEnum):
    """How far the last frame's answer can be relied on."""

    STARTED = "STARTED"
    """The first frame after a start or reset: it is the background, nothing can be seen."""
    STEADY = "STEADY"
    """The scene is the known one."""
    CHANGED = "CHANGED"
    """The picture as a whole is another (dark, blinded, moved): nothing is reported, and the answer
    says VIEW_CHANGED."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MotionSettings:
    """What the motion detector may assume; the defaults are meant for every fixed camera.

    Attributes:
        background: of the background model.
        work_px: larger images are made smaller to about this many pixels.
        person_heights_m: heights tried; children below 1.2 m want one more.
        least_height_px: where people of usual height are smaller nobody is looked for, px of the
            work image. Johnson (1958) asks for 8 pixels across to tell a person from something
            else, 0.3 of the height.
        least_visible: a person must show this share of its silhouette, 0 to 1, to be found; who was
            found in the picture before, only more than speaks against them.
        least_blob_share: without person sizes, smaller regions are noise; share of the image.
        ghost_contrast: an object is a ghost if the background's contrast along its contour is
            more than this many times the image's.
        most_foreground: if a larger share of the image is foreground, the scene has changed.
        light_agreement: an object through which the ground's own fine texture shows, with at least
            this correlation, is another light on that ground (a lamp, a patch of sun).
        gain_range: light below or above this, against the background's, is a change of scene.
        settle_s: a changed scene that lasts so long is learnt, s. The known one is kept, for when
            it comes back.
        most_objects: bound on what is reported for one frame; the largest are kept.
        learns_size: whether the size of people is learnt from what moves, where no camera model
            gives it; sizes that are given are a first guess then.
    """

    background: BackgroundSettings = field(default_factory=BackgroundSettings)
    work_px: int = 200_000
    person_heights_m: tuple[float, ...] = (1.45, 1.7, 1.9)
    least_height_px: float = 26.0
    least_visible: float = 0.3
    least_blob_share: float = 0.0005
    ghost_contrast: float = 1.25
    light_agreement: float = 0.7
    most_foreground: float = 0.5
    gain_range: tuple[float, float] = (0.2, 5.0)
    settle_s: float = 2.0
    most_objects: int = 128
    learns_size: bool = True

    def __post_init__(self) -> None:
        is_usable = (
            self.work_px >= 1024
            and len(self.person_heights_m) > 0
            and min(self.person_heights_m) > 0
            and self.least_height_px > 0
            and 0 < self.least_visible < 1
            and 0 < self.least_blob_share < 1
            and self.ghost_contrast > 0
            and 0 < self.light_agreement <= 1
            and 0 < self.most_foreground <= 1
            and 0 < self.gain_range[0] < 1 < self.gain_range[1]
            and self.settle_s > 0
            and self.most_objects > 0
        )
        if not is_usable:
            raise UsageError(
                expected="shares within 0 to 1, a gain range around 1, the others > 0",
                got=str(self),
                where="motion detector settings",
                action="correct the value that is out of range",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class MotionReport:
    """What the detector can say about the last frame besides the detections.

    Attributes:
        condition: how far the answer can be relied on.
        size_changed: the frame had another size than the one before, so the model began again.
        gain: light against the background's; NaN where it cannot be told.
        foreground_share: part of the image that is foreground, 0 to 1.
        ghosts: objects taken for holes in the background, and not reported.
        lights: objects taken for light on the background, and not reported.
    """

    condition: SceneCondition
    size_changed: bool = False
    gain: float = float("nan")
    foreground_share: float = 0.0
    ghosts: int = 0
    lights: int = 0


# --- the detector ---------------------------------------------------------------------------------

PROGRAM = 10
"""Counts changes of the program that change answers; part of the version."""

_MARGIN_PX = 2
"""Around an object the background learns as slowly as in it: blurred edges, the next step."""
_CONTRAST_FLOOR = 1.0
"""Grey levels, over a whole contour: without any contrast nothing is a ghost."""
_TRY_S = 0.5
"""How often a picture is compared with the view before this one, s."""
_DARK_SHARE = 1.0 / 3.0
"""A view is too dark where somebody must differ from it by more than this share of its brightness
to stand out from its noise."""
_SIZE_S = 0.2
"""How often the size of people is looked for, s: a walker's step takes half of it."""
_SAME_SIZE = 0.03
"""Sizes that differ by less, in heights of the picture, are not said anew."""
_PIECE_SHARE = 0.25
"""A piece of somebody may be as small as this, in shares of the least region."""


@dataclass(slots=True)
class _View:
    """What pictures are compared with, and the capture time of the first of it."""

    background: BackgroundModel
    since_ns: int = 0
    is_first: bool = True
    """Whether it began with the first frame after a start or reset."""
    is_said_empty: bool = False
    """Whether somebody has said of a frame of it that it shows nobody."""
    sizes: SizeLearner = field(default_factory=SizeLearner)
    learnt: HeightLine | None = None
    """How tall people appear in it, by what has moved there."""

    def plain(self) -> dict[str, Any]:
        """JSON-ready values; with :meth:`arrays` all there is to know."""
        learnt = self.learnt
        return {
            "frames": self.background.frames,
            "since_ns": self.since_ns,
            "is_first": self.is_first,
            "is_said_empty": self.is_said_empty,
            "learnt": None if learnt is None else [learnt.at_top, learnt.at_bottom],
        }

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        sizes = {f"sizes_{name}": array for name, array in self.sizes.arrays().items()}
        return {**self.background.arrays(), **sizes}

    def restore(self, plain: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Become the view whose values and arrays these are."""
        self.since_ns, self.is_first = int(plain["since_ns"]), bool(plain["is_first"])
        self.is_said_empty = bool(plain["is_said_empty"])
        self.background.restore(int(plain["frames"]), arrays)
        self.sizes.restore(
            {n.removeprefix("sizes_"): a for n, a in arrays.items() if n.startswith("sizes_")}
        )
        learnt = plain["learnt"]
        self.learnt = None
        if learnt is not None:
            self.learnt = HeightLine(at_top=float(learnt[0]), at_bottom=float(learnt[1]))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Objects:
    """What stands out from the background, in work px; n of it.

    Attributes:
        box: float64[n, 4], left, top, right, bottom.
        score: float64[n], 0 to 1.
        extent: float64[n, 5], left, top, right, bottom and number of the pixels it was seen by.
        owner: int32[h, w], number of the object that a pixel belongs to, -1 for none.
        person: float64[n, 3], x, y of the foot and height of who was placed; NaN for regions and
            for what may be a part of somebody else.
    """

    box: FloatArray
    score: FloatArray
    extent: FloatArray
    owner: OwnerImage
    person: FloatArray


class MotionDetector:
    """People (or, where their size is not known, regions) before a fixed camera's background.

    Background subtraction, shadow removal, cleaning; then upright silhouettes of the size that
    the perspective gives are placed where they explain the foreground, which joins the pieces of
    one person and splits groups. One detector per camera, as it remembers the background.

    How tall people appear is learnt from who walks alone (:mod:`.learnt_size`), unless a camera
    model says it; a ``size`` by rows is a first guess. What people of the size learnt do not
    explain is looked at once more by the size given, or is a region where none was.

    The state is small numbers and arrays; equal frames give equal bytes. Times come from
    ``capture_ns`` only; a frame that is not newer than the last is looked at, and teaches nothing.

    Not for moving cameras. Vehicles are reported as several people, or, where sizes are unknown,
    as one region. Whatever has come and stays is reported for as long as it stays: it is never
    learnt. Grey frames have no colour to tell shadows by: there shadows count as foreground.

    It knows what it cannot know, and each answer says so (``Detections.doubt``): who stood in the
    first picture of what it compares with is part of that, so every answer is VIEW_UNPROVEN since
    then, VIEW_DARK where its noise may hide somebody, and AT_BOUND where it found too much; a
    picture that it cannot compare is VIEW_CHANGED. When such a picture lasts, it is learnt as a new
    view, unproven since that time. The view before is kept, and returned to when the camera shows
    it again. Once somebody who has looked says of a frame that it shows nobody
    (``Frame.empty_ns``), whatever stands in it is ground.

    Args:
        size: how tall people appear; None: not known. Then what is reported is of class ``moving``:
            regions, until people's size has been learnt.
        settings: see :class:`MotionSettings`.
        starts_empty: whether nobody is in the first picture, by the user's word: then what stands
            out from it is no hole that somebody has left.

    >>> from sightline.perceive.detect.people import RowPersonSize
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
        self,
        *,
        size: PersonSize | None = None,
        settings: MotionSettings | None = None,
        starts_empty: bool = False,
    ) -> None:
        warm(contour_contrast.__module__, BackgroundModel.__module__, explain_foreground.__module__)
        self._size = size
        self._settings = settings or MotionSettings()
        self._starts_empty = starts_empty
        self._view = _View(BackgroundModel(self._settings.background))
        self._known: _View | None = None
        """The view before this one, for when the camera shows it again."""
        self._tried_ns = 0
        self._stream = ""
        self._frame_size_px = (0, 0)
        self._heights = np.empty((0, 0), np.float32)
        self._learnt_heights: npt.NDArray[np.float32] | None = None
        self._given: HeightLine | None = None
        self._sized_ns = -NS_PER_S
        self._advised: list[float] = []
        self._advice = ""
        """To be said with the next answer."""
        self._care = np.empty((0, 0), np.uint8)
        self._last_ns = 0
        self._changed_ns = -1
        self._dark_ns = -1
        """Since when the view has been too dark; -1: it is not."""
        self._before = np.empty((0, 3))
        """Who was reported of the last picture: x, y of the foot and height, in work px."""
        self._newest = np.empty((0, 0, 3), np.uint8)
        """The work image of the newest frame."""
        self._newest_ns = self._empty_ns = -1
        self._counts: Counter[str] = Counter()
        self._report = MotionReport(condition=SceneCondition.STARTED)
        self._class_names = ("moving",) if size is None else ("person",)
        self._version = version_digest(
            {
                "detector": self.name,
                "program": PROGRAM,
                "size": None if size is None else size.digest,
                "settings": asdict(self._settings),
                "starts_empty": starts_empty,
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
        that is foreground, less half of the share that is not, and half of that for what may as
        well be the head or an arm of somebody much taller; for regions it grows with their
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
            self._newest_ns = -1
            self._view.background.reset()
            self._view.sizes, self._view.learnt = SizeLearner(), None
            self._known = None
            self._changed_ns = -1
        has_colour = frame.channels == 3
        if frame.empty_ns > self._empty_ns:
            self._take_for_empty(frame.empty_ns, has_colour=has_colour)
        image = self._work_image(frame)
        self._newest, self._newest_ns = image, frame.capture_ns
        if self._view.background.frames == 0:
            return self._start(frame, image, size_changed=size_changed)
        self._return_to_known(image, frame.capture_ns, has_colour=has_colour)
        background = self._view.background

        gain = light_gain(image, background.picture)
        if not self._is_in_range(gain):
            return self._changed(frame, MotionReport(condition=SceneCondition.CHANGED, gain=gain))
        image = undo_gain(image, background.picture, gain)
        elapsed_s = max(frame.capture_ns - self._last_ns, 0) / NS_PER_S
        labels = without_false_shadows(
            image,
            background.picture,
            background.observe(image, elapsed_s=elapsed_s, care=self._care, has_colour=has_colour),
            least_px=self._least_px(self._care),
        )
        if abs(gain - 1.0) <= UNCHANGED:
            background.relight(gain, elapsed_s=elapsed_s, where=self._care == HOLD)
        elif gain > 1.0 and self._dark_ns >= 0:  # in more light more can be told apart
            everywhere = np.ones(self._care.shape, np.bool_)
            background.relight(gain, elapsed_s=elapsed_s, where=everywhere)
        self._last_ns = max(frame.capture_ns, self._last_ns)
        share = _foreground_share(labels)
        if share > self._settings.most_foreground:
            return self._changed(
                frame,
                MotionReport(condition=SceneCondition.CHANGED, gain=gain, foreground_share=share),
            )
        self._changed_ns = -1

        self._learn_size(labels, frame.capture_ns)
        found = self._objects(labels)
        extent, owner = found.extent, found.owner
        doubt = self._doubt(frame)
        if len(extent) >= self._settings.most_objects:
            self._counts[str(BoxReason.AT_BOUND)] += 1
            doubt = Doubt(code=DoubtCode.AT_BOUND, since_ns=frame.capture_ns)
        is_ghost = self._ghosts(image, owner, len(extent))
        agreement = texture_agreement(image, background.picture, owner, extent)
        is_light = ~is_ghost & (agreement >= self._settings.light_agreement)
        # Whoever is only kept, by weak evidence, does not keep the background from being learnt.
        is_weak = np.isfinite(found.person[:, 0]) & (found.score < self._settings.least_visible)
        self._remember(extent, owner, is_ghost, is_light | is_weak)
        self._report = MotionReport(
            condition=SceneCondition.STEADY,
            gain=gain,
            foreground_share=share,
            ghosts=int(is_ghost.sum()),
            lights=int(is_light.sum()),
        )
        is_said = ~(is_ghost | is_light)
        self._before = found.person[is_said & np.isfinite(found.person[:, 0])]
        return self._admit(frame, found.box[is_said], found.score[is_said], doubt)

    def reset(self) -> None:
        """Forget the background; the next frame is the first. Counts stay."""
        self._view = _View(BackgroundModel(self._settings.background))
        self._known = None
        self._care[:] = 0
        self._changed_ns, self._sized_ns = -1, -NS_PER_S
        self._newest_ns = self._dark_ns = -1
        self._advised, self._advice = [], ""
        self._use_learnt()
        self._report = MotionReport(condition=SceneCondition.STARTED)

    def snapshot(self) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        """All that the next answers depend on: JSON-ready values, and arrays by name.

        The arrays take about 60 bytes per work pixel.
        """
        plain: dict[str, Any] = {
            "version": self._version,
            "stream": self._stream,
            "frame_size_px": list(self._frame_size_px),
            "last_ns": self._last_ns,
            "changed_ns": self._changed_ns,
            "tried_ns": self._tried_ns,
            "sized_ns": self._sized_ns,
            "newest_ns": self._newest_ns,
            "dark_ns": self._dark_ns,
            "empty_ns": self._empty_ns,
            "advised": self._advised,
            "counts": self.counts,
            **self._view.plain(),
            "known": None if self._known is None else self._known.plain(),
        }
        arrays: dict[str, npt.NDArray[Any]] = {
            "care": self._care.copy(),
            "newest": self._newest,
            "before": self._before,
            **self._view.arrays(),
        }
        if self._known is not None:
            arrays |= {f"known_{name}": array for name, array in self._known.arrays().items()}
        return plain, arrays

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
            self._tried_ns, self._sized_ns = int(plain["tried_ns"]), int(plain["sized_ns"])
            self._newest_ns, self._empty_ns = int(plain["newest_ns"]), int(plain["empty_ns"])
            self._dark_ns = int(plain["dark_ns"])
            self._newest = np.array(arrays["newest"], np.uint8)
            self._advised = [float(one) for one in plain["advised"]]
            before = np.array(arrays["before"], np.float64).reshape(-1, 3)
            care = np.array(arrays["care"], np.uint8)
            self._view.restore(plain, arrays)
            self._known = None
            if plain["known"] is not None:
                self._known = _View(BackgroundModel(self._settings.background))
                self._known.restore(
                    plain["known"],
                    {
                        n.removeprefix("known_"): a
                        for n, a in arrays.items()
                        if n.startswith("known_")
                    },
                )
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise _unusable(f"{type(error).__name__}: {error}") from error
        self._prepare((width_px, height_px))
        if care.shape != self._care.shape or self._view.background.shape != care.shape:
            raise _unusable(f"arrays for {list(care.shape)}")
        self._care, self._before = care, before
        self._use_learnt()
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
        self._learnt_heights, self._given = None, None
        if isinstance(self._size, RowPersonSize) and frame_size_px[1] > 0:
            self._given = HeightLine(
                at_top=self._size.at_top_px / frame_size_px[1],
                at_bottom=self._size.at_bottom_px / frame_size_px[1],
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
        self._view.since_ns = frame.capture_ns
        self._view.background.observe(image, elapsed_s=0.0)
        self._last_ns = frame.capture_ns
        self._report = MotionReport(condition=SceneCondition.STARTED, size_changed=size_changed)
        return self._nothing(frame, self._doubt(frame))

    def _take_for_empty(self, empty_ns: int, *, has_colour: bool) -> None:
        """Somebody says that the frame of ``empty_ns`` shows nobody: what stands in it is ground.

        Without a frame of that time the newest before it is taken: who was in that one and has gone
        by then leaves a hole, which is reported. After it somebody may have come.
        """
        self._empty_ns = empty_ns
        if not 0 <= self._newest_ns <= empty_ns or self._view.background.frames == 0:
            return
        view, image = self._view, self._newest
        if self._changed_ns >= 0:  # it shows another view
            self._known = self._known or view
            view = self._view = _View(BackgroundModel(self._settings.background), is_first=False)
            view.background.observe(image, elapsed_s=0.0)
            self._changed_ns = -1
            self._use_learnt()
        else:
            picture = view.background.picture
            image = undo_gain(image, picture, light_gain(image, picture))
            labels = view.background.compare(image, has_colour=has_colour)
            view.background.adopt(image, labels != BACKGROUND)
        view.since_ns, view.is_said_empty = self._newest_ns, True
        self._care[:] = ADAPT

    def _changed(self, frame: Frame, report: MotionReport) -> Detections:
        """Report nothing, and that this means nothing; learn the new scene once it has lasted."""
        if self._changed_ns < 0:
            self._changed_ns = frame.capture_ns
        if frame.capture_ns - self._changed_ns >= self._settings.settle_s * NS_PER_S:
            # Of several views the first is the one that somebody may have spoken for.
            known = self._known or self._view
            self.reset()
            self._known, self._view.is_first = known, False
            self._newest_ns = frame.capture_ns
            return self._start(frame, self._work_image(frame), size_changed=False)
        self._report = report
        doubt = Doubt(code=DoubtCode.VIEW_CHANGED, since_ns=self._changed_ns)
        return self._nothing(frame, doubt)

    def _return_to_known(self, image: Image, at_ns: int, *, has_colour: bool) -> None:
        """Go back to the view before this one where the camera shows it again."""
        known, step_ns = self._known, _TRY_S * NS_PER_S
        if known is None or at_ns - self._tried_ns < step_ns:
            return
        self._tried_ns = at_ns
        picture = known.background.picture
        gain = light_gain(image, picture)
        if not self._is_in_range(gain):
            return
        labels = known.background.compare(undo_gain(image, picture, gain), has_colour=has_colour)
        # Half of what would be a change: no picture shall go to and fro between the two.
        if _foreground_share(labels) <= self._settings.most_foreground / 2:
            self._view, self._known = known, None
            self._care[:] = 0
            self._changed_ns = -1
            self._use_learnt()

    def _is_in_range(self, gain: float) -> bool:
        low, high = self._settings.gain_range
        return isfinite(gain) and low <= gain <= high

    def _doubt(self, frame: Frame) -> Doubt:
        """What may be overlooked in a picture that can be compared."""
        s = self._settings.background
        least_levels = s.match_sigmas * s.noise_levels / _DARK_SHARE
        if brightness(self._view.background.picture) >= least_levels:
            self._dark_ns = -1
            return Doubt(code=DoubtCode.VIEW_UNPROVEN, since_ns=self._view.since_ns)
        if self._dark_ns < 0:
            self._dark_ns = frame.capture_ns
        return Doubt(code=DoubtCode.VIEW_DARK, since_ns=self._dark_ns)

    def _learn_size(self, labels: LabelImage, at_ns: int) -> None:
        """Look at what moves, several times a second, for how tall people appear here."""
        is_known = isinstance(self._size, CameraPersonSize) or not self._settings.learns_size
        if is_known or at_ns - self._sized_ns < _SIZE_S * NS_PER_S:
            return
        self._sized_ns = at_ns
        least_px = self._least_px(labels)
        piece_px = max(1, round(_PIECE_SHARE * least_px))
        extent, _ = connected_blobs(
            clean(labels), least_px=piece_px, most=self._settings.most_objects
        )
        view = self._view
        if len(extent) and view.sizes.see(extent, labels.shape, least_px=least_px):
            view.learnt = view.sizes.line(self._given) or view.learnt
            self._use_learnt()
            self._advise()

    def _advise(self) -> None:
        """Say which ``person_px`` would fit, where none was given or another one does not."""
        sizes, learnt, height_px = self._view.sizes, self._view.learnt, self._frame_size_px[1]
        if learnt is None or not sizes.is_well_known():
            return
        if self._given is not None and not sizes.contradicts(self._given):
            return
        fits = [max(1.0, height_px * one) for one in (learnt.at_top, learnt.at_bottom)]
        before = self._advised
        if before and all(
            abs(a - b) <= _SAME_SIZE * height_px for a, b in zip(fits, before, strict=True)
        ):
            return
        self._advised = fits
        text = f"person_px: [{fits[0]:.0f}, {fits[1]:.0f}] is how tall people appear"
        if self._given is None:
            self._advice = f"{text}; with it they are of class person"
        else:
            given = [height_px * one for one in (self._given.at_top, self._given.at_bottom)]
            self._advice = f"{text}, not [{given[0]:.0f}, {given[1]:.0f}]"

    def _use_learnt(self) -> None:
        """The table of heights as learnt in this view, within reach of what was given."""
        self._learnt_heights = None
        if self._view.learnt is not None:
            rows, width = self._care.shape
            row = np.arange(rows + round(BELOW_SHARE * rows) + 1) / rows
            table = np.repeat(rows * self._view.learnt.heights(row)[:, None], width, axis=1)
            if self._size is not None:
                table = np.clip(table, self._heights / MOST_RATIO, self._heights * MOST_RATIO)
            self._learnt_heights = np.ascontiguousarray(table, np.float32)

    def _objects(self, labels: LabelImage) -> _Objects:
        """What stands out: people of the size learnt, and whatever else would be found without it.

        A size that was learnt wrongly therefore loses nobody.
        """
        cleaned = clean(labels)
        most = self._settings.most_objects
        if self._learnt_heights is None:
            return self._objects_by_given(cleaned, labels, most=most)
        first = self._people(cleaned, labels, self._learnt_heights, self._before, most=most)
        is_explained = first.owner >= 0
        rest = self._objects_by_given(
            np.where(is_explained, np.uint8(CLAIMED), cleaned),
            np.where(is_explained, np.uint8(CLAIMED), labels),
            most=most - len(first.score),
        )
        return _Objects(
            box=np.concatenate([first.box, rest.box]),
            score=np.concatenate([first.score, rest.score]),
            extent=np.concatenate([first.extent, rest.extent]),
            owner=np.where(rest.owner >= 0, rest.owner + np.int32(len(first.score)), first.owner),
            # Nobody is kept who has not the size that was learnt.
            person=np.concatenate([first.person, np.full_like(rest.person, np.nan)]),
        )

    def _objects_by_given(self, cleaned: LabelImage, labels: LabelImage, *, most: int) -> _Objects:
        """People of the size given, or regions where none was."""
        if self._size is not None:
            # Once a size was learnt those of the picture before were looked for by it.
            before = self._before if self._learnt_heights is None else np.empty((0, 3))
            return self._people(cleaned, labels, self._heights, before, most=most)
        least_px, learnt = self._least_px(labels), self._learnt_heights
        if learnt is None:
            extent, owner = connected_blobs(cleaned, least_px=least_px, most=most)
            box = extent[:, :4]
        else:
            # What is flatter than a head is no part of anybody.
            extent, owner = connected_blobs(
                cleaned, least_px=least_px, most=most, least_tall_px=HEAD_TO * learnt[:, 0]
            )
            box = self._completed(extent, learnt[:, 0])
        area_px = extent[:, 4]
        return _Objects(
            box=box,
            score=area_px / (area_px + least_px),
            extent=extent,
            owner=owner,
            person=np.full((len(box), 3), np.nan),
        )

    def _completed(
        self, extent: FloatArray, tall_px: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.float64]:
        """Boxes of regions; what is upright and may be somebody's legs is completed to a person.

        They stand where the region ends, so that only their size is a guess.
        """
        left, top, right, bottom = extent[:, :4].T
        tall = tall_px[bottom.astype(np.int64)].astype(np.float64)
        shown = bottom - top
        is_part = (shown >= right - left) & (shown >= self._settings.least_visible * tall)
        is_part &= shown < tall
        people = np.stack([(left + right) / 2, bottom, tall], axis=1)
        found: npt.NDArray[np.float64] = np.where(
            is_part[:, None], person_boxes(people, extent), extent[:, :4]
        )
        return found

    def _people(
        self,
        cleaned: LabelImage,
        labels: LabelImage,
        heights: npt.NDArray[np.float32],
        before: FloatArray,
        *,
        most: int,
    ) -> _Objects:
        people = np.zeros((most, 4))
        sizes = np.array(sorted(self._settings.person_heights_m)) / REFERENCE_HEIGHT_M
        least = np.array([self._settings.least_height_px, self._settings.least_visible])
        found = explain_foreground(cleaned, heights, sizes, least, people)
        kept = keep_in_sight(cleaned, heights, float(least[0]), before, people, found)
        people = people[:kept]
        owner, extent = np.empty(labels.shape, np.int32), np.empty((kept, 5))
        measure_people(cleaned, labels, people, owner, extent)
        is_needless = may_be_parts(people, extent) & (np.arange(kept) >= found)
        if is_needless.any():  # somebody taller who is found now explains them
            people = np.ascontiguousarray(people[~is_needless])
            extent = np.empty((len(people), 5))
            measure_people(cleaned, labels, people, owner, extent)
        score = np.clip(people[:, 3], 0.0, 1.0)
        is_part = may_be_parts(people, extent)
        score[is_part] *= PART_SCORE
        # An arm is no reason to look for somebody where it was.
        person = np.where(is_part[:, None], np.nan, people[:, :3])
        return _Objects(
            box=person_boxes(people, extent),
            score=score,
            extent=extent,
            owner=owner,
            person=person,
        )

    def _least_px(self, labels: LabelImage) -> int:
        return max(1, round(self._settings.least_blob_share * labels.size))

    def _ghosts(self, image: Image, owner: OwnerImage, objects: int) -> npt.NDArray[np.bool_]:
        view = self._view
        if not objects or view.is_said_empty or (self._starts_empty and view.is_first):
            return np.zeros(objects, np.bool_)
        contrast = np.zeros((objects, 2))
        contour_contrast(image, self._view.background.picture, owner, contrast)
        limit = self._settings.ghost_contrast * contrast[:, 0] + _CONTRAST_FLOOR
        found: npt.NDArray[np.bool_] = contrast[:, 1] > limit
        return found

    def _remember(
        self,
        extent: FloatArray,
        owner: OwnerImage,
        is_ghost: npt.NDArray[np.bool_],
        is_light: npt.NDArray[np.bool_],
    ) -> None:
        """Where the next frame is not learnt (something stands there) or fast (a ghost)."""
        around = np.array([-_MARGIN_PX, -_MARGIN_PX, _MARGIN_PX, _MARGIN_PX])
        edges = np.maximum(extent[:, :4] + around, 0).astype(np.int64)
        self._care[:] = ADAPT
        for left, top, right, bottom in edges[~(is_ghost | is_light)]:
            self._care[top:bottom, left:right] = HOLD
        for left, top, right, bottom in edges[is_ghost]:
            here = owner[top:bottom, left:right]
            is_free = (here < 0) | is_ghost[here]
            self._care[top:bottom, left:right][is_free] = FORGET

    def _admit(
        self, frame: Frame, boxes: FloatArray, scores: FloatArray, doubt: Doubt
    ) -> Detections:
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
        advice, self._advice = self._advice, ""
        return replace(seen, doubt=doubt, advice=advice)

    def _nothing(self, frame: Frame, doubt: Doubt) -> Detections:
        self._before = np.empty((0, 3))
        return self._admit(frame, np.empty((0, 4)), np.empty(0), doubt)


def _foreground_share(labels: LabelImage) -> float:
    return float(np.count_nonzero(labels == FOREGROUND) / labels.size)


def _unusable(got: str) -> LogError:
    return LogError(
        expected="the snapshot of this motion detector",
        got=got,
        where="motion detector, restore",
        action="delete the checkpoint; the detector starts again from the next frame",
    )
