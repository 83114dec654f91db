"""What verify finds: any single change to any file of a finished run."""

import json
import os
import shutil
import sqlite3

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sightline.cli.log_commands import _noted_heads
from sightline.errors import LogError, SightlineError, UsageError
from sightline.limits import DEFAULT_LIMITS
from sightline.recorder import DirectoryStorage
from sightline.recorder.segment_reader import SegmentReader
from sightline.recorder.segment_writer import SegmentWriter
from sightline.runtime import RunDirectory, RunOptions, run_pipeline
from sightline.runtime.pruning import prune_run
from sightline.runtime.verification import ledger_changing, verify_run
from sightline.sense import MemorySource
from simulation.killable_run import ROWS
from simulation.small_world import small_plan

MAY_CHANGE = {"run.lock"}
"""Nothing reads these as the truth; see the module's docstring."""
MAY_BE_MISSING = "checkpoints/"
"""The state is rebuilt from the log."""


def run(out, **options):
    plan = small_plan(tick_s=2, sources={"t": {"contract": "small", "record": "payload"}})
    return run_pipeline(
        plan,
        {"t": MemorySource("t", {"t": ROWS})},
        out,
        options=RunOptions(durable=False, checkpoint_epochs=5, **options),
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("finished") / "run"
    run(out)
    return out


@pytest.fixture(scope="module")
def another(tmp_path_factory):
    out = tmp_path_factory.mktemp("another") / "run"
    run(out)
    return out


@pytest.fixture
def copy(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "run")


def files(run_path):
    return sorted(str(p.relative_to(run_path)) for p in run_path.rglob("*") if p.is_file())


def problems_of(run_path):
    return verify_run(RunDirectory.open(run_path, has_logs=False)).problems


def holds(run_path):
    """Whether verify says that a run is whole."""
    try:
        return bool(verify_run(RunDirectory.open(run_path, has_logs=False)))
    except LogError:
        return False


def test_a_finished_run_is_whole(finished):
    verdict = verify_run(RunDirectory.open(finished, has_logs=False))
    assert (verdict.problems, verdict.torn) == ((), ())
    assert verdict.is_closed


def test_to_verify_a_run_changes_nothing_in_it(copy):
    before = {name: (copy / name).read_bytes() for name in files(copy)}
    assert holds(copy)
    assert {name: (copy / name).read_bytes() for name in files(copy)} == before


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_any_changed_bit_of_any_file_is_found(finished, tmp_path_factory, data):
    names = [n for n in files(finished) if n not in MAY_CHANGE]
    name = data.draw(st.sampled_from(names))
    content = bytearray((finished / name).read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= 1 << data.draw(st.integers(0, 7))
    changed = shutil.copytree(finished, tmp_path_factory.mktemp("bit") / "run")
    (changed / name).write_bytes(content)
    assert not holds(changed), f"{name}, byte {at}"
    shutil.rmtree(changed)


def test_any_missing_file_is_found(finished, tmp_path):
    for name in files(finished):
        if name in MAY_CHANGE or name.startswith(MAY_BE_MISSING):
            continue
        changed = shutil.copytree(finished, tmp_path / "run")
        (changed / name).unlink()
        assert not holds(changed), name
        shutil.rmtree(changed)


@pytest.mark.parametrize("keep", [0.0, 0.5, 0.99])
def test_any_file_that_was_cut_is_found(finished, tmp_path, keep):
    for name in files(finished):
        if name in MAY_CHANGE:
            continue
        changed = shutil.copytree(finished, tmp_path / "run")
        os.truncate(changed / name, int((changed / name).stat().st_size * keep))
        assert not holds(changed), name
        shutil.rmtree(changed)


def test_any_file_of_another_run_with_the_same_input_is_found(finished, another, tmp_path):
    for name in files(finished):
        if name in MAY_CHANGE or not (another / name).exists():
            continue
        changed = shutil.copytree(finished, tmp_path / "run")
        shutil.copy(another / name, changed / name)
        assert not holds(changed), name
        shutil.rmtree(changed)


@pytest.mark.parametrize(
    "name", ["log/p000/zzz.mcap", "log/fan-in/1.mcap", "checkpoints/p000/notes.txt"]
)
def test_a_file_that_nothing_reads_is_found(copy, name):
    (copy / name).write_bytes(b"something")
    assert f"{name}: nothing reads it" in str(problems_of(copy))


@pytest.mark.parametrize("what", ["log", "log/p000", "log/fan-in", "ledger.sqlite"])
def test_whatever_is_removed_whole_is_found(copy, what):
    target = copy / what
    shutil.rmtree(target) if target.is_dir() else target.unlink()
    assert not holds(copy)


def test_an_emptied_folder_is_no_run(tmp_path):
    with pytest.raises(LogError, match=r"a run directory with run\.json"):
        RunDirectory.open(tmp_path)


def shortened(run_path, name, groups):
    """Cut a log to its first groups and finish it anew: a chain that holds."""
    storage = DirectoryStorage(run_path, durable=False)
    with SegmentReader(storage, name, 0, limits=DEFAULT_LIMITS) as reader:
        path = f"log/{name}/000000.mcap"
        writer = SegmentWriter(storage, path + ".tmp", reader.header()[0])
        for number, group in enumerate(reader.groups()):
            if number == groups:
                break
            for entry in group.entries:
                writer.append(
                    sequence=entry.sequence,
                    kind=entry.linked.kind,
                    name=entry.linked.name,
                    time_ns=entry.linked.time_ns,
                    payload=reader.payload(entry),
                )
            writer.commit(group.commit)
        writer.finish()
    storage.replace(path + ".tmp", path)


@pytest.mark.parametrize("name", ["p000", "fan-in"])
@pytest.mark.parametrize("groups", [0, 1, 3])
def test_a_log_that_was_cut_and_finished_anew_is_found(copy, name, groups):
    shortened(copy, name, groups)
    assert not holds(copy)


def test_a_closed_run_is_not_resumed_on_a_ledger_that_was_changed(copy):
    with sqlite3.connect(copy / "ledger.sqlite") as connection:
        connection.execute("UPDATE decisions SET severity = 'info'")
    connection.close()
    with pytest.raises(LogError, match="changed since the run was closed"):
        run(copy, resume=True)


def test_a_closed_run_whose_ledger_is_gone_is_resumed(copy):
    (copy / "ledger.sqlite").unlink()
    run(copy, resume=True)
    assert holds(copy)


@pytest.mark.parametrize("name", ["p000", "fan-in"])
def test_a_run_is_not_resumed_on_a_log_that_was_cut(copy, name):
    shortened(copy, name, 3)
    before = (copy / "log" / name / "000000.mcap").read_bytes()
    with pytest.raises(LogError, match="cut"):
        run(copy, resume=True)
    assert (copy / "log" / name / "000000.mcap").read_bytes() == before


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM decisions WHERE rowid IN (SELECT rowid FROM decisions LIMIT 1)",
        "UPDATE decisions SET severity = 'info'",
        "UPDATE decisions SET event_ns = event_ns + 1 WHERE rowid = 1",
        "UPDATE decisions SET canonical = replace(canonical, 'warning', 'info')",
        "UPDATE accounts SET accounts = replace(accounts, '1', '2')",
        "UPDATE applied_through SET log_sequence = 1000000000",
        "UPDATE applied_through SET chain_hash = ''",
        "UPDATE writer SET epoch = 0",
        "UPDATE writer SET run_id = 'another'",
        "DELETE FROM writer",
    ],
)
@pytest.mark.parametrize("is_closed", [True, False])
def test_any_changed_row_of_the_ledger_is_found(copy, sql, is_closed):
    if not is_closed:  # a run that was killed has no digest of its ledger
        if "accounts" in sql or "epoch = 0" in sql:
            return  # made again by the resume; what a run leaves that was killed as it opened
        directory = RunDirectory.open(copy)
        directory.in_state(
            type(directory.state)(epoch=directory.state.epoch, heads=directory.state.heads)
        )
    with sqlite3.connect(copy / "ledger.sqlite") as connection:
        assert connection.execute(sql).rowcount
    connection.close()
    assert not holds(copy)


