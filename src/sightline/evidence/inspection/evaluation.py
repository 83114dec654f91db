"""An inspector held against pictures of which a person said what they show."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from sightline.errors import UsageError, writing
from sightline.evidence.bounds import binomial_lower, binomial_upper
from sightline.evidence.inspection.map_files import write_map
from sightline.evidence.inspection.scores import (
    Bools,
    Interval,
    PixelCounts,
    auroc,
    average_precision,
    best_f1,
    by_part,
)
from sightline.evidence.inspection.threshold import part_scores
from sightline.perceive.inspection.floats import Floats
from sightline.perceive.inspection.inspector_model import InspectorModel
from sightline.records.windows import IntArray
from sightline.sense.frames.part_pictures import PartPicture, Refused, read_mask, read_picture

Told = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What an inspector said of marked pictures.

    Attributes:
        model: digest of it.
        pictures: those that were looked at.
        score: float64[n]; of each.
        alarm: bool[n], rejected.
        boxes: of each picture, float32[k, 5].
        refused: pictures that were not looked at, by code.
        known: of ``pictures``, those that the model was learnt from, pixel by pixel: figures of
            them flatter.
        image, per_class, pixel: figures by name; those of a class are against all good pictures.
            Of bad pictures ``recall`` is the share rejected, ``not_accepted`` with those reviewed.
        rejects: false-reject rate of good parts, with exact bounds, and how many are not accepted
            (rejected or reviewed).
    """

    model: str
    pictures: tuple[PartPicture, ...]
    score: Floats
    alarm: Bools
    boxes: tuple[Floats, ...]
    refused: dict[str, int]
    known: int
    image: dict[str, Interval]
    per_class: dict[str, dict[str, Interval]]
    pixel: dict[str, Interval]
    rejects: dict[str, float]

    def as_mapping(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "model": self.model,
            "pictures": len(self.pictures),
            "good": sum(one.is_good for one in self.pictures),
            "parts": len({one.part for one in self.pictures}),
            "refused": self.refused,
            "learnt_from": self.known,
            "image": {name: asdict(one) for name, one in self.image.items()},
            "per_class": {
                c: {name: asdict(one) for name, one in of.items()}
                for c, of in self.per_class.items()
            },
            "pixel": {name: asdict(one) for name, one in self.pixel.items()},
            "false_rejects": self.rejects,
        }


def evaluate_model(
    model: InspectorModel,
    pictures: Sequence[PartPicture],
    *,
    maps: Path | None = None,
    seed: int = 0,
    told: Told = lambda done, of: None,
) -> Evaluation:
    """Look at pictures and score what was said.

    Args:
        model: the inspector.
        pictures: good and bad ones; pixel figures are of those that have a mask, and good ones.
        maps: folder for score maps; None: none are written.
        seed: of the bootstrap.
        told: how many of how many pictures were looked at.

    Raises:
        UsageError: none can be looked at.
        SourceError: a mask does not fit its picture.
        StorageError: a map cannot be written.
    """
    looked: list[PartPicture] = []
    scores: list[float] = []
    boxes: list[Floats] = []
    marked: list[str] = []
    refused: Counter[str] = Counter()
    learnt_from = _learnt_from(model)
    known = 0
    pixels = PixelCounts()
    for done, one in enumerate(pictures, start=1):
        picture = read_picture(one.path)
        if isinstance(picture, Refused):
            refused[picture.code] += 1
            continue
        if breach := model.artefact.contract.breach(picture):
            refused[breach[0]] += 1
            continue
        found = model.inspect(picture)
        looked.append(one)
        known += hashlib.sha256(picture.tobytes()).hexdigest() in learnt_from
        scores.append(found.score)
        boxes.append(found.boxes)
        height_px, width_px = picture.shape[:2]
        if one.mask is not None or one.is_good:
            mask = np.zeros((height_px, width_px), np.bool_)
            if one.mask is not None:
                mask = read_mask(one.mask, height_px=height_px, width_px=width_px)
            if one.is_good or mask.any():
                pixels.add(found.heat, mask)
                marked.append(one.part)
        if maps is not None:
            write_map(maps, one.name, found.heat)
        told(done, len(pictures))
    if not looked:
        raise UsageError(
            expected="pictures that the model takes",
            got=", ".join(f"{n} {code}" for code, n in refused.items()) or "none",
            where="the pictures to evaluate on",
            action="give pictures as those that the model was learnt from",
        )
    score = np.array(scores)
    said = _Said(
        score=score,
        alarm=score >= model.inspector.reject_from,
        looked_at=score >= model.inspector.review_from,
        is_bad=np.array([not one.is_good for one in looked]),
        parts=tuple(one.part for one in looked),
    )
    classes = np.array([one.class_name for one in looked])
    names = sorted({one.class_name for one in looked if not one.is_good})
    per_class = {
        name: said.only(np.flatnonzero(~said.is_bad | (classes == name))).figures(seed=seed)
        for name in names
    }
    good = said.only(np.flatnonzero(~said.is_bad))
    return Evaluation(
        model=model.artefact.digest,
        pictures=tuple(looked),
        score=score,
        alarm=said.alarm,
        boxes=tuple(boxes),
        refused=dict(sorted(refused.items())),
        known=known,
        image=said.figures(seed=seed),
        per_class=per_class,
        pixel=pixels.figures(marked, seed=seed),
        rejects=_rejects(good.score, good.parts, model),
    )


