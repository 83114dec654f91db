"""``python -m benchmarks house``: rooms, importers, small files, large functions of a package."""

import pytest
from typer.testing import CliRunner

from benchmarks.__main__ import app
from benchmarks.house import Count, house_lines, read_house
from sightline.errors import UsageError


@pytest.fixture
def folder(tmp_path):
    """A package of two rooms: one module has one importer, another is named in a string."""
    files = {
        "__init__.py": "",
        "errors.py": "X = 1\n",
        "sense/__init__.py": '__all__ = ["a", "b"]\nfrom sightline.sense.rows import a\n',
        "sense/rows.py": "a = b = isinstance(1, RowForm)\n",
        "runtime/__init__.py": "USED = 'sightline.runtime.stage:Stage'\n",
        "runtime/stage.py": "def step():\n" + "    pass\n" * 90,
    }
    for name, text in files.items():
        path = tmp_path / "src" / "sightline" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_every_room_is_counted_apart(folder):
    house = read_house(folder)
    assert house.rooms["sense"] == Count(
        lines=3, files=2, small_files=2, one_importer=1, public_names=2, form_checks=1
    )
    assert house.rooms["(root)"].files == 2
    assert house.total.lines == 3 + 1 + 92


def test_a_module_that_a_string_names_has_an_importer(folder):
    assert read_house(folder).rooms["runtime"].one_importer == 1


def test_a_function_of_over_80_lines_is_named(folder):
    assert [one.place for one in read_house(folder).large] == ["runtime/stage.py step"]


def test_a_checkout_its_src_and_the_package_count_the_same(folder):
    counted = [read_house(folder / name) for name in (".", "src", "src/sightline")]
    assert counted[0] == counted[1] == counted[2]


def test_a_folder_without_the_package_is_refused(tmp_path):
    with pytest.raises(UsageError, match="holds the package"):
        read_house(tmp_path)


def test_the_table_is_aligned_and_shows_before_and_after(folder):
    house = read_house(folder)
    table = house_lines(house, house)[: len(house.rooms) + 2]
    assert len({len(line) for line in table}) == 1
    assert "96 > 96" in table[-1]


def test_the_command_counts_this_package_against_another(folder):
    done = CliRunner().invoke(app, ["house", "--against", str(folder)])
    assert done.exit_code == 0, done.output
    assert "96 > " in next(line for line in done.output.splitlines() if line.startswith("total"))
