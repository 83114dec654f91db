"""From a site pipeline to a checked plan: everything that replays need is in it, no path is left.

What only the shell needs (the weights of a detector) stays a path with a digest.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import pydantic
import yaml

from sightline.assess.site import RiskCode
from sightline.assess.site.machines import Braking, MachineRule
from sightline.assess.site.zones import Polygon, SiteZone
from sightline.decide.actuation import (
    COMMAND_EXPIRED,
    FALLBACKS_FAILED,
    NO_SIGHT,
    STALE_SIGHT,
    ActuationRule,
)
from sightline.errors import PipelineError, UsageError
from sightline.perceive.tracking import TrackerSettings
from sightline.records.camera import CameraModel
from sightline.records.command import CommandLevel
from sightline.records.signals import NS_PER_S
from sightline.runtime.frames.site_form import MachineForm, SitePipeline, ZoneForm
from sightline.runtime.pipeline import digest
from sightline.sense.camera_files import parse_camera, read_camera_mapping
from sightline.sense.frames import FrameContract, FrameReason, load_frame_contract
from sightline.sense.frames.frame_contract import parse_frame_contract

_BRAKING = (
    "response_s",
    "least_deceleration_m_s2",
    "margin_m",
    "acceleration_m_s2",
    "top_speed_m_s",
)
MadeT = TypeVar("MadeT")

_ROUNDED_PX = 1.0
"""A scaled picture's height is rounded to whole pixels."""
DETECT = "detect"
"""The guarded stage of a site pipeline."""
CLOCK_SKEW = "CLOCK_SKEW"
"""A frame that was taken after it reached us. Value: by how much."""

_STOP, _SLOW, _WARN = CommandLevel.STOP, CommandLevel.SLOW, CommandLevel.WARN
DEFAULT_LEVELS: Mapping[str, CommandLevel] = MappingProxyType(
    {
        RiskCode.IN_FORBIDDEN_ZONE: _STOP,
        RiskCode.LOST_IN_ZONE: _STOP,
        RiskCode.ZONE_OCCUPANCY: _WARN,
        RiskCode.DWELL: _WARN,
        RiskCode.OVERSPEED: _SLOW,
        RiskCode.TOO_CLOSE: _STOP,
        RiskCode.IN_STOPPING_PATH: _STOP,
        RiskCode.COLLISION_COURSE: _STOP,
        RiskCode.APPROACHING: _SLOW,
        RiskCode.LOST_NEAR_MACHINE: _STOP,
        RiskCode.UNLOCATED: _STOP,
        # A picture that shows nothing, or something else than the calibrated view, is no sight.
        FrameReason.FROZEN: _STOP,
        FrameReason.BLACK: _STOP,
        FrameReason.OVER_EXPOSED: _STOP,
        FrameReason.COVERED: _STOP,
        FrameReason.MOVED: _STOP,
        FrameReason.BLURRED: _SLOW,
        FrameReason.SHIFTED: _SLOW,
        FrameReason.RATE_LOW: _WARN,
    }
)
"""What each reason asks for where a machine says nothing else; any other asks for STOP."""
_KNOWN_CODES = frozenset(
    {*RiskCode, *FrameReason, CLOCK_SKEW, NO_SIGHT, STALE_SIGHT, FALLBACKS_FAILED, COMMAND_EXPIRED}
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CameraPlan:
    """One camera.

    Attributes:
        name: of the camera.
        contract: what it promises.
        geometry: camera model; None: nothing is known in metres.
        zones: in its picture or on its ground.
        carried_on_s: for how long a track that is not seen is carried on: for a machine that moves
            as long as it may go without sight, so that a missed detection is no lost machine.
    """

    name: str
    contract: FrameContract
    geometry: CameraModel | None
    zones: tuple[SiteZone, ...]
    carried_on_s: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MachinePlan:
    """One machine.

    Attributes:
        name: of the machine.
        cameras: that must see.
        zones: names of the zones whose risks count for it.
        moving: distances to keep, if it moves.
        lost_timeout_s: see ``assess.site.machines.watch_pairs``.
        rule: from reasons to commands.
    """

    name: str
    cameras: tuple[str, ...]
    zones: frozenset[str]
    moving: MachineRule | None
    lost_timeout_s: float
    rule: ActuationRule


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SitePlan:
    """A checked site pipeline.

    Attributes:
        pipeline: the description, contracts and geometries written out.
        digest: 16 hex digits over all that can change a decision.
        cameras: by name.
        machines: by name.
        folder: where the paths of detectors begin.
    """

    pipeline: SitePipeline
    digest: str
    cameras: Mapping[str, CameraPlan]
    machines: Mapping[str, MachinePlan]
    folder: Path

    @property
    def has_fan_in(self) -> bool:
        """Always False: one partition decides on all cameras."""
        return False

    @property
    def tick_ns(self) -> int:
        return round(self.pipeline.tick_s * NS_PER_S)


def load_site_plan(path: Path) -> SitePlan:
    """Read and check a site pipeline.

    Raises:
        PipelineError, ContractError: naming the file and the field.
    """
    try:
        plain = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise PipelineError(
            expected="a readable YAML file",
            got=" ".join(str(error).split()),
            where=str(path),
            action="check the path and the YAML syntax",
        ) from error
    return make_site_plan(plain, where=str(path), folder=path.parent)


def make_site_plan(plain: object, *, where: str, folder: Path) -> SitePlan:
    """Check a mapping in the form of :class:`SitePipeline`.

    Args:
        plain: the mapping.
        where: names it in errors.
        folder: where relative paths begin.

    Raises:
        PipelineError, ContractError: on the first problem.
    """
    form = _written_out(_parsed(plain, where), folder)
    _check_names(form, where)
    _check_times(form, where)
    cameras = {}
    for name, camera in form.cameras.items():
        assert isinstance(camera.contract, dict)
        place = f"{where}, cameras.{name}"
        contract = parse_frame_contract(camera.contract, where=f"{place}.contract")
        geometry = None
        if camera.geometry is not None:
            found = parse_camera(camera.geometry, where=f"{place}.geometry")
            geometry = _fitted(found, contract, where=f"{place}.geometry")
        zones = [
            _zone(zone_name, zone, where=f"{where}, zones.{zone_name}")
            for zone_name, zone in form.zones.items()
            if zone.camera == name
        ]
        if geometry is None and any(zone.polygon.unit == "m" for zone in zones):
            raise PipelineError(
                expected="a geometry, or zones in pixels",
                got="zones in metres and no geometry",
                where=place,
                action="give the camera's geometry, or polygon_px",
            )
        cameras[name] = CameraPlan(
            name=name,
            contract=contract,
            geometry=geometry,
            zones=tuple(zones),
            carried_on_s=max(
                [
                    TrackerSettings().report_unseen_s,
                    *(
                        machine.max_age_s
                        for machine in form.machines.values()
                        if machine.moving is not None and name in machine.cameras
                    ),
                ]
            ),
        )
    identity = digest(_deciding_mapping(form, cameras))
    machines = {
        name: _machine(name, machine, form, identity, where=f"{where}, machines.{name}")
        for name, machine in form.machines.items()
    }
    return SitePlan(
        pipeline=form, digest=identity, cameras=cameras, machines=machines, folder=folder
    )


def _parsed(plain: object, where: str) -> SitePipeline:
    try:
        return SitePipeline.model_validate(plain)
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False)[0]
        found = str(first.get("input"))
        raise PipelineError(
            expected=first["msg"].removeprefix("Value error, "),
            got=found if len(found) < 80 else found[:77] + "…",
            where=f"{where}, {'.'.join(str(p) for p in first['loc']) or 'the document'}",
            action=f"mend this field ({error.error_count()} problems in all)",
        ) from error


