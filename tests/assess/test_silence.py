import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline.assess import ContactPlan, loss_ratio, silence_episodes


def episodes(times, *, now, timeout=30, default=None):
    t = np.array(times, np.int64)
    found = silence_episodes(
        subject=np.zeros(len(t), np.int64),
        first_ns=t,
        last_ns=t,
        now_ns=now,
        timeout_ns=timeout,
        default_plan=default,
    )
    return list(zip(found.raised_ns.tolist(), found.cleared_ns.tolist(), strict=True))


def test_a_gap_longer_than_the_timeout_is_a_silence():
    assert episodes([0, 100], now=100) == [(30, 100)]


def test_a_gap_as_long_as_the_timeout_is_none():
    assert episodes([0, 30], now=30) == []


def test_a_silence_that_lasts_has_no_end():
    assert episodes([0], now=30) == [(30, -1)]


def test_nothing_is_said_before_the_timeout_has_passed():
    assert episodes([0], now=29) == []


def test_a_subject_without_data_says_nothing():
    assert episodes([], now=1000) == []


def test_planned_loss_of_contact_is_no_silence():
    plan = ContactPlan.of([(0, 50), (200, 300)])
    assert episodes([40, 205], now=210, default=plan) == []


def test_silence_counts_contact_time_only():
    plan = ContactPlan.of([(0, 50), (200, 300)])
    assert episodes([40], now=400, default=plan) == [(220, -1)]


def test_the_gap_of_one_subject_does_not_run_into_the_next():
    found = silence_episodes(
        subject=np.array([0, 1]),
        first_ns=np.array([0, 100]),
        last_ns=np.array([0, 100]),
        now_ns=101,
        timeout_ns=1000,
    )
    assert len(found) == 0


@settings(max_examples=60, derandomize=True, deadline=None)
@given(
    times=st.lists(st.integers(0, 500), min_size=1, max_size=20, unique=True),
    missing=st.sets(st.integers(0, 19)),
    now=st.integers(0, 600),
)
def test_more_data_never_makes_a_silence_begin_earlier(times, missing, now):
    every = sorted(times)
    some = [t for i, t in enumerate(every) if i not in missing] or every[:1]
    first_of_some = min((r for r, _ in episodes(some, now=now)), default=None)
    covered = [t for t in every if t >= some[0]]
    first_of_all = min((r for r, _ in episodes(covered, now=now)), default=None)
    assert first_of_some is None or first_of_all is None or first_of_all >= first_of_some


def test_packet_loss_is_the_share_of_the_counter_advance_that_did_not_arrive():
    found = loss_ratio(
        sequence_max=np.array([20.0]),
        previous_sequence_max=np.array([10.0]),
        received=np.array([9.0]),
    )
    assert found.round(9).tolist() == [0.1]


def test_packet_loss_is_unknown_after_a_counter_restart():
    found = loss_ratio(
        sequence_max=np.array([3.0]),
        previous_sequence_max=np.array([900.0]),
        received=np.array([3.0]),
    )
    assert np.isnan(found).all()
