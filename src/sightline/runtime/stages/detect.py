"""``detect``: who is in a camera's picture; guarded, with a fallback that looks beside it."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sightline.recorder.checkpoint import StateParts
from sightline.records import Detections
from sightline.records.decision import Mode, Reason
from sightline.records.detections import Doubt, DoubtCode
from sightline.records.signals import NS_PER_S
from sightline.runtime.engine.guard import Outcome
from sightline.runtime.item_stage import ItemPlan, ItemPlanning, ItemStage, ItemState, Turn
from sightline.runtime.settings import Breaker, GuardSettings, ItemSettings, Name
from sightline.runtime.stages.meanings import meaning

VIEW_IS_EMPTY = "view_is_empty"
"""The operator input by which somebody who has looked says that nobody is in a camera's view."""
MAX_WORDS = 1_000
"""How many such words are remembered, the newest. A recording that had more and is resumed is not
shown to its detectors with the words before them."""

LONG_S = 3600.0
"""For so long nothing may be found before that is said."""
_ENOUGH_PICTURES = 50
"""In which nothing was ever found, from which on it is said when the run ends."""


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
    controls = (VIEW_IS_EMPTY,)
    version = 5

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

    def check_control(self, control: Mapping[str, Any]) -> str | None:
        name = control.get("camera")
        return None if name in self.settings.inputs else f"no camera {name!r}"

    def begin(self, plan: ItemPlan) -> ItemState:
        return DetectState(
            self.name, starts_empty=all(c.starts_empty for c in plan.cameras.values())
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Looked:
    """What came of looking at a frame.

    Attributes:
        outcome: of the detector or its fallback; None where nobody was asked.
        doubt: what the detector doubts about its answer, where nothing has settled it yet.
        nothing_since_ns: capture time of the first picture since which the detector itself has
            found nothing, UTC ns; None: there is something, or it did not answer.
        left_aside: how many boxes its settings have thrown away since then.
    """

    outcome: Outcome | None
    doubt: Doubt | None
    nothing_since_ns: int | None = None
    left_aside: int = 0


class DetectState(ItemState):
    """What was seen in the item at hand, and until when somebody has spoken for the view.

    ``value`` is what has been :class:`Looked`. A doubt about what has stood in view since some
    time is settled by whoever said, then or later, that nobody was there: by ``starts_empty`` for
    the first frame, else by the operator input. A detector that begins anew, after a crash or in
    a run that is resumed, begins later than that, and its doubt is a new one.
    """

    value: Looked | None = None

    def __init__(self, name: str, *, starts_empty: bool) -> None:
        self._name = name
        self._starts_empty = starts_empty
        self._newest_ns: int | None = None
        self._empty_ns: int | None = None
        self._words_ns: list[int] = []
        """Capture time of the newest frame at each operator input, ascending."""
        self._advice = ""
        self._has_found = False
        self._nothing_since_ns: int | None = None
        self._pictures = 0
        """In which nothing was found since then."""
        self._left: Counter[str] = Counter()
        """Boxes that its settings have thrown away in them, by cause."""

    @property
    def advice(self) -> str:
        if self._advice or self._nothing_since_ns is None or self._newest_ns is None:
            return self._advice
        is_long = self._newest_ns - self._nothing_since_ns >= LONG_S * NS_PER_S
        if not is_long and (self._has_found or self._pictures < _ENOUGH_PICTURES):
            return ""
        where = f"in the last {self._pictures:,} pictures"
        if not self._left:
            return f"nothing was found {where}: right only if nothing was there to be seen"
        causes = ", ".join(f"{cause} {count:,}" for cause, count in sorted(self._left.items()))
        return f"the detector's settings threw away all that it found {where} ({causes})"

    def _note_found(self, found: Detections, at_ns: int) -> None:
        if len(found):
            self._has_found = True
            self._nothing_since_ns, self._pictures, self._left = None, 0, Counter()
            return
        if self._nothing_since_ns is None:
            self._nothing_since_ns = at_ns
        self._pictures += 1
        self._left.update(found.left_aside)

    def on_item(self, turn: Turn) -> None:
        assert turn.header is not None
        at_ns = turn.header.capture_ns
        if self._newest_ns is None and self._starts_empty:
            self._empty_ns = at_ns
        self._newest_ns = at_ns
        outcome = turn.outcome(self._name)
        found = None if outcome is None else outcome.answer
        doubt = found.doubt if isinstance(found, Detections) else None
        if isinstance(found, Detections) and found.advice:
            self._advice = found.advice
        is_own = outcome is not None and outcome.mode is Mode.PRIMARY
        if isinstance(found, Detections) and is_own:
            self._note_found(found, at_ns)
        is_settled = (
            doubt is not None
            and doubt.code is DoubtCode.VIEW_UNPROVEN
            and self._empty_ns is not None
            and doubt.since_ns <= self._empty_ns
        )
        self.value = Looked(
            outcome=outcome,
            doubt=None if is_settled else doubt,
            nothing_since_ns=self._nothing_since_ns if is_own else None,
            left_aside=self._left.total(),
        )

    def empty_ns(self, before_ns: int) -> int:
        place = bisect_left(self._words_ns, before_ns)
        return self._words_ns[place - 1] if place else -1

    def on_control(self, control: Mapping[str, Any], turn: Turn) -> None:
        """Nobody is in view now, so nobody who stands there has since the newest frame."""
        self._empty_ns = self._newest_ns
        self._starts_empty |= self._newest_ns is None
        if self._newest_ns is not None:
            self._words_ns = [*self._words_ns, self._newest_ns][-MAX_WORDS:]

    def snapshot(self) -> StateParts:
        return StateParts(
            meta={
                "newest_ns": self._newest_ns,
                "empty_ns": self._empty_ns,
                "words_ns": self._words_ns,
                "starts_empty": self._starts_empty,
                "advice": self._advice,
                "has_found": self._has_found,
                "nothing_since_ns": self._nothing_since_ns,
                "pictures": self._pictures,
                "left": dict(self._left),
            }
        )

    def restore(self, parts: StateParts) -> None:
        self._starts_empty = parts.meta["starts_empty"]
        self._newest_ns = parts.meta["newest_ns"]
        self._advice = parts.meta["advice"]
        self._empty_ns = parts.meta["empty_ns"]
        self._words_ns = list(parts.meta["words_ns"])
        self._has_found = parts.meta["has_found"]
        self._nothing_since_ns = parts.meta["nothing_since_ns"]
        self._pictures = parts.meta["pictures"]
        self._left = Counter(parts.meta["left"])


def doubt_reason(doubt: Doubt, *, at_ns: int, blind_s: float, version: str) -> Reason | None:
    """A doubt as a reason; None for a view that has been another for a moment.

    That costs sight, and how long sight may be lost is counted where sight is.

    Args:
        doubt: of the newest answer.
        at_ns: capture time of its frame, UTC ns.
        blind_s: how long a view may be another before that is said.
        version: of the reason.
    """
    since_s = (at_ns - doubt.since_ns) / NS_PER_S
    least_s = blind_s if doubt.code is DoubtCode.VIEW_CHANGED else 0.0
    if since_s < least_s:
        return None
    return Reason(
        code=str(doubt.code),
        measure="lasting",
        value=since_s,
        threshold=least_s,
        unit="s",
        version=version,
    )


def detections_of(turn: Turn, stage: str) -> tuple[Detections | None, Mode]:
    """What the detect stage ``stage`` has seen in the item of this turn, and how.

    None where nothing answered, or the detector could not look: then an empty report does not mean
    an empty view.
    """
    outcome = turn.outcome(stage)
    if outcome is None:
        return None, Mode.PRIMARY
    found = outcome.answer
    if isinstance(found, Detections) and found.is_sight:
        return found, outcome.mode
    return None, outcome.mode
