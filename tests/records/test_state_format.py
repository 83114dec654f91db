"""States that are kept are read again only in the format that they were written in."""

from __future__ import annotations

import pytest

from sightline.decide.actuation import ActuationState
from sightline.errors import UsageError
from sightline.records.state_format import StateFormat

COUNTER = StateFormat(kind="a counter", version=2, where="counter", action="count anew")


def test_a_state_of_this_format_is_made() -> None:
    assert COUNTER.read({"format": 2, "count": 7}, lambda plain: plain["count"]) == 7


def test_a_state_of_another_format_is_never_made() -> None:
    made = []
    with pytest.raises(UsageError, match="a counter of format 2, got ValueError: format 1"):
        COUNTER.read({"format": 1}, made.append)
    assert not made


@pytest.mark.parametrize("plain", [{}, None, {"format": 2}, {"format": 2, "count": "many"}])
def test_what_is_no_state_is_said_with_what_to_do(plain: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="count anew"):
        COUNTER.read(plain, lambda found: int(str(found["count"])))


def test_an_error_that_already_says_what_to_do_is_left_as_it_is() -> None:
    inner = StateFormat(kind="a digit", version=1, where="digit", action="write it anew")
    with pytest.raises(UsageError, match="a digit of format 1, got 5; write it anew"):
        COUNTER.read({"format": 2, "digit": {"format": 5}}, lambda p: inner.check(p["digit"]))


def test_a_check_leaves_other_defects_to_the_reader() -> None:
    COUNTER.check({"format": 2})
    with pytest.raises(KeyError):
        COUNTER.check({})


def test_a_state_of_a_machine_says_what_was_wrong_with_it() -> None:
    message = (
        "actuation state, from_mapping: expected an actuation state of format 1, "
        "got ValueError: format 99; start from a new state: it is stopped"
    )
    with pytest.raises(UsageError) as caught:
        ActuationState.from_mapping(ActuationState().as_mapping() | {"format": 99})
    assert str(caught.value) == message
