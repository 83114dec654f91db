"""``detect``: who is in a camera's picture; guarded, with a fallback that looks beside it."""

from __future__ import annotations

from sightline.records import Detections
from sightline.records.decision import Mode, Reason
from sightline.runtime.item_stage import ItemPlan, ItemPlanning, ItemStage, ItemState, Turn
from sightline.runtime.settings import Breaker, GuardSettings, ItemSettings, Name
from sightline.runtime.stages.meanings import meaning


class DetectSettings(ItemSettings):
    """What is seen in each frame of a camera."""

    detector: Name
    """The detector that looks at its frames, by its name under ``detectors``."""
    fallback: Name | None = None
    """Detector that answers when the first is late or broken; null: tracks are carried on."""
    breaker: Breaker = Breaker()
    """After so many failures in a row the fallback alone is asked for a while."""


class DetectStage(ItemStage):
    """What a detector sees in a frame; where it is late or broken, what its fallback sees."""

    use = "detect"
    Settings = DetectSettings
    reads = ("frames",)
    writes = "detections"
    looks = True

    def plan(self, planning: ItemPlanning) -> None:
        form: DetectSettings = self.settings
        detectors = planning.detectors
        for name, place in ((form.detector, "detector"), (form.fallback, "fallback")):
            if name is not None and name not in detectors:
                planning.fail(
                    f"{place}: one of the detectors {', '.join(sorted(detectors)) or '(none)'}",
                    name,
                    near=sorted(detectors),
                )
        if form.fallback == form.detector:
            planning.fail(
                "fallback: another detector than the first, or none: then tracks are carried on",
                form.fallback,
            )
        budget_s = detectors[form.detector].budget_s
        if planning.batch_wait_s + budget_s > planning.latency_budget_s:
            planning.fail(
                f"batch_wait_s and the detector's budget_s within latency_budget_s "
                f"({planning.latency_budget_s:g} s): a fallback that answers after the deadline "
                "is none",
                f"{planning.batch_wait_s:g} + {budget_s:g} s",
            )

    @property
    def guard(self) -> GuardSettings:
        """Its breaker; the time it has is its detector's."""
        return GuardSettings(
            budget_s=60.0, fallback=self.settings.fallback, breaker=self.settings.breaker
        )

    def explain(self, reason: Reason) -> str:
        return meaning(reason.code) or super().explain(reason)

    def begin(self, plan: ItemPlan) -> ItemState:
        del plan
        return DetectState(self.name)


class DetectState(ItemState):
    """What was seen in the item at hand; nothing is kept.

    ``value`` is the :class:`.Outcome`, whose ``answer`` is ``Detections`` or None.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def on_item(self, turn: Turn) -> None:
        self.value = turn.outcome(self._name)


def detections_of(turn: Turn, stage: str) -> tuple[Detections | None, Mode]:
    """What the detect stage ``stage`` has seen in the item of this turn, and how."""
    outcome = turn.outcome(stage)
    if outcome is None:
        return None, Mode.PRIMARY
    found = outcome.answer
    return (found if isinstance(found, Detections) else None), outcome.mode
