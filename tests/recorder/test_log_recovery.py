"""After any interruption every committed entry is there, nothing else is, and the log goes on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recorder.small_log import (
    MANY_SEGMENTS,
    NAME,
    append_all,
    flat,
    group,
    stored,
    write_log,
)
from sightline.errors import StorageError
from sightline.recorder import DirectoryStorage, PartitionLog, verify_log
from sightline.recorder.chain import EMPTY_CHAIN, ChainHead
from simulation.disk import SimulatedCrash, SimulatedDisk

GROUPS = [group(number) for number in range(3)]
SEGMENT = f"log/{NAME}/000000.mcap"


def _last_group_of(disk: SimulatedDisk) -> tuple[int, bytes]:
    """Where the last group begins in an unfinished segment of GROUPS, and all its bytes."""
    shorter = SimulatedDisk()
    write_log(shorter, GROUPS[:-1], close=False)
    return shorter.size(SEGMENT), disk.read_bytes(SEGMENT)


def _unfinished_log() -> SimulatedDisk:
    disk = SimulatedDisk()
    write_log(disk, GROUPS, close=False)
    return disk


_START, _BYTES = _last_group_of(_unfinished_log())


@pytest.mark.parametrize("kept", range(_START, len(_BYTES)))
def test_a_tail_torn_at_any_byte_costs_only_the_last_group(kept: int) -> None:
    disk = SimulatedDisk()
    disk.overwrite(SEGMENT, _BYTES[:kept])
    log = PartitionLog.open(disk, NAME)
    assert log.head.sequence == GROUPS[1][-1].sequence
    assert log.recovery.cut_bytes == kept - _START
    append_all(log, GROUPS[2])
    log.commit()
    log.close()
    assert stored(disk) == flat(GROUPS)
    assert verify_log(disk, NAME)


@pytest.mark.parametrize("kept", range(0, _START, 7))
def test_a_tail_torn_further_back_keeps_the_groups_before(kept: int) -> None:
    disk = SimulatedDisk()
    disk.overwrite(SEGMENT, _BYTES[:kept])
    head = PartitionLog.open(disk, NAME).head
    assert head.sequence in {-1, 2, 5}
    assert stored(disk) == flat(GROUPS)[: head.sequence + 1]


@pytest.mark.parametrize("offset", range(_START, len(_BYTES), 11))
def test_noise_in_the_last_group_costs_only_that_group(offset: int) -> None:
    disk = SimulatedDisk()
    noise = np.random.default_rng(offset).bytes(len(_BYTES) - offset)
    disk.overwrite(SEGMENT, _BYTES[:offset] + noise)
    assert PartitionLog.open(disk, NAME).head.sequence == GROUPS[1][-1].sequence
    assert stored(disk) == flat(GROUPS[:2])


def test_recovery_says_what_it_cut() -> None:
    disk = SimulatedDisk()
    log = PartitionLog.open(disk, NAME)
    append_all(log, GROUPS[0])
    log.commit()
    append_all(log, GROUPS[1][:2])
    recovery = PartitionLog.open(disk, NAME).recovery
    assert recovery.cut_entries == 2
    assert recovery.repaired_segments == (SEGMENT,)
    assert "interrupted" in recovery.message
    assert "2 whole entries" in recovery.message


def test_recovering_twice_changes_nothing_more() -> None:
    disk = _unfinished_log()
    PartitionLog.open(disk, NAME)
    once = disk.read_bytes(SEGMENT)
    recovery = PartitionLog.open(disk, NAME).recovery
    assert recovery.repaired_segments == ()
    assert disk.read_bytes(SEGMENT) == once


def test_a_segment_that_was_only_begun_is_removed() -> None:
    disk = SimulatedDisk()
    heads = write_log(disk, GROUPS)
    disk.overwrite(f"log/{NAME}/000001.mcap", b"")
    recovery = PartitionLog.open(disk, NAME).recovery
    assert recovery.head == heads[-1]
    assert disk.paths() == [SEGMENT]


def test_a_left_over_temporary_file_is_removed() -> None:
    disk = SimulatedDisk()
    write_log(disk, GROUPS)
    disk.overwrite(SEGMENT + ".tmp", b"half a segment")
    PartitionLog.open(disk, NAME)
    assert disk.paths() == [SEGMENT]
    assert stored(disk) == flat(GROUPS)


def test_reading_before_recovery_passes_over_the_torn_tail() -> None:
    disk = SimulatedDisk()
    disk.overwrite(SEGMENT, _BYTES[:-5])
    assert stored(disk) == flat(GROUPS[:2])
    assert disk.size(SEGMENT) == len(_BYTES) - 5


def test_verify_reports_a_torn_tail_until_it_is_recovered() -> None:
    disk = SimulatedDisk()
    disk.overwrite(SEGMENT, _BYTES[:-5])
    assert "after the last commit" in verify_log(disk, NAME).problem
    PartitionLog.open(disk, NAME)
    assert verify_log(disk, NAME)


def test_a_segment_whose_last_sync_failed_is_made_durable_before_the_next_rests_on_it() -> None:
    disk = SimulatedDisk()
    log = PartitionLog.open(disk, NAME)
    append_all(log, GROUPS[0])
    log.commit()
    # The last operation of finishing a segment is its sync.
    disk.fail_at_operation = disk.operations + _operations_of_finish()
    with pytest.raises(StorageError):
        log.close()
    log = PartitionLog.open(disk, NAME)
    append_all(log, GROUPS[1])
    head = log.commit()
    after = disk.crash(np.random.default_rng(0))
    PartitionLog.open(after, NAME)
    assert verify_log(after, NAME, expected_head=head)


def _operations_of_finish() -> int:
    disk = SimulatedDisk()
    log = PartitionLog.open(disk, NAME)
    append_all(log, GROUPS[0])
    log.commit()
    before = disk.operations
    log.close()
    return disk.operations - before


# --- power cuts ---------------------------------------------------------------------------------


def _run(disk: SimulatedDisk, acknowledged: list[ChainHead]) -> None:
    """Write until GROUPS_OF_RUN are all committed, noting every head that was promised."""
    log = PartitionLog.open(disk, NAME, limits=MANY_SEGMENTS)
    number = (log.head.sequence + 1) // 3
    while number < GROUPS_OF_RUN:
        append_all(log, group(number))
        acknowledged.append(log.commit())
        number += 1
    log.close()


GROUPS_OF_RUN = 5


def _operations_of_a_run() -> int:
    disk = SimulatedDisk()
    _run(disk, [])
    return disk.operations


@pytest.mark.parametrize("operation", range(1, _operations_of_a_run() + 1))
def test_a_power_cut_at_any_operation_loses_nothing_that_was_committed(operation: int) -> None:
    disk = SimulatedDisk(crash_at_operation=operation)
    acknowledged = [EMPTY_CHAIN]
    with pytest.raises(SimulatedCrash):
        _run(disk, acknowledged)
    after = disk.crash(np.random.default_rng(operation))
    head = PartitionLog.open(after, NAME, limits=MANY_SEGMENTS).head
    # The group whose commit was interrupted may count; nothing before it may be missing.
    assert acknowledged[-1].sequence <= head.sequence <= acknowledged[-1].sequence + 3
    assert stored(after) == flat(group(n) for n in range((head.sequence + 1) // 3))
    _run(after, acknowledged)
    assert stored(after) == flat(group(n) for n in range(GROUPS_OF_RUN))
    assert verify_log(after, NAME, expected_head=acknowledged[-1])


@settings(max_examples=50, deadline=None, derandomize=True)
@given(
    accidents=st.lists(
        st.tuples(st.sampled_from(["power cut", "killed", "write fails"]), st.integers(1, 60)),
        max_size=8,
    ),
    seed=st.integers(0, 2**32),
)
def test_any_series_of_accidents_also_during_recovery_ends_in_the_same_log(
    accidents: list[tuple[str, int]], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    disk = SimulatedDisk()
    acknowledged = [EMPTY_CHAIN]
    for accident, operation in accidents:
        disk.operations = 0
        disk.crash_at_operation = None if accident == "write fails" else operation
        disk.fail_at_operation = operation if accident == "write fails" else None
        try:
            _run(disk, acknowledged)
        except SimulatedCrash:
            # A killed process leaves the disk as it is: readable, and not yet durable.
            disk = disk.crash(rng) if accident == "power cut" else disk
        except StorageError:
            pass  # the run stopped; the next one recovers
    disk.crash_at_operation = disk.fail_at_operation = None
    _run(disk, acknowledged)
    assert stored(disk) == flat(group(n) for n in range(GROUPS_OF_RUN))
    assert verify_log(disk, NAME, expected_head=acknowledged[-1])


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_a_killed_process_loses_nothing_that_was_committed(tmp_path: Path) -> None:
    program = f"""
