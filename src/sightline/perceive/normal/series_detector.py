"""The detector of one series, as a value: a bank of one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from sightline.errors import UsageError
from sightline.perceive.normal.bank import DetectorBank
from sightline.perceive.normal.bank_block import KnownWidth
from sightline.perceive.normal.settings import NormalSettings
from sightline.records.windows import FloatArray

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
