"""The command record: what it refuses, and its bytes."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from act.command_cases import REASON, command
from sightline.errors import UsageError
from sightline.records.command import ActuatorCommand, CommandLevel


@given(
    command_id=st.text(min_size=1),
    level=st.sampled_from(CommandLevel),
    issued_ns=st.integers(0, 2**62),
    revision=st.integers(0, 2**31),
    value=st.floats(allow_nan=False, allow_infinity=False),
)
def test_a_command_comes_back_from_its_bytes(command_id, level, issued_ns, revision, value):
    sent = command(
        command_id,
        level=level,
        issued_ns=issued_ns,
        revision=revision,
        reasons=(replace(REASON, value=value),),
    )
    if not any("\ud800" <= letter <= "\udfff" for letter in command_id):
        assert ActuatorCommand.from_bytes(sent.canonical_bytes()) == sent


def test_what_could_not_be_measured_is_null():
    sent = command(reasons=(replace(REASON, value=math.nan),))
    assert json.loads(sent.canonical_bytes())["reasons"][0]["value"] is None
    assert math.isnan(ActuatorCommand.from_bytes(sent.canonical_bytes()).reasons[0].value)


def test_levels_are_ordered_by_restriction_not_by_alphabet():
    assert sorted(CommandLevel, key=lambda level: level.rank) == ["none", "warn", "slow", "stop"]


@pytest.mark.parametrize(
    "change",
    [
        {"command_id": ""},
        {"machine": ""},
        {"revision": -1},
        {"valid_until_ns": 0},
    ],
)
def test_a_command_that_cannot_be_is_refused(change):
    with pytest.raises(UsageError):
        replace(command(), **change)


@pytest.mark.parametrize(
    "change",
    [
        {"level": "halt"},
        {"mode": "magic"},
        {"issued_ns": 1.5},
        {"issued_ns": True},
        {"revision": "0"},
        {"machine": 7},
        {"reasons": [{}]},
        {"extra": 1},
    ],
)
def test_a_mapping_that_is_no_command_is_refused(change):
    plain = {**command().as_mapping(), **change}
    with pytest.raises((ValueError, TypeError, KeyError, UsageError)):
        ActuatorCommand.from_mapping(plain)
