"""What the background kernel computes, written to be read: the specification, slow and plain.

Same name, arguments and results as in :mod:`.background`, equal to the bit: both calculate
in float32, in the same order.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sightline.perceive.detect.background import BACKGROUND, FOREGROUND, MODES, SHADOW

_F4 = npt.NDArray[np.float32]


def observe_pixels(
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
    """Label every pixel and update its modes in place.

    A pixel *hits* the first mode, by descending weight, within ``match`` variances of it. It is
    background if the modes before that one weigh less than ``share``. It is shadow if it is
    darker than a background mode along the line from black, not darker than ``shadow_floor``,
    and as near to that line as a match has to be.

    All weights shrink by the rate; the mode that was hit gains it and moves towards the pixel,
    without one the last mode gives way to a new one. A mode that gained moves up.

    Args:
        image: uint8[h, w, 3].
        care: uint8[h, w], index into ``rates``.
        mean, variance, weight: float32[h, w, modes, 3], [h, w, modes] and [h, w, modes], by
            descending weight, 0 where there is none; variance is the sum over the channels.
        rates: float32[3], weight of this image per kind of care.
        follow: float32[3], least step of a mode that was hit, times its weight, per kind of care.
        numbers: float32[6]: match (squared sigmas), first, least and most variance, share and
            shadow_floor.
        labels: uint8[h, w], written to.
    """
    match, first, least, most, share, shadow_floor = numbers
    pixel = image.astype(np.float32)[:, :, None, :]
    one, zero = np.float32(1), np.float32(0)
    rate = rates[care]
    exists = weight > zero
    before = np.zeros_like(weight)
    for k in range(1, MODES):
        before[:, :, k] = before[:, :, k - 1] + weight[:, :, k - 1]

    distance = _squared_length(pixel - mean)
    is_match = exists & (distance < match * variance)
    hit = np.where(is_match.any(axis=2), is_match.argmax(axis=2), -1)
    at_hit = np.arange(MODES) == hit[:, :, None]
    is_background = (at_hit & (before < share)).any(axis=2)

    along, whole = _dot(pixel, mean), _dot(mean, mean)
    is_darker = (along < whole) & (along >= shadow_floor * whole) & (whole > zero)
    light = np.divide(along, whole, out=np.zeros_like(along), where=whole > zero)
    aside = _squared_length(pixel - light[..., None] * mean)
    is_near = aside < match * variance * light * light
    is_shadow = (exists & (before < share) & is_darker & is_near).any(axis=2)
    labels[...] = np.where(is_background, BACKGROUND, np.where(is_shadow, SHADOW, FOREGROUND))

    weight *= (one - rate)[:, :, None]
    grown = weight + rate[:, :, None]
    step = np.minimum(
        one,
        np.divide(
            np.maximum(rate, follow[care])[:, :, None],
            grown,
            where=at_hit,
            out=np.zeros_like(weight),
        ),
    )
    moved = mean + step[..., None] * (pixel - mean)
    spread = variance + step * (distance - variance)
    mean[...] = np.where(at_hit[..., None], moved, mean)
    variance[...] = np.where(at_hit, np.minimum(np.maximum(spread, least), most), variance)
    weight[...] = np.where(at_hit, grown, weight)

    is_new = (hit < 0) & (rate > zero)
    empty = ~(weight > zero)
    slot = np.where(empty.any(axis=2), empty.argmax(axis=2), MODES - 1)
    at_slot = (np.arange(MODES) == slot[:, :, None]) & is_new[:, :, None]
    mean[...] = np.where(at_slot[..., None], pixel, mean)
    variance[...] = np.where(at_slot, first, variance)
    weight[...] = np.where(at_slot, rate[:, :, None], weight)
    total = np.zeros_like(rate)
    for k in range(MODES):
        total = total + weight[:, :, k]
    weight[...] = np.where(is_new[:, :, None], weight / total[:, :, None], weight)

    _move_up(mean, variance, weight, np.where(hit >= 0, hit, np.where(is_new, slot, 0)))


def _dot(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> _F4:
    found: _F4 = a[..., 0] * b[..., 0] + a[..., 1] * b[..., 1] + a[..., 2] * b[..., 2]
    return found


def _squared_length(a: npt.NDArray[Any]) -> _F4:
    return _dot(a, a)


def _move_up(mean: _F4, variance: _F4, weight: _F4, at: npt.NDArray[np.int64]) -> None:
    """Move the mode ``at`` before those it now outweighs."""
    for k in range(MODES - 1, 0, -1):
        swap = (at == k) & (weight[:, :, k] > weight[:, :, k - 1])
        for values in (mean, variance, weight):
            upper, lower = values[:, :, k - 1][swap], values[:, :, k][swap]
            values[:, :, k - 1][swap], values[:, :, k][swap] = lower, upper
        at = np.where(swap, k - 1, at)
