"""A camera that renders a scene instead of looking at one: boxes that move over textured ground."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import Field

from sightline.errors import UsageError
from sightline.records.frames import Image
from sightline.records.signals import NS_PER_S
from sightline.records.windows import FloatArray, IntArray
from sightline.sense.frames.delivery import CameraSource, Delivery, FrameItem
from sightline.sense.frames.frame_contract import FrameContract
from sightline.sense.source import SourceOptions, Surroundings

_HEAD_SHARE = 0.25
"""Part of a person's height that is drawn as a head."""
_TEXTURE_SCALES_PX = (3, 9, 27)
_GROUND_LEVEL, _TEXTURE_LEVELS = 120.0, 28.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SimulatedThing:
    """Something that moves along straight lines between known places.

    Attributes:
        at_ns: int64[n], ascending times, ns from the scene's zero. It is there from the first to
            the last (both inclusive) and nowhere before or after.
        box_px: float64[n, 4], left, top, right, bottom at those times.
        colour: blue, green, red, each 0 to 255.
        shape: a filled box, or a person with a body and a narrower head.
    """

    at_ns: IntArray
    box_px: FloatArray
    colour: tuple[int, int, int] = (40, 40, 160)
    shape: str = "person"

    def __post_init__(self) -> None:
        times, boxes = np.asarray(self.at_ns), np.asarray(self.box_px)
        is_line = times.ndim == 1 and len(times) > 0 and boxes.shape == (len(times), 4)
        if not is_line or np.any(np.diff(times) <= 0) or self.shape not in ("box", "person"):
            raise UsageError(
                expected="ascending at_ns[n], box_px[n, 4], n > 0, shape box or person",
                got=f"at_ns{list(times.shape)}, box_px{list(boxes.shape)}, {self.shape}",
                where="simulated thing",
                action="mend the scene",
            )

    def box_at(self, at_ns: int) -> FloatArray | None:
        """float64[4] at ``at_ns``; None while it is not there."""
        if not self.at_ns[0] <= at_ns <= self.at_ns[-1]:
            return None
        return np.array([np.interp(at_ns, self.at_ns, column) for column in self.box_px.T])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SimulatedScene:
    """What a simulated camera sees. The ground's texture and the noise follow from the seed.

    Attributes:
        width_px, height_px: of the picture.
        things: drawn in this order, later ones in front.
        seed: of texture and noise.
        noise_levels: standard deviation of the sensor's noise, in grey levels.
        light: (ns from the scene's zero, gain) pairs, ascending; linear in between, constant
            outside. 1.0 is full light.

    >>> scene = SimulatedScene(width_px=64, height_px=48, things=(), seed=7)
    >>> bool((scene.render(NS_PER_S) == scene.render(NS_PER_S)).all())
    True
    """

    width_px: int
    height_px: int
    things: Sequence[SimulatedThing]
    seed: int
    noise_levels: float = 2.0
    light: Sequence[tuple[int, float]] = ((0, 1.0),)
    _ground: npt.NDArray[np.float32] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_ground", self._textured_ground())

    def render(self, at_ns: int) -> Image:
        """uint8[height, width, 3] (blue, green, red) at ``at_ns`` ns from the scene's zero.

        The same seed and time give the same bytes, whatever was rendered before.
        """
        picture = self._ground.copy()
        for thing in self.things:
            box = thing.box_at(at_ns)
            if box is not None:
                _draw(picture, box, thing)
        times, gains = zip(*self.light, strict=True)
        picture *= np.float32(np.interp(at_ns, times, gains))
        if self.noise_levels > 0:
            # Counter-based: the time itself chooses the place in the random stream.
            source = np.random.Generator(np.random.Philox(key=[self.seed, at_ns & (2**64 - 1)]))
            noise = source.standard_normal(picture.shape[:2], dtype=np.float32)
            picture += (noise * np.float32(self.noise_levels))[..., None]
        return np.clip(np.rint(picture), 0, 255).astype(np.uint8)

    def boxes_at(self, at_ns: int) -> FloatArray:
        """float64[m, 4], the true boxes of the m things that are there, in their order."""
        found = [box for thing in self.things if (box := thing.box_at(at_ns)) is not None]
        return np.array(found, np.float64).reshape(-1, 4)

    def _textured_ground(self) -> npt.NDArray[np.float32]:
        source = np.random.default_rng(self.seed)
        ground = np.zeros((self.height_px, self.width_px), np.float32)
        for scale_px in _TEXTURE_SCALES_PX:  # patches of several sizes, sharp at their edges
            rows, columns = -(-self.height_px // scale_px), -(-self.width_px // scale_px)
            patches = source.standard_normal((rows, columns), dtype=np.float32)
            whole = np.kron(patches, np.ones((scale_px, scale_px), np.float32))
            ground += whole[: self.height_px, : self.width_px]
        ground *= np.float32(_TEXTURE_LEVELS / len(_TEXTURE_SCALES_PX))
        tint = np.array([0.95, 1.0, 1.05], np.float32)
        return (ground + np.float32(_GROUND_LEVEL))[..., None] * tint


def simulated_walk(
    *,
    start_s: float,
    end_s: float,
    from_px: tuple[float, float],
    to_px: tuple[float, float],
    size_px: tuple[float, float] = (40.0, 110.0),
) -> SimulatedThing:
    """A person who walks in a straight line at constant speed.

    Args:
        start_s, end_s: s from the scene's zero.
        from_px, to_px: (x, y) of the middle between the feet.
        size_px: (width, height) of the box.
    """
    width, height = size_px
    boxes = [[x - width / 2, y - height, x + width / 2, y] for x, y in (from_px, to_px)]
    times = np.array([round(start_s * NS_PER_S), round(end_s * NS_PER_S)], np.int64)
    return SimulatedThing(at_ns=times, box_px=np.array(boxes, np.float64))


def _draw(picture: npt.NDArray[np.float32], box: FloatArray, thing: SimulatedThing) -> None:
    left, top, right, bottom = (round(float(edge)) for edge in box)
    colour = np.array(thing.colour, np.float32)
    if thing.shape == "box":
        _fill(picture, (left, top, right, bottom), colour)
        return
    neck = top + round((bottom - top) * _HEAD_SHARE)
    inset = (right - left) // 4
    waist = (neck + bottom) // 2
    _fill(picture, (left + inset, top, right - inset, neck), np.float32(0.5) * colour + 110)
    _fill(picture, (left, neck, right, waist), colour)
    _fill(picture, (left, waist, right, bottom), np.float32(0.4) * colour)


def _fill(
    picture: npt.NDArray[np.float32],
    box: tuple[int, int, int, int],
    colour: npt.NDArray[np.float32],
) -> None:
    left, top, right, bottom = (max(edge, 0) for edge in box)  # a slice counts below 0 from behind
    picture[top:bottom, left:right] = colour


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
