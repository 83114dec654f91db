"""Compiled spectra of windows. Specified in :mod:`.spectrum_reference`.

A radix-2 Fourier transform (Cooley and Tukey 1965) of each window for itself: nothing accumulates
from one window to the next, so that a stream may be cut anywhere.
"""

from __future__ import annotations

import math

import numpy as np
from numba import types

from sightline.perceive.compiled import kernel
from sightline.records.windows import FloatArray, IntArray

_V = types.Array(types.float64, 1, "C", readonly=True)
_N = types.Array(types.int64, 1, "C", readonly=True)


@kernel(_V, _N, types.int64, types.int64)
def octave_energies(values: FloatArray, ends: IntArray, width: int, bands: int) -> FloatArray:
    """:func:`.spectrum_reference.octave_energies`."""
    found = np.full((len(ends), bands), np.nan)
    turn = 2.0 * math.pi / width
    cosine = np.empty(width)
    sine = np.empty(width)
    place = np.zeros(width, np.int64)  # of each sample in the order the transform begins with
    taper = 0.0
    for k in range(width):
        cosine[k] = math.cos(turn * k)
        sine[k] = math.sin(turn * k)
        place[k] = place[k // 2] // 2 + (width // 2 if k % 2 else 0)
        taper += (0.5 - 0.5 * cosine[k]) ** 2
    real = np.empty(width)
    imaginary = np.empty(width)
    for row in range(len(ends)):
        begin = ends[row] + 1 - width
        if begin < 0:
            continue
        mean = 0.0
        for k in range(width):
            mean += values[begin + k]
        mean /= width
        if not math.isfinite(mean):
            continue
        for k in range(width):
            real[place[k]] = (values[begin + k] - mean) * (0.5 - 0.5 * cosine[k])
            imaginary[k] = 0.0
        half = 1
        while half < width:
            stride = width // (2 * half)
            for first in range(0, width, 2 * half):
                for k in range(half):
                    c = cosine[k * stride]
                    s = -sine[k * stride]
                    a = first + k
                    b = a + half
                    re = real[b] * c - imaginary[b] * s
                    im = real[b] * s + imaginary[b] * c
                    real[b] = real[a] - re
                    imaginary[b] = imaginary[a] - im
                    real[a] += re
                    imaginary[a] += im
            half *= 2
        band = 0
        total = 0.0
        for k in range(1, width // 2 + 1):
            if band < bands - 1 and k > 2 ** (band + 1):
                found[row, band] = math.sqrt(total)
                band += 1
                total = 0.0
            power = (real[k] ** 2 + imaginary[k] ** 2) / (width * taper)
            total += 2.0 * power if k < (width + 1) // 2 else power
        found[row, band] = math.sqrt(total)
        for left in range(band + 1, bands):
            found[row, left] = 0.0
    return found
