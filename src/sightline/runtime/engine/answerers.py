"""The answerers of guarded stages, made from the plan, in this process or in one of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from sightline.errors import PipelineError, UsageError
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.records import Frame
from sightline.records.readings import Arrays
from sightline.registry import import_plugins
from sightline.runtime.detector import Detecting, DetectorKind
from sightline.runtime.engine.guarding import Lookers, Looking
from sightline.runtime.engine.isolated import Isolated
from sightline.runtime.item_stage import CameraPlan, ItemStep
from sightline.runtime.pipeline import detector_registry
from sightline.runtime.plan import Plan
from sightline.runtime.planner import plan_of_recipe, plan_recipe
from sightline.runtime.settings import DetectorSettings
from sightline.runtime.stage import Stage


class Answering(Protocol):
    """What the process of an isolated answerer holds."""

    @property
    def version(self) -> str: ...
    @property
    def class_names(self) -> Sequence[str]: ...
    def answer(self, asked: Any) -> list[Any]: ...


class DetectorLooking:
    """A detector, as something that looks."""

    def __init__(self, detector: Detecting) -> None:
        self.detector = detector
        self.version = detector.version
        self.class_names: tuple[str, ...] = tuple(getattr(detector, "class_names", ()))

    def look(self, frames: Sequence[Frame]) -> list[Any]:
        """As the detector says."""
        return list(self.detector.detect_batch(frames))

    answer = look


class _Loaded:
    """What a stage of one's own has loaded."""

    def __init__(self, looking: Looking) -> None:
        self._looking = looking
        self.version = looking.version
        self.class_names: tuple[str, ...] = ()

    def look(self, frames: Sequence[Frame]) -> list[Any]:
        return self._looking.look(frames)

    answer = look


