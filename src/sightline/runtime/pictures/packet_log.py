"""Compressed packets of cameras in the log: which, whole groups of pictures, and in what form.

A message is a ``foxglove.CompressedVideo`` (of motion JPEG a ``foxglove.CompressedImage``) with one
more field, ``sightline``, which viewers pass over: the packet's number, the frames it holds, its
times, and in each key packet the coding of the stream and the versions of the decoder.
"""

from __future__ import annotations

import base64
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sightline.errors import LogError, UsageError
from sightline.records import Entry, EntryKind, Frame
from sightline.records.plain_json import plain_json
from sightline.records.signals import NS_PER_S
from sightline.runtime.pipeline import ImagesForm
from sightline.sense.frames import LiveCamera, VideoFile
from sightline.sense.frames.delivery import FrameSource
from sightline.sense.frames.video_parts import (
    PACKET_FORMATS,
    PacketTape,
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


# --- which packets are logged ---------------------------------------------------------------------

MAX_HELD_BYTES = 256 << 20
"""Packets held for ``around_decisions``, all cameras together in equal shares. At the bound whole
groups are let go, the oldest first; of a group that alone is too large, all up to the next key
packet. What is let go so is counted in the field ``lost`` of the packet after it."""
MAX_HELD_PACKETS = 1 << 16
"""The same in packets, of one camera."""
RESUMED_PACKETS = 256
"""A resumed run logs again at least so many packets before the first new frame: those of the last
frames may not have been committed."""


def packet_tapes(policy: ImagesForm, sources: Mapping[str, FrameSource]) -> dict[str, PacketTape]:
    """A tape on each source, where packets are to be kept; else none.

    Raises:
        UsageError: a source that has no packets.
    """
    if policy.form != "packets" or policy.keep == "digest":
        return {}
    tapes = {}
    for camera, source in sources.items():
        if not isinstance(source, VideoFile | LiveCamera) or not source.gives_packets:
            raise UsageError(
                expected="a video or network camera that is read with PyAV (extra `video`)",
                got=type(source).__name__,
                where=f"images: {{form: packets}}, camera {camera}",
                action="leave `form` out: then pictures are kept as PNG; or install PyAV",
            )
        tapes[camera] = PacketTape()
        source.record_packets(tapes[camera])
    return tapes


class PacketLog:
    """Says which packets are to be logged now.

    Args:
        policy: of the pipeline.
        tapes: by camera.
    """

    def __init__(self, policy: ImagesForm, tapes: Mapping[str, PacketTape]) -> None:
        self._policy = policy
        self._tapes = tapes
        share = max(len(tapes), 1)
        self._groups = {name: _Groups(MAX_HELD_BYTES // share) for name in tapes}
        self._through = dict.fromkeys(tapes, -1)

    def takes(self, camera: str) -> bool:
        """Whether a camera's pictures are kept as packets; its codec may not allow it."""
        return camera in self._tapes and not self._tapes[camera].is_declined

    @property
    def is_on(self) -> bool:
        """Whether any camera's pictures may be kept as packets."""
        return bool(self._tapes)

    def note(self, frame: Frame) -> None:
        """A frame has been logged: what holds it may follow."""
        if frame.stream in self._through:
            self._through[frame.stream] = frame.index

    def take(
        self, *, newest_ns: int, until_ns: int, has_decided: bool
    ) -> list[tuple[EntryKind, str, bytes]]:
        """What came since the last call; (kind, camera, payload) of what is to be logged.

        Args:
            newest_ns: capture time of the newest frame, UTC ns.
            until_ns: packets are kept up to this capture time, UTC ns.
            has_decided: whether what is held is to be kept as well.
        """
        found = []
        is_full = self._policy.keep == "full"
        oldest_ns = newest_ns - round(self._policy.before_s * NS_PER_S)
        for camera, tape in self._tapes.items():
            groups = self._groups[camera]
            for taped in tape.take(through_index=self._through[camera]):
                groups.add(taped)
                if is_full or taped.capture_ns <= until_ns:
                    found += [(camera, one) for one in groups.flush()]
            if is_full or has_decided:
                found += [(camera, one) for one in groups.flush()]
            groups.let_go_before(oldest_ns)
        return [packet_message(camera, one) for camera, one in found]

    def pass_by(self, frame: Frame) -> None:
        """Read over packets of a frame that the log has, to go on from a key packet before it."""
        self.note(frame)
        if frame.stream in self._tapes:
            groups = self._groups[frame.stream]
            for taped in self._tapes[frame.stream].take(through_index=frame.index):
                groups.add(taped)
            groups.keep_newest(RESUMED_PACKETS)


@dataclass(slots=True)
class _Group:
    packets: list[TapedPacket]
    bytes: int = 0


class _Groups:
    """Packets of one camera that wait, in groups that each begin at a key packet.

    Only the oldest may begin elsewhere: where what is before it has gone into the log.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._groups: deque[_Group] = deque()
        self._bytes = self._packets = 0
        self._needs_key = False
        self._lost = 0

    def add(self, taped: TapedPacket) -> None:
        packet = taped.packet
        begins = packet.is_key or packet.number == 0
        if self._needs_key and not begins:
            self._lost += 1 + taped.lost
            return
        self._needs_key = False
        if begins or not self._groups:
            self._groups.append(_Group([]))
        if self._lost:
            taped, self._lost = replace(taped, lost=taped.lost + self._lost), 0
        self._groups[-1].packets.append(taped)
        self._groups[-1].bytes += len(packet.data)
        self._bytes += len(packet.data)
        self._packets += 1
        while self._bytes > self._max_bytes or self._packets > MAX_HELD_PACKETS:
            self._needs_key = len(self._groups) == 1
            self._count_lost(self._drop_oldest())

    def flush(self) -> list[TapedPacket]:
        """All that waits, in order."""
        found = [one for group in self._groups for one in group.packets]
        self._groups.clear()
        self._bytes = self._packets = 0
        return found

    def let_go_before(self, oldest_ns: int) -> None:
        """Drop groups that end before this capture time, UTC ns: nobody asked for them."""
        while len(self._groups) > 1 and self._groups[1].packets[0].capture_ns <= oldest_ns:
            self._drop_oldest()

    def keep_newest(self, packets: int) -> None:
        """Drop the oldest groups as long as so many packets are left."""
        while len(self._groups) > 1 and self._packets - len(self._groups[0].packets) >= packets:
            self._drop_oldest()

    def _drop_oldest(self) -> list[TapedPacket]:
        group = self._groups.popleft()
        self._bytes -= group.bytes
        self._packets -= len(group.packets)
        return group.packets

    def _count_lost(self, packets: list[TapedPacket]) -> None:
        lost = sum(1 + one.lost for one in packets)
        if self._groups:
            head = self._groups[0].packets
            head[0] = replace(head[0], lost=head[0].lost + lost)
        else:
            self._lost += lost
