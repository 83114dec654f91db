"""What is known of each 8 x 8 px of a picture: features of a backbone, or handcrafted ones."""

from __future__ import annotations

import copy
import functools
import math
from typing import Protocol

import cv2
import numpy as np

from sightline.errors import UsageError
from sightline.perceive.detect.onnx_session import OnnxSession
from sightline.perceive.inspection.floats import Floats
from sightline.records.frames import Image

CELL_PX = 8
"""Side of a cell, in pixels of the scaled picture."""
ODDS_PX = 4
"""Stride of the log-odds that a segmentation network gives."""
MOST_SUSPICIOUS = 3
"""Log-odds of a network whose mean says whether a part is bad: of 48 px, a pinhole."""
PAD_PX = 16
"""Mirrored border that a picture is given: a network pads with zeros, which is no surface."""
_PROBE_PX = 128
_MOST_STRIDE_PX = 16


class Cells(Protocol):
    """Makes cells of pictures."""

    name: str
    channels: int

    def look(self, picture: Image) -> tuple[Floats, Floats | None]:
        """Cells, and of a segmentation network the log-odds of a defect, float32[h / 4, w / 4]."""
        ...

    def __call__(self, picture: Image) -> Floats:
        """float32[rows, columns, channels], rows and columns by :func:`grid_of`."""
        ...


def grid_of(height_px: int, width_px: int, *, scale: float) -> tuple[int, int]:
    """Rows and columns of the cells of a picture.

    >>> grid_of(250, 300, scale=1.0)
    (32, 38)
    """
    height, width = round(height_px * scale), round(width_px * scale)
    return math.ceil(height / CELL_PX), math.ceil(width / CELL_PX)


