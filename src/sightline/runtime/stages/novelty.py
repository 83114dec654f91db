"""``novelty``: how unlike its own past a measure is, against a bounded memory that it learns."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Annotated

import numpy as np
from pydantic import Field

from sightline.errors import UsageError
from sightline.limits import Limits
from sightline.perceive.normal.bank import DetectorBank
from sightline.perceive.normal.settings import NormalSettings
from sightline.records.decision import Reason
from sightline.runtime.engine.learning import SETTLE_ROWS, LearningStage
from sightline.runtime.settings import SeriesSettings
from sightline.runtime.stage import Measure, Planning, Stage, Step, Wiring


class NoveltySettings(SeriesSettings):
    """How unlike its own past a measure is, against a bounded memory of normal that it learns."""

    measures: Annotated[tuple[str, ...], Field(min_length=1)]
    """Columns of the input: ``snr_db.mean``, or ``*.mean`` for that of every field."""
    learn_windows: Annotated[int, Field(ge=34, le=10_000)] = 750
    """Windows at the beginning of each key that are learnt from and not scored."""
    spread_windows: Annotated[int, Field(ge=0, le=10_000)] = 0
    """Up to so many windows more, by the hash of the key: so not all keys end learning at one
    tick."""
    widths: tuple[int, ...] = (16, 32, 64, 128)
    """Lengths of the stretches that are compared, in windows: ascending powers of two."""
    memory_size: Annotated[int, Field(ge=1, le=4096)] = 64
    """Stretches of each width that are remembered as normal, at most."""
    delay_windows: Annotated[int, Field(ge=1, le=1 << 16)] = 1
    """Windows until a stretch may be learnt as normal; at least the width is waited for."""
    learns_below: Annotated[float, Field(ge=0)] | None = NormalSettings().learns_below
    """From this score on nothing is learnt until it is over, so that the same fault is told again;
    null: an anomaly is normal when it is over; 0: only the beginning is normal."""
    lasting_windows: Annotated[int, Field(ge=1, le=1 << 20)] = NormalSettings().lasting_rows
    """What stays unusual for so many windows without a break is a lasting change, and normal from
    then on."""


def scored(stage: Stage, planning: Planning) -> tuple[tuple[Measure, ...], tuple[Measure, ...]]:
    """What a stage that learns reads, and its scores: without a unit, one for each field."""
    reads = planning.measures_like(stage.settings.input, stage.settings.measures)
    adds = tuple(
        Measure(column=f"{stage.name}.{m.field or m.column}", field=m.field, unit="1")
        for m in reads
    )
    columns = [m.column for m in adds]
    for column in columns:
        if columns.count(column) > 1:
            planning.fail("one measure of each field", f"several that make {column}")
    return reads, adds


class NoveltyStage(Stage):
    """How unlike its own learnt past a stretch of a series is."""

    use = "novelty"
    version = 3  # 2 took a mean of few widths for one of all, 1 learnt what was over
    Settings = NoveltySettings
    scores = True

    def plan(self, planning: Planning) -> Wiring:
        reads, adds = scored(self, planning)
        try:
            widths = self.normal_settings.widths
        except UsageError as error:
            planning.fail(error.expected, error.got)
        # Two stretches of the widest that do not overlap, after the first whole one.
        least = 3 * widths[-1]
        if self.settings.learn_windows < least:
            planning.fail(
                f"learn_windows of {least} or more for stretches of {widths[-1]}",
                str(self.settings.learn_windows),
            )
        return Wiring(reads=reads, adds=adds)

    def explain(self, reason: Reason) -> str:
        del reason
        return "the value that was compared with what this series remembers as normal"

    @property
    def lookback(self) -> int:
        return SETTLE_ROWS

    @property
    def normal_settings(self) -> NormalSettings:
        """Settings of the detectors.

        Raises:
            UsageError: widths or numbers out of range.
        """
        form: NoveltySettings = self.settings
        return NormalSettings(
            widths=form.widths,
            memory_size=form.memory_size,
            delay=form.delay_windows,
            learns_below=form.learns_below,
            lasting_rows=form.lasting_windows,
        )

    def begin_state(self, step: Step, limits: Limits) -> LearningStage[DetectorBank]:
        settings, most = self.normal_settings, limits.max_learnt_series

        def grow(bank: DetectorBank, series: Sequence[str]) -> None:
            bank.grow(np.array([self.learning_windows(name) for name in series], np.int64))

        return LearningStage(
            step,
            begin=lambda: DetectorBank(settings, max_series=most),
            grow=grow,
            limits=limits,
            # As many missing samples as make every window unknown: more of them say no more.
            most_gap=settings.widths[-1],
        )

    def learning_windows(self, series: str) -> int:
        """How many windows a series begins with that are learnt from and not scored.

        Not the same for all, so that no tick has to bear the learning of every series.

        Args:
            series: ``key/measure``.
        """
        share = hashlib.blake2b(series.encode(), digest_size=4).digest()
        more = int.from_bytes(share) % (self.settings.spread_windows + 1)
        return int(self.settings.learn_windows + more)
