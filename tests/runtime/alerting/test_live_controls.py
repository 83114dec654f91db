"""Operator inputs while a live run goes on: logged, done once, and replayed."""

import json

import polars as pl
import pytest

from sightline.cli.run_command import _followed
from sightline.errors import UsageError
from sightline.recorder import read_entries
from sightline.records import EntryKind
from sightline.runtime import (
    Pipeline,
    RunDirectory,
    RunOptions,
    make_plan,
    replay_run,
    run_pipeline,
)
from sightline.runtime.alerting.account import desk_account
from sightline.runtime.alerting.controls import ControlInbox, give_control
from sightline.sense import MemorySource
from sightline.sense.contract import parse_contract
from simulation.alerting_runs import dispositions, said
from simulation.live_runs import (
    CONTRACT,
    PIPELINE,
    ScriptedSource,
    WallClock,
    feed_every_second,
    reading,
    run_live,
)

ACKNOWLEDGE = {"control": "acknowledge", "subject": "a/value", "code": "HIGH"}


def plan(**alerting):
    form = Pipeline.model_validate({**PIPELINE, "alerting": {"hold_s": 5, **alerting}})
    return make_plan(form, {"t": parse_contract(CONTRACT, where="live.yaml")}, where="p.yaml")


def high_from(s):
    return lambda at: 9.0 if at >= s else 1.0


def live(out, *events, until=80, resume=False, source=None, first=0, file=None, **alerting):
    """A live run of three sensors that go high at 20 s, with things done at some seconds.

    Args:
        file: of operator inputs, one a line, that each process reads from its beginning.
    """
    clock, source = WallClock(), source or ScriptedSource()
    clock.now_ns += first * 1_000_000_000
    feed_every_second(clock, source, first, until, value=high_from(20))
    for at_s, action in events:
        clock.at(at_s, lambda action=action: action(clock))
    clock.at(until + 1, source.end)
    given = tuple if file is None else _followed([file])
    run_live(out, clock, source, the_plan=plan(**alerting), resume=resume, controls=given)
    return RunDirectory.open(out)


def stop(clock):
    clock.stopped = True


def changes(run):
    return [(c["subject"], c["after"]) for one in said(run) for c in one.changes]


def controls(run, partition):
    return [
        json.loads(entry.payload)
        for entry in read_entries(run.storage, partition, kinds={EntryKind.CONTROL})
    ]


def test_a_live_acknowledgement_is_logged_everywhere_and_replays(tmp_path):
    out = tmp_path / "run"
    run = live(out, (55, lambda clock: give_control(out, ACKNOWLEDGE, name="0001")))
    assert ("a/value", "acknowledged") in changes(run)
    assert ("b/value", "acknowledged") not in changes(run)
    for partition in run.partitions:
        assert [c["id"] for c in controls(run, partition)] == ["0001"]
    verdict = replay_run(run)
    assert verdict, str(verdict.difference)


def test_its_file_is_gone_when_it_is_in_the_log(tmp_path):
    out = tmp_path / "run"
    live(out, (55, lambda clock: give_control(out, ACKNOWLEDGE, name="0001")))
    assert list((out / "controls").iterdir()) == []


def test_an_input_that_is_taken_again_after_a_crash_is_done_once(tmp_path):
    out = tmp_path / "run"

    def give(clock):
        give_control(out, ACKNOWLEDGE, name="0001")

    live(out, (45, give), (58, stop))
    give(None)  # as if the process had died before it could remove the file
    run = live(out, resume=True, first=60, until=90)
    assert [c["id"] for c in controls(run, "fan-in")] == ["0001", "0001"]
    assert changes(run).count(("a/value", "acknowledged")) == 1
    assert [r for one in said(run) for r in one.refused] == []
    assert replay_run(run)


