"""From folders of pictures to a model with a card."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

import sightline
from sightline.errors import SourceError, UsageError
from sightline.evidence.inspection.network_training import NetworkTraining
from sightline.evidence.inspection.picture_account import maps_note
from sightline.evidence.inspection.scores import BINS, auroc, by_part
from sightline.evidence.inspection.threshold import FalseRejects, part_scores, set_threshold
from sightline.models import InputContract, save_artefact
from sightline.models.backbone import LICENCE, WHEEL, export_backbone, find_weights
from sightline.perceive.detect.onnx_session import read_model
from sightline.perceive.inspection import (
    BackboneCells,
    Cells,
    HandcraftedCells,
    InspectionSettings,
    Inspector,
    LearntFrom,
    learn_inspector,
)
from sightline.perceive.inspection.floats import Floats
from sightline.perceive.inspection.inspector_model import BACKBONE, KIND, NETWORK
from sightline.perceive.inspection.learning import Learnt
from sightline.perceive.inspection.normal_examples import find_examples
from sightline.perceive.inspection.segmentation import NetworkSettings
from sightline.records.frames import Image
from sightline.sense.frames.part_pictures import PartPicture, Refused, read_mask, read_picture

SIZE_SLACK = 2.0
"""A model takes pictures up to this times larger or smaller than those that it learnt from."""
REVIEW_TIMES = 3.0
"""A person looks at the share of good parts that may be rejected, times this."""
LABELS = ("none", "masks")
NETWORK_SHARE = 0.6
"""Of the time, after which a network is learnt no further; the rest is for heads and figures."""
_HANDCRAFTED_COST = (
    "handcrafted features: no learnt weights; textures and faint defects are told apart far worse "
    "than with a backbone"
)
_MOST_MARK_ODDS = 20.0
_MAPS = 12
"""Pictures whose heat maps are compared with those of an inspector that has learnt nothing."""
_ODDEST = 5
"""Good parts that are named because they score highest: they hold the threshold up."""
_RATES = (0.1, 0.15, 0.2)
_LEFT_OUT = (1, 2, 3, 5)
"""Other rates, and oddest good parts less, for which is said what they would change."""
_EXPECTED_REFUSED = 0.2
"""If more of the pictures cannot be read than this, the folder is a wrong one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backbone:
    """Where features come from.

    Attributes:
        graph: ONNX model; None for handcrafted features.
        source: what it is, for the card.
        licence: of its weights.
    """

    graph: bytes | None
    source: str
    licence: str

    def cells(self, scale: float) -> Cells:
        if self.graph is None:
            return HandcraftedCells()
        return BackboneCells(self.graph, where=self.source, scale=scale)


def open_backbone(name: str) -> Backbone:
    """``wheel``, ``handcrafted``, or a path of an ONNX model.

    Raises:
        UsageError: it is not there, or cannot be exported.
    """
    if name == "handcrafted":
        return Backbone(graph=None, source="handcrafted", licence="none needed")
    if name == "wheel":
        weights, digest = find_weights()
        source = f"{WHEEL}, weights {digest}"
        return Backbone(graph=export_backbone(weights), source=source, licence=LICENCE)
    data, digest = read_model(Path(name), sha256=None)
    return Backbone(graph=data, source=f"{Path(name).name}, {digest}", licence="not stated")


