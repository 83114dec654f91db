"""What commands print: lines that no data can forge, and errors with their exit codes."""

import contextlib
import errno
import io
import json
import os
import pty
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
import typer
from rich.table import Table
from rich.text import Text

from sightline.cli import console
from sightline.cli.console import Terminal, fail, fail_as_defect, print_json, print_trouble
from sightline.cli.sources import expected_rows
from sightline.errors import ContractError, SightlineError, StorageError
from sightline.runtime import Progress
from sightline.sense import open_source
from sightline.sense.contract import parse_contract

HOSTILE = "\x1b]0;PWNED\x07\x1b[2J\nerror: forged\r[red]x[/nope]\u202e"


def printed(*objects, **options):
    terminal = Terminal()
    terminal.file = io.StringIO()
    terminal.print(*objects, **options)
    return terminal.file.getvalue()


@pytest.mark.parametrize("shown", [HOSTILE, Text(HOSTILE), Text(HOSTILE, style="bold")])
def test_a_text_is_one_line_whatever_is_in_it(shown):
    out = printed(shown)
    assert out.count("\n") == 1
    assert not set(out) & set("\x1b\x07\r\u202e")


def test_a_name_between_colons_is_no_picture():
    assert printed("root:x:0") == "root:x:0\n"


def test_a_table_has_no_escape_sequence_of_data_in_it():
    table = Table()
    table.add_row(Text(HOSTILE))
    assert not set(printed(table)) & set("\x1b\x07\r\u202e")


def test_an_error_is_four_lines_whatever_is_in_it(capsys):
    with pytest.raises(typer.Exit):
        fail(ContractError(expected=HOSTILE, got=HOSTILE, where=HOSTILE, action=HOSTILE))
    said = capsys.readouterr().err
    assert said.count("\n") == 5
    assert "\x1b" not in said


def test_json_has_no_mark_of_direction_in_it_and_means_the_same(capsys):
    print_json({HOSTILE: "\ud800"})
    said = capsys.readouterr().out
    assert "\u202e" not in said
    assert json.loads(said) == {HOSTILE: "\ud800"}


def test_a_defect_says_what_to_report_and_exits_with_70(capsys):
    try:
        console.utc(None)
    except TypeError as error:
        with pytest.raises(typer.Exit) as left:
            fail_as_defect(error)
    said = capsys.readouterr().err
    assert left.value.exit_code == 70
    assert "a defect of Sightline" in said and "console.py, line" in said
    assert "Traceback" not in said


def test_a_defect_shows_its_traceback_on_request(capsys, monkeypatch):
    monkeypatch.setenv("SIGHTLINE_TRACEBACK", "1")
    with pytest.raises(typer.Exit):
        fail_as_defect(ZeroDivisionError("x"))
    assert "ZeroDivisionError: x" in capsys.readouterr().err


def test_a_place_that_the_system_refuses_is_no_defect(capsys):
    with pytest.raises(typer.Exit) as left:
        fail_as_defect(OSError(errno.ENAMETOOLONG, "File name too long", "x" * 300))
    assert left.value.exit_code == StorageError.exit_code
    assert "File name too long" in capsys.readouterr().err


def every(kind):
    return [kind, *(one for below in kind.__subclasses__() for one in every(below))]


def test_no_error_leaves_with_the_codes_of_success_or_of_a_comparison():
    assert all(kind.exit_code not in (0, 1) for kind in every(SightlineError))


