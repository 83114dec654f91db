"""The page of a gallery: counts by category and by series, and the pictures. Nothing is fetched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from benchmarks.galleries.judged_series import JudgedSeries
from benchmarks.galleries.wording import counts_text, median_delay_text
from sightline.evidence.pages import STYLE

MOST_ROWS = 2_000
"""Series in the table; the page says how many more there are."""
_MORE_STYLE = """
main { max-width: 1240px } figure { margin: 0 0 26px } figure img { width: 100%; height: auto;
  border-radius: 10px; border: 1px solid var(--line); background: #fff }
figcaption { color: var(--soft); font-size: 13px } a { color: var(--info) }
"""


def gallery_page(
    series: Sequence[JudgedSeries],
    *,
    pictures: Mapping[str, str],
    overview: str | None,
    title: str,
    notes: Sequence[str] = (),
) -> str:
    """The page as HTML.

    Args:
        series: in the order of the table.
        pictures: file names beside the page, by name of the series, in the order they are shown.
        overview: the file name of a picture of examples; None: there is none.
        title, notes: above all.
    """
    by_name = {one.name: one for one in series}
    sections = [
        f"<h1>{escape(title)}</h1>",
        *(f'<p class="soft">{escape(note)}</p>' for note in notes),
        _cards(series),
    ]
    if overview is not None:
        sections += [
            "<h2>Examples</h2>",
            f'<figure><img src="{escape(overview)}" alt="examples"></figure>',
        ]
    sections += ["<h2>By category</h2>", _categories(series)]
    sections += ["<h2>By series, worst first</h2>", _table(series, pictures)]
    if pictures:
        sections.append("<h2>Pictures</h2>")
    sections += [
        f'<figure id="{escape(file)}"><a href="{escape(file)}"><img src="{escape(file)}" '
        f'loading="lazy" alt="{escape(name)}"></a><figcaption>{escape(name)}: '
        f"{escape(counts_text(by_name[name]))}</figcaption></figure>"
        for name, file in pictures.items()
    ]
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}{_MORE_STYLE}</style>"
        f"<main>{''.join(sections)}</main></html>\n"
    )


def _cards(series: Sequence[JudgedSeries]) -> str:
    cards = (
        ("series", len(series)),
        ("labels", sum(len(one.labels) for one in series)),
        ("hits", sum(one.hits for one in series)),
        ("misses", sum(one.misses for one in series)),
        ("false alarms", sum(one.false_alarms for one in series)),
    )
    inner = "".join(
        f'<div class="card"><span class="soft">{name}</span><b>{count:,}</b></div>'
        for name, count in cards
    )
    return f'<div class="cards">{inner}</div>'


def _categories(series: Sequence[JudgedSeries]) -> str:
    groups: dict[str, list[JudgedSeries]] = {}
    for one in series:
        groups.setdefault(one.category, []).append(one)
    rows = "".join(
        f"<tr><td>{escape(name)}</td>{_number(len(group))}{_counts(group)}</tr>"
        for name, group in sorted(groups.items())
    )
    return (
        '<div class="scroll"><table><tr><th>category</th><th>series</th><th>labels</th>'
        "<th>hits</th><th>misses</th><th>false alarms</th><th>median delay</th></tr>"
        f"{rows}</table></div>"
    )


def _table(series: Sequence[JudgedSeries], pictures: Mapping[str, str]) -> str:
    rows = []
    for one in series[:MOST_ROWS]:
        file = pictures.get(one.name)
        link = "" if file is None else f'<a href="#{escape(file)}">picture</a>'
        rows.append(
            f"<tr><td>{escape(one.name)}</td><td>{escape(one.category)}</td>"
            f"{_counts([one])}<td>{link}</td></tr>"
        )
    more = len(series) - len(rows)
    note = f'<p class="soft">{more:,} more series are not listed.</p>' if more else ""
    return (
        '<div class="scroll"><table><tr><th>series</th><th>category</th><th>labels</th>'
        "<th>hits</th><th>misses</th><th>false alarms</th><th>median delay</th><th></th></tr>"
        f"{''.join(rows)}</table></div>{note}"
    )


def _counts(group: Sequence[JudgedSeries]) -> str:
    misses = sum(one.misses for one in group)
    false = sum(one.false_alarms for one in group)
    delay = median_delay_text(
        np.concatenate([one.delay_s for one in group]),
        np.concatenate([one.delay_rows for one in group]),
    )
    return (
        f"{_number(sum(len(one.labels) for one in group))}"
        f"{_number(sum(one.hits for one in group))}"
        f"{_number(misses, 'critical' if misses else '')}"
        f"{_number(false, 'warning' if false else '')}"
        f'<td class="n">{escape(delay)}</td>'
    )


def _number(count: int, style: str = "") -> str:
    return f'<td class="n {style}">{count:,}</td>'
