"""What a newcomer brings: a wide table of five satellites, a phone's video, an exported model."""

import csv
import math
import random
from datetime import datetime, timedelta
from fractions import Fraction

import av
import cv2
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

START = datetime(2026, 3, 2, 6)
STEP_S, STEPS = 10, 2160
HEADER = (
    "Timestamp (UTC)", "Satellite", "BUS_VOLTAGE [V]", "Battery Temp (°C)", "Bus current (A)",
    "RW1 speed (rpm)", "mode",
)  # fmt: skip
FAULTS = {
    "SAT-1/BUS_VOLTAGE": "stuck",
    "SAT-2/BUS_VOLTAGE": "step",
    "SAT-3": "outage",
    "SAT-4/Battery_Temp": "dropout",
    "SAT-5/RW1_speed": "step",
}
"""Subject of each fault."""


def write_table(path):
    """Six hours of housekeeping; each satellite has one fault; some rows come late or twice."""
    chance = random.Random(7)
    rows = []
    for number in range(5):
        for i in range(STEPS):
            turn = 2 * math.pi * i * STEP_S / 5400
            volt = 28 + 0.6 * math.sin(turn + number) + chance.gauss(0, 0.03)
            temp = 12 + 6 * math.sin(turn + number + 1) + chance.gauss(0, 0.1)
            current = 1.8 + 0.4 * math.cos(turn) + chance.gauss(0, 0.02)
            rpm = 2400 + 30 * math.sin(2 * turn) + chance.gauss(0, 4)
            if number == 0 and 1500 <= i < 1620:
                volt = 28.113
            if number == 1 and i >= 1600:
                volt -= 3.5
            if number == 2 and 1400 <= i < 1430:
                continue
            is_missing = number == 3 and 1500 <= i < 1560
            if number == 4 and 1700 <= i < 1760:
                rpm -= 500
            at = START + timedelta(seconds=i * STEP_S + number * 0.5)
            rows.append(
                [
                    f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03d}",
                    f"SAT-{number + 1}",
                    f"{volt:.3f}",
                    "" if is_missing else f"{temp:.2f}",
                    f"{current:.3f}",
                    f"{rpm:.0f}",
                    "NOMINAL" if i % 500 else "SAFE",
                ]
            )
    rows.sort(key=lambda row: row[0])
    for _ in range(60):
        at = chance.randrange(len(rows) - 200)
        late = rows.pop(at)
        rows.insert(at + chance.randrange(20, 100), late)
    for _ in range(40):
        at = chance.randrange(len(rows) - 10)
        rows.insert(at + chance.randrange(1, 8), rows[at])
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([HEADER, *rows])


def write_video(path, *, seconds=14, rate=15):
    """Upright for whoever looks, on its side in the file, as phones write them.

    After four seconds something red walks into the lower middle of the picture and stays.
    """
    chance = np.random.default_rng(1)
    ground = cv2.resize(chance.integers(60, 190, (80, 45, 3)).astype(np.uint8), (360, 640))
    quarter_turn = [0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
        stream.bit_rate = 4_000_000
        stream.set_display_matrix(quarter_turn)
        for number in range(seconds * rate):
            picture = ground.copy()
            walked = number - 4 * rate
            if walked >= 0:
                centre = (180, min(40 + walked * 5, 520))
                cv2.ellipse(picture, centre, (24, 56), 0, 0, 360, (30, 30, 210), -1)
            picture = cv2.rotate(picture, cv2.ROTATE_90_COUNTERCLOCKWISE)
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="bgr24")
            frame.pts, frame.time_base = number, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def write_small_video(path, size_px, *, frames=40, rate=15):
    """Ground that nobody walks on."""
    width, height = size_px
    ground = np.random.default_rng(1).integers(90, 160, (height, width, 1)).astype(np.uint8)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), rate, size_px)
    for _ in range(frames):
        writer.write(cv2.GaussianBlur(ground, (9, 9), 0)[..., None].repeat(3, 2))
    writer.release()


def write_model(path, *, side=320):
    """A detector of one red thing, [1, 4 + 2, 20] as YOLOv8 puts out, without names of classes."""
    nodes, constants = [], []

    def constant(name, value):
        constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def node(kind, inputs, output, **attributes):
        nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    line = np.arange(side, dtype=np.float32)
    constant("zero", np.float32(0))
    weights = np.array([1, -0.5, -0.5], np.float32).reshape(1, 3, 1, 1)
    node("Mul", ["images", constant("weights", weights)], "weighted")
    node("ReduceSum", ["weighted", constant("colours", [1])], "redness")
    node("Greater", ["redness", constant("red_enough", np.float32(0.2))], "is_red")
    node("Cast", ["is_red"], "red", to=TensorProto.FLOAT)
    node("Sub", [constant("one", np.float32(1)), "red"], "other")
    node("Mul", ["other", constant("far", np.float32(1e4))], "aside")
    node("ReduceSum", ["red", constant("all", [1, 2, 3])], "count", keepdims=0)
    node("Greater", ["count", constant("few", np.float32(60))], "is_seen")
    node("Cast", ["is_seen"], "seen", to=TensorProto.FLOAT)
    shape = constant("shape", [1, 1, 1])
    columns = []
    for axis, place in (("x", (1, 1, 1, side)), ("y", (1, 1, side, 1))):
        constant(f"{axis}_px", line.reshape(place))
        node("Mul", [f"{axis}_px", "red"], f"{axis}_red")
        node("ReduceMax", [f"{axis}_red"], f"{axis}_last", axes=[1, 2, 3], keepdims=0)
        node("Add", [f"{axis}_px", "aside"], f"{axis}_aside")
        node("ReduceMin", [f"{axis}_aside"], f"{axis}_first", axes=[1, 2, 3], keepdims=0)
        node("Add", [f"{axis}_first", f"{axis}_last"], f"{axis}_sum")
        node("Mul", [f"{axis}_sum", constant(f"{axis}_half", np.float32(0.5))], f"{axis}_centre")
        node("Sub", [f"{axis}_last", f"{axis}_first"], f"{axis}_size")
        for part in ("centre", "size"):
            node("Mul", [f"{axis}_{part}", "seen"], f"{axis}_{part}_seen")
            columns.append(node("Reshape", [f"{axis}_{part}_seen", shape], f"{axis}_{part}_cell"))
    node("Mul", ["seen", constant("sure", np.float32(0.9))], "score")
    node("Mul", ["seen", "zero"], "no_score")
    cells = [columns[0], columns[2], columns[1], columns[3]]
    cells += [node("Reshape", [name, shape], f"{name}_cell") for name in ("score", "no_score")]
    node("Concat", cells, "column", axis=1)
    node("Pad", ["column", constant("pads", [0, 0, 0, 0, 0, 19])], "boxes")
    graph = helper.make_graph(
        nodes,
        "red",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, side, side])],
        [helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [1, 6, 20])],
        constants,
    )
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 17)])
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