def _written_out(form: SitePipeline, folder: Path) -> SitePipeline:
    """The same with the contents of contract and geometry files in their place."""
    cameras = {}
    for name, camera in form.cameras.items():
        contract, geometry = camera.contract, camera.geometry
        if isinstance(contract, str):
            contract = load_frame_contract(folder / contract).model_dump(mode="json")
        if isinstance(geometry, str):
            found = read_camera_mapping(folder / geometry)
            assert isinstance(found, dict)  # or reading it had failed
            geometry = found
        cameras[name] = camera.model_copy(update={"contract": contract, "geometry": geometry})
    return form.model_copy(update={"cameras": cameras})


def _check_times(form: SitePipeline, where: str) -> None:
    slowest_s = max(form.detectors[c.detector].budget_s for c in form.cameras.values())
    if form.batch_wait_s + slowest_s > form.latency_budget_s:
        raise PipelineError(
            expected=f"batch_wait_s and the slowest budget_s within {form.latency_budget_s:g} s",
            got=f"{form.batch_wait_s:g} + {slowest_s:g} s",
            where=f"{where}, latency_budget_s",
            action="a fallback that answers after the deadline is none: make the budgets fit",
        )


def _check_names(form: SitePipeline, where: str) -> None:
    def known(names: Mapping[str, Any], name: str, what: str, place: str) -> None:
        if name not in names:
            raise PipelineError(
                expected=f"one of the {what} {', '.join(sorted(names)) or '(there are none)'}",
                got=name,
                where=f"{where}, {place}",
                action=f"mend the name, or add it to {what}",
            )

    for name, camera in form.cameras.items():
        known(form.detectors, camera.detector, "detectors", f"cameras.{name}.detector")
        if camera.fallback is not None:
            known(form.detectors, camera.fallback, "detectors", f"cameras.{name}.fallback")
            if camera.fallback == camera.detector:
                raise PipelineError(
                    expected="another detector than the first",
                    got=camera.fallback,
                    where=f"{where}, cameras.{name}.fallback",
                    action="name another one, or leave it out: then tracks are carried on",
                )
    for name, zone in form.zones.items():
        known(form.cameras, zone.camera, "cameras", f"zones.{name}.camera")
    for name, machine in form.machines.items():
        for camera_name in machine.cameras:
            known(form.cameras, camera_name, "cameras", f"machines.{name}.cameras")
        for zone_name in machine.zones:
            known(form.zones, zone_name, "zones", f"machines.{name}.zones")
        blind = {form.zones[z].camera for z in machine.zones} - set(machine.cameras)
        if blind:
            raise PipelineError(
                expected=f"cameras {', '.join(machine.cameras)}, which the machine needs",
                got=f"zones of {', '.join(sorted(blind))}",
                where=f"{where}, machines.{name}.zones",
                action="add the camera to the machine, so that its loss stops the machine",
            )


