"""Detections, tracks and their scores: what counts, how it is read, and what is left out said."""

from __future__ import annotations

import hashlib
import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmarks.cases.case import Case, Finished, case

_RIGHT_BOX_PX = (100.0, 200.0, 160.0, 350.0)
_SITE = """
use: site
pipeline: yard
latency_budget_s: 8
detectors:
  people: {{use: onnx, model: {model}, sha256: "{sha256}", budget_s: 6{more}}}
cameras:
  east:
    contract: {{width_px: 960, height_px: 540, rate_hz: 5, max_age_s: 0.5}}
    detector: people
zones:
  pit:
    camera: east
    polygon_px: [[50, 200], [400, 200], [400, 400], [50, 400]]
    is_forbidden: true
machines:
  saw: {{cameras: [east], zones: [pit], valid_s: 9}}
"""


def _library(c: Case, name: str) -> ModuleType:
    """One of the cases' own modules."""
    sys.path.insert(0, str(c.folder.parent / "lib"))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.pop(0)


def _red_video(c: Case) -> Path:
    """A red upright thing that moves to the right, 20 pictures at 5 a second."""
    import cv2  # noqa: PLC0415 - only here
    import numpy as np  # noqa: PLC0415

    path = c.folder / "red.avi"
    if not path.exists():
        code = cv2.VideoWriter.fourcc(*"FFV1")
        writer = cv2.VideoWriter(str(path), code, 5, (960, 540))
        for number in range(20):
            picture = np.full((540, 960, 3), 120, np.uint8)
            left = 100 + 8 * number
            picture[200:350, left : left + 60] = (10, 10, 250)
            writer.write(picture)
        writer.release()
    return path


def _models(c: Case) -> Path:
    folder = c.folder / "models"
    if not folder.exists():
        _library(c, "models").build(str(folder))
    return folder


def _seen_by(c: Case, model: Path, more: str = "") -> tuple[Finished, list[tuple[float, ...]]]:
    """A site's run with this model, and the boxes of its first picture."""
    name = f"{model.stem}_{hashlib.sha256(more.encode()).hexdigest()[:6]}"
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    file = c.folder / f"{name}.yaml"
    file.write_text(
        _SITE.format(model=model.relative_to(c.folder), sha256=digest, more=more), encoding="utf-8"
    )
    done = c.run("sightline", "run", file.name, "--source", f"east={_red_video(c)}",
                 "--out", f"run_{name}", "--json")  # fmt: skip
    if done.rc:
        return done, []
    return done, _first_boxes(c.folder / f"run_{name}")


def _first_boxes(folder: Path) -> list[tuple[float, ...]]:
    from sightline.recorder import read_entries  # noqa: PLC0415 - only where there is a run
    from sightline.records import Detections, EntryKind  # noqa: PLC0415
    from sightline.runtime import RunDirectory  # noqa: PLC0415
    from sightline.runtime.engine.guard import Outcome  # noqa: PLC0415

    run = RunDirectory.open(folder)
    for partition in run.partitions:
        for entry in read_entries(run.storage, partition, kinds=(EntryKind.OUTCOME,)):
            answer = Outcome.from_bytes(entry.payload).answer
            return [tuple(b) for b in answer.box_px] if isinstance(answer, Detections) else []
    return []


def _is_right(boxes: list[tuple[float, ...]]) -> bool:
    return len(boxes) == 1 and all(
        abs(a - b) <= 2 for a, b in zip(boxes[0], _RIGHT_BOX_PX, strict=True)
    )


@case("cameras/01-score-below-0.7-never-exists")
def weak_scores_count(c: Case) -> Iterator[str]:
    """A person of score 0.65 is tracked, and stops the machine."""
    rows = "".join(f"{i + 1},-1,{100 + 3 * i},200,30,90,0.65,-1,-1,-1\n" for i in range(100))
    (c.folder / "det.txt").write_text(rows)
    done = c.run("sightline", "track", "det.txt", "-o", "t.txt", "--fps", "15", "--json")
    if done.rc or json.loads(done.out)["tracks"] != 1:
        yield f"score 0.65: exit {done.rc}, {done.out[:80]}"
    nodes, constants = _weak_model(c, 0.65)
    model = _finished(c, "weak", nodes, constants)
    run, boxes = _seen_by(c, model, ", min_score: 0.25")
    if not _is_right(boxes):
        yield f"a site: exit {run.rc}, boxes {boxes}"
    elif "saw stop" not in json.loads(run.out)["commands"]:
        yield f"a person in the zone stops nothing: {json.loads(run.out)['commands']}"
    run, _ = _seen_by(c, model, ", min_score: 0.9")
    if run.rc or "BOX_BELOW_MIN_SCORE" not in run.out:
        yield "what is below min_score is not counted"


def _weak_model(c: Case, score: float) -> tuple[list[Any], list[Any]]:
    import numpy as np  # noqa: PLC0415 - only here
    from onnx import numpy_helper  # noqa: PLC0415

    nodes, constants = _library(c, "models").red_box_nodes()
    for constant in constants:
        if constant.name == "p9":
            constant.CopyFrom(numpy_helper.from_array(np.array(score, np.float32), "p9"))
    return nodes, constants


def _finished(c: Case, name: str, nodes: list[Any], constants: list[Any]) -> Path:
    from onnx import TensorProto, helper  # noqa: PLC0415 - only here

    models = _library(c, "models")
    columns = ["cx", "cy", "bw", "bh", "s", models.zeros(constants, "z", 79)]
    models.row(nodes, constants, columns, "r")
    models.pad_rows(nodes, constants, "r", "rows", 8400, 84)
    nodes.append(helper.make_node("Transpose", ["rows"], ["output0"], perm=[0, 2, 1]))
    path = c.folder / f"{name}.onnx"
    outputs = [("output0", TensorProto.FLOAT, [1, 84, 8400])]
    models.finish(str(path), nodes, constants, outputs, meta={"names": str(models.COCO80)})
    return path


