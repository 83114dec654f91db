"""Commands of ``sightline``.

Exit codes: 0 done; 1 a replay, comparison or verification did not hold; 2 wrong usage;
3 contract; 4 pipeline; 5 source; 6 log, checkpoint or ledger; 7 alert receiver or database;
8 disk; 9 a worker process was killed; 10 most rows were refused; 70 a defect of Sightline.

A command is imported only when it is called, so that `--help` is quick.
"""

from __future__ import annotations

import importlib
import io
import os
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import MappingProxyType
from typing import Annotated, Any

import typer

import sightline
from sightline.cli.examples import add_examples, examples_of
from sightline.errors import SightlineError

COMMANDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "init": ("init_command:init", "Write a pipeline from your own table, video or camera."),
        "check": ("pipeline_commands:check", "Find all that is wrong with a pipeline file."),
        "doctor": ("doctor_command:doctor", "Find what would keep a run from working here."),
        "run": ("run_command:run", "Run a pipeline over rows, cameras, or both."),
        "live": ("run_command:live", "Run a pipeline on what comes, as it comes."),
        "detect": ("detect_command:detect", "Find what is unlike the past in a file."),
        "publish": ("publish_command:publish", "Put the rows of a file on a broker."),
        "batch": ("batch_command:app", "Jobs over many files, for a container."),
        "kpi": ("kpi_command:kpi", "Bring KPIs of files up to date; run it as often as you like."),
        "tiles": ("tiles_command:tiles", "Greatest recent score of each map tile."),
        "decisions": ("decisions_command:decisions", "List what a run decided, or filter it."),
        "explain": ("explain_command:explain_command", "Show why something was decided."),
        "model": ("model_command:model", "Show what each channel is expected to read."),
        "alerts": ("alert_commands:alerts", "Show active alarms, and which are hidden and why."),
        "alert": ("alert_commands:app", "Answer alarms of a run: acknowledge, shelve, mask."),
        "report": ("report_command:report", "Show what a run came to, or write it as a page."),
        "serve": ("serve_command:serve", "Show a run as a page, and answer its alarms there."),
        "replay": ("log_commands:replay", "Run the log again; 0 only if every byte is the same."),
        "verify": ("log_commands:verify", "Check the logs, and that every row is counted."),
        "stages": ("pipeline_commands:stages", "List stages, detectors, sources and outlets."),
        "schema": ("schema_commands:app", "JSON Schema for editors; tables of a ledger."),
        "telemetry": ("schema_commands:telemetry", "Telemetry in a database."),
        "prune": ("log_commands:prune", "Delete old contents of a log; hashes stay."),
        "quarantine": ("log_commands:quarantine", "Show refused rows, or feed them in again."),
        "outbox": (
            "outbox_command:outbox",
            "Show alerts that were not delivered; send them again.",
        ),
        "render": ("render_command:render", "Draw a run of cameras as a video or a picture."),
        "train": ("inspection_commands:train_app", "Learn a model from pictures."),
        "pod": ("pod_command:pod", "Tell how large a flaw must be to be found."),
        "inspect": ("inspection_commands:inspect", "Look at pictures of parts with a model."),
        "parts": ("parts_command:parts", "Show what is known of each part of a run."),
        "review": ("review_command:review", "Look at uncertain parts, and say what they are."),
        "demo": ("demo_command:demo", "Simulate satellites and run the gateway on them."),
        "lab": ("lab_commands:simulate", "Benchmarks, scores, profiles and simulated data."),
    }
)
"""Where each command is, and what it does; in the order of the help."""
EVERYDAY = frozenset(
    [
        "init",
        "check",
        "run",
        "live",
        "detect",
        "decisions",
        "explain",
        "alerts",
        "alert",
        "report",
        "serve",
        "replay",
        "verify",
    ]
)
"""Commands that most people need; the others stand apart in the help."""
LAB: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "bench": ("bench_command:bench", "Run a benchmark of the repository."),
        "profile": ("profile_command:profile", "Show which stage takes most of the time it has."),
        "evaluate": ("evaluate_commands:app", "Compare results with the truth."),
        "track": ("track_command:track", "Track things through a file of detections."),
        "simulate": ("lab_commands:simulate", "Write simulated recordings."),
    }
)
"""Commands of ``sightline lab``."""
INTERRUPTED = 130
"""Exit code of a command that was interrupted."""
OLD_NAMES = frozenset(["bench", "evaluate", "profile", "track"])
"""Those that were commands of their own before; they still answer to that."""


PASSES_OPTIONS_ON: Mapping[str, Any] = MappingProxyType(
    {
        "add_help_option": False,
        "context_settings": {"allow_extra_args": True, "ignore_unknown_options": True},
    }
)
"""How a command of a benchmark is added: each option after it, --help too, is the benchmark's."""


