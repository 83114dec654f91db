"""Learning an inspector: from good parts alone, or with defects that a person marked."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from sightline.errors import UsageError
from sightline.perceive.inspection.cells import CELL_PX, Cells, grid_of
from sightline.perceive.inspection.defect_head import learn_head, seen_by_head
from sightline.perceive.inspection.floats import Floats
from sightline.perceive.inspection.inspector import (
    REASONS,
    Inspector,
    odds_of_cells,
    raw_reasons,
)
from sightline.perceive.inspection.patch_memory import learn_patches
from sightline.perceive.inspection.simulated_defects import Mask, draw_defect
from sightline.perceive.inspection.usual_place import learn_usual
from sightline.records.frames import Image
from sightline.records.windows import IntArray

LEAST_GOOD_PARTS = 20
"""Fewer cannot be parted into those that are learnt from and those that are held back."""
_LEAST_APART = 12
"""Good parts that are at least taken for what is usual, and held back, if that is a quarter."""
_DEFECT_SHARE = 0.25
"""A cell is one of a defect if so much of it is; less, and it is left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InspectionSettings:
    """How an inspector is learnt.

    Attributes:
        memory_size: most normal patches that are kept.
        most_patches: most that they are chosen from.
        most_cells: most cells that the head learns from.
        most_pictures: good pictures that are learnt from; of more, a sample.
        patches_per_picture: most that one picture gives.
        simulated_per_picture: pictures with a drawn defect for each good one.
        cells_per_picture: most cells that one of these gives.
        hidden: units of the two hidden layers of the head.
        rounds, batch: of learning the head; of few cells there are more rounds, so that it takes at
            least ``least_steps``.
        patch_share: share of the memory in the heat map.
        usual_share, held_share: of good parts, for what is usual and for the threshold.
        scale: factor by which pictures are enlarged.
        seed: of every draw.
    """

    memory_size: int = 1500
    most_patches: int = 40_000
    most_cells: int = 300_000
    most_pictures: int = 5_000
    patches_per_picture: int = 64
    simulated_per_picture: int = 8
    cells_per_picture: int = 120
    hidden: tuple[int, int] = (128, 64)
    rounds: int = 12
    batch: int = 1024
    least_steps: int = 800
    patch_share: float = 0.5
    usual_share: float = 0.10
    held_share: float = 0.15
    scale: float = 1.0
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LearntFrom:
    """One picture to learn from.

    Attributes:
        name: of the picture.
        part: pictures of one part are never on both sides of a split.
        read: gives uint8[height, width] or [height, width, 3].
        mask: gives bool[height, width], where the defect is; None for a good picture.
    """

    name: str
    part: str
    read: Callable[[], Image]
    mask: Callable[[], Mask] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Learnt:
    """An inspector without thresholds, and the pictures that it has not seen.

    Attributes:
        inspector: its thresholds are infinite.
        cells: makes cells of pictures for it.
        held_good, held_bad: pictures that nothing was learnt from.
        fit_pictures, fit_parts, drawn_pictures, fit_bad: what it was learnt from.
    """

    inspector: Inspector
    cells: Cells
    held_good: tuple[LearntFrom, ...]
    held_bad: tuple[LearntFrom, ...]
    fit_pictures: int
    fit_parts: int
    drawn_pictures: int
    fit_bad: int


LearnsNetwork = Callable[[Sequence[LearntFrom], Sequence[LearntFrom]], Cells]
"""Learns from good and marked pictures what makes cells and log-odds."""


