"""Small ONNX models that put out known numbers, whatever they are shown."""

import hashlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

INPUT_PX = (64, 48)
NAMES = ("person", "vehicle", "bicycle")
IR_VERSION, OPSET = 10, 17


def model_bytes(
    *outputs,
    names=NAMES,
    metadata=None,
    input_px=INPUT_PX,
    batch=1,
    channels=3,
    dtype=np.float32,
    sensitive=False,
    output_names=None,
):
    """A model whose outputs are the given arrays, plus nothing times the picture's mean.

    With ``sensitive`` the outputs are NaN for pictures darker than a third.
    """
    kind = TensorProto.FLOAT16 if dtype == np.float16 else TensorProto.FLOAT
    width_px, height_px = input_px
    picture = helper.make_tensor_value_info("images", kind, [batch, channels, height_px, width_px])
    nodes = [helper.make_node("ReduceMean", ["images"], ["mean"], axes=[1, 2, 3], keepdims=0)]
    constants = [numpy_helper.from_array(np.array(0.0, dtype), "zero")]
    if sensitive:
        constants.append(numpy_helper.from_array(np.array(0.33, dtype), "third"))
        nodes += [
            helper.make_node("Sub", ["mean", "third"], ["lighter"]),
            helper.make_node("Sqrt", ["lighter"], ["root"]),
        ]
    source = "root" if sensitive else "mean"
    nodes += [
        helper.make_node("Mul", [source, "zero"], ["nothing"]),
        helper.make_node("Unsqueeze", ["nothing", "axes"], ["addend"]),
        helper.make_node("Unsqueeze", ["nothing", "axis"], ["addend2"]),
    ]
    constants.append(numpy_helper.from_array(np.array([1, 2], np.int64), "axes"))
    constants.append(numpy_helper.from_array(np.array([1], np.int64), "axis"))
    named = output_names or [f"output{number}" for number in range(len(outputs))]
    infos = []
    for number, output in enumerate(outputs):
        constants.append(numpy_helper.from_array(np.asarray(output, dtype), f"known{number}"))
        addend = "addend2" if np.ndim(output) == 2 else "addend"
        nodes.append(helper.make_node("Add", [f"known{number}", addend], [named[number]]))
        shape = [None if np.ndim(output) == 2 else batch, *np.asarray(output).shape[1:]]
        infos.append(helper.make_tensor_value_info(named[number], kind, shape))
    graph = helper.make_graph(nodes, "known", [picture], infos, constants)
    model = helper.make_model(
        graph, ir_version=IR_VERSION, opset_imports=[helper.make_opsetid("", OPSET)]
    )
    entries = dict(metadata or {})
    if names is not None:
        entries["names"] = str(dict(enumerate(names)))
    helper.set_model_props(model, entries)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def digest(data):
    return hashlib.sha256(data).hexdigest()


def yolo_rows(boxes, scores, *, objectness=None, rows=40):
    """float32[1, rows, 4 + c] or, with objectness, [1, rows, 5 + c]; unused rows score nothing.

    Boxes are left, top, right, bottom in px of the input.
    """
    boxes, scores = np.asarray(boxes, np.float32), np.asarray(scores, np.float32)
    columns = [(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]]
    if objectness is not None:
        columns.append(np.asarray(objectness, np.float32)[:, None])
    found = np.concatenate([*columns, scores], axis=1)
    padded = np.zeros((1, rows, found.shape[1]), np.float32)
    padded[0, : len(found)] = found
    return padded


def detr_boxes(boxes, *, input_px=INPUT_PX):
    """float32[1, n, 4] centre x, centre y, width, height as shares of the input."""
    boxes = np.asarray(boxes, np.float32) / np.array(input_px * 2, np.float32)
    centred = [(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]]
    return np.concatenate(centred, axis=1)[None]