def test_a_file_of_text_is_expected_to_have_about_as_many_rows_as_it_has(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("time,v\n" + "2026-01-01T00:00:00Z,1.5\n" * 20_000)
    plain = {
        "contract": "t", "key": ["f"], "origin_column": "f", "event_time": {"column": "time"},
        "fields": {"v": {"type": "number", "unit": "V"}},
    }  # fmt: skip
    contract = parse_contract(plain, where="t")
    found = expected_rows({"t": open_source("t", str(path), contract)})
    assert found == pytest.approx(20_000, rel=0.01)


def test_what_no_terminal_shows_is_a_line_with_an_estimate(monkeypatch, capfd):
    monkeypatch.setattr(console, "_PLAIN_EVERY_S", 0.05)
    with console.working("walk", total=100) as note:
        note(50)
        time.sleep(0.2)
    assert "walk: 50 %, about" in capfd.readouterr().err
    with console.working("walk", is_quiet=True, total=100):
        time.sleep(0.1)
    assert capfd.readouterr().err == ""


def test_how_much_there_is_may_be_known_only_later(monkeypatch, capfd):
    monkeypatch.setattr(console, "_PLAIN_EVERY_S", 0.05)
    with console.working("pictures") as note:
        note(1, 4)
        time.sleep(0.2)
    assert "pictures: 25 %, about" in capfd.readouterr().err


# --- standard output and standard error that do not take what is printed --------------------------


@contextlib.contextmanager
def unread_pipe():
    """Standard error into a pipe that is full and that nobody reads."""
    reads, writes = os.pipe()
    os.set_blocking(writes, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writes, b"x" * 4096)
    os.set_blocking(writes, True)
    with os.fdopen(writes, "w", buffering=1) as stream, contextlib.redirect_stderr(stream):
        yield reads
    os.close(reads)


def read_all_of(reads):
    os.set_blocking(reads, False)
    found = b""
    with contextlib.suppress(BlockingIOError):
        while part := os.read(reads, 1 << 16):
            found += part
    return found


def test_what_a_run_says_beside_waits_for_nobody():
    with unread_pipe() as reads:
        for _ in range(3):  # each would wait for ever
            print_trouble("the ledger is locked")
        assert b"ledger" not in read_all_of(reads)
        print_trouble("the ledger is well again")
        assert b"well again" in read_all_of(reads)


def test_progress_of_a_run_waits_for_nobody(monkeypatch):
    monkeypatch.setattr(console, "_PLAIN_EVERY_S", 0.0)
    with unread_pipe() as reads:
        with console.progress_display("site", is_quiet=False) as show:
            show(Progress(tick_ns=0, rows=1, open_rows=0, decisions=0, newest=()))
        assert b"site" not in read_all_of(reads)


def test_progress_on_a_terminal_that_was_stopped_holds_up_no_run(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    ours, theirs = pty.openpty()
    with (
        os.fdopen(theirs, "w", buffering=1) as stream,
        contextlib.redirect_stderr(stream),
        console.progress_display("site", is_quiet=False) as show,
    ):
        termios.tcflow(theirs, termios.TCOOFF)  # Ctrl-S
        time.sleep(0.3)  # the display comes to write, and waits
        for tick_ns in range(20):
            show(Progress(tick_ns=tick_ns, rows=1, open_rows=0, decisions=0, newest=()))
        print_trouble("the ledger is locked")
        termios.tcflow(theirs, termios.TCOON)
    os.close(ours)


@pytest.mark.parametrize("gone", ["full", "closed"])
def test_a_standard_error_that_cannot_be_written_ends_nothing(gone, monkeypatch):
    stream = Path("/dev/full").open("w", buffering=1)  # noqa: SIM115 - may be closed here
    if gone == "closed":
        stream.close()
    monkeypatch.setattr(sys, "stderr", stream)
    print_trouble("the ledger is locked")
    with pytest.raises(typer.Exit) as left:
        fail(ContractError(expected="", got="", where="", action=""))
    assert left.value.exit_code == ContractError.exit_code


COMMANDS = """
import sys
from sightline.cli.main import main
commands = sys.modules["sightline.cli.main"]
"""


def program_run(program, **options):
    return subprocess.run(
        [sys.executable, "-c", f"{COMMANDS}\n{program}"],
        stderr=subprocess.PIPE,
        text=True,
        timeout=120,
        check=False,
        **options,
    )


def left_with(program, **options):
    done = program_run(program, **options)
    return done.returncode, done.stderr


PRINTS = """
from sightline.cli.console import Terminal, print_json
def prints(_):
    Terminal().print("a line") if sys.argv[1] == "line" else print_json(["x" * 99_999])
commands.app_for = lambda words: lambda: prints(words)
main()
"""


@pytest.mark.parametrize("what", ["line", "json"])
def test_a_full_disk_under_standard_output_is_told_as_one(what):
    with Path("/dev/full").open("w") as full:
        code, said = left_with(f"sys.argv[1:] = ['{what}']\n{PRINTS}", stdout=full)
    assert code == StorageError.exit_code
    assert "standard output" in said and "Traceback" not in said


@pytest.mark.parametrize("what", ["line", "json"])
def test_who_stops_reading_standard_output_hears_no_complaint(what):
    reads, writes = os.pipe()
    os.close(reads)
    with os.fdopen(writes, "w") as nobody:
        code, said = left_with(f"sys.argv[1:] = ['{what}']\n{PRINTS}", stdout=nobody)
    assert (code, said) == (console.UNREAD, "")


RAISES = """
import typer
app = typer.Typer()
@app.command()
def odd():
    raise {error}
commands.app_for = lambda words: lambda: app([])
main()
"""


@pytest.mark.parametrize("error", ["EOFError('cut')", "BrokenPipeError(32, 'Broken pipe')"])
def test_no_error_that_nobody_foresaw_passes_for_a_comparison_that_differs(error):
    code, said = left_with(RAISES.format(error=error))
    assert code == 70
    assert "a defect of Sightline" in said


def test_an_interrupt_while_a_command_is_imported_has_no_traceback():
    program = "def app_for(_): raise KeyboardInterrupt\ncommands.app_for = app_for\nmain()"
    assert left_with(program) == (130, "")


def test_a_terminal_without_unicode_gets_what_it_has_no_sign_for_written_out():
    program = """
from sightline.cli.console import Terminal, print_json
def prints():
    Terminal().print("\u25b2 \u00e9")
    print_json(["\u25b2 \u00e9 \U0001f600"])
commands.app_for = lambda words: prints
main()
"""
    ascii_only = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = program_run(program, stdout=subprocess.PIPE, env=ascii_only)
    line, document = done.stdout.split("\n", 1)
    assert (done.returncode, line) == (0, "\\u25b2 \\xe9")
    assert json.loads(document) == ["\u25b2 \u00e9 \U0001f600"]


@pytest.mark.parametrize(("given", "kept"), [({}, "1"), ({"OPENBLAS_NUM_THREADS": "3"}, "3")])
def test_the_command_calculates_on_one_thread_unless_it_is_told_otherwise(given, kept):
    code = (
        "import os, sys\nfrom sightline.cli import main\nassert 'numpy' not in sys.modules\n"
        "sys.argv = ['sightline', '--help']\ntry:\n    main()\nexcept SystemExit:\n    pass\n"
        "sys.stderr.write(os.environ['OPENBLAS_NUM_THREADS'])"
    )
    environment = {k: v for k, v in os.environ.items() if k != "OPENBLAS_NUM_THREADS"} | given
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stderr == kept