def _learnt_from(model: InspectorModel) -> set[str]:
    """SHA-256 of the pixels of each picture that learning or its thresholds took."""
    lists = (model.artefact.card.get(name, ()) for name in ("memory_pictures", "marked_pictures"))
    return {str(digest) for pictures in lists for _, digest in pictures}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    """Scores of pictures beside what they are."""

    score: Floats
    alarm: Bools
    looked_at: Bools
    is_bad: Bools
    parts: tuple[str, ...]

    def figures(self, *, seed: int) -> dict[str, Interval]:
        wanted: dict[str, Callable[[IntArray], float]] = {
            "auroc": lambda chosen: auroc(self.score[chosen], self.is_bad[chosen]),
            "ap": lambda chosen: average_precision(self.score[chosen], self.is_bad[chosen]),
            "f1": self._f1,
            "f1_best": lambda chosen: best_f1(self.score[chosen], self.is_bad[chosen]),
            "recall": lambda chosen: self._share_of_bad(self.alarm, chosen),
            "not_accepted": lambda chosen: self._share_of_bad(self.looked_at, chosen),
        }
        return {name: by_part(figure, self.parts, seed=seed) for name, figure in wanted.items()}

    def only(self, kept: IntArray) -> _Said:
        return _Said(
            score=self.score[kept],
            alarm=self.alarm[kept],
            looked_at=self.looked_at[kept],
            is_bad=self.is_bad[kept],
            parts=tuple(self.parts[i] for i in kept),
        )

    def _share_of_bad(self, said: Bools, chosen: IntArray) -> float:
        bad = self.is_bad[chosen]
        return float(said[chosen][bad].mean()) if bad.any() else float("nan")

    def _f1(self, chosen: IntArray) -> float:
        hits = (self.alarm[chosen] & self.is_bad[chosen]).sum()
        either = self.alarm[chosen].sum() + self.is_bad[chosen].sum()
        return float(2 * hits / either) if either else float("nan")


def _rejects(score: Floats, parts: Sequence[str], model: InspectorModel) -> dict[str, float]:
    if not len(score):
        return {}
    of_parts = part_scores(score.tolist(), parts)
    rejected = int((of_parts >= model.inspector.reject_from).sum())
    not_accepted = int((of_parts >= model.inspector.review_from).sum())
    stated = model.artefact.card["threshold"]
    return {
        "good_parts": len(of_parts),
        "rejected": rejected,
        "not_accepted": not_accepted,
        "rate": rejected / len(of_parts),
        "low": binomial_lower(rejected, len(of_parts), confidence=0.975),
        "high": binomial_upper(rejected, len(of_parts), confidence=0.975),
        "stated_bound": float(stated["false_reject_rate_bound"]),
    }


def write_predictions(folder: Path, found: Evaluation) -> None:
    """``predictions.csv`` (image,score,alarm) and ``boxes.csv`` (image,x1,y1,x2,y2,class,score).

    Raises:
        StorageError: they cannot be written.
    """
    rows = [
        (one.name, *box[:4].tolist(), "defect", float(box[4]))
        for one, boxes in zip(found.pictures, found.boxes, strict=True)
        for box in boxes
    ]
    names = ["image", "x1", "y1", "x2", "y2", "class", "score"]
    table = pl.DataFrame(
        {
            "image": [one.name for one in found.pictures],
            "score": found.score,
            "alarm": np.asarray(found.alarm, np.int8),
        }
    )
    columns = {name: [row[i] for row in rows] for i, name in enumerate(names)}
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        table.write_csv(folder / "predictions.csv")
        pl.DataFrame(columns).write_csv(folder / "boxes.csv")
