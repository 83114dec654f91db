"""Learning an inspector: from good parts alone, or with defects that a person marked."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from sightline.errors import UsageError
from sightline.perceive.inspection.cell_head import CellHead, Surroundings, learn_surroundings
from sightline.perceive.inspection.cells import CELL_PX, Cells, grid_of
from sightline.perceive.inspection.defect_head import learn_head
from sightline.perceive.inspection.floats import Floats
from sightline.perceive.inspection.inspector import (
    REASONS,
    CellMaps,
    Inspector,
    cell_maps,
)
from sightline.perceive.inspection.patch_memory import PatchMemory, learn_patches
from sightline.perceive.inspection.simulated_defects import Mask, draw_defect, draw_defects
from sightline.perceive.inspection.usual_place import learn_usual
from sightline.records.frames import Image
from sightline.records.windows import IntArray

Bools = npt.NDArray[np.bool_]
LEAST_GOOD_PARTS = 20
"""Fewer cannot be dealt out in folds of which the others say what is usual."""
_BASIS_PICTURES, _BASIS_CELLS = 50, 5
"""Pictures of which every so many-th cell says what good cells are like."""
_DRAWN_LOOKS = 100
"""Good pictures that get a drawn defect for strangers to look at, evenly among all."""
_MEMORY_SHARES = (1.0, 0.5, 0.3, 0.2, 0.1)
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
        decay: of the weights of the head. What is drawn is never quite what will come, so a head
            that fits it less closely tells new parts better.
        folds: that parts are dealt out in. Each part is looked at by an inspector that learnt from
            the other folds.
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
    rounds: int = 4
    batch: int = 1024
    least_steps: int = 400
    decay: float = 3.0
    folds: int = 4
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
class Held:
    """A picture, and an inspector to which its part is a stranger.

    Attributes:
        source: the picture.
        maps: what memory and head of that inspector say of it.
        inspector: of the same form as the one that is kept, its thresholds infinite. Its memory,
            its head and what is usual where are of the parts of other folds; what a head sees of a
            cell (principal components) and the deviations of reasons are of all parts.
        height_px, width_px: of the picture.
    """

    source: LearntFrom
    maps: CellMaps
    inspector: Inspector
    height_px: int
    width_px: int

    def score(self) -> float:
        """That inspector's, of the picture."""
        return float(self.inspector.reasons_of(self.maps).sum())

    def pixel_odds(self) -> Floats:
        """float32[height_px, width_px]: log-odds of a defect of each pixel."""
        size_px = {"height_px": self.height_px, "width_px": self.width_px}
        return self.inspector.pixel_odds(self.maps, **size_px)


@dataclass(frozen=True, slots=True, kw_only=True)
class Learnt:
    """An inspector without thresholds, and what its like say of pictures that are new to them.

    Attributes:
        inspector: its thresholds are infinite.
        cells: makes cells of pictures for it.
        held_good, held_bad: all pictures.
        held_drawn: some of the good ones, each with one drawn defect that nothing was learnt from.
        fit_pictures, fit_parts, drawn_pictures, fit_bad: what the inspector was learnt from.
    """

    inspector: Inspector
    cells: Cells
    held_good: tuple[Held, ...]
    held_bad: tuple[Held, ...]
    held_drawn: tuple[Held, ...]
    fit_pictures: int
    fit_parts: int
    drawn_pictures: int
    fit_bad: int


