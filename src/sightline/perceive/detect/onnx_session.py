"""A model file under ONNX Runtime: checked before it is loaded, run on stated threads."""

from __future__ import annotations

import hashlib
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
_TYPES: dict[str, type[np.floating[Any]]] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInput:
    """What a model takes: [batch, 3, height, width].

    Attributes:
        name: of the input.
        dtype: float32 or float16.
        batch: pictures at a time; None for any number.
        size_px: (width, height); None where the model leaves it open.
    """

    name: str
    dtype: type[np.floating[Any]]
    batch: int | None
    size_px: tuple[int, int] | None


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

    def run(self, pictures: npt.NDArray[np.float32]) -> list[npt.NDArray[np.floating[Any]]]:
        """All outputs for float32[batch, 3, height, width].

        Raises:
            DetectorFailed: if the model fails.
            NotFiniteOutput: if anything it put out is NaN or infinite.
        """
        feed = {self.input.name: pictures.astype(self.input.dtype, copy=False)}
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
        """From ``names`` in the metadata, ``{0: 'person', 1: …}`` or a list; empty without.

        Raises:
            UsageError: if there is such an entry and it cannot be read.
        """
        text = self.metadata.get("names")
        if text is None:
            return ()
        try:
            names = literal_eval(text)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            names = None
        if isinstance(names, dict) and set(names) == set(range(len(names))):
            names = [names[i] for i in range(len(names))]
        if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
            raise UsageError(
                expected="class names as {0: 'person', 1: 'vehicle'} or a list",
                got=text[:80],
                where=f"{self.where}, metadata entry `names`",
                action="give class_names in the detector's settings",
            )
        return tuple(names)


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
    problem = ""
    if len(inputs) != 1:
        problem = f"{len(inputs)} inputs: {', '.join(i.name for i in inputs)}"
    elif inputs[0].type not in _TYPES:
        problem = f"an input of type {inputs[0].type}"
    elif len(inputs[0].shape) != 4 or inputs[0].shape[1] not in (3, None, *_symbols(inputs[0])):
        problem = f"an input of shape {inputs[0].shape}"
    if problem:
        raise UsageError(
            expected="one input float32 or float16 [batch, 3, height, width]",
            got=problem,
            where=where,
            action="export the model with the picture as its only input, channels first",
        )
    batch, _, height_px, width_px = (n if isinstance(n, int) else None for n in inputs[0].shape)
    size_px = None if width_px is None or height_px is None else (width_px, height_px)
    return ModelInput(
        name=inputs[0].name, dtype=_TYPES[inputs[0].type], batch=batch, size_px=size_px
    )


def _symbols(one: Any) -> list[str]:
    """Dimensions that the model leaves open."""
    return [n for n in one.shape if isinstance(n, str)]
