"""Checkpoints: a partition's state at one commit, so that a restart need not replay everything.

A checkpoint is a shortcut and never the truth: one that is damaged, of another version, or not on
the chain is passed over, and an older one or the log from its beginning is used instead.

State as bytes: a versioned format for a partition's state, without pickle.

Layout, all integers little-endian: magic (8 bytes), version (u32), length of the header (u64), the
header (JSON: ``meta`` and a list of blocks), the blocks one after the other (raw arrays, Arrow IPC
streams), and the SHA-256 of everything before it.

Upgrade rule: another version is refused by name. State can always be rebuilt from the log, so an
old checkpoint is left unused rather than converted.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from sightline.errors import LogError, UsageError
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.recorder.arrow_stream import read_arrow
from sightline.recorder.segment_format import check_partition_name
from sightline.recorder.storage import TEMPORARY_SUFFIX, Storage
from sightline.records.plain_json import read_json

STATE_VERSION = 1
_MAGIC = b"SLSTATE\0"
_PREFIX = struct.Struct("<8sIQ")
_DIGEST_BYTES = hashlib.sha256().digest_size
_DTYPES = frozenset(["|b1", "|i1", "|u1", "<i2", "<u2", "<i4", "<u4", "<i8", "<u8", "<f4", "<f8"])


@dataclass(frozen=True, slots=True, eq=False)
class StateParts:
    """State taken apart into what can be written without pickle.

    Attributes:
        meta: JSON-ready, without NaN or infinity.
        arrays: bool, integer or float arrays of any shape, by name.
        frames: Polars frames, by name.
    """

    meta: dict[str, Any]
    arrays: dict[str, npt.NDArray[Any]] = field(default_factory=dict)
    frames: dict[str, pl.DataFrame] = field(default_factory=dict)


def pack_state(state: StateParts) -> bytes:
    """Inverse of :func:`unpack_state`. Equal parts in equal order give equal bytes.

    Raises:
        UsageError: ``meta`` is not JSON-ready, or an array has a dtype without a fixed layout.

    >>> parts = unpack_state(pack_state(StateParts({"epoch": 3}, {"sum": np.zeros((2, 2))})))
    >>> parts.meta, parts.arrays["sum"].shape
    ({'epoch': 3}, (2, 2))
    """
    blocks: list[dict[str, Any]] = []
    bodies: list[Any] = []
    for name, array in state.arrays.items():
        plain = _fixed_layout(name, array)
        blocks.append(
            {
                "kind": "array",
                "name": name,
                "dtype": plain.dtype.str,
                "shape": list(array.shape),
                "bytes": plain.nbytes,
            }
        )
        bodies.append(plain.data.cast("B") if plain.nbytes else b"")
    for name, frame in state.frames.items():
        buffer = io.BytesIO()
        frame.write_ipc_stream(buffer)
        body = buffer.getbuffer()
        blocks.append({"kind": "frame", "name": name, "bytes": len(body)})
        bodies.append(body)
    try:
        header = json.dumps(
            {"meta": state.meta, "blocks": blocks}, separators=(",", ":"), allow_nan=False
        ).encode()
    except (TypeError, ValueError) as error:
        raise UsageError(
            expected="JSON-ready values without NaN",
            got=str(error),
            where="meta of a state",
            action="put numbers that may be NaN into an array",
        ) from error
    parts = [_PREFIX.pack(_MAGIC, STATE_VERSION, len(header)), header, *bodies]
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return b"".join([*parts, digest.digest()])


def unpack_state(packed: bytes, *, where: str = "packed state") -> StateParts:
    """The parts that :func:`pack_state` was given; arrays are fresh and writable.

    Args:
        packed: the bytes.
        where: what to call them in an error.

    Raises:
        LogError: corrupt, or of an unknown version.
    """
    if len(packed) < _PREFIX.size + _DIGEST_BYTES or packed[: len(_MAGIC)] != _MAGIC:
        raise _corrupt(where, "no state of Sightline")
    _, version, header_bytes = _PREFIX.unpack_from(packed)
    view = memoryview(packed)
    end = len(packed) - _DIGEST_BYTES
    # The prefix is not trusted before the digest is, but a newer version may end differently.
    if version != STATE_VERSION:
        raise LogError(
            expected=f"state format version {STATE_VERSION}",
            got=str(version),
            where=where,
            action="use the version of Sightline that wrote it, or rebuild the state from the log",
        )
    if hashlib.sha256(view[:end]).digest() != packed[end:]:
        raise _corrupt(where, "bytes that do not match their digest")
    try:
        return _parse(view[_PREFIX.size : end], header_bytes)
    except (KeyError, TypeError, ValueError, AttributeError, LogError) as error:
        raise _corrupt(where, repr(error)) from error


def _parse(view: memoryview, header_bytes: int) -> StateParts:
    header = read_json(bytes(view[:header_bytes]))
    arrays: dict[str, npt.NDArray[Any]] = {}
    frames: dict[str, pl.DataFrame] = {}
    at = header_bytes
    for block in header["blocks"]:
        body = view[at : at + block["bytes"]]
        at += block["bytes"]
        if block["kind"] == "array":
            if block["dtype"] not in _DTYPES:
                raise ValueError(f"array of dtype {block['dtype']}")
            flat = np.frombuffer(body, dtype=np.dtype(block["dtype"]))
            arrays[block["name"]] = flat.reshape(block["shape"]).copy()
        else:
            frames[block["name"]] = read_arrow(
                bytes(body),
                where=f"frame {block['name']}",
                most_bytes=DEFAULT_LIMITS.max_checkpoint_bytes,
                most_rows=DEFAULT_LIMITS.max_open_rows,
            )
    if at != len(view):
        raise ValueError(f"{len(view) - at} bytes too many")
    return StateParts(meta=header["meta"], arrays=arrays, frames=frames)


def _fixed_layout(name: str, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The array C-contiguous and little-endian."""
    little = array.dtype.newbyteorder("<")
    if little.str not in _DTYPES:
        raise UsageError(
            expected="a bool, integer or float array of 1 to 8 bytes an element",
            got=f"dtype {array.dtype}",
            where=f"array {name!r} of a state",
            action="store strings and objects as integer ids with a frame beside them",
        )
    return np.ascontiguousarray(array, dtype=little)