def train_inspector(
    pictures: Sequence[PartPicture],
    out: Path,
    *,
    backbone: Backbone,
    settings: InspectionSettings,
    network: NetworkSettings | None = None,
    labels: str = "none",
    false_reject_rate: float = 0.05,
    data_licence: str = "not stated",
    told: Callable[[int, int], None] = lambda done, of: None,
    spent: Callable[[], float] = lambda: 0.0,
) -> dict[str, Any]:
    """Learn an inspector and write it; its card with ``digest``.

    Args:
        pictures: of good parts, and with ``labels="masks"`` of bad ones.
        out: folder of the model.
        backbone: where features come from.
        settings: of learning.
        network: of learning a segmentation network from the weights of the wheel, beside the head;
            None: none is learnt.
        labels: ``none`` uses good parts alone, ``masks`` the marked defects, too.
        false_reject_rate: share of good parts that may be rejected.
        data_licence: of the pictures, for the card.
        told: how many of how many pictures were looked at.
        spent: share of the time for learning a network that is gone; at 1 it ends.

    Raises:
        UsageError: too few good parts, or both grey and coloured pictures.
        SourceError: too many pictures cannot be read, a mask does not fit, or one picture is good
            and bad.
        InvariantViolation: the graph of a network does not compute what PyTorch computes.
    """
    if network is not None and (backbone.graph is None or settings.scale != 1.0):
        raise UsageError(
            expected="the backbone of the wheel at scale 1",
            got=f"{backbone.source}, scale {settings.scale:g}",
            where="learning a segmentation network",
            action="leave --backbone and --scale as they are, or give --head cells",
        )
    good, bad, contract, facts = _material(pictures, labels)
    settings = settings if backbone.graph is not None else replace(settings, scale=1.0)
    cells = backbone.cells(settings.scale)
    training = None
    if network is not None:
        training = NetworkTraining(
            out=out, data=facts["digest"], settings=network, told=told, spent=spent
        )
    learnt = learn_inspector(good, bad, cells=cells, settings=settings, network=training, told=told)
    held = _Held(learnt)
    scores = held.good_part_scores()
    rejects = set_threshold(scores, rate=false_reject_rate)
    reviews = set_threshold(scores, rate=min(REVIEW_TIMES * false_reject_rate, 0.5))
    review_from = min(reviews.score, rejects.score)
    inspector = learnt.inspector.with_thresholds(
        reject_from=rejects.score,
        review_from=review_from,
        mark_from=held.mark_from(review_from),
    )
    reads = [one.read for one in good]
    examples = find_examples(inspector.memory, reads, learnt.cells, scale=inspector.scale)
    card: dict[str, Any] = {
        "code": {"sightline": sightline.__version__},
        "memory_pictures": _named(good),
        "marked_pictures": _named(bad),
        "data": facts | _counts(learnt) | {"licence": data_licence},
        "labels": labels,
        "seed": settings.seed,
        "settings": asdict(settings),
        "features": {"source": backbone.source, "licence": backbone.licence},
        **({} if training is None else {"network": training.facts}),
        "threshold": _said_threshold(rejects, inspector, scores),
        "oddest_good_parts": held.oddest_good_parts(),
        "other_thresholds": held.other_thresholds(false_reject_rate),
        "figures": held.figures(settings.seed),
        "randomised_map_correlation": held.randomised_map_correlation(settings.seed),
        "place_rule": {
            "patches_by_place": inspector.patches.is_by_place,
            "patches_explained_by_place": round(inspector.patches.explained, 4),
        },
        "notes": [
            *([_HANDCRAFTED_COST] if backbone.graph is None else []),
            *(
                []
                if rejects.holds
                else [
                    f"{rejects.parts} good parts are too few for a rate of "
                    f"{rejects.asked:g}: the bound that holds is {rejects.bound:.3f}"
                ]
            ),
        ],
    }
    if training is not None and network is not None and training.facts["steps"] < network.steps:
        card["notes"].append(
            f"time was over after {training.facts['steps']} of {network.steps} steps: another "
            "training ends elsewhere, and has another digest, unless --steps asks for fewer"
        )
    if note := maps_note(card):
        card["notes"].append(note)
    graphs = {} if backbone.graph is None else {BACKBONE: backbone.graph}
    if training is not None:
        graphs = {NETWORK: training.graph}
    digest = save_artefact(
        out,
        kind=KIND,
        contract=contract,
        graphs=graphs,
        arrays=inspector.as_arrays() | examples.as_arrays(),
        card=card,
    )
    if training is not None:
        training.done()
    return {**card, "digest": digest, "model": str(out)}


