"""Usual mistakes in files: each is told with its place, and doing what is said makes it right."""

import re

import pytest
from typer.testing import CliRunner

from cli.following import follow
from cli.mistake_files import CONTRACT, PIPELINE, SITE, write_right_files
from sightline.cli.main import app_for
from sightline.runtime.pipeline_file import find_problems, load_plan

# What is written wrong: file, right text, wrong text, the place that is named, and what to write.
MISTAKES = {
    "a key misspelt": ("p", "raise_below: 24", "raise_bellow: 24", "line 11", "'raise_below'"),
    "a key of another tool": ("p", "width_s: 60", "width: 60", "line 5", "'width_s'"),
    "a stage misspelt": ("p", "use: alarm", "use: alram", "line 7", "'alarm'"),
    "an input that is not there": ("p", "input: minutes", "input: minuts", "line 8", "'minutes'"),
    "a number with a unit": ("p", "width_s: 60", "width_s: 60 s", "line 5", "`width_s: 60`"),
    "a code in small letters": ("p", "code: LOW", "code: low", "line 12", "'LOW'"),
    "a name with blanks": ("p", "pipeline: battery", "pipeline: Battery", "line 1", "'battery'"),
    "another unit": ("p", "unit: V", "unit: mV", "line 10", "`unit: V`"),
    "a statistic misspelt": ("p", "[mean]", "[maen]", "line 5", "'mean'"),
    "a measure of a field that is not there": (
        "p", "measure: bus_v.mean", "measure: bus.mean", "line 6", "'bus_v.mean'"),
    "a key that is no list": (
        "t", "key: [satellite]", "key: satellite", "line 2", "`key: [satellite]`"),
    "a type of another language": ("t", "type: number", "type: float", "line 5", "'number'"),
    "a unit under another key": ("t", "unit: V", "units: V", "line 5", "'unit'"),
    "a time format misspelt": (
        "t", "format: iso8601", "format: iso8061", "line 3", "'iso8601'"),
    "a time that runs back": (
        "t", "out_of_order_s: 5", "out_of_order_s: -5", "line 6", "`out_of_order_s: 0` or more"),
    "a contract that is not there": ("p", "t.yaml", "other.yaml", "line 3", "'t.yaml'"),
    "a size as a text": ("s", "width_px: 160", "width_px: 160px", "line 6", "`width_px: 160`"),
    "a zone outside the picture": ("s", "[99, 99]", "[990, 99]", "line 14", "[160, 99]"),
    "a camera that is not there": ("s", "camera: east", "camera: eaast", "line 13", "'east'"),
    "a detector misspelt": (
        "s", "detector: moves\n  west", "detector: motion\n  west", "line 7", "'moves'"),
    "a time of day for a number": ("p", "width_s: 60", "width_s: 1:00", "line 5", "write 60,"),
}  # fmt: skip


def written(folder, kind="", right="", wrong=""):
    """The files, one of them with a mistake; the one to check."""
    write_right_files(folder)
    path = folder / "s.yaml" if kind == "s" else folder / "p.yaml"
    if kind:
        text = {"p": PIPELINE, "t": CONTRACT, "s": SITE}[kind]
        assert right in text
        (folder / f"{kind}.yaml").write_text(text.replace(right, wrong))
    return path


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_with_its_line_and_what_to_write(tmp_path, mistake):
    kind, right, wrong, place, advice = MISTAKES[mistake]
    [problem, *_] = find_problems(written(tmp_path, kind, right, wrong))
    assert place in problem.where
    assert advice in f"{problem.expected}; {problem.action}"
    assert not re.search("Input should|Extra inputs|Field required|pydantic", str(problem))


@pytest.mark.parametrize("mistake", MISTAKES)
def test_what_is_advised_is_done_and_works(tmp_path, mistake):
    path = written(tmp_path, *MISTAKES[mistake][:3])
    [problem, *others] = find_problems(path)
    assert others == []
    follow(where=problem.where, advice=problem.action, got=problem.got)
    assert find_problems(path) == []
    load_plan(path)


def test_all_problems_of_all_files_are_told_at_once(tmp_path):
    path = written(tmp_path, "p", "raise_below: 24", "raise_bellow: 24")
    text = path.read_text().replace("width_s: 60", "width_s: wide")
    path.write_text(text)
    (tmp_path / "t.yaml").write_text(CONTRACT.replace("unit: V", "units: V"))
    places = [problem.where for problem in find_problems(path)]
    assert [place.partition(", ")[2].split(",")[0] for place in places] == [
        "line 5", "line 11", "line 5",
    ]  # fmt: skip


def test_check_prints_place_expectation_and_advice(tmp_path):
    arguments = ["check", str(written(tmp_path, "p", "code: LOW", "code: low"))]
    done = CliRunner().invoke(app_for(arguments), arguments)
    assert done.exit_code == 4
    assert "line 12, stages.low.code" in done.output
    assert "do        write 'LOW'" in done.output
    assert "1 problem\n" in done.output
