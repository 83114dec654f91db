"""A run directory of somebody else whose chain holds and whose entries are not Sightline's.

Whatever reads it says in an error of ours what is wrong, or gives something; nothing else happens.
"""

import contextlib
import json
import os
import shutil

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sightline.errors import SightlineError
from sightline.evidence.account import explain
from sightline.evidence.run_account import account_of_run
from sightline.recorder import DirectoryStorage, read_entries
from sightline.recorder.log import PartitionLog
from sightline.records import EntryKind
from sightline.runtime import RunDirectory, RunOptions, replay_run, run_pipeline
from sightline.runtime.alerting.account import desk_account
from sightline.runtime.run_directory import RunState, _manifest_text
from sightline.runtime.verification import verify_run
from sightline.sense import MemorySource
from simulation.killable_run import ROWS
from simulation.small_world import small_plan

EXAMPLES = int(os.environ.get("FORGERIES", "12"))
PARTITIONS = ("p000", "fan-in")

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["", "p000", "s0", "raised", "\x1b[2J", "9" * 400]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=5,
)


@pytest.fixture(scope="module")
def logged(tmp_path_factory):
    """A finished run, and the entries of its logs."""
    out = tmp_path_factory.mktemp("logged") / "run"
    plan = small_plan(tick_s=5, alerting={"hold_s": 0})
    source = MemorySource("t", {"t": ROWS.head(150)})
    run_pipeline(plan, {"t": source}, out, options=RunOptions(durable=False, checkpoint_epochs=4))
    storage = DirectoryStorage(out)
    return out, {name: list(read_entries(storage, name)) for name in PARTITIONS}


def forged(original, out, name, entries):
    """A copy of the run in which the log ``name`` holds these entries, and the rest fits it."""
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(original, out)
    for file in (out / "log" / name).iterdir():
        file.unlink()
    log = PartitionLog.open(DirectoryStorage(out, durable=False), name)
    for kind, entry_name, time_ns, payload in entries:
        log.append(kind, entry_name, payload, time_ns=time_ns)
    log.commit()
    log.close()
    run = RunDirectory.open(out, has_logs=False)
    state = run.state
    run = run.in_state(RunState(epoch=state.epoch, is_closed=True, heads=run.heads()))
    (out / "ledger.sqlite").unlink()
    return run


def places(plain, at=()):
    """Every place in a JSON value."""
    yield at
    if isinstance(plain, dict | list):
        for key in plain if isinstance(plain, dict) else range(len(plain)):
            yield from places(plain[key], (*at, key))


def with_value(plain, at, value):
    if not at:
        return value
    copy = dict(plain) if isinstance(plain, dict) else list(plain)
    copy[at[0]] = with_value(plain[at[0]], at[1:], value)
    return copy


@st.composite
def payloads(draw, payload):
    """Another payload in the place of this one: nearly right, or any bytes."""
    how = draw(st.sampled_from(["value", "value", "value", "bytes", "cut", "bit"]))
    head, line, body = payload.partition(b"\n")
    try:
        plain = json.loads(head)
    except ValueError:
        how = how if how != "value" else "bit"
    if how == "value":
        at = draw(st.sampled_from(list(places(plain))))
        changed = with_value(plain, at, draw(values))
        return json.dumps(changed).encode() + line + body
    if how == "bytes" or not payload:
        return draw(st.binary(max_size=20))
    at = draw(st.integers(0, len(payload) - 1))
    if how == "cut":
        return payload[:at]
    flipped = bytearray(payload)
    flipped[at] ^= 1 << draw(st.integers(0, 7))
    return bytes(flipped)


READERS = {
    "verify": verify_run,
    "replay": replay_run,
    "decisions": lambda run: run.decisions(),
    "accounts": lambda run: run.accounts(),
    "quarantine": lambda run: run.quarantine(),
    "report": lambda run: account_of_run(run).as_mapping(),
    "desk": desk_account,
    "explain": lambda run: [
        explain(run, d.decision_id, is_quick=True) for d in run.decisions()[:1]
    ],
}


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize="FORGERIES" not in os.environ,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_a_forged_entry_is_an_error_of_ours_or_read_as_it_is(logged, tmp_path, data):
    original, entries = logged
    name = data.draw(st.sampled_from(PARTITIONS))
    kinds = sorted({e.kind for e in entries[name]} - {EntryKind.ORIGIN})
    kind = data.draw(st.sampled_from(kinds))
    place = data.draw(st.sampled_from([e.sequence for e in entries[name] if e.kind is kind][:20]))
    payload = data.draw(payloads(entries[name][place].payload))
    run = forged(
        original,
        tmp_path / "run",
        name,
        [
            (e.kind, e.name, e.time_ns, payload if e.sequence == place else e.payload)
            for e in entries[name]
        ],
    )
    for read in READERS.values():
        try:
            read(run)
        except SightlineError:
            continue


@settings(
    max_examples=4 * EXAMPLES,
    deadline=None,
    derandomize="FORGERIES" not in os.environ,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_a_forged_run_json_is_an_error_of_ours_or_read_as_it_is(logged, tmp_path, data):
    out = tmp_path / "run"
    if not out.exists():
        shutil.copytree(logged[0], out)
    plain = json.loads((logged[0] / "run.json").read_bytes())
    del plain["sha256"]
    at = data.draw(st.sampled_from([at for at in places(plain) if at]))
    plain = with_value(plain, at, data.draw(values))
    given = {name: value for name, value in plain.items() if name != "state"}
    (out / "run.json").write_bytes(_manifest_text(given, plain["state"]))
    with contextlib.suppress(SightlineError):
        verify_run(RunDirectory.open(out, has_logs=False))
