"""The plain specification of :mod:`.spectrum_kernels`: Fourier transforms in NumPy."""

from __future__ import annotations

import numpy as np

from sightline.records.windows import FloatArray, IntArray


def octave_energies(values: FloatArray, ends: IntArray, width: int, bands: int) -> FloatArray:
    """Root energy of each octave of the windows that end at some samples.

    Args:
        values: float64[m]; NaN is missing.
        ends: int64[n], the last sample of each window.
        width: samples.
        bands: octaves.

    Returns:
        float64[n, bands]; NaN where the window would begin before the first sample or one of its
        samples is missing. The mean is taken out, a periodic Hann window laid on; band 0 has waves
        of 1 to 2 periods in the window, band b more than 2^b to 2^(b+1) of them, the last all of
        the rest. A band's energy is the share of the variance its waves make up: a sine of
        amplitude a has a / √2.
    """
    taper = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(width) / width)
    found = np.full((len(ends), bands), np.nan)
    for row, end in enumerate(ends):
        window = values[max(end + 1 - width, 0) : end + 1]
        if len(window) < width or not np.isfinite(window).all():
            continue
        power = np.abs(np.fft.rfft((window - window.mean()) * taper)) ** 2
        power[1 : (width - 1) // 2 + 1] *= 2  # the other half of the spectrum mirrors these
        power /= width * (taper**2).sum()
        for band in range(bands):
            least = 1 if band == 0 else 2**band + 1
            past = width // 2 + 1 if band == bands - 1 else 2 ** (band + 1) + 1
            found[row, band] = np.sqrt(power[least:past].sum())
    return found
