"""What a run came to as titled tables: the same for a terminal and for a page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sightline.evidence.run_account import (
    CameraAccount,
    MachineAccount,
    RunAccount,
    Seconds,
)
from sightline.evidence.tables import alerting_lines
from sightline.evidence.words import lasted
from sightline.records.command import CommandLevel
from sightline.records.signals import NS_PER_S
from sightline.runtime.engine.loop import CAPTURE_TO_COMMAND
from sightline.runtime.stages.meanings import meaning

NO_DATA = "no data"
_PERCENTILES = ("p50", "p95", "p99", "worst")


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One titled table.

    Attributes:
        title: above it.
        heads: names of the columns; empty for rows of a name and a text.
        rows: as many cells as heads; the first one names the row.
        notes: below it.
    """

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


def run_sections(found: RunAccount) -> list[Section]:
    """What is shown, in order."""
    return [
        _places(found),
        *([_cameras(found.cameras)] if found.cameras else []),
        *(_machine(machine, found.span_s) for machine in found.machines),
        _decisions(found),
        *([] if found.alerting is None else [_alerting(found.alerting)]),
        _times(found),
        _deadlines(found),
        _replay(found),
    ]


def _places(found: RunAccount) -> Section:
    a = found.accounts
    one = "frame" if found.cameras else "row"
    rows = [("equation", a.equation() if a.received else f"{NO_DATA}: no {one} was received")]
    rows += [(f"dropped {cause}", f"{n:,}") for cause, n in a.dropped.items() if n]
    rows += [(f"quarantined {reason}", f"{n:,}") for reason, n in a.quarantined.items() if n]
    notes = [] if found.is_finished else ["The run was not finished: its log has no final tick."]
    if found.replay is not None and found.replay.difference:
        notes.append("As last logged: the log does not replay, so the count was not made again.")
    return Section(title=f"where every {one} went", heads=(), rows=tuple(rows), notes=tuple(notes))


def _cameras(cameras: Sequence[CameraAccount]) -> Section:
    heads = ("", *(camera.name for camera in cameras))
    rows: list[tuple[str, ...]] = [
        ("frames", *(f"{c.frames:,}" if c.frames else NO_DATA for c in cameras)),
        ("refused", *(_counts(c.refused, of=c.frames) for c in cameras)),
        ("lost", *(_counts(c.lost) for c in cameras)),
        ("never looked at", *(_counts(c.gone) for c in cameras)),
        ("changes of the stream", *(_counts(c.notes) for c in cameras)),
        ("signs", *(_counts(c.signs, of=c.frames) for c in cameras)),
        (
            "age at receipt",
            *(_seconds(c.age_s, names=("p50", "p99", "worst")) for c in cameras),
        ),
        (
            "longest gap",
            *(
                NO_DATA if np.isnan(c.longest_gap_s) else f"{c.longest_gap_s:.3f} s"
                for c in cameras
            ),
        ),
        ("detector", *(_counts(c.outcomes) if c.asked else NO_DATA for c in cameras)),
        ("answered by fallback", *(_share(c.by_fallback, c.asked) for c in cameras)),
        ("boxes in no track", *(_counts(c.left_aside) for c in cameras)),
        ("answered by nobody", *(_share(c.unanswered, c.asked) for c in cameras)),
    ]
    return Section(
        title="cameras",
        heads=heads,
        rows=tuple(rows),
        notes=(
            "Age at receipt: of recordings at full speed it is 0. Longest gap: between the "
            "captures of two usable frames.",
            *(f"{c.name}: {c.advice}" for c in cameras if c.advice),
            *(f"{c.name}, {reason}: {words}" for c in cameras for reason, words in c.words.items()),
        ),
    )


def _machine(machine: MachineAccount, span_s: float) -> Section:
    rows: list[tuple[str, ...]] = []
    for level in CommandLevel:
        asked = {c: n for (at, c), n in machine.asked_by.items() if at is level}
        rows.append(
            (
                level.name,
                f"{machine.level_s[level]:,.1f} s",
                _share(machine.level_s[level], span_s, is_count=False),
                f"{machine.commands[level]:,}",
                f"{machine.changes[level]:,}",
                _counts(asked),
            )
        )
    away_s = machine.uncommanded_s
    share = _share(away_s, span_s, is_count=False)
    rows.append(("no valid command", f"{away_s:,.1f} s", share, "", "", "it stops by itself"))
    notes = [f"{code}: {meaning(code)}" for code in machine.held_by if meaning(code)]
    if machine.held_by:
        notes.insert(0, f"Reasons in commands above NONE: {_counts(machine.held_by)}.")
    if not sum(machine.commands.values()):
        notes = [f"{NO_DATA}: it was never given a command"]
    return Section(
        title=f"machine {machine.name}",
        heads=("level", "time", "share", "commands", "changes to it", "reasons of the changes"),
        rows=tuple(rows),
        notes=tuple(notes),
    )


def _decisions(found: RunAccount) -> Section:
    kinds = sorted({(kind, code) for kind, code, _ in found.decisions})
    rows = []
    for kind, code in kinds:
        raised = found.decisions.get((kind, code, "raised"), 0)
        cleared = found.decisions.get((kind, code, "cleared"), 0)
        rows.append((kind, code, f"{raised:,}", f"{cleared:,}"))
    notes = []
    if not rows:
        notes.append("nothing was decided")
    if found.standing:
        notes.append(f"Still standing at the end: {_counts(found.standing)}.")
    return Section(
        title="decisions by code",
        heads=("kind", "first reason", "raised", "cleared"),
        rows=tuple(rows),
        notes=tuple(notes),
    )


