"""What commands print: lines that no data can forge, and errors with their exit codes."""

import io
import json
import time

import pytest
import typer
from rich.table import Table
from rich.text import Text

from sightline.cli import console
from sightline.cli.console import Terminal, fail, fail_as_defect, print_json
from sightline.cli.sources import expected_rows
from sightline.errors import ContractError, SightlineError
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
