"""People in the foreground: how tall they appear, where they stand, and how far they reach.

Blobs are not people. One person may fall into pieces, and several make one blob. So people are
not made from blobs, but placed where their silhouettes, of the size a camera expects, explain
foreground: this joins pieces and splits groups by one rule.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from numba import types

from sightline.errors import UsageError
from sightline.perceive.compiled import inner_loop, kernel
from sightline.perceive.detect.background import BACKGROUND, FOREGROUND, SHADOW
from sightline.perceive.detect.detector import version_digest
from sightline.records.windows import FloatArray

REFERENCE_HEIGHT_M = 1.7
"""The person whose height in pixels the maps give; others are taller or shorter by a factor."""

BELOW_SHARE = 0.125
"""Feet are looked for this far below the image too, as a share of its height."""

GRID_PX = 8
"""The perspective is asked at every eighth row and column; between, heights are linear to well
below a pixel, and a first frame does not wait a quarter of a second for its tables."""

_ASPECT_TOLERANCE = 0.01


class GroundCamera(Protocol):
    """What is asked of a camera model; ``records.CameraModel`` has it."""

    @property
    def image_size_px(self) -> tuple[int, int]:
        """(width, height) of the image it was calibrated for."""

    @property
    def digest(self) -> str:
        """Hex digest over its numbers."""

    def image_height_px(self, foot_px: FloatArray, height_m: float) -> FloatArray:
        """float64[n] px, of something upright at float64[n, 2] px; NaN where there is no ground."""


class PersonSize(Protocol):
    """Knows how tall a person of ``REFERENCE_HEIGHT_M`` appears."""

    @property
    def digest(self) -> str:
        """Hex digest over all that decides the sizes."""

    def heights_px(self, foot_px: FloatArray, *, frame_size_px: tuple[int, int]) -> FloatArray:
        """float64[n] heights in px for float64[n, 2] feet (x, y), 0 where nobody can stand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraPersonSize:
    """Sizes from the perspective of a calibrated camera.

    Frames may be larger or smaller than the calibrated image, but of its aspect ratio: a picture
    that was cropped or stretched needs a calibration of its own.

    Raises:
        UsageError: from the camera, if it knows nothing above the ground; use
            :class:`RowPersonSize` then.
    """

    camera: GroundCamera

    def __post_init__(self) -> None:
        # A camera that knows the ground only refuses here, and not in the first frame.
        width_px, height_px = self.camera.image_size_px
        self.camera.image_height_px(np.array([[width_px / 2, height_px]]), REFERENCE_HEIGHT_M)

    @property
    def digest(self) -> str:
        return version_digest({"camera": self.camera.digest})

    def heights_px(self, foot_px: FloatArray, *, frame_size_px: tuple[int, int]) -> FloatArray:
        """See :class:`PersonSize`.

        Raises:
            UsageError: if the frame has another aspect ratio.
        """
        width_px, height_px = frame_size_px
        calibrated_px = self.camera.image_size_px
        scale = width_px / calibrated_px[0]
        if abs(height_px / (scale * calibrated_px[1]) - 1.0) > _ASPECT_TOLERANCE:
            raise UsageError(
                expected=f"frames with the aspect ratio of {calibrated_px[0]} x {calibrated_px[1]}",
                got=f"{width_px} x {height_px}",
                where="person sizes from a camera model",
                action="calibrate the camera for these frames",
            )
        found = self.camera.image_height_px(foot_px / scale, REFERENCE_HEIGHT_M) * scale
        return np.nan_to_num(np.maximum(found, 0.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class RowPersonSize:
    """Sizes without a camera model: linear in the row of the feet.

    Over flat ground and a camera without tilt to the side this is the perspective itself.
    Equal numbers mean a view from straight above or one depth.

    Attributes:
        at_top_px: height of a person whose feet are at the top of the image; may be negative,
            then nobody stands above some row.
        at_bottom_px: the same at the bottom.
    """

    at_top_px: float
    at_bottom_px: float

    def __post_init__(self) -> None:
        if not (np.isfinite(self.at_top_px) and self.at_bottom_px > 0):
            raise UsageError(
                expected="finite heights, the one at the bottom > 0",
                got=f"{self.at_top_px} and {self.at_bottom_px}",
                where="person sizes by row",
                action="measure a person near the lower and one near the upper edge",
            )

    @property
    def digest(self) -> str:
        return version_digest({"at_top_px": self.at_top_px, "at_bottom_px": self.at_bottom_px})

    def heights_px(self, foot_px: FloatArray, *, frame_size_px: tuple[int, int]) -> FloatArray:
        """See :class:`PersonSize`."""
        share = foot_px[:, 1] / frame_size_px[1]
        found: FloatArray = self.at_top_px + share * (self.at_bottom_px - self.at_top_px)
        return np.maximum(found, 0.0)


def height_map(
    size: PersonSize, *, frame_size_px: tuple[int, int], work_size_px: tuple[int, int]
) -> npt.NDArray[np.float32]:
    """float32[h + below + 1, w]: heights in work px of a person whose feet are at the upper edge
    of that row, in the middle of that column, of a work image of (w, h).

    >>> rows = height_map(RowPersonSize(at_top_px=0, at_bottom_px=80), frame_size_px=(40, 80),
    ...                   work_size_px=(20, 40))
    >>> rows.shape, float(rows[20, 0])
    ((46, 20), 20.0)
    """
    width_px, height_px = work_size_px
    below_px = round(BELOW_SHARE * height_px)
    rows, columns = height_px + below_px + 1, width_px
    y, x = np.mgrid[0 : rows + GRID_PX : GRID_PX, 0 : columns + GRID_PX : GRID_PX]
    across, down = frame_size_px[0] / width_px, frame_size_px[1] / height_px
    feet = np.column_stack([(x.ravel() + 0.5) * across, y.ravel() * down])
    known = size.heights_px(feet, frame_size_px=frame_size_px).reshape(x.shape) / down
    at_row, part_row = np.divmod(np.arange(rows), GRID_PX)
    at_column, part_column = np.divmod(np.arange(columns), GRID_PX)
    part = part_row[:, None] / GRID_PX
    by_row = (1 - part) * known[at_row] + part * known[at_row + 1]
    part = part_column / GRID_PX
    heights = (1 - part) * by_row[:, at_column] + part * by_row[:, at_column + 1]
    return np.ascontiguousarray(heights, np.float32)


# --- explain the foreground by upright people -----------------------------------------------------

Integral = npt.NDArray[np.int32]

CLAIMED = 3
"""Label of shadow and foreground that somebody explains already: neither gain nor cost."""

HEAD_TO, TORSO_TO = 0.15, 0.55
"""Parts of the body from the top, as shares of the height (8-head canon: head 1/8, hips 1/2)."""
HEAD_HALF, TORSO_HALF, LEGS_HALF = 0.07, 0.14, 0.12
"""Half widths of those parts, as shares of the height: shoulders about 0.26 of the height."""
AREA_SHARE = 2 * (
    HEAD_TO * HEAD_HALF + (TORSO_TO - HEAD_TO) * TORSO_HALF + (1 - TORSO_TO) * LEGS_HALF
)
"""Pixels of a silhouette are this times the square of its height."""

FULL_WORTH, SHADOW_WORTH = 4, 1
"""What a pixel of foreground and one of shadow count for a silhouette. A quarter is less than a
person must show, so a shadow alone is nobody, but dark clothes in front of a like colour help."""
BACKGROUND_COST = 0.5
"""What a background pixel inside a silhouette costs, against 1 for foreground gained."""
ODD_SIZE_COST = 0.4
"""Share of its silhouette that a person must show in addition, per share by which its height
differs from the usual one: of two explanations that are as good, the usual height is right."""
CLAIM_HALF, CLAIM_ABOVE, CLAIM_BELOW = 0.2, 1.08, 0.06
"""An accepted person takes the foreground this far around, in heights; others may not use it."""
STEPS_PER_HEIGHT = 12
"""Places tried per height of a person: half a shoulder's width. The best is refined to a pixel."""
SAME_PERSON = 0.35
"""From one picture to the next nobody moves further than this, in heights, as far as somebody who
is found again is the same one."""
AT_SIDE = 0.25
"""A foot nearer to a side of the picture than this, in heights: an arm may be outside."""

_LABELS = types.Array(types.uint8, 2, "C", readonly=True)
_F4_2D = types.Array(types.float32, 2, "C", readonly=True)
_F8 = types.Array(types.float64, 1, "C", readonly=True)
_PEOPLE = types.Array(types.float64, 2, "C")
_SEEN = types.Array(types.float64, 2, "C", readonly=True)


@inner_loop
def _count(sums: Integral, left: float, top: float, right: float, bottom: float) -> int:
    """What a table of sums says about a rectangle, clipped to the image."""
    height, width = sums.shape[0] - 1, sums.shape[1] - 1
    x0 = min(max(int(np.floor(left + 0.5)), 0), width)
    x1 = min(max(int(np.floor(right + 0.5)), 0), width)
    y0 = min(max(int(np.floor(top + 0.5)), 0), height)
    y1 = min(max(int(np.floor(bottom + 0.5)), 0), height)
    if x1 <= x0 or y1 <= y0:
        return 0
    return int(sums[y1, x1] - sums[y0, x1] - sums[y1, x0] + sums[y0, x0])


@inner_loop
def _inside(sums: Integral, x: float, y: float, tall: float) -> int:
    """The same about the silhouette of height ``tall`` that stands at (x, y)."""
    top, neck, hips = y - tall, y - (1 - HEAD_TO) * tall, y - (1 - TORSO_TO) * tall
    head, torso, legs = HEAD_HALF * tall, TORSO_HALF * tall, LEGS_HALF * tall
    return (
        _count(sums, x - head, top, x + head, neck)
        + _count(sums, x - torso, neck, x + torso, hips)
        + _count(sums, x - legs, hips, x + legs, y)
    )


@inner_loop
def _add_up(
    labels: npt.NDArray[np.uint8], worth: npt.NDArray[np.int32], sums: Integral, from_row: int
) -> None:
    """sums[y, x] = worth of the labels above and left of (x, y), from a row on."""
    for y in range(from_row, labels.shape[0]):
        row = 0
        for x in range(labels.shape[1]):
            row += worth[labels[y, x]]
            sums[y + 1, x + 1] = sums[y, x + 1] + row


@inner_loop
def _visible(free: Integral, empty: Integral, x: float, y: float, tall: float) -> float:
    """Share of a silhouette that is unexplained evidence, less the cost of background."""
    area = FULL_WORTH * AREA_SHARE * tall * tall
    found = _inside(free, x, y, tall)
    if found == 0:
        return 0.0
    return (found - BACKGROUND_COST * _inside(empty, x, y, tall)) / area


@inner_loop
def _best_gain(  # noqa: PLR0917 - numba takes no keyword-only arguments
    free: Integral,
    empty: Integral,
    x: int,
    y: int,
    height_px: npt.NDArray[np.float32],
    sizes: npt.NDArray[np.float64],
    least: npt.NDArray[np.float64],
) -> tuple[float, float]:
    """Gain in pixels of the best size of a person at (x, y), and its height in px."""
    best, best_tall = 0.0, 0.0
    usual = float(height_px[y, x])
    if usual < least[0]:
        return best, best_tall
    for size in sizes:
        tall = usual * size
        shown = _visible(free, empty, float(x), float(y), tall)
        enough = least[1] + ODD_SIZE_COST * abs(size - 1.0)
        gain = (shown - enough) * AREA_SHARE * tall * tall
        if gain > best:
            best, best_tall = gain, tall
    return best, best_tall


@inner_loop
def _claim(left_over: npt.NDArray[np.uint8], x: float, y: float, tall: float) -> None:
    """Mark the evidence around an accepted person as explained: neither gain nor cost."""
    height, width = left_over.shape
    for row in range(
        max(0, int(y - CLAIM_ABOVE * tall)), min(height, int(y + CLAIM_BELOW * tall) + 1)
    ):
        for column in range(
            max(0, int(x - CLAIM_HALF * tall)), min(width, int(x + CLAIM_HALF * tall) + 1)
        ):
            if left_over[row, column] != BACKGROUND:
                left_over[row, column] = CLAIMED


@inner_loop
def _places(
    free: Integral,
    height_px: npt.NDArray[np.float32],
    sizes: npt.NDArray[np.float64],
    least: npt.NDArray[np.float64],
) -> tuple[int, npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Where a person might stand: a grid that is finer where people are small.

    Left out is where even all foreground around would not be enough for the smallest size.
    """
    rows, width = height_px.shape
    place_x = np.empty(rows * width, np.int32)
    place_y = np.empty(rows * width, np.int32)
    enough = FULL_WORTH * least[1] * AREA_SHARE * sizes[0] * sizes[0]
    places = 0
    y = 1
    while y < rows:
        stride = max(1, int(height_px[y, width // 2] / STEPS_PER_HEIGHT))
        for x in range(0, width, stride):
            tall = float(height_px[y, x])
            if tall >= least[0]:
                most = tall * sizes[-1]
                half = TORSO_HALF * most
                if _count(free, x - half, y - most, x + half, float(y)) >= enough * tall * tall:
                    place_x[places] = x
                    place_y[places] = y
                    places += 1
        y += stride
    return places, place_x, place_y


@kernel(_LABELS, _F4_2D, _F8, _F8, _PEOPLE)
def explain_foreground(
    labels: npt.NDArray[np.uint8],
    height_px: npt.NDArray[np.float32],
    sizes: npt.NDArray[np.float64],
    least: npt.NDArray[np.float64],
    people: npt.NDArray[np.float64],
) -> int:
    """Place people one by one, each where it explains most, until none explains enough.

    Source: the greedy form of Zhao & Nevatia (2003), "Bayesian human segmentation in crowded
    situations": foreground is explained by human shapes under a camera model, with a cost for
    background covered and for each person. What a person explains falls only as others are
    placed, so after each one only its neighbours are looked at again.

    Args:
        labels: uint8[h, w], 0 background, 1 shadow, 2 foreground.
        height_px: float32[h + below + 1, w], height of a person of size 1 whose feet are at the
            upper edge of that row.
        sizes: float64[s], sizes tried, ascending.
        least: float64[2], height in px of a person of size 1 below which nobody of any size is
            looked for in a place: were the tall still looked for, everybody there would be taken
            for tall; and least share of its silhouette that a person must show, after costs.
        people: float64[most, 4], filled with x, y of the foot, height in px, and visible share
            (foreground less costs).

    Returns:
        Number of people; equal to ``most`` if there may have been more.
    """
    height, width = labels.shape
    rows = height_px.shape[0]
    free = np.zeros((height + 1, width + 1), np.int32)
    empty = np.zeros((height + 1, width + 1), np.int32)
    left_over = labels.copy()
    evidence = np.array([0, SHADOW_WORTH, FULL_WORTH, 0], np.int32)
    doubt = np.array([FULL_WORTH, 0, 0, 0], np.int32)
    _add_up(left_over, evidence, free, 0)
    _add_up(left_over, doubt, empty, 0)

    places, place_x, place_y = _places(free, height_px, sizes, least)
    gain = np.zeros(places)
    for i in range(places):
        gain[i] = _best_gain(free, empty, place_x[i], place_y[i], height_px, sizes, least)[0]

    found = 0
    while found < len(people) and places > 0:
        best = np.argmax(gain)
        if gain[best] <= 0:
            break
        x0, y0 = place_x[best], place_y[best]
        top_gain, top_x, top_y, top_tall = -1.0, 0.0, 0.0, 0.0
        reach = max(1, int(height_px[y0, x0] / STEPS_PER_HEIGHT))
        for y in range(max(1, y0 - reach), min(rows, y0 + reach + 1)):
            for x in range(max(0, x0 - reach), min(width, x0 + reach + 1)):
                here, tall = _best_gain(free, empty, x, y, height_px, sizes, least)
                if here > top_gain:
                    top_gain, top_x, top_y, top_tall = here, float(x), float(y), tall
        people[found, 0] = top_x
        people[found, 1] = top_y
        people[found, 2] = top_tall
        people[found, 3] = _visible(free, empty, top_x, top_y, top_tall)
        found += 1
        _claim(left_over, top_x, top_y, top_tall)
        _add_up(left_over, evidence, free, max(0, int(top_y - CLAIM_ABOVE * top_tall)))
        for i in range(places):
            tall = float(height_px[place_y[i], place_x[i]]) * sizes[-1]
            is_touched = (
                gain[i] > 0
                and abs(place_x[i] - top_x) <= CLAIM_HALF * top_tall + TORSO_HALF * tall + 2
                and place_y[i] >= top_y - CLAIM_ABOVE * top_tall - 2
                and place_y[i] - tall <= top_y + CLAIM_BELOW * top_tall + 2
            )
            if is_touched:
                gain[i] = _best_gain(free, empty, place_x[i], place_y[i], height_px, sizes, least)[
                    0
                ]
    return found


@kernel(_LABELS, _F4_2D, types.float64, _SEEN, _PEOPLE, types.int64)
def keep_in_sight(  # noqa: PLR0917 - numba takes no keyword-only arguments
    labels: npt.NDArray[np.uint8],
    height_px: npt.NDArray[np.float32],
    least_px: float,
    before: npt.NDArray[np.float64],
    people: npt.NDArray[np.float64],
    found: int,
) -> int:
    """Look for those again who were seen in the picture before and are not found in this one.

    To begin with somebody takes good evidence. To go on with them it is enough that more speaks for
    them than against, where they were and as tall as they were: who steps behind a sign has not
    gone while an arm and the legs show. (Canny 1986 follows edges by two thresholds likewise.)
    Who was at a side of the picture has left it: what is still seen of them is not gone on with.

    Args:
        labels, height_px: as of :func:`explain_foreground`.
        least_px: height of a person of size 1 below which nobody is looked for.
        before: float64[k, 3], x, y of the foot and height in px of the picture before.
        people: float64[most, 4], the first ``found`` filled; those who are kept are added.
        found: how many.

    Returns:
        Number of people, those who are kept among them.
    """
    is_gone = np.ones(len(before), np.bool_)
    for i in range(found):
        nearest, least = -1, SAME_PERSON
        for k in range(len(before)):
            aside, down = people[i, 0] - before[k, 0], people[i, 1] - before[k, 1]
            gap = np.sqrt(aside * aside + down * down) / before[k, 2]
            if is_gone[k] and gap < least:
                nearest, least = k, gap
        if nearest >= 0:
            is_gone[nearest] = False
    if not is_gone.any():
        return found
    height, width = labels.shape
    free = np.zeros((height + 1, width + 1), np.int32)
    empty = np.zeros((height + 1, width + 1), np.int32)
    left_over = labels.copy()
    evidence = np.array([0, SHADOW_WORTH, FULL_WORTH, 0], np.int32)
    _add_up(left_over, np.array([FULL_WORTH, 0, 0, 0], np.int32), empty, 0)
    for i in range(found):
        _claim(left_over, people[i, 0], people[i, 1], people[i, 2])
    _add_up(left_over, evidence, free, 0)
    rows = height_px.shape[0]
    for k in range(len(before)):
        x0, y0, was_px = int(before[k, 0]), int(before[k, 1]), before[k, 2]
        half = int(AT_SIDE * was_px)
        is_looked_for = is_gone[k] and half <= x0 < width - half and 1 <= y0 < rows
        if found == len(people) or not is_looked_for or height_px[y0, x0] < least_px:
            continue
        size = was_px / float(height_px[y0, x0])
        reach = max(1, int(was_px / STEPS_PER_HEIGHT))
        best, best_x, best_y, best_tall = 0.0, 0.0, 0.0, 0.0
        for y in range(max(1, y0 - reach), min(rows, y0 + reach + 1)):
            for x in range(max(0, x0 - reach), min(width, x0 + reach + 1)):
                if height_px[y, x] < least_px:
                    continue
                tall = size * float(height_px[y, x])
                shown = _visible(free, empty, float(x), float(y), tall)
                if shown > best:
                    best, best_x, best_y, best_tall = shown, float(x), float(y), tall
        if best > 0:
            people[found, 0], people[found, 1] = best_x, best_y
            people[found, 2], people[found, 3] = best_tall, best
            found += 1
            _claim(left_over, best_x, best_y, best_tall)
            _add_up(left_over, evidence, free, max(0, int(best_y - CLAIM_ABOVE * best_tall)))
    return found


# --- from a placed silhouette to a box ------------------------------------------------------------

REACH_HALF, REACH_ABOVE, REACH_BELOW = 0.3, 1.12, 0.1
"""Foreground this far around a silhouette, in heights, may belong to its person."""
ELLIPSE_HALF, ELLIPSE_UP = 0.17, 0.5
"""Half axes of the ellipse that measures nearness, in heights."""
TAIL = 0.01
"""Share of a person's pixels beyond each edge of its box: stray pixels move nothing."""

SHADOW_HALF, SHADOW_BELOW = 0.16, 0.06
"""Darkened pixels this near the axis and not further below the foot, in heights, are clothes and
shoes: inside a silhouette accepted on stronger evidence, a shadow's colour is no doubt any more."""
LEAST_WIDTH, MOST_WIDTH = 0.3, 0.5
"""Width of an upright person's box, in heights: shoulders and arms; a long stride."""
LEAST_SHOWN = 0.8
"""If less than this share of the height was seen, the box is completed to the whole person."""

_F8_IN = types.Array(types.float64, 2, "C", readonly=True)
_OWNER = types.Array(types.int32, 2, "C")
_F8_OUT = types.Array(types.float64, 2, "C")


@inner_loop
def _share_out(
    cleaned: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.uint8],
    people: npt.NDArray[np.float64],
    owner: npt.NDArray[np.int32],
) -> None:
    """Give each pixel to the nearest person it may belong to."""
    height, width = labels.shape
    nearness = np.full((height, width), np.inf)
    owner[:] = -1
    for i in range(len(people)):
        x, y, tall = people[i, 0], people[i, 1], people[i, 2]
        for row in range(
            max(0, int(y - REACH_ABOVE * tall)), min(height, int(y + REACH_BELOW * tall) + 1)
        ):
            down = row + 0.5 - y
            for column in range(
                max(0, int(x - REACH_HALF * tall)), min(width, int(x + REACH_HALF * tall) + 1)
            ):
                aside = column + 0.5 - x
                is_body = (
                    cleaned[row, column] == FOREGROUND
                    or labels[row, column] == FOREGROUND
                    or (
                        labels[row, column] == SHADOW
                        and abs(aside) <= SHADOW_HALF * tall
                        and -tall <= down <= SHADOW_BELOW * tall
                    )
                )
                if is_body:
                    across = aside / (ELLIPSE_HALF * tall)
                    along = (down + 0.5 * tall) / (ELLIPSE_UP * tall)
                    far = across * across + along * along
                    if far < nearness[row, column]:
                        nearness[row, column] = far
                        owner[row, column] = i


@kernel(_LABELS, _LABELS, _F8_IN, _OWNER, _F8_OUT)
def measure_people(
    cleaned: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.uint8],
    people: npt.NDArray[np.float64],
    owner: npt.NDArray[np.int32],
    extent: npt.NDArray[np.float64],
) -> None:
    """Give each pixel to the nearest person it may belong to, and measure each person's pixels.

    What placed a person was the cleaned foreground; what measures it is also the weaker evidence
    around: foreground that the cleaning removed, and shadow within the body.

    Args:
        cleaned: uint8[h, w], 2 foreground.
        labels: uint8[h, w], before cleaning: 0 background, 1 shadow, 2 foreground.
        people: float64[n, 4], x, y of the foot and height in px first.
        owner: int32[h, w], filled with the person each pixel belongs to, -1 for none.
        extent: float64[n, 5], filled with left, top, right, bottom in px and number of pixels.
            Without any pixel, all four are the foot.
    """
    height, width = labels.shape
    _share_out(cleaned, labels, people, owner)
    for i in range(len(people)):
        x, y, tall = people[i, 0], people[i, 1], people[i, 2]
        top = max(0, int(y - REACH_ABOVE * tall))
        bottom = min(height, int(y + REACH_BELOW * tall) + 1)
        left = max(0, int(x - REACH_HALF * tall))
        right = min(width, int(x + REACH_HALF * tall) + 1)
        in_row = np.zeros(max(bottom - top, 0), np.int64)
        in_column = np.zeros(max(right - left, 0), np.int64)
        pixels = 0
        for row in range(top, bottom):
            for column in range(left, right):
                if owner[row, column] == i:
                    in_row[row - top] += 1
                    in_column[column - left] += 1
                    pixels += 1
        extent[i, 4] = pixels
        if pixels == 0:
            extent[i, 0], extent[i, 1], extent[i, 2], extent[i, 3] = x, y, x, y
            continue
        tail = TAIL * pixels
        for axis in range(2):
            counts, start = (in_column, left) if axis == 0 else (in_row, top)
            seen, first = 0.0, 0
            while seen + counts[first] <= tail:
                seen += counts[first]
                first += 1
            seen, last = 0.0, len(counts) - 1
            while seen + counts[last] <= tail:
                seen += counts[last]
                last -= 1
            extent[i, axis] = start + first
            extent[i, axis + 2] = start + last + 1


def person_boxes(
    people: npt.NDArray[np.float64], extent: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """float64[n, 4], left, top, right, bottom in px: what was seen, completed to a person.

    Somebody half hidden gets the box of the whole body, as trackers and the ground position need
    it; the width is kept within that of an upright person.

    >>> person_boxes(np.array([[50.0, 100, 60, 0.5]]), np.array([[45.0, 41, 55, 70, 200]]))
    array([[ 41.,  40.,  59., 100.]])
    """
    x, foot, tall = people[:, 0], people[:, 1], people[:, 2]
    left, top, right, bottom = extent[:, :4].T
    is_hidden = bottom - top < LEAST_SHOWN * tall
    top = np.where(is_hidden, np.minimum(top, foot - tall), top)
    bottom = np.where(is_hidden, np.maximum(bottom, foot), bottom)
    wide = right - left
    half = np.clip(wide, LEAST_WIDTH * (bottom - top), MOST_WIDTH * (bottom - top)) / 2
    # Too narrow: around what was seen. Too wide: around the axis, as one side is not the body.
    middle = np.where(wide > 2 * half, x, (left + right) / 2)
    return np.stack([middle - half, top, middle + half, bottom], axis=1)


# --- parts of a body that look like a smaller person ----------------------------------------------

PART_SCORE = 0.5
"""Who may be a part of somebody else has this share of its score: of two explanations, each is as
likely."""


def may_be_parts(
    people: npt.NDArray[np.float64], extent: npt.NDArray[np.float64]
) -> npt.NDArray[np.bool_]:
    """bool[n]: who may be the head or an arm of somebody taller rather than a person far behind.

    Who leans forward or stretches an arm out reaches beyond their silhouette, and what sticks out
    may be as large as a whole person who stands far away: where the picture shows feet, at the
    height of the taller one's chest. Nothing in one picture tells the two apart, so nobody is
    left out for it: it takes more pictures to believe in them.

    Args:
        people: float64[n, 4], x, y of the foot and height in px first.
        extent: float64[n, 5], left, top, right, bottom in px of what was seen of each first.

    >>> people = np.array([[100.0, 340, 300, 0.8], [130, 120, 120, 0.7], [400, 120, 120, 0.7]])
    >>> extent = np.array([[60.0, 40, 120, 340, 9], [115, 10, 140, 120, 9], [385, 10, 410, 120, 9]])
    >>> may_be_parts(people, extent).tolist()
    [False, True, False]
    """
    foot, tall = people[:, 1], people[:, 2]
    left, top, right, bottom = extent[:, :4].T
    is_smaller = tall[:, None] < tall
    is_above_hips = foot[:, None] <= foot - (1 - TORSO_TO) * tall
    is_beside = (
        (left[:, None] <= right)
        & (left <= right[:, None])
        & (top[:, None] <= bottom)
        & (top <= bottom[:, None])
    )
    found: npt.NDArray[np.bool_] = (is_smaller & is_above_hips & is_beside).any(axis=1)
    return found
