"""Drawn surfaces: striped good ones, and ones with a hole."""

import numpy as np

from sightline.perceive.inspection import HandcraftedCells, InspectionSettings, LearntFrom

SETTINGS = InspectionSettings(
    memory_size=60,
    simulated_per_picture=1,
    rounds=6,
    batch=256,
    least_steps=100,
    hidden=(16, 8),
)
CELLS = HandcraftedCells()


def surface(seed, *, height=64, width=80):
    """uint8[height, width]: a striped surface."""
    random = np.random.default_rng(seed)
    stripes = 12 * np.sin(np.arange(width) / 2 + random.uniform(0, 6))
    grain = random.normal(size=(height, width)) * 4
    return np.clip(120 + random.uniform(-10, 10) + stripes + grain, 0, 255).astype(np.uint8)


def mask_of_hole(*, height=64, width=80):
    mask = np.zeros((height, width), np.bool_)
    mask[24:40, 32:48] = True
    return mask


def holed(seed):
    """The same with a dark hole."""
    picture = surface(seed)
    picture[mask_of_hole()] //= 3
    return picture


def good(count, *, begin=0):
    return [
        LearntFrom(name=f"g{i}", part=f"g{i}", read=lambda i=i: surface(i))
        for i in range(begin, begin + count)
    ]


def bad(count):
    return [
        LearntFrom(name=f"b{i}", part=f"b{i}", read=lambda i=i: holed(1000 + i), mask=mask_of_hole)
        for i in range(count)
    ]