def app_for(arguments: Sequence[str]) -> typer.Typer:
    """All commands; only the one that ``arguments`` call is imported.

    Args:
        arguments: of the command line, without the program.
    """
    called = [a for a in arguments if not a.startswith("-")][:2]
    app = typer.Typer(
        name="sightline",
        help="Raw sensor streams in, audited decisions out, on time.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(invoke_without_command=True)(_options)
    first = called[0] if called else ""
    for name in COMMANDS:
        panel = "Every day" if name in EVERYDAY else "Lab" if name == "lab" else "Now and then"
        if name == "lab" and name == first:
            app.add_typer(_lab(called[1:]), name=name)
            continue
        _add(app, name, COMMANDS[name], is_called=name == first, rich_help_panel=panel)
    for name in sorted(OLD_NAMES):
        called_so = name == first
        _add(app, name, LAB[name], is_called=called_so, words=f"lab {name}", hidden=True)
    return app


def _lab(called: Sequence[str]) -> typer.Typer:
    """Its commands; only the one that is called is imported."""
    lab = typer.Typer(help=COMMANDS["lab"][1], no_args_is_help=True)
    for name, command in LAB.items():
        _add(lab, name, command, is_called=name in called, words=f"lab {name}")
    return lab


def _add(
    app: typer.Typer,
    name: str,
    command: tuple[str, str],
    *,
    is_called: bool,
    words: str = "",
    **how: Any,
) -> None:
    """Add a command; one that is not called only as a line of the help."""
    place, short_help = command
    if not is_called:
        app.command(name, help=short_help, **how)(_not_called)
        return
    module_name, _, attribute = place.partition(":")
    words = words or name
    found = getattr(importlib.import_module(f"sightline.cli.{module_name}"), attribute)
    if isinstance(found, typer.Typer):
        add_examples(found, words)
        app.add_typer(found, name=name, **how)
    else:
        settings = PASSES_OPTIONS_ON if name == "bench" else {}
        app.command(name, epilog=examples_of(words), **settings, **how)(found)


def _not_called() -> None:
    """Stands for a command in the list of all."""


def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version, and leave.")
    ] = False,
) -> None:
    if version:
        typer.echo(sightline.__version__)
        raise typer.Exit


@contextmanager
def _leaving_in_time() -> Iterator[None]:
    """End the process with its exit code, even if a thread hangs.

    A thread that was left behind in native code (a detector, a camera) would take the interpreter
    down with it as that ends, and the exit code would be that of the crash. All that counts is on
    the disk by now.
    """
    code: object = None
    try:
        yield
    except SystemExit as leave:
        code = leave.code
    if any(thread.daemon for thread in threading.enumerate()):
        if code is not None and not isinstance(code, int):
            sys.stderr.write(f"{code}\n")
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(code if isinstance(code, int) else int(code is not None))
    sys.exit(code)  # type: ignore[arg-type]


@_leaving_in_time()
def main() -> None:
    """Entry point of the ``sightline`` command."""
    # How a sum is dealt out to threads decides its last bits: what is learnt outside a run
    # (`detect`, `train`) would be other bytes on a machine with more cores. The core of a run sees
    # to it itself. Before NumPy is imported.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal of Latin-1 has no triangle
        sys.stdout.reconfigure(errors="backslashreplace")
    called = next((a for a in sys.argv[1:] if not a.startswith("-")), "")
    if called in OLD_NAMES:
        sys.stderr.write(f"note: `sightline {called}` is `sightline lab {called}` now\n")
    try:  # a shell that completes gives the words in the environment
        app_for(sys.argv[1:] or os.environ.get("_TYPER_COMPLETE_ARGS", "").split()[1:])()
    except KeyboardInterrupt:  # while a command is imported
        sys.exit(INTERRUPTED)
    except SystemExit as leave:
        # Typer leaves with 1, which means that something did not hold, where a file ended too early
        # or a pipe to somewhere broke; in neither case has it said which.
        lost = _lost_in(leave)
        if lost is None:
            raise
        _fail(lost)
    except BaseException as error:  # noqa: BLE001 - a panic of Polars is no Exception
        _fail(error)


def _lost_in(leave: SystemExit) -> BaseException | None:
    """The error that nobody foresaw and Typer made an exit with 1 of."""
    if leave.code != 1:
        return None
    error: BaseException | None = leave
    while error is not None:
        if isinstance(error, EOFError | BrokenPipeError):
            return error
        error = error.__cause__ or error.__context__
    return None


def _fail(error: BaseException) -> None:
    from sightline.cli.console import fail, fail_as_defect  # noqa: PLC0415 - help waits not

    try:
        fail(error) if isinstance(error, SightlineError) else fail_as_defect(error)
    except typer.Exit as left:
        sys.exit(left.exit_code)
