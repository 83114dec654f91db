"""Ultrasonic B-scans with the sizes of their flaws, as I. Virkkunen et al. publish them (ML-NDT).

``NAME.bins`` holds scans one after the other, ``NAME.meta`` their form (``UInt16, 256 x 256 x 10``:
rows, columns, scans), ``NAME.labels`` a line for each: 1 or 0 for a flaw, and its equivalent size.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sightline.errors import SourceError
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.records.windows import FloatArray

SUFFIX = ".bins"
MOST_SCAN_BYTES = 2 << 30
"""One file of scans. A larger one is refused unread."""
_FORM = re.compile(r"UInt16,\s*(\d{1,6})\s*x\s*(\d{1,6})\s*x\s*(\d{1,9})\s*")


@dataclass(frozen=True, slots=True, kw_only=True)
class BScans:
    """Scans and what is in them.

    Attributes:
        amplitude: uint16[n, rows, columns]; rows are depth, columns the place of the probe.
        size: float64[n], of the flaw in the unit of the file; 0 without one.
    """

    amplitude: npt.NDArray[np.uint16]
    size: FloatArray


def read_b_scans(path: Path, *, limits: Limits = DEFAULT_LIMITS) -> BScans:
    """Read ``NAME.bins`` and the two files beside it.

    Raises:
        SourceError: one is missing or too large, the form is another, there are more or fewer
            bytes than it says, or a label is none.
    """
    form = _FORM.fullmatch(_text(path.with_suffix(".meta"), limits))
    if form is None:
        raise _unusable("UInt16, rows x columns x scans", "another form", path.with_suffix(".meta"))
    rows, columns, count = (int(group) for group in form.groups())
    wanted = 2 * rows * columns * count
    try:
        size_bytes = path.stat().st_size
        if size_bytes != wanted or not 0 < wanted <= MOST_SCAN_BYTES:
            expected = f"{wanted} bytes, as the form says, up to {MOST_SCAN_BYTES}"
            raise _unusable(expected, f"{size_bytes}", path)
        amplitude = np.frombuffer(path.read_bytes(), "<u2").reshape(count, rows, columns)
    except OSError as error:
        raise _unusable("a file of scans", str(error.strerror), path) from error
    labels = path.with_suffix(".labels")
    lines = [line.split() for line in _text(labels, limits).splitlines() if line.strip()]
    if len(lines) != count:
        raise _unusable(f"{count} labels, one for each scan", f"{len(lines)}", labels)
    sizes = np.zeros(count)
    for number, words in enumerate(lines, start=1):
        try:
            has_flaw, size = (float(word) for word in words)
        except ValueError as error:
            raise _unusable("1 or 0, and a size", " ".join(words)[:80], labels, number) from error
        if has_flaw not in (0.0, 1.0) or not 0 <= size < np.inf or (size > 0) != (has_flaw > 0):
            raise _unusable("1 and a size, or 0 and 0", " ".join(words)[:80], labels, number)
        sizes[number - 1] = size
    return BScans(amplitude=amplitude, size=sizes)


def _text(path: Path, limits: Limits) -> str:
    try:
        if path.stat().st_size > limits.max_control_file_bytes:
            raise _unusable(f"at most {limits.max_control_file_bytes} bytes", "more", path)
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _unusable("a text file beside the scans", str(error), path) from error


def _unusable(expected: str, got: str, path: Path, line: int | None = None) -> SourceError:
    return SourceError(
        expected=expected,
        got=got,
        where=str(path) if line is None else f"{path}, line {line}",
        action="give NAME.bins with its NAME.meta and NAME.labels",
    )
