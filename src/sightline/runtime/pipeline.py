"""Pipeline descriptions: typed YAML, or the same classes from Python.

This module is the *form*; whether the parts fit together is checked in :mod:`.plan`. What a stage
or detector can be told is its own class's; which classes there are is the registry's.
"""

from __future__ import annotations

import hashlib
import json
import sys
import typing
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal, Self

import pydantic
from pydantic import Discriminator, Field, SerializeAsAny, Tag, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import InitErrorDetails, PydanticCustomError
from pydantic_core.core_schema import ErrorType

from sightline.errors import PipelineError
from sightline.registry import Registry, import_plugins
from sightline.runtime.alerting.form import AlertingForm, with_subjects
from sightline.runtime.detector import DetectorKind
from sightline.runtime.settings import DetectorSettings, Form, Grid, Name, StageSettings
from sightline.runtime.site import expanded
from sightline.runtime.stage import AnyStage
from sightline.sense.form_faults import FieldsAt, Place, faults_of, fields_in
from sightline.sense.frames.usual_view import ViewPrint
from sightline.sense.yaml_form import error_of, read_yaml

BUILT_IN_STAGES: Mapping[str, str] = {
    "windows": "sightline.runtime.stages.windows:WindowsStage",
    "presence": "sightline.runtime.stages.presence:PresenceStage",
    "robust_deviation": "sightline.runtime.stages.deviation:RobustDeviation",
    "level_deviation": "sightline.runtime.stages.deviation:LevelDeviation",
    "expectation": "sightline.runtime.stages.expectation:ExpectationStage",
    "novelty": "sightline.runtime.stages.novelty:NoveltyStage",
    "version_change": "sightline.runtime.stages.version_change:VersionChangeStage",
    "calibration": "sightline.runtime.stages.calibration:CalibrationStage",
    "packet_loss": "sightline.runtime.stages.packet_loss:PacketLossStage",
    "alarm": "sightline.runtime.stages.alarm:AlarmStage",
    "silence": "sightline.runtime.stages.silence:SilenceStage",
    "detect": "sightline.runtime.stages.detect:DetectStage",
    "camera_health": "sightline.runtime.stages.camera_health:CameraHealthStage",
    "track": "sightline.runtime.stages.track:TrackStage",
    "zones": "sightline.runtime.stages.zones:ZonesStage",
    "machine": "sightline.runtime.stages.machine:MachineStage",
    "inspect": "sightline.runtime.stages.inspect:InspectStage",
    "parts": "sightline.runtime.stages.parts:PartsStage",
}
"""What Sightline brings, by name; a module is imported when a pipeline uses its stage."""
BUILT_IN_DETECTORS: Mapping[str, str] = {
    "motion": "sightline.runtime.detector:Motion",
    "onnx": "sightline.runtime.detector:Onnx",
    "given": "sightline.runtime.detector:Given",
}


def stage_registry(plugins: tuple[ModuleType, ...] = ()) -> Registry[AnyStage]:
    """Every stage that is installed."""
    return Registry(
        "stage",
        AnyStage,
        built_in=BUILT_IN_STAGES,
        group="sightline.stages",
        plugins=plugins,
        names=lambda found: [found.use] if found.use else [],
    )


def detector_registry(plugins: tuple[ModuleType, ...] = ()) -> Registry[DetectorKind]:
    """Every detector that is installed."""
    return Registry(
        "detector",
        DetectorKind,
        built_in=BUILT_IN_DETECTORS,
        group="sightline.detectors",
        plugins=plugins,
        names=lambda found: [found.use] if found.use else [],
    )


# --- the form -------------------------------------------------------------------------------------


class Inbox(Form):
    """The only queue of a live source; finite ones are pulled and need none."""

    policy: Literal["block", "latest", "spill"] = "block"
    """What happens at the bound: the reader waits, the newest win, or rows go to the disk."""
    max_rows: Annotated[int, Field(ge=1)] = 500_000
    """Rows that wait in memory, at most."""


class RowsForm(Form):
    """A source of rows."""

    contract: str
    """Path of the contract, relative to the pipeline file."""
    record: Literal["payload", "reference"] = "payload"
    """Log the rows themselves, or (durable sources only) a reference with their digest."""
    inbox: Inbox = Inbox()
    """The queue of a live source."""
    optional: bool = False
    """Whether a run may be started without it: then nothing comes from it."""
    options: dict[str, Any] = {}
    """Options of the source that is given, as `sightline stages SCHEME` lists them."""


class CameraForm(Form):
    """A source of frames: one camera."""

    frames: dict[str, Any] | str
    """A frame contract, or the path of one, relative to the pipeline file."""
    geometry: dict[str, Any] | str | None = None
    """A camera model, or the path of one; null: nothing is known in metres."""
    starts_empty: bool = False
    """Whether somebody has seen to it that nobody is in view when a run starts. A detector that
    compares with the past (``motion``) cannot tell: without this word, or the operator input
    ``view_is_empty``, its machines wait."""
    view: ViewPrint | None = None
    """A print of what the camera shows, as `sightline init` writes it: a run that is given another
    camera's pictures says so. null: nothing is compared."""
    options: dict[str, Any] = {}
    """Options of the source that is given, as `sightline stages SCHEME` lists them."""


