"""Damage anywhere in a log is noticed, named, and never believed."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from recorder.small_log import MANY_SEGMENTS, NAME, flat, group, stored, write_log
from sightline.errors import LogError
from sightline.recorder import DirectoryStorage, PartitionLog, prune_log, read_entries, verify_log
from sightline.recorder.chain import ChainHead
from simulation.disk import SimulatedDisk

GROUPS = [group(number) for number in range(5)]


def _closed_log() -> SimulatedDisk:
    disk = SimulatedDisk()
    write_log(disk, GROUPS, limits=MANY_SEGMENTS)
    return disk


def _partly_pruned_log() -> SimulatedDisk:
    disk = _closed_log()
    assert prune_log(disk, NAME, keep_bytes=0, keep_after_ns=None).segments
    return disk


def _unfinished_log() -> SimulatedDisk:
    disk = SimulatedDisk()
    write_log(disk, GROUPS, close=False)
    return disk


def _changed(disk: SimulatedDisk, position: int, mask: int) -> SimulatedDisk:
    """A copy of the disk with one byte changed; ``position`` counts through all its files."""
    twin = disk.copy()
    for path in twin.paths():
        data = bytearray(twin.read_bytes(path))
        if position < len(data):
            data[position] ^= mask
            twin.overwrite(path, bytes(data))
            return twin
        position -= len(data)
    raise AssertionError("position beyond the files")


LOGS = {
    "closed": _closed_log(),
    "partly pruned": _partly_pruned_log(),
    "unfinished": _unfinished_log(),
}


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    log=st.sampled_from(sorted(LOGS)),
    place=st.floats(0, 1, exclude_max=True),
    bit=st.integers(0, 7),
)
@example(log="closed", place=0.0, bit=0)
@example(log="unfinished", place=0.9999, bit=0)
def test_a_changed_bit_anywhere_is_noticed(log: str, place: float, bit: int) -> None:
    disk = LOGS[log]
    assert verify_log(disk, NAME)
    changed = _changed(disk, int(place * disk.used_bytes), 1 << bit)
    verdict = verify_log(changed, NAME)
    assert not verdict
    assert verdict.problem.startswith(f"log/{NAME}/")


@settings(max_examples=100, deadline=None, derandomize=True)
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_reading_a_damaged_log_never_gives_a_wrong_entry(place: float, bit: int) -> None:
    disk = LOGS["closed"]
    changed = _changed(disk, int(place * disk.used_bytes), 1 << bit)
    expected = flat(GROUPS)
    found = []
    try:
        for entry in read_entries(changed, NAME):
            found.append(entry)
    except LogError as error:
        assert error.where.startswith(f"log/{NAME}/")
        assert error.action
    assert found == expected[: len(found)]


@settings(max_examples=100, deadline=None, derandomize=True)
@given(place=st.floats(0, 1, exclude_max=True))
def test_a_closed_log_that_was_truncated_is_noticed(place: float) -> None:
    disk = LOGS["closed"].copy()
    last = disk.paths()[-1]
    data = disk.read_bytes(last)
    head = verify_log(disk, NAME).head
    disk.overwrite(last, data[: int(place * len(data))])
    assert not verify_log(disk, NAME, expected_head=head)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(place=st.floats(0, 1, exclude_max=True))
def test_truncation_of_an_earlier_segment_is_an_error(place: float) -> None:
    disk = LOGS["closed"].copy()
    first = disk.paths()[0]
    data = disk.read_bytes(first)
    disk.overwrite(first, data[: int(place * len(data))])
    assert not verify_log(disk, NAME)
    with pytest.raises(LogError, match=r"000000\.mcap"):
        stored(disk)


def test_a_missing_segment_is_named() -> None:
    disk = LOGS["closed"].copy()
    disk.remove(disk.paths()[1])
    with pytest.raises(LogError, match=r"expected segment 000001\.mcap"):
        PartitionLog.open(disk, NAME)
    assert r"000001.mcap" in verify_log(disk, NAME).problem


def test_a_segment_of_another_log_does_not_pass() -> None:
    disk = LOGS["closed"].copy()
    other = SimulatedDisk()
    write_log(other, [group(number, size=4) for number in range(5)], limits=MANY_SEGMENTS)
    disk.overwrite(disk.paths()[1], other.read_bytes(other.paths()[1]))
    verdict = verify_log(disk, NAME)
    assert "a segment that follows" in verdict.problem


def test_swapped_segments_do_not_pass() -> None:
    disk = LOGS["closed"].copy()
    first, second = disk.paths()[:2]
    data = disk.read_bytes(first)
    disk.overwrite(first, disk.read_bytes(second))
    disk.overwrite(second, data)
    assert not verify_log(disk, NAME)


def test_a_log_cut_at_a_commit_is_noticed_only_against_a_head_kept_elsewhere() -> None:
    disk = SimulatedDisk()
    heads = write_log(disk, GROUPS)
    shorter = SimulatedDisk()
    write_log(shorter, GROUPS[:3])
    assert verify_log(shorter, NAME)
    verdict = verify_log(shorter, NAME, expected_head=heads[-1])
    assert not verdict
    assert verdict.head == heads[2]
    assert "cut or rewritten" in verdict.problem


def test_a_log_that_has_grown_since_still_contains_the_head_kept_elsewhere() -> None:
    disk = SimulatedDisk()
    heads = write_log(disk, GROUPS)
    assert verify_log(disk, NAME, expected_head=heads[1])


def test_a_head_that_was_never_on_the_chain_is_noticed() -> None:
    disk = SimulatedDisk()
    heads = write_log(disk, GROUPS)
    assert not verify_log(disk, NAME, expected_head=ChainHead(heads[1].sequence, "0" * 64))


def test_the_verdict_counts_what_is_good_before_the_damage() -> None:
    disk = SimulatedDisk()
    heads = write_log(disk, GROUPS)
    path = disk.paths()[0]
    data = disk.read_bytes(path)
    disk.overwrite(path, data.replace(b'{"entry":7}', b'{"entry":8}'))
    verdict = verify_log(disk, NAME)
    assert verdict.entries == 6
    assert verdict.head == heads[1]
    assert "entry 7" in verdict.problem


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x05" + (200 << 20).to_bytes(8, "little") + b"message",
        b"\x05" + ((1 << 64) - 1).to_bytes(8, "little") + b"message",
        # A channel of plausible length whose topic claims to be 4 GiB long.
        b"\x04" + (20).to_bytes(8, "little") + b"\2\0\0\0" + b"\xff\xff\xff\xff" + b"/" * 12,
        b"\x03" + (20).to_bytes(8, "little") + b"\2\0" + b"\xff\xff\xff\xff" + b"s" * 14,
    ],
    ids=["message of 200 MiB", "message of 2^64", "channel topic", "schema name"],
)
def test_a_garbage_length_takes_no_memory(tmp_path: Path, garbage: bytes) -> None:
    storage = DirectoryStorage(tmp_path)
    write_log(storage, GROUPS, close=False)
    segment = tmp_path / "log" / NAME / "000000.mcap"
    with segment.open("ab") as file:
        file.write(garbage)
    tracemalloc.start()
    try:
        log = PartitionLog.open(storage, NAME)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < 8 << 20
    assert log.recovery.cut_bytes == len(garbage)
    assert stored(storage) == flat(GROUPS)


def test_reading_holds_one_payload_at_a_time(tmp_path: Path) -> None:
    storage = DirectoryStorage(tmp_path)
    log = PartitionLog.open(storage, NAME)
    for number in range(16):
        log.append(group(0)[0].kind, "telemetry", bytes([number]) * (1 << 20), time_ns=0)
    log.commit()
    log.close()
    tracemalloc.start()
    try:
        count = sum(1 for _ in read_entries(storage, NAME))
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 16
    assert peak_bytes < 4 << 20
