"""Features of telemetry: how much a series swings, octave by octave, in its last samples.

When not to use them: alone. A level, a ramp or a stop has little of a spectrum; beside the
statistics of windows they say at which pace a series moves (figures: ADR 0011).
"""

from __future__ import annotations

import numpy as np

from sightline.errors import UsageError
from sightline.perceive.normal import spectrum_kernels
from sightline.records.windows import FloatArray

OCTAVES = 6
MAX_SPECTRUM_WIDTH = 4096
"""Samples in the widest window; more is a UsageError."""


def octave_spectrum(
    values: FloatArray,
    *,
    widths: tuple[int, ...] = (64, 128),
    step: int = 1,
    before: FloatArray | None = None,
) -> FloatArray:
    """Root energy in six octaves of the windows that end at every ``step``-th sample.

    Octave 0 has waves of 1 to 2 periods in the window, octave 1 of 3 and 4, octave 2 of 5 to 8 and
    so on, the last all that are faster. The features of a sample depend on the samples of its
    windows alone, to the last bit: a stream may be cut anywhere if ``before`` has the
    ``max(widths)`` samples before the cut.

    Args:
        values: float64[n], in order of time, evenly spaced; NaN is missing.
        widths: w widths in samples, ascending powers of two from 4 to ``MAX_SPECTRUM_WIDTH``.
        step: samples from one look to the next, the first at ``values[0]``.
        before: float64[b], the samples before the first of ``values``.

    Returns:
        float64[ceil(n / step), w, 6], in the unit of the samples: a sine of amplitude a within one
        octave has a / √2 there. NaN where ``width`` samples have not come or one is missing.

    Raises:
        UsageError: widths that are no such powers of two, or a step below 1.

    >>> wave = 3.0 * np.sin(2 * np.pi * np.arange(128) / 16)  # 8 periods in 128 samples
    >>> octave_spectrum(wave, widths=(128,))[-1, 0].round(2).tolist()
    [0.0, 0.0, 1.94, 0.87, 0.0, 0.0]
    """
    is_power = all(4 <= w <= MAX_SPECTRUM_WIDTH and w & (w - 1) == 0 for w in widths)
    if not (widths and is_power and list(widths) == sorted(set(widths)) and step >= 1):
        raise UsageError(
            expected=f"ascending powers of two from 4 to {MAX_SPECTRUM_WIDTH}, a step of 1 or more",
            got=f"{widths}, {step}",
            where="octave_spectrum",
            action="choose 32, 64, 128 and so on",
        )
    history = np.empty(0) if before is None else before[-max(widths) :]
    joined = np.ascontiguousarray(np.concatenate([history, values]), np.float64)
    ends = np.arange(len(history), len(joined), step, dtype=np.int64)
    each = [spectrum_kernels.octave_energies(joined, ends, width, OCTAVES) for width in widths]
    return np.stack(each, axis=1)
