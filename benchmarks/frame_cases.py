"""What the frame benchmarks look at: a simulated yard, drawn beforehand, and cameras that play it.

The pictures are drawn once and played forth and back, so that drawing takes no time from what is
measured.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sightline.records import Detections, Frame
from sightline.records.decision import Mode
from sightline.records.frames import Image
from sightline.records.signals import NS_PER_S
from sightline.records.windows import FloatArray
from sightline.runtime.engine.guard import FrameRequest, Outcome, OutcomeStatus, Request
from sightline.runtime.pipeline import parse_pipeline
from sightline.runtime.plan import Plan
from sightline.runtime.planner import make_plan
from sightline.sense.frames.delivery import FrameItem
from sightline.sense.frames.simulated_camera import SimulatedScene, simulated_walk

NAMES = ("east", "west", "north", "south")
"""Of the cameras; further ones are numbered."""
CAMERA = NAMES[0]
RATE_HZ = 15.0
"""Of what is recorded."""
START_NS = 1_767_225_600 * NS_PER_S
_PERSON_SHARE = 0.25
"""Of the picture's height."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DrawnScene:
    """Some seconds of a scene, as pictures.

    Attributes:
        pictures: uint8[height, width, 3] each.
        boxes_px: float64[m, 4] each, the true boxes of the people in them.
    """

    pictures: tuple[Image, ...]
    boxes_px: tuple[FloatArray, ...]

    def place(self, index: int) -> int:
        """Which picture is frame ``index``, from 0, of the scene played forth and back.

        >>> scene = drawn_scene(width_px=64, height_px=48, people=1, pictures=3, rate_hz=10.0,
        ...                     seed=1)
        >>> [scene.place(index) for index in range(6)]
        [0, 1, 2, 1, 0, 1]
        """
        last = len(self.pictures) - 1
        if not last:
            return 0
        at = index % (2 * last)
        return min(at, 2 * last - at)


def drawn_scene(
    *, width_px: int, height_px: int, people: int, pictures: int, rate_hz: float, seed: int
) -> DrawnScene:
    """``people`` who walk across the picture at a quarter of their height per second and more."""
    rng = np.random.default_rng(seed)
    height = _PERSON_SHARE * height_px
    end_s = pictures / rate_hz
    walks = []
    for _ in range(people):
        x, y = rng.uniform([0.1 * width_px, 1.2 * height], [0.9 * width_px, height_px - 2.0])
        dx = rng.choice([-1, 1]) * rng.uniform(0.25, 0.75) * height * end_s
        walks.append(
            simulated_walk(
                start_s=0.0,
                end_s=end_s,
                from_px=(x, y),
                to_px=(x + dx, y),
                size_px=(0.4 * height, height),
            )
        )
    scene = SimulatedScene(width_px=width_px, height_px=height_px, things=walks, seed=seed)
    times_ns = [round(index * NS_PER_S / rate_hz) for index in range(pictures)]
    return DrawnScene(
        pictures=tuple(scene.render(at_ns) for at_ns in times_ns),
        boxes_px=tuple(scene.boxes_at(at_ns) for at_ns in times_ns),
    )


def camera_names(cameras: int) -> tuple[str, ...]:
    """Names of so many cameras.

    >>> camera_names(5)
    ('east', 'west', 'north', 'south', 'camera5')
    """
    return (*NAMES, *(f"camera{n + 1}" for n in range(len(NAMES), cameras)))[:cameras]


def yard_plan(
    *,
    cameras: int,
    width_px: int,
    height_px: int,
    rate_hz: float,
    detection_budget_s: float,
    latency_budget_s: float,
    has_fallback: bool,
) -> Plan:
    """A site whose every inline stage has work: a forbidden zone per camera, and one machine."""
    person_px = _PERSON_SHARE * height_px
    motion = {"use": "motion", "person_px": [person_px, person_px], "budget_s": detection_budget_s}
    camera: dict[str, Any] = {
        "contract": {
            "width_px": width_px,
            "height_px": height_px,
            "rate_hz": rate_hz,
            "max_age_s": 1.0,
        },
        "detector": "primary",
        "starts_empty": True,
    }
    if has_fallback:
        camera["fallback"] = "motion"
    right = [[width_px / 2, 0], [width_px, 0], [width_px, height_px], [width_px / 2, height_px]]
    names = camera_names(cameras)
    zones = {
        f"pit_{name}": {"camera": name, "polygon_px": right, "is_forbidden": True, "margin_px": 2.0}
        for name in names
    }
    plain: Mapping[str, Any] = {
        "use": "site",
        "pipeline": "bench_yard",
        "latency_budget_s": latency_budget_s,
        # Tries again soon, so that more of the faults are met.
        "breaker": {"open_after": 3, "retry_after_ticks": 5, "close_after": 1},
        "detectors": {"primary": motion, **({"motion": motion} if has_fallback else {})},
        "cameras": dict.fromkeys(names, camera),
        "zones": zones,
        "machines": {"saw": {"cameras": list(names), "zones": list(zones)}},
    }
    return make_plan(parse_pipeline(plain, where="benchmark"), where="benchmark")


