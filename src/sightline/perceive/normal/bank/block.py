"""The state of some hundred series that have learnt, in arrays that change in place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from sightline.perceive.normal.bank import learning, look_kernels, memory_kernels
from sightline.perceive.normal.bank.plan import BELOW, NEVER, BankPlan
from sightline.perceive.normal.portable_logarithm import expm1, log1p
from sightline.records.windows import FloatArray, IntArray

BLOCK_SERIES = 512
"""Series of a block: what a bank grows by, so that growing moves nothing."""
STATE = ("windows", "numbers", "counts", "vectors", "used", "waiting")
"""The arrays of a block."""


class Block:
    """What is known of up to ``BLOCK_SERIES`` series.

    Attributes:
        windows: float64[s, kept, 7], the windows of each level that will be asked for.
        numbers: float64[s, w, 10], spread of the features, usual distance, spacing, what stands.
        counts: int64[s, w, 3], vectors in the memory, vectors and distances learnt.
        vectors: float64[s, w, 6, room], the memories, of each axis all vectors side by side.
        used: int64[s, w, room], when each was last needed; empty if nothing is ever forgotten.
        waiting: float64[s, looks, 8], looks that are to be learnt; empty if nothing is.
    """

    __slots__ = ("counts", "numbers", "plan", "used", "vectors", "waiting", "windows")

    def __init__(self, plan: BankPlan) -> None:
        self.plan = plan
        arrays = Block.empty(plan, BLOCK_SERIES)
        self.windows, self.numbers = arrays["windows"], arrays["numbers"]
        self.counts, self.vectors = arrays["counts"], arrays["vectors"]
        self.used, self.waiting = arrays["used"], arrays["waiting"]

    @staticmethod
    def empty(plan: BankPlan, series: int = 0) -> dict[str, Any]:
        """The arrays of so many series, all zero, by the names of ``STATE``."""
        widths = len(plan.steps)
        is_used = plan.settings.forgets and plan.learns != NEVER
        return {
            "windows": np.zeros((series, plan.kept_windows, look_kernels.WINDOW_NUMBERS)),
            "numbers": np.zeros((series, widths, memory_kernels.NUMBERS)),
            "counts": np.zeros((series, widths, memory_kernels.COUNTS), np.int64),
            "vectors": np.zeros((series, widths, 6, plan.room)),
            "used": np.zeros((series, widths, plan.room if is_used else 0), np.int64),
            "waiting": np.zeros((series, int(plan.wait_begin[-1]), memory_kernels.WAITING)),
        }

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(array.nbytes for array in self.arrays().values())

    def arrays(self) -> dict[str, Any]:
        """By the names of ``STATE``; the arrays themselves."""
        return {name: getattr(self, name) for name in STATE}

    def picked(self, rows: IntArray) -> dict[str, Any]:
        """Copies of these rows of each array."""
        return {name: array[rows] for name, array in self.arrays().items()}

    def put(self, rows: IntArray, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`picked`."""
        for name, array in self.arrays().items():
            array[rows] = state[name]

    def begin(self, row: int, values: FloatArray) -> bool:
        """Learn from the beginning of a series; False if nothing can be known of it.

        Args:
            row: of the block.
            values: float64[n], the samples it learns from.
        """
        plan = self.plan
        state = (self.numbers[row], self.counts[row], self.vectors[row], self.used[row])
        if not learning.learn(values, plan, *state):
            return False
        self.waiting[row] = np.nan
        look_kernels.primed(
            row,
            values[-plan.settings.widths[-1] :],
            plan.grid,
            plan.kept_grid,
            plan.kept_shift,
            plan.kept_mask,
            plan.kept_begin,
            plan.place_of_level,
            len(plan.steps),
            self.windows,
        )
        return True

    def follow(  # noqa: PLR0917 - one call of many, in the order of the kernels
        self,
        rows: IntArray,
        begin: IntArray,
        length: IntArray,
        values: FloatArray,
        since: IntArray,
        scores: FloatArray,
    ) -> None:
        """Score samples of series that have learnt, at most ``plan.piece_rows`` of each.

        Args:
            rows: int64[k], of the block, ascending.
            begin, length: int64[k], their samples among ``values``.
            values: float64[n].
            since: int64[s], samples since learning; written to.
            scores: float64[n], written to.
        """
        plan, settings = self.plan, self.plan.settings
        looks = look_kernels.looked(
            rows,
            begin,
            length,
            values,
            since,
            plan.steps,
            plan.grid,
            plan.kept_grid,
            plan.kept_shift,
            plan.kept_mask,
            plan.kept_begin,
            plan.place_of_level,
            self.windows,
            self.numbers,
            self.counts,
        )
        beyond = memory_kernels.compared(
            rows,
            length,
            since,
            looks,
            plan.steps,
            plan.waits,
            plan.wait_begin,
            plan.least_weight,
            settings.memory_size,
            settings.forgets,
            plan.learns,
            plan.limits,
            self.numbers,
            self.counts,
            self.vectors,
            self.used,
            self.waiting,
        )
        logs = log1p(beyond)
        means = memory_kernels.mean_logs(
            rows, length, since, logs, plan.steps, self.numbers, self.counts
        )
        found = expm1(means)
        memory_kernels.shown(
            rows,
            begin,
            length,
            since,
            found,
            plan.steps,
            plan.waits,
            plan.wait_begin,
            plan.learns == BELOW,
            self.waiting,
            scores,
        )

    def take_over(self, other: Self, rows: IntArray) -> None:
        """These rows become what they are in ``other``."""
        self.put(rows, other.picked(rows))
