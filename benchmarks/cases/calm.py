"""False calm: a machine that is told to work on while somebody stands where nobody may be."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import cv2

from benchmarks.cases.case import Case, case
from sightline.recorder import read_entries
from sightline.records import EntryKind
from sightline.records.command import ActuatorCommand, CommandLevel
from sightline.records.signals import NS_PER_S
from sightline.runtime import RunDirectory

WIDTH_PX, HEIGHT_PX, RATE_HZ = 640, 360, 10
PIT_PX = 250, 400
STANDS = (320, 300, 90, (35, 30, 120), 0.6)
"""Place, height, colour and step of somebody who stands in the pit, as the painter wants them."""

Person = Callable[[float], Any]


@case("cameras/02-motion-blind-and-calm")
def motion_blind_and_calm(c: Case) -> Iterator[str]:
    """No machine is told NONE while somebody stands in the pit, and one may work before and after
    if somebody has said that the view is empty at the start.
    """
    scenes: dict[str, tuple[Person, float, float]] = {
        "enter_light": (_enters_with_the_light, 70.0, 15.0),
        "stand": (_stands_for_200_s, 220.0, -1.0),
        "first": (_there_from_the_first_frame, 40.0, -1.0),
    }
    for name, (person, seconds, light_s) in scenes.items():
        _film(c, name, person, seconds=seconds, light_s=light_s)
        for starts_empty in (False, True) if name != "first" else (False,):
            told = _told(c, name, starts_empty=starts_empty)
            frames = [n / RATE_HZ for n in range(round(seconds * RATE_HZ))]
            taken = [t for t in frames if (at := person(t)) and PIT_PX[0] < at[0] < PIT_PX[1]]
            calm_s = sum(_level(told, t) is CommandLevel.NONE for t in taken) / RATE_HZ
            if calm_s > 1.0:
                yield f"{name} ({starts_empty}): {calm_s:.1f} s at NONE with somebody there"
            free = [t for t in frames if t < taken[0] - 1 or t > taken[-1] + 5]
            works = [t for t in free if _level(told, t) is CommandLevel.NONE]
            if starts_empty and len(works) < len(free) / 2:
                yield f"{name}: it hardly ever works while nobody is there"


def _enters_with_the_light(t: float) -> Any:
    if 15 <= t < 16.6:
        return (-20 + 340 * (t - 15) / 1.6, 300, 90, (35, 30, 120), t * 8)
    if 16.6 <= t < 60:
        return STANDS
    return (320 + 340 * (t - 60) / 4, 300, 90, (35, 30, 120), t * 8) if 60 <= t < 64 else None


def _stands_for_200_s(t: float) -> Any:
    if 3 <= t < 6:
        return (-20 + 340 * (t - 3) / 3, 300, 90)
    if 6 <= t < 206:
        return STANDS
    return (320 + 340 * (t - 206) / 4, 300, 90) if 206 <= t < 210 else None


def _there_from_the_first_frame(t: float) -> Any:
    if t < 25:
        return STANDS
    return (320 + 340 * (t - 25) / 4, 300, 90) if t < 29 else None


def _film(c: Case, name: str, person: Person, *, seconds: float, light_s: float) -> None:
    painter = _painter(c)

    def light(image: Any, t: float, index: int) -> Any:
        del index
        return (image * (0.4 if t < light_s else 1.0)).astype("uint8")

    coder = cv2.VideoWriter.fourcc(*"MJPG")
    writer = cv2.VideoWriter(str(c.folder / f"{name}.avi"), coder, RATE_HZ, (WIDTH_PX, HEIGHT_PX))
    count = round(seconds * RATE_HZ)
    for image in painter.frames(count, WIDTH_PX, HEIGHT_PX, RATE_HZ, [person], seed=3, fx=light):
        writer.write(image)
    writer.release()


def _painter(c: Case) -> ModuleType:
    sys.path.insert(0, str(c.folder.parent / "lib"))
    try:
        return importlib.import_module("scene")
    finally:
        sys.path.pop(0)


def _told(c: Case, name: str, *, starts_empty: bool) -> list[ActuatorCommand]:
    """What the machine is told in a run, in order."""
    left, right = PIT_PX
    word = "true" if starts_empty else "false"
    (c.folder / "site.yaml").write_text(
        f"""use: site
pipeline: yard
latency_budget_s: 6
detectors: {{motion: {{use: motion, budget_s: 5, person_px: [85, 95]}}}}
cameras:
  east:
    contract: {{width_px: {WIDTH_PX}, height_px: {HEIGHT_PX}, rate_hz: {RATE_HZ}, max_age_s: 0.5}}
    detector: motion
    starts_empty: {word}
zones:
  pit:
    camera: east
    polygon_px: [[{left}, 144], [{right}, 144], [{right}, 352], [{left}, 352]]
    is_forbidden: true
machines: {{saw: {{cameras: [east], zones: [pit], valid_s: 8}}}}
""",
        encoding="utf-8",
    )
    out = c.folder / f"{name}_{word}"
    # A film of some minutes takes a busy machine as long as it lasts.
    source = f"east={name}.avi"
    c.run("sightline", "run", "site.yaml", "--source", source, "--out", out, timeout_s=400.0)
    storage = RunDirectory.open(out).storage
    entries = read_entries(storage, "p000", kinds={EntryKind.COMMAND})
    return [ActuatorCommand.from_bytes(entry.payload) for entry in entries]


def _level(told: list[ActuatorCommand], at_s: float) -> CommandLevel:
    at_ns = round(at_s * NS_PER_S)
    before = [one for one in told if one.issued_ns <= at_ns < one.valid_until_ns]
    return before[-1].level if before else CommandLevel.STOP
