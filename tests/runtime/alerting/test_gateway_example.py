"""The gateway's pipeline has a desk: messages in place of decisions."""

import pytest

from sightline.apps.gateway import PIPELINE
from sightline.runtime import RunDirectory, RunOptions, load_plan, run_pipeline
from sightline.sense import MemorySource
from simulation.alerting_runs import fates, messages
from simulation.gateway_runs import constellation


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("gateway") / "run"
    run_pipeline(
        load_plan(PIPELINE),
        {
            "telemetry": MemorySource("telemetry", {"t": constellation().telemetry}),
            "logs": MemorySource("logs", {"l": constellation().logs}),
        },
        out,
        options=RunOptions(durable=False),
    )
    return RunDirectory.open(out)


def test_a_regions_outage_is_one_message(run):
    about = [m for m in messages(run) if m[1] in ("north", "region=north")]
    assert about == [("alert", "north", 1)]


def test_every_raised_decision_has_a_place(run):
    raised = {d.decision_id for d in run.decisions() if d.transition == "raised"}
    assert {i.split(":")[0] for i in fates(run)} == raised
    assert "waiting" not in fates(run).values()
