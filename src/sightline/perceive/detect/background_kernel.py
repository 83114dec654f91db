"""The per-pixel mixture of Gaussians as one compiled pass; its specification is written beside it.

`observe_pixels` is ``reference_background.observe_pixels`` in one loop over pixels. Most
pixels match their first mode, and then only its numbers are touched.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import types

from sightline.perceive.compiled import inner_loop, kernel

MODES = 3
"""Gaussians per pixel: what is there, what comes and goes (leaves, tape), what is new."""

BACKGROUND, SHADOW, FOREGROUND = 0, 1, 2
"""What a pixel shows; values of a label image."""

_ONE = np.float32(1.0)
_ZERO = np.float32(0.0)

_F4 = npt.NDArray[np.float32]

_IMAGE = types.Array(types.uint8, 3, "C", readonly=True)
_CARE = types.Array(types.uint8, 2, "C", readonly=True)
_F4_IN = types.Array(types.float32, 1, "C", readonly=True)
_F4_3D = types.Array(types.float32, 3, "C")
_F4_4D = types.Array(types.float32, 4, "C")
_LABELS = types.Array(types.uint8, 2, "C")


@inner_loop
def _is_shadow(
    pixel: tuple[np.float32, np.float32, np.float32],
    mean: _F4,
    variance: _F4,
    weight: _F4,
    numbers: _F4,
) -> bool:
    """Whether a pixel is a darker version of a background mode; arrays of this pixel's modes."""
    match, share, shadow_floor = numbers[0], numbers[4], numbers[5]
    b, g, r = pixel
    before = _ZERO
    for k in range(MODES):
        if weight[k] <= _ZERO or before >= share:
            return False
        mb, mg, mr = mean[k, 0], mean[k, 1], mean[k, 2]
        along = b * mb + g * mg + r * mr
        whole = mb * mb + mg * mg + mr * mr
        if along < whole and along >= shadow_floor * whole and whole > _ZERO:
            light = along / whole
            db, dg, dr = b - light * mb, g - light * mg, r - light * mr
            aside = db * db + dg * dg + dr * dr
            if aside < match * variance[k] * light * light:
                return True
        before += weight[k]
    return False


@inner_loop
def _add_mode(  # noqa: PLR0917 - numba takes no keyword-only arguments
    pixel: tuple[np.float32, np.float32, np.float32],
    rate: np.float32,
    first: np.float32,
    mean: _F4,
    variance: _F4,
    weight: _F4,
) -> int:
    """Start a mode in the first free place, or in that of the least; where it is."""
    k = MODES - 1
    for j in range(MODES - 1, -1, -1):
        if weight[j] <= _ZERO:
            k = j
    weight[k] = rate
    mean[k, 0], mean[k, 1], mean[k, 2] = pixel
    variance[k] = first
    total = _ZERO
    for j in range(MODES):
        total += weight[j]
    for j in range(MODES):
        weight[j] /= total
    return k


@inner_loop
def _move_up(k: int, mean: _F4, variance: _F4, weight: _F4) -> None:
    """Move mode ``k`` before those that it outweighs."""
    while k > 0 and weight[k] > weight[k - 1]:
        for c in range(3):
            mean[k, c], mean[k - 1, c] = mean[k - 1, c], mean[k, c]
        variance[k], variance[k - 1] = variance[k - 1], variance[k]
        weight[k], weight[k - 1] = weight[k - 1], weight[k]
        k -= 1


@kernel(_IMAGE, _CARE, _F4_4D, _F4_3D, _F4_3D, _F4_IN, _F4_IN, _F4_IN, _LABELS)
def observe_pixels(  # noqa: PLR0917 - numba takes no keyword-only arguments
    image: npt.NDArray[np.uint8],
    care: npt.NDArray[np.uint8],
    mean: _F4,
    variance: _F4,
    weight: _F4,
    rates: _F4,
    follow: _F4,
    numbers: _F4,
    labels: npt.NDArray[np.uint8],
) -> None:
    """Label every pixel and update its modes in place; see the reference for the rules."""
    match, first, least, most, share = numbers[0], numbers[1], numbers[2], numbers[3], numbers[4]
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            b = np.float32(image[y, x, 0])
            g = np.float32(image[y, x, 1])
            r = np.float32(image[y, x, 2])
            rate = rates[care[y, x]]
            hit = -1
            distance = _ZERO
            is_background = False
            before = _ZERO
            for k in range(MODES):
                if weight[y, x, k] <= _ZERO:
                    break
                db, dg, dr = b - mean[y, x, k, 0], g - mean[y, x, k, 1], r - mean[y, x, k, 2]
                distance = db * db + dg * dg + dr * dr
                if distance < match * variance[y, x, k]:
                    hit = k
                    is_background = before < share
                    break
                before += weight[y, x, k]

            if is_background:
                labels[y, x] = BACKGROUND
            elif _is_shadow((b, g, r), mean[y, x], variance[y, x], weight[y, x], numbers):
                labels[y, x] = SHADOW
            else:
                labels[y, x] = FOREGROUND

            for k in range(MODES):
                weight[y, x, k] *= _ONE - rate
            if hit >= 0:
                weight[y, x, hit] += rate
                step = min(_ONE, max(rate, follow[care[y, x]]) / weight[y, x, hit])
                mean[y, x, hit, 0] += step * (b - mean[y, x, hit, 0])
                mean[y, x, hit, 1] += step * (g - mean[y, x, hit, 1])
                mean[y, x, hit, 2] += step * (r - mean[y, x, hit, 2])
                spread = variance[y, x, hit] + step * (distance - variance[y, x, hit])
                variance[y, x, hit] = min(max(spread, least), most)
            elif rate > _ZERO:
                hit = _add_mode((b, g, r), rate, first, mean[y, x], variance[y, x], weight[y, x])
            if hit > 0:
                _move_up(hit, mean[y, x], variance[y, x], weight[y, x])
