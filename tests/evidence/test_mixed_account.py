"""A run of a camera and of sensors together: one account, one report, for stages of all kinds."""

import json

import numpy as np
import pytest

from sightline.evidence import account_lines, account_of_run, draw_account, explain, write_report
from sightline.evidence.run_sections import report_lines
from sightline.runtime import RunDirectory, RunOptions, run_pipeline
from sightline.runtime.engine.guarding import Lookers
from sightline.sense import MemorySource
from simulation.mixed_world import East, mixed_plan, shade_of
from simulation.small_runs import readings


class Eye:
    """Sees the shade of the simulated world."""

    version = "eye@1"

    def look(self, frames):
        return [shade_of("shade", frame) for frame in frames]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    rng = np.random.default_rng(3)
    at_s = np.arange(0, 60, 0.5)
    value = rng.normal(0, 1, len(at_s)).round(3) + 15.0 * ((at_s >= 20) & (at_s < 40))
    rows = readings(value, sensor="s0", area="north", time_s=at_s)
    out = tmp_path_factory.mktemp("mixed") / "run"
    run_pipeline(
        mixed_plan(),
        {"t": MemorySource("t", {"t": rows}), "east": East()},
        out,
        looking={
            ("shade", "east"): Lookers(primary=Eye(), fallback=None, budget_s=5.0, finds=("shade",))
        },
        options=RunOptions(durable=False),
    )
    return RunDirectory.open(out)


def first(run, kind):
    return next(d for d in run.decisions() if d.kind == kind and d.transition == "raised")


def test_every_decision_of_every_stage_is_explained_with_a_meaning_for_each_reason(run):
    kinds = {d.kind for d in run.decisions()}
    assert len(kinds) > 2
    for decision in run.decisions():
        facts = explain(run, decision.decision_id)
        assert all(fact.stage and fact.meaning for fact in facts.reasons), decision.kind
        assert account_lines(facts)
        json.dumps(facts.as_mapping(), allow_nan=False)


def test_an_alarm_on_rows_that_a_stage_measured_on_pictures_shows_the_windows_of_them(run):
    facts = explain(run, first(run, "shadow").decision_id, is_quick=False)
    assert facts.rows.shown.rows > 3
    assert "measured it on pictures" in facts.rows.shown.note
    assert "measured its values on pictures" in "\n".join(account_lines(facts))


def test_a_decision_of_a_stage_of_ones_own_is_told_with_its_frame_and_what_the_stage_saw(run):
    own = next(d for d in run.decisions() if d.reasons[0].version.startswith("shade@"))
    facts = explain(run, own.decision_id)
    text = "\n".join(account_lines(facts))
    assert facts.reasons[0].stage == "shade"
    assert facts.reasons[0].meaning.startswith("Shade of a picture, beside what is known")
    assert "stage shade OK: the stage itself answered" in text


@pytest.mark.parametrize("kind", ["high", "shadow"])
def test_a_picture_of_any_of_them_is_drawn(run, tmp_path, kind):
    facts = explain(run, first(run, kind).decision_id)
    draw_account(run, facts, tmp_path / "why.svg")
    assert (tmp_path / "why.svg").read_text().startswith("<svg")


def test_one_report_tells_of_rows_and_cameras(run, tmp_path):
    found = account_of_run(run)
    assert found.accounts.is_balanced
    assert found.replay.verdict == "same"
    assert found.cameras[0].frames > 0
    text = "\n".join(report_lines(found))
    assert "cameras" in text
    assert "shadow" in text
    page = write_report(run, found, tmp_path / "a.html").read_text()
    assert "<h2>Why</h2>" in page
    assert "<script" not in page