LearnsNetwork = Callable[
    [Sequence[LearntFrom], Sequence[LearntFrom], Mapping[str, int]], Sequence[Cells]
]
"""Learns from good and marked pictures, and the fold of each part, what makes cells and log-odds:
for each fold what learnt nothing from it, and last what learnt from all."""


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

    Parts are shuffled (by the seed) and dealt out in folds. The inspector learns from all of them;
    beside it, for each fold, one learns from the others and looks at that fold, so that every part
    says what an inspector makes of parts that it does not know (cross-fitting).
    What is held is bounded by the settings, however many pictures there are.

    Args:
        good: without a mask.
        bad: each with a mask; may be empty.
        cells: makes cells of pictures.
        settings: see there.
        network: learns a segmentation network, which then counts beside the head.
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
    good = _some(list(good), settings, random)
    fold_of = _dealt({one.part for one in good}, settings.folds, random)
    fold_of |= _dealt({one.part for one in bad} - set(fold_of), settings.folds, random)
    every: Sequence[Cells] = [cells] * (settings.folds + 1)
    if network is not None:
        every = network(good, bad, fold_of)
    held_drawn = _drawn(good, fold_of, settings.seed)
    drawn = settings.simulated_per_picture
    looks = len(good) * (3 + drawn) + 2 * len(bad) + len(held_drawn)
    count = itertools.count(1)

    def next_one() -> None:
        told(next(count), looks)

    learnt = _learn_heads(
        good,
        bad,
        fold_of=fold_of,
        cells=cells,
        settings=settings,
        random=random,
        next_one=next_one,
    )
    inspector, held = _strangers(
        [*good, *bad, *held_drawn],
        good=len(good),
        bad=len(bad),
        fold_of=fold_of,
        models=[(*one, seen) for one, seen in zip(learnt, every, strict=True)],
        settings=settings,
        next_one=next_one,
    )
    return Learnt(
        inspector=inspector,
        cells=every[-1],
        held_good=held[: len(good)],
        held_bad=held[len(good) : len(good) + len(bad)],
        held_drawn=held[len(good) + len(bad) :],
        fit_pictures=len(good),
        fit_parts=len(parts),
        drawn_pictures=len(good) * drawn,
        fit_bad=len(bad),
    )


_Learnt = tuple[PatchMemory, CellHead]
_Model = tuple[PatchMemory, CellHead, Cells]


def _learn_heads(
    good: Sequence[LearntFrom],
    bad: Sequence[LearntFrom],
    *,
    fold_of: Mapping[str, int],
    cells: Cells,
    settings: InspectionSettings,
    random: np.random.Generator,
    next_one: Callable[[], None],
) -> list[_Learnt]:
    """Memory and head without each fold, and of all."""
    surroundings = learn_surroundings(_few_cells(good, cells))
    gathered = _Gathered(cells, surroundings, settings, random, of=len(good))
    alike = {k: [one for one in good if fold_of[one.part] == k] for k in range(settings.folds)}
    for one in good:
        picture, fold = one.read(), fold_of[one.part]
        gathered.take_good(picture, fold)
        next_one()
        for _ in range(settings.simulated_per_picture):
            # A texture of another fold would show that fold to those that must not know it.
            other = alike[fold][int(random.integers(len(alike[fold])))].read()
            gathered.take_bad(*draw_defects(picture, other, random), fold)
            next_one()
    for one in bad:
        assert one.mask is not None
        gathered.take_marked(one.read(), one.mask(), fold_of[one.part])
        next_one()
    left_out = (*range(settings.folds), None)
    first = [gathered.learn_head(k) for k in left_out]
    for one in good:
        gathered.take_hardest(one.read(), first, fold_of[one.part])
        next_one()
    return [(gathered.learn_memory(k), gathered.learn_head(k)) for k in left_out]