import sys
from pathlib import Path
from sightline.recorder import DirectoryStorage, PartitionLog
from sightline.records import EntryKind
log = PartitionLog.open(DirectoryStorage(Path(sys.argv[1]), durable=False), {NAME!r})
while True:
    log.append(EntryKind.TICK, "", b"{{}}", time_ns=0)
    print(log.commit().sequence, flush=True)
    log.append(EntryKind.TICK, "", b"{{}}" * 5000, time_ns=0)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    acknowledged = [int(process.stdout.readline()) for _ in range(100)]
    process.kill()
    process.wait()
    acknowledged += [int(line) for line in process.stdout.read().splitlines()]
    storage = DirectoryStorage(tmp_path)
    head = PartitionLog.open(storage, NAME).head
    assert head.sequence >= acknowledged[-1]
    assert len(stored(storage)) == head.sequence + 1
    assert verify_log(storage, NAME)


def test_a_power_cut_at_any_operation_of_recovery_loses_nothing() -> None:
    torn = SimulatedDisk()
    torn.overwrite(SEGMENT, _BYTES[:-5])
    healthy = torn.copy()
    PartitionLog.open(healthy, NAME)
    assert healthy.operations > 5
    for operation in range(1, healthy.operations + 1):
        disk = torn.copy()
        disk.crash_at_operation = operation
        with pytest.raises(SimulatedCrash):
            PartitionLog.open(disk, NAME)
        after = disk.crash(np.random.default_rng(operation))
        PartitionLog.open(after, NAME)
        assert stored(after) == flat(GROUPS[:2])
        assert after.paths() == [SEGMENT]


