"""The tutorials: their files are written, and every line after a `$` is typed, in order."""

import json
import os
import re
import runpy
import shlex
import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

from sightline.cli.main import app_for
from tests.docs.page_files import ROOT, write_files

PAGES = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MAIN = "import sys; sys.argv[0] = 'sightline'; from sightline.cli import main; main()"
PATIENCE_S = 60.0


class Reader:
    """Types what a page says into one folder."""

    def __init__(self, folder):
        self.folder, self.behind, self.printed = folder, [], ""

    def type(self, line):
        if line.endswith("&"):
            script = line.removesuffix("&").replace("sightline ", f'{sys.executable} -c "{MAIN}" ')
            script = re.sub(r"\bpython (?=\w+\.py)", f"{sys.executable} ", script)
            self.behind.append(subprocess.Popen(["bash", "-c", script], cwd=self.folder))
        elif line == "wait":
            for process in self.behind:
                assert process.wait(timeout=PATIENCE_S) == 0
            self.behind = []
        elif line.startswith("python "):
            runpy.run_path(line.removeprefix("python "))
        else:
            self._sightline(shlex.split(line)[1:])

    def _sightline(self, words):
        if "ID" in words:
            run = words[words.index("ID") - 1]
            found = self._run(["decisions", run, "--json"], keeps=False).output
            words = [
                json.loads(found)["newest"][-1]["decision_id"] if w == "ID" else w for w in words
            ]
        until_s = time.monotonic() + PATIENCE_S
        done = self._run(words)
        while self.behind and done.exit_code and time.monotonic() < until_s:
            time.sleep(0.5)  # what goes on beside it has not come so far
            done = self._run(words)
        assert done.exit_code == 0, f"{words}: {done.output} {done.exception}"

    def _run(self, words, *, keeps=True):
        done = CliRunner().invoke(app_for(words), words)
        self.printed += done.output if keeps else ""
        return done


SAYS = {
    "detect-on-a-file": "south",
    "pipeline-for-your-telemetry": "BATTERY_LOW",
    "camera-with-a-zone": "IN_FORBIDDEN_ZONE",
    "a-stage-of-your-own": "LEVEL_FELL",
    "live-with-alerts": "acknowledged by Ana Silva",
}


LONG = {"live-with-alerts", "pipeline-for-your-telemetry"}
"""What goes on for most of a minute; every other one is their small sibling."""


@pytest.mark.parametrize(
    "page",
    [pytest.param(p, id=p.stem, marks=pytest.mark.soak if p.stem in LONG else ()) for p in PAGES],
)
def test_a_tutorial_does_what_it_says(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    )
    write_files(str(page.relative_to(ROOT)), tmp_path)
    reader = Reader(tmp_path)
    typed = [text for kind, text in BLOCK.findall(page.read_text(encoding="utf-8")) if not kind]
    for block in typed:
        for line in block.splitlines():
            assert line.startswith("$ "), line
            reader.type(line.removeprefix("$ "))
    assert SAYS[page.stem] in reader.printed


def test_there_is_a_tutorial_for_each_that_is_promised():
    assert {page.stem for page in PAGES} == set(SAYS)
