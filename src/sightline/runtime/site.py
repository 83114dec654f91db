"""``use: site``: a short form for cameras, zones and machines, which expands into stages.

    use: site
    pipeline: yard
    detectors: {motion: {use: motion}}
    cameras: {east: {contract: {…}, detector: motion}}
    zones: {pit: {camera: east, polygon_px: […], is_forbidden: true}}
    machines: {saw: {cameras: [east], zones: [pit]}}

Each camera ``NAME`` becomes a source and the stages ``NAME_detect``, ``NAME_health``,
``NAME_track`` and ``NAME_zones``; each machine becomes a stage of its own name. ``sightline check
--expanded`` prints the expanded file.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import pydantic
from pydantic import Field

from sightline.errors import PipelineError
from sightline.perceive.tracking import TrackerSettings
from sightline.runtime.settings import Breaker, Form, Name
from sightline.sense.form_faults import Place
from sightline.sense.frames.usual_view import ViewPrint
from sightline.sense.yaml_form import refusal

_SITE_TICK_S = 0.1
_SITE_BUDGET_S = 0.25
_SIGHT_S = 0.5
"""``max_age_s`` of a machine that gives none, as in the stage ``machine``."""


class SiteCamera(Form):
    """One camera: what it promises, where it looks, who looks at its frames."""

    contract: dict[str, Any] | str
    """A frame contract, or the path of one, relative to the pipeline file."""
    geometry: dict[str, Any] | str | None = None
    """A camera model, or the path of one; null: nothing is known in metres."""
    starts_empty: bool = False
    """Whether somebody has seen to it that nobody is in view when a run starts."""
    view: ViewPrint | None = None
    """A print of what the camera shows, as `sightline init` writes it: a run that is given another
    camera's pictures says so. null: nothing is compared."""
    detector: Name
    """Who looks at its frames, by its name under ``detectors``."""
    fallback: Name | None = None
    """Detector that answers when the first is late or broken; null: tracks are carried on."""
    options: dict[str, Any] = {}
    """Options of its source: when a recording began (``start``, ``start_s``), where images say
    their times (``time_in_name``, ``times_file``), …; `sightline stages frames.file` lists them."""


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
    zones: dict[Name, dict[str, Any]] = {}
    """Areas, by name: ``camera``, and what the stage ``zones`` can be told of an area."""
    machines: dict[Name, dict[str, Any]] = {}
    """Machines, by name: ``cameras``, all of which are needed, and what the stage ``machine`` can
    be told."""
    alerting: dict[str, Any] | None = None
    """The alert desk, as ``alerting`` of any pipeline."""
    partitions: Literal[1] = 1
    """All cameras share one core and one log: a machine is decided on by all that see it."""


def expanded(plain: Mapping[str, Any], *, where: str) -> tuple[dict[str, Any], dict[Place, Place]]:
    """The pipeline that a site in its short form stands for, as a mapping.

    Returns:
        The mapping, and where each of its parts stands in the short form, for errors.

    Raises:
        PipelineError: naming the field.
    """
    try:
        form = SiteForm.model_validate(plain)
    except pydantic.ValidationError as error:
        raise refusal(error, where=where, kind_of_error=PipelineError, form=SiteForm) from error
    _check_names(form, where)
    stages: dict[str, Any] = {}
    places: dict[Place, Place] = {}
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
                n: {key: value for key, value in zone.items() if key != "camera"}
                for n, zone in form.zones.items()
                if zone["camera"] == name
            },
        }
        places["sources", name, "frames"] = ("cameras", name, "contract")
        places["sources", name] = ("cameras", name)
        places["stages", f"{name}_detect"] = ("cameras", name)
        places["stages", f"{name}_zones"] = ()
    for name, machine in form.machines.items():
        if name in stages or name in form.cameras:
            raise _unfit("names used once", name, f"{where}, machines.{name}", "rename it")
        rest = {key: value for key, value in machine.items() if key != "cameras"}
        inputs = [f"{c}_{part}" for c in machine["cameras"] for part in ("zones", "health")]
        stages[name] = {**rest, "use": "machine", "input": inputs}
        places["stages", name] = ("machines", name)
    pipeline = {
        "pipeline": form.pipeline,
        "description": form.description,
        "plugins": list(form.plugins),
        "tick_s": form.tick_s,
        "latency_budget_s": form.latency_budget_s,
        "batch_wait_s": form.batch_wait_s,
        "clear_s": form.clear_s,
        "sources": {
            name: {
                "frames": camera.contract,
                "geometry": camera.geometry,
                "options": camera.options,
                "starts_empty": camera.starts_empty,
                "view": camera.view,
            }
            for name, camera in form.cameras.items()
        },
        "detectors": form.detectors,
        "stages": stages,
        "images": form.images,
        "alerting": form.alerting,
    }
    return pipeline, places


