"""From what was found in one frame to the conditions that hold: risks, signs, fallbacks."""

from __future__ import annotations

from collections.abc import Mapping

from sightline.assess.site import SiteAssessment
from sightline.assess.site.assessment import NOBODY
from sightline.decide.standing import Condition
from sightline.records.command import CommandLevel
from sightline.records.decision import Mode, Reason, Severity
from sightline.runtime.frames.camera_watch import CameraView
from sightline.runtime.frames.entries import DetectionOutcome, FrameHeader, HealthSign
from sightline.runtime.frames.site_plan import DEFAULT_LEVELS, CameraPlan, SitePlan

FALLBACK = "DETECTOR_FALLBACK"
"""The detector has not answered itself; the reason says who did. Value: detectors that did."""

_SEVERITY = {
    CommandLevel.STOP: Severity.CRITICAL,
    CommandLevel.SLOW: Severity.WARNING,
    CommandLevel.WARN: Severity.WARNING,
    CommandLevel.NONE: Severity.INFO,
}


def risk_conditions(
    plan: SitePlan, camera: str, view: CameraView, pairs: Mapping[str, SiteAssessment]
) -> list[Condition]:
    """Risks in zones, and by machine of pairs: one condition per code, subject and other."""
    version = f"site@{plan.digest}"
    zones = plan.cameras[camera].zones
    found: list[Condition] = []
    for risk, machine in [(view.zone_risk, ""), *((risk, name) for name, risk in pairs.items())]:
        levels = plan.machines[machine].rule.level_of if machine else DEFAULT_LEVELS
        for reason, subject, other, zone in zip(
            risk.reasons(version),
            risk.subject.tolist(),
            risk.other.tolist(),
            risk.zone.tolist(),
            strict=True,
        ):
            group = zones[zone].name if zone != NOBODY else machine
            parts = [machine, camera] if machine else [camera]
            if subject != NOBODY:
                parts.append(f"track-{subject}")
            if other != NOBODY:
                parts.append(f"track-{other}")
            if zone != NOBODY:
                parts.append(group)
            found.append(
                Condition(
                    kind=reason.code.lower(),
                    subject="/".join(parts),
                    group=group,
                    severity=_SEVERITY[levels.get(reason.code, CommandLevel.STOP)],
                    reason=reason,
                )
            )
    return found


def sign_conditions(header: FrameHeader, camera: CameraPlan) -> list[Condition]:
    """What is wrong with a frame or its camera."""
    return [
        Condition(
            kind=f"camera_{sign.code.lower()}",
            subject=header.camera,
            group="",
            severity=_SEVERITY[DEFAULT_LEVELS.get(sign.code, CommandLevel.STOP)],
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


def fallback_condition(camera: str, outcome: DetectionOutcome) -> list[Condition]:
    """That the detector did not answer itself."""
    if outcome.mode is Mode.PRIMARY:
        return []
    answers = 0.0 if outcome.detections is None else 1.0
    return [
        Condition(
            kind="detector_fallback",
            subject=camera,
            group="",
            severity=Severity.WARNING,
            reason=Reason(
                code=f"{FALLBACK}_{outcome.status.upper()}",
                measure="answers",
                value=answers,
                threshold=1.0,
                unit="1",
                version=outcome.stage,
            ),
        )
    ]
