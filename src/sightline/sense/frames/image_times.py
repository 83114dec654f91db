"""When the images of a directory were taken: by a rate, by their names, or by a list."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast, get_args

import numpy as np
import polars as pl

from sightline.errors import SourceError, UsageError
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.records.signals import NS_PER_S
from sightline.records.windows import IntArray
from sightline.sense.contract_form import utc_ns
from sightline.sense.contract_time import TimeFormat
from sightline.sense.frames.delivery import NO_TIME_NS
from sightline.sense.time_parsing import parse_times


class ImageTimes(Protocol):
    """Gives images their capture times."""

    def capture_ns(self, names: Sequence[str]) -> IntArray:
        """int64[n], UTC ns of the images ``names`` (in order); -1 where no time is known."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RateTimes:
    """Image n is taken at ``start_ns + n / rate_hz``, unreadable images counted.

    Attributes:
        start_ns: of the first image, UTC ns.
        rate_hz: images per second.

    >>> RateTimes(start_ns=5, rate_hz=4.0).capture_ns(["a.png", "b.png"]).tolist()
    [5, 250000005]
    """

    start_ns: int
    rate_hz: float

    def __post_init__(self) -> None:
        if self.start_ns < 0 or not 0 < self.rate_hz < np.inf:
            raise _unusable("start_ns >= 0 and a finite rate_hz > 0", f"{self.rate_hz} Hz")

    def capture_ns(self, names: Sequence[str]) -> IntArray:
        offset_ns = np.rint(np.arange(len(names)) * (NS_PER_S / self.rate_hz))
        return np.asarray(offset_ns, np.int64) + self.start_ns


@dataclass(frozen=True, slots=True, kw_only=True)
class NameTimes:
    """The time stands in the file name.

    Attributes:
        pattern: regular expression searched for in the name, with a group ``time``.
        time_format: as in a contract's event time, or a form of ``strptime`` (UTC without ``%z``).

    >>> times = NameTimes(pattern=r"_(?P<time>[0-9T]+)", time_format="%Y%m%dT%H%M%S")
    >>> times.capture_ns(["yard_19700101T000002.jpg", "yard.jpg"]).tolist()
    [2000000000, -1]
    """

    pattern: str
    time_format: TimeFormat | str

    def __post_init__(self) -> None:
        try:
            has_time = "time" in re.compile(self.pattern).groupindex
        except re.error as error:
            raise _unusable("a regular expression", str(error)) from error
        if not has_time:
            raise _unusable("a group (?P<time>…) in the pattern", repr(self.pattern))
        _check_format(self.time_format)

    def capture_ns(self, names: Sequence[str]) -> IntArray:
        found = [re.search(self.pattern, name) for name in names]
        return _parsed([None if f is None else f["time"] for f in found], self.time_format)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedTimes:
    """Times from a text file: lines ``name,time``, or one time a line in the order of the images.

    Blank lines and lines that begin with ``#`` say nothing.

    Attributes:
        path: the file, UTF-8.
        time_format: as in :class:`NameTimes`.
        limits: ``max_times_bytes``.
    """

    path: Path
    time_format: TimeFormat | str
    limits: Limits = DEFAULT_LIMITS

    def __post_init__(self) -> None:
        _check_format(self.time_format)

    def capture_ns(self, names: Sequence[str]) -> IntArray:
        """See :class:`ImageTimes`.

        Raises:
            SourceError: the file cannot be read, is too large, or mixes the two kinds of line.
        """
        pairs = self._pairs()
        named = [len(pair) == 2 for pair in pairs]
        if all(named):
            by_name = {pair[0].strip(): pair[1].strip() for pair in pairs}
            return _parsed([by_name.get(name) for name in names], self.time_format)
        if any(named):
            raise self._unreadable("`name,time` in every line or in none", "both")
        texts = [pair[0].strip() for pair in pairs[: len(names)]]
        return _parsed([*texts, *[None] * (len(names) - len(texts))], self.time_format)

    def _pairs(self) -> list[list[str]]:
        try:
            size = self.path.stat().st_size
            if size > self.limits.max_times_bytes:
                raise self._unreadable(f"at most {self.limits.max_times_bytes} bytes", f"{size}")
            lines = self.path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise self._unreadable("a readable UTF-8 file", type(error).__name__) from error
        told = (line for line in lines if line.strip() and not line.startswith("#"))
        return [line.rsplit(",", 1) for line in told]

    def _unreadable(self, expected: str, got: str) -> SourceError:
        return SourceError(
            expected=expected, got=got, where=str(self.path), action="mend the list of times"
        )


def _parsed(texts: Sequence[str | None], time_format: str) -> IntArray:
    if "%" in time_format:
        return np.array([_strptime_ns(text, time_format) for text in texts], np.int64)
    column = pl.Series(texts, dtype=pl.String)
    ns = parse_times(column, cast(TimeFormat, time_format)).ns
    return ns.fill_null(NO_TIME_NS).clip(lower_bound=NO_TIME_NS).to_numpy()


def _check_format(time_format: str) -> None:
    known = get_args(TimeFormat)
    if "%" not in time_format and time_format not in known:
        raise _unusable(f"{', '.join(known)} or a form with %", repr(time_format))


def _strptime_ns(text: str | None, form: str) -> int:
    if text is None:
        return NO_TIME_NS
    try:
        at = dt.datetime.strptime(text, form)
    except ValueError:
        return NO_TIME_NS
    at = at.replace(tzinfo=dt.UTC) if at.tzinfo is None else at
    return max(utc_ns(at.isoformat()), NO_TIME_NS)


def _unusable(expected: str, got: str) -> UsageError:
    return UsageError(expected=expected, got=got, where="image times", action="mend it")
