"""The mailbox between a capture thread and whoever looks at the frames: the newest wins."""

from __future__ import annotations

import threading
from collections import deque

from sightline.records.frames import Frame
from sightline.sense.frames.delivery import FrameFault, FrameItem


class FrameMailbox:
    """At most ``frames`` frames and ``faults`` faults that wait, in order of arrival.

    A frame that finds no room takes the place of the oldest one, which is counted as superseded.
    A fault that finds no room is counted as untold; its frames are counted by the camera anyway.

    >>> import numpy as np
    >>> mailbox = FrameMailbox(frames=1, faults=1)
    >>> for n in range(3):
    ...     mailbox.put(Frame(stream="yard", index=n, capture_ns=n, received_ns=n,
    ...                       pixels=np.zeros((1, 1), np.uint8)))
    >>> mailbox.take(0.0).index, mailbox.superseded, mailbox.take(0.0)
    (2, 2, None)
    """

    def __init__(self, *, frames: int, faults: int) -> None:
        self._max_frames = frames
        self._max_faults = faults
        self._changed = threading.Condition()
        self._items: deque[FrameItem] = deque()
        self._frames = self._faults = 0
        self._superseded = self._untold = self._taken = 0
        self._is_closed = False
        self._failure: BaseException | None = None

    def put(self, item: FrameItem) -> None:
        """Add a frame or a fault; never waits."""
        with self._changed:
            if isinstance(item, FrameFault):
                if self._faults >= self._max_faults:
                    self._untold += 1
                    return
                self._faults += 1
            elif self._frames >= self._max_frames:
                self._items.remove(next(i for i in self._items if isinstance(i, Frame)))
                self._superseded += 1
            else:
                self._frames += 1
            self._items.append(item)
            self._changed.notify_all()

    def take(self, timeout_s: float) -> FrameItem | None:
        """The oldest that waits; None where nothing came in time or nothing comes any more.

        Raises:
            BaseException: what ended the capture thread, when everything before it was taken.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._is_closed, timeout_s)
            if not self._items:
                if self._failure is not None:
                    raise self._failure
                return None
            item = self._items.popleft()
            if isinstance(item, Frame):
                self._frames -= 1
                self._taken += 1
            else:
                self._faults -= 1
            return item

    def close(self, failure: BaseException | None = None) -> None:
        """Nothing more comes; ``failure`` says why if it was no ordinary end."""
        with self._changed:
            self._is_closed = True
            self._failure = failure
            self._changed.notify_all()

    @property
    def is_finished(self) -> bool:
        """Whether nothing waits and nothing more comes."""
        with self._changed:
            return self._is_closed and not self._items and self._failure is None

    @property
    def superseded(self) -> int:
        """Frames that gave way to newer ones."""
        return self._superseded

    @property
    def untold(self) -> int:
        """Faults that found no room."""
        return self._untold

    @property
    def taken(self) -> int:
        """Frames handed out."""
        return self._taken

    @property
    def waiting(self) -> int:
        """Frames that wait."""
        return self._frames
