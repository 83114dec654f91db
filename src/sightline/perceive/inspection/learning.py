"""Learning an inspector: from good parts alone, or with defects that a person marked."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from sightline.errors import UsageError
from sightline.perceive.inspection.cell_head import CellHead, Surroundings, learn_surroundings
from sightline.perceive.inspection.cells import CELL_PX, Cells, grid_of
from sightline.perceive.inspection.defect_head import DefectHead, learn_head
from sightline.perceive.inspection.floats import Floats
from sightline.perceive.inspection.inspector import (
    REASONS,
    Inspector,
    odds_of_cells,
    raw_reasons,
)
from sightline.perceive.inspection.patch_memory import learn_patches
from sightline.perceive.inspection.simulated_defects import Mask, draw_defects
from sightline.perceive.inspection.usual_place import learn_usual
from sightline.records.frames import Image
from sightline.records.windows import IntArray

LEAST_GOOD_PARTS = 20
"""Fewer cannot be parted into those that are learnt from and those that are held back."""
_LEAST_APART = 12
"""Good parts that are at least taken for what is usual, and held back, if that is a quarter."""
_BASIS_PICTURES, _BASIS_CELLS = 50, 5
"""Pictures of which every so many-th cell says what good cells are like."""
_DEFECT_SHARE = 0.25
"""A cell is one of a defect if so much of it is; less, and it is left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InspectionSettings:
    """How an inspector is learnt.

    Attributes:
        memory_size: most normal patches that are kept.
        most_patches: most that they are chosen from.
        most_cells: most cells that the head learns from at first; the hardest are at most a tenth
            more.
        most_pictures: good pictures that are learnt from; of more, a sample.
        patches_per_picture: most that one picture gives.
        simulated_per_picture: pictures with drawn defects for each good one.
        cells_per_picture: most cells that one of these gives, and twice as many a good one.
        hardest_per_picture: cells of each good picture that look most like a defect to the head
            learnt first; a second one learns from them, too.
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
    simulated_per_picture: int = 3
    cells_per_picture: int = 120
    hardest_per_picture: int = 60
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
    has_head = network is None
    drawn = settings.simulated_per_picture if has_head else 0
    looks = 2 + drawn if has_head else 1
    steps = len(fit) * looks + len(usual) + (len(fit_bad) if has_head else 0)
    count = itertools.count(1)

    def next_one() -> None:
        told(next(count), steps)

    surroundings = learn_surroundings(_few_cells(fit, cells)) if has_head else None
    gathered = _Gathered(cells, surroundings, settings, random)
    for one in fit:
        picture = one.read()
        gathered.take_good(picture, of=len(fit))
        next_one()
        for _ in range(drawn):
            other = fit[int(random.integers(len(fit)))].read()
            gathered.take_bad(*draw_defects(picture, other, random), of=len(fit))
            next_one()
    memory = learn_patches(
        np.concatenate(gathered.patches), size=settings.memory_size, seed=settings.seed
    )
    head = None
    if surroundings is not None:
        for one in fit_bad:
            assert one.mask is not None
            gathered.take_marked(one.read(), one.mask())
            next_one()
        head = CellHead(surroundings=surroundings, head=gathered.learn_head())
        for one in fit:
            gathered.take_hardest(one.read(), head, of=len(fit))
            next_one()
        head = replace(head, head=gathered.learn_head())
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


def _few_cells(pictures: Sequence[LearntFrom], cells: Cells) -> Floats:
    """float32[n, c]: every fifth cell of some pictures, evenly among all."""
    chosen = pictures[:: max(len(pictures) // _BASIS_PICTURES, 1)][:_BASIS_PICTURES]
    every = [cells(one.read()).reshape(-1, cells.channels)[::_BASIS_CELLS] for one in chosen]
    return np.concatenate(every)


class _Gathered:
    """Patches and cells of pictures, never more than the settings allow."""

    def __init__(
        self,
        cells: Cells,
        surroundings: Surroundings | None,
        settings: InspectionSettings,
        random: np.random.Generator,
    ) -> None:
        self._cells, self._settings, self._random = cells, settings, random
        self._surroundings = surroundings
        self.patches: list[Floats] = []
        self._seen: list[Floats] = []
        self._is_defect: list[Floats] = []

    def take_good(self, picture: Image, *, of: int) -> None:
        features = self._cells(picture)
        flat = features.reshape(-1, features.shape[2])
        most = self._settings.patches_per_picture
        patches = min(most, max(self._settings.most_patches // of, 1))
        self.patches.append(flat[self._chosen(np.arange(len(flat)), patches)])
        none = np.zeros(len(flat), np.float32)
        self._add(features, none, most_defect=0, most_other=2 * self._per_picture(of))

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

    def take_hardest(self, picture: Image, head: CellHead, *, of: int) -> None:
        """Cells of a good picture that look most like a defect."""
        assert self._surroundings is not None
        rows = self._surroundings.rows(self._cells(picture))
        count = min(self._settings.hardest_per_picture, self._per_picture(of) // 2, len(rows))
        odds = head.head.of_rows(rows)[:, 0]
        self._seen.append(rows[np.argsort(-odds, kind="stable")[:count]])
        self._is_defect.append(np.zeros(count, np.float32))

    def learn_head(self) -> DefectHead:
        """A head of the cells that were taken so far."""
        seen, settings = np.concatenate(self._seen), self._settings
        return learn_head(
            seen,
            np.concatenate(self._is_defect),
            hidden=settings.hidden,
            rounds=max(settings.rounds, -(-settings.least_steps * settings.batch // len(seen))),
            batch=settings.batch,
            seed=settings.seed,
        )

    def _per_picture(self, of: int) -> int:
        most = self._settings.most_cells // (of * (2 + self._settings.simulated_per_picture))
        return max(min(self._settings.cells_per_picture, most), 4)

    def _shares(self, mask: Mask, features: Floats) -> Floats:
        return cell_shares(mask, scale=self._settings.scale).ravel()[: features[..., 0].size]

    def _add(self, features: Floats, share: Floats, *, most_defect: int, most_other: int) -> None:
        if self._surroundings is None:
            return
        chosen = np.concatenate(
            [
                self._chosen(np.flatnonzero(share >= _DEFECT_SHARE), most_defect),
                self._chosen(np.flatnonzero(share == 0), most_other),
            ]
        )
        self._seen.append(self._surroundings.rows(features)[chosen])
        self._is_defect.append((share[chosen] >= _DEFECT_SHARE).astype(np.float32))

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
