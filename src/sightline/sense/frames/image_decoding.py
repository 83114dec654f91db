"""Image files to pixels, with damage found that a decoder would paint over."""

from __future__ import annotations

import re
import struct

import cv2
import numpy as np

from sightline.records.frames import Image
from sightline.sense.frames.reasons import FrameReason
from sightline.sense.frames.video_parts import Damage

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp")

_PNG, _BMP, _JPEG = b"\x89PNG\r\n\x1a\n", b"BM", b"\xff\xd8"
_PNG_SIZE = struct.Struct(">II")  # IHDR is the first chunk; its data begins at byte 16
_BMP_SIZE = struct.Struct("<ii")  # BITMAPINFOHEADER; a negative height means top-down
_JPEG_LENGTH = struct.Struct(">H")
_JPEG_FRAME = struct.Struct(">xHH")  # precision, height, width (T.81, B.2.2)
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # past stuffed bytes and restarts
_FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SCAN, _END = 0xDA, 0xD9


def decode_image(data: bytes, *, max_frame_px: int) -> Image | Damage:
    """Pixels of a JPEG, PNG or BMP file.

    A JPEG must be whole: libjpeg paints the missing rest grey and calls that success. Flipped
    bits inside a JPEG's compressed data are mostly beyond finding.

    Args:
        data: the whole file.
        max_frame_px: largest picture that is decoded.

    Returns:
        uint8[height, width, 3] (blue, green, red), or uint8[height, width] for grey. Not turned,
        whatever its EXIF says: cameras are mounted, not held. Damage where it is damaged, of
        another format, or too large.
    """
    size = _size_px(data)
    if size is None:
        return Damage(
            frames=1, reason=FrameReason.UNREADABLE, detail="damaged, or no JPEG, PNG or BMP"
        )
    if not 0 < size[0] * size[1] <= max_frame_px:
        detail = f"{size[0]} x {size[1]} px, at most {max_frame_px} px in all"
        return Damage(frames=1, reason=FrameReason.TOO_LARGE, detail=detail)
    flags = cv2.IMREAD_ANYCOLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        pixels = None
    if pixels is None:
        return Damage(frames=1, reason=FrameReason.UNREADABLE, detail="damaged image data")
    return np.asarray(pixels, np.uint8)


def _size_px(data: bytes) -> tuple[int, int] | None:
    """(width, height) by the file's header; None where it is damaged."""
    try:
        if data.startswith(_PNG):
            width, height = _PNG_SIZE.unpack_from(data, 16)
            return width, height
        if data.startswith(_BMP):
            width, height = _BMP_SIZE.unpack_from(data, 18)
            return abs(width), abs(height)
        return _jpeg_size_px(data) if data.startswith(_JPEG) else None
    except (struct.error, IndexError):
        return None


def _jpeg_size_px(data: bytes) -> tuple[int, int] | None:
    """Walk the segments from the first to the end-of-image marker (ITU-T T.81, annex B)."""
    size: tuple[int, int] | None = None
    at = 2
    while True:
        if data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        if marker == _END:
            return size
        if marker in _FRAME_HEADERS:
            height, width = _JPEG_FRAME.unpack_from(data, at + 4)
            size = (width, height)
        at += 2 + _JPEG_LENGTH.unpack_from(data, at + 2)[0]
        if marker == _SCAN:
            following = _NEXT_MARKER.search(data, at)
            if following is None:
                return None
            at = following.start()
