"""Events of whole series: each fault told with its samples, and nothing told of what repeats."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline.evidence.series_detection import detect_series
from sightline.evidence.series_file import Series
from sightline.perceive.normal import EventRule

ROWS, FIRST = 3000, 900


def detected(values, **options):
    row = np.arange(len(values))
    series = Series(key="", time_ns=None, values=np.asarray(values, np.float64), row=row)
    return detect_series(series, **options)


def noise(seed, rows=ROWS):
    return np.random.default_rng(seed).normal(size=rows)


def with_fault(values, kind, first, rows):
    """The values with one fault; the samples it changed."""
    found = values.copy()
    last = first + (1 if kind == "spike" else rows)
    part = slice(first, last)
    found[part] = {
        "dropout": np.full(last - first, -20.0),
        "spike": values[part] + 12.0,
        "step": values[part] + 6.0,
        "stuck": np.full(last - first, values[first]),
        "burst": values[part] + 5.0 * np.sin(np.arange(last - first) * 2 * np.pi / 5),
    }[kind]
    return found, (first, last - 1)


PATTERNS = {
    "sine": lambda t, period: np.sin(2 * np.pi * t / period),
    "rounded": lambda t, period: np.round(np.sin(2 * np.pi * t / period), 1),
    "square": lambda t, period: (t % period < period / 2).astype(float),
    "saw": lambda t, period: t % period,
    "pulse": lambda t, period: (t % period < 1).astype(float),
}


@settings(max_examples=25, deadline=None)
@given(
    name=st.sampled_from(sorted(PATTERNS)),
    period=st.integers(3, 290),
    offset=st.sampled_from([0.0, 1e3, -1e6]),
)
def test_a_strictly_periodic_series_raises_no_event(name, period, offset):
    values = PATTERNS[name](np.arange(ROWS), period) + offset
    assert detected(values).events.tolist() == []


@settings(max_examples=25, deadline=None)
@given(
    kind=st.sampled_from(["dropout", "spike", "step", "stuck", "burst"]),
    count=st.integers(2, 8),
    spacing=st.integers(200, 400),
    seed=st.integers(0, 20),
)
def test_each_of_equal_faults_that_are_apart_is_told_with_all_of_its_samples(
    kind, count, spacing, seed
):
    values, faults = noise(seed, FIRST + count * spacing + 300), []
    for first in range(FIRST, FIRST + count * spacing, spacing):
        values, fault = with_fault(values, kind, first, 30)
        faults.append(fault)
    events = detected(values).events
    for first, last in faults:
        assert any(a <= first and last <= b for a, b in events)


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
@pytest.mark.parametrize("offset", [0.0, 1e3, 1e6, 1e9])
def test_neither_an_offset_nor_a_unit_changes_events(offset, scale):
    values, _ = with_fault(noise(1), "step", 1500, 60)
    expected = detected(values).events.tolist()
    assert detected((values + offset) * scale).events.tolist() == expected


@pytest.mark.parametrize("sentinel", [-999.0, 9999.0, 0.0, 1e30])
@pytest.mark.parametrize("rows", [1, 30])
def test_a_sentinel_among_the_learning_rows_does_not_hide_the_rest(sentinel, rows):
    values = 20 + 0.5 * noise(2)
    values[100 : 100 + rows] = sentinel
    values[2000:2030] += 4.0
    assert any(a <= 2000 and b >= 2029 for a, b in detected(values).events)


@pytest.mark.parametrize("rows", [12, 40, 200])
def test_a_value_that_is_stuck_is_told_while_it_is(rows):
    values, _ = with_fault(noise(3), "stuck", 1500, rows)
    assert np.nanmax(detected(values).score[1500:1510]) >= 4.0


@pytest.mark.parametrize("seed", range(5))
def test_coarse_rounding_raises_no_event(seed):
    assert len(detected(np.round(0.4 * noise(seed))).events) == 0


def test_a_spike_of_one_row_is_within_its_event_and_its_peak():
    for row in range(1500, 1564):
        values, _ = with_fault(noise(4), "spike", row, 1)
        found = detected(values)
        (at,) = [i for i, (a, b) in enumerate(found.events) if a <= row <= b]
        assert found.peaks()[at] == row


def test_the_peak_of_what_never_moved_before_is_where_it_moves():
    values = np.full(2000, 5.0)
    values[1500:] = 9.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert 1500 in detected(values).peaks()


def test_a_weak_event_beside_a_strong_one_is_told_and_marked():
    values, _ = with_fault(noise(5), "dropout", 1200, 30)
    values, _ = with_fault(values, "step", 2000, 100)
    found = detected(values)
    assert found.is_weaker.sum() >= 1
    assert any(a <= 2000 and b >= 2000 for a, b in found.events)


def test_weaker_events_that_are_left_out_are_counted():
    values, _ = with_fault(noise(5), "dropout", 1200, 30)
    values, _ = with_fault(values, "step", 2000, 100)
    every, strong = detected(values), detected(values, strong_only=True, rule=EventRule())
    assert strong.left_out == every.is_weaker.sum() > 0
    assert len(strong.events) == len(every.events) - strong.left_out


@pytest.mark.parametrize("seed", range(12))
def test_equal_dropouts_of_a_short_recording_are_events_of_their_own_and_nothing_else_is(seed):
    values, faults = noise(seed, 1200), []
    for first in (400, 600, 800, 1000):
        values, fault = with_fault(values, "dropout", first, 30)
        faults.append(fault)
    events = detected(values).events.tolist()
    assert len(events) == len(faults)
    assert all(a <= c and d <= b for (a, b), (c, d) in zip(events, faults, strict=True))


def test_noise_is_no_event_in_a_recording_too_short_for_the_wide_windows():
    events = [len(detected(noise(seed, 600)).events) for seed in range(60)]
    assert sum(events) <= 1
