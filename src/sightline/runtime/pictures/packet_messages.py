"""Compressed packets as log entries in Foxglove's standard forms, and back.

A message is a ``foxglove.CompressedVideo`` (of motion JPEG a ``foxglove.CompressedImage``) with one
more field, ``sightline``, which viewers pass over: the packet's number, the frames it holds, its
times, and in each key packet the coding of the stream and the versions of the decoder.
"""

from __future__ import annotations

import base64
from typing import Any

from sightline.errors import LogError
from sightline.records import Entry, EntryKind
from sightline.records.plain_json import plain_json
from sightline.records.signals import NS_PER_S
from sightline.sense.frames.video_parts import (
    PACKET_FORMATS,
    StreamCoding,
    StreamPacket,
    TapedPacket,
)

_JPEG = "jpeg"
_OWN = "sightline"


def packet_message(camera: str, taped: TapedPacket) -> tuple[EntryKind, str, bytes]:
    """Kind, name and payload of the entry of one packet."""
    packet = taped.packet
    own: dict[str, Any] = {
        "number": packet.number,
        "frames": [list(one) for one in taped.pictures],
        "is_key": packet.is_key,
        "pts": packet.pts,
        "dts": packet.dts,
        "time_base": list(packet.time_base),
        "lost": taped.lost,
    }
    if packet.is_key or packet.number == 0:
        coding = packet.coding
        own["coding"] = {
            "decoder": coding.decoder,
            "extradata": base64.b64encode(coding.extradata).decode(),
            "settings": dict(coding.settings),
            "versions": dict(coding.versions),
        }
    seconds, nanoseconds = divmod(taped.capture_ns, NS_PER_S)
    form = PACKET_FORMATS[packet.coding.decoder]
    message = {
        "timestamp": {"sec": seconds, "nsec": nanoseconds},
        "frame_id": camera,
        "format": form,
        "data": base64.b64encode(packet.data).decode(),
        _OWN: own,
    }
    kind = EntryKind.IMAGE if form == _JPEG else EntryKind.VIDEO
    return kind, camera, plain_json(message)


def parse_packet(
    entry: Entry, plain: dict[str, Any], coding: StreamCoding | None
) -> TapedPacket | None:
    """Inverse of :func:`packet_message`; None for a picture that is no packet.

    Args:
        entry: of kind VIDEO or IMAGE.
        plain: its payload, parsed.
        coding: of the packet before it in the log; None: this must be the first.

    Raises:
        LogError: a payload of another form.
    """
    if entry.kind is EntryKind.IMAGE and _OWN not in plain:
        return None
    try:
        own, stamp = plain[_OWN], plain["timestamp"]
        if "coding" in own:
            coding = _coding(own["coding"])
        if coding is None:
            coding = StreamCoding(decoder="", extradata=b"", settings={}, versions={})
        numerator, denominator = own["time_base"]
        return TapedPacket(
            packet=StreamPacket(
                number=int(own["number"]),
                data=base64.b64decode(plain["data"], validate=True),
                is_key=bool(own["is_key"]),
                pts=own["pts"],
                dts=own["dts"],
                time_base=(int(numerator), int(denominator)),
                coding=coding,
            ),
            pictures=tuple((int(index), int(at_ns)) for index, at_ns in own["frames"]),
            capture_ns=int(stamp["sec"]) * NS_PER_S + int(stamp["nsec"]),
            lost=int(own["lost"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise unreadable_picture(entry, error) from error


def unreadable_picture(entry: Entry, error: Exception) -> LogError:
    """An entry that is no picture and no packet."""
    return LogError(
        expected="a foxglove.CompressedImage or foxglove.CompressedVideo in JSON",
        got=f"{type(error).__name__}: {error}",
        where=f"{entry.kind} of {entry.name}, log sequence {entry.sequence}",
        action="run `sightline verify` on the run",
    )


def _coding(plain: dict[str, Any]) -> StreamCoding:
    return StreamCoding(
        decoder=str(plain["decoder"]),
        extradata=base64.b64decode(plain["extradata"], validate=True),
        settings=dict(plain["settings"]),
        versions={str(key): str(value) for key, value in plain["versions"].items()},
    )
