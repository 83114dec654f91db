import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline.decide import AlarmRule, alarm_states

NAN = float("nan")


def rule(*, m=1, n=1, raise_at=10.0, clear_at=5.0, is_high=True):
    return AlarmRule(raise_at=raise_at, clear_at=clear_at, is_high=is_high, m=m, n=n)


def states(alarm, measure, window=None, was_raised=False):
    n = len(measure)
    return alarm_states(
        alarm,
        key=np.zeros(n, np.int64),
        window=np.arange(n) if window is None else np.array(window),
        measure=np.array(measure, float),
        targets=np.arange(n),
        was_raised=np.full(n, was_raised),
    ).is_raised.tolist()


def test_an_alarm_is_raised_beyond_its_threshold():
    assert states(rule(), [9, 11]) == [False, True]


def test_a_value_at_the_threshold_is_not_beyond_it():
    assert states(rule(), [10]) == [False]


def test_an_alarm_stays_between_the_two_thresholds():
    assert states(rule(), [11, 7, 9]) == [True, True, True]


def test_an_alarm_is_cleared_at_the_clear_threshold():
    assert states(rule(), [11, 5]) == [True, False]


def test_a_low_alarm_looks_the_other_way():
    assert states(rule(is_high=False, raise_at=3, clear_at=6), [4, 2, 5, 6]) == [
        False,
        True,
        True,
        False,
    ]


def test_two_of_three_windows_are_needed_to_raise():
    assert states(rule(m=2, n=3), [11, 0, 11]) == [False, False, True]


def test_two_of_three_windows_are_needed_to_clear():
    assert states(rule(m=2, n=3), [11, 11, 0, 11, 0]) == [False, True, True, True, False]


def test_windows_without_data_count_as_passing_time():
    assert states(rule(m=2, n=3), [11, 11], window=[0, 3]) == [False, False]


def test_a_missing_measure_is_no_evidence():
    assert states(rule(), [11, NAN]) == [True, True]


def test_the_state_before_the_first_window_carries_over():
    assert states(rule(), [7], was_raised=True) == [True]


def test_keys_do_not_mix():
    found = alarm_states(
        rule(m=2, n=2),
        key=np.array([0, 1]),
        window=np.array([0, 1]),
        measure=np.array([11.0, 11.0]),
        targets=np.arange(2),
        was_raised=np.zeros(2, bool),
    )
    assert found.is_raised.tolist() == [False, False]


def plain_states(alarm, measure, was_raised):
    """The specification: one window after the other."""
    raised, found = was_raised, []
    for i in range(len(measure)):
        last = measure[max(0, i - alarm.n + 1) : i + 1]
        beyond = [v > alarm.raise_at for v in last]
        back = [v <= alarm.clear_at for v in last]
        if beyond[-1] and sum(beyond) >= alarm.m:
            raised = True
        elif back[-1] and sum(back) >= alarm.m:
            raised = False
        found.append(raised)
    return found


@settings(max_examples=60, derandomize=True, deadline=None)
@given(
    measure=st.lists(st.sampled_from([0.0, 5.0, 7.0, 10.0, 11.0, NAN]), max_size=20),
    n=st.integers(1, 5),
    data=st.data(),
    was=st.booleans(),
)
def test_the_columnar_latch_agrees_with_its_plain_specification(measure, n, data, was):
    alarm = rule(m=data.draw(st.integers(1, n)), n=n)
    assert states(alarm, measure, was_raised=was) == plain_states(alarm, measure, was)


@settings(max_examples=40, derandomize=True, deadline=None)
@given(measure=st.lists(st.sampled_from([0.0, 7.0, 11.0]), min_size=2, max_size=15), data=st.data())
def test_deciding_again_from_any_window_gives_the_same_states(measure, data):
    alarm = rule(m=2, n=3)
    at = data.draw(st.integers(1, len(measure) - 1))
    n = len(measure)
    full = states(alarm, measure)
    again = alarm_states(
        alarm,
        key=np.zeros(n, np.int64),
        window=np.arange(n),
        measure=np.array(measure),
        targets=np.arange(at, n),
        was_raised=np.full(n - at, full[at - 1]),
    )
    assert again.is_raised.tolist() == full[at:]
