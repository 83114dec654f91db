"""Where things lie in the state of a bank: follows from the settings alone."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from math import gcd
from typing import Self

import numpy as np

from sightline.perceive.normal.settings import NormalSettings
from sightline.records.windows import FloatArray, IntArray

NEVER, ALWAYS, BELOW = 0, 1, 2
"""What is learnt after the beginning: ``BankPlan.learns``."""
_LANES = 8  # vectors that a processor may compare at once; the memory is filled up to a multiple
_NEVER_ASKED = 1 << 60


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BankPlan:
    """The settings as the kernels take them.

    A window of 2**(l + 1) samples is made of two of 2**l, that of now and an earlier one, so of
    each level some earlier ones are kept, those that will be asked for. Times count from the first
    sample after learning; all grids below are powers of two, in samples.

    Attributes:
        settings: as given.
        widths: int64[w], of the windows, in samples.
        steps: int64[w], samples from one look to the next, per width.
        waits: int64[w], looks until one may be learnt.
        wait_begin: int64[w + 1], where the waiting looks of a width begin among those of all.
        least_weight: float64[w], of one distance.
        place_of_level: int64[levels], the place of the width 2**l among the widths, -1 for none.
        grid: int64[levels], windows of 2**l samples are needed at multiples of this.
        kept_grid: int64[levels], of those the ones at multiples of this are kept.
        kept_shift: int64[levels], its logarithm.
        kept_mask: int64[levels], how many are kept, less one.
        kept_begin: int64[levels], where those of the level begin among those of all.
        kept_windows: how many are kept of all levels.
        room: vectors that a memory has room for, a multiple of 8.
        limits: float64[3], ``clip``, ``least_distance`` and ``learns_below`` (infinite for None).
        learns: NEVER, ALWAYS or BELOW, the last if it hangs on the score.
        piece_rows: samples of one series that can be taken at a time: no look that is learnt
            within them is one of them.
    """

    settings: NormalSettings
    widths: IntArray
    steps: IntArray
    waits: IntArray
    wait_begin: IntArray
    least_weight: FloatArray
    limits: FloatArray
    place_of_level: IntArray
    grid: IntArray
    kept_grid: IntArray
    kept_shift: IntArray
    kept_mask: IntArray
    kept_begin: IntArray
    kept_windows: int
    room: int
    learns: int
    piece_rows: int

    @classmethod
    def of(cls, settings: NormalSettings, *, most_piece_rows: int = 1 << 12) -> Self:
        """From the settings.

        Args:
            settings: of the detectors.
            most_piece_rows: bound of ``piece_rows``, >= 1.
        """
        steps = [settings.step(width) for width in settings.widths]
        if settings.learns_below is None:
            learns = ALWAYS
        else:
            learns = BELOW if settings.learns_below > 0 else NEVER
        waits = [0 if learns == NEVER else settings.waits(width) for width in settings.widths]
        levels = settings.widths[-1].bit_length()
        step_of_level = dict(zip((w.bit_length() - 1 for w in settings.widths), steps, strict=True))
        grid, kept_grid = [1] * levels, [1] * levels
        above = _NEVER_ASKED
        for level in range(levels - 1, -1, -1):
            kept_grid[level] = gcd(above, 1 << level)
            grid[level] = gcd(kept_grid[level], step_of_level.get(level, _NEVER_ASKED))
            above = grid[level]
        kept = [(1 << level) // kept_grid[level] for level in range(levels)]
        kept[-1] = 0  # nothing is made of the widest
        piece_rows = most_piece_rows
        if learns == BELOW:
            piece_rows = min(piece_rows, *(n * step for n, step in zip(waits, steps, strict=True)))
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
                    settings.least_distance,
                    np.inf if settings.learns_below is None else settings.learns_below,
                ]
            ),
            place_of_level=np.array(
                [
                    settings.widths.index(1 << level) if level in step_of_level else -1
                    for level in range(levels)
                ],
                np.int64,
            ),
            grid=np.array(grid, np.int64),
            kept_grid=np.array(kept_grid, np.int64),
            kept_shift=np.array([g.bit_length() - 1 for g in kept_grid], np.int64),
            kept_mask=np.array([max(n - 1, 0) for n in kept], np.int64),
            kept_begin=(np.cumsum(kept) - kept).astype(np.int64),
            kept_windows=sum(kept),
            room=-(-room // _LANES) * _LANES,
            learns=learns,
            piece_rows=piece_rows,
        )

    def digest(self) -> bytes:
        """32 bytes: equal for equal settings."""
        plain = json.dumps(self.settings.as_mapping(), sort_keys=True)
        return hashlib.sha256(plain.encode()).digest()