def test_a_line_of_a_file_of_inputs_is_taken(tmp_path):
    file = tmp_path / "inputs.jsonl"
    write = (45, lambda clock: file.write_text(json.dumps(ACKNOWLEDGE) + "\n"))
    run = live(tmp_path / "run", write, file=file)
    assert changes(run).count(("a/value", "acknowledged")) == 1


def test_a_file_of_inputs_that_is_read_again_on_resume_acknowledges_nothing_new(tmp_path):
    file = tmp_path / "inputs.jsonl"
    file.write_text(json.dumps(ACKNOWLEDGE) + "\n")  # before there is anything to acknowledge
    live(tmp_path / "run", (58, stop), file=file)
    run = live(tmp_path / "run", resume=True, first=60, until=90, file=file)
    assert ("a/value", "acknowledged") not in changes(run)


def test_a_file_of_inputs_that_is_read_again_on_resume_replays(tmp_path):
    file = tmp_path / "inputs.jsonl"
    file.write_text(json.dumps(ACKNOWLEDGE) + "\n")
    live(tmp_path / "run", (58, stop), file=file)
    assert replay_run(live(tmp_path / "run", resume=True, first=60, until=90, file=file))


def test_an_input_for_a_stopped_run_waits_for_its_resumption(tmp_path):
    out = tmp_path / "run"
    live(out, (55, stop))
    give_control(out, ACKNOWLEDGE, name="0001")
    run = live(out, resume=True, first=60, until=90)
    assert ("a/value", "acknowledged") in changes(run)


def test_a_run_that_has_ended_takes_none_and_says_so(tmp_path):
    out = tmp_path / "run"
    live(out)
    with pytest.raises(UsageError, match="a run that has ended"):
        give_control(out, ACKNOWLEDGE, name="0001")


def test_an_input_that_makes_no_sense_is_put_aside_and_the_run_goes_on(tmp_path):
    out = tmp_path / "run"

    def write(clock):
        (out / "controls" / "0001.json").write_text('{"control": "shelve", "subject": "a"}')
        (out / "controls" / "0002.json").write_text("{")

    run = live(out, (35, write))
    assert sorted(p.name for p in (out / "controls").glob("*.refused")) == [
        "0001.refused", "0002.refused",
    ]  # fmt: skip
    assert controls(run, "fan-in") == []
    assert "told" in {d["fate"] for d in dispositions(run)}


def test_a_mask_given_while_it_runs_hides_from_then_on(tmp_path):
    out = tmp_path / "run"
    until_ns = WallClock().now_ns + 10**15
    mask = {"control": "mask", "subject": "a", "until_ns": until_ns, "reason": "swap"}
    run = live(out, (15, lambda clock: give_control(out, mask, name="0001")))
    masked = [d for d in dispositions(run) if d["fate"] == "masked"]
    assert [d["reason"] for d in masked] == ["swap"]
    hidden = desk_account(run)["hidden"]
    assert [(h["subject"], h["reason"], h["state"]) for h in hidden] == [
        ("a", "swap", "out_of_service")
    ]


def test_a_live_run_tells_what_a_run_over_the_same_rows_tells(tmp_path):
    run = live(tmp_path / "live")
    rows = pl.concat([reading(s + 0.4, high_from(20)(s)) for s in range(80)])
    batch = run_pipeline(
        plan(),
        {"t": MemorySource("t", {"t": rows})},
        tmp_path / "batch",
        options=RunOptions(durable=False),
    )
    told = [
        [{k: v for k, v in m.items() if k != "notice_id"} for one in said(r) for m in one.messages]
        for r in (run, RunDirectory.open(batch.path))
    ]
    assert told[0] == told[1] != []


def test_an_input_that_is_none_and_cannot_be_put_aside_ends_no_run(tmp_path):
    inbox = ControlInbox(tmp_path, lambda control: None)
    (tmp_path / "controls" / "a.json").write_text("no input")
    (tmp_path / "controls" / "a.refused" / "taken").mkdir(parents=True)
    assert inbox.take() == []
