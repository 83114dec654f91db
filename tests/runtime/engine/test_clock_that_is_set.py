"""The clock of a live run while the machine's clock is set back and forward."""

from hypothesis import given
from hypothesis import strategies as st

from sightline.runtime.engine.steady_clock import steady_clock

S = 10**9
JUMPS = st.lists(st.tuples(st.floats(0, 5), st.integers(-200_000, 200_000)), min_size=1)


class Machine:
    def __init__(self):
        self.real_s = 0.0
        self.set_s = 1_000_000

    def wall_ns(self):
        return round((self.real_s + self.set_s) * S)

    def monotonic_s(self):
        return self.real_s


@given(JUMPS)
def test_it_never_goes_back_and_never_loses_time_however_the_clock_is_set(jumps):
    machine = Machine()
    now_ns = steady_clock(machine.wall_ns, machine.monotonic_s)
    before_ns = now_ns()
    for passed_s, set_s in jumps:
        machine.real_s += passed_s
        machine.set_s += set_s
        after_ns = now_ns()
        assert after_ns - before_ns >= round(passed_s * S) - 1
        assert after_ns >= machine.wall_ns()
        before_ns = after_ns


def test_each_time_the_clock_is_set_is_told_once():
    machine, told = Machine(), []
    now_ns = steady_clock(machine.wall_ns, machine.monotonic_s, on_trouble=told.append)
    for set_s in (0, -3600, 0, 7200, 0):
        machine.real_s += 1
        machine.set_s += set_s
        now_ns()
    assert [text.split(";")[0] for text in told] == [
        "clock: set back by 3,600 s",
        "clock: set forward by 7,200 s",
    ]


def test_slow_corrections_of_the_clock_are_followed_unsaid():
    machine, told = Machine(), []
    now_ns = steady_clock(machine.wall_ns, machine.monotonic_s, on_trouble=told.append)
    for _ in range(100):
        machine.real_s += 1
        machine.set_s += 0.01
        assert now_ns() == machine.wall_ns()
    assert told == []


def test_a_steady_clock_is_not_made_steady_twice():
    machine = Machine()
    now_ns = steady_clock(machine.wall_ns, machine.monotonic_s)
    assert steady_clock(now_ns, machine.monotonic_s) is now_ns
