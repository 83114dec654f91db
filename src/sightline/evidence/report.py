"""Self-contained pages, of a run and of one decision: no scripts, nothing fetched."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from sightline.evidence.account import Facts, explain_said
from sightline.evidence.account_drawing import draw_rows_svg
from sightline.evidence.account_picture import draw_account, write_text
from sightline.evidence.account_text import account_lines, headline
from sightline.evidence.pages import page, scrolled
from sightline.evidence.run_account import RunAccount
from sightline.evidence.run_sections import NO_DATA, Section, run_sections
from sightline.evidence.said import SaidLog, first_frame_ns
from sightline.evidence.words import moment
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.records import Decision
from sightline.records.command import CommandLevel
from sightline.records.decision import Transition, final_revisions
from sightline.records.shown_text import markup
from sightline.records.signals import NS_PER_S
from sightline.runtime import RunDirectory
from sightline.runtime.engine.loop import CAPTURE_TO_COMMAND

_MOST_ROWS = 200
_MOST_SUBJECTS = 40
_EXPLAINED = 3
_ANCHOR = ("start", "middle", "middle", "middle", "end")  # of the five time labels


def write_report(
    run: RunDirectory,
    found: RunAccount,
    out: Path,
    *,
    latency_s: Mapping[str, float] | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Path:
    """Write the page about a run, of rows, of cameras, or of both.

    Args:
        run: the run.
        found: what it came to.
        out: the file to write; an existing one is replaced.
        latency_s: p50, p99 and worst from receipt to ledger, which the log does not have.
        limits: bounds for reading the log.

    Raises:
        StorageError: the file cannot be written.
        LogError: the log is damaged.
    """
    everything = SaidLog.of(run, limits=limits)
    decisions = run.decisions(limits=limits)
    standing = final_revisions(decisions)
    sections = [
        f"<h1>{markup(found.name)}</h1>",
        f'<p class="soft">{markup(found.description)} Pipeline {found.digest}, '
        f"{found.partitions} partitions, {found.span_s:,.1f} s of event time.</p>",
        _cards(found, standing, latency_s or {}),
        *(_section(section) for section in run_sections(found)),
        _refused(run),
        "<h2>When what was raised</h2>",
        _timeline(standing),
        *_explained(run, everything, standing, limits),
        "<h2>Decisions</h2>",
        _decisions(run, standing, limits),
    ]
    write_text(out, page(f"{found.name} run", "".join(sections)))
    return out


def write_account_page(
    run: RunDirectory, facts: Facts, out: Path, *, limits: Limits = DEFAULT_LIMITS
) -> Path:
    """Write the page about one decision: its picture, if there is one, and the text.

    Raises:
        UsageError, LogError, StorageError: as :func:`.draw_account`.
    """
    write_text(out, page(headline(facts), account_sections(run, facts, limits=limits)))
    return out


def account_sections(run: RunDirectory, facts: Facts, *, limits: Limits = DEFAULT_LIMITS) -> str:
    """The account of one decision as markup: its picture, and the text.

    Raises:
        UsageError, LogError, StorageError: as :func:`.draw_account`.
    """
    drawn = ""
    if facts.rows is not None or facts.cameras is not None:
        with tempfile.TemporaryDirectory() as folder:
            picture = Path(folder) / "account.svg"
            draw_account(run, facts, picture, limits=limits)
            drawn = scrolled("picture of the decision", picture.read_text(encoding="utf-8"))
    text = chr(10).join(map(markup, account_lines(facts)))
    return (
        f"<h1>{markup(headline(facts))}</h1>{drawn}"
        f'<div class="scroll" role="region" tabindex="0" aria-label="account in words">'
        f"<pre>{text}</pre></div>"
    )


def _cards(found: RunAccount, standing: Sequence[Decision], latency_s: Mapping[str, float]) -> str:
    times = found.times
    count = f"{found.accounts.received:,}" if found.accounts.received else NO_DATA
    raised = sum(d.transition is Transition.RAISED for d in standing)
    cards = [("frames and rows" if found.cameras else "rows", count), ("raised", f"{raised:,}")]
    if found.cameras:
        stopped = sum(machine.changes[CommandLevel.STOP] for machine in found.machines)
        late = times.missed.get(CAPTURE_TO_COMMAND, 0)
        cards += [
            ("stops", f"{stopped:,}" if found.machines else "no machine"),
            ("frame to said p50 / p99", _pair(times.step_s)),
            ("over the budget", f"{late:,}" if times.step_s.get("count") else NO_DATA),
        ]
    else:
        cards += [
            ("latency p50 / p99", _pair(latency_s)),
            ("latency worst", _milliseconds(latency_s.get("worst"))),
            ("core step p50 / p99", _pair(times.step_s)),
            ("deadlines missed", f"{sum(times.missed.values()):,}"),
        ]
    if found.alerting is not None:
        fates, messages = found.alerting["fates"], found.alerting["messages"]
        hidden = fates.get("masked", 0) + fates.get("shelved", 0)
        cards += [
            ("messages told", f"{sum(messages.values()):,}"),
            ("alerts suppressed / hidden", f"{fates.get('suppressed', 0):,} / {hidden:,}"),
        ]
    if found.replay is not None:
        cards.append(("replay", found.replay.verdict))
    inner = "".join(
        f'<div class="card"><span class="soft">{name}</span><b>{markup(value)}</b></div>'
        for name, value in cards
    )
    return f'<div class="cards">{inner}</div>'


def _pair(seconds: Mapping[str, float]) -> str:
    return f"{_milliseconds(seconds.get('p50'))} / {_milliseconds(seconds.get('p99'))}"


def _milliseconds(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds * 1000:,.1f} ms"


def _section(section: Section) -> str:
    heads = "".join(f"<th>{markup(head)}</th>" for head in section.heads)
    rows = "".join(
        "<tr>" + "".join(f"<td>{markup(cell.strip())}</td>" for cell in row) + "</tr>"
        for row in section.rows
    )
    table = f"<table>{f'<tr>{heads}</tr>' if heads else ''}{rows}</table>" if rows else ""
    notes = "".join(f'<p class="soft">{markup(note)}</p>' for note in section.notes)
    return f'<h2>{markup(section.title.capitalize())}</h2><div class="scroll">{table}</div>{notes}'


def _refused(run: RunDirectory) -> str:
    """The first refused rows, as examples."""
    sample = run.quarantine().head(3).to_dicts()
    shown = "<br>".join(
        f"<code>{markup(r['_origin'])}:{r['_row']} {r['reason']} {markup(r['detail'])}</code>"
        for r in sample
    )
    return f"<p>{shown}</p>" if shown else ""


def _timeline(standing: Sequence[Decision]) -> str:
    """One lane per kind and subject, a bar from raised to cleared."""
    if not standing:
        return '<p class="soft">Nothing was raised.</p>'
    lanes: dict[tuple[str, str], list[Decision]] = {}
    for decision in standing:
        lanes.setdefault((decision.kind, decision.subject), []).append(decision)
    start_ns = min(d.event_ns for d in standing)
    end_ns = max(start_ns + NS_PER_S, *(d.event_ns for d in standing))
    shown = list(lanes.items())[:_MOST_SUBJECTS]
    height = 22 * len(shown) + 40

    def x(time_ns: int) -> float:
        return 260 + (time_ns - start_ns) / (end_ns - start_ns) * 660

    parts = [f'<svg viewBox="0 0 940 {height}" font-family="system-ui, sans-serif" font-size="12">']
    for lane, ((kind, subject), decisions) in enumerate(shown):
        top = 22 * lane + 6
        parts.append(
            f'<text x="0" y="{top + 11}" fill="currentColor">{markup(kind)} '
            f'<tspan opacity="0.7">{markup(subject)}</tspan></text>'
            f'<line x1="260" x2="920" y1="{top + 7}" y2="{top + 7}" stroke="currentColor" '
            'opacity="0.12"/>'
        )
        opened: Decision | None = None
        for change in [*decisions, None]:
            is_raised = change is not None and change.transition is Transition.RAISED
            if opened is not None and not is_raised:
                until = end_ns if change is None else change.event_ns
                width = max(x(until) - x(opened.event_ns), 3)
                parts.append(
                    f'<rect x="{x(opened.event_ns):.1f}" y="{top}" width="{width:.1f}" height="14" '
                    f'rx="3" fill="var(--{opened.severity})"/>'
                )
                opened = None
            if is_raised:
                opened = change
    for step in range(5):
        at = start_ns + (end_ns - start_ns) * step // 4
        parts.append(
            f'<text x="{x(at):.1f}" y="{height - 10}" text-anchor="{_ANCHOR[step]}" '
            'fill="currentColor" '
            f'opacity="0.7">{moment(at // NS_PER_S * NS_PER_S)[11:19]}</text>'
        )
    more = len(lanes) - len(shown)
    note = f'<p class="soft">and {more} more</p>' if more > 0 else ""
    return "".join(parts) + "</svg>" + note


def _explained(
    run: RunDirectory, everything: SaidLog, standing: Sequence[Decision], limits: Limits
) -> list[str]:
    """Pictures of some decisions on rows, one of each of the first kinds."""
    on_rows = run.plan.deciding_steps()
    by_kind: dict[str, Decision] = {}
    for decision in standing:
        if decision.transition is Transition.RAISED and decision.kind in on_rows:
            by_kind.setdefault(decision.kind, decision)
    chosen = sorted(by_kind.values(), key=lambda d: ("/" not in d.subject, d.event_ns))
    last = {one.said_id: one for one in everything.said}
    pictures = [
        draw_rows_svg(explain_said(run, everything, last[d.decision_id], limits=limits))
        for d in chosen
        if d.decision_id in last
    ][:_EXPLAINED]
    return ["<h2>Explained</h2>", *pictures] if pictures else []


def _decisions(run: RunDirectory, standing: Sequence[Decision], limits: Limits) -> str:
    if not standing:
        return '<p class="soft">Nothing was decided.</p>'
    start_ns = first_frame_ns(run, limits=limits)
    newest = sorted(standing, key=lambda d: d.event_ns, reverse=True)[:_MOST_ROWS]
    rows = "".join(
        f"<tr><td>{_time(d.event_ns, start_ns)}</td>"
        f"<td class='{d.severity if d.transition is Transition.RAISED else 'soft'}'>"
        f"{markup(d.kind)} {d.transition}</td><td>{markup(d.subject)}</td>"
        f"<td>{markup(d.reasons[0].code)} {d.reasons[0].value:.4g}</td><td>{d.mode}</td>"
        f"<td><code>{d.decision_id[:12]}</code></td></tr>"
        for d in newest
    )
    is_cut = len(standing) > len(newest)
    more = f"The newest {len(newest):,} of {len(standing):,}. " if is_cut else ""
    return (
        '<div class="scroll"><table><tr><th>event time</th><th>decision</th><th>subject</th>'
        f"<th>reason</th><th>mode</th><th>id</th></tr>{rows}</table></div>"
        f'<p class="soft">{more}Why: <code>sightline explain {markup(str(run.path))} ID</code></p>'
    )


def _time(time_ns: int, start_ns: int | None) -> str:
    """When; of recordings that begin in 1970 the seconds into them."""
    if start_ns is None:
        return moment(time_ns)
    return f"{(time_ns - start_ns) / NS_PER_S:,.2f} s"