def _deciding_mapping(form: SitePipeline, cameras: Mapping[str, CameraPlan]) -> dict[str, Any]:
    plain = form.model_dump(
        mode="json",
        exclude={"description", "images", "partitions", "latency_budget_s", "batch_wait_s"},
    )
    for name, camera in plain["cameras"].items():
        camera["contract"] = cameras[name].contract.digest
    return plain


def _fitted(camera: CameraModel, contract: FrameContract, *, where: str) -> CameraModel:
    """The model for pictures of the contract's size: calibrations may be made at another one."""
    width_px, height_px = camera.image_size_px
    factor = contract.width_px / width_px
    if abs(contract.height_px - height_px * factor) > _ROUNDED_PX:
        raise PipelineError(
            expected=f"the aspect ratio of the calibrated picture, {width_px} x {height_px} px",
            got=f"a contract of {contract.width_px} x {contract.height_px} px",
            where=where,
            action="calibrate the picture as it comes: a cut or stretched one is another camera",
        )
    return camera if factor == 1.0 else camera.scaled(factor)


def _zone(name: str, form: ZoneForm, *, where: str) -> SiteZone:
    vertices, unit = (form.polygon_m, "m") if form.polygon_m else (form.polygon_px, "px")
    assert vertices is not None
    rest = form.model_dump(exclude={"camera", "polygon_m", "polygon_px"})
    return _made(
        lambda: SiteZone(
            name=name,
            polygon=Polygon.of(vertices, unit="m" if unit == "m" else "px"),
            **rest,
        ),
        where,
    )


def _machine(
    name: str, form: MachineForm, pipeline: SitePipeline, identity: str, *, where: str
) -> MachinePlan:
    moving, lost_timeout_s = None, 0.0
    if form.moving is not None:
        plain = form.moving.model_dump()
        lost_timeout_s = plain.pop("lost_timeout_s")
        brakes = {name: plain.pop(name) for name in _BRAKING}
        if brakes["top_speed_m_s"] is None:
            brakes["top_speed_m_s"] = math.inf
        moving = _made(
            lambda: MachineRule(
                braking=Braking(**brakes), decision_step_s=pipeline.tick_s, **plain
            ),
            f"{where}.moving",
        )
    unknown = sorted(set(form.level_of) - _KNOWN_CODES)
    if unknown:
        raise PipelineError(
            expected=f"reason codes, such as {', '.join(sorted(RiskCode)[:3])}",
            got=", ".join(unknown),
            where=f"{where}.level_of",
            action="mend the code: as it is it would never come",
        )
    slowest_s = max(detector.budget_s for detector in pipeline.detectors.values())
    apart_s = form.heartbeat_s + pipeline.tick_s + pipeline.batch_wait_s + slowest_s
    if apart_s >= form.valid_s:
        raise PipelineError(
            expected=f"valid_s above {apart_s:g}: heartbeat_s + tick_s + batch_wait_s + the "
            "slowest detector's budget_s",
            got=f"{form.valid_s:g}",
            where=where,
            action="make it longer, or the others shorter: else commands run out while all is well",
        )
    if form.heartbeat_s < pipeline.tick_s or form.max_age_s < pipeline.tick_s:
        raise PipelineError(
            expected=f"heartbeat_s and max_age_s of at least tick_s, {pipeline.tick_s:g}",
            got=f"{form.heartbeat_s:g} and {form.max_age_s:g}",
            where=where,
            action="make tick_s shorter: nobody looks more often than that",
        )
    rule = _made(
        lambda: ActuationRule(
            pipeline=identity,
            machine=name,
            level_of={**DEFAULT_LEVELS, **form.level_of},
            max_age_s=form.max_age_s,
            hold_s=form.hold_s,
            valid_s=form.valid_s,
            heartbeat_s=form.heartbeat_s,
            restarts_at=form.restarts_at,
            needs_reset=form.needs_reset,
            version=f"{name}@{identity}",
        ),
        where,
    )
    return MachinePlan(
        name=name,
        cameras=form.cameras,
        zones=frozenset(form.zones),
        moving=moving,
        lost_timeout_s=lost_timeout_s,
        rule=rule,
    )


def _made(make: Callable[[], MadeT], where: str) -> MadeT:
    """What ``make`` makes; its UsageError becomes one of the pipeline, with the place."""
    try:
        return make()
    except UsageError as error:
        raise PipelineError(
            expected=error.expected,
            got=error.got,
            where=f"{where} ({error.where})",
            action=error.action,
        ) from error
