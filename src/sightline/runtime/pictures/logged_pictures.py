"""The pictures of a run out of its log: image files, and packets that are decoded again.

:func:`looked_at_again` asks again who looked at them, and compares the answers.
"""

from __future__ import annotations

import base64
import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from sightline.errors import LogError, UsageError
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.recorder import read_entries
from sightline.records import Detections, Entry, EntryKind, Frame
from sightline.records.decision import Mode
from sightline.records.frames import Image
from sightline.records.readings import Readings
from sightline.records.signals import NS_PER_S
from sightline.runtime.engine.frame_shell import pixel_digest
from sightline.runtime.engine.guard import Answer, Outcome, encode_answer
from sightline.runtime.engine.guarding import Lookers, Looking
from sightline.runtime.engine.headers import FrameHeader
from sightline.runtime.engine.hosting import partition_name
from sightline.runtime.pictures.packet_log import parse_packet, unreadable_picture
from sightline.runtime.run_directory import RunDirectory
from sightline.sense.frames.image_files import decode_image
from sightline.sense.frames.video_parts import (
    NO_PACKET,
    Damage,
    StreamCoding,
    StreamPacket,
    TapedPacket,
)

if TYPE_CHECKING:
    from sightline.sense.frames.av_video import PacketDecoder

PICTURE_KINDS = frozenset({EntryKind.IMAGE, EntryKind.VIDEO})
"""Kinds of the entries that hold pictures."""
_DELAY_PACKETS = 4 * DEFAULT_LIMITS.reorder_frames
"""What has not come out of the decoder so many packets later will not come any more."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LoggedPicture:
    """One picture of the log.

    Attributes:
        camera: name of the stream.
        capture_ns: when it was taken, UTC ns.
        sequence: log sequence of the entry, or of the last one that was needed to decode it.
        pixels: decodes it; as in :class:`Frame`. Raises LogError where it cannot be decoded.
        logged: versions of the decoder in the run; None for an image file.
        present: versions of the decoder here.
    """

    camera: str
    capture_ns: int
    sequence: int
    pixels: Callable[[], Image]
    logged: Mapping[str, str] | None = None
    present: Mapping[str, str] = field(default_factory=dict)

    def frame(self, *, index: int, received_ns: int, digest: str) -> Frame:
        """The frame that was looked at.

        Raises:
            LogError: it is another picture; who is at fault is said as far as it is known.
        """
        frame = Frame(
            stream=self.camera,
            index=index,
            capture_ns=self.capture_ns,
            received_ns=received_ns,
            pixels=self.pixels(),
        )
        found = pixel_digest(frame)
        if found != digest:
            raise LogError(
                expected=f"the picture with digest {digest}",
                got=found,
                where=f"picture of {self.camera}:{index}, log sequence {self.sequence}",
                action=self._blame(),
            )
        return frame

    def _blame(self) -> str:
        if self.logged is None:
            return "record without a quality (PNG): JPEG is not the picture that was looked at"
        differing = [
            f"{name} {self.logged.get(name, 'unknown')} in the run, {value} here"
            for name, value in self.present.items()
            if self.logged.get(name) != value
        ]
        if differing:
            return f"decode as in the run; another decoder is at fault: {'; '.join(differing)}"
        return "the decoder is that of the run: run `sightline verify`, the log may be damaged"


class LoggedPictures:
    """Takes the pictures out of the entries of one run, in the order of the log.

    Packets are decoded from a key packet, or the first of a stream, on; after a gap in their
    numbers what comes before the next key packet is passed over. Their pictures come some packets
    later, so ask for the rest at the end. A frame may come twice where a run was resumed.
    """

    def __init__(self) -> None:
        self._streams: dict[str, _Stream] = {}

    def take(self, entry: Entry) -> Iterator[LoggedPicture]:
        """Pictures that come with this entry; none with an entry of another kind.

        Raises:
            LogError: the entry cannot be read.
            UsageError: packets, and no decoder for them is installed.
        """
        if entry.kind not in PICTURE_KINDS:
            return
        try:
            plain = json.loads(entry.payload)
            stamp = plain["timestamp"]
            capture_ns = int(stamp["sec"]) * NS_PER_S + int(stamp["nsec"])
        except (ValueError, KeyError, TypeError) as error:
            raise unreadable_picture(entry, error) from error
        stream = self._streams.setdefault(entry.name, _Stream(entry.name))
        taped = parse_packet(entry, plain, stream.coding)
        if taped is not None:
            yield from stream.take(taped, entry.sequence)
            return
        yield LoggedPicture(
            camera=entry.name,
            capture_ns=capture_ns,
            sequence=entry.sequence,
            pixels=lambda: _file_pixels(entry, plain),
        )

    def rest(self) -> Iterator[LoggedPicture]:
        """What decoders still hold back."""
        for stream in self._streams.values():
            yield from stream.rest()


class _Stream:
    """The packets of one camera."""

    def __init__(self, camera: str) -> None:
        self._camera = camera
        self.coding: StreamCoding | None = None
        self._decoder: PacketDecoder | None = None
        self._last = NO_PACKET
        self._sequence = -1
        self._expected: dict[int, list[int]] = {}  # by number, capture times of its frames

    def take(self, taped: TapedPacket, sequence: int) -> Iterator[LoggedPicture]:
        packet = taped.packet
        if packet.number == 0 or packet.number != self._last + 1:
            yield from self.rest()
            # Where decoding cannot begin it waits for the next key packet.
            if packet.number == 0 or packet.is_key:
                self.coding = packet.coding
                self._decoder = _decoder(packet.coding)
        elif packet.is_key and self._decoder is None:
            self.coding = packet.coding
            self._decoder = _decoder(packet.coding)
        self._last, self._sequence = packet.number, sequence
        if self._decoder is not None:
            self._expected[packet.number] = [at_ns for _, at_ns in taped.pictures]
            self._expected.pop(packet.number - _DELAY_PACKETS, None)
            yield from self._decoded(self._decoder, packet)

    def rest(self) -> Iterator[LoggedPicture]:
        if self._decoder is not None:
            yield from self._decoded(self._decoder, None)
        self._decoder, self._last = None, NO_PACKET
        self._expected.clear()

    def _decoded(
        self, decoder: PacketDecoder, packet: StreamPacket | None
    ) -> Iterator[LoggedPicture]:
        for number, picture in decoder.decoded(packet):
            times = self._expected.get(number)
            if times and self.coding is not None:
                yield LoggedPicture(
                    camera=self._camera,
                    capture_ns=times.pop(0),
                    sequence=self._sequence,
                    pixels=lambda picture=picture: decoder.pixels(picture),  # type: ignore[misc]
                    logged=self.coding.versions,
                    present=decoder.versions,
                )


def _decoder(coding: StreamCoding) -> PacketDecoder:
    if find_spec("av") is None:
        raise UsageError(
            expected="PyAV, to decode the packets in the log",
            got="none installed",
            where="pictures of the run",
            action="install the extra `video`",
        )
    from sightline.sense.frames.av_video import PacketDecoder  # noqa: PLC0415 - an extra

    return PacketDecoder(coding)


def _file_pixels(entry: Entry, plain: dict[str, Any]) -> Image:
    try:
        data = base64.b64decode(plain["data"], validate=True)
    except (ValueError, KeyError, TypeError) as error:
        raise unreadable_picture(entry, error) from error
    pixels = decode_image(data, max_frame_px=DEFAULT_LIMITS.max_frame_px)
    if isinstance(pixels, Damage):
        raise LogError(
            expected="a picture that can be decoded",
            got=pixels.detail,
            where=f"image of {entry.name}, log sequence {entry.sequence}",
            action="run `sightline verify` on the run",
        )
    return pixels


# --- asking again who looks at pictures -----------------------------------------------------------

_KINDS = PICTURE_KINDS | {EntryKind.FRAME, EntryKind.OUTCOME, EntryKind.TICK}
_MAX_WAITING = 1024
"""Frames whose picture may still come: a decoder holds back tens, and so does the log."""


def looked_at_again(
    run: RunDirectory,
    lookers: Mapping[tuple[str, str], Lookers],
    *,
    limits: Limits = DEFAULT_LIMITS,
) -> Iterator[tuple[int, str]]:
    """Ask the lookers again about every picture, in order; where they now say something else.

    The pictures must all be there, and bit by bit what they were: ``images: {keep: full}`` without
    a quality, as PNG or as packets, which are decoded again. A detector that had not answered in
    time is asked all the same, because some remember the frames they have seen; what it says then
    is not compared.

    Args:
        run: a run of cameras.
        lookers: new ones, by (stage, camera).
        limits: bounds.

    Yields:
        (log sequence of the outcome, what differs), for people.

    Raises:
        LogError: a picture is missing, or is not the one that was looked at.
        UsageError: packets, and no decoder for them is installed.
    """
    headers: dict[str, FrameHeader] = {}
    waiting = {at: _Waiting() for at in lookers}
    pictures = LoggedPictures()
    is_final = False
    for entry in read_entries(run.storage, partition_name(0), kinds=_KINDS, limits=limits):
        if entry.kind is EntryKind.FRAME:
            header = FrameHeader.from_bytes(entry.payload)
            headers[header.camera] = header
        elif entry.kind is EntryKind.OUTCOME:
            outcome = Outcome.from_bytes(entry.payload)
            stage, _, rest = outcome.request_id.partition(":")
            camera = rest.rpartition(":")[0]
            at = (stage, camera)  # of a request about windows there is no camera
            if at in waiting:
                waiting[at].add(entry.sequence, headers[camera], outcome)
        elif entry.kind is EntryKind.TICK:
            is_final = bool(json.loads(entry.payload)["final"])
        else:
            for picture in pictures.take(entry):
                yield from _compared(waiting, lookers, entry.name, picture)
    for picture in pictures.rest():
        yield from _compared(waiting, lookers, picture.camera, picture)
    for one in waiting.values():
        one.check_end(is_final=is_final)


def _compared(
    waiting: Mapping[tuple[str, str], _Waiting],
    lookers: Mapping[tuple[str, str], Lookers],
    camera: str,
    picture: LoggedPicture,
) -> Iterator[tuple[int, str]]:
    for at, one in waiting.items():
        if at[1] == camera:
            yield from one.compared(lookers[at], picture)


class _Waiting:
    """What was answered about one camera's frames whose pictures have not come yet."""

    def __init__(self) -> None:
        self._outcomes: deque[tuple[int, FrameHeader, Outcome]] = deque()
        self._has_seen = False

    def add(self, sequence: int, header: FrameHeader, outcome: Outcome) -> None:
        if len(self._outcomes) >= _MAX_WAITING:
            raise self._missing()
        self._outcomes.append((sequence, header, outcome))

    def compared(self, lookers: Lookers, picture: LoggedPicture) -> Iterator[tuple[int, str]]:
        if not self._outcomes:
            return
        sequence, header, outcome = self._outcomes[0]
        if picture.capture_ns < header.capture_ns:
            return  # nobody was asked about it, or a resumed run has logged it again
        if picture.capture_ns > header.capture_ns:
            raise self._missing()
        self._outcomes.popleft()
        self._has_seen = True
        frame = picture.frame(
            index=header.index, received_ns=header.received_ns, digest=header.digest
        )
        if outcome.empty_ns >= 0:
            frame = replace(frame, empty_ns=outcome.empty_ns)
        difference = _difference(lookers, frame, outcome)
        if difference:
            yield sequence, difference

    def check_end(self, *, is_final: bool) -> None:
        """Pictures follow with later commits: of a run that was cut off the last may be missing."""
        if self._outcomes and (is_final or not self._has_seen):
            raise self._missing()

    def _missing(self) -> LogError:
        sequence, _, outcome = self._outcomes[0]
        return LogError(
            expected="every picture that was looked at",
            got="none",
            where=f"{outcome.request_id}, log sequence {sequence}",
            action="record with images: {keep: full}; then detectors can be run again",
        )


def _difference(lookers: Lookers, frame: Frame, outcome: Outcome) -> str:
    """What differs, for people; empty if nothing does."""
    first = _answer(lookers.primary, frame)
    second = None if lookers.fallback is None else _answer(lookers.fallback, frame)
    answer = first if outcome.mode is Mode.PRIMARY else second
    if outcome.answer is None:
        return ""  # why nobody answered cannot be done again
    if isinstance(answer, str):
        return f"{outcome.request_id}: an answer in the log, now {answer}"
    if answer is None or encode_answer(answer) == encode_answer(outcome.answer):
        return ""
    return f"{outcome.request_id}: another answer than in the log"


def _answer(looker: Looking, frame: Frame) -> Answer | str:
    try:
        found = looker.look([frame])[0]
    except Exception as error:  # noqa: BLE001 - whatever it raises is its answer
        return f"{type(error).__name__}: {error}"
    if isinstance(found, Detections | Readings):
        return found
    return Readings(stream=frame.stream, capture_ns=frame.capture_ns, values=found)
