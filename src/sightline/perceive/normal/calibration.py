"""What a score means: how rare it is among the normal blocks of its own series.

Of many series side by side, in arrays, changed in place.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from sightline.errors import LogError, UsageError
from sightline.perceive.normal import calibration_kernels as kernels
from sightline.records.detections import BoolArray
from sightline.records.windows import FloatArray, IntArray

MAX_BLOCKS = 1 << 12
"""Maxima kept of one series, and held-back ones; more is a UsageError."""
MAX_BLOCK_ROWS = 1 << 31
"""Rows of a block; more is a UsageError."""

Scalar = TypeVar("Scalar", bound=np.generic)

_STATE = ("numbers", "counts", "maxima", "waiting")


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


class CalibrationBank:
    """What scores mean: how rare each is among the normal blocks of its own series.

    A rarity is -log10 of the expected share of blocks whose maximum is at least the score. It is a
    prediction, not a best fit: the tail is averaged over the shapes that the maxima allow, and is
    wider the fewer they are. A score is judged by the blocks that ended before its own. Maxima are
    rounded to float32 when they are learnt.

    When not to use it: where the first ``least_blocks`` may hold an anomaly (they are learnt as
    they come); for scores with an upper bound, such as probabilities (no tail is believed to end,
    so none is ever rare); where healthy maxima move by more than half a deviation in
    ``kept_blocks`` (then keep fewer).

    Memory of a series: 120 bytes and 4 for each of ``kept_blocks + least_blocks``.

    Args:
        settings: of all series.
        max_series: bound; more is a UsageError.

    >>> bank = CalibrationBank(CalibrationSettings(block_rows=10), max_series=4)
    >>> bank.grow(1)
    >>> only, rng = np.zeros(1, np.int64), np.random.default_rng(0)
    >>> _ = bank.follow(only, np.array([2000]), rng.exponential(size=2000))
    >>> bank.follow(only, np.array([3]), np.array([0.1, 9.0, np.nan])).round(1).tolist()
    [0.0, 2.1, nan]
    """

    def __init__(self, settings: CalibrationSettings, *, max_series: int) -> None:
        self.settings = settings
        self._max_series = max_series
        self._table = kernels.shape_table(settings.suspicious_rarity)
        self._ints = np.array(
            [
                settings.block_rows,
                settings.least_blocks,
                settings.confirm_blocks,
            ],
            np.int64,
        )
        self._reals = np.array(
            [
                settings.suspicious_rarity,
                settings.allowance,
                settings.doubt,
                settings.most_drift,
                settings.least_scale,
            ]
        )
        self._count = 0
        self._numbers = np.empty((0, kernels.NUMBERS))
        self._counts = np.empty((0, kernels.COUNTS), np.int64)
        self._maxima = np.empty((0, settings.kept_blocks), np.float32)
        self._waiting = np.empty((0, settings.least_blocks), np.float32)

    def __len__(self) -> int:
        return self._count

    def grow(self, count: int) -> None:
        """Add ``count`` series of which nothing is known.

        Raises:
            UsageError: less than 0, or more series than ``max_series``.
        """
        wanted = self._count + count
        if count < 0 or wanted > self._max_series:
            raise UsageError(
                expected=f"at most {self._max_series} series",
                got=f"{self._count} and {count} more",
                where="CalibrationBank.grow",
                action="raise max_series, or calibrate fewer series",
            )
        if wanted > len(self._numbers):
            # Doubled, so that growing by one is not quadratic.
            room = min(max(wanted, 2 * len(self._numbers)), self._max_series)
            more = room - len(self._numbers)
            number = np.full(kernels.NUMBERS, np.nan)
            number[kernels.MAXIMUM] = -np.inf
            number[kernels.EVIDENCE] = 0.0
            self._numbers = np.concatenate([self._numbers, np.tile(number, (more, 1))])
            self._counts = _longer(self._counts, more)
            self._maxima = _longer(self._maxima, more)
            self._waiting = _longer(self._waiting, more)
        self._count = wanted

    def follow(self, series: IntArray, lengths: IntArray, scores: FloatArray) -> FloatArray:
        """The rarity of each score, while blocks that end are learnt or held back.

        Args:
            series: int64[k], ascending.
            lengths: int64[k], new rows of each.
            scores: float64[sum of lengths], series after series; NaN where none is known.

        Returns:
            float64[sum of lengths], 0 to 300; NaN where the score is, and while fewer than
            ``least_blocks`` blocks were learnt.

        Raises:
            UsageError: series that are not ascending or not there, lengths that do not fit.
        """
        series = np.ascontiguousarray(series, np.int64)
        lengths = np.ascontiguousarray(lengths, np.int64)
        self._check(series, "CalibrationBank.follow")
        if len(lengths) != len(series) or (lengths < 0).any() or lengths.sum() != len(scores):
            raise UsageError(
                expected=f"a length of 0 or more for each of {len(series)} series, and as many "
                "scores as their sum",
                got=f"{len(lengths)} lengths, of {int(lengths.sum())} rows, {len(scores)} scores",
                where="CalibrationBank.follow",
                action="give the scores series after series",
            )
        found: FloatArray = kernels.followed(
            series,
            lengths,
            np.ascontiguousarray(scores, np.float64),
            self._ints,
            self._reals,
            self._table,
            self._numbers,
            self._counts,
            self._maxima,
            self._waiting,
        )
        return found

    def accept(self, series: IntArray) -> BoolArray:
        """A person says that what these series do now is normal.

        Of a series in doubt, the newest ``least_blocks`` maxima replace all that was learnt. Of
        one that has drifted too far, what was learnt stays, and drift is counted from here. Series
        that wait for nothing are left as they are.

        Args:
            series: int64[k], ascending.

        Returns:
            bool[k]: which were waiting for this.

        Raises:
            UsageError: series that are not ascending or not there.
        """
        series = np.ascontiguousarray(series, np.int64)
        self._check(series, "CalibrationBank.accept")
        is_taken = np.zeros(len(series), np.bool_)
        kernels.accepted(
            series,
            self._ints,
            self._reals,
            self._table,
            self._numbers,
            self._counts,
            self._maxima,
            self._waiting,
            is_taken,
        )
        return is_taken

    # --- state ------------------------------------------------------------------------------------

    @property
    def rows(self) -> IntArray:
        """int64[n]: rows of each series so far."""
        return self._counts[: self._count, kernels.ROWS].copy()

    @property
    def is_known(self) -> BoolArray:
        """bool[n]: whether scores are judged."""
        known: BoolArray = np.isfinite(self._numbers[: self._count, kernels.FLOOR])
        return known

    @property
    def held_blocks(self) -> IntArray:
        """int64[n]: blocks that were suspicious, ever."""
        return self._counts[: self._count, kernels.HELD].copy()

    @property
    def is_in_doubt(self) -> BoolArray:
        """bool[n]: there is so much evidence of a change that nothing is learnt."""
        in_doubt: BoolArray = self._counts[: self._count, kernels.IN_DOUBT] == 1
        return in_doubt

    @property
    def drift(self) -> FloatArray:
        """float64[n]: rise of the mean maximum since the first or last accepted calibration.

        In L-scales of that one; NaN while nothing is known.
        """
        number = self._numbers[: self._count]
        drift: FloatArray = (number[:, kernels.L1] - number[:, kernels.REFERENCE_L1]) / number[
            :, kernels.REFERENCE_L2
        ]
        return drift

    @property
    def needs_confirmation(self) -> BoolArray:
        """bool[n]: learning has stopped until :meth:`accept`, or until the blocks are as before.

        It has been in doubt for ``confirm_blocks``, or the series has drifted too far.
        """
        count = self._counts[: self._count]
        waits: BoolArray = (
            self.is_in_doubt & (count[:, kernels.WAITING] >= self.settings.confirm_blocks)
        ) | (self.drift > self.settings.most_drift)
        return waits

    def level(self, rarity: float) -> FloatArray:
        """float64[n]: the score that has this rarity now, by bisection; NaN while nothing is known.

        Raises:
            UsageError: a rarity that is not between 0 and 15.
        """
        if not 0 < rarity <= 15:
            raise UsageError(
                expected="a rarity above 0, at most 15",
                got=str(rarity),
                where="CalibrationBank.level",
                action="give -log10 of a share of blocks",
            )
        return kernels.levels(
            rarity,
            self._ints,
            self._table,
            self._numbers[: self._count],
            self._counts[: self._count],
            self._maxima[: self._count],
        )

    def take_over(self, other: CalibrationBank, series: IntArray) -> None:
        """Let these series begin again where ``other`` has them.

        Args:
            other: of the same settings.
            series: int64[k], ascending, of both banks.

        Raises:
            UsageError: other settings, or series that are not there.
        """
        series = np.ascontiguousarray(series, np.int64)
        for bank in (self, other):
            bank._check(series, "CalibrationBank.take_over")
        if other.settings != self.settings:
            raise UsageError(
                expected=str(self.settings),
                got=str(other.settings),
                where="CalibrationBank.take_over",
                action="take over from a bank of the same settings",
            )
        self._numbers[series] = other._numbers[series]
        self._counts[series] = other._counts[series]
        self._maxima[series] = other._maxima[series]
        self._waiting[series] = other._waiting[series]

    # --- checkpoint -------------------------------------------------------------------------------

    def snapshot(self) -> dict[str, npt.NDArray[np.generic]]:
        """A copy of the state, for :meth:`restore`."""
        n = self._count
        return {
            "settings": np.frombuffer(self._digest(), np.uint8),
            "numbers": self._numbers[:n].copy(),
            "counts": self._counts[:n].copy(),
            "maxima": self._maxima[:n].copy(),
            "waiting": self._waiting[:n].copy(),
        }

    def restore(self, arrays: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Inverse of :meth:`snapshot`; nothing is changed if it fails.

        Raises:
            UsageError: state of other settings, or of more series than ``max_series``.
            LogError: no such state.
        """
        try:
            digest = arrays["settings"].tobytes()
            numbers = np.array(arrays["numbers"], np.float64, order="C")
            counts = np.array(arrays["counts"], np.int64, order="C")
            maxima = np.array(arrays["maxima"], np.float32, order="C")
            waiting = np.array(arrays["waiting"], np.float32, order="C")
        except KeyError as missing:
            raise LogError(
                expected=f"arrays settings, {', '.join(_STATE)}",
                got=f"no {missing}",
                where="CalibrationBank.restore",
                action="restore from a checkpoint of this version",
            ) from missing
        n = len(numbers)
        if digest != self._digest() or n > self._max_series:
            raise UsageError(
                expected=f"state of {self.settings}, of at most {self._max_series} series",
                got=f"{n} series, " + ("" if digest == self._digest() else "of other settings"),
                where="CalibrationBank.restore",
                action="restore with the settings of the run that wrote the checkpoint",
            )
        shapes = [a.shape for a in (numbers, counts, maxima, waiting)]
        wanted = [
            (n, kernels.NUMBERS),
            (n, kernels.COUNTS),
            (n, self.settings.kept_blocks),
            (n, self.settings.least_blocks),
        ]
        if shapes != wanted:
            raise LogError(
                expected=f"arrays of {wanted}",
                got=str(shapes),
                where="CalibrationBank.restore",
                action="restore from a checkpoint of this version",
            )
        self._count = n
        self._numbers, self._counts = numbers, counts
        self._maxima, self._waiting = maxima, waiting

    def _digest(self) -> bytes:
        plain = json.dumps(["calibration/1", self.settings.as_mapping()], sort_keys=True)
        return hashlib.sha256(plain.encode()).digest()

    def _check(self, series: IntArray, where: str) -> None:
        is_there = not len(series) or (
            series[0] >= 0 and series[-1] < self._count and (np.diff(series) > 0).all()
        )
        if not is_there:
            raise UsageError(
                expected=f"ascending numbers of the {self._count} series",
                got=str(series[:10].tolist()),
                where=where,
                action="grow the bank first, and give each series once",
            )


def _longer(rows: npt.NDArray[Scalar], more: int) -> npt.NDArray[Scalar]:
    return np.concatenate([rows, np.zeros((more, rows.shape[1]), rows.dtype)])
