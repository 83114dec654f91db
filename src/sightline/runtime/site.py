"""``use: site``: a short form for cameras, zones and machines, which expands into stages.

    use: site
    pipeline: yard
    detectors: {motion: {use: motion}}
    cameras: {east: {contract: {…}, detector: motion}}
    zones: {pit: {camera: east, polygon_px: […], is_forbidden: true}}
    machines: {saw: {cameras: [east], zones: [pit]}}

Each camera ``NAME`` becomes a source and the stages ``NAME_detect``, ``NAME_health``,
``NAME_track`` and ``NAME_zones``; each machine becomes a stage of its own name. ``sightline check
--expanded`` prints what a file comes to.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import pydantic
from pydantic import Field

from sightline.errors import PipelineError
from sightline.perceive.tracking import TrackerSettings
from sightline.runtime.stage import Breaker, Form, Name
from sightline.runtime.stages.machine import MachineSettings
from sightline.runtime.stages.zones import ZoneForm

_SITE_TICK_S = 0.1
_SITE_BUDGET_S = 0.25


class SiteCamera(Form):
    """One camera: what it promises, where it looks, who looks at its frames."""

    contract: dict[str, Any] | str
    """A frame contract, or the path of one, relative to the pipeline file."""
    geometry: dict[str, Any] | str | None = None
    """A camera model, or the path of one; null: nothing is known in metres."""
    detector: Name
    """Who looks at its frames, by its name under ``detectors``."""
    fallback: Name | None = None
    """Detector that answers when the first is late or broken; null: tracks are carried on."""


class SiteZone(ZoneForm):
    """An area of one camera."""

    camera: Name
    """In whose picture, or on whose ground, it is."""


class SiteMachine(MachineSettings):
    """Who is commanded, by what is seen where, and how long commands hold."""

    use: Literal["machine"] = "machine"
    """Always ``machine``; it need not be given."""
    input: tuple[Name, ...] = ()
    """Worked out from ``cameras``; not to be given."""
    cameras: Annotated[tuple[Name, ...], Field(min_length=1)]
    """All of them are needed: without sight of one the machine stops."""


class SiteForm(Form):
    """A site pipeline in its short form."""

    version: Literal[1] = 1
    """Of the form."""
    use: Literal["site"]
    """Marks the short form."""
    pipeline: Name
    """Its name."""
    description: str = ""
    """For people; it changes nothing."""
    plugins: tuple[str, ...] = ()
    """Python modules that bring detectors of one's own."""
    latency_budget_s: Annotated[float, Field(gt=0, le=60)] = _SITE_BUDGET_S
    """From capture to command, in seconds; more is logged DEADLINE_MISSED."""
    tick_s: Annotated[float, Field(ge=0.01, le=10)] = _SITE_TICK_S
    """Grid on which time advances without frames, in seconds."""
    batch_wait_s: Annotated[float, Field(ge=0, le=1)] = 0.0
    """How long a frame waits for those of other cameras that share its detector, in seconds."""
    clear_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.5
    """A risk is cleared when it has not been found for so long, in seconds."""
    breaker: Breaker = Breaker()
    """Of the detectors: after so many failures in a row the fallback alone is asked."""
    images: dict[str, Any] = {}
    """Which pictures are kept in the log, as ``images`` of any pipeline."""
    detectors: Annotated[dict[Name, dict[str, Any]], Field(min_length=1)]
    """What looks at pictures, by name."""
    cameras: Annotated[dict[Name, SiteCamera], Field(min_length=1)]
    """Cameras, by name."""
    zones: dict[Name, SiteZone] = {}
    """Areas, by name."""
    machines: dict[Name, SiteMachine] = {}
    """Machines, by name."""
    partitions: Literal[1] = 1
    """All cameras share one core and one log: a machine is decided on by all that see it."""


def is_site(plain: object) -> bool:
    """Whether a mapping is in the short form."""
    return isinstance(plain, dict) and plain.get("use") == "site"


