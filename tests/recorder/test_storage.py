"""The real disk and the simulated one keep the same promises; the simulated one can break."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from sightline.errors import LogError, StorageError, UsageError
from sightline.recorder import DirectoryStorage
from sightline.recorder.storage import Storage, storage_error
from simulation.disk import SECTOR_BYTES, SimulatedCrash, SimulatedDisk


@pytest.fixture(params=["directory", "directory that is not durable", "simulated"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "simulated":
        return SimulatedDisk()
    return DirectoryStorage(tmp_path / "run", durable=request.param == "directory")


def _write(storage: Storage, path: str, data: bytes) -> None:
    file = storage.create(path)
    file.write(data)
    storage.sync(file)
    file.close()


def _read(storage: Storage, path: str) -> bytes:
    with storage.open_read(path) as file:
        return file.read()


def test_what_was_written_is_read_back(storage: Storage) -> None:
    _write(storage, "a/b/c.bin", b"hello")
    assert _read(storage, "a/b/c.bin") == b"hello"
    assert storage.size("a/b/c.bin") == 5


def test_tell_counts_bytes_that_are_still_buffered(storage: Storage) -> None:
    file = storage.create("a.bin")
    file.write(b"hello")
    assert file.tell() == 5
    file.close()


def test_what_is_there_already_is_not_written_over(storage: Storage) -> None:
    _write(storage, "a.bin", b"hello")
    with pytest.raises(LogError, match="no file of this name yet"):
        storage.create("a.bin")
    assert _read(storage, "a.bin") == b"hello"


def test_what_an_interrupted_write_left_behind_is_replaced(storage: Storage) -> None:
    _write(storage, "a.bin.tmp", b"hello")
    _write(storage, "a.bin.tmp", b"x")
    assert _read(storage, "a.bin.tmp") == b"x"


def test_synced_bytes_are_seen_by_readers_before_the_file_is_closed(storage: Storage) -> None:
    file = storage.create("a.bin")
    file.write(b"hello")
    storage.sync(file)
    assert _read(storage, "a.bin") == b"hello"
    file.close()


def test_a_reader_can_seek(storage: Storage) -> None:
    _write(storage, "a.bin", b"hello")
    with storage.open_read("a.bin") as file:
        file.seek(3)
        assert file.read() == b"lo"


def test_a_file_can_be_synced_by_its_path(storage: Storage) -> None:
    _write(storage, "f/a", b"hello")
    storage.sync_path("f/a")
    assert _read(storage, "f/a") == b"hello"


def test_replace_takes_the_place_of_the_target(storage: Storage) -> None:
    _write(storage, "f/a", b"old")
    _write(storage, "f/a.tmp", b"new")
    storage.replace("f/a.tmp", "f/a")
    assert _read(storage, "f/a") == b"new"
    assert storage.listdir("f") == ["a"]


def test_names_are_listed_sorted(storage: Storage) -> None:
    for name in ("f/b", "f/a", "f/c/d"):
        _write(storage, name, b"")
    assert storage.listdir("f") == ["a", "b", "c"]


def test_an_absent_folder_is_empty(storage: Storage) -> None:
    assert storage.listdir("nowhere") == []
    assert not storage.exists("nowhere")


def test_a_removed_file_is_gone(storage: Storage) -> None:
    _write(storage, "f/a", b"")
    assert storage.exists("f/a")
    storage.remove("f/a")
    assert not storage.exists("f/a")


def test_a_missing_file_is_a_log_error_that_names_it(storage: Storage) -> None:
    with pytest.raises(LogError, match="f/missing"):
        storage.open_read("f/missing")
    with pytest.raises(LogError, match="f/missing"):
        storage.size("f/missing")


@pytest.mark.parametrize("path", ["", "/etc/passwd", "../up", "a/../../up", "a\\b", "a\0b"])
def test_a_path_that_leaves_the_root_is_refused(storage: Storage, path: str) -> None:
    with pytest.raises(UsageError, match="below the run directory"):
        storage.create(path)


def test_a_file_of_another_storage_cannot_be_synced(storage: Storage, tmp_path: Path) -> None:
    other = SimulatedDisk() if isinstance(storage, DirectoryStorage) else DirectoryStorage(tmp_path)
    with pytest.raises(UsageError):
        storage.sync(other.create("a.bin"))


# --- the real disk --------------------------------------------------------------------------------


def test_a_full_disk_is_a_storage_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    storage = DirectoryStorage(tmp_path)
    file = storage.create("full.bin")
    file.write(b"x")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="free space on the disk"):
        storage.sync(file)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_a_storage_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StorageError, match="check the disk and its permissions"):
        DirectoryStorage(tmp_path).create("a.bin")


def test_a_file_in_place_of_a_folder_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"")
    with pytest.raises(StorageError, match="log/a"):
        DirectoryStorage(tmp_path).create("log/a")


@pytest.mark.parametrize("target", ["outside.bin", "nowhere.bin"])
def test_a_link_is_neither_read_nor_written_through(tmp_path: Path, target: str) -> None:
    (tmp_path / "outside.bin").write_bytes(b"precious")
    run = tmp_path / "run"
    run.mkdir()
    (run / "a.bin").symlink_to(tmp_path / target)
    (run / "a.bin.tmp").symlink_to(tmp_path / target)
    (run / "log").symlink_to(tmp_path)
    storage = DirectoryStorage(run)
    for attempt in (
        lambda: storage.open_read("a.bin"),
        lambda: storage.create("a.bin"),
        lambda: storage.sync_path("a.bin"),
        lambda: storage.open_read("log/outside.bin"),
        lambda: storage.create("log/b.bin"),
        lambda: storage.listdir("log"),
    ):
        with pytest.raises(LogError):
            attempt()
    _write(storage, "a.bin.tmp", b"new")
    assert (tmp_path / "outside.bin").read_bytes() == b"precious"
    assert not (tmp_path / "nowhere.bin").exists()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.bin")
    with pytest.raises(LogError, match="a folder, pipe or device"):
        DirectoryStorage(tmp_path).open_read("a.bin")


def test_what_is_made_is_for_its_owner_alone(tmp_path: Path) -> None:
    _write(DirectoryStorage(tmp_path / "run"), "log/a.bin", b"x")
    modes = {p.name: p.stat().st_mode & 0o777 for p in (tmp_path / "run").rglob("*")}
    assert modes == {"log": 0o700, "a.bin": 0o600}
    assert (tmp_path / "run").stat().st_mode & 0o777 == 0o700


def test_nothing_is_written_or_removed_once_somebody_else_writes(tmp_path: Path) -> None:
    is_ours = [True]

    def check() -> None:
        if not is_ours[0]:
            raise LogError(expected="us", got="another", where="here", action="stop")

    storage = DirectoryStorage(tmp_path, check_writer=check)
    _write(storage, "a.bin", b"x")
    file = storage.create("b.bin")
    is_ours[0] = False
    for attempt in (
        lambda: storage.create("c.bin"),
        lambda: storage.sync(file),
        lambda: storage.sync_path("a.bin"),
        lambda: storage.replace("a.bin", "d.bin"),
        lambda: storage.remove("a.bin"),
    ):
        with pytest.raises(LogError, match="expected us"):
            attempt()
    assert _read(storage, "a.bin") == b"x"


def test_a_full_quota_says_to_free_space() -> None:
    error = storage_error(OSError(errno.EDQUOT, "Disk quota exceeded"), "a.bin")
    assert error.action.startswith("free space")


# --- the simulated disk ---------------------------------------------------------------------------


def test_a_power_cut_keeps_every_synced_byte_and_a_prefix_of_the_rest() -> None:
    kept_sizes = set()
    for seed in range(50):
        disk = SimulatedDisk()
        file = disk.create("a")
        file.write(b"synced")
        disk.sync(file)
        file.write(b" volatile")
        after = disk.crash(np.random.default_rng(seed), garble_probability=0.0)
        data = after.read_bytes("a")
        assert b"synced volatile".startswith(data)
        assert data.startswith(b"synced")
        kept_sizes.add(len(data))
    assert {6, 15} <= kept_sizes


def test_a_power_cut_garbles_only_the_last_sector_and_only_what_was_not_synced() -> None:
    disk = SimulatedDisk()
    file = disk.create("a")
    file.write(b"s" * 100)
    disk.sync(file)
    file.write(b"v" * 3 * SECTOR_BYTES)
    after = disk.crash(np.random.default_rng(3), garble_probability=1.0).read_bytes("a")
    good = max(100, (len(after) - 1) // SECTOR_BYTES * SECTOR_BYTES)
    assert after[:good] == (b"s" * 100 + b"v" * 3 * SECTOR_BYTES)[:good]
    assert after[good:] != b"v" * (len(after) - good)


def test_a_power_cut_keeps_what_was_synced_by_path() -> None:
    disk = SimulatedDisk()
    disk.create("a").write(b"hello")
    disk.sync_path("a")
    assert disk.crash(np.random.default_rng(0)).read_bytes("a") == b"hello"


def test_a_power_cut_keeps_names() -> None:
    disk = SimulatedDisk()
    _write(disk, "a.tmp", b"new")
    disk.replace("a.tmp", "a")
    assert disk.crash(np.random.default_rng(0)).paths() == ["a"]


def test_a_full_simulated_disk_takes_what_fits_and_fails() -> None:
    disk = SimulatedDisk(capacity_bytes=8)
    file = disk.create("a")
    file.write(b"hello")
    with pytest.raises(StorageError, match="no space left"):
        file.write(b"world")
    assert disk.read_bytes("a") == b"hellowor"


def test_the_chosen_operation_fails_once() -> None:
    disk = SimulatedDisk(fail_at_operation=2)
    file = disk.create("a")
    with pytest.raises(StorageError):
        file.write(b"1234")
    file.write(b"56")
    assert disk.read_bytes("a") == b"1256"


def test_from_the_chosen_operation_on_the_power_is_out() -> None:
    disk = SimulatedDisk(crash_at_operation=2)
    file = disk.create("a")
    for _ in range(2):
        with pytest.raises(SimulatedCrash):
            file.write(b"1234")
