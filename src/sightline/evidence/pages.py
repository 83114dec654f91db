"""What all pages about runs share: their frame, their look by day and by night, their tables.

Colours have a contrast of 4.5 to 1 or more against each ground they stand on (WCAG 2.2, 1.4.3).
On narrow screens a row of a table becomes a block with the heads beside its cells; drawings keep
a size that can be read, and are scrolled.
"""

from __future__ import annotations

from collections.abc import Sequence

from sightline.records.shown_text import markup

STYLE = """
:root { color-scheme: light dark; --ink: #1a202c; --soft: #566377; --line: #dde3ea; --card: #fff;
  --page: #f5f6f8; --critical: #b42323; --warning: #8a5a10; --info: #2563a8; --link: #1d5fb0;
  --good: #1f7a45 }
@media (prefers-color-scheme: dark) { :root { --ink: #e8eaf0; --soft: #a3afc0; --line: #2d3748;
  --card: #1b212c; --page: #12161d; --critical: #fc8f8f; --warning: #f6c560; --info: #8fbef0;
  --link: #8fbef0; --good: #7fd6a2 } }
* { box-sizing: border-box } body { margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif } main { max-width: 980px; margin: 0 auto;
  padding: 32px 20px } h1, h2, h3, td, th { overflow-wrap: anywhere }
h1 { font-size: 26px; line-height: 1.2; margin: 0 } h2 { font-size: 18px; margin: 32px 0 12px }
h3 { font-size: 15px; margin: 0 0 6px } a { color: var(--link) }
a:focus-visible, button:focus-visible, input:focus-visible, select:focus-visible,
summary:focus-visible, .scroll:focus-visible { outline: 3px solid var(--link); outline-offset: 2px }
.soft { color: var(--soft) } .cards { display: flex; flex-wrap: wrap; gap: 12px; margin-top: 20px }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: 12px 16px; flex: 1 1 150px } .card b { display: block; font-size: 20px }
table { border-collapse: collapse; width: 100%;
  background: var(--card); border: 1px solid var(--line); font-size: 13px }
caption { text-align: left; color: var(--soft); padding: 4px 0 }
th, td { text-align: left; padding: 6px 10px; border-bottom: 1px solid var(--line);
  vertical-align: top } th { font-weight: 600 }
.critical { color: var(--critical) } .warning { color: var(--warning) } .info { color: var(--info) }
.good { color: var(--good) } svg, img { max-width: 100%; height: auto; display: block }
code { font-size: 12px; overflow-wrap: anywhere } .scroll { overflow-x: auto; margin-bottom: 14px }
pre { margin: 0; font-size: 13px } .drawing svg { min-width: 800px } .account { border: 1px solid
  var(--line); border-radius: 10px; background: var(--card); padding: 12px 16px;
  margin-bottom: 12px } .account:target { outline: 3px solid var(--link) }
@media (max-width: 640px) { main { padding: 20px 12px }
  .rows, .rows tbody, .rows tr, .rows td, .rows th[scope=row] { display: block }
  .rows thead { position: absolute; width: 1px; height: 1px; overflow: hidden;
    clip-path: inset(50%) }
  .rows tr { border-bottom: 2px solid var(--line); padding: 6px 0 }
  .rows td, .rows th { border: 0; padding: 2px 10px } .rows td:empty { display: none }
  .rows [data-head]:not([data-head=""])::before { content: attr(data-head) ": ";
    color: var(--soft); font-weight: 400 } }
"""


def page(title: str, body: str, *, style: str = STYLE, nonce: str = "", script: str = "") -> str:
    """A whole page.

    Args:
        title: as plain text.
        body: what stands in its ``main``, as markup.
        style: of the page.
        nonce: that allows its style and script, for a page that comes with a policy.
        script: of the page; ``""`` for none.
    """
    mark = f' nonce="{nonce}"' if nonce else ""
    tail = f"<script{mark}>{script}</script>" if script else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="icon" href="data:,"><title>{markup(title)}</title>'
        f"<style{mark}>{style}</style></head>"
        f"<body><main>{body}</main>{tail}</body></html>\n"
    )


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], *, caption: str = "") -> str:
    """A table whose first column names its rows.

    Args:
        heads: of the columns, as plain text; empty for rows of a name and texts.
        rows: cells, as markup.
        caption: what it is a table of, as plain text.
    """
    head_row = "".join(f'<th scope="col">{markup(h)}</th>' if h else "<td></td>" for h in heads)
    lines = []
    for row in rows:
        names = [*heads, *[""] * (len(row) - len(heads))]
        cells = [
            f'<th scope="row" role="rowheader">{row[0]}</th>',
            *(
                f'<td role="cell" data-head="{markup(name)}">{cell}</td>'
                for name, cell in zip(names[1:], row[1:], strict=True)
            ),
        ]
        lines.append(f'<tr role="row">{"".join(cells)}</tr>')
    return (
        '<table class="rows" role="table">'
        + (f"<caption>{markup(caption)}</caption>" if caption else "")
        + (f"<thead><tr>{head_row}</tr></thead>" if heads else "")
        + f"<tbody>{''.join(lines)}</tbody></table>"
    )


def scrolled(name: str, drawing: str) -> str:
    """A wide drawing in a part of the page of its own, which can be scrolled, also by keys.

    Args:
        name: what it shows, as plain text.
        drawing: as markup.
    """
    return (
        f'<div class="scroll drawing" role="region" tabindex="0" aria-label="{markup(name)}">'
        f"{drawing}</div>"
    )


def svg_start(width: int, height: int, *, title: str) -> str:
    """The beginning of a drawing, with what it shows for who cannot see it.

    Args:
        width, height: of the drawing, in its own units.
        title: what it shows, as plain text.
    """
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'font-family="system-ui, sans-serif" font-size="12"><title>{markup(title)}</title>'
    )
