"""The account of a decision as lines of text, most important first."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime

import numpy as np

from sightline.evidence.account import Facts, ReasonFact, RowsFacts, is_end
from sightline.evidence.camera_account import CameraFacts, Concern, FrameSeen, MachineMoment
from sightline.evidence.circumstances import Circumstances
from sightline.evidence.counterfactual import Counterfactual
from sightline.evidence.novelty_account import novelty_title
from sightline.evidence.part_account import PartFacts, part_lines
from sightline.evidence.site_subjects import COMMAND_KIND
from sightline.evidence.track_paths import TrackPath
from sightline.evidence.trial import put_off_words
from sightline.evidence.words import (
    counts_words,
    figure,
    lasted,
    moment,
    quantity,
    reason_words,
    span,
)
from sightline.records import Decision, Detections
from sightline.records.command import ActuatorCommand, CommandLevel
from sightline.records.decision import Mode, Status, Transition
from sightline.records.readings import Readings
from sightline.records.signals import NS_PER_S
from sightline.runtime.engine.guard import Outcome

_PATH_ROWS = 9
_SHOWN_BOXES = 12
_GAP = 2.5  # times the usual step
_SHOWN_STANDING = 8
_SHOWN_NEIGHBOURS = 4

_MODES = {
    Mode.FALLBACK: "a fallback answered in place of the stage that should have",
    Mode.DEGRADED: "the stages answered themselves, but on poor inputs",
}


def account_lines(facts: Facts) -> list[str]:
    """The account for a terminal, without colour."""
    return [line.rstrip() for line in _lines(facts)]


def _lines(facts: Facts) -> Iterator[str]:
    yield headline(facts)
    yield from _identity(facts)
    if facts.cameras is not None and facts.part is not None:
        yield from _part_lines(facts, facts.cameras, facts.part)
        return
    if facts.cameras is not None:
        yield from _camera_lines(facts, facts.cameras)
        return
    yield from _why(facts)
    if facts.rows is not None:
        yield from _history(facts.rows)
        if facts.rows.novelty is not None:
            yield novelty_title(facts.rows.novelty, facts.decision)
            yield from facts.rows.novelty.lines()
        yield "what would not have raised it (the core run again on the log)"
        yield from _counterfactual(facts, facts.rows)
    yield f"what else happened, {span(facts.circumstances.from_ns, facts.circumstances.to_ns)}"
    yield from _circumstances(facts.circumstances)
    yield from _came_of_it(facts)
    revisions = ", ".join(f"r{d.revision} {d.status}" for d in facts.revisions)
    said = facts.said
    yield f"id {said.said_id}; {revisions}; log {said.partition} sequence {said.sequence}"


# --- what and why ---------------------------------------------------------------------------------


def headline(facts: Facts) -> str:
    """One sentence that says what was decided; of pictures also why."""
    what = facts.what
    if facts.cameras is None:
        decision = facts.decision
        state = "retracted" if decision.status is Status.RETRACTED else str(decision.transition)
        group = f" of {decision.group}" if decision.group not in ("", decision.subject) else ""
        return f"{decision.kind} {state}: {decision.subject}{group}, {moment(decision.event_ns)}"
    first = facts.reasons[0] if facts.reasons else None
    why = "" if first is None else first.meaning or first.reason.code
    at = f"At {facts.cameras.run_s:.2f} s"
    whom = _whom(facts.cameras.concerns)
    because = f" because {why}{f': {whom}' if whom else ''}" if why else ""
    if isinstance(what, ActuatorCommand):
        return f"{at} {what.machine} was told {_level(what.level)}{because}."
    if what.kind.startswith(COMMAND_KIND):
        level = CommandLevel(what.kind.removeprefix(COMMAND_KIND))
        return f"{at} {what.subject} was told {_level(level)}{because}."
    change = "was cleared" if is_end(what) else "was raised"
    tail = "" if is_end(what) else because.replace(" because", ":", 1)
    return f"{at} {what.kind} {change} for {what.subject}{tail}."


def _level(level: CommandLevel) -> str:
    return "to work on (NONE)" if level is CommandLevel.NONE else level.name


def _whom(concerns: tuple[Concern, ...]) -> str:
    parts = []
    for concern in concerns[:3]:
        who = "no track in sight" if concern.track_id is None else f"track {concern.track_id}"
        if concern.track_id is None and not concern.zone:
            continue  # it is about the camera, not about somebody
        zone = f" in zone {concern.zone}" if concern.zone else ""
        pair = (
            "" if concern.machine_track is None else f" and machine track {concern.machine_track}"
        )
        parts.append(f"{who}{pair} of {concern.camera}{zone}")
    more = f" and {len(concerns) - 3} more" if len(concerns) > 3 else ""
    # With one pair in sight there is no doubt.
    is_sure = len(concerns) < 2 or all(concern.is_named for concern in concerns)
    return ("" if is_sure else "one of, the nearest first, ") + ", ".join(parts) + more


def _identity(facts: Facts) -> Iterator[str]:
    what = facts.what
    if isinstance(what, ActuatorCommand):
        yield f"  command {what.command_id} revision {what.revision}, mode {what.mode}"
    elif facts.cameras is not None:
        yield f"  decision {what.decision_id}"
        yield (
            f"  {what.kind} {what.transition}, {what.subject}, {what.severity}, mode {what.mode}, "
            f"confidence {what.confidence:.2f}"
        )
    else:
        yield (
            f"  {what.severity}, {what.mode}, confidence {what.confidence:.2f}, "
            f"window {span(what.window_start_ns, what.window_end_ns)}"
        )
    if words := _MODES.get(what.mode):
        yield f"  {words}"


def _why(facts: Facts) -> Iterator[str]:
    what = facts.what
    if (
        is_end(what)
        and facts.cameras is not None
        and not facts.decision.kind.startswith(COMMAND_KIND)
    ):
        yield "  the reason as it was when it last held:"
    concerns = () if facts.cameras is None else facts.cameras.concerns
    for fact in facts.reasons:
        yield f"  {reason_words(fact.reason)}  [{fact.reason.version}]"
        if fact.meaning:
            yield f"    {fact.meaning}"
        if whom := _whom(tuple(c for c in concerns if _is_about(c, fact))):
            yield f"    {whom}"
    if not facts.reasons:
        yield "  no reason to slow down or stop"


def _is_about(concern: Concern, fact: ReasonFact) -> bool:
    return concern.code == fact.reason.code and concern.value in (None, fact.reason.value)


# --- decisions on rows ----------------------------------------------------------------------------


def _history(rows: RowsFacts) -> Iterator[str]:
    found = rows.tried.history
    if found is None:
        return
    if found.since_ns >= 0:
        open_ = " or earlier" if found.is_open else ""
        yield (
            f"  beyond the level to clear at since {moment(found.since_ns)}{open_}, "
            f"{found.windows} windows"
        )
    if found.before:
        median, low, high = (figure(v, found.unit) for v in found.usual)
        yield (
            f"  {found.measure} in the {found.before} windows before: {median}, "
            f"mostly {low} to {high}"
        )


def _counterfactual(facts: Facts, rows: RowsFacts) -> Iterator[str]:
    tried, field = rows.tried, rows.about.field
    found = tried.counterfactual
    if not found.is_found:
        yield f"  {found.note}"
    else:
        assert found.start_ns is not None
        assert found.end_ns is not None
        yield (
            f"  {field} {_bounds(found)} over {span(found.start_ns, found.end_ns)} "
            f"({found.changed} rows); was {_was(found)}"
        )
        reason = facts.reasons[0].reason
        if np.isfinite(found.reached):
            yield f"  {reason.measure} would have been {figure(found.reached, reason.unit)}"
        if found.change is not None and not found.change.is_monotone:
            yield "  not monotone: a greater change may raise it again"
        if later := put_off_words(tried):
            yield f"  {later}"
    if np.isfinite(tried.before[0]):
        median, least, greatest = (figure(v, rows.about.unit) for v in tried.before)
        yield f"  {field} before: {median}, from {least} to {greatest}"
    if tried.runs:
        began = f"log sequence {tried.began_after}" if tried.began_after >= 0 else "the beginning"
        yield f"  {tried.runs} runs of the core to {moment(tried.until_ns)}, state from {began}"


def _bounds(found: Counterfactual) -> str:
    low, high = figure(found.low, found.unit), figure(found.high, found.unit)
    if np.isfinite(found.low) and np.isfinite(found.high):
        return f"within {low} to {high}"
    return f"at most {high}" if np.isfinite(found.high) else f"at least {low}"


def _was(found: Counterfactual) -> str:
    return f"{figure(found.was_low, found.unit)} to {figure(found.was_high, found.unit)}"


# --- what else happened, and what followed --------------------------------------------------------


def _circumstances(found: Circumstances) -> Iterator[str]:
    said = 0
    if found.in_group:
        said += 1
        yield f"  same group: {counts_words(found.in_group)}"
        for other in found.neighbours[:_SHOWN_NEIGHBOURS]:
            yield (
                f"    {moment(other.event_ns)} {other.kind} {other.subject} "
                f"({other.decision_id[:8]})"
            )
    if found.same_code:
        said += 1
        yield f"  same code about others, by group: {counts_words(found.same_code)}"
    for text in found.controls:
        said += 1
        yield f"  operator: {text}"
    if found.quarantined:
        said += 1
        yield (
            f"  refused rows: {counts_words(found.quarantined)}; "
            f"{found.quarantined_of_key} of them of this key"
        )
    for label, counts in (("lost rows", found.dropped), ("not answered", found.fallbacks)):
        if counts:
            said += 1
            yield f"  {label}: {counts_words(counts)}"
    if found.missed:
        said += 1
        late = ", ".join(f"{s} {n} times, up to {t:.3g} s" for s, n, t in found.missed[:4])
        yield f"  late: {late}"
    for one in found.other:
        said += 1
        yield f"  {one.source}: {one.rows} rows; {counts_words(one.kinds)}"
        for time_ns, key, text in one.lines:
            yield f"    {moment(time_ns)} {key} {text}"
    for note in found.notes:
        yield f"  note: {note}"
    if found.not_looked_at:
        yield f"  note: {found.not_looked_at} rows of other sources were not looked at"
    if not said:
        yield "  nothing that the log knows of"


def _came_of_it(facts: Facts) -> Iterator[str]:
    """What ended it, and what an alert desk made of it."""
    other, what = facts.other, facts.decision
    if other is not None and isinstance(other, Decision):
        how = "it was raised at" if is_end(what) else "it was over at"
        when = (
            f"{lasted(abs(other.event_ns - what.event_ns))} {'before' if is_end(what) else 'later'}"
        )
        yield f"{how} {moment(other.event_ns)}, {when} ({other.decision_id[:8]})"
    elif not is_end(what) and what.status is not Status.RETRACTED:
        yield "nothing in the log ends it"
    for text in facts.alerts:
        yield f"alert desk: {text}"


# --- decisions on pictures ------------------------------------------------------------------------


def _camera_lines(facts: Facts, found: CameraFacts) -> Iterator[str]:
    at_ns = facts.said.at_ns
    yield from ("", "why")
    yield from _why(facts)
    yield from ("", "when")
    yield from _when(facts, found)
    yield from ("", "what the camera saw" if len(found.frames) == 1 else "what the cameras saw")
    for frame in found.frames:
        yield from _frame(frame)
    if not found.frames:
        yield "  nothing: no frame had come"
    for path in found.paths:
        yield ""
        yield from _path(path, at_ns)
    yield from ("", "what was commanded")
    for machine in found.machines:
        yield from _machine(machine, facts, found)
    if not found.machines:
        yield "  nothing: no machine heeds it"
    yield from ("", "how it ended", f"  {_ending(facts, found)}")
    for text in facts.alerts:
        yield f"  alert desk: {text}"
    if found.standing:
        yield from ("", "what else stood then")
        for decision in found.standing[:_SHOWN_STANDING]:
            yield f"  {decision.kind} {decision.subject} ({decision.decision_id[:8]})"
        if len(found.standing) > _SHOWN_STANDING:
            yield f"  and {len(found.standing) - _SHOWN_STANDING} more"
    yield from _further(facts, found)


def _part_lines(facts: Facts, found: CameraFacts, about: PartFacts) -> Iterator[str]:
    yield from ("", "why")
    yield from _why(facts)
    yield from ("", "the part")
    pictures = {one.picture.station: one for one in about.pictures}
    yield from (f"  {line}" for line in part_lines(about.part, pictures))
    for text in facts.alerts:
        yield f"  alert desk: {text}"
    yield from _further(facts, found)


def _further(facts: Facts, found: CameraFacts) -> Iterator[str]:
    """What an account of pictures ends with."""
    yield from ("", f"what else happened in the {_around_s(facts):g} s before and after")
    yield from _circumstances(facts.circumstances)
    if facts.part is None:
        yield from ("", "what the frame took")
        yield from _measured(found)
    yield from ("", "versions")
    yield from (f"  {name:28} {version}" for name, version in facts.versions.items())
    yield from ("", "checked")
    yield from _checks(facts, found)


def _around_s(facts: Facts) -> float:
    return (facts.said.at_ns - facts.circumstances.from_ns) / NS_PER_S


def _when(facts: Facts, found: CameraFacts) -> Iterator[str]:
    yield (
        f"  event time    {clock(facts.said.at_ns)}, {found.run_s:.3f} s into the run "
        f"(`sightline render --at {max(found.run_s, 0):.2f}`)"
    )
    if not found.frame or not found.frames:
        yield "  led to by     a tick: time went on, no new frame"
        return
    frame = found.frames[0]
    header = frame.header
    yield f"  led to by     frame {header.index} of {header.camera}"
    yield f"  captured      {clock(header.capture_ns)}, {frame.offset_s:.3f} s into the video"
    late_s = (header.received_ns - header.capture_ns) / NS_PER_S
    yield f"  received      {late_s:.3f} s after that"


def _frame(frame: FrameSeen) -> Iterator[str]:
    header = frame.header
    yield (
        f"  {header.camera}, frame {header.index} at {frame.offset_s:.3f} s, {frame.age_s:.3f} s "
        f"old, {header.width_px} x {header.height_px} px, pixels {header.digest[:12]}"
    )
    for sign in header.signs:
        value, threshold = quantity(sign.value, sign.unit), quantity(sign.threshold, sign.unit)
        yield f"    sign {sign.code}: {sign.measure} {value}, threshold {threshold}"
    for outcome in frame.outcomes:
        yield from _answer(outcome)
    if not frame.outcomes:
        why = "its detections are not there" if header.is_usable else "it broke its contract"
        yield f"    no detector looked at it: {why}"


def _answer(outcome: Outcome) -> Iterator[str]:
    found = outcome.answer
    name = "the stage" if isinstance(found, Readings) else "the detector"
    who = f"{name} itself answered" if outcome.mode is Mode.PRIMARY else "the fallback answered"
    if found is None:
        who = "nobody answered, tracks were carried on"
    detail = f" ({outcome.detail})" if outcome.detail else ""
    count = f", {len(found)} boxes" if isinstance(found, Detections) else ""
    what = f"stage {outcome.stage}" if isinstance(found, Readings) else "detector"
    yield f"    {what} {outcome.status.upper()}{detail}: {who}{count}"
    if isinstance(found, Readings):
        for reading, value in found.values.items():
            yield f"      {reading} {figure(value)}"
    if isinstance(found, Detections):
        for row in range(min(len(found), _SHOWN_BOXES)):
            left, top, right, bottom = found.box_px[row].tolist()
            yield (
                f"      {found.class_names[int(found.class_id[row])]} {found.score[row]:.2f}  "
                f"from ({left:.0f}, {top:.0f}) to ({right:.0f}, {bottom:.0f}) px"
            )
        if len(found) > _SHOWN_BOXES:
            yield f"      and {len(found) - _SHOWN_BOXES} more"


def _path(path: TrackPath, until_ns: int) -> Iterator[str]:
    if not len(path):
        yield f"track {path.track_id} of {path.camera}: not seen lately enough to be remembered"
        return
    span_s = (path.time_ns[-1] - path.time_ns[0]) / NS_PER_S
    unit = path.unit
    sure = "" if unit == "px" else ", each ± one standard deviation"
    yield (
        f"track {path.track_id} ({path.class_name}) of {path.camera}, its last {span_s:.1f} s "
        f"up to here{sure}"
    )
    apart = f"to {path.apart_from}" if path.apart_from else ""
    metric = "    ± m  speed m/s   ±" if unit == "m" else ""
    yield f"    time s      x {unit}      y {unit} {metric}  {f'{apart} {unit}' if apart else ''}"
    shown = _thinned(len(path))
    for before, row in zip([shown[0], *shown], shown, strict=False):
        # Event time never stands still, so a frame may lie a nanosecond before its decision.
        before_s = round((int(path.time_ns[row]) - until_ns) / NS_PER_S, 3)
        text = f"  {before_s + 0.0:8.2f} {path.xy[row, 0]:8.2f} {path.xy[row, 1]:8.2f} "
        if unit == "m":
            text += f"{path.deviation[row]:7.2f}  {path.speed_m_s[row]:9.2f} "
            text += f"{path.speed_deviation_m_s[row]:5.2f} "
        if path.apart_from:
            there = path.apart[row]
            text += "        –" if np.isnan(there) else f" {there:8.2f}"
            if not np.isnan(there) and there <= 0 and path.apart_from.startswith("edge"):
                text += "  inside"
        gap_s = _gap_s(path, before, row)
        if gap_s:
            text += f"  seen again after {gap_s:.1f} s"
        if path.unseen_s[row] > 0:
            text += f"  carried on, unseen for {path.unseen_s[row]:.1f} s"
        yield text


def _gap_s(path: TrackPath, before: int, row: int) -> float:
    """The longest stretch between two shown rows in which the track was not reported; else 0."""
    steps = np.diff(path.time_ns)
    if row == before or not len(steps):
        return 0.0
    longest = int(steps[before:row].max())
    return longest / NS_PER_S if longest > _GAP * float(np.median(steps)) else 0.0


def _thinned(count: int) -> list[int]:
    """Places of at most ``_PATH_ROWS`` of them, the first and the last among them.

    >>> _thinned(3), _thinned(17)
    ([0, 1, 2], [0, 2, 4, 6, 8, 10, 12, 14, 16])
    """
    places = np.linspace(0, count - 1, min(count, _PATH_ROWS)).round().astype(int)
    return [int(place) for place in places]


def _machine(machine: MachineMoment, facts: Facts, found: CameraFacts) -> Iterator[str]:
    def at_s(time_ns: int) -> float:
        return found.run_s + (time_ns - facts.said.at_ns) / NS_PER_S

    def told(command: ActuatorCommand | None) -> str:
        if command is None:
            return "no command yet: a machine begins stopped"
        counts = Counter(reason.code for reason in command.reasons)
        codes = ", ".join(f"{n} x {code}" if n > 1 else code for code, n in counts.items())
        return (
            f"{command.level.name:4} at {at_s(command.issued_ns):.2f} s, valid until "
            f"{at_s(command.valid_until_ns):.2f} s, {command.mode}: "
            f"{codes or 'no reason to slow down or stop'} "
            f"({command.command_id[:8]}:{command.revision})"
        )

    yield f"  {machine.name}"
    yield f"    before  {told(machine.before)}"
    if machine.after == machine.before:
        yield "    after   the same: nothing new was commanded here"
    else:
        yield f"    after   {told(machine.after)}"
    for command in machine.later:
        yield f"    later   {told(command)}"


def _ending(facts: Facts, found: CameraFacts) -> str:
    def at_s(time_ns: int) -> float:
        return found.run_s + (time_ns - facts.said.at_ns) / NS_PER_S

    what, other = facts.what, facts.other
    begins = isinstance(what, ActuatorCommand) or what.transition is Transition.RAISED
    is_level = isinstance(what, ActuatorCommand) or what.kind.startswith(COMMAND_KIND)
    if other is None:
        if not begins and not is_level:
            return "it says an end; what began it is not in the log any more"
        return "it did not: nothing in the log ends it"
    at_ns = other.issued_ns if isinstance(other, ActuatorCommand) else other.event_ns
    lasted_s = abs(at_ns - facts.said.at_ns) / NS_PER_S
    if isinstance(other, ActuatorCommand):
        return f"{other.level.name} at {at_s(at_ns):.2f} s, after {lasted_s:.2f} s"
    name = f"{other.kind} {other.transition} ({other.decision_id[:8]})"
    if begins or is_level:
        return f"{name} at {at_s(at_ns):.2f} s, after {lasted_s:.2f} s"
    return (
        f"this is the end: it was raised at {at_s(at_ns):.2f} s ({other.decision_id[:8]}) "
        f"and had lasted {lasted_s:.2f} s"
    )


def _measured(found: CameraFacts) -> Iterator[str]:
    one = found.measured
    if one is None:
        yield "  not measured: " + (
            "the log has no times for this frame" if found.frame else "a tick led to it"
        )
        return
    whole = f" for {one.frames} frames fed together" if one.frames > 1 else ""
    yield f"  from having it to what was said {one.step_s * 1e3:.1f} ms{whole}, of it"
    yield "    " + ", ".join(f"{s} {t * 1e3:.2f} ms" for s, t in sorted(one.stage_s.items()))
    if not one.missed:
        yield (
            f"  capture to command: within its budget of {one.budget_s * 1e3:g} ms "
            "(no DEADLINE_MISSED is logged)"
        )
    for missed in one.missed:
        yield (
            f"  DEADLINE_MISSED {missed['stage']}: {missed['took_s'] * 1e3:.1f} ms, "
            f"budget {missed['budget_s'] * 1e3:g} ms"
        )


def _checks(facts: Facts, found: CameraFacts) -> Iterator[str]:
    since = (
        "from the first entry of the log"
        if found.began_after < 0
        else f"from the checkpoint at entry {found.began_after:,}, the log before it was pruned"
    )
    yield (
        f"  replay   {found.compared:,} decisions and commands {since} came out as the same "
        f"bytes, this one (log sequence {facts.said.sequence:,}) the last of them"
    )
    ledger = {
        "same": "has the same bytes",
        "other": "HAS OTHER BYTES: rebuild it from the log",
        "missing": "does not have it: rebuild it from the log",
        "no ledger": "not there, or cannot be read: not compared",
        "no commands": "has decisions only, so a command is compared with the log alone",
    }
    yield f"  ledger   {ledger[facts.ledger]}"


def clock(time_ns: int) -> str:
    """UTC to the millisecond; a recording without a clock begins in 1970.

    >>> clock(1_500_000_000)
    '1970-01-01 00:00:01.500 UTC'
    """
    if not 0 <= time_ns < math.inf:
        return f"{time_ns} ns"
    seconds, rest = divmod(time_ns, NS_PER_S)
    try:
        day = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, ValueError, OSError):
        return f"{time_ns} ns"
    return f"{day}.{rest // 1_000_000:03d} UTC"
