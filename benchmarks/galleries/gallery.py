"""A folder of pictures of hits, misses and false alarms, and the page that leads to them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.galleries.judged_series import Finding, JudgedSeries
from benchmarks.galleries.page import gallery_page
from benchmarks.galleries.picture import draw_series, draw_strips, require_drawing
from sightline.errors import StorageError, UsageError

MAX_PICTURES = 500
INDEX, OVERVIEW = "index.html", "overview.png"
_OF_EACH = 2
_LONGEST_NAME = 100
_WORDS = {Finding.HIT: "hit", Finding.MISS: "miss", Finding.FALSE_ALARM: "false alarm"}


@dataclass(frozen=True, slots=True, kw_only=True)
class GallerySettings:
    """What to draw.

    Attributes:
        only: series with at least one of this finding; None: with a label or an event.
        limit: most pictures of single series, 0 to 500; the worst are drawn first.

    Raises:
        UsageError: a limit out of its range.
    """

    only: Finding | None = None
    limit: int = 60

    def __post_init__(self) -> None:
        if not 0 <= self.limit <= MAX_PICTURES:
            raise UsageError(
                expected=f"0 to {MAX_PICTURES} pictures",
                got=str(self.limit),
                where="gallery of detections",
                action="give a limit in this range",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Gallery:
    """What was written.

    Attributes:
        index: the page.
        pictures: file name by name of the series, worst first.
        left_out: series to draw that were beyond the limit.
        series, labels, hits, misses, false_alarms: counts over all series, drawn or not.
    """

    index: Path
    pictures: Mapping[str, str]
    left_out: int
    series: int
    labels: int
    hits: int
    misses: int
    false_alarms: int

    def as_mapping(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "index": str(self.index),
            "series": self.series,
            "labels": self.labels,
            "hits": self.hits,
            "misses": self.misses,
            "false_alarms": self.false_alarms,
            "pictures": len(self.pictures),
            "left_out": self.left_out,
        }


def write_gallery(
    folder: Path,
    series: Sequence[JudgedSeries],
    *,
    title: str,
    notes: Sequence[str] = (),
    settings: GallerySettings | None = None,
) -> Gallery:
    """Draw the series and write ``index.html`` beside the pictures.

    A picture's name is made of its series' name alone. Files of these names are replaced; others
    in the folder are left alone.

    Args:
        folder: made if it is not there.
        series: with names of their own.
        title: of the page.
        notes: under it: what the counts mean.
        settings: what to draw.

    Raises:
        UsageError: two series of one name; the extra ``report`` is not installed.
        StorageError: the folder or a file cannot be written.
    """
    settings = settings or GallerySettings()
    require_drawing()  # said before anything is written
    ordered = worst_first(series)
    names = file_names([one.name for one in ordered])
    wanted = [one for one in ordered if _is_wanted(one, settings.only)]
    drawn = wanted[: settings.limit]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from error
    for one in drawn:
        draw_series(folder / names[one.name], one, title=_heading(one))
    examples = overview_examples(wanted, settings.only)
    if examples:
        draw_strips(folder / OVERVIEW, examples, title=title)
    pictures = {one.name: names[one.name] for one in drawn}
    index = folder / INDEX
    page = gallery_page(
        ordered,
        pictures=pictures,
        overview=OVERVIEW if examples else None,
        title=title,
        notes=notes,
    )
    try:
        index.write_text(page, encoding="utf-8")
    except OSError as error:
        raise _unwritable(index, error) from error
    return Gallery(
        index=index,
        pictures=pictures,
        left_out=len(wanted) - len(drawn),
        series=len(ordered),
        labels=sum(len(one.labels) for one in ordered),
        hits=sum(one.hits for one in ordered),
        misses=sum(one.misses for one in ordered),
        false_alarms=sum(one.false_alarms for one in ordered),
    )


def worst_first(series: Sequence[JudgedSeries]) -> list[JudgedSeries]:
    """By misses and false alarms together, then misses, then the longest delay, then the name."""

    def key(one: JudgedSeries) -> tuple[int, int, float, str]:
        delays = one.delay_rows[np.isfinite(one.delay_rows)]
        longest = float(delays.max()) if len(delays) else -math.inf
        return -(one.misses + one.false_alarms), -one.misses, -longest, one.name

    return sorted(series, key=key)


def overview_examples(
    series: Sequence[JudgedSeries], only: Finding | None = None
) -> list[tuple[JudgedSeries, str]]:
    """Up to two series for each finding, of different categories where there are some.

    Series of more than one channel are too tall to share a picture. Taken are the first in order
    of their names with as little else in them as possible: a picture of one thing says more.
    """
    found: list[tuple[JudgedSeries, str]] = []
    taken: set[str] = set()
    for finding in Finding if only is None else (only,):
        having = [one for one in series if one.count(finding) and len(one.channels) == 1]
        having.sort(key=_to_see)
        categories: set[str] = set()
        chosen = 0
        for is_new in (True, False):
            for one in having:
                is_known = one.category in categories
                if chosen < _OF_EACH and one.name not in taken and not (is_new and is_known):
                    found.append((one, f"{_WORDS[finding]}: {one.name}"))
                    taken.add(one.name)
                    categories.add(one.category)
                    chosen += 1
    return found


def file_names(names: Sequence[str]) -> dict[str, str]:
    """A file name for each name, of letters, digits, dots, underscores and hyphens alone.

    Names that become alike get a number, in the order of the names.

    Raises:
        UsageError: two names are equal.

    >>> file_names(["real/a b.csv", "real/a?b.csv"])
    {'real/a b.csv': 'real_a_b.csv.png', 'real/a?b.csv': 'real_a_b.csv-2.png'}
    """
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UsageError(
            expected="a name of its own for each series",
            got=f"{twice!r} twice",
            where="gallery of detections",
            action="name the series apart",
        )
    found: dict[str, str] = {}
    taken = {INDEX, OVERVIEW}
    for name in sorted(names):
        stem = re.sub(r"[^A-Za-z0-9._-]+", "_", name)[:_LONGEST_NAME].lstrip(".") or "series"
        file, number = f"{stem}.png", 1
        while file.lower() in taken:  # some file systems tell no capitals apart
            number += 1
            file = f"{stem}-{number}.png"
        taken.add(file.lower())
        found[name] = file
    return {name: found[name] for name in names}


def _heading(one: JudgedSeries) -> str:
    return one.name if one.category in one.name else f"{one.name}   {one.category}"


def _to_see(one: JudgedSeries) -> tuple[int, str]:
    return sum(one.count(finding) for finding in Finding), one.name


def _is_wanted(one: JudgedSeries, only: Finding | None) -> bool:
    return bool(len(one.labels) or len(one.events)) if only is None else one.count(only) > 0


def _unwritable(path: Path, error: OSError) -> StorageError:
    return StorageError(
        expected="a folder that can be written",
        got=str(error),
        where=str(path),
        action="choose another place",
    )
