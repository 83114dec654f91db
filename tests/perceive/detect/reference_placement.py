"""What the kernels that place and measure people compute: the specification, slow and plain.

Same names, arguments and results as in :mod:`.people` and
:mod:`.motion`, equal to the bit.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sightline.perceive.detect import people as shape
from sightline.perceive.detect.background import BACKGROUND, FOREGROUND, SHADOW

Table = npt.NDArray[np.float64]


def explain_foreground(
    labels: npt.NDArray[np.uint8],
    height_px: npt.NDArray[np.float32],
    sizes: Table,
    least: Table,
    people: Table,
) -> int:
    """Place people greedily.

    The gain of a person of height t at a place, in pixels, is (shown - enough) · area(t), where
    shown = (worth of unexplained evidence - cost of background) / area, inside its silhouette,
    and enough grows with the difference of t from the usual height.
    The best place on the grid is refined to the best pixel around it; its evidence, with a
    margin, is explained then.
    """
    worth = np.array([0, shape.SHADOW_WORTH, shape.FULL_WORTH, 0])
    left_over = labels.copy()
    empty = np.where(labels == BACKGROUND, shape.FULL_WORTH, 0)
    rows, width = height_px.shape

    def best_gain(x: int, y: int) -> tuple[float, float]:
        best = (0.0, 0.0)
        for size in sizes if height_px[y, x] >= least[0] else ():
            tall = float(height_px[y, x]) * size
            enough = least[1] + shape.ODD_SIZE_COST * abs(size - 1.0)
            gain = (shown(x, y, tall) - enough) * shape.AREA_SHARE * tall * tall
            best = max(best, (gain, tall), key=lambda both: both[0])
        return best

    def shown(x: float, y: float, tall: float) -> float:
        inside = _silhouette(x, y, tall)
        found = sum(worth[left_over[part]].sum() for part in inside)
        if found == 0:
            return 0.0
        cost = shape.BACKGROUND_COST * sum(empty[part].sum() for part in inside)
        return float((found - cost) / (shape.FULL_WORTH * shape.AREA_SHARE * tall * tall))

    places, y = [], 1
    while y < rows:
        stride = max(1, int(height_px[y, width // 2] / shape.STEPS_PER_HEIGHT))
        places += [(x, y) for x in range(0, width, stride)]
        y += stride

    found = 0
    while found < len(people):
        gains = [best_gain(*place)[0] for place in places]
        best = int(np.argmax(gains))
        if gains[best] <= 0:
            break
        x0, y0 = places[best]
        reach = max(1, int(height_px[y0, x0] / shape.STEPS_PER_HEIGHT))
        around = [
            (x, y)
            for y in range(max(1, y0 - reach), min(rows, y0 + reach + 1))
            for x in range(max(0, x0 - reach), min(width, x0 + reach + 1))
        ]
        x, y = max(around, key=lambda place: best_gain(*place)[0])
        tall = best_gain(x, y)[1]
        people[found] = x, y, tall, shown(x, y, tall)
        found += 1
        claimed = left_over[
            max(0, int(y - shape.CLAIM_ABOVE * tall)) : int(y + shape.CLAIM_BELOW * tall) + 1,
            max(0, int(x - shape.CLAIM_HALF * tall)) : int(x + shape.CLAIM_HALF * tall) + 1,
        ]
        claimed[claimed != BACKGROUND] = shape.CLAIMED
    return found


def _silhouette(x: float, y: float, tall: float) -> list[tuple[slice, slice]]:
    """Head, torso and legs as slices of the image, edges rounded half up."""
    neck, hips = y - (1 - shape.HEAD_TO) * tall, y - (1 - shape.TORSO_TO) * tall
    parts = [
        (y - tall, neck, shape.HEAD_HALF),
        (neck, hips, shape.TORSO_HALF),
        (hips, y, shape.LEGS_HALF),
    ]

    def edge(value: float) -> int:
        return max(0, int(np.floor(value + 0.5)))

    return [
        (
            slice(edge(top), edge(bottom)),
            slice(edge(x - half * tall), edge(x + half * tall)),
        )
        for top, bottom, half in parts
    ]


def measure_people(
    cleaned: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.uint8],
    people: Table,
    owner: npt.NDArray[np.int32],
    extent: Table,
) -> None:
    """A pixel belongs to the nearest person, in units of an ellipse, among those that reach it.

    A box edge is where more than ``TAIL`` of a person's pixels lie beyond.
    """
    height, width = labels.shape
    row, column = np.mgrid[0:height, 0:width]
    nearest = np.full(labels.shape, np.inf)
    owner[:] = -1
    for i, (x, y, tall) in enumerate(people[:, :3]):
        down, aside = row + 0.5 - y, column + 0.5 - x
        is_reached = (
            (row >= int(y - shape.REACH_ABOVE * tall))
            & (row <= int(y + shape.REACH_BELOW * tall))
            & (column >= int(x - shape.REACH_HALF * tall))
            & (column <= int(x + shape.REACH_HALF * tall))
        )
        is_clothes = (
            (labels == SHADOW)
            & (np.abs(aside) <= shape.SHADOW_HALF * tall)
            & (down >= -tall)
            & (down <= shape.SHADOW_BELOW * tall)
        )
        across = aside / (shape.ELLIPSE_HALF * tall)
        along = (down + 0.5 * tall) / (shape.ELLIPSE_UP * tall)
        far = across * across + along * along
        is_body = (cleaned == FOREGROUND) | (labels == FOREGROUND) | is_clothes
        is_own = is_reached & is_body & (far < nearest)
        nearest[is_own], owner[is_own] = far[is_own], i
    for i, (x, y) in enumerate(people[:, :2]):
        own_row, own_column = np.nonzero(owner == i)
        pixels = len(own_row)
        extent[i] = x, y, x, y, pixels
        if pixels:
            skipped = int(shape.TAIL * pixels)  # whole pixels that may lie beyond an edge
            for axis, values in ((0, np.sort(own_column)), (1, np.sort(own_row))):
                extent[i, axis] = values[skipped]
                extent[i, axis + 2] = values[pixels - 1 - skipped] + 1


def contour_contrast(
    image: npt.NDArray[np.uint8],
    picture: npt.NDArray[np.float32],
    owner: npt.NDArray[np.int32],
    contrast: Table,
) -> None:
    """Sums of absolute central differences on the contour of each object."""
    middle = (slice(1, -1), slice(1, -1))
    up, down = (slice(None, -2), slice(1, -1)), (slice(2, None), slice(1, -1))
    left, right = (slice(1, -1), slice(None, -2)), (slice(1, -1), slice(2, None))
    own = owner[middle]
    is_inside = np.minimum.reduce([owner[part] for part in (up, down, left, right)]) >= 0
    for column, pixels in enumerate((image.astype(np.float64), picture.astype(np.float64))):
        change = np.abs(pixels[down] - pixels[up]) + np.abs(pixels[right] - pixels[left])
        for i in range(len(contrast)):
            contrast[i, column] = change[(own == i) & ~is_inside].sum()


def keep_in_sight(
    labels: npt.NDArray[np.uint8],
    height_px: npt.NDArray[np.float32],
    least_px: float,
    before: Table,
    people: Table,
    found: int,
) -> int:
    """Whoever was there before and is none of those found stays where most speaks for them.

    Each of those found is the nearest of those before, in heights, if near enough; then each of the
    others who was at no side is tried, in order, at every place within their reach, and kept if
    more evidence than cost is left there.
    """
    rows, width = height_px.shape
    worth = np.array([0, shape.SHADOW_WORTH, shape.FULL_WORTH, 0])
    empty = np.where(labels == BACKGROUND, shape.FULL_WORTH, 0)
    left_over = labels.copy()

    def claim(x: float, y: float, tall: float) -> None:
        claimed = left_over[
            max(0, int(y - shape.CLAIM_ABOVE * tall)) : int(y + shape.CLAIM_BELOW * tall) + 1,
            max(0, int(x - shape.CLAIM_HALF * tall)) : int(x + shape.CLAIM_HALF * tall) + 1,
        ]
        claimed[claimed != BACKGROUND] = shape.CLAIMED

    def shown(x: int, y: int, tall: float) -> float:
        inside = _silhouette(x, y, tall)
        evidence = sum(worth[left_over[part]].sum() for part in inside)
        if evidence == 0:
            return 0.0
        cost = shape.BACKGROUND_COST * sum(empty[part].sum() for part in inside)
        return float((evidence - cost) / (shape.FULL_WORTH * shape.AREA_SHARE * tall * tall))

    gone = list(range(len(before)))
    for x, y, tall, _ in people[:found]:
        claim(x, y, tall)
        gaps = [np.hypot(x - before[k, 0], y - before[k, 1]) / before[k, 2] for k in gone]
        if gaps and min(gaps) < shape.SAME_PERSON:
            del gone[int(np.argmin(gaps))]
    for k in gone:
        x0, y0, was_px = int(before[k, 0]), int(before[k, 1]), before[k, 2]
        half = int(shape.AT_SIDE * was_px)
        is_inside = half <= x0 < width - half and 1 <= y0 < rows
        is_looked_for = is_inside and height_px[y0, x0] >= least_px
        if found == len(people) or not is_looked_for:
            continue
        reach = max(1, int(was_px / shape.STEPS_PER_HEIGHT))
        size = was_px / float(height_px[y0, x0])
        best = (0.0, 0, 0, 0.0)
        for y in range(max(1, y0 - reach), min(rows, y0 + reach + 1)):
            for x in range(max(0, x0 - reach), min(width, x0 + reach + 1)):
                tall = size * float(height_px[y, x])
                if height_px[y, x] >= least_px:
                    best = max(best, (shown(x, y, tall), x, y, tall), key=lambda one: one[0])
        if best[0] > 0:
            people[found] = *best[1:], best[0]
            found += 1
            claim(*best[1:])
    return found