def _strangers(
    pictures: Sequence[LearntFrom],
    *,
    good: int,
    bad: int,
    fold_of: Mapping[str, int],
    models: Sequence[_Model],
    settings: InspectionSettings,
    next_one: Callable[[], None],
) -> tuple[Inspector, tuple[Held, ...]]:
    """The inspector of all, and pictures (good, bad, others) beside those that know them not."""
    folds = np.array([fold_of[one.part] for one in pictures])
    maps, sizes_px = [], []
    for one, fold in zip(pictures, folds.tolist(), strict=True):
        picture = one.read()
        memory, head, cells = models[fold]
        seen, fine = cells.look(picture)
        maps.append(cell_maps(memory, head, seen, fine))
        sizes_px.append(picture.shape[:2])
        next_one()
    inspectors = []
    for k, (memory, head, _) in enumerate(models):
        usual_maps = [maps[i] for i in np.flatnonzero(folds[:good] != k).tolist()]
        inspectors.append(
            Inspector(
                memory=memory,
                patches=learn_usual([one.strangeness for one in usual_maps]),
                head=head,
                usual=np.array([[0.0, 1.0]] * len(REASONS)),
                scale=settings.scale,
                reject_from=math.inf,
                review_from=math.inf,
                mark_from=0.0,
            )
        )
    table = np.array([inspectors[folds[i]].raw_reasons(maps[i]) for i in range(good + bad)])
    usual = np.stack([np.median(table[:good], axis=0), table[:good].std(axis=0) + 1e-6], axis=1)
    if bad:
        usual[0, 1] /= _memory_share(
            (table - usual[:, 0]) / usual[:, 1], np.arange(len(table)) >= good
        )
    inspectors = [replace(one, usual=usual) for one in inspectors]
    return inspectors[-1], tuple(
        Held(
            source=one,
            maps=maps[i],
            inspector=inspectors[folds[i]],
            height_px=sizes_px[i][0],
            width_px=sizes_px[i][1],
        )
        for i, one in enumerate(pictures)
    )


def _memory_share(reasons: Floats, is_bad: Bools) -> float:
    """How much the memory counts beside what was learnt of marked defects.

    The share that tells the held pictures best, by the area under the ROC curve; of alike ones the
    greatest, and never none: nobody has marked all that will come.

    Args:
        reasons: float64[n, 2] in deviations.
        is_bad: bool[n].
    """
    found = []
    for share in _MEMORY_SHARES:
        ranks = rankdata(reasons @ (share, 1.0))
        found.append(round(float(ranks[is_bad].mean() - ranks[~is_bad].mean()), 6))
    return _MEMORY_SHARES[int(np.argmax(found))]


