"""An explanation as lines of text: what, why, when, what was seen, what was commanded."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime

import numpy as np

from sightline.evidence.camera_account import (
    Concern,
    FrameSeen,
    MachineMoment,
    SiteExplanation,
)
from sightline.evidence.site_account.meanings import meaning, quantity, reason_words
from sightline.evidence.track_paths import TrackPath
from sightline.evidence.site_subjects import COMMAND_KIND
from sightline.records import Decision
from sightline.records.command import ActuatorCommand, CommandLevel
from sightline.records.decision import Reason, Transition
from sightline.records.signals import NS_PER_S

_PATH_ROWS = 9
_SHOWN_BOXES = 12
_GAP = 2.5  # times the usual step
_SHOWN_STANDING = 8


def explanation_lines(found: SiteExplanation) -> list[str]:
    """The explanation for a terminal, without colour."""
    return [line.rstrip() for line in _lines(found)]


def _lines(found: SiteExplanation) -> list[str]:
    return [
        headline(found),
        *_identity(found),
        "",
        "why",
        *_why(found),
        "",
        "when",
        *_when(found),
        "",
        "what the camera saw" if len(found.frames) == 1 else "what the cameras saw",
        *(line for frame in found.frames for line in _frame(frame)),
        *([] if found.frames else ["  nothing: no frame had come"]),
        *(line for path in found.paths for line in ("", *_path(path, found.said.at_ns))),
        "",
        "what was commanded",
        *(line for machine in found.machines for line in _machine(machine, found)),
        *([] if found.machines else ["  nothing: no machine heeds it"]),
        "",
        "how it ended",
        f"  {_ending(found)}",
        *_standing(found),
        "",
        "what the frame took",
        *_measured(found),
        "",
        "versions",
        *(f"  {name:28} {version}" for name, version in found.versions.items()),
        "",
        "checked",
        *_checks(found),
    ]


def headline(found: SiteExplanation) -> str:
    """One sentence that answers why."""
    what = found.said.what
    reason = found.reasons[0] if found.reasons else None
    why = "" if reason is None else meaning(reason.code) or reason.code
    at = f"At {found.run_s:.2f} s"
    whom = _whom(found.concerns)
    because = f" because {why}{f': {whom}' if whom else ''}" if why else ""
    if isinstance(what, ActuatorCommand):
        return f"{at} {what.machine} was told {_level(what.level)}{because}."
    if what.kind.startswith(COMMAND_KIND):
        level = what.kind.removeprefix(COMMAND_KIND)
        return f"{at} {what.subject} was told {_level(CommandLevel(level))}{because}."
    change = "was raised" if what.transition is Transition.RAISED else "was cleared"
    tail = because.replace(" because", ":", 1) if change == "was raised" else ""
    return f"{at} {what.kind} {change} for {what.subject}{tail}."


def _level(level: CommandLevel) -> str:
    return "to work on (NONE)" if level is CommandLevel.NONE else level.name


def _whom(concerns: tuple[Concern, ...]) -> str:
    parts = []
    for concern in concerns[:3]:
        who = "nobody in sight" if concern.track_id is None else f"track {concern.track_id}"
        zone = f" in zone {concern.zone}" if concern.zone else ""
        pair = (
            "" if concern.machine_track is None else f" and machine track {concern.machine_track}"
        )
        parts.append(f"{who}{pair} of {concern.camera}{zone}")
    more = f" and {len(concerns) - 3} more" if len(concerns) > 3 else ""
    # With one pair in sight there is no doubt.
    is_sure = len(concerns) < 2 or all(concern.is_named for concern in concerns)
    return ("" if is_sure else "one of, the nearest first, ") + ", ".join(parts) + more


def _identity(found: SiteExplanation) -> list[str]:
    what = found.said.what
    if isinstance(what, ActuatorCommand):
        return [f"  command {what.command_id} revision {what.revision}, mode {what.mode}"]
    return [
        f"  decision {what.decision_id}",
        f"  {what.kind} {what.transition}, {what.subject}, {what.severity}, mode {what.mode}, "
        f"confidence {what.confidence:.2f}",
    ]


def _why(found: SiteExplanation) -> Iterator[str]:
    what = found.said.what
    if (
        isinstance(what, Decision)
        and what.transition is Transition.CLEARED
        and not what.kind.startswith(COMMAND_KIND)
    ):
        yield "  the reason as it was when it last held:"
    for reason in found.reasons:
        yield f"  {reason_words(reason)}  [{reason.version}]"
        if words := meaning(reason.code):
            yield f"    {words}"
        whom = _whom(tuple(c for c in found.concerns if _is_about(c, reason)))
        if whom:
            yield f"    {whom}"
    if not found.reasons:
        yield "  nothing asks for anything"


def _is_about(concern: Concern, reason: Reason) -> bool:
    return concern.code == reason.code and concern.value in (None, reason.value)


def _when(found: SiteExplanation) -> Iterator[str]:
    yield (
        f"  event time    {clock(found.said.at_ns)}, {found.run_s:.3f} s into the run "
        f"(`sightline render --at {max(found.run_s, 0):.2f}`)"
    )
    if not found.frame:
        yield "  led to by     a tick: time went on, no new frame"
        return
    frame = found.frames[0]
    header = frame.header
    yield f"  led to by     frame {header.index} of {header.camera}"
    yield f"  captured      {clock(header.capture_ns)}, {frame.offset_s:.3f} s into the video"
    late_s = (header.received_ns - header.capture_ns) / NS_PER_S
    yield f"  received      {late_s:.3f} s after that"


def _frame(frame: FrameSeen) -> Iterator[str]:
    header, outcome = frame.header, frame.outcome
    yield (
        f"  {header.camera}, frame {header.index} at {frame.offset_s:.3f} s, {frame.age_s:.3f} s "
        f"old, {header.width_px} x {header.height_px} px, pixels {header.digest[:12]}"
    )
    for sign in header.signs:
        value, threshold = quantity(sign.value, sign.unit), quantity(sign.threshold, sign.unit)
        yield f"    sign {sign.code}: {sign.measure} {value}, threshold {threshold}"
    if outcome is None:
        why = "its detections are not there" if header.is_usable else "it broke its contract"
        yield f"    no detector looked at it: {why}"
        return
    who = "the detector itself answered" if outcome.mode == "primary" else "the fallback answered"
    if outcome.detections is None:
        who = "nobody answered, tracks were carried on"
    detail = f" ({outcome.detail})" if outcome.detail else ""
    count = "" if outcome.detections is None else f", {len(outcome.detections)} boxes"
    yield f"    detector {outcome.status.upper()}{detail}: {who}{count}"
    if outcome.detections is None:
        return
    found = outcome.detections
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


def _machine(machine: MachineMoment, found: SiteExplanation) -> Iterator[str]:
    yield f"  {machine.name}"
    yield f"    before  {_command(machine.before, found)}"
    if machine.after == machine.before:
        yield "    after   the same: nothing new was commanded here"
    else:
        yield f"    after   {_command(machine.after, found)}"
    for command in machine.later:
        yield f"    later   {_command(command, found)}"


def _command(command: ActuatorCommand | None, found: SiteExplanation) -> str:
    if command is None:
        return "no command yet: a machine begins stopped"
    counts = Counter(reason.code for reason in command.reasons)
    codes = ", ".join(f"{n} x {code}" if n > 1 else code for code, n in counts.items())
    codes = codes or "nothing asks for anything"
    return (
        f"{command.level.name:4} at {found.at_s(command.issued_ns):.2f} s, valid until "
        f"{found.at_s(command.valid_until_ns):.2f} s, {command.mode}: {codes} "
        f"({command.command_id[:8]}:{command.revision})"
    )


def _ending(found: SiteExplanation) -> str:
    what, other = found.said.what, found.other
    begins = isinstance(what, ActuatorCommand) or what.transition is Transition.RAISED
    is_level = isinstance(what, ActuatorCommand) or what.kind.startswith(COMMAND_KIND)
    if other is None:
        if not begins and not is_level:
            return "it says an end; what began it is not in the log any more"
        end_s = found.at_s(found.log_end_ns)
        return f"it did not: still so when the log ends, at {end_s:.2f} s"
    at_ns = other.issued_ns if isinstance(other, ActuatorCommand) else other.event_ns
    lasted_s = abs(at_ns - found.said.at_ns) / NS_PER_S
    if isinstance(other, ActuatorCommand):
        return f"{other.level.name} at {found.at_s(at_ns):.2f} s, after {lasted_s:.2f} s"
    name = f"{other.kind} {other.transition} ({other.decision_id[:8]})"
    if begins or is_level:
        return f"{name} at {found.at_s(at_ns):.2f} s, after {lasted_s:.2f} s"
    return f"this is the end: it was raised at {found.at_s(at_ns):.2f} s ({other.decision_id[:8]}) \
and had lasted {lasted_s:.2f} s"


def _standing(found: SiteExplanation) -> Iterator[str]:
    if not found.standing:
        return
    yield ""
    yield "what else stood then"
    for decision in found.standing[:_SHOWN_STANDING]:
        yield f"  {decision.kind} {decision.subject} ({decision.decision_id[:8]})"
    if len(found.standing) > _SHOWN_STANDING:
        yield f"  and {len(found.standing) - _SHOWN_STANDING} more"


def _measured(found: SiteExplanation) -> Iterator[str]:
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


def _checks(found: SiteExplanation) -> Iterator[str]:
    checks = found.checks
    since = (
        "from the first entry of the log"
        if checks.began_after < 0
        else f"from the checkpoint at entry {checks.began_after:,}, the log before it was pruned"
    )
    yield (
        f"  replay   {checks.compared:,} decisions and commands {since} came out as the same "
        f"bytes, this one (log sequence {found.said.sequence:,}) the last of them"
    )
    ledger = {
        "same": "has the same bytes",
        "other": "HAS OTHER BYTES: rebuild it from the log",
        "missing": "does not have it: rebuild it from the log",
        "no ledger": "not there, or cannot be read: not compared",
        "no commands": "has decisions only, so a command is compared with the log alone",
    }
    yield f"  ledger   {ledger[checks.ledger]}"


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
