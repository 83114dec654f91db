"""Real recordings end to end through reader and contract; nothing in them is bad."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from sightline.sense import Contract, admit, open_source

DATA = Path(os.environ.get("SIGHTLINE_DATA", Path(__file__).parents[3] / "shared" / "data"))
NUMBER = {"type": "number", "unit": "1"}
SETS: dict[str, tuple[str, dict[str, Any], int]] = {
    "smap": (
        "nasa_smap",
        {
            "key": ["channel"],
            "event_time": {"assumed": {"period_s": 60, "start": "2015-01-01T00:00:00Z"}},
            "fields": {"value": NUMBER, "split": {"type": "text", "allowed": ["train", "test"]}},
            "archive": {
                "arrays": ["train", "test"],
                "columns": {"value": 0},
                "stem_column": "channel",
                "array_column": "split",
            },
        },
        54,
    ),
    "nab": (
        "nab/data",
        {
            "key": ["series"],
            "event_time": {"column": "timestamp"},
            "fields": {"value": NUMBER},
            "origin_column": "series",
        },
        35,
    ),
    "skab": (
        "skab",
        {
            "key": ["run"],
            "event_time": {"column": "datetime"},
            "fields": {"flow_lpm": NUMBER | {"column": "Volume Flow RateRMS"}},
            "origin_column": "run",
        },
        17,
    ),
}


@pytest.mark.parametrize("name", SETS)
def test_a_real_recording_is_admitted_without_a_refusal(name: str) -> None:
    folder, form, files = SETS[name]
    if not (DATA / folder).is_dir():
        pytest.skip(f"no real recordings at {DATA / folder}")
    contract = Contract.model_validate({"contract": name} | form)
    streams = open_source(name, str(DATA / folder), contract).streams()
    refused = admitted = read = 0
    keys: set[str] = set()
    for stream in streams:
        for chunk in stream.with_origin(contract.origin_column).chunks():
            refused += chunk.rejected.height
            read += chunk.frame.height
            if chunk.frame.height:
                admission = admit(contract, chunk.frame)
                refused += admission.refused.height
                admitted += admission.signals.height
                keys.update(admission.signals["_key"].unique())
    assert (len(streams), len(keys), refused) == (files, files, 0)
    assert admitted == read > 1000
