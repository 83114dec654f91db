"""What the detector of a series costs: samples per second through features, memory and threshold.

On one core. The series has two waves, a mode that switches, and noise, so that the memory is full
and goes on changing: what never changes would be cheaper.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.published.telling import TellingRule, told
from sightline.perceive.normal import (
    DetectorBank,
    EventRule,
    NormalSettings,
    score_events,
)
from sightline.perceive.normal.features import window_features
from sightline.records.windows import FloatArray

BOUND_SAMPLES_PER_S = 1e6
"""Through features, memory and threshold, on one core."""
_LEARNT = 750
_REPEATS = 5
_ONLY = np.zeros(1, np.int64)


def bench_detector(*, samples: int = 300_000, seed: int = 0) -> dict[str, Any]:
    """Time the detector with its default settings, in batches of several sizes.

    Args:
        samples: of the series, 10,000 or more.
        seed: of its noise.
    """
    values = _series(samples, seed)
    settings = NormalSettings()
    learnt = DetectorBank(settings, max_series=1)
    learnt.grow(np.array([_LEARNT]))
    learnt.follow(_ONLY, np.array([_LEARNT]), values[:_LEARNT])
    batches = {}
    for rows in (60, 600, 6_000, samples):
        used = values[_LEARNT : _LEARNT + min(samples, 500 * rows)]

        def whole(rows: int = rows, used: FloatArray = used) -> None:
            bank = learnt.copy()
            for begin in range(0, len(used), rows):
                part = used[begin : begin + rows]
                scores = bank.follow(_ONLY, np.array([len(part)]), part)
                score_events(scores, EventRule())
                told(scores, TellingRule())

        batches[str(rows)] = round(len(used) / _least_s(whole))
    best = max(batches.values())
    return {
        "samples": samples,
        "widths": list(settings.widths),
        "memory_vectors": settings.memory_size,
        "samples_per_s_by_batch_rows": batches,
        "bound_samples_per_s": BOUND_SAMPLES_PER_S,
        "holds": best >= BOUND_SAMPLES_PER_S,
        "features_of_every_sample_samples_per_s": round(
            samples / _least_s(lambda: window_features(values, widths=settings.widths))
        ),
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
