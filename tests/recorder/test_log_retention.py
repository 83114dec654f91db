"""Pruning frees space and leaves a chain that still verifies."""

from __future__ import annotations

import numpy as np
import pytest
from mcap.reader import make_reader

from recorder.small_log import (
    MANY_SEGMENTS,
    NAME,
    append_all,
    flat,
    group,
    stored,
    write_log,
)
from sightline.errors import LogError
from sightline.recorder import PartitionLog, prune_log, read_entries, verify_log
from sightline.recorder.chain import ChainHead
from sightline.recorder.walk import chain_hash_at
from sightline.records import EntryKind
from simulation.disk import SimulatedCrash, SimulatedDisk

GROUPS = [group(number, size=9) for number in range(6)]


def _log() -> tuple[SimulatedDisk, list[ChainHead]]:
    disk = SimulatedDisk()
    heads = write_log(disk, GROUPS, limits=MANY_SEGMENTS)
    assert len(disk.paths()) == len(GROUPS)
    return disk, heads


def _prune_all(disk: SimulatedDisk) -> int:
    pruned = prune_log(disk, NAME, keep_bytes=0, keep_after_ns=None)
    assert len(pruned.segments) == len(GROUPS) - 1
    return pruned.entries


def test_a_pruned_log_verifies_over_its_whole_chain() -> None:
    disk, heads = _log()
    entries = _prune_all(disk)
    verdict = verify_log(disk, NAME, expected_head=heads[0])
    assert verdict
    assert verdict.head == heads[-1]
    assert verdict.pruned_entries == entries == 45
    assert verdict.entries == 54


def test_pruning_makes_the_log_smaller_by_what_it_says() -> None:
    disk, _ = _log()
    before = disk.used_bytes
    pruned = prune_log(disk, NAME, keep_bytes=0, keep_after_ns=None)
    assert pruned.freed_bytes == before - disk.used_bytes > 0


def test_the_newest_segment_is_never_pruned() -> None:
    disk, _ = _log()
    _prune_all(disk)
    assert list(read_entries(disk, NAME, after=44)) == GROUPS[-1]


def test_reading_what_was_pruned_is_an_error_that_says_so() -> None:
    disk, _ = _log()
    _prune_all(disk)
    with pytest.raises(LogError, match="pruned segment"):
        stored(disk)


def test_what_pruning_has_left_can_be_read_when_asked_for() -> None:
    disk, _ = _log()
    _prune_all(disk)
    assert list(read_entries(disk, NAME, skip_pruned=True)) == GROUPS[-1]


def test_reading_kinds_of_which_none_was_pruned_is_no_error() -> None:
    disk, _ = _log()
    _prune_all(disk)
    assert list(read_entries(disk, NAME, kinds={EntryKind.QUARANTINE})) == []


def test_pruning_by_size_stops_when_the_rest_fits() -> None:
    disk, _ = _log()
    newest_two = sum(disk.size(path) for path in disk.paths()[-2:])
    pruned = prune_log(disk, NAME, keep_bytes=newest_two, keep_after_ns=None)
    assert len(pruned.segments) == len(GROUPS) - 2
    assert list(read_entries(disk, NAME, after=35)) == flat(GROUPS[4:])


def test_pruning_by_age_keeps_a_segment_with_one_entry_young_enough() -> None:
    disk, _ = _log()
    newest_of_third = GROUPS[2][-1].time_ns
    pruned = prune_log(disk, NAME, keep_bytes=None, keep_after_ns=newest_of_third)
    assert len(pruned.segments) == 2
    assert list(read_entries(disk, NAME, after=17)) == flat(GROUPS[2:])


def test_pruning_without_a_bound_removes_nothing() -> None:
    disk, _ = _log()
    assert prune_log(disk, NAME, keep_bytes=None, keep_after_ns=None).segments == ()
    assert stored(disk) == flat(GROUPS)


def test_pruning_again_removes_nothing_more() -> None:
    disk, _ = _log()
    _prune_all(disk)
    assert prune_log(disk, NAME, keep_bytes=0, keep_after_ns=None).segments == ()


def test_a_pruned_log_goes_on() -> None:
    disk, heads = _log()
    _prune_all(disk)
    log = PartitionLog.open(disk, NAME, limits=MANY_SEGMENTS)
    assert log.head == heads[-1]
    append_all(log, group(6, size=9))
    log.commit()
    log.close()
    assert verify_log(disk, NAME)
    assert list(read_entries(disk, NAME, after=53)) == group(6, size=9)


def test_the_hashes_of_pruned_commits_are_still_found() -> None:
    disk, heads = _log()
    _prune_all(disk)
    assert [chain_hash_at(disk, NAME, h.sequence) for h in heads] == [h.hash for h in heads]


def test_a_pruned_segment_is_still_an_mcap_file_with_its_commits() -> None:
    disk, _ = _log()
    _prune_all(disk)
    reader = make_reader(disk.open_read(disk.paths()[0]))
    assert [channel.topic for _, channel, _ in reader.iter_messages()] == ["/chain"]


def test_a_damaged_segment_is_not_pruned() -> None:
    disk, _ = _log()
    first = disk.paths()[0]
    damaged = disk.read_bytes(first)[:-1]
    disk.overwrite(first, damaged)
    with pytest.raises(LogError, match=r"000000\.mcap"):
        prune_log(disk, NAME, keep_bytes=0, keep_after_ns=None)
    assert disk.read_bytes(first) == damaged


def test_a_power_cut_at_any_operation_of_pruning_leaves_a_good_log() -> None:
    disk, heads = _log()
    healthy = disk.copy()
    _prune_all(healthy)
    for operation in range(1, healthy.operations + 1, 3):
        cut = disk.copy()
        cut.crash_at_operation = operation
        with pytest.raises(SimulatedCrash):
            _prune_all(cut)
        after = cut.crash(np.random.default_rng(operation))
        assert verify_log(after, NAME, expected_head=heads[-1])
        prune_log(after, NAME, keep_bytes=0, keep_after_ns=None)
        assert PartitionLog.open(after, NAME).head == heads[-1]
        assert after.paths() == healthy.paths()
        assert after.used_bytes == healthy.used_bytes
