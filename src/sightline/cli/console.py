"""What commands print: progress on a terminal, plain lines elsewhere, JSON with --json."""

from __future__ import annotations

import json
import math
import os
import select
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.live import Live
from rich.table import Table
from rich.text import Text

import sightline
from sightline.errors import InvariantViolation, SightlineError, StorageError, writing
from sightline.records import Decision
from sightline.records.decision import Severity, Status
from sightline.records.shown_text import in_json, one_line, seen
from sightline.records.signals import NS_PER_S
from sightline.runtime import Progress
from sightline.runtime.alerting.said import duration

_COLOURS = {Severity.INFO: "cyan", Severity.WARNING: "yellow", Severity.CRITICAL: "red"}
TRACEBACK = "SIGHTLINE_TRACEBACK"
"""Environment variable: with it a defect prints its whole traceback."""
_DEFECT_CHARS = 300
_PLAIN_EVERY_S = 10.0  # without a terminal, one progress line in so many seconds
_SHOWN_AFTER_S, _SHOWN_EVERY_S = 2.0, 0.25
"""On a terminal: what takes less shows nothing; and how often it is shown anew."""

Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
"""The option of every command that can print its result as JSON."""


UNREAD = 141
"""Exit code where whoever reads standard output has gone: that of SIGPIPE in a shell."""
_ROOM_WITHIN_S = 0.1  # that a reader of standard error who is merely slow is waited for
_room_guard = threading.Lock()
_has_lost = False  # whether the line before found no room


class Terminal(Console):
    """Prints lines: each text that is given is one line, and nothing in it can act or forge.

    Data in it keeps its characters as :mod:`sightline.records.shown_text` writes them. A blank
    line is a print of nothing; texts of several lines are printed line by line.

    What goes to standard error never fails and never waits: a run goes on though its terminal was
    stopped (Ctrl-S), nobody reads the pipe, or the disk of its log file is full; the lines are
    lost. Standard output is what the command is for, and raises.

    Args:
        stderr: whether it prints on standard error.
    """

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, highlight=False, markup=False, emoji=False, soft_wrap=True)

    def print(self, *objects: Any, **options: Any) -> None:
        """Print one line.

        Raises:
            StorageError: standard output cannot be written.
            SystemExit: with ``UNREAD``, where nobody reads it any more.
        """
        seen_objects = map(_seen, objects)
        if not self.stderr:
            with standard_output():
                super().print(*seen_objects, **options)
            return
        with _room_guard, suppress(OSError, ValueError):  # ValueError: it was closed
            if _has_room(self.file):
                super().print(*seen_objects, **options)

    def on_broken_pipe(self) -> None:
        """Rich calls it in an ``except``; left to whoever prints."""
        raise  # noqa: PLE0704 - of the error that it is called in


def _has_room(stream: Any) -> bool:
    """Whether a line can be written without waiting for long; at once where the last could not."""
    global _has_lost  # noqa: PLW0603 - of the process, as standard error is
    try:
        descriptor = stream.fileno()
    except (OSError, ValueError, AttributeError):  # not of the system: it waits for nobody
        return True
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    found = poll.poll(0 if _has_lost else _ROOM_WITHIN_S * 1000)
    _has_lost = not found
    return bool(found)


@contextmanager
def standard_output() -> Iterator[None]:
    """What is done inside prints what the command is for.

    Raises:
        StorageError: it cannot be written.
        SystemExit: with ``UNREAD``, where nobody reads it any more.
    """
    try:
        yield
        sys.stdout.flush()
    except OSError as error:
        # What is still in the buffer must not fail a second time as the process ends.
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            raise SystemExit(UNREAD) from error
        with writing(Path("standard output")):
            raise


def _seen(shown: Any) -> Any:
    if isinstance(shown, str):
        return one_line(shown)
    if isinstance(shown, Text):
        plain = one_line(shown.plain)
        return shown if plain == shown.plain else Text(plain, style=shown.style)
    return shown if isinstance(shown, _Seen) else _Seen(shown)


@dataclass(frozen=True, slots=True)
class _Seen:
    """A table or whatever else is laid out: its cells are written out as it is drawn."""

    shown: Any

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for segment in console.render(self.shown, options):
            yield segment if segment.control else segment._replace(text=seen(segment.text))


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
    console = Terminal(stderr=True)
    console.print(Text(f"error: {type(error).__name__}", style="bold red"))
    for label, text in (
        ("where", error.where),
        ("expected", error.expected),
        ("got", error.got),
        ("do", error.action),
    ):
        console.print(Text(f"  {label:9}{text}"))
    if error.beside:
        more = len(error.beside)
        what = "more problem" if more == 1 else "more problems"
        console.print(Text(f"  {'and':9}{more} {what}: `sightline check` lists all"))
    raise typer.Exit(error.exit_code)


