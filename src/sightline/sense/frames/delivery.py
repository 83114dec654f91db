"""What a frame source gives: frames, and faults where a frame should have been."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

from sightline.errors import UsageError
from sightline.records.frames import Frame, Image
from sightline.records.signals import NS_PER_S
from sightline.sense.frames.reasons import FrameReason
from sightline.sense.frames.video_parts import PacketTape, Picture
from sightline.sense.source import Source

NO_TIME_NS = -1
_SET_BACK_NS = NS_PER_S
_SET_BACK_STEPS = 3
"""A recording's clock that goes back by more than both was set back; by less it may be one picture
that came out of its order, until a second one follows it."""
_STEPS = 5
_SUPPOSED_STEP_NS = NS_PER_S // 25


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameFault:
    """Something that is wrong in a stream, with its reason.

    Attributes:
        stream: name of the camera.
        origin: what it was read from: a file, an image of a directory, an address without its
            secrets.
        index: the place in the source's frame counter; for a fault that takes no frame, of the
            frame that follows.
        reason: why.
        detail: for a person, on one line, without secrets.
        frames: source frames that were refused by it: 1 for a frame, a packet, an image or a file
            that could not be read (or the rest of one); 0 where nothing was lost.
        capture_ns: when it was taken, UTC ns; -1 where that is not known.
    """

    stream: str
    origin: str
    index: int
    reason: FrameReason
    detail: str
    frames: int
    capture_ns: int = NO_TIME_NS


FrameItem = Frame | FrameFault


class FrameSource(Protocol):
    """Something that frames come from.

    Attributes:
        stream: name of the camera in the pipeline.
    """

    @property
    def stream(self) -> str: ...

    def __iter__(self) -> Iterator[FrameItem]:
        """Frames by ascending capture time, and faults; raises nothing for bad content."""
        ...


class CameraSource(Source, ABC):
    """A source of frames: iterate it. Its position is the index behind its newest frame.

    Attributes:
        stream: name of the camera in the pipeline, as ``name``.
    """

    gives = "frames"

    @property
    def stream(self) -> str:
        return self.name

    @abstractmethod
    def __iter__(self) -> Iterator[FrameItem]:
        """As :class:`FrameSource`."""

    @property
    def gives_packets(self) -> bool:
        """Whether :meth:`record_packets` can be called: the compressed packets are known."""
        return False

    def record_packets(self, tape: PacketTape) -> None:
        """Put the packets of everything that is read from now on onto ``tape``.

        Of a live camera also those of frames that give way; to be called before its start.

        Raises:
            UsageError: it gives none.
        """
        raise UsageError(
            expected="a camera that gives packets",
            got=type(self).__name__,
            where=f"stream {self.name}",
            action="install the extra `video`, or keep no packets",
        )


class Delivery:
    """Numbers what one stream gives, and sees to it that its time goes forward.

    ``received = delivered + refused`` holds at any time, in source frames. A frame that is not
    after the one before it is refused. The clock of a recording may have been set back for good
    (files joined together, a recorder that began anew): then time goes on from the frame before, at
    the pace of the recording, which is said once; as soon as the clock is ahead again, it is
    believed again.

    Args:
        stream: name of the camera.
        origin: what is read.
        period_ns: between two frames of a recording, where its clock is set back before it has
            shown how long that is.

    >>> import numpy as np
    >>> delivery = Delivery("yard", "yard.mp4")
    >>> picture = np.zeros((4, 6, 3), np.uint8)
    >>> [item.index for item in delivery.frame(picture, capture_ns=10)]
    [0]
    >>> [str(item.reason) for item in delivery.frame(picture, capture_ns=10)]
    ['TIME_BACKWARDS']
    """

    def __init__(self, stream: str, origin: str, *, period_ns: int | None = None) -> None:
        self.stream = stream
        self.origin = origin
        self._steps_ns = deque([period_ns or _SUPPOSED_STEP_NS], maxlen=_STEPS)
        self._ahead_ns = 0  # of a recording, what its clock was set back by
        self._refused_ns: int | None = None  # by its clock, where the frame before was refused
        self._index = 0
        self._delivered = 0
        self._refused: Counter[FrameReason] = Counter()
        self._last_ns = NO_TIME_NS
        self._shape: tuple[int, ...] | None = None

    def frame(
        self, pixels: Image, *, capture_ns: int, received_ns: int | None = None
    ) -> list[FrameItem]:
        """The next picture as a frame, after a fault where its size is new; or its refusal.

        Args:
            pixels: as in :class:`Frame`.
            capture_ns: when it was taken, UTC ns.
            received_ns: when it reached us, UTC ns; None for recordings: then, like the rows of a
                file, it arrives when it was taken.
        """
        items: list[FrameItem] = []
        if received_ns is None:
            capture_ns, items = self._recorded(capture_ns)
        if capture_ns <= self._last_ns:
            detail = f"{capture_ns} ns is not after {self._last_ns} ns"
            return [self.refuse(FrameReason.TIME_BACKWARDS, detail, capture_ns=capture_ns)]
        if self._shape is not None and self._shape != pixels.shape:
            detail = f"from {_size(self._shape)} to {_size(pixels.shape)}"
            items.append(self.note(FrameReason.RESOLUTION_CHANGED, detail, capture_ns=capture_ns))
        items.append(
            Frame(
                stream=self.stream,
                index=self._index,
                capture_ns=capture_ns,
                received_ns=capture_ns if received_ns is None else received_ns,
                pixels=pixels,
            )
        )
        if received_ns is None and self._last_ns != NO_TIME_NS:
            self._steps_ns.append(capture_ns - self._last_ns)
        # One picture from the future must not put off all that follow it.
        self._last_ns = capture_ns if received_ns is None else min(capture_ns, received_ns)
        self._shape = pixels.shape
        self._index += 1
        self._delivered += 1
        return items

    def _recorded(self, clock_ns: int) -> tuple[int, list[FrameItem]]:
        """When a recorded frame was taken, by its clock; with a fault where that was set back."""
        if clock_ns > self._last_ns:
            self._ahead_ns = 0
        at_ns = clock_ns + self._ahead_ns
        refused_ns, self._refused_ns = self._refused_ns, None
        if at_ns > self._last_ns:
            return at_ns, []
        back_ns = self._last_ns - at_ns
        step_ns = sorted(self._steps_ns)[len(self._steps_ns) // 2]  # one gap is no pace
        is_second = refused_ns is not None and clock_ns > refused_ns
        if back_ns <= max(_SET_BACK_NS, _SET_BACK_STEPS * step_ns) and not is_second:
            self._refused_ns = clock_ns
            return at_ns, []
        resumed_ns = self._last_ns + step_ns
        self._ahead_ns = resumed_ns - clock_ns
        detail = (
            f"the clock went back by {back_ns / NS_PER_S:.3f} s; "
            f"time goes on {step_ns / NS_PER_S:.3f} s after the frame before"
        )
        return resumed_ns, [self.note(FrameReason.CLOCK_CHANGED, detail, capture_ns=resumed_ns)]

    def refuse(
        self,
        reason: FrameReason,
        detail: str,
        *,
        frames: int = 1,
        capture_ns: int = NO_TIME_NS,
        origin: str = "",
    ) -> FrameFault:
        """Source frames (or a file, which counts as one) that become no frames.

        ``origin`` names the image where the stream consists of many.
        """
        fault = self._fault(reason, detail, frames, capture_ns, origin)
        self._index += frames
        if frames:
            self._refused[reason] += frames
        return fault

    def note(self, reason: FrameReason, detail: str, *, capture_ns: int = NO_TIME_NS) -> FrameFault:
        """A fault that costs no frame."""
        return self._fault(reason, detail, 0, capture_ns, "")

    @property
    def received(self) -> int:
        """Source frames so far."""
        return self._index

    @property
    def delivered(self) -> int:
        return self._delivered

    @property
    def refused(self) -> Mapping[FrameReason, int]:
        """Refused source frames by reason."""
        return MappingProxyType(dict(self._refused))

    def _fault(
        self, reason: FrameReason, detail: str, frames: int, capture_ns: int, origin: str
    ) -> FrameFault:
        return FrameFault(
            stream=self.stream,
            origin=origin or self.origin,
            index=self._index,
            reason=reason,
            detail=detail,
            frames=frames,
            capture_ns=capture_ns,
        )


def note_shown(tape: PacketTape, picture: Picture, items: Sequence[FrameItem]) -> None:
    """Tell the tape which frame a picture has become."""
    for item in items:
        if isinstance(item, Frame):
            tape.shown(picture.packet, index=item.index, capture_ns=item.capture_ns)


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]} x {shape[0]} px{' grey' if len(shape) == 2 else ''}"
