"""Pictures of boards, each with its golden template, and boxes around what is wrong.

A folder holds ``index.csv`` with columns test,template,boxes (paths below the folder; boxes may be
empty), or pictures ``NAME_test.EXT`` beside ``NAME_temp.EXT``, with ``NAME.txt`` for the boxes. A
file of boxes has a line ``x1 y1 x2 y2 kind`` for each: px, and the number of the kind from 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import polars as pl

from sightline.errors import SourceError
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.records.frames import Image
from sightline.records.windows import FloatArray, IntArray
from sightline.sense.frames.image_files import IMAGE_SUFFIXES
from sightline.sense.frames.part_pictures import Refused, read_picture

INDEX = "index.csv"
_COLUMNS = ("test", "template", "boxes")


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardPair:
    """A picture of a board and what it should look like.

    Attributes:
        name: of the picture, below the folder.
        picture, template: files.
        boxes: file of what is wrong; None where nobody said.
    """

    name: str
    picture: Path
    template: Path
    boxes: Path | None


def find_board_pairs(root: Path, *, limits: Limits = DEFAULT_LIMITS) -> list[BoardPair]:
    """All pairs of a folder, in the order of their names.

    Raises:
        SourceError: there are none or too many, a file is missing, or a path leaves the folder.
    """
    if not root.is_dir():
        raise _unusable("a folder of boards", "none", root, "give the folder that holds them")
    index = root / INDEX
    pairs = _of_index(index, limits) if index.is_file() else _of_names(root)
    if not 0 < len(pairs) <= limits.max_images:
        action = "name them NAME_test and NAME_temp, or list them in index.csv"
        raise _unusable(f"1 to {limits.max_images} pairs", f"{len(pairs)}", root, action)
    return sorted(pairs, key=lambda one: one.name)


def read_grey(path: Path) -> Image | Refused:
    """uint8[h, w]; colours are made grey."""
    pixels = read_picture(path)
    if isinstance(pixels, Refused) or pixels.ndim == 2:
        return pixels
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY), np.uint8)


def read_boxes(
    path: Path, *, height_px: int, width_px: int, kinds: int, limits: Limits = DEFAULT_LIMITS
) -> tuple[FloatArray, IntArray]:
    """float64[n, 4] x1, y1, x2, y2 and int64[n] kinds from 1.

    Raises:
        SourceError: it cannot be read, a line is no box, a box is not in the picture, or a kind is
            unknown.
    """
    try:
        if path.stat().st_size > limits.max_control_file_bytes:
            raise _unusable(
                f"at most {limits.max_control_file_bytes} bytes", "more", path, "split it"
            )
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise _unusable("a file of boxes", str(error), path, "save it again") from error
    rows: list[list[int]] = []
    for number, line in enumerate(lines, start=1):
        words = line.replace(",", " ").split()
        if not words:
            continue
        where = f"{path}, line {number}"
        if len(words) != 5 or not all(word.removeprefix("-").isdecimal() for word in words):
            raise _unusable("x1 y1 x2 y2 kind, whole numbers", line[:80], where, "correct it")
        x1, y1, x2, y2, kind = row = [int(word) for word in words]
        if not (0 <= x1 < x2 <= width_px and 0 <= y1 < y2 <= height_px):
            expected = f"a box in {width_px} x {height_px} px"
            raise _unusable(expected, line[:80], where, "mark what the picture shows")
        if not 1 <= kind <= kinds:
            raise _unusable(f"a kind from 1 to {kinds}", f"{kind}", where, "correct it")
        rows.append(row)
    table = np.array(rows, np.int64).reshape(-1, 5)
    return table[:, :4].astype(np.float64), table[:, 4]


def _of_index(index: Path, limits: Limits) -> list[BoardPair]:
    try:
        if index.stat().st_size > limits.max_control_file_bytes:
            raise _unusable(
                f"at most {limits.max_control_file_bytes} bytes", "more", index, "split it"
            )
        table = pl.read_csv(index, infer_schema=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        got = str(error).splitlines()[0]
        raise _unusable("a CSV file test,template,boxes", got, index, "write it anew") from error
    if missing := [name for name in _COLUMNS[:2] if name not in table.columns]:
        got = f"no column {missing[0]}"
        raise _unusable("columns test,template,boxes", got, index, "add it")
    pairs = []
    for row in table.iter_rows(named=True):
        files = {name: _below(index, row.get(name)) for name in _COLUMNS}
        picture, template = files["test"], files["template"]
        if picture is None or template is None:
            raise _unusable("a test and a template in each row", f"{row}", index, "add them")
        name = picture.relative_to(index.parent).as_posix()
        pairs.append(BoardPair(name=name, picture=picture, template=template, boxes=files["boxes"]))
    return pairs


def _below(index: Path, named: str | None) -> Path | None:
    if not named:
        return None
    path = index.parent / named
    if Path(named).is_absolute() or ".." in Path(named).parts:
        raise _unusable("paths below the folder", named, index, "copy the file there")
    if not path.is_file():
        raise _unusable("files that are there", f"none at {named}", index, "add it")
    return path


def _of_names(root: Path) -> list[BoardPair]:
    pairs = []
    for picture in sorted(root.rglob("*_test.*")):
        if picture.suffix.lower() not in IMAGE_SUFFIXES:
            continue
        stem = picture.stem.removesuffix("_test")
        template = picture.with_name(f"{stem}_temp{picture.suffix}")
        boxes = picture.with_name(f"{stem}.txt")
        if not template.is_file():
            raise _unusable("a template", f"none at {template.name}", picture, "add it")
        name = picture.relative_to(root).as_posix()
        found = boxes if boxes.is_file() else None
        pairs.append(BoardPair(name=name, picture=picture, template=template, boxes=found))
    return pairs


def _unusable(expected: str, got: str, where: Path | str, action: str) -> SourceError:
    return SourceError(expected=expected, got=got, where=str(where), action=action)
