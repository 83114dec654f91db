"""Commands in a file: each once, whole lines only."""

from __future__ import annotations

import pytest
from actuator_cases import command
from sightline.act.sinks import DeliveryError

from sightline.act.actuators import JsonLinesActuator
from sightline.errors import SinkError


def test_each_command_is_one_line(tmp_path):
    path = tmp_path / "deep" / "commands.jsonl"
    actuator = JsonLinesActuator(path)
    for sent in (command("a"), command("b")):
        actuator.send(sent)
    actuator.close()
    assert path.read_bytes() == b"".join(
        c.canonical_bytes() + b"\n" for c in (command("a"), command("b"))
    )


def test_a_command_sent_again_is_written_once(tmp_path):
    actuator = JsonLinesActuator(tmp_path / "c.jsonl")
    for _ in range(3):
        actuator.send(command())
    assert len((tmp_path / "c.jsonl").read_bytes().splitlines()) == 1


def test_a_revision_is_a_line_of_its_own(tmp_path):
    actuator = JsonLinesActuator(tmp_path / "c.jsonl")
    actuator.send(command())
    actuator.send(command(revision=1))
    assert len((tmp_path / "c.jsonl").read_bytes().splitlines()) == 2


def test_the_memory_of_what_was_written_is_bounded(tmp_path):
    actuator = JsonLinesActuator(tmp_path / "c.jsonl", remembered=2)
    for name in "abca":
        actuator.send(command(name))
    assert len((tmp_path / "c.jsonl").read_bytes().splitlines()) == 4


def test_a_line_that_a_crash_left_unfinished_is_cut(tmp_path):
    path = tmp_path / "c.jsonl"
    path.write_bytes(command("a").canonical_bytes() + b"\n" + b'{"command_id":"b')
    JsonLinesActuator(path).send(command("c"))
    lines = path.read_bytes().splitlines()
    assert lines == [command("a").canonical_bytes(), command("c").canonical_bytes()]


def test_a_place_that_cannot_be_written_is_an_error(tmp_path):
    with pytest.raises(SinkError):
        JsonLinesActuator(tmp_path)


def test_a_closed_actuator_takes_nothing(tmp_path):
    actuator = JsonLinesActuator(tmp_path / "c.jsonl")
    actuator.close()
    with pytest.raises(DeliveryError):
        actuator.send(command())
