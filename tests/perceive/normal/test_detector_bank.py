"""Detectors of many series: each is the detector of its series, whatever the others are."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perceive.normal.plain_detector import PlainDetector
from sightline.errors import LogError, UsageError
from sightline.perceive.normal.bank import DetectorBank
from sightline.perceive.normal.settings import NormalSettings

ROWS = 420
SETTINGS = {
    "default": NormalSettings(),
    "forgets": NormalSettings(widths=(8, 16), memory_size=5),
    "merges": NormalSettings(widths=(4, 8, 32), memory_size=6, forgets=False),
    "merges, no spacing": NormalSettings(
        widths=(4, 8), memory_size=7, forgets=False, spacing_share=0.0
    ),
    "learns nothing": NormalSettings(widths=(8, 16), memory_size=16, learns_below=0.0),
    "learns the usual": NormalSettings(widths=(4, 16), memory_size=9, learns_below=2.0),
    "learns late": NormalSettings(widths=(2, 16), memory_size=20, delay=70, learns_below=2.0),
    "learns all": NormalSettings(widths=(4, 16), memory_size=9, learns_below=None),
    "short episodes": NormalSettings(
        widths=(4, 16), memory_size=9, learns_below=1.5, quiet_rows=5, lasting_rows=40
    ),
    "late": NormalSettings(widths=(16, 32), memory_size=11, delay=50),
    "one width": NormalSettings(widths=(2,), memory_size=1),
    "odd steps": NormalSettings(widths=(8, 16, 64), steps_per_width=3, memory_size=10),
    "every sample": NormalSettings(widths=(4, 8, 16), steps_per_width=64, memory_size=10),
    "wide": NormalSettings(widths=(8, 128), steps_per_width=2, memory_size=12),
}
KINDS = (
    *("wave", "noise", "missing", "gap", "constant", "jump", "drift", "infinite", "nothing"),
    *("rounded", "stuck", "sentinel"),
)


def made(kind, seed, rows=ROWS):
    """A series of some kind, all of them hard for a detector in their way."""
    rng = np.random.default_rng(seed)
    t = np.arange(rows)
    values = np.sin(t / rng.uniform(2, 20)) * rng.uniform(0.1, 10) + rng.normal(0, 0.05, rows)
    if kind == "noise":
        values = rng.normal(0, 1, rows)
    elif kind == "missing":
        values[rng.random(rows) < rng.uniform(0.1, 0.7)] = np.nan
    elif kind == "gap":
        begin = rng.integers(0, rows)
        values[begin : begin + 90] = np.nan
    elif kind == "constant":
        values = np.full(rows, rng.integers(-2, 3) * 1.5)
        values[rng.integers(0, 2 * rows) :] += 1.0
    elif kind == "jump":
        values[rng.integers(0, rows) :] += rng.normal(0, 30)
    elif kind == "drift":
        values += t * 0.05
    elif kind == "infinite":
        values[rng.random(rows) < 0.02] = np.inf
        values[rng.random(rows) < 0.01] = rng.choice([1e200, 1.7e308])
    elif kind == "rounded":
        values = np.round(values)
    elif kind == "stuck":
        begin = rng.integers(0, rows)
        values[begin : begin + rng.integers(5, 90)] = values[begin]
    elif kind == "sentinel":
        values[rng.random(rows) < 0.02] = -999.0
    elif kind == "nothing":
        values[:] = np.nan
    return values


def alone(values, learn_rows, how):
    """The specification: a ``PlainDetector``, begun again until it knows something."""
    with np.errstate(over="ignore", invalid="ignore"):
        for end in range(learn_rows, len(values) + 1, learn_rows):
            try:
                detector = PlainDetector(values[end - learn_rows : end], how)
            except ValueError:
                continue
            return np.concatenate([np.full(end, np.nan), detector.follow(values[end:])[0]])
    return np.full(len(values), np.nan)


def in_calls(bank, values, calls, first=0):
    """Scores of each series, fed by ``calls``: of each how many samples each series brings.

    Args:
        values: one array per series.
        first: number of the first of them in the bank.
    """
    at = np.zeros(len(values), np.int64)
    found = [np.full(len(v), np.inf) for v in values]
    for call in calls:
        n = np.minimum(np.asarray(call), [len(v) for v in values] - at)
        some = np.flatnonzero(n >= 0)
        joined = np.concatenate([np.empty(0), *(values[s][at[s] : at[s] + n[s]] for s in some)])
        scores = bank.follow(some + first, n[some], joined)
        for s, part in zip(some, np.split(scores, np.cumsum(n[some]))[:-1], strict=True):
            found[s][at[s] : at[s] + n[s]] = part
            at[s] += n[s]
    assert (at == [len(v) for v in values]).all()
    return found


def calls_of(seed, series, *, most, rows=ROWS):
    """Cuts at random, some series left out of some calls (-1), until all is brought."""
    rng = np.random.default_rng(seed)
    calls, at = [], np.zeros(series, np.int64)
    while (at < rows).any():
        call = rng.integers(0, most + 1, series)
        call[rng.random(series) < 0.2] = -1
        call = np.minimum(call, rows - at)
        calls.append(call)
        at += np.maximum(call, 0)
    return calls


@pytest.mark.parametrize("name", SETTINGS)
@settings(max_examples=5, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=4),
    learn_rows=st.lists(st.sampled_from([5, 60, 131, 200, 256]), min_size=4, max_size=4),
    most=st.sampled_from([1, 3, 10, 77, ROWS]),
)
def test_each_series_has_the_scores_that_are_specified_to_the_last_bit(
    name, seed, kinds, learn_rows, most
):
    how = SETTINGS[name]
    values = [made(kind, seed + i) for i, kind in enumerate(kinds)]
    bank = DetectorBank(how)
    bank.grow(np.array(learn_rows[: len(values)]))
    found = in_calls(bank, values, calls_of(seed, len(values), most=most))
    for mine, one, n in zip(found, values, learn_rows, strict=False):
        np.testing.assert_array_equal(mine, alone(one, n, how))


def test_long_calls_over_several_blocks_are_those_of_the_detectors():
    how = NormalSettings(widths=(8, 32), memory_size=24)
    values = [made("wave", seed, rows=9_000) for seed in range(3)]
    bank = DetectorBank(how)
    bank.grow(np.full(1200, 300))
    series = np.array([3, 511, 1100])
    scores = bank.follow(series, np.full(3, 9_000), np.concatenate(values))
    for mine, one in zip(np.split(scores, 3), values, strict=True):
        np.testing.assert_array_equal(mine, alone(one, 300, how))


@pytest.mark.parametrize(
    ("name", "learn_rows"),
    [("default", 300), ("forgets", 750), ("merges", 300), ("odd steps", 750)],
)
def test_a_long_beginning_is_learnt_from_to_the_last_bit(name, learn_rows):
    values = [made(kind, 7, rows=learn_rows + 200) for kind in KINDS]
    bank = DetectorBank(SETTINGS[name])
    bank.grow(np.full(len(values), learn_rows))
    found = in_calls(bank, values, [np.full(len(values), learn_rows + 200)])
    for mine, one in zip(found, values, strict=True):
        np.testing.assert_array_equal(mine, alone(one, learn_rows, SETTINGS[name]))


def test_a_series_that_grows_later_is_like_any_other():
    how = SETTINGS["forgets"]
    first, later = made("wave", 1), made("jump", 2)
    bank = DetectorBank(how)
    bank.grow(np.array([100]))
    in_calls(bank, [first], [[ROWS]])
    bank.grow(np.array([60]))
    (found,) = in_calls(bank, [later], [[ROWS]], first=1)
    np.testing.assert_array_equal(found, alone(later, 60, how))


def test_rows_counts_all_samples_of_each_series():
    bank = DetectorBank(SETTINGS["forgets"])
    bank.grow(np.array([10, 100, 100]))
    bank.follow(np.array([0, 2]), np.array([50, 130]), np.zeros(180))
    assert bank.rows.tolist() == [50, 0, 130]
    assert bank.is_known.tolist() == [False, False, True]
    assert len(bank) == 3


# --- taking over --------------------------------------------------------------------------------


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    cut=st.integers(0, ROWS),
    ahead=st.integers(0, ROWS),
    name=st.sampled_from(sorted(SETTINGS)),
)
def test_series_that_are_taken_over_go_on_as_in_the_other_bank(seed, cut, ahead, name):
    how = SETTINGS[name]
    kinds = ("wave", "missing", "jump", "constant")
    values = [made(kind, seed + i) for i, kind in enumerate(kinds)]
    mine, other = DetectorBank(how), DetectorBank(how)
    for bank, rows in ((mine, cut), (other, ahead)):
        bank.grow(np.array([100, 150, 200, 60]))
        bank.follow(np.arange(4), np.full(4, rows), np.concatenate([v[:rows] for v in values]))
    mine.take_over(other, np.array([1, 2]))
    at = np.array([cut, ahead, ahead, cut])
    rest = np.concatenate([v[a:] for v, a in zip(values, at, strict=True)])
    scores = mine.follow(np.arange(4), ROWS - at, rest)
    assert mine.rows.tolist() == [ROWS] * 4
    for part, v, a, n in zip(
        np.split(scores, np.cumsum(ROWS - at)[:-1]), values, at, (100, 150, 200, 60), strict=True
    ):
        np.testing.assert_array_equal(part, alone(v, n, how)[a:])


def test_what_is_taken_over_is_a_copy():
    how = SETTINGS["forgets"]
    values = made("wave", 3)
    mine, other = DetectorBank(how), DetectorBank(how)
    for bank in (mine, other):
        bank.grow(np.array([100]))
    other.follow(np.array([0]), np.array([200]), values[:200])
    mine.take_over(other, np.array([0]))
    other.follow(np.array([0]), np.array([50]), np.full(50, 99.0))
    scores = mine.follow(np.array([0]), np.array([ROWS - 200]), values[200:])
    np.testing.assert_array_equal(scores, alone(values, 100, how)[200:])


def test_a_bank_of_other_settings_is_not_taken_over():
    mine, other = DetectorBank(SETTINGS["forgets"]), DetectorBank(SETTINGS["late"])
    for bank in (mine, other):
        bank.grow(np.array([100]))
    with pytest.raises(UsageError, match="same settings"):
        mine.take_over(other, np.array([0]))


# --- bounds -------------------------------------------------------------------------------------


def test_more_series_than_the_bound_are_refused_and_none_is_added():
    bank = DetectorBank(NormalSettings(), max_series=3)
    bank.grow(np.array([10, 10]))
    with pytest.raises(UsageError, match="at most 3 series"):
        bank.grow(np.array([10, 10]))
    assert len(bank) == 2


@pytest.mark.parametrize("rows", [0, -1, 1 << 17])
def test_a_learning_stretch_out_of_range_is_refused(rows):
    with pytest.raises(UsageError, match="learn from"):
        DetectorBank(NormalSettings()).grow(np.array([rows]))


@pytest.mark.parametrize(
    ("series", "lengths", "samples"),
    [
        ([0, 2], [1, 1], 2),
        ([1, 0], [1, 1], 2),
        ([0, 0], [1, 1], 2),
        ([-1, 0], [1, 1], 2),
        ([0, 1], [1, 1], 3),
        ([0, 1], [3, -1], 2),
        ([0, 1], [2], 2),
    ],
)
def test_a_call_that_does_not_fit_is_refused_and_changes_nothing(series, lengths, samples):
    bank = DetectorBank(NormalSettings())
    bank.grow(np.array([10, 10]))
    with pytest.raises(UsageError, match="DetectorBank"):
        bank.follow(np.array(series), np.array(lengths), np.zeros(samples))
    assert bank.rows.tolist() == [0, 0]


def test_a_call_without_samples_gives_no_scores():
    bank = DetectorBank(NormalSettings())
    empty = np.empty(0, np.int64)
    assert bank.follow(empty, empty, np.empty(0)).shape == (0,)


def test_the_samples_to_learn_from_are_given_back_after_learning():
    bank = DetectorBank(NormalSettings(memory_size=16))
    bank.grow(np.full(100, 400))
    before = bank.nbytes
    values = np.concatenate([made("wave", seed) for seed in range(100)])
    bank.follow(np.arange(100), np.full(100, 300), np.zeros(30_000))
    assert bank.nbytes - before >= 100 * 300 * 8
    empty = DetectorBank(NormalSettings(memory_size=16))
    empty.grow(np.full(100, 400))
    empty.follow(np.arange(100), np.full(100, ROWS), values)
    bank.follow(np.arange(100), np.full(100, ROWS), values)
    assert bank.nbytes == empty.nbytes


def test_series_that_bring_nothing_to_learn_from_keep_only_their_own_samples():
    bank = DetectorBank(NormalSettings(memory_size=16))
    bank.grow(np.full(512, 400))
    values = np.concatenate([made("wave", seed % 7) for seed in range(512)])
    values[: 2 * ROWS] = np.nan
    bank.follow(np.arange(512), np.full(512, ROWS), values)
    per_sample = bank.nbytes - 512 * 3 * 8 - 512 * 2 * 8
    other = DetectorBank(NormalSettings(memory_size=16))
    other.grow(np.full(512, 400))
    other.follow(np.arange(510) + 2, np.full(510, ROWS), values[2 * ROWS :])
    assert per_sample - (other.nbytes - 512 * 3 * 8) <= 8 * 2 * 800 * 8


# --- snapshots ----------------------------------------------------------------------------------


def bank_of(name, rows=250, seed=5):
    """A bank of which some series have learnt, some learn, some never will; what comes next."""
    kinds = ("wave", "missing", "nothing", "jump", "constant", "drift")
    values = [made(kind, seed + i) for i, kind in enumerate(kinds)]
    bank = DetectorBank(SETTINGS[name])
    bank.grow(np.array([100, 150, 60, 400, 60, 5]))
    series = np.arange(6)
    bank.follow(series, np.full(6, rows), np.concatenate([v[:rows] for v in values]))
    return bank, (series, np.full(6, ROWS - rows), np.concatenate([v[rows:] for v in values]))


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("rows", [0, 30, 250])
def test_a_bank_that_was_stored_goes_on_as_if_it_had_not_been(name, rows):
    bank, more = bank_of(name, rows)
    again = DetectorBank(SETTINGS[name])
    again.restore(bank.snapshot())
    assert again.rows.tolist() == bank.rows.tolist()
    np.testing.assert_array_equal(again.follow(*more), bank.follow(*more))


def test_a_bank_that_was_stored_and_restored_is_stored_the_same_again():
    bank, _ = bank_of("learns the usual")
    again = DetectorBank(SETTINGS["learns the usual"])
    again.restore(bank.snapshot())
    for (name, ours), (name_again, theirs) in zip(
        bank.snapshot().items(), again.snapshot().items(), strict=True
    ):
        assert name == name_again
        np.testing.assert_array_equal(ours, theirs)


def test_what_is_stored_does_not_change_with_the_bank():
    bank, more = bank_of("forgets")
    stored = bank.snapshot()
    before = {name: array.copy() for name, array in stored.items()}
    bank.follow(*more)
    for name, array in stored.items():
        np.testing.assert_array_equal(array, before[name])


def test_a_bank_of_another_format_is_refused():
    stored = bank_of("forgets")[0].snapshot() | {"format": np.array([99])}
    with pytest.raises(LogError, match="format 99"):
        DetectorBank(SETTINGS["forgets"]).restore(stored)


@pytest.mark.parametrize("name", sorted(bank_of("forgets")[0].snapshot()))
def test_a_bank_without_one_of_its_arrays_is_refused(name):
    stored = bank_of("forgets")[0].snapshot()
    del stored[name]
    with pytest.raises(LogError, match="restore"):
        DetectorBank(SETTINGS["forgets"]).restore(stored)


@pytest.mark.parametrize("name", sorted(set(bank_of("forgets")[0].snapshot()) - {"format"}))
def test_a_bank_with_an_array_cut_short_is_refused_and_the_bank_is_as_before(name):
    bank, more = bank_of("forgets")
    stored = bank.snapshot()
    before = stored | {name: stored[name][:-1]}
    with pytest.raises((LogError, UsageError), match="restore"):
        bank.restore(before)
    np.testing.assert_array_equal(bank.follow(*more), bank_of("forgets")[0].follow(*more))


def test_a_bank_of_other_settings_is_refused():
    with pytest.raises(UsageError, match="same settings"):
        DetectorBank(SETTINGS["late"]).restore(bank_of("forgets")[0].snapshot())


def test_a_stored_bank_of_more_series_than_the_bound_is_refused():
    with pytest.raises(UsageError, match="at most 3 series"):
        DetectorBank(SETTINGS["forgets"], max_series=3).restore(bank_of("forgets")[0].snapshot())
