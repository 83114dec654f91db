"""Commands beside the loop: the newest goes out, and a slow machine holds nobody up."""

import threading
import time

from sightline.act import CommandKey, CommandSender, CommandSigner, DeliveryError, Outlet
from sightline.records.command import ActuatorCommand, CommandLevel
from sightline.records.decision import Mode


def command(revision, level=CommandLevel.NONE):
    return ActuatorCommand(
        command_id="c",
        machine="saw",
        level=level,
        issued_ns=revision,
        valid_until_ns=revision + 10,
        revision=revision,
        reasons=(),
        mode=Mode.PRIMARY,
    )


class Slow(Outlet):
    """Takes a command only when it is let go."""

    def __init__(self):
        self.go = threading.Event()
        self.took = []
        self.is_closed = False

    def send(self, one, /, *, idempotency_key, deadline_s):
        self.go.wait(5)
        self.took.append(one.revision)

    def close(self):
        self.is_closed = True


class Refusing(Outlet):
    def send(self, one, /, *, idempotency_key, deadline_s):
        raise DeliveryError(expected="a", got="b", where="c", action="d")


def test_handing_over_does_not_wait_for_the_machine():
    actuator = Slow()
    with CommandSender(actuator) as sender:
        began_s = time.monotonic()
        for n in range(100):
            sender.send(command(n))
        assert time.monotonic() - began_s < 2.0
        actuator.go.set()


def test_the_newest_command_always_goes_out_and_every_one_is_counted():
    actuator = Slow()
    with CommandSender(actuator) as sender:
        for n in range(50):
            sender.send(command(n))
        actuator.go.set()
    assert actuator.took[-1] == 49
    assert sender.sent + sender.superseded == 50
    assert sender.sent == len(actuator.took)


def test_a_command_that_is_not_taken_is_counted_with_its_reason():
    with CommandSender(Refusing()) as sender:
        sender.send(command(0))
    assert (sender.sent, sender.failed) == (0, 1)
    assert "expected" in sender.last_error


def test_closing_sends_what_waits_and_then_lets_go_of_the_actuator():
    actuator = Slow()
    actuator.go.set()
    sender = CommandSender(actuator)
    sender.send(command(7, CommandLevel.STOP))
    sender.close()
    assert actuator.took == [7]
    assert actuator.is_closed


def test_an_actuator_that_hangs_is_left_behind():
    actuator = Slow()
    sender = CommandSender(actuator, join_timeout_s=0.05)
    sender.send(command(0))
    time.sleep(0.02)
    sender.close()
    assert not actuator.is_closed
    actuator.go.set()


def test_whatever_an_actuator_raises_the_next_command_is_still_sent():
    class Surprising(Outlet):
        def __init__(self):
            self.took = []

        def send(self, one, /, *, idempotency_key, deadline_s):
            if one.revision == 0:
                raise ValueError("a surprise")
            self.took.append(one.revision)

    actuator = Surprising()
    with CommandSender(actuator) as sender:
        sender.send(command(0))
        end = time.monotonic() + 5
        while not sender.failed and time.monotonic() < end:
            time.sleep(0.005)
        sender.send(command(1))
    assert actuator.took == [1]
    assert (sender.sent, sender.failed) == (1, 1)


def test_a_command_has_its_own_validity_as_deadline():
    class Noting(Outlet):
        def __init__(self):
            self.deadlines_s = []

        def send(self, one, /, *, idempotency_key, deadline_s):
            self.deadlines_s.append(deadline_s)

    outlet = Noting()
    with CommandSender(outlet) as sender:
        sender.send(command(0))
    assert outlet.deadlines_s == [10e-9]


class HangingOnce(Outlet):
    """Hangs in the first of its sends until it is let go; takes the others at once."""

    attempts_at_once = 2

    def __init__(self):
        self.go = threading.Event()
        self.took = []

    def send(self, one, /, *, idempotency_key, deadline_s):
        if one.revision == 0:
            self.go.wait()
        self.took.append(one.revision)


def wait_until(holds):
    end = time.monotonic() + 10
    while not holds() and time.monotonic() < end:
        time.sleep(0.005)


def test_an_attempt_that_hangs_holds_up_no_newer_command():
    outlet = HangingOnce()
    with CommandSender(outlet) as sender:
        for revision in range(3):
            sender.send(command(revision))
            wait_until(lambda: sender.sent == revision)  # noqa: B023
        assert outlet.took == [1, 2]
        outlet.go.set()


def test_commands_are_signed_in_the_order_in_which_they_are_handed_over():
    class Noting(Outlet):
        def __init__(self):
            self.counters = []

        def send(self, one, /, *, idempotency_key, deadline_s):
            self.counters.append((one.command.revision, one.counter.number))

    outlet = Noting()
    with CommandSender(outlet, signer=CommandSigner(CommandKey(b"k" * 32), session=1)) as sender:
        for revision in range(3):
            sender.send(command(revision))
            wait_until(lambda: sender.sent == revision + 1)  # noqa: B023
    assert outlet.counters == [(0, 0), (1, 1), (2, 2)]
