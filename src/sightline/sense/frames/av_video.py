"""Videos through PyAV: packets with their own times, damage that is not hidden, and packets that
stand alone, so that a log of them gives the same pictures again.
"""

from __future__ import annotations

import contextlib
import heapq
import platform
import re
from collections import deque
from collections.abc import Generator, Iterator, Mapping
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.bitstream import BitStreamFilterContext
from av.container import InputContainer
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from sightline.errors import UsageError
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.records.frames import Image
from sightline.records.signals import NS_PER_S
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

_GREY = frozenset({"gray", "gray8"})
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


def picture_pixels(frame: VideoFrame) -> Image:
    """uint8[height, width, 3] (blue, green, red), or [height, width] where the video is grey.

    Raises:
        ValueError, av.FFmpegError: a pixel format that cannot be converted.
    """
    name = "gray" if frame.format.name in _GREY else "bgr24"
    return np.ascontiguousarray(frame.to_ndarray(format=name), np.uint8)


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


class PacketCopies:
    """Copies of the packets of one open stream, and which packet a picture came of.

    Must be made before the first packet is decoded.
    """

    def __init__(self, stream: VideoStream) -> None:
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
        self._coding = StreamCoding(
            decoder=name,
            extradata=extradata,
            settings=settings,
            versions=decoder_versions(context),
        )
        self._next = 0

    @classmethod
    def of(cls, stream: VideoStream) -> PacketCopies | None:
        """None for a codec of which packets cannot be kept."""
        return cls(stream) if stream.codec_context.codec.name in PACKET_FORMATS else None

    def copy(self, packet: Packet[VideoStream]) -> StreamPacket | None:
        """The next packet; None where it is so damaged that it cannot be brought into form.

        Its number is used up all the same. To be called before the packet is decoded.
        """
        number, self._next = self._next, self._next + 1
        packet.opaque = number
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
        self.versions: Mapping[str, str] = decoder_versions(context)

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
        if not container.streams.video:
            yield _unopened(location, "no video stream")
            return
        if container.streams.video[0].codec_context is None:
            yield _unopened(location, "no decoder for its codec")
            return
        yield from _Decoding(container, location, limits).parts()


class _Decoding:
    """One pass over one open video."""

    def __init__(self, container: InputContainer, location: VideoLocation, limits: Limits) -> None:
        self._container = container
        self._location = location
        self._limits = limits
        self._stream: VideoStream = container.streams.video[0]
        self._stream.codec_context.options = decoder_options(limits)
        self._copies = PacketCopies.of(self._stream) if location.gives_packets else None
        names = set(container.format.name.split(","))
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
            yield self._part(frame)

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

    def _part(self, frame: VideoFrame) -> VideoPart:
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
            number = frame.opaque if isinstance(frame.opaque, int) else NO_PACKET
            return Picture(pixels=picture_pixels(frame), pts_ns=pts_ns, packet=number)
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
            return None if self._location.period_ns is None else index * self._location.period_ns
        if not self._location.is_live:
            time -= self._stream.start_time or 0
        return _ns(time, base)

    def _dropped(self) -> Iterator[Damage]:
        """What the decoder has swallowed without a word."""
        silent = self._packets - self._accounted
        if self._is_damaged and silent > 0:
            detail = f"{silent} pictures after damage that the decoder dropped"
            yield Damage(reason=FrameReason.REFERENCE_DAMAGED, detail=detail, frames=silent)

    def _truncated(self) -> Iterator[Damage]:
        """Whether the file announces more than was there."""
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
        # A video may name other files and addresses (playlists do): it gets none of them.
        return {"protocol_whitelist": _FILE_PROTOCOLS}
    return {
        "protocol_whitelist": _LIVE_PROTOCOLS,
        "rtsp_transport": "tcp",
        "fflags": "nobuffer",
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
