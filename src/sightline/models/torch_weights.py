"""Reads tensors from a weights file that PyTorch wrote, without PyTorch and without running it.

Such a file (the form of before PyTorch 1.6) is a row of pickles, then the numbers of each storage.
A pickle is a program; this module never runs one. It walks the operations of the one that describes
the tensors, knows the few that a table of tensors needs, calls nothing, and refuses every other.
"""

from __future__ import annotations

import io
import pickletools
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sightline.errors import UsageError

MAGIC = 0x1950A86A20F9469CFC6C
"""The number that such a file begins with."""
_VERSION = 1001
_COUNT = struct.Struct("<q")
_TYPES: dict[str, np.dtype[Any]] = {
    "FloatStorage": np.dtype("<f4"),
    "LongStorage": np.dtype("<i8"),
}
_MARK = object()


@dataclass(frozen=True, slots=True)
class _Name:
    """A class or function that the file names; it is never looked up."""

    name: str


@dataclass(frozen=True, slots=True)
class _Storage:
    """Numbers that follow the pickles."""

    key: str
    dtype: np.dtype[Any]
    count: int


@dataclass(frozen=True, slots=True)
class _Tensor:
    """A view into a storage."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


def read_torch_weights(data: bytes, *, where: str) -> dict[str, npt.NDArray[Any]]:
    """The tensors of a state dictionary by name, in the order of the file.

    Args:
        data: the whole file.
        where: its name in errors.

    Returns:
        float32 or int64 arrays in C order, copies.

    Raises:
        UsageError: it is of another form, damaged, or does more than describe tensors.
    """
    file = io.BytesIO(data)
    try:
        if _walk(file) != MAGIC or _walk(file) != _VERSION:
            raise ValueError("no file of tensors")
        _walk(file)  # the machine that wrote it
        tensors, keys = _walk(file), _walk(file)
        if not isinstance(tensors, dict) or not isinstance(keys, list):
            raise ValueError("no table of tensors")
        storages = {one.storage.key: one.storage for one in tensors.values()}
        numbers = {key: _numbers(file, storages[key]) for key in keys}
        return {name: _array(one, numbers[one.storage.key]) for name, one in tensors.items()}
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, struct.error) as error:
        raise UsageError(
            expected="a table of tensors as torch.save wrote it before PyTorch 1.6",
            got=f"{type(error).__name__}: {error}",
            where=where,
            action="get the file again, or export the model to ONNX in PyTorch",
        ) from error


def _numbers(file: io.BytesIO, storage: _Storage) -> npt.NDArray[Any]:
    (count,) = _COUNT.unpack(file.read(_COUNT.size))
    size = count * storage.dtype.itemsize
    raw = file.read(size) if count == storage.count else b""
    if len(raw) != size:
        raise ValueError(f"storage {storage.key} is cut")
    return np.frombuffer(raw, storage.dtype)


def _array(tensor: _Tensor, numbers: npt.NDArray[Any]) -> npt.NDArray[Any]:
    steps = [n - 1 for n in tensor.shape]
    last = tensor.offset + sum(n * step for n, step in zip(steps, tensor.stride, strict=True))
    if min(steps, default=0) < 0 or min(tensor.stride, default=0) < 0 or tensor.offset < 0:
        raise ValueError(f"a tensor of shape {tensor.shape} and stride {tensor.stride}")
    if last >= len(numbers):
        raise ValueError("a tensor that reaches beyond its storage")
    size = numbers.itemsize
    view = np.lib.stride_tricks.as_strided(
        numbers[tensor.offset :], tensor.shape, [step * size for step in tensor.stride]
    )
    return np.ascontiguousarray(view).reshape(tensor.shape).copy()


def _walk(file: io.BytesIO) -> Any:  # noqa: PLR0915 - one line for each operation
    """What one pickle describes, up to its end; the file is left behind it."""
    stack: list[Any] = []
    memo: dict[int, Any] = {}

    def from_mark() -> list[Any]:
        at = max(i for i, one in enumerate(stack) if one is _MARK)
        taken = stack[at + 1 :]
        del stack[at:]
        return taken

    argument: Any
    for operation, argument, _ in pickletools.genops(file):
        match operation.name:
            case "PROTO":
                pass
            case "STOP":
                return stack[-1]
            case "MARK":
                stack.append(_MARK)
            case "BINUNICODE" | "BININT" | "BININT1" | "BININT2" | "LONG1":
                stack.append(argument)
            case "NONE" | "NEWFALSE" | "NEWTRUE":
                stack.append({"NONE": None, "NEWFALSE": False, "NEWTRUE": True}[operation.name])
            case "EMPTY_DICT":
                stack.append({})
            case "EMPTY_LIST":
                stack.append([])
            case "EMPTY_TUPLE":
                stack.append(())
            case "TUPLE":
                stack.append(tuple(from_mark()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                length = int(operation.name[-1])
                stack[-length:] = [tuple(stack[-length:])]
            case "APPENDS":
                items = from_mark()
                stack[-1].extend(items)
            case "SETITEM":
                value, key = stack.pop(), stack.pop()
                stack[-1][key] = value
            case "SETITEMS":
                items = from_mark()
                stack[-1].update(zip(items[::2], items[1::2], strict=True))
            case "BINPUT" | "LONG_BINPUT":
                memo[argument] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(memo[argument])
            case "GLOBAL":
                stack.append(_Name(str(argument)))
            case "BINPERSID":
                _, kind, key, _, count, _ = stack.pop()
                stack.append(_Storage(key, _TYPES[kind.name.split()[-1]], count))
            case "REDUCE":
                arguments, named = stack.pop(), stack.pop()
                stack.append(_made(named, arguments))
            case "BUILD":
                stack.pop()  # versions of the layers
            case other:
                raise ValueError(f"operation {other}")
    raise ValueError("a pickle without end")


def _made(named: _Name, arguments: tuple[Any, ...]) -> dict[str, Any] | _Tensor:
    """What the two functions that a table of tensors names would give."""
    match named.name:
        case "collections OrderedDict" if not arguments:
            return {}
        case "torch._utils _rebuild_tensor_v2":
            storage, offset, shape, stride = arguments[:4]
            return _Tensor(storage, offset, tuple(shape), tuple(stride))
        case other:
            raise ValueError(f"a call of {other}")
