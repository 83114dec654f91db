"""Pictures of parts in folders: which are good, which part each shows, where its mask is.

Two forms are read. *Classes*: ``DIR/CLASS/picture.jpg`` with a mask ``picture.png`` beside it where
there is one. *Train and test*: ``DIR/train/CLASS``, ``DIR/test/CLASS`` and masks in
``DIR/ground_truth/CLASS/picture_mask.png``; what is learnt from and what is scored are then two
sets that a person has parted. The good class is called good, ok, free or normal, or ends so
(``MT_Free``), or is named.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from sightline.errors import SourceError, UsageError
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.records.frames import Image
from sightline.sense.frames.image_files import IMAGE_SUFFIXES, decode_image
from sightline.sense.frames.video_parts import Damage

Side = Literal["train", "test"]
SIDES: tuple[Side, ...] = ("train", "test")
GOOD = ("good", "ok", "free", "normal")
"""Names of the class of good parts, after the last underscore, in any case."""
BLACK_BELOW = 8
"""A picture of which 99 % are darker than this, of 255, shows nothing: BLACK."""
_PNG_DEPTH_AT, _PNG = 24, b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class PartPicture:
    """One picture of one part.

    Attributes:
        path: of the picture.
        name: class and file name, as in predictions.
        class_name: its folder.
        is_good: it is of the good class.
        part: what the picture is of.
        mask: file in which a person marked the defect; None for none.
    """

    path: Path
    name: str
    class_name: str
    is_good: bool
    part: str
    mask: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A picture that cannot be looked at.

    Attributes:
        code: UNREADABLE, TOO_LARGE, WRONG_BIT_DEPTH, WRONG_CHANNELS, WRONG_SIZE or BLACK.
        detail: in words.
    """

    code: str
    detail: str


def find_part_pictures(
    root: Path,
    *,
    side: Side | None = None,
    good: str | None = None,
    part_pattern: str | None = None,
    part_gap: int = 0,
    limits: Limits = DEFAULT_LIMITS,
) -> list[PartPicture]:
    """All pictures below a folder, by class and name.

    Args:
        root: of the data set, in one of the two forms.
        side: of a folder that is parted into ``train`` and ``test``, the one to read; None: both.
            Any other folder is read whole.
        good: name of the good class, if it is not called so.
        part_pattern: regular expression whose first group, in the name without its ending, is the
            part; without one each picture is a part.
        part_gap: parts are numbers, and numbers that follow each other within this gap are one
            part (exposures that were taken one after the other); 0: they are not.
        limits: most pictures.

    Raises:
        UsageError: the pattern is none, has no group, or does not fit a name.
        SourceError: there is no folder, no such side, no good class, a class without pictures, or
            a mask without a picture.
    """
    if not root.is_dir():
        raise _unusable("a folder of classes", "none", root, "give the folder that holds them")
    sides = [root / name for name in SIDES if (root / name).is_dir() and _subfolders(root / name)]
    if sides and side is not None and root / side not in sides:
        raise _unusable(
            f"folders of classes in {side}", sides[0].name, root, f"add {side}, or give the classes"
        )
    folders = [d for one in sides for d in _subfolders(one)] if sides else _subfolders(root)
    found: list[PartPicture] = []
    for folder in folders:
        named = folder.name == good if good else folder.name.lower().split("_")[-1] in GOOD
        found += _of_class(folder, is_good=named, under=root)
    if sides:
        found = _with_truth(found, root / "ground_truth")
        found = [one for one in found if side is None or one.path.parent.parent.name == side]
    if len(found) > limits.max_images:
        raise _unusable(
            f"at most {limits.max_images} pictures", f"{len(found)}", root, "give fewer"
        )
    if not any(one.is_good for one in found):
        names = ", ".join(folder.name for folder in folders) or "no folders"
        raise _unusable(
            "a class of good parts", names, root, "call it good, or name it with --good"
        )
    return _with_parts(found, part_pattern, part_gap)


def read_picture(path: Path, *, limits: Limits = DEFAULT_LIMITS) -> Image | Refused:
    """uint8[height, width] or [height, width, 3] (blue, green, red) of a file, or why not."""
    try:
        if (size := path.stat().st_size) > limits.max_image_bytes:
            return Refused(code="TOO_LARGE", detail=f"{size} bytes")
        data = path.read_bytes()
    except OSError as error:
        return Refused(code="UNREADABLE", detail=str(error.strerror))
    if data.startswith(_PNG) and len(data) > _PNG_DEPTH_AT and data[_PNG_DEPTH_AT] > 8:
        return Refused(code="WRONG_BIT_DEPTH", detail=f"{data[_PNG_DEPTH_AT]} bits, expected 8")
    pixels = decode_image(data, max_frame_px=limits.max_frame_px)
    if isinstance(pixels, Damage):
        return Refused(code=str(pixels.reason), detail=pixels.detail)
    if np.percentile(pixels, 99) < BLACK_BELOW:
        return Refused(code="BLACK", detail=f"99 % of it is below {BLACK_BELOW} of 255")
    return pixels


