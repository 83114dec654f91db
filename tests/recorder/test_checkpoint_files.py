"""A checkpoint is a shortcut: it is taken when it is good and passed over when it is not."""

from __future__ import annotations

import struct

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from sightline.errors import LogError, StorageError, UsageError
from sightline.limits import Limits
from sightline.recorder import Checkpoint, read_newest_checkpoint, write_checkpoint
from sightline.recorder.checkpoint import StateParts, pack_state, unpack_state
from simulation.disk import SimulatedCrash, SimulatedDisk

NAME = "p0"


def _state(epoch: int) -> StateParts:
    return StateParts(
        meta={"epoch": epoch, "names": ["a", "b"], "nested": {"none": None, "ratio": 0.1}},
        arrays={
            "flags": np.array([[True, False], [False, True]]),
            "ids": np.arange(5, dtype=np.uint32),
            "times": np.array([-(2**62), 0, epoch], dtype=np.int64),
            "sums": np.array([0.1, np.nan, -0.0, np.inf]),
            "empty": np.zeros((0, 3)),
            "scalar": np.array(7, dtype=np.int16),
        },
        frames={
            "rows": pl.DataFrame({"key": ["a", None], "x": [1.5, float("nan")]}),
            "none": pl.DataFrame(schema={"key": pl.String, "t": pl.Int64}),
        },
    )


def _checkpoint(sequence: int) -> Checkpoint:
    return Checkpoint(
        sequence=sequence, chain_hash=f"{sequence:064x}", epoch=sequence, state=_state(sequence)
    )


def _is_logged(sequence: int, chain_hash: str, _digest: str) -> bool:
    return chain_hash == f"{sequence:064x}"


def _newest(disk: SimulatedDisk) -> int | None:
    found = read_newest_checkpoint(disk, NAME, is_logged=_is_logged)
    return None if found is None else found.sequence


def _assert_equal(found: StateParts, expected: StateParts) -> None:
    assert found.meta == expected.meta
    assert list(found.arrays) == list(expected.arrays)
    for name, array in expected.arrays.items():
        assert found.arrays[name].dtype == array.dtype
        assert found.arrays[name].shape == array.shape
        assert found.arrays[name].tobytes() == array.tobytes()
    assert list(found.frames) == list(expected.frames)
    for name, frame in expected.frames.items():
        assert_frame_equal(found.frames[name], frame)


# --- packed state -------------------------------------------------------------------------------


def test_state_is_unpacked_as_it_was_packed() -> None:
    _assert_equal(unpack_state(pack_state(_state(3))), _state(3))


def test_equal_state_gives_equal_bytes() -> None:
    assert pack_state(_state(3)) == pack_state(_state(3))


def test_arrays_in_another_layout_are_stored_by_value() -> None:
    matrix = np.arange(6, dtype=">i4").reshape(2, 3).T
    found = unpack_state(pack_state(StateParts({}, {"m": matrix}))).arrays["m"]
    np.testing.assert_array_equal(found, matrix)
    assert found.dtype == np.dtype("<i4")


def test_unpacked_arrays_can_be_written_to() -> None:
    found = unpack_state(pack_state(_state(3))).arrays["sums"]
    found[0] = 5.0
    assert found[0] == 5.0


@pytest.mark.parametrize(
    "array", [np.array(["text"]), np.array([object()]), np.array([1j]), np.array([1], "M8[ns]")]
)
def test_arrays_without_a_fixed_layout_are_refused(array: np.ndarray) -> None:
    with pytest.raises(UsageError, match="array 'a'"):
        pack_state(StateParts({}, {"a": array}))


@pytest.mark.parametrize("value", [float("nan"), {1, 2}, np.int64(3)])
def test_meta_that_is_not_json_is_refused(value: object) -> None:
    with pytest.raises(UsageError, match="meta of a state"):
        pack_state(StateParts({"value": value}))


def test_an_unknown_version_is_refused_by_name() -> None:
    packed = bytearray(pack_state(_state(3)))
    struct.pack_into("<I", packed, 8, 2)
    with pytest.raises(LogError, match="version 1, got 2"):
        unpack_state(bytes(packed))


PACKED = pack_state(_state(3))


@settings(max_examples=100, deadline=None, derandomize=True)
@given(offset=st.integers(0, len(PACKED) - 1), bit=st.integers(0, 7))
def test_a_changed_bit_anywhere_in_packed_state_is_noticed(offset: int, bit: int) -> None:
    changed = bytearray(PACKED)
    changed[offset] ^= 1 << bit
    with pytest.raises(LogError):
        unpack_state(bytes(changed))


