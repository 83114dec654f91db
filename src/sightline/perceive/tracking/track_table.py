"""All tracks of a stream as a struct of arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from sightline.records.windows import FloatArray, IntArray


@dataclass(slots=True, eq=False)
class TrackTable:
    """n tracks, in the order in which they began.

    Attributes:
        state: float64[n, 4], x, y, vx, vy on the plane.
        covariance: float64[n, 4, 4] of it.
        log_size: float64[n, 2], logarithm of width and height in px.
        size_variance: float64[n, 2] of it.
        track_id: int64[n]; 0 until the track is confirmed.
        class_id: int64[n].
        hits: int64[n], detections so far.
        score: float64[n], of the last detection.
        seen_ns: int64[n], capture time of the last detection.
        began_ns: int64[n], capture time of the first.
    """

    state: FloatArray
    covariance: FloatArray
    log_size: FloatArray
    size_variance: FloatArray
    track_id: IntArray
    class_id: IntArray
    hits: IntArray
    score: FloatArray
    seen_ns: IntArray
    began_ns: IntArray

    @classmethod
    def empty(cls) -> TrackTable:
        """No tracks."""
        return cls(
            state=np.empty((0, 4)),
            covariance=np.empty((0, 4, 4)),
            log_size=np.empty((0, 2)),
            size_variance=np.empty((0, 2)),
            track_id=np.empty(0, np.int64),
            class_id=np.empty(0, np.int64),
            hits=np.empty(0, np.int64),
            score=np.empty(0),
            seen_ns=np.empty(0, np.int64),
            began_ns=np.empty(0, np.int64),
        )

    def __len__(self) -> int:
        return len(self.track_id)

    def copied(self) -> TrackTable:
        """The same values in arrays of their own."""
        return TrackTable(**{name: array.copy() for name, array in self.arrays().items()})

    def columns(self) -> tuple[
        FloatArray, FloatArray, FloatArray, FloatArray, IntArray, IntArray, IntArray, FloatArray,
        IntArray, IntArray,
    ]:  # fmt: skip
        """Every array, in the order of the fields."""
        return (
            self.state, self.covariance, self.log_size, self.size_variance, self.track_id,
            self.class_id, self.hits, self.score, self.seen_ns, self.began_ns,
        )  # fmt: skip

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Every array by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> TrackTable:
        """Inverse of :meth:`arrays`."""
        return cls(**{field.name: np.array(arrays[field.name]) for field in fields(cls)})
