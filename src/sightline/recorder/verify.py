"""Verification of a whole log: every segment, every link, every payload that was not pruned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sightline.errors import LogError
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.recorder.chain import EMPTY_CHAIN, ChainHead
from sightline.recorder.recovery import committed_part
from sightline.recorder.segment_format import list_segments
from sightline.recorder.segment_reader import SegmentReader
from sightline.recorder.storage import Storage
from sightline.recorder.walk import chain_hash_at, check_start

__all__ = ["ChainVerdict", "chain_hash_at", "verify_log"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainVerdict:
    """What verification found; true when there is no problem.

    Attributes:
        entries: committed entries up to the first problem, pruned ones included.
        pruned_entries: of these, the ones of which only the digest is left.
        head: end of the chain as far as it is good.
        problem: the first problem, for people; ``""`` if there is none.
    """

    entries: int
    pruned_entries: int
    head: ChainHead
    problem: str

    def __bool__(self) -> bool:
        return not self.problem


def verify_log(
    storage: Storage,
    name: str,
    *,
    limits: Limits = DEFAULT_LIMITS,
    expected_head: ChainHead | None = None,
    on_progress: Callable[[str, int], None] | None = None,
) -> ChainVerdict:
    """Check the integrity of a log. Any changed byte, missing segment or torn end is a problem.

    Integrity is not authenticity: who can rewrite the log can rewrite the chain, and can cut its
    end. Pass a head that was kept elsewhere as ``expected_head`` to rule that out; the log must
    contain it, and may have grown since.

    A log whose last run was interrupted has a torn end until it is opened again; a log that is
    being written may show one.

    Raises:
        StorageError: the disk could not be read.
    """
    head = EMPTY_CHAIN
    pruned = 0
    passed_expected = expected_head is None or expected_head == head
    problem = ""
    try:
        segments = list_segments(storage, name)
        for index in segments:
            is_last = index == segments[-1]
            with SegmentReader(storage, name, index, limits=limits) as reader:
                if is_last and not reader.is_finished:
                    part = committed_part(reader, name)
                    if part.cut_bytes:
                        problem = (
                            f"{reader.path}, byte {part.end}: {part.cut_bytes} bytes after the "
                            "last commit; open the log again to cut them"
                        )
                    if part.head is None:
                        break
                    until: int | None = part.end
                else:
                    until = None
                check_start(reader, head, is_last=is_last)
                is_pruned = reader.header()[0].is_pruned
                for group in reader.groups(check_payloads=True, until=until):
                    head = group.commit.head
                    pruned += len(group.entries) if is_pruned else 0
                    passed_expected = passed_expected or head == expected_head
                    if on_progress is not None:
                        on_progress(name, head.sequence)
    except LogError as error:
        problem = str(error)
    if not problem and not passed_expected:
        assert expected_head is not None
        problem = (
            f"log {name}: expected a chain through entry {expected_head.sequence} with hash "
            f"{expected_head.hash[:16]}…, got one that ends at entry {head.sequence} without it; "
            "entries were cut or rewritten: compare with a copy"
        )
    return ChainVerdict(
        entries=head.sequence + 1, pruned_entries=pruned, head=head, problem=problem
    )
