"""The account of a run as one self-contained page: no scripts, nothing fetched."""

from __future__ import annotations

from html import escape
from pathlib import Path

from sightline.errors import StorageError
from sightline.evidence.page_style import STYLE
from sightline.evidence.run_account import SiteAccount
from sightline.evidence.run_sections import (
    NO_DATA,
    Section,
    account_sections,
)
from sightline.records import Decision
from sightline.records.command import CommandLevel
from sightline.records.decision import Transition
from sightline.records.signals import NS_PER_S
from sightline.runtime import RunDirectory
from sightline.runtime.frames.site_loop import CAPTURE_TO_COMMAND

_MOST_ROWS = 200


def write_site_report(run: RunDirectory, found: SiteAccount, out: Path) -> Path:
    """Write the page about a run.

    Args:
        run: the run.
        found: what it came to.
        out: the file to write; an existing one is replaced.

    Raises:
        StorageError: the file cannot be written.
    """
    sections = [
        f"<h1>{escape(found.name)}</h1>",
        f'<p class="soft">{escape(found.description)} Pipeline {found.digest}, '
        f"{found.span_s:,.1f} s of event time.</p>",
        _cards(found),
        *(_section(section) for section in account_sections(found)),
        "<h2>Decisions</h2>",
        _decisions(run.decisions(), str(run.path)),
    ]
    page = (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(found.name)} run</title><style>{STYLE}</style>"
        f"<main>{''.join(sections)}</main></html>\n"
    )
    try:
        out.write_text(page, encoding="utf-8")
    except OSError as error:
        raise StorageError(
            expected="a file that can be written",
            got=error.strerror or type(error).__name__,
            where=str(out),
            action="check the folder and the free space",
        ) from error
    return out


def _cards(found: SiteAccount) -> str:
    times = found.times
    step = times.step_s
    late = times.missed.get(CAPTURE_TO_COMMAND, 0)
    stopped = sum(machine.changes[CommandLevel.STOP] for machine in found.machines)
    cards = [
        ("frames", f"{found.accounts.received:,}" if found.accounts.received else NO_DATA),
        ("stops", f"{stopped:,}" if found.machines else "no machine"),
        (
            "frame to said p50 / p99",
            f"{step['p50'] * 1e3:,.1f} / {step['p99'] * 1e3:,.1f} ms"
            if step.get("count")
            else NO_DATA,
        ),
        ("over the budget", f"{late:,}" if step.get("count") else NO_DATA),
        ("replay", found.replay.verdict),
    ]
    inner = "".join(
        f'<div class="card"><span class="soft">{name}</span><b>{escape(value)}</b></div>'
        for name, value in cards
    )
    return f'<div class="cards">{inner}</div>'


def _section(section: Section) -> str:
    heads = "".join(f"<th>{escape(head)}</th>" for head in section.heads)
    rows = "".join(
        "<tr>" + "".join(f"<td>{escape(cell.strip())}</td>" for cell in row) + "</tr>"
        for row in section.rows
    )
    table = f"<table>{f'<tr>{heads}</tr>' if heads else ''}{rows}</table>" if rows else ""
    notes = "".join(f'<p class="soft">{escape(note)}</p>' for note in section.notes)
    return f'<h2>{escape(section.title.capitalize())}</h2><div class="scroll">{table}</div>{notes}'


def _decisions(decisions: list[Decision], path: str) -> str:
    if not decisions:
        return '<p class="soft">Nothing was decided.</p>'
    start_ns = min(d.event_ns for d in decisions)
    newest = decisions[-_MOST_ROWS:]
    rows = "".join(
        f"<tr><td>{(d.event_ns - start_ns) / NS_PER_S:,.2f} s</td>"
        f"<td class='{d.severity if d.transition is Transition.RAISED else 'soft'}'>"
        f"{escape(d.kind)} {d.transition}</td><td>{escape(d.subject)}</td>"
        f"<td>{escape(d.reasons[0].code)} {d.reasons[0].value:.4g}</td><td>{d.mode}</td>"
        f"<td><code>{d.decision_id[:12]}</code></td></tr>"
        for d in newest
    )
    is_cut = len(decisions) > len(newest)
    more = f"The newest {len(newest):,} of {len(decisions):,}. " if is_cut else ""
    return (
        '<div class="scroll"><table><tr><th>after the first</th><th>decision</th><th>subject</th>'
        f"<th>reason</th><th>mode</th><th>id</th></tr>{rows}</table></div>"
        f'<p class="soft">{more}Why: <code>sightline explain {escape(path)} ID</code></p>'
    )
