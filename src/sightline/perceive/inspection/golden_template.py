"""Boards held against a golden template: where copper is missing or too much, and of which kind.

1. The template is laid onto the picture (:func:`lay_onto`): turn, scale and shift from a
   Fourier-Mellin estimate where they are large (B. S. Reddy, B. N. Chatterji, IEEE TIP 5, 1996),
   then a homography to a fraction of a pixel by enhanced correlation (G. Evangelidis,
   E. Z. Psarakis, IEEE PAMI 30, 2008).
2. Both become copper or ground. What differs is opened by ``open_px``, so that an edge may lie that
   much elsewhere, and joined into **differences** (:func:`differences`).
3. Of each, twenty-six numbers say how large and thick it is, how far from the edge of the template
   it reaches, and what it does to the copper of the template and of the picture: how many pieces it
   touches, joins or parts. A small network learnt from marked boards tells the six kinds, and edges
   that only look different.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from sightline.errors import UsageError
from sightline.perceive.inspection.defect_head import DefectHead, learn_head
from sightline.perceive.inspection.floats import Floats
from sightline.perceive.inspection.simulated_defects import Mask
from sightline.records.frames import Image
from sightline.records.windows import IntArray

BOARD_KINDS = ("open", "short", "mousebite", "spur", "copper", "pin-hole")
"""Kinds of defect, numbered from 1 in files of boxes: copper that is parted, joined, bitten, grown,
where none belongs, and with a hole."""
_EXTRA = (2, 4, 5)
"""Kinds that are too much copper."""
LEAST_CORRELATION = 0.8
"""A template that fits worse does not show the same board."""
_ALIKE = 0.05
"""Where so few pixels differ, nothing need be moved,
and a plain one allows none."""
_FAR_CORRELATION = 0.95
"""A template that fits worse as it lies is also tried turned, scaled and shifted. (Shifting
first by the greatest phase correlation was worse: traces repeat.)"""
_COARSE_PX = 256
_STEP = 2
"""The homography is looked for in every second pixel."""
_AROUND_PX, _TOUCH_PX, _LEAST_TOUCH_PX, _LEAST_PIECE_PX = 10, 2, 4, 8
_FAR_PX = 20.0
_LEAST_RANGE = 64
FEATURES = 26
LEAST_BOARDS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardSettings:
    """How boards are compared.

    Attributes:
        open_px: an edge may lie so far elsewhere less one.
        join_px: pieces of a difference that are nearer belong together.
        gap_px: differences taken for defects that are nearer become one box.
        least_px: area of the smallest difference.
        pad_px: boxes are larger than what differs by this on each side.
        least_side_px: of a box.
        hidden, rounds, batch: of learning the network.
        seed: of its first weights.
    """

    open_px: int = 2
    join_px: int = 9
    gap_px: int = 10
    least_px: int = 8
    pad_px: float = 8.0
    least_side_px: float = 30.0
    hidden: tuple[int, int] = (48, 24)
    rounds: int = 100
    batch: int = 256
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Laid:
    """A template as it would be seen in the picture.

    Attributes:
        template: uint8[h, w], of the size of the picture.
        matrix: float64[3, 3], a pixel (x, y, 1) of the picture to one of the template.
        is_known: bool[h, w], where the template says what there should be: not beyond its edge.
        correlation: of both, −1 to 1.
    """

    template: Image
    matrix: npt.NDArray[np.float64]
    is_known: Mask
    correlation: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Differences:
    """Where a picture differs from its template.

    Attributes:
        boxes: float32[n, 4], x1, y1, x2, y2 in px, around what differs.
        is_dark: bool[n], the picture is dark where the template is bright.
        features: float32[n, 26].
    """

    boxes: Floats
    is_dark: Mask
    features: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardExample:
    """A marked board.

    Attributes:
        picture, template: uint8[h, w].
        boxes: float32[n, 4] of its defects.
        kinds: int64[n], from 1.
    """

    picture: Image
    template: Image
    boxes: Floats
    kinds: IntArray


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardDefects:
    """What was found on a board.

    Attributes:
        boxes: float32[n, 4], the surest first.
        kinds: int64[n], from 1.
        odds: float32[n], log-odds of being a defect.
        laid: how the template was laid onto the picture; below ``LEAST_CORRELATION`` nothing was
            looked for.
    """

    boxes: Floats
    kinds: IntArray
    odds: Floats
    laid: Laid

    @property
    def is_laid(self) -> bool:
        return self.laid.correlation >= LEAST_CORRELATION


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardInspector:
    """What was learnt from marked boards.

    Attributes:
        settings: how boards are compared.
        head: tells kinds from the 26 features.
        odds_from: log-odds from which a difference is a defect.
    """

    settings: BoardSettings
    head: DefectHead
    odds_from: float = 0.0

    def inspect(self, picture: Image, template: Image) -> BoardDefects:
        """Look at one board.

        Args:
            picture, template: uint8[h, w], of any two sizes.
        """
        laid = lay_onto(picture, template)
        none = np.zeros((0, 4), np.float32)
        if laid.correlation < LEAST_CORRELATION:
            nothing = np.zeros(0, np.int64)
            return BoardDefects(boxes=none, kinds=nothing, odds=none[:, 0], laid=laid)
        found = differences(picture, laid, self.settings)
        odds = self.head.of_rows(found.features)
        boxes, kinds, best = self._merged(found, odds)
        return BoardDefects(boxes=boxes, kinds=kinds, odds=best, laid=laid)

    def _merged(self, found: Differences, odds: Floats) -> tuple[Floats, IntArray, Floats]:
        """Defects of one side within ``gap_px`` as one, its kind that of the largest piece."""
        # Odds of being of any kind: half an open and half a mousebite are a whole defect.
        any_kind = np.logaddexp.reduce(odds, axis=1)
        kept = np.flatnonzero(any_kind > self.odds_from)
        boxes, dark, odds = found.boxes[kept], found.is_dark[kept], odds[kept]
        any_kind = any_kind[kept]
        group = _grouped(boxes, dark, self.settings.gap_px)
        rows: list[tuple[Floats, int, float]] = []
        for one in np.unique(group):
            inside = np.flatnonzero(group == one)
            low, high = boxes[inside, :2].min(axis=0), boxes[inside, 2:].max(axis=0)
            sides = boxes[inside, 2:] - boxes[inside, :2]
            largest = inside[int(sides.prod(axis=1).argmax())]
            kind = int(odds[largest].argmax()) + 1
            rows.append((np.concatenate([low, high]), kind, float(any_kind[inside].max())))
        rows.sort(key=lambda row: (-row[2], row[0].tolist()))
        whole = np.array([row[0] for row in rows], np.float32).reshape(-1, 4)
        return (
            self._padded(whole),
            np.array([row[1] for row in rows], np.int64),
            np.array([row[2] for row in rows], np.float32),
        )

    def _padded(self, boxes: Floats) -> Floats:
        middle = (boxes[:, :2] + boxes[:, 2:]) / 2
        side = boxes[:, 2:] - boxes[:, :2] + 2 * self.settings.pad_px
        half = np.maximum(side, self.settings.least_side_px) / 2
        return np.concatenate([middle - half, middle + half], axis=1).astype(np.float32)

    def as_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """All of it as arrays by name."""
        s = self.settings
        numbers = (s.open_px, s.join_px, s.gap_px, s.least_px, s.pad_px, s.least_side_px)
        return {
            **self.head.as_arrays(),
            "numbers": np.array((*numbers, self.odds_from), np.float64),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> BoardInspector:
        """Inverse of :meth:`as_arrays`, but for how it was learnt.

        Raises:
            KeyError: an array is missing.
            ValueError: the numbers are not seven, or the network reads other features.
        """
        open_px, join_px, gap_px, least_px, pad_px, side_px, odds = arrays["numbers"].tolist()
        head = DefectHead.from_arrays(arrays)
        if len(head.mean) != FEATURES:
            raise ValueError(f"{len(head.mean)} features of a difference, not {FEATURES}")
        return cls(
            settings=BoardSettings(
                open_px=int(open_px),
                join_px=int(join_px),
                gap_px=int(gap_px),
                least_px=int(least_px),
                pad_px=pad_px,
                least_side_px=side_px,
            ),
            head=head,
            odds_from=odds,
        )


def learn_boards(boards: Sequence[BoardExample], settings: BoardSettings) -> BoardInspector:
    """Learn from marked boards, at least ten.

    The margin of boxes is the median of what the marked ones leave around what differs.

    Raises:
        UsageError: there are too few, no template fits its picture, or nothing marked differs.
    """
    if len(boards) < LEAST_BOARDS:
        raise _unusable(f"at least {LEAST_BOARDS} boards", f"{len(boards)}", "mark more boards")
    all_found: list[tuple[Differences, BoardExample]] = []
    for one in boards:
        laid = lay_onto(one.picture, one.template)
        if laid.correlation >= LEAST_CORRELATION:
            all_found.append((differences(one.picture, laid, settings), one))
    if not all_found:
        raise _unusable("templates that fit their pictures", "none", "pair them anew")
    is_copper_dark = _is_copper_dark(all_found)
    marked = [_marked(found, one, is_copper_dark=is_copper_dark) for found, one in all_found]
    kinds = np.concatenate([kind for kind, _ in marked])
    margins = np.concatenate([margin for _, margin in marked])
    if not len(margins):
        raise _unusable("boxes around differences", "none", "check boxes and templates")
    settings = replace(settings, pad_px=max(float(np.median(margins)), 0.0))
    head = learn_head(
        np.concatenate([found.features for found, _ in all_found]),
        (kinds[:, None] == np.arange(1, len(BOARD_KINDS) + 1)).astype(np.float32),
        hidden=settings.hidden,
        rounds=settings.rounds,
        batch=min(settings.batch, len(kinds)),
        seed=settings.seed,
    )
    return BoardInspector(settings=settings, head=head)


def lay_onto(picture: Image, template: Image) -> Laid:
    """Lay a template onto a picture.

    Args:
        picture, template: uint8[h, w].
    """
    best = _refined(picture, template, np.eye(3))
    if best.correlation < _FAR_CORRELATION:
        for start in _coarse(picture, template):
            other = _refined(picture, template, start)
            best = other if other.correlation > best.correlation else best
    return best


def differences(picture: Image, laid: Laid, settings: BoardSettings) -> Differences:
    """What differs between a picture, uint8[h, w], and the template that was laid onto it."""
    expected = _is_dark(laid.template)
    dark = np.where(laid.is_known, _is_dark(picture), expected)
    seen = _Seen(dark, expected)
    boxes: list[tuple[int, int, int, int]] = []
    sides: list[bool] = []
    features: list[list[float]] = []
    for is_dark in (True, False):
        raw = (dark & ~expected if is_dark else expected & ~dark).astype(np.uint8)
        seed = cv2.morphologyEx(raw, cv2.MORPH_OPEN, _square(settings.open_px))
        grown = np.asarray(cv2.dilate(seed, _square(5)), np.uint8) & raw
        joined = np.asarray(cv2.dilate(grown, _square(settings.join_px)), np.uint8)
        bordered = cv2.copyMakeBorder(raw, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
        thick = np.asarray(cv2.distanceTransform(bordered, cv2.DIST_L2, 5), np.float32)[1:-1, 1:-1]
        count, labels, statistics, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
        for i in range(1, count):
            x, y, width, height, _ = (int(v) for v in statistics[i])
            inner = (slice(y, y + height), slice(x, x + width))
            rows, columns = np.nonzero((grown[inner] > 0) & (labels[inner] == i))
            if len(rows) < settings.least_px:
                continue
            rows, columns = rows + y, columns + x
            boxes.append((columns.min(), rows.min(), columns.max() + 1, rows.max() + 1))
            sides.append(is_dark)
            features.append(seen.of(rows, columns, thick, is_dark=is_dark))
    return Differences(
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        is_dark=np.array(sides, np.bool_),
        features=np.array(features, np.float32).reshape(-1, FEATURES),
    )


class _Seen:
    """A picture and its template as dark and bright, and what is measured of a difference."""

    def __init__(self, dark: Mask, expected: Mask) -> None:
        self._dark, self._expected = dark, expected
        self._changed = cv2.integral((dark ^ expected).astype(np.uint8))
        self._share = float((dark ^ expected).mean())
        self._inside, self._outside = (
            np.minimum(cv2.distanceTransform(m.astype(np.uint8), cv2.DIST_L2, 5), _FAR_PX)
            for m in (expected, ~expected)
        )

    def of(self, rows: IntArray, columns: IntArray, thick: Floats, *, is_dark: bool) -> list[float]:
        """The 26 features of the pixels (rows, columns)."""
        height, width = self._expected.shape
        top, left = max(int(rows.min()) - _AROUND_PX, 0), max(int(columns.min()) - _AROUND_PX, 0)
        bottom = min(int(rows.max()) + 1 + _AROUND_PX, height)
        right = min(int(columns.max()) + 1 + _AROUND_PX, width)
        one = np.zeros((bottom - top, right - left), np.uint8)
        one[rows - top, columns - left] = 1
        near = np.asarray(cv2.dilate(one, _square(2 * _TOUCH_PX + 1))) > 0
        expected = self._expected[top:bottom, left:right]
        material = expected if is_dark else ~expected
        after = material | (one > 0)
        wide = material | (np.asarray(cv2.dilate(one, _square(3))) > 0)
        dark = self._dark[top:bottom, left:right]
        real = dark if is_dark else ~dark
        touched, second = _touched(material, near)
        others, second_other = _touched(~material, near)
        real_touched, _ = _touched(real, near)
        real_others, real_second = _touched(~real, near)
        ring = near & (one == 0)
        points = np.stack([columns, rows], axis=1).astype(np.float32)
        (_, sides, _) = cv2.minAreaRect(points)
        long, short = max(sides), min(sides)
        depth = (self._outside if is_dark else self._inside)[rows, columns]
        c = self._changed
        changed = c[bottom, right] - c[top, right] - c[bottom, left] + c[top, left] - len(rows)
        border = min(columns.min(), rows.min(), width - columns.max(), height - rows.max())
        log = math.log1p
        return [
            float(is_dark),
            log(len(rows)),
            log(long),
            log(short),
            len(rows) / ((long + 1) * (short + 1)),
            log(float(thick[rows, columns].max())),
            log(float(depth.max())),
            log(float(depth.mean())),
            log(float(depth.min())),
            float(min(touched, 3)),
            float(touched == 0),
            float(touched == 1),
            log(second),
            float(min(others, 3)),
            log(second_other),
            float(_pieces(after) - _pieces(material)),
            float(_pieces(~after) - _pieces(~material)),
            float(_pieces(~wide) - _pieces(~material)),
            float(_pieces(~real) - _pieces(~material)),
            float(min(real_touched, 3)),
            float(min(real_others, 4)),
            log(real_second),
            float(material[ring].mean()) if ring.any() else 0.0,
            float(changed) / one.size,
            log(float(min(border, _FAR_PX))),
            log(1e3 * self._share),
        ]


def _touched(material: Mask, near: Mask) -> tuple[int, int]:
    """Pieces of material near a difference, and pixels of the second largest contact."""
    count, labels = cv2.connectedComponents(material.astype(np.uint8), connectivity=4)
    pixels = np.sort(np.bincount(labels[near], minlength=count)[1:])[::-1]
    second = int(pixels[1]) if len(pixels) > 1 else 0
    return int((pixels >= _LEAST_TOUCH_PX).sum()), second


def _pieces(material: Mask) -> int:
    found = cv2.connectedComponentsWithStats(material.astype(np.uint8), connectivity=4)
    return int((found[2][1:, cv2.CC_STAT_AREA] >= _LEAST_PIECE_PX).sum())


def _is_dark(picture: Image) -> Mask:
    """Below the middle of its 2nd and 98th percentile; of a plain picture, below 128."""
    low, high = np.percentile(picture[::4, ::4], [2, 98])
    return np.asarray(picture < ((low + high) / 2 if high - low >= _LEAST_RANGE else 128))


def _square(side_px: int) -> npt.NDArray[np.uint8]:
    return np.ones((side_px, side_px), np.uint8)


def _refined(picture: Image, template: Image, start: npt.NDArray[np.float64]) -> Laid:
    """From a first matrix to the homography with the greatest correlation."""
    step = np.diag([_STEP, _STEP, 1.0])
    small = (np.linalg.inv(step) @ start @ step).astype(np.float32)
    seen, wanted = (
        np.ascontiguousarray(cv2.GaussianBlur(one, (0, 0), 2)[::_STEP, ::_STEP])
        for one in (picture, template)
    )
    everywhere = np.full(seen.shape, 255, np.uint8)
    end = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 50, 1e-5)
    try:
        correlation, found = cv2.findTransformECC(
            seen, wanted, small, cv2.MOTION_HOMOGRAPHY, end, everywhere, 5
        )
    except cv2.error:  # it does not converge, or one of them is plain
        laid = _laid(template, start, picture.shape, 0.0)
        alike = 1 - float((_is_dark(laid.template) ^ _is_dark(picture)).mean())
        return replace(laid, correlation=alike if alike > 1 - _ALIKE else 0.0)
    matrix = step @ np.asarray(found, np.float64) @ np.linalg.inv(step)
    return _laid(template, matrix, picture.shape, float(correlation))


def _laid(
    template: Image,
    matrix: npt.NDArray[np.float64],
    shape: tuple[int, ...],
    correlation: float,
) -> Laid:
    whole = np.full(template.shape, 255, np.uint8)
    known = _warped(whole, matrix, shape, border=cv2.BORDER_CONSTANT)
    return Laid(
        template=_warped(template, matrix, shape),
        matrix=matrix,
        is_known=known == 255,
        correlation=correlation,
    )


def _warped(
    template: Image,
    matrix: npt.NDArray[np.float64],
    shape: tuple[int, ...],
    *,
    border: int = cv2.BORDER_REPLICATE,
) -> Image:
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    size = (shape[1], shape[0])
    return np.asarray(
        cv2.warpPerspective(template, matrix, size, flags=flags, borderMode=border), np.uint8
    )


def _coarse(picture: Image, template: Image) -> list[npt.NDArray[np.float64]]:
    """Two first matrices: the turn that Fourier-Mellin finds, and half a turn more."""
    scale = max(*picture.shape, *template.shape) / _COARSE_PX
    shrink = np.diag([1 / scale, 1 / scale, 1.0])
    seen, wanted = (_shrunk(one, scale) for one in (picture, template))
    polar = []
    radius = _COARSE_PX / 2
    flags = cv2.INTER_LINEAR | cv2.WARP_POLAR_LOG
    window = cv2.createHanningWindow((_COARSE_PX, _COARSE_PX), cv2.CV_32F)
    for one in (seen, wanted):
        spectrum = np.abs(np.fft.fftshift(np.fft.fft2((one - one.mean()) * window)))
        logs = np.log1p(spectrum).astype(np.float32)
        size = (_COARSE_PX, 2 * _COARSE_PX)
        polar.append(cv2.warpPolar(logs, size, (radius, radius), radius, flags))
    (shift_x, shift_y), _ = cv2.phaseCorrelate(polar[0], polar[1])
    turn_deg = 360 * shift_y / (2 * _COARSE_PX)
    zoom = math.exp(shift_x * math.log(radius) / _COARSE_PX)
    found = []
    for turn in (turn_deg, turn_deg + 180):
        turned = np.vstack([cv2.getRotationMatrix2D((radius, radius), turn, zoom), [0, 0, 1]])
        moved = cv2.warpAffine(wanted, turned[:2], (_COARSE_PX, _COARSE_PX))
        (by_x, by_y), _ = cv2.phaseCorrelate(moved, seen, window)
        shift = np.array([[1, 0, by_x], [0, 1, by_y], [0, 0, 1.0]])
        found.append(np.linalg.inv(shrink) @ np.linalg.inv(shift @ turned) @ shrink)
    return found


def _shrunk(picture: Image, scale: float) -> Floats:
    size = (round(picture.shape[1] / scale), round(picture.shape[0] / scale))
    small = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.float32)
    whole = np.full((_COARSE_PX, _COARSE_PX), small.mean(), np.float32)
    whole[: small.shape[0], : small.shape[1]] = small
    return whole


def _is_copper_dark(all_found: Sequence[tuple[Differences, BoardExample]]) -> bool:
    """Whether kinds with too much copper are marked where the picture is darker, by majority."""
    votes = 0
    for found, one in all_found:
        for box, kind in zip(one.boxes, one.kinds.tolist(), strict=True):
            inside = _overlap(found.boxes, box) > 0
            more = int((found.is_dark & inside).sum()) - int((~found.is_dark & inside).sum())
            votes += int(np.sign(more)) * (1 if kind in _EXTRA else -1)
    return votes >= 0


def _marked(
    found: Differences, one: BoardExample, *, is_copper_dark: bool
) -> tuple[IntArray, Floats]:
    """Kind of each difference (0 for none), and margins of boxes around single ones, in px."""
    kinds = np.zeros(len(found.boxes), np.int64)
    best = np.full(len(found.boxes), 0.5)
    margins: list[float] = []
    area = (found.boxes[:, 2:] - found.boxes[:, :2]).prod(axis=1)
    for box, kind in zip(one.boxes, one.kinds.tolist(), strict=True):
        share = _overlap(found.boxes, box) / np.maximum(area, 1)
        share[found.is_dark != ((kind in _EXTRA) == is_copper_dark)] = 0.0
        taken = share > best
        kinds[taken], best[taken] = kind, share[taken]
        if taken.sum() == 1:
            inner = found.boxes[taken][0]
            margins += [*(inner[:2] - box[:2]), *(box[2:] - inner[2:])]
    return kinds, np.array(margins)


def _overlap(boxes: Floats, box: Floats) -> Floats:
    """float32[n]: area that each box shares with one."""
    low, high = np.maximum(boxes[:, :2], box[:2]), np.minimum(boxes[:, 2:], box[2:])
    return np.asarray(np.maximum(high - low, 0).prod(axis=1))


def _grouped(boxes: Floats, side: Mask, gap_px: float) -> IntArray:
    """int64[n]: the same number for boxes of one side within a gap, from one to the next."""
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    near = ((low - high) <= gap_px).all(axis=2) & (side[:, None] == side[None])
    group = np.arange(len(boxes))
    for _ in range(len(boxes)):
        reached = np.where(near, group[None], len(boxes)).min(axis=1, initial=len(boxes))
        if (reached == group).all():
            break
        group = reached
    return group.astype(np.int64)


def _unusable(expected: str, got: str, action: str) -> UsageError:
    return UsageError(expected=expected, got=got, where="the boards to learn from", action=action)
