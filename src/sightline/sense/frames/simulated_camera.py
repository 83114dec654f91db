"""A camera that renders a scene instead of looking at one, for tests and demonstrations."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sightline.errors import UsageError
from sightline.records.signals import NS_PER_S
from sightline.records.windows import FloatArray
from sightline.sense.frames.delivery import Delivery, FrameItem
from sightline.sense.frames.simulated_scene import SimulatedScene


class SimulatedCamera:
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
        self.stream = stream
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
