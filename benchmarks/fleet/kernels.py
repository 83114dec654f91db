"""Compiled: evidence of faults in one series. Specified in :mod:`.reference`."""

from __future__ import annotations

import math

import numpy as np
from numba import types

from benchmarks.fleet.reference import BoolArray
from sightline.perceive.compiled import kernel
from sightline.records.windows import FloatArray, IntArray

_V = types.Array(types.float64, 1, "C", readonly=True)
_B = types.Array(types.boolean, 1, "C", readonly=True)
_I = types.Array(types.int64, 1, "C", readonly=True)
_N = types.int64
_F = types.float64


@kernel(_V)
def median_of_5(values: FloatArray) -> FloatArray:
    """:func:`.reference.median_of_5`."""
    n = len(values)
    found = np.full(n, np.nan)
    for i in range(4, n):
        a, b, c, d, e = values[i - 4], values[i - 3], values[i - 2], values[i - 1], values[i]
        if a > b:
            a, b = b, a
        if c > d:
            c, d = d, c
        # The smaller of the two least and the greater of the two greatest are not the median.
        if a < c:
            a, c, b, d = c, a, d, b
        # Now c <= a: drop c; the median is the second least of a, b, d, e with a <= b.
        if d > b:
            b, d = d, b
        if e < a:
            a, e = e, a
        low = min(e, d)
        found[i] = low if low > a else a
        if math.isnan(values[i - 4] + values[i - 3] + values[i - 2] + values[i - 1] + values[i]):
            found[i] = np.nan
    return found


@kernel(_V, _N)
def running_median(values: FloatArray, width: int) -> FloatArray:
    """:func:`.reference.running_median`."""
    n = len(values)
    found = np.full(n, np.nan)
    ordered = np.empty(width)
    for i in range(width - 1, n):
        total = 0.0
        for k in range(width):
            value = values[i - k]
            total += value
            place = k
            while place > 0 and ordered[place - 1] > value:
                ordered[place] = ordered[place - 1]
                place -= 1
            ordered[place] = value
        if not math.isnan(total):
            found[i] = ordered[width // 2]
    return found


@kernel(_V, _I, _V, _N, _N)
def jump(
    values: FloatArray, since: IntArray, noise: FloatArray, before: int, after: int
) -> FloatArray:
    """:func:`.reference.jump`."""
    n = len(values)
    width = before + after
    found = np.full(n, np.nan)
    middle = (width - 1) / 2.0
    time_square = width * (width * width - 1.0) / 12.0
    # The step, freed of mean and slope, is a fixed pattern.
    share = after / width
    step_time = 0.0
    for k in range(before, width):
        step_time += k - middle
    beta = step_time / time_square
    square = before * share * share + after * (1 - share) * (1 - share) - beta * step_time
    total = 0.0
    late = 0.0
    moment = 0.0
    held = 0
    for i in range(n):
        value = values[i]
        if math.isnan(value):
            held = 0
            total = late = moment = 0.0
            continue
        if held < width:
            # Fill: sums of a window that grows at its end.
            total += value
            moment += held * value
            held += 1
            if held == width:
                late = 0.0
                for k in range(i - after + 1, i + 1):
                    late += values[k]
        else:
            gone = values[i - width]
            total += value - gone
            moment += (width - 1) * value - (total - value)
            late += value - values[i - after]
        if held == width and since[i] >= width:
            projected = late - share * total - beta * (moment - middle * total)
            found[i] = projected / math.sqrt(square) / noise[i]
    return found


@kernel(_V)
def run_length(values: FloatArray) -> FloatArray:
    """:func:`.reference.run_length`."""
    n = len(values)
    found = np.zeros(n)
    run = 0
    for i in range(n):
        if math.isnan(values[i]):
            run = 0
        elif i > 0 and values[i] == values[i - 1]:
            run += 1
        else:
            run = 1
        found[i] = run
    return found


@kernel(_V)
def missing_length(values: FloatArray) -> FloatArray:
    """:func:`.reference.missing_length`."""
    n = len(values)
    found = np.zeros(n)
    run = 0
    for i in range(n):
        run = run + 1 if math.isnan(values[i]) else 0
        found[i] = run
    return found


@kernel(_V, _N)
def moving_mean(values: FloatArray, width: int) -> FloatArray:
    """:func:`.reference.moving_mean`."""
    n = len(values)
    found = np.full(n, np.nan)
    total = 0.0
    held = 0
    for i in range(n):
        if math.isnan(values[i]):
            total = 0.0
            held = 0
            continue
        total += values[i]
        held += 1
        if held > width:
            total -= values[i - width]
            held = width
        if held == width:
            found[i] = total / width
    return found


@kernel(_V, _B, _N)
def held_level(values: FloatArray, is_settling: BoolArray, width: int) -> FloatArray:
    """:func:`.reference.held_level`."""
    n = len(values)
    found = values.copy()
    recent = np.zeros(width)
    count = 0
    total = 0.0
    for i in range(n):
        if is_settling[i] and count >= width:
            found[i] = total / width
        elif math.isnan(values[i]):
            count = 0
            total = 0.0
        else:
            place = count % width
            if count >= width:
                total -= recent[place]
            recent[place] = values[i]
            total += values[i]
            count += 1
    return found


@kernel(_V, _B, _N)
def known_mean(values: FloatArray, is_settling: BoolArray, width: int) -> FloatArray:
    """:func:`.reference.known_mean`."""
    n = len(values)
    found = np.full(n, np.nan)
    total = 0.0
    count = 0
    for i in range(n):
        if not is_settling[i] and not math.isnan(values[i]):
            total += values[i]
            count += 1
        gone = i - width
        if gone >= 0 and not is_settling[gone] and not math.isnan(values[gone]):
            total -= values[gone]
            count -= 1
        if i >= width - 1 and count > 0.6 * width:
            found[i] = total / count
    return found


@kernel(_V, _V, _V, _V)
def relaxed(
    time_s: FloatArray, at_s: FloatArray, goal: FloatArray, lag_s: FloatArray
) -> FloatArray:
    """:func:`.reference.relaxed`."""
    found = np.empty(len(time_s))
    k = 0
    value = goal[0]
    for i in range(len(time_s)):
        while k + 1 < len(at_s) and at_s[k + 1] <= time_s[i]:
            value = goal[k] + (value - goal[k]) * math.exp(-(at_s[k + 1] - at_s[k]) / lag_s[k])
            k += 1
        found[i] = goal[k] + (value - goal[k]) * math.exp(-(time_s[i] - at_s[k]) / lag_s[k])
    return found
