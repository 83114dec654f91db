"""The detectors of a site pipeline: made from what its file says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from sightline.errors import PipelineError, UsageError
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.perceive.detect import (
    CameraPersonSize,
    MotionDetector,
    MotionSettings,
    OnnxDetector,
    OnnxSettings,
    ReplayedDetector,
    RowPersonSize,
)
from sightline.perceive.detect.person_size import PersonSize
from sightline.records import Frame
from sightline.records.signals import NS_PER_S
from sightline.runtime.frames.detecting import CameraDetectors, Detecting
from sightline.runtime.frames.isolated_detector import IsolatedDetector
from sightline.runtime.frames.site_form import GivenForm, MotionForm, OnnxForm
from sightline.runtime.frames.site_plan import CameraPlan, SitePlan
from sightline.sense.frames.mot_files import read_detections


def site_detectors(
    plan: SitePlan, *, limits: Limits = DEFAULT_LIMITS
) -> dict[str, CameraDetectors]:
    """Detectors by camera. An ONNX model is loaded once, and serves all cameras that name it.

    Those that are to be ``isolated`` are built in processes of their own, side by side. They end
    with the guard that asks them, or with this process.

    Args:
        plan: the checked pipeline; paths begin at its ``folder``.
        limits: bounds.

    Raises:
        PipelineError: a file is missing, is another one, or cannot be used; or the process of an
            isolated detector died of building it.
    """
    made = _Made(plan, limits)
    try:
        found: dict[str, CameraDetectors] = {}
        for name, camera in plan.cameras.items():
            form = plan.pipeline.cameras[name]
            second = form.fallback
            found[name] = CameraDetectors(
                primary=made.detector(camera, form.detector),
                fallback=None if second is None else made.detector(camera, second),
                budget_s=plan.pipeline.detectors[form.detector].budget_s,
            )
        for isolated in made.isolated:
            isolated.await_built()
        for name, detectors in found.items():
            _check_classes(plan, name, detectors)
    except BaseException:
        for isolated in made.isolated:
            isolated.close()
        raise
    return found


class _Made:
    """The detectors of one plan, as they are made."""

    def __init__(self, plan: SitePlan, limits: Limits) -> None:
        self._plan = plan
        self._limits = limits
        self._shared: dict[str, Detecting] = {}
        self.isolated: list[IsolatedDetector] = []

    def detector(self, camera: CameraPlan, name: str) -> Detecting:
        """A new one for this camera, or the one that serves them all."""
        form = self._plan.pipeline.detectors[name]
        if name in self._shared:
            return self._shared[name]
        is_shared = isinstance(form, OnnxForm)
        found: Detecting
        if form.isolated:
            found = self._isolated(camera, name, is_shared=is_shared)
        else:
            found = built_detector(self._plan, camera, name)
        if is_shared:
            self._shared[name] = found
        return found

    def _isolated(self, camera: CameraPlan, name: str, *, is_shared: bool) -> IsolatedDetector:
        plan = self._plan
        served = [camera.name]
        if is_shared:
            forms = plan.pipeline.cameras.items()
            served = [n for n, form in forms if name in (form.detector, form.fallback)]
        contracts = [plan.cameras[n].contract for n in served]
        detector = IsolatedDetector(
            {
                "site": plan.pipeline.model_dump(mode="json"),
                "folder": str(plan.folder.absolute()),
                "camera": camera.name,
                "detector": name,
            },
            where=f"detectors.{name} of camera {', '.join(served)}, isolated",
            slots=len(served),
            slot_bytes=max(c.height_px * c.width_px * c.channels for c in contracts),
            # A camera waits as long as its first detector may take, for the second one too.
            budget_s=max(
                plan.pipeline.detectors[plan.pipeline.cameras[n].detector].budget_s for n in served
            ),
            limits=self._limits,
        )
        self.isolated.append(detector)
        return detector


def _check_classes(plan: SitePlan, camera: str, detectors: CameraDetectors) -> None:
    """A class that nobody ever reports would make a zone or a machine silently blind."""
    known: set[str] = set()
    for detector in (detectors.primary, detectors.fallback):
        if isinstance(
            detector, MotionDetector | OnnxDetector | ReplayedDetector | IsolatedDetector
        ):
            known.update(detector.class_names)
    wanted = {f"zones.{z.name}": set(z.classes) for z in plan.cameras[camera].zones}
    for name, machine in plan.machines.items():
        if machine.moving is not None and camera in machine.cameras:
            rule = machine.moving
            wanted[f"machines.{name}.moving"] = {rule.machine_class, *rule.person_classes}
    for place, classes in wanted.items():
        if classes - known:
            raise PipelineError(
                expected=f"classes that {camera}'s detectors report: {', '.join(sorted(known))}",
                got=", ".join(sorted(classes - known)),
                where=place,
                action="mend the class; a motion detector tells people only with a geometry or "
                "person_px",
            )


def built_detector(plan: SitePlan, camera: CameraPlan, name: str) -> Detecting:
    """A new detector, in this process whatever its form says.

    Args:
        plan: the checked pipeline.
        camera: the one that it is for, or of those the first.
        name: of the detector in the pipeline.

    Raises:
        PipelineError: a file is missing, is another one, or cannot be used.
    """
    form = plan.pipeline.detectors[name]
    try:
        if isinstance(form, MotionForm):
            return _motion(form, camera)
        if isinstance(form, GivenForm):
            return _given(form, plan.folder)
        return _onnx(form, plan.folder)
    except UsageError as error:
        raise PipelineError(
            expected=error.expected,
            got=error.got,
            where=f"detectors.{name} of camera {camera.name} ({error.where})",
            action=error.action,
        ) from error


def _motion(form: MotionForm, camera: CameraPlan) -> MotionDetector:
    settings = MotionSettings(person_heights_m=form.person_heights_m)
    size: PersonSize | None = None
    if form.person_px is not None:
        at_top_px, at_bottom_px = form.person_px
        size = RowPersonSize(at_top_px=at_top_px, at_bottom_px=at_bottom_px)
    elif camera.geometry is not None:
        size = CameraPersonSize(camera=camera.geometry)
    detector = MotionDetector(size=size, settings=settings)
    _warm_up(detector, camera)
    return detector


def _warm_up(detector: MotionDetector, camera: CameraPlan) -> None:
    """Let the first frame find compiled kernels and tables: else it alone would be late."""
    contract = camera.contract
    shape = (contract.height_px, contract.width_px, contract.channels)
    grey = np.full(shape if contract.channels > 1 else shape[:2], 128, np.uint8)
    spot = grey.copy()
    spot[contract.height_px // 3 : contract.height_px // 2, : contract.width_px // 8] = 255
    for index, pixels in enumerate((grey, spot)):
        detector.detect(
            Frame(
                stream=camera.name,
                index=index,
                capture_ns=index * NS_PER_S,
                received_ns=index * NS_PER_S,
                pixels=pixels,
            )
        )
    detector.reset()


def _onnx(form: OnnxForm, folder: Path) -> OnnxDetector:
    settings = OnnxSettings(min_score=form.min_score, keep_classes=form.classes)
    return OnnxDetector.load(folder / form.model, sha256=form.sha256, settings=settings)


def _given(form: GivenForm, folder: Path) -> ReplayedDetector:
    read = read_detections(folder / form.file)
    if read.refused.height:
        reasons: Mapping[str, int] = dict(
            read.refused["reason"].value_counts().iter_rows()  # of a handful
        )
        raise UsageError(
            expected="a file of detections in which every row can be read",
            got=f"{read.refused.height} rows refused: {reasons}",
            where=form.file,
            action="mend the file; `sightline track` says which rows",
        )
    table = read.table
    return ReplayedDetector.from_columns(
        frame_index=table.frame - 1,
        box_px=table.box_px,
        score=np.clip(table.score, 0.0, 1.0),
    )