def _kind_of_source(plain: Any) -> str:
    has_frames = "frames" in plain if isinstance(plain, dict) else isinstance(plain, CameraForm)
    return "camera" if has_frames else "rows"


SourceForm = Annotated[
    Annotated[RowsForm, Tag("rows")] | Annotated[CameraForm, Tag("camera")],
    Discriminator(_kind_of_source),
]


class ImagesForm(Form):
    """Which pictures are kept in the log. Detections always are."""

    keep: Literal["full", "around_decisions", "alerts", "digest"] = "alerts"
    """All of them, those around a decision, the newest of each camera when something is raised, or
    none. Digests of all are kept anyway."""
    before_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 2.0
    """``around_decisions``: kept before a decision, in seconds."""
    after_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 2.0
    """``around_decisions``: kept after it, in seconds."""
    quality: Annotated[int, Field(ge=1, le=100)] | None = None
    """JPEG quality of what is kept; null: without loss (PNG), as running detectors again needs. Of
    ``alerts`` always JPEG; null: 80."""
    form: Literal["images", "packets"] = "images"
    """``packets``: what the camera itself has compressed, in whole groups from a key frame on."""

    @model_validator(mode="after")
    def _packets_have_their_quality(self) -> Self:
        if self.form == "packets" and self.quality is not None:
            raise ValueError("no quality with form: packets: they are kept as the camera sent them")
        if self.form == "packets" and self.keep == "alerts":
            raise ValueError("form: packets needs keep: full or around_decisions, as one packet "
                             "alone is no picture")  # fmt: skip
        return self