def _drawn(good: Sequence[LearntFrom], fold_of: Mapping[str, int], seed: int) -> list[LearntFrom]:
    """Some good pictures with a defect each, its texture from a picture of the same fold."""
    random = np.random.default_rng((seed, 1))  # so that what is learnt does not depend on it
    found = []
    for one in good[:: max(len(good) // _DRAWN_LOOKS, 1)][:_DRAWN_LOOKS]:
        alike = [other for other in good if fold_of[other.part] == fold_of[one.part]]
        other = alike[int(random.integers(len(alike)))]
        found.append(_showing(one, *draw_defect(one.read(), other.read(), random)))
    return found


def _showing(one: LearntFrom, picture: Image, mask: Mask) -> LearntFrom:
    return replace(one, read=lambda: picture, mask=lambda: mask)


def _dealt(parts: set[str], folds: int, random: np.random.Generator) -> dict[str, int]:
    """The fold of each part, all of nearly one size."""
    ordered = sorted(parts)
    return {ordered[i]: k % folds for k, i in enumerate(random.permutation(len(ordered)).tolist())}


def _some(
    pictures: list[LearntFrom], settings: InspectionSettings, random: np.random.Generator
) -> list[LearntFrom]:
    if len(pictures) <= settings.most_pictures:
        return pictures
    chosen = random.choice(len(pictures), settings.most_pictures, replace=False)
    return [pictures[i] for i in sorted(chosen.tolist())]


def _few_cells(pictures: Sequence[LearntFrom], cells: Cells) -> Floats:
    """float32[n, c]: every fifth cell of some pictures, evenly among all."""
    chosen = pictures[:: max(len(pictures) // _BASIS_PICTURES, 1)][:_BASIS_PICTURES]
    every = [cells(one.read()).reshape(-1, cells.channels)[::_BASIS_CELLS] for one in chosen]
    return np.concatenate(every)


class _Gathered:
    """Patches and cells of pictures by fold, never more than the settings allow."""

    def __init__(
        self,
        cells: Cells,
        surroundings: Surroundings,
        settings: InspectionSettings,
        random: np.random.Generator,
        *,
        of: int,
    ) -> None:
        self._cells, self._settings, self._random = cells, settings, random
        self._surroundings = surroundings
        most = settings.most_cells // (of * (2 + settings.simulated_per_picture))
        self._per_picture = max(min(settings.cells_per_picture, most), 4)
        self._patches_each = min(settings.patches_per_picture, max(settings.most_patches // of, 1))
        self._patches: list[tuple[int, Floats]] = []
        self._seen: list[tuple[int, Floats, Floats]] = []
        self._hardest: list[tuple[int, Floats, list[IntArray]]] = []

    def take_good(self, picture: Image, fold: int) -> None:
        features = self._cells(picture)
        flat = features.reshape(-1, features.shape[2])
        self._patches.append((fold, flat[self._chosen(np.arange(len(flat)), self._patches_each)]))
        none = np.zeros(len(flat), np.float32)
        self._add(features, none, fold, most_defect=0, most_other=2 * self._per_picture)

    def take_bad(self, picture: Image, mask: Mask, fold: int) -> None:
        half = self._per_picture // 2
        features = self._cells(picture)
        self._add(features, self._shares(mask, features), fold, most_defect=half, most_other=half)

    def take_marked(self, picture: Image, mask: Mask, fold: int) -> None:
        """A real defect is seen four times: as it is, and turned over."""
        for flip in (None, 0, 1, -1):
            turned = picture if flip is None else np.asarray(cv2.flip(picture, flip), np.uint8)
            marked = mask if flip is None else np.asarray(cv2.flip(mask.astype(np.uint8), flip)) > 0
            features = self._cells(turned)
            shares = self._shares(marked, features)
            self._add(features, shares, fold, most_defect=200, most_other=200)

    def take_hardest(self, picture: Image, heads: Sequence[CellHead], fold: int) -> None:
        """Cells of a good picture that look most like a defect to each head that learnt from it."""
        rows = self._surroundings.rows(self._cells(picture))
        count = min(self._settings.hardest_per_picture, self._per_picture // 2, len(rows))
        chosen: list[IntArray] = []
        for k, head in enumerate(heads):
            odds = np.zeros(0) if k == fold else head.head.of_rows(rows)[:, 0]
            chosen.append(np.argsort(-odds, kind="stable")[:count])
        kept = np.unique(np.concatenate(chosen))
        self._hardest.append((fold, rows[kept], [np.searchsorted(kept, one) for one in chosen]))

    def learn_memory(self, without: int | None) -> PatchMemory:
        """A memory of the patches of all folds but one."""
        patches = [patches for fold, patches in self._patches if fold != without]
        settings = self._settings
        return learn_patches(np.concatenate(patches), size=settings.memory_size, seed=settings.seed)

    def learn_head(self, without: int | None) -> CellHead:
        """A head of the cells of all folds but one that were taken so far."""
        settings = self._settings
        head = settings.folds if without is None else without
        taken = [(rows, marks) for fold, rows, marks in self._seen if fold != without]
        for fold, rows, chosen in self._hardest:
            if fold != without:
                taken.append((rows[chosen[head]], np.zeros(len(chosen[head]), np.float32)))
        seen = np.concatenate([rows for rows, _ in taken])
        least = -(-settings.least_steps * settings.batch // len(seen))
        learnt = learn_head(
            seen,
            np.concatenate([marks for _, marks in taken]),
            hidden=settings.hidden,
            rounds=max(settings.rounds, least),
            batch=settings.batch,
            seed=settings.seed,
            decay=settings.decay,
        )
        return CellHead(surroundings=self._surroundings, head=learnt)

    def _shares(self, mask: Mask, features: Floats) -> Floats:
        return cell_shares(mask, scale=self._settings.scale).ravel()[: features[..., 0].size]

    def _add(
        self, features: Floats, share: Floats, fold: int, *, most_defect: int, most_other: int
    ) -> None:
        chosen = np.concatenate(
            [
                self._chosen(np.flatnonzero(share >= _DEFECT_SHARE), most_defect),
                self._chosen(np.flatnonzero(share == 0), most_other),
            ]
        )
        marks = (share[chosen] >= _DEFECT_SHARE).astype(np.float32)
        self._seen.append((fold, self._surroundings.rows(features)[chosen], marks))

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
