"""A camera over a conveyor belt, and the encoder of its drive."""

import numpy as np
import polars as pl

from sightline.records import Frame
from sightline.records.signals import NS_PER_S

START_S = 1_700_000_000
RATE_HZ = 10
SPEED_PX_S = 40.0
WIDTH_PX, HEIGHT_PX = 320, 240


class ListedFrames:
    """Pictures at a fixed rate, received as they are taken.

    Args:
        stream: name of the camera.
        pictures: uint8[height, width, 3] each; None for one that is lost.
        rate_hz: pictures per second.
        start_s: when the first was taken, UTC s.
    """

    def __init__(self, stream, pictures, *, rate_hz, start_s):
        self.stream = stream
        self._pictures = pictures
        self._period_ns = round(NS_PER_S / rate_hz)
        self._start_ns = round(start_s * NS_PER_S)

    def __iter__(self):
        for index, pixels in enumerate(self._pictures):
            if pixels is not None:
                at_ns = self._start_ns + index * self._period_ns
                yield Frame(
                    stream=self.stream,
                    index=index,
                    capture_ns=at_ns,
                    received_ns=at_ns,
                    pixels=pixels,
                )


def belt_frames(*, jam_s=(6.0, 12.0), seconds=16.0, lost_s=None, seed=1):
    """A box that comes in at 2 s and rides on the belt, but for the time of the jam.

    Args:
        jam_s: from when to when it lies still, in s from the beginning.
        seconds: of the whole.
        lost_s: from when to when no picture comes; None: all do.
        seed: of the noise.
    """
    rng = np.random.default_rng(seed)
    ground = rng.integers(60, 90, (HEIGHT_PX, WIDTH_PX, 1)).repeat(3, axis=2).astype(np.uint8)
    pictures = []
    x = 20.0
    for index in range(round(seconds * RATE_HZ)):
        at_s = index / RATE_HZ
        if lost_s is not None and lost_s[0] <= at_s < lost_s[1]:
            pictures.append(None)
            continue
        noise = rng.integers(0, 3, ground.shape).astype(np.uint8)
        picture = ground + noise
        if at_s >= 2:
            if not jam_s[0] <= at_s < jam_s[1]:
                x += SPEED_PX_S / RATE_HZ
            left = round(x)
            if left < WIDTH_PX - 1:
                picture[100:160, left : left + 40] = (30, 200, 220)
        pictures.append(picture)
    return ListedFrames("over", pictures, rate_hz=RATE_HZ, start_s=START_S)


def drive_rows(*, stands_s=None, until_s=16.0, rate_hz=5):
    """The encoder's speed, five times a second.

    Args:
        stands_s: from when to when the belt stands, in s from the beginning; None: it runs.
        until_s: when the encoder falls silent.
        rate_hz: rows per second.
    """
    at_s = np.arange(0, until_s, 1 / rate_hz)
    speed = np.full(len(at_s), 0.4)
    if stands_s is not None:
        speed[(at_s >= stands_s[0]) & (at_s < stands_s[1])] = 0.0
    return pl.DataFrame(
        {"belt": ["belt-1"] * len(at_s), "time": at_s + START_S, "speed_m_s": speed}
    )
