"""The reviewed parts of a run as pictures to learn from, with a manifest and COCO annotations.

``good/`` holds the pictures of parts that a person called good, ``defect/`` the picture in which a
person saw a defect, with the painted mask beside it (``…_mask.png``): the form that ``sightline
train inspection`` takes. ``manifest.json`` names each file with its SHA-256, its part, who judged
it, and the run; its own digest is the version of the set. ``coco.json`` is for other tools.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from sightline.errors import UsageError, writing
from sightline.evidence.parts_account import KnownPart
from sightline.records.frames import Image
from sightline.records.part import PartPicture, PartReview
from sightline.records.plain_json import canonical_json
from sightline.runtime.run_directory import RunDirectory

FORMAT = 1
GOOD, DEFECT = "good", "defect"
MASKS = "reviews"
"""Folder of the run with the painted masks, by their SHA-256."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewedSet:
    """What was written.

    Attributes:
        version: SHA-256 of the manifest, hex.
        good, defect: pictures.
        masks: of the defects, painted.
        without_picture: reviewed parts of which the log has no picture any more.
    """

    version: str
    good: int
    defect: int
    masks: int
    without_picture: int


def write_reviewed(
    run: RunDirectory,
    parts: Sequence[KnownPart],
    pixels: Callable[[PartPicture], Image | None],
    out: Path,
) -> ReviewedSet:
    """Write the set.

    Args:
        run: whose parts they are.
        parts: all, of which those with a review are taken; the newest review counts.
        pixels: of a picture; None where the log does not have it.
        out: a folder that is not there, or is empty.

    Raises:
        UsageError: the folder has something in it, or no part was reviewed.
        LogError: a mask is another one than was given.
        StorageError: it cannot be written.
    """
    if out.exists() and any(out.iterdir()):
        raise UsageError(
            expected="a new or an empty folder: a set is never changed",
            got="one with something in it",
            where=str(out),
            action="choose another folder",
        )
    files: dict[str, dict[str, Any]] = {}
    shown: list[tuple[str, Image, PartReview]] = []
    absent = 0
    reviewed = [p for p in parts if p.reviews]
    if not reviewed:
        raise UsageError(
            expected="reviewed parts",
            got="none",
            where=str(run.path),
            action="review some: sightline review RUN",
        )
    for part in reviewed:
        review = part.reviews[-1]
        found = [(one, pixels(one)) for one in _judged(part, review)]
        absent += not any(picture is not None for _, picture in found)
        for one, picture in found:
            if picture is None:
                continue
            name = f"{DEFECT if review.verdict == 'defect' else GOOD}/{_name(part, one)}.png"
            files[name] = _written(out / name, picture) | _said(part, one, review)
            shown.append((name, picture, review))
            if review.verdict == "defect" and review.mask_sha256:
                mask = read_mask(run, review.mask_sha256)
                files[f"{name[:-4]}_mask.png"] = _written(out / f"{name[:-4]}_mask.png", mask) | {
                    "mask_of": name
                }
    manifest = canonical_json(
        {"format": FORMAT, "run": run.run_id, "pipeline": run.plan.digest, "files": files}
    )
    _write(out / "manifest.json", manifest)
    _write(out / "coco.json", canonical_json(_coco(shown)))
    return ReviewedSet(
        version=hashlib.sha256(manifest).hexdigest(),
        good=sum(name.startswith(f"{GOOD}/") for name in files),
        defect=sum(
            name.startswith(f"{DEFECT}/") and "mask_of" not in files[name] for name in files
        ),
        masks=sum("mask_of" in one for one in files.values()),
        without_picture=absent,
    )


def _judged(part: KnownPart, review: PartReview) -> list[PartPicture]:
    """The pictures that a verdict is about: of a good part all, of a defect the one it is in."""
    seen = part.record.pictures
    if review.verdict == "good":
        return list(seen)
    return [one for one in seen if one.station == review.station]


def _name(part: KnownPart, one: PartPicture) -> str:
    plain = re.sub(r"[^A-Za-z0-9-]+", "-", f"{part.record.serial}-{part.record.part_id}")
    return f"{plain}_{one.station}"


def _said(part: KnownPart, one: PartPicture, review: PartReview) -> dict[str, Any]:
    return {
        "part_id": part.record.part_id,
        "serial": part.record.serial,
        "station": one.station,
        "picture": one.digest,
        "verdict": review.verdict,
        "kind": review.kind,
        "reviewer": review.reviewer,
        "given_ns": review.given_ns,
    }


def store_mask(run: RunDirectory, mask: Image) -> str:
    """Keep a painted mask in the run's folder; its SHA-256, under which it is found.

    Raises:
        StorageError: it cannot be written.
    """
    data = cv2.imencode(".png", mask)[1].tobytes()
    digest = hashlib.sha256(data).hexdigest()
    path = run.path / MASKS / f"{digest}.png"
    if not path.exists():
        _write(path, data)
    return digest


def read_mask(run: RunDirectory, digest: str) -> Image:
    """A painted mask.

    Raises:
        UsageError: it is not there, or is another one.
    """
    path = run.path / MASKS / f"{digest}.png"
    try:
        data = path.read_bytes()
    except OSError:
        data = b""
    mask = None
    if re.fullmatch(r"[0-9a-f]{64}", digest) and hashlib.sha256(data).hexdigest() == digest:
        mask = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    if mask is None:
        raise UsageError(
            expected=f"the mask with SHA-256 {digest[:16]}…",
            got="none, or another one",
            where=str(path),
            action="restore the run's folder from a copy",
        )
    return np.asarray(mask, np.uint8)


def _coco(shown: Sequence[tuple[str, Image, PartReview]]) -> dict[str, Any]:
    """COCO detection format (cocodataset.org, data format): box is x, y, width, height in px."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    kinds = sorted({r.kind or "defect" for _, _, r in shown if r.verdict == "defect"})
    for number, (name, picture, review) in enumerate(shown, start=1):
        height, width = picture.shape[:2]
        images.append({"id": number, "file_name": name, "width": width, "height": height})
        x1, y1, x2, y2 = review.box_px
        if review.verdict != "defect" or x2 <= x1:
            continue
        annotations.append(
            {
                "id": len(annotations) + 1,
                "image_id": number,
                "category_id": kinds.index(review.kind or "defect") + 1,
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "area": (x2 - x1) * (y2 - y1),
                "iscrowd": 0,
            }
        )
    categories = [{"id": i, "name": kind} for i, kind in enumerate(kinds, start=1)]
    return {"images": images, "annotations": annotations, "categories": categories}


def _written(path: Path, picture: Image) -> dict[str, Any]:
    data = cv2.imencode(".png", picture)[1].tobytes()
    _write(path, data)
    return {"sha256": hashlib.sha256(data).hexdigest()}


def _write(path: Path, data: bytes) -> None:
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def mask_facts(mask: Image) -> Mapping[str, Any]:
    """Box and longest extent of a painted mask, as a review says them.

    >>> one = np.zeros((8, 8), np.uint8); one[2:4, 1:7] = 255
    >>> mask_facts(one)
    {'box_px': [1.0, 2.0, 7.0, 4.0], 'size_px': 6.0}
    """
    ys, xs = np.nonzero(mask)
    if not len(xs):
        return {"box_px": [0.0, 0.0, 0.0, 0.0], "size_px": 0.0}
    x1, y1, x2, y2 = xs.min(), ys.min(), xs.max() + 1, ys.max() + 1
    return {
        "box_px": [float(x1), float(y1), float(x2), float(y2)],
        "size_px": float(max(x2 - x1, y2 - y1)),
    }
