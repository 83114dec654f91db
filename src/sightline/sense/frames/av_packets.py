"""Packets out of PyAV's demuxer in a form that stands alone, and back into the same pictures."""

from __future__ import annotations

import contextlib
import platform
import re
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.bitstream import BitStreamFilterContext
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from sightline.errors import UsageError
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.records.frames import Image
from sightline.sense.frames.packets import PACKET_FORMATS, StreamCoding, StreamPacket

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
