"""A segmentation network: decoders, learnt in PyTorch over the maps of a backbone that stays.

What is slow about learning is the backbone, so it is asked once: of pictures of other light, size
and turn, and with drawn and laid-on defects, and whole where they are small enough, so that the
backbone sees of a place what it will see of it later. The maps of each are kept, and decoders learn
from crops of these. There is one decoder for each fold of the parts, which learns
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
        pieces: whose maps are kept, at most.
        most_px: of all pieces together, 5.2 bytes each; there are fewer pieces where they are
            larger.
        piece_px: longest side of a piece; a picture is whole in it if it is smaller with its
            border. A multiple of 16.
        side_px: of a crop of a piece, a multiple of 16.
        rate: greatest step of AdamW.
        bad_share: of the pieces, from pictures with marked defects; where there are none, with a
            drawn one.
        laid_share: of those with a marked defect, with it laid onto a good picture.
        drawn_share: of the others, beside marked ones, with a drawn defect.
        plain_share: of the pieces, in the light and size that they were taken in, as later pictures
            are; from the others is learnt that neither matters.
        keep_every: steps after which the state is given to be kept.
        seed: of every draw.
    """

    steps: int = 800
    batch: int = 16
    pieces: int = 2400
    most_px: int = 256_000_000
    piece_px: int = 640
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
    """A picture to make pieces of.

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
        maps: of each piece, float16[h, w, c] of each stride; half of the precision is half of the
            memory.
        share: of each, float16[h, w] at stride 4, which share of each square is marked.
        fold: int64[n].
    """

    maps: Sequence[tuple[Halves, ...]]
    share: Sequence[Halves]
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
    The last is that with which they have the most pixels that are kept.

    Args:
        sources: good ones of each fold, and marked ones, if any.
        maps: of a backbone.
        settings: see there.
        told: how many of how many pieces.
    """
    plain = [one for one in sources if one.mask is None]
    marked = [one for one in sources if one.mask is not None]
    alike = {fold: [one for one in plain if one.fold == fold] for fold in {o.fold for o in plain}}
    kept: list[tuple[Halves, ...]] = []
    shares: list[Halves] = []
    folds: list[int] = []
    pixels = 0
    while len(kept) < settings.pieces and pixels < settings.most_px:
        random = np.random.default_rng((settings.seed, 0, len(kept)))
        is_bad = random.random() < settings.bad_share
        among = marked if is_bad and marked else plain
        source = among[int(random.integers(len(among)))]
        draws = settings.drawn_share if marked else float(is_bad)
        piece, mask = _piece(source, alike[source.fold], settings, random, draws=draws)
        found = (np.ascontiguousarray(one.transpose(1, 2, 0), np.float16) for one in maps(piece))
        kept.append(tuple(found))
        height, width = (length // ODDS_PX for length in mask.shape)
        blocks = mask.reshape(height, ODDS_PX, width, ODDS_PX)
        shares.append(blocks.mean(axis=(1, 3)).astype(np.float16))
        folds.append(source.fold)
        pixels += mask.size
        told(len(kept), settings.pieces)
    return Pieces(maps=kept, share=shares, fold=np.array(folds))


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
    some = pieces.maps[:: max(len(pieces.maps) // _LEVEL_PIECES, 1)]
    for i, stride in enumerate(STRIDES_PX):
        flat = [maps[i].reshape(-1, maps[i].shape[2]).astype(np.float64) for maps in some]
        count = sum(map(len, flat))
        mean = sum(one.sum(axis=0) for one in flat) / count
        spread = sum(np.square(one - mean).sum(axis=0) for one in flat) / count
        found[f"level_{stride}.mean"] = np.asarray(mean, np.float32)
        found[f"level_{stride}.scale"] = np.asarray(np.sqrt(spread) + 1e-3, np.float32)
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
    side, at_odds = side_px // _COARSE_PX, _COARSE_PX // ODDS_PX
    maps: list[list[Halves]] = [[] for _ in STRIDES_PX]
    shares = []
    for one in chosen.tolist():
        share = pieces.share[one]
        room = np.array(pieces.maps[one][-1].shape[:2]) - side + 1
        place = random.integers(room)
        if random.random() < _NEAR_SHARE and share.any():
            marked = np.argwhere(share)
            centre = marked[int(random.integers(len(marked)))] // at_odds
            place = np.clip(centre - random.integers(side, size=2), 0, room - 1)
        for crops, whole, stride in zip(maps, pieces.maps[one], STRIDES_PX, strict=True):
            crops.append(_cropped(whole, place, side, times=_COARSE_PX // stride))
        shares.append(_cropped(share, place, side, times=at_odds))
    return [np.stack(crops) for crops in maps], np.stack(shares)[:, None]


def _cropped(whole: Halves, place: IntArray, side: int, *, times: int) -> Halves:
    y, x = (place * times).tolist()
    return whole[y : y + side * times, x : x + side * times]


def _piece(
    source: Source,
    alike: Sequence[Source],
    settings: NetworkSettings,
    random: np.random.Generator,
    *,
    draws: float,
) -> tuple[Image, Floats]:
    """A piece, and where its defect is, float32[h, w], sides multiples of 16.

    Args:
        source: of the piece.
        alike: good pictures of the same fold.
        settings: see there.
        random: of every draw.
        draws: share of good pieces that get a drawn defect.
    """
    picture, is_plain = source.read(), random.random() < settings.plain_share
    other = alike[int(random.integers(len(alike)))]
    mask = np.zeros(picture.shape[:2], np.bool_)
    if source.mask is not None:
        mask = source.mask()
        if random.random() < settings.laid_share and mask.any():
            picture, mask = _laid_on(other.read(), picture, mask, random)
    elif random.random() < draws:
        picture, mask = draw_defect(picture, other.read(), random)
    marks = mask.astype(np.uint8)
    if not is_plain:
        picture, marks = _resized(picture, marks, random)
        picture = _lit(picture, random)
    for axis in (0, 1):
        if random.random() < 0.5:
            picture, marks = np.flip(picture, axis), np.flip(marks, axis)
    return _bordered(picture, marks, settings, random)


def _resized(picture: Image, marks: Image, random: np.random.Generator) -> tuple[Image, Image]:
    """0.75 to 1.35 of its size, and up to 7 % longer or wider."""
    zoom, stretch = math.exp(random.uniform(-0.22, 0.22)), math.exp(random.uniform(-0.07, 0.07))
    height, width = marks.shape
    size = (max(round(width * zoom / stretch), 1), max(round(height * zoom * stretch), 1))
    how = cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR
    resized = cv2.resize(picture, size, interpolation=how)
    marked = cv2.resize(marks, size, interpolation=cv2.INTER_NEAREST)
    return np.asarray(resized, np.uint8), np.asarray(marked, np.uint8)


def _bordered(
    picture: Image, marks: Image, settings: NetworkSettings, random: np.random.Generator
) -> tuple[Image, Floats]:
    """With a mirrored border, as it is looked at later; of a larger one a window at random."""
    wide = [max(-(-length // 16) * 16 + 2 * PAD_PX, settings.side_px) for length in marks.shape]
    below, right = (w - n - PAD_PX for w, n in zip(wide, marks.shape, strict=True))
    both = [
        cv2.copyMakeBorder(
            np.ascontiguousarray(one), PAD_PX, below, PAD_PX, right, cv2.BORDER_REFLECT_101
        )
        for one in (picture, marks)
    ]
    shown = (slice(0, min(wide[0], settings.piece_px)), slice(0, min(wide[1], settings.piece_px)))
    if max(wide) > settings.piece_px:
        near = marks if random.random() < _NEAR_SHARE else np.zeros_like(marks)
        shown = _window(near, wide, (shown[0].stop, shown[1].stop), random)
    piece, marked = (np.ascontiguousarray(one[shown]) for one in both)
    return np.asarray(piece, np.uint8), np.asarray(marked, np.float32)


def _window(
    near: Mask | Image, wide: Sequence[int], side: Sequence[int], random: np.random.Generator
) -> tuple[slice, slice]:
    """A window of these sides somewhere in the whole, over a marked pixel if there is one."""
    room = [whole - own for whole, own in zip(wide, side, strict=True)]
    begin = [int(random.integers(free + 1)) for free in room]
    marked = np.argwhere(near)
    if len(marked):
        centre = marked[int(random.integers(len(marked)))].tolist()
        begin = [
            min(max(at - int(random.integers(own)), 0), free)
            for at, own, free in zip(centre, side, room, strict=True)
        ]
    return slice(begin[0], begin[0] + side[0]), slice(begin[1], begin[1] + side[1])


def _laid_on(
    ground: Image, picture: Image, mask: Mask, random: np.random.Generator
) -> tuple[Image, Mask]:
    """The marked defect of a picture on a good one, as much brighter than what is about it."""
    height, width = ground.shape[:2]
    below, right = max(height - mask.shape[0], 0), max(width - mask.shape[1], 0)
    border = (0, below, 0, right)
    picture = np.asarray(cv2.copyMakeBorder(picture, *border, cv2.BORDER_REFLECT_101), np.uint8)
    mask = np.pad(mask, ((0, below), (0, right)))
    shown = _window(mask, mask.shape, (height, width), random)
    picture, marks = picture[shown], mask[shown]
    about = [
        np.asarray(cv2.GaussianBlur(one.astype(np.float32), (0, 0), _GROUND_PX), np.float32)
        for one in (ground, picture)
    ]
    moved = picture * ((about[0] + 1) / (about[1] + 1))
    blurred = cv2.GaussianBlur(marks.astype(np.float32), (0, 0), 1.5)
    share = np.asarray(blurred, np.float32)
    share = share if picture.ndim == 2 else share[:, :, None]
    laid = np.asarray(np.clip(ground * (1 - share) + moved * share, 0, 255), np.uint8)
    return laid, np.asarray(marks)


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
