"""What one satellite sent: rows on an even grid, and the commands that it was sent."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sightline.perceive.normal.expectation import CommandTimes
from sightline.records.detections import BoolArray
from sightline.records.windows import FloatArray

DAY_S = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SatelliteRecord:
    """What one satellite sent, on an even grid.

    Attributes:
        step_s: distance of rows.
        values: float64[n, c]; NaN is missing.
        is_heard: bool[n]: a packet came.
        commands: with times on the same clock: seconds since row 0.
        first: row number of ``values[0]``: rows before it were let go of.
    """

    step_s: float
    values: FloatArray
    is_heard: BoolArray
    commands: CommandTimes
    first: int = 0

    @property
    def end(self) -> int:
        """Number of the row after the last."""
        return self.first + len(self.values)

    def rows(self, begin: int, end: int) -> slice:
        """Where the rows of these numbers are."""
        return slice(begin - self.first, end - self.first)

    def extended(
        self, values: FloatArray, is_heard: BoolArray, commands: CommandTimes, *, kept_rows: int
    ) -> SatelliteRecord:
        """With further rows, all commands so far, and no more than the newest ``kept_rows``."""
        gone = max(len(self.values) + len(values) - kept_rows, 0)
        return replace(
            self,
            values=np.concatenate([self.values[gone:], values]),
            is_heard=np.concatenate([self.is_heard[gone:], is_heard]),
            commands=commands,
            first=self.first + gone,
        )

    @property
    def rows_per_day(self) -> int:
        """Of a day."""
        return round(DAY_S / self.step_s)

    @property
    def days(self) -> int:
        """Days begun."""
        return -(-self.end // self.rows_per_day)