class Pipeline(Form):
    """A whole pipeline: rows, cameras, or both.

    >>> p = Pipeline.model_validate({
    ...     "pipeline": "demo", "sources": {"t": {"contract": "t.yaml"}},
    ...     "stages": {"health": {"use": "windows", "input": "t", "width_s": 60}}})
    >>> p.stages["health"].use
    'windows'
    """

    pipeline: Name
    """Its name."""
    version: str = "1"
    """The user's own, part of the digest."""
    description: str = ""
    """For people; it changes nothing."""
    plugins: tuple[Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*$")], ...] = ()
    """Python modules that bring stages, sources, outlets or detectors of one's own."""
    partitions: Annotated[int, Field(ge=1)] = 1
    """Logical partitions of the keys; cameras need 1, as a machine is decided on by all of them."""
    tick_s: Grid = 10.0
    """Grid on which time advances, in seconds; with cameras also the longest time between two
    looks at a machine."""
    idle_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 60.0
    """After so many seconds without rows of a key its windows are closed for the time being."""
    latency_budget_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 60.0
    """From receipt to decision, or from capture to command, in seconds; more is logged
    DEADLINE_MISSED."""
    batch_wait_s: Annotated[float, Field(ge=0, le=1)] = 0.0
    """How long a frame waits for those of other cameras that share its detector, in seconds."""
    clear_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.5
    """What an item stage found is cleared when it has not been found for so long, in seconds."""
    sources: dict[Name, SourceForm]
    """Where rows and frames come from, by name."""
    detectors: dict[Name, SerializeAsAny[DetectorSettings]] = {}
    """Detectors, by name; one may serve many cameras."""
    stages: dict[Name, SerializeAsAny[StageSettings]]
    """Stages, by name."""
    alerting: AlertingForm | None = None
    """The alert desk; null: every decision goes to every receiver on its own."""
    images: ImagesForm = ImagesForm()
    """Which pictures are kept in the log."""

    @model_validator(mode="wrap")
    @classmethod
    def _with_classes(cls, plain: Any, handler: pydantic.ModelWrapValidatorHandler[Self]) -> Self:
        """Give each stage and detector the settings class of what it names."""
        if not isinstance(plain, dict):
            return handler(plain)
        problems: list[InitErrorDetails] = []
        modules: tuple[ModuleType, ...] = ()
        if plain.get("plugins"):
            modules = import_plugins(tuple(plain["plugins"]), where="plugins")
        made = dict(plain)
        for part, registry in (
            ("stages", stage_registry(modules)),
            ("detectors", detector_registry(modules)),
        ):
            forms = plain.get(part)
            if isinstance(forms, dict):
                made[part] = {
                    name: _settings(registry, part, name, form, problems)
                    for name, form in forms.items()
                }
        if not problems:
            return handler(made)
        try:  # what is wrong with the rest is to be known too
            handler(made)
        except pydantic.ValidationError as error:
            problems += [_carried(one, ()) for one in error.errors(include_url=False)]
        raise pydantic.ValidationError.from_exception_data("Pipeline", problems)

    @property
    def cameras(self) -> dict[str, CameraForm]:
        """The sources of frames."""
        return {n: s for n, s in self.sources.items() if isinstance(s, CameraForm)}

    @property
    def tables(self) -> dict[str, RowsForm]:
        """The sources of rows."""
        return {n: s for n, s in self.sources.items() if isinstance(s, RowsForm)}


def _settings(
    registry: Registry[Any], part: str, name: str, form: Any, problems: list[InitErrorDetails]
) -> Any:
    """The settings of one stage or detector; what is wrong with them goes into ``problems``."""
    if not isinstance(form, dict):
        return form
    use = form.get("use")
    stand_in = (StageSettings if part == "stages" else DetectorSettings).model_construct(use="")
    if not isinstance(use, str):
        problems.append(InitErrorDetails(type="missing", loc=(part, name, "use"), input=form))
        return stand_in
    try:
        return registry.find(use, where=f"{part}.{name}.use").Settings.model_validate(form)
    except PipelineError as error:
        said = PydanticCustomError(
            "setting", "{expected}",
            {"expected": error.expected, "got": error.got, "action": error.action},
        )  # fmt: skip
        problems.append(InitErrorDetails(type=said, loc=(part, name, "use"), input=use))
    except pydantic.ValidationError as error:
        problems += [_carried(one, (part, name)) for one in error.errors(include_url=False)]
    return stand_in


_KNOWN_ERRORS = frozenset(typing.get_args(ErrorType))


def _carried(one: Any, place: tuple[str, ...]) -> InitErrorDetails:
    """An error of a part as one of the whole."""
    kind: Any = one["type"]
    if kind not in _KNOWN_ERRORS:
        context = one.get("ctx") or {}
        kind = PydanticCustomError("setting", one["msg"].replace("{", "{{"), context)
        return InitErrorDetails(type=kind, loc=(*place, *one["loc"]), input=one["input"])
    return InitErrorDetails(
        type=kind, loc=(*place, *one["loc"]), input=one["input"], ctx=one.get("ctx") or {}
    )


# --- reading --------------------------------------------------------------------------------------


def load_pipeline(path: Path) -> Pipeline:
    """Read a pipeline file. Modules under ``plugins`` may lie beside it.

    Raises:
        PipelineError: naming the file and the field.
    """
    plain = read_yaml(path, kind_of_error=PipelineError)
    folder = str(path.parent.resolve())
    if isinstance(plain, dict) and plain.get("plugins") and folder not in sys.path:
        sys.path.append(folder)
    form = parse_pipeline(plain, where=str(path))
    _check_plugins(form.plugins, path)
    return form.model_copy(update={"alerting": with_subjects(form.alerting, path.parent)})


def _check_plugins(names: tuple[str, ...], path: Path) -> None:
    """Python imports a module of a name once: it must be the one beside the file."""
    for name in names:
        beside = (path.parent / Path(*name.split("."))).with_suffix(".py").resolve()
        got = getattr(sys.modules[name], "__file__", None) or "a built-in module"
        if beside.exists() and Path(got).resolve() != beside:
            raise PipelineError(
                expected=f"the module beside the pipeline file, {beside}",
                got=got,
                where=f"{path}, plugins",
                action="rename one of the two modules: Python imports only the first of a name",
            )


def parse_pipeline(plain: object, *, where: str) -> Pipeline:
    """Validate a mapping as a pipeline; ``where`` names it in errors.

    Raises:
        PipelineError: naming the field.
    """
    places: Mapping[Place, Place] = {}
    if isinstance(plain, dict) and plain.get("use") == "site":
        plain, places = expanded(plain, where=where)
    try:
        return Pipeline.model_validate(plain)
    except pydantic.ValidationError as error:
        faults = [
            replace(fault, place=_as_written(fault.place, places))
            for fault in faults_of(error, _fields_at(plain))
        ]
        raise error_of(faults, where=where, kind_of_error=PipelineError) from error


def _as_written(place: Place, places: Mapping[Place, Place]) -> Place:
    """A place of the pipeline as one of the short form that it was expanded from."""
    plain = tuple(
        part for i, part in enumerate(place)
        if not (i == 2 and place[0] == "sources" and part in ("rows", "camera"))
    )  # fmt: skip
    for begins, written in places.items():
        if plain[: len(begins)] == begins:
            return (*written, *plain[len(begins) :])
    return plain


def _fields_at(plain: Any) -> FieldsAt:
    """What the parts of a pipeline may hold, those of its stages and detectors too."""
    named = plain.get("plugins") if isinstance(plain, Mapping) else None
    modules = import_plugins(tuple(named or ()), where="plugins")
    registries: Mapping[str, Registry[Any]] = {
        "stages": stage_registry(modules), "detectors": detector_registry(modules)
    }  # fmt: skip

    def at(place: Place) -> Mapping[str, FieldInfo]:
        if len(place) < 2 or place[0] not in registries:
            return fields_in(Pipeline)(place)
        found = registries[place[0]].find(plain[place[0]][place[1]]["use"], where=".".join(place))
        return fields_in(found.Settings)(place[2:])

    return at


def digest(plain: object) -> str:
    """16 hex digits over canonical JSON."""
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
