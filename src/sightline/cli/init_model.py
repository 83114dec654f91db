"""What ``sightline init --model`` writes of an ONNX file: a detector with its digest and names."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sightline.errors import UsageError
from sightline.perceive.detect.onnx_detector import OnnxDetector, OnnxSettings
from sightline.perceive.detect.onnx_session import OnnxSession, read_model

_OPEN_PX = (640, 640)
"""Where a model leaves the size of its input open."""
_MOST_CLASSES = 2_000
_PERSON = "person"


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenModel:
    """What a model file says of itself, and what had to be guessed.

    Attributes:
        path: the file.
        sha256: hex digest.
        class_names: of all classes, in the model's order.
        is_named: whether the names are the model's, or the user's, and not made up here.
        has_names: whether they stand in the file.
        input_px: width and height that have to be given; None where the model says.
    """

    path: Path
    sha256: str
    class_names: tuple[str, ...]
    is_named: bool
    has_names: bool
    input_px: tuple[int, int] | None

    @property
    def zone_classes(self) -> tuple[str, ...]:
        """Who may not enter: people where the model knows them, otherwise all that it knows."""
        return (_PERSON,) if _PERSON in self.class_names else self.class_names


def look_at_model(path: Path, class_names: Sequence[str] = ()) -> SeenModel:
    """What there is in a model file.

    Args:
        path: the file.
        class_names: of all classes, in the model's order; empty: the file's, or made up from how
            many there are.

    Raises:
        UsageError: it cannot be loaded, takes no pictures, or puts out what cannot be understood.
    """
    data, sha256 = read_model(path, sha256=None)
    session = OnnxSession(data, where=str(path), threads=1)
    known = session.class_names()
    is_open = session.input.size_px is None and "imgsz" not in session.metadata
    input_px = _OPEN_PX if is_open else None

    def fits(names: tuple[str, ...]) -> UsageError | None:
        settings = OnnxSettings(class_names=names, input_px=input_px)
        try:
            OnnxDetector(data, digest=sha256, settings=settings, where=str(path))
        except UsageError as error:
            return error
        return None

    given = tuple(class_names)
    if given or known:
        problem = fits(given)
        if problem is not None:
            raise problem
        return SeenModel(
            path=path, sha256=sha256, class_names=given or known, is_named=True,
            has_names=not given, input_px=input_px,
        )  # fmt: skip
    for count in _counts(session, input_px):
        names = tuple(f"class_{i}" for i in range(count))
        if fits(names) is None:
            return SeenModel(
                path=path, sha256=sha256, class_names=names, is_named=False, has_names=False,
                input_px=input_px,
            )  # fmt: skip
    raise UsageError(
        expected="a detector of which the number of classes can be told",
        got="no `names` in its metadata, and outputs of another shape",
        where=str(path),
        action="give the names of all its classes in its order: --classes person,car",
    )


def _counts(session: OnnxSession, input_px: tuple[int, int] | None) -> Iterator[int]:
    """How many classes the outputs may be of, the likeliest first.

    A table [b, 4 + c, n] (YOLOv8) is narrower than it is long; [b, n, 5 + c] (YOLOv5) the other
    way; a pair of boxes and scores [b, n, c].
    """
    width_px, height_px = session.input.size_px or input_px or _OPEN_PX
    grey = np.full((session.input.batch or 1, 3, height_px, width_px), 0.5, np.float32)
    shapes = [out.shape for out in session.run(grey) if out.ndim == 3]
    tried: dict[int, None] = {}
    for _, high, wide in shapes:
        beside = (high - 4, high - 5) if high < wide else (wide - 5, wide - 4)
        tried.update(dict.fromkeys(beside))
    tried.update(dict.fromkeys(wide for _, _, wide in shapes))
    yield from (count for count in tried if 0 < count <= _MOST_CLASSES)


def model_lines(seen: SeenModel, folder: Path) -> Iterator[str]:
    """The detector, under ``detectors``."""
    place = Path(os.path.relpath(seen.path.absolute(), folder.absolute())).as_posix()
    yield "  sees:"
    yield "    use: onnx"
    yield f"    model: {json.dumps(place, ensure_ascii=False)}"
    yield f"    sha256: {seen.sha256}"
    if seen.input_px is not None:
        yield f"    input_px: [{seen.input_px[0]}, {seen.input_px[1]}]  # the model leaves it open"
    if not seen.has_names:
        if not seen.is_named:
            yield "    # the file has no names: give those it was trained with, in their order"
        yield f"    class_names: {json.dumps(seen.class_names, ensure_ascii=False)}"


def said_of_model(seen: SeenModel) -> Iterator[str]:
    """What was found."""
    names = ", ".join(seen.class_names[:5]) + (", …" if len(seen.class_names) > 5 else "")
    yield f"model     {seen.path.name}, {len(seen.class_names)} classes: {names}"
    if not seen.is_named:
        yield "          the file has no names of its classes: give them with --classes a,b,…"
