"""What keeps a live camera from being reached, told while the run goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sightline.sense.frames import FrameFault, FrameReason
from sightline.sense.frames.delivery import FrameItem


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
