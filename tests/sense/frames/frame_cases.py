"""Videos, scenes and contracts for the tests of frames."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from sightline.records.frames import Frame
from sightline.records.signals import NS_PER_S
from sightline.sense.frames.delivery import FrameFault, FrameItem
from sightline.sense.frames.frame_contract import FrameContract, HealthChecks
from sightline.sense.frames.simulated_camera import SimulatedScene, simulated_walk

DATA = Path(os.environ.get("SIGHTLINE_DATA", Path(__file__).parents[4] / "shared" / "data"))
RATE_HZ = 10
PERIOD_NS = NS_PER_S // RATE_HZ


def frames_of(items: Iterable[FrameItem]) -> list[Frame]:
    return [item for item in items if isinstance(item, Frame)]


def faults_of(items: Iterable[FrameItem]) -> Counter[str]:
    """Source frames lost, by reason; faults that cost none are counted as 0."""
    found: Counter[str] = Counter()
    for item in items:
        if isinstance(item, FrameFault):
            found[str(item.reason)] += item.frames
    return found


def textured_picture(number: int, *, width_px: int = 160, height_px: int = 120) -> np.ndarray:
    pixels = np.random.default_rng(0).integers(0, 255, (height_px, width_px, 3)).astype(np.uint8)
    left = 2 * number % (width_px - 20)
    pixels[20:60, left : left + 20] = 255
    return pixels


def write_video(
    path: Path,
    *,
    codec: str = "mpeg4",
    pictures: Sequence[np.ndarray] | None = None,
    frames: int = 40,
    key_frame_every: int = 10,
    pts: Sequence[int] | None = None,
    container_format: str | None = None,
) -> Path:
    """A video at 10 frames per second; ``pts`` in tenths of a second."""
    import av

    pictures = pictures or [textured_picture(n) for n in range(frames)]
    height_px, width_px = pictures[0].shape[:2]
    with av.open(str(path), "w", format=container_format) as container:
        stream = container.add_stream(codec, rate=RATE_HZ)
        stream.width, stream.height = width_px, height_px
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.codec_context.gop_size = key_frame_every
        for number, pixels in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(pixels, format="bgr24")
            frame.pts = number if pts is None else pts[number]
            frame.time_base = Fraction(1, RATE_HZ)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def health_contract(**checks: object) -> FrameContract:
    return FrameContract(
        width_px=640, height_px=480, rate_hz=5, max_age_s=1.0, health=HealthChecks(**checks)
    )


def yard(*, seed: int = 3, noise_levels: float = 2.0, walks: int = 2, **changes) -> SimulatedScene:
    """A yard of 640 x 480 px with people who walk across it for a minute."""
    people = [
        simulated_walk(
            start_s=6.0 * n,
            end_s=60.0,
            from_px=(40.0 + 90 * n, 250.0 + 60 * n),
            to_px=(600.0 - 70 * n, 300.0 + 50 * n),
        )
        for n in range(walks)
    ]
    return SimulatedScene(
        width_px=640, height_px=480, things=people, seed=seed, noise_levels=noise_levels, **changes
    )