def fail_as_defect(error: BaseException) -> NoReturn:
    """Say in short what to report of an error that nobody foresaw, and leave with 70.

    Where the system has refused a file or folder, that is said, and it leaves as for a disk.
    """
    if os.environ.get(TRACEBACK):
        traceback.print_exception(error)
    if isinstance(error, OSError) and isinstance(error.filename, str | bytes):
        # Not foreseen there, but no defect: the system refused a place that somebody named.
        try:
            with writing(Path(os.fsdecode(error.filename))):
                raise error
        except StorageError as refused:
            fail(refused)
    frames = traceback.extract_tb(error.__traceback__)
    package = Path(sightline.__file__).parent
    ours = [f for f in frames if Path(f.filename).is_relative_to(package)] or frames
    place = "unknown"
    if ours:
        name = Path(ours[-1].filename).name
        place = f"{name}, line {ours[-1].lineno}, {ours[-1].name}"
    console = Terminal(stderr=True)
    console.print(Text("error: a defect of Sightline", style="bold red"))
    for label, text in (
        ("where", place),
        ("got", f"{type(error).__name__}: {error}"[:_DEFECT_CHARS]),
        ("do", f"report it with version {sightline.__version__}, the command, the files it read, "
               f"and what it prints with {TRACEBACK}=1"),
    ):  # fmt: skip
        console.print(Text(f"  {label:9}{text}"))
    raise typer.Exit(InvariantViolation.exit_code)


def print_trouble(text: str) -> None:
    """Print what is wrong beside a run that goes on."""
    Terminal(stderr=True).print(Text(f"warning: {text}"))


def print_note(text: str) -> None:
    """Print something to know beside what a command is for."""
    Terminal(stderr=True).print(text)


def print_json(plain: Any) -> None:
    """One JSON document on standard output; what is no number becomes null, as JSON has no NaN."""
    is_unicode = str(sys.stdout.encoding or "utf").lower().startswith("utf")
    text = json.dumps(_finite(plain), indent=1, ensure_ascii=not is_unicode, allow_nan=False)
    print_document(in_json(text) + "\n")


def print_document(text: str) -> None:
    """Text for another program, on standard output as it is, and on a terminal as it is seen.

    Raises as :class:`Terminal` does.
    """
    with standard_output():
        sys.stdout.write(seen(text) if sys.stdout.isatty() else text)


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
    line.append(f" {one_line(decision.subject)}", style="bold")
    line.append(f"  {reason.code} {reason.value:.4g}{_unit(reason.unit)}", style="dim")
    line.append(f"  {decision.decision_id[:8]}", style="dim")
    if decision.revision:
        line.append(f" r{decision.revision} {decision.status}", style="magenta")
    return line


def _unit(unit: str) -> str:
    return "" if unit == "1" else f" {one_line(unit)}"