class BackboneCells:
    """The feature maps of an ONNX model, brought to one grid.

    Maps of a smaller stride give their mean and their greatest value over a cell (a pinhole fills
    little of it), those of a larger one are interpolated; strides above 16 px are left out, because
    they do not say where something is.

    Args:
        graph: ONNX model with one picture input and feature maps [b, channels, h, w] out.
        where: its name in errors.
        scale: pictures are enlarged by this factor first; small defects then fill more cells.
        has_odds: it is a segmentation network, whose last output is log-odds of a defect, of one
            decoder or more: their mean is what it says.

    Raises:
        UsageError: it is no model, or gives no maps of a stride up to 16 px.
    """

    def __init__(
        self, graph: bytes, *, where: str, scale: float = 1.0, has_odds: bool = False
    ) -> None:
        self.name = "network" if has_odds else "backbone"
        self._has_odds = has_odds
        self._decoder: int | None = None
        self.scale = scale
        self._session = OnnxSession(graph, where=where, threads=1)
        maps = self.maps(np.zeros((_PROBE_PX, _PROBE_PX, 3), np.uint8))
        features = maps[:-1] if has_odds else maps
        if has_odds and maps[-1].shape[2] * ODDS_PX != _PROBE_PX:
            raise UsageError(
                expected=f"log-odds of a stride of {ODDS_PX} px",
                got=f"an output of shape {list(maps[-1].shape)} for {_PROBE_PX} px",
                where=where,
                action="train the model again",
            )
        strides = [_PROBE_PX / m.shape[2] if m.ndim == 4 else math.inf for m in features]
        self._used = [i for i, s in enumerate(strides) if s <= _MOST_STRIDE_PX and s == int(s)]
        if not self._used:
            raise UsageError(
                expected=f"feature maps [b, c, h, w] of a stride up to {_MOST_STRIDE_PX} px",
                got=f"outputs of shape {[list(m.shape) for m in maps]}",
                where=where,
                action="export the model so that its inner feature maps are outputs",
            )
        self.channels = sum(maps[i].shape[1] * (1 + (strides[i] < CELL_PX)) for i in self._used)

    def of_decoder(self, number: int) -> BackboneCells:
        """The same with the log-odds of one decoder alone."""
        other = copy.copy(self)
        other._decoder = number
        return other

    def maps(self, picture: Image) -> list[Floats]:
        """All outputs [1, c, h / stride, w / stride] for a picture as it is."""
        return self._session.run(self._fed(picture))

    def __call__(self, picture: Image) -> Floats:
        """float32[rows, columns, channels]."""
        return self.look(picture)[0]

    def look(self, picture: Image) -> tuple[Floats, Floats | None]:
        """Cells, and log-odds of a segmentation network."""
        rows, columns = grid_of(*picture.shape[:2], scale=self.scale)
        padded = self.padded(picture)
        maps = self.maps(padded)
        begin = PAD_PX // CELL_PX
        whole = (padded.shape[0] // CELL_PX, padded.shape[1] // CELL_PX)
        parts = [_on_grid(maps[i][0], whole) for i in self._used]
        inner = (slice(begin, begin + rows), slice(begin, begin + columns))
        cells = np.concatenate([part[inner] for part in parts], axis=2)
        if not self._has_odds:
            return cells, None
        first = PAD_PX // ODDS_PX
        height, width = (-(-round(n * self.scale) // ODDS_PX) for n in picture.shape[:2])
        odds = maps[-1][0] if self._decoder is None else maps[-1][0, [self._decoder]]
        inner = (slice(first, first + height), slice(first, first + width))
        return cells, np.asarray(odds.mean(axis=0)[inner])

    def padded(self, picture: Image) -> Image:
        """The scaled picture with a mirrored border, its sides multiples of 16 px."""
        if self.scale != 1.0:
            size = (round(picture.shape[1] * self.scale), round(picture.shape[0] * self.scale))
            picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR))
        below = -(-picture.shape[0] // 16) * 16 - picture.shape[0] + PAD_PX
        right = -(-picture.shape[1] // 16) * 16 - picture.shape[1] + PAD_PX
        padded = cv2.copyMakeBorder(picture, PAD_PX, below, PAD_PX, right, cv2.BORDER_REFLECT_101)
        return np.asarray(padded, np.uint8)

    def _fed(self, picture: Image) -> Image:
        if picture.ndim == 2:
            fed = np.repeat(picture[None, None], 3, axis=1)
        else:
            fed = np.ascontiguousarray(picture[:, :, ::-1].transpose(2, 0, 1))[None]
        if self._session.input.dtype is not np.uint8:
            return (fed / np.float32(255)).astype(np.float32)
        return fed


def _on_grid(features: Floats, whole: tuple[int, int]) -> Floats:
    """Of a map [c, h, w]: mean and greatest [rows, columns, 2 c], as it is, or interpolated."""
    rows, columns = whole
    by = features.shape[1] // rows
    if by > 1:
        cut = features[:, : rows * by, : columns * by]
        each = [cut[:, y::by, x::by] for y in range(by) for x in range(by)]
        mean = sum(each[1:], start=each[0]) / np.float32(len(each))
        both = np.concatenate([mean, functools.reduce(np.maximum, each)])
        return np.ascontiguousarray(both.transpose(1, 2, 0))
    last = np.ascontiguousarray(features.transpose(1, 2, 0), np.float32)
    if last.shape[:2] == whole:
        return last
    resized = cv2.resize(last, (columns, rows), interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized, np.float32).reshape(rows, columns, -1)


class HandcraftedCells:
    """Brightness, edges and spots at three widths: mean and greatest of each cell.

    No learnt features, so no weights and no licence; it tells textures apart far worse. It is for
    machines that have no backbone, and for tests.
    """

    scale = 1.0

    def __init__(self) -> None:
        self.name = "handcrafted"
        self.channels = 14

    def look(self, picture: Image) -> tuple[Floats, Floats | None]:
        """Cells, and no log-odds."""
        return self(picture), None

    def __call__(self, picture: Image) -> Floats:
        """float32[rows, columns, 14]."""
        grey = picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
        rows, columns = grid_of(*grey.shape[:2], scale=1.0)
        below, right = rows * CELL_PX - grey.shape[0], columns * CELL_PX - grey.shape[1]
        plain = cv2.copyMakeBorder(grey, 0, below, 0, right, cv2.BORDER_REFLECT_101)
        wide = np.asarray(plain, np.float32)
        smooth = [np.asarray(cv2.GaussianBlur(wide, (0, 0), s), np.float32) for s in (1, 2, 4, 8)]
        maps = [
            smooth[3],
            np.abs(np.asarray(cv2.Sobel(smooth[0], cv2.CV_32F, 1, 0))),
            np.abs(np.asarray(cv2.Sobel(smooth[0], cv2.CV_32F, 0, 1))),
            np.abs(wide - smooth[0]),
            *(np.abs(smooth[i] - smooth[i + 1]) for i in range(3)),
        ]
        stack = np.stack(maps).reshape(len(maps), rows, CELL_PX, columns, CELL_PX)
        both = np.concatenate([stack.mean(axis=(2, 4)), stack.max(axis=(2, 4))])
        return np.ascontiguousarray(both.transpose(1, 2, 0), np.float32)
