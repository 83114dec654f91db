"""Videos through PyAV: packets with their own times, and damage that is not hidden."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Generator, Iterator
from fractions import Fraction

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from sightline.limits import Limits
from sightline.records.signals import NS_PER_S
from sightline.sense.frames.av_packets import PacketCopies, decoder_options, picture_pixels
from sightline.sense.frames.packets import NO_PACKET
from sightline.sense.frames.reasons import FrameReason
from sightline.sense.frames.video_parts import Damage, Picture, VideoLocation, VideoPart

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