class Estimate:
    """How much of something is done, and how long the rest takes at the pace so far.

    Args:
        total: how much there is, as far as that is known.
        monotonic_s: a clock.

    >>> clock_s = iter([0.0, 30.0, 31.0, 40.0, 60.0])
    >>> estimate = Estimate(100, monotonic_s=lambda: next(clock_s))
    >>> estimate.words(25), estimate.words(0)
    ('25 %, about 1 min 30 s left', '31 s so far')
    >>> estimate.goes_from(25)
    >>> estimate.words(50)
    '50 %, about 40 s left'
    """

    def __init__(
        self, total: int | None, *, monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._total = total
        self._monotonic_s = monotonic_s
        self._began_s = monotonic_s()
        self._pace_from: tuple[float, int] | None = None

    def words(self, done: int) -> str:
        """For people; more done than there was to do is shown as what it takes so far."""
        took_s = self._monotonic_s() - self._began_s
        if not self._total or not 0 < done <= self._total:
            return f"{duration(took_s)} so far"
        share = f"{done / self._total:.0%}".replace("%", " %")
        begun_s, before = self._pace_from or (self._began_s, 0)
        if not before < done < self._total:
            return f"{share}, {duration(took_s)} so far"
        left_s = (took_s - begun_s + self._began_s) * (self._total - done) / (done - before)
        return f"{share}, about {duration(left_s)} left"

    def goes_from(self, done: int) -> None:
        """The pace counts from here, after what was ``done``: compiling comes but once."""
        self._pace_from = self._pace_from or (self._monotonic_s(), done)

    def is_of(self, total: int) -> None:
        """How much there is, where that is known only later."""
        self._total = total


@contextmanager
def working(
    title: str, *, is_quiet: bool = False, total: int | None = None
) -> Iterator[Callable[..., None]]:
    """Shows that something goes on: from 2 s on, and without a terminal a line in 10 s.

    A thread shows it, so that what cannot be interrupted is seen to go on too. What it gives is
    called with how much is done, and with how much there is where ``total`` did not say it.
    """
    estimate, done, is_over = Estimate(total), [0], threading.Event()
    console = Terminal(stderr=True)

    def show() -> None:
        if not console.is_terminal:
            while not is_over.wait(_PLAIN_EVERY_S):
                console.print(f"{title}: {estimate.words(done[0])}")
        elif not is_over.wait(_SHOWN_AFTER_S):
            with Live(
                console=console, transient=True, redirect_stdout=False, redirect_stderr=False
            ) as live:
                while not is_over.wait(_SHOWN_EVERY_S):
                    live.update(Text(f"{title}: {estimate.words(done[0])}"))

    def note(count: int, of: int | None = None) -> None:
        if of is not None:
            estimate.is_of(of)
        done[0] = count

    shower = threading.Thread(target=show, name="progress")
    if not is_quiet:
        shower.start()
    try:
        yield note
    finally:
        is_over.set()
        if not is_quiet:
            shower.join()


@contextmanager
def counting_display(
    title: str, *, is_quiet: bool, entries: Mapping[str, int]
) -> Iterator[Callable[[str, int], None]]:
    """How far a walk over the logs is.

    Args:
        title: what is done.
        is_quiet: shows nothing.
        entries: how many each partition has, about.
    """
    with working(title, is_quiet=is_quiet, total=sum(entries.values())) as note:
        at: dict[str, int] = {}

        def count(partition: str, entry: int) -> None:
            at[partition] = entry
            note(sum(at.values()))

        yield count


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
def progress_display(
    title: str, *, is_quiet: bool, total: int | None = None
) -> Iterator[Callable[[Progress], None] | None]:
    """A live display on a terminal, a line now and then elsewhere, nothing when quiet.

    Args:
        title: of the pipeline.
        is_quiet: shows nothing.
        total: rows and frames that there are, about; None: that is not known.
    """
    console, estimate = Terminal(stderr=True), Estimate(total)
    if is_quiet:
        yield None
        return
    if not console.is_terminal:
        due_s = time.monotonic() + _PLAIN_EVERY_S

        def plain(progress: Progress) -> None:
            nonlocal due_s
            estimate.goes_from(progress.rows)
            if time.monotonic() >= due_s:
                due_s = time.monotonic() + _PLAIN_EVERY_S
                Terminal(stderr=True).print(
                    f"{title}: {utc(progress.tick_ns)} rows {progress.rows:,} "
                    f"decisions {progress.decisions:,} open {progress.open_rows:,}; "
                    f"{estimate.words(progress.rows)}"
                )

        yield plain
        return
    recent: list[Decision] = []
    newest: list[Progress] = []

    def drawn() -> RenderableType:
        table = Table.grid(padding=(0, 2))
        for progress in newest:
            table.add_row(
                Text(title, style="bold"),
                utc(progress.tick_ns),
                f"{progress.rows:,} rows",
                f"{progress.open_rows:,} open",
                f"{progress.decisions:,} decisions",
                estimate.words(progress.rows),
            )
        grid = Table.grid()
        grid.add_row(table)
        for decision in recent.copy():
            grid.add_row(decision_line(decision))
        return _Seen(grid)

    def shown(progress: Progress) -> None:
        # Drawn by the thread of the display alone: where a terminal stands still, it waits.
        estimate.goes_from(progress.rows)
        recent.extend(progress.newest)
        del recent[:-10]
        newest[:] = [progress]

    live = Live(get_renderable=drawn, console=console, refresh_per_second=8, transient=True)
    with suppress(OSError):  # the terminal has gone: the run goes on
        live.start()
    try:
        yield shown
    finally:
        with suppress(OSError):
            live.stop()
