"""The kinds of stages that learn, by their form."""

from __future__ import annotations

from sightline.perceive.normal.bank import DetectorBank
from sightline.perceive.normal.calibration import CalibrationBank
from sightline.runtime.calibration_stage import calibration_stage
from sightline.runtime.learning_stage import LearningStage
from sightline.runtime.novelty_stage import novelty_stage
from sightline.runtime.pipeline import CalibrationForm, NoveltyForm
from sightline.runtime.plan import Step

LEARNING_FORMS = (NoveltyForm, CalibrationForm)

AnyLearningStage = LearningStage[DetectorBank] | LearningStage[CalibrationBank]


def learning_stage(step: Step, *, max_series: int) -> AnyLearningStage:
    """The state of ``step``, whose form is one of :data:`LEARNING_FORMS`."""
    if isinstance(step.form, CalibrationForm):
        return calibration_stage(step, max_series=max_series)
    return novelty_stage(step, max_series=max_series)
