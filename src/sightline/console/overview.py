"""The page of a run as markup: a function of what was read from its log.

Everything that comes from the run goes through :func:`.markup`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from sightline.console.following import CameraSeen, FollowedRun
from sightline.evidence.account import explaining_stage
from sightline.evidence.pages import STYLE, table
from sightline.evidence.site_subjects import COMMAND_KIND
from sightline.evidence.words import counts_words, figure, lasted, moment, when
from sightline.records import Decision
from sightline.records.decision import Mode, Reason, Severity, Transition
from sightline.records.shown_text import markup
from sightline.records.signals import NS_PER_S

CONSOLE_STYLE = (
    STYLE
    + """
main { max-width: 1180px } header { display: flex; flex-wrap: wrap; gap: 8px 20px;
  align-items: baseline; justify-content: space-between } nav { margin: 8px 0 }
form { display: inline } button { font: inherit; font-size: 13px; color: var(--ink); background:
  var(--page); border: 1px solid var(--soft); border-radius: 6px; padding: 4px 10px;
  cursor: pointer; min-height: 28px } label { display: block; margin-top: 8px }
  input, select { font: inherit;
  color: var(--ink); background: var(--card); border: 1px solid var(--soft); border-radius: 6px;
  padding: 4px 8px; width: 100%; max-width: 320px; display: block }
fieldset { border: 1px solid var(--line); border-radius: 10px; background: var(--card);
  padding: 12px 16px; margin: 0 } .forms { display: grid; gap: 12px;
  grid-template-columns: repeat(auto-fit, minmax(260px, 1fr)) } .forms button { margin-top: 12px }
.cameras { display: grid; gap: 12px;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 420px), 1fr)) }
.cameras .card img { width: 100%; border-radius: 6px; margin: 6px 0 }
form.who { display: flex; flex-wrap: wrap; gap: 4px 12px; align-items: center; margin: 8px 0 }
form.who label { margin: 0 } form.who input { width: auto }
.whole, .rows td button { white-space: nowrap } header p, nav { margin: 0 } p { margin: 8px 0 }
main { padding-top: 20px } .mark { font-weight: 700; text-transform: uppercase; font-size: 12px }
.trouble { border-left: 4px solid var(--critical); background: var(--card); padding: 8px 12px;
  margin: 12px 0 }
