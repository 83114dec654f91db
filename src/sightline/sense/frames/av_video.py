"""Videos through PyAV: packets with their own times, damage that is not hidden, and packets that
stand alone, so that a log of them gives the same pictures again.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import heapq
import math
import platform
import re
import struct
from collections import deque
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.bitstream import BitStreamFilterContext
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from sightline.errors import UsageError
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.records.frames import Image
from sightline.records.signals import NS_PER_S
from sightline.sense.contract import utc_ns
from sightline.sense.frames.reasons import FrameReason
from sightline.sense.frames.video_parts import (
    NO_PACKET,
    PACKET_FORMATS,
    Damage,
    Picture,
    StreamCoding,
    StreamPacket,
    VideoLocation,
    VideoPart,
)

AS_STORED = ""
"""Not turned. A turning is written as letters: ``t`` transposed, then ``x`` left and right swapped,
then ``y`` top and bottom swapped."""
_MATRIX = struct.Struct("<9i")
_LARGEST_SKEW = 0.02


def turning_of(matrix: bytes) -> str | None:
    """The turning of a display matrix; None where it is by no quarter turns.

    Args:
        matrix: nine int32 as in FFmpeg's ``AV_FRAME_DATA_DISPLAYMATRIX``: a point (x, y) of the
            stored picture is shown at (a x + c y, b x + d y), where a, b, c and d are the numbers
            at places 0, 1, 3 and 4. What is no such matrix turns nothing.

    >>> import struct
    >>> turning_of(struct.pack("<9i", 0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30))
    'tx'
    """
    if len(matrix) != _MATRIX.size:
        return AS_STORED
    a, b, _, c, d, *_ = _MATRIX.unpack(matrix)
    if not any((a, b, c, d)):
        return AS_STORED
    is_transposed = math.hypot(b, c) > math.hypot(a, d)
    to_x, to_y, aside = (c, b, math.hypot(a, d)) if is_transposed else (a, d, math.hypot(b, c))
    if aside > _LARGEST_SKEW * math.hypot(to_x, to_y) or not (to_x and to_y):
        return None
    letters = (("t", is_transposed), ("x", to_x < 0), ("y", to_y < 0))
    return "".join(letter for letter, is_set in letters if is_set)


def turned(pixels: Image, turning: str) -> Image:
    """The picture as it is shown; itself where nothing is to be done.

    >>> turned(np.array([[1, 2], [3, 4]], np.uint8), "tx").tolist()
    [[3, 1], [4, 2]]
    """
    if "t" in turning:
        pixels = np.swapaxes(pixels, 0, 1)
    if "x" in turning:
        pixels = pixels[:, ::-1]
    if "y" in turning:
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


# --- the file -------------------------------------------------------------------------------------
# A camera that is held or mounted on its side says so beside the picture: in the display matrix of
# a video, in the EXIF of an image. Every player heeds it, and so does Sightline: sizes, zones and
# boxes are those of the picture as it is shown.

_GREY = ("gray", "ya", "mono")  # begin the names of pixel formats without colour
_TO_ANNEX_B = {"h264": "h264_mp4toannexb", "hevc": "hevc_mp4toannexb"}
# A sequence parameter set after its start code (H.264, 7.3.1, type 7; H.265, 7.3.1.2, type 33).
_PARAMETERS = {
    "h264": re.compile(rb"\x00\x00\x01[\x07\x27\x47\x67]"),
    "hevc": re.compile(rb"\x00\x00\x01[\x42\x43]"),
}
_LENGTH_PREFIXED = b"\x01"  # first byte of avcC and hvcC (ISO/IEC 14496-15); Annex B begins with 0
_NUMBERS = ("width", "height", "color_range", "colorspace", "color_primaries", "color_trc")
_UNIT = Fraction(1, 1)


def decoder_options(limits: Limits) -> dict[str, str]:
    """How every decoder is set: damage is an error, and pictures have a bound."""
    return {"err_detect": "explode", "max_pixels": str(limits.max_frame_px)}


def picture_pixels(frame: VideoFrame, form: str) -> Image:
    """uint8[height, width, 3] (blue, green, red), or [height, width] where the video is grey.

    Args:
        frame: as it was decoded, not turned.
        form: ``bgr24``, or ``gray``.

    Raises:
        ValueError, av.FFmpegError: a pixel format that cannot be converted.
    """
    return np.ascontiguousarray(frame.to_ndarray(format=form), np.uint8)


class _Turnings:
    """How the pictures of one stream are to be turned.

    Args:
        known: what the container says of packets that are decoded without it.
    """

    def __init__(self, known: str = AS_STORED) -> None:
        self._known = known
        self._rotation: int | None = None
        self._turning: str | None = known

    def of(self, frame: VideoFrame) -> str | None:
        """The turning of the next picture; None where it is asked for what cannot be done."""
        # The matrix is looked at only where the angle is another one: whoever touches the side data
        # of a frame keeps all of it in memory until the next round of the garbage collector.
        if frame.rotation != self._rotation:
            self._rotation = frame.rotation
            matrix: Any = frame.side_data.get("DISPLAYMATRIX")
            self._turning = self._known if matrix is None else turning_of(bytes(matrix))
        return self._turning


def _is_grey(pixel_format: str | None) -> bool:
    return (pixel_format or "").startswith(_GREY)


def decoder_versions(context: VideoCodecContext) -> dict[str, str]:
    """All that has a part in the pixels of a decoded picture, for people and for comparison."""
    libraries = {
        name: ".".join(str(number) for number in av.library_versions[name])
        for name in ("libavcodec", "libswscale")
    }
    return {
        "pyav": av.__version__,
        **libraries,
        "decoder": context.codec.name,
        "threads": f"{context.thread_type.name} {context.thread_count}",
        "pixels": "bgr24, or gray of grey video, by swscale",
        "machine": platform.machine(),
    }


@dataclass(frozen=True, slots=True, eq=False)
class _Opaque:
    """Number of a packet, on its way through the decoder.

    An object of its own for each packet: PyAV forgets it by its identity as soon as the first
    holder is gone, and equal small integers are one object.
    """

    number: int


class PacketCopies:
    """Copies of the packets of one open stream, and which packet a picture came of.

    Must be made before the first packet is decoded.
    """

    def __init__(self, stream: VideoStream, *, form: str, turning: str) -> None:
        context = stream.codec_context
        context.copy_opaque = True
        name, extradata = context.codec.name, context.extradata or b""
        self._name = name
        self._filter: BitStreamFilterContext | None = None
        self._parameters = b""  # to be put before key packets that lack them
        if name in _TO_ANNEX_B:
            if extradata.startswith(_LENGTH_PREFIXED):
                self._filter = BitStreamFilterContext(f"{_TO_ANNEX_B[name]},dump_extra", stream)
            else:
                self._parameters = extradata
            extradata = b""
        settings: dict[str, int | str] = {key: int(getattr(context, key)) for key in _NUMBERS}
        settings["pix_fmt"] = context.pix_fmt or ""
        settings["codec_tag"] = context.codec_tag
        settings |= {"form": form, "turning": turning}
        self._coding = StreamCoding(
            decoder=name,
            extradata=extradata,
            settings=settings,
            versions=decoder_versions(context),
        )
        self._next = 0

    @classmethod
    def of(cls, stream: VideoStream, *, form: str, turning: str) -> PacketCopies | None:
        """None for a codec of which packets cannot be kept.

        Args:
            stream: open.
            form: of the pixels, as :func:`picture_pixels` has it.
            turning: by the word of the container; what the packets themselves say comes with them.
        """
        if stream.codec_context.codec.name not in PACKET_FORMATS:
            return None
        return cls(stream, form=form, turning=turning)

    def copy(self, packet: Packet[VideoStream]) -> StreamPacket | None:
        """The next packet; None where it is so damaged that it cannot be brought into form.

        Its number is used up all the same. To be called before the packet is decoded.
        """
        number, self._next = self._next, self._next + 1
        packet.opaque = _Opaque(number)
        data: bytes | None = bytes(packet)
        if self._filter is not None:
            data = self._filtered(packet)
        if not data:
            return None
        if self._parameters and packet.is_keyframe and not _PARAMETERS[self._name].search(data):
            data = self._parameters + data
        base = packet.time_base or _UNIT
        return StreamPacket(
            number=number,
            data=data,
            is_key=bool(packet.is_keyframe),
            pts=packet.pts,
            dts=packet.dts,
            time_base=(base.numerator, base.denominator),
            coding=self._coding,
        )

    def _filtered(self, packet: Packet[VideoStream]) -> bytes | None:
        assert self._filter is not None
        own = _owned(bytes(packet))  # a filter takes away what it is given
        own.is_keyframe = packet.is_keyframe
        try:
            return b"".join(bytes(one) for one in self._filter.filter(own))
        except (av.FFmpegError, ValueError):
            self._filter.flush()
            return None


class PacketDecoder:
    """Decodes kept packets of one stream, from a key packet or the stream's first one on.

    Set as the decoder that the run used, except that it waits for reordered pictures as long as
    the standard allows: the run's decoder may have learnt the order from earlier packets.

    Raises:
        UsageError: this installation has no such decoder.
    """

    def __init__(self, coding: StreamCoding, limits: Limits = DEFAULT_LIMITS) -> None:
        try:
            context = _configured(coding, limits)
        except (av.FFmpegError, ValueError, KeyError, TypeError, OverflowError) as error:
            raise UsageError(
                expected=f"a stream for one of the decoders {', '.join(PACKET_FORMATS)}, and that "
                "decoder in this installation",
                got=f"{coding.decoder or 'none'} ({type(error).__name__})",
                where="packets in the log",
                action="install the PyAV of the run: " + said_versions(coding.versions),
            ) from error
        self._context = context
        self._form = str(coding.settings["form"])
        self._turnings = _Turnings(str(coding.settings["turning"]))
        self.versions: Mapping[str, str] = decoder_versions(context)

    def pixels(self, frame: VideoFrame) -> Image:
        """The pixels of a decoded picture, as they were looked at in the run."""
        turning = self._turnings.of(frame) or AS_STORED
        return turned(picture_pixels(frame, self._form), turning)

    def decoded(self, packet: StreamPacket | None) -> Iterator[tuple[int, VideoFrame]]:
        """(number of its packet, picture) of what comes out now, in order of presentation.

        A packet that the decoder refuses gives nothing, as it did in the run.

        Args:
            packet: the next one; None: no more come, and what is held back comes out.
        """
        own = None
        if packet is not None:
            own = _owned(packet.data)
            own.pts = own.dts = packet.number
            own.time_base = _UNIT
            own.is_keyframe = packet.is_key
        with contextlib.suppress(av.FFmpegError):
            for frame in self._context.decode(own):
                if frame.pts is not None:
                    yield frame.pts, frame


def _configured(coding: StreamCoding, limits: Limits) -> VideoCodecContext:
    if coding.decoder not in PACKET_FORMATS:
        raise ValueError(coding.decoder)
    context = av.CodecContext.create(coding.decoder, "r")
    if not isinstance(context, VideoCodecContext):
        raise TypeError(coding.decoder)
    options = decoder_options(limits)
    if coding.decoder == "h264":
        options["strict"] = "1"  # FF_COMPLIANCE_STRICT: the longest reordering of the level
    context.options = options
    if coding.extradata:
        context.extradata = coding.extradata
    for key in _NUMBERS:
        setattr(context, key, int(coding.settings[key]))
    for key in ("pix_fmt", "codec_tag"):
        if coding.settings[key]:
            setattr(context, key, str(coding.settings[key]))
    return context


def _owned(data: bytes) -> Packet[Any]:
    """A packet with a buffer of its own.

    ``Packet(data)`` would point into ``data``, behind which nothing is reserved: decoders read up
    to 64 bytes beyond the end (AV_INPUT_BUFFER_PADDING_SIZE) and take what they find for picture.
    """
    packet: Packet[Any] = Packet(len(data))
    packet.update(data)
    return packet


def said_versions(versions: Mapping[str, str]) -> str:
    """For people.

    >>> said_versions({"pyav": "18.1.0", "libavcodec": "62.28.102"})
    'pyav 18.1.0, libavcodec 62.28.102'
    """
    return ", ".join(f"{name} {value}" for name, value in versions.items())


_FILE_PROTOCOLS = "file"
_LIVE_PROTOCOLS = "rtsp,rtp,udp,tcp,tls,http,https,httpproxy,crypto"
_WITHOUT_PRESENTATION_TIMES = frozenset({"avi"})
_TIMED_BY_ARRIVAL = frozenset({"mpjpeg", "mjpeg", "mjpeg_2000", "image2", "jpeg_pipe"})
_WRAPPING = frozenset({"mpegts", "mpeg"})
_HALF_TURN = 1 << 32  # of their clock, in its own units
_MISSING_PERIODS = 2
_MISSING_NS = NS_PER_S


def read_with_av(location: VideoLocation, limits: Limits) -> Generator[VideoPart]:
    """Pictures of the first video stream in presentation order, and damage where it occurred.

    A packet that does not decode without error gives damage instead of the picture that the
    decoder would make up, and so does every picture computed from it, up to the next key frame.
    Presentation times of a file count from the stream's start. Where the location asks for packets,
    each comes before what it is decoded to.
    """
    try:
        container = av.open(
            location.address if location.is_live else f"file:{location.address}",
            mode="r",
            options=_container_options(location, limits),
            metadata_errors="replace",
            timeout=(limits.open_timeout_s, limits.read_timeout_s) if location.is_live else None,
        )
    except (av.FFmpegError, OSError) as error:
        yield _unopened(location, _words(error))
        return
    with container:
        stream = _chosen(container, location)
        if isinstance(stream, str):
            yield _unopened(location, stream)
            return
        others = len(_moving(container)) - 1
        if others > 0 and location.video_stream is None:
            size = f"{stream.codec_context.width} x {stream.codec_context.height} px"
            detail = f"{others} further video streams are not read; the first is ({size})"
            yield Damage(reason=FrameReason.FURTHER_STREAMS, detail=detail, frames=0)
        yield from _Decoding(container, stream, location, limits).parts()


def creation_ns(path: Path) -> int | None:
    """When a video was made, as it says itself, UTC ns; None where it says nothing."""
    try:
        with av.open(
            f"file:{path.absolute()}", options={"protocol_whitelist": _FILE_PROTOCOLS}
        ) as one:
            said = [one.metadata, *(stream.metadata for stream in one.streams.video)]
    except (av.FFmpegError, OSError):
        return None
    for metadata in said:
        try:
            at = dt.datetime.fromisoformat(metadata["creation_time"])
        except (KeyError, ValueError):
            continue
        at = at.replace(tzinfo=dt.UTC) if at.tzinfo is None else at
        found = utc_ns(at.isoformat())
        if found > 0:  # recorders without a clock say 1904 or 1970
            return found
    return None


def _moving(container: InputContainer) -> list[VideoStream]:
    """The video streams that are no cover picture."""
    return [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]


def _chosen(container: InputContainer, location: VideoLocation) -> VideoStream | str:
    """The stream that is read, or why there is none."""
    found = _moving(container)
    if not found:
        return "no video stream" + (", only a cover picture" if container.streams.video else "")
    number = location.video_stream or 0
    if number >= len(found):
        return f"no video stream {number}: there are {len(found)}, from 0"
    return found[number] if found[number].codec_context is not None else "no decoder for its codec"


def _container_turning(location: VideoLocation, limits: Limits) -> str:
    """What a container says of all its pictures: PyAV tells it with a decoded one only."""
    try:
        with av.open(
            f"file:{location.address}", options=_container_options(location, limits)
        ) as one:
            stream = _chosen(one, location)
            if isinstance(stream, str):
                return AS_STORED
            stream.codec_context.options = decoder_options(limits)
            return _Turnings().of(next(one.decode(stream))) or AS_STORED
    except (av.FFmpegError, OSError, StopIteration):
        return AS_STORED


class _Decoding:
    """One pass over one open video."""

    def __init__(
        self,
        container: InputContainer,
        stream: VideoStream,
        location: VideoLocation,
        limits: Limits,
    ) -> None:
        self._container = container
        self._location = location
        self._limits = limits
        self._stream = stream
        self._stream.codec_context.options = decoder_options(limits)
        # Of a file that begins in colour a grey picture is one of night; of a camera on the
        # network nobody knows at night what it sends by day.
        wants_colour = location.is_live and location.channels == 3
        is_grey = _is_grey(stream.codec_context.pix_fmt) and not wants_colour
        self._form = "gray" if is_grey else "bgr24"
        self._copies = None
        if location.gives_packets:
            turning = AS_STORED if location.is_live else _container_turning(location, limits)
            self._copies = PacketCopies.of(stream, form=self._form, turning=turning)
        names = set(container.format.name.split(","))
        self._wraps = bool(names & _WRAPPING)
        self._turns = 0  # of the 33-bit clock
        self._newest: int | None = None  # newest time, in units of the stream
        self._last_ns: int | None = None
        self._step_ns: int | None = None
        self._before_key = 0  # packets before the first key packet
        self._has_key = not location.is_live
        self._turnings = _Turnings()
        self._is_said = False  # that a turning cannot be done
        self._is_sorted_by_us = bool(names & _WITHOUT_PRESENTATION_TIMES)
        self._has_times = not (location.is_live and names & _TIMED_BY_ARRIVAL)
        self._waiting_times: list[int] = []  # heap of packet times, in the stream's time base
        self._corrupt = _Times(limits.reorder_frames)  # of packets that are marked as corrupt
        self._refused = _Times(limits.reorder_frames)  # of packets that were refused already
        self._to_recover = 0  # pictures still refused because of damage before them
        self._packets = self._accounted = 0
        self._out = 0
        self._end_ns = 0
        self._is_damaged = False

    def parts(self) -> Iterator[VideoPart]:
        packets = self._container.demux(self._stream)
        words = "the stream ended"
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                break
            except (av.FFmpegError, OSError) as error:
                words = _words(error)
                break
            yield from self._decoded(packet)
        yield from self._dropped()
        if self._location.is_live:
            yield Damage(reason=FrameReason.NO_CONNECTION, detail=words, frames=0)
        else:
            yield from self._truncated()

    def _decoded(self, packet: Packet[VideoStream]) -> Iterator[VideoPart]:
        is_data = packet.size > 0  # the last, empty one asks for what the decoder holds back
        if not self._has_key:
            # Whoever joins a stream in its midst gets nothing that can be decoded until then.
            is_key = packet.is_keyframe or self._before_key >= self._limits.recovery_frames
            if is_data and not is_key:
                self._before_key += 1
                return
            yield from self._missed_before_key()
            self._has_key = True
        time = packet.pts
        if time is None or self._is_sorted_by_us:
            time = packet.dts
        if is_data:
            self._note(packet, time)
            if self._copies is not None:
                copy = self._copies.copy(packet)
                if copy is not None:
                    yield copy
        try:
            frames = packet.decode()
        except (av.FFmpegError, OSError) as error:
            # A picture beyond max_pixels is refused by the codec as an invalid argument.
            is_too_large = isinstance(error, av.ArgumentError)
            self._is_damaged = True
            self._to_recover = self._limits.recovery_frames
            if is_data:
                self._accounted += 1
                if packet.pts is not None:
                    self._refused.add(packet.pts)
                if self._is_sorted_by_us and time in self._waiting_times:
                    self._waiting_times.remove(time)
                    heapq.heapify(self._waiting_times)
                reason = FrameReason.TOO_LARGE if is_too_large else FrameReason.PACKET_CORRUPT
                yield Damage(reason=reason, detail=_words(error), frames=1)
            return
        for frame in frames:
            if self._refused.take(frame.pts):
                continue  # what a decoder shows of a packet after it has refused it
            self._accounted += 1
            yield from self._part(frame)

    def _note(self, packet: Packet[VideoStream], time: int | None) -> None:
        self._packets += 1
        if packet.is_corrupt and packet.pts is not None:
            self._corrupt.add(packet.pts)
        base = packet.time_base
        if time is not None and base is not None:
            self._end_ns = max(self._end_ns, _ns(time + (packet.duration or 0), base))
        if self._is_sorted_by_us and time is not None:
            heapq.heappush(self._waiting_times, time)
            if len(self._waiting_times) > 2 * self._limits.reorder_frames:
                heapq.heappop(self._waiting_times)  # of a picture the decoder has dropped

    def _missed_before_key(self) -> Iterator[Damage]:
        missed, self._before_key = self._before_key, 0
        if missed:
            detail = f"{missed} pictures before the first key frame of the connection"
            yield Damage(reason=FrameReason.REFERENCE_DAMAGED, detail=detail, frames=missed)

    def _part(self, frame: VideoFrame) -> Iterator[VideoPart]:
        turning = self._turnings.of(frame)
        if turning is None and not self._is_said:
            self._is_said = True
            detail = f"the file asks to turn by {frame.rotation} degrees; not applied"
            yield Damage(reason=FrameReason.NOT_TURNED, detail=detail, frames=0)
        yield self._picture(frame, turning or AS_STORED)

    def _picture(self, frame: VideoFrame, turning: str) -> VideoPart:
        pts_ns = self._pts_ns(frame)
        if self._corrupt.take(frame.pts) or frame.is_corrupt:
            self._is_damaged = True
            self._to_recover = self._limits.recovery_frames
            detail = "the packet is marked as corrupt"
            return Damage(reason=FrameReason.PACKET_CORRUPT, detail=detail, frames=1)
        if frame.key_frame:
            self._to_recover = 0
        if self._to_recover:
            self._to_recover -= 1
            detail = "computed from a damaged picture"
            return Damage(reason=FrameReason.REFERENCE_DAMAGED, detail=detail, frames=1)
        try:
            opaque = frame.opaque
            number = opaque.number if isinstance(opaque, _Opaque) else NO_PACKET
            pixels = turned(picture_pixels(frame, self._form), turning)
            return Picture(pixels=pixels, pts_ns=pts_ns, packet=number)
        except (av.FFmpegError, ValueError) as error:  # a pixel format it cannot convert
            return Damage(reason=FrameReason.PACKET_CORRUPT, detail=_words(error), frames=1)

    def _pts_ns(self, frame: VideoFrame) -> int | None:
        """Nanoseconds from the stream's start (a file) or from its own zero (a live camera)."""
        index, self._out = self._out, self._out + 1
        time = frame.pts
        if self._is_sorted_by_us and self._waiting_times:
            # The container only knows the order of decoding, but pictures come out in the order
            # of presentation: the n-th out has the n-th smallest time.
            time = heapq.heappop(self._waiting_times)
        base = frame.time_base or self._stream.time_base
        if time is None or base is None or not self._has_times:
            return self._supposed_ns(index)
        if not self._location.is_live:
            time = self._unwrapped(time) - (self._stream.start_time or 0)
        at_ns = _ns(time, base)
        if self._last_ns is not None and at_ns > self._last_ns:
            self._step_ns = at_ns - self._last_ns
        self._last_ns = at_ns
        return at_ns

    def _supposed_ns(self, index: int) -> int | None:
        """For a picture without a time: a step after the one before it, where that had one."""
        if self._last_ns is not None and self._step_ns is not None:
            self._last_ns += self._step_ns
            return self._last_ns
        return None if self._location.period_ns is None else index * self._location.period_ns

    def _unwrapped(self, time: int) -> int:
        """The time of a clock of 33 bits, which begins anew every 26.5 hours at 90 kHz."""
        if not self._wraps:
            return time
        if self._newest is not None:
            if time - self._newest < -_HALF_TURN:
                self._turns += 1
            elif time - self._newest > _HALF_TURN and self._turns:
                self._turns -= 1  # a picture of before the turn that comes out after it
        self._newest = time
        return time + self._turns * 2 * _HALF_TURN

    def _dropped(self) -> Iterator[Damage]:
        """What the decoder has swallowed without a word."""
        yield from self._missed_before_key()
        silent = self._packets - self._accounted
        if self._is_damaged and silent > 0:
            detail = f"{silent} pictures after damage that the decoder dropped"
            yield Damage(reason=FrameReason.REFERENCE_DAMAGED, detail=detail, frames=silent)

    def _truncated(self) -> Iterator[Damage]:
        """Whether the file announces more than was there."""
        if self._wraps:
            return  # a transport stream announces nothing: its length is guessed from its clock
        announced = self._stream.frames
        if announced > self._packets:
            detail = f"{self._packets} of {announced} announced frames"
            yield Damage(reason=FrameReason.TRUNCATED, detail=detail, frames=1)
            return
        end_ns = self._announced_end_ns()
        period_ns = self._end_ns // max(self._packets, 1)
        if end_ns - self._end_ns > max(_MISSING_PERIODS * period_ns, _MISSING_NS):
            detail = f"ends at {self._end_ns / NS_PER_S:.3f} s of {end_ns / NS_PER_S:.3f} s"
            yield Damage(reason=FrameReason.TRUNCATED, detail=detail, frames=1)

    def _announced_end_ns(self) -> int:
        """End of the video by the container's word; 0 where it says none."""
        stream, base = self._stream, self._stream.time_base
        if stream.duration is not None and base is not None:
            return _ns((stream.start_time or 0) + stream.duration, base)
        if len(self._container.streams) == 1 and self._container.duration is not None:
            start = self._container.start_time or 0
            return _ns(start + self._container.duration, Fraction(1, av.time_base))
        return 0


