"""The runner of cases: what holds, what fell short, and what nobody checks."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks.__main__ import app
from benchmarks.cases import case as cases
from benchmarks.cases.tested import TESTS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("area/holds", "area/falls", "area/breaks", "area/unknown"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "run.sh").write_text("cat word.txt; exit 3\n")
        (tmp_path / name / "word.txt").write_text(name)
    return tmp_path


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    def holds(c: cases.Case) -> Iterator[str]:
        done = c.script()
        if (done.rc, done.out) != (3, "area/holds"):
            yield f"got {done}"

    def falls(_: cases.Case) -> Iterator[str]:
        yield "no alert"

    def breaks(_: cases.Case) -> Iterator[str]:
        yield str(1 // 0)

    table = {"area/holds": holds, "area/falls": falls, "area/breaks": breaks}
    monkeypatch.setattr(cases, "checks", lambda: table)


def run(folder: Path, *words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["cases", str(folder), *words])
    return done.exit_code, done.output


@pytest.mark.usefixtures("known")
def test_a_case_whose_check_says_nothing_held(folder: Path) -> None:
    code, out = run(folder, "--only", "holds")
    assert code == 0
    assert "1 held, 0 fell short" in out


@pytest.mark.usefixtures("known")
def test_what_a_check_says_is_printed_and_is_a_failure(folder: Path) -> None:
    code, out = run(folder, "--only", "falls")
    assert code == 1
    assert "no alert" in out


@pytest.mark.usefixtures("known")
def test_a_check_that_breaks_fell_short(folder: Path) -> None:
    code, out = run(folder, "--only", "breaks")
    assert code == 1
    assert "ZeroDivisionError" in out


@pytest.mark.usefixtures("known")
def test_a_case_without_a_check_is_no_success(folder: Path) -> None:
    code, out = run(folder, "--only", "unknown")
    assert code == 1
    assert "no check    area/unknown" in out


def test_a_folder_without_cases_is_no_success(tmp_path: Path) -> None:
    assert run(tmp_path)[0] == 1


def test_commands_can_be_those_of_another_checkout(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tells_its_version(c: cases.Case) -> Iterator[str]:
        yield c.run("sightline", "--version").out

    monkeypatch.setattr(cases, "checks", lambda: {"area/holds": tells_its_version})
    (tmp_path / "old" / "sightline" / "cli").mkdir(parents=True)
    (tmp_path / "old" / "sightline" / "__init__.py").touch()
    (tmp_path / "old" / "sightline" / "cli" / "__init__.py").write_text(
        "def main(): print('as it was before')"
    )
    _, out = run(folder, "--only", "holds", "--source", str(tmp_path / "old"))
    assert "as it was before" in out


@pytest.mark.usefixtures("known")
def test_the_folder_itself_is_left_as_it_was(folder: Path) -> None:
    before = sorted(p.name for p in folder.rglob("*"))
    run(folder)
    assert sorted(p.name for p in folder.rglob("*")) == before


def test_every_check_of_the_package_is_found_once() -> None:
    assert all(callable(check) for check in cases.checks().values())


def test_a_command_past_its_time_is_a_defect(tmp_path: Path) -> None:
    done = cases.Case(name="area/slow", folder=tmp_path).run("sleep", "30", timeout_s=0.2)
    assert done.is_defect


def test_every_case_with_a_check_has_tests_of_the_suite() -> None:
    assert set(TESTS) == set(cases.checks())
    assert all(TESTS.values())


@pytest.mark.parametrize("name", sorted({name for names in TESTS.values() for name in names}))
def test_a_test_that_a_case_names_is_there(name: str) -> None:
    file, test = name.split("::")
    tree = ast.parse((Path(__file__).parents[1] / file).read_text())
    assert test in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
