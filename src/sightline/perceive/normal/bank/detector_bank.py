"""The detectors of many series: what a live pipeline with tens of thousands of them needs.

Each series is scored as :class:`..series_detector.SeriesDetector` scores it, which is the
specification; but the state of all lies in arrays, compiled loops go over the series, and it
changes in place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt

from sightline.errors import UsageError
from sightline.perceive.normal.bank import stored
from sightline.perceive.normal.bank.block import BLOCK_SERIES, Block
from sightline.perceive.normal.bank.kept_samples import KeptSamples
from sightline.perceive.normal.bank.plan import BankPlan
from sightline.perceive.normal.settings import NormalSettings
from sightline.perceive.normal.window_features import bounded
from sightline.records.detections import BoolArray
from sightline.records.windows import FloatArray, IntArray

MAX_LEARN_ROWS = 1 << 16
"""Samples that a series begins with; more is a UsageError. They are kept until it has learnt."""


class DetectorBank:
    """Detectors of many series side by side, in arrays; the state changes in place.

    A series that has learnt needs, with memories of m vectors (rounded up to a multiple of 8),
    w widths and n looks that wait (``NormalSettings.waits``, of all widths together)::

        w * (48 * m + 8 * m if it forgets + 104) + 64 * n + 56 * kept + 24 bytes

    where ``kept`` is the number of windows that later ones are made of, 20 for the default widths.
    With the default settings that is 61 kB, with memories of 64 vectors 18 kB. A block of 512
    series is made room for as soon as one of them has learnt. A series that learns keeps 8 bytes
    per sample (see ``KeptSamples``). ``nbytes`` is what is taken at the moment.

    Args:
        settings: of all detectors.
        max_series: most series; more are a UsageError.

    >>> rng = np.random.default_rng(0)
    >>> values = np.sin(np.arange(3000) / 20) + rng.normal(0, 0.05, 3000)
    >>> values[2500:2520] = 0.0
    >>> bank = DetectorBank(NormalSettings(memory_size=64))
    >>> bank.grow(np.array([750]))
    >>> scores = bank.follow(np.array([0]), np.array([3000]), values)
    >>> bool(np.isnan(scores[:750]).all()), bool(2500 <= np.nanargmax(scores) < 2540)
    (True, True)
    """

    def __init__(self, settings: NormalSettings, *, max_series: int = 200_000) -> None:
        self._plan = BankPlan.of(settings)
        self._max_series = max_series
        self._series = 0
        self._learn_rows = np.zeros(0, np.int64)
        self._rows = np.zeros(0, np.int64)
        self._since = np.zeros(0, np.int64)  # samples since learning, -1 while it has not learnt
        self._blocks: list[Block | None] = []
        self._kept: list[KeptSamples | None] = []

    def __len__(self) -> int:
        """Series that exist."""
        return self._series

    @property
    def settings(self) -> NormalSettings:
        """Of all detectors."""
        return self._plan.settings

    @property
    def rows(self) -> IntArray:
        """int64[n], samples taken in, per series."""
        return self._rows[: self._series].copy()

    @property
    def is_known(self) -> BoolArray:
        """bool[n]: the series that have learnt, whose next samples are scored."""
        found: BoolArray = self._since[: self._series] >= 0
        return found

    @property
    def nbytes(self) -> int:
        """Bytes of the state."""
        parts = [*self._blocks, *self._kept, self._learn_rows, self._rows, self._since]
        return sum(part.nbytes for part in parts if part is not None)

    def grow(self, learn_rows: IntArray) -> None:
        """Append series that know nothing.

        Args:
            learn_rows: int64[n], 1 to ``MAX_LEARN_ROWS``: the samples that each begins with, which
                are learnt from and not scored.

        Raises:
            UsageError: more series than there may be, or numbers out of range.
        """
        new = np.asarray(learn_rows, np.int64)
        total = self._series + len(new)
        if total > self._max_series or ((new < 1) | (new > MAX_LEARN_ROWS)).any():
            raise UsageError(
                expected=f"at most {self._max_series} series that each learn from 1 to "
                f"{MAX_LEARN_ROWS} samples",
                got=f"{total} series, {new.min(initial=1)} to {new.max(initial=1)} samples",
                where="DetectorBank.grow",
                action="raise max_series, or spread the series over more banks",
            )
        while len(self._blocks) * BLOCK_SERIES < total:
            self._blocks.append(None)
            self._kept.append(None)
        room = len(self._blocks) * BLOCK_SERIES - len(self._since)
        self._learn_rows = np.concatenate([self._learn_rows, np.zeros(room, np.int64)])
        self._rows = np.concatenate([self._rows, np.zeros(room, np.int64)])
        self._since = np.concatenate([self._since, np.full(room, -1)])
        self._learn_rows[self._series : total] = new
        self._series = total

    def follow(self, series: IntArray, lengths: IntArray, values: FloatArray) -> FloatArray:
        """Take in the samples that come next, score them, and learn from them.

        What a series makes of its samples depends on them alone: not on how they are cut into
        calls, not on what other series there are.

        Args:
            series: int64[k], ascending, each once.
            lengths: int64[k], new samples of each, 0 or more.
            values: float64[sum(lengths)], those of the first, then of the second and so on, of
                each in order of time, evenly spaced; NaN is missing.

        Returns:
            float64[sum(lengths)], as ``SeriesScores.score``; NaN while a series knows nothing.
            A series of which too much is missing to learn from begins again.

        Raises:
            UsageError: series that do not exist or are not ascending, or lengths that do not fit.
        """
        series, lengths = np.ascontiguousarray(series, np.int64), np.asarray(lengths, np.int64)
        values = bounded(np.ascontiguousarray(values, np.float64))
        self._check(series, lengths, len(values))
        scores = np.full(len(values), np.nan)
        begin = np.cumsum(lengths) - lengths
        lengths = lengths.copy()  # what is left to do
        for block, part in self._parts(series):
            rows = series[part] - block * BLOCK_SERIES
            self._rows[series[part]] += lengths[part]
            if (self._since[series[part]] < 0).any():
                self._learn(block, rows, begin[part], lengths[part], values)
            self._score(block, rows, begin[part], lengths[part], values, scores)
        return scores

    def take_over(self, other: DetectorBank, series: IntArray) -> None:
        """These series become what they are in ``other``.

        Args:
            other: of the same settings, with as many series.
            series: int64[k], ascending, each once.

        Raises:
            UsageError: a bank of another kind, or series that do not exist.
        """
        series = np.asarray(series, np.int64)
        self._check(series, np.zeros(len(series), np.int64), 0)
        if other.settings != self.settings or len(other) != len(self):
            raise UsageError(
                expected=f"a bank of {len(self)} series with the same settings",
                got=f"{len(other)} series, {other.settings}",
                where="DetectorBank.take_over",
                action="take over only from a bank that was the same",
            )
        for block, part in self._parts(series):
            rows = series[part] - block * BLOCK_SERIES
            theirs, their_kept = other._blocks[block], other._kept[block]
            has_learnt = other._since[series[part]] >= 0
            if theirs is not None and has_learnt.any():
                self._block(block).take_over(theirs, rows[has_learnt])
            if their_kept is not None:
                self._kept_of(block).take_over(their_kept, rows)
            elif (ours := self._kept[block]) is not None:
                ours.drop(rows)
        for name in ("_learn_rows", "_rows", "_since"):
            getattr(self, name)[series] = getattr(other, name)[series]

    def snapshot(self) -> dict[str, npt.NDArray[np.generic]]:
        """Copies of the state that :meth:`restore` takes back, exactly."""
        learnt_of, kept_of = [], []
        for block, since in enumerate(self._since.reshape(-1, BLOCK_SERIES)):
            one, kept = self._blocks[block], self._kept[block]
            if one is not None:
                learnt_of.append(one.picked(np.flatnonzero(since >= 0)))
            if kept is not None:
                kept_of.append((block * BLOCK_SERIES, kept))
        return stored.plain(
            self._plan,
            {
                "learn_rows": self._learn_rows[: self._series].copy(),
                "rows": self._rows[: self._series].copy(),
                "since": self._since[: self._series].copy(),
            },
            learnt_of,
            kept_of,
        )

    def restore(self, arrays: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Become the bank whose :meth:`snapshot` this is.

        Raises:
            LogError: of another format, or damaged; this bank is then unchanged.
            UsageError: of other settings, or of more series than there may be.
        """
        found = stored.checked(self._plan, arrays)
        fresh = DetectorBank(self.settings, max_series=self._max_series)
        fresh.grow(found.learn_rows)
        fresh._rows[: len(fresh)] = found.rows
        fresh._since[: len(fresh)] = found.since
        done = 0
        for block, since in enumerate(fresh._since.reshape(-1, BLOCK_SERIES)):
            rows = np.flatnonzero(since >= 0)
            if len(rows):
                part = slice(done, done + len(rows))
                fresh._block(block).put(rows, {k: v[part] for k, v in found.state.items()})
                done += len(rows)
        begin = np.cumsum(found.kept) - found.kept
        some = np.flatnonzero(found.kept > 0)
        for block, piece in fresh._parts(some):
            s = some[piece]
            fresh._kept_of(block).append(
                s - block * BLOCK_SERIES, begin[s], found.kept[s], found.samples
            )
        for name in ("_series", "_learn_rows", "_rows", "_since", "_blocks", "_kept"):
            setattr(self, name, getattr(fresh, name))

    # --- parts ----------------------------------------------------------------------------------

    def _parts(self, series: IntArray) -> Iterator[tuple[int, slice]]:
        """The blocks that have some of these series, and where those lie among them."""
        if not len(series):
            return
        blocks = np.unique(series // BLOCK_SERIES)
        edges = np.searchsorted(series, np.append(blocks, blocks[-1] + 1) * BLOCK_SERIES)
        for block, lo, hi in zip(blocks.tolist(), edges[:-1], edges[1:], strict=True):
            yield block, slice(int(lo), int(hi))

    def _block(self, block: int) -> Block:
        found = self._blocks[block]
        if found is None:
            found = self._blocks[block] = Block(self._plan)
        return found

    def _kept_of(self, block: int) -> KeptSamples:
        found = self._kept[block]
        if found is None:
            found = self._kept[block] = KeptSamples(BLOCK_SERIES)
        return found

    def _since_of(self, block: int) -> IntArray:
        return self._since[block * BLOCK_SERIES : (block + 1) * BLOCK_SERIES]

    def _learn(
        self,
        block: int,
        rows: IntArray,
        begin: IntArray,
        left: IntArray,
        values: FloatArray,
    ) -> None:
        """Take samples of series that have not learnt; what is left is to be scored.

        Args:
            block: which.
            rows: int64[k], of the block.
            begin, left: int64[k], their samples among ``values``; written to.
            values: float64[n].
        """
        since = self._since_of(block)
        learn_rows = self._learn_rows[block * BLOCK_SERIES : (block + 1) * BLOCK_SERIES]
        # From so few nothing can ever be learnt: they need not be kept.
        is_hopeless = (since[rows] < 0) & (learn_rows[rows] < self.settings.least_learning)
        begin[is_hopeless] += left[is_hopeless]
        left[is_hopeless] = 0
        kept = self._kept_of(block)
        while len(some := np.flatnonzero((since[rows] < 0) & (left > 0))):
            mine = rows[some]
            take = np.minimum(left[some], learn_rows[mine] - kept.kept[mine])
            kept.append(mine, begin[some], take, values)
            begin[some] += take
            left[some] -= take
            full = mine[kept.kept[mine] == learn_rows[mine]]
            for row in full.tolist():
                if self._block(block).begin(row, kept.of(row)):
                    since[row] = 0
            kept.drop(full)
        if (kept.place < 0).all():
            self._kept[block] = None

    def _score(  # noqa: PLR0917 - as `_learn`, and where the scores go
        self,
        block: int,
        rows: IntArray,
        begin: IntArray,
        left: IntArray,
        values: FloatArray,
        scores: FloatArray,
    ) -> None:
        """Score what is left of the samples of series that have learnt."""
        since = self._since_of(block)
        while True:
            is_some = (left > 0) & (since[rows] >= 0)
            if not is_some.any():
                return
            if not is_some.all():
                rows, begin, left = rows[is_some], begin[is_some], left[is_some]
            take = np.minimum(left, self._plan.piece_rows)
            self._block(block).follow(rows, begin, take, values, since, scores)
            begin, left = begin + take, left - take

    def _check(self, series: IntArray, lengths: IntArray, samples: int) -> None:
        is_sound = (
            series.ndim == 1
            and series.shape == lengths.shape
            and (not len(series) or (series[0] >= 0 and series[-1] < self._series))
            and bool((np.diff(series) > 0).all())
            and bool((lengths >= 0).all())
            and int(lengths.sum()) == samples
        )
        if not is_sound:
            raise UsageError(
                expected=f"some of {self._series} series, ascending, with the samples of each",
                got=f"series {series[:3].tolist()}..., lengths {lengths[:3].tolist()}..., "
                f"{samples} samples",
                where="DetectorBank",
                action="grow the bank first; order the samples by series",
            )
