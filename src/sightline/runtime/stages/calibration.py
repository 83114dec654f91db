"""``calibration``: how rare a score is among the normal blocks of its own series."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field

from sightline.errors import UsageError
from sightline.limits import Limits
from sightline.perceive.normal.calibration import CalibrationBank
from sightline.perceive.normal.calibration import CalibrationSettings as BankSettings
from sightline.records.decision import Reason
from sightline.records.signals import NS_PER_S
from sightline.runtime.engine.learning import (
    SETTLE_ROWS,
    TAKE_AS_NORMAL,
    LearningStage,
    check_subject,
)
from sightline.runtime.settings import SeriesSettings
from sightline.runtime.stage import Planning, Stage, Step, Wiring
from sightline.runtime.stages.novelty import scored

_DAY_NS = 86_400 * NS_PER_S


class CalibrationSettings(SeriesSettings):
    """How rare a score is among the normal blocks of its own series: 3 is once in 1,000 blocks."""

    measures: Annotated[tuple[str, ...], Field(min_length=1)] = ("*",)
    """Columns of the input; ``*`` for all."""
    block_windows: Annotated[int, Field(ge=1, le=1 << 20)] = 3600
    """Windows in a block. The greatest score of each block is learnt; a rarity is that of a
    block."""
    least_blocks: Annotated[int, Field(ge=10, le=4096)] = 20
    """Blocks to learn from before there is a rarity; until then no alarm is raised."""
    kept_blocks: Annotated[int, Field(ge=10, le=4096)] = 200
    """Blocks that are kept, the newest: so a slow drift of healthy scores is followed."""
    suspicious_rarity: Annotated[float, Field(ge=1, le=6)] = 2.0
    """A block with this rarity or more is not learnt from: an anomaly must not become normal."""


class CalibrationStage(Stage):
    """How rare a score is among the normal blocks of its own series."""

    use = "calibration"
    Settings = CalibrationSettings
    scores = True
    controls: ClassVar[tuple[str, ...]] = (TAKE_AS_NORMAL,)

    def plan(self, planning: Planning) -> Wiring:
        reads, adds = scored(self, planning)
        try:
            self.bank_settings  # noqa: B018 - it checks itself
        except UsageError as error:
            planning.fail(error.expected, error.got)
        return Wiring(reads=reads, adds=adds)

    def check_control(self, control: Mapping[str, Any]) -> str | None:
        return check_subject(control)

    def explain(self, reason: Reason) -> str:
        del reason
        return (
            "the score that was compared with the highest score of each normal block of this series"
        )

    @property
    def lookback(self) -> int:
        return SETTLE_ROWS

    def blocks_per_day(self, slide_ns: int) -> float:
        return float(_DAY_NS / (self.settings.block_windows * slide_ns))

    @property
    def bank_settings(self) -> BankSettings:
        """Settings of the calibration.

        Raises:
            UsageError: numbers that do not fit together.
        """
        form: CalibrationSettings = self.settings
        return BankSettings(
            block_rows=form.block_windows,
            least_blocks=form.least_blocks,
            kept_blocks=form.kept_blocks,
            confirm_blocks=form.least_blocks,
            suspicious_rarity=form.suspicious_rarity,
        )

    def begin_state(self, step: Step, limits: Limits) -> LearningStage[CalibrationBank]:
        settings, most = self.bank_settings, limits.max_learnt_series
        return LearningStage(
            step,
            begin=lambda: CalibrationBank(settings, max_series=most),
            grow=lambda bank, series: bank.grow(len(series)),
            limits=limits,
            # A block is one of windows with data: an outage makes it longer, and not emptier.
            most_gap=0,
            waits=lambda bank: bank.needs_confirmation,
            accept=lambda bank, series: bank.accept(series),
        )
