"""Tripwires: each crossing once, in its direction, and no crossing that was none."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from site_tracks import S, tracks

from sightline.assess.site import from_snapshot, snapshot
from sightline.assess.site.zones import Tripwire, TripwireState, watch_wires
from sightline.errors import UsageError

# Looking along +y, the left side is x < 0.
WIRE = Tripwire(name="gate", start=(0.0, -5.0), end=(0.0, 5.0))
STEP_NS = S // 10


def crossings(path, *, state=None, first=0, **rest):
    """(frame, direction, time) of all crossings of somebody at these points; None: not seen."""
    state = TripwireState.start(1) if state is None else state
    found = []
    for i, point in enumerate(path, start=first):
        at = [] if point is None else [point if isinstance(point, tuple) else (point, 0.0)]
        state, crossed = watch_wires([WIRE], state, tracks(i * STEP_NS, at, **rest))
        found += [
            (i, int(d), int(ns))
            for d, ns in zip(crossed.direction, crossed.crossed_ns, strict=True)
        ]
    return state, found


def test_who_walks_over_the_line_crosses_once_and_is_dated_at_the_first_sight_beyond():
    assert crossings([-1.0] * 3 + [1.0] * 10)[1] == [(6, 1, 3 * STEP_NS)]


def test_the_way_back_counts_in_the_other_direction():
    directions = [d for _, d, _ in crossings([-1.0] * 3 + [1.0] * 6 + [-1.0] * 6)[1]]
    assert directions == [1, -1]


def test_a_step_over_and_back_is_no_crossing():
    assert crossings([-1.0] * 3 + [1.0] * 2 + [-1.0] * 10)[1] == []


def test_a_walk_round_the_end_is_no_crossing():
    assert crossings([(-1.0, 0.0), (-1.0, 9.0), (1.0, 9.0), *[(1.0, 0.0)] * 10])[1] == []


def test_who_lingers_on_the_line_crosses_when_beyond_the_margin_only():
    assert crossings([-1.0] * 3 + [0.1, -0.1] * 10)[1] == []


def test_who_first_appears_beyond_the_line_has_not_crossed_it():
    assert crossings([1.0] * 10)[1] == []


def test_a_gap_in_sight_does_not_lose_a_crossing():
    assert len(crossings([-1.0] * 3 + [None] * 5 + [1.0] * 5)[1]) == 1


def test_a_coasting_track_crosses_nothing():
    assert crossings([-1.0] + [1.0] * 10, unseen_s=[0.5])[1] == []


def test_frames_out_of_order_are_refused():
    state, _ = crossings([-1.0])
    with pytest.raises(UsageError, match="in order of capture"):
        watch_wires([WIRE], state, tracks(0))


def test_a_wire_without_length_is_refused():
    with pytest.raises(UsageError, match="two different finite ends"):
        Tripwire(name="gate", start=(1.0, 1.0), end=(1.0, 1.0))


paths = st.lists(st.one_of(st.none(), st.floats(-2, 2, allow_nan=False)), max_size=40)


@settings(max_examples=50, deadline=None)
@given(paths)
def test_directions_alternate_whatever_the_walk(path):
    directions = [d for _, d, _ in crossings(path)[1]]
    assert directions == [directions[0] * (-1) ** i for i in range(len(directions))]


@settings(max_examples=50, deadline=None)
@given(paths, st.integers(0, 40))
def test_a_state_that_was_kept_and_taken_back_goes_on_the_same(path, cut):
    cut = min(cut, len(path))
    state, before = crossings(path[:cut])
    kept = from_snapshot(TripwireState, snapshot(state))
    _, after = crossings(path[cut:], state=kept, first=cut)
    assert before + after == crossings(path)[1]