def learn_inspector(
    good: Sequence[LearntFrom],
    bad: Sequence[LearntFrom],
    *,
    cells: Cells,
    settings: InspectionSettings,
    network: LearnsNetwork | None = None,
    told: Callable[[int, int], None] = lambda done, of: None,
) -> Learnt:
    """Learn from good pictures, and from pictures with marked defects where there are some.

    Parts are shuffled (by the seed) and split in three: learnt from, for what is usual, held back.
    What is held is bounded by the settings, however many pictures there are.

    Args:
        good: without a mask.
        bad: each with a mask; may be empty.
        cells: makes cells of pictures.
        settings: see there.
        network: learns a segmentation network, which then takes the place of ``cells`` and head.
        told: how many of how many pictures were looked at.

    Raises:
        UsageError: there are fewer than 20 good parts.
    """
    parts = sorted({one.part for one in good})
    if len(parts) < LEAST_GOOD_PARTS:
        raise UsageError(
            expected=f"at least {LEAST_GOOD_PARTS} good parts",
            got=f"{len(parts)}",
            where="the pictures to learn from",
            action="take pictures of more good parts",
        )
    random = np.random.default_rng(settings.seed)
    usual_parts, held_parts = _split(parts, settings, random)
    if bad:
        others = sorted({one.part for one in bad} - set(parts))
        held = random.permutation(len(others))[: round(len(others) * settings.held_share)]
        held_parts |= {others[i] for i in held}
    apart = usual_parts | held_parts
    fit = _some([one for one in good if one.part not in apart], settings, random)
    fit_bad = [one for one in bad if one.part not in apart]
    usual = [one for one in good if one.part in usual_parts]
    if network is not None:
        cells = network(fit, fit_bad)
    drawn = 0 if network is not None else settings.simulated_per_picture
    steps = len(fit) * (1 + drawn) + len(usual) + (0 if network is not None else len(fit_bad))
    count = itertools.count(1)

    def next_one() -> None:
        told(next(count), steps)

    gathered = _Gathered(cells, settings, random)
    for one in fit:
        picture = one.read()
        gathered.take_good(picture, of=len(fit))
        next_one()
        for _ in range(drawn):
            other = fit[int(random.integers(len(fit)))].read()
            gathered.take_bad(*draw_defect(picture, other, random), of=len(fit))
            next_one()
    memory = learn_patches(
        np.concatenate(gathered.patches), size=settings.memory_size, seed=settings.seed
    )
    head = None
    if network is None:
        for one in fit_bad:
            assert one.mask is not None
            gathered.take_marked(one.read(), one.mask())
            next_one()
        seen = np.concatenate(gathered.seen)
        head = learn_head(
            seen,
            np.concatenate(gathered.is_defect),
            hidden=settings.hidden,
            rounds=max(settings.rounds, -(-settings.least_steps * settings.batch // len(seen))),
            batch=settings.batch,
            seed=settings.seed,
        )
    distances, odds = [], []
    for one in usual:
        seen, fine = cells.look(one.read())
        distances.append(memory.strangeness(seen))
        odds.append(odds_of_cells(head, seen, fine))
        next_one()
    inspector = Inspector(
        memory=memory,
        patches=learn_usual(distances),
        head=head,
        odds=learn_usual(odds),
        usual=np.array([[0.0, 1.0]] * len(REASONS)),
        scale=settings.scale,
        reject_from=math.inf,
        review_from=math.inf,
        mark_from=1.0,
        patch_share=settings.patch_share,
    )
    return Learnt(
        inspector=_with_usual_reasons(inspector, distances, odds),
        cells=cells,
        held_good=tuple(one for one in good if one.part in held_parts),
        held_bad=tuple(one for one in bad if one.part in held_parts),
        fit_pictures=len(fit),
        fit_parts=len({one.part for one in fit}),
        drawn_pictures=len(fit) * drawn,
        fit_bad=len(fit_bad),
    )


def _split(
    parts: Sequence[str], settings: InspectionSettings, random: np.random.Generator
) -> tuple[set[str], set[str]]:
    order = [parts[i] for i in random.permutation(len(parts))]
    least = min(_LEAST_APART, len(parts) // 4)
    usual = max(round(len(parts) * settings.usual_share), least)
    held = max(round(len(parts) * settings.held_share), least)
    return set(order[:usual]), set(order[usual : usual + held])


def _some(
    pictures: list[LearntFrom], settings: InspectionSettings, random: np.random.Generator
) -> list[LearntFrom]:
    if len(pictures) <= settings.most_pictures:
        return pictures
    chosen = random.choice(len(pictures), settings.most_pictures, replace=False)
    return [pictures[i] for i in sorted(chosen.tolist())]


def _with_usual_reasons(
    inspector: Inspector, distances: Sequence[Floats], odds: Sequence[Floats]
) -> Inspector:
    """Reasons of good pictures, each held against the places of the others."""
    rows = []
    for i, (one, own) in enumerate(zip(distances, odds, strict=True)):
        deviation = learn_usual([*distances[:i], *distances[i + 1 :]]).deviations(one)
        said = own
        if inspector.head is None:
            said = learn_usual([*odds[:i], *odds[i + 1 :]]).deviations(own)
        rows.append(raw_reasons(deviation - np.median(deviation), said))
    table = np.array(rows)
    usual = np.stack([np.median(table, axis=0), table.std(axis=0) + 1e-6], axis=1)
    return Inspector.from_arrays(inspector.as_arrays() | {"usual": usual})


class _Gathered:
    """Patches and cells of pictures, never more than the settings allow."""

    def __init__(
        self, cells: Cells, settings: InspectionSettings, random: np.random.Generator
    ) -> None:
        self._cells, self._settings, self._random = cells, settings, random
        self.patches: list[Floats] = []
        self.seen: list[Floats] = []
        self.is_defect: list[Floats] = []

    def take_good(self, picture: Image, *, of: int) -> None:
        features = self._cells(picture)
        flat = features.reshape(-1, features.shape[2])
        most = self._settings.patches_per_picture
        patches = min(most, max(self._settings.most_patches // of, 1))
        self.patches.append(flat[self._chosen(np.arange(len(flat)), patches)])
        per = self._per_picture(of)
        self._add(features, np.zeros(len(flat), np.float32), most_defect=0, most_other=per)

    def take_bad(self, picture: Image, mask: Mask, *, of: int) -> None:
        half = self._per_picture(of) // 2
        features = self._cells(picture)
        self._add(features, self._shares(mask, features), most_defect=half, most_other=half)

    def take_marked(self, picture: Image, mask: Mask) -> None:
        """A real defect is seen four times: as it is, and turned over."""
        for flip in (None, 0, 1, -1):
            turned = picture if flip is None else np.asarray(cv2.flip(picture, flip), np.uint8)
            marked = mask if flip is None else np.asarray(cv2.flip(mask.astype(np.uint8), flip)) > 0
            features = self._cells(turned)
            shares = self._shares(marked, features)
            self._add(features, shares, most_defect=200, most_other=200)

    def _per_picture(self, of: int) -> int:
        most = self._settings.most_cells // (of * (1 + self._settings.simulated_per_picture))
        return max(min(self._settings.cells_per_picture, most), 4)

    def _shares(self, mask: Mask, features: Floats) -> Floats:
        return cell_shares(mask, scale=self._settings.scale).ravel()[: features[..., 0].size]

    def _add(self, features: Floats, share: Floats, *, most_defect: int, most_other: int) -> None:
        chosen = np.concatenate(
            [
                self._chosen(np.flatnonzero(share >= _DEFECT_SHARE), most_defect),
                self._chosen(np.flatnonzero(share == 0), most_other),
            ]
        )
        self.seen.append(seen_by_head(features)[chosen])
        self.is_defect.append((share[chosen] >= _DEFECT_SHARE).astype(np.float32))

    def _chosen(self, places: IntArray, most: int) -> IntArray:
        if len(places) <= most:
            return places
        return self._random.choice(places, most, replace=False)


def cell_shares(mask: Mask, *, scale: float) -> Floats:
    """float32[rows, columns]: which share of each cell is marked.

    >>> cell_shares(np.ones((8, 12), np.bool_), scale=1.0).tolist()
    [[1.0, 0.5]]
    """
    rows, columns = grid_of(*mask.shape, scale=scale)
    wide = mask.astype(np.float32)
    if scale != 1.0:
        size = (round(mask.shape[1] * scale), round(mask.shape[0] * scale))
        wide = np.asarray(cv2.resize(wide, size, interpolation=cv2.INTER_LINEAR), np.float32)
    whole = np.zeros((rows * CELL_PX, columns * CELL_PX), np.float32)
    whole[: wide.shape[0], : wide.shape[1]] = wide
    cells = whole.reshape(rows, CELL_PX, columns, CELL_PX)
    return np.asarray(cells.mean(axis=(1, 3), dtype=np.float32))
