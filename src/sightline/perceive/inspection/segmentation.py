"""A segmentation network: decoders, learnt in PyTorch over the maps of a backbone that stays.

What is slow about learning is the backbone, so it is asked once: pictures are cut into pieces, of
other light, size and turn, and with drawn and laid-on defects; the maps of each piece are kept, and
decoders learn from crops of these. There is one decoder for each fold of the parts, which learns
nothing from that fold: it says what strangers look like, and the mean of all is the network.

A decoder goes from stride 16 back to stride 4 (O. Ronneberger et al., U-Net, MICCAI 2015). The loss
has three terms: per pixel cross-entropy; per crop of a piece the Dice loss, which does not care how
few pixels are of defects (F. Milletari et al., V-Net, 3DV 2016); and the cross-entropy of its most
suspicious pixels, because what decides about a part is whether anything in it is. Pixels at the
border of a mask count half: people draw it one or two pixels beside. PyTorch is imported when
learning begins, by nothing else.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from sightline.errors import UsageError
from sightline.models.backbone import STRIDES_PX
from sightline.perceive.inspection.cells import MOST_SUSPICIOUS, ODDS_PX, PAD_PX
from sightline.perceive.inspection.floats import Floats
from sightline.perceive.inspection.simulated_defects import Mask, draw_defect
from sightline.records.frames import Image
from sightline.records.windows import IntArray

Layers = Mapping[str, npt.NDArray[Any]]
Halves = npt.NDArray[np.float16]
Shape = tuple[int, int, int]
Maps = Callable[[Image], Sequence[Floats]]
"""Feature maps float32[c, h / stride, w / stride], of strides 4, 8 and 16, of a picture whose sides
are multiples of 16 px."""
_COARSE_PX = STRIDES_PX[-1]
_NEAR_SHARE = 0.75
"""Of the pieces, and of their crops, that show a defect if there is one."""
_PRIOR_LOG_ODDS = -4.0
_WARM_SHARE = 0.1
_LEVEL_PIECES = 200
"""Pieces that say how large the features are."""
_BAD_FROM = 0.5
"""A crop is bad if so much of one of its squares is marked."""
_DEFECT_WEIGHT = 2.0
_BORDER_WEIGHT = 0.5
_DICE_SMOOTH = 5.0
_PICTURE_WEIGHT = 0.3
_NORM = 5.0
_GROUND_PX = 16.0
"""Deviation of the blur that says how bright it is about a place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSettings:
    """How a segmentation network is learnt.

    Attributes:
        steps: of learning, at most; in a step each decoder looks at ``batch`` crops of pieces.
        batch: crops.
        pieces: whose maps are kept, 0.34 MB of 256 px each, however many pictures there are.
        piece_px, side_px: of a piece, and of a crop of it; multiples of 16.
        rate: greatest step of AdamW.
        bad_share: of the pieces, from pictures with marked defects; where there are none, with a
            drawn one.
        laid_share: of those with a marked defect, with it laid onto a good picture.
        drawn_share: of the others, beside marked ones, with a drawn defect.
        plain_share: of the pieces, in the light and size that they were taken in, as later pictures
            are; the others learn that neither matters.
        keep_every: steps after which the state is given to be kept.
        seed: of every draw.
    """

    steps: int = 800
    batch: int = 16
    pieces: int = 2400
    piece_px: int = 256
    side_px: int = 160
    rate: float = 1e-3
    bad_share: float = 0.5
    laid_share: float = 0.3
    drawn_share: float = 0.3
    plain_share: float = 0.5
    keep_every: int = 50
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A picture to cut pieces from.

    Attributes:
        read: gives uint8[h, w] or [h, w, 3].
        fold: of its part.
        mask: gives bool[h, w], where the defect is; None for a good picture.
    """

    read: Callable[[], Image]
    fold: int
    mask: Callable[[], Mask] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pieces:
    """What decoders learn from.

    Attributes:
        maps: float16[n, h, w, c] of each stride; half of the precision is half of the memory.
        share: float16[n, h, w] at stride 4, which share of each square is marked.
        fold: int64[n].
    """

    maps: tuple[Halves, ...]
    share: Halves
    fold: IntArray


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkState:
    """Learning, interrupted after a step: nothing but arrays.

    Attributes:
        step: steps that were done.
        spent: share of the time that they took.
        layers: weights and biases by name.
        first, second: moments of AdamW by name, of layers that are learnt.
    """

    step: int
    spent: float
    layers: Layers
    first: Layers
    second: Layers


def cut_pieces(
    sources: Sequence[Source],
    *,
    maps: Maps,
    settings: NetworkSettings,
    told: Callable[[int, int], None] = lambda done, of: None,
) -> Pieces:
    """Pieces of good and marked pictures, and their maps.

    Each draws from a generator of its own (seed, number). All that is in a piece is of one fold.

    Args:
        sources: good ones of each fold, and marked ones, if any.
        maps: of a backbone.
        settings: see there.
        told: how many of how many pieces.
    """
    plain = [one for one in sources if one.mask is None]
    marked = [one for one in sources if one.mask is not None]
    alike = {fold: [one for one in plain if one.fold == fold] for fold in {o.fold for o in plain}}
    kept: list[Halves] = []
    side, count = settings.piece_px // ODDS_PX, settings.pieces
    share, fold = np.empty((count, side, side), np.float16), np.empty(count, np.int64)
    for number in range(count):
        random = np.random.default_rng((settings.seed, 0, number))
        is_bad = random.random() < settings.bad_share
        among = marked if is_bad and marked else plain
        source = among[int(random.integers(len(among)))]
        draws = settings.drawn_share if marked else float(is_bad)
        piece, mask = _piece(source, alike[source.fold], settings, random, draws=draws)
        found = [one.transpose(1, 2, 0) for one in maps(piece)]
        if not kept:  # all at once: a list that is stacked would take twice the memory
            kept = [np.empty((count, *one.shape), np.float16) for one in found]
        for all_maps, one in zip(kept, found, strict=True):
            all_maps[number] = one
        blocks = mask.reshape(side, ODDS_PX, side, ODDS_PX)
        share[number], fold[number] = blocks.mean(axis=(1, 3)), source.fold
        told(number + 1, count)
    return Pieces(maps=tuple(kept), share=share, fold=fold)


def learn_network(
    pieces: Pieces,
    *,
    decoder: Mapping[str, Shape],
    folds: int,
    settings: NetworkSettings,
    state: NetworkState | None = None,
    keep: Callable[[NetworkState], None] = lambda state: None,
    told: Callable[[int, int], None] = lambda done, of: None,
    spent: Callable[[], float] = lambda: 0.0,
) -> tuple[dict[str, npt.NDArray[np.float32]], int]:
    """Learn a decoder for each fold from the pieces of the others; layers by name, and steps.

    Every step draws from a generator of its own (seed, step), so that learning that goes on from
    a kept state sees what it would have seen. Equal arguments give equal layers on one machine with
    one number of threads, unless time runs out before the steps do: the rate follows whichever of
    both is nearer its end, so that learning always ends with small steps.

    Args:
        pieces: see there.
        decoder: channels out, channels in and kernel of each layer.
        folds: of the parts.
        settings: see there.
        state: to go on from.
        keep: is given the state every ``keep_every`` steps.
        told: how many of how many steps.
        spent: share of the time that is gone since this call, 1 and more: it is over. At least one
            step is done.

    Raises:
        UsageError: PyTorch is not installed, or the state is of another network.
    """
    torch = _torch()
    first = _levels(pieces) | _first_layers(decoder, folds, settings.seed)
    layers = state.layers if state else first
    if set(layers) != set(first):
        raise UsageError(
            expected="a kept state of this network",
            got=f"{len(set(layers) ^ set(first))} other layers",
            where="learning that goes on",
            action="begin anew: delete the checkpoint",
        )
    net = _Net(torch, layers, tuple(decoder))
    learnt = {n: p for n, p in net.parameters.items() if not n.startswith("level_")}
    optimiser = torch.optim.AdamW(list(learnt.values()), lr=settings.rate, weight_decay=1e-2)
    if state:
        _restore(torch, optimiser, learnt, state)
    others = [np.flatnonzero(pieces.fold != fold) for fold in range(folds)]
    step, gone = (state.step, state.spent) if state else (0, 0.0)
    before = gone
    while step < settings.steps and (gone < 1 or step == 0):
        share = _rate_share(max(step / settings.steps, min(gone, 1.0)))
        for group in optimiser.param_groups:
            group["lr"] = settings.rate * share
        random = np.random.default_rng((settings.seed, 1, step))
        optimiser.zero_grad()
        for fold, known in enumerate(others):
            chosen = known[random.integers(len(known), size=settings.batch)]
            maps, truth = _crops(pieces, chosen, settings.side_px, random)
            # Crops have channels last, with which a step takes far less time on a CPU.
            odds = net(fold, [torch.from_numpy(one).float().permute(0, 3, 1, 2) for one in maps])
            _loss(torch, odds, torch.from_numpy(truth).float()).backward()
        for fold in range(folds):
            own = [p for name, p in learnt.items() if name.startswith(f"{fold}.")]
            torch.nn.utils.clip_grad_norm_(own, _NORM)
        optimiser.step()
        step, gone = step + 1, before + spent()
        told(step, settings.steps)
        if step % settings.keep_every == 0 and step < settings.steps:
            keep(_state(step, gone, optimiser, net, learnt))
    return net.layers(), step


def torch_odds(
    layers: Layers, decoder: Sequence[str], maps: Sequence[Floats], *, folds: int
) -> Floats:
    """float32[folds, h / 4, w / 4] of the maps of a picture, by PyTorch.

    Raises:
        UsageError: PyTorch is not installed.
    """
    torch = _torch()
    with torch.no_grad():
        net = _Net(torch, layers, tuple(decoder))
        given = [torch.from_numpy(np.array(one[None], np.float32)) for one in maps]
        found = [net(fold, given)[0, 0].numpy() for fold in range(folds)]
    return np.asarray(np.stack(found), np.float32)


def _torch() -> Any:
    try:
        return importlib.import_module("torch")
    except ImportError as error:
        raise UsageError(
            expected="PyTorch",
            got=str(error),
            where="learning a segmentation network",
            action="pip install 'sightline[train]', or give --head cells",
        ) from error


def _levels(pieces: Pieces) -> dict[str, npt.NDArray[np.float32]]:
    """Mean and deviation of each channel of each map."""
    found = {}
    for stride, maps in zip(STRIDES_PX, pieces.maps, strict=True):
        some = maps[:: max(len(maps) // _LEVEL_PIECES, 1)].astype(np.float32)
        found[f"level_{stride}.mean"] = some.mean(axis=(0, 1, 2))
        found[f"level_{stride}.scale"] = some.std(axis=(0, 1, 2)) + np.float32(1e-3)
    return found


def _first_layers(
    decoder: Mapping[str, Shape], folds: int, seed: int
) -> dict[str, npt.NDArray[np.float32]]:
    random = np.random.default_rng(seed)
    found = {}
    for fold in range(folds):
        for i, (name, (out, into, kernel)) in enumerate(decoder.items()):
            is_last = i == len(decoder) - 1
            deviation = math.sqrt(2 / (into * kernel * kernel)) * (0.1 if is_last else 1.0)
            size = (out, into, kernel, kernel)
            weight = (random.normal(size=size) * deviation).astype(np.float32)
            found[f"{fold}.{name}.weight"] = weight
            bias = np.full(out, _PRIOR_LOG_ODDS if is_last else 0.0, np.float32)
            found[f"{fold}.{name}.bias"] = bias
    return found


class _Net:
    """The decoders in PyTorch: the same as in the graph that is exported."""

    def __init__(self, torch: Any, layers: Layers, decoder: tuple[str, ...]) -> None:
        self._torch, self._decoder = torch, decoder
        self.parameters = {
            name: torch.nn.Parameter(torch.from_numpy(np.array(value, np.float32)))
            for name, value in layers.items()
        }
        for name, parameter in self.parameters.items():
            parameter.requires_grad_(not name.startswith("level_"))

    def layers(self) -> dict[str, npt.NDArray[np.float32]]:
        return {name: p.detach().numpy().copy() for name, p in self.parameters.items()}

    def __call__(self, fold: int, maps: Sequence[Any]) -> Any:
        """Log-odds [b, 1, h / 4, w / 4] of a decoder for maps [b, c, h / stride, w / stride]."""
        f = self._torch.nn.functional
        seen = [self._standard(x, f"level_{s}") for s, x in zip(STRIDES_PX, maps, strict=True)]
        x = seen.pop()
        for name in self._decoder[:-1]:
            if name.startswith("join_"):
                larger = f.interpolate(x, scale_factor=2, mode="nearest")
                x = self._torch.cat([larger, seen.pop()], 1)
            x = f.relu(self._convolved(x, f"{fold}.{name}"))
        return self._convolved(x, f"{fold}.{self._decoder[-1]}")

    def _standard(self, x: Any, level: str) -> Any:
        mean, scale = (self.parameters[f"{level}.{p}"][:, None, None] for p in ("mean", "scale"))
        return (x - mean) / scale

    def _convolved(self, x: Any, name: str) -> Any:
        weight, bias = self.parameters[f"{name}.weight"], self.parameters[f"{name}.bias"]
        return self._torch.nn.functional.conv2d(x, weight, bias, padding=weight.shape[2] // 2)


def _loss(torch: Any, odds: Any, truth: Any) -> Any:
    f = torch.nn.functional
    each = f.binary_cross_entropy_with_logits(odds, truth, reduction="none")
    is_border = ((truth > 0) & (truth < 1)).float()
    weight = (1 - _BORDER_WEIGHT * is_border) * (1 + (_DEFECT_WEIGHT - 1) * truth)
    share = torch.sigmoid(odds)
    both = (share * truth).sum((1, 2, 3))
    either = (share * share).sum((1, 2, 3)) + (truth * truth).sum((1, 2, 3))
    dice = (1 - (2 * both + _DICE_SMOOTH) / (either + _DICE_SMOOTH)).mean()
    most = odds.flatten(1).topk(MOST_SUSPICIOUS).values.mean(1)
    is_bad = (truth.flatten(1).amax(1) > _BAD_FROM).float()
    told = f.binary_cross_entropy_with_logits(most, is_bad)
    return (each * weight).mean() + dice + _PICTURE_WEIGHT * told


def _crops(
    pieces: Pieces, chosen: IntArray, side_px: int, random: np.random.Generator
) -> tuple[list[Halves], Halves]:
    """Maps float16[b, h, w, c] of crops of pieces, and which share is marked [b, 1, h, w]."""
    side, whole = side_px // _COARSE_PX, pieces.maps[-1].shape[1]
    room = whole - side + 1
    places = random.integers(room, size=(len(chosen), 2))
    at_odds = _COARSE_PX // ODDS_PX
    for i, one in enumerate(chosen.tolist()):
        if random.random() < _NEAR_SHARE and pieces.share[one].any():
            rows, columns = np.nonzero(pieces.share[one])
            k = int(random.integers(len(rows)))
            centre = np.array([rows[k], columns[k]]) // at_odds
            places[i] = np.clip(centre - random.integers(side, size=2), 0, room - 1)
    maps = []
    for stride, kept in zip(STRIDES_PX, pieces.maps, strict=True):
        maps.append(_cropped(kept, chosen, places * (_COARSE_PX // stride), side_px // stride))
    share = _cropped(pieces.share, chosen, places * at_odds, side_px // ODDS_PX)
    return maps, share[:, None]


def _cropped(kept: Halves, chosen: IntArray, places: IntArray, side: int) -> Halves:
    crops = [
        kept[one, y : y + side, x : x + side]
        for one, (y, x) in zip(chosen.tolist(), places.tolist(), strict=True)
    ]
    return np.stack(crops)


def _piece(
    source: Source,
    alike: Sequence[Source],
    settings: NetworkSettings,
    random: np.random.Generator,
    *,
    draws: float,
) -> tuple[Image, Floats]:
    """A piece in other light, and where its defect is, float32[side, side].

    Args:
        source: of the piece.
        alike: good pictures of the same fold.
        settings: see there.
        random: of every draw.
        draws: share of good pieces that get a drawn defect.
    """
    side, picture = settings.piece_px, source.read()
    spread = 0.0 if random.random() < settings.plain_share else 1.0
    other = alike[int(random.integers(len(alike)))]
    if source.mask is None:
        none = np.zeros(picture.shape[:2], np.bool_)
        piece, mask = _cut(picture, none, side, random, spread=spread)
        if random.random() < draws:
            piece, drawn = draw_defect(piece, other.read(), random)
            mask = drawn.astype(np.float32)
        return (_lit(piece, random) if spread else piece), mask
    is_near = random.random() < _NEAR_SHARE
    piece, mask = _cut(picture, source.mask(), side, random, spread=spread, is_near=is_near)
    if random.random() < settings.laid_share:
        ground = other.read()
        none = np.zeros(ground.shape[:2], np.bool_)
        piece = _laid_on(_cut(ground, none, side, random, spread=spread)[0], piece, mask)
    return (_lit(piece, random) if spread else piece), mask


def _cut(
    picture: Image,
    mask: Mask,
    side: int,
    random: np.random.Generator,
    *,
    spread: float,
    is_near: bool = False,
) -> tuple[Image, Floats]:
    """A square piece, 0.75 to 1.35 of the side, brought to the side and turned over at random.

    With a spread of 0 it has the side.
    """
    zoom = math.exp(spread * random.uniform(-0.22, 0.22))
    stretch = math.exp(spread * random.uniform(-0.07, 0.07))
    cut_y, cut_x = round(side * zoom * stretch), round(side * zoom / stretch)
    below = max(cut_y - picture.shape[0] - PAD_PX, PAD_PX)
    right = max(cut_x - picture.shape[1] - PAD_PX, PAD_PX)
    picture, wide = (  # with a mirrored border, as it is looked at later
        np.asarray(
            cv2.copyMakeBorder(one, PAD_PX, below, PAD_PX, right, cv2.BORDER_REFLECT_101), np.uint8
        )
        for one in (picture, mask.astype(np.uint8))
    )
    height, width = wide.shape
    if is_near and wide.any():
        rows, columns = np.nonzero(wide)
        i = int(random.integers(len(rows)))
        y, x = rows[i] - int(random.integers(cut_y)), columns[i] - int(random.integers(cut_x))
        y, x = min(max(y, 0), height - cut_y), min(max(x, 0), width - cut_x)
    else:
        y, x = int(random.integers(height - cut_y + 1)), int(random.integers(width - cut_x + 1))
    inner = (slice(y, y + cut_y), slice(x, x + cut_x))
    how = cv2.INTER_AREA if zoom > 1 else cv2.INTER_LINEAR
    piece = np.asarray(cv2.resize(picture[inner], (side, side), interpolation=how), np.uint8)
    marked = cv2.resize(wide[inner], (side, side), interpolation=cv2.INTER_NEAREST)
    marked = np.asarray(marked, np.float32)
    for axis in (0, 1):
        if random.random() < 0.5:
            piece, marked = np.flip(piece, axis), np.flip(marked, axis)
    return np.ascontiguousarray(piece), np.ascontiguousarray(marked)


def _laid_on(ground: Image, piece: Image, mask: Floats) -> Image:
    """The marked defect of a piece on a good one, as much brighter than what is about it."""
    about = [
        np.asarray(cv2.GaussianBlur(one.astype(np.float32), (0, 0), _GROUND_PX), np.float32)
        for one in (ground, piece)
    ]
    moved = piece * ((about[0] + 1) / (about[1] + 1))
    share = np.asarray(cv2.GaussianBlur(mask, (0, 0), 1.5), np.float32)
    share = share if piece.ndim == 2 else share[:, :, None]
    return np.asarray(np.clip(ground * (1 - share) + moved * share, 0, 255), np.uint8)


def _lit(piece: Image, random: np.random.Generator) -> Image:
    """The piece brighter or darker, by up to half, unevenly, of another gamma, with noise."""
    height, width = piece.shape[:2]
    coarse = random.normal(size=(3, 3)).astype(np.float32) * random.uniform(0, 0.2)
    shade = np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC))
    grain = random.standard_normal((height, width), np.float32) * random.uniform(0, 3)
    if piece.ndim == 3:
        shade, grain = shade[:, :, None], grain[:, :, None]
    bright = piece * np.exp(shade + np.float32(random.uniform(-0.4, 0.4)))
    curved = 255 * np.clip(bright / 255, 0, 1) ** math.exp(random.uniform(-0.2, 0.2))
    return np.asarray(np.clip(curved + grain, 0, 255), np.uint8)


def _rate_share(done: float) -> float:
    """Of the greatest rate, where so much of learning is done: rises, then falls as a cosine.

    >>> [round(_rate_share(done), 3) for done in (0.0, 0.05, 0.1, 0.55, 1.0)]
    [0.01, 0.5, 1.0, 0.5, 0.0]
    """
    if done < _WARM_SHARE:
        return max(done / _WARM_SHARE, 0.01)
    return 0.5 * (1 + math.cos(math.pi * (done - _WARM_SHARE) / (1 - _WARM_SHARE)))


def _state(
    step: int, spent: float, optimiser: Any, net: _Net, learnt: Mapping[str, Any]
) -> NetworkState:
    moments = {name: optimiser.state[p] for name, p in learnt.items()}
    return NetworkState(
        step=step,
        spent=spent,
        layers=net.layers(),
        first={name: one["exp_avg"].numpy().copy() for name, one in moments.items()},
        second={name: one["exp_avg_sq"].numpy().copy() for name, one in moments.items()},
    )


def _restore(torch: Any, optimiser: Any, learnt: Mapping[str, Any], state: NetworkState) -> None:
    for name, parameter in learnt.items():
        optimiser.state[parameter] = {
            "step": torch.tensor(float(state.step)),
            "exp_avg": torch.from_numpy(np.array(state.first[name])),
            "exp_avg_sq": torch.from_numpy(np.array(state.second[name])),
        }
