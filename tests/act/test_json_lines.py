"""The file of alerts: each once, whole lines only, whatever happened before."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from act.act_cases import decision
from act.command_cases import command, deliver
from sightline.act import CommandKey, CommandSigner, DeliveryError, open_outlet
from sightline.act.json_lines import JsonLinesOutlet
from sightline.errors import SinkError
from sightline.limits import Limits
from sightline.records import Decision
from sightline.records.decision import Status

LINES = [decision(n).canonical_bytes() + b"\n" for n in range(3)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "alerts" / "alerts.jsonl"


def send(sink: JsonLinesOutlet, said: Decision) -> None:
    sink.send(said, idempotency_key=f"{said.decision_id}:{said.revision}", deadline_s=5.0)


def test_each_decision_is_a_line_of_its_canonical_bytes(path: Path) -> None:
    sink = JsonLinesOutlet(path)
    for n in range(3):
        send(sink, decision(n))
    assert path.read_bytes() == b"".join(LINES)


def test_a_decision_is_written_once(path: Path) -> None:
    sink = JsonLinesOutlet(path)
    send(sink, decision(0))
    send(sink, decision(0))
    assert path.read_bytes() == LINES[0]


def test_a_decision_is_written_once_over_runs(path: Path) -> None:
    send(JsonLinesOutlet(path), decision(0))
    again = JsonLinesOutlet(path)
    send(again, decision(0))
    send(again, decision(1))
    assert path.read_bytes() == LINES[0] + LINES[1]


def test_revisions_are_lines_of_their_own(path: Path) -> None:
    sink = JsonLinesOutlet(path)
    send(sink, decision(0))
    send(sink, decision(0).revised(revision=1, status=Status.RETRACTED))
    assert len(path.read_bytes().splitlines()) == 2


@settings(max_examples=25, deadline=None, derandomize=True)
@given(cut=st.integers(0, sum(map(len, LINES))))
def test_after_a_cut_anywhere_every_decision_is_there_once(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    path = tmp_path_factory.mktemp("cut") / "alerts.jsonl"
    path.write_bytes(b"".join(LINES)[:cut])
    sink = JsonLinesOutlet(path)
    for n in range(3):
        send(sink, decision(n))
    assert path.read_bytes() == b"".join(LINES)


def test_a_torn_last_line_is_counted_and_cut_only_when_something_is_written(path: Path) -> None:
    path.parent.mkdir()
    torn = LINES[0] + LINES[1][:10]
    path.write_bytes(torn)
    sink = JsonLinesOutlet(path)
    assert (sink.cut_bytes, path.read_bytes()) == (10, torn)
    send(sink, decision(2))
    assert path.read_bytes() == LINES[0] + LINES[2]


@pytest.mark.parametrize("foreign", [b"my thesis", b"{", b'{"name": "x"}', b"\xff" * 9, b'{"b'])
def test_a_file_of_something_else_without_a_line_end_is_left_alone(
    path: Path, foreign: bytes
) -> None:
    path.parent.mkdir()
    path.write_bytes(foreign)
    if foreign == b"{":  # what a crash may have left of any line of ours
        JsonLinesOutlet(path)
    else:
        with pytest.raises(SinkError, match="a file of decisions"):
            JsonLinesOutlet(path)
    assert path.read_bytes() == foreign


def test_lines_that_another_writer_has_added_are_kept(path: Path) -> None:
    sink, other = JsonLinesOutlet(path), JsonLinesOutlet(path)
    send(sink, decision(0))
    send(other, decision(1))
    send(sink, decision(2))
    assert path.read_bytes() == b"".join(LINES)


def test_a_file_that_was_moved_away_begins_anew(path: Path) -> None:
    sink = JsonLinesOutlet(path)
    send(sink, decision(0))
    path.rename(path.with_suffix(".1"))
    send(sink, decision(1))
    assert path.read_bytes() == LINES[1]


def test_a_signed_command_is_a_line(path: Path) -> None:
    signed = CommandSigner(CommandKey(b"k" * 32), session=1).sign(command())
    for _ in range(2):
        JsonLinesOutlet(path).send(signed, idempotency_key="c1:0", deadline_s=1.0)
    assert path.read_bytes() == signed.canonical_bytes() + b"\n"


def test_what_a_failed_write_left_behind_is_gone_after_the_next(path: Path) -> None:
    sink = JsonLinesOutlet(path)
    send(sink, decision(0))
    with path.open("ab") as file:
        file.write(b"x" * 2 * len(LINES[1]))  # more than the next line covers
    send(sink, decision(1))
    assert path.read_bytes() == LINES[0] + LINES[1]


def test_a_disk_that_refuses_is_a_failed_delivery(path: Path) -> None:
    sink = JsonLinesOutlet(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(DeliveryError, match="stays in the outbox") as caught:
        send(sink, decision(0))
    assert not caught.value.is_permanent


def test_a_refused_decision_can_be_sent_again(path: Path) -> None:
    sink = JsonLinesOutlet(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(DeliveryError):
        send(sink, decision(0))
    path.rmdir()
    path.touch()
    send(sink, decision(0))
    assert path.read_bytes() == LINES[0]


@pytest.mark.parametrize("line", [b"hello\n", b"[1]\n", b'{"decision_id":"x"}\n', b"\xff\xfe\n"])
def test_a_file_of_something_else_is_left_alone(path: Path, line: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(LINES[0] + line)
    with pytest.raises(SinkError, match="a file of decisions"):
        JsonLinesOutlet(path)
    assert path.read_bytes() == LINES[0] + line


def test_a_line_beyond_the_limit_is_not_read(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(LINES[0])
    with pytest.raises(SinkError, match="a file of decisions"):
        JsonLinesOutlet(path, limits=Limits(max_line_bytes=100))
    assert path.read_bytes() == LINES[0]


def test_beyond_its_memory_the_oldest_key_is_forgotten(path: Path) -> None:
    sink = JsonLinesOutlet(path, limits=Limits(outlet_keys=2))
    for n in (0, 1, 2, 0):
        send(sink, decision(n))
    assert path.read_bytes() == b"".join([*LINES, LINES[0]])


def test_a_command_is_written_once_over_runs(path: Path) -> None:
    for _ in range(2):
        deliver(JsonLinesOutlet(path), command())
    deliver(JsonLinesOutlet(path), command(revision=1))
    lines = path.read_bytes().splitlines()
    assert lines == [command().canonical_bytes(), command(revision=1).canonical_bytes()]


def test_a_place_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SinkError):
        JsonLinesOutlet(tmp_path)


def test_an_address_opens_the_file(path: Path) -> None:
    name, outlet = open_outlet(f"jsonl:{path}", use="alerts", where="test")
    outlet.send(decision(0), idempotency_key="any", deadline_s=5.0)
    assert (name, path.read_bytes()) == (f"jsonl:{path}", LINES[0])
