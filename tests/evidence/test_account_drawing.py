"""Explanations, pictures and the report of a run, from a real run of the gateway."""

import xml.etree.ElementTree as ET

import numpy as np
import polars as pl
import pytest

from sightline import notebook
from sightline.apps.gateway import PIPELINE, simulate, watched_scene
from sightline.errors import UsageError
from sightline.evidence import (
    account_lines,
    account_of_run,
    decisions_frame,
    draw_svg,
    explain,
    write_report,
)
from sightline.runtime import RunDirectory, RunOptions, load_plan, run_pipeline
from sightline.sense import MemorySource


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    made = simulate(watched_scene(seed=5, n_satellites=12, duration_s=900))
    broken = made.telemetry.with_columns(
        pl.when(pl.int_range(pl.len()) == 77).then(1e6).otherwise("snr_db").alias("snr_db")
    )
    sources = {
        "telemetry": MemorySource("telemetry", {"t": broken}),
        "logs": MemorySource("logs", {"l": made.logs}),
    }
    return run_pipeline(
        load_plan(PIPELINE),
        sources,
        tmp_path_factory.mktemp("evidence") / "run",
        options=RunOptions(durable=False),
    )


@pytest.fixture(scope="module")
def run(report):
    return RunDirectory.open(report.path)


def first(run, kind):
    return explain(run, next(d for d in run.decisions() if d.kind == kind).decision_id)


def test_a_stuck_sensor_is_explained_with_the_rows_of_its_field(run):
    found = first(run, "sensor_stuck")
    field = found.decision.subject.split("/")[1]
    assert (found.rows.about.source, found.rows.about.shown) == ("telemetry", field)
    assert found.rows.shown.rows > 60
    assert found.rows.shown.time_ns[0] < found.decision.window_start_ns


def test_a_silence_is_explained_with_arrivals(run):
    found = first(run, "link_silence")
    assert (found.rows.about.shown, set(found.rows.shown.value.tolist())) == ("", {1.0})


def test_a_region_is_explained_with_the_rows_of_all_its_satellites(run):
    found = first(run, "region_silence")
    alone = first(run, "link_silence")
    assert found.rows.shown.rows > 2 * alone.rows.shown.rows


def test_all_revisions_of_a_decision_are_told(run):
    retracted = next(d for d in run.decisions() if d.status == "retracted")
    found = explain(run, retracted.decision_id)
    assert [d.revision for d in found.revisions] == [0, 1]


def test_the_beginning_of_an_id_is_enough(run):
    wanted = run.decisions()[0].decision_id
    assert explain(run, wanted[:12]).decision.decision_id == wanted


def test_an_unknown_id_is_an_error(run):
    with pytest.raises(UsageError, match="the id of one decision"):
        explain(run, "nothing")


def test_a_threshold_is_drawn_only_where_it_is_about_what_is_drawn(run):
    assert np.isnan(first(run, "sensor_stuck").threshold)  # seconds, over volts


def test_the_picture_of_each_kind_is_well_formed_and_names_the_subject(run):
    for decision in {d.kind: d for d in run.decisions()}.values():
        picture = draw_svg(explain(run, decision.decision_id))
        assert ET.fromstring(picture).tag.endswith("svg")
        assert decision.subject in picture


def test_the_text_gives_reasons_with_value_threshold_and_version(run):
    text = "\n".join(account_lines(first(run, "sensor_stuck")))
    assert "STUCK_VALUE" in text
    assert "threshold 45 s  [sensor_stuck@" in text


def test_in_a_notebook_a_decision_prints_as_text_and_shows_as_a_picture(run):
    found = first(run, "sensor_stuck")
    shown = notebook.explain(run.path, found.decision.decision_id)
    assert str(shown).splitlines() == account_lines(found)
    assert shown._repr_svg_() == draw_svg(found)


def test_decisions_are_a_table_in_order_of_time(run):
    frame = decisions_frame(run.decisions())
    assert frame.height == len(run.decisions())
    assert frame["event"].is_sorted()


def test_quarantine_is_a_table_with_reason_and_place(run):
    row = run.quarantine().filter(pl.col("reason") == "RANGE").to_dicts()[0]
    assert (row["source"], row["_row"], row["field"]) == ("telemetry", 77, "snr_db")


def test_the_report_is_one_page_that_fetches_nothing(run, report, tmp_path):
    page = write_report(run, account_of_run(run), tmp_path / "report.html").read_text()
    assert f"{report.accounts.received:,}" in page
    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "")
    assert "<script" not in page
