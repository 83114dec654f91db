"""Every row of the engine's table in docs/bad-input.md, and which duplicate wins."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from sightline.limits import Limits
from sightline.runtime import Pipeline, make_plan
from sightline.runtime.engine.core import PartitionCore
from sightline.sense.admission import Share
from sightline.sense.contract import parse_contract
from simulation.stepping import epochs_of

PAGE = Path(__file__).parents[3] / "docs" / "bad-input.md"
START_NS = 1_767_225_600 * 10**9
HOUR_S = 3600


def make(limits=None):
    contract = parse_contract(
        {
            "contract": "c",
            "key": ["k"],
            "event_time": {"column": "t", "format": "unix_ns"},
            "sequence": {"column": "n"},
            "fields": {"v": {"type": "number", "unit": "1"}},
            "timing": {"out_of_order_s": 0, "revision_allowance_s": 60, "max_backlog_s": 7200},
        },
        where="test",
    )
    form = {
        "pipeline": "p",
        "tick_s": 10,
        "sources": {"s": {"contract": "c"}},
        "stages": {
            "w": {"use": "windows", "input": "s", "width_s": 10, "statistics": ["count", "mean"]}
        },
    }
    plan = make_plan(Pipeline.model_validate(form), {"s": contract})
    return plan, PartitionCore(plan, partition=0, limits=limits or Limits())


def frame(*rows):
    """Rows of (key, seconds, sequence, value)."""
    key, seconds, sequence, value = zip(*rows, strict=True)
    return pl.DataFrame(
        {
            "k": list(key),
            "t": [START_NS + round(s * 1e9) for s in seconds],
            "n": list(sequence),
            "v": [float(v) for v in value],
        }
    )


def run(*batches, limits=None):
    """Batches in order of arrival, each a file's continuation; accounts at the end."""
    plan, core = make(limits)
    seen = []
    core._observe = seen.append
    for epoch, tick in epochs_of(plan, pl.concat(batches), source="s"):
        for name, rows in epoch.batches:
            core.step_rows(name, Share.of(rows))
        core.step(tick)
    return core.accounts(), seen


def steady(key="a", start=0, stop=200):
    return frame(*[(key, s, s, 1.0) for s in range(start, stop)])


def others(start, stop):
    """Another key keeps the stream going."""
    return steady("b", start, stop)


CASES = {
    "late-within-allowance": lambda: run(steady(), frame(("a", 150.5, 900, 5))),
    "late-beyond-allowance": lambda: run(steady(), frame(("a", 100.5, 900, 5))),
    "older-than-backlog": lambda: run(
        steady(stop=20),
        others(20, 40),
        *[others(s, s + 5) for s in range(3000, 12000, 3000)],
        frame(("c", 30, 0, 1)),
    ),
    "clock-back": lambda: run(steady(start=HOUR_S, stop=HOUR_S + 100), frame(("a", 5, 900, 5))),
    "clock-forward": lambda: run(
        steady(stop=100), frame(("a", 20 * HOUR_S, 900, 5)), steady(start=100)
    ),
    "exact-duplicate": lambda: run(steady(), frame(("a", 199, 199, 1.0))),
    "corrected-duplicate": lambda: run(steady(), frame(("a", 199, 900, 5))),
    "reused-sequence": lambda: run(steady(), frame(("a", 199.5, 199, 5))),
    "tied-duplicate": lambda: run(steady(), frame(("a", 199, 199, 5))),
    "one-key-too-many": lambda: run(steady(), frame(("b", 199.5, 0, 1)), limits=Limits(max_keys=1)),
    "no-room": lambda: run(
        frame(*[("a", s / 100, s, 1.0) for s in range(11)]), limits=Limits(max_open_rows=10)
    ),
}


def table():
    text = PAGE.read_text().split("## What the engine makes")[1].split("\n## ")[0]
    rows = [line.split("|")[1:-1] for line in text.splitlines() if line.startswith("| `")]
    return {r[0].strip(" `"): r[2].strip() for r in rows}


def test_the_page_and_the_cases_are_the_same():
    assert set(table()) == set(CASES)


@pytest.mark.parametrize("case", CASES)
def test_the_engine_does_what_the_page_says(case):
    accounts, _ = CASES[case]()
    assert accounts.is_balanced
    lost = {**accounts.quarantined, **accounts.dropped}
    match table()[case]:
        case "decided":
            assert (accounts.decided, accounts.superseded) == (accounts.received, 0)
        case "superseded":
            assert (accounts.superseded, lost) == (1, {})
        case code:
            assert lost == {code: 1}


@pytest.mark.parametrize("flipped", [False, True])
@pytest.mark.parametrize(("loser", "winner"), [((1, 3.0), (2, 5.0)), ((7, 3.0), (7, 5.0))])
def test_the_same_duplicate_wins_in_whatever_order_they_come(loser, winner, flipped):
    rows = [("a", 5, *loser), ("a", 5, *winner)]
    _, seen = run(frame(*(reversed(rows) if flipped else rows)), frame(("a", 6, 9, np.nan)))
    window = next(s for s in seen if s.stage == "w")
    assert window.values[0][window.columns.index("v.mean")] == 5.0


@pytest.mark.parametrize("jump_s", [2 * HOUR_S, 20 * HOUR_S, -4 * HOUR_S])
def test_a_clock_that_jumps_and_comes_back_costs_only_its_own_rows(jump_s):
    wrong = [("a", 5 * HOUR_S + 100 + i + jump_s, 900 + i, 5) for i in range(30)]
    accounts, _ = run(
        steady(start=5 * HOUR_S, stop=5 * HOUR_S + 100),
        frame(*wrong),
        steady(start=5 * HOUR_S + 130, stop=5 * HOUR_S + 600),
    )
    assert (accounts.decided, sum(accounts.quarantined.values())) == (570, 30)


def test_a_row_from_the_distant_past_costs_no_other_row():
    accounts, _ = run(
        steady(start=5 * HOUR_S, stop=5 * HOUR_S + 100),
        frame(("a", 5, 900, 5)),
        steady(start=5 * HOUR_S + 100, stop=5 * HOUR_S + 200),
    )
    assert (accounts.decided, sum(accounts.quarantined.values())) == (200, 1)


def test_a_long_gap_in_the_data_is_believed():
    accounts, _ = run(steady(stop=50), steady(start=30 * HOUR_S, stop=30 * HOUR_S + 50))
    assert accounts.decided == 100
