"""The account of a run for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from sightline.evidence.site_account.account import SiteAccount
from sightline.evidence.site_account.account_sections import Section, account_sections

_NAME_WIDTH = 22


def account_lines(found: SiteAccount) -> list[str]:
    """The account as lines, without colour."""
    lines = [f"{found.name}  {found.digest}, {found.span_s:,.1f} s of event time"]
    if found.description:
        lines.append(found.description)
    for section in account_sections(found):
        lines += ["", section.title, *_lines(section)]
    return lines


def _lines(section: Section) -> Iterator[str]:
    if not section.heads:
        width = max([_NAME_WIDTH, *(len(row[0]) for row in section.rows)])
        for name, *texts in section.rows:
            yield f"  {name:{width}}  {'  '.join(texts)}".rstrip()
    elif section.rows:
        table = [section.heads, *section.rows]
        widths = [max(len(row[i]) for row in table) for i in range(len(section.heads))]
        for row in table:
            cells = [
                cell.rjust(width) if _is_number(i, section) else cell.ljust(width)
                for i, (cell, width) in enumerate(zip(row, widths, strict=True))
            ]
            yield f"  {'  '.join(cells)}".rstrip()
    for note in section.notes:
        yield f"  {note}"


def _is_number(column: int, section: Section) -> bool:
    """Whether a column is of numbers, which stand to the right."""
    cells = [row[column] for row in section.rows if row[column]]
    return column > 0 and bool(cells) and all(cell[0].isdigit() for cell in cells)
