"""What the page shows of a run, and what an operator's forms become."""

import hashlib
import html
import re

import pytest

from sightline.console.console import Console, control_of, waiting_inputs
from sightline.console.following import FollowedRun
from sightline.errors import UsageError
from sightline.evidence.account import explain
from sightline.evidence.account_text import account_lines
from sightline.limits import Limits
from sightline.recorder import read_entries
from sightline.records import EntryKind
from sightline.runtime import Pipeline, RunDirectory, make_plan
from sightline.sense.contract import parse_contract
from simulation.alerting_runs import said
from simulation.live_runs import (
    CONTRACT,
    PIPELINE,
    ScriptedSource,
    WallClock,
    feed_every_second,
    run_live,
)

OFTEN = Limits(console_rest=0.0)
KNOWN = frozenset({"sat-1"})


def words(markup):
    return " ".join(html.unescape(re.sub("<[^>]*>", " ", markup)).split())


def console_of(path, limits=OFTEN):
    return Console(RunDirectory.open(path), refresh_s=0.0, limits=limits)


def read(path, limits=OFTEN):
    followed = FollowedRun(RunDirectory.open(path), limits=limits)
    followed.advance(lambda: False)
    return followed


def test_what_stands_is_what_the_run_says_stands(fleet_run):
    followed = read(fleet_run)
    assert {d.subject for d in followed.standing()} == {
        "sat-004/value", *(f"sat-{n:03d}" for n in (1, 3, 5, 7, 9, 11)),
    }  # fmt: skip
    assert followed.accounts.is_balanced
    assert followed.accounts.received == 1500
    assert followed.is_finished


def test_reading_in_many_short_looks_comes_to_the_same(fleet_run):
    whole, parts = read(fleet_run), FollowedRun(RunDirectory.open(fleet_run))
    looks = 0
    while not parts.is_read:
        parts.advance(lambda: True)
        looks += 1
    assert looks > 100
    assert parts.standing() == whole.standing()
    assert parts.accounts == whole.accounts
    assert parts.desk.account() == whole.desk.account()


def test_looking_changes_no_byte_of_the_run(fleet_run):
    def digests():
        return {
            p.relative_to(fleet_run): hashlib.sha256(p.read_bytes()).hexdigest()
            for p in sorted(fleet_run.rglob("*"))
            if p.is_file()
        }

    before = digests()
    shown = console_of(fleet_run)
    shown.live(form_key="")
    (decision,) = [d for d in read(fleet_run).standing() if d.kind == "high"]
    assert "sat-004/value" in shown.why(decision.decision_id, form_key="").body
    assert digests() == before


def test_what_is_kept_is_bounded_and_what_stands_goes_last(fleet_run):
    few = read(fleet_run, limits=Limits(console_subjects=7, console_decisions=3))
    assert few.forgotten == 1
    assert "sat-002/value" not in {d.subject for d in few.said}
    assert len(few.said) == 3
    assert len(few.standing()) == 7  # the one that was cleared is what is forgotten


def test_a_damaged_log_is_said_and_what_was_read_is_still_shown(open_run):
    console = console_of(open_run)
    console.live(form_key="")
    segment = sorted((open_run / "log" / "fan-in").glob("*.mcap"))[0]
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 255
    segment.write_bytes(bytes(data))
    shown = words(console_of(open_run).live(form_key=""))
    assert "expected" in shown
    assert "sat-00" in shown


def test_of_a_run_without_a_desk_alarms_stand_and_cannot_be_answered(yard_run):
    shown = words(console_of(yard_run).live(form_key="key"))
    assert "IN_FORBIDDEN_ZONE: inside_probability 1 , threshold 0.5" in shown
    assert "no alert desk" in shown
    assert "form_key" not in shown


@pytest.mark.parametrize(
    ("form", "problem"),
    [
        ({"control": "contacts", "subject": "sat-1"}, "control"),
        ({"control": "acknowledge", "subject": "sat-2"}, "subject"),
        ({"control": "acknowledge", "subject": "sat-1", "operator": " "}, "operator"),
        ({"control": "mask", "subject": "sat-1", "until": "2h"}, "reason"),
        ({"control": "shelve", "subject": "sat-1", "reason": "r", "until": "soon"}, "until"),
    ],
)
def test_a_form_that_means_nothing_is_refused_with_its_field(form, problem):
    with pytest.raises(UsageError, match=problem):
        control_of({"operator": "Ana", **form}, known=KNOWN, now_ns=0)


def test_a_form_becomes_the_input_that_the_command_writes():
    form = {
        "control": "shelve", "subject": "sat-1", "stage": "high", "until": "2m", "reason": " x ",
        "operator": "Ana",
    }  # fmt: skip
    assert control_of(form, known=KNOWN, now_ns=0) == {
        "control": "shelve", "subject": "sat-1", "kind": "high", "until_ns": 120_000_000_000,
        "reason": "x", "operator": "Ana",
    }  # fmt: skip


def test_inputs_that_a_run_of_others_links_to_are_not_shown(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "secret.json").write_text('{"control": "mask", "subject": "x"}')
    run = tmp_path / "run"
    run.mkdir()
    (run / "controls").symlink_to(elsewhere)
    assert waiting_inputs(run) == []
    (run / "controls").unlink()
    (run / "controls").mkdir()
    (run / "controls" / "1.json").symlink_to(elsewhere / "secret.json")
    assert waiting_inputs(run) == [("waits for the next tick", "1.json")]


def test_a_live_run_takes_an_acknowledgement_of_the_page_and_the_page_shows_it(tmp_path):
    out, clock, source = tmp_path / "run", WallClock(), ScriptedSource()
    form = Pipeline.model_validate({**PIPELINE, "alerting": {"hold_s": 5}})
    plan = make_plan(form, {"t": parse_contract(CONTRACT, where="live.yaml")}, where="p.yaml")
    shown = {}

    def look(name):
        shown[name] = words(shown["console"].live(form_key="key"))

    def answer():
        shown["console"] = console_of(out)
        look("before")
        form = {"control": "acknowledge", "subject": "a/value", "code": "HIGH", "operator": "Ana"}
        shown["console"].give(form)
        look("given")

    feed_every_second(clock, source, 0, 80, value=lambda at: 9.0 if at >= 20 else 1.0)
    clock.at(55.2, answer)
    clock.at(75.2, lambda: look("after"))
    clock.at(81, source.end)
    run_live(out, clock, source, the_plan=plan)
    alarm = "a/value HIGH: value.mean 9 , threshold 5"
    assert alarm in shown["before"]
    assert "acknowledge a/value by Ana waits for the next tick" in shown["given"]
    assert "waits for the next tick" not in shown["after"]
    assert "active, acknowledged by Ana" in shown["after"]
    run = RunDirectory.open(out)
    high = next(d for d in run.decisions() if d.kind == "high")
    assert "acknowledged by Ana at" in "\n".join(account_lines(explain(run, high.decision_id)))
    assert ("a/value", "acknowledged") in [
        (c["subject"], c["after"]) for one in said(run) for c in one.changes
    ]
    given = list(read_entries(run.storage, "fan-in", kinds={EntryKind.CONTROL}))
    assert len(given) == 1
