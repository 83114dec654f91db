"""Rarity of each key's scores among the normal blocks of the same series."""

from __future__ import annotations

from sightline.perceive.normal.calibration import CalibrationBank, CalibrationSettings
from sightline.runtime.learning_stage import LearningStage
from sightline.runtime.pipeline import CalibrationForm
from sightline.runtime.plan import Step


def calibration_settings(form: CalibrationForm) -> CalibrationSettings:
    """Settings of the calibration of a stage.

    Raises:
        UsageError: numbers that do not fit together.
    """
    return CalibrationSettings(
        block_rows=form.block_windows,
        least_blocks=form.least_blocks,
        kept_blocks=form.kept_blocks,
        confirm_blocks=form.least_blocks,
        suspicious_rarity=form.suspicious_rarity,
    )


def calibration_stage(step: Step, *, max_series: int) -> LearningStage[CalibrationBank]:
    """The state of a calibration stage, which knows nothing yet."""
    form = step.form
    assert isinstance(form, CalibrationForm)
    settings = calibration_settings(form)
    return LearningStage(
        step,
        begin=lambda: CalibrationBank(settings, max_series=max_series),
        grow=lambda bank, series: bank.grow(len(series)),
        max_series=max_series,
        # A block is one of windows with data: an outage makes it longer, and not emptier.
        most_gap=0,
    )
