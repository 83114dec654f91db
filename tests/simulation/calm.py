"""Scenes in which it is hard to tell whether somebody is in a pit, and a judge who knows.

Each seed draws one scene: who stands where and when, what the light and the camera do, who looks.
The judge compares what the machine was told with where the people truly were.
"""

from dataclasses import dataclass, field

import numpy as np

from sightline.recorder import read_entries
from sightline.records import Detections, EntryKind
from sightline.records.command import ActuatorCommand, CommandLevel
from sightline.records.signals import NS_PER_S
from sightline.runtime import RunDirectory
from sightline.runtime.detector import MotionDetector, RowPersonSize
from sightline.runtime.engine.guarding import Lookers
from sightline.sense.frames import SimulatedCamera
from simulation.site_cases import by_camera, plan_of, run_yard

WIDTH_PX, HEIGHT_PX, RATE_HZ, TALL_PX = 160, 120, 4.0, 36.0
LEFT_PX, RIGHT_PX = 60.0, 110.0
"""The pit reaches from the one to the other, over the whole height."""
MAX_AGE_S, BUDGET_S, HOLD_S = 1.0, 1.0, 1.0
FOOT_Y_PX = 90.0
WALK_PX_S = 16.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody who is at places (x in px) at ascending times (s), on straight ways between."""

    at_s: tuple[float, ...]
    x_px: tuple[float, ...]
    y_px: float = FOOT_Y_PX
    grey: int = 30

    def x_at(self, at_s):
        """Where the feet are; None while nobody is there."""
        if not self.at_s[0] <= at_s <= self.at_s[-1]:
            return None
        return float(np.interp(at_s, self.at_s, self.x_px))


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What a camera sees.

    Attributes:
        kind: of the scene.
        seed: of ground and noise.
        seconds: how long it lasts.
        people: who is there.
        light: (s, gain), linear in between.
        lamp: (from_s, until_s, gain) of a lamp that lights the right half.
        pillar_px: left and right of something that hides whoever is behind it.
        blind: (from_s, until_s, how): black, clipped, frozen or bumped.
        part: (from_s, until_s, how, (left, top, right, bottom) in shares of the picture): only
            that part of it stands still (frozen), or is flat and as dark as a shadow (covered).
        starts_empty: what the user says.
        restarts_s: when the detector begins anew.
        lost_frames: share of frames that do not come.
        told: None: motion looks; else somebody who is told the truth, with this score, and ...
        gaps: ... misses this share of it.
        breaks_s: from and until when nobody answers.
    """

    kind: str
    seed: int
    seconds: float
    people: tuple[Person, ...]
    light: tuple[tuple[float, float], ...] = ((0.0, 1.0),)
    lamp: tuple[float, float, float] | None = None
    pillar_px: tuple[float, float] | None = None
    blind: tuple[float, float, str] | None = None
    part: tuple[float, float, str, tuple[float, float, float, float]] | None = None
    starts_empty: bool = True
    restarts_s: float = np.inf
    lost_frames: float = 0.0
    told: float | None = None
    gaps: float = 0.0
    breaks_s: tuple[float, float] = (np.inf, np.inf)
    ground: np.ndarray = field(init=False, repr=False, compare=False)

    def __post_init__(self):
        rng = np.random.default_rng(self.seed)
        patches = rng.normal(0, 14, (HEIGHT_PX // 4, WIDTH_PX // 4))
        fine = rng.normal(0, 8, (HEIGHT_PX, WIDTH_PX))
        ground = 110 + np.kron(patches, np.ones((4, 4))) + fine
        object.__setattr__(self, "ground", np.repeat(ground[:, :, None], 3, axis=2))

    def is_taken(self, at_s):
        """Whether somebody is truly in the pit."""
        at = [p.x_at(at_s) for p in self.people]
        return any(x is not None and LEFT_PX <= x <= RIGHT_PX for x in at)

    def render(self, at_ns):
        at_s = at_ns / NS_PER_S
        if self.blind is not None and self.blind[0] <= at_s < self.blind[1]:
            return self._blind(at_s)
        picture = self._seen(at_s)
        if self.part is not None and self.part[0] <= at_s < self.part[1]:
            self._spoil(picture, at_s)
        return picture

    def _spoil(self, picture, at_s):
        """Let a part of the picture show nothing of what is there."""
        from_s, _, how, (left, top, right, bottom) = self.part
        rows = slice(round(top * HEIGHT_PX), round(bottom * HEIGHT_PX))
        columns = slice(round(left * WIDTH_PX), round(right * WIDTH_PX))
        if how == "frozen":
            spoilt = self._seen(from_s)
        else:
            times, gains = zip(*self.light, strict=True)
            dark = 0.65 * np.interp(at_s, times, gains) * self.ground[rows, columns].mean()
            spoilt = self._noisy(np.full_like(self.ground, dark), at_s)
        picture[rows, columns] = spoilt[rows, columns]

    def _blind(self, at_s):
        match self.blind[2]:
            case "black":
                return self._noisy(np.full_like(self.ground, 4), at_s)
            case "clipped":
                return np.full(self.ground.shape, 255, np.uint8)
            case "frozen":
                return self._seen(self.blind[0])
            case _:
                return np.roll(self._seen(at_s), (4, 9), axis=(0, 1))

    def _seen(self, at_s):
        picture = self.ground.copy()
        for person in self.people:
            x = person.x_at(at_s)
            if x is not None:
                _draw(picture, x, person)
        if self.pillar_px is not None:
            left, right = (round(x) for x in self.pillar_px)
            picture[:, left:right] = 150 + (self.ground[:, left:right] - 110) * 0.4
        times, gains = zip(*self.light, strict=True)
        picture *= np.interp(at_s, times, gains)
        if self.lamp is not None and self.lamp[0] <= at_s < self.lamp[1]:
            picture[:, WIDTH_PX // 2 :] *= self.lamp[2]
        return self._noisy(picture, at_s)

    def _noisy(self, picture, at_s):
        rng = np.random.default_rng([self.seed, round(at_s * 1000)])
        noisy = picture + rng.normal(0, 1.5, picture.shape[:2])[:, :, None]
        return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def _draw(picture, x, person):
    """Head, body and legs, each of another brightness, with some folds in the clothes."""
    top, wide = person.y_px - TALL_PX, TALL_PX * 0.3
    folds = np.random.default_rng(person.grey).normal(0, 6, (round(TALL_PX), WIDTH_PX, 3))
    parts = ((0.0, 0.18, 0.4, 90), (0.18, 0.55, 1.0, 0), (0.55, 1.0, 0.7, -15))
    for upper, lower, share, lighter in parts:
        rows = slice(round(top + upper * TALL_PX), round(top + lower * TALL_PX))
        half = wide * share / 2
        columns = slice(max(round(x - half), 0), max(round(x + half), 0))
        part = picture[rows, columns]
        colour = np.array([person.grey, person.grey, person.grey + 25.0]) + lighter
        part[:] = colour + folds[: part.shape[0], : part.shape[1]]


# --- scenes ---------------------------------------------------------------------------------------


def visit(rng, *, start_s, stay_s, x_px=None, **rest):
    """Walks in from the left, stands in the pit, and walks out to the right."""
    x = float(rng.uniform(LEFT_PX + 6, RIGHT_PX - 6)) if x_px is None else x_px
    inside_s = start_s + (x + 10) / WALK_PX_S
    out_s = inside_s + stay_s
    return Person(
        at_s=(start_s, inside_s, out_s, out_s + (WIDTH_PX + 10 - x) / WALK_PX_S),
        x_px=(-10.0, x, x, WIDTH_PX + 10.0),
        grey=int(rng.integers(15, 50)),
        **rest,
    )


def _light(rng):
    person = visit(rng, start_s=8.0, stay_s=float(rng.uniform(8, 30)))
    low = float(rng.uniform(0.05, 0.6))
    on_s = float(rng.uniform(6.0, 14.0))
    kind = rng.integers(4)
    if kind == 0:  # it comes on
        light = ((0.0, low), (on_s, low), (on_s + 0.1, 1.0))
    elif kind == 1:  # it goes
        light = ((0.0, 1.0), (on_s, 1.0), (on_s + 0.1, low))
    elif kind == 2:  # slowly
        light = ((0.0, 1.0), (on_s, 1.0), (on_s + 20.0, low))
    else:  # it flickers
        steps = np.arange(6.0, 40.0, 1.5)
        light = tuple((float(s), 1.0 if i % 2 else low) for i, s in enumerate(steps))
    return {"people": (person,), "light": light, "seconds": person.at_s[-1] + 5}


def _lamp(rng):
    person = visit(rng, start_s=8.0, stay_s=12.0)
    lamp = (float(rng.uniform(5, 12)), float(rng.uniform(14, 40)), float(rng.uniform(1.2, 1.9)))
    return {"people": (person,), "lamp": lamp, "seconds": person.at_s[-1] + 5}


def _standing(rng):
    person = visit(rng, start_s=5.0, stay_s=float(rng.uniform(30, 240)))
    return {"people": (person,), "seconds": person.at_s[-1] + 6}


def _first(rng):
    x = float(rng.uniform(LEFT_PX + 6, RIGHT_PX - 6))
    until_s = float(rng.uniform(5, 40))
    out_s = until_s + (WIDTH_PX + 10 - x) / WALK_PX_S
    person = Person(at_s=(0.0, until_s, out_s), x_px=(x, x, WIDTH_PX + 10.0))
    return {"people": (person,), "starts_empty": False, "seconds": out_s + 6}


def _occlusion(rng):
    left = float(rng.uniform(LEFT_PX + 4, RIGHT_PX - 22))
    x = left + 9
    person = visit(rng, start_s=5.0, stay_s=float(rng.uniform(5, 90)), x_px=x)
    return {"people": (person,), "pillar_px": (left, left + 18), "seconds": person.at_s[-1] + 6}


def _group(rng):
    stays_s = rng.uniform(10, 60, 3)
    people = tuple(
        visit(rng, start_s=4.0 + 5 * i, stay_s=float(s), x_px=LEFT_PX + 8 + 16 * i)
        for i, s in enumerate(stays_s[: int(rng.integers(2, 4))])
    )
    return {"people": people, "seconds": max(p.at_s[-1] for p in people) + 6}


def _blind(rng):
    person = visit(rng, start_s=8.0, stay_s=float(rng.uniform(5, 25)))
    start_s = float(rng.uniform(5, 14))
    how = str(rng.choice(["black", "clipped", "frozen", "bumped"]))
    blind = (start_s, start_s + float(rng.uniform(0.5, 20)), how)
    return {"people": (person,), "blind": blind, "seconds": person.at_s[-1] + 8}


def _part(rng):
    """Something is wrong with the part of the picture in which the pit lies, or with a half."""
    person = visit(rng, start_s=float(rng.uniform(6, 20)), stay_s=float(rng.uniform(5, 40)))
    start_s = float(rng.uniform(6, 16))
    how = str(rng.choice(["frozen", "covered"]))
    low, high = sorted(rng.uniform(0.0, 1.0, 2))
    where = [(0, 0.5, 1, 1), (0.3, 0, 0.77, 1), (0.3, 0.1 + 0.3 * low, 0.8, 0.7 + 0.3 * high)]
    box = where[int(rng.integers(len(where)))]
    part = (start_s, start_s + float(rng.uniform(5, 60)), how, tuple(map(float, box)))
    return {"people": (person,), "part": part, "seconds": person.at_s[-1] + 6}


def _restart(rng):
    person = visit(rng, start_s=5.0, stay_s=float(rng.uniform(20, 60)))
    restarts_s = float(rng.uniform(4, person.at_s[-1]))
    return {"people": (person,), "restarts_s": restarts_s, "seconds": person.at_s[-1] + 6}


def _drops(rng):
    person = visit(rng, start_s=5.0, stay_s=float(rng.uniform(5, 40)))
    lost = float(rng.uniform(0.1, 0.6))
    return {"people": (person,), "lost_frames": lost, "seconds": person.at_s[-1] + 6}


def _weak(rng):
    person = visit(rng, start_s=5.0, stay_s=float(rng.uniform(5, 40)))
    told = {"told": float(rng.uniform(0.3, 0.95)), "gaps": float(rng.uniform(0.0, 0.3))}
    return {"people": (person,), **told, "seconds": person.at_s[-1] + 6}


def _silent(rng):
    person = visit(rng, start_s=5.0, stay_s=float(rng.uniform(5, 40)))
    start_s = float(rng.uniform(3, 20))
    breaks_s = (start_s, start_s + float(rng.uniform(0.5, 20)))
    told = {"told": 0.9, "breaks_s": breaks_s}
    return {"people": (person,), **told, "seconds": person.at_s[-1] + 6}


def _fast(rng):
    start_s, speed_px_s = float(rng.uniform(5, 8)), float(rng.uniform(100, 180))
    person = Person(
        at_s=(start_s, start_s + 2.0, start_s + 2.0 + (WIDTH_PX - 10) / speed_px_s, start_s + 8),
        x_px=(6.0, 8.0, WIDTH_PX - 2.0, WIDTH_PX - 1.0),
    )
    return {"people": (person,), "told": 0.9, "seconds": start_s + 12}


KINDS = {
    "light": _light,
    "lamp": _lamp,
    "standing": _standing,
    "first frame": _first,
    "occlusion": _occlusion,
    "group": _group,
    "blind": _blind,
    "restart": _restart,
    "lost frames": _drops,
    "weak scores": _weak,
    "silent detector": _silent,
    "fast": _fast,
    "part": _part,
}


def draw_scene(seed, kind=None):
    """The scene of a seed; the kinds take turns, unless one is given."""
    kind = kind or list(KINDS)[seed % len(KINDS)]
    return Scene(kind=kind, seed=seed, **KINDS[kind](np.random.default_rng([seed, 5])))


# --- a run, and the judge -------------------------------------------------------------------------


def scene_plan(scene):
    """A site with a pit and a saw."""
    contract = {"width_px": WIDTH_PX, "height_px": HEIGHT_PX, "rate_hz": RATE_HZ}
    pit = [[LEFT_PX, 0], [RIGHT_PX, 0], [RIGHT_PX, HEIGHT_PX], [LEFT_PX, HEIGHT_PX]]
    return plan_of(
        {
            "use": "site",
            "pipeline": "calm",
            "latency_budget_s": BUDGET_S,
            "detectors": {"motion": {"use": "motion", "person_px": [TALL_PX, TALL_PX],
                                     "budget_s": 0.5}},
            "cameras": {
                "east": {
                    "contract": {**contract, "max_age_s": MAX_AGE_S},
                    "detector": "motion",
                    "starts_empty": scene.starts_empty,
                }
            },
            "zones": {"pit": {"camera": "east", "polygon_px": pit, "is_forbidden": True}},
            "machines": {"saw": {"cameras": ["east"], "zones": ["pit"], "max_age_s": MAX_AGE_S,
                                 "hold_s": HOLD_S, "valid_s": 3.0}},
        }
    )  # fmt: skip


class Watcher:
    """Who looks at the pictures of a scene."""

    version = "watcher@1"
    class_names = ("person",)

    def __init__(self, scene):
        self._scene = scene
        self._random = np.random.default_rng([scene.seed, 9])
        self._motion = self._new()
        self._has_restarted = False

    def _new(self):
        size = RowPersonSize(at_top_px=TALL_PX, at_bottom_px=TALL_PX)
        return MotionDetector(size=size, starts_empty=self._scene.starts_empty)

    def look(self, frames):
        return [self._look(frame) for frame in frames]

    def _look(self, frame):
        at_s = frame.capture_ns / NS_PER_S
        start_s, end_s = self._scene.breaks_s
        if start_s <= at_s < end_s:
            raise RuntimeError("gone")
        if self._scene.told is not None:
            return self._told(frame, at_s)
        if at_s >= self._scene.restarts_s and not self._has_restarted:
            self._motion, self._has_restarted = self._new(), True
        return self._motion.detect(frame)

    def _told(self, frame, at_s):
        boxes = [
            [x - 6, p.y_px - TALL_PX, x + 6, p.y_px]
            for p in self._scene.people
            if (x := p.x_at(at_s)) is not None and self._random.random() >= self._scene.gaps
        ]
        box_px = np.array(boxes, float).reshape(-1, 4)
        score = np.full(len(box_px), self._scene.told)
        return Detections.of(frame.stream, frame.capture_ns, box_px=box_px, score=score)


class DroppingCamera(SimulatedCamera):
    """Frames of a scene, of which some do not come."""

    def __iter__(self):
        random = np.random.default_rng([self.scene.seed, 7])
        for item in super().__iter__():
            if random.random() >= self.scene.lost_frames:
                yield item


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the judge found.

    Attributes:
        kind: of the scene.
        seed: of it.
        calm_s: longest time at NONE with somebody in the pit, in sight of no sign.
        needless_s: time at STOP though nobody is in the pit.
        empty_s: time in which nobody is.
        seconds: of the scene.
        needless_by_s: the needless time by the first reason of the command then in force.
        slow_s: time at SLOW though nobody is in the pit.
    """

    kind: str
    seed: int
    calm_s: float
    needless_s: float
    empty_s: float
    seconds: float
    needless_by_s: dict[str, float] = field(default_factory=dict)
    slow_s: float = 0.0

    @property
    def is_false_calm(self):
        return self.calm_s > MAX_AGE_S + BUDGET_S


def run_scene(scene, out):
    """Run a scene."""
    plan = scene_plan(scene)
    frames = round(scene.seconds * RATE_HZ)
    camera = DroppingCamera("east", scene, rate_hz=RATE_HZ, frames=frames)
    looking = by_camera(east=Lookers(primary=Watcher(scene), fallback=None, budget_s=60.0))
    run_yard(plan, out, camera, looking=looking)


def judge(scene, out):
    """Compare what the machine was told with where the people truly were."""
    run = RunDirectory.open(out)
    commands = [
        ActuatorCommand.from_bytes(entry.payload)
        for entry in read_entries(run.storage, "p000", kinds={EntryKind.COMMAND})
    ]
    signs = [d for d in run.decisions() if d.kind.startswith(("camera_", "detector_"))]
    step_s, calm_s, longest_s, needless_s, slow_s, empty_s = 0.05, 0.0, 0.0, 0.0, 0.0, 0.0
    by_s = {}
    for at_s in np.arange(0.0, scene.seconds, step_s):
        at_ns = round(at_s * NS_PER_S)
        before = [c for c in commands if c.issued_ns <= at_ns]
        is_valid = bool(before) and at_ns < before[-1].valid_until_ns
        level = before[-1].level if is_valid else CommandLevel.STOP
        standing = {}
        for sign in signs:
            if sign.event_ns <= at_ns:
                standing[sign.kind, sign.subject] = str(sign.transition) == "raised"
        is_taken = scene.is_taken(at_s)
        is_calm = level is CommandLevel.NONE and not any(standing.values())
        calm_s = calm_s + step_s if is_taken and is_calm else 0.0
        longest_s = max(longest_s, calm_s)
        empty_s += 0.0 if is_taken else step_s
        if level is CommandLevel.SLOW and not is_taken:
            slow_s += step_s
        if level is CommandLevel.STOP and not is_taken:
            needless_s += step_s
            why = before[-1].reasons[0].code if is_valid else "NO_COMMAND"
            by_s[why] = by_s.get(why, 0.0) + step_s
    return Verdict(
        kind=scene.kind,
        seed=scene.seed,
        calm_s=round(longest_s, 2),
        needless_s=needless_s,
        empty_s=empty_s,
        seconds=scene.seconds,
        needless_by_s={why: round(s, 2) for why, s in by_s.items()},
        slow_s=slow_s,
    )


def shares(verdicts):
    """Lines: by kind, scenes, false calm, and the shares of the empty time at STOP and at SLOW."""
    for kind in [*KINDS, "all"]:
        of = [v for v in verdicts if kind in (v.kind, "all")]
        if of:
            empty_s = sum(v.empty_s for v in of)
            needless = sum(v.needless_s for v in of) / empty_s if empty_s else 0.0
            slow = sum(v.slow_s for v in of) / empty_s if empty_s else 0.0
            wrong = [v.seed for v in of if v.is_false_calm]
            yield (
                f"{kind:16} {len(of):5} scenes  false calm {len(wrong):4}  "
                f"needless STOP {needless:6.1%}, SLOW {slow:5.2%} "
                "of the time with nobody in the pit"
            )
    empty_s = sum(v.empty_s for v in verdicts)
    by_s = {}
    for why, seconds in (item for v in verdicts for item in v.needless_by_s.items()):
        by_s[why] = by_s.get(why, 0.0) + seconds
    for why, seconds in sorted(by_s.items(), key=lambda item: -item[1]):
        yield f"  of it {why:18} {seconds / empty_s:6.1%}"
