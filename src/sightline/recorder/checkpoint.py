"""Checkpoints: a partition's state at one commit, so that a restart need not replay everything.

A checkpoint is a shortcut and never the truth: one that is damaged, of another version, or not on
the chain is passed over, and an older one or the log from its beginning is used instead.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from sightline.errors import LogError, UsageError
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.recorder.segment_format import TEMPORARY_SUFFIX, check_partition_name
from sightline.recorder.state_codec import StateParts, pack_state, unpack_state
from sightline.recorder.storage import Storage

__all__ = [
    "Checkpoint",
    "StateParts",
    "pack_state",
    "read_newest_checkpoint",
    "read_oldest_checkpoint",
    "unpack_state",
    "write_checkpoint",
]

_FILE_NAME = re.compile(r"(\d{1,19})\.ckpt")


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """State after one commit.

    Attributes:
        sequence: of the last entry the state has seen; a commit ends there.
        chain_hash: of the chain after that commit, 64 hex digits.
        epoch: number of the last epoch the state has seen.
        state: the state, taken apart.
    """

    sequence: int
    chain_hash: str
    epoch: int
    state: StateParts


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


def read_newest_checkpoint(
    storage: Storage,
    name: str,
    *,
    is_on_chain: Callable[[int, str], bool],
    limits: Limits = DEFAULT_LIMITS,
) -> Checkpoint | None:
    """The newest checkpoint that is intact and on the chain; None if there is none.

    Args:
        is_on_chain: says whether (sequence, chain hash) is a commit of the log.
    """
    for sequence in reversed(_sequences(storage, name)):
        checkpoint = _read(storage, f"{_folder(name)}/{sequence}.ckpt", sequence, limits=limits)
        if checkpoint is not None and is_on_chain(checkpoint.sequence, checkpoint.chain_hash):
            return checkpoint
    return None


def read_oldest_checkpoint(
    storage: Storage,
    name: str,
    *,
    from_sequence: int,
    is_on_chain: Callable[[int, str], bool],
    limits: Limits = DEFAULT_LIMITS,
) -> Checkpoint | None:
    """The oldest intact checkpoint on the chain at or after ``from_sequence``; None if none is."""
    for sequence in _sequences(storage, name):
        if sequence < from_sequence:
            continue
        checkpoint = _read(storage, f"{_folder(name)}/{sequence}.ckpt", sequence, limits=limits)
        if checkpoint is not None and is_on_chain(checkpoint.sequence, checkpoint.chain_hash):
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
