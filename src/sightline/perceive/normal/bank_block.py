"""The state of some detectors as arrays, and the settings as the kernels take them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from sightline.perceive.normal import features, memory
from sightline.perceive.normal.beginning import (
    SampleScale,
    equal_samples,
    learning_looks,
    looking_grid,
)
from sightline.perceive.normal.features import bounded
from sightline.perceive.normal.memory import ALWAYS, BELOW, NEVER
from sightline.perceive.normal.settings import NormalSettings
from sightline.records.windows import FloatArray, IntArray

STATE = ("windows", "numbers", "counts", "vectors", "used", "waiting", "samples", "episodes")
"""The arrays of a block."""
_LANES = 8  # vectors that a processor may compare at once; the memory is filled up to a multiple


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BankPlan:
    """The settings as the kernels take them.

    Attributes:
        settings: as given.
        widths: int64[w], of the windows, in samples.
        steps: int64[w], samples from one look to the next, per width.
        waits: int64[w], looks until one may be learnt.
        wait_begin: int64[w + 1], where the waiting looks of a width begin among those of all.
        least_weight: float64[w], of one distance.
        levels: int64[6, levels], of :func:`.features.level_table`.
        kept_windows: how many windows are kept of all levels.
        room: vectors that a memory has room for, a multiple of 8.
        limits: float64[LIMITS], of :mod:`.memory`.
        patience: int64[2], ``quiet_rows`` and ``lasting_rows``.
        learns: NEVER, ALWAYS or BELOW, the last if it hangs on the score.
    """

    settings: NormalSettings
    widths: IntArray
    steps: IntArray
    waits: IntArray
    wait_begin: IntArray
    least_weight: FloatArray
    limits: FloatArray
    patience: IntArray
    levels: IntArray
    kept_windows: int
    room: int
    learns: int

    @classmethod
    def of(cls, settings: NormalSettings) -> Self:
        """From the settings."""
        steps = [settings.step(width) for width in settings.widths]
        below = settings.learns_below
        learns = ALWAYS if below is None else BELOW if below > 0 else NEVER
        waits = [0 if learns == NEVER else settings.waits(width) for width in settings.widths]
        levels, kept_windows = features.level_table(settings.widths, steps)
        room = settings.memory_size + (0 if settings.forgets else 1)
        return cls(
            settings=settings,
            widths=np.array(settings.widths, np.int64),
            steps=np.array(steps, np.int64),
            waits=np.array(waits, np.int64),
            wait_begin=np.concatenate([[0], np.cumsum(waits)]).astype(np.int64),
            least_weight=np.array([settings.least_weight * step for step in steps]),
            limits=np.array(
                [
                    settings.clip,
                    settings.held_clip,
                    np.inf if below is None else below,
                    settings.usual_below,
                ]
            ),
            patience=np.array([settings.quiet_rows, settings.lasting_rows], np.int64),
            levels=levels,
            kept_windows=kept_windows,
            room=-(-room // _LANES) * _LANES,
            learns=learns,
        )

    def digest(self) -> bytes:
        """32 bytes: equal for equal settings."""
        plain = json.dumps(self.settings.as_mapping(), sort_keys=True)
        return hashlib.sha256(plain.encode()).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownSamples:
    """What a series knows of its samples.

    Attributes:
        low, high: samples further out count as these; infinite for none.
        equal_rows: how many in a row were equal to the last one.
        unusual_equal_rows: from how many on that is unusual; infinite for never.
    """

    low: float
    high: float
    equal_rows: int
    unusual_equal_rows: float

    def bounded(self, values: FloatArray) -> FloatArray:
        """float64[n], the samples as they are compared; infinite ones are missing."""
        found: FloatArray = np.clip(bounded(values), self.low, self.high)
        return found


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KnownWidth:
    """What a series knows of windows of one width.

    Attributes:
        width: samples.
        spread: float64[6], what each feature is divided by, in the unit of the samples.
        vectors: float64[k, 6], features of remembered windows, divided by ``spread``.
        usual: mean of the distances so far.
        usual_spread: the deviation that distances are measured by.
    """

    width: int
    spread: FloatArray
    vectors: FloatArray
    usual: float
    usual_spread: float


class Block:
    """What is known of up to ``series`` series.

    Attributes:
        windows: float64[s, kept, 7], the windows of each level that will be asked for.
        numbers: float64[s, w, 11], spread of the features, usual distance, spacing, what stands.
        counts: int64[s, w, 5], vectors in the memory, vectors and distances learnt, unusual looks.
        vectors: float64[s, w, 6, room], the memories, of each axis all vectors side by side.
        used: int64[s, w, room], when each was last needed; empty if nothing is ever forgotten.
        waiting: float64[s, looks, 8], looks that are to be learnt; empty if nothing is.
        samples: float64[s, 5], bounds of the samples, and how many in a row were equal.
        episodes: int64[s, 2], whether the series is unusual, and for how long it has been quiet.
    """

    __slots__ = (*STATE, "plan")

    def __init__(self, plan: BankPlan, series: int) -> None:
        self.plan = plan
        arrays = Block.empty(plan, series)
        self.windows, self.numbers = arrays["windows"], arrays["numbers"]
        self.counts, self.vectors = arrays["counts"], arrays["vectors"]
        self.used, self.waiting = arrays["used"], arrays["waiting"]
        self.samples, self.episodes = arrays["samples"], arrays["episodes"]

    @staticmethod
    def empty(plan: BankPlan, series: int = 0) -> dict[str, Any]:
        """The arrays of so many series, all zero, by the names of ``STATE``."""
        widths = len(plan.steps)
        is_used = plan.settings.forgets and plan.learns != NEVER
        return {
            "windows": np.zeros((series, plan.kept_windows, features.WINDOW_NUMBERS)),
            "numbers": np.zeros((series, widths, memory.NUMBERS)),
            "counts": np.zeros((series, widths, memory.COUNTS), np.int64),
            "vectors": np.zeros((series, widths, 6, plan.room)),
            "used": np.zeros((series, widths, plan.room if is_used else 0), np.int64),
            "waiting": np.zeros((series, int(plan.wait_begin[-1]), memory.WAITING)),
            "samples": np.zeros((series, memory.SAMPLE)),
            "episodes": np.zeros((series, memory.EPISODE), np.int64),
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
        plan, settings = self.plan, self.plan.settings
        numbers, counts = self.numbers[row], self.counts[row]
        counts[:] = 0
        known = values[np.isfinite(values)]
        if len(known) < settings.least_learning:
            return False
        scale = SampleScale.of(known, least_share_of_range=settings.least_share_of_range)
        values = scale.bounded(values)
        numbers[:] = 0.0
        self.vectors[row] = np.inf
        self.used[row] = 0
        grid = looking_grid(len(values), plan.steps)
        looks = learning_looks(values, settings.widths, grid)
        is_any = False
        for place, (width, step) in enumerate(
            zip(settings.widths, plan.steps.tolist(), strict=True)
        ):
            apart = max(width, round(settings.apart_share * len(values)))
            rounding = scale.rounding(width)
            is_any |= memory.learnt_width(
                looks[place],
                grid,
                step,
                apart + width,
                -(-apart // grid),
                settings.memory_size,
                np.maximum(rounding, scale.least),
                settings.rounding_share * rounding,
                settings.least_distance,
                settings.clip,
                settings.spacing_share,
                numbers[place],
                counts[place],
                self.vectors[row, place],
                self.used[row, place],
            )
        if is_any:
            self.waiting[row] = np.nan
            self.waiting[row, :, memory.HELD] = 0.0
            self.samples[row] = scale.low, scale.high, *equal_samples(values)
            self.episodes[row] = 0
            recent = values[-settings.widths[-1] :]
            features.primed(row, recent, plan.levels, len(plan.steps), self.windows)
        return is_any

    def follow(  # noqa: PLR0917 - one call of many, in the order of the kernels
        self,
        rows: IntArray,
        begin: IntArray,
        length: IntArray,
        values: FloatArray,
        since: IntArray,
        scores: FloatArray,
    ) -> None:
        """Score samples of series that have learnt.

        Args:
            rows: int64[k], of the block, ascending.
            begin, length: int64[k], their samples among ``values``.
            values: float64[n].
            since: int64[s], samples since learning; written to.
            scores: float64[n], written to.
        """
        plan, settings = self.plan, self.plan.settings
        memory.followed(
            rows,
            begin,
            length,
            values,
            since,
            plan.steps,
            plan.waits,
            plan.wait_begin,
            plan.least_weight,
            plan.levels,
            settings.memory_size,
            settings.forgets,
            plan.learns,
            plan.limits,
            plan.patience,
            self.windows,
            self.numbers,
            self.counts,
            self.vectors,
            self.used,
            self.waiting,
            self.samples,
            self.episodes,
            scores,
        )

    def take_over(self, other: Self, rows: IntArray) -> None:
        """These rows become what they are in ``other``."""
        self.put(rows, other.picked(rows))

    def known(self, row: int) -> tuple[KnownWidth, ...]:
        """Copies of what one series knows, of each width that could be learnt."""
        settings = self.plan.settings
        found = []
        for place, width in enumerate(settings.widths):
            filled = int(self.counts[row, place, memory.FILLED])
            number = self.numbers[row, place]
            if filled:
                found.append(
                    KnownWidth(
                        width=width,
                        spread=number[:6].copy(),
                        vectors=self.vectors[row, place, :, :filled].T.copy(),
                        usual=float(number[memory.MEAN]),
                        usual_spread=float(np.sqrt(number[memory.VARIANCE]))
                        + float(number[memory.LEAST]),
                    )
                )
        return tuple(found)

    def known_samples(self, row: int) -> KnownSamples:
        """What one series knows of its samples."""
        found = self.samples[row]
        return KnownSamples(
            low=float(found[memory.LOW]),
            high=float(found[memory.HIGH]),
            equal_rows=int(found[memory.RUN]),
            unusual_equal_rows=float(found[memory.MOST_RUN]),
        )