class DrawnCamera:
    """Plays a scene as a live camera does: a picture is there when it is due, never before.

    Its clock begins with the first picture, ``phase_s`` after it is opened. The capture time is
    when a picture was due, so that a thread that wakes late counts as latency.

    Args:
        stream: name of the camera.
        scene: what it plays.
        frames: how many.
        rate_hz: frames per second.
        phase_s: cameras do not take their pictures at the same time.
        now_ns: UTC ns.
    """

    def __init__(
        self,
        stream: str,
        scene: DrawnScene,
        *,
        frames: int,
        rate_hz: float,
        phase_s: float,
        now_ns: Callable[[], int],
    ) -> None:
        self.stream = stream
        self._scene = scene
        self._frames = frames
        self._rate_hz = rate_hz
        self._phase_s = phase_s
        self._now_ns = now_ns
        self._is_stopped = threading.Event()

    def stop(self) -> None:
        """End it, from any thread."""
        self._is_stopped.set()

    def __iter__(self) -> Iterator[FrameItem]:
        first_ns = self._now_ns() + round(self._phase_s * NS_PER_S)
        for index in range(self._frames):
            due_ns = first_ns + round(index * NS_PER_S / self._rate_hz)
            wait_s = (due_ns - self._now_ns()) / NS_PER_S
            if self._is_stopped.wait(max(wait_s, 0.0)):
                return
            yield Frame(
                stream=self.stream,
                index=index,
                capture_ns=due_ns,
                received_ns=max(self._now_ns(), due_ns),
                pixels=self._scene.pictures[self._scene.place(index)],
            )


def true_detections(scene: DrawnScene, frame: Frame) -> Detections:
    """What a detector would say that makes no mistakes."""
    boxes = scene.boxes_px[scene.place(frame.index)]
    return Detections.of(
        frame.stream, frame.capture_ns, box_px=boxes, score=np.full(len(boxes), 0.9)
    )


def frame_of(scene: DrawnScene, index: int) -> Frame:
    """Frame ``index`` of a recording of the scene, at 15 frames per second."""
    at_ns = START_NS + round(index * NS_PER_S / RATE_HZ)
    return Frame(
        stream=CAMERA,
        index=index,
        capture_ns=at_ns,
        received_ns=at_ns,
        pixels=scene.pictures[scene.place(index)],
    )


class DrawnRecording:
    """The scene as a recording."""

    stream = CAMERA

    def __init__(self, scene: DrawnScene, frames: int) -> None:
        self._scene = scene
        self._frames = frames

    def __iter__(self) -> Iterator[Frame]:
        return (frame_of(self._scene, index) for index in range(self._frames))


class TruthTold:
    """Answers requests from the truth, at once and without a thread."""

    def __init__(self, scene: DrawnScene) -> None:
        self._scene = scene
        self._frames: dict[str, Frame] = {}

    def hold(self, frame: Frame) -> None:
        self._frames[frame.stream] = frame

    def warm(self, frame: Frame) -> None:
        """Nothing is remembered from one frame to the next."""

    def close(self) -> None:
        """There is no thread to end."""

    def run(self, requests: Sequence[Request]) -> list[Outcome]:
        return [
            Outcome(
                request_id=request.request_id,
                stage=request.stage,
                status=OutcomeStatus.OK,
                mode=Mode.PRIMARY,
                answer=true_detections(self._scene, self._frames.pop(request.camera)),
                batch=(request.request_id,),
            )
            for request in requests
            if isinstance(request, FrameRequest)
        ]


class AnswersAtOnce:
    """A detector that has its answers before it is asked."""

    version = "at-once@1"

    def __init__(self, scene: DrawnScene, frames: Sequence[Frame]) -> None:
        self._answers = {frame.index: [true_detections(scene, frame)] for frame in frames}

    def look(self, frames: Sequence[Frame]) -> list[Detections]:
        return self._answers[frames[0].index]