def read_mask(
    path: Path, *, height_px: int, width_px: int, limits: Limits = DEFAULT_LIMITS
) -> npt.NDArray[np.bool_]:
    """bool[height, width]: where the defect is (128 of 255 and more).

    Raises:
        SourceError: it cannot be read, or is of another size than its picture.
    """
    try:
        pixels = decode_image(path.read_bytes(), max_frame_px=limits.max_frame_px)
    except OSError as error:
        raise _unusable("a mask", str(error.strerror), path, "give the file again") from error
    if isinstance(pixels, Damage):
        raise _unusable("a mask", f"{pixels.reason}: {pixels.detail}", path, "save it again")
    if pixels.shape[:2] != (height_px, width_px):
        raise _unusable(
            f"a mask of {width_px} x {height_px} px, as its picture",
            f"{pixels.shape[1]} x {pixels.shape[0]}",
            path,
            "mark the defect in the picture that it belongs to",
        )
    grey = pixels if pixels.ndim == 2 else pixels.max(axis=2)
    return np.asarray(grey >= 128, np.bool_)


def _subfolders(folder: Path) -> list[Path]:
    return sorted(d for d in folder.iterdir() if d.is_dir() and d.name != "ground_truth")


def _of_class(folder: Path, *, is_good: bool, under: Path) -> Iterator[PartPicture]:
    files = sorted(f for f in folder.iterdir() if f.suffix.lower() in IMAGE_SUFFIXES)
    pictures, masks = _parted(files)
    if not pictures:
        raise _unusable("pictures of a class", "none", folder, "delete the folder, or fill it")
    if left := sorted(set(masks) - {f.stem for f in pictures}):
        raise _no_picture(masks[left[0]])
    for path in pictures:
        yield PartPicture(
            path=path,
            name=path.relative_to(under).as_posix(),
            class_name=folder.name,
            is_good=is_good,
            part=path.relative_to(under).with_suffix("").as_posix(),
            mask=masks.get(path.stem),
        )


def _with_truth(pictures: list[PartPicture], truth: Path) -> list[PartPicture]:
    """The same with masks from ``truth/CLASS/picture_mask.png``."""
    places = {(one.class_name, one.path.stem): i for i, one in enumerate(pictures)}
    count = Counter((one.class_name, one.path.stem) for one in pictures)
    masked = list(pictures)
    for mask in sorted(truth.glob("*/*")) if truth.is_dir() else ():
        of = (mask.parent.name, mask.stem.removesuffix("_mask"))
        if of not in places:
            raise _no_picture(mask)
        if count[of] > 1:
            raise _unusable(
                "one picture for each mask", "/".join(of), mask, "give the pictures other names"
            )
        masked[places[of]] = replace(pictures[places[of]], mask=mask)
    return masked


def _no_picture(mask: Path) -> SourceError:
    return _unusable("a picture for each mask", f"none for {mask.name}", mask.parent, "add it")


def _parted(files: Sequence[Path]) -> tuple[list[Path], dict[str, Path]]:
    """Pictures, and masks by the stem of their picture.

    A PNG beside JPEG pictures is a mask, and so is ``…_mask``.
    """
    has_jpeg = any(f.suffix.lower() in (".jpg", ".jpeg") for f in files)
    masks = {
        f.stem.removesuffix("_mask"): f
        for f in files
        if f.stem.endswith("_mask") or (has_jpeg and f.suffix.lower() == ".png")
    }
    taken = set(masks.values())
    return [f for f in files if f not in taken], masks


def _with_parts(pictures: list[PartPicture], pattern: str | None, gap: int) -> list[PartPicture]:
    if pattern is not None:
        try:
            form = re.compile(pattern)
        except re.error as error:
            raise _pattern(pattern, str(error)) from error
        if form.groups < 1:
            raise _pattern(pattern, "no group")
        named = []
        for one in pictures:
            match = form.search(one.path.stem)
            if match is None or match.group(1) is None:
                raise _pattern(pattern, f"no match in {one.path.stem}")
            named.append(replace(one, part=match.group(1)))
        pictures = named
    if gap <= 0:
        return pictures
    wrong = [one.part for one in pictures if not one.part.isdecimal()]
    if wrong:
        raise UsageError(
            expected="parts that are numbers",
            got=wrong[0],
            where="--part-gap",
            action="give --part with a group of digits, or no gap",
        )
    numbers = sorted({int(one.part) for one in pictures})
    first, of = numbers[0], {}
    for before, number in zip([numbers[0], *numbers], numbers, strict=False):
        first = number if number - before > gap else first
        of[number] = str(first)
    return [replace(one, part=of[int(one.part)]) for one in pictures]


def _pattern(pattern: str, got: str) -> UsageError:
    return UsageError(
        expected="a regular expression with one group that fits every name",
        got=f"{got} ({pattern})",
        where="--part",
        action=r"for example --part '_num_(\d+)'",
    )


def _unusable(expected: str, got: str, where: Path, action: str) -> SourceError:
    return SourceError(expected=expected, got=got, where=str(where), action=action)
