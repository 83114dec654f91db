"""``sightline init gateway|site``: an application and made-up input for it, to run at once.

For whoever has no file at hand yet: what is written is what one would write of one's own, and the
input has something in it to be told of.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from sightline.apps.gateway import PIPELINE, simulate, watched_scene, write_frames
from sightline.cli.init_camera import DESK
from sightline.errors import UsageError
from sightline.runtime import load_plan

APPLICATIONS = ("gateway", "site")
_SATELLITES, _MINUTES, _SEED = 6, 20, 7
_WIDTH_PX, _HEIGHT_PX, _RATE_HZ, _SECONDS = 480, 360, 15, 10
_ENTERS_S = 3.0
"""When somebody comes into view."""
_STEP_PX = 4.0
"""How far they walk from one picture to the next."""
_STANDS_AT_PX = 250
_PERSON_PX = 90

_SITE = f"""\
# One camera over a yard, a pit that nobody may enter, and a press that stops while somebody is in
# it. `sightline check site.yaml --expanded` shows the stages that it comes to.
use: site
pipeline: site
# From taking a picture to the command being on its way; what takes longer is logged and counted.
latency_budget_s: 0.5
detectors:
  # What moves, and is as tall as a person is at the top and at the bottom of the picture.
  motion: {{use: motion, person_px: [{_PERSON_PX - 20}, {_PERSON_PX + 20}]}}
cameras:
  east:
    contract: {{width_px: {_WIDTH_PX}, height_px: {_HEIGHT_PX}, rate_hz: {_RATE_HZ}, max_age_s: 1}}
    detector: motion
    starts_empty: true  # somebody has looked: nobody is in view when it begins
zones:
  # corners as x, y in px from the top left; site.png shows it
  pit:
    camera: east
    polygon_px: [[190, 180], [330, 180], [330, 350], [190, 350]]
    is_forbidden: true
machines:
  press: {{cameras: [east], zones: [pit]}}  # without sight of the camera it stops, too
"""


def write_application(name: str, out: Path) -> Iterator[str]:
    """Write the files of an application into a folder; what to say of them.

    Raises:
        UsageError: the folder has such files.
    """
    files = [out / f"{name}.yaml", out / "input"]
    for path in files:
        if path.exists():
            raise UsageError(
                expected="a folder without files of these names",
                got=str(path),
                where="--out",
                action="choose another folder",
            )
    (out / "input").mkdir(parents=True)
    lines = _write_gateway(out) if name == "gateway" else _write_site(out)
    load_plan(out / f"{name}.yaml")
    return iter(lines)


def _write_gateway(out: Path) -> list[str]:
    plan = load_plan(PIPELINE)
    text = PIPELINE.read_text(encoding="utf-8")
    if plan.pipeline.alerting is None:
        text += "\n".join(DESK) + "\n"
    (out / "gateway.yaml").write_text(text, encoding="utf-8")
    for source in plan.pipeline.tables.values():
        contract = PIPELINE.with_name(source.contract).read_text(encoding="utf-8")
        (out / source.contract).write_text(contract, encoding="utf-8")
    scene = watched_scene(seed=_SEED, n_satellites=_SATELLITES, duration_s=_MINUTES * 60.0)
    frames = simulate(scene)
    write_frames(frames, out / "input")
    contacts = {
        "control": "contacts",
        "source": "telemetry",
        "contacts": frames.contacts.to_dicts(),
    }
    (out / "contacts.jsonl").write_text(json.dumps(contacts) + "\n", encoding="utf-8")
    files = {name: out / "input" / f"{name}.parquet" for name in plan.contracts}
    # Twenty minutes hold no commands: that source may be left out.
    given = [("--source", f"{name}={file}") for name, file in files.items() if file.exists()]
    given.append(("--control", str(out / "contacts.jsonl")))
    return [
        f"made up   {_MINUTES} minutes of {_SATELLITES} satellites and their ground stations, with "
        "faults (input/faults.csv)",
        "contacts  contacts.jsonl says when no contact is planned: that is no alarm",
        "",
        f"wrote     {out / 'gateway.yaml'}, with a contract of each of its sources",
        _next(out / "gateway.yaml", given),
    ]


def _write_site(out: Path) -> list[str]:
    text = _SITE + "\n".join(DESK) + "\n"
    (out / "site.yaml").write_text(text, encoding="utf-8")
    code = cv2.VideoWriter.fourcc(*"mp4v")
    video = out / "input" / "yard.mp4"
    writer = cv2.VideoWriter(str(video), code, _RATE_HZ, (_WIDTH_PX, _HEIGHT_PX))
    for number in range(_SECONDS * _RATE_HZ):
        writer.write(_yard(number))
    writer.release()
    last = _yard(_SECONDS * _RATE_HZ - 1)
    corners = np.array([[190, 180], [330, 180], [330, 350], [190, 350]], np.int32)
    cv2.polylines(last, [corners.reshape(-1, 1, 2)], True, (0, 140, 255), 2)
    cv2.imwrite(str(out / "site.png"), last)
    given = [
        ("--source", f"east={video}"),
        ("--actuator", f"press=jsonl:{out / 'commands.jsonl'}"),
    ]
    return [
        f"made up   {_SECONDS} s of a yard; from {_ENTERS_S:g} s on somebody walks into the pit",
        "commands  of the press go to commands.jsonl: none, warn, slow, stop",
        "",
        f"wrote     {out / 'site.yaml'}",
        f"wrote     {out / 'site.png'}",
        _next(out / "site.yaml", given),
    ]


def _yard(number: int) -> npt.NDArray[np.uint8]:
    """One picture: uneven ground, camera noise, and who has come so far; blue, green, red."""
    chance = np.random.default_rng([1, number])
    grey = np.random.default_rng(1).integers(105, 165, (36, 48, 1)).astype(np.uint8)
    picture = np.asarray(cv2.resize(grey.repeat(3, 2), (_WIDTH_PX, _HEIGHT_PX)), np.int16)
    walked_px = (number - _ENTERS_S * _RATE_HZ) * _STEP_PX
    if walked_px >= 0:
        middle = (int(min(walked_px, _STANDS_AT_PX)), 280)
        body, head = (_PERSON_PX // 7, _PERSON_PX // 2 - 8), (middle[0], middle[1] - 44)
        drawn = picture.astype(np.uint8)
        cv2.ellipse(drawn, middle, body, 0, 0, 360, (60, 40, 20), -1)
        cv2.circle(drawn, head, 9, (90, 110, 150), -1)
        picture = drawn.astype(np.int16)
    noisy = picture + chance.integers(-3, 4, picture.shape, dtype=np.int16)
    return np.asarray(np.clip(noisy, 0, 255), np.uint8)


def _next(pipeline: Path, given: list[tuple[str, str]]) -> str:
    words = [word for pair in given for word in pair]
    typed = ["sightline", "run", str(pipeline), *words, "--out", "RUN"]
    return "next      " + " ".join(shlex.quote(word) for word in typed)
