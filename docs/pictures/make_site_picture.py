"""Makes ``site.png``: a simulated yard, run by the engine and drawn from its log.

    python docs/pictures/make_site_picture.py

The yard is drawn in perspective by a camera model; a simulated detector says where its things
truly are, a pixel or two off. Everything after that is the product: tracks, risks, commands and
the drawing. With an argument: ``X.png``, or ``X.mp4`` for the whole run.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from sightline.evidence.drawing import render_still, render_video
from sightline.records import Detections, Frame
from sightline.records.camera import CameraModel, Pose
from sightline.records.lens import Lens
from sightline.records.signals import NS_PER_S
from sightline.runtime import RunDirectory, RunOptions, make_plan, run_pipeline
from sightline.runtime.engine.answerers import DetectorLooking
from sightline.runtime.engine.guarding import Lookers
from sightline.runtime.pipeline import parse_pipeline
from sightline.sense.frames.delivery import Delivery, FrameItem

WIDTH_PX, HEIGHT_PX, RATE_HZ, SECONDS = 960, 720, 10.0, 9.0
STILL_S = 6.2
SMOOTH = 2  # drawn so many times larger, then made smaller
PRESS_ZONE = [[9.2, 4.6], [13.4, 4.6], [13.4, 9.4], [9.2, 9.4]]
BELT_ZONE = [[-0.6, 8.4], [3.4, 8.4], [3.4, 11.0], [-0.6, 11.0]]

Points = npt.NDArray[np.float64]
Colour = tuple[int, int, int]


def looking_at(position: Sequence[float], target: Sequence[float]) -> Pose:
    """A camera at ``position`` that looks at ``target``, both in metres, without roll."""
    eye = np.array(position)
    forward = np.array(target) - eye
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    rotation = np.array([right, np.cross(forward, right), forward])
    return Pose(rotation=rotation, translation_m=-rotation @ eye)


FOCAL_PX = 830.0
POSE = looking_at((6.2, -6.6, 6.2), (6.4, 5.6, 0.0))
CAMERA = CameraModel.pinhole(
    image_size_px=(WIDTH_PX, HEIGHT_PX),
    lens=Lens(focal_px=(FOCAL_PX, FOCAL_PX), centre_px=(WIDTH_PX / 2, HEIGHT_PX / 2)),
    pose=POSE,
)

PIPELINE = {
    "use": "site",
    "pipeline": "yard",
    "latency_budget_s": 0.25,
    "detectors": {"people": {"use": "motion", "budget_s": 0.2}},
    "cameras": {
        "hall": {
            "contract": {
                "width_px": WIDTH_PX,
                "height_px": HEIGHT_PX,
                "rate_hz": RATE_HZ,
                "max_age_s": 1.0,
            },
            "geometry": {
                "kind": "pinhole",
                "image_size_px": [WIDTH_PX, HEIGHT_PX],
                "focal_px": [FOCAL_PX, FOCAL_PX],
                "centre_px": [WIDTH_PX / 2, HEIGHT_PX / 2],
                "rotation": POSE.rotation.tolist(),
                "translation_m": POSE.translation_m.tolist(),
                "pixel_origin": "corner",
            },
            "detector": "people",
        }
    },
    "zones": {
        "press": {"camera": "hall", "polygon_m": PRESS_ZONE, "is_forbidden": True},
        "belt": {"camera": "hall", "polygon_m": BELT_ZONE, "is_forbidden": True},
    },
    "machines": {
        "press": {"cameras": ["hall"], "zones": ["press"]},
        "forklift": {
            "cameras": ["hall"],
            "moving": {
                "machine_class": "forklift",
                "length_m": 2.2,
                "width_m": 1.2,
                "response_s": 0.4,
                "least_deceleration_m_s2": 2.0,
            },
        },
        "belt": {"cameras": ["hall"], "zones": ["belt"]},
    },
}


# --- what is in the yard ------------------------------------------------------------------------


@dataclass(frozen=True)
class Mover:
    """Something that goes along straight lines between known places."""

    kind: str
    at_s: tuple[float, ...]
    xy_m: tuple[tuple[float, float], ...]
    colour: Colour = (60, 90, 60)

    def place(self, at_s: float) -> Points:
        return np.array([np.interp(at_s, self.at_s, c) for c in np.array(self.xy_m).T])

    def heading(self, at_s: float) -> Points:
        along = self.place(at_s + 0.05) - self.place(at_s - 0.05)
        length = float(np.linalg.norm(along))
        return along / length if length > 1e-9 else np.array([1.0, 0.0])


MOVERS = (
    Mover("person", (0, 9), ((1.0, 1.2), (1.0 + 9 * 0.9, 1.5)), (150, 70, 40)),
    Mover("person", (0, 3, 9), ((14.2, 2.2), (12.6, 2.9), (10.0, 7.4)), (70, 70, 120)),
    Mover("person", (0, 9), ((8.6, 10.9), (8.3, 5.4)), (60, 90, 60)),
    Mover("person", (0, 9), ((3.4, -0.9), (5.0, -0.2)), (110, 60, 90)),
    Mover("forklift", (0, 9), ((-0.4, 6.8), (6.0, 6.8))),
)
VEST: Colour = (40, 170, 250)
FORKLIFT: Colour = (36, 150, 222)


def block(
    centre: Sequence[float], size: Sequence[float], along: Points, colour: Colour
) -> list[tuple[float, Points, Colour]]:
    """The visible faces of an upright box: (distance, corners in metres, shaded colour)."""
    across = np.array([-along[1], along[0]])
    x, y = np.append(along, 0) * size[0] / 2, np.append(across, 0) * size[1] / 2
    base, up = np.array(centre, float), np.array([0, 0, float(size[2])])
    ring = [base + x + y, base - x + y, base - x - y, base + x - y]
    eye = POSE.position_m
    faces = [np.array([c + up for c in ring])]
    faces += [np.array([ring[i], ring[i - 3], ring[i - 3] + up, ring[i] + up]) for i in range(4)]
    middle = base + up / 2
    found = []
    for face in faces:
        normal = np.cross(face[1] - face[0], face[2] - face[0])
        normal /= np.linalg.norm(normal)
        normal *= np.sign(normal @ (face.mean(axis=0) - middle))
        if normal @ (eye - face.mean(axis=0)) <= 0:
            continue
        light = 0.62 + 0.38 * max(float(normal @ np.array([-0.35, -0.45, 0.82])), 0.0)
        shade = tuple(round(c * light) for c in colour)
        found.append((float(np.linalg.norm(eye - face.mean(axis=0))), face, shade))
    return found  # type: ignore[return-value]


class Canvas:
    """A picture of the camera, ``SMOOTH`` times as large."""

    def __init__(self, image: npt.NDArray[np.uint8]) -> None:
        self.image = image

    def polygon(self, xyz_m: Points, colour: Colour) -> None:
        pixels = CAMERA.pixel_from_world(np.asarray(xyz_m, float)) * SMOOTH
        if np.isfinite(pixels).all():
            fixed = np.rint(pixels * 16).astype(np.int32)
            cv2.fillPoly(self.image, [fixed], colour, cv2.LINE_AA, 4)

    def shadow(self, xy_m: Points, radii_m: tuple[float, float], along: Points) -> None:
        turn = np.linspace(0, 2 * np.pi, 40)
        across = np.array([-along[1], along[0]])
        ring = xy_m + np.outer(np.cos(turn) * radii_m[0], along)
        ring = ring + np.outer(np.sin(turn) * radii_m[1], across) + [0.12, 0.08]
        pixels = CAMERA.pixel_from_ground(ring) * SMOOTH
        mask = np.zeros(self.image.shape[:2], np.uint8)
        cv2.fillPoly(mask, [np.rint(pixels).astype(np.int32)], 255)
        x, y, width, height = cv2.boundingRect(np.rint(pixels).astype(np.int32))
        x, y = max(x, 0), max(y, 0)
        part = self.image[y : y + height, x : x + width]
        darker = (part * 0.72).astype(np.uint8)
        cv2.copyTo(darker, mask[y : y + height, x : x + width], part)

    def person(self, xy_m: Points, along: Points, at_s: float, colour: Colour) -> None:
        """Upright ellipses that face the camera: legs, body with a vest, head with a helmet."""
        eye = POSE.position_m
        side = np.cross(np.append(xy_m, 0) - eye, [0, 0, 1.0])
        side /= np.linalg.norm(side)
        turn = np.linspace(0, 2 * np.pi, 30)

        def oval(offset: float, height: float, wide: float, high: float, fill: Colour) -> None:
            middle = np.append(xy_m, height) + side * offset
            ring = middle + np.outer(np.cos(turn) * wide, side)
            self.polygon(ring + np.outer(np.sin(turn) * high, [0, 0, 1.0]), fill)

        stride = 0.13 * np.sin(2 * np.pi * 1.5 * at_s) * abs(float(along @ side[:2]))
        trousers = tuple(c // 2 for c in colour)
        oval(-0.08 - stride, 0.42, 0.09, 0.44, trousers)  # type: ignore[arg-type]
        oval(0.08 + stride, 0.42, 0.09, 0.44, trousers)  # type: ignore[arg-type]
        oval(-0.21, 1.08, 0.06, 0.33, colour)
        oval(0.21, 1.08, 0.06, 0.33, colour)
        oval(0.0, 1.12, 0.18, 0.36, VEST)
        oval(0.0, 1.06, 0.175, 0.04, (225, 235, 235))
        oval(0.0, 1.24, 0.165, 0.035, (225, 235, 235))
        oval(0.0, 1.58, 0.11, 0.14, (150, 180, 220))
        oval(0.0, 1.66, 0.13, 0.08, (245, 245, 245))


def things_at(at_s: float) -> list[tuple[float, object]]:
    """Boxes and people with their distance from the camera."""
    eye = POSE.position_m
    east = np.array([1.0, 0.0])
    solids = [
        ((11.6, 7.4, 0), (2.4, 2.0, 0.9), east, (122, 104, 88)),
        ((11.6, 7.8, 0.9), (2.4, 1.0, 1.5), east, (150, 128, 104)),
        ((11.6, 7.2, 1.9), (1.6, 0.8, 0.5), east, (92, 150, 92)),
        ((1.3, 9.7, 0), (3.2, 0.9, 0.75), east, (120, 116, 112)),
        ((0.6, 9.7, 0.75), (0.6, 0.6, 0.45), east, (96, 140, 178)),
        ((2.1, 9.7, 0.75), (0.6, 0.6, 0.45), east, (96, 140, 178)),
        ((7.0, 12.4, 0), (5.4, 0.9, 2.3), east, (128, 96, 74)),
        ((13.6, 11.6, 0), (1.3, 1.2, 1.0), east, (90, 132, 170)),
        ((-2.6, 9.9, 0), (1.2, 1.2, 1.2), east, (90, 132, 170)),
    ]
    faces: list[list[tuple[float, Points, Colour]]] = [block(*solid) for solid in solids]
    found: list[tuple[float, object]] = [
        (float(np.linalg.norm(eye - np.array(s[0]))), f) for s, f in zip(solids, faces, strict=True)
    ]
    for mover in MOVERS:
        xy, along = mover.place(at_s), mover.heading(at_s)
        distance = float(np.linalg.norm(eye - np.append(xy, 0.8)))
        found.append((distance, mover if mover.kind == "person" else forklift(xy, along)))
    return sorted(found, key=lambda one: -one[0])


def forklift(xy_m: Points, along: Points) -> list[tuple[float, Points, Colour]]:
    def part(
        ahead: float, z: float, size: tuple[float, float, float], colour: Colour
    ) -> list[tuple[float, Points, Colour]]:
        return block((*(xy_m + ahead * along), z), size, along, colour)

    return [
        *part(-0.1, 0.12, (1.7, 1.0, 0.28), (50, 46, 44)),
        *part(-0.5, 0.4, (0.9, 1.0, 0.55), FORKLIFT),
        *part(0.25, 0.4, (0.6, 1.0, 0.25), FORKLIFT),
        *part(-0.62, 0.95, (0.07, 0.9, 0.95), (50, 46, 44)),
        *part(-0.1, 1.88, (1.15, 0.95, 0.07), FORKLIFT),
        *part(0.5, 0.95, (0.06, 0.9, 0.9), (110, 104, 98)),
        *part(0.75, 0.1, (0.12, 0.8, 1.9), (70, 66, 62)),
        *part(1.25, 0.1, (0.9, 0.7, 0.08), (60, 56, 52)),
        *part(1.25, 0.2, (0.8, 0.8, 0.6), (96, 140, 178)),
    ]


def hall() -> npt.NDArray[np.uint8]:
    """Floor, walls and paint, which stay as they are."""
    width, height = WIDTH_PX * SMOOTH, HEIGHT_PX * SMOOTH
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    ground = CAMERA.ground_from_pixel(np.stack([x, y], axis=-1).reshape(-1, 2) / SMOOTH)
    ground = ground.reshape(height, width, 2)
    far = np.clip(np.nan_to_num(ground[..., 1], nan=30.0) / 16, -0.2, 1)
    level = 158 - 34 * far
    image = np.stack([level * 0.98, level, level * 1.01], axis=-1).astype(np.uint8)
    canvas = Canvas(image)
    for at in np.arange(-14.0, 30.0, 2.0).tolist():  # joints of the concrete
        for a, b in (((at, -3.6), (at, 13.0)), ((-14, at), (28, at))):
            if b[1] <= 13.0 and a[1] >= -3.6:
                strip(canvas, a, b, 0.025, (128, 127, 124))
    canvas.polygon(
        np.array([[-16, 13, 0], [28, 13, 0], [28, 13, 7], [-16, 13, 7]]), (126, 116, 106)
    )
    canvas.polygon(
        np.array([[-16, 13, 0], [28, 13, 0], [28, 13, 0.9], [-16, 13, 0.9]]), (98, 88, 80)
    )
    for left in (-4.0, 2.2, 10.4):
        window = [[left, 13, 1.7], [left + 3, 13, 1.7], [left + 3, 13, 3.0], [left, 13, 3.0]]
        canvas.polygon(np.array(window, float), (196, 184, 168))
    for y_m in (0.3, 2.5):
        strip(canvas, (-14, y_m), (28, y_m), 0.1, (232, 232, 232))
    for ring in (PRESS_ZONE, BELT_ZONE):
        for a, b in zip(ring, [*ring[1:], ring[0]], strict=True):
            strip(canvas, a, b, 0.12, (60, 190, 235))
    return image


def strip(
    canvas: Canvas, a: Sequence[float], b: Sequence[float], wide: float, colour: Colour
) -> None:
    """A painted line on the floor."""
    start, end = np.array(a, float), np.array(b, float)
    along = (end - start) / np.linalg.norm(end - start)
    across = np.array([-along[1], along[0]]) * wide / 2
    ring = [start - across, end - across, end + across, start + across]
    canvas.polygon(np.column_stack([ring, np.zeros(4)]), colour)


# --- its camera and detector --------------------------------------------------------------------


class YardCamera:
    """Frames of the yard. It gives the same bytes each time."""

    stream = "hall"

    def __init__(self) -> None:
        self._hall = hall()

    def __iter__(self) -> Iterator[FrameItem]:
        delivery = Delivery(self.stream, "simulated")
        for index in range(round(SECONDS * RATE_HZ)):
            capture_ns = round(index * NS_PER_S / RATE_HZ)
            yield from delivery.frame(self.picture(index / RATE_HZ), capture_ns=capture_ns)

    def picture(self, at_s: float) -> npt.NDArray[np.uint8]:
        canvas = Canvas(self._hall.copy())
        for mover in MOVERS:
            radii = (0.32, 0.26) if mover.kind == "person" else (1.5, 0.75)
            canvas.shadow(mover.place(at_s), radii, mover.heading(at_s))
        for _, thing in things_at(at_s):
            if isinstance(thing, Mover):
                place, along = thing.place(at_s), thing.heading(at_s)
                canvas.person(place, along, at_s, thing.colour)
            else:
                assert isinstance(thing, list)
                for _, face, colour in sorted(thing, key=lambda f: -f[0]):
                    canvas.polygon(face, colour)
        size = (WIDTH_PX, HEIGHT_PX)
        small = cv2.resize(canvas.image, size, interpolation=cv2.INTER_AREA)
        return np.asarray(small, np.uint8)


class YardDetector:
    """Says where the things truly are, about a pixel off."""

    version = "yard-truth@1"

    def detect_batch(self, frames: Sequence[Frame]) -> list[Detections]:
        return [self._detect(frame) for frame in frames]

    def _detect(self, frame: Frame) -> Detections:
        at_s = frame.capture_ns / NS_PER_S
        noise = np.random.Generator(np.random.Philox(key=[7, frame.index]))
        boxes = [true_box(mover, at_s) for mover in MOVERS]
        return Detections.of(
            frame.stream,
            frame.capture_ns,
            box_px=np.array(boxes) + noise.normal(0.0, 0.8, (len(boxes), 4)),
            score=np.full(len(boxes), 0.9),
            class_id=[int(mover.kind == "forklift") for mover in MOVERS],
            class_names=("person", "forklift"),
        )


def true_box(mover: Mover, at_s: float) -> list[float]:
    """left, top, right, bottom in px."""
    xy, along = mover.place(at_s), mover.heading(at_s)
    if mover.kind == "person":
        x, y, z = np.meshgrid([-0.27, 0.27], [-0.05, 0.05], [0.0, 1.74])
        corners = np.append(xy, 0) + np.stack([x.ravel(), y.ravel(), z.ravel()], axis=1)
    else:
        corners = np.vstack([face for _, face, _ in forklift(xy, along)])
    pixels = CAMERA.pixel_from_world(corners)
    return [*pixels.min(axis=0).tolist(), *pixels.max(axis=0).tolist()]


def main(out: Path) -> None:
    """Run the yard in a temporary folder and draw it."""
    plan = make_plan(parse_pipeline(PIPELINE, where="yard"))
    camera = YardCamera()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run"
        looking = DetectorLooking(YardDetector())
        run_pipeline(
            plan,
            {"hall": camera},
            path,
            looking={
                ("hall_detect", "hall"): Lookers(primary=looking, fallback=None, budget_s=0.2)
            },
            options=RunOptions(durable=False),
        )
        run = RunDirectory.open(path)
        if out.suffix == ".mp4":
            render_video(run, out, sources={"hall": camera})
        else:
            render_still(run, out, at_s=STILL_S, sources={"hall": camera})


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("site.png"))
