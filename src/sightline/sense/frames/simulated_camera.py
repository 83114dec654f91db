"""A camera that renders a scene instead of looking at one, for tests and demonstrations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import numpy as np
from pydantic import Field

from sightline.errors import UsageError
from sightline.records.signals import NS_PER_S
from sightline.records.windows import FloatArray
from sightline.sense.frames.delivery import CameraSource, Delivery, FrameItem
from sightline.sense.frames.frame_contract import FrameContract
from sightline.sense.frames.simulated_scene import SimulatedScene, simulated_walk
from sightline.sense.source import SourceOptions, Surroundings


class SimulationOptions(SourceOptions):
    """Options of a simulated camera."""

    frames: Annotated[int, Field(ge=1)] = 300
    """Frames in all, at the contract's rate."""
    people: Annotated[int, Field(ge=0, le=20)] = 2
    """People who walk across the picture."""
    seed: int = 0
    """Of the ground's texture and the noise."""


class SimulatedCamera(CameraSource):
    """Frames of a scene at a fixed rate. Durable: it gives the same bytes each time.

    Args:
        stream: name of the camera.
        scene: what it sees.
        rate_hz: frames per second.
        frames: how many.
        start_ns: capture time of the first frame and zero of the scene's times, UTC ns.
        delay_ns: from capture to receipt, the same for each frame.

    Raises:
        UsageError: a rate, number or time that cannot be.

    >>> scene = SimulatedScene(width_px=64, height_px=48, things=(), seed=1)
    >>> frames = list(SimulatedCamera("yard", scene, rate_hz=10, frames=3, start_ns=5))
    >>> [frame.capture_ns for frame in frames]
    [5, 100000005, 200000005]
    """

    schemes = ("simulated",)
    Options = SimulationOptions
    durable = True

    @classmethod
    def open(
        cls,
        location: str,
        *,
        name: str,
        contract: FrameContract,
        options: SimulationOptions,
        surroundings: Surroundings,
    ) -> SimulatedCamera:
        """People who walk across the picture, each in a lane of its own, to and fro."""
        width_px, height_px = contract.width_px, contract.height_px
        duration_s = options.frames / contract.rate_hz
        walks = []
        for n in range(options.people):
            y_px = height_px * (n + 2) / (options.people + 1.5)
            ends = [(0.0, y_px), (float(width_px), y_px)]
            from_px, to_px = ends if n % 2 == 0 else ends[::-1]
            walks.append(
                simulated_walk(
                    start_s=0.0,
                    end_s=duration_s,
                    from_px=from_px,
                    to_px=to_px,
                    size_px=(height_px / 8, height_px / 3),
                )
            )
        scene = SimulatedScene(
            width_px=width_px, height_px=height_px, things=walks, seed=options.seed
        )
        return cls(name, scene, rate_hz=contract.rate_hz, frames=options.frames)

    def __init__(
        self,
        stream: str,
        scene: SimulatedScene,
        *,
        rate_hz: float,
        frames: int,
        start_ns: int = 0,
        delay_ns: int = 0,
    ) -> None:
        if not (0 < rate_hz < np.inf and min(frames, start_ns, delay_ns) >= 0):
            raise UsageError(
                expected="a finite rate_hz > 0, and frames, start_ns and delay_ns >= 0",
                got=f"{rate_hz}, {frames}, {start_ns}, {delay_ns}",
                where=f"simulated camera {stream}",
                action="mend the numbers",
            )
        self.name = stream
        self.scene = scene
        self._rate_hz = rate_hz
        self._frames = frames
        self._start_ns = start_ns
        self._delay_ns = delay_ns

    def __iter__(self) -> Iterator[FrameItem]:
        delivery = Delivery(self.stream, "simulated")
        for index in range(self._frames):
            at_ns = round(index * NS_PER_S / self._rate_hz)
            capture_ns = self._start_ns + at_ns
            yield from delivery.frame(
                self.scene.render(at_ns),
                capture_ns=capture_ns,
                received_ns=capture_ns + self._delay_ns,
            )

    def true_boxes(self, capture_ns: int) -> FloatArray:
        """float64[m, 4] (left, top, right, bottom in px), where the things were at that time."""
        return self.scene.boxes_at(capture_ns - self._start_ns)
