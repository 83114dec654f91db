"""Quality of one link over time: median signal-to-noise ratio and outage rate per window.

For reports and baselines over one whole series. The engine's own windows, with many keys and late
data, are in :mod:`.windows`.

>>> import numpy as np
>>> time_ns = np.array([0, 1, 2, 9]) * 1_000_000_000
>>> snr_db = np.array([12.0, 4.0, 10.0, 6.0])
>>> valid = np.array([True, True, True, True])
>>> median_in_windows(time_ns=time_ns, value=snr_db, valid=valid, width_s=4.0).value
array([10., nan,  6.])
>>> outage_rate(time_ns=time_ns, value=snr_db, valid=valid, width_s=4.0, threshold=5.0).value
array([0.33333333,        nan, 0.        ])
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sightline.errors import UsageError
from sightline.records.signals import NS_PER_S
from sightline.records.windows import FloatArray, IntArray

BoolArray = npt.NDArray[np.bool_]

MAX_WINDOWS = 10_000_000
"""Windows in one result (240 MB). A longer span is a UsageError, however few its samples."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowedSeries:
    """One value per window, gaps included: window i+1 starts where window i ends.

    Attributes:
        start_ns: int64[w], inclusive start of each window, UTC ns.
        value: float64[w], NaN where no valid sample fell into the window.
        valid_count: int64[w], valid samples in the window.
    """

    start_ns: IntArray
    value: FloatArray
    valid_count: IntArray

    def __len__(self) -> int:
        return len(self.start_ns)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sorted:
    """Valid samples by window."""

    start_ns: IntArray
    window: IntArray  # int64[v], window of each valid sample, from 0
    value: FloatArray  # float64[v]
    count: IntArray  # int64[w]


def median_in_windows(
    *,
    time_ns: IntArray,
    value: FloatArray,
    valid: BoolArray,
    width_s: float,
    max_windows: int = MAX_WINDOWS,
) -> WindowedSeries:
    """Median of the valid samples in each window, for example of an SNR in dB.

    The median of an even number of samples is the middle of the two inner ones. For a quantity in
    decibel that is the median of the ratio as well, which does not hold for the mean.

    Args:
        time_ns: int64[n], UTC ns, in any order; samples of equal time all count.
        value: float64[n], in any unit.
        valid: bool[n]; a NaN is never valid.
        width_s: window width in s. Windows are left-closed, right-open, labelled by their start
            and aligned to 1970-01-01T00:00Z.
        max_windows: bound on the windows from the first to the last sample, valid or not.

    Raises:
        UsageError: if the width is not positive, the lengths differ or the span needs more than
            ``max_windows``.
    """
    by_window = _by_window(time_ns, value, valid, width_s, max_windows)
    ascending = by_window.value[np.lexsort((by_window.value, by_window.window))]
    has_samples = by_window.count > 0
    count = by_window.count[has_samples]
    first = np.cumsum(count) - count
    below = ascending[first + (count - 1) // 2]
    above = ascending[first + count // 2]
    median = np.full(len(by_window.count), np.nan)
    # Halves are added, because the difference of two large values can overflow. Equal inner
    # values are taken as they are, which also serves infinities and the smallest numbers.
    median[has_samples] = np.where(below == above, below, below / 2 + above / 2)
    return WindowedSeries(start_ns=by_window.start_ns, value=median, valid_count=by_window.count)


def outage_rate(
    *,
    time_ns: IntArray,
    value: FloatArray,
    valid: BoolArray,
    width_s: float,
    threshold: float,
    max_windows: int = MAX_WINDOWS,
) -> WindowedSeries:
    """Share of the valid samples strictly under ``threshold`` in each window, 0 to 1.

    A sample *at* the threshold is no outage. A window without valid samples is NaN and not an
    outage of 100 %: that nothing was measured is for the silence stage to judge.

    Args:
        time_ns: int64[n], UTC ns, in any order; samples of equal time all count.
        value: float64[n], in the unit of ``threshold``.
        valid: bool[n]; a NaN is never valid.
        width_s: window width in s, as for :func:`median_in_windows`.
        threshold: smallest value that is no outage.
        max_windows: bound on the windows from the first to the last sample, valid or not.

    Raises:
        UsageError: as for :func:`median_in_windows`.
    """
    by_window = _by_window(time_ns, value, valid, width_s, max_windows)
    under = np.bincount(
        by_window.window[by_window.value < threshold], minlength=len(by_window.count)
    )
    share = np.full(len(by_window.count), np.nan)
    np.divide(under, by_window.count, out=share, where=by_window.count > 0)
    return WindowedSeries(start_ns=by_window.start_ns, value=share, valid_count=by_window.count)


def _by_window(
    time_ns: IntArray, value: FloatArray, valid: BoolArray, width_s: float, max_windows: int
) -> _Sorted:
    width_ns = round(width_s * NS_PER_S) if np.isfinite(width_s) else 0
    if width_ns < 1:
        raise UsageError(
            expected="a window width of at least 1 ns",
            got=f"{width_s} s",
            where="signal quality",
            action="give the width in seconds",
        )
    if not len(time_ns) == len(value) == len(valid):
        raise UsageError(
            expected="times, values and validity of one length",
            got=f"{len(time_ns)}, {len(value)} and {len(valid)}",
            where="signal quality",
            action="pass one of each per sample",
        )
    if not len(time_ns):
        none = np.empty(0, np.int64)
        return _Sorted(start_ns=none, window=none, value=np.empty(0), count=none)
    window = np.asarray(time_ns, np.int64) // width_ns
    first, last = int(window.min()), int(window.max())
    windows = last - first + 1
    if windows > max_windows:
        raise UsageError(
            expected=f"at most {max_windows} windows from the first to the last sample",
            got=f"{windows}",
            where="signal quality",
            action="widen the windows, or look for a wrong time stamp at either end",
        )
    counts = valid & ~np.isnan(value)
    inside = window[counts] - first
    return _Sorted(
        start_ns=(first + np.arange(windows)) * width_ns,
        window=inside,
        value=value[counts],
        count=np.bincount(inside, minlength=windows).astype(np.int64),
    )
