"""Whom a decision about cameras concerns, and what a pipeline knows of its cameras and machines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sightline.assess.site import RiskCode, SiteAssessment
from sightline.assess.site.assessment import NOBODY
from sightline.assess.site.zones import SiteZone
from sightline.records import Decision
from sightline.runtime import Plan
from sightline.runtime.stages.machine import MachinePlan, MachineStage
from sightline.runtime.stages.track import Sight
from sightline.runtime.stages.zones import CameraView, ZonesStage

COMMAND_KIND = "command_"
"""Decisions that say that the level of a machine has changed begin like this."""
PAIR_KINDS = frozenset(
    code.lower()
    for code in (
        RiskCode.TOO_CLOSE,
        RiskCode.IN_STOPPING_PATH,
        RiskCode.COLLISION_COURSE,
        RiskCode.APPROACHING,
        RiskCode.LOST_NEAR_MACHINE,
        RiskCode.UNLOCATED,
    )
)
"""Decisions about somebody near a machine that moves."""
_ZONES = {code.lower() for code in RiskCode} - PAIR_KINDS
_TRACK = "track-"


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteSubject:
    """Whom or what a decision is about.

    Attributes:
        machine: ``""`` where it is about none.
        camera: ``""`` for a machine's command, which may be about several.
        tracks: ids of the camera; of a pair the person first, then the machine.
        zone: ``""`` where it is about none.
    """

    machine: str = ""
    camera: str = ""
    tracks: tuple[int, ...] = ()
    zone: str = ""

    @property
    def is_pair(self) -> bool:
        """Whether it is about somebody near a machine."""
        return bool(self.machine and self.camera)


def site_subject(kind: str, subject: str) -> SiteSubject:
    """Reads the subject that the stages ``zones``, ``machine`` and ``camera_health`` write.

    >>> site_subject("in_forbidden_zone", "east/track-7/pit")
    SiteSubject(machine='', camera='east', tracks=(7,), zone='pit')
    >>> site_subject("too_close", "forklift/east/track-7/track-2")
    SiteSubject(machine='forklift', camera='east', tracks=(7, 2), zone='')
    >>> site_subject("command_stop", "forklift").machine
    'forklift'
    """
    parts = subject.split("/")
    if kind.startswith(COMMAND_KIND):
        return SiteSubject(machine=subject)
    if kind in PAIR_KINDS and len(parts) > 1:
        machine, camera, *tracks = parts
        return SiteSubject(machine=machine, camera=camera, tracks=_ids(tracks))
    if kind in _ZONES and len(parts) > 1:
        camera, *tracks, zone = parts
        return SiteSubject(camera=camera, tracks=_ids(tracks), zone=zone)
    return SiteSubject(camera=parts[0])


def subject_of(decision: Decision) -> SiteSubject:
    """The same of a decision."""
    return site_subject(decision.kind, decision.subject)


def _ids(parts: list[str]) -> tuple[int, ...]:
    return tuple(int(p.removeprefix(_TRACK)) for p in parts if p.startswith(_TRACK))


class SitePlan:
    """What a pipeline knows of its cameras: areas and machines, from the stages that have them.

    Args:
        plan: of any pipeline; without cameras everything is empty.

    Attributes:
        plan: the same.
        zones: by camera, the areas of all its ``zones`` stages, in order.
        machines: by name.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._stages: dict[str, list[tuple[str, int]]] = {name: [] for name in plan.cameras}
        zones: dict[str, tuple[SiteZone, ...]] = dict.fromkeys(plan.cameras, ())
        machines: dict[str, MachinePlan] = {}
        for step in plan.items:
            if isinstance(step.stage, ZonesStage):
                (camera,) = step.cameras
                self._stages[camera].append((step.name, len(zones[camera])))
                zones[camera] += step.stage.zones(plan.cameras[camera])
            elif isinstance(step.stage, MachineStage):
                machines[step.name] = step.stage.machine_plan(plan.item_plan(step))
        self.zones: Mapping[str, tuple[SiteZone, ...]] = zones
        self.machines: Mapping[str, MachinePlan] = machines

    @property
    def machine_classes(self) -> frozenset[str]:
        """Classes of tracks that are machines."""
        moving = [machine.moving for machine in self.machines.values()]
        return frozenset(rule.machine_class for rule in moving if rule is not None)

    def view(self, camera: str, values: Mapping[str, Any]) -> CameraView | None:
        """What is known of a camera after a frame; None where nothing follows who is in it.

        Args:
            camera: whose frame.
            values: the newest value of each item stage of the camera, by name.
        """
        views = [(values[name], first) for name, first in self._stages[camera] if values[name]]
        if not views:
            sight = next((v for v in values.values() if isinstance(v, Sight)), None)
            if sight is None:
                return None
            none = SiteAssessment.none(sight.tracks.stream, sight.tracks.capture_ns)
            return CameraView(
                tracks=sight.tracks, zone_risk=none, mode=sight.mode, sighted_ns=sight.sighted_ns
            )
        if len(views) == 1:
            found: CameraView = views[0][0]
            return found
        risks = [
            replace(
                v.zone_risk,
                zone=np.where(v.zone_risk.zone == NOBODY, NOBODY, v.zone_risk.zone + first),
            )
            for v, first in views
        ]
        view: CameraView = views[0][0]
        joined = SiteAssessment.joined(view.tracks.stream, view.tracks.capture_ns, risks)
        return replace(view, zone_risk=joined)
