"""What is appended and committed is read back, in order, from any place, by any MCAP reader."""

from __future__ import annotations

import json

import pytest
from mcap.reader import make_reader

from recorder.small_log import (
    MANY_SEGMENTS,
    NAME,
    NS_PER_S,
    append_all,
    flat,
    group,
    stored,
    write_log,
)
from sightline.errors import StorageError, UsageError
from sightline.limits import Limits
from sightline.recorder import PartitionLog, read_entries, verify_log
from sightline.recorder.chain import EMPTY_CHAIN
from sightline.recorder.walk import chain_hash_at
from sightline.records import EntryKind
from simulation.disk import SimulatedDisk

GROUPS = [group(number) for number in range(6)]


def test_committed_entries_are_read_back_in_order() -> None:
    disk = SimulatedDisk()
    write_log(disk, GROUPS)
    assert stored(disk) == flat(GROUPS)


def test_entries_are_read_back_across_many_segments() -> None:
    disk = SimulatedDisk()
    write_log(disk, GROUPS, limits=MANY_SEGMENTS)
    assert len(disk.paths()) > 2
    assert stored(disk) == flat(GROUPS)


def test_uncommitted_entries_are_not_read() -> None:
    disk = SimulatedDisk()
    log = PartitionLog.open(disk, NAME)
    append_all(log, GROUPS[0])
    log.commit()
    append_all(log, GROUPS[1])
    assert stored(disk) == GROUPS[0]


def test_a_log_that_is_being_written_can_be_read() -> None:
    disk = SimulatedDisk()
    write_log(disk, GROUPS, close=False)
    assert stored(disk) == flat(GROUPS)


def test_an_absent_log_is_empty() -> None:
    disk = SimulatedDisk()
    assert stored(disk) == []
    assert verify_log(disk, NAME).head == EMPTY_CHAIN


def test_opening_a_log_writes_nothing() -> None:
    disk = SimulatedDisk()
    PartitionLog.open(disk, NAME).close()
    assert disk.paths() == []


@pytest.mark.parametrize("limits", [Limits(), MANY_SEGMENTS], ids=["one segment", "many"])
@pytest.mark.parametrize(("after", "until"), [(-1, 4), (3, None), (4, 9), (17, None), (9, 9)])
def test_a_range_of_entries_can_be_read(limits: Limits, after: int, until: int | None) -> None:
    disk = SimulatedDisk()
    write_log(disk, GROUPS, limits=limits)
    found = list(read_entries(disk, NAME, after=after, until=until))
    last = 10**9 if until is None else until
    assert found == [entry for entry in flat(GROUPS) if after < entry.sequence <= last]


def test_entries_of_some_kinds_can_be_read() -> None:
    disk = SimulatedDisk()
    write_log(disk, GROUPS)
    found = list(read_entries(disk, NAME, kinds={EntryKind.TICK}))
    assert found == [entry for entry in flat(GROUPS) if entry.kind is EntryKind.TICK]


def test_a_commit_without_entries_changes_nothing() -> None:
    disk = SimulatedDisk()
    log = PartitionLog.open(disk, NAME)
    append_all(log, GROUPS[0])
    head = log.commit()
    before = disk.operations
    assert log.commit() == head
    assert disk.operations == before


def test_a_log_is_continued_after_reopening() -> None:
    disk = SimulatedDisk()
    heads = write_log(disk, GROUPS[:2])
    log = PartitionLog.open(disk, NAME)
    assert log.head == heads[-1]
    assert log.recovery.repaired_segments == ()
    append_all(log, GROUPS[2])
    log.commit()
    log.close()
    assert stored(disk) == flat(GROUPS[:3])
    assert verify_log(disk, NAME)


def test_the_chain_does_not_depend_on_how_segments_are_cut() -> None:
    one, many = SimulatedDisk(), SimulatedDisk()
    assert write_log(one, GROUPS) == write_log(many, GROUPS, limits=MANY_SEGMENTS)


def test_close_gives_up_entries_that_were_not_committed() -> None:
    disk = SimulatedDisk()
    log = PartitionLog.open(disk, NAME)
    append_all(log, GROUPS[0])
    log.commit()
    append_all(log, GROUPS[1])
    log.close()
    recovery = PartitionLog.open(disk, NAME).recovery
    assert recovery.cut_entries == len(GROUPS[1])
    assert stored(disk) == GROUPS[0]


def test_a_closed_log_takes_no_entries() -> None:
    log = PartitionLog.open(SimulatedDisk(), NAME)
    log.close()
    with pytest.raises(StorageError, match="open the log again"):
        log.append(EntryKind.TICK, "", b"{}", time_ns=0)


def test_a_segment_is_finished_at_the_age_limit() -> None:
    disk = SimulatedDisk()
    write_log(disk, GROUPS, limits=Limits(segment_age_s=5.0))
    assert len(disk.paths()) == 3  # two groups of three seconds each
    assert stored(disk) == flat(GROUPS)


def test_a_segment_is_never_finished_within_a_group() -> None:
    disk = SimulatedDisk()
    log = PartitionLog.open(disk, NAME, limits=Limits(segment_bytes=1, segment_age_s=0.0))
    append_all(log, flat(GROUPS))
    log.commit()
    log.close()
    assert len(disk.paths()) == 1


def test_the_hash_at_a_commit_is_found_and_between_commits_is_none() -> None:
    disk = SimulatedDisk()
    heads = write_log(disk, GROUPS, limits=MANY_SEGMENTS)
    assert [chain_hash_at(disk, NAME, h.sequence) for h in heads] == [h.hash for h in heads]
    assert chain_hash_at(disk, NAME, heads[0].sequence + 1) is None
    assert chain_hash_at(disk, NAME, heads[-1].sequence + 1) is None
    assert chain_hash_at(disk, NAME, -1) == EMPTY_CHAIN.hash


