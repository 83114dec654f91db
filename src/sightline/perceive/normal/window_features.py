"""Features of telemetry: what the last few, and the last many, samples were like."""

from __future__ import annotations

import numpy as np

from sightline.errors import UsageError
from sightline.perceive.normal import window_features_kernels
from sightline.records.windows import FloatArray

STATISTICS = ("mean", "deviation", "greatest", "least", "step", "rise")
"""The last axis of :func:`window_features`, all in the unit of the samples."""
MAX_WIDTH = 1 << 16
"""Samples in the widest window; more is a UsageError."""


GREATEST = 1e100
"""Samples further from 0 count as this: squares of what is made of them must be numbers."""


def bounded(values: FloatArray) -> FloatArray:
    """The samples as detectors take them: infinite ones are missing, absurd ones within bounds.

    >>> bounded(np.array([1.5, np.inf, -1e300])).tolist()
    [1.5, nan, -1e+100]
    """
    return np.where(np.isfinite(values), np.clip(values, -GREATEST, GREATEST), np.nan)


def window_features(
    values: FloatArray, *, widths: tuple[int, ...], before: FloatArray | None = None
) -> FloatArray:
    """Six statistics of the windows of each width that end at each sample.

    The features of a sample depend on the samples of its windows alone, to the last bit: a stream
    may be cut anywhere if ``before`` has the ``max(widths)`` samples before the cut.

    Args:
        values: float64[n], in order of time, evenly spaced; NaN is missing.
        widths: w widths in samples, ascending powers of two from 2 to ``MAX_WIDTH``.
        before: float64[b], the samples before the first of ``values``; more than ``max(widths)``
            make no difference.

    Returns:
        float64[n, w, 6]: ``STATISTICS``, in the unit of the samples. NaN where fewer than
        ``width`` samples have come, or half of them are missing.

    Raises:
        UsageError: widths that are no ascending powers of two.

    >>> ramp = np.arange(6.0)
    >>> window_features(ramp, widths=(4,))[-1, 0].round(3).tolist()
    [3.5, 1.118, 5.0, 2.0, 1.0, 2.0]
    >>> parts = window_features(ramp[4:], widths=(4,), before=ramp[:4])
    >>> bool((parts == window_features(ramp, widths=(4,))[4:]).all())
    True
    """
    is_power = all(2 <= w <= MAX_WIDTH and w & (w - 1) == 0 for w in widths)
    if not (widths and is_power and list(widths) == sorted(set(widths))):
        raise UsageError(
            expected=f"ascending powers of two from 2 to {MAX_WIDTH}",
            got=str(widths),
            where="widths of windows",
            action="choose 8, 16, 32 and so on: each is made of two of the one before",
        )
    # One more than the widest window: the first step in it is from the sample before it.
    history = np.empty(0) if before is None else before[-max(widths) :]
    joined = np.ascontiguousarray(np.concatenate([history, values]), np.float64)
    return window_features_kernels.window_features(joined, len(history), np.array(widths, np.int64))
