"""Who may write to a run directory, also after writers that were killed amid starting a child."""

import contextlib
import os
import subprocess
import sys

import pytest

from sightline.errors import UsageError
from sightline.runtime.run_lock import LOCK_NAME, run_lock

WRITER = """
import os, sys
from pathlib import Path
from sightline.runtime.run_lock import run_lock

with run_lock(Path(sys.argv[1])):
    if "child" not in sys.argv or os.fork():
        print("holds it", flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def writer(out, *options):
    """Another process that holds the run; with ``child`` it has one that never came to its exec."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(out), *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        process.stdout.readline()  # nothing where it was refused
        yield process
    finally:
        process.communicate(timeout=60)  # with the end of its input it and its child end


@contextlib.contextmanager
def killed_writer(out):
    """A writer that was killed while its child stands between fork and exec."""
    with writer(out, "child") as process:
        process.kill()
        process.wait(60)
        yield


def test_a_child_that_a_killed_writer_left_behind_holds_up_nobody(tmp_path):
    with killed_writer(tmp_path), run_lock(tmp_path):
        assert (tmp_path / LOCK_NAME).read_text() == str(os.getpid())


def test_who_follows_a_killed_writer_is_the_only_one(tmp_path):
    with killed_writer(tmp_path), run_lock(tmp_path), writer(tmp_path) as third:
        assert third.wait(60) != 0
        assert f"one held by process {os.getpid()}" in third.stderr.read()


@pytest.mark.parametrize("options", [(), ("child",)])
def test_a_writer_that_lives_is_named_to_the_next(tmp_path, options):
    with (
        writer(tmp_path, *options) as first,
        pytest.raises(UsageError, match=f"process {first.pid}"),
        run_lock(tmp_path),
    ):
        pass


def test_deleting_the_lock_file_admits_nobody(tmp_path):
    with writer(tmp_path):
        (tmp_path / LOCK_NAME).unlink()
        for _ in range(2):
            with pytest.raises(UsageError, match="nobody writes to"), run_lock(tmp_path):
                pass


def test_an_empty_file_in_the_place_of_the_lock_file_admits_nobody(tmp_path):
    with writer(tmp_path):
        (tmp_path / LOCK_NAME).unlink()
        (tmp_path / LOCK_NAME).touch()
        with pytest.raises(UsageError, match="nobody writes to"), run_lock(tmp_path):
            pass


def test_what_this_process_holds_it_does_not_lose_by_asking_again(tmp_path):
    with run_lock(tmp_path):
        with pytest.raises(UsageError, match=f"process {os.getpid()}"), run_lock(tmp_path):
            pass
        with writer(tmp_path) as other:
            assert other.wait(60) != 0


def test_it_is_free_again_when_the_writer_has_ended(tmp_path):
    for _ in range(2):
        with run_lock(tmp_path):
            pass
    with writer(tmp_path) as other:
        assert other.poll() is None