# --- failing writes -----------------------------------------------------------------------------


@pytest.mark.parametrize("operation", range(1, _operations_of_a_run() + 1))
def test_a_write_that_fails_poisons_the_log_and_reopening_recovers(operation: int) -> None:
    disk = SimulatedDisk(fail_at_operation=operation)
    acknowledged = [EMPTY_CHAIN]
    with pytest.raises(StorageError):
        _run(disk, acknowledged)
    _run(disk, acknowledged)
    assert stored(disk) == flat(group(n) for n in range(GROUPS_OF_RUN))
    assert verify_log(disk, NAME, expected_head=acknowledged[-1])


def test_after_a_failed_write_the_log_takes_nothing_more() -> None:
    disk = SimulatedDisk()
    log = PartitionLog.open(disk, NAME)
    append_all(log, GROUPS[0])
    log.commit()
    disk.fail_at_operation = disk.operations + 1
    first, second = GROUPS[1][:2]
    with pytest.raises(StorageError, match="input/output"):
        log.append(first.kind, first.name, first.payload, time_ns=first.time_ns)
    with pytest.raises(StorageError, match="open the log again"):
        log.append(second.kind, second.name, second.payload, time_ns=second.time_ns)
    with pytest.raises(StorageError, match="open the log again"):
        log.commit()
    log.close()
    assert PartitionLog.open(disk, NAME).head.sequence == GROUPS[0][-1].sequence


def test_a_full_disk_keeps_what_was_committed() -> None:
    disk = SimulatedDisk(capacity_bytes=6000)
    acknowledged = [EMPTY_CHAIN]
    with pytest.raises(StorageError, match="no space"):
        _run_forever(disk, acknowledged)
    assert acknowledged[-1].sequence > 0
    disk.capacity_bytes = None
    head = PartitionLog.open(disk, NAME, limits=MANY_SEGMENTS).head
    assert head.sequence >= acknowledged[-1].sequence
    assert verify_log(disk, NAME, expected_head=acknowledged[-1])


def test_recovery_on_a_full_disk_fails_without_losing_anything() -> None:
    disk = SimulatedDisk()
    disk.overwrite(SEGMENT, _BYTES[:-5])
    disk.capacity_bytes = len(_BYTES) + 100
    with pytest.raises(StorageError, match="no space"):
        PartitionLog.open(disk, NAME)
    assert disk.read_bytes(SEGMENT) == _BYTES[:-5]
    disk.capacity_bytes = None
    assert PartitionLog.open(disk, NAME).head.sequence == GROUPS[1][-1].sequence


def _run_forever(disk: SimulatedDisk, acknowledged: list[ChainHead]) -> None:
    log = PartitionLog.open(disk, NAME, limits=MANY_SEGMENTS)
    for number in range(1000):
        append_all(log, group(number))
        acknowledged.append(log.commit())
