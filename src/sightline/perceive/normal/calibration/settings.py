"""Settings of the calibration of scores."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from sightline.errors import UsageError

MAX_BLOCKS = 1 << 12
"""Maxima kept of one series, and held-back ones; more is a UsageError."""
MAX_BLOCK_ROWS = 1 << 31
"""Rows of a block; more is a UsageError."""
MAX_RARITY = 300.0
"""Greatest rarity that is told: what is rarer has it too."""
MAX_SCORE = 1e30
"""A block with a greater score is never learnt (maxima are kept as float32)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationSettings:
    """How rare a score is among the blocks of a series that were normal.

    Attributes:
        block_rows: rows of a block (a day, an hour). Long enough that maxima of neighbours hardly
            depend on each other, and that every block is like every other.
        least_blocks: learnt maxima until something is known. They are taken as they come: whoever
            begins must begin with normal data. 10 or more.
        kept_blocks: the newest learnt maxima count, so a slow drift of healthy scores is followed.
        suspicious_rarity: a block whose maximum is as rare as this, or rarer, is never learnt.
            What healthy series lose by that, a share of ``10**-suspicious_rarity`` of their
            blocks, the fit expects.
        allowance: rarity that blocks may have on average; healthy ones have 1 / ln 10 = 0.43. What
            is more adds up as evidence of a change, what is less takes away, never below 0 (CUSUM;
            Page 1954, "Continuous inspection schemes"). While there is evidence blocks wait to be
            learnt, so that an anomaly which is not suspicious in any one block is not learnt.
        doubt: from so much evidence on nothing is learnt, and what waits is not, until there is no
            evidence left. One block adds at most ``suspicious_rarity - allowance``. The same if
            ``least_blocks`` of them wait.
        confirm_blocks: after so many blocks in doubt the state says ``needs_confirmation``. They
            are not learnt then either: only a person can say that this is normal now.
        most_drift: how far the mean maximum may rise above that of the first calibration, or of
            the last one that was accepted, in L-scales of that one. Beyond it learning stops and
            the state says ``needs_confirmation``: slow poison is no drift. A fall has no limit.
        least_scale: floor of the L-scale of the maxima, in the unit of the score: of a score that
            never moved, what would count as a change.
    """

    block_rows: int = 3600
    least_blocks: int = 20
    kept_blocks: int = 200
    suspicious_rarity: float = 2.0
    allowance: float = 0.9
    doubt: float = 4.0
    confirm_blocks: int = 20
    most_drift: float = 4.0
    least_scale: float = 0.01

    def __post_init__(self) -> None:
        is_sound = (
            1 <= self.block_rows <= MAX_BLOCK_ROWS
            and 10 <= self.least_blocks <= self.kept_blocks <= MAX_BLOCKS
            and self.least_blocks <= self.confirm_blocks <= self.kept_blocks
            and 1.0 <= self.suspicious_rarity <= 6.0
            and 1 / math.log(10) < self.allowance < self.suspicious_rarity
            and 0 < self.doubt < math.inf
            and 0 < self.most_drift < math.inf
            and 1e-6 <= self.least_scale < math.inf
        )
        if not is_sound:
            raise UsageError(
                expected="10 <= least_blocks <= confirm_blocks <= kept_blocks "
                f"<= {MAX_BLOCKS}, a suspicious rarity of 1 to 6, an allowance between 0.44 and "
                f"that, block_rows of 1 to {MAX_BLOCK_ROWS}, and the rest above 0",
                got=str(self),
                where="CalibrationSettings",
                action="see its docstring",
            )

    def rarity_of(self, *, per_sample: float) -> float:
        """The rarity at which to alert for a budget of false alerts per sample.

        Args:
            per_sample: 0 < share; at most one block in one.

        >>> round(CalibrationSettings().rarity_of(per_sample=1e-10), 2)
        6.44

        Raises:
            UsageError: a budget of 0, or of more than one a block.
        """
        per_block = per_sample * self.block_rows
        if not 0 < per_block <= 1:
            raise UsageError(
                expected="a budget above 0, of at most one false alert in a block",
                got=f"{per_sample} per sample, {per_block} per block",
                where="CalibrationSettings.rarity_of",
                action="give the false alerts that are allowed per sample, for example 1e-10",
            )
        return -math.log10(per_block)

    def as_mapping(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)
