"""Window tables: what the rows of one key in one interval of event time add up to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
IdArray = npt.NDArray[np.uint32]


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowTable:
    """One row per (key, window), sorted by key id, then window.

    Attributes:
        key: uint32[n], dictionary ids of the keys.
        window: int64[n], window number: the window starts at ``window * slide_ns``.
        slide_ns: distance between window starts.
        width_ns: length of a window; equal to ``slide_ns`` when tumbling. Windows are
            left-closed, right-open, aligned to 1970-01-01T00:00Z.
        columns: float64[n] each, by name (``snr_db.mean``, ``count``, …); NaN is "no value".
    """

    key: IdArray
    window: IntArray
    slide_ns: int
    width_ns: int
    columns: Mapping[str, FloatArray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.key)

    @property
    def start_ns(self) -> IntArray:
        """int64[n], inclusive start of each window, UTC ns."""
        return self.window * self.slide_ns

    @property
    def end_ns(self) -> IntArray:
        """int64[n], exclusive end of each window, UTC ns."""
        return self.start_ns + self.width_ns
