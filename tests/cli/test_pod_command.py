"""``sightline pod``: from a table of flaws to a90, a90/95 and a drawing."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from perceive.inspection.scan_cases import write_scans
from sightline.cli.main import app_for
from sightline.errors import SourceError, UsageError


def pod(*arguments):
    done = CliRunner().invoke(app_for(("pod", *arguments)), ("pod", *arguments))
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.stdout


def table(tmp_path, rows, header="size,hit"):
    path = tmp_path / "flaws.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return str(path)


def hits():
    random = np.random.default_rng(0)
    size = np.exp(random.uniform(-1, 1.5, 60))
    is_hit = random.random(60) < 1 / (1 + np.exp(-3.5 * np.log(size)))
    return [f"{s:.4f},{int(h)}" for s, h in zip(size, is_hit, strict=True)]


def test_hits_and_misses_become_a90_and_a_drawing(tmp_path):
    out = tmp_path / "pod.svg"
    found = json.loads(pod(table(tmp_path, hits()), "-o", str(out), "--json"))
    assert found["a90"] < found["a90_95"]
    assert out.read_text().startswith("<svg")


def test_rows_of_size_0_are_false_calls(tmp_path):
    rows = [*hits(), *["0,0"] * 18, "0,1", "0,1"]
    found = json.loads(pod(table(tmp_path, rows), "--json"))
    assert (found["flaws"], found["false_calls"]["calls"]) == (60, 2)
    assert found["false_calls"]["opportunities"] == 20


def test_signals_need_a_threshold(tmp_path):
    with pytest.raises(UsageError, match="--threshold"):
        pod(table(tmp_path, ["1,2"], "size,signal"))


@pytest.mark.parametrize(
    ("rows", "header", "message"),
    [
        (["1,2"], "size,hit", "line 2: expected 0 or 1 in hit"),
        (["1,1", "x,0"], "size,hit", "line 3: expected numbers of 0 and more in size"),
        (["1,1"], "length,hit", "columns size,hit"),
    ],
)
def test_a_table_that_is_none_is_refused(tmp_path, rows, header, message):
    with pytest.raises(SourceError, match=message):
        pod(table(tmp_path, rows, header))


def test_b_scans_are_read_with_their_sizes_and_drawn(tmp_path):
    random = np.random.default_rng(0)
    sizes = [0.0] * 20 + np.exp(random.uniform(np.log(0.8), np.log(12), 60)).tolist()
    path = write_scans(tmp_path / "in", sizes, seed=3)
    out = pod(str(path), "--threshold", "3.2", "--pictures", str(tmp_path / "p"), "--json")
    found = json.loads(out)
    assert found["flaws"] == 60
    assert found["false_calls"]["opportunities"] == 20
    assert 0 < found["a90"] <= found["a90_95"]
    assert len(list((tmp_path / "p").glob("*.png"))) == 80
    assert (tmp_path / "p" / "signals.csv").read_text().startswith("size,signal")


def test_b_scans_need_a_threshold(tmp_path):
    path = write_scans(tmp_path / "in", [0.0, 1.0], seed=3)
    with pytest.raises(UsageError, match="--threshold"):
        pod(str(path))
