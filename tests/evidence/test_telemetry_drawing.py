"""A day of telemetry becomes a picture."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from sightline.errors import UsageError
from sightline.evidence.telemetry_drawing import LabelledSpan, draw_telemetry

HOUR_NS = 3_600_000_000_000


def test_a_labelled_span_is_shaded(tmp_path: Path) -> None:
    time_ns = np.arange(100) * HOUR_NS // 10
    flat = {"bus_voltage_v": np.zeros(100)}
    span = LabelledSpan(
        channel="bus_voltage_v", start_ns=2 * HOUR_NS, end_ns=4 * HOUR_NS, label="step"
    )
    draw_telemetry(tmp_path / "plain.png", time_ns=time_ns, channels=flat)
    draw_telemetry(tmp_path / "shaded.png", time_ns=time_ns, channels=flat, spans=[span])
    plain, shaded = (cv2.imread(str(tmp_path / f"{n}.png")) for n in ("plain", "shaded"))
    assert plain.shape == shaded.shape
    assert (plain != shaded).any(axis=2).mean() > 0.05


def test_channels_of_another_length_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        draw_telemetry(tmp_path / "x.png", time_ns=np.arange(3), channels={"a": np.zeros(2)})
