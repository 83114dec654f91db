"""``camera_health``: what is wrong with a camera's picture, and whether it comes at all."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from sightline.decide.standing import Condition
from sightline.recorder.checkpoint import StateParts
from sightline.records.command import CommandLevel
from sightline.records.decision import Mode, Reason, Severity
from sightline.records.signals import NS_PER_S
from sightline.runtime.engine.guard import Outcome
from sightline.runtime.engine.headers import FrameHeader, HealthSign
from sightline.runtime.item_stage import (
    CameraPlan,
    ItemPlan,
    ItemPlanning,
    ItemStage,
    ItemState,
    Turn,
)
from sightline.runtime.settings import ItemSettings
from sightline.runtime.stages.detect import LONG_S, Looked, doubt_reason
from sightline.runtime.stages.meanings import (
    ALL_LEFT_ASIDE,
    DEFAULT_LEVELS,
    FALLBACK,
    FINDS_NOTHING,
    NO_FRAMES,
    SEVERITY,
    meaning,
)

ACCEPT_VIEW = "accept_view"
"""The operator input by which somebody who has looked says that a camera shows what it should."""


class CameraHealthStage(ItemStage):
    """What is wrong with a camera's picture, whether frames come, and which detector answered.

    Its inputs are the camera, and the detect stages whose fallbacks it shall say.
    """

    use = "camera_health"
    Settings = ItemSettings
    reads = ("frames", "detections")
    writes = "health"
    measures = {"signs": "1", "frame_age_s": "s", "answered": "1"}
    controls = (ACCEPT_VIEW,)
    version = 3

    def plan(self, planning: ItemPlanning) -> None:
        if len(planning.cameras) != 1:
            planning.fail("one camera", ", ".join(planning.cameras))

    def check_control(self, control: Mapping[str, Any]) -> str | None:
        name = control.get("camera")
        return None if name in self.settings.inputs else f"no camera {name!r}"

    def explain(self, reason: Reason) -> str:
        return meaning(reason.code) or super().explain(reason)

    def begin(self, plan: ItemPlan) -> HealthState:
        return HealthState(self, plan)


class HealthState(ItemState):
    """``value`` has the signs of the newest picture, as reasons."""

    value: tuple[Reason, ...] = ()

    def __init__(self, stage: CameraHealthStage, plan: ItemPlan) -> None:
        ((name, self._camera),) = plan.cameras.items()
        self._asked = tuple(i for i in stage.settings.inputs if i != name)
        self._looked_ns: int | None = None
        self._newest_ns = self._accepted_ns = -1

    @property
    def accepted_ns(self) -> int:
        return self._accepted_ns

    def on_control(self, control: Mapping[str, Any], turn: Turn) -> None:
        self._accepted_ns = self._newest_ns

    def on_arrival(self, turn: Turn) -> None:
        header = turn.header
        assert header is not None
        self._newest_ns = header.capture_ns
        self.value = tuple(sign_reason(sign, self._camera) for sign in header.signs)
        if header.is_usable:
            self._looked_ns = header.received_ns

    def on_refused(self, turn: Turn) -> None:
        header = turn.header
        assert header is not None
        conditions = sign_conditions(header, self._camera)
        turn.say(f"{self._camera.name}/health", conditions, mode=Mode.PRIMARY)
        turn.measure({"signs": len(header.signs), "answered": math.nan})

    def on_item(self, turn: Turn) -> None:
        header, name = turn.header, self._camera.name
        assert header is not None
        conditions = sign_conditions(header, self._camera)
        mode, answered = Mode.PRIMARY, 1.0
        for stage in self._asked:
            outcome = turn.outcome(stage)
            looked = turn.value(stage)
            if isinstance(looked, Looked) and looked.doubt is not None:
                reason = doubt_reason(
                    looked.doubt,
                    at_ns=header.capture_ns,
                    blind_s=self._camera.contract.max_age_s,
                    version=stage,
                )
                conditions += [] if reason is None else [doubt_condition(name, reason)]
            if isinstance(looked, Looked) and looked.nothing_since_ns is not None:
                nothing = nothing_condition(name, stage, looked, at_ns=header.capture_ns)
                conditions += [] if nothing is None else [nothing]
            if outcome is not None and outcome.mode is not Mode.PRIMARY:
                conditions.append(fallback_condition(name, outcome))
                mode, answered = outcome.mode, 0.0
        turn.say(f"{name}/health", conditions, mode=mode)
        age_s = (header.received_ns - header.capture_ns) / NS_PER_S
        turn.measure({"signs": len(header.signs), "frame_age_s": age_s, "answered": answered})

    def on_tick(self, turn: Turn) -> None:
        conditions = self._silence(turn.at_ns)
        turn.say(f"{self._camera.name}/silence", conditions, mode=Mode.PRIMARY)

    def _silence(self, at_ns: int) -> Sequence[Condition]:
        contract = self._camera.contract
        allowed_s = contract.max_age_s
        age_s = math.nan if self._looked_ns is None else (at_ns - self._looked_ns) / NS_PER_S
        if self._looked_ns is not None and age_s <= allowed_s + 1.0 / contract.rate_hz:
            return []
        sign = HealthSign(
            code=NO_FRAMES, measure="frame_age", value=age_s, threshold=allowed_s, unit="s"
        )
        return [
            Condition(
                kind="camera_silent",
                subject=self._camera.name,
                group="",
                severity=Severity.CRITICAL,
                reason=sign_reason(sign, self._camera),
            )
        ]

    def snapshot(self) -> StateParts:
        return StateParts(
            meta={
                "looked_ns": self._looked_ns,
                "newest_ns": self._newest_ns,
                "accepted_ns": self._accepted_ns,
                "reasons": [reason.as_mapping() for reason in self.value],
            }
        )

    def restore(self, parts: StateParts) -> None:
        self._looked_ns = parts.meta["looked_ns"]
        self._newest_ns = parts.meta["newest_ns"]
        self._accepted_ns = parts.meta["accepted_ns"]
        self.value = tuple(Reason.from_mapping(plain) for plain in parts.meta["reasons"])


def sign_conditions(header: FrameHeader, camera: CameraPlan) -> list[Condition]:
    """What is wrong with a frame or its camera."""
    return [
        Condition(
            kind=f"camera_{sign.code.lower()}",
            subject=header.camera,
            group="",
            severity=SEVERITY[DEFAULT_LEVELS.get(sign.code, CommandLevel.STOP)],
            reason=sign_reason(sign, camera),
        )
        for sign in header.signs
    ]


def sign_reason(sign: HealthSign, camera: CameraPlan) -> Reason:
    """A sign as a reason, under the version of the camera's contract."""
    return Reason(
        code=sign.code,
        measure=sign.measure,
        value=sign.value,
        threshold=sign.threshold,
        unit=sign.unit,
        version=f"{camera.name}@{camera.contract.digest}",
    )