# --- the format ---------------------------------------------------------------------------------


def test_other_mcap_readers_see_every_entry_on_its_channel() -> None:
    disk = SimulatedDisk()
    write_log(disk, GROUPS)
    reader = make_reader(disk.open_read(disk.paths()[0]))
    messages = [
        (channel.topic, channel.message_encoding, message.data, message.log_time)
        for _, channel, message in reader.iter_messages(log_time_order=False)
        if channel.topic != "/chain"
    ]
    encodings = {EntryKind.INPUT: "arrow-ipc"}
    assert messages == [
        (
            f"/{e.kind}/{e.name}" if e.name else f"/{e.kind}",
            encodings.get(e.kind, "json"),
            e.payload,
            e.time_ns,
        )
        for e in flat(GROUPS)
    ]


def test_json_channels_have_a_json_schema_so_that_foxglove_shows_them() -> None:
    disk = SimulatedDisk()
    write_log(disk, GROUPS)
    reader = make_reader(disk.open_read(disk.paths()[0]))
    for schema, channel, _ in reader.iter_messages():
        if channel.message_encoding == "json":
            assert schema is not None
            assert schema.encoding == "jsonschema"
            assert json.loads(schema.data)["type"] == "object"


def test_the_summary_counts_every_message() -> None:
    disk = SimulatedDisk()
    write_log(disk, GROUPS)
    summary = make_reader(disk.open_read(disk.paths()[0])).get_summary()
    assert summary is not None
    assert summary.statistics is not None
    assert summary.statistics.message_count == len(flat(GROUPS)) + len(GROUPS)


# --- limits -------------------------------------------------------------------------------------


def test_an_entry_beyond_the_limit_is_refused_and_nothing_written() -> None:
    disk = SimulatedDisk()
    log = PartitionLog.open(disk, NAME, limits=Limits(max_entry_bytes=1000))
    append_all(log, GROUPS[0])
    used = disk.used_bytes
    with pytest.raises(UsageError, match="max_entry_bytes"):
        log.append(EntryKind.INPUT, "telemetry", b"x" * 1001, time_ns=0)
    assert disk.used_bytes == used
    log.commit()
    assert stored(disk) == GROUPS[0]


def test_an_entry_of_exactly_the_limit_is_kept() -> None:
    disk = SimulatedDisk()
    limits = Limits(max_entry_bytes=1000)
    log = PartitionLog.open(disk, NAME, limits=limits)
    log.append(EntryKind.INPUT, "telemetry", b"x" * 1000, time_ns=0)
    log.commit()
    assert [len(entry.payload) for entry in stored(disk, limits=limits)] == [1000]


def test_a_group_whose_commit_would_be_too_large_is_refused() -> None:
    disk = SimulatedDisk()
    limits = Limits(max_entry_bytes=1000)
    log = PartitionLog.open(disk, NAME, limits=limits)
    with pytest.raises(UsageError, match="commit more often"):
        for _ in range(10):
            log.append(EntryKind.TICK, "", b"{}", time_ns=0)
    head = log.commit()
    assert len(stored(disk, limits=limits)) == head.sequence + 1


def test_a_log_beyond_its_limit_stops_with_an_error_and_keeps_what_it_has() -> None:
    disk = SimulatedDisk()
    log = PartitionLog.open(disk, NAME, limits=Limits(log_bytes=4000, segment_bytes=1500))
    with pytest.raises(StorageError, match="log_bytes"):
        for entries in (group(number) for number in range(100)):
            append_all(log, entries)
            log.commit()
    log.commit()
    log.close()
    assert verify_log(disk, NAME)
    assert disk.used_bytes < 6000


@pytest.mark.parametrize("name", ["\ud800", "bad\udfff"])
def test_a_name_that_cannot_be_written_is_refused(name: str) -> None:
    log = PartitionLog.open(SimulatedDisk(), NAME)
    with pytest.raises(UsageError, match="UTF-8"):
        log.append(EntryKind.TICK, name, b"{}", time_ns=0)
    assert log.append(EntryKind.TICK, "", b"{}", time_ns=0) == 0


@pytest.mark.parametrize("name", ["a/b", "käse", 'quote"\\', "tab\t\0", "/", "chain"])
def test_any_other_name_is_kept(name: str) -> None:
    disk = SimulatedDisk()
    log = PartitionLog.open(disk, NAME)
    log.append(EntryKind.CONTROL, name, b"{}", time_ns=0)
    log.commit()
    log.close()
    assert [entry.name for entry in stored(disk)] == [name]
    assert verify_log(disk, NAME)


@pytest.mark.parametrize("time_ns", [-1, 1 << 63])
def test_a_time_that_cannot_be_written_is_refused(time_ns: int) -> None:
    log = PartitionLog.open(SimulatedDisk(), NAME)
    with pytest.raises(UsageError, match="UTC ns"):
        log.append(EntryKind.TICK, "", b"{}", time_ns=time_ns)


@pytest.mark.parametrize("name", ["", "..", "a/b", ".hidden", "x" * 129])
def test_a_partition_name_that_is_no_folder_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="name of a partition"):
        PartitionLog.open(SimulatedDisk(), name)


def test_times_may_go_backwards() -> None:
    disk = SimulatedDisk()
    log = PartitionLog.open(disk, NAME)
    for time_ns in (5 * NS_PER_S, 0, 3 * NS_PER_S):
        log.append(EntryKind.TICK, "", b"{}", time_ns=time_ns)
    log.commit()
    log.close()
    assert [entry.time_ns for entry in stored(disk)] == [5 * NS_PER_S, 0, 3 * NS_PER_S]
    assert verify_log(disk, NAME)
