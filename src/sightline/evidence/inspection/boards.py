"""Boards: a model learnt from marked pairs, run over pairs, held against marked ones."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import polars as pl

import sightline
from sightline.errors import SourceError, UsageError, writing
from sightline.evidence.inspection.map_files import write_png
from sightline.evidence.inspection.scores import Interval, by_part
from sightline.models import InputContract, ModelArtefact, load_artefact, save_artefact
from sightline.perceive.inspection.floats import Floats
from sightline.perceive.inspection.golden_template import (
    BOARD_KINDS,
    BoardDefects,
    BoardExample,
    BoardInspector,
    BoardSettings,
    learn_boards,
)
from sightline.records.frames import Image
from sightline.records.plain_json import canonical_json
from sightline.records.windows import IntArray
from sightline.sense.frames.board_pairs import BoardPair, read_boxes, read_grey
from sightline.sense.frames.part_pictures import Refused

KIND = "boards"
LEAST_IOU = 0.33
"""A box is right if it overlaps a marked one so much (Tang et al., DeepPCB, 2019)."""
SIZE_SLACK = 2.0
Told = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardModel:
    """A model of boards that was checked."""

    artefact: ModelArtefact
    inspector: BoardInspector


def load_boards(folder: Path, *, digest: str | None = None) -> BoardModel:
    """Read a model of boards; every file of it is checked.

    Raises:
        UsageError: it is none, was changed, or does not fit together.
    """
    artefact = load_artefact(folder, kind=KIND, digest=digest)
    try:
        inspector = BoardInspector.from_arrays(artefact.arrays)
    except (KeyError, ValueError) as error:
        raise UsageError(
            expected="settings and a network that fit together",
            got=f"{type(error).__name__}: {error}",
            where=str(folder),
            action="train the model again",
        ) from error
    return BoardModel(artefact=artefact, inspector=inspector)


def train_boards(
    pairs: Sequence[BoardPair],
    out: Path,
    *,
    settings: BoardSettings,
    data_licence: str = "not stated",
    told: Told = lambda done, of: None,
) -> dict[str, Any]:
    """Learn from pairs with boxes and write a model; its card with ``digest``.

    Raises:
        UsageError: there are too few boards, or nothing marked differs.
        SourceError: a picture cannot be read, or a box does not fit.
    """
    marked = [one for one in pairs if one.boxes is not None]
    examples: list[BoardExample] = []
    digest = hashlib.sha256()
    for done, one in enumerate(marked, start=1):
        example = _example(one)
        examples.append(example)
        for array in (example.picture, example.template, example.boxes, example.kinds):
            digest.update(hashlib.sha256(array.tobytes()).digest())
        told(done, len(marked))
    inspector = learn_boards(examples, settings)
    heights, widths = zip(*(one.picture.shape for one in examples), strict=True)
    contract = InputContract(
        channels=1,
        bit_depth=8,
        min_width_px=max(round(min(widths) / SIZE_SLACK), 64),
        max_width_px=round(max(widths) * SIZE_SLACK),
        min_height_px=max(round(min(heights) / SIZE_SLACK), 64),
        max_height_px=round(max(heights) * SIZE_SLACK),
    )
    kinds = np.concatenate([one.kinds for one in examples])
    card = {
        "code": {"sightline": sightline.__version__},
        "data": {
            "digest": digest.hexdigest(),
            "boards": len(examples),
            "boards_without_boxes": len(pairs) - len(marked),
            "licence": data_licence,
            "defects": {name: int((kinds == i + 1).sum()) for i, name in enumerate(BOARD_KINDS)},
        },
        "labels": "boxes",
        "seed": settings.seed,
        "settings": asdict(inspector.settings),
        "features": {"source": "differences from a golden template", "licence": "none needed"},
        "threshold": {"odds_from": inspector.odds_from, "how": "a defect is likelier than none"},
        "figures": {},
        "notes": [],
    }
    found = save_artefact(
        out, kind=KIND, contract=contract, graphs={}, arrays=inspector.as_arrays(), card=card
    )
    return {**card, "digest": found, "model": str(out)}


def inspect_boards(
    model: BoardModel,
    pairs: Sequence[BoardPair],
    out: Path,
    *,
    told: Told = lambda done, of: None,
) -> dict[str, Any]:
    """Look at each pair; what came of it, in numbers.

    Writes ``decisions.jsonl`` and ``heat/`` (the picture with boxes and kinds). A board with a
    defect is rejected; one whose template does not fit (NOT_ALIGNED) or that cannot be read is sent
    to review.

    Raises:
        StorageError: something cannot be written.
    """
    lines: list[bytes] = []
    counted: Counter[str] = Counter()
    unseen: Counter[str] = Counter()
    for done, one in enumerate(pairs, start=1):
        line: dict[str, Any] = {"image": one.name, "model": model.artefact.digest}
        looked = _looked_at(model, one)
        if isinstance(looked, Refused):
            line |= {"disposition": "review", "code": looked.code, "detail": looked.detail}
            line |= {"defects": []}
            unseen[looked.code] += 1
        else:
            picture, found = looked
            line |= {
                "disposition": "reject" if len(found.kinds) else "accept",
                "code": "",
                "detail": "",
                "correlation": round(found.laid.correlation, 6),
                "defects": [
                    {
                        "kind": BOARD_KINDS[k - 1],
                        "odds": round(o, 4),
                        "box": [round(v, 2) for v in b],
                    }
                    for k, o, b in zip(
                        found.kinds.tolist(), found.odds.tolist(), found.boxes.tolist(), strict=True
                    )
                ],
                "sha256": hashlib.sha256(picture.tobytes()).hexdigest(),
            }
            write_png(out / "heat" / Path(one.name).with_suffix(".png"), drawn(picture, found))
        counted[str(line["disposition"])] += 1
        lines.append(canonical_json(line))
        told(done, len(pairs))
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        (out / "decisions.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))
    return {
        "model": model.artefact.digest,
        "boards": len(pairs),
        **{f"{name}ed": counted[name] for name in ("accept", "review", "reject")},
        "unseen": dict(sorted(unseen.items())),
        "out": str(out),
    }


def evaluate_boards(
    model: BoardModel,
    pairs: Sequence[BoardPair],
    *,
    predictions: Path | None = None,
    seed: int = 0,
    told: Told = lambda done, of: None,
) -> dict[str, Any]:
    """Hold a model against marked pairs: F at IoU 0.33, of all, of each kind, and without kinds.

    A box that was found is right if it is the best of those of its kind for a marked one (each is
    counted once, the surest first). A board that cannot be looked at counts as one on which nothing
    was found. ``ms_per_board`` is processor time, files apart.

    Args:
        model: the model.
        pairs: those without boxes are left out.
        predictions: folder for ``predictions.csv`` and ``boxes.csv``; None: not written.
        seed: of the bootstrap, which draws whole boards.
        told: how many of how many.

    Raises:
        UsageError: no pair has boxes.
        SourceError: a file of boxes does not fit.
        StorageError: predictions cannot be written.
    """
    marked = [one for one in pairs if one.boxes is not None]
    if not marked:
        raise UsageError(
            expected="pairs with boxes",
            got="none",
            where="the boards to evaluate on",
            action="add NAME.txt, or a column boxes",
        )
    counts: list[IntArray] = []
    rows: list[tuple[Any, ...]] = []
    scores: list[float] = []
    refused: Counter[str] = Counter()
    took_s: list[float] = []
    for done, one in enumerate(marked, start=1):
        assert one.boxes is not None
        begun_s = time.process_time()
        looked = _looked_at(model, one)
        took_s.append(time.process_time() - begun_s)
        boxes: Floats = np.zeros((0, 4))
        kinds, odds = np.zeros(0, np.int64), boxes[:, 0]
        height_px, width_px = _size(one)
        if isinstance(looked, Refused):
            refused[looked.code] += 1
        else:
            boxes, kinds, odds = looked[1].boxes, looked[1].kinds, looked[1].odds
        wanted = read_boxes(
            one.boxes, height_px=height_px, width_px=width_px, kinds=len(BOARD_KINDS)
        )
        counts.append(_counted(boxes, kinds, *wanted))
        scores.append(float(odds.max()) if len(odds) else -30.0)
        for k, o, b in zip(kinds.tolist(), odds.tolist(), boxes.tolist(), strict=True):
            rows.append((one.name, *b, BOARD_KINDS[k - 1], o))
        told(done, len(marked))
    table = np.array(counts)
    names = [one.name for one in marked]

    def f(of: int, kind: int | None) -> Interval:
        def figure(chosen: IntArray) -> float:
            hits, said, truth = (table[chosen, of, :, j] for j in range(3))
            picked = slice(None) if kind is None else slice(kind, kind + 1)
            both = said[:, picked].sum() + truth[:, picked].sum()
            return float(2 * hits[:, picked].sum() / both) if both else float("nan")

        return by_part(figure, names, seed=seed)

    if predictions is not None:
        _write(predictions, names, scores, rows)
    total = table.sum(axis=0)
    return {
        "model": model.artefact.digest,
        "boards": len(marked),
        "refused": dict(sorted(refused.items())),
        "defects": int(total[0, :, 2].sum()),
        "found": int(total[0, :, 1].sum()),
        "right": int(total[0, :, 0].sum()),
        "f_at_iou_0.33": asdict(f(0, None)),
        "f_at_iou_0.33_without_kinds": asdict(f(1, None)),
        "per_kind": {name: {"f": asdict(f(0, i))} for i, name in enumerate(BOARD_KINDS)},
        "ms_per_board": {
            f"p{q}": round(1e3 * float(np.percentile(took_s, q)), 1) for q in (50, 95, 99)
        },
    }


def drawn(picture: Image, found: BoardDefects) -> Image:
    """uint8[h, w, 3]: the picture with boxes and kinds."""
    plain = np.asarray(cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR), np.uint8)
    for kind, box in zip(
        found.kinds.tolist(), found.boxes.round().astype(int).tolist(), strict=True
    ):
        cv2.rectangle(plain, (box[0], box[1]), (box[2], box[3]), (0, 0, 230), 2)
        place = (max(box[0], 0), max(box[1] - 4, 12))
        cv2.putText(plain, BOARD_KINDS[kind - 1], place, 0, 0.5, (0, 0, 230), 1, cv2.LINE_AA)
    return plain


def _looked_at(model: BoardModel, one: BoardPair) -> tuple[Image, BoardDefects] | Refused:
    picture, template = read_grey(one.picture), read_grey(one.template)
    if isinstance(picture, Refused):
        return picture
    if isinstance(template, Refused):
        return Refused(code=template.code, detail=f"the template: {template.detail}")
    if breach := model.artefact.contract.breach(picture):
        return Refused(code=breach[0], detail=breach[1])
    found = model.inspector.inspect(picture, template)
    if not found.is_laid:
        detail = f"the template fits with a correlation of {found.laid.correlation:.2f}"
        return Refused(code="NOT_ALIGNED", detail=detail)
    return picture, found


def _example(one: BoardPair) -> BoardExample:
    picture, template = read_grey(one.picture), read_grey(one.template)
    for path, pixels in ((one.picture, picture), (one.template, template)):
        if isinstance(pixels, Refused):
            raise SourceError(
                expected="a picture of a board",
                got=f"{pixels.code}: {pixels.detail}",
                where=str(path),
                action="leave it out, or take it again",
            )
    assert not isinstance(picture, Refused)
    assert not isinstance(template, Refused)
    assert one.boxes is not None
    height_px, width_px = picture.shape
    kinds = len(BOARD_KINDS)
    boxes, kind = read_boxes(one.boxes, height_px=height_px, width_px=width_px, kinds=kinds)
    return BoardExample(picture=picture, template=template, boxes=boxes, kinds=kind)


def _size(one: BoardPair) -> tuple[int, int]:
    picture = read_grey(one.picture)
    return (1 << 16, 1 << 16) if isinstance(picture, Refused) else picture.shape[:2]


def _counted(boxes: Floats, kinds: IntArray, wanted: Floats, wanted_kinds: IntArray) -> IntArray:
    """int64[2, 6, 3]: right, found and marked of each kind; kinds must agree, and need not."""
    counts = np.zeros((2, len(BOARD_KINDS), 3), np.int64)
    for of in (0, 1):
        np.add.at(counts[of, :, 1], kinds - 1, 1)
        np.add.at(counts[of, :, 2], wanted_kinds - 1, 1)
        left = np.ones(len(wanted), np.bool_)
        for box, kind in zip(boxes, kinds.tolist(), strict=True):
            overlap = _iou(box, wanted) * left
            if of == 0:
                overlap = overlap * (wanted_kinds == kind)
            if len(overlap) and overlap.max() >= LEAST_IOU:
                best = int(overlap.argmax())
                left[best] = False
                counts[of, int(wanted_kinds[best]) - 1, 0] += 1
    return counts


def _iou(box: Floats, others: Floats) -> Floats:
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    shared = np.maximum(high - low, 0).prod(axis=1)
    areas = (box[2:] - box[:2]).prod() + (others[:, 2:] - others[:, :2]).prod(axis=1)
    return np.asarray(shared / np.maximum(areas - shared, 1e-9))


def _write(
    folder: Path, names: Sequence[str], scores: Sequence[float], rows: Sequence[tuple[Any, ...]]
) -> None:
    columns = ("image", "x1", "y1", "x2", "y2", "class", "score")
    table = {"image": names, "score": scores, "alarm": [int(score > -30) for score in scores]}
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        pl.DataFrame(table).write_csv(folder / "predictions.csv")
        boxes = {name: [row[i] for row in rows] for i, name in enumerate(columns)}
        pl.DataFrame(boxes).write_csv(folder / "boxes.csv")
