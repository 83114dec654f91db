"""What commands print: progress on a terminal, plain lines elsewhere, JSON with --json."""

from __future__ import annotations

import json
import math
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, NoReturn

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from sightline.errors import SightlineError
from sightline.records import Decision
from sightline.records.decision import Severity, Status
from sightline.records.signals import NS_PER_S
from sightline.runtime import Progress

_COLOURS = {Severity.INFO: "cyan", Severity.WARNING: "yellow", Severity.CRITICAL: "red"}
_PLAIN_EVERY = 20  # without a terminal, one progress line per so many commits


def utc(time_ns: int) -> str:
    """ISO 8601 in UTC, to the second.

    >>> utc(0)
    '1970-01-01T00:00:00Z'
    """
    if not 0 <= time_ns < 253402300800 * NS_PER_S:
        return "-"
    return datetime.fromtimestamp(time_ns // NS_PER_S, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def fail(error: SightlineError) -> NoReturn:
    """Print an error with its parts and leave with its exit code."""
    console = Console(stderr=True, highlight=False)
    console.print(Text(f"error: {type(error).__name__}", style="bold red"))
    for label, text in (
        ("where", error.where),
        ("expected", error.expected),
        ("got", error.got),
        ("do", error.action),
    ):
        console.print(Text(f"  {label:9}{text}"), soft_wrap=True)
    raise typer.Exit(error.exit_code)


def print_trouble(text: str) -> None:
    """Print what is wrong beside a run that goes on."""
    Console(stderr=True, highlight=False).print(Text(f"warning: {text}"), soft_wrap=True)


def print_json(plain: Any) -> None:
    """One JSON document on standard output; what is no number becomes null, as JSON has no NaN."""
    json.dump(_finite(plain), sys.stdout, indent=1, ensure_ascii=False, allow_nan=False)
    sys.stdout.write("\n")


def _finite(plain: Any) -> Any:
    if isinstance(plain, float) and not math.isfinite(plain):
        return None
    if isinstance(plain, dict):
        return {key: _finite(value) for key, value in plain.items()}
    if isinstance(plain, list | tuple):
        return [_finite(value) for value in plain]
    return plain


def decision_line(decision: Decision) -> Text:
    """One decision in one line."""
    reason = decision.reasons[0]
    mark = "▲" if decision.transition == "raised" else "▽"
    if decision.status is Status.RETRACTED:
        mark = "✗"
    style = _COLOURS[decision.severity] if decision.transition == "raised" else "green"
    line = Text(f"{utc(decision.event_ns)} ")
    line.append(f"{mark} {decision.kind}", style=style)
    line.append(f" {decision.subject}", style="bold")
    line.append(f"  {reason.code} {reason.value:.4g}{_unit(reason.unit)}", style="dim")
    line.append(f"  {decision.decision_id[:8]}", style="dim")
    if decision.revision:
        line.append(f" r{decision.revision} {decision.status}", style="magenta")
    return line


def _unit(unit: str) -> str:
    return "" if unit == "1" else f" {unit}"


@contextmanager
def counting_display(title: str, *, is_quiet: bool) -> Iterator[Callable[[str, int], None] | None]:
    """How far a walk over the logs is: partition and log sequence, on a terminal only."""
    console = Console(stderr=True, highlight=False)
    if is_quiet or not console.is_terminal:
        yield None
        return
    with console.status(title) as status:
        yield lambda partition, at: status.update(f"{title}: {partition}, entry {at:,}")


@contextmanager
def stop_on_signal(*, is_armed: bool) -> Iterator[Callable[[], bool]]:
    """Whether an interrupt or SIGTERM has come; not armed, they end the process as usual."""
    stopped = threading.Event()
    before = {}
    if is_armed:
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, lambda *_: stopped.set())
    try:
        yield stopped.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def progress_display(title: str, *, is_quiet: bool) -> Iterator[Callable[[Progress], None] | None]:
    """A live display on a terminal, a line now and then elsewhere, nothing when quiet."""
    console = Console(stderr=True, highlight=False)
    if is_quiet:
        yield None
        return
    if not console.is_terminal:
        count = 0

        def plain(progress: Progress) -> None:
            nonlocal count
            if count % _PLAIN_EVERY == 0:
                console.print(
                    f"{title}: {utc(progress.tick_ns)} rows {progress.rows:,} "
                    f"decisions {progress.decisions:,} open {progress.open_rows:,}"
                )
            count += 1

        yield plain
        return
    recent: list[Decision] = []
    with Live(console=console, refresh_per_second=8, transient=True) as live:

        def shown(progress: Progress) -> None:
            recent.extend(progress.newest)
            del recent[:-10]
            table = Table.grid(padding=(0, 2))
            table.add_row(
                Text(title, style="bold"),
                utc(progress.tick_ns),
                f"{progress.rows:,} rows",
                f"{progress.open_rows:,} open",
                f"{progress.decisions:,} decisions",
            )
            grid = Table.grid()
            grid.add_row(table)
            for decision in recent:
                grid.add_row(decision_line(decision))
            live.update(grid)

        yield shown