def _alerting(sums: Mapping[str, Any]) -> Section:
    return Section(title="alert desk", heads=(), rows=tuple(alerting_lines(sums)))


def _times(found: RunAccount) -> Section:
    times = found.times
    named: list[tuple[str, Seconds, float | None]] = [
        ("capture to said", times.said_s, times.budget_s),
        ("frame to said", times.step_s, times.budget_s),
    ]
    if not found.cameras:
        named = [("step of the core", times.step_s, None)]
    named += [(f"  {s}", t, times.stage_budget_s.get(s)) for s, t in times.stage_s.items()]
    rows = []
    for name, seconds, budget_s in named:
        count = int(seconds.get("count", 0))
        cells = [_ms(seconds[p]) if count else NO_DATA for p in _PERCENTILES]
        budget = "" if budget_s is None else f"{budget_s * 1e3:g} ms"
        share = f"{seconds['p99'] / budget_s:.1%}" if budget_s and count else ""
        rows.append((name, *cells, budget, share, f"{count:,}"))
    return Section(
        title="times as logged",
        heads=("", *_PERCENTILES, "budget", "p99 of it", "count"),
        rows=tuple(rows),
        notes=()
        if not found.cameras
        else (
            "Capture to said: by the stamps of the log, of runs by the wall clock only. Frame to "
            "said: from having the frames that were fed together. Writing to the disk and sending "
            "come after both; what is over the budget with them is DEADLINE_MISSED.",
        ),
    )


def _deadlines(found: RunAccount) -> Section:
    times = found.times
    frames = sum(camera.frames for camera in found.cameras)
    name = f"{CAPTURE_TO_COMMAND}, {times.budget_s * 1e3:g} ms"
    if not found.cameras:
        none = [("all stages", "none missed", "")] if times.step_s.get("count") else []
        none = none or [("all stages", NO_DATA, "")]
        rows = [
            (stage, f"{count:,} times", f"worst {_ms(times.worst_missed_s[stage])}")
            for stage, count in times.missed.items()
        ]
        return Section(title="DEADLINE_MISSED", heads=(), rows=tuple(rows or none))
    if not times.step_s.get("count"):
        rows = [(name, NO_DATA, "")]
    else:
        late = times.missed.get(CAPTURE_TO_COMMAND, 0)
        worst = times.worst_missed_s.get(CAPTURE_TO_COMMAND)
        text = f"{late:,} of {frames:,} frames" if late else f"none in {frames:,} frames"
        rows = [(name, text, "" if worst is None else f"worst {_ms(worst)}")]
    for stage, count in times.missed.items():
        if stage != CAPTURE_TO_COMMAND:
            rows.append((stage, f"{count:,} times", f"worst {_ms(times.worst_missed_s[stage])}"))
    return Section(title="DEADLINE_MISSED", heads=(), rows=tuple(rows))


def _replay(found: RunAccount) -> Section:
    check = found.replay
    rows: list[tuple[str, ...]] = []
    if check is None:
        rows.append(("replay", "not done here: `sightline replay` does it"))
    else:
        texts = {
            "same": f"{check.compared:,} decisions and commands came out as the same bytes",
            "differs": "DIFFERS: the log does not replay to what it says",
            "nothing to compare": f"{NO_DATA}: nothing was decided, so nothing could be compared",
        }
        rows.append(("replay", texts[check.verdict]))
        if check.difference:
            rows.append(("difference", check.difference))
        if check.began_after >= 0:
            rows.append(("from", f"the checkpoint at entry {check.began_after:,}: pruned before"))
    rows += [
        ("pipeline", found.digest),
        ("decisions", found.decisions_digest),
        ("final ones", found.final_digest),
    ]
    return Section(title="replay and digests", heads=(), rows=tuple(rows))


def _counts(counts: Mapping[str, int], *, of: int | None = None) -> str:
    parts = [f"{name} {n:,}" for name, n in counts.items() if n]
    text = ", ".join(parts) or "none"
    return f"{text} ({sum(counts.values()) / of:.1%})" if of and parts else text


def _share(part: float, whole: float, *, is_count: bool = True) -> str:
    if not whole:
        return NO_DATA
    return f"{part:,.0f} ({part / whole:.1%})" if is_count else f"{part / whole:.1%}"


def _seconds(seconds: Seconds, *, names: Sequence[str]) -> str:
    if not seconds.get("count"):
        return NO_DATA
    return ", ".join(f"{name} {_ms(seconds[name])}" for name in names)


def _ms(seconds: float) -> str:
    """Seconds in ms; below 0.01 ms nothing is told apart.

    >>> _ms(0.0123)
    '12.30 ms'
    """
    return f"{seconds * 1e3:,.2f} ms"


_NAME_WIDTH = 22


def report_lines(found: RunAccount) -> list[str]:
    """The account as lines, without colour."""
    lines = [
        f"{found.name}  {found.digest}, {lasted(round(found.span_s * NS_PER_S))} of event time"
    ]
    if found.description:
        lines.append(found.description)
    for section in run_sections(found):
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
