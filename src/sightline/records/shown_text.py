r"""Data as text for people: what is not seen is written out, so that no data can forge a line.

Keys, units, reasons, names of files and errors come from whoever sends data. On a terminal an
escape sequence moves the cursor, a line break begins a line that looks like ours, and a mark of
direction shows text in another order; in a drawing a control character is no XML. Every door that
shows data (terminal, page, picture, table) writes such characters as ``\n`` or ``\u202e``.
"""

from __future__ import annotations

import re
from html import escape

_UNSEEN = re.compile(
    "["
    "\x00-\x1f\x7f-\x9f"  # control characters: escape, line breaks, tabs, their 8-bit forms
    "\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"  # no width, direction, lines
    "\ufff9-\ufffb\ud800-\udfff\ufffe\uffff"  # annotations, halves of a character, no character
    "\U000e0000-\U000e0fff"  # tags
    "]"
)


def one_line(text: object) -> str:
    r"""``text`` with every character that is not seen, line breaks included, written out.

    >>> print(one_line("a\nsat-1 \x1b[31mred \u202etfel"))
    a\nsat-1 \x1b[31mred \u202etfel
    """
    return _UNSEEN.sub(_written, str(text))


def seen(text: str) -> str:
    r"""The same with line breaks as they are, for text of several lines that we have laid out."""
    return "\n".join(map(one_line, text.split("\n")))


def markup(text: object) -> str:
    r"""One line as it can stand in HTML, SVG and other XML, in elements and attributes.

    >>> print(markup("<b>\x1b]]>"))
    &lt;b&gt;\x1b]]&gt;
    """
    return escape(one_line(text))


def in_json(text: str) -> str:
    r"""A JSON document in which what is not seen is written as ``\u202e``: it means the same."""
    return _UNSEEN.sub(_as_json, text)


def _written(found: re.Match[str]) -> str:
    return found.group().encode("unicode_escape").decode()


def _as_json(found: re.Match[str]) -> str:
    character = found.group()
    if character == "\n":  # between the values: within a text JSON has none
        return character
    pair = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{pair[i : i + 2].hex()}" for i in range(0, len(pair), 2))
