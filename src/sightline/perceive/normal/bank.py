"""The detectors of many series side by side: what a live pipeline with tens of thousands needs.

How unlike its own past a series is, at several scales at once, without labels. Windows of each
width become six statistics (:mod:`.features`); their distance to a bounded memory of the past, in
deviations beyond what is usual for that series (:mod:`.memory`), is the score of that width; the
scores of the widths are averaged as logarithms, so that agreement counts for more than one loud
width. The state of all series lies in arrays, compiled loops go over the series, and it changes in
place. :class:`SeriesDetector` is a bank of one as a value.

When not to use it: on series without a past that returns (a counter that only rises: take its
differences first), or where what matters is slower than the widest window.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from numba import types

from sightline.errors import LogError, UsageError
from sightline.perceive.compiled import kernel, warm
from sightline.perceive.normal import features, memory, portable_logarithm
from sightline.perceive.normal.bank_block import STATE, BankPlan, Block, KnownSamples, KnownWidth
from sightline.perceive.normal.features import bounded
from sightline.perceive.normal.settings import NormalSettings
from sightline.records.detections import BoolArray
from sightline.records.windows import FloatArray, IntArray

_COMPILED = (__name__, features.__name__, memory.__name__, portable_logarithm.__name__)

BANK_FORMAT = 2
BLOCK_SERIES = 512
"""Most series of a block: what a bank grows by, so that growing moves nothing."""
MAX_LEARN_ROWS = 1 << 16
"""Samples that a series begins with; more is a UsageError. They are kept until it has learnt."""
_I = types.Array(types.int64, 1, "C", readonly=True)
_V = types.Array(types.float64, 1, "C", readonly=True)
_M = types.Array(types.float64, 2, "C")
_LEAST_COLUMNS = 16


class DetectorBank:
    """Detectors of many series side by side, in arrays; the state changes in place.

    A series that has learnt needs, with memories of m vectors (rounded up to a multiple of 8),
    w widths and n looks that wait (``NormalSettings.waits``, of all widths together)::

        w * (48 * m + 8 * m if it forgets + 128) + 64 * n + 56 * kept + 80 bytes

    where ``kept`` is the number of windows that later ones are made of, 20 for the default widths.
    With the default settings that is 61 kB, with memories of 64 vectors 18 kB. A block of 512
    series (of ``max_series``, if that is less) is made room for as soon as one of them has learnt.
    A series that learns keeps 8 bytes per sample. ``nbytes`` is what is taken at the moment.

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
        warm(*_COMPILED)
        self._plan = BankPlan.of(settings)
        self._max_series = max_series
        self._block_series = max(1, min(BLOCK_SERIES, max_series))
        self._series = 0
        self._learn_rows = np.zeros(0, np.int64)
        self._rows = np.zeros(0, np.int64)
        self._since = np.zeros(0, np.int64)  # samples since learning, -1 while it has not learnt
        self._blocks: list[Block | None] = []
        self._kept: list[_KeptSamples | None] = []

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
        while len(self._blocks) * self._block_series < total:
            self._blocks.append(None)
            self._kept.append(None)
        room = len(self._blocks) * self._block_series - len(self._since)
        self._learn_rows = np.concatenate([self._learn_rows, np.zeros(room, np.int64)])
        self._rows = np.concatenate([self._rows, np.zeros(room, np.int64)])
        self._since = np.concatenate([self._since, np.full(room, -1)])
        self._learn_rows[self._series : total] = new
        self._series = total

    def grow_learnt(self, values: FloatArray) -> bool:
        """Append a series that has learnt from what is at hand, however long it is.

        Args:
            values: float64[n], in order of time, evenly spaced; NaN is missing.

        Returns:
            False, and nothing is appended, if nothing can be known from them.
        """
        self.grow(np.ones(1, np.int64))
        block, row = divmod(self._series - 1, self._block_series)
        if not self._block(block).begin(row, bounded(np.ascontiguousarray(values, np.float64))):
            self._series -= 1
            return False
        self._learn_rows[self._series - 1] = self._rows[self._series - 1] = len(values)
        self._since[self._series - 1] = 0
        return True

    def known(self, series: int) -> tuple[KnownWidth, ...]:
        """What one series knows, of each width that could be learnt; empty before it has learnt.

        Raises:
            UsageError: no such series.
        """
        self._check(np.array([series]), np.zeros(1, np.int64), 0)
        block, row = divmod(series, self._block_series)
        return self._block(block).known(row) if self._since[series] >= 0 else ()

    def known_samples(self, series: int) -> KnownSamples:
        """What one series that has learnt knows of its samples.

        Raises:
            UsageError: no such series.
        """
        self._check(np.array([series]), np.zeros(1, np.int64), 0)
        block, row = divmod(series, self._block_series)
        return self._block(block).known_samples(row)

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
            rows = series[part] - block * self._block_series
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
        is_alike = other.settings == self.settings and other._block_series == self._block_series
        if not is_alike or len(other) != len(self):
            raise UsageError(
                expected=f"a bank of {len(self)} series with the same settings and max_series",
                got=f"{len(other)} series, {other.settings}",
                where="DetectorBank.take_over",
                action="take over only from a bank that was the same",
            )
        for block, part in self._parts(series):
            rows = series[part] - block * self._block_series
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
        """Copies of the state that :meth:`restore` takes back, exactly.

        Of n series, m of which have learnt: ``learn_rows``, ``rows``, ``since`` and ``kept``
        (samples kept to learn from), int64[n]; ``samples``, float64[sum(kept)], series by series;
        and ``state_NAME``, the arrays of a block, the first axis of each the m series.
        """
        n = self._series
        kept = np.zeros(n, np.int64)
        samples = [np.empty(0)]
        learnt = []
        for at, (block, waits) in enumerate(zip(self._blocks, self._kept, strict=True)):
            if block is not None:
                learnt.append(block.picked(np.flatnonzero(self._since_of(at) >= 0)))
            if waits is not None:
                rows = np.flatnonzero(waits.kept > 0)
                kept[at * self._block_series + rows] = waits.kept[rows]
                samples.extend(waits.of(row).copy() for row in rows.tolist())
        found: dict[str, npt.NDArray[np.generic]] = {
            "format": np.array([BANK_FORMAT], np.int64),
            "settings": np.frombuffer(self._plan.digest(), np.uint8).copy(),
            "learn_rows": self._learn_rows[:n].copy(),
            "rows": self._rows[:n].copy(),
            "since": self._since[:n].copy(),
            "kept": kept,
            "samples": np.concatenate(samples),
        }
        learnt = learnt or [Block.empty(self._plan)]
        for name in STATE:
            found[f"state_{name}"] = np.concatenate([part[name] for part in learnt])
        return found

    def restore(self, arrays: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Become the bank whose :meth:`snapshot` this is.

        Raises:
            LogError: of another format, or damaged; this bank is then unchanged.
            UsageError: of other settings, or of more series than there may be.
        """
        learn_rows, rows, since, kept, samples, state = self._checked(arrays)
        fresh = DetectorBank(self.settings, max_series=self._max_series)
        fresh.grow(learn_rows)
        fresh._rows[: len(fresh)] = rows
        fresh._since[: len(fresh)] = since
        learnt = np.flatnonzero(since >= 0)
        for block, part in fresh._parts(learnt):
            fresh._block(block).put(
                learnt[part] - block * self._block_series, {k: v[part] for k, v in state.items()}
            )
        begin = np.cumsum(kept) - kept
        some = np.flatnonzero(kept > 0)
        for block, part in fresh._parts(some):
            one = some[part]
            fresh._kept_of(block).append(
                one - block * self._block_series, begin[one], kept[one], samples
            )
        for name in ("_series", "_learn_rows", "_rows", "_since", "_blocks", "_kept"):
            setattr(self, name, getattr(fresh, name))

    def copy(self) -> Self:
        """A bank of its own with the same state."""
        return deepcopy(self, {id(self._plan): self._plan})

    # --- parts ----------------------------------------------------------------------------------

    def _parts(self, series: IntArray) -> Iterator[tuple[int, slice]]:
        """The blocks that have some of these series, and where those lie among them."""
        if not len(series):
            return
        blocks = np.unique(series // self._block_series)
        edges = np.searchsorted(series, np.append(blocks, blocks[-1] + 1) * self._block_series)
        for block, lo, hi in zip(blocks.tolist(), edges[:-1], edges[1:], strict=True):
            yield block, slice(int(lo), int(hi))

    def _block(self, block: int) -> Block:
        found = self._blocks[block]
        if found is None:
            found = self._blocks[block] = Block(self._plan, self._block_series)
        return found

    def _kept_of(self, block: int) -> _KeptSamples:
        found = self._kept[block]
        if found is None:
            found = self._kept[block] = _KeptSamples(self._block_series)
        return found

    def _since_of(self, block: int) -> IntArray:
        return self._since[block * self._block_series : (block + 1) * self._block_series]

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
        learn_rows = self._learn_rows[block * self._block_series : (block + 1) * self._block_series]
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
        is_some = (left > 0) & (since[rows] >= 0)
        self._block(block).follow(
            rows[is_some], begin[is_some], left[is_some], values, since, scores
        )

    def _checked(
        self, arrays: Mapping[str, npt.NDArray[np.generic]]
    ) -> tuple[
        IntArray, IntArray, IntArray, IntArray, FloatArray, dict[str, npt.NDArray[np.generic]]
    ]:
        """Learn rows, rows, since, kept, samples and the state of those that have learnt."""
        try:
            stored_format = int(np.asarray(arrays["format"], np.int64)[0])
            if stored_format != BANK_FORMAT:
                raise _unusable(f"format {stored_format}")
            if bytes(np.asarray(arrays["settings"], np.uint8)) != self._plan.digest():
                raise UsageError(
                    expected="a bank of the same settings",
                    got="another digest of them",
                    where="DetectorBank.restore",
                    action="restore with the settings it was made with, or begin anew",
                )
            learn_rows, rows, since, kept = (
                np.array(arrays[name], np.int64) for name in ("learn_rows", "rows", "since", "kept")
            )
            samples = np.array(arrays["samples"], np.float64)
            state = {name: np.asarray(arrays[f"state_{name}"]) for name in STATE}
        except (KeyError, ValueError, TypeError, IndexError) as error:
            raise _unusable(f"{type(error).__name__}: {error}") from error
        learnt = int((since >= 0).sum())
        shape = {name: array.shape[1:] for name, array in Block.empty(self._plan).items()}
        is_whole = (
            all(a.shape == (len(rows),) for a in (learn_rows, rows, since, kept))
            and bool((kept >= 0).all())
            and not (kept[since >= 0] > 0).any()
            and bool((kept <= learn_rows).all())
            and samples.shape == (int(kept.sum()),)
            and all(state[name].shape == (learnt, *shape[name]) for name in STATE)
        )
        if not is_whole:
            raise _unusable(f"{len(rows)} series and arrays of other shapes")
        return learn_rows, rows, since, kept, samples, state

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


def _unusable(got: str) -> LogError:
    return LogError(
        expected=f"the arrays of a bank of detectors, format {BANK_FORMAT}",
        got=got,
        where="DetectorBank.restore",
        action="delete the checkpoint; the series learn again",
    )


@kernel(_I, _I, _I, _V, _I, _M)
def _copied(  # noqa: PLR0917 - compiled functions take no keywords
    place: IntArray,
    kept: IntArray,
    begin: IntArray,
    values: FloatArray,
    take: IntArray,
    samples: FloatArray,
) -> None:
    """Append ``take`` values from ``begin`` on to the ``kept`` ones of each row ``place``."""
    for k in range(len(place)):
        for i in range(take[k]):
            samples[place[k], kept[k] + i] = values[begin[k] + i]


class _KeptSamples:
    """The samples of those series of a block that have not learnt yet.

    Room is made for series when they bring samples, and given back when they have learnt: at most
    eight times that of as many rows as series keep samples, all as long as the longest.

    Attributes:
        place: int64[s], the row of a series among ``samples``, -1 for none.
        kept: int64[s], how many it has kept.
        samples: float64[r, c], c at least as many as any has kept.
    """

    __slots__ = ("kept", "place", "samples")

    def __init__(self, series: int) -> None:
        self.place = np.full(series, -1, np.int64)
        self.kept = np.zeros(series, np.int64)
        self.samples = np.empty((0, 0))

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return self.place.nbytes + self.kept.nbytes + self.samples.nbytes

    def append(self, rows: IntArray, begin: IntArray, take: IntArray, values: FloatArray) -> None:
        """Keep ``values[begin : begin + take]`` of each of ``rows``, int64[k], each once."""
        self._make_room(rows, int((self.kept[rows] + take).max(initial=0)))
        _copied(self.place[rows], self.kept[rows], begin, values, take, self.samples)
        self.kept[rows] += take

    def of(self, row: int) -> FloatArray:
        """float64[n], those of one series; valid until the next change."""
        found: FloatArray = self.samples[self.place[row], : self.kept[row]]
        return found

    def drop(self, rows: IntArray) -> None:
        """Forget those of ``rows``, int64[k]; what they needed is given back."""
        self.place[rows] = -1
        self.kept[rows] = 0
        left = np.flatnonzero(self.place >= 0)
        if 4 * len(left) <= len(self.samples):
            columns = int(self.kept.max())
            self.samples = self.samples[self.place[left], :columns].copy()
            self.place[left] = np.arange(len(left))

    def take_over(self, other: Self, rows: IntArray) -> None:
        """These rows become what they are in ``other``."""
        self.drop(rows[self.place[rows] >= 0])
        there = rows[other.place[rows] >= 0]
        n = other.kept[there]
        values = np.concatenate([np.empty(0), *(other.of(int(row)) for row in there)])
        self.append(there, np.cumsum(n) - n, n, values)

    def _make_room(self, rows: IntArray, columns: int) -> None:
        new = rows[self.place[rows] < 0]
        old_rows, old_columns = self.samples.shape
        is_free = np.ones(old_rows, np.bool_)
        is_free[self.place[self.place >= 0]] = False
        free = np.flatnonzero(is_free)
        most_rows = old_rows
        if len(new) > len(free):
            most_rows = min(len(self.place), max(2 * old_rows, old_rows + len(new) - len(free)))
            free = np.concatenate([free, np.arange(old_rows, most_rows)])
        most_columns = old_columns
        if columns > old_columns:
            most_columns = max(columns, 2 * old_columns, _LEAST_COLUMNS)
        if (most_rows, most_columns) != (old_rows, old_columns):
            samples = np.zeros((most_rows, most_columns))
            samples[:old_rows, :old_columns] = self.samples
            self.samples = samples
        self.place[new] = free[: len(new)]


# --- the detector of one series, as a value -------------------------------------------------------

_ONLY = np.zeros(1, np.int64)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SeriesDetector:
    """A bank of one series: following it gives the next detector, and this one stays as it is.

    For a series that is at hand, and for asking what other samples would have scored. Many live
    series belong into one :class:`.DetectorBank`, which copies nothing.

    Attributes:
        learnt_rows: samples it has begun with.

    >>> rng = np.random.default_rng(0)
    >>> series = np.sin(np.arange(3000) / 20) + rng.normal(0, 0.05, 3000)
    >>> series[2500:2520] = 0.0
    >>> detector = SeriesDetector.learn(series[:750])
    >>> scores, detector = detector.follow(series[750:])
    >>> 2500 <= 750 + int(np.argmax(scores)) < 2540, detector.rows
    (True, 3000)
    """

    learnt_rows: int
    _bank: DetectorBank

    @classmethod
    def learn(cls, values: FloatArray, settings: NormalSettings | None = None) -> Self:
        """Begin with a stretch of the past that is taken as normal.

        Widths of which the stretch holds fewer than two windows apart are left out.

        Args:
            values: float64[n], in order of time, evenly spaced; NaN is missing.
            settings: default: ``NormalSettings()``.

        Raises:
            UsageError: too short, or too much of it is missing: nothing can be known yet.
        """
        bank = DetectorBank(settings or NormalSettings(), max_series=1)
        if not bank.grow_learnt(values):
            raise UsageError(
                expected=f"{bank.settings.least_learning} or more samples to learn from, with few "
                "missing",
                got=f"{int(np.isfinite(values).sum())} of {len(values)} samples",
                where="SeriesDetector.learn",
                action="wait for more data: until then nothing is known to be normal",
            )
        return cls(learnt_rows=len(values), _bank=bank)

    @property
    def settings(self) -> NormalSettings:
        """How it compares."""
        return self._bank.settings

    @property
    def rows(self) -> int:
        """Samples taken in, those it has begun with included."""
        return int(self._bank.rows[0])

    @property
    def widths(self) -> tuple[int, ...]:
        """The widths that could be learnt, in samples."""
        return tuple(one.width for one in self.known())

    def known(self) -> tuple[KnownWidth, ...]:
        """What is known of each of these widths."""
        return self._bank.known(0)

    def known_samples(self) -> KnownSamples:
        """What is known of the samples."""
        return self._bank.known_samples(0)

    def follow(self, values: FloatArray) -> tuple[FloatArray, Self]:
        """Score the samples that come next, and learn from them when their time has come.

        Cutting a series into several calls changes no bit of any score.

        Args:
            values: float64[n], evenly spaced after those before; NaN is missing.

        Returns:
            float64[n], 0 or more, 1 for one deviation at every width; NaN where nothing is known,
            because too many samples are missing. Then the detector after the last sample.
        """
        bank = self._bank.copy()
        scores = bank.follow(_ONLY, np.array([len(values)]), values)
        return scores, type(self)(learnt_rows=self.learnt_rows, _bank=bank)
