"""``sightline report`` of a run of rows: as far as its log tells what the run came to."""

import json

import polars as pl
import pytest
from typer.testing import CliRunner

from sightline.apps.gateway import PIPELINE, simulate, watched_scene
from sightline.cli.main import app_for
from sightline.runtime import RunOptions, load_plan, run_pipeline
from sightline.sense import MemorySource


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    simulated = simulate(watched_scene(seed=5, n_satellites=6, duration_s=600))
    broken = simulated.telemetry.with_columns(
        pl.when(pl.int_range(pl.len()) == 77).then(1e6).otherwise("snr_db").alias("snr_db")
    )
    sources = {
        "telemetry": MemorySource("telemetry", {"t": broken}),
        "logs": MemorySource("logs", {"l": simulated.logs}),
    }
    out = tmp_path_factory.mktemp("rows") / "run"
    return run_pipeline(load_plan(PIPELINE), sources, out, options=RunOptions(durable=False))


def called(*arguments):
    given = [str(one) for one in arguments]
    return CliRunner().invoke(app_for(given), given)


def test_it_says_the_same_as_the_run_did(made):
    done = called("report", made.path, "--json")
    assert done.exit_code == 0, done.output
    told, ran = json.loads(done.stdout), made.as_mapping()
    for name in ("accounts", "digest", "final_digest", "decisions"):
        assert told[name] == ran[name], name


def test_what_the_log_does_not_have_is_left_out_of_the_page(made, tmp_path):
    assert called("report", made.path, "-o", tmp_path / "a.html").exit_code == 0
    page = (tmp_path / "a.html").read_text()
    assert f"{made.accounts.received:,}" in page
    assert "latency p50" not in page  # from receipt to ledger


def test_the_newest_decisions_are_listed_without_an_id(made):
    done = called("explain", made.path)
    assert done.exit_code == 0
    assert "sightline explain" in done.stdout