@pytest.mark.parametrize("size", [0, 1, 8, 19, 51, 52, len(PACKED) // 2, len(PACKED) - 1])
def test_truncated_state_is_refused(size: int) -> None:
    with pytest.raises(LogError, match="intact packed state"):
        unpack_state(PACKED[:size])


def test_state_with_bytes_appended_is_refused() -> None:
    with pytest.raises(LogError, match="intact packed state"):
        unpack_state(PACKED + b"\0")


# --- checkpoint files ---------------------------------------------------------------------------


def test_the_newest_checkpoint_is_read_back() -> None:
    disk = SimulatedDisk()
    for sequence in (9, 10, 100):
        path = write_checkpoint(disk, NAME, _checkpoint(sequence))
    assert path == "checkpoints/p0/100.ckpt"
    found = read_newest_checkpoint(disk, NAME, is_logged=_is_logged)
    assert found is not None
    assert (found.sequence, found.chain_hash, found.epoch) == (100, f"{100:064x}", 100)
    _assert_equal(found.state, _state(100))


def test_without_a_checkpoint_there_is_none() -> None:
    assert _newest(SimulatedDisk()) is None


def test_only_the_newest_are_kept() -> None:
    disk = SimulatedDisk()
    for sequence in (9, 10, 100, 101):
        write_checkpoint(disk, NAME, _checkpoint(sequence), limits=Limits(checkpoints_kept=3))
    assert disk.listdir("checkpoints/p0") == ["10.ckpt", "100.ckpt", "101.ckpt"]


def test_a_damaged_checkpoint_falls_back_to_the_one_before() -> None:
    disk = SimulatedDisk()
    write_checkpoint(disk, NAME, _checkpoint(1))
    path = write_checkpoint(disk, NAME, _checkpoint(2))
    data = disk.read_bytes(path)
    disk.overwrite(path, data[:-40] + b"damage" + data[-34:])
    assert _newest(disk) == 1


def test_a_checkpoint_of_another_version_falls_back_to_the_one_before() -> None:
    disk = SimulatedDisk()
    write_checkpoint(disk, NAME, _checkpoint(1))
    path = write_checkpoint(disk, NAME, _checkpoint(2))
    packed = bytearray(disk.read_bytes(path))
    struct.pack_into("<I", packed, 8, 2)
    disk.overwrite(path, bytes(packed))
    assert _newest(disk) == 1


def test_a_checkpoint_that_is_not_on_the_chain_is_passed_over() -> None:
    disk = SimulatedDisk()
    write_checkpoint(disk, NAME, _checkpoint(1))
    write_checkpoint(disk, NAME, Checkpoint(2, "f" * 64, 2, _state(2)))
    assert _newest(disk) == 1


def test_a_renamed_checkpoint_is_passed_over() -> None:
    disk = SimulatedDisk()
    path = write_checkpoint(disk, NAME, _checkpoint(1))
    disk.overwrite("checkpoints/p0/7.ckpt", disk.read_bytes(path))
    assert _newest(disk) == 1


def test_when_every_checkpoint_is_damaged_there_is_none() -> None:
    disk = SimulatedDisk()
    for sequence in (1, 2):
        disk.overwrite(write_checkpoint(disk, NAME, _checkpoint(sequence)), b"")
    assert _newest(disk) is None


def test_a_checkpoint_beyond_the_limit_is_refused_and_nothing_written() -> None:
    disk = SimulatedDisk()
    with pytest.raises(UsageError, match="max_checkpoint_bytes"):
        write_checkpoint(disk, NAME, _checkpoint(1), limits=Limits(max_checkpoint_bytes=100))
    assert disk.paths() == []


def test_a_checkpoint_file_beyond_the_limit_is_passed_over() -> None:
    disk = SimulatedDisk()
    write_checkpoint(disk, NAME, _checkpoint(1))
    disk.overwrite("checkpoints/p0/2.ckpt", b"x" * (disk.size("checkpoints/p0/1.ckpt") + 1))
    limits = Limits(max_checkpoint_bytes=disk.size("checkpoints/p0/1.ckpt"))
    found = read_newest_checkpoint(disk, NAME, is_logged=_is_logged, limits=limits)
    assert found is not None
    assert found.sequence == 1


def test_a_power_cut_at_any_operation_leaves_the_old_or_the_new_checkpoint() -> None:
    disk = SimulatedDisk()
    for sequence in (1, 2):
        write_checkpoint(disk, NAME, _checkpoint(sequence))
    healthy = disk.copy()
    write_checkpoint(healthy, NAME, _checkpoint(3))
    for operation in range(1, healthy.operations + 1):
        cut = disk.copy()
        cut.crash_at_operation = operation
        with pytest.raises(SimulatedCrash):
            write_checkpoint(cut, NAME, _checkpoint(3))
        after = cut.crash(np.random.default_rng(operation), garble_probability=1.0)
        assert _newest(after) in {2, 3}
        write_checkpoint(after, NAME, _checkpoint(3))
        assert after.listdir("checkpoints/p0") == ["2.ckpt", "3.ckpt"]


def test_on_a_full_disk_the_older_checkpoints_stay() -> None:
    disk = SimulatedDisk()
    write_checkpoint(disk, NAME, _checkpoint(1))
    disk.capacity_bytes = disk.used_bytes + 10
    with pytest.raises(StorageError):
        write_checkpoint(disk, NAME, _checkpoint(2))
    assert _newest(disk) == 1
