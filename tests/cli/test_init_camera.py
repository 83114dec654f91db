"""``sightline init`` of a video: a site that runs at once, and a picture of its zone."""

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from perceive.detect.onnx_models import NAMES, model_bytes, yolo_rows
from sightline import notebook
from sightline.cli.main import app_for
from sightline.errors import SourceError
from sightline.runtime import load_plan

av = pytest.importorskip("av", reason="videos not tested: PyAV is not installed")

ONE = 1 << 16
QUARTER_TURN = [0, ONE, 0, -ONE, 0, 0, 0, 0, 1 << 30]


def video(path: Path, *, display=None, form="yuv420p", codec="libx264") -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 64, form
        if display is not None:
            stream.set_display_matrix(display)
        for number in range(8):
            pixels = np.full((64, 96, 3), 20 * number, np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="bgr24")
            frame.pts, frame.time_base = number, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def init(*words) -> str:
    arguments = ["init", *map(str, words)]
    done = CliRunner().invoke(app_for(arguments), arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_the_contract_has_size_and_rate_of_the_video(tmp_path):
    init(video(tmp_path / "yard.mp4"), "-o", tmp_path / "mine")
    contract = load_plan(tmp_path / "mine" / "yard.yaml").cameras["yard"].contract
    assert (contract.width_px, contract.height_px, contract.rate_hz) == (96, 64, 10)


def test_what_is_written_runs(tmp_path):
    path = video(tmp_path / "yard.mp4")
    init(path, "-o", tmp_path / "mine")
    report = notebook.run(
        tmp_path / "mine" / "yard.yaml", sources={"yard": str(path)}, out=tmp_path / "run"
    )
    assert (report.accounts.received, report.accounts.decided) == (8, 8)


def test_a_video_that_asks_to_be_turned_has_the_size_of_the_turned_picture(tmp_path):
    init(video(tmp_path / "phone.mp4", display=QUARTER_TURN), "-o", tmp_path / "mine")
    contract = load_plan(tmp_path / "mine" / "phone.yaml").cameras["phone"].contract
    assert (contract.width_px, contract.height_px) == (64, 96)


def test_a_grey_video_has_one_channel(tmp_path):
    init(video(tmp_path / "night.mkv", form="gray", codec="ffv1"), "-o", tmp_path / "mine")
    assert load_plan(tmp_path / "mine" / "night.yaml").cameras["night"].contract.channels == 1


def test_the_zone_is_drawn_into_the_first_picture(tmp_path):
    said = init(video(tmp_path / "yard.mp4"), "-o", tmp_path / "mine")
    picture = cv2.imread(str(tmp_path / "mine" / "yard.png"))
    assert picture.shape == (64, 96, 3)
    assert (picture != picture[0, 0]).any()
    assert "yard.png" in said


def test_what_is_no_video_says_why_and_nothing_is_written(tmp_path):
    path = tmp_path / "login.mp4"
    path.write_text("<html>login</html>")
    with pytest.raises(SourceError, match="web page"):
        init(path, "-o", tmp_path / "mine")
    assert not (tmp_path / "mine").exists()


def exported(path, *, names):
    boxes = yolo_rows([[4, 4, 20, 40]], [[0.9, 0.0, 0.0]], rows=40).transpose(0, 2, 1)
    path.write_bytes(model_bytes(boxes, names=names))
    return path


def test_a_model_without_names_gets_as_many_as_it_has_classes(tmp_path):
    model = exported(tmp_path / "red.onnx", names=None)
    said = init(video(tmp_path / "yard.mp4"), "--model", model, "-o", tmp_path / "mine")
    detector = load_plan(tmp_path / "mine" / "yard.yaml").pipeline.detectors["sees"]
    assert detector.class_names == ("class_0", "class_1", "class_2")
    assert "--classes" in said


def test_names_of_classes_can_be_given(tmp_path):
    model, words = exported(tmp_path / "red.onnx", names=None), ("--classes", "cat, person,dog")
    init(video(tmp_path / "yard.mp4"), "--model", model, *words, "-o", tmp_path / "mine")
    pipeline = load_plan(tmp_path / "mine" / "yard.yaml").pipeline
    assert pipeline.detectors["sees"].class_names == ("cat", "person", "dog")
    assert pipeline.stages["yard_zones"].zones["zone"].classes == ("person",)


def test_a_pipeline_with_a_model_runs(tmp_path):
    path, model = video(tmp_path / "yard.mp4"), exported(tmp_path / "red.onnx", names=NAMES)
    init(path, "--model", model, "-o", tmp_path / "mine")
    report = notebook.run(
        tmp_path / "mine" / "yard.yaml", sources={"yard": str(path)}, out=tmp_path / "run"
    )
    assert report.accounts.decided == 8
