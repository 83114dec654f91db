"""A model file under ONNX Runtime: checked before it is loaded, run on stated threads."""

from __future__ import annotations

import hashlib
import json
from ast import literal_eval
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from sightline.errors import UsageError
from sightline.perceive.detect.detector import DetectorFailed, NotFiniteOutput

MAX_MODEL_BYTES = 2 << 30
"""One model file: the most that protocol buffers allow. A larger one is refused unread."""

_ORT_ERRORS = (
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.InvalidProtobuf,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
)
_TYPES: dict[str, type[np.generic]] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(uint8)": np.uint8,
}
_SIZE_INPUTS = ("orig_target_sizes", "orig_size", "im_shape")
"""Names of a second input that asks for the size of the picture, as exports of RT-DETR have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInput:
    """What a model takes: [batch, 3, height, width], or with the colours last.

    Attributes:
        name: of the input.
        dtype: float32 or float16, of 0 to 1; uint8, of 0 to 255.
        batch: pictures at a time; None for any number.
        size_px: (width, height); None where the model leaves it open.
        colours_last: [batch, height, width, 3].
        size_name: of a second input, [batch, 2] width and height of each picture; "" for none.
        size_dtype: of it.
    """

    name: str
    dtype: type[np.generic]
    batch: int | None
    size_px: tuple[int, int] | None
    colours_last: bool = False
    size_name: str = ""
    size_dtype: type[np.generic] = np.int64


class OnnxSession:
    """A loaded model with one picture input.

    Args:
        data: the model file's bytes. Weights in further files are not supported.
        where: the model's name in errors.
        threads: threads that one operator may use; one is repeatable and shares the machine.

    Raises:
        UsageError: if it is no model, or does not take pictures.
    """

    def __init__(self, data: bytes, *, where: str, threads: int) -> None:
        self.where = where
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.use_deterministic_compute = True
        options.log_severity_level = 3
        # Waiting threads sleep: other stages need the cores between two frames.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = ort.InferenceSession(
                data, sess_options=options, providers=["CPUExecutionProvider"]
            )
        except _ORT_ERRORS as error:
            raise UsageError(
                expected="an ONNX model in one file that ONNX Runtime can load",
                got=str(error).splitlines()[0],
                where=where,
                action="export it again, without external data",
            ) from error
        self.metadata: dict[str, str] = dict(self._session.get_modelmeta().custom_metadata_map)
        self.input = _picture_input(self._session.get_inputs(), where)
        self.output_names = [one.name for one in self._session.get_outputs()]

    def run(self, pictures: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
        """All outputs for [batch, 3, height, width], float32, or uint8 where the model takes that.

        Raises:
            DetectorFailed: if the model fails.
            NotFiniteOutput: if anything it put out is NaN or infinite.
        """
        height_px, width_px = pictures.shape[2:]
        if self.input.colours_last:
            pictures = np.ascontiguousarray(pictures.transpose(0, 2, 3, 1))
        feed = {self.input.name: pictures.astype(self.input.dtype, copy=False)}
        if self.input.size_name:
            size = np.array([[width_px, height_px]] * len(pictures))
            feed[self.input.size_name] = size.astype(self.input.size_dtype)
        try:
            outputs = self._session.run(None, feed)
        except _ORT_ERRORS as error:
            raise DetectorFailed(
                expected="outputs",
                got=str(error).splitlines()[0],
                where=f"{self.where}, pictures {list(pictures.shape)}",
                action="run the model in the framework that exported it",
            ) from error
        for number, output in enumerate(outputs):
            is_finite = np.isfinite(output)
            if not is_finite.all():
                raise NotFiniteOutput(
                    expected="finite numbers",
                    got=f"{int(np.count_nonzero(~is_finite))} of {output.size} that are not",
                    where=f"{self.where}, output {number}",
                    action="check the export, and the precision if it is float16",
                )
        return list(outputs)

    def class_names(self) -> tuple[str, ...]:
        """From ``names`` in the metadata: ``{0: 'person', 1: …}`` or a list, of Python or JSON;
        empty without.

        Raises:
            UsageError: if there is such an entry and it cannot be read.
        """
        text = self.metadata.get("names")
        if text is None:
            return ()
        names = _literal(text)
        if isinstance(names, dict):
            numbered = {int(key): name for key, name in names.items() if str(key).isdecimal()}
            is_whole = len(numbered) == len(names) and set(numbered) == set(range(len(names)))
            names = [numbered[i] for i in range(len(names))] if is_whole else None
        if not isinstance(names, list | tuple) or not all(isinstance(n, str) for n in names):
            raise UsageError(
                expected="class names as {0: 'person', 1: 'vehicle'} or a list",
                got=text[:80],
                where=f"{self.where}, metadata entry `names`",
                action="give class_names in the detector's settings",
            )
        return tuple(names)

    def exported_px(self) -> tuple[int, int] | None:
        """(width, height) that ``imgsz`` in the metadata names, height first or one for both."""
        size = _literal(self.metadata.get("imgsz", ""))
        if isinstance(size, int):
            size = [size, size]
        is_size = isinstance(size, list | tuple) and len(size) == 2
        if not is_size or not all(isinstance(n, int) and n > 0 for n in size):
            return None
        return size[1], size[0]


def _literal(text: str) -> Any:
    """What a text says in Python or JSON; None for something else."""
    for read in (literal_eval, json.loads):
        try:
            return read(text)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            continue
    return None


def read_model(path: Path, *, sha256: str | None) -> tuple[bytes, str]:
    """A model file's bytes and their SHA-256 in hex, checked before anything is done with them.

    Args:
        path: the file.
        sha256: hex digest it must have; None: any.

    Raises:
        UsageError: if it cannot be read, is too large, or is another file.
    """
    try:
        size = path.stat().st_size
        if size > MAX_MODEL_BYTES:
            raise UsageError(
                expected=f"a model of at most {MAX_MODEL_BYTES} bytes",
                got=f"{size} bytes",
                where=str(path),
                action="use a smaller model",
            )
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(
            expected="a model file",
            got=str(error.strerror),
            where=str(path),
            action="give its path",
        ) from error
    digest = hashlib.sha256(data).hexdigest()
    if sha256 is not None and digest != sha256.lower():
        raise UsageError(
            expected=f"SHA-256 {sha256.lower()}",
            got=digest,
            where=str(path),
            action="get the right file, or approve this one by its digest",
        )
    return data, digest


def _picture_input(inputs: list[Any], where: str) -> ModelInput:
    sizes = [one for one in inputs if one.name in _SIZE_INPUTS and len(one.shape) == 2]
    pictures = [one for one in inputs if one not in sizes]
    problem, colours_last = "", False
    if len(pictures) != 1 or len(sizes) > 1:
        problem = f"{len(inputs)} inputs: {', '.join(i.name for i in inputs)}"
    elif pictures[0].type not in _TYPES:
        problem = f"an input of type {pictures[0].type}"
    else:
        shape = pictures[0].shape
        colours_last = len(shape) == 4 and shape[3] == 3 and shape[1] != 3
        is_open = len(shape) == 4 and not isinstance(shape[1], int)
        if len(shape) != 4 or not (colours_last or shape[1] == 3 or is_open):
            problem = f"an input of shape {shape}"
    if problem:
        raise UsageError(
            expected="one input float32, float16 or uint8 [batch, 3, height, width]",
            got=problem,
            where=where,
            action="export the model with the picture as its only input, channels first or last",
        )
    (picture,) = pictures
    numbers = [n if isinstance(n, int) and n > 0 else None for n in picture.shape]
    height_px, width_px = numbers[1:3] if colours_last else numbers[2:4]
    return ModelInput(
        name=picture.name,
        dtype=_TYPES[picture.type],
        batch=numbers[0],
        size_px=None if width_px is None or height_px is None else (width_px, height_px),
        colours_last=colours_last,
        size_name=sizes[0].name if sizes else "",
        size_dtype=np.float32 if sizes and sizes[0].type == "tensor(float)" else np.int64,
    )
