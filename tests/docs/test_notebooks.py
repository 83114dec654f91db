"""The notebooks print today what is printed in them."""

import importlib.util
import json

import pytest

from tests.docs.page_files import ROOT

FOLDER = ROOT / "docs" / "notebooks"


def texts(outputs):
    return ["".join(one.get("text") or one["data"]["text/plain"]) for one in outputs]


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.ipynb")), ids=lambda path: path.stem)
def test_a_notebook_prints_what_stands_in_it(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    spec = importlib.util.spec_from_file_location("running", FOLDER / "run_notebooks.py")
    running = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(running)
    notebook = json.loads(path.read_text(encoding="utf-8"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    for cell, outputs in zip(code, running.outputs_of(notebook), strict=True):
        assert texts(outputs) == texts(cell["outputs"]), "run docs/notebooks/run_notebooks.py"


def test_there_are_three_of_them_and_each_has_outputs():
    paths = sorted(FOLDER.glob("*.ipynb"))
    assert len(paths) == 3
    assert all('"outputs": [\n' in path.read_text(encoding="utf-8") for path in paths)