def expanded(plain: Mapping[str, Any], *, where: str) -> dict[str, Any]:
    """The pipeline that a site in its short form comes to, as a mapping.

    Raises:
        PipelineError: naming the field.
    """
    try:
        form = SiteForm.model_validate(plain)
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False)[0]
        found = str(first.get("input"))
        raise PipelineError(
            expected=first["msg"].removeprefix("Value error, "),
            got=found if len(found) < 80 else found[:77] + "…",
            where=f"{where}, {'.'.join(str(p) for p in first['loc']) or 'the document'}",
            action=f"mend this field ({error.error_count()} problems in all)",
        ) from error
    _check_names(form, where)
    stages: dict[str, Any] = {}
    for name, camera in form.cameras.items():
        stages[f"{name}_detect"] = {
            "use": "detect",
            "input": name,
            "detector": camera.detector,
            "fallback": camera.fallback,
            "breaker": form.breaker.model_dump(),
        }
        stages[f"{name}_health"] = {"use": "camera_health", "input": [name, f"{name}_detect"]}
        stages[f"{name}_track"] = {
            "use": "track",
            "input": f"{name}_detect",
            "carried_on_s": _carried_on_s(form, name),
        }
        stages[f"{name}_zones"] = {
            "use": "zones",
            "input": f"{name}_track",
            "zones": {
                n: zone.model_dump(mode="json", exclude={"camera"})
                for n, zone in form.zones.items()
                if zone.camera == name
            },
        }
    for name, machine in form.machines.items():
        if name in stages or name in form.cameras:
            raise _unfit("names used once", name, f"{where}, machines.{name}", "rename it")
        rest = machine.model_dump(mode="json", exclude={"cameras", "input", "use"})
        inputs = [f"{c}_{part}" for c in machine.cameras for part in ("zones", "health")]
        stages[name] = {"use": "machine", "input": inputs, **rest}
    return {
        "pipeline": form.pipeline,
        "description": form.description,
        "plugins": list(form.plugins),
        "tick_s": form.tick_s,
        "latency_budget_s": form.latency_budget_s,
        "batch_wait_s": form.batch_wait_s,
        "clear_s": form.clear_s,
        "sources": {
            name: {"frames": camera.contract, "geometry": camera.geometry}
            for name, camera in form.cameras.items()
        },
        "detectors": form.detectors,
        "stages": stages,
        "images": form.images,
    }


def _carried_on_s(form: SiteForm, camera: str) -> float | None:
    """For a machine that moves a missed detection must be no lost machine: as long as its sight."""
    ages_s = [
        m.max_age_s for m in form.machines.values() if m.moving is not None and camera in m.cameras
    ]
    return max([TrackerSettings().report_unseen_s, *ages_s]) if ages_s else None


def _check_names(form: SiteForm, where: str) -> None:
    def known(names: Mapping[str, Any], name: str, what: str, place: str) -> None:
        if name not in names:
            raise _unfit(
                f"one of the {what} {', '.join(sorted(names)) or '(there are none)'}",
                name,
                f"{where}, {place}",
                f"mend the name, or add it to {what}",
            )

    for name, camera in form.cameras.items():
        known(form.detectors, camera.detector, "detectors", f"cameras.{name}.detector")
        if camera.fallback is not None:
            known(form.detectors, camera.fallback, "detectors", f"cameras.{name}.fallback")
    for name, zone in form.zones.items():
        known(form.cameras, zone.camera, "cameras", f"zones.{name}.camera")
    for name, machine in form.machines.items():
        for camera_name in machine.cameras:
            known(form.cameras, camera_name, "cameras", f"machines.{name}.cameras")
        for zone_name in machine.zones:
            known(form.zones, zone_name, "zones", f"machines.{name}.zones")
        blind = {form.zones[z].camera for z in machine.zones} - set(machine.cameras)
        if blind:
            raise _unfit(
                f"cameras {', '.join(machine.cameras)}, which the machine needs",
                f"zones of {', '.join(sorted(blind))}",
                f"{where}, machines.{name}.zones",
                "add the camera to the machine, so that its loss stops the machine",
            )


def _unfit(expected: str, got: str, where: str, action: str) -> PipelineError:
    return PipelineError(expected=expected, got=got, where=where, action=action)
