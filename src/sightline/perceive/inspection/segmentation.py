"""A segmentation network: the backbone and a decoder, learnt together in PyTorch, run as ONNX.

The encoder is the backbone up to stride 16, its batch normalisation folded into its convolutions
and learnt further at a lower rate, except up to stride 4, where there is little to learn and much
of the work; the decoder goes back to stride 2 (O. Ronneberger et al., U-Net, MICCAI 2015). The loss
has three terms: per pixel cross-entropy; per piece the Dice loss, which does not care how few
pixels are of defects (F. Milletari et al., V-Net, 3DV 2016); and per piece the cross-entropy of its
most suspicious pixels, because what decides about a part is whether anything in it is. Pixels next
to the border of a mask do not count in the first: people draw it one or two pixels beside. PyTorch
is imported when learning begins, by nothing else.
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
from sightline.perceive.inspection.cells import MOST_SUSPICIOUS, PAD_PX
from sightline.perceive.inspection.floats import Floats
from sightline.perceive.inspection.simulated_defects import Mask, draw_defect
from sightline.records.frames import Image

Layers = Mapping[str, npt.NDArray[Any]]
Shape = tuple[int, int, int]
_STAGES = ((1, 1), (2, 2), (2, 2), (3, 2), (3, 1))
"""Blocks and first stride of each stage; the kernels are in the weights."""
_TAPS = (0, 2, 4, 10)
_FROZEN = ("_conv_stem", "_blocks.0.", "_blocks.1.", "_blocks.2.")
"""Layers up to stride 4 stay as they are: a fifth of the work of learning is saved."""
_PRIOR_LOG_ODDS = -4.0
_WARM_SHARE = 0.1
_DEFECT_WEIGHT = 2.0
_DICE_SMOOTH = 20.0
_PICTURE_WEIGHT = 0.3
_NORM = 5.0
_GROUND_PX = 16.0
"""Deviation of the blur that says how bright it is about a place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSettings:
    """How a segmentation network is learnt.

    Attributes:
        steps: of learning, at most; a step looks at ``batch`` pieces of pictures.
        batch: pieces.
        side_px: of a piece; a multiple of 16.
        rate, encoder_rate: greatest step of AdamW, of decoder and encoder.
        marked_share: of the pieces, from pictures with marked defects, where there are some.
        laid_share: of these, with the defect laid onto a good picture.
        drawn_share: of the others, with a drawn defect.
        keep_every: steps after which the state is given to be kept.
        seed: of every draw.
    """

    steps: int = 1500
    batch: int = 8
    side_px: int = 256
    rate: float = 1e-3
    encoder_rate: float = 2e-4
    marked_share: float = 0.5
    laid_share: float = 0.3
    drawn_share: float = 0.3
    keep_every: int = 50
    seed: int = 0


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


