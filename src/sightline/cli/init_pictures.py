"""What ``sightline init`` writes of a folder of pictures of parts: a line on which each is a part.

There is no belt and no light barrier where pictures lie in a folder. A list takes their place, in
which a part comes each second and its picture half a second later; with it all that a line has is
there: records of parts, reviews, explanations, replay.
"""

from __future__ import annotations

import csv
import io
import json
import os
import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from sightline.errors import UsageError
from sightline.models import ModelArtefact
from sightline.perceive.inspection.inspector_model import load_inspector
from sightline.records.frames import Image
from sightline.runtime import load_plan
from sightline.sense.files import TABLES
from sightline.sense.frames.image_files import IMAGE_SUFFIXES, ImageDirectory, RateTimes
from sightline.sense.frames.part_pictures import Refused, read_picture

_START_S = 1_767_225_600
_START = "2026-01-01T00:00:00Z"
_LOOKED_AT = 50
"""Pictures, evenly among all, of which the size is looked at."""


def is_of_pictures(folder: Path) -> bool:
    """Whether a folder holds pictures, itself or in folders of classes, and no tables."""
    if not folder.is_dir():
        return False
    names = [one.name.lower() for one in folder.iterdir()]
    if any(name.endswith(TABLES) for name in names):
        return False
    classes = _folders(folder)
    inner = [one for name in classes for one in _folders(name)]  # train/good, test/CLASS
    return any(_pictures_in(one) for one in (folder, *classes, *inner))


def write_parts(folder: Path, out: Path, title: str, *, model: Path | None) -> Iterator[str]:
    """Write pipeline, contract and list of parts for a folder of pictures; what to say of them.

    Args:
        folder: of the pictures.
        out: folder for the files; none of them is there.
        title: of the pipeline.
        model: folder of an inspector.

    Raises:
        UsageError: there is no model, or it does not take such pictures, or there are folders of
            classes in the place of pictures.
    """
    if not _pictures_in(folder):
        raise UsageError(
            expected="a folder with pictures in it",
            got=f"folders: {', '.join(one.name for one in _folders(folder))}",
            where=str(folder),
            action="learn an inspector from folders of classes: sightline train inspection "
            f"{shlex.quote(str(folder))} -o MODEL; then give one of the folders, and --model MODEL",
        )
    if model is None:
        raise UsageError(
            expected="an inspector for these pictures",
            got="no --model",
            where=str(folder),
            action="give --model MODEL; sightline train inspection DIR -o MODEL learns one from "
            "folders of classes, of which one holds good parts. If they are frames of a camera: "
            "--rate-hz, how many a second",
        )
    artefact = load_inspector(model).artefact
    names = ImageDirectory("pictures", folder, times=RateTimes(start_ns=0, rate_hz=1.0)).names
    first, others = _looked_at(folder, names, artefact)
    files = files_of(out, title)
    out.mkdir(parents=True, exist_ok=True)
    place = os.path.relpath(model, out)
    for file, lines in zip(
        files, (_pipeline(title, first, place), _contract(title), _list(names)), strict=True
    ):
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    load_plan(files[0])
    return _said(folder, files, names=names, first=first, others=others, artefact=artefact)


def files_of(out: Path, title: str) -> tuple[Path, ...]:
    """The files that :func:`write_parts` writes."""
    return tuple(out / f"{title}{end}" for end in (".yaml", ".contract.yaml", ".parts.csv"))


def _pictures_in(folder: Path) -> bool:
    return any(one.name.lower().endswith(IMAGE_SUFFIXES) for one in folder.iterdir())


def _folders(folder: Path) -> list[Path]:
    return sorted(one for one in folder.iterdir() if one.is_dir())


def _looked_at(
    folder: Path, names: Sequence[str], artefact: ModelArtefact
) -> tuple[Image, Counter[str]]:
    """The first that can be read, and what is wrong with others of those that are looked at.

    Raises:
        UsageError: none can be read, or the model does not take the first.
    """
    places = np.unique(np.linspace(0, len(names) - 1, _LOOKED_AT).round().astype(int))
    first: Image | None = None
    wrong: Counter[str] = Counter()
    for i in places.tolist():
        picture = read_picture(folder / names[i])
        if isinstance(picture, Refused):
            wrong[picture.code] += 1
        elif first is None:
            first = picture
            if breach := artefact.contract.breach(picture):
                raise UsageError(
                    expected="pictures that the model takes",
                    got=f"{names[i]}: {breach[0]}, {breach[1]}",
                    where=str(folder),
                    action="give pictures as those that the model was learnt from",
                )
        elif picture.shape != first.shape:
            wrong["WRONG_SIZE"] += 1
    if first is None:
        raise UsageError(
            expected="pictures that can be read",
            got=", ".join(f"{count} {code}" for code, count in wrong.items()),
            where=str(folder),
            action="look at them; 8 bits, grey or colour, not black",
        )
    return first, wrong