def in_short_form(dotted: str, plain: Mapping[str, Any]) -> str:
    """A place in the expanded pipeline, as the place in the short form.

    >>> site = {"cameras": {"east": {}}, "machines": {"saw": {}}}
    >>> in_short_form("sources.east.frames.width_px", site)
    'cameras.east.contract.width_px'
    >>> in_short_form("stages.east_zones.zones.pit", site), in_short_form("stages.saw", site)
    ('zones.pit', 'machines.saw')
    """
    for name in plain.get("cameras") or {}:
        for begins, written in (
            (f"sources.{name}.frames", f"cameras.{name}.contract"),
            (f"sources.{name}", f"cameras.{name}"),
            (f"stages.{name}_zones.zones", "zones"),
            *((f"stages.{name}_{part}", f"cameras.{name}")
              for part in ("detect", "health", "track", "zones")),
        ):  # fmt: skip
            if f"{dotted}.".startswith(f"{begins}."):
                return written + dotted[len(begins) :]
    head, _, rest = dotted.partition(".")
    is_machine = head == "stages" and rest.partition(".")[0] in (plain.get("machines") or {})
    return f"machines.{rest}" if is_machine else dotted


def _carried_on_s(form: SiteForm, camera: str) -> float | None:
    """For a machine that moves a missed detection must be no lost machine: as long as its sight."""
    ages_s = [
        float(m.get("max_age_s", _SIGHT_S))
        for m in form.machines.values()
        if m.get("moving") is not None and camera in m["cameras"]
    ]
    return max([TrackerSettings().report_unseen_s, *ages_s]) if ages_s else None


def _nearest(name: str, known: Sequence[str], what: str) -> str:
    """What to write instead of a name that there is not."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.0 if len(known) == 1 else 0.6)
    if near:
        return f"write {near[0]!r}, or add {name!r} to {what}"
    return f"write one of {', '.join(known)}" if known else f"add {name!r} to {what}"


def _check_names(form: SiteForm, where: str) -> None:
    def known(names: Mapping[str, Any], name: str, what: str, place: str) -> None:
        if name not in names:
            raise _unfit(
                f"one of the {what} {', '.join(sorted(names)) or '(there are none)'}",
                name,
                f"{where}, {place}",
                _nearest(name, sorted(names), what),
            )

    for name, camera in form.cameras.items():
        known(form.detectors, camera.detector, "detectors", f"cameras.{name}.detector")
        if camera.fallback is not None:
            known(form.detectors, camera.fallback, "detectors", f"cameras.{name}.fallback")
    for name, zone in form.zones.items():
        known(form.cameras, str(zone.get("camera")), "cameras", f"zones.{name}.camera")
    for name, machine in form.machines.items():
        cameras, zones = machine.get("cameras"), machine.get("zones", ())
        if not isinstance(cameras, list | tuple) or not cameras:
            raise _unfit(
                "cameras: a list of the cameras that see it", str(cameras),
                f"{where}, machines.{name}.cameras", "name at least one",
            )  # fmt: skip
        for camera_name in cameras:
            known(form.cameras, str(camera_name), "cameras", f"machines.{name}.cameras")
        for zone_name in zones:
            known(form.zones, str(zone_name), "zones", f"machines.{name}.zones")
        blind = {form.zones[z]["camera"] for z in zones} - set(cameras)
        if blind:
            raise _unfit(
                f"cameras {', '.join(cameras)}, which the machine needs",
                f"zones of {', '.join(sorted(blind))}",
                f"{where}, machines.{name}.zones",
                "add the camera to the machine, so that its loss stops the machine",
            )


def _unfit(expected: str, got: str, where: str, action: str) -> PipelineError:
    return PipelineError(expected=expected, got=got, where=where, action=action)