def learn_network(
    good: Sequence[Callable[[], Image]],
    marked: Sequence[tuple[Callable[[], Image], Callable[[], Mask]]],
    *,
    backbone: Layers,
    decoder: Mapping[str, Shape],
    settings: NetworkSettings,
    state: NetworkState | None = None,
    keep: Callable[[NetworkState], None] = lambda state: None,
    told: Callable[[int, int], None] = lambda done, of: None,
    spent: Callable[[], float] = lambda: 0.0,
) -> tuple[dict[str, npt.NDArray[np.float32]], int]:
    """Learn from good pictures with drawn defects, and from marked ones; layers by name, and steps.

    Every step draws from a generator of its own (seed, step), so that learning that goes on from
    a kept state sees what it would have seen. Equal arguments give equal layers on one machine with
    one number of threads, unless time runs out before the steps do: the rate follows whichever of
    both is nearer its end, so that learning always ends with small steps.

    Args:
        good: give uint8[h, w] or [h, w, 3].
        marked: give pictures with defects and where they are; may be empty.
        backbone: layers of the encoder, folded.
        decoder: channels out, channels in and kernel of each layer after it.
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
    layers = state.layers if state else dict(backbone) | _first_layers(decoder, settings.seed)
    wanted = set(backbone) | {f"{n}.{p}" for n in decoder for p in ("weight", "bias")}
    if set(layers) != wanted:
        raise UsageError(
            expected="a kept state of this network",
            got=f"{len(set(layers) ^ wanted)} other layers",
            where="learning that goes on",
            action="begin anew: delete the checkpoint",
        )
    net = _Net(torch, layers, tuple(decoder))
    learnt = {name: p for name, p in net.parameters.items() if not name.startswith(_FROZEN)}
    for name in set(net.parameters) - set(learnt):
        net.parameters[name].requires_grad_(False)
    groups: list[dict[str, Any]] = [
        {"params": [p for n, p in learnt.items() if n in backbone]},
        {"params": [p for n, p in learnt.items() if n not in backbone]},
    ]
    optimiser = torch.optim.AdamW(groups, weight_decay=1e-2)
    if state:
        _restore(torch, optimiser, learnt, state)
    step, gone = (state.step, state.spent) if state else (0, 0.0)
    before = gone
    while step < settings.steps and (gone < 1 or step == 0):
        share = _rate_share(max(step / settings.steps, min(gone, 1.0)))
        for group, most in zip(
            optimiser.param_groups, (settings.encoder_rate, settings.rate), strict=True
        ):
            group["lr"] = most * share
        random = np.random.default_rng((settings.seed, step))
        pieces = [_piece(good, marked, settings, random) for _ in range(settings.batch)]
        pictures = torch.from_numpy(np.stack([_fed(piece) for piece, _, _ in pieces]))
        truth = torch.from_numpy(np.stack([mask[None] for _, mask, _ in pieces]))
        counts = torch.from_numpy(np.stack([sure[None] for _, _, sure in pieces]))
        optimiser.zero_grad()
        loss = _loss(torch, net(pictures), truth, counts)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(list(learnt.values()), _NORM)
        optimiser.step()
        step, gone = step + 1, before + spent()
        told(step, settings.steps)
        if step % settings.keep_every == 0 and step < settings.steps:
            keep(_state(step, gone, optimiser, net, learnt))
    return net.layers(), step


def torch_odds(layers: Layers, decoder: Sequence[str], picture: Image) -> Floats:
    """float32[h / 2, w / 2] of a picture whose sides are multiples of 16 px, by PyTorch.

    Raises:
        UsageError: PyTorch is not installed.
    """
    torch = _torch()
    with torch.no_grad():
        found = _Net(torch, layers, tuple(decoder))(torch.from_numpy(_fed(picture)[None]))
    return np.asarray(found[0, 0].numpy(), np.float32)


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


def _first_layers(decoder: Mapping[str, Shape], seed: int) -> dict[str, npt.NDArray[np.float32]]:
    random = np.random.default_rng(seed)
    found = {}
    for i, (name, (out, into, kernel)) in enumerate(decoder.items()):
        is_last = i == len(decoder) - 1
        deviation = math.sqrt(2 / (into * kernel * kernel)) * (0.1 if is_last else 1.0)
        size = (out, into, kernel, kernel)
        found[f"{name}.weight"] = (random.normal(size=size) * deviation).astype(np.float32)
        found[f"{name}.bias"] = np.full(out, _PRIOR_LOG_ODDS if is_last else 0.0, np.float32)
    return found


class _Net:
    """The network in PyTorch: the same as the graph that is exported."""

    def __init__(self, torch: Any, layers: Layers, decoder: tuple[str, ...]) -> None:
        self._torch, self._decoder = torch, decoder
        self.parameters = {
            name: torch.nn.Parameter(torch.from_numpy(np.array(value, np.float32)))
            for name, value in layers.items()
        }

    def layers(self) -> dict[str, npt.NDArray[np.float32]]:
        return {name: p.detach().numpy().copy() for name, p in self.parameters.items()}

    def __call__(self, pictures: Any) -> Any:
        """Log-odds [b, 1, h / 2, w / 2] of [b, 3, h, w]."""
        f = self._torch.nn.functional
        # With channels last a step takes little more than half of the time on a CPU.
        x = pictures.contiguous(memory_format=self._torch.channels_last)
        x = f.relu6(self._convolved(x, "_conv_stem", 2))
        maps, number = [], 0
        for repeats, first_stride in _STAGES:
            for repeat in range(repeats):
                name, y = f"_blocks.{number}", x
                if f"{name}._expand_conv.weight" in self.parameters:
                    y = f.relu6(self._convolved(y, f"{name}._expand_conv"))
                stride = 1 if repeat else first_stride
                y = f.relu6(self._convolved(y, f"{name}._depthwise_conv", stride))
                y = self._convolved(y, f"{name}._project_conv")
                x = x + y if repeat else y
                if number in _TAPS:
                    maps.append(x)
                number += 1
        x = maps.pop()
        for i, name in enumerate(self._decoder[:-1]):
            if i:
                larger = f.interpolate(x, scale_factor=2, mode="nearest")
                x = self._torch.cat([larger, maps.pop()], 1)
            x = f.relu(self._convolved(x, name))
        return self._convolved(x, self._decoder[-1])

    def _convolved(self, x: Any, name: str, stride: int = 1) -> Any:
        f = self._torch.nn.functional
        weight, bias = self.parameters[f"{name}.weight"], self.parameters[f"{name}.bias"]
        kernel = weight.shape[2]
        groups = len(weight) if weight.shape[1] == 1 < len(weight) else 1
        if stride == 1:
            return f.conv2d(x, weight, bias, padding=kernel // 2, groups=groups)
        pads: list[int] = []
        for size in (x.shape[3], x.shape[2]):  # as TensorFlow pads: more at the end
            whole = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            pads += [whole // 2, whole - whole // 2]
        return f.conv2d(f.pad(x, pads), weight, bias, stride=stride, groups=groups)


def _loss(torch: Any, odds: Any, truth: Any, counts: Any) -> Any:
    f = torch.nn.functional
    truth = f.avg_pool2d(truth, 2)
    counts = f.avg_pool2d(counts, 2)
    each = f.binary_cross_entropy_with_logits(odds, truth, reduction="none")
    crossed = (each * counts * (1 + (_DEFECT_WEIGHT - 1) * truth)).mean()
    share = torch.sigmoid(odds)
    both = (share * truth).sum((1, 2, 3))
    either = (share * share).sum((1, 2, 3)) + (truth * truth).sum((1, 2, 3))
    dice = (1 - (2 * both + _DICE_SMOOTH) / (either + _DICE_SMOOTH)).mean()
    most = odds.flatten(1).topk(MOST_SUSPICIOUS).values.mean(1)
    is_bad = (truth.flatten(1).amax(1) > 0).float()
    return crossed + dice + _PICTURE_WEIGHT * f.binary_cross_entropy_with_logits(most, is_bad)


def _piece(
    good: Sequence[Callable[[], Image]],
    marked: Sequence[tuple[Callable[[], Image], Callable[[], Mask]]],
    settings: NetworkSettings,
    random: np.random.Generator,
) -> tuple[Image, Floats, Floats]:
    """A piece in other light, where its defect is, and which pixels count, float32[side, side]."""
    side = settings.side_px
    if marked and random.random() < settings.marked_share:
        read, read_mask = marked[int(random.integers(len(marked)))]
        piece, mask = _cut(read(), read_mask(), side, random, is_near=random.random() < 0.75)
        if random.random() < settings.laid_share:
            ground = good[int(random.integers(len(good)))]()
            none = np.zeros(ground.shape[:2], np.bool_)
            piece = _laid_on(_cut(ground, none, side, random, is_near=False)[0], piece, mask)
        wide = mask.astype(np.uint8)
        kernel = np.ones((3, 3), np.uint8)
        border = cv2.dilate(wide, kernel) - cv2.erode(wide, kernel)
        return _lit(piece, random), mask, np.asarray(1 - border, np.float32)
    picture = good[int(random.integers(len(good)))]()
    none = np.zeros(picture.shape[:2], np.bool_)
    piece, mask = _cut(picture, none, side, random, is_near=False)
    if random.random() < settings.drawn_share:
        piece, drawn = draw_defect(piece, good[int(random.integers(len(good)))](), random)
        mask = drawn.astype(np.float32)
    return _lit(piece, random), mask, np.ones_like(mask)


def _cut(
    picture: Image, mask: Mask, side: int, random: np.random.Generator, *, is_near: bool
) -> tuple[Image, Floats]:
    """A square piece, 0.75 to 1.35 of the side, brought to the side and turned over at random."""
    zoom, stretch = math.exp(random.uniform(-0.22, 0.22)), math.exp(random.uniform(-0.07, 0.07))
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


def _fed(piece: Image) -> Floats:
    """float32[3, h, w], red, green, blue, −1 to 1."""
    wide = (
        np.repeat(piece[None], 3, axis=0)
        if piece.ndim == 2
        else piece[:, :, ::-1].transpose(2, 0, 1)
    )
    return np.asarray((wide.astype(np.float32) - 127.5) / 127.5, np.float32)


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