class _Scoring:
    """A guarded series stage."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.version = f"{stage.use}@{stage.version}"
        self.class_names: tuple[str, ...] = ()

    def answer(self, asked: Arrays) -> list[Any]:
        return [self._stage.answer(asked, self._stage.use)]


def built_answerer(recipe: Mapping[str, Any]) -> Answering:
    """The answerer that a recipe describes, in this process.

    Raises:
        PipelineError: a file is missing, is another one, or cannot be used.
    """
    plan = plan_of_recipe(recipe)
    if "detector" in recipe:
        return DetectorLooking(
            built_detector(plan, plan.cameras[recipe["camera"]], recipe["detector"])
        )
    if "camera" in recipe:
        step = next(s for s in plan.items if s.name == recipe["stage"])
        return _Loaded(step.stage.load(plan.cameras[recipe["camera"]], str(plan.folder)))
    stage = plan.stage(recipe["stage"])
    assert isinstance(stage, Stage)
    return _Scoring(stage)


# --- series stages --------------------------------------------------------------------------------


def isolated_scorers(
    plan: Plan, *, has_deadlines: bool = True, limits: Limits = DEFAULT_LIMITS
) -> dict[str, Isolated]:
    """The guarded series stages that run in a process of their own, by name.

    Their processes are built side by side, and awaited: starting is no part of a stage's budget.
    ``has_deadlines`` as in :class:`.Guard`.

    Raises:
        PipelineError: a process died of building it.
    """
    found: dict[str, Isolated] = {}
    try:
        for chain in plan.chains:
            for step in chain.steps:
                guard = step.stage.guard
                if guard is not None and guard.run_on == "process":
                    found[step.name] = Isolated(
                        {**plan_recipe(plan), "stage": step.name},
                        where=f"stages.{step.name}",
                        slots=1,
                        slot_bytes=1,
                        budget_s=guard.budget_s,
                        remembers=False,
                        has_deadlines=has_deadlines,
                        limits=limits,
                    )
        for isolated in found.values():
            isolated.await_built()
    except BaseException:
        for isolated in found.values():
            isolated.close()
        raise
    return found


# --- who looks at pictures ------------------------------------------------------------------------


def lookers(
    plan: Plan, *, has_deadlines: bool = True, limits: Limits = DEFAULT_LIMITS
) -> dict[tuple[str, str], Lookers]:
    """Who looks at the frames of each camera, by (stage, camera).

    A detector that can serve many cameras is loaded once for all that name it. Those that are to
    be ``isolated`` are built in processes of their own, side by side. They end with the guard that
    asks them, or with this process. ``has_deadlines`` as in :class:`.Guard`.

    Raises:
        PipelineError: a file is missing, is another one, or cannot be used; or the process of an
            isolated one died of building it.
    """
    made = _Made(plan, limits, has_deadlines=has_deadlines)
    try:
        found: dict[tuple[str, str], Lookers] = {}
        for step in plan.items:
            if step.stage.looks:
                for camera in step.stage.settings.inputs:
                    if camera in plan.cameras:
                        found[step.name, camera] = made.lookers(step, plan.cameras[camera])
        for isolated in made.isolated:
            isolated.await_built()
        _check_classes(plan, found)
    except BaseException:
        for isolated in made.isolated:
            isolated.close()
        raise
    return found


class _Made:
    """The answerers of one plan, as they are made."""

    def __init__(self, plan: Plan, limits: Limits, *, has_deadlines: bool) -> None:
        self._plan = plan
        self._limits = limits
        self._has_deadlines = has_deadlines
        self._shared: dict[str, Looking] = {}
        self.isolated: list[Isolated] = []

    def lookers(self, step: ItemStep, camera: CameraPlan) -> Lookers:
        settings = step.stage.settings
        detector = getattr(settings, "detector", None)
        if detector is None:
            return self._own(step, camera)
        second = settings.fallback
        return Lookers(
            primary=self._detector(camera, detector),
            fallback=None if second is None else self._detector(camera, second),
            budget_s=self._plan.pipeline.detectors[detector].budget_s,
        )

    def _own(self, step: ItemStep, camera: CameraPlan) -> Lookers:
        """Of a stage that brings its own."""
        guard = step.stage.guard
        if guard is None:
            raise PipelineError(
                expected="guarded: a deadline, for a stage that looks at pictures",
                got="none",
                where=f"{self._plan.origin}, stages.{step.name}",
                action="give guarded: {budget_s: …}",
            )
        looking: Looking
        if guard.run_on == "process":
            contract = camera.contract
            looking = self._isolated(
                {"stage": step.name, "camera": camera.name},
                where=f"stages.{step.name} of camera {camera.name}, isolated",
                slots=1,
                slot_bytes=contract.height_px * contract.width_px * contract.channels,
                budget_s=guard.budget_s,
            )
        else:
            try:
                looking = step.stage.load(camera, str(self._plan.folder))
            except UsageError as error:
                raise PipelineError(
                    expected=error.expected,
                    got=error.got,
                    where=f"stages.{step.name} of camera {camera.name} ({error.where})",
                    action=error.action,
                ) from error
        return Lookers(
            primary=looking, fallback=None, budget_s=guard.budget_s, finds=step.stage.finds
        )

    def _detector(self, camera: CameraPlan, name: str) -> Looking:
        """A new one for this camera, or the one that serves them all."""
        if name in self._shared:
            return self._shared[name]
        kind, form = detector_kind(self._plan, name)
        looking: Looking
        if form.isolated:
            served = [camera.name]
            if kind.is_shared:
                served = [
                    c
                    for s in self._plan.items
                    if name in (getattr(s.stage.settings, "detector", None),
                                getattr(s.stage.settings, "fallback", None))
                    for c in s.cameras
                ]  # fmt: skip
            contracts = [self._plan.cameras[n].contract for n in served]
            looking = self._isolated(
                {"camera": camera.name, "detector": name},
                remembers=not kind.is_shared,  # one that serves many cameras keeps nothing of one
                where=f"detectors.{name} of camera {', '.join(served)}, isolated",
                slots=len(served),
                slot_bytes=max(c.height_px * c.width_px * c.channels for c in contracts),
                # A camera waits as long as its first detector may take, for the second one too.
                budget_s=max(
                    self._plan.pipeline.detectors[s.stage.settings.detector].budget_s
                    for s in self._plan.items
                    if set(s.cameras) & set(served) and hasattr(s.stage.settings, "detector")
                ),
            )
        else:
            looking = DetectorLooking(built_detector(self._plan, camera, name))
        if kind.is_shared:
            self._shared[name] = looking
        return looking

    def _isolated(self, recipe: Mapping[str, Any], **rest: Any) -> Isolated:
        made = Isolated(
            {**plan_recipe(self._plan), **recipe},
            has_deadlines=self._has_deadlines,
            limits=self._limits,
            **rest,
        )
        self.isolated.append(made)
        return made


def detector_kind(plan: Plan, name: str) -> tuple[DetectorKind, DetectorSettings]:
    """The class of a pipeline's detector, ready to build it, and its settings."""
    form = plan.pipeline.detectors[name]
    modules = import_plugins(plan.pipeline.plugins, where=plan.origin)
    found = detector_registry(modules).find(form.use, where=f"{plan.origin}, detectors.{name}.use")
    return found(), form


def built_detector(plan: Plan, camera: CameraPlan, name: str) -> Detecting:
    """A new detector, in this process whatever its settings say.

    Raises:
        PipelineError: a file is missing, is another one, or cannot be used.
    """
    kind, form = detector_kind(plan, name)
    try:
        return kind.build(form, camera, Path(plan.folder))
    except UsageError as error:
        raise PipelineError(
            expected=error.expected,
            got=error.got,
            where=f"detectors.{name} of camera {camera.name} ({error.where})",
            action=error.action,
        ) from error


def _check_classes(plan: Plan, found: Mapping[tuple[str, str], Lookers]) -> None:
    """A class that nobody ever reports would make a zone or a machine silently blind."""
    known: dict[str, set[str]] = {}
    for (_, camera), ones in found.items():
        for looker in (ones.primary, ones.fallback):
            known.setdefault(camera, set()).update(getattr(looker, "class_names", ()))
    for step in plan.items:
        for place, classes in step.stage.wanted_classes().items():
            for camera in step.cameras:
                offered = known.get(camera, set())
                if classes - offered:
                    raise PipelineError(
                        expected=f"classes that {camera}'s detectors report: "
                        f"{', '.join(sorted(offered))}",
                        got=", ".join(sorted(classes - offered)),
                        where=f"stages.{step.name}.{place}",
                        action="mend the class; a motion detector tells people only with a "
                        "geometry or person_px",
                    )
