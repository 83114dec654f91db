"""Novelty of each key's measures: how unlike its own past a series is, by what it has learnt."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from sightline.perceive.normal.bank import DetectorBank
from sightline.perceive.normal.settings import NormalSettings
from sightline.runtime.learning_stage import LearningStage
from sightline.runtime.pipeline import NoveltyForm
from sightline.runtime.plan import Step


def novelty_settings(form: NoveltyForm) -> NormalSettings:
    """Settings of the detectors of a stage.

    Raises:
        UsageError: widths or numbers out of range.
    """
    return NormalSettings(
        widths=form.widths,
        memory_size=form.memory_size,
        delay=form.delay_windows,
        learns_below=form.learns_below,
    )


def novelty_stage(step: Step, *, max_series: int) -> LearningStage[DetectorBank]:
    """The state of a novelty stage, which knows nothing yet."""
    form = step.form
    assert isinstance(form, NoveltyForm)
    settings = novelty_settings(form)

    def grow(bank: DetectorBank, series: Sequence[str]) -> None:
        bank.grow(np.array([learning_windows(form, name) for name in series], np.int64))

    return LearningStage(
        step,
        begin=lambda: DetectorBank(settings, max_series=max_series),
        grow=grow,
        max_series=max_series,
        # As many missing samples as make every window unknown: more of them say no more.
        most_gap=settings.widths[-1],
    )


def learning_windows(form: NoveltyForm, series: str) -> int:
    """How many windows a series begins with that are learnt from and not scored.

    Not the same for all, so that no tick has to bear the learning of every series.

    Args:
        form: of the stage.
        series: ``key/measure``.
    """
    share = hashlib.blake2b(series.encode(), digest_size=4).digest()
    return form.learn_windows + int.from_bytes(share) % (form.spread_windows + 1)
