"""What the detector of a series costs: samples per second through features, memory and threshold.

On one core. The series has two waves, a mode that switches, and noise, so that the memory is full
and goes on changing: what never changes would be cheaper.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from sightline.perceive.normal import memory_reference, window_features_reference
from sightline.perceive.normal.memory import NormalMemory
from sightline.perceive.normal.events import EventRule, TellingRule, score_events, told
from sightline.perceive.normal.series_detector import SeriesDetector
from sightline.perceive.normal.settings import NormalSettings
from sightline.perceive.normal.features import window_features
from sightline.records.windows import FloatArray

BOUND_SAMPLES_PER_S = 1e6
"""Through features, memory and threshold, on one core."""
_LEARNT = 750
_REPEATS = 5
_FEW = 300


def bench_detector(*, samples: int = 300_000, seed: int = 0) -> dict[str, Any]:
    """Time the detector with its default settings, in batches of several sizes.

    Args:
        samples: of the series, 10,000 or more.
        seed: of its noise.
    """
    values = _series(samples, seed)
    settings = NormalSettings()
    detector = SeriesDetector.learn(values[:_LEARNT], settings)
    detector.follow(values[_LEARNT : 2 * _LEARNT])
    batches = {}
    for rows in (60, 600, 6_000, samples):
        used = values[_LEARNT : _LEARNT + min(samples, 500 * rows)]

        def whole(rows: int = rows, used: FloatArray = used) -> None:
            state = detector
            for begin in range(0, len(used), rows):
                scores, state = state.follow(used[begin : begin + rows])
                score_events(scores.score, EventRule())
                told(scores.score, TellingRule())

        batches[str(rows)] = round(len(used) / _least_s(whole))
    features = window_features(values, widths=settings.widths)[2 * _LEARNT :, 0]
    scaled = np.ascontiguousarray(features / features.std(axis=0))
    memory = NormalMemory.of(scaled[:20_000], size=settings.memory_size)
    tree = cKDTree(memory.vectors)
    ours = memory.nearest(scaled)[0]
    few_values, few = values[:2_000], scaled[:_FEW]
    best = max(batches.values())
    return {
        "samples": samples,
        "widths": list(settings.widths),
        "memory_vectors": settings.memory_size,
        "samples_per_s_by_batch_rows": batches,
        "bound_samples_per_s": BOUND_SAMPLES_PER_S,
        "holds": best >= BOUND_SAMPLES_PER_S,
        "features_alone_samples_per_s": round(
            samples / _least_s(lambda: window_features(values, widths=settings.widths))
        ),
        "nearest": {
            "looks_per_s": round(len(scaled) / _least_s(lambda: memory.nearest(scaled))),
            "scipy_tree_looks_per_s": round(len(scaled) / _least_s(lambda: tree.query(scaled))),
            "agrees_with_scipy": bool(np.allclose(tree.query(scaled)[0], ours)),
        },
        "kernel_over_reference": {
            "features": _ratio(
                lambda: window_features_reference.window_features(
                    few_values, 0, np.array(settings.widths)
                ),
                lambda: window_features(few_values, widths=settings.widths),
            ),
            "nearest": _ratio(
                lambda: memory_reference.nearest(memory.vectors, few),
                lambda: memory.nearest(few),
            ),
        },
    }


def _series(samples: int, seed: int) -> FloatArray:
    rng = np.random.default_rng(seed)
    t = np.arange(samples)
    mode = 0.3 * (np.sin(t / 5400) > 0)
    found: FloatArray = np.sin(t / 900) + mode + rng.normal(0, 0.05, samples)
    return found


def _least_s(work: Callable[[], object]) -> float:
    """The shortest of a few runs: what else the machine did only makes it longer."""
    took_s = []
    for _ in range(_REPEATS):
        began_s = time.perf_counter()
        work()
        took_s.append(time.perf_counter() - began_s)
    return min(took_s)


def _ratio(reference: Callable[[], object], kernel: Callable[[], object]) -> float:
    return round(_least_s(reference) / _least_s(kernel), 1)