class _Held:
    """What inspectors of the same form say of pictures that are new to them."""

    def __init__(self, learnt: Learnt) -> None:
        self._learnt = learnt
        self._score = np.array([one.score() for one in (*learnt.held_good, *learnt.held_bad)])
        self._part = [one.source.part for one in (*learnt.held_good, *learnt.held_bad)]

    def good_part_scores(self) -> Floats:
        good = len(self._learnt.held_good)
        return part_scores(self._score[:good].tolist(), self._part[:good])

    def oddest_good_parts(self) -> list[dict[str, Any]]:
        """The good parts that score highest, each with its picture that does, highest first.

        They hold the threshold up. A person looks whether they are good at all.
        """
        found: dict[str, dict[str, Any]] = {}
        for i in np.argsort(-self._score[: len(self._learnt.held_good)], kind="stable").tolist():
            one = {"image": self._learnt.held_good[i].source.name, "part": self._part[i]}
            found.setdefault(self._part[i], one | {"score": round(float(self._score[i]), 6)})
        return list(found.values())[:_ODDEST]

    def other_thresholds(self, rate: float) -> list[dict[str, Any]]:
        """What a threshold finds: as asked, with more false rejects, without the oddest parts.

        Found are defects, as strangers see them: the marked ones, or those that were drawn. Without
        the oddest means that a person says that they are not good: the threshold is then of the
        other parts (memory and head still learnt from them; another training would not).
        """
        good = np.sort(self.good_part_scores())
        defects = self._learnt.held_bad or self._learnt.held_drawn
        found = np.array([one.score() for one in defects])
        wanted = [(rate, 0), *((other, 0) for other in _RATES if other > rate)]
        wanted += [(rate, count) for count in _LEFT_OUT if count < len(good)]
        told = []
        for asked, left_out in wanted:
            one = set_threshold(good[: len(good) - left_out], rate=asked)
            told.append(
                {
                    "false_rejects": asked,
                    "without_oddest": left_out,
                    "reject_from": round(one.score, 6),
                    "bound": round(one.bound, 4),
                    "found": round(float((found >= one.score).mean()), 4),
                    "of": "marked" if self._learnt.held_bad else "drawn",
                }
            )
        return told

    def mark_from(self, review_from: float) -> float:
        """Log-odds from which a pixel of a picture that is not accepted is marked.

        Without marked defects that are not accepted even odds; with them, where all pixels
        have the best F1. Of an accepted picture none is marked, whatever the odds.
        """
        edges = np.linspace(-_MOST_MARK_ODDS, _MOST_MARK_ODDS, BINS + 1)
        marked, other, accepted = np.zeros(BINS), np.zeros(BINS), 0
        pictures = (*self._learnt.held_good, *self._learnt.held_bad)
        for held, score in zip(pictures, self._score.tolist(), strict=True):
            mask = np.zeros((held.height_px, held.width_px), np.bool_)
            if held.source.mask is not None:
                mask = held.source.mask()
            if score < review_from:
                accepted += int(mask.sum())
                continue
            odds = np.clip(held.pixel_odds(), edges[0], edges[-1])
            marked += np.histogram(odds[mask], edges)[0]
            other += np.histogram(odds[~mask], edges)[0]
        if not marked.any():
            return 0.0
        hits, false = np.cumsum(marked[::-1])[::-1], np.cumsum(other[::-1])[::-1]
        wanted = marked.sum() + accepted
        best = int((2 * hits / np.maximum(wanted + hits + false, 1)).argmax())
        return float(edges[best])

    def randomised_map_correlation(self, seed: int) -> float | None:
        """Rank correlation of log-odds of cells with those of a head that has learnt nothing.

        The median over pictures held back; None for a network, whose heat comes from its graph.
        """
        random = np.random.default_rng(seed)
        found = []
        for held in self._learnt.held_good[:_MAPS]:
            if held.maps.fine is not None:
                return None
            other = held.inspector.head.randomised(random)
            odds = other.log_odds(self._learnt.cells(held.source.read()))
            ranks = [rankdata(m) for m in (held.maps.odds, odds)]
            found.append(float(np.corrcoef(*ranks)[0, 1]))
        return round(float(np.median(found)), 4)

    def figures(self, seed: int) -> dict[str, Any]:
        """Image AUROC on pictures held back, where there are bad ones."""
        if not self._learnt.held_bad:
            return {}
        is_bad = np.arange(len(self._score)) >= len(self._learnt.held_good)
        found = by_part(
            lambda chosen: auroc(self._score[chosen], is_bad[chosen]), self._part, seed=seed
        )
        return {"held_back_image_auroc": asdict(found)}


