"""The inbox of a live source: what happens at its bound, under each policy."""

import threading
import time

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline.limits import Limits
from sightline.recorder import DirectoryStorage
from sightline.sense.inbox import Inbox, SpillFolder
from sightline.sense.refused_rows import no_rejections
from sightline.sense.source import Chunk


def chunk(first, rows):
    frame = pl.DataFrame({"n": range(first, first + rows)}, schema={"n": pl.Int64})
    return Chunk(origin="test", frame=frame, rejected=no_rejections())


def numbers(taken):
    return [n for c, _ in taken.chunks for n in c.frame["n"].to_list()]


def put_in_background(inbox, *chunks):
    results = []

    def work():
        results.extend(inbox.put(c, received_ns=0) for c in chunks)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread, results


def test_block_lets_the_reader_wait_until_there_is_room():
    inbox = Inbox("s", policy="block", max_rows=4)
    thread, _ = put_in_background(inbox, chunk(0, 3), chunk(3, 3))
    while inbox.depth_rows < 3:
        time.sleep(0.001)
    assert thread.is_alive()
    assert numbers(inbox.take()) == [0, 1, 2]
    thread.join(5)
    assert numbers(inbox.take()) == [3, 4, 5]


def test_block_takes_in_one_chunk_that_is_larger_than_the_bound():
    inbox = Inbox("s", policy="block", max_rows=2)
    assert inbox.put(chunk(0, 5), received_ns=0)
    assert len(numbers(inbox.take())) == 5


def test_latest_keeps_the_newest_and_counts_the_rest():
    inbox = Inbox("s", policy="latest", max_rows=4)
    for first in (0, 2, 4, 6):
        inbox.put(chunk(first, 2), received_ns=first)
    taken = inbox.take()
    assert (numbers(taken), taken.superseded) == ([4, 5, 6, 7], 4)


def test_latest_keeps_the_newest_rows_of_a_chunk_that_is_larger_than_the_bound():
    inbox = Inbox("s", policy="latest", max_rows=3)
    inbox.put(chunk(0, 10), received_ns=0)
    taken = inbox.take()
    assert (numbers(taken), taken.superseded) == ([7, 8, 9], 7)


def test_superseded_rows_are_told_once():
    inbox = Inbox("s", policy="latest", max_rows=1)
    inbox.put(chunk(0, 1), received_ns=0)
    inbox.put(chunk(1, 1), received_ns=0)
    assert inbox.take().superseded == 1
    assert inbox.take().superseded == 0


def test_spill_keeps_the_order_between_memory_and_disk(tmp_path):
    inbox = spilling(tmp_path, max_rows=3)
    for first in range(0, 12, 2):
        inbox.put(chunk(first, 2), received_ns=first)
    assert inbox.depth_rows == 12
    assert numbers(inbox.take()) == list(range(12))


def test_spilled_chunks_keep_their_receipt_time(tmp_path):
    inbox = spilling(tmp_path, max_rows=1)
    for n in range(3):
        inbox.put(chunk(n, 1), received_ns=100 + n)
    assert [ns for _, ns in inbox.take().chunks] == [100, 101, 102]


def test_what_a_crash_left_on_disk_comes_out_first(tmp_path):
    before = spilling(tmp_path, max_rows=1)
    for n in range(3):
        before.put(chunk(n, 1), received_ns=n)
    after = spilling(tmp_path, max_rows=1)
    after.put(chunk(9, 1), received_ns=9)
    assert numbers(after.take()) == [1, 2, 9]


def test_what_was_taken_but_not_committed_is_given_again_after_a_crash(tmp_path):
    before = spilling(tmp_path, max_rows=1)
    for n in range(2):
        before.put(chunk(n, 1), received_ns=n)
    before.take()
    assert numbers(spilling(tmp_path, max_rows=1).take()) == [1]


def test_what_was_committed_is_gone_from_the_disk(tmp_path):
    inbox = spilling(tmp_path, max_rows=1)
    for n in range(3):
        inbox.put(chunk(n, 1), received_ns=n)
    inbox.take()
    inbox.committed()
    assert list((tmp_path / "spill" / "s").iterdir()) == []


def test_a_damaged_spill_file_is_quarantined_as_unreadable(tmp_path):
    inbox = spilling(tmp_path, max_rows=1)
    for n in range(2):
        inbox.put(chunk(n, 1), received_ns=n)
    (file,) = (tmp_path / "spill" / "s").iterdir()
    file.write_bytes(file.read_bytes()[:-3])
    (_, (damaged, _)) = inbox.take().chunks
    assert damaged.rejected["reason"].to_list() == ["FILE_UNREADABLE"]


def test_at_the_bound_of_the_disk_the_reader_waits(tmp_path):
    inbox = spilling(tmp_path, max_rows=1, limits=Limits(spill_bytes=1))
    thread, _ = put_in_background(inbox, chunk(0, 1), chunk(1, 1), chunk(2, 1))
    while inbox.depth_rows < 2:
        time.sleep(0.001)
    assert thread.is_alive()
    assert numbers(inbox.take()) == [0, 1]
    thread.join(5)
    assert numbers(inbox.take()) == [2]


def test_a_reader_that_waits_for_room_ends_when_nobody_takes_any_more():
    inbox = Inbox("s", policy="block", max_rows=1)
    thread, results = put_in_background(inbox, chunk(0, 1), chunk(1, 1))
    while inbox.depth_rows < 1:
        time.sleep(0.001)
    inbox.abandon()
    thread.join(5)
    assert results == [True, False]


def test_what_ended_the_reader_is_raised_after_everything_before_it_was_taken():
    inbox = Inbox("s", policy="block", max_rows=9)
    inbox.put(chunk(0, 1), received_ns=0)
    inbox.close(OSError("the line is dead"))
    assert numbers(inbox.take()) == [0]
    assert not inbox.is_finished
    with pytest.raises(OSError, match="the line is dead"):
        inbox.take()


def test_an_inbox_is_finished_when_its_reader_has_ended_and_nothing_waits():
    inbox = Inbox("s", policy="block", max_rows=9)
    inbox.put(chunk(0, 1), received_ns=0)
    inbox.close()
    assert not inbox.is_finished
    inbox.take()
    assert inbox.is_finished


@settings(max_examples=60, deadline=None)
@given(
    policy=st.sampled_from(["latest", "spill"]),
    max_rows=st.integers(1, 6),
    steps=st.lists(st.one_of(st.integers(0, 5), st.just("take")), max_size=30),
)
def test_every_row_comes_out_in_order_or_is_counted(tmp_path_factory, policy, max_rows, steps):
    folder = tmp_path_factory.mktemp("spill")
    inbox = (
        spilling(folder, max_rows=max_rows)
        if policy == "spill"
        else Inbox("s", policy="latest", max_rows=max_rows)
    )
    came, out, superseded = 0, [], 0
    for step in [*steps, "take"]:
        if step == "take":
            taken = inbox.take(most_rows=4)
            out += numbers(taken)
            superseded += taken.superseded
        else:
            inbox.put(chunk(came, step), received_ns=0)
            came += step
    while inbox.depth_rows:
        out += numbers(inbox.take())
    assert out == sorted(out)
    assert len(out) + superseded == came
    assert policy == "latest" or superseded == 0


def spilling(folder, *, max_rows, limits=Limits()):
    spill = SpillFolder(DirectoryStorage(folder, durable=False), "s")
    return Inbox("s", policy="spill", max_rows=max_rows, spill=spill, limits=limits)
