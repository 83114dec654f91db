"""Detections keyed by their map tile: a stream with expiry, decided and replayed like any other."""

import numpy as np
import polars as pl
import pytest

import sightline as sl
from sightline.act import Ledger
from sightline.errors import ContractError
from sightline.runtime import (
    Pipeline,
    RunDirectory,
    RunOptions,
    make_plan,
    replay_run,
    run_pipeline,
)
from sightline.sense import MemorySource, admit
from sightline.sense.contract import parse_contract

ZOOM, WINDOW_S, START_S = 6, 20, 1_767_225_600
CONTRACT = {
    "contract": "detections",
    "key": ["tile"],
    "tile": {"zoom": ZOOM, "lon": "lon", "lat": "lat"},
    "event_time": {"column": "time", "format": "unix_s"},
    "sequence": {"column": "id"},
    "duplicate_key": ["tile", "time", "id"],
    "fields": {"score": {"type": "number", "unit": "1"}},
    "timing": {"out_of_order_s": 30},
}
PIPELINE = {
    "pipeline": "seen",
    "partitions": 2,
    "tick_s": 5,
    "sources": {"detections": {"contract": "detections.contract.yaml"}},
    "stages": {
        "recent": {
            "use": "windows", "input": "detections", "width_s": WINDOW_S, "slide_s": 5,
            "fields": ["score"], "statistics": ["max"],
        },
        "seen": {
            "use": "alarm", "input": "recent", "measure": "score.max", "unit": "1",
            "raise_above": 0.9, "clear_below": 0.9, "code": "SEEN",
        },
    },
}  # fmt: skip
contract = parse_contract(CONTRACT, where="test")


def detections(count=3_000):
    rng = np.random.default_rng(3)
    return pl.DataFrame(
        {
            "time": START_S + rng.integers(0, 600, count) + 0.5,  # on no border of a window
            "lon": rng.uniform(175, 190, count),  # across the antimeridian, and a turn further
            "lat": rng.uniform(-10, 10, count),
            "score": rng.random(count),
            "id": np.arange(count),
        }
    ).sort(pl.col("time") + pl.col("score") * 20)  # as it may arrive


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    out = tmp_path_factory.mktemp("tiles") / "run"
    plan = make_plan(Pipeline.model_validate(PIPELINE), {"detections": contract})
    source = MemorySource("detections", {"m": detections()})
    return run_pipeline(plan, {"detections": source}, out, options=RunOptions(durable=False))


def test_what_is_raised_and_cleared_is_the_greatest_of_the_tile_within_the_window(done):
    rows = detections()
    with Ledger.open(f"sqlite:///{done.path / 'ledger.sqlite'}", create=False) as ledger:
        said = ledger.decisions()
    assert len(said) > 50
    for one in said:
        until_s = one.window_end_ns / 1e9
        recent = rows.filter(pl.col("time") < until_s, pl.col("time") >= until_s - WINDOW_S)
        found = sl.aggregate_recent_tile_max(recent, ZOOM, WINDOW_S)
        greatest = found.get(tuple(map(int, one.subject.split("/")[:3])), 0.0)
        assert (greatest > 0.9) == (one.transition == "raised")
        if one.transition == "raised":
            assert one.reasons[0].value == greatest


def test_it_is_replayed_to_the_same_bytes(done):
    verdict = replay_run(RunDirectory.open(done.path))
    assert verdict, str(verdict.difference)
    assert verdict.digest == done.digest


def test_a_position_in_no_tile_is_refused_with_its_reason():
    raw = detections(3).with_columns(
        lat=pl.Series(["0", "86", "here"]), _origin=pl.lit("m"), _row=pl.Series([0, 1, 2])
    )
    found = admit(contract, raw)
    assert found.signals["_key"].to_list() == [
        f"{ZOOM}/{found.signals['_key'][0].split('/')[1]}/32"
    ]
    assert found.refused.select("_row", "reason").rows() == [(1, "SCHEMA"), (2, "SCHEMA")]


def test_a_zoom_that_there_is_not_is_refused():
    with pytest.raises(ContractError, match="zoom"):
        parse_contract({**CONTRACT, "tile": {**CONTRACT["tile"], "zoom": 27}}, where="test")