def _material(
    pictures: Sequence[PartPicture], labels: str
) -> tuple[list[LearntFrom], list[LearntFrom], InputContract, dict[str, Any]]:
    if labels not in LABELS:
        raise UsageError(
            expected=" or ".join(LABELS),
            got=labels,
            where="--labels",
            action="boxes are for boards (pictures beside their templates); mark masks, or learn "
            "from good parts alone",
        )
    wanted = [one for one in pictures if one.is_good or labels == "masks"]
    good: list[LearntFrom] = []
    bad: list[LearntFrom] = []
    refused: Counter[str] = Counter()
    unmarked = 0
    shapes: list[tuple[int, int, int]] = []
    whole = hashlib.sha256()
    seen: dict[str, PartPicture] = {}
    for one in wanted:
        picture = read_picture(one.path)
        if isinstance(picture, Refused):
            refused[picture.code] += 1
            continue
        shape = (*picture.shape[:2], 1 if picture.ndim == 2 else 3)
        digest = hashlib.sha256(picture.tobytes()).hexdigest()
        whole.update(f"{one.name}\0{digest}\0".encode())
        before = seen.setdefault(digest, one)
        if before.is_good != one.is_good:
            raise SourceError(
                expected="each picture either good or bad",
                got=f"the same pixels in {before.name} and {one.name}",
                where="the pictures to learn from",
                action="delete the one that is labelled wrongly",
            )
        mask = None
        if one.mask is not None:
            mask = read_mask(one.mask, height_px=shape[0], width_px=shape[1])
        if not one.is_good and (mask is None or not mask.any()):
            unmarked += 1
            continue
        shapes.append(shape)
        if one.is_good:
            good.append(LearntFrom(name=one.name, part=one.part, read=_reader(one.path)))
        else:
            assert mask is not None
            whole.update(hashlib.sha256(mask.tobytes()).digest())
            bad.append(
                LearntFrom(name=one.name, part=one.part, read=_reader(one.path), mask=_given(mask))
            )
    if sum(refused.values()) > _EXPECTED_REFUSED * len(wanted):
        raise SourceError(
            expected=f"at most {_EXPECTED_REFUSED:.0%} of the pictures refused",
            got=", ".join(f"{count} {code}" for code, count in refused.items()),
            where="the pictures to learn from",
            action="look at them; 8 bits, grey or colour, not black",
        )
    if len({shape[2] for shape in shapes}) > 1:
        colours = sum(shape[2] == 3 for shape in shapes)
        raise UsageError(
            expected="pictures that are all grey, or all coloured",
            got=f"{colours} coloured of {len(shapes)}",
            where="the pictures to learn from",
            action="convert them to one form",
        )
    if labels == "masks" and not bad:
        raise UsageError(
            expected="marked defects",
            got=f"none in {len(wanted)} pictures",
            where="--labels masks",
            action="put pictures of bad parts with their masks among those to learn from (of a "
            "folder with train and test, into train/CLASS), or learn from good parts alone",
        )
    heights, widths = [s[0] for s in shapes] or [1], [s[1] for s in shapes] or [1]
    contract = InputContract(
        channels=shapes[0][2] if shapes else 1,
        bit_depth=8,
        min_width_px=max(round(min(widths) / SIZE_SLACK), 16),
        max_width_px=round(max(widths) * SIZE_SLACK),
        min_height_px=max(round(min(heights) / SIZE_SLACK), 16),
        max_height_px=round(max(heights) * SIZE_SLACK),
    )
    facts = {
        "digest": whole.hexdigest(),
        "pictures": len(wanted),
        "refused": dict(sorted(refused.items())),
        "bad_without_mask": unmarked,
    }
    return good, bad, contract, facts


def _named(pictures: Sequence[LearntFrom]) -> list[list[str]]:
    """Name and SHA-256 of the pixels of each."""
    return [[one.name, hashlib.sha256(one.read().tobytes()).hexdigest()] for one in pictures]


def _reader(path: Path) -> Callable[[], Image]:
    def read() -> Image:
        picture = read_picture(path)
        if isinstance(picture, Refused):
            raise SourceError(
                expected="the picture of before",
                got=f"{picture.code}: {picture.detail}",
                where=str(path),
                action="leave the pictures as they are while a model is trained",
            )
        return picture

    return read


def _given(mask: npt.NDArray[np.bool_]) -> Callable[[], npt.NDArray[np.bool_]]:
    packed, shape = np.packbits(mask), mask.shape

    def give() -> npt.NDArray[np.bool_]:
        count = shape[0] * shape[1]
        return np.unpackbits(packed, count=count).reshape(shape).astype(np.bool_)

    return give


def _counts(learnt: Learnt) -> dict[str, int]:
    return {
        "learnt_good_pictures": learnt.fit_pictures,
        "learnt_good_parts": learnt.fit_parts,
        "learnt_bad_pictures": learnt.fit_bad,
        "drawn_pictures": learnt.drawn_pictures,
        "held_good_pictures": len(learnt.held_good),
        "held_bad_pictures": len(learnt.held_bad),
    }


def _said_threshold(rejects: FalseRejects, inspector: Inspector, scores: Floats) -> dict[str, Any]:
    cuts = np.quantile(scores, [0.5, 0.9, 0.95, 1.0]).round(6).tolist()
    return {
        "reject_from": inspector.reject_from,
        "review_from": inspector.review_from,
        "mark_from": inspector.mark_from,
        "false_reject_rate_asked": rejects.asked,
        "false_reject_rate_bound": rejects.bound,
        "confidence": rejects.confidence,
        "held_back_parts": rejects.parts,
        "held_back_parts_above": rejects.above,
        "held_back_scores": dict(zip(("p50", "p90", "p95", "most"), cuts, strict=True)),
        "how": "order statistic of good parts, each looked at by an inspector that learnt nothing "
        "from it; the bound is exact (Clopper and Pearson)",
    }