@pytest.mark.parametrize(
    "change",
    [
        lambda plain: plain["plan"]["pipeline"].update(latency_budget_s=99.0),
        lambda plain: plain["plan"]["pipeline"].update(partitions=7),
        lambda plain: plain["controls"].append({"control": "mask"}),
        lambda plain: plain["sources"]["t"].update(fingerprint=[{"sha256": "0"}]),
        lambda plain: plain.update(digest="0"),
        lambda plain: plain.update(run_id="0" * 32),
        lambda plain: plain["state"].update(closed=False),
        lambda plain: plain["state"].update(epoch=9),
        lambda plain: plain["state"].update(heads={}),
        lambda plain: plain["state"].update(ledger=""),
        lambda plain: plain.pop("state"),
    ],
)
@pytest.mark.parametrize("has_digest", [True, False])
def test_any_edit_of_run_json_is_found(copy, change, has_digest):
    plain = json.loads((copy / "run.json").read_text())
    change(plain)
    text = json.dumps(plain, indent=1)
    if has_digest:  # an editor who knows the form
        from sightline.runtime.run_directory import _manifest_text

        given = {n: v for n, v in plain.items() if n not in ("state", "sha256")}
        text = _manifest_text(given, plain.get("state")).decode()
    (copy / "run.json").write_text(text)
    if (
        has_digest
        and text == (copy / "run.json").read_text()
        and plain.get("state", {}).get("ledger", "x") == ""
        and plain["state"]["closed"]
        and plain["state"]["heads"]
    ):
        return  # only the digest of the ledger is gone, which then is compared row by row
    assert not holds(copy)


