"""``sightline bench``: the benchmarks of a checkout, or where they are to be had."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import sightline
from sightline.cli.bench_command import checkout_of
from sightline.errors import UsageError

CHECKOUT = Path(sightline.__file__).parents[2]


def called(folder, *arguments):
    command = "from sightline.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", command, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )


def test_help_is_that_of_the_benchmarks_from_any_folder(tmp_path):
    done = called(tmp_path, "bench", "--help")
    assert done.returncode == 0, done.stderr
    assert "detector-bank" in done.stdout


def test_options_reach_the_benchmark_and_its_exit_code_comes_back(tmp_path):
    done = called(tmp_path, "bench", "pipeline", "--rows", "1")
    assert done.returncode == 2
    assert "10000" in done.stderr


def test_a_published_benchmark_is_one_of_the_checkout(tmp_path):
    done = called(tmp_path, "lab", "evaluate", "nab", "nowhere")
    assert done.returncode == 5, done.stderr
    assert "nowhere" in done.stderr


def test_an_installation_without_the_repository_says_where_benchmarks_are(tmp_path):
    with pytest.raises(UsageError, match="clone the repository"):
        checkout_of(tmp_path / "lib" / "sightline")
