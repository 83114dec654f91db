"""Cameras as they come: a thread per camera, and of each the newest frame."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.records import Frame
from sightline.records.signals import NS_PER_S
from sightline.sense.frames import FrameFault, FrameReason, LiveCamera
from sightline.sense.frames.delivery import FrameItem, FrameSource
from sightline.sense.frames.live_camera import FrameMailbox


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How a recording is played as if it were a camera.

    Attributes:
        first_ns: capture time at which the clock stood when it began.
        speed: seconds of recording per second.
        sleep_s: waits; called on the threads of the cameras.
    """

    first_ns: int
    speed: float
    sleep_s: Callable[[float], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """What one look into the inbox has found.

    Attributes:
        items: at most one frame per camera, after its faults.
        superseded: by camera, frames that gave way to newer ones since the last look.
    """

    items: tuple[FrameItem, ...]
    superseded: Mapping[str, int]


class CameraInbox:
    """The only queue between cameras and engine: newest wins, the rest is counted.

    Args:
        sources: by camera.
        now_ns: the clock of the run; stamps recordings that are played.
        pace: of recordings; None: sources are live and stamp their frames themselves.
        limits: ``mailbox_frames``, ``waiting_faults``, ``reader_join_s``.
    """

    def __init__(
        self,
        sources: Mapping[str, FrameSource],
        *,
        now_ns: Callable[[], int],
        pace: Pace | None = None,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self._sources = dict(sources)
        self._now_ns = now_ns
        self._pace = pace
        self._limits = limits
        self._boxes = {
            name: FrameMailbox(frames=limits.mailbox_frames, faults=limits.waiting_faults)
            for name in sources
        }
        self._told = dict.fromkeys(sources, 0)
        self._arrived = threading.Event()
        self._is_stopping = False
        self._order = list(sources)
        self._threads = [
            threading.Thread(target=self._read, args=(name,), name=f"camera {name}", daemon=True)
            for name in sources
        ]

    def __enter__(self) -> Self:
        for source in self._sources.values():
            if isinstance(source, LiveCamera):
                source.start()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Let the cameras go; what waits can still be taken."""
        self._is_stopping = True
        for source in self._sources.values():
            if isinstance(source, LiveCamera):
                source.stop()
        for thread in self._threads:
            thread.join(self._limits.reader_join_s)

    def wait(self, timeout_s: float) -> None:
        """Until something has come, or the time is over."""
        self._arrived.wait(max(timeout_s, 0.0))

    def take(self) -> Arrival:
        """What waits now: of each camera its faults, and its newest frame.

        Raises:
            Exception: what ended a camera's thread, if it was no ordinary end.
        """
        self._arrived.clear()
        items: list[FrameItem] = []
        superseded: dict[str, int] = {}
        for name in self._order:
            box = self._boxes[name]
            # What counts as superseded goes before the frame that replaced it.
            while (item := box.take(0.0)) is not None:
                items.append(item)
                if isinstance(item, Frame):
                    break
            given_way = self._superseded(name) - self._told[name]
            if given_way:
                superseded[name] = given_way
                self._told[name] += given_way
        self._order = self._order[1:] + self._order[:1]
        return Arrival(items=tuple(items), superseded=superseded)

    @property
    def is_finished(self) -> bool:
        """Whether nothing waits and nothing more comes."""
        return all(box.is_finished for box in self._boxes.values())

    @property
    def waiting(self) -> int:
        """Frames that wait."""
        return sum(box.waiting for box in self._boxes.values())

    def missing(self, cameras: Sequence[str]) -> bool:
        """Whether one of ``cameras`` has no frame waiting and may still send one."""
        boxes = [self._boxes[name] for name in cameras]
        return any(not box.waiting and not box.is_finished for box in boxes)

    def _superseded(self, name: str) -> int:
        """Frames of a camera that gave way, here or in its own mailbox."""
        source = self._sources[name]
        before = source.status(self._now_ns()).superseded if isinstance(source, LiveCamera) else 0
        return self._boxes[name].superseded + before

    def _read(self, name: str) -> None:
        """Main of a camera's thread."""
        box = self._boxes[name]
        failure: BaseException | None = None
        try:
            for item in self._sources[name]:
                if self._is_stopping and not isinstance(self._sources[name], LiveCamera):
                    break  # the next picture of what knows no stop: it never came
                box.put(self._when_due(item))
                self._arrived.set()
        except Exception as error:  # noqa: BLE001 - raised again where frames are taken
            failure = error
        box.close(failure)
        self._arrived.set()

    def _when_due(self, item: FrameItem) -> FrameItem:
        if self._pace is None or not isinstance(item, Frame):
            return item
        wait_s = (item.capture_ns - self._now_ns()) / NS_PER_S / self._pace.speed
        if wait_s > 0:
            self._pace.sleep_s(wait_s)
        return replace(item, received_ns=max(self._now_ns(), item.capture_ns))


# --- what keeps a live camera from being reached --------------------------------------------------


class CameraTrouble:
    """Tells once why a camera cannot be reached, and once that it gives pictures again.

    That no pictures come is a decision (``camera_silent``); why, only the connection knows.

    Args:
        on_trouble: told in one sentence.

    >>> trouble = CameraTrouble(print)
    >>> fault = FrameFault(stream="east", origin="http://yard", index=0, frames=0,
    ...                    reason=FrameReason.NO_CONNECTION, detail="401 Unauthorized")
    >>> trouble.take([fault, fault])
    camera east: http://yard: 401 Unauthorized; it is tried again
    """

    def __init__(self, on_trouble: Callable[[str], None]) -> None:
        self._on_trouble = on_trouble
        self._told: dict[str, str] = {}

    def take(self, items: Sequence[FrameItem]) -> None:
        """What has come of live cameras."""
        for item in items:
            if not isinstance(item, FrameFault):
                if self._told.pop(item.stream, None) is not None:
                    self._on_trouble(f"camera {item.stream}: gives pictures again")
            elif (
                item.reason is FrameReason.NO_CONNECTION
                and self._told.get(item.stream) != item.detail
            ):
                self._told[item.stream] = item.detail
                self._on_trouble(
                    f"camera {item.stream}: {item.origin}: {item.detail}; it is tried again"
                )
