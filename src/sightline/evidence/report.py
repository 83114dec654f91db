"""One self-contained page about a run: no scripts, nothing fetched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

from sightline.evidence.drawing import draw_svg
from sightline.evidence.rows_account import explain
from sightline.evidence.page_style import STYLE
from sightline.evidence.tables import quarantine_frame
from sightline.records import Decision
from sightline.records.decision import Transition, final_revisions
from sightline.records.signals import NS_PER_S
from sightline.runtime import RunDirectory

_MOST_ROWS = 200
_MOST_SUBJECTS = 40
_EXPLAINED = 3
_ANCHOR = ("start", "middle", "middle", "middle", "end")  # of the five time labels


def write_report(run: RunDirectory, report: Mapping[str, Any], out: Path) -> Path:
    """Write the page about a run.

    Args:
        run: the run.
        report: ``RunReport.as_mapping()``.
        out: the file to write.
    """
    standing = final_revisions(run.decisions())
    raised = [d for d in standing if d.transition is Transition.RAISED]
    accounts = report["accounts"]
    sections = [
        f"<h1>{escape(run.plan.pipeline.pipeline)}</h1>",
        f'<p class="soft">{escape(run.plan.pipeline.description)} Pipeline {run.plan.digest}, '
        f"{run.plan.pipeline.partitions} partitions.</p>",
        _cards(report, len(raised)),
        "<h2>Where every row went</h2>",
        f'<div class="equation">{escape(_equation(accounts))}</div>',
        _counts(run, accounts),
        "<h2>When what was raised</h2>",
        _timeline(standing),
        "<h2>Explained</h2>",
        *[draw_svg(explain(run, d.decision_id)) for d in _chosen(raised)],
        "<h2>Decisions</h2>",
        _decisions(standing),
        "<h2>Digests</h2>",
        f"<p><code>{report['digest']}</code><br><span class='soft'>over every revision; "
        f"equal for equivalent runs</span></p><p><code>{report['final_digest']}</code><br>"
        "<span class='soft'>over what stands at the end</span></p>",
    ]
    page = (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(run.plan.pipeline.pipeline)} run</title><style>{STYLE}</style>"
        f"<main>{''.join(sections)}</main></html>\n"
    )
    out.write_text(page, encoding="utf-8")
    return out


def _equation(accounts: Mapping[str, Any]) -> str:
    dropped, refused = sum(accounts["dropped"].values()), sum(accounts["quarantined"].values())
    sign = "=" if accounts["balanced"] else "≠"
    return (
        f"received {accounts['received']:,} {sign} decided {accounts['decided']:,} + superseded "
        f"{accounts['superseded']:,} + dropped {dropped:,} + quarantined {refused:,} + in flight "
        f"{accounts['in_flight']:,}"
    )


def _cards(report: Mapping[str, Any], raised: int) -> str:
    latency, step = report["latency_s"], report["step_s"]
    cards = [
        ("rows", f"{report['accounts']['received']:,}"),
        ("raised", f"{raised:,}"),
        ("latency p50 / p99", _pair(latency)),
        ("latency worst", _milliseconds(latency.get("worst"))),
        ("core step p50 / p99", _pair(step)),
        ("deadlines missed", f"{sum(report['deadline_missed'].values()):,}"),
    ]
    if "alerting" in report:
        fates, messages = report["alerting"]["fates"], report["alerting"]["messages"]
        hidden = fates.get("masked", 0) + fates.get("shelved", 0)
        cards += [
            ("messages told", f"{sum(messages.values()):,}"),
            ("alerts suppressed / hidden", f"{fates.get('suppressed', 0):,} / {hidden:,}"),
        ]
    inner = "".join(
        f'<div class="card"><span class="soft">{name}</span><b>{value}</b></div>'
        for name, value in cards
    )
    return f'<div class="cards">{inner}</div>'


def _pair(seconds: Mapping[str, float]) -> str:
    return f"{_milliseconds(seconds.get('p50'))} / {_milliseconds(seconds.get('p99'))}"


def _milliseconds(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds * 1000:,.0f} ms"


def _counts(run: RunDirectory, accounts: Mapping[str, Any]) -> str:
    rows = [("quarantined", k, v) for k, v in accounts["quarantined"].items() if v]
    rows += [("dropped", k, v) for k, v in accounts["dropped"].items() if v]
    if not rows:
        return '<p class="soft">Nothing was dropped, nothing was refused.</p>'
    sample = quarantine_frame(run).head(3)
    lines = "".join(
        f"<tr><td>{what}</td><td>{escape(cause)}</td><td class='n'>{count:,}</td></tr>"
        for what, cause, count in rows
    )
    shown = "".join(
        f"<br><code>{escape(r['_origin'])}:{r['_row']} {r['reason']} {escape(r['detail'])}</code>"
        for r in sample.to_dicts()
    )
    return f"<table><tr><th>fate</th><th>cause</th><th>rows</th></tr>{lines}</table><p>{shown}</p>"


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
            f'<text x="0" y="{top + 11}" fill="currentColor">{escape(kind)} '
            f'<tspan opacity="0.7">{escape(subject)}</tspan></text>'
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
            f'opacity="0.7">{_utc(at)[11:19]}</text>'
        )
    more = len(lanes) - len(shown)
    note = f'<p class="soft">and {more} more</p>' if more > 0 else ""
    return "".join(parts) + "</svg>" + note


def _chosen(raised: Sequence[Decision]) -> list[Decision]:
    """One decision of each of the first kinds, so that the pictures differ."""
    by_kind: dict[str, Decision] = {}
    for decision in raised:
        by_kind.setdefault(decision.kind, decision)
    with_field = sorted(by_kind.values(), key=lambda d: ("/" not in d.subject, d.event_ns))
    return with_field[:_EXPLAINED]


def _decisions(standing: Sequence[Decision]) -> str:
    newest = sorted(standing, key=lambda d: d.event_ns, reverse=True)[:_MOST_ROWS]
    lines = "".join(
        f"<tr><td>{_utc(d.event_ns)}</td><td class='{d.severity}'>{escape(d.kind)} {d.transition}"
        f"</td><td>{escape(d.subject)}</td><td>{escape(d.reasons[0].code)} "
        f"{d.reasons[0].value:.4g}</td><td>{d.mode}</td><td><code>{d.decision_id[:12]}</code></td></tr>"
        for d in newest
    )
    note = ""
    if len(standing) > len(newest):
        note = f'<p class="soft">the newest {len(newest)} of {len(standing)}</p>'
    return (
        '<div class="scroll"><table><tr><th>event time</th><th>decision</th><th>subject</th>'
        f"<th>reason</th><th>mode</th><th>id</th></tr>{lines}</table></div>{note}"
    )


def _utc(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns // NS_PER_S, UTC).strftime("%Y-%m-%d %H:%M:%S")
