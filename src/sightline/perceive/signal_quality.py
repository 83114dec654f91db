"""Quality of one link over time: median signal-to-noise ratio and outage rate.

For reports and baselines over one series that is at hand. In a pipeline, with many keys and late
data, the same two are the window statistics ``median`` and ``below_T`` (:mod:`.windows`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from sightline.errors import UsageError
from sightline.records.detections import BoolArray
from sightline.records.signals import NS_PER_S
from sightline.records.windows import FloatArray, IntArray

MAX_WINDOWS = 10_000_000
"""Windows in one result (320 MB). A longer span is a UsageError, however few its samples."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SignalQuality:
    """Median and outage rate of a whole series, and of its windows one after the other.

    Window i + 1 starts where window i ends, gaps included.

    Attributes:
        median_db: of all valid samples; NaN without any.
        outage_rate: share of the valid samples under the threshold, 0 to 1; NaN without any.
        valid_count: valid samples.
        start_ns: int64[w], inclusive start of each window, in the unit and from the origin of the
            times, as ns.
        window_median_db: float64[w], NaN where no valid sample fell into the window.
        window_outage_rate: float64[w], 0 to 1, NaN likewise: that nothing was measured is no
            outage of 100 %, it is for the silence stage to judge.
        window_valid_count: int64[w].
    """

    median_db: float
    outage_rate: float
    valid_count: int
    start_ns: IntArray
    window_median_db: FloatArray
    window_outage_rate: FloatArray
    window_valid_count: IntArray

    def __len__(self) -> int:
        """Windows."""
        return len(self.start_ns)


def signal_quality(
    time: npt.NDArray[np.number],
    snr_db: FloatArray,
    *,
    threshold_db: float,
    window_s: float,
    align: Literal["first", "epoch"] = "first",
    valid: BoolArray | None = None,
    time_unit: Literal["ns", "s"] = "ns",
    max_windows: int = MAX_WINDOWS,
) -> SignalQuality:
    """Median of the signal-to-noise ratio and rate of outages, over everything and per window.

    Windows are left-closed, right-open and labelled by their start. The median of an even number of
    samples is the middle of the two inner ones; in decibel that is the median of the ratio as well,
    which does not hold for a mean. A sample *at* the threshold is no outage.

    Args:
        time: int64[n], UTC ns, or with ``time_unit="s"`` float64[n], s. In any order; samples of
            equal time all count.
        snr_db: float64[n], dB (any unit will do that ``threshold_db`` has too).
        threshold_db: smallest value that is no outage.
        window_s: width of a window, s.
        align: where the first window starts: at the earliest sample, valid or not, or at a multiple
            of ``window_s`` since 1970-01-01T00:00Z.
        valid: bool[n]; default: all. A NaN is never valid.
        time_unit: of ``time``.
        max_windows: bound on the windows from the first to the last sample, valid or not.

    Raises:
        UsageError: the width is not positive, the lengths differ, a time is not finite, or the span
            needs more than ``max_windows``.

    >>> time_s, snr_db = np.array([3.0, 4.0, 5.0, 13.0]), np.array([12.0, 4.0, 10.0, 6.0])
    >>> found = signal_quality(time_s, snr_db, threshold_db=5.0, window_s=4.0, time_unit="s")
    >>> found.median_db, found.outage_rate
    (8.0, 0.25)
    >>> found.start_ns // 1_000_000_000, found.window_median_db
    (array([ 3,  7, 11]), array([10., nan,  6.]))
    >>> found.window_outage_rate.round(3)
    array([0.333,   nan, 0.   ])
    """
    time_ns = _times_ns(time, time_unit)
    if not len(time) == len(snr_db) == (len(time) if valid is None else len(valid)):
        raise UsageError(
            expected="times, values and validity of one length",
            got=f"{len(time)}, {len(snr_db)} and {len(time if valid is None else valid)}",
            where="signal quality",
            action="pass one of each per sample",
        )
    is_valid = ~np.isnan(snr_db) if valid is None else valid & ~np.isnan(snr_db)
    start_ns, window = _windows(time_ns, window_s, align, max_windows)
    value = snr_db[is_valid]
    everything = np.zeros(len(value), np.int64)
    median, rate, count = _by_group(value, everything, 1, threshold_db)
    by_window = _by_group(value, window[is_valid], len(start_ns), threshold_db)
    return SignalQuality(
        median_db=float(median[0]),
        outage_rate=float(rate[0]),
        valid_count=int(count[0]),
        start_ns=start_ns,
        window_median_db=by_window[0],
        window_outage_rate=by_window[1],
        window_valid_count=by_window[2],
    )


def _times_ns(time: npt.NDArray[np.number], unit: Literal["ns", "s"]) -> IntArray:
    if unit == "ns" and (np.issubdtype(time.dtype, np.integer) or not len(time)):
        return np.asarray(time, np.int64)
    seconds = np.asarray(time, np.float64)
    if unit != "s" or not np.isfinite(seconds).all():
        raise UsageError(
            expected='finite times: integers of ns, or with time_unit="s" numbers of s',
            got=f"{time.dtype}, unit {unit!r}, {int((~np.isfinite(seconds)).sum())} not finite",
            where="signal quality",
            action="leave samples without a time out, and name the unit",
        )
    return np.round(seconds * NS_PER_S).astype(np.int64)


def _windows(
    time_ns: IntArray, window_s: float, align: Literal["first", "epoch"], max_windows: int
) -> tuple[IntArray, IntArray]:
    """int64[w], start of each window; int64[n], which window a sample is in."""
    width_ns = round(window_s * NS_PER_S) if np.isfinite(window_s) else 0
    if width_ns < 1:
        raise UsageError(
            expected="a window width of at least 1 ns",
            got=f"{window_s} s",
            where="signal quality",
            action="give the width in seconds",
        )
    if not len(time_ns):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    first_ns, last_ns = int(time_ns.min()), int(time_ns.max())
    origin_ns = first_ns if align == "first" else first_ns // width_ns * width_ns
    windows = (last_ns - origin_ns) // width_ns + 1
    if windows > max_windows:
        raise UsageError(
            expected=f"at most {max_windows} windows from the first to the last sample",
            got=f"{windows}",
            where="signal quality",
            action="widen the windows, or look for a wrong time stamp at either end",
        )
    start_ns = origin_ns + np.arange(windows, dtype=np.int64) * width_ns
    return start_ns, (time_ns - origin_ns) // width_ns


def _by_group(
    value: FloatArray, group: IntArray, groups: int, threshold: float
) -> tuple[FloatArray, FloatArray, IntArray]:
    """Median, share under the threshold and count of the values of each group."""
    count = np.bincount(group, minlength=groups).astype(np.int64)
    under = np.bincount(group[value < threshold], minlength=groups)
    rate = np.full(groups, np.nan)
    np.divide(under, count, out=rate, where=count > 0)
    ascending = value[np.lexsort((value, group))]
    some = count > 0
    size = count[some]
    first = np.cumsum(size) - size
    below, above = ascending[first + (size - 1) // 2], ascending[first + size // 2]
    median = np.full(groups, np.nan)
    # Halves are added, because the difference of two large values can overflow. Equal inner
    # values are taken as they are, which also serves infinities and the smallest numbers.
    median[some] = np.where(below == above, below, below / 2 + above / 2)
    return median, rate, count