@pytest.mark.parametrize(
    "given", ["deadbeef", "p0000=deadbeef", "P000=deadbeef", "p000=xyz", "p000="]
)
def test_a_head_with_a_typing_error_is_refused(given):
    with pytest.raises(UsageError, match="--head"):
        _noted_heads([given], ["p000", "fan-in"])


def test_a_head_in_capitals_is_the_same_head():
    assert _noted_heads(["p000=ABCD"], ["p000"]) == {"p000": {"abcd"}}


def test_a_head_of_an_earlier_moment_holds_and_another_does_not(finished):
    directory = RunDirectory.open(finished)
    with SegmentReader(directory.storage, "p000", 0, limits=DEFAULT_LIMITS) as reader:
        hashes = [group.commit.head.hash for group in reader.groups()]
    for noted in hashes[:3]:
        assert verify_run(directory, wanted={"p000": {noted}})
    for wrong in (hashes[0][:-1], "f" * 64):
        assert not verify_run(directory, wanted={"p000": {wrong}})


def test_a_forged_checkpoint_is_not_resumed_from(copy):
    folder = copy / "checkpoints" / "p000"
    newest = max(folder.iterdir(), key=lambda p: int(p.stem))
    oldest = min(folder.iterdir(), key=lambda p: int(p.stem))
    newest.write_bytes(oldest.read_bytes())
    assert not holds(copy)
    assert run(copy, resume=True).accounts.is_balanced


def test_everything_in_a_run_directory_is_for_its_owner_alone(finished):
    for path in (finished, *finished.rglob("*")):
        assert path.stat().st_mode & 0o077 == 0, path


@pytest.mark.parametrize(
    "name", ["run.json", "run.lock", "ledger.sqlite", "log/p000/000000.mcap", "log", "controls"]
)
@pytest.mark.parametrize("kind", ["link", "pipe", "second name"])
def test_what_is_no_file_of_its_own_is_not_written_through(copy, tmp_path, name, kind):
    precious = tmp_path / "precious"
    precious.write_bytes(b"precious")
    target = copy / name
    shutil.rmtree(target) if target.is_dir() else target.unlink()
    if kind == "link":
        target.symlink_to(precious)
    elif kind == "pipe":
        os.mkfifo(target)
    else:
        target.hardlink_to(precious)
    with pytest.raises(SightlineError):
        run(copy, resume=True)
    assert precious.read_bytes() == b"precious"


@pytest.mark.parametrize("kind", ["nothing", "folder", "pipe"])
def test_what_lies_in_the_place_of_the_ledger_is_told_and_not_waited_for(copy, kind):
    ledger = copy / "ledger.sqlite"
    ledger.unlink()
    if kind == "folder":
        ledger.mkdir()
    elif kind == "pipe":
        os.mkfifo(ledger)
    assert not holds(copy)
    opened = RunDirectory.open(copy)
    with pytest.raises(LogError), ledger_changing(opened), opened.ledger():
        pass


def test_a_file_in_the_place_of_the_logs_is_a_damaged_run(copy):
    shutil.rmtree(copy / "log")
    (copy / "log").write_text("x")
    with pytest.raises(LogError, match="a file in its place"):
        RunDirectory.open(copy)


def test_a_closed_run_whose_log_was_cut_is_not_read_as_if_it_were_whole(copy):
    segment = sorted((copy / "log" / "p000").glob("*.mcap"))[-1]
    os.truncate(segment, segment.stat().st_size // 2)
    with pytest.raises(LogError, match="it was cut"):
        RunDirectory.open(copy)


def test_the_ledger_of_another_run_is_neither_read_nor_pruned_by(copy, another):
    shutil.copy(another / "ledger.sqlite", copy / "ledger.sqlite")
    opened = RunDirectory.open(copy)
    with pytest.raises(LogError, match="the ledger of run"), opened.ledger():
        pass
    with pytest.raises(LogError, match="the ledger of run"):
        prune_run(opened, keep_bytes=0, keep_after_ns=None)
