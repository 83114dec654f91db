"""What the shell does with frames: contract, health and digest before the core hears of them, the
pictures that are kept after it has decided.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.records import Decision, EntryKind, Frame
from sightline.records.decision import Transition
from sightline.records.frames import Image
from sightline.records.signals import NS_PER_S
from sightline.runtime.engine.headers import CLOCK_SKEW, FrameFaultNote, FrameHeader, HealthSign
from sightline.runtime.pictures.image_log import ImageLog, annotation_message
from sightline.runtime.pictures.packet_log import PacketLog
from sightline.runtime.plan import Plan
from sightline.runtime.stages.zones import CameraView
from sightline.sense.frames import CameraHealth, FrameContract, FrameFault
from sightline.sense.frames.health import HealthSignal, RateWatch, contract_breaches
from sightline.sense.frames.reasons import MEASURES, FrameReason
from sightline.sense.frames.usual_view import view_print
from sightline.sense.frames.video_parts import PacketTape

_DIGEST_HEX = 32
_PRINTED = frozenset({1, 25, 250})
"""Which usable pictures of a camera its view is told by."""


@dataclass(slots=True)
class FrameTally:
    """What has come of one camera, and why what cannot be used cannot.

    Attributes:
        usable: frames that somebody could look at.
        refused: source frames that nobody could, by reason.
        noted: faults that cost no frame, by reason.
        words: of each reason its first words, with the file or image.
        wrong_size_px: width and height of the first picture of another size than the contract says.
        view: print of the newest picture of which one was made; None: none has an edge.
    """

    usable: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    noted: Counter[str] = field(default_factory=Counter)
    words: dict[str, str] = field(default_factory=dict)
    wrong_size_px: tuple[int, int] | None = None
    view: str | None = None

    def look(self, pixels: Image) -> None:
        """Make a print of the view of a usable picture, if it is one of those that are looked at.

        The first of a stream may be grey or dark until the camera has settled.
        """
        if self.usable in _PRINTED:
            self.view = view_print(pixels) or self.view

    def take(self, header: FrameHeader, contract: FrameContract, channels: int) -> None:
        """Count a frame."""
        if header.is_usable:
            self.usable += 1
            return
        reason = header.signs[0].code if header.signs else "UNUSABLE"
        self.refused[reason] += 1
        if reason == FrameReason.SIZE and self.wrong_size_px is None:
            self.wrong_size_px = header.width_px, header.height_px
        self.words.setdefault(reason, _breach_words(reason, header, contract, channels))

    def take_fault(self, fault: FrameFault) -> None:
        """Count a fault."""
        reason = str(fault.reason)
        (self.refused if fault.frames else self.noted)[reason] += max(fault.frames, 1)
        self.words.setdefault(reason, f"{fault.origin}: {fault.detail}")

    @property
    def main_reason(self) -> str:
        """Why nothing could be used: the most frequent reason; empty where nothing was refused."""
        counted = self.refused or self.noted
        return counted.most_common(1)[0][0] if counted else ""


def _breach_words(reason: str, header: FrameHeader, contract: FrameContract, channels: int) -> str:
    """What a frame is and what the contract says, with what to set."""
    width, height = header.width_px, header.height_px
    match reason:
        case FrameReason.SIZE:
            is_on_its_side = (height, width) == (contract.width_px, contract.height_px)
            return (
                f"pictures of {width} x {height} px, the contract says {contract.width_px} x "
                f"{contract.height_px}: set width_px: {width}, height_px: {height}"
                + (" (they are turned as the file asks)" if is_on_its_side else "")
            )
        case FrameReason.CHANNELS:
            kind = "grey pictures" if channels == 1 else "pictures in colour"
            return f"{kind}: set channels: {channels} in the contract"
        case _:
            sign = header.signs[0] if header.signs else None
            if sign is None:
                return reason
            return f"{sign.measure} {sign.value:.4g} {sign.unit}, bound {sign.threshold:.4g}"


class FrameIntake:
    """Looks at every frame of one camera, in order.

    A frame that breaks its contract, or was taken after it came, is not to be looked at by a
    detector. What is wrong with the camera's picture is said, and leaves the frame usable.

    Args:
        contract: of the camera.
        may_skew_s: how much later than its receipt a frame may claim to be taken.
    """

    def __init__(self, contract: FrameContract, *, may_skew_s: float = 0.05) -> None:
        self._contract = contract
        self._may_skew_s = may_skew_s
        self._health = CameraHealth(contract)
        self._rate = RateWatch(contract)
        self._accepted_ns = -1

    def header(self, frame: Frame, *, accepted_ns: int = -1) -> FrameHeader:
        """The frame without its pixels, with all that was found on them.

        Args:
            frame: the next one of the camera.
            accepted_ns: capture time of the frame after which its view was accepted last.
        """
        if self._accepted_ns < accepted_ns < frame.capture_ns:
            self._accepted_ns = accepted_ns
            self._health.accept_view()
        ahead_s = (frame.capture_ns - frame.received_ns) / NS_PER_S
        breaches = [_sign(signal) for signal in contract_breaches(frame, self._contract)]
        if ahead_s > self._may_skew_s:
            breaches.append(
                HealthSign(
                    code=CLOCK_SKEW,
                    measure="capture_after_receipt",
                    value=ahead_s,
                    threshold=self._may_skew_s,
                    unit="s",
                )
            )
        signals: list[HealthSignal] = []
        is_doubtful, unseen = False, ""
        if not breaches:
            health = self._health.update(frame)
            is_doubtful, unseen = health.is_doubtful, health.unseen
            signals = [*health.signals, self._rate.update(frame.capture_ns)]
        return FrameHeader(
            camera=frame.stream,
            index=frame.index,
            capture_ns=frame.capture_ns,
            received_ns=frame.received_ns,
            width_px=frame.width_px,
            height_px=frame.height_px,
            digest=pixel_digest(frame),
            signs=(*breaches, *(_sign(signal) for signal in signals if signal.is_raised)),
            is_usable=not breaches,
            is_doubtful=is_doubtful,
            unseen=unseen,
        )


def fault_note(fault: FrameFault) -> FrameFaultNote:
    """A fault as the core reads it."""
    return FrameFaultNote(
        camera=fault.stream,
        index=fault.index,
        reason=str(fault.reason),
        detail=fault.detail,
        origin=fault.origin,
        frames=fault.frames,
        capture_ns=fault.capture_ns,
    )


def pixel_digest(frame: Frame) -> str:
    """32 hex digits of SHA-256 over shape and pixels: equal pictures, equal digests.

    >>> import numpy as np
    >>> black = Frame(stream="yard", index=0, capture_ns=0, received_ns=0,
    ...               pixels=np.zeros((2, 3), np.uint8))
    >>> pixel_digest(black)[:8]
    '02fcf8a2'
    """
    digest = hashlib.sha256(repr(frame.pixels.shape).encode())
    digest.update(frame.pixels.data if frame.pixels.flags.c_contiguous else frame.pixels.tobytes())
    return digest.hexdigest()[:_DIGEST_HEX]


def _sign(signal: HealthSignal) -> HealthSign:
    note = MEASURES[signal.reason]
    return HealthSign(
        code=str(signal.reason),
        measure=note.measure,
        value=signal.value,
        threshold=signal.threshold,
        unit=note.unit,
    )


class FrameShell:
    """The frames of one run, on their way into the log.

    Args:
        plan: the checked pipeline.
        tapes: by camera, its packets, where they are to be kept.
        limits: bound of the pictures of alerts.
    """

    def __init__(
        self,
        plan: Plan,
        tapes: Mapping[str, PacketTape],
        *,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self._intakes = {n: FrameIntake(c.contract) for n, c in plan.cameras.items()}
        self._contracts = {n: c.contract for n, c in plan.cameras.items()}
        self.tallies: dict[str, FrameTally] = {n: FrameTally() for n in plan.cameras}
        self._has_views = any(camera.view for camera in plan.cameras.values())
        policy = plan.pipeline.images
        self._images = ImageLog(policy, PacketLog(policy, tapes), limits=limits)
        self._to_show: list[Frame] = []
        self._views: dict[str, CameraView] = {}
        self._has_decided = False
        self._has_raised = False

    @property
    def unkept_pictures(self) -> int:
        """Pictures of alerts that found no room in the log."""
        return self._images.refused

    def header(self, frame: Frame, *, accepted_ns: int = -1) -> FrameHeader:
        """The frame without its pixels, with all that was found on them: see `FrameIntake`."""
        header = self._intakes[frame.stream].header(frame, accepted_ns=accepted_ns)
        tally = self.tallies[frame.stream]
        tally.take(header, self._contracts[frame.stream], frame.channels)
        if self._has_views and header.is_usable:
            tally.look(frame.pixels)
        return header

    def fault(self, fault: FrameFault) -> FrameFaultNote:
        """A fault as the core reads it."""
        self.tallies[fault.stream].take_fault(fault)
        return fault_note(fault)

    def observe(self, header: FrameHeader, values: Mapping[str, object]) -> None:
        """An item has gone through its stages."""
        for value in values.values():
            if isinstance(value, CameraView):
                self._views[header.camera] = value

    def fed(self, frames: Sequence[Frame]) -> None:
        """Frames whose pictures may be kept with the next commit."""
        self._to_show += frames

    def pass_by(self, frame: Frame) -> None:
        """A frame that the log has already."""
        self._images.pass_by(frame)

    def committed(self, decisions: Sequence[Decision]) -> None:
        """A commit with these decisions is durable."""
        self._has_decided |= bool(decisions)
        self._has_raised |= any(d.transition is Transition.RAISED for d in decisions)

    @property
    def has_some(self) -> bool:
        """Whether pictures may be to be kept."""
        is_due = bool(self._to_show) or self._has_decided or self._images.has_packets
        if not (self._images.is_on and is_due):
            self._to_show, self._has_decided, self._has_raised = [], False, False
            return False
        return True

    def pictures(self) -> Iterator[tuple[EntryKind, str, bytes]]:
        """What is to be logged of the frames since the last call: (kind, camera, payload)."""
        frames, self._to_show = self._to_show, []
        for frame in frames:
            yield from self._kept(self._images.take(frame))
            if not self._images.is_of_alerts:
                yield from self._seen(frame.stream)
        if self._has_decided:
            yield from self._kept(self._images.decided())
        if self._has_raised:
            for camera, payload in self._images.raised():
                yield EntryKind.IMAGE, camera, payload
                yield from self._seen(camera)
        yield from self._images.packets()
        self._has_decided = self._has_raised = False

    def _seen(self, camera: str) -> Iterator[tuple[EntryKind, str, bytes]]:
        view = self._views.pop(camera, None)
        if view is not None:
            yield EntryKind.ANNOTATION, camera, annotation_message(view)

    @staticmethod
    def _kept(images: Iterable[tuple[str, bytes]]) -> Iterator[tuple[EntryKind, str, bytes]]:
        for camera, payload in images:
            yield EntryKind.IMAGE, camera, payload
