"""Videos through OpenCV, where PyAV is not installed: pictures and times, but no packets."""

from __future__ import annotations

from collections.abc import Generator

import cv2
import numpy as np

from sightline.limits import Limits
from sightline.records.signals import NS_PER_S
from sightline.sense.frames.reasons import FrameReason
from sightline.sense.frames.video_parts import Damage, Picture, VideoLocation, VideoPart

_NS_PER_MS = NS_PER_S // 1000
_CONSTANT_RATE = ".avi"  # has no presentation times, and OpenCV gives those of decoding


def read_with_opencv(location: VideoLocation, limits: Limits) -> Generator[VideoPart]:
    """Pictures of the first video stream, in presentation order.

    OpenCV skips packets it cannot decode without saying so, and shows what the decoder made up
    for damaged ones: such frames are not refused here, and a file that gives fewer frames than it
    announces is TRUNCATED, whatever the cause. Times are rounded to its microseconds.
    """
    reason = FrameReason.NO_CONNECTION if location.is_live else FrameReason.UNREADABLE
    lost = 0 if location.is_live else 1
    settings = []
    if location.is_live:
        settings = [
            *(cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, round(limits.open_timeout_s * 1000)),
            *(cv2.CAP_PROP_READ_TIMEOUT_MSEC, round(limits.read_timeout_s * 1000)),
        ]
    capture = cv2.VideoCapture(location.address, cv2.CAP_FFMPEG, settings)
    # PyAV does not turn pictures either: cameras are mounted, not held.
    capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)
    try:
        if not capture.isOpened():
            yield Damage(reason=reason, detail="OpenCV cannot open it", frames=lost)
            return
        width = int(capture.get(cv2.CAP_PROP_FRAME_WIDTH))
        height = int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
        if width * height > limits.max_frame_px:
            detail = f"{width} x {height} px"
            yield Damage(reason=FrameReason.TOO_LARGE, detail=detail, frames=1)
            return
        period_ns = location.period_ns
        if location.address.lower().endswith(_CONSTANT_RATE):
            period_ns = round(NS_PER_S / capture.get(cv2.CAP_PROP_FPS))
        count = 0
        while True:
            is_read, pixels = capture.read()
            if not is_read:
                break
            at_ns = round(capture.get(cv2.CAP_PROP_POS_MSEC) * _NS_PER_MS)
            if period_ns is not None:
                pts_ns: int | None = count * period_ns
            elif location.is_live or (at_ns <= 0 and count):
                pts_ns = None
            else:
                pts_ns = at_ns
            yield Picture(pixels=np.asarray(pixels, np.uint8), pts_ns=pts_ns)
            count += 1
        announced = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    finally:
        capture.release()
    if location.is_live:
        yield Damage(reason=reason, detail="the stream ended", frames=0)
    elif announced > count:
        detail = f"{count} of {announced} announced frames"
        yield Damage(reason=FrameReason.TRUNCATED, detail=detail, frames=1)
