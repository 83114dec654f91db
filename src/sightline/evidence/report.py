"""Self-contained pages, of a run and of one decision: no scripts, nothing fetched."""

from __future__ import annotations

import base64
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2

from sightline.evidence.account import Facts, explaining_stage, picture_facts
from sightline.evidence.account_drawing import draw_rows_svg
from sightline.evidence.account_picture import draw_account, draw_moments, write_text
from sightline.evidence.account_text import account_lines, headline
from sightline.evidence.log_replay import ReplayDiffers
from sightline.evidence.pages import page, scrolled, svg_start, table
from sightline.evidence.part_account import SeenParts, draw_part
from sightline.evidence.parts_account import parts_sums, sum_rows
from sightline.evidence.run_account import RunAccount
from sightline.evidence.run_sections import NO_DATA, Section, run_sections
from sightline.evidence.said import SaidLog
from sightline.evidence.site_subjects import COMMAND_KIND
from sightline.evidence.words import figure, lasted, reason_words, time_labels, when
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.records import Decision
from sightline.records.command import CommandLevel
from sightline.records.decision import Mode, Severity, Transition, final_revisions
from sightline.records.shown_text import markup
from sightline.records.signals import NS_PER_S
from sightline.runtime import RunDirectory
from sightline.runtime.engine.loop import CAPTURE_TO_COMMAND

