"""Writes one segment: messages, commits and the MCAP summary at the end."""

from __future__ import annotations

import contextlib
from typing import IO, Any, cast

from mcap.writer import IndexType, Writer

from sightline.errors import StorageError, UsageError
from sightline.recorder.chain import Commit
from sightline.recorder.segment_format import (
    CHAIN_CHANNEL_ID,
    LIBRARY,
    MAX_CHANNELS,
    PROFILE,
    SEQUENCE_MODULUS,
    SegmentHeader,
    chain_channel,
    chain_schema,
    channel_of,
    schema_of,
)
from sightline.recorder.storage import Storage
from sightline.records import EntryKind


class SegmentWriter:
    """A segment being written. Its header is durable when the constructor returns.

    Chunks are off because an unfinished one is lost, and data CRCs because the chain already
    covers the payloads with SHA-256.
    """

    def __init__(self, storage: Storage, path: str, header: SegmentHeader) -> None:
        self.path = path
        self.header = header
        self._storage = storage
        self._file = storage.create(path)
        self._channels: dict[tuple[EntryKind, str], int] = {}
        self._schemas: dict[EntryKind, int] = {}
        self._mcap = Writer(
            cast("IO[Any]", self._file),  # it writes, tells and flushes, nothing else
            use_chunking=False,
            index_types=IndexType.METADATA,
            enable_crcs=True,
        )
        try:
            self._write_header()
        except BaseException:
            self.abandon()
            raise

    @property
    def size(self) -> int:
        """Bytes so far."""
        return self._file.tell()

    def append(
        self, *, sequence: int, kind: EntryKind, name: str, time_ns: int, payload: bytes
    ) -> None:
        channel_id = self._channels.get((kind, name))
        if channel_id is None:
            channel_id = self._register(kind, name)
        self._mcap.add_message(
            channel_id=channel_id,
            log_time=time_ns,
            data=payload,
            publish_time=time_ns,
            sequence=sequence % SEQUENCE_MODULUS,
        )

    def commit(self, commit: Commit) -> None:
        """Write the commit entry; :meth:`sync` makes it count."""
        time_ns = commit.entries[-1].time_ns
        self._mcap.add_message(
            channel_id=CHAIN_CHANNEL_ID,
            log_time=time_ns,
            data=commit.payload,
            publish_time=time_ns,
            sequence=commit.head.sequence % SEQUENCE_MODULUS,
        )

    def sync(self) -> None:
        self._storage.sync(self._file)

    def finish(self) -> None:
        """Write the summary, make it durable and close the file."""
        try:
            self._mcap.finish()  # type: ignore[no-untyped-call]  # mcap leaves it unannotated
            self._storage.sync(self._file)
        except BaseException:
            self.abandon()
            raise
        self._file.close()

    def abandon(self) -> None:
        """Close the file as it is; the next open recovers it."""
        # Bytes that cannot be flushed any more were not committed: nobody was told they count.
        with contextlib.suppress(StorageError):
            self._file.close()

    def check_channel(self, kind: EntryKind, name: str) -> None:
        """Raise a UsageError if (kind, name) is new and no channel is left for it."""
        if (kind, name) not in self._channels and len(self._channels) + 1 >= MAX_CHANNELS:
            raise UsageError(
                expected=f"at most {MAX_CHANNELS - 1} distinct (kind, name) pairs in a segment",
                got="one more",
                where=f"{self.path}, {kind} entry {name!r}",
                action="name entries by source or stage, not by key",
            )

    def _write_header(self) -> None:
        self._mcap.start(profile=PROFILE, library=LIBRARY)
        schema, channel = chain_schema(), chain_channel()
        self._mcap.register_schema(schema.name, schema.encoding, schema.data)
        self._mcap.register_channel(channel.topic, channel.message_encoding, channel.schema_id)
        record = self.header.as_record()
        # This also writes out the records registered above, which the writer holds back.
        self._mcap.add_metadata(record.name, record.metadata)
        # Once the header is durable, a broken header can only mean damage, unless nothing follows.
        self._storage.sync(self._file)

    def _register(self, kind: EntryKind, name: str) -> int:
        schema_id = self._schemas.get(kind)
        if schema_id is None:
            schema = schema_of(kind, schema_id=0)
            schema_id = (
                0
                if schema is None
                else int(self._mcap.register_schema(schema.name, schema.encoding, schema.data))
            )
            self._schemas[kind] = schema_id
        channel = channel_of(kind, name, channel_id=0, schema_id=schema_id)
        channel_id = self._mcap.register_channel(
            channel.topic, channel.message_encoding, channel.schema_id
        )
        self._channels[kind, name] = channel_id
        return channel_id
