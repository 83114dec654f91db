"""Defects drawn into good pictures: cavities, lines, broken borders, areas of another texture.

The shapes and contrasts are those of machined and cast surfaces in general; none was fitted to a
data set. Compare V. Zavrtanik et al., DRAEM, ICCV 2021, who learn from drawn anomalies, too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from sightline.perceive.inspection.floats import Floats
from sightline.records.frames import Image

Mask = npt.NDArray[np.bool_]
Random = np.random.Generator


_MOST_DEFECTS = 3


def draw_defects(picture: Image, other: Image, random: Random) -> tuple[Image, Mask]:
    """A copy of a good picture with one to three defects; see :func:`draw_defect`."""
    whole = np.zeros(picture.shape[:2], np.bool_)
    for _ in range(int(random.integers(1, _MOST_DEFECTS + 1))):
        picture, mask = draw_defect(picture, other, random)
        whole |= mask
    return picture, whole


def draw_defect(picture: Image, other: Image, random: Random) -> tuple[Image, Mask]:
    """A copy of a good picture with one defect, and where it is.

    Args:
        picture: uint8[h, w] or [h, w, 3], at least 16 px a side.
        other: another good picture, from which texture may be taken; any size.
        random: where shapes, places and contrasts come from.

    Returns:
        uint8 like ``picture``, and bool[h, w].
    """
    plain = picture.astype(np.float32)
    width, height = picture.shape[1], picture.shape[0]
    texture = np.asarray(cv2.resize(other, (width, height)), np.float32)
    kind = _KINDS[random.choice(len(_KINDS), p=_SHARES)]
    is_colour = picture.ndim == 3
    if not is_colour:
        plain, texture = plain[:, :, None], texture[:, :, None]
    drawn, mask = kind(plain, texture, random)
    if not is_colour:
        drawn = drawn[:, :, 0]
    return np.clip(np.round(drawn), 0, 255).astype(np.uint8), mask


def _cavity(plain: Floats, texture: Floats, random: Random) -> tuple[Floats, Mask]:
    """A hole or an inclusion, 2 to 16 px in radius, mostly darker, some with a bright rim."""
    height, width = plain.shape[:2]
    size = float(np.exp(random.uniform(np.log(2.5), np.log(16))))
    mask = _blob(height, width, size=size, random=random)
    share = _soft(mask, random.uniform(0.5, 1.2))
    gain = random.uniform(0.25, 0.8) if random.random() < 0.8 else random.uniform(1.3, 2.0)
    grain = _noise(height, width, 2, random) * 3
    drawn = plain * (1 - share) + (plain * gain + grain) * share
    if random.random() < 0.4:
        wide = cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8))
        rim = np.clip(_soft(wide, 1.0) - share, 0, 1)
        drawn = drawn + rim * random.uniform(0, 25)
    return drawn, mask


def _line(plain: Floats, texture: Floats, random: Random) -> tuple[Floats, Mask]:
    """A crack or scratch, 1 to 3 px wide, that wanders."""
    height, width = plain.shape[:2]
    step, heading = random.uniform(5, 18), random.uniform(0, 2 * np.pi)
    point = np.array([random.uniform(0, width), random.uniform(0, height)])
    points = [point]
    for turn in random.normal(size=int(random.integers(3, 14))) * 0.35:
        heading += turn
        point = point + step * np.array([np.cos(heading), np.sin(heading)])
        points.append(point)
    drawn = np.zeros((height, width), np.uint8)
    corners = np.round(np.array(points)).astype(np.int32)
    cv2.polylines(drawn, [corners], False, 1, int(random.integers(1, 4)))
    mask = drawn > 0
    share = _soft(mask, random.uniform(0.4, 0.9))
    gain = random.uniform(0.3, 0.8) if random.random() < 0.7 else random.uniform(1.25, 1.8)
    return plain * (1 - share) + plain * gain * share, mask


def _break(plain: Floats, texture: Floats, random: Random) -> tuple[Floats, Mask]:
    """A piece that is missing: smoother, of another brightness, mostly at a border."""
    height, width = plain.shape[:2]
    borders = [
        (0.0, random.uniform(0, width)),
        (float(height), random.uniform(0, width)),
        (random.uniform(0, height), 0.0),
        (random.uniform(0, height), float(width)),
    ]
    at = borders[random.integers(4)] if random.random() < 0.75 else None
    mask = _blob(height, width, size=random.uniform(8, 45), random=random, at=at)
    share = _soft(mask, random.uniform(0.5, 1.5))
    ground = _smooth(plain, random.uniform(2, 6)) * random.uniform(0.35, 1.4)
    ground = ground + _noise(height, width, random.uniform(2, 8), random) * random.uniform(2, 10)
    drawn = plain * (1 - share) + ground * share
    if random.random() < 0.6:
        kernel = np.ones((3, 3), np.uint8)
        edge = _soft(cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_GRADIENT, kernel), 0.6)
        drawn = drawn * (1 - edge * random.uniform(0.2, 0.7))
    return drawn, mask


def _area(plain: Floats, texture: Floats, random: Random) -> tuple[Floats, Mask]:
    """Another texture over a band, an end, a field or a patch, with a sharp border.

    It is smeared along the grain as by another tool, rougher, smoother, or from elsewhere; mostly
    it ends across the grain. Its brightness may step, too, and its border may be a line.
    """
    height, width = plain.shape[:2]
    is_upright = _grain_is_upright(plain)
    mask = _area_mask(height, width, random, is_upright=is_upright)
    share = _soft(mask, random.uniform(0.4, 2.0))
    ground = _smooth(plain, random.uniform(4, 10))
    detail = plain - ground
    kind = random.random()
    filled: Floats
    if kind < 0.5:
        length = int(random.integers(9, 41)) | 1
        kernel = np.full((length, 1) if is_upright else (1, length), 1 / length, np.float32)
        smeared = np.asarray(cv2.filter2D(detail, -1, kernel), np.float32).reshape(plain.shape)
        spread = float(detail.std()) / (float(smeared.std()) + 1e-3)
        filled = ground + smeared * spread * random.uniform(0.8, 2.5)
        filled = filled + detail * random.uniform(0.1, 0.9)
    elif kind < 0.65:
        filled = ground + detail * random.uniform(1.6, 3.0)
    elif kind < 0.85:
        other = texture - _smooth(texture, 8)
        filled = ground + other * random.uniform(0.8, 1.8)
    else:
        filled = ground + detail * random.uniform(0.1, 0.5)
    filled = filled * math.exp(random.uniform(-0.2, 0.25))
    drawn = plain * (1 - share) + filled * share
    if random.random() < 0.5:
        kernel = np.ones((3, 3), np.uint8)
        edge = _soft(cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_GRADIENT, kernel), 0.6)
        drawn = drawn * (1 + edge * random.uniform(-0.3, 0.15))
    return drawn, mask


def _area_mask(height: int, width: int, random: Random, *, is_upright: bool) -> Mask:
    if random.random() < 0.25:
        return _blob(height, width, size=random.uniform(20, 80), random=random)
    long, wide = (height, width) if is_upright else (width, height)
    y, x = np.mgrid[:long, :wide].astype(np.float32)
    tilt = random.normal() * 0.1 if random.random() < 0.8 else random.uniform(-1.2, 1.2)
    waves = _noise(long, wide, random.uniform(15, 50), random)[:, :, 0] * random.uniform(0.5, 4)
    along = y + (x - wide / 2) * math.tan(tilt) + waves
    begin, length = random.uniform(0.05, 0.95), random.uniform(0.08, 0.6)
    if random.random() < 0.5:
        mask = along > begin * long if random.random() < 0.5 else along < begin * long
    else:
        mask = np.abs(along - begin * long) < length * long / 2
    if random.random() < 0.35:
        across = x + _noise(long, wide, 30, random)[:, :, 0] * 3
        middle, half = random.uniform(0, wide), random.uniform(0.15, 0.5) * wide
        mask = mask & (np.abs(across - middle) < half)
    return np.asarray(mask if is_upright else mask.T, np.bool_)


def _grain_is_upright(plain: Floats) -> bool:
    """Whether brightness changes more from left to right than from top to bottom."""
    across = float(np.abs(np.diff(plain, axis=1)).mean())
    return across >= float(np.abs(np.diff(plain, axis=0)).mean())


_KINDS: tuple[Callable[..., tuple[Floats, Mask]], ...] = (_cavity, _line, _break, _area)
_SHARES = (0.2, 0.2, 0.2, 0.4)


def _soft(mask: Any, sigma: float) -> Floats:
    blurred = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), sigma)
    return np.asarray(blurred, np.float32)[:, :, None]


def _smooth(plain: Floats, sigma: float) -> Floats:
    blurred = np.asarray(cv2.GaussianBlur(plain, (0, 0), sigma), np.float32)
    return blurred.reshape(plain.shape)


def _noise(height: int, width: int, scale: float, random: Random) -> Floats:
    """float32[h, w, 1] of deviation about 1, smooth over ``scale`` px."""
    size = (max(2, int(height / scale) + 2), max(2, int(width / scale) + 2))
    coarse = random.normal(size=size).astype(np.float32)
    fine = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(fine, np.float32)[:, :, None]


def _blob(
    height: int, width: int, *, size: float, random: Random, at: tuple[float, float] | None = None
) -> Mask:
    """An ellipse with a ragged border, of radius ``size`` px."""
    middle_y, middle_x = at or (random.uniform(0, height), random.uniform(0, width))
    turn, stretch = random.uniform(0, np.pi), float(np.exp(random.uniform(-0.4, 0.4)))
    y, x = np.mgrid[:height, :width].astype(np.float32)
    along = (x - middle_x) * np.cos(turn) + (y - middle_y) * np.sin(turn)
    across = (y - middle_y) * np.cos(turn) - (x - middle_x) * np.sin(turn)
    radius = np.hypot(along / stretch, across * stretch) / size
    ragged = radius + 0.35 * _noise(height, width, max(size, 3), random)[:, :, 0]
    return np.asarray(ragged < 1, np.bool_)
