"""Frames, yards and people for the tests of detectors, drawn by code."""

import os
from pathlib import Path

import numpy as np

from sightline.records import Frame

DATA = Path(os.environ.get("SIGHTLINE_DATA", Path(__file__).parents[4] / "shared" / "data"))
WIDTH_PX, HEIGHT_PX = 160, 120
FRAME_NS = 100_000_000


def frame(pixels, index=0, *, stream="yard", capture_ns=None):
    at_ns = index * FRAME_NS if capture_ns is None else capture_ns
    return Frame(stream=stream, index=index, capture_ns=at_ns, received_ns=at_ns, pixels=pixels)


def yard(*, width_px=WIDTH_PX, height_px=HEIGHT_PX, seed=1):
    """A ground with patches, so that there are edges, and no noise."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(90, 160, (height_px // 10 + 1, width_px // 10 + 1, 3))
    return np.ascontiguousarray(
        coarse.repeat(10, axis=0).repeat(10, axis=1)[:height_px, :width_px], np.uint8
    )


def with_person(pixels, *, foot, tall_px, colour=(30, 20, 25)):
    """A standing person: head, torso and legs; ``foot`` is (x, y) between the shoes."""
    drawn = pixels.copy()
    x, y = foot
    for top, bottom, half in ((1.0, 0.85, 0.07), (0.85, 0.45, 0.14), (0.45, 0.0, 0.11)):
        rows = slice(max(0, round(y - top * tall_px)), max(0, round(y - bottom * tall_px)))
        columns = slice(max(0, round(x - half * tall_px)), max(0, round(x + half * tall_px)))
        drawn[rows, columns] = colour
    return drawn


def noisy(pixels, index, *, levels=2.0):
    """The same with sensor noise that follows from the index."""
    noise = np.random.default_rng(index).normal(0.0, levels, pixels.shape)
    return np.clip(np.rint(pixels + noise), 0, 255).astype(np.uint8)


def overlap(one, other):
    """Intersection over union of two boxes."""
    low, high = np.maximum(one[:2], other[:2]), np.minimum(one[2:], other[2:])
    shared = np.prod(np.maximum(high - low, 0))
    whole = np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2]) - shared
    return shared / whole