@case("cameras/03-onnx-misread-silently")
def exports_are_read_right(c: Case) -> Iterator[str]:
    """Boxes where the thing is, or an error at load."""
    folder = _models(c)
    for name in ("v8", "rtdetr_ultralytics", "yolonas", "v8_obb", "v8_normalised"):
        done, boxes = _seen_by(c, folder / f"{name}.onnx")
        if not done.rc and not _is_right(boxes):
            yield f"{name}: accepted, and its boxes are {boxes}"


@case("cameras/04-fast-objects-never-tracked")
def fast_things_are_tracked(c: Case) -> Iterator[str]:
    """28 of 30 frames, one id, at any speed and rate, with metres and without."""
    (c.folder / "cam.yaml").write_text(
        "kind: homography\nimage_size_px: [1920, 1080]\npixel_origin: corner\n"
        "ground_from_pixel: [[0.03, 0, 0], [0, 0.03, 0], [0, 0, 1]]\n"
    )
    for rate_hz in (25, 10, 5):
        for speed_km_h in (20, 50, 130):
            step_px = speed_km_h / 3.6 / 0.03 / rate_hz
            rows = "".join(
                f"{i + 1},-1,{100 + step_px * i:.2f},200,150,50,0.9,-1,-1,-1\n" for i in range(30)
            )
            (c.folder / "car.txt").write_text(rows)
            for more in ((), ("--camera", "cam.yaml")):
                done = c.run("sightline", "track", "car.txt", "-o", "t.txt", "--fps", str(rate_hz),
                             "--json", *more)  # fmt: skip
                found = json.loads(done.out) if not done.rc else {}
                if (found.get("tracks"), found.get("track_rows")) != (1, 28):
                    yield f"{speed_km_h} km/h at {rate_hz} fps {more}: {done.text[:80]}"


@case("cameras/06-onnx-advice-is-refused")
def advice_can_be_followed(c: Case) -> Iterator[str]:
    """What an error asks for can be given."""
    folder = _models(c)
    for name, more in (
        ("v8_nonames", ", class_names: [person" + "".join(f", t{i}" for i in range(79)) + "]"),
        ("v8_dynamic", ", input_px: [640, 640]"),
        ("v8_dynamic", ""),
        ("v5_1class", ", layout: yolo_rows_objectness"),
        ("v5_1class", ", fit: letterbox, mean_rgb: [0, 0, 0], std_rgb: [1, 1, 1]"),
        ("v10_1class_nometa", ", layout: suppressed, max_overlap: 0.6"),
    ):
        done, boxes = _seen_by(c, folder / f"{name}.onnx", more)
        if not _is_right(boxes):
            yield f"{name}{more[:40]}: exit {done.rc}, {boxes}, {done.err[-160:]}"


@case("cameras/10-track-memory-by-frame-number")
def memory_goes_with_detections(c: Case) -> Iterator[str]:
    """Frame numbers that are times neither fill the memory nor pass unsaid."""
    rows = "".join(f"{1 + i * 1000},-1,{100 + i % 200},200,30,90,0.9\n" for i in range(3000))
    (c.folder / "ms.txt").write_text(rows)
    limited = "ulimit -v 4000000; exec sightline lab track ms.txt -o t.txt --fps 25"
    done = c.run("bash", "-c", limited)
    if done.rc or "is this a time?" not in done.text:
        yield f"exit {done.rc}: {done.text[-160:]}"


@case("cameras/11-tracebacks")
def mistakes_are_errors(c: Case) -> Iterator[str]:
    """An unknown camera and a width that is none are usage errors."""
    (c.folder / "gt.txt").write_text("1,1,100,200,30,90,1,-1,-1,-1\n")
    run, _ = _seen_by(c, _finished(c, "any", *_weak_model(c, 0.9)))
    folder = next(p.name for p in c.folder.glob("run_any*"))
    for options in (("--camera", "west", "--truth-width", "640"),
                    ("--camera", "east", "--truth-width", "-5")):  # fmt: skip
        done = c.run("sightline", "evaluate", "site", folder, "--truth", "gt.txt", *options)
        if done.rc != 2 or done.is_defect:
            yield f"{options}: exit {done.rc}, {done.err[-120:]}"
    if run.is_defect:
        yield f"the run ends with {run.rc}"


@case("cameras/14-evaluate-drops-truth-by-class")
def truth_left_out_is_said(c: Case) -> Iterator[str]:
    """Boxes of truth that the benchmark does not score are counted aloud."""
    for name, classes in (("two", (1, 2)), ("three", (3, 3))):
        rows = [
            (f, i, 100 + 5 * f if i == 1 else 400 - 4 * f) for f in range(1, 21) for i in (1, 2)
        ]
        (c.folder / "tr.txt").write_text(
            "".join(f"{f},{i},{x},200,30,90,1,-1,-1,-1\n" for f, i, x in rows)
        )
        (c.folder / f"{name}.txt").write_text(
            "".join(f"{f},{i},{x},200,30,90,1,{classes[i - 1]},1.0\n" for f, i, x in rows)
        )
        done = c.run("sightline", "evaluate", "mot", "--truth", f"{name}.txt", "--tracks", "tr.txt")
        left = 20 if name == "two" else 40
        if f"{left} of 40 boxes of truth" not in done.out:
            yield f"{name}: {done.out[-120:]}"
