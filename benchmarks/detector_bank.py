"""What the detectors of many series cost: samples per second and bytes per series, on one core.

The series are those of :mod:`.detector`, each with its own periods, times and noise, so that
memories are full and go on changing; there are enough of them that the state does not fit a cache.
Counted is the time of the thread, so that waiting for a core that others use is left out.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from sightline.perceive.normal import DetectorBank, NormalSettings
from sightline.records.windows import FloatArray

BOUND_SAMPLES_PER_S = 1e6
"""Through features, memory and score, on one core, in calls of five samples of each series."""
_CALLS_ROWS = 60
_REPEATS = 3
_ALONE = 20


def bench_detector_bank(
    *,
    series: int = 5000,
    rows_per_call: int = 5,
    memory_size: int = 64,
    learn_rows: int = 750,
    settle_rows: int = 300,
    seed: int = 0,
) -> dict[str, Any]:
    """Time a bank, and some of its series in banks of their own.

    Args:
        series: in the bank, 20 or more.
        rows_per_call: samples of each series in a call, timed beside 1, 5 and 60.
        memory_size: of each width.
        learn_rows: samples that each series begins with.
        settle_rows: samples after them that are not timed.
        seed: of the series.
    """
    settings = NormalSettings(memory_size=memory_size)
    sizes = sorted({1, 5, 60, rows_per_call})
    # Of each size so many calls that they bring 60 samples of each series, or a few more.
    timed = {rows: -(-_CALLS_ROWS // rows) * rows for rows in sizes}
    timed_rows = _REPEATS * sum(timed.values())
    values = _series(series, learn_rows + settle_rows + timed_rows, seed)
    everyone = np.arange(series)
    bank = DetectorBank(settings, max_series=series)
    bank.grow(np.full(series, learn_rows))

    def brought(begin: int, end: int) -> tuple[float, FloatArray]:
        lengths, samples = np.full(series, end - begin), values[:, begin:end].ravel()
        began_s = time.thread_time()
        scores = bank.follow(everyone, lengths, samples)
        return time.thread_time() - began_s, scores

    brought(0, learn_rows - 1)
    learning_s, _ = brought(learn_rows - 1, learn_rows)
    at = learn_rows + settle_rows
    brought(learn_rows, at)
    found, alone, scores, agrees = {}, {}, [], True
    only = np.zeros(1, np.int64)
    detectors = _banks_of_one(values[:_ALONE, :learn_rows], settings)
    for one, row in zip(detectors, values, strict=False):
        one.follow(only, np.array([at - learn_rows]), row[learn_rows:at])
    for rows in sizes:
        took_s, alone_s = [], []
        for _ in range(_REPEATS):
            total_s = alone_total_s = 0.0
            for begin in range(at, at + timed[rows], rows):
                took, got = brought(begin, begin + rows)
                total_s += took
                began_s = time.thread_time()
                for i, detector in enumerate(detectors):
                    samples = values[i, begin : begin + rows]
                    scores.append(detector.follow(only, np.array([rows]), samples))
                alone_total_s += time.thread_time() - began_s
                theirs_all = np.concatenate(scores)
                agrees &= bool(np.array_equal(theirs_all, got[: _ALONE * rows], equal_nan=True))
                scores.clear()
            at += timed[rows]
            took_s.append(total_s / (timed[rows] * series))
            alone_s.append(alone_total_s / (timed[rows] * _ALONE))
        found[str(rows)] = round(1 / min(took_s))
        alone[str(rows)] = round(1 / min(alone_s))
    return {
        "series": series,
        "widths": list(settings.widths),
        "memory_vectors": memory_size,
        "settled_rows": settle_rows,
        "samples_per_s_by_rows_per_call": found,
        "alone_samples_per_s_by_rows_per_call": alone,
        "over_alone": {rows: round(found[rows] / alone[rows], 1) for rows in found},
        "agrees_with_detectors_alone": agrees,
        "bound_samples_per_s": BOUND_SAMPLES_PER_S,
        "holds": found[str(rows_per_call)] >= BOUND_SAMPLES_PER_S,
        "learn_rows": learn_rows,
        "learnings_per_s": round(series / learning_s),
        "alone_learnings_per_s": round(_ALONE / _alone_s(values[:_ALONE, :learn_rows], settings)),
        "bytes_per_series": round(bank.nbytes / series),
    }


def _alone_s(values: FloatArray, settings: NormalSettings) -> float:
    began_s = time.thread_time()
    _banks_of_one(values, settings)
    return time.thread_time() - began_s


def _banks_of_one(values: FloatArray, settings: NormalSettings) -> list[DetectorBank]:
    """A bank for each series, which has learnt from its row."""
    found = []
    for one in values:
        bank = DetectorBank(settings, max_series=1)
        bank.grow_learnt(one)
        found.append(bank)
    return found


def _series(series: int, samples: int, seed: int) -> FloatArray:
    """float64[series, samples], each two waves, a mode that switches, and noise."""
    rng = np.random.default_rng(seed)
    found = np.empty((series, samples))
    t = np.arange(samples)
    for row in range(series):
        wave, mode = rng.uniform(60, 900), rng.uniform(100, 900)
        at = rng.uniform(0, 6, 2)
        found[row] = np.sin(t / wave + at[0]) + 0.3 * (np.sin(t / mode + at[1]) > 0)
        found[row] += rng.normal(0, 0.05, samples)
    return found