"""
)

_MOST_STANDING = 200
_DESK_STATES = {
    "unacknowledged": "active, not acknowledged",
    "acknowledged": "active, acknowledged",
    "returned_unacknowledged": "over, not acknowledged",
    "latched_unacknowledged": "over and latched, not acknowledged",
    "latched_acknowledged": "over and latched, acknowledged",
    "shelved": "shelved",
    "suppressed_by_design": "masked, suppressed by design",
    "out_of_service": "masked, out of service",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingAlarm:
    """What an operator has to look at.

    Attributes:
        subject, code, stage, severity: of the alarm.
        state: in words; ``""`` without a desk.
        since_ns: when it was raised, UTC ns.
        is_active: whether its condition still holds.
        count: alerts since then.
        decision: the newest that raised it; None where it is not kept any more.
        decision_id: its id.
        answered_by: who acknowledged it; ``""`` before that, or where nobody was named.
        can_acknowledge, can_reset: whether these would do something.
    """

    subject: str
    code: str
    stage: str
    severity: str
    state: str = ""
    since_ns: int
    is_active: bool = True
    count: int = 1
    decision: Decision | None
    decision_id: str
    answered_by: str = ""
    can_acknowledge: bool = False
    can_reset: bool = False


def standing_alarms(followed: FollowedRun, desk: Mapping[str, Any] | None) -> list[StandingAlarm]:
    """The worst first, of equal ones the newest; those of the desk where there is one."""
    if desk is None:
        found = [
            StandingAlarm(
                subject=d.subject,
                code=d.reasons[0].code,
                stage=d.kind,
                severity=str(d.severity),
                since_ns=d.event_ns,
                decision=d,
                decision_id=d.decision_id,
            )
            for d in followed.standing()
        ]
    else:
        found = [_of_desk(followed, row) for row in desk["standing"]]
    order = list(reversed(Severity))
    found.sort(key=lambda a: (not a.is_active, order.index(Severity(a.severity)), -a.since_ns))
    return found


def _of_desk(followed: FollowedRun, row: Mapping[str, Any]) -> StandingAlarm:
    decision_id = str(row["alert_id"]).partition(":")[0]
    state = str(row["state"])
    return StandingAlarm(
        subject=row["subject"],
        code=row["code"],
        stage=row["kind"],
        severity=row["severity"],
        state=_DESK_STATES.get(state, state.replace("_", " ")),
        since_ns=row["since_ns"],
        is_active=row["is_active"],
        count=row["count"],
        decision=followed.decision(row["kind"], row["subject"], decision_id),
        decision_id=decision_id,
        answered_by=row["answered_by"],
        can_acknowledge=state.endswith("unacknowledged"),
        can_reset=state == "latched_acknowledged",
    )


def live_part(
    followed: FollowedRun,
    *,
    desk: Mapping[str, Any] | None,
    inputs: Sequence[tuple[str, str]],
    takes_inputs: bool,
    pictures: Mapping[str, str],
    form_key: str,
    trouble: str,
) -> str:
    """What changes while the run goes on.

    Args:
        followed: the run as far as it was read.
        desk: account of its desk; None without one.
        inputs: operator inputs that wait or were not taken: (state, words).
        takes_inputs: whether the run takes any.
        pictures: by camera, what its newest picture is known by.
        form_key: that forms are sent with.
        trouble: why the log could not be read on; ``""`` if it could.
    """
    alarms = standing_alarms(followed, desk)
    answers = desk is not None and takes_inputs
    return "".join(
        [
            _trouble(trouble),
            _state(followed),
            _alarms(followed, alarms, form_key=form_key if answers else ""),
            _no_answers(has_desk=desk is not None, takes_inputs=takes_inputs),
            _hidden(desk, form_key=form_key if answers else ""),
            _inputs(inputs),
            _machines(followed),
            _cameras(followed, pictures),
            _sources(followed),
            _places(followed),
            _newest(followed),
        ]
    )


def trouble_box(text: str) -> str:
    """What went wrong, where it is read first."""
    return f'<p class="trouble" role="alert">{markup(text)}</p>'


def _trouble(text: str) -> str:
    return trouble_box(text) if text else ""


def _state(followed: FollowedRun) -> str:
    parts = []
    if not followed.is_read:
        parts.append(f"reading the log: {followed.entries:,} entries so far")
    elif followed.is_finished:
        parts.append("the run has finished")
    else:
        parts.append(f"the log goes on; its newest entry is of {moment(followed.stamp_ns)}")
    parts.append(f"event time {_when(followed.now_ns)}")
    parts.append(f"{followed.decisions:,} decisions")
    if followed.forgotten:
        parts.append(f"{followed.forgotten:,} subjects found no room here")
    return f'<p class="soft" id="state">{markup("; ".join(parts))}.</p>'


def _alarms(followed: FollowedRun, alarms: Sequence[StandingAlarm], *, form_key: str) -> str:
    title = f'<h2 id="alarms">Standing alarms: {len(alarms):,}</h2>'
    if not alarms:
        return f"{title}<p>Nothing stands.</p>"
    rows = [_alarm_row(followed, alarm, n, form_key) for n, alarm in enumerate(alarms)]
    more = len(rows) - _MOST_STANDING
    note = f'<p class="soft">and {more:,} more: sightline alerts</p>' if more > 0 else ""
    heads = ["alarm", "what was found", "since", "for", "state", "answer"]
    return title + table(heads, rows[:_MOST_STANDING]) + note


def _alarm_row(
    followed: FollowedRun, alarm: StandingAlarm, number: int, form_key: str
) -> list[str]:
    decision = alarm.decision
    why = f'<a href="{why_address(alarm.decision_id)}">why {markup(alarm.code)}</a>'
    found = markup(alarm.code)
    if decision is not None:
        found = reason_markup(followed, decision, decision.reasons[0])
    count = f", {alarm.count:,} alerts" if alarm.count > 1 else ""
    until_ns: int | None = followed.now_ns
    if not alarm.is_active:
        until_ns = followed.ended_ns(alarm.stage, alarm.subject, since_ns=alarm.since_ns)
    held = "over" if until_ns is None else lasted(max(until_ns - alarm.since_ns, 0))
    state = alarm.state or ("stands" if alarm.is_active else "over")
    by = f" by {alarm.answered_by}" if alarm.answered_by else ""
    return [
        f'<span class="mark {alarm.severity}">{markup(alarm.severity)}</span><br>'
        f"{markup(alarm.subject)}",
        found,
        markup(_when(alarm.since_ns)),
        markup(held),
        markup(state + by + count),
        f"{why}<br>{_answers(alarm, number, form_key)}",
    ]


def _answers(alarm: StandingAlarm, number: int, form_key: str) -> str:
    if not form_key:
        return ""
    about = {"subject": alarm.subject, "code": alarm.code}
    parts = []
    if alarm.can_acknowledge:
        parts.append(_button("acknowledge", "Acknowledge", about, f"ack-{number}", form_key))
    if alarm.can_reset:
        parts.append(_button("reset", "Reset", about, f"reset-{number}", form_key))
    parts.append(
        f'<a class="whole" href="{why_address(alarm.decision_id)}#answer">shelve or mask</a>'
    )
    return "<br>".join(parts)


def _button(
    control: str, words: str, fields: Mapping[str, str], element_id: str, form_key: str
) -> str:
    about = fields["subject"]
    return (
        f'<form method="post" action="/input">{hidden_fields(control, fields, form_key)}'
        f'<button id="{element_id}" aria-label="{markup(f"{words} {about}")}">{words}</button>'
        "</form>"
    )


def hidden_fields(control: str, fields: Mapping[str, str], form_key: str) -> str:
    """What a form sends besides what a person writes."""
    given = {"control": control, **fields, "form_key": form_key}
    return "".join(
        f'<input type="hidden" name="{name}" value="{markup(value)}">'
        for name, value in given.items()
    )


def reason_markup(followed: FollowedRun, decision: Decision, reason: Reason) -> str:
    """Code, value, threshold and what it means."""
    value = f"<b>{markup(figure(reason.value, reason.unit))}</b>"
    limit = figure(reason.threshold, reason.unit)
    against = "" if limit == "-" else f", threshold {markup(limit)}"
    stage = explaining_stage(followed.run.plan, decision, reason)
    meaning = "" if stage is None else stage.explain(reason).rstrip(".")
    mode = "" if decision.mode is Mode.PRIMARY else f" ({decision.mode})"
    return (
        f"{markup(reason.code)}: {markup(reason.measure)} {value}{against}{mode}"
        + (f'<br><span class="soft">{markup(meaning)}</span>' if meaning else "")
    )  # fmt: skip


def why_address(said_id: str) -> str:
    """Where a decision is explained."""
    return f"/why/{quote(said_id, safe='')}"


def _no_answers(*, has_desk: bool, takes_inputs: bool) -> str:
    if has_desk and takes_inputs:
        return ""
    why = (
        "This run takes no operator inputs any more: it has ended, or reads files."
        if has_desk
        else "This run has no alert desk, so nothing can be acknowledged or hidden: the pipeline "
        "has no section `alerting`."
    )
    return f'<p class="soft">{markup(why)}</p>'


def _hidden(desk: Mapping[str, Any] | None, *, form_key: str) -> str:
    if desk is None or not desk["hidden"]:
        return ""
    rows = []
    for number, row in enumerate(desk["hidden"][:_MOST_STANDING]):
        ends = "unshelve" if row["state"] == "shelved" else "put_back"
        fields = {"subject": row["subject"], "stage": row["kind"]}
        end = _button(ends, "End it", fields, f"end-{number}", form_key) if form_key else ""
        stage = "all stages" if row["kind"] == "*" else row["kind"]
        rows.append(
            [
                markup(row["subject"]),
                markup(f"{_DESK_STATES.get(row['state'], row['state'])}, {stage}"),
                markup(f"{moment(row['from_ns'])} to {moment(row['until_ns'])}"),
                markup(row["reason"] or "no reason given")
                + (f"<br>by {markup(row['operator'])}" if row["operator"] else ""),
                end,
            ]
        )
    return '<h2 id="hidden">Masks and shelves</h2>' + table(
        ["subject", "what", "when", "why", "answer"], rows
    )


def _inputs(inputs: Sequence[tuple[str, str]]) -> str:
    if not inputs:
        return ""
    rows = [[markup(words), markup(state)] for state, words in inputs]
    return '<h2 id="inputs">Operator inputs</h2>' + table(["input", "state"], rows)


def _machines(followed: FollowedRun) -> str:
    names = list(followed.site.machines)
    if not names:
        return ""
    levels = followed.levels()
    rows = []
    for name in names:
        decision = levels.get(name)
        if decision is None:
            rows.append([markup(name), "no level was decided yet", "", ""])
            continue
        level = decision.kind.removeprefix(COMMAND_KIND).upper()
        rows.append(
            [
                markup(name),
                f"<b>{markup(level)}</b>",
                reason_markup(followed, decision, decision.reasons[0]),
                f'<a href="{why_address(decision.decision_id)}">why {markup(level)}</a>',
            ]
        )
    return '<h2 id="machines">Machines</h2>' + table(["machine", "level", "reason", ""], rows)


def _cameras(followed: FollowedRun, pictures: Mapping[str, str]) -> str:
    if not followed.cameras:
        return ""
    cards = "".join(
        f'<div class="card"><h3>{markup(name)}</h3>'
        f'<a href="/camera/{quote(name, safe="")}"><img alt="{markup(_alt(name, seen))}" '
        f'src="/camera/{quote(name, safe="")}?at={quote(pictures.get(name, ""), safe="")}"></a>'
        f"{_camera_health(followed, seen)}</div>"
        for name, seen in followed.cameras.items()
    )
    return f'<h2 id="cameras">Cameras</h2><div class="cameras">{cards}</div>'


def _alt(name: str, seen: CameraSeen) -> str:
    if seen.newest is None:
        return f"Camera {name}: no frame yet"
    return f"Camera {name}, newest picture in the log, with zones and the detector's boxes"


def _camera_health(followed: FollowedRun, seen: CameraSeen) -> str:
    newest = seen.newest
    lines = [f"{seen.frames:,} frames"]
    if newest is not None:
        age_s = max(followed.stamp_ns - newest.received_ns, 0) / NS_PER_S
        if not followed.is_finished:
            lines.append(f"newest received {lasted(round(age_s * NS_PER_S))} before the last entry")
        lines += [f"sign {sign.code} {figure(sign.value, sign.unit)}" for sign in newest.signs]
    asked = sum(seen.outcomes.values())
    if asked:
        lines.append(f"detector: {counts_words(seen.outcomes.most_common())}")
        lines.append(f"answered by the fallback: {seen.by_fallback / asked:.1%}")
    for what, counts in (
        ("refused", seen.refused),
        ("lost", seen.lost),
        ("never looked at", seen.gone),
    ):
        if counts:
            lines.append(f"{what}: {counts_words(counts.most_common())}")
    return "".join(f"<div>{markup(line)}</div>" for line in lines)


def _sources(followed: FollowedRun) -> str:
    if not followed.sources:
        return ""
    rows = []
    for name, seen in followed.sources.items():
        last = "nothing yet" if seen.received_ns < 0 else moment(seen.received_ns)
        before = max(followed.stamp_ns - seen.received_ns, 0)
        ago = "" if seen.received_ns < 0 else f"{lasted(before)} before the newest entry"
        refused = counts_words(seen.quarantined.most_common()) or "none"
        example = f'<br><code>{markup(seen.example)}</code>' if seen.example else ""  # fmt: skip
        rows.append(
            [
                markup(name),
                f"{seen.batches:,}",
                f'{markup(last)}<br><span class="soft">{markup(ago)}</span>',
                f"{markup(refused)}{example}",
            ]
        )
    heads = ["source", "batches received", "last one", "rows refused"]
    return '<h2 id="sources">Sources of rows</h2>' + table(heads, rows)


def _places(followed: FollowedRun) -> str:
    accounts = followed.accounts
    one = "row and frame" if followed.cameras and followed.sources else "row"
    one = "frame" if followed.cameras and not followed.sources else one
    rows = [
        ["received", f"{accounts.received:,}", ""],
        ["decided", f"{accounts.decided:,}", ""],
        ["superseded", f"{accounts.superseded:,}", ""],
        ["dropped", *_sum_of(accounts.dropped)],
        ["quarantined", *_sum_of(accounts.quarantined)],
        ["in flight", f"{accounts.in_flight:,}", ""],
    ]
    return (
        f'<h2 id="places">Where every {one} went</h2><p>{markup(accounts.equation())}</p>'
        + table(["place", "count", "of these"], rows)
    )


def _sum_of(counts: Mapping[str, int]) -> list[str]:
    named = counts_words(((name, n) for name, n in counts.items() if n), most=12)
    return [f"{sum(counts.values()):,}", markup(named)]


def _newest(followed: FollowedRun) -> str:
    if not followed.said:
        return '<h2 id="decisions">Newest decisions</h2><p>Nothing was decided.</p>'
    rows = []
    for decision in reversed(followed.said):
        raised = decision.transition is Transition.RAISED
        colour = str(decision.severity) if raised else "soft"
        revision = f", revision {decision.revision} {decision.status}" if decision.revision else ""
        reason = decision.reasons[0]
        rows.append(
            [
                markup(_when(decision.event_ns)),
                f'<span class="{colour}">{markup(decision.kind)} {decision.transition}</span>'
                f"{markup(revision)}",
                markup(decision.subject),
                markup(f"{reason.code} {figure(reason.value, reason.unit)}"),
                f'<a href="{why_address(decision.decision_id)}">why '
                f"{markup(decision.decision_id[:8])}</a>",
            ]
        )
    heads = ["event time", "decision", "subject", "first reason", "explanation"]
    return '<h2 id="decisions">Newest decisions</h2>' + table(heads, rows)


def _when(time_ns: int) -> str:
    return "not known yet" if time_ns < 0 else when(time_ns)
