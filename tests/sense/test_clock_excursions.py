"""One device's clock jumps and comes back: which stamps are believed."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline.limits import Limits
from sightline.sense.arrival import epochs
from sightline.sense.clock_excursions import StampedRows, Verdict, judge_stamps
from sightline.sense.contract import Contract, parse_contract
from sightline.sense.source import MemorySource

S = 10**9
DAY_S = 86_400
START_S = 1_709_251_200
NOTHING = StampedRows(key=pl.Series([], dtype=pl.String), time_ns=np.empty(0, np.int64))


def stamped(seconds: object, key: object = "a") -> StampedRows:
    time_ns = np.asarray(seconds, np.int64) * S
    keys = [key] * len(time_ns) if isinstance(key, str) else key
    return StampedRows(key=pl.Series(keys, dtype=pl.String), time_ns=time_ns)


def judge(rows: StampedRows, after: StampedRows = NOTHING) -> Verdict:
    return judge_stamps(NOTHING, rows, after, on_time_ns=65 * S, max_backlog_ns=DAY_S * S)


def with_excursion(at: int, length: int, shift_s: int, rows: int = 1200) -> np.ndarray:
    seconds = START_S + np.arange(rows)
    seconds[at : at + length] += shift_s
    return seconds


@settings(max_examples=200, derandomize=True, deadline=None)
@given(
    at=st.integers(1, 1000),
    length=st.integers(1, 1000),
    days=st.integers(-7000, 7000).filter(lambda d: abs(d) > 2),
)
def test_any_excursion_that_returns_costs_only_its_own_rows(
    at: int, length: int, days: int
) -> None:
    length = min(length, 1200 - at - 60)
    found = judge(stamped(with_excursion(at, length, days * DAY_S)))
    is_wrong = np.zeros(1200, np.bool_)
    is_wrong[at : at + length] = True
    if days > 0:
        assert found.is_ahead.tolist() == is_wrong.tolist()
        assert not found.is_behind.any()
    elif length <= 3 * (1200 - length):
        assert found.is_behind.tolist() == is_wrong.tolist()
        assert not found.is_ahead.any()


@settings(max_examples=100, derandomize=True, deadline=None)
@given(
    at=st.integers(60, 500),
    length=st.integers(3, 300),
    minutes=st.integers(10, 600),
    sign=st.booleans(),
)
def test_an_excursion_within_the_backlog_costs_only_its_own_rows(
    at: int, length: int, minutes: int, sign: bool
) -> None:
    shift_s = 60 * minutes * (1 if sign else -1)
    length = min(length, 60 * minutes - 70)
    found = judge(stamped(with_excursion(at, length, shift_s, rows=5000)))
    doubted = np.flatnonzero(found.is_ahead | found.is_behind)
    assert set(doubted) <= set(range(at, at + length))


def test_a_clock_that_starts_ahead_and_is_set_right_loses_its_first_rows() -> None:
    assert judge(stamped(with_excursion(0, 30, 5000 * DAY_S))).is_ahead.sum() == 30


@pytest.mark.parametrize("gap_s", [3600, 7 * DAY_S, 5000 * DAY_S])
def test_a_gap_after_which_nothing_returns_is_a_gap(gap_s: int) -> None:
    seconds = START_S + np.arange(1000)
    seconds[500:] += gap_s
    found = judge(stamped(seconds))
    assert not (found.is_ahead | found.is_behind).any()


def test_what_was_sent_late_after_a_gap_does_not_refute_the_rows_before_it() -> None:
    seconds = np.concatenate([np.arange(500), 7200 + np.arange(1000), 3000 + np.arange(60)])
    found = judge(stamped(START_S + seconds))
    assert not found.is_ahead.any()
    assert np.flatnonzero(found.is_behind).tolist() == list(range(1500, 1560))


def test_two_reboots_to_the_same_wrong_time_do_not_outweigh_the_right_rows() -> None:
    wrong = np.arange(30)
    seconds = np.concatenate(
        [wrong, START_S + np.arange(300), wrong, START_S + 330 + np.arange(800)]
    )
    found = judge(stamped(seconds))
    assert not found.is_ahead.any()
    assert np.flatnonzero(found.is_behind).tolist() == list(range(330, 360))


def test_excursions_one_after_the_other_are_each_judged() -> None:
    seconds = with_excursion(100, 10, 5000 * DAY_S)
    seconds[300:340] -= START_S
    seconds[500:700] += 400 * DAY_S
    found = judge(stamped(seconds))
    assert np.flatnonzero(found.is_ahead).tolist() == [*range(100, 110), *range(500, 700)]
    assert np.flatnonzero(found.is_behind).tolist() == list(range(300, 340))


def test_what_follows_is_looked_at() -> None:
    seconds = with_excursion(900, 100, 5000 * DAY_S)
    alone = judge(stamped(seconds[:1000]))
    told = judge(stamped(seconds[:1000]), stamped(seconds[1000:]))
    assert (alone.is_ahead.sum(), told.is_ahead.sum()) == (0, 100)


@settings(max_examples=50, derandomize=True, deadline=None)
@given(st.data())
def test_devices_are_judged_each_by_its_own_rows(data: st.DataObject) -> None:
    """Interleaved with others as it may be, a device is judged as if it were alone."""
    clocks = [
        with_excursion(
            data.draw(st.integers(0, 50)),
            data.draw(st.integers(0, 40)),
            data.draw(st.integers(-9000, 9000)) * DAY_S,
            rows=100,
        )
        for _ in range(4)
    ]
    order = np.array(data.draw(st.permutations(np.repeat(np.arange(4), 100).tolist())))
    seconds = np.empty(400, np.int64)
    for device in range(4):
        seconds[order == device] = clocks[device]
    together = judge(stamped(seconds, [str(device) for device in order]))
    for device in range(4):
        alone = judge(stamped(clocks[device]))
        assert together.is_ahead[order == device].tolist() == alone.is_ahead.tolist()
        assert together.is_behind[order == device].tolist() == alone.is_behind.tolist()


@settings(max_examples=60, derandomize=True, deadline=None)
@given(st.lists(st.integers(0, 2**62), max_size=200), st.integers(0, 2**60))
def test_any_times_are_judged_without_an_error(times: list[int], on_time_ns: int) -> None:
    rows = StampedRows(
        key=pl.Series([str(t % 3) for t in times], dtype=pl.String),
        time_ns=np.array(times, np.int64),
    )
    found = judge_stamps(
        NOTHING, rows, NOTHING, on_time_ns=on_time_ns, max_backlog_ns=2 * on_time_ns
    )
    assert len(found.is_ahead) == len(times)
    assert not (found.is_ahead & found.is_behind).any()


# --- in a file ------------------------------------------------------------------------------------


def contract(**changes: object) -> Contract:
    form = {
        "contract": "c",
        "key": ["k"],
        "event_time": {"column": "t", "format": "unix_s"},
        "fields": {"v": {"type": "number", "unit": "1"}},
        "timing": {"out_of_order_s": 5, "revision_allowance_s": 60, "max_backlog_s": DAY_S},
    }
    return parse_contract(form | changes, where="test")


def received(seconds: np.ndarray, keys: list[str], chunk_rows: int) -> pl.DataFrame:
    frame = pl.DataFrame({"k": keys, "t": seconds, "v": np.ones(len(seconds))})
    limits = Limits(chunk_rows=chunk_rows)
    source = MemorySource("s", {"f": frame}, limits=limits)
    found = epochs([(source, contract())], tick_ns=3600 * S, limits=limits)
    return pl.concat([rows for epoch in found for _, rows in epoch.batches]).sort("_row")


@pytest.mark.parametrize("chunk_rows", [7, 100, 5000])
def test_stamps_ahead_of_their_own_clock_are_ahead_of_their_receipt(chunk_rows: int) -> None:
    rows = received(with_excursion(300, 200, 5000 * DAY_S), ["a"] * 1200, chunk_rows)
    ahead = (rows["t"] * S > rows["_received_ns"]).to_numpy()
    assert np.flatnonzero(ahead).tolist() == list(range(300, 500))


def test_an_hour_ahead_shows_though_other_devices_are_further() -> None:
    seconds = np.empty(4000, np.int64)
    seconds[::2] = START_S + np.arange(2000)
    seconds[1::2] = START_S + 7200 + np.arange(2000)
    seconds[600:800:2] += 3600
    rows = received(seconds, ["a", "b"] * 2000, 5000)
    ahead = (rows["t"] * S > rows["_received_ns"]).to_numpy()
    assert np.flatnonzero(ahead).tolist() == list(range(600, 800, 2))


def test_a_fall_of_the_clock_does_not_refute_the_rows_before_it() -> None:
    rows = received(with_excursion(300, 30, -START_S), ["a"] * 1200, 5000)
    assert (rows["t"] * S <= rows["_received_ns"]).all()