def doubt_condition(camera: str, reason: Reason) -> Condition:
    """The detector cannot tell whether somebody is there."""
    return Condition(
        kind=f"camera_{reason.code.lower()}",
        subject=camera,
        group="",
        severity=SEVERITY[DEFAULT_LEVELS.get(reason.code, CommandLevel.STOP)],
        reason=reason,
    )


def nothing_condition(camera: str, stage: str, looked: Looked, *, at_ns: int) -> Condition | None:
    """That a detector has found nothing for long, or what it found was all thrown away."""
    assert looked.nothing_since_ns is not None
    since_s = (at_ns - looked.nothing_since_ns) / NS_PER_S
    if since_s < LONG_S:
        return None
    return Condition(
        kind="detector_finds_nothing",
        subject=camera,
        group="",
        severity=Severity.INFO,
        reason=Reason(
            code=ALL_LEFT_ASIDE if looked.left_aside else FINDS_NOTHING,
            measure="lasting",
            value=since_s,
            threshold=LONG_S,
            unit="s",
            version=stage,
        ),
    )


def fallback_condition(camera: str, outcome: Outcome) -> Condition:
    """That the detector did not answer itself."""
    return Condition(
        kind="detector_fallback",
        subject=camera,
        group="",
        severity=Severity.WARNING,
        reason=Reason(
            code=f"{FALLBACK}_{outcome.status.upper()}",
            measure="answers",
            value=0.0 if outcome.answer is None else 1.0,
            threshold=1.0,
            unit="1",
            version=outcome.stage,
        ),
    )
