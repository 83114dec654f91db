"""Explain the foreground by upright people: which silhouettes, of the size a camera expects, fit.

Blobs are not people. One person may fall into pieces, and several make one blob. So people are
not made from blobs, but placed where their silhouettes explain foreground: this joins pieces and
splits groups by one rule.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import types

from sightline.perceive.compiled import inner_loop, kernel
from sightline.perceive.detect.background_kernel import BACKGROUND

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

_LABELS = types.Array(types.uint8, 2, "C", readonly=True)
_F4_2D = types.Array(types.float32, 2, "C", readonly=True)
_F8 = types.Array(types.float64, 1, "C", readonly=True)
_PEOPLE = types.Array(types.float64, 2, "C")


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
    for size in sizes:
        tall = float(height_px[y, x]) * size
        if tall < least[0]:
            continue
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
            most = tall * sizes[-1]
            if most >= least[0]:
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
        least: float64[2], least height of a person in px, and least share of its silhouette that
            it must show, after costs.
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
