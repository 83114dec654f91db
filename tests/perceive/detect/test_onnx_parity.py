"""An exported detector says what the framework that trained it says."""

import io

import numpy as np
import pytest

from perceive.detect.detect_cases import frame, overlap
from sightline.perceive.detect import OnnxDetector, OnnxSettings

torch = pytest.importorskip("torch", reason="torch is not installed: no export to compare with")

SIDE_PX, STRIDE_PX = 64, 8
CELLS = SIDE_PX // STRIDE_PX
TRAINING_STEPS = 150
BATCH = 16


class GridDetector(torch.nn.Module):
    """One box per cell of 8 x 8 px, in the layout [b, 4 + c, n] with c = 1."""

    def __init__(self):
        super().__init__()
        layers = []
        for before, after in ((3, 8), (8, 16), (16, 32)):
            layers += [torch.nn.Conv2d(before, after, 3, stride=2, padding=1), torch.nn.SiLU()]
        self.body = torch.nn.Sequential(*layers, torch.nn.Conv2d(32, 32, 3, padding=1))
        self.head = torch.nn.Conv2d(32, 5, 1)
        column, row = torch.meshgrid(torch.arange(CELLS), torch.arange(CELLS), indexing="xy")
        self.register_buffer("corner", torch.stack([column, row]).float() * STRIDE_PX)

    def raw(self, pictures):
        return self.head(torch.nn.functional.silu(self.body(pictures)))

    def forward(self, pictures):
        raw = self.raw(pictures)
        centre = torch.sigmoid(raw[:, :2]) * STRIDE_PX + self.corner
        size = torch.exp(raw[:, 2:4].clamp(-3, 3)) * STRIDE_PX
        score = torch.sigmoid(raw[:, 4:])
        return torch.cat([centre, size, score], dim=1).flatten(2)


def scene(rng):
    """Noise with one bright box, and that box."""
    picture = rng.integers(0, 60, (SIDE_PX, SIDE_PX, 3)).astype(np.uint8)
    left, top = rng.integers(4, 36, 2)
    width, height = rng.integers(10, 24, 2)
    picture[top : top + height, left : left + width] = rng.integers(160, 255, 3)
    return picture, np.array([left, top, left + width, top + height], np.float64)


def as_tensor(pictures):
    rgb = np.stack(pictures)[:, :, :, ::-1].transpose(0, 3, 1, 2)
    return torch.from_numpy(np.ascontiguousarray(rgb, np.float32) / 255)


def trained(rng):
    torch.manual_seed(0)
    model = GridDetector()
    optimiser = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(TRAINING_STEPS):
        pictures, boxes = zip(*(scene(rng) for _ in range(BATCH)), strict=True)
        box = torch.from_numpy(np.stack(boxes)).float()
        centre, size = (box[:, :2] + box[:, 2:]) / 2, box[:, 2:] - box[:, :2]
        cell = (centre / STRIDE_PX).long()
        raw = model.raw(as_tensor(pictures))
        own = raw[torch.arange(BATCH), :, cell[:, 1], cell[:, 0]]
        target = torch.zeros(BATCH, CELLS, CELLS)
        target[torch.arange(BATCH), cell[:, 1], cell[:, 0]] = 1
        within = centre / STRIDE_PX - cell
        loss = (
            torch.nn.functional.binary_cross_entropy_with_logits(
                raw[:, 4], target, pos_weight=torch.tensor(10.0)
            )
            + torch.nn.functional.mse_loss(torch.sigmoid(own[:, :2]), within)
            + torch.nn.functional.mse_loss(own[:, 2:4], torch.log(size / STRIDE_PX))
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model.eval()


def exported(model):
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    buffer = io.BytesIO()
    torch.onnx.export(
        model, (torch.zeros(1, 3, SIDE_PX, SIDE_PX),), buffer, input_names=["images"], dynamo=False
    )
    loaded = onnx.load_from_string(buffer.getvalue())
    onnx.helper.set_model_props(loaded, {"names": "{0: 'box'}"})
    return loaded.SerializeToString()


def test_an_exported_model_agrees_with_its_framework():
    rng = np.random.default_rng(0)
    model = trained(rng)
    data = exported(model)
    detector = OnnxDetector(
        data, digest="0" * 64, settings=OnnxSettings(min_score=0.3, max_overlap=0.4)
    )
    assert detector.layout.value == "yolo_columns"
    found = 0
    for index in range(50):
        picture, box = scene(rng)
        seen = detector.detect(frame(picture, index))
        with torch.no_grad():
            rows = model(as_tensor([picture]))[0].T.numpy().astype(np.float64)
        best = rows[rows[:, 4].argmax()]
        expected = np.concatenate([best[:2] - best[2:4] / 2, best[:2] + best[2:4] / 2])
        if best[4] < 0.3:
            assert len(seen) == 0
            continue
        assert seen.score[0] == pytest.approx(best[4], abs=1e-4)
        assert seen.box_px[0] == pytest.approx(np.clip(expected, 0, SIDE_PX), abs=1e-2)
        found += overlap(seen.box_px[0], box) > 0.5
    # It has learned something, so that the comparison means something.
    assert found >= 40