class _Times:
    """Presentation times of packets until their pictures come out of the decoder."""

    def __init__(self, reorder_frames: int) -> None:
        # What is pushed out belongs to pictures that the decoder has dropped.
        self._times: deque[int | None] = deque(maxlen=2 * reorder_frames)

    def add(self, time: int) -> None:
        self._times.append(time)

    def take(self, time: int | None) -> bool:
        """Whether it is there; it is not there afterwards."""
        is_there = time in self._times
        if is_there:
            self._times.remove(time)
        return is_there


def _ns(count: int, base: Fraction) -> int:
    return round(count * base.numerator * NS_PER_S / Fraction(base.denominator))


def _container_options(location: VideoLocation, limits: Limits) -> dict[str, str]:
    if not location.is_live:
        return {
            # A video may name other files and addresses (playlists do): it gets none of them.
            "protocol_whitelist": _FILE_PROTOCOLS,
            # A clock that was set back would be taken for one that has wrapped, 26 hours later.
            "correct_ts_overflow": "0",
        }
    # Without `nobuffer`: it throws away what is read to find out about the stream, with the first
    # key frame, and the next one may come ten seconds later.
    return {
        "protocol_whitelist": _LIVE_PROTOCOLS,
        "rtsp_transport": "tcp",
        "analyzeduration": "1000000",
        "timeout": str(round(limits.read_timeout_s * 1e6)),
    }


def _unopened(location: VideoLocation, detail: str) -> Damage:
    if location.is_live:
        return Damage(reason=FrameReason.NO_CONNECTION, detail=detail, frames=0)
    return Damage(reason=FrameReason.UNREADABLE, detail=detail, frames=1)


def _words(error: Exception) -> str:
    # Not str(error): it repeats the address, which may hold a password.
    return getattr(error, "strerror", None) or type(error).__name__