def _pipeline(title: str, first: Image, model: str) -> Iterator[str]:
    height_px, width_px = first.shape[:2]
    checks = ("frozen", "black", "over_exposed", "blurred", "covered", "moved", "shifted")
    health = ", ".join(f"{name}: null" for name in checks)
    yield "# Each picture is a part: one comes each second, its picture half a second later. A line"
    yield "# with an encoder and process sensors has the same stages: docs/inspection-line.md"
    yield f"pipeline: {title}"
    yield "tick_s: 0.5"
    yield "latency_budget_s: 5"
    yield "images: {keep: full}  # without loss: reviews and training sets are made of them"
    yield "sources:"
    yield "  pictures:"
    yield "    frames:"
    yield f"      width_px: {width_px}  # a picture of another size is refused: its part to review"
    yield f"      height_px: {height_px}"
    yield f"      channels: {1 if first.ndim == 2 else 3}"
    yield "      rate_hz: 1"
    yield "      max_age_s: 5"
    yield "      # parts differ from picture to picture: they say nothing of the camera's health"
    yield f"      health: {{{health}}}"
    yield f"    options: {{start: {_START}}}"
    yield f"  list: {{contract: {title}.contract.yaml}}"
    yield "stages:"
    yield "  look:"
    yield "    use: inspect"
    yield "    input: pictures"
    yield f"    model: {json.dumps(model, ensure_ascii=False)}"
    yield "    guarded: {budget_s: 2}"
    yield "  parts:"
    yield "    use: parts"
    yield "    input: look"
    yield "    line: {source: list, key: line, encoder: travel_m, by: serial, serial: serial}"
    yield "    stations: {look: {at_m: 0.5, tolerance_m: 0.3}}"
    yield "    gate_m: 0.9"
    yield "    deadline_s: 10"
    yield "    nominal_m_s: 1"
    yield "    min_gap_m: 0.1"
    yield "    reject_as: scrap  # where a part goes that the inspector rejects: scrap or rework"
    yield "    hold: {rejects: 10000, of: 10000}  # there is no line to stop"


def _contract(title: str) -> Iterator[str]:
    yield "# Which part comes when, as a label reader and an encoder would say it."
    yield f"contract: {title}"
    yield "key: [line]"
    yield "constants: {line: line}"
    yield "event_time: {column: time_s, format: unix_s}"
    yield "fields:"
    yield "  travel_m: {type: number, unit: m}"
    yield "  serial: {type: text, required: false}  # the name of the picture"
    yield "timing: {out_of_order_s: 1, revision_allowance_s: 1}"


def _list(names: Sequence[str]) -> Iterator[str]:
    """Times, travel and serial numbers; a last row without a part lets the last one pass."""
    stems = Counter(Path(name).stem for name in names)
    told = io.StringIO()
    lines = csv.writer(told, lineterminator="\n")
    lines.writerow(("time_s", "travel_m", "serial"))
    for i, name in enumerate(names):
        stem = Path(name).stem
        lines.writerow((_START_S + i - 0.5, i, stem if stems[stem] == 1 else name))
    lines.writerow((_START_S + len(names) - 0.5, len(names), ""))
    return iter(told.getvalue().splitlines())


def _said(
    folder: Path,
    files: Sequence[Path],
    *,
    names: Sequence[str],
    first: Image,
    others: Counter[str],
    artefact: ModelArtefact,
) -> Iterator[str]:
    colour = "grey" if first.ndim == 2 else "colour"
    size = f"{first.shape[1]} x {first.shape[0]} px"
    yield f"pictures  {len(names):,}, {size}, {colour}: each is a part"
    if others:
        looked = min(len(names), _LOOKED_AT)
        told = ", ".join(f"{count} {code}" for code, count in sorted(others.items()))
        yield f"refused   of {looked} looked at: {told}; a run sends their parts to review"
        yield "          (sightline inspect takes pictures of many sizes)"
    threshold = artefact.card["threshold"]
    yield (
        f"model     {artefact.digest[:16]}, rejects from {threshold['reject_from']:.2f}, at most "
        f"{threshold['false_reject_rate_bound']:.1%} of good parts"
    )
    yield ""
    yield from (f"wrote     {file}" for file in files)
    given = ["--source", f"pictures={folder}", "--source", f"list={files[2]}"]
    typed = ["sightline", "run", str(files[0]), *given, "--out", "RUN"]
    yield "next      " + " ".join(shlex.quote(word) for word in typed)
    yield "then      sightline parts RUN, sightline review RUN"
