"""The receiving end: once each, the newest wins, and a stop when nothing holds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from act.command_cases import command
from sightline.act import CommandReceiver, Reception
from sightline.errors import UsageError
from sightline.records.command import CommandLevel
from sightline.records.signals import NS_PER_S

S = NS_PER_S


def take(receiver, sent, *, at_s=0.0):
    return receiver.take(sent.canonical_bytes(), now_ns=round(at_s * S))


def test_a_machine_without_a_command_stands_still():
    assert CommandReceiver("saw").level(now_ns=0) is CommandLevel.STOP


def test_a_command_holds_until_its_validity_ends():
    saw = CommandReceiver("saw")
    take(saw, command(level=CommandLevel.SLOW, valid_s=2.0))
    assert saw.level(now_ns=2 * S - 1) is CommandLevel.SLOW
    assert saw.level(now_ns=2 * S) is CommandLevel.STOP


def test_a_command_that_arrives_again_changes_nothing():
    saw = CommandReceiver("saw")
    assert take(saw, command()) is Reception.APPLIED
    assert take(saw, command()) is Reception.DUPLICATE
    assert saw.applied == 1


def test_an_old_command_that_arrives_late_changes_nothing():
    saw = CommandReceiver("saw")
    take(saw, command("new", level=CommandLevel.STOP, issued_ns=2 * S), at_s=2)
    assert take(saw, command("old", level=CommandLevel.NONE), at_s=2) is Reception.DUPLICATE
    assert saw.level(now_ns=2 * S) is CommandLevel.STOP


def test_a_higher_revision_replaces_the_lower_ones_of_its_command():
    saw = CommandReceiver("saw")
    take(saw, command(level=CommandLevel.WARN))
    assert take(saw, command(level=CommandLevel.STOP, revision=1)) is Reception.APPLIED
    assert saw.level(now_ns=1) is CommandLevel.STOP


@pytest.mark.parametrize("first", [CommandLevel.NONE, CommandLevel.STOP])
def test_of_two_commands_of_the_same_instant_the_stricter_holds(first):
    second = CommandLevel.STOP if first is CommandLevel.NONE else CommandLevel.NONE
    saw = CommandReceiver("saw")
    take(saw, command("a", level=first))
    take(saw, command("b", level=second))
    assert saw.level(now_ns=1) is CommandLevel.STOP


def test_an_expired_command_is_not_applied():
    saw = CommandReceiver("saw")
    assert take(saw, command(level=CommandLevel.NONE), at_s=6) is Reception.EXPIRED
    assert saw.applied == 0


def test_a_command_for_another_machine_is_refused():
    assert take(CommandReceiver("saw"), command(machine="press")) is Reception.REFUSED


def test_a_command_that_would_hold_for_ever_is_refused():
    assert take(CommandReceiver("saw"), command(valid_s=1e6)) is Reception.REFUSED


def test_a_command_from_the_future_cannot_shut_out_the_others():
    saw = CommandReceiver("saw")
    assert take(saw, command("far", issued_ns=3600 * S)) is Reception.REFUSED
    assert take(saw, command("near")) is Reception.APPLIED


@pytest.mark.parametrize("payload", [b"", b"null", b"[]", b"{}", b"\xff", b'{"level":"stop"}'])
def test_what_is_no_command_is_refused(payload):
    saw = CommandReceiver("saw")
    assert saw.take(payload, now_ns=0) is Reception.REFUSED
    assert saw.level(now_ns=0) is CommandLevel.STOP


def test_a_deeply_nested_payload_is_refused():
    payload = b"[" * 100_000
    assert CommandReceiver("saw").take(payload, now_ns=0) is Reception.REFUSED


def test_a_lost_controller_stops_the_machine_at_once():
    saw = CommandReceiver("saw")
    take(saw, command(level=CommandLevel.NONE))
    saw.controller_lost()
    assert saw.level(now_ns=1) is CommandLevel.STOP


def test_a_newer_command_ends_the_stop_after_a_lost_controller():
    saw = CommandReceiver("saw")
    take(saw, command("a", level=CommandLevel.NONE))
    saw.controller_lost()
    assert take(saw, command("a", level=CommandLevel.NONE)) is Reception.DUPLICATE
    assert saw.level(now_ns=1) is CommandLevel.STOP
    take(saw, command("b", level=CommandLevel.NONE, issued_ns=S), at_s=1)
    assert saw.level(now_ns=S) is CommandLevel.NONE


@given(
    st.lists(
        st.tuples(st.integers(0, 4), st.integers(0, 2), st.sampled_from(CommandLevel)), min_size=1
    ),
    st.randoms(use_true_random=False),
)
def test_order_and_repetition_of_arrival_do_not_matter(made, random):
    sent = [
        command(f"c{n}", issued_ns=at_s * S, revision=revision, level=level)
        for n, (at_s, revision, level) in enumerate(made)
    ]
    mixed = sent + random.choices(sent, k=len(sent))
    random.shuffle(mixed)
    in_order, in_disorder = CommandReceiver("saw"), CommandReceiver("saw")
    for one in sent:
        take(in_order, one, at_s=4)
    for one in mixed:
        take(in_disorder, one, at_s=4)
    assert in_disorder.level(now_ns=4 * S) is in_order.level(now_ns=4 * S)
    assert in_disorder.applied <= len(sent)


def test_bounds_must_be_positive():
    with pytest.raises(UsageError):
        CommandReceiver("saw", max_validity_s=0)