_MOST_SUBJECTS = 40
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
    listed = sorted(standing, key=lambda d: d.event_ns, reverse=True)[: limits.report_rows]
    # Where the data went, then what was decided and why; times and digests are for whoever asks.
    went, *numbers = (_section(section) for section in run_sections(found))
    parts = SeenParts(run, limits=limits)
    states = [decision for decision in standing if decision.subject not in parts]
    sections = [
        f"<h1>{markup(found.name)}</h1>",
        f'<p class="soft">{markup(found.description)} Pipeline {found.digest}, '
        f"{found.partitions} partitions, "
        f"{lasted(round(found.span_s * NS_PER_S))} of event time.</p>",
        _cards(found, standing, latency_s or {}),
        went,
        _refused(run),
        _parts(run, parts),
        "" if parts.notes and not states else _timeline(states, found.end_ns),
        "<h2>Decisions</h2>",
        _decisions(standing, listed),
        _accounts(run, everything, parts, standing=standing, listed=listed, limits=limits),
        *numbers,
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
            *([("stops", f"{stopped:,}")] if found.machines else []),
            ("frame to said p50 / p99", _pair(times.step_s)),
            ("over the budget", f"{late:,}" if times.step_s.get("count") else NO_DATA),
        ]
    else:
        if latency_s:
            cards += [
                ("latency p50 / p99", _pair(latency_s)),
                ("latency worst", _milliseconds(latency_s.get("worst"))),
            ]
        cards += [
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
    rows = [[markup(cell.strip()) for cell in row] for row in section.rows]
    found = table(section.heads, rows) if rows else ""
    notes = "".join(f'<p class="soft">{markup(note)}</p>' for note in section.notes)
    return f"<h2>{markup(section.title[:1].upper() + section.title[1:])}</h2>{found}{notes}"


def _refused(run: RunDirectory) -> str:
    """The first refused rows, as examples."""
    sample = run.quarantine().head(3).to_dicts()
    shown = "<br>".join(
        f"<code>{markup(r['_origin'])}:{r['_row']} {r['reason']} {markup(r['detail'])}</code>"
        for r in sample
    )
    return f"<p>{shown}</p>" if shown else ""


def _parts(run: RunDirectory, parts: SeenParts) -> str:
    if not parts.notes:
        return ""
    rows = tuple(sum_rows(parts_sums(parts.notes, run)))
    return _section(Section(title="parts", heads=(), rows=rows))


def _timeline(standing: Sequence[Decision], log_end_ns: int) -> str:
    """One lane per kind and subject, a bar from raised to cleared."""
    title = "<h2>When what was raised</h2>"
    if not standing:
        return f'{title}<p class="soft">Nothing was raised.</p>'
    lanes: dict[tuple[str, str], list[Decision]] = {}
    for decision in standing:
        lanes.setdefault((decision.kind, decision.subject), []).append(decision)
    start_ns = min(d.event_ns for d in standing)
    end_ns = max(start_ns + NS_PER_S, log_end_ns, *(d.event_ns for d in standing))
    shown = list(lanes.items())[:_MOST_SUBJECTS]
    height = 22 * len(shown) + 52

    def x(time_ns: int) -> float:
        return 260 + (time_ns - start_ns) / (end_ns - start_ns) * 660

    parts = [svg_start(940, height, title=f"What was raised when, of {len(shown)} subjects")]
    for lane, ((kind, subject), decisions) in enumerate(shown):
        top = 22 * lane + 6
        parts.append(
            f'<text x="0" y="{top + 11}" fill="var(--ink)">{markup(kind)} '
            f'<tspan fill="var(--soft)">{markup(subject)}</tspan></text>'
            f'<line x1="260" x2="920" y1="{top + 7}" y2="{top + 7}" stroke="var(--line)"/>'
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
    for step, (at, clock, day) in enumerate(time_labels(start_ns, end_ns)):
        parts += [
            f'<text x="{x(at):.1f}" y="{y}" text-anchor="{_ANCHOR[step]}" fill="var(--soft)">'
            f"{words}</text>"
            for y, words in ((height - 26, clock), (height - 10, day))
            if words
        ]
    more = len(lanes) - len(shown)
    note = f'<p class="soft">and {more} more</p>' if more > 0 else ""
    return title + scrolled("What was raised when", "".join(parts) + "</svg>") + note


def _accounts(
    run: RunDirectory,
    everything: SaidLog,
    parts: SeenParts,
    *,
    standing: Sequence[Decision],
    listed: Sequence[Decision],
    limits: Limits,
) -> str:
    """Why each listed alert was raised, in words; of the worst also the picture."""
    alerts = [d for d in listed if d.transition is Transition.RAISED]
    if not alerts:
        return ""
    pictures = _pictures(run, everything, parts, alerts, limits)
    ended = _ends(standing)
    blocks = []
    for alert in _worst_first(alerts):
        end = ended.get(alert.decision_id)
        over = "not over by the end of the log"
        if end is not None:
            over = f"over {when(end.event_ns)}, after {lasted(end.event_ns - alert.event_ns)}"
        lasts = "" if alert.subject in parts else f"; {over}"
        blocks.append(_account(run, alert, lasts, pictures.get(alert.decision_id, "")))
    return f"<h2>Why</h2>{''.join(blocks)}"


def _account(run: RunDirectory, alert: Decision, lasts: str, picture: str) -> str:
    reasons = []
    for reason in alert.reasons:
        stage = explaining_stage(run.plan, alert, reason)
        meaning = "" if stage is None else f": {stage.explain(reason).rstrip('.')}"
        reasons.append(f"<li>{markup(f'{reason_words(reason)}{meaning}')}</li>")
    mode = "" if alert.mode is Mode.PRIMARY else f", {alert.mode}"
    return (
        f'<section class="account" id="{_anchor(alert)}"><h3><span class="{alert.severity}">'
        f"{alert.severity}</span> {markup(alert.kind)} {markup(alert.subject)}</h3>"
        f"<p>{when(alert.event_ns)}{lasts}{mode}.</p><ul>{''.join(reasons)}</ul>{picture}"
        f'<p class="soft">More: <code>sightline explain {markup(run.path.name)} '
        f"{alert.decision_id[:12]}</code></p></section>"
    )


def _pictures(
    run: RunDirectory,
    everything: SaidLog,
    parts: SeenParts,
    alerts: Sequence[Decision],
    limits: Limits,
) -> dict[str, str]:
    """By id, pictures of the worst alerts: of rows their rows, of parts their own, of cameras the
    site.
    """
    on_rows = run.plan.deciding_steps()
    last = {one.said_id: one for one in everything.said}
    of_rows = [d for d in alerts if d.kind in on_rows and d.decision_id in last]
    of_parts = [d for d in alerts if d.subject in parts]
    of_cameras = [d for d in alerts if d.kind not in on_rows and d.subject not in parts]
    found = {}
    worst = [last[d.decision_id] for d in _worst_first(of_rows)[: limits.report_pictures]]
    for facts in picture_facts(run, worst, limits=limits):
        one = facts.decision
        found[one.decision_id] = scrolled(
            f"rows of {one.kind} {one.subject}, {when(one.event_ns)}", draw_rows_svg(facts)
        )
    for one in _worst_first(of_parts)[: limits.report_pictures]:
        about = parts.facts(one, again="heat")
        drawn_part = None if about is None else draw_part(about)
        if drawn_part is not None:
            data = cv2.imencode(".jpg", drawn_part)[1].tobytes()
            found[one.decision_id] = _image(f"pictures of {one.subject}", data)
    shown = _worst_first(of_cameras)[: limits.report_pictures] if run.plan.cameras else []
    try:
        drawn = draw_moments(run, [d.event_ns for d in shown], limits=limits)
    except ReplayDiffers:  # the report says so already, and pictures of it would mislead
        drawn = []
    for alert, picture in zip(shown, drawn, strict=False):
        if picture is not None:
            words = f"the site at {alert.kind} {alert.subject}, {when(alert.event_ns)}"
            found[alert.decision_id] = _image(words, picture)
    return found


def _image(words: str, jpeg: bytes) -> str:
    data = base64.b64encode(jpeg).decode()
    return f'<img alt="{markup(words)}" src="data:image/jpeg;base64,{data}">'


def _worst_first(alerts: Sequence[Decision]) -> list[Decision]:
    """By severity; of equal ones the first of each kind, then the second of each, by time."""
    ranks = {severity: rank for rank, severity in enumerate(reversed(Severity))}
    seen: Counter[str] = Counter()
    place = {}
    for alert in sorted(alerts, key=lambda d: ("/" not in d.subject, d.event_ns)):
        place[alert.decision_id] = seen[alert.kind]
        seen[alert.kind] += 1
    return sorted(
        alerts, key=lambda d: (ranks[d.severity], place[d.decision_id], d.event_ns, d.decision_id)
    )


def _ends(standing: Sequence[Decision]) -> dict[str, Decision]:
    """By id of what was raised, what ended it; a machine's level is ended by the next one."""
    found: dict[str, Decision] = {}
    opened: dict[tuple[str, str], Decision] = {}
    for decision in standing:
        is_level = decision.kind.startswith(COMMAND_KIND)
        key = (COMMAND_KIND if is_level else decision.kind, decision.subject)
        if key in opened and (is_level or decision.transition is Transition.CLEARED):
            found[opened.pop(key).decision_id] = decision
        if decision.transition is Transition.RAISED:
            opened[key] = decision
    return found


def _anchor(alert: Decision) -> str:
    return f"why-{alert.decision_id}"


def _decisions(standing: Sequence[Decision], listed: Sequence[Decision]) -> str:
    if not standing:
        return '<p class="soft">Nothing was decided.</p>'
    rows = []
    for d in listed:
        is_raised = d.transition is Transition.RAISED
        colour = str(d.severity) if is_raised else "soft"
        short = d.decision_id[:12]
        why = f'<a href="#{_anchor(d)}">why {short}</a>' if is_raised else f"<code>{short}</code>"
        rows.append(
            [
                when(d.event_ns),
                f'<span class="{colour}">{markup(d.kind)} {d.transition}</span>',
                markup(d.subject),
                markup(f"{d.reasons[0].code} {figure(d.reasons[0].value, d.reasons[0].unit)}"),
                str(d.mode),
                why,
            ]
        )
    heads = ["event time", "decision", "subject", "reason", "mode", "explanation"]
    is_cut = len(standing) > len(listed)
    more = f"<p>The newest {len(listed):,} of {len(standing):,}.</p>" if is_cut else ""
    return table(heads, rows) + more
