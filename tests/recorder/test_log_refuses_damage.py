"""Damage is not a torn tail: it is refused, and nothing is cut."""

from __future__ import annotations

import pytest

from recorder.small_log import NAME, flat, group, stored, write_log
from sightline.errors import LogError
from sightline.limits import Limits
from sightline.recorder import PartitionLog
from simulation.disk import SimulatedDisk

GROUPS = [group(number) for number in range(3)]
SEGMENT = f"log/{NAME}/000000.mcap"


def _unfinished_log() -> SimulatedDisk:
    disk = SimulatedDisk()
    write_log(disk, GROUPS, close=False)
    return disk


_BYTES = _unfinished_log().read_bytes(SEGMENT)


def test_damage_before_a_later_commit_is_refused_and_not_cut() -> None:
    disk = _unfinished_log()
    data = bytearray(_BYTES)
    data[data.index(b'{"entry":1}') + 3] ^= 1
    disk.overwrite(SEGMENT, bytes(data))
    with pytest.raises(LogError, match=r"000000\.mcap, byte"):
        PartitionLog.open(disk, NAME)
    assert disk.read_bytes(SEGMENT) == bytes(data)


def test_damage_to_the_framing_before_a_later_commit_is_refused_and_not_cut() -> None:
    disk = _unfinished_log()
    data = bytearray(_BYTES)
    length_at = data.index(b'{"entry":1}') - 30
    data[length_at + 5] ^= 0x7F
    disk.overwrite(SEGMENT, bytes(data))
    with pytest.raises(LogError, match=r"000000\.mcap, byte"):
        PartitionLog.open(disk, NAME)
    assert disk.read_bytes(SEGMENT) == bytes(data)


def test_damage_to_the_last_group_of_a_finished_segment_is_refused() -> None:
    disk = SimulatedDisk()
    write_log(disk, GROUPS)
    data = bytearray(disk.read_bytes(SEGMENT))
    data[data.index(b'{"entry":8}') + 3] ^= 1
    disk.overwrite(SEGMENT, bytes(data))
    with pytest.raises(LogError, match=r"000000\.mcap, byte"):
        PartitionLog.open(disk, NAME)


def test_a_damaged_header_before_entries_is_refused() -> None:
    disk = SimulatedDisk()
    disk.overwrite(SEGMENT, b"\0" * 8 + _BYTES[8:])
    with pytest.raises(LogError, match="header"):
        PartitionLog.open(disk, NAME)
    assert disk.exists(SEGMENT)


def test_an_unknown_format_version_is_refused_and_not_cut() -> None:
    disk = SimulatedDisk()
    at = _BYTES.index(b"format_version") + len("format_version") + 4
    assert _BYTES[at : at + 1] == b"2"
    disk.overwrite(SEGMENT, _BYTES[:at] + b"7" + _BYTES[at + 1 :])
    with pytest.raises(LogError, match="version 2, got '7'"):
        PartitionLog.open(disk, NAME)
    assert disk.exists(SEGMENT)


def test_a_garbage_length_is_not_believed() -> None:
    disk = SimulatedDisk()
    disk.overwrite(SEGMENT, _BYTES + b"\x05" + (1 << 40).to_bytes(8, "little") + b"abc")
    log = PartitionLog.open(disk, NAME)
    assert log.recovery.cut_bytes == 12
    assert stored(disk) == flat(GROUPS)


def test_an_entry_above_the_readers_limit_is_an_error_not_a_torn_tail() -> None:
    disk = SimulatedDisk()
    write_log(disk, GROUPS)
    with pytest.raises(LogError, match="max_entry_bytes"):
        PartitionLog.open(disk, NAME, limits=Limits(max_entry_bytes=100))
