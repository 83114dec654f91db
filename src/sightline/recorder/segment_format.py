"""The segment format, version 2: what is where in an MCAP file of the log.

A segment is a plain MCAP file (https://mcap.dev/spec) without chunks, because a chunk is lost when
the process dies before finishing it. In order: magic, header, schema and channel of the chain,
one metadata record that says which segment this is, then for each group its messages followed by
one commit message on ``/chain``; at the end the usual MCAP summary. Every byte before the summary
follows from the chain, and the summary has a CRC, so a single changed byte anywhere is noticed.

Upgrade rule: a reader refuses any other version by name; a new version states in the docs how a
log of the previous one is converted, and never reads it by guessing.
"""

from __future__ import annotations

import io
import json
import re
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from mcap.data_stream import RecordBuilder
from mcap.records import Channel, Header, McapRecord, Metadata, Schema

from sightline.errors import LogError, UsageError
from sightline.recorder.chain import ChainHead
from sightline.recorder.storage import Storage
from sightline.records import EntryKind


def _object(title: str, **properties: Any) -> dict[str, Any]:
    return {"title": title, "type": "object", "properties": properties}


def _array(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


_NUMBER, _TEXT = {"type": "number"}, {"type": "string"}
_TIME = _object(
    "time",
    sec={"type": "integer", "minimum": 0},
    nsec={"type": "integer", "minimum": 0, "maximum": 999_999_999},
)
_POINT = _object("foxglove.Point2", x=_NUMBER, y=_NUMBER)
_COLOUR = _object("foxglove.Color", r=_NUMBER, g=_NUMBER, b=_NUMBER, a=_NUMBER)

_COMPRESSED = {
    "timestamp": _TIME,
    "frame_id": _TEXT,
    "data": {"type": "string", "contentEncoding": "base64"},
    "format": _TEXT,
}
_IMAGE = _object("foxglove.CompressedImage", **_COMPRESSED)
_VIDEO = _object("foxglove.CompressedVideo", **_COMPRESSED)
_ANNOTATIONS = _object(
    "foxglove.ImageAnnotations",
    circles=_array(
        _object(
            "foxglove.CircleAnnotation",
            timestamp=_TIME,
            position=_POINT,
            diameter=_NUMBER,
            thickness=_NUMBER,
            fill_color=_COLOUR,
            outline_color=_COLOUR,
        )
    ),
    points=_array(
        _object(
            "foxglove.PointsAnnotation",
            timestamp=_TIME,
            type={"type": "integer", "enum": [0, 1, 2, 3, 4]},
            points=_array(_POINT),
            outline_color=_COLOUR,
            outline_colors=_array(_COLOUR),
            fill_color=_COLOUR,
            thickness=_NUMBER,
        )
    ),
    texts=_array(
        _object(
            "foxglove.TextAnnotation",
            timestamp=_TIME,
            position=_POINT,
            text=_TEXT,
            font_size=_NUMBER,
            text_color=_COLOUR,
            background_color=_COLOUR,
        )
    ),
)

FOXGLOVE_SCHEMAS = MappingProxyType(
    {EntryKind.IMAGE: _IMAGE, EntryKind.VIDEO: _VIDEO, EntryKind.ANNOTATION: _ANNOTATIONS}
)
"""JSON schemas of the kinds that are in a standard form; the name of each is its title."""


FORMAT_VERSION = "2"
"""1: no epoch, and no entry that says whose log it is."""
MAGIC = b"\x89MCAP0\r\n"
PROFILE = "sightline"
LIBRARY = "sightline-log"
METADATA_NAME = "sightline.segment"
CHAIN_TOPIC = "/chain"
CHAIN_SCHEMA_NAME = "sightline.chain"
CHAIN_CHANNEL_ID = 1
CHAIN_SCHEMA_ID = 1
MAX_CHANNELS = (1 << 16) - 1
"""Channel ids are 16 bits wide in MCAP."""
MAX_TIME_NS = (1 << 63) - 1
MESSAGE_HEADER_BYTES = 22
"""Channel id, sequence and two times before the payload of an MCAP message."""
SEQUENCE_MODULUS = 1 << 32
"""MCAP counts messages in 32 bits; ours is the position in the chain, of which it shows the end."""

_ARROW_KINDS = frozenset({EntryKind.INPUT, EntryKind.REJECTED, EntryKind.QUARANTINE})
_OPAQUE_KINDS = frozenset({EntryKind.OUTCOME, EntryKind.SUMMARY_IN, EntryKind.SUMMARY_OUT})
_PARTITION_NAME = re.compile(r"[A-Za-z0-9_=-][A-Za-z0-9._=-]{0,127}")
_SEGMENT_NAME = re.compile(r"\d{6,9}\.mcap")


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentHeader:
    """Which segment this is.

    Attributes:
        partition: name of the log.
        index: number of the segment, from 0.
        start: head of the chain before its first entry.
        epoch: which opening of the run for writing began it; later ones have higher numbers.
        is_pruned: True if the payloads were removed and only commits are left.
    """

    partition: str
    index: int
    start: ChainHead
    epoch: int = 0
    is_pruned: bool = False

    def as_record(self) -> Metadata:
        return Metadata(
            name=METADATA_NAME,
            metadata={
                "format_version": FORMAT_VERSION,
                "partition": self.partition,
                "segment": str(self.index),
                "first_sequence": str(self.start.sequence + 1),
                "previous_hash": self.start.hash,
                "epoch": str(self.epoch),
                "pruned": "1" if self.is_pruned else "0",
            },
        )

    @classmethod
    def from_record(cls, record: Metadata) -> SegmentHeader:
        """Inverse of :meth:`as_record`.

        Raises:
            KeyError, ValueError: if the record is not such a header.
        """
        plain = record.metadata
        return cls(
            partition=plain["partition"],
            index=int(plain["segment"]),
            start=ChainHead(int(plain["first_sequence"]) - 1, plain["previous_hash"]),
            epoch=int(plain["epoch"]),
            is_pruned={"0": False, "1": True}[plain["pruned"]],
        )


# --- where a log lives ------------------------------------------------------------------------


def log_folder(name: str) -> str:
    """Folder of the log of partition ``name``.

    >>> log_folder("p0003")
    'log/p0003'
    """
    return f"log/{check_partition_name(name)}"


def segment_path(name: str, index: int) -> str:
    """Path of one segment.

    >>> segment_path("p0003", 12)
    'log/p0003/000012.mcap'
    """
    return f"{log_folder(name)}/{index:06d}.mcap"


def check_partition_name(name: str) -> str:
    """``name`` if it can be a folder of its own on any system, else a UsageError."""
    if not _PARTITION_NAME.fullmatch(name):
        raise UsageError(
            expected="1 to 128 letters, digits or . _ = - that do not start with a dot",
            got=repr(name),
            where="name of a partition",
            action="rename the partition",
        )
    return name


def list_segments(storage: Storage, name: str) -> list[int]:
    """Numbers of the segments of a log, ascending from 0; empty when there is no log.

    Raises:
        LogError: if one is missing in between.
    """
    folder = log_folder(name)
    found = sorted(int(f[:-5]) for f in storage.listdir(folder) if _SEGMENT_NAME.fullmatch(f))
    for expected, index in enumerate(found):
        if index != expected:
            raise LogError(
                expected=f"segment {expected:06d}.mcap",
                got=f"{index:06d}.mcap after {expected - 1:06d}.mcap"
                if expected
                else f"{index:06d}.mcap as the first",
                where=folder,
                action="restore the missing segment from a copy; pruning never deletes segments",
            )
    return found


# --- what is in it --------------------------------------------------------------------------------


def topic_of(kind: EntryKind, name: str) -> str:
    """MCAP topic of the entries of one kind and name.

    >>> topic_of(EntryKind.INPUT, "telemetry"), topic_of(EntryKind.TICK, "")
    ('/input/telemetry', '/tick')
    """
    return f"/{kind}/{name}" if name else f"/{kind}"


def parse_topic(topic: str) -> tuple[EntryKind, str]:
    """Inverse of :func:`topic_of`.

    Raises:
        ValueError: if it is no such topic.
    """
    kind, slash, name = topic.removeprefix("/").partition("/")
    parsed = EntryKind(kind)
    if topic_of(parsed, name) != topic or (slash and not name):
        raise ValueError(topic)
    return parsed, name


def message_encoding(kind: EntryKind) -> str:
    """MCAP message encoding of the payloads of a kind."""
    if kind in _ARROW_KINDS:
        return "arrow-ipc"
    if kind in _OPAQUE_KINDS:
        return "application/octet-stream"
    return "json"


def schema_of(kind: EntryKind, *, schema_id: int) -> Schema | None:
    """JSON schema of a kind; None where the encoding describes itself or is opaque."""
    if message_encoding(kind) != "json":
        return None
    standard = FOXGLOVE_SCHEMAS.get(kind)
    if standard is not None:
        text = json.dumps(standard, sort_keys=True)
        name = standard["title"]
        return Schema(id=schema_id, name=name, encoding="jsonschema", data=text.encode())
    return _json_schema(f"sightline.{kind}", kind.value, schema_id=schema_id)


def schema_kind(schema_name: str) -> EntryKind:
    """The kind whose schema has this name.

    Raises:
        ValueError: if there is none.
    """
    for kind, standard in FOXGLOVE_SCHEMAS.items():
        if standard["title"] == schema_name:
            return kind
    return EntryKind(schema_name.removeprefix("sightline."))


def channel_of(kind: EntryKind, name: str, *, channel_id: int, schema_id: int) -> Channel:
    """``schema_id`` is 0 for a kind without a schema."""
    return Channel(
        id=channel_id,
        topic=topic_of(kind, name),
        message_encoding=message_encoding(kind),
        schema_id=schema_id,
        metadata={},
    )


def chain_schema() -> Schema:
    return _json_schema(CHAIN_SCHEMA_NAME, "commit", schema_id=CHAIN_SCHEMA_ID)


def chain_channel() -> Channel:
    return Channel(
        id=CHAIN_CHANNEL_ID,
        topic=CHAIN_TOPIC,
        message_encoding="json",
        schema_id=CHAIN_SCHEMA_ID,
        metadata={},
    )


def record_bytes(record: McapRecord) -> bytes:
    """The record as it stands in a file, opcode and length included."""
    builder = RecordBuilder()
    record.write(builder)
    return bytes(builder.end())  # type: ignore[no-untyped-call]  # mcap leaves it unannotated


def preamble() -> bytes:
    """The bytes every segment begins with, up to its metadata record."""
    out = io.BytesIO()
    out.write(MAGIC)
    for record in (Header(profile=PROFILE, library=LIBRARY), chain_schema(), chain_channel()):
        out.write(record_bytes(record))
    return out.getvalue()


def largest_header_bytes(name: str) -> int:
    """Bytes before the first entry of any segment of log ``name``, at most."""
    largest = SegmentHeader(
        partition=name,
        index=10**9,
        start=ChainHead(MAX_TIME_NS - 1, "f" * 64),
        epoch=MAX_TIME_NS,
    )
    return len(preamble()) + len(record_bytes(largest.as_record()))


def _json_schema(name: str, title: str, *, schema_id: int) -> Schema:
    text = json.dumps({"title": title, "type": "object", "additionalProperties": True})
    return Schema(id=schema_id, name=name, encoding="jsonschema", data=text.encode())
