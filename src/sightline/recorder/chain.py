"""The hash chain: one link per committed group of entries.

A link hashes the previous link and, for every entry of the group, its kind, name, time and the
SHA-256 of its payload. Payloads can therefore be pruned without breaking the chain. The first entry
of a log names the run, what the run was given, and the partition, so that no other log fits.

The bytes are described in ``docs/log-format.md``; a test computes them from that page alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sightline.records import EntryKind
from sightline.records.plain_json import plain_json, read_json

HASH_HEX_DIGITS = 64
_HASH_PREFIX = b'{"hash":"'
_HASH_END = len(_HASH_PREFIX) + HASH_HEX_DIGITS
COMMIT_PREFIX = _HASH_PREFIX
"""The bytes every commit entry begins with."""


@dataclass(frozen=True, slots=True)
class ChainHead:
    """The end of a chain.

    Attributes:
        sequence: of the last committed entry; -1 when there is none.
        hash: 64 hex digits; all zero when there is no entry.
    """

    sequence: int
    hash: str


EMPTY_CHAIN = ChainHead(-1, "0" * HASH_HEX_DIGITS)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogOrigin:
    """Where the logs of a run come from.

    Attributes:
        run_id: of the run, 32 hex digits.
        manifest_digest: SHA-256 in hex of what the run was given.
        epoch: which opening of the run for writing this is, from 1.
    """

    run_id: str
    manifest_digest: str
    epoch: int

    def genesis(self, partition: str) -> bytes:
        """Payload of the first entry of a partition's log, of kind ``origin``."""
        return plain_json(
            {"run": self.run_id, "manifest": self.manifest_digest, "partition": partition}
        )


def root_of(manifest_digest: str, heads: Mapping[str, ChainHead]) -> str:
    """One hash over the heads of several logs and what the run was given, 64 hex digits."""
    plain = {name: [head.sequence, head.hash] for name, head in sorted(heads.items())}
    body = json.dumps(
        {"manifest": manifest_digest, "heads": plain}, separators=(",", ":"), ensure_ascii=False
    )
    return hashlib.sha256(body.encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkedEntry:
    """What the chain says of one entry."""

    kind: EntryKind
    name: str
    time_ns: int
    digest: str
    """SHA-256 of the payload, 64 hex digits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """One link: a group of entries that became durable together.

    Attributes:
        previous: the head before this group.
        entries: of the group, in order; at least one.
        head: the head after it.
        payload: the canonical bytes of the commit entry.
    """

    previous: ChainHead
    entries: tuple[LinkedEntry, ...]
    head: ChainHead
    payload: bytes

    @property
    def first_sequence(self) -> int:
        return self.previous.sequence + 1

    @property
    def newest_ns(self) -> int:
        return max(entry.time_ns for entry in self.entries)


def payload_digest(payload: bytes) -> str:
    """SHA-256 of a payload in hex."""
    return hashlib.sha256(payload).hexdigest()


def link(previous: ChainHead, entries: Sequence[LinkedEntry]) -> Commit:
    """The commit that appends ``entries`` (at least one) to the chain ending at ``previous``.

    Its payload is JSON whose first member is the hash of all the others, so that a commit can be
    checked before it is parsed.

    >>> tick = LinkedEntry(kind=EntryKind.TICK, name="", time_ns=0, digest=payload_digest(b"{}"))
    >>> commit = link(EMPTY_CHAIN, [tick])
    >>> commit.head.sequence, parse_commit(commit.payload) == commit
    (0, True)
    """
    last = previous.sequence + len(entries)
    body = json.dumps(
        {
            "previous": previous.hash,
            "first": previous.sequence + 1,
            "last": last,
            "entries": [[e.kind, e.name, e.time_ns, e.digest] for e in entries],
        },
        separators=(",", ":"),
        ensure_ascii=False,
    ).encode()
    digest = hashlib.sha256(body).hexdigest()
    return Commit(
        previous=previous,
        entries=tuple(entries),
        head=ChainHead(last, digest),
        payload=_HASH_PREFIX + digest.encode() + b'",' + body[1:],
    )


def parse_commit(payload: bytes) -> Commit:
    """Inverse of :func:`link` for the payload of a commit entry.

    Raises:
        ValueError: if the payload is not one that :func:`link` makes.
    """
    if not payload.startswith(_HASH_PREFIX) or payload[_HASH_END : _HASH_END + 2] != b'",':
        raise ValueError("a commit entry that starts with its hash")
    body = b"{" + payload[_HASH_END + 2 :]
    digest = hashlib.sha256(body).hexdigest()
    if payload[len(_HASH_PREFIX) : _HASH_END] != digest.encode():
        raise ValueError("a commit entry whose hash matches its content")
    try:
        plain = read_json(body)
        entries = tuple(
            LinkedEntry(kind=EntryKind(kind), name=name, time_ns=time_ns, digest=entry_digest)
            for kind, name, time_ns, entry_digest in plain["entries"]
        )
        first, last, previous = plain["first"], plain["last"], plain["previous"]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError("a commit entry with the known fields") from error
    if not entries or last != first + len(entries) - 1:
        raise ValueError("a commit entry that counts its entries")
    return Commit(
        previous=ChainHead(first - 1, previous),
        entries=entries,
        head=ChainHead(last, digest),
        payload=payload,
    )