def _corrupt(where: str, got: str) -> LogError:
    return LogError(
        expected="an intact packed state",
        got=got,
        where=where,
        action="use an older checkpoint or rebuild the state from the log",
    )


_FILE_NAME = re.compile(r"(\d{1,19})\.ckpt")


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """State after one commit.

    Attributes:
        sequence: of the last entry the state has seen; a commit ends there.
        chain_hash: of the chain after that commit, 64 hex digits.
        epoch: number of the last epoch the state has seen.
        state: the state, taken apart.
        digest: of the file, 64 hex digits; ``""`` before it is written.
    """

    sequence: int
    chain_hash: str
    epoch: int
    state: StateParts
    digest: str = ""


def write_checkpoint(
    storage: Storage, name: str, checkpoint: Checkpoint, *, limits: Limits = DEFAULT_LIMITS
) -> str:
    """Write it durably, then delete all but the ``limits.checkpoints_kept`` newest.

    Returns:
        The path of the checkpoint.

    Raises:
        UsageError: the state cannot be packed or is larger than the limit; nothing was written.
        StorageError: the disk refused; the older checkpoints are untouched.
    """
    state = checkpoint.state
    packed = pack_state(
        StateParts(
            meta={
                "sequence": checkpoint.sequence,
                "chain_hash": checkpoint.chain_hash,
                "epoch": checkpoint.epoch,
                "state": state.meta,
            },
            arrays=state.arrays,
            frames=state.frames,
        )
    )
    path = f"{_folder(name)}/{checkpoint.sequence}.ckpt"
    if len(packed) > limits.max_checkpoint_bytes or checkpoint.sequence < 0:
        raise UsageError(
            expected=f"a checkpoint of at least one entry, of at most "
            f"{limits.max_checkpoint_bytes} bytes (limit max_checkpoint_bytes)",
            got=f"sequence {checkpoint.sequence}, {len(packed)} bytes",
            where=path,
            action="spread the keys over more partitions or raise the limit",
        )
    file = storage.create(path + TEMPORARY_SUFFIX)
    try:
        file.write(packed)
        storage.sync(file)
    finally:
        file.close()
    storage.replace(path + TEMPORARY_SUFFIX, path)
    _remove_older(storage, name, newest=checkpoint.sequence, limits=limits)
    return path


