"""What one frame source may use."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameBounds:
    """Bounds of frame sources, with units and what happens there.

    Attributes:
        max_frame_px: pixels of one picture. A larger one is refused TOO_LARGE, undecoded.
        max_image_bytes: size of one image file. A larger one is refused TOO_LARGE, unread.
        max_images: images in one directory. More is a SourceError before anything runs.
        max_times_bytes: size of a timestamps file. A larger one is a SourceError.
        recovery_frames: pictures refused REFERENCE_DAMAGED after a corrupt packet. Streams
            without key frames renew the whole picture within fewer.
        reorder_frames: packets a decoder may hold back (H.264 and H.265: 16).
        mailbox_frames: frames of a live camera that wait. At the bound the newest wins, the
            oldest is counted as superseded.
        tape_packets: compressed packets of a camera that wait to be logged. At the bound new ones
            are lost up to the next key packet, and counted.
        tape_bytes: the same in bytes.
        waiting_faults: faults of a live camera that wait to be taken; further ones are only
            counted.
        open_timeout_s: time for a live camera to answer.
        read_timeout_s: time between two packets of a live camera before it counts as gone.
        join_timeout_s: time a capture thread gets to end. One that hangs in a read is left behind
            as a daemon; it ends at the latest after ``read_timeout_s``.
    """

    max_frame_px: int = 1 << 26
    max_image_bytes: int = 64 << 20
    max_images: int = 1_000_000
    max_times_bytes: int = 64 << 20
    recovery_frames: int = 300
    reorder_frames: int = 16
    mailbox_frames: int = 1
    tape_packets: int = 4096
    tape_bytes: int = 64 << 20
    waiting_faults: int = 256
    open_timeout_s: float = 5.0
    read_timeout_s: float = 5.0
    join_timeout_s: float = 2.0


DEFAULT_BOUNDS = FrameBounds()
