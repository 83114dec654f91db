"""The receiving end: once each, the newest wins, and a stop when nothing holds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from act.command_cases import command
from sightline.act import CommandKey, CommandReceiver, CommandSigner, Reception
from sightline.act.command_signing import Counter, next_session
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


def test_a_command_that_says_a_thing_twice_is_refused():
    payload = command(level=CommandLevel.NONE).canonical_bytes()
    twice = payload.replace(b'"level":"none"', b'"level":"stop","level":"none"')
    assert CommandReceiver("saw").take(twice, now_ns=0) is Reception.REFUSED


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


MADE = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 2), st.sampled_from(CommandLevel)), min_size=1
)


def made_commands(made):
    return [
        command(f"c{n}", issued_ns=at_s * S, revision=revision, level=level)
        for n, (at_s, revision, level) in enumerate(made)
    ]


def mixed(sent, random):
    found = [one for one in sent for _ in range(random.randint(1, 2))]
    random.shuffle(found)
    return found


@given(MADE, st.randoms(use_true_random=False))
def test_without_a_stop_order_and_repetition_of_arrival_do_not_matter(made, random):
    sent = [one for one in made_commands(made) if one.level is not CommandLevel.STOP]
    in_order, in_disorder = CommandReceiver("saw"), CommandReceiver("saw")
    for one in sent:
        take(in_order, one, at_s=4)
    for one in mixed(sent, random):
        take(in_disorder, one, at_s=4)
    assert in_disorder.level(now_ns=4 * S) is in_order.level(now_ns=4 * S)
    assert in_disorder.applied <= len(sent)


@given(MADE, st.randoms(use_true_random=False))
def test_however_commands_arrive_a_machine_is_never_freer_than_the_newest_says(made, random):
    sent = made_commands(made)
    saw = CommandReceiver("saw")
    for one in mixed(sent, random):
        take(saw, one, at_s=4)
    newest = max(sent, key=lambda c: (c.issued_ns, c.revision, c.level.rank))
    assert saw.level(now_ns=4 * S).rank >= newest.level.rank
    assert saw.applied <= len(sent)


@given(MADE, st.randoms(use_true_random=False))
def test_after_a_stop_nothing_that_was_issued_before_it_frees_the_machine(made, random):
    saw = CommandReceiver("saw")
    stop = command("stop", issued_ns=2 * S, revision=9)
    others = made_commands(made)
    random.shuffle(others)
    half = random.randint(0, len(others))
    for one in (*others[:half], stop):
        take(saw, one, at_s=4)
    assert saw.level(now_ns=4 * S) is CommandLevel.STOP
    for one in others[half:]:
        if (one.issued_ns, one.revision) < (2 * S, 9):
            take(saw, one, at_s=4)
    assert saw.level(now_ns=4 * S) is CommandLevel.STOP


def test_a_stop_wins_over_a_command_that_claims_to_be_newer():
    saw = CommandReceiver("saw")
    forged = command("evil", level=CommandLevel.NONE, issued_ns=round(0.95 * S), valid_s=9.9)
    take(saw, forged)
    assert take(saw, command("real")) is Reception.APPLIED
    assert saw.level(now_ns=0) is CommandLevel.STOP
    take(saw, command("c", level=CommandLevel.NONE, issued_ns=S // 2), at_s=0.5)
    assert saw.level(now_ns=S // 2) is CommandLevel.STOP
    take(saw, command("d", level=CommandLevel.NONE, issued_ns=S), at_s=1)
    assert saw.level(now_ns=S) is CommandLevel.NONE


def test_a_stop_that_arrives_again_after_its_end_does_not_stop_the_machine_again():
    saw = CommandReceiver("saw")
    stop = command("stop")
    take(saw, stop)
    take(saw, command("go", level=CommandLevel.NONE, issued_ns=S), at_s=1)
    assert take(saw, stop, at_s=1) is Reception.DUPLICATE
    assert saw.level(now_ns=S) is CommandLevel.NONE


@pytest.mark.parametrize("strange", [{"issued_ns": 3600 * S}, {"valid_s": 1e6}])
def test_a_stop_with_times_that_cannot_be_stops_the_machine_and_shuts_out_nothing(strange):
    saw = CommandReceiver("saw")
    take(saw, command("go", level=CommandLevel.NONE))
    assert take(saw, command("stop", **strange)) is Reception.REFUSED
    assert saw.level(now_ns=0) is CommandLevel.STOP
    take(saw, command("on", level=CommandLevel.NONE, issued_ns=S), at_s=1)
    assert saw.level(now_ns=S) is CommandLevel.NONE


def test_a_clock_that_is_set_back_stops_the_machine_until_a_newer_command():
    saw = CommandReceiver("saw")
    take(saw, command("go", level=CommandLevel.NONE, issued_ns=100 * S), at_s=100)
    assert saw.level(now_ns=50 * S) is CommandLevel.STOP


# --- signed ---------------------------------------------------------------------------------------

KEY, OTHER_KEY = CommandKey(b"k" * 32), CommandKey(b"o" * 32)


def signed_receiver(**changes):
    """One that was there before the first command."""
    saw = CommandReceiver("saw", key=KEY, after=Counter(0, 0), **changes)
    saw.level(now_ns=0)
    return saw


def signer(session=1, key=KEY):
    return CommandSigner(key, session=session)


def go(at_s=0.0, **changes):
    return command("go", level=CommandLevel.NONE, issued_ns=round(at_s * S), **changes)


def test_a_signed_command_is_applied():
    saw = signed_receiver()
    assert take(saw, signer().sign(go())) is Reception.APPLIED
    assert (saw.level(now_ns=1), saw.counter) == (CommandLevel.NONE, (1, 0))


@pytest.mark.parametrize("forged", [go(), signer(key=OTHER_KEY).sign(go())])
def test_a_command_that_is_not_signed_with_the_key_is_refused(forged):
    saw = signed_receiver()
    assert take(saw, forged) is Reception.REFUSED
    assert saw.level(now_ns=1) is CommandLevel.STOP


def test_a_receiver_without_a_key_refuses_what_it_cannot_check():
    assert take(CommandReceiver("saw"), signer().sign(go())) is Reception.REFUSED


@given(st.data())
def test_a_signed_command_of_which_anything_was_changed_is_refused(data):
    payload = bytearray(signer().sign(go()).canonical_bytes())
    place = data.draw(st.integers(0, len(payload) - 1))
    payload[place] = data.draw(st.integers(0, 255).filter(lambda b: b != payload[place]))
    saw = signed_receiver()
    assert saw.take(bytes(payload), now_ns=0) is Reception.REFUSED


def test_a_signed_command_that_is_replayed_frees_no_machine():
    saw, sender = signed_receiver(), signer()
    old = sender.sign(go())
    take(saw, old)
    take(saw, sender.sign(command("stop", issued_ns=S)), at_s=1)
    assert take(saw, old, at_s=1) is Reception.DUPLICATE
    assert saw.level(now_ns=S) is CommandLevel.STOP


def test_the_counter_orders_commands_whatever_their_times_say():
    saw, sender = signed_receiver(), signer()
    ahead = sender.sign(go(0.9))
    behind = sender.sign(go(0.1, valid_s=2.0))
    take(saw, ahead)
    assert take(saw, behind) is Reception.APPLIED
    assert saw.level(now_ns=3 * S) is CommandLevel.STOP


def test_a_sender_that_starts_again_goes_on_in_a_later_session(tmp_path):
    place = tmp_path / "session"
    saw = signed_receiver()
    sessions = [next_session(place, now_ns=now_ns) for now_ns in (1000, 10, 5000)]
    for at_s, session in enumerate(sessions):
        assert take(saw, signer(session).sign(go(at_s)), at_s=at_s) is Reception.APPLIED
    assert sessions == [1000, 1001, 5000]


def test_after_a_restart_without_its_counter_an_old_command_frees_no_machine():
    kept = signer().sign(go(9.5))
    saw = CommandReceiver("saw", key=KEY)
    assert saw.level(now_ns=10 * S) is CommandLevel.STOP
    assert take(saw, kept, at_s=10.1) is Reception.REFUSED
    assert take(saw, signer().sign(go(11.5)), at_s=11.5) is Reception.APPLIED


def test_after_a_restart_without_its_counter_a_stop_is_heeded_at_once():
    saw = CommandReceiver("saw", key=KEY)
    assert take(saw, signer().sign(command("stop", issued_ns=9 * S)), at_s=10) is Reception.APPLIED


def test_a_kept_counter_shuts_out_what_came_before_it():
    sender = signer()
    old, new = sender.sign(go()), sender.sign(go(0.1))
    saw = CommandReceiver("saw", key=KEY, after=Counter(*old.counter))
    assert take(saw, old) is Reception.DUPLICATE
    assert take(saw, new) is Reception.APPLIED


def test_a_late_signed_stop_wins_until_a_newer_command():
    saw, sender = signed_receiver(), signer()
    stop, on, later = (
        sender.sign(command("stop")),
        sender.sign(go(0.5)),
        sender.sign(go(1.0)),
    )
    take(saw, on, at_s=0.5)
    take(saw, stop, at_s=0.6)
    assert saw.level(now_ns=round(0.6 * S)) is CommandLevel.STOP
    take(saw, later, at_s=1)
    assert saw.level(now_ns=S) is CommandLevel.NONE


def test_bounds_must_be_positive():
    with pytest.raises(UsageError):
        CommandReceiver("saw", max_validity_s=0)