def checkpoint_files(storage: Storage, name: str) -> list[tuple[int, str]]:
    """Sequence and path of each checkpoint of a partition, oldest first."""
    return [(s, f"{_folder(name)}/{s}.ckpt") for s in _sequences(storage, name)]


def read_checkpoint(
    storage: Storage, name: str, sequence: int, *, limits: Limits = DEFAULT_LIMITS
) -> Checkpoint | None:
    """One checkpoint; None if it is not intact."""
    return _read(storage, f"{_folder(name)}/{sequence}.ckpt", sequence, limits=limits)


def stored_digest(storage: Storage, path: str) -> str:
    """The digest that a checkpoint's file ends with, in hex; whether it is right is not checked."""
    with storage.open_read(path) as file:
        file.seek(storage.size(path) - _DIGEST_BYTES)
        return file.read(_DIGEST_BYTES).hex()


def read_newest_checkpoint(
    storage: Storage,
    name: str,
    *,
    is_logged: Callable[[int, str, str], bool],
    limits: Limits = DEFAULT_LIMITS,
) -> Checkpoint | None:
    """The newest checkpoint that is intact and that the log tells of; None if there is none.

    Args:
        storage: the disk.
        name: of the partition.
        is_logged: says whether the log tells of a checkpoint with this (sequence, chain hash,
            digest): :func:`.walk.is_logged_checkpoint`.
        limits: bounds.
    """
    for sequence in reversed(_sequences(storage, name)):
        checkpoint = _read(storage, f"{_folder(name)}/{sequence}.ckpt", sequence, limits=limits)
        if checkpoint is not None and is_logged(
            checkpoint.sequence, checkpoint.chain_hash, checkpoint.digest
        ):
            return checkpoint
    return None


def read_oldest_checkpoint(
    storage: Storage,
    name: str,
    *,
    from_sequence: int,
    is_logged: Callable[[int, str, str], bool],
    limits: Limits = DEFAULT_LIMITS,
) -> Checkpoint | None:
    """The oldest such checkpoint at or after ``from_sequence``; None if there is none."""
    for sequence in _sequences(storage, name):
        if sequence < from_sequence:
            continue
        checkpoint = _read(storage, f"{_folder(name)}/{sequence}.ckpt", sequence, limits=limits)
        if checkpoint is not None and is_logged(
            checkpoint.sequence, checkpoint.chain_hash, checkpoint.digest
        ):
            return checkpoint
    return None


def _read(storage: Storage, path: str, sequence: int, *, limits: Limits) -> Checkpoint | None:
    if storage.size(path) > limits.max_checkpoint_bytes:
        return None
    with storage.open_read(path) as file:
        packed = file.read()
    try:
        parts = unpack_state(packed, where=path)
    except LogError:
        return None  # an older one, or the log itself, gives the same state
    meta = parts.meta
    if set(meta) != {"sequence", "chain_hash", "epoch", "state"} or meta["sequence"] != sequence:
        return None
    return Checkpoint(
        sequence=sequence,
        chain_hash=meta["chain_hash"],
        epoch=meta["epoch"],
        state=StateParts(meta=meta["state"], arrays=parts.arrays, frames=parts.frames),
        digest=packed[-_DIGEST_BYTES:].hex(),
    )


def _remove_older(storage: Storage, name: str, *, newest: int, limits: Limits) -> None:
    folder = _folder(name)
    older = [sequence for sequence in _sequences(storage, name) if sequence < newest]
    for sequence in older[: max(0, len(older) - max(limits.checkpoints_kept - 1, 0))]:
        storage.remove(f"{folder}/{sequence}.ckpt")
    for file in storage.listdir(folder):
        if file.endswith(TEMPORARY_SUFFIX):
            storage.remove(f"{folder}/{file}")


def _sequences(storage: Storage, name: str) -> list[int]:
    matches = (_FILE_NAME.fullmatch(file) for file in storage.listdir(_folder(name)))
    return sorted(int(match.group(1)) for match in matches if match)


def _folder(name: str) -> str:
    return f"checkpoints/{check_partition_name(name)}"
